//! Pending and Preparing: checks, pods, inspection, barrier, setup(), start.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{
    FaultStatus, LoadStatus, LoadTestStatus, Outcome, Phase, RunnersStatus, ScenarioStatus, StepState,
    WatchedStatus,
};

use crate::{
    evaluate::fit,
    k6::{inspect, log},
    machine::{
        bounds,
        pass::Pass,
        pods::{PodState, PodView},
        world::{Effect, Facts, RunnerStart, World},
    },
    numbers::{duration, hash::fnv},
    plan::{Plan, fingerprint, names::RunnerId, size, system::WatchPlan},
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
    let now = world.now;
    match &world.facts.preflight {
        None => return pass.effect(Effect::Preflight),
        Some(problems) => {
            if let Some(first) = problems.first() {
                let all = problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join("; ");
                return pass.fail(first.reason, all, now);
            }
        }
    }

    pass.status
        .fingerprint
        .get_or_insert_with(|| fingerprint::of_run(&plan.fingerprint, &world.facts.scripts));
    let runners = pass.status.runners.get_or_insert_default();
    let created_at = runners.created_at.get_or_insert(MicroTime(now)).0;
    match &world.facts.created {
        None => return pass.effect(Effect::Create),
        Some(Err(message)) => return pass.fail("CreateFailed", message.clone(), now),
        Some(Ok(())) => {}
    }

    let deadline = created_at + plan.start_timeout;
    let inspected = inspect(pass, plan, world, deadline);
    let ready = await_barrier(pass, plan, world, deadline, inspected);
    // An inspection without an answer must not be waited for longer than a runner.
    if pass.status.phase == Phase::Preparing && !inspected {
        if now >= deadline {
            return pass.fail("InspectionUnread", unread_inspection(&pass.status, plan, world), now);
        }
        pass.wake_at(deadline);
    }
    if pass.status.phase == Phase::Preparing && inspected && ready && set_up(pass, plan, world) {
        start(pass, plan, world);
    }
}

/// How a pod came to its end that did not end by itself: k6 exits with none of these codes.
fn killed(pod: &PodView) -> Option<String> {
    let PodState::Ended { exit_code, reason } = &pod.state else { return None };
    match exit_code {
        Some(code @ (137 | 143)) => Some(format!("{reason}, exit code {code}")),
        Some(_) => None,
        None => (reason != "Succeeded").then(|| reason.clone()),
    }
}

/// True when every script was inspected and found fit.
fn inspect(pass: &mut Pass, plan: &Plan, world: &World, deadline: Timestamp) -> bool {
    let mut complete = true;
    for scenario in &plan.scenarios {
        let name = &scenario.spec.name;
        if is_inspected(&pass.status, name) {
            continue;
        }
        match world.facts.inspections.get(name) {
            None => {
                complete = false;
                match world.pods.get(&plan.names.inspect_pod(name)).map(|pod| &pod.state) {
                    // The kubelet looks at its containers once a second: what is printed is there before the
                    // end is seen.
                    Some(PodState::Running { .. }) => {
                        pass.effect(Effect::FollowInspection { scenario: name.clone() })
                    }
                    // Runners that the same script has ended wait for what it says.
                    Some(PodState::Ended { .. }) if world.now >= deadline => {
                        pass.fail(
                            "InspectionUnread",
                            unread_inspection(&pass.status, plan, world),
                            world.now,
                        );
                        return false;
                    }
                    Some(PodState::Ended { .. }) => {
                        pass.effect(Effect::ReadInspection { scenario: name.clone() })
                    }
                    None if world.facts.seen_pods.contains(&plan.names.inspect_pod(name)) => {
                        let message = format!(
                            "the inspection of scenario {name} is lost: its pod is gone, deleted by somebody or with its \
                             node: run the test again"
                        );
                        pass.fail("InspectionUnread", message, world.now);
                        return false;
                    }
                    Some(PodState::Waiting { reason, message }) if cannot_start(reason) => {
                        let message = format!("the inspection of scenario {name} cannot start: {message}");
                        pass.fail(waiting_reason(reason), message, world.now);
                        return false;
                    }
                    _ => {}
                }
            }
            Some(Err(log)) => {
                if let Some(how) = world.pods.get(&plan.names.inspect_pod(name)).and_then(killed) {
                    let message = format!(
                        "the inspection of scenario {name} was killed ({how}), so nothing is known of its script: see the \
                         node's memory and spec.runner.limits"
                    );
                    pass.fail("InspectionKilled", message, world.now);
                    return false;
                }
                let cause =
                    log::error_in_log(log).unwrap_or_else(|| "k6 inspect failed without a word".to_owned());
                let message = format!("scenario {name}: the script cannot be loaded: {cause}");
                pass.fail("ScriptInvalid", message, world.now);
                return false;
            }
            Some(Ok(printed)) => {
                match inspect::requirements(name, scenario.spec.parallelism, scenario.load, printed) {
                    Err(error) => {
                        pass.fail("ScriptInvalid", error.to_string(), world.now);
                        return false;
                    }
                    Ok(required) => {
                        record(&mut pass.status, name, &required);
                        if let Some(message) = too_much(&mut pass.status) {
                            pass.fail("ScriptInvalid", message, world.now);
                            return false;
                        }
                    }
                }
            }
        }
    }
    if complete {
        if let Some(message) = late_fault(&pass.status, plan) {
            pass.fail("FaultAfterLoad", message, world.now);
            return false;
        }
        if let Some(message) = late_scaling(&pass.status, plan) {
            pass.fail("ScalingAfterLoad", message, world.now);
            return false;
        }
        let every = &world.facts.scraped_every;
        if let Some(message) =
            fit::too_short(&plan.objectives, &pass.status, pass.status.planned_length(), every)
        {
            pass.fail("WindowTooShort", message, world.now);
            return false;
        }
        let vus = pass.status.scenarios.iter().filter_map(|s| s.max_vus).sum();
        pass.status.load.get_or_insert_default().asked_vus = Some(vus);
    }
    complete
}

/// Which inspection is missing, and why: nothing that the script is to blame for, as far as anybody knows.
fn unread_inspection(status: &LoadTestStatus, plan: &Plan, world: &World) -> String {
    let names = plan.scenarios.iter().map(|scenario| &scenario.spec.name);
    let missing = names.filter(|name| !is_inspected(status, name)).map(|name| {
        let why = match world.pods.get(&plan.names.inspect_pod(name)).map(|pod| &pod.state) {
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
    format!(
        "not every script was inspected within {}: {}",
        duration::human(plan.start_timeout),
        missing.collect::<Vec<_>>().join("; ")
    )
}

fn is_inspected(status: &LoadTestStatus, scenario: &str) -> bool {
    status.scenarios.iter().any(|s| s.name == scenario && s.duration_milliseconds.is_some())
}

fn record(status: &mut LoadTestStatus, name: &str, required: &inspect::Requirements) {
    let Some(scenario) = status.scenarios.iter_mut().find(|s| s.name == name) else { return };
    scenario.max_vus = Some(required.max_vus);
    scenario.duration_milliseconds = i64::try_from(required.planned.as_millis()).ok();
    scenario.plateaus.clone_from(&required.plateaus);
    scenario.held_vus = required.held_vus;
    scenario.arrivals.clone_from(&required.arrivals);
    scenario.thresholds.clone_from(&required.thresholds);
}

/// Each script keeps within its own bounds, but all of them together need not. Nothing of them is kept then.
fn too_much(status: &mut LoadTestStatus) -> Option<String> {
    let thresholds: usize = status.scenarios.iter().map(|s| s.thresholds.len()).sum();
    let bytes = size::stored_bytes(&status.scenarios);
    if thresholds <= MOST_THRESHOLDS && bytes <= bounds::LARGEST_SCENARIOS {
        return None;
    }
    for scenario in &mut status.scenarios {
        scenario.plateaus.clear();
        scenario.arrivals.clear();
        scenario.thresholds.clear();
    }
    Some(format!(
        "the scripts of all scenarios together have {thresholds} thresholds, and with stages and parts they take {} KiB of \
         the status; at most {MOST_THRESHOLDS} and {} KiB can be kept: write fewer, or split the LoadTest",
        bytes.div_ceil(1024),
        bounds::LARGEST_SCENARIOS >> 10
    ))
}

/// A fault that cannot be judged, since the load is over by then.
fn late_fault(status: &LoadTestStatus, plan: &Plan) -> Option<String> {
    let length = status.planned_length();
    plan.faults.iter().find_map(|fault| fault.too_late(length))
}

/// A scaling that cannot be judged, since the load is over by then.
fn late_scaling(status: &LoadTestStatus, plan: &Plan) -> Option<String> {
    let length = status.planned_length();
    let scaling = |part: &WatchPlan| part.scaling.as_ref().map(|s| s.within).unwrap_or_default();
    plan.watched.iter().find(|part| scaling(part) > length).map(|part| {
        format!(
            "system {}: scaling may take {}, but the load lasts {}: lengthen the load to that, or lower \
             scaling.within",
            part.name,
            duration::human(scaling(part)),
            duration::human(length)
        )
    })
}

/// True when every runner waits at the barrier.
fn await_barrier(pass: &mut Pass, plan: &Plan, world: &World, deadline: Timestamp, inspected: bool) -> bool {
    if pass.status.phase != Phase::Preparing {
        return false;
    }
    let starting = pass.status.load.as_ref().is_some_and(|load| load.start_intended_at.is_some());
    let mut missing: Option<String> = None;
    let mut ready = 0;
    for id in plan.runners() {
        let name = plan.names.runner_pod(&id);
        let pod = world.pods.get(&name);
        if let Some(PodView { state: PodState::Ended { exit_code, reason }, .. }) = pod {
            // What ended it may be the script's own error, which the inspection tells better.
            if !is_inspected(&pass.status, &id.scenario) {
                missing.get_or_insert(format!("{id}: ended, while its script is still being inspected"));
                continue;
            }
            return died(pass, world, &id, *exit_code, reason);
        }
        if pod.is_none() && !starting && world.facts.seen_pods.contains(&name) {
            let message = format!(
                "runner {id} was lost before the start: its pod is gone, deleted by somebody or with its node: run the \
                 test again"
            );
            pass.fail("RunnerLost", message, world.now);
            return false;
        }
        if world.facts.at_barrier.contains_key(&id) {
            ready += 1;
            continue;
        }
        let why = match pod.map(|p| &p.state) {
            Some(PodState::Running { .. }) => {
                pass.effect(Effect::AwaitBarrier { runner: id.clone() });
                "k6 is initialising".to_owned()
            }
            Some(PodState::Waiting { reason, message }) if cannot_start(reason) => {
                pass.fail(waiting_reason(reason), format!("runner {id} cannot start: {message}"), world.now);
                return false;
            }
            Some(PodState::Waiting { reason, message }) => format!("{reason} {message}").trim().to_owned(),
            _ => "not created yet".to_owned(),
        };
        missing.get_or_insert(format!("{id}: {why}"));
    }

    let total = plan.runners().count();
    // Recorded together with the next step: a write for every runner that gets ready would cost more than it
    // tells, and one while an inspection is being read would hold up the start.
    if missing.is_none()
        && inspected
        && let Some(runners) = &mut pass.status.runners
    {
        let last = world.facts.at_barrier.values().max().copied().unwrap_or(world.now);
        runners.ready = ready;
        runners.ready_at.get_or_insert(MicroTime(last));
    }
    match missing {
        None => true,
        Some(first) if world.now >= deadline => {
            let message = format!(
                "{ready} of {total} runners were ready within {}; first missing: {first}",
                duration::human(plan.start_timeout)
            );
            pass.fail("RunnersNotReady", message, world.now);
            false
        }
        Some(_) => {
            pass.status.message = Some(format!("waiting for {total} runners"));
            pass.wake_at(deadline);
            false
        }
    }
}

fn died(pass: &mut Pass, world: &World, id: &RunnerId, exit_code: Option<i32>, reason: &str) -> bool {
    match world.facts.last_words.get(id) {
        None => pass.effect(Effect::ReadLastWords { runner: id.clone() }),
        Some(log) => {
            let code = exit_code.map_or_else(|| reason.to_owned(), |c| format!("exit code {c}"));
            let cause = match log {
                Ok(log) => log::error_in_log(log).unwrap_or_else(|| "no error in its log".to_owned()),
                Err(why) => format!("its log could not be read: {why}"),
            };
            pass.fail(
                "RunnerFailed",
                format!("runner {id} ended before the start ({code}): {cause}"),
                world.now,
            );
        }
    }
    false
}

/// Waiting states that time does not mend.
fn cannot_start(reason: &str) -> bool {
    matches!(
        reason,
        "CreateContainerConfigError" | "InvalidImageName" | "ErrImageNeverPull" | "ImagePullBackOff"
    )
}

fn waiting_reason(reason: &str) -> &'static str {
    match reason {
        "CreateContainerConfigError" => "MissingReference",
        _ => "ImageUnavailable",
    }
}

/// True when setup() has run for every scenario.
fn set_up(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
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
                let message = format!("setup() of scenario {name} failed: {message}");
                pass.fail("SetupFailed", message, world.now);
                return false;
            }
            (_, None) if world.facts.has_dispatched(&effect) => done = false,
            (_, None) => {
                let message = format!(
                    "setup() of scenario {name} was started, but the operator restarted before its result was known; \
                     it is not run twice"
                );
                pass.fail("SetupUnknown", message, world.now);
                return false;
            }
        }
    }
    done
}

fn start(pass: &mut Pass, plan: &Plan, world: &World) {
    let load = pass.status.load.get_or_insert_default();
    load.start_intended_at.get_or_insert(MicroTime(world.now));
    match &world.facts.started {
        None => {
            pass.status.message = Some("starting all runners".to_owned());
            pass.effect(Effect::Start { runners: plan.runners().collect() });
        }
        Some(starts) => started(pass, plan, world.facts, starts, world.now),
    }
}

/// The load's start, from which faults count, is the last acknowledgement.
fn started(pass: &mut Pass, plan: &Plan, _: &Facts, starts: &[RunnerStart], now: Timestamp) {
    let acknowledged = starts.iter().filter_map(|s| s.acknowledged.as_ref().ok());
    let (Some(first), Some(last)) = (starts.iter().map(|s| s.sent).min(), acknowledged.max().copied()) else {
        return pass.fail("StartFailed", "no runner acknowledged its start".to_owned(), now);
    };
    let failed: Vec<String> = starts
        .iter()
        .filter_map(|s| {
            s.acknowledged.as_ref().err().map(|why| format!("{}: failed to start: {why}", s.runner))
        })
        .collect();
    let length = pass.status.planned_length();
    let load = pass.status.load.get_or_insert_with(LoadStatus::default);
    load.started_at = Some(MicroTime(last));
    load.start_spread_milliseconds = Some(millis_between(first, last));
    load.start_sent_within_milliseconds =
        starts.iter().map(|s| s.sent).max().map(|sent| millis_between(first, sent));
    load.planned_end_at = Some(MicroTime(last + length));
    if let Some(runners) = &mut pass.status.runners {
        runners.lost = i32::try_from(failed.len()).unwrap_or(i32::MAX);
        runners.problems = failed.into_iter().take(10).collect();
    }
    for (fault, plan) in pass.status.faults.iter_mut().zip(&plan.faults) {
        fault.due_at = Some(MicroTime(last + plan.at));
    }
    pass.status.phase = Phase::Running;
    pass.status.message = Some(format!("load started, planned for {}", duration::human(length)));
    pass.effect(Effect::Follow { runners: plan.runners().collect() });
    pass.wake_at(now);
}

pub fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}
