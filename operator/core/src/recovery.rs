//! How long the system took to be back after a fault.
//!
//! The named objectives are counted in cells of one step (a push of k6, at least 1 s) from the injection on. The
//! system is back at the start of the first stretch, as long as `hold`, in which for each objective
//! - no two cells in a row are without a request, and none together are worse than the limit allows, one
//!   request always allowed: a cell of five requests cannot hold to 0.1%;
//! - the stretch as a whole is within the limit;
//! - the stretch has at least 90% of the requests that were usual before the fault: requests that hang do not
//!   fail, they are missing. Usual is the median over 5 cells at a time in the up to 60 s before. Where pushes
//!   fell unevenly into the cells before the fault too, one cell's requests may be missing besides. Not compared
//!   where the load ramps, or with less than 5 cells before the fault.
//!
//! The fault had no effect where that holds from the injection on, and until as many pods as before were ready.
//!
//! A push brings what happened since the one before. So a bad request shows up to one push late and within
//! one cell: the true end of the outage lies at most a cell and a push before the time found, which is
//! therefore the upper end of what the measurement allows. Where pushes came late the end lies further back, and a
//! recovery that only they make too slow is not judged.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultEffect, FaultStatus, Outcome, ReadyBy, RecoveryStatus};

use crate::{
    duration::human,
    judge::share_holds,
    plan::{RecoveryPlan, objective::Bound},
};

/// Shorter holds are measured as this: a pod that got SIGTERM lives up to 2 s more, what fails then shows up to
/// a push later, and a shorter stretch could end before the fault was felt.
const SHORTEST_HOLD: Duration = Duration::from_secs(5);
/// The request rate is compared with that of this time before the fault.
pub const BEFORE: Duration = Duration::from_secs(60);
/// With fewer cells than this before a fault nothing can be called usual.
pub const USUAL_CELLS: usize = 5;
const USUAL_SHARE: f64 = 0.9;

/// What ended in one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub total: f64,
    pub bad: f64,
}

/// The share of bad requests that an objective allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    AtMost(f64),
    AtLeast(f64),
}

/// One named objective around a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    pub objective: String,
    pub allowed: Allowed,
    /// Cells up to the injection, the last of them ending there.
    pub before: Vec<Cell>,
    /// Cells from the injection to the end of the load.
    pub after: Vec<Cell>,
}

/// A fault, and what is needed to say how it was got over.
#[derive(Clone, Debug)]
pub struct Incident<'a> {
    pub plan: &'a RecoveryPlan,
    pub injected: Timestamp,
    pub step: Duration,
    pub push: Duration,
    /// For how many cells after the injection the asked load stays as it was; `None` where that is not known.
    pub flat_cells: Option<usize>,
    pub tracks: Vec<Track>,
    /// At the end of each cell from the injection on: how old the oldest runner's last push was. Empty where
    /// that is not known.
    pub push_ages: Vec<Duration>,
    /// In which cell as many pods as before were ready again; `None` where that never came.
    pub ready: Option<usize>,
    /// What ended the cells, as in `load ended`.
    pub end: &'static str,
    /// The fault before this one that may still have been felt.
    pub felt: Option<&'a str>,
}

/// The length of a cell: a push, in whole seconds.
#[must_use]
pub fn step(push: Duration) -> Duration {
    Duration::from_secs(u64::try_from(push.as_millis().div_ceil(1000)).unwrap_or(1).max(1))
}

/// How finely anything can be told from cells: a cell and a push.
#[must_use]
pub fn resolution(push: Duration) -> Duration {
    step(push) + push
}

/// Why a stretch does not count as recovered.
#[derive(Clone, Debug, PartialEq)]
enum Why<'a> {
    Silent(&'a Track),
    Outside(&'a Track),
    Slow(&'a Track),
}

/// The requests that were usual before the fault.
#[derive(Clone, Copy, Debug)]
struct Usual {
    cell: f64,
    /// Stretches of 5 cells had less than 90% of it at times.
    uneven: bool,
}

impl Usual {
    fn at_least(self, cells: usize) -> f64 {
        let missing = if self.uneven { 1.0 } else { 0.0 };
        self.cell * (USUAL_SHARE * cells as f64 - missing) - 1e-6
    }
}

impl Allowed {
    #[must_use]
    pub fn of_share(bound: &Bound) -> Self {
        match bound {
            Bound::AtMost(limit) => Self::AtMost(limit.base()),
            Bound::AtLeast(limit) => Self::AtLeast(limit.base()),
        }
    }

    fn holds(self, cell: Cell) -> bool {
        match self {
            Self::AtMost(share) => share_holds(cell.bad, cell.total, share),
            Self::AtLeast(share) => cell.bad >= cell.total * share * (1.0 - 1e-9),
        }
    }

    /// As `holds`, with one request of grace.
    fn nearly_holds(self, cell: Cell) -> bool {
        match self {
            Self::AtMost(share) => cell.bad <= (cell.total * share).ceil().max(1.0) + 1e-6,
            Self::AtLeast(share) => cell.bad >= (cell.total * share).floor() - 1e-6,
        }
    }
}

impl Track {
    /// Makes cells of the cumulative values before and after the injection, each a step apart. Counts that fall, as
    /// a lost runner's may, add nothing.
    #[must_use]
    pub fn new(objective: &str, allowed: Allowed, before: &[Cell], after: &[Cell]) -> Self {
        let cells = |cumulative: &[Cell]| -> Vec<Cell> {
            let cells = cumulative.windows(2).map(|pair| {
                let total = (pair[1].total - pair[0].total).max(0.0);
                Cell { total, bad: (pair[1].bad - pair[0].bad).clamp(0.0, total) }
            });
            cells.collect()
        };
        Self { objective: objective.to_owned(), allowed, before: cells(before), after: cells(after) }
    }

    /// What was usual before the fault; `None` with too few cells to tell.
    fn usual(&self) -> Option<Usual> {
        let mut sums: Vec<f64> =
            self.before.windows(USUAL_CELLS).map(|cells| cells.iter().map(|c| c.total).sum()).collect();
        sums.sort_unstable_by(f64::total_cmp);
        let median = *sums.get(sums.len() / 2)?;
        let uneven = sums.first().is_some_and(|lowest| *lowest < USUAL_SHARE * median);
        Some(Usual { cell: median / USUAL_CELLS as f64, uneven })
    }

    fn sum(&self, from: usize, to: usize) -> Cell {
        let cells = self.after.get(from..to.min(self.after.len())).unwrap_or_default();
        cells.iter().fold(Cell::default(), |sum, c| Cell { total: sum.total + c.total, bad: sum.bad + c.bad })
    }

    /// Why the cells from `from` on, `length` of them, do not count as recovered.
    fn objection(&self, from: usize, length: usize, usual: Option<Usual>) -> Option<Why<'_>> {
        for at in from..from + length.saturating_sub(1).max(1) {
            let pair = self.sum(at, at + 2);
            if pair.total < 0.5 {
                return Some(Why::Silent(self));
            }
            if !self.allowed.nearly_holds(pair) {
                return Some(Why::Outside(self));
            }
        }
        if !self.allowed.holds(self.sum(from, from + length)) {
            return Some(Why::Outside(self));
        }
        let cells = self.sum(from, from + length);
        usual.filter(|usual| cells.total < usual.at_least(length)).map(|_| Why::Slow(self))
    }
}

impl Incident<'_> {
    /// How the system recovered.
    #[must_use]
    pub fn assess(&self) -> RecoveryStatus {
        if let Some(idle) = self.tracks.iter().find(|t| t.usual().is_some_and(|usual| usual.cell == 0.0)) {
            let message = format!(
                "{} had no request in the {} before the fault, so nothing shows what it broke: send some, or name another \
                 objective",
                idle.objective,
                human(self.step * count(idle.before.len()))
            );
            return RecoveryStatus { effect: FaultEffect::NotExercised, ..self.no_data(message) };
        }
        let hold = self.cells(self.plan.hold.max(SHORTEST_HOLD));
        let left = self.tracks.iter().map(|t| t.after.len()).min().unwrap_or(0);
        let Some(last) = left.checked_sub(hold) else { return self.not_back(left, hold) };
        // While pods are missing the fault may be felt yet.
        let felt_from = (0..=self.ready.unwrap_or(last).min(last)).find(|at| !self.is_good(*at, hold));
        let Some(felt_from) = felt_from else { return self.no_effect() };
        match (felt_from..=last).find(|at| self.is_good(*at, hold)) {
            Some(cell) => self.back(cell),
            None => self.not_back(left, hold),
        }
    }

    fn no_effect(&self) -> RecoveryStatus {
        let upper = self.resolution(0);
        if let Some(within) = self.plan.within.as_ref().filter(|within| upper > within.time) {
            return self.no_data(format!(
                "limit {} is finer than can be measured here ({}): raise within",
                within.text,
                human(upper)
            ));
        }
        let message = format!(
            "no effect: {} never left the limits (a dip shorter than {} would not show){}",
            self.plan.of.join(", "),
            human(upper),
            self.limit()
        );
        RecoveryStatus {
            outcome: Outcome::Met,
            effect: FaultEffect::NoEffect,
            recover_milliseconds: Some(millis(upper)),
            recovered_at: Some(MicroTime(self.injected)),
            ..self.said(upper, message)
        }
    }

    fn back(&self, cell: usize) -> RecoveryStatus {
        let upper = self.step * count(cell);
        let resolution = self.resolution(cell);
        let within = self.plan.within.as_ref();
        let met = within.is_none_or(|within| upper <= within.time);
        let pushes_late = resolution > self.step + self.push;
        if let Some(within) =
            within.filter(|within| !met && pushes_late && upper.saturating_sub(resolution) <= within.time)
        {
            return self.no_data(format!(
                "back {} after the fault or up to {} before, since k6's pushes came late, limit {}: see whether \
                 Prometheus keeps up",
                human(upper),
                human(resolution),
                within.text
            ));
        }
        let message = format!(
            "back {} after the fault, measured to {}{}",
            human(upper),
            human(resolution),
            self.limit()
        );
        RecoveryStatus {
            outcome: if met { Outcome::Met } else { Outcome::Missed },
            effect: FaultEffect::Recovered,
            recover_milliseconds: Some(millis(upper)),
            recovered_at: self.injected.checked_add(signed(upper)).ok().map(MicroTime),
            ..self.said(resolution, message)
        }
    }

    /// No stretch was good for as long as it must.
    fn not_back(&self, left: usize, hold: usize) -> RecoveryStatus {
        if left == 0 {
            return self.no_data("the load ended with the fault: lengthen the load".to_owned());
        }
        // Good from some cell to the end of the load, but not for long enough.
        let in_time = |cell: usize| {
            self.plan.within.as_ref().is_none_or(|within| self.step * count(cell) <= within.time)
        };
        let tail = (left.saturating_sub(hold)..left)
            .find(|at| self.is_good(*at, left - at))
            .filter(|at| left - at > 1 && in_time(*at));
        if let Some(cell) = tail {
            return self.no_data(format!(
                "within its limits {} after the fault, but the load ended {} later, before the {} for which it must \
                 hold: lengthen the load or shorten hold",
                human(self.step * count(cell)),
                human(self.step * count(left - cell)),
                human(self.step * count(hold))
            ));
        }
        let message = format!(
            "> {} ({}): {}{}",
            human(self.step * count(left)),
            self.end,
            self.blame(left, hold),
            self.limit()
        );
        RecoveryStatus {
            outcome: if self.plan.within.is_some() { Outcome::Missed } else { Outcome::NoData },
            effect: FaultEffect::NotBack,
            ..self.said(self.resolution(left), message)
        }
    }

    fn no_data(&self, message: String) -> RecoveryStatus {
        RecoveryStatus { outcome: Outcome::NoData, ..self.said(self.step + self.push, message) }
    }

    fn said(&self, resolution: Duration, message: String) -> RecoveryStatus {
        let felt = self.felt.map(|fault| format!(", with {fault} still felt")).unwrap_or_default();
        RecoveryStatus {
            resolution_milliseconds: Some(millis(resolution)),
            within: self.plan.within.as_ref().map(|within| within.text.clone()),
            message: Some(format!("{message}{felt}")),
            ..RecoveryStatus::default()
        }
    }

    /// `, limit 10s`, where there is one.
    fn limit(&self) -> String {
        self.plan.within.as_ref().map(|within| format!(", limit {}", within.text)).unwrap_or_default()
    }

    /// How finely a recovery at a cell is measured: a cell and a push, or the age that pushes had by then.
    fn resolution(&self, cell: usize) -> Duration {
        finest(self.step, self.push, &self.push_ages, cell)
    }

    fn is_good(&self, from: usize, length: usize) -> bool {
        self.tracks
            .iter()
            .all(|track| track.objection(from, length, self.usual(track, from + length)).is_none())
    }

    /// The usual requests in a cell, where they can be expected up to cell `to`.
    fn usual(&self, track: &Track, to: usize) -> Option<Usual> {
        track.usual().filter(|_| self.flat_cells.is_none_or(|flat| to <= flat))
    }

    /// What was wrong last.
    fn blame(&self, left: usize, hold: usize) -> String {
        let from = left.saturating_sub(hold);
        let why = self.tracks.iter().find_map(|t| t.objection(from, left - from, self.usual(t, left)));
        match why {
            Some(Why::Silent(t)) => format!("no requests of {}", t.objective),
            Some(Why::Slow(t)) => {
                format!("{} had fewer requests than 90% of before the fault", t.objective)
            }
            Some(Why::Outside(t)) => format!("{} was not back within its limit", t.objective),
            None => "the objectives did not hold for long enough".to_owned(),
        }
    }

    /// How many cells a length of time takes, at least one.
    fn cells(&self, length: Duration) -> usize {
        let cells = length.as_millis().div_ceil(self.step.as_millis().max(1));
        usize::try_from(cells).unwrap_or(usize::MAX).max(1)
    }
}

/// How finely what happened up to a cell is known: to a cell and a push, or to the age that pushes had by then.
#[must_use]
pub fn finest(step: Duration, push: Duration, push_ages: &[Duration], cell: usize) -> Duration {
    let normal = step + push;
    let oldest = push_ages.iter().take(cell + 1).max().copied().unwrap_or_default();
    if oldest > normal { step + oldest } else { normal }
}

/// The part of a recovery that the watch of the pods and of their Services tells, and why there is no more.
#[must_use]
pub fn without_measurement(fault: &FaultStatus, plan: Option<&RecoveryPlan>, why: &str) -> RecoveryStatus {
    RecoveryStatus {
        outcome: if plan.is_some_and(|p| p.within.is_some()) { Outcome::NoData } else { Outcome::Met },
        ready_milliseconds: ready(fault),
        ready_by: ready_by(fault),
        within: plan.and_then(|p| p.within.as_ref()).map(|within| within.text.clone()),
        message: Some(why.to_owned()),
        ..RecoveryStatus::default()
    }
}

/// Until as many pods as before were ready and served.
#[must_use]
pub fn ready(fault: &FaultStatus) -> Option<i64> {
    let injected = fault.injected_at.as_ref()?.0;
    let replaced = fault.replaced_at.as_ref()?.0;
    i64::try_from(replaced.duration_since(injected).as_millis()).ok()
}

/// By what that was judged, for a fault that happened.
#[must_use]
pub fn ready_by(fault: &FaultStatus) -> Option<ReadyBy> {
    fault.injected_at.as_ref()?;
    Some(if fault.services.is_empty() { ReadyBy::Pods } else { ReadyBy::Endpoints })
}

pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

fn signed(length: Duration) -> SignedDuration {
    SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

pub(crate) fn count(cells: usize) -> u32 {
    u32::try_from(cells).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
