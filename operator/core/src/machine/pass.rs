//! What follows from one look at the world.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{LoadTestStatus, Phase, Verdict};

use crate::{
    machine::{bounds, conditions::set_conditions, world::Effect},
    plan::Plan,
    verdict::display,
};

/// A status must stay small.
const MOST_PROBLEMS: usize = 10;

/// What follows from one look at the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// To be recorded before any of the effects.
    pub status: LoadTestStatus,
    pub effects: Vec<Effect>,
    /// Nothing is left of the run that holds the object: its finalizer goes, after the effects.
    pub releases: bool,
    /// When to look again if nothing happens before.
    pub wake: Option<Timestamp>,
}

impl Pass {
    pub(crate) fn from(status: LoadTestStatus) -> Self {
        Self { status, effects: Vec::new(), releases: false, wake: None }
    }

    /// What follows from the rest of the status, once that fits.
    pub(crate) fn complete(&mut self, plan: &Plan, now: Timestamp) {
        bounds::fit(&mut self.status);
        self.status.display = Some(display::display(&self.status, &plan.judged(&self.status)));
        set_conditions(&mut self.status, now);
    }

    /// Decides the verdict before there is anything to evaluate; the load is ended next.
    pub(crate) fn end(&mut self, verdict: Verdict, reason: &str, message: String, now: Timestamp) {
        self.status.verdict = Some(verdict);
        self.status.reason = Some(reason.to_owned());
        self.status.message = Some(message);
        self.status.phase = Phase::Evaluating;
        if self.status.load_started().is_some() {
            self.status.load.get_or_insert_default().ended_at.get_or_insert(MicroTime(now));
        }
    }

    pub(crate) fn fail(&mut self, reason: &str, message: String, now: Timestamp) {
        self.end(Verdict::Error, reason, message, now);
    }

    /// Runners that are lost, in words; as many as were known before are not fewer.
    pub(crate) fn note_lost(&mut self, mut lost: Vec<String>) {
        let runners = self.status.runners.get_or_insert_default();
        let count = i32::try_from(lost.len()).unwrap_or(i32::MAX);
        if count > runners.lost {
            lost.truncate(MOST_PROBLEMS);
            (runners.lost, runners.problems) = (count, lost);
        }
    }

    pub(crate) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
