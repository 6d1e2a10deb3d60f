//! Evaluating, Finished and deletion: runners released, logs kept, figures judged, pods gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{LoadTestStatus, Phase, StepState};

use crate::{
    machine::{
        fault, guard,
        pass::Pass,
        pods::PodState,
        watch,
        world::{Effect, LogSummary, World},
    },
    numbers::duration,
    plan::{
        Plan,
        names::{Role, RunnerId},
    },
    record::{self, Draft},
    verdict::{self, ground},
};

/// A status must stay small.
const MOST_UNREAD: usize = 10;

/// The kubelet ends a runner that is released within its grace period of 20 s. One that seems to run for so long is on
/// a node that is lost.
const RELEASED: Duration = Duration::from_secs(120);

/// After so many processes that ended while they judged a run, none judges it any more.
const MOST_JUDGING: usize = 2;

/// A pod that is there so long after its grace period is not waited for.
const LEFT_BEHIND: Duration = Duration::from_secs(120);

const UNKNOWN_TEARDOWN: &str =
    "teardown() was begun, but the operator restarted before its end was known; it is not run twice";

/// One look at a run whose load has ended or is being ended.
pub fn evaluate(pass: &mut Pass, plan: &Plan, world: &World) {
    let closed = fault::close(pass, plan, world);
    if creating(world) {
        return;
    }
    let decided = pass.status.verdict.is_some();
    let stopped = decided || guard::stop_load(pass, plan, world);
    if !stopped {
        return;
    }
    // A runner that does not answer is ended with its pod, and the others with it.
    let answering = world.facts.load_stopped.as_ref().is_none_or(Vec::is_empty);
    let watched = watch::close(pass, plan, world);
    // Each step waits for the one before it.
    let over = (decided || !answering || tear_down(pass, plan, world) && count_requests(pass, plan, world))
        && release(pass, world)
        && keep_logs(pass, world)
        // What happens to the load does not wait for a fault's answer; what is said of it does.
        && closed
        && (decided || watched && judge(pass, plan, world));
    if over {
        pass.status.phase = Phase::Finished;
        pass.status.finished_at = Some(MicroTime(world.now));
    }
}

/// The run is over, or its object is being deleted: what is left of it goes.
pub fn clean_up(pass: &mut Pass, world: &World) {
    if creating(world) {
        return;
    }
    pass.effect(Effect::DeletePods);
    match &world.facts.pods_deleted {
        None => return,
        // They go with the object, whose owner references the API server follows with rights of its own; until then their
        // deadline ends them.
        Some(Err(_)) => {
            pass.releases = true;
            return;
        }
        Some(Ok(())) => {}
    }
    // Only a kubelet can say that a pod is gone; one whose node is lost would hold the object for ever.
    let leave_by: Option<Vec<Timestamp>> = world.pods.values().map(|pod| pod.leaves_by).collect();
    let Some(leave_by) = leave_by else { return };
    match leave_by.into_iter().max().map(|last| last + LEFT_BEHIND) {
        Some(at) if world.now < at => pass.wake_at(at),
        _ => pass.releases = true,
    }
}

/// Pods that are still being created would outlive a deletion of those that are there.
fn creating(world: &World) -> bool {
    world.facts.has_dispatched(&Effect::Create) && world.facts.created.is_none()
}

/// True when teardown() has run, or cannot run any more, for every scenario.
fn tear_down(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    let mut done = true;
    for scenario in &plan.scenarios {
        let name = &scenario.spec.name;
        let first = RunnerId { scenario: name.clone(), index: 0 };
        let effect = Effect::Teardown { scenario: name.clone(), runner: first.clone() };
        let alive = matches!(
            world.pods.get(&plan.names.runner_pod(&first)).map(|p| &p.state),
            Some(PodState::Running { .. })
        );
        let recorded = pass.status.resume.teardown.entry(name.clone()).or_default();
        let failed = match (*recorded, world.facts.teardown.get(name)) {
            (StepState::Done | StepState::Failed, _) => continue,
            (StepState::Pending, _) if !alive => format!("teardown() was not run: runner {first} is gone"),
            (StepState::Pending, _) => {
                *recorded = StepState::Intended;
                done = false;
                pass.effect(effect);
                continue;
            }
            (StepState::Intended, Some(Ok(()))) => {
                *recorded = StepState::Done;
                continue;
            }
            (StepState::Intended, Some(Err(why))) => format!("teardown() failed: {why}"),
            (StepState::Intended, None) if world.facts.has_dispatched(&effect) => {
                done = false;
                continue;
            }
            (StepState::Intended, None) => UNKNOWN_TEARDOWN.to_owned(),
        };
        *recorded = StepState::Failed;
        if let Some(scenario) = pass.status.scenarios.iter_mut().find(|s| s.name == *name) {
            scenario.teardown_message = Some(failed);
        }
    }
    done
}

/// While the runners linger, their own count is there for comparison. True when there is nothing to count
/// any more.
fn count_requests(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    let lingering =
        world.pods.values().any(|p| p.role == Role::Runner && matches!(p.state, PodState::Running { .. }));
    match world.facts.k6_requests {
        Some(count) => {
            pass.status.load.get_or_insert_default().k6_requests = count;
            true
        }
        None if !lingering => true,
        None => {
            pass.effect(Effect::CountRequests { runners: plan.runners().collect() });
            false
        }
    }
}

/// True when no container of the run is left running, or those that are do not end.
fn release(pass: &mut Pass, world: &World) -> bool {
    let alive: Vec<RunnerId> = world
        .pods
        .values()
        .filter(|pod| !matches!(pod.state, PodState::Ended { .. }))
        .filter_map(|pod| pod.runner.clone())
        .collect();
    let waiting =
        world.pods.values().any(|p| p.role == Role::Runner && matches!(p.state, PodState::Waiting { .. }));
    if alive.is_empty() {
        return true;
    }
    if waiting && pass.status.load_started().is_none() {
        // Pods that never ran have no logs worth waiting for.
        pass.effect(Effect::DeletePods);
        return world.facts.pods_deleted.is_some();
    }
    let release = Effect::Release { runners: alive.clone() };
    let released_at = &mut pass.status.resume.released_at;
    if !world.facts.has_dispatched(&release) {
        // An earlier process may have died before it told them.
        *released_at = Some(MicroTime(world.now));
    }
    let until = released_at.get_or_insert(MicroTime(world.now)).0 + RELEASED;
    let unreleased = &world.facts.unreleased;
    if world.now >= until || alive.iter().all(|id| unreleased.contains_key(id)) {
        note_unreleased(pass, &alive, unreleased);
        return true;
    }
    pass.wake_at(until);
    pass.effect(release);
    false
}

/// What such a runner still held of its figures is not known, and its log cannot be read: it counts as lost.
fn note_unreleased(pass: &mut Pass, alive: &[RunnerId], refused: &BTreeMap<RunnerId, String>) {
    let within = duration::human(RELEASED);
    let problems = alive.iter().map(|id| match refused.get(id) {
        Some(why) => format!("{id}: its pod could not be told to end: {why}"),
        None => format!("{id}: its pod did not end within {within} of being told to"),
    });
    pass.note_lost(problems.collect());
    if let Some(runners) = &mut pass.status.runners {
        runners.ended = runners.ended.min(runners.total - runners.lost);
    }
}

fn keep_logs(pass: &mut Pass, world: &World) -> bool {
    let ran =
        world.pods.values().any(|p| p.role == Role::Runner && matches!(p.state, PodState::Ended { .. }));
    let started = pass.status.load_started().is_some();
    match &world.facts.logs {
        Some(logs) => {
            let unread = unread(logs, &pass.status);
            if let Some(load) = &mut pass.status.load {
                // None in the logs that were read is not none.
                let known = logs.unread.is_empty() || logs.script_errors > 0;
                load.script_errors = known.then_some(logs.script_errors);
                if started {
                    load.unread_logs = unread;
                }
            }
            true
        }
        // Pods that are gone by now had logs too.
        None if !ran && !started => true,
        None => {
            pass.effect(Effect::KeepLogs);
            false
        }
    }
}

/// Whose log was not read. That of a lost runner is as good as gone, and it is told as lost.
fn unread(logs: &LogSummary, status: &LoadTestStatus) -> Vec<String> {
    let problems = status.runners.iter().flat_map(|runners| &runners.problems);
    let lost: BTreeSet<&str> =
        problems.filter_map(|problem| problem.split_once(": ").map(|(id, _)| id)).collect();
    let unread = logs.unread.iter().filter(|(id, _)| !lost.contains(id.to_string().as_str()));
    let mut all: Vec<String> = unread.map(|(id, why)| format!("{id}: {why}")).collect();
    if all.len() > MOST_UNREAD {
        let more = all.len() - MOST_UNREAD + 1;
        all.truncate(MOST_UNREAD - 1);
        all.push(format!("and {more} more"));
    }
    all
}

/// Has the figures judged, unless that has ended the operator too often: it would for ever. Who judges them is recorded
/// before.
fn get_figures(pass: &mut Pass, world: &World) {
    let own = |process: &String| process == world.process;
    let judged_by = &mut pass.status.resume.judged_by;
    let begun = judged_by.len();
    if !judged_by.iter().any(own) {
        if begun >= MOST_JUDGING {
            let message = format!(
                "the operator ended {begun} times while it judged this run, so it is not judged: see whether its container was \
                 OOMKilled; aggregate the objectives' queries, as in sum(…), or give the operator more memory"
            );
            return pass.fail("NotJudged", message, world.now);
        }
        if world.facts.settled.is_some() {
            judged_by.push(world.process.to_owned());
        }
    }
    pass.status.message = Some("waiting for the figures to settle".to_owned());
    pass.effect(Effect::Settle { again: begun > 0 });
    if world.facts.settled.is_some() {
        pass.effect(Effect::Evaluate);
        pass.effect(Effect::FetchHistory);
    }
}

/// True when the verdict is decided.
fn judge(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    let (Some(judgement), Some(history)) = (&world.facts.judgement, &world.facts.history) else {
        get_figures(pass, world);
        return false;
    };
    if world.facts.record.is_none() && world.facts.dispatched.contains(Effect::KEEP_RECORD) {
        return false;
    }
    // As a reader of the record will see it.
    let before = record::as_written(&pass.status);
    let runners = before.runners.clone().unwrap_or_default();
    let logs = world.facts.logs.as_ref();
    let facts = ground::Facts {
        planned: before.planned_length(),
        interrupted_runners: usize::try_from(runners.interrupted).unwrap_or(0),
        failed_runners: usize::try_from(runners.failed).unwrap_or(0),
        marked_failed: logs.and_then(|l| l.marked_failed.clone()),
        not_settled: world.facts.settled.clone().and_then(Result::err),
        matched: world.facts.matched.clone(),
        history: history.clone(),
    };
    let mut judged = verdict::conclude(plan, &before, judgement, &facts);
    judged.finished_at = Some(MicroTime(world.now));
    judged.report = Some(plan.names.record_config_map());
    match (&world.facts.record, &world.facts.evidence) {
        (None, Some(evidence)) => {
            let draft = Draft { status: before, facts, evidence: evidence.clone(), judged };
            pass.effect(Effect::KeepRecord(Arc::new(draft)));
            return false;
        }
        (Some(Ok(())), _) => {}
        // Not worth a run: only that it can be judged again is lost.
        (Some(Err(why)), _) => {
            judged.report = None;
            judged.grounds.push(format!("the record of the run could not be kept: {why}"));
        }
        (None, None) => judged.report = None,
    }
    pass.status = judged;
    true
}
