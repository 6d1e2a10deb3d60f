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
//! recovery that only they make too slow is not judged. Nor is one that only they make fast enough: what a late push
//! brings in one cell makes up for the cells beside it by one reading, and not by the harshest.
//!
//! Where the limit of an objective lies inside a bucket of k6's histogram, the samples in it may be good or bad. All of
//! the above is then done three times: with them taken as good, as interpolated, and as bad. An outcome that is not the
//! same by all three is not judged either, but for a miss that only late pushes leave open to the last; else the likely
//! figures are told.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultEffect, FaultStatus, Outcome, ReadyBy, RecoveryStatus};

use crate::{
    evaluate::fault::cells::{Readings, Track, Usual, Why, undecided},
    numbers::duration::human,
    plan::fault::RecoveryPlan,
};

/// Shorter holds are measured as this: a pod that got SIGTERM lives up to 2 s more, what fails then shows up to
/// a push later, and a shorter stretch could end before the fault was felt.
const SHORTEST_HOLD: Duration = Duration::from_secs(5);
/// The request rate is compared with that of this time before the fault.
pub const BEFORE: Duration = Duration::from_secs(60);

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
    /// What late pushes bring is read as harshly as it may be.
    pub harsh: bool,
    /// In which cell as many pods as before were ready again; `None` where that never came.
    pub ready: Option<usize>,
    /// What ended the cells, as in `load ended`.
    pub end: &'static str,
    /// The fault before this one that may still have been felt.
    pub felt: Option<&'a str>,
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
        let Some(last) = left.checked_sub(hold) else { return self.not_back(left, left, hold) };
        // While pods are missing the fault may be felt yet.
        let felt_from = (0..=self.ready.unwrap_or(last).min(last)).find(|at| !self.is_good(*at, hold));
        let Some(felt_from) = felt_from else { return self.no_effect() };
        match (felt_from..=last).find(|at| self.is_good(*at, hold)) {
            Some(cell) => self.back(cell),
            None => self.not_back(felt_from, left, hold),
        }
    }

    fn no_effect(&self) -> RecoveryStatus {
        let upper = self.resolution(0);
        // What comes later is none of its harm.
        let recovered_at = Some(MicroTime(self.injected));
        if let Some(within) = self.plan.within.as_ref().filter(|within| upper > within.time) {
            let message = if upper > self.step + self.push {
                format!(
                    "no effect was seen, but k6's pushes came late ({}), limit {}: see whether Prometheus keeps up",
                    human(upper),
                    within.text
                )
            } else {
                let text = &within.text;
                format!("limit {text} is finer than can be measured here ({}): raise within", human(upper))
            };
            return RecoveryStatus { effect: FaultEffect::NoEffect, recovered_at, ..self.no_data(message) };
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
            recovered_at,
            ..self.said(upper, message)
        }
    }

    fn back(&self, cell: usize) -> RecoveryStatus {
        let upper = self.step * count(cell);
        let resolution = self.resolution(cell);
        let within = self.plan.within.as_ref();
        let met = within.is_none_or(|within| upper <= within.time);
        let pushes_late = resolution > self.step + self.push;
        // It was back by then at the latest, and what comes later is none of its harm.
        let recovered_at = self.injected.checked_add(signed(upper)).ok().map(MicroTime);
        if let Some(within) =
            within.filter(|within| !met && pushes_late && upper.saturating_sub(resolution) <= within.time)
        {
            let message = format!(
                "back {} after the fault or up to {} before, since k6's pushes came late, limit {}: see whether \
                 Prometheus keeps up",
                human(upper),
                human(resolution),
                within.text
            );
            return RecoveryStatus { effect: FaultEffect::Recovered, recovered_at, ..self.no_data(message) };
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
            recovered_at,
            ..self.said(resolution, message)
        }
    }

    /// No stretch from the cell on in which it was felt was good for as long as it must.
    fn not_back(&self, felt_from: usize, left: usize, hold: usize) -> RecoveryStatus {
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
        let (why, blame) = self.blame(left, hold);
        let message = format!("> {} ({}): {blame}{}", human(self.step * count(left)), self.end, self.limit());
        // Requests that are missing now may have come later.
        let oldest = self.push_ages.get(left.saturating_sub(hold)..).unwrap_or_default().iter().max();
        let late = oldest.filter(|age| **age > self.step + self.push);
        // And bad ones may have come earlier, unless there was time enough before that.
        let has_passed = |cells: usize| {
            self.plan.within.as_ref().is_none_or(|within| self.step * count(cells) >= within.time)
        };
        let is_decided = |age: Duration| {
            let heard = left.saturating_sub(self.cells(age)).saturating_sub(hold);
            // There is no doubt about a stretch of which all pushes came in time, and no late one after it could bring more.
            let late_from = (0..left).find(|at| self.is_late(*at, at + 1)).unwrap_or(left);
            let heard_of = late_from.saturating_sub(self.cells(self.step + self.push));
            let sure = heard_of.checked_sub(hold).filter(|sure| felt_from <= *sure);
            matches!(why, Some(Why::Outside(_))) && has_passed(heard) || sure.is_some_and(has_passed)
        };
        if let Some(age) = late.filter(|age| !is_decided(**age)) {
            let message = format!(
                "{message}; but k6's pushes came late ({}): see whether Prometheus keeps up",
                human(*age)
            );
            return RecoveryStatus { effect: FaultEffect::NotBack, ..self.no_data(message) };
        }
        let seen = self.step * count(left);
        if let Some(within) = self.plan.within.as_ref().filter(|within| seen < within.time) {
            let message = format!("{message}, and {} had not passed yet: lengthen the load", within.text);
            return RecoveryStatus { effect: FaultEffect::NotBack, ..self.no_data(message) };
        }
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
        self.tracks.iter().all(|track| self.objection(track, from, length).is_none())
    }

    fn objection<'a>(&self, track: &'a Track, from: usize, length: usize) -> Option<Why<'a>> {
        let usual = self.usual(track, from + length);
        track.objection(
            from,
            length,
            usual,
            self.harsh && self.is_late(from.saturating_sub(1), from + length),
        )
    }

    /// Whether a push came late from one cell up to another.
    fn is_late(&self, from: usize, to: usize) -> bool {
        let ages = self.push_ages.get(from..to.min(self.push_ages.len())).unwrap_or_default();
        ages.iter().any(|age| *age > self.step + self.push)
    }

    /// The usual requests in a cell, where they can be expected up to cell `to`.
    fn usual(&self, track: &Track, to: usize) -> Option<Usual> {
        track.usual().filter(|_| self.flat_cells.is_none_or(|flat| to <= flat))
    }

    /// What was wrong last.
    fn blame(&self, left: usize, hold: usize) -> (Option<Why<'_>>, String) {
        let from = left.saturating_sub(hold);
        let why = self.tracks.iter().find_map(|track| self.objection(track, from, left - from));
        let words = match &why {
            Some(Why::Silent(t)) => format!("no requests of {}", t.objective),
            Some(Why::Slow(t)) => {
                format!("{} had fewer requests than 90% of before the fault", t.objective)
            }
            Some(Why::Outside(t)) => format!("{} was not back within its limit", t.objective),
            None => "the objectives did not hold for long enough".to_owned(),
        };
        (why, words)
    }

    /// How many cells a length of time takes, at least one.
    pub(crate) fn cells(&self, length: Duration) -> usize {
        let cells = length.as_millis().div_ceil(self.step.as_millis().max(1));
        usize::try_from(cells).unwrap_or(usize::MAX).max(1)
    }
}

/// The recovery, of what came out by each reading of the tracks. What is not the same by all of them is not known.
#[must_use]
pub fn agreed(
    recoveries: Readings<RecoveryStatus>,
    tracks: &[Readings<Track>],
    pushes_late: bool,
) -> RecoveryStatus {
    let [kindest, likely, harshest] = recoveries;
    // What is missed by the kinder ones is missed where late pushes leave it open to the harshest.
    let is_told = harshest.outcome == likely.outcome
        || (likely.outcome, harshest.outcome) == (Outcome::Missed, Outcome::NoData);
    if kindest.outcome == likely.outcome && is_told {
        return likely;
    }
    let time = |recovery: &RecoveryStatus| match (recovery.recover_milliseconds, recovery.effect) {
        (Some(ms), _) => human(Duration::from_millis(ms.unsigned_abs())),
        (None, FaultEffect::NotBack) => "not back".to_owned(),
        (None, _) => "not known".to_owned(),
    };
    let why = undecided(tracks, pushes_late, &format!("{} or {}", time(&kindest), time(&harshest)));
    let message = Some(likely.message.unwrap_or_default() + &why);
    RecoveryStatus { outcome: Outcome::NoData, message, ..likely }
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
    let injected = fault.injected()?;
    let replaced = fault.replaced()?;
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
