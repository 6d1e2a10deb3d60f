//! Stretches of equal length, in which it is told when something came.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    numbers::interval::{Interval, seconds},
    prometheus::ask::RequestKind,
};

/// The length of a cell over a load, unless that is so long that there would be too many.
pub const CELL_SECONDS: u64 = 5;
/// Cells over a load get longer where there would be more.
const MOST_CELLS: u64 = 2000;
/// Cells of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub from: Timestamp,
    pub step: Duration,
    count: usize,
}

impl Grid {
    /// As many cells as lie within a length of time.
    #[must_use]
    pub fn new(from: Timestamp, length: Duration, step: Duration) -> Self {
        let cells = length.as_millis() / step.as_millis().max(1);
        Self { from, step, count: usize::try_from(cells).unwrap_or(0) }
    }

    /// The same before a time, up to it.
    #[must_use]
    pub fn up_to(end: Timestamp, length: Duration, step: Duration) -> Self {
        let grid = Self::new(end, length, step);
        let length = grid.start(grid.count).duration_since(end);
        Self { from: end.saturating_sub(length).unwrap_or(end), ..grid }
    }

    /// Over a whole load, each cell as long as several pushes.
    #[must_use]
    pub fn over(load: Interval, push: Duration) -> Option<Self> {
        let shortest = load.length().as_secs().div_ceil(MOST_CELLS).max(push.as_secs());
        let seconds = CELL_SECONDS * shortest.div_ceil(CELL_SECONDS).max(1);
        Some(Self::new(load.from, load.length(), Duration::from_secs(seconds))).filter(|grid| grid.count > 0)
    }

    /// Asks for values at the start of each cell, and at the end of the last.
    pub(crate) fn range(self) -> RequestKind {
        RequestKind::Range { from: self.from, to: self.start(self.count), step: self.step }
    }

    pub(crate) fn len(self) -> usize {
        self.count
    }

    /// Where a cell begins.
    #[must_use]
    pub fn start(self, number: usize) -> Timestamp {
        let millis = u128::try_from(number).unwrap_or(0) * self.step.as_millis();
        let after = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        self.from.saturating_add(after).unwrap_or(self.from)
    }

    /// The cell that begins at a time, or the end of the last.
    pub(crate) fn index(self, at: f64) -> Option<usize> {
        let index = ((at - seconds(self.from)) / self.step.as_secs_f64()).round();
        (index >= 0.0 && index <= self.count as f64).then_some(index as usize)
    }

    pub(crate) fn cell(self, number: usize) -> Interval {
        Interval { from: self.start(number), to: self.start(number + 1) }
    }

    /// The numbers of the cells that lie within one of the stretches.
    pub fn within(self, stretches: &[Interval]) -> impl Iterator<Item = usize> {
        (0..self.count).filter(move |number| {
            let cell = self.cell(*number);
            stretches.iter().any(|stretch| stretch.from <= cell.from && cell.to <= stretch.to)
        })
    }

    /// The values of a cumulative series at all its times. One that is not there yet is zero, and keeps its last value
    /// where it has no sample.
    pub(crate) fn carried<T: Copy + Default>(
        self,
        points: impl Iterator<Item = (f64, T)>,
    ) -> impl Iterator<Item = T> {
        let known: BTreeMap<usize, T> =
            points.filter_map(|(at, value)| Some((self.index(at)?, value))).collect();
        (0..=self.count).scan(T::default(), move |last, number| {
            *last = known.get(&number).copied().unwrap_or(*last);
            Some(*last)
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn load(length: i64) -> Interval {
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        Interval::new(at(0), at(length)).unwrap()
    }

    #[rstest]
    #[case::a_minute(60, 1, Some((5, 12)))]
    #[case::and_a_bit(64, 1, Some((5, 12)))]
    #[case::shorter_than_a_cell(4, 1, None)]
    #[case::slow_pushes(60, 12, Some((15, 4)))]
    #[case::eight_hours(28_800, 1, Some((15, 1920)))]
    fn cells_over_a_load(#[case] length: i64, #[case] push: u64, #[case] expected: Option<(u64, usize)>) {
        let grid = Grid::over(load(length), Duration::from_secs(push));
        assert_eq!(grid.map(|grid| (grid.step.as_secs(), grid.len())), expected);
    }

    #[test]
    fn only_whole_cells_belong_to_a_stretch() {
        let grid = Grid::over(load(60), Duration::from_secs(1)).unwrap();
        let at = |second: i64| grid.from + SignedDuration::from_secs(second);
        let stretch = |from: i64, to: i64| Interval::new(at(from), at(to)).unwrap();
        let within: Vec<usize> = grid.within(&[stretch(1, 20), stretch(40, 54)]).collect();
        assert_eq!(within, [1, 2, 3, 8, 9]);
    }

    #[test]
    fn a_series_counts_from_zero_and_keeps_its_last_value() {
        let grid = Grid::over(load(25), Duration::from_secs(1)).unwrap();
        let at = |second: f64| seconds(grid.from) + second;
        let points = [(at(-5.0), 1.0), (at(10.0), 4.0), (at(20.0), 9.0), (at(30.0), 10.0)];
        let totals: Vec<f64> = grid.carried(points.into_iter()).collect();
        assert_eq!(totals, [0.0, 0.0, 4.0, 4.0, 9.0, 9.0]);
    }
}
