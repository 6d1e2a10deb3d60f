//! Answers that stop coming for good. k6 counts neither the requests nor the iterations that it interrupts as the load
//! ends, so a hang to the end leaves no trace but silence.

use std::time::Duration;

use loadtest_crds::{LoadTestStatus, ScenarioStatus};

use crate::{
    evaluate::{
        load::{
            case::{Case, MISSING_VUS, milliseconds},
            cells::{CELL, Cell},
        },
        windows,
    },
    numbers::{
        duration::human,
        interval::{Interval, seconds},
    },
};

/// A silence to the end of the load is at least so long, so many cells, and so many times an iteration (the highest p95
/// of a cell before it). So many cells before it say what is usual; fewer do where iterations were dropped all through it,
/// since all virtual users were busy then.
const SILENCE: Duration = Duration::from_secs(10);
const SILENT_CELLS: usize = 2;
const SILENT_ITERATIONS: f64 = 4.0;
const CELLS_BEFORE: usize = 3;
/// Of fewer virtual users, or with fewer requests in a cell, it may be the script's own.
const FEWEST_VUS: i64 = 5;
const FEWEST_REQUESTS: f64 = 5.0;

/// For how long before the end of the constant load nothing ended any more.
pub(super) struct Silence {
    length: Duration,
    /// How long an iteration took before.
    usual: f64,
    /// Iterations were dropped in each of its cells: all virtual users were busy.
    pub(super) dropped: bool,
}

impl Silence {
    pub(super) fn text(&self) -> String {
        format!(
            "no answers came: for the last {} of constant load not one request and not one iteration ended; an iteration \
             took at most {} (p95) before",
            human(self.length),
            milliseconds(self.usual)
        )
    }
}

impl Case<'_> {
    /// The silence at the end of the constant load, where nothing ended later. A script may be silent of its own: where
    /// that could be, or a fault could be the reason, it is none. Runners that were lost or short of CPU may be the
    /// reason too; that they started apart is none for this.
    pub(super) fn silence(&self) -> Option<Silence> {
        if self.of_runners().is_some() {
            return None;
        }
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

    fn silent_cells(&self, cells: &[Cell], length: Duration, held: i64, level: Interval) -> Option<Silence> {
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
        let all_there =
            |cell: &&Cell| held == 0 || cell.vus.is_some_and(|vus| vus >= (1.0 - MISSING_VUS) * held as f64);
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
        let dropped = end.iter().all(|cell| cell.dropped > 0.0);
        let usual = took.iter().copied().chain(last.iteration_p95).fold(0.0, f64::max);
        let length = length * u32::try_from(end.len()).unwrap_or(u32::MAX);
        let is_long = length >= SILENCE && length.as_secs_f64() >= SILENT_ITERATIONS * usual;
        let is_known = took.len() >= CELLS_BEFORE || (dropped && usual > 0.0);
        (end.len() >= SILENT_CELLS && is_known && is_long).then_some(Silence { length, usual, dropped })
    }
}

/// The last stretch of constant load, and how many virtual users are asked for in it: none of a script by arrival rate.
pub fn constant_load(status: &LoadTestStatus) -> Option<(i64, Interval)> {
    let scenarios = &status.scenarios;
    let asked = |s: &ScenarioStatus| s.held_vus.or((!s.arrivals.is_empty()).then_some(0));
    let held: i64 = scenarios.iter().map(asked).sum::<Option<i64>>()?;
    if held < FEWEST_VUS && scenarios.iter().all(|s| s.arrivals.is_empty()) {
        return None;
    }
    Some((held, *windows::level(status).last()?))
}

fn is_silent(cell: &Cell) -> bool {
    cell.requests < 0.5 && cell.iteration_p95.is_none()
}
