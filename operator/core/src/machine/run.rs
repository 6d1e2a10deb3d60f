//! Running: faults at their times, runners followed to their end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::Phase;

use super::{Effect, Pass, PodState, World, fault, guard, watch};
use crate::{names::RunnerId, plan::Plan};

/// How a runner stands while the load runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerFate {
    Running,
    /// Through, or interrupted from inside (`test.abort()`, `exec.test.fail()`).
    Ended {
        interrupted: bool,
    },
    /// Gone before it was through.
    Lost {
        why: String,
    },
}

/// One look at a run whose load is on.
pub fn run(pass: &mut Pass, plan: &Plan, world: &World) {
    pass.effect(Effect::Follow { runners: plan.runners().collect() });
    watch::begin(pass, plan);

    if guard::stops(pass, plan, world) {
        return;
    }
    let fates: Vec<(RunnerId, RunnerFate)> =
        plan.runners().map(|id| (id.clone(), fate(plan, world, &id))).collect();
    let running = fates.iter().filter(|(_, fate)| *fate == RunnerFate::Running).count();
    if let Some(runners) = &mut pass.status.runners {
        let lost: Vec<String> = fates
            .iter()
            .filter_map(|(id, fate)| match fate {
                RunnerFate::Lost { why } => Some(format!("{id}: {why}")),
                _ => None,
            })
            .collect();
        if i32::try_from(lost.len()).unwrap_or(i32::MAX) > runners.lost {
            runners.lost = i32::try_from(lost.len()).unwrap_or(i32::MAX);
            runners.problems = lost.into_iter().take(10).collect();
        }
        if running == 0 {
            runners.ended = runners.total - runners.lost;
            // Judged from here: who takes the run up later cannot ask k6 any more.
            let interrupted = |(_, fate): &&(_, _)| *fate == RunnerFate::Ended { interrupted: true };
            runners.interrupted = i32::try_from(fates.iter().filter(interrupted).count()).unwrap_or(i32::MAX);
        }
    }
    if let (Some(live), Some(load)) = (world.facts.live, &mut pass.status.load) {
        load.requests = Some(live.requests);
        load.failed_requests = Some(live.failed);
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
    // After all that ends a load: no fault is sent by a pass that records its end.
    for index in 0..plan.faults.len() {
        fault::advance(pass, index, plan, world);
    }
}

/// What became of one runner, from its REST API and its pod.
pub fn fate(plan: &Plan, world: &World, id: &RunnerId) -> RunnerFate {
    if let Some(k6) = world.facts.k6.get(id)
        && k6.status.has_ended()
    {
        return RunnerFate::Ended { interrupted: k6.status > crate::k6::ExecutionStatus::ENDED };
    }
    match world.pods.get(&plan.names.runner_pod(id)).map(|pod| &pod.state) {
        None => RunnerFate::Lost { why: "its pod is gone".to_owned() },
        Some(PodState::Ended { exit_code, reason }) => {
            let code = exit_code.map(|c| format!(" with exit code {c}")).unwrap_or_default();
            RunnerFate::Lost { why: format!("its container ended{code} ({reason})") }
        }
        Some(_) => RunnerFate::Running,
    }
}
