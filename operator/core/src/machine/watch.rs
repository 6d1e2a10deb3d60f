//! The system under test, watched from the start of the load to its end.
//!
//! Watching can be repeated without harm; what it has seen is in the facts. It is written down when something
//! happened, and otherwise with what is written anyway, or every [`QUIET`]: a write for each pod that gets ready
//! would cost more than it tells.

use jiff::SignedDuration;
use loadtest_crds::{LoadTestStatus, Phase, WatchedStatus};

use crate::{
    machine::{
        pass::Pass,
        world::{Effect, World},
    },
    plan::Plan,
    watch::system::record::{self, Span},
};

/// Changes in the number of ready pods alone are written down at most so often.
const QUIET: SignedDuration = SignedDuration::from_secs(10);

/// While the load runs.
pub fn begin(pass: &mut Pass, plan: &Plan) {
    if !plan.watched.is_empty() {
        pass.effect(Effect::WatchSystem);
    }
}

/// After the load: one last look. True when there has been one for every part.
pub fn close(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    let started = pass.status.load_started().is_some();
    let closed = |name: &String| world.facts.system.get(name).is_some_and(|course| course.is_closed());
    if !started || plan.watched.iter().all(|part| closed(&part.name)) {
        return true;
    }
    pass.effect(Effect::LookAtSystem);
    false
}

/// Writes down what was seen.
pub fn record(pass: &mut Pass, before: &LoadTestStatus, plan: &Plan, world: &World) {
    let Some(started) = pass.status.load_started().filter(|_| pass.status.phase != Phase::Finished) else {
        return;
    };
    let span = Span { started, ended: pass.status.load_ended() };
    let mut parts = pass.status.system.clone();
    for (part, plan) in parts.iter_mut().zip(&plan.watched) {
        let Some(course) = world.facts.system.get(&plan.name) else { continue };
        if let Some(seen) = record::record(plan, course, &pass.status.faults, span, world.now) {
            *part = seen;
        }
    }
    record::drop_repeated(&mut parts, &plan.watched);
    let written_anyway = pass.status != *before || pass.status.phase == Phase::Evaluating;
    let news = parts.iter().zip(&pass.status.system).any(|(new, old)| is_news(new, old, world));
    if written_anyway || news {
        pass.status.system = parts;
    }
}

fn is_news(new: &WatchedStatus, old: &WatchedStatus, world: &World) -> bool {
    if (&new.happenings, new.outcome, &new.scaling) != (&old.happenings, old.outcome, &old.scaling)
        || old.pods.is_none() && new.pods.is_some()
    {
        return true;
    }
    let stale = old.until.as_ref().is_none_or(|until| world.now.duration_since(until.0) >= QUIET);
    stale && WatchedStatus { until: None, ..new.clone() } != WatchedStatus { until: None, ..old.clone() }
}
