//! Stretches of equal length over the load, in which it is told what came in bursts.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    numbers::{
        confidence::Block,
        interval::{Interval, seconds},
    },
    prometheus::ask::RequestKind,
};

/// Cells get longer where there would be more.
const MOST_CELLS: u64 = 2000;

/// Stretches of equal length over the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    pub from: Timestamp,
    pub step: Duration,
    pub(crate) count: u64,
}

impl Cells {
    /// Over a whole load, each as long as several pushes.
    #[must_use]
    pub fn over(load: Interval, push: Duration) -> Option<Self> {
        let shortest = load.length().as_secs().div_ceil(MOST_CELLS).max(push.as_secs());
        let seconds = CELL_SECONDS * shortest.div_ceil(CELL_SECONDS).max(1);
        let count = load.length().as_secs() / seconds;
        (count > 0).then_some(Self { from: load.from, step: Duration::from_secs(seconds), count })
    }

    pub(crate) fn range(self) -> RequestKind {
        RequestKind::Range { from: self.from, to: self.start(self.len()), step: self.step }
    }

    pub(crate) fn len(self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Where a cell begins.
    #[must_use]
    pub fn start(self, number: usize) -> Timestamp {
        let millis = u128::try_from(number).unwrap_or(0) * self.step.as_millis();
        let after = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        self.from.saturating_add(after).unwrap_or(self.from)
    }

    /// The numbers of the cells that lie within one of the stretches.
    pub fn within(self, stretches: &[Interval]) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(move |number| {
            let (from, to) = (self.start(*number), self.start(*number + 1));
            stretches.iter().any(|stretch| stretch.from <= from && to <= stretch.to)
        })
    }

    /// Adds the cumulative values of one series at the ends of the cells. One that is not there yet is zero, and
    /// keeps its last value where it has no sample.
    pub(crate) fn add(self, sums: &mut [Block], points: impl Iterator<Item = (f64, Block)>) {
        let number = |at: f64| ((at - seconds(self.from)) / self.step.as_secs_f64()).round();
        let known: BTreeMap<usize, Block> = points
            .filter(|(at, value)| number(*at) >= 0.0 && value.total.is_finite())
            .map(|(at, value)| (number(at) as usize, value))
            .collect();
        let mut last = Block::default();
        for (number, sum) in sums.iter_mut().enumerate() {
            last = known.get(&number).copied().unwrap_or(last);
            sum.total += last.total;
            sum.bad += last.bad;
        }
    }
}

/// The length of a cell, unless the load is so long that there would be too many.
pub const CELL_SECONDS: u64 = 5;
