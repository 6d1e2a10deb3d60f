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
//! therefore the upper end of what the measurement allows.
//!
//! Where the limit of an objective lies inside a bucket of k6's histogram, the samples in it may be good or bad. The
//! system is then back at the soonest with them taken as kindly, and at the latest with them taken as harshly as may be.
//! Where both come out the same, the latest is told; else it is not judged.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultEffect, FaultStatus, Outcome, ReadyBy, RecoveryStatus};

use crate::{
    evaluate::fault::{
        cells::{Readings, Track, Why, beside, by_kindness, in_bucket},
        scene::{Scene, add, millis},
    },
    numbers::duration::human,
    plan::fault::RecoveryPlan,
};

/// Shorter holds are measured as this: a pod that got SIGTERM lives up to 2 s more, what fails then shows up to
/// a push later, and a shorter stretch could end before the fault was felt.
const SHORTEST_HOLD: Duration = Duration::from_secs(5);

/// What is known of a recovery.
#[derive(Clone, Debug)]
pub struct Measured {
    pub status: RecoveryStatus,
    /// In which cell the objectives held again, at the soonest and at the latest; `None` where that never came.
    pub back: Readings<Option<usize>>,
    /// On how many cells that stands.
    pub cells: usize,
}

/// How the system recovered.
#[must_use]
pub fn assess(scene: Scene<'_>, plan: &RecoveryPlan, tracks: &[Readings<Track>]) -> Measured {
    let readings = by_kindness(tracks);
    let [kind, harsh] = readings.each_ref().map(|tracks| Incident { scene, plan, tracks });
    if let Some(idle) = kind.idle() {
        return Measured { status: kind.not_exercised(idle), back: [None; 2], cells: 0 };
    }
    // The harsh reading feels a fault the soonest. The kind one feels it the latest, or never, and then it may have been
    // felt wherever the harsh one does.
    let soonest = kind.felt().and(harsh.felt());
    let latest = kind.felt().or_else(|| harsh.felt_last());
    let courses = [kind.course(soonest), harsh.course(latest)];
    let (best, mut status) = (kind.status(courses[0]), harsh.status(courses[1]));
    if let Some(bucket) = in_bucket(tracks).filter(|_| best != status) {
        let is_same = best.outcome == status.outcome;
        add(&mut status.message, &beside(best.message.as_deref(), is_same, &bucket));
        if !is_same {
            status = RecoveryStatus { outcome: Outcome::NoData, recover_milliseconds: None, ..status };
        }
    }
    let cells = kind.cells(courses[0]).max(harsh.cells(courses[1]));
    Measured { status, back: courses.map(Course::back), cells }
}

/// In so many cells it is decided whether the system was back in time.
pub(crate) fn deciding_cells(scene: &Scene<'_>, plan: &RecoveryPlan) -> usize {
    let within = plan.within.as_ref().map_or(Duration::ZERO, |within| within.time);
    scene.cells(within) + hold(scene, plan)
}

fn hold(scene: &Scene<'_>, plan: &RecoveryPlan) -> usize {
    scene.cells(plan.hold.max(SHORTEST_HOLD))
}

/// What came of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    NoEffect,
    /// From this cell on.
    Back(usize),
    NotBack,
}

impl Course {
    fn back(self) -> Option<usize> {
        match self {
            Self::NoEffect => Some(0),
            Self::Back(cell) => Some(cell),
            Self::NotBack => None,
        }
    }
}

/// A fault by one reading of its tracks.
#[derive(Clone, Copy, Debug)]
struct Incident<'a> {
    scene: Scene<'a>,
    plan: &'a RecoveryPlan,
    tracks: &'a [Track],
}

impl Incident<'_> {
    /// An objective that had no request before the fault.
    fn idle(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.usual().is_some_and(|usual| usual.cell == 0.0))
    }

    fn left(&self) -> usize {
        self.tracks.iter().map(|t| t.after.len()).min().unwrap_or(0)
    }

    fn hold(&self) -> usize {
        hold(&self.scene, self.plan)
    }

    /// While pods are missing the fault may be felt yet.
    fn felt_until(&self) -> usize {
        let last = self.left().saturating_sub(self.hold());
        self.scene.ready.unwrap_or(last).min(last)
    }

    fn felt(&self) -> Option<usize> {
        (0..=self.felt_until()).find(|at| !self.is_good(*at, self.hold()))
    }

    fn felt_last(&self) -> Option<usize> {
        (0..=self.felt_until()).rfind(|at| !self.is_good(*at, self.hold()))
    }

    /// What came of a fault that was felt from a cell on, if at all.
    fn course(&self, felt: Option<usize>) -> Course {
        let Some(last) = self.left().checked_sub(self.hold()) else { return Course::NotBack };
        let Some(felt) = felt else { return Course::NoEffect };
        (felt..=last).find(|at| self.is_good(*at, self.hold())).map_or(Course::NotBack, Course::Back)
    }

    /// On how many cells that stands.
    fn cells(&self, course: Course) -> usize {
        match course {
            Course::NoEffect => self.felt_until() + self.hold(),
            Course::Back(cell) => cell + self.hold(),
            Course::NotBack => self.left(),
        }
    }

    fn status(&self, course: Course) -> RecoveryStatus {
        match course {
            Course::NoEffect => self.no_effect(),
            Course::Back(cell) => self.back(cell),
            Course::NotBack => self.not_back(),
        }
    }

    fn not_exercised(&self, idle: &Track) -> RecoveryStatus {
        let message = format!(
            "{} had no request in the {} before the fault, so nothing shows what it broke: send some, or name another \
             objective",
            idle.objective,
            human(self.scene.time(idle.before.len()))
        );
        self.said(Outcome::NoData, FaultEffect::NotExercised, message)
    }

    fn no_effect(&self) -> RecoveryStatus {
        let finest = self.scene.resolution();
        // What comes later is none of its harm.
        let recovered_at = Some(MicroTime(self.scene.injected));
        if let Some(within) = self.plan.within.as_ref().filter(|within| finest > within.time) {
            let text = &within.text;
            let message =
                format!("limit {text} is finer than can be measured here ({}): raise within", human(finest));
            let open = self.said(Outcome::NoData, FaultEffect::NoEffect, message);
            return RecoveryStatus { recovered_at, ..open };
        }
        let message = format!(
            "no effect: {} never left the limits (a dip shorter than {} would not show){}",
            self.plan.of.join(", "),
            human(finest),
            self.limit()
        );
        RecoveryStatus {
            recover_milliseconds: Some(millis(finest)),
            recovered_at,
            ..self.said(Outcome::Met, FaultEffect::NoEffect, message)
        }
    }

    fn back(&self, cell: usize) -> RecoveryStatus {
        let upper = self.scene.time(cell);
        let met = self.plan.within.as_ref().is_none_or(|within| upper <= within.time);
        let message = format!(
            "back {} after the fault, measured to {}{}",
            human(upper),
            human(self.scene.resolution()),
            self.limit()
        );
        let outcome = if met { Outcome::Met } else { Outcome::Missed };
        RecoveryStatus {
            recover_milliseconds: Some(millis(upper)),
            recovered_at: self.scene.injected.checked_add(upper).ok().map(MicroTime),
            ..self.said(outcome, FaultEffect::Recovered, message)
        }
    }

    /// No stretch was good for as long as it must.
    fn not_back(&self) -> RecoveryStatus {
        let (left, hold) = (self.left(), self.hold());
        if left == 0 {
            let message = "the load ended with the fault: lengthen the load".to_owned();
            return self.said(Outcome::NoData, FaultEffect::Unmeasured, message);
        }
        // Good from some cell to the end of the load, but not for long enough.
        let within = self.plan.within.as_ref();
        let in_time = |cell: usize| within.is_none_or(|within| self.scene.time(cell) <= within.time);
        let tail = (left.saturating_sub(hold)..left)
            .find(|at| self.is_good(*at, left - at))
            .filter(|at| left - at > 1 && in_time(*at));
        if let Some(cell) = tail {
            let message = format!(
                "within its limits {} after the fault, but the load ended {} later, before the {} for which it must \
                 hold: lengthen the load or shorten hold",
                human(self.scene.time(cell)),
                human(self.scene.time(left - cell)),
                human(self.scene.time(hold))
            );
            return self.said(Outcome::NoData, FaultEffect::Unmeasured, message);
        }
        let seen = self.scene.time(left);
        let blame = self.blame(left, hold);
        let message = format!("> {} ({}): {blame}{}", human(seen), self.scene.end, self.limit());
        match within {
            Some(within) if seen < within.time => {
                let message = format!("{message}, and {} had not passed yet: lengthen the load", within.text);
                self.said(Outcome::NoData, FaultEffect::NotBack, message)
            }
            Some(_) => self.said(Outcome::Missed, FaultEffect::NotBack, message),
            None => self.said(Outcome::NoData, FaultEffect::NotBack, message),
        }
    }

    fn said(&self, outcome: Outcome, effect: FaultEffect, message: String) -> RecoveryStatus {
        RecoveryStatus {
            outcome,
            effect,
            resolution_milliseconds: Some(millis(self.scene.resolution())),
            within: self.plan.within.as_ref().map(|within| within.text.clone()),
            message: Some(message + &self.scene.still_felt()),
            ..RecoveryStatus::default()
        }
    }

    /// `, limit 10s`, where there is one.
    fn limit(&self) -> String {
        self.plan.within.as_ref().map(|within| format!(", limit {}", within.text)).unwrap_or_default()
    }

    fn is_good(&self, from: usize, length: usize) -> bool {
        self.tracks.iter().all(|track| self.objection(track, from, length).is_none())
    }

    /// The usual requests are compared where they can be expected up to the end of the stretch.
    fn objection(&self, track: &Track, from: usize, length: usize) -> Option<Why> {
        let is_flat = self.scene.flat_cells.is_none_or(|flat| from + length <= flat);
        track.objection(from, length, track.usual().filter(|_| is_flat))
    }

    /// What was wrong last.
    fn blame(&self, left: usize, hold: usize) -> String {
        let from = left.saturating_sub(hold);
        let why =
            self.tracks.iter().find_map(|t| Some((&t.objective, self.objection(t, from, left - from)?)));
        match why {
            Some((name, Why::Silent)) => format!("no requests of {name}"),
            Some((name, Why::Slow)) => format!("{name} had fewer requests than 90% of before the fault"),
            Some((name, Why::Outside)) => format!("{name} was not back within its limit"),
            None => "the objectives did not hold for long enough".to_owned(),
        }
    }
}

/// A recovery of which nothing was measured, and why.
#[must_use]
pub fn without(plan: Option<&RecoveryPlan>, why: &str) -> RecoveryStatus {
    let within = plan.and_then(|plan| plan.within.as_ref());
    RecoveryStatus {
        outcome: if within.is_some() { Outcome::NoData } else { Outcome::Met },
        within: within.map(|within| within.text.clone()),
        message: Some(why.to_owned()),
        ..RecoveryStatus::default()
    }
}

/// Adds what the watch of the pods and of their Services tells.
pub fn add_ready(recovery: &mut RecoveryStatus, fault: &FaultStatus) {
    recovery.ready_milliseconds = ready(fault);
    let by = if fault.services.is_empty() { ReadyBy::Pods } else { ReadyBy::Endpoints };
    recovery.ready_by = fault.injected_at.as_ref().map(|_| by);
}

/// Until as many pods as before were ready and served.
#[must_use]
pub fn ready(fault: &FaultStatus) -> Option<i64> {
    let injected = fault.injected()?;
    let replaced = fault.replaced()?;
    i64::try_from(replaced.duration_since(injected).as_millis()).ok()
}

#[cfg(test)]
mod tests;
