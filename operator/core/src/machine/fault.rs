//! One fault: targets picked and recorded a little early, the effect sent at its time, its end awaited.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultState, FaultStatus, TargetState, TargetStatus};

use super::{Effect, KillResult, Pass, TargetSeen, World, prepare::millis_between};
use crate::{
    pick::{self, Candidate},
    plan::{FaultPlan, Plan},
    serving,
    steady::{self, Health},
};

/// Targets are picked and recorded this long before a fault is due, so that at its time one request is left.
const LEAD: Duration = Duration::from_secs(2);

/// Whether the system is healthy is asked in between, and no longer waited for from here on: what is left is for
/// writing the intent.
const ASKED_LONG_ENOUGH: Duration = Duration::from_millis(500);

/// A fault that an absent operator missed by more than this is not injected: it would test something else.
const MAX_LATENESS: Duration = Duration::from_secs(30);

/// How the message of a fault begins that was skipped since the system was unhealthy before it.
pub const NOT_STEADY: &str = "not steady";

/// Takes one fault a step further.
pub fn advance(pass: &mut Pass, index: usize, plan: &Plan, world: &World) {
    let (Some(recorded), Some(own)) = (pass.status.faults.get(index), plan.faults.get(index)) else { return };
    let mut fault = recorded.clone();
    let Some(due) = fault.due_at.as_ref().map(|t| t.0) else { return };
    match fault.state {
        FaultState::Pending => choose(pass, &mut fault, plan, own, due, world),
        FaultState::Intended => inject(pass, &mut fault, due, world),
        FaultState::Injected | FaultState::Unconfirmed => await_replacement(pass, &mut fault, world),
        FaultState::Failed | FaultState::NotInjected => {}
    }
    pass.status.faults[index] = fault;
}

fn choose(
    pass: &mut Pass,
    fault: &mut FaultStatus,
    plan: &Plan,
    own: &FaultPlan,
    due: Timestamp,
    world: &World,
) {
    if world.now > due + MAX_LATENESS {
        fault.state = FaultState::NotInjected;
        fault.message =
            Some(format!("the operator was away when it was due, by more than {} s", MAX_LATENESS.as_secs()));
        return;
    }
    if world.now < due - LEAD {
        return pass.wake_at(due - LEAD);
    }
    let candidates = match world.facts.candidates.get(&own.name) {
        None => return pass.effect(Effect::ListCandidates { fault: own.name.clone() }),
        Some(listed) => listed.as_ref().map_err(|problem| problem.message.clone()),
    };
    let ready = candidates.as_ref().ok().map(|all| all.iter().filter(|c| c.ready).count());
    let seed = pass.status.seed.unwrap_or_default();
    let picked = candidates.and_then(|all| {
        let picked = pick::pick(own, all, seed).map_err(|error| error.to_string())?;
        let services = serving::services(&picked, all);
        Ok((picked, services))
    });
    let still_felt = steady::felt_until(plan, &pass.status, &own.name).is_some_and(|end| world.now < end);
    let health = match &picked {
        Ok(_) if own.limits.recovery.is_some() && !still_felt => health(pass, own, due, world),
        _ => Some(Health::Held),
    };
    // Nothing is recorded before the answer, or before there is no more time for one.
    let Some(health) = health else { return };
    fault.ready_before = ready.and_then(|ready| i32::try_from(ready).ok());
    match (picked, health) {
        (Err(message), _) => {
            fault.state = FaultState::Failed;
            fault.message = Some(message);
        }
        (Ok(_), Health::NotHeld(why)) => {
            fault.state = FaultState::NotInjected;
            fault.message = Some(format!("{NOT_STEADY}: {why}"));
        }
        (Ok((targets, services)), health) => {
            if let Health::Unknown(why) = health {
                fault.message = Some(format!("whether the system was steady before it is not known: {why}"));
            }
            fault.state = FaultState::Intended;
            fault.targets = targets.into_iter().map(|t| target(t, &own.namespace)).collect();
            fault.services = services;
            pass.effect(Effect::AwaitReplacement { fault: own.name.clone() });
            pass.wake_at(due);
        }
    }
}

/// How the system stands before a fault; `None` while there is time to wait for an answer.
fn health(pass: &mut Pass, own: &FaultPlan, due: Timestamp, world: &World) -> Option<Health> {
    if let Some(health) = world.facts.steady.get(&own.name) {
        return Some(health.clone());
    }
    let ask = Effect::CheckSteady { fault: own.name.clone() };
    let waits_until = due - ASKED_LONG_ENOUGH;
    if world.now < waits_until {
        pass.wake_at(waits_until);
        pass.effect(ask);
        return None;
    }
    let why = if world.facts.has_dispatched(&ask) {
        "Prometheus had not answered in time"
    } else {
        "the operator came too late to ask"
    };
    Some(Health::Unknown(why.to_owned()))
}

fn target(candidate: Candidate, namespace: &str) -> TargetStatus {
    TargetStatus {
        namespace: namespace.to_owned(),
        name: candidate.name,
        uid: candidate.uid,
        node: candidate.node,
        ..TargetStatus::default()
    }
}

fn inject(pass: &mut Pass, fault: &mut FaultStatus, due: Timestamp, world: &World) {
    let name = fault.name.clone();
    pass.effect(Effect::AwaitReplacement { fault: name.clone() });
    if world.now < due {
        return pass.wake_at(due);
    }
    let picked_here = world.facts.has_dispatched(&Effect::ListCandidates { fault: name.clone() });
    if !picked_here && !look_again(pass, fault, due, world) {
        return;
    }
    let uids: Vec<String> =
        fault.targets.iter().filter(|t| t.state == TargetState::Intended).map(|t| t.uid.clone()).collect();
    match world.facts.kills.get(&name) {
        Some(results) => settle(fault, results, due),
        None if uids.is_empty() => settle(fault, &std::collections::BTreeMap::new(), due),
        None => pass.effect(Effect::Kill { fault: name, uids }),
    }
}

/// The intent is an earlier process's: what it did with it is not known. True when all targets are clear.
fn look_again(pass: &mut Pass, fault: &mut FaultStatus, due: Timestamp, world: &World) -> bool {
    let Some(seen) = world.facts.seen.get(&fault.name) else {
        pass.effect(Effect::LookAgain { fault: fault.name.clone() });
        return false;
    };
    // What was looked up before the effect must not be read as its result.
    if world.facts.has_dispatched(&Effect::Kill { fault: fault.name.clone(), uids: Vec::new() }) {
        return true;
    }
    let late = world.now > due + MAX_LATENESS;
    for target in fault.targets.iter_mut().filter(|t| t.state == TargetState::Intended) {
        match seen.get(&target.uid) {
            Some(TargetSeen::Alive) if late => {
                target.state = TargetState::Failed;
                target.message = Some("not injected: the operator was away when it was due".to_owned());
            }
            Some(TargetSeen::Alive) => {}
            Some(TargetSeen::Gone) | None => {
                target.state = TargetState::Unconfirmed;
                target.message =
                    Some("found gone after a restart of the operator: not provably ours".to_owned());
            }
            Some(TargetSeen::Unknown(why)) => {
                target.state = TargetState::Unconfirmed;
                target.message = Some(format!("failed to look it up after a restart of the operator: {why}"));
            }
        }
    }
    true
}

/// Writes what became of the targets, and of the fault as a whole.
fn settle(fault: &mut FaultStatus, results: &std::collections::BTreeMap<String, KillResult>, due: Timestamp) {
    for target in &mut fault.targets {
        let Some(result) = results.get(&target.uid) else { continue };
        match result {
            KillResult::Done { sent, acknowledged } => {
                target.state = TargetState::Injected;
                target.sent_at = Some(MicroTime(*sent));
                target.acknowledged_at = Some(MicroTime(*acknowledged));
            }
            KillResult::Refused { sent, message } => {
                target.state = TargetState::Failed;
                target.sent_at = Some(MicroTime(*sent));
                target.message = Some(message.clone());
            }
            KillResult::Unconfirmed { sent, message } => {
                target.state = TargetState::Unconfirmed;
                target.sent_at = Some(MicroTime(*sent));
                target.message = Some(message.clone());
            }
        }
    }
    if let Some(sent) = fault.targets.iter().filter_map(|t| t.sent_at.as_ref()).map(|t| t.0).min() {
        fault.injected_at = Some(MicroTime(sent));
        fault.timing_error_milliseconds = Some(millis_between(due, sent));
    }
    let any = |state: TargetState| fault.targets.iter().find(|t| t.state == state);
    let (state, decisive) = if let Some(target) = any(TargetState::Failed) {
        (FaultState::Failed, Some(target))
    } else if let Some(target) = any(TargetState::Unconfirmed) {
        (FaultState::Unconfirmed, Some(target))
    } else {
        (FaultState::Injected, None)
    };
    if state == FaultState::Unconfirmed {
        // It happened between its due time and now, if it happened; the window starts at the earlier end.
        fault.injected_at.get_or_insert(MicroTime(due));
    }
    if let Some(target) = decisive {
        fault.message =
            Some(format!("{}: {}", target.name, target.message.as_deref().unwrap_or("no reason given")));
    }
    fault.state = state;
}

fn await_replacement(pass: &mut Pass, fault: &mut FaultStatus, world: &World) {
    if fault.replaced_at.is_some() {
        return;
    }
    match world.facts.replaced.get(&fault.name) {
        Some(at) => fault.replaced_at = Some(MicroTime(*at)),
        None => pass.effect(Effect::AwaitReplacement { fault: fault.name.clone() }),
    }
}
