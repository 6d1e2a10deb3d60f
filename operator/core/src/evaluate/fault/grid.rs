//! How long the load is level around a fault.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::LoadTestStatus;

use crate::{
    evaluate::windows::{self, context::Context, grid::Grid},
    numbers::interval::Interval,
};

/// So much of the time before a fault says what was usual.
const BEFORE: Duration = Duration::from_secs(60);

/// The time before an injection, as far as the load was there and as it is then.
pub(super) fn before(
    injected: Timestamp,
    status: &LoadTestStatus,
    context: &Context,
    step: Duration,
) -> Grid {
    let level = level_around(injected, status).flatten();
    let level = level.and_then(|level| level.from.checked_add(context.settings.push).ok());
    let load = context.load.map_or(injected, |load| load.from);
    let from = level.filter(|level| *level > load && *level < injected).unwrap_or(load);
    let so_far = Interval::new(from, injected).map_or(Duration::ZERO, |i| i.length()).min(BEFORE);
    Grid::up_to(injected, so_far, step)
}

/// The stretch of constant load around a time, where one holds it; `None` where the stretches are not known. A script
/// that was inspected and has none ramps all the time.
fn level_around(at: Timestamp, status: &LoadTestStatus) -> Option<Option<Interval>> {
    status.load.as_ref()?.started_at.as_ref()?;
    if status.scenarios.iter().any(|s| s.plateaus.is_empty() && s.duration_milliseconds.is_none()) {
        return None;
    }
    Some(windows::level(status).into_iter().find(|level| level.from <= at && at < level.to))
}

/// For how many cells after the injection the asked load stays level; none where it ramps already.
pub(super) fn flat_cells(injected: Timestamp, status: &LoadTestStatus, step: Duration) -> Option<usize> {
    let level = level_around(injected, status)?.and_then(|level| Interval::new(injected, level.to));
    Some(level.map_or(0, |left| Grid::new(injected, left.length(), step).len()))
}
