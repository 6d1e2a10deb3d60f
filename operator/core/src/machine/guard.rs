//! Guardrails while the load runs: watched, recorded, and the end of the load when one is breached.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{GuardrailStatus, Outcome, Phase};

use crate::{
    machine::{
        pass::Pass,
        world::{Effect, WatchedQuery, World},
    },
    numbers::limit::count,
    plan::{self, Plan},
};

/// Fewer answers say nothing of a runner.
const FEWEST_ANSWERS: i64 = 10;
/// A status must stay small.
const MOST_STARVED: usize = 10;

/// True when the load must end: which guardrail it was is then in the status, and so recorded before anything is
/// done about it.
pub fn stops(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    let guardrails = plan::guardrails_of(plan, &pass.status);
    if guardrails.is_empty() {
        return false;
    }
    let queries =
        guardrails.iter().map(|g| WatchedQuery { guardrail: g.name.clone(), query: g.query.clone() });
    pass.effect(Effect::Watch { queries: queries.collect() });
    let now = world.facts.watches.statuses(&guardrails, &pass.status.guardrails);
    // Not a write for every value: with the figures so far, or when an outcome changes.
    let live = world.facts.live.map(|live| live.requests);
    let due = pass.status.load.as_ref().and_then(|load| load.requests) != live && live.is_some();
    let outcomes = |all: &[GuardrailStatus]| -> Vec<(Outcome, bool)> {
        all.iter().map(|g| (g.outcome, g.breached_at.is_some())).collect()
    };
    if due || outcomes(&now) != outcomes(&pass.status.guardrails) {
        pass.status.guardrails = now;
    }
    let Some(stopper) = pass.status.stopper() else { return false };
    pass.status.message = Some(format!("guardrail {} stops the load", stopper.name));
    pass.status.phase = Phase::Evaluating;
    true
}

/// The load has ended: what is known of guardrails and runners by now goes into the status.
pub fn close(pass: &mut Pass, plan: &Plan, world: &World) {
    let guardrails = plan::guardrails_of(plan, &pass.status);
    pass.status.guardrails = world.facts.watches.statuses(&guardrails, &pass.status.guardrails);
    note_starved(pass, world);
}

/// True when nothing has to be stopped any more. A load that has been stopped stays so: it can be repeated.
pub fn stop_load(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    if pass.status.stopper().is_none() {
        return true;
    }
    if world.facts.load_stopped.is_none() {
        pass.effect(Effect::StopLoad { runners: plan.runners().collect() });
        return false;
    }
    let load = pass.status.load.get_or_insert_default();
    load.ended_at.get_or_insert(MicroTime(world.now));
    note_starved(pass, world);
    true
}

/// A runner whose answers mostly come late is short of CPU: what it measures is the time that it waits itself.
fn note_starved(pass: &mut Pass, world: &World) {
    let Some(runners) = &mut pass.status.runners else { return };
    let starved =
        world.facts.promptness.iter().filter(|(_, p)| p.answers >= FEWEST_ANSWERS && p.late * 2 > p.answers);
    let told = starved.map(|(id, p)| {
        format!("{id}: {} of {} answers of k6 itself came late", count(p.late), count(p.answers))
    });
    runners.starved = told.take(MOST_STARVED).collect();
}
