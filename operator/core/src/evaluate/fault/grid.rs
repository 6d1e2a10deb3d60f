//! The times around a fault at which cumulative values are read, as far as the load is level there.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{LoadTestStatus, Plateau};

use crate::{
    evaluate::{fault::recovery::BEFORE, windows::context::Context},
    k6::inspect,
    numbers::interval::{Interval, seconds},
    prometheus::ask::RequestKind,
};

/// Prometheus refuses range queries of more than 11,000 points.
const MOST_CELLS: u64 = 10_000;

/// Times at which cumulative values are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    from: Timestamp,
    to: Timestamp,
    pub(super) step: Duration,
}

impl Grid {
    pub(super) fn after(injected: Timestamp, length: Duration, step: Duration) -> Self {
        let cells = u64::try_from(length.as_millis() / step.as_millis().max(1)).unwrap_or(0).min(MOST_CELLS);
        Self { from: injected, to: injected.saturating_add(steps(step, cells)).unwrap_or(injected), step }
    }

    /// The time before an injection, as far as the load was there and as it is then.
    pub(super) fn before(
        injected: Timestamp,
        status: &LoadTestStatus,
        context: &Context,
        step: Duration,
    ) -> Self {
        let level = plateau(injected, status).and_then(|(started, plateau)| {
            let push = i64::try_from(context.settings.push.as_millis()).ok()?;
            started.checked_add(SignedDuration::from_millis(plateau?.from + push)).ok()
        });
        let load = context.load.map_or(injected, |load| load.from);
        let from = level.filter(|level| *level > load && *level < injected).unwrap_or(load);
        let so_far = Interval::new(from, injected).map_or(Duration::ZERO, |i| i.length()).min(BEFORE);
        let cells = u64::try_from(so_far.as_millis() / step.as_millis().max(1)).unwrap_or(0);
        Self { from: injected.saturating_sub(steps(step, cells)).unwrap_or(injected), to: injected, step }
    }

    pub(super) fn range(self) -> RequestKind {
        RequestKind::Range { from: self.from, to: self.to, step: self.step }
    }

    pub(super) fn index(&self, at: f64) -> Option<usize> {
        let index = ((at - seconds(self.from)) / self.step.as_secs_f64()).round();
        (index >= 0.0 && index < self.len() as f64).then_some(index as usize)
    }

    pub(super) fn len(&self) -> usize {
        let millis = self.to.duration_since(self.from).as_millis();
        usize::try_from(millis).unwrap_or(0) / usize::try_from(self.step.as_millis()).unwrap_or(1).max(1) + 1
    }
}

fn steps(step: Duration, cells: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(u128::from(cells) * step.as_millis()).unwrap_or(0))
}

/// The stretch of constant load around a time, where one holds it; `None` where the stretches are not known. A script
/// that was inspected and has none ramps all the time.
fn plateau(at: Timestamp, status: &LoadTestStatus) -> Option<(Timestamp, Option<Plateau>)> {
    let started = status.load_started()?;
    if status.scenarios.iter().any(|s| s.plateaus.is_empty() && s.duration_milliseconds.is_none()) {
        return None;
    }
    let plateaus: Vec<Plateau> = inspect::intersect(status.scenarios.iter().map(|s| s.plateaus.clone()));
    let at = i64::try_from(at.duration_since(started).as_millis()).ok()?;
    Some((started, plateaus.into_iter().find(|p| p.from <= at && at < p.to)))
}

/// For how many cells after the injection the asked load stays level; none where it ramps already.
pub(super) fn flat_cells(injected: Timestamp, status: &LoadTestStatus, step: Duration) -> Option<usize> {
    let (started, plateau) = plateau(injected, status)?;
    let at = i64::try_from(injected.duration_since(started).as_millis()).ok()?;
    let left = plateau.map_or(0, |p| p.to - at);
    usize::try_from(left / i64::try_from(step.as_millis()).ok()?.max(1)).ok()
}
