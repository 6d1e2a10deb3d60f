//! Pending and Preparing: checks, pods, inspection, barrier, setup(), start.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{
    FaultStatus, LoadTestStatus, Outcome, Phase, RunnersStatus, ScenarioStatus, StepState, WatchedStatus,
};

use crate::{
    evaluate::fit,
    k6::{inspect, log},
    machine::{
        bounds,
        pass::Pass,
        pods::PodState,
        world::{Effect, Problem, RunnerStart, World},
    },
    numbers::{duration, hash::fnv},
    plan::{Plan, fingerprint, names::RunnerId, size},
};

/// How long a stuck load may overrun its plan before the kubelet ends it.
pub const OVERRUN: Duration = Duration::from_secs(300);
/// Thresholds of all scripts together. Each is judged as an objective.
const MOST_THRESHOLDS: usize = 256;

/// Takes a new run up: fixes its seed and its lists, so that later passes only fill them in.
pub fn accept(pass: &mut Pass, plan: &Plan, world: &World) {
    let status = &mut pass.status;
    status.observed_generation = world.generation;
    status.phase = Phase::Preparing;
    status.accepted_at = Some(MicroTime(world.now));
    status.seed = Some(seed(&plan.names.uid));
    status.series = Some(plan.series.clone());
    status.message = Some("checking what can be checked before the start".to_owned());
    let total = plan.runners().count();
    status.runners =
        Some(RunnersStatus { total: i32::try_from(total).unwrap_or(i32::MAX), ..RunnersStatus::default() });
    status.scenarios = plan
        .scenarios
        .iter()
        .map(|s| ScenarioStatus {
            name: s.spec.name.clone(),
            runners: s.spec.parallelism,
            ..ScenarioStatus::default()
        })
        .collect();
    status.faults =
        plan.faults.iter().map(|f| FaultStatus { name: f.name.clone(), ..FaultStatus::default() }).collect();
    status.system = plan
        .watched
        .iter()
        .map(|part| WatchedStatus {
            name: part.name.clone(),
            outcome: Outcome::NoData,
            ..WatchedStatus::default()
        })
        .collect();
    pass.effect(Effect::Preflight);
}

/// A seed that is the run's own, so that an operator that dies before the first record changes nothing.
fn seed(uid: &str) -> i64 {
    i64::try_from(fnv(uid.bytes()) >> 12).unwrap_or_default()
}

/// One look at a run that has not started yet.
pub fn prepare(pass: &mut Pass, plan: &Plan, world: &World) {
    if let Err(Problem { reason, message }) = go_on(pass, plan, world) {
        pass.fail(reason, message, world.now);
    }
}

fn refuse<T>(reason: &'static str, message: String) -> Result<T, Problem> {
    Err(Problem { reason, message })
}

fn go_on(pass: &mut Pass, plan: &Plan, world: &World) -> Result<(), Problem> {
    let Some(problems) = &world.facts.preflight else {
        pass.effect(Effect::Preflight);
        return Ok(());
    };
    if let Some(first) = problems.first() {
        let all = problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join("; ");
        return refuse(first.reason, all);
    }
    pass.status
        .fingerprint
        .get_or_insert_with(|| fingerprint::of_run(&plan.fingerprint, &world.facts.scripts));
    let runners = pass.status.runners.get_or_insert_default();
    let created_at = runners.created_at.get_or_insert(MicroTime(world.now)).0;
    match &world.facts.created {
        None => {
            pass.effect(Effect::Create);
            return Ok(());
        }
        Some(Err(message)) => return refuse("CreateFailed", message.clone()),
        Some(Ok(())) => {}
    }
    let deadline = created_at + plan.start_timeout;
    let inspected = inspect(pass, plan, world, deadline)?;
    let ready = await_barrier(pass, plan, world, deadline, inspected)?;
    if !inspected {
        // An inspection without an answer must not be waited for longer than a runner.
        if world.now >= deadline {
            return unread_inspection(&pass.status, plan, world);
        }
        pass.wake_at(deadline);
    } else if ready && set_up(pass, plan, world)? {
        start(pass, plan, world)?;
    }
    Ok(())
}

/// True when every script was inspected and found fit.
fn inspect(pass: &mut Pass, plan: &Plan, world: &World, deadline: Timestamp) -> Result<bool, Problem> {
    let mut complete = true;
    for scenario in &plan.scenarios {
        let name = &scenario.spec.name;
        if is_inspected(&pass.status, name) {
            continue;
        }
        let pod = inspection(plan, world, name);
        match world.facts.inspections.get(name) {
            None => {
                complete = false;
                await_inspection(pass, plan, world, deadline, name)?;
            }
            Some(Err(log)) => {
                if let Some(how) = pod.and_then(killed) {
                    let message = format!(
                        "the inspection of scenario {name} was killed ({how}), so nothing is known of its script: see the \
                         node's memory and spec.runner.limits"
                    );
                    return refuse("InspectionKilled", message);
                }
                let cause =
                    log::error_in_log(log).unwrap_or_else(|| "k6 inspect failed without a word".to_owned());
                return refuse(
                    "ScriptInvalid",
                    format!("scenario {name}: the script cannot be loaded: {cause}"),
                );
            }
            Some(Ok(printed)) => {
                let required = inspect::requirements(name, scenario.spec.parallelism, scenario.load, printed)
                    .or_else(|error| refuse("ScriptInvalid", error.to_string()))?;
                record(&mut pass.status, name, required)?;
            }
        }
    }
    if complete {
        let length = pass.status.planned_length();
        if let Some(message) = plan.faults.iter().find_map(|fault| fault.too_late(length)) {
            return refuse("FaultAfterLoad", message);
        }
        if let Some(message) = plan.watched.iter().find_map(|part| part.too_late(length)) {
            return refuse("ScalingAfterLoad", message);
        }
        let every = &world.facts.scraped_every;
        if let Some(message) = fit::too_short(&plan.objectives, &pass.status, length, every) {
            return refuse("WindowTooShort", message);
        }
        let vus = pass.status.scenarios.iter().filter_map(|s| s.max_vus).sum();
        pass.status.load.get_or_insert_default().asked_vus = Some(vus);
    }
    Ok(complete)
}

fn inspection<'a>(plan: &Plan, world: &World<'a>, scenario: &str) -> Option<&'a PodState> {
    world.pods.get(&plan.names.inspect_pod(scenario)).map(|pod| &pod.state)
}

fn await_inspection(
    pass: &mut Pass,
    plan: &Plan,
    world: &World,
    deadline: Timestamp,
    name: &str,
) -> Result<(), Problem> {
    let scenario = name.to_owned();
    match inspection(plan, world, name) {
        // The kubelet looks at its containers once a second: what is printed is there before the end is seen.
        Some(PodState::Running { .. }) => pass.effect(Effect::FollowInspection { scenario }),
        // Runners that the same script has ended wait for what it says.
        Some(PodState::Ended { .. }) if world.now >= deadline => {
            return unread_inspection(&pass.status, plan, world);
        }
        Some(PodState::Ended { .. }) => pass.effect(Effect::ReadInspection { scenario }),
        None if world.facts.seen_pods.contains(&plan.names.inspect_pod(name)) => {
            let message = format!(
                "the inspection of scenario {name} is lost: its pod is gone, deleted by somebody or with its node: run the \
                 test again"
            );
            return refuse("InspectionUnread", message);
        }
        Some(PodState::Waiting { reason, message }) if let Some(problem) = cannot_start(reason) => {
            return refuse(problem, format!("the inspection of scenario {name} cannot start: {message}"));
        }
        _ => {}
    }
    Ok(())
}

/// How a pod came to its end that did not end by itself: k6 exits with none of these codes.
fn killed(pod: &PodState) -> Option<String> {
    let PodState::Ended { exit_code, reason } = pod else { return None };
    match exit_code {
        Some(code @ (137 | 143)) => Some(format!("{reason}, exit code {code}")),
        Some(_) => None,
        None => (reason != "Succeeded").then(|| reason.clone()),
    }
}

/// Which inspection is missing, and why: nothing that the script is to blame for, as far as anybody knows.
fn unread_inspection<T>(status: &LoadTestStatus, plan: &Plan, world: &World) -> Result<T, Problem> {
    let names = plan.scenarios.iter().map(|scenario| &scenario.spec.name);
    let missing = names.filter(|name| !is_inspected(status, name)).map(|name| {
        let why = match inspection(plan, world, name) {
            None => "its pod is gone".to_owned(),
            Some(PodState::Waiting { reason, message }) => format!("{reason} {message}").trim().to_owned(),
            Some(PodState::Running { .. }) => "it is still running".to_owned(),
            Some(PodState::Ended { .. }) => match world.facts.unread_inspections.get(name) {
                Some(why) => format!("its log could not be read: {why}"),
                None => "its log was not read yet".to_owned(),
            },
        };
        format!("scenario {name}: {why}")
    });
    let missing = missing.collect::<Vec<_>>().join("; ");
    let within = duration::human(plan.start_timeout);
    refuse("InspectionUnread", format!("not every script was inspected within {within}: {missing}"))
}

fn is_inspected(status: &LoadTestStatus, scenario: &str) -> bool {
    status.scenarios.iter().any(|s| s.name == scenario && s.duration_milliseconds.is_some())
}

fn record(status: &mut LoadTestStatus, name: &str, required: inspect::Requirements) -> Result<(), Problem> {
    if let Some(scenario) = status.scenarios.iter_mut().find(|s| s.name == name) {
        scenario.max_vus = Some(required.max_vus);
        scenario.duration_milliseconds = i64::try_from(required.planned.as_millis()).ok();
        scenario.plateaus = required.plateaus;
        scenario.held_vus = required.held_vus;
        scenario.arrivals = required.arrivals;
        scenario.thresholds = required.thresholds;
    }
    // Each script keeps within its own bounds, but all of them together need not. Nothing of them is kept then.
    let thresholds: usize = status.scenarios.iter().map(|s| s.thresholds.len()).sum();
    let bytes = size::stored_bytes(&status.scenarios);
    if thresholds <= MOST_THRESHOLDS && bytes <= bounds::LARGEST_SCENARIOS {
        return Ok(());
    }
    for scenario in &mut status.scenarios {
        scenario.plateaus.clear();
        scenario.arrivals.clear();
        scenario.thresholds.clear();
    }
    let message = format!(
        "the scripts of all scenarios together have {thresholds} thresholds, and with stages and parts they take {} KiB of \
         the status; at most {MOST_THRESHOLDS} and {} KiB can be kept: write fewer, or split the LoadTest",
        bytes.div_ceil(1024),
        bounds::LARGEST_SCENARIOS >> 10
    );
    refuse("ScriptInvalid", message)
}

/// True when every runner waits at the barrier.
fn await_barrier(
    pass: &mut Pass,
    plan: &Plan,
    world: &World,
    deadline: Timestamp,
    inspected: bool,
) -> Result<bool, Problem> {
    let starting = pass.status.load.as_ref().is_some_and(|load| load.start_intended_at.is_some());
    let mut missing: Option<String> = None;
    let mut ready = 0;
    for id in plan.runners() {
        let name = plan.names.runner_pod(&id);
        let pod = world.pods.get(&name).map(|pod| &pod.state);
        let why = match pod {
            // What ended it may be the script's own error, which the inspection tells better.
            Some(PodState::Ended { .. }) if !is_inspected(&pass.status, &id.scenario) => {
                "ended, while its script is still being inspected".to_owned()
            }
            Some(PodState::Ended { exit_code, reason }) => {
                return died(pass, world, &id, *exit_code, reason);
            }
            None if !starting && world.facts.seen_pods.contains(&name) => {
                let message = format!(
                    "runner {id} was lost before the start: its pod is gone, deleted by somebody or with its node: run the \
                     test again"
                );
                return refuse("RunnerLost", message);
            }
            _ if world.facts.at_barrier.contains_key(&id) => {
                ready += 1;
                continue;
            }
            Some(PodState::Running { .. }) => {
                pass.effect(Effect::AwaitBarrier { runner: id.clone() });
                "k6 is initialising".to_owned()
            }
            Some(PodState::Waiting { reason, message }) => {
                if let Some(problem) = cannot_start(reason) {
                    return refuse(problem, format!("runner {id} cannot start: {message}"));
                }
                format!("{reason} {message}").trim().to_owned()
            }
            None => "not created yet".to_owned(),
        };
        missing.get_or_insert(format!("{id}: {why}"));
    }

    let total = plan.runners().count();
    match missing {
        None => {
            // Recorded together with the next step: a write for every runner that gets ready would cost more than it
            // tells, and one while an inspection is being read would hold up the start.
            if inspected {
                let last = world.facts.at_barrier.values().max().copied().unwrap_or(world.now);
                let runners = pass.status.runners.get_or_insert_default();
                runners.ready = ready;
                runners.ready_at.get_or_insert(MicroTime(last));
            }
            Ok(true)
        }
        Some(first) if world.now >= deadline => {
            let within = duration::human(plan.start_timeout);
            let message =
                format!("{ready} of {total} runners were ready within {within}; first missing: {first}");
            refuse("RunnersNotReady", message)
        }
        Some(_) => {
            pass.status.message = Some(format!("waiting for {total} runners"));
            pass.wake_at(deadline);
            Ok(false)
        }
    }
}

fn died(
    pass: &mut Pass,
    world: &World,
    id: &RunnerId,
    exit_code: Option<i32>,
    reason: &str,
) -> Result<bool, Problem> {
    let Some(log) = world.facts.last_words.get(id) else {
        pass.effect(Effect::ReadLastWords { runner: id.clone() });
        return Ok(false);
    };
    let code = exit_code.map_or_else(|| reason.to_owned(), |code| format!("exit code {code}"));
    let cause = match log {
        Ok(log) => log::error_in_log(log).unwrap_or_else(|| "no error in its log".to_owned()),
        Err(why) => format!("its log could not be read: {why}"),
    };
    refuse("RunnerFailed", format!("runner {id} ended before the start ({code}): {cause}"))
}

/// What is wrong with a pod in a waiting state that time does not mend.
fn cannot_start(reason: &str) -> Option<&'static str> {
    match reason {
        "CreateContainerConfigError" => Some("MissingReference"),
        "InvalidImageName" | "ErrImageNeverPull" | "ImagePullBackOff" => Some("ImageUnavailable"),
        _ => None,
    }
}

/// True when setup() has run for every scenario.
fn set_up(pass: &mut Pass, plan: &Plan, world: &World) -> Result<bool, Problem> {
    let mut done = true;
    for scenario in &plan.scenarios {
        let name = &scenario.spec.name;
        let effect = Effect::Setup { scenario: name.clone() };
        let recorded = pass.status.resume.setup.entry(name.clone()).or_default();
        match (*recorded, world.facts.setup.get(name)) {
            (StepState::Done, _) => {}
            (StepState::Pending, _) => {
                *recorded = StepState::Intended;
                done = false;
                pass.status.message = Some("running setup()".to_owned());
                pass.effect(effect);
            }
            (_, Some(Ok(()))) => *recorded = StepState::Done,
            (_, Some(Err(message))) => {
                *recorded = StepState::Failed;
                return refuse("SetupFailed", format!("setup() of scenario {name} failed: {message}"));
            }
            (_, None) if world.facts.has_dispatched(&effect) => done = false,
            (_, None) => {
                let message = format!(
                    "setup() of scenario {name} was started, but the operator restarted before its result was known; \
                     it is not run twice"
                );
                return refuse("SetupUnknown", message);
            }
        }
    }
    Ok(done)
}

fn start(pass: &mut Pass, plan: &Plan, world: &World) -> Result<(), Problem> {
    let load = pass.status.load.get_or_insert_default();
    load.start_intended_at.get_or_insert(MicroTime(world.now));
    match &world.facts.started {
        None => {
            pass.status.message = Some("starting all runners".to_owned());
            pass.effect(Effect::Start { runners: plan.runners().collect() });
            Ok(())
        }
        Some(starts) => started(pass, plan, starts, world.now),
    }
}

/// The load's start, from which faults count, is the last acknowledgement.
fn started(pass: &mut Pass, plan: &Plan, starts: &[RunnerStart], now: Timestamp) -> Result<(), Problem> {
    let sent = || starts.iter().map(|start| start.sent);
    let acknowledged = starts.iter().filter_map(|s| s.acknowledged.as_ref().ok());
    let (Some(first), Some(last)) = (sent().min(), acknowledged.max().copied()) else {
        return refuse("StartFailed", "no runner acknowledged its start".to_owned());
    };
    let length = pass.status.planned_length();
    let load = pass.status.load.get_or_insert_default();
    load.started_at = Some(MicroTime(last));
    load.start_spread_milliseconds = Some(millis_between(first, last));
    load.start_sent_within_milliseconds = sent().max().map(|sent| millis_between(first, sent));
    load.planned_end_at = Some(MicroTime(last + length));
    let failed = starts.iter().filter_map(|start| Some((&start.runner, start.acknowledged.as_ref().err()?)));
    pass.note_lost(failed.map(|(runner, why)| format!("{runner}: failed to start: {why}")).collect());
    for (fault, plan) in pass.status.faults.iter_mut().zip(&plan.faults) {
        fault.due_at = Some(MicroTime(last + plan.at));
    }
    pass.status.phase = Phase::Running;
    pass.status.message = Some(format!("load started, planned for {}", duration::human(length)));
    pass.effect(Effect::Follow { runners: plan.runners().collect() });
    pass.wake_at(now);
    Ok(())
}

pub fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}
