//! Running: faults at their times, runners followed to their end.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::Phase;

use crate::{
    k6::ExecutionStatus,
    machine::{
        fault, guard,
        pass::Pass,
        pods::PodState,
        prepare::OVERRUN,
        watch,
        world::{Effect, World},
    },
    numbers::duration,
    plan::{Plan, names::RunnerId},
};

/// The kubelet ends an overrun within seconds. A pod that runs on for so long after that is on a node that is lost.
const UNHEARD: Duration = Duration::from_secs(60);

/// How a runner stands while the load runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerFate {
    Running,
    /// Through, or interrupted from inside.
    Ended(ExecutionStatus),
    /// Gone before it was through.
    Lost {
        why: String,
    },
}

/// One look at a run whose load is on.
pub fn run(pass: &mut Pass, plan: &Plan, world: &World) {
    pass.effect(Effect::Follow { runners: plan.runners().collect() });
    watch::begin(pass, plan);
    lower_deadline(pass);

    if guard::stops(pass, plan, world) {
        return;
    }
    let planned_end = pass.status.load_planned_end();
    let silent_at = planned_end.map(|end| end + OVERRUN + UNHEARD);
    let fates: Vec<(RunnerId, RunnerFate)> =
        plan.runners().map(|id| (id.clone(), fate(plan, world, &id, silent_at))).collect();
    let running = fates.iter().filter(|(_, fate)| *fate == RunnerFate::Running).count();
    let lost = fates.iter().filter_map(|(id, fate)| match fate {
        RunnerFate::Lost { why } => Some(format!("{id}: {why}")),
        _ => None,
    });
    pass.note_lost(lost.collect());
    if running == 0
        && let Some(runners) = &mut pass.status.runners
    {
        runners.ended = runners.total - runners.lost;
        // Judged from here: who takes the run up later cannot ask k6 any more.
        let count = |is: fn(ExecutionStatus) -> bool| {
            let so = fates.iter().filter(|(_, fate)| matches!(fate, RunnerFate::Ended(end) if is(*end)));
            i32::try_from(so.count()).unwrap_or(i32::MAX)
        };
        runners.interrupted = count(ExecutionStatus::was_interrupted);
        runners.failed = count(|end| end == ExecutionStatus::MARKED_AS_FAILED);
    }
    if let (Some(live), Some(load)) = (world.facts.live, &mut pass.status.load) {
        load.requests = Some(live.requests);
        load.failed_requests = Some(live.failed);
        load.request_names = load.request_names.max(live.request_names);
        load.p95_milliseconds = live.p95_milliseconds.or(load.p95_milliseconds);
    }
    if running == 0 {
        guard::close(pass, plan, world);
        let load = pass.status.load.get_or_insert_default();
        load.ended_at.get_or_insert(MicroTime(world.now));
        pass.status.phase = Phase::Evaluating;
        pass.status.message = Some("load ended, letting the runners finish".to_owned());
        return;
    }
    if let Some(at) = silent_at {
        pass.wake_at(at);
    }
    // After all that ends a load: a pass that records its end intends none, which would then be listed with its pods.
    for index in 0..plan.faults.len() {
        fault::advance(pass, index, plan, world);
    }
}

/// From the pods' ceiling to the length of the load. By each process that takes the run up: the one before may have
/// died before it did.
fn lower_deadline(pass: &mut Pass) {
    let created = pass.status.runners.as_ref().and_then(|r| r.created_at.as_ref());
    let (Some(created), Some(planned_end)) = (created, pass.status.load_planned_end()) else { return };
    let length = planned_end.as_second() - created.0.as_second();
    let seconds = length.saturating_add_unsigned(OVERRUN.as_secs()).max(1);
    pass.effect(Effect::LowerDeadline { seconds });
}

/// What became of one runner, from its REST API and its pod. From `silent_at` on, one that still seems to run does not
/// answer.
fn fate(plan: &Plan, world: &World, id: &RunnerId, silent_at: Option<Timestamp>) -> RunnerFate {
    if let Some(k6) = world.facts.k6.get(id)
        && k6.status.has_ended()
    {
        return RunnerFate::Ended(k6.status);
    }
    match world.pods.get(&plan.names.runner_pod(id)).map(|pod| &pod.state) {
        None => RunnerFate::Lost { why: "its pod is gone".to_owned() },
        Some(PodState::Ended { exit_code, reason }) => {
            let code = exit_code.map(|c| format!(" with exit code {c}")).unwrap_or_default();
            RunnerFate::Lost { why: format!("its container ended{code} ({reason})") }
        }
        Some(_) if silent_at.is_some_and(|at| world.now >= at) => {
            let after = duration::human(OVERRUN + UNHEARD);
            RunnerFate::Lost { why: format!("does not answer, {after} after the load was to end") }
        }
        Some(_) => RunnerFate::Running,
    }
}
