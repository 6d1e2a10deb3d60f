//! The course of a run as a pure function: [`decide`] takes the plan, the recorded status and what was
//! observed, and returns the next status and the effects that may follow once it is recorded.
//!
//! ```text
//! Pending ──► Preparing ──► Running ──► Evaluating ──► Finished
//!                 │             │            ▲
//!                 └─ problem ───┴─ stop ─────┘  (with the verdict already decided)
//! ```
//!
//! One file per phase: [`prepare`], [`run`] with [`fault`], [`replacement`] and [`watch`], [`finish`]; and
//! [`unrecorded`] for what is done when nothing can be recorded. The rule of all of them: whatever
//! may happen only once is first written into the status as intended; an effect without such a record
//! can be repeated without harm. What a process has handed out itself is in [`world::Facts::dispatched`], so that
//! an intent found without it is known to be that of an earlier process.

pub mod behind;
pub mod bounds;
pub mod claim;
mod conditions;
pub mod fact;
pub mod fault;
mod finish;
pub mod guard;
pub mod pass;
pub mod pick;
pub mod pods;
mod prepare;
mod replacement;
mod run;
pub mod serving;
#[cfg(test)]
mod tests;
pub mod unrecorded;
mod watch;
pub mod world;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{LoadTestStatus, Phase, Verdict};

use crate::{
    machine::{
        conditions::set_conditions,
        pass::Pass,
        world::{Effect, World},
    },
    plan::Plan,
};

/// Decides what to do next.
#[must_use]
pub fn decide(plan: &Plan, status: &LoadTestStatus, world: &mut World) -> Pass {
    world.facts.watches.read(plan, status);
    note_pods(world);
    let world = &*world;
    let mut pass = Pass::from(status.clone());
    if world.deleting {
        finish::clean_up(&mut pass, world);
        return pass;
    }
    if world.stop && status.phase < Phase::Evaluating {
        pass.end(Verdict::Aborted, "Stopped", "stopped by spec.stop before the end".to_owned(), world.now);
    }
    match pass.status.phase {
        Phase::Pending => prepare::accept(&mut pass, plan, world),
        Phase::Preparing => prepare::prepare(&mut pass, plan, world),
        Phase::Running => run::run(&mut pass, plan, world),
        Phase::Evaluating | Phase::Finished => {}
    }
    watch::record(&mut pass, status, plan, world);
    // A run that has just been ended goes on to its clean-up in the same pass.
    match pass.status.phase {
        Phase::Evaluating => finish::evaluate(&mut pass, plan, world),
        Phase::Finished => finish::clean_up(&mut pass, world),
        _ => {}
    }
    pass.complete(plan, world.now);
    if pass.status != *status {
        // The write may take long, and then it is too late for it: decided again once it is written.
        pass.effects.retain(|effect| !matches!(effect, Effect::Kill { .. }));
        pass.wake_at(world.now);
    }
    pass
}

/// Remembers which pods were there, so that one that is gone is not taken for one to come.
fn note_pods(world: &mut World) {
    for name in world.pods.keys() {
        if !world.facts.seen_pods.contains(name) {
            world.facts.seen_pods.insert(name.clone());
        }
    }
}

/// A run whose spec cannot be carried out at all: nothing was started, so nothing needs to end.
#[must_use]
pub fn refuse(
    status: &LoadTestStatus,
    generation: Option<i64>,
    message: String,
    now: Timestamp,
) -> LoadTestStatus {
    let mut status = status.clone();
    status.observed_generation = generation;
    status.accepted_at.get_or_insert(MicroTime(now));
    status.finished_at = Some(MicroTime(now));
    status.phase = Phase::Finished;
    status.verdict = Some(Verdict::Error);
    status.reason = Some("InvalidSpec".to_owned());
    status.message = Some(message);
    bounds::fit(&mut status);
    set_conditions(&mut status, now);
    status
}
