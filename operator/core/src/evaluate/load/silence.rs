//! Answers that stop coming leave no trace in k6's figures but silence.

use std::time::Duration;

use jiff::SignedDuration;
use loadtest_crds::{LoadTestStatus, Shortfall, ShortfallCause};

use crate::{
    evaluate::load::{
        case::{Case, HALF, because, milliseconds},
        cells::{CELL, Cell},
        missing::MISSING_VUS,
    },
    k6::inspect,
    numbers::{
        duration::human,
        interval::{Interval, seconds},
        median::median,
    },
};

/// A silence to the end of the load is at least so long, so many cells, and so many times an iteration (the highest p95
/// of a cell before it, of which there are so many).
const SILENCE: Duration = Duration::from_secs(10);
const SILENT_CELLS: usize = 2;
const SILENT_ITERATIONS: f64 = 4.0;
const CELLS_BEFORE: usize = 3;
/// Of fewer virtual users, or with fewer requests in a cell, it may be the script's own.
const FEWEST_VUS: i64 = 5;
const FEWEST_REQUESTS: f64 = 5.0;

impl Case<'_> {
    /// Runners that were lost or short of CPU have a ground of their own, and may be the reason; that they started apart
    /// is none for this.
    pub(super) fn silence(&self, shortfalls: &mut Vec<Shortfall>) {
        if self.of_runners().is_some() {
            return;
        }
        let Some((length, usual)) = self.silent_end() else { return };
        let text = format!(
            "no answers came: for the last {} of constant load not one request and not one iteration ended, with all \
             virtual users there; an iteration took at most {} (p95) before",
            human(length),
            milliseconds(usual)
        );
        shortfalls.push(because(ShortfallCause::Target, text));
    }

    /// For how long before the end of the constant load nothing ended any more, nor did later, and how long an iteration
    /// took before. A script may be silent of its own: where that could be, or a fault could be the reason, it is none.
    fn silent_end(&self) -> Option<(Duration, f64)> {
        let (held, level) = constant_load(self.status)?;
        if !self.status.scenarios.iter().all(|s| self.ran_through(s.duration_milliseconds)) {
            return None;
        }
        let later = |cell: &&Cell| cell.to - self.step.as_secs_f64() >= seconds(level.to);
        if !self.cells.iter().filter(later).all(is_silent) {
            return None;
        }
        let grids = [(&self.cells, self.step), (&self.end, CELL)];
        grids.into_iter().find_map(|(cells, step)| self.silent_cells(cells, step, held, level))
    }

    fn silent_cells(
        &self,
        cells: &[Cell],
        length: Duration,
        held: i64,
        level: Interval,
    ) -> Option<(Duration, f64)> {
        let step = length.as_secs_f64();
        let until = seconds(level.to) + 1e-3;
        if !cells.iter().filter(|cell| cell.to > until).all(is_silent) {
            return None;
        }
        let is_level = |cell: &&Cell| cell.to - step >= seconds(level.from) && cell.to <= until;
        let level: Vec<&Cell> = cells.iter().filter(is_level).collect();
        let disturbances = self.disturbances();
        let disturbed = |cell: &&Cell| {
            disturbances.iter().any(|d| seconds(d.from) < cell.to && seconds(d.to) > cell.to - step)
        };
        let all_there = |cell: &&Cell| cell.vus.is_some_and(|vus| vus >= (1.0 - MISSING_VUS) * held as f64);
        let end = level.iter().rev().take_while(|cell| is_silent(cell) && all_there(cell)).count();
        let (before, end) = level.split_at(level.len() - end);
        // In the last cell with an answer they may already have been few. Nor may a fault have begun it.
        let (last, before) = before.split_last()?;
        if disturbed(last) || end.iter().any(disturbed) {
            return None;
        }
        let took: Vec<f64> = before
            .iter()
            .filter(|cell| !disturbed(cell))
            .map(|cell| cell.iteration_p95.filter(|_| cell.requests >= FEWEST_REQUESTS))
            .collect::<Option<_>>()?;
        let longest = took.iter().copied().chain(last.iteration_p95).fold(0.0, f64::max);
        let length = length * u32::try_from(end.len()).unwrap_or(u32::MAX);
        let is_long = length >= SILENCE && length.as_secs_f64() >= SILENT_ITERATIONS * longest;
        (end.len() >= SILENT_CELLS && took.len() >= CELLS_BEFORE && is_long).then_some((length, longest))
    }

    /// A request that hangs neither fails nor is slow before it ends. While iterations are dropped all virtual users
    /// are busy: where none gets to the end of what usually takes less than a cell, they wait for answers.
    pub(super) fn of_silence(&self) -> Option<String> {
        let usual = median(self.cells.iter().filter_map(|cell| cell.iteration_p95))?;
        let silent = |cell: &&Cell| cell.dropped > 0.0 && cell.iteration_p95.is_none();
        let dropped: f64 = self.cells.iter().map(|cell| cell.dropped).sum();
        let stuck: f64 = self.cells.iter().filter(silent).map(|cell| cell.dropped).sum();
        let length = self.step * u32::try_from(self.cells.iter().filter(silent).count()).unwrap_or(u32::MAX);
        (stuck > 0.0 && stuck >= HALF * dropped && usual < self.step.as_secs_f64()).then(|| {
            format!(
                "no answers came: for {} not one iteration ended, which takes {} (p95) else",
                human(length),
                milliseconds(usual)
            )
        })
    }
}

/// The last stretch of constant load and how many virtual users are there, where all scenarios ask for virtual users.
pub fn constant_load(status: &LoadTestStatus) -> Option<(i64, Interval)> {
    let scenarios = &status.scenarios;
    let held: i64 = scenarios.iter().map(|s| s.held_vus).sum::<Option<i64>>()?;
    if held < FEWEST_VUS || scenarios.iter().any(|s| !s.arrivals.is_empty()) {
        return None;
    }
    let started = status.load.as_ref()?.started_at.as_ref()?.0;
    let last = inspect::intersect(scenarios.iter().map(|s| s.plateaus.clone())).into_iter().next_back()?;
    let after = |millis: i64| started.checked_add(SignedDuration::from_millis(millis)).ok();
    Some((held, Interval::new(after(last.from)?, after(last.to)?)?))
}

fn is_silent(cell: &Cell) -> bool {
    cell.requests < 0.5 && cell.iteration_p95.is_none()
}
