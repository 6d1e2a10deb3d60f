//! One fault: targets picked and recorded a little early, the effect sent at its time, its end awaited.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultState, FaultStatus, LoadTestStatus, TargetState, TargetStatus};

use crate::{
    evaluate::fault::steady::{self, Health},
    machine::{
        claim::{self, Guard, claims},
        pass::Pass,
        pick::{self, Candidate},
        prepare::millis_between,
        replacement, serving,
        world::{Claim, Effect, KillResult, TargetSeen, World},
    },
    plan::{Plan, fault::FaultPlan},
};

/// Targets are picked and recorded this long before a fault is due, so that at its time one request is left.
const LEAD: Duration = Duration::from_secs(2);

/// Whether the system is healthy is asked in between, and no longer waited for from here on: what is left is for
/// writing the intent.
const ASKED_LONG_ENOUGH: Duration = Duration::from_millis(500);

/// A fault that is later than this is not injected: it would test something else.
const MAX_LATENESS: Duration = Duration::from_secs(30);

/// After the load, the result of deletions that were sent is waited for so long after the latest time at which they
/// can have been sent.
const ANSWERED: Duration = Duration::from_secs(30);

/// When a fault may be sent at the latest. A process that was stopped meanwhile must not send it after another has
/// given it up.
#[must_use]
pub fn latest(fault: &FaultStatus) -> Option<Timestamp> {
    fault.due()?.checked_add(SignedDuration::try_from(MAX_LATENESS).ok()?).ok()
}

/// Takes one fault a step further.
pub fn advance(pass: &mut Pass, index: usize, plan: &Plan, world: &World) {
    let (Some(recorded), Some(own)) = (pass.status.faults.get(index), plan.faults.get(index)) else { return };
    let mut fault = recorded.clone();
    let Some(due) = fault.due() else { return };
    let siblings = siblings(plan, &pass.status, &fault.name);
    match fault.state {
        FaultState::Pending => choose(pass, &mut fault, plan, own, due, &siblings, world),
        FaultState::Intended => inject(pass, &mut fault, own, due, &siblings, world),
        FaultState::Injected | FaultState::Unconfirmed => {
            replacement::wait(pass, &mut fault, own, &siblings, world);
        }
        FaultState::Failed | FaultState::NotInjected => replacement::leave(pass, &fault, world),
    }
    pass.status.faults[index] = fault;
}

fn choose(
    pass: &mut Pass,
    fault: &mut FaultStatus,
    plan: &Plan,
    own: &FaultPlan,
    due: Timestamp,
    siblings: &[Claim],
    world: &World,
) {
    let list = Effect::ListCandidates { fault: own.name.clone() };
    if world.now >= due + MAX_LATENESS {
        let seconds = MAX_LATENESS.as_secs();
        let why = if world.facts.has_dispatched(&list) {
            let last = world.facts.unlisted.get(&own.name).map_or("no answer to their list", String::as_str);
            format!("its targets were not known within {seconds} s of its time: {last}")
        } else {
            format!("the operator was away when it was due, by more than {seconds} s")
        };
        return not_injected(fault, &why);
    }
    if world.now < due - LEAD {
        return pass.wake_at(due - LEAD);
    }
    if is_over(&pass.status, world) {
        return not_injected(fault, OVER);
    }
    let still_felt = steady::felt_until(plan, &pass.status, &own.name).is_some_and(|end| world.now < end);
    let is_asked = own.limits.recovery.is_some() && !still_felt;
    let candidates = match world.facts.candidates.get(&own.name) {
        None => {
            pass.wake_at(due + MAX_LATENESS);
            if is_asked {
                // Beside the list, which may come late.
                let _ = health(pass, own, due, world);
            }
            return pass.effect(list);
        }
        Some(Err(problem)) => return failed(fault, problem.message.clone()),
        Some(Ok(all)) => all,
    };
    let ready = i32::try_from(candidates.iter().filter(|pod| pod.ready).count()).ok();
    // Pods that faults are about to delete, or have deleted, are none to pick: a list may be older than that.
    let taken = claim::uids(siblings.iter().chain(world.claimed.iter().map(AsRef::as_ref)));
    let picked = match pick::pick(own, candidates, &taken, pass.status.seed.unwrap_or_default()) {
        Ok(picked) => picked,
        Err(error) => {
            // The checks before the load found enough.
            if let Some(who) = claim::rivals(own, &claim::ready(candidates), world) {
                return not_injected(fault, &format!("{who}: {error}"));
            }
            fault.ready_before = ready;
            return failed(fault, error.to_string());
        }
    };
    // Nothing is recorded before the answer, or before there is no more time for one.
    let health = if is_asked { health(pass, own, due, world) } else { Some(Health::Held) };
    let Some(health) = health else { return };
    fault.ready_before = ready;
    match health {
        Health::NotHeld(why) => return not_injected(fault, &format!("{}: {why}", FaultStatus::NOT_STEADY)),
        Health::Unknown(why) => {
            fault.message = Some(format!("whether the system was steady before it is not known: {why}"));
        }
        Health::Held => {}
    }
    fault.state = FaultState::Intended;
    fault.services = serving::services(&picked, candidates);
    fault.targets = picked.into_iter().map(|pod| target(pod, &own.namespace)).collect();
    pass.effect(Effect::AwaitReplacement { fault: own.name.clone() });
    pass.wake_at(due);
}

fn failed(fault: &mut FaultStatus, why: String) {
    (fault.state, fault.message) = (FaultState::Failed, Some(why));
}

/// What the other faults of the run have taken.
fn siblings(plan: &Plan, status: &LoadTestStatus, fault: &str) -> Vec<Claim> {
    claims(plan, status).into_iter().filter(|claim| claim.fault != fault).collect()
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

/// By its plan the load is over: whether it is, a process that has just begun has yet to hear of the runners.
fn is_over(status: &LoadTestStatus, world: &World) -> bool {
    status.load_planned_end().is_some_and(|end| world.now >= end)
}

fn inject(
    pass: &mut Pass,
    fault: &mut FaultStatus,
    own: &FaultPlan,
    due: Timestamp,
    siblings: &[Claim],
    world: &World,
) {
    let name = fault.name.clone();
    let is_over = is_over(&pass.status, world);
    pass.effect(Effect::AwaitReplacement { fault: name.clone() });
    if world.now < due {
        return pass.wake_at(due);
    }
    let sent = is_sent(fault, world);
    // What was looked up before the effect must not be read as its result.
    if !sent && !is_picked_here(fault, world) {
        let Some(seen) = look_again(pass, fault, world) else { return };
        note_gone(fault, seen);
        if is_over || world.now > due + MAX_LATENESS {
            return leave(fault, due, if is_over { OVER } else { AWAY });
        }
    }
    let uids: Vec<String> = intended(fault).map(|t| t.uid.clone()).collect();
    match world.facts.kills.get(&name) {
        Some(results) => settle(fault, results, due),
        None if sent => {}
        None if uids.is_empty() => settle(fault, &BTreeMap::new(), due),
        None if is_over => leave(fault, due, OVER),
        None if world.now > due + MAX_LATENESS => {
            let why = format!("it could not be sent within {} s of its time", MAX_LATENESS.as_secs());
            leave(fault, due, &why);
        }
        None => match claim::guard(fault, own, siblings, world) {
            Guard::Clear => pass.effect(Effect::Kill { fault: name, uids }),
            Guard::NoneLeft(why) => leave(fault, due, &why),
            // The watch will tell.
            Guard::Unseen => pass.wake_at(due + MAX_LATENESS + Duration::from_millis(1)),
        },
    }
}

/// Takes the faults of a load that has ended to their ends. True when none is open: what was sent has its result, and
/// what an earlier process may have sent was looked up.
pub fn close(pass: &mut Pass, plan: &Plan, world: &World) -> bool {
    let ended = pass.status.load_ended().unwrap_or(world.now);
    let all = claims(plan, &pass.status);
    let mut faults = std::mem::take(&mut pass.status.faults);
    let mut closed = true;
    for (fault, own) in faults.iter_mut().zip(&plan.faults) {
        // Where the load never started, nothing was ever due.
        let Some(due) = fault.due() else { continue };
        match fault.state {
            FaultState::Pending if ended <= due => not_injected(fault, ENDED_BEFORE),
            FaultState::Pending => not_injected(fault, "the load ended before its targets were known"),
            FaultState::Intended => closed &= close_intended(pass, fault, due, world),
            FaultState::Injected | FaultState::Unconfirmed => {
                let siblings: Vec<Claim> = all.iter().filter(|c| c.fault != fault.name).cloned().collect();
                replacement::note(pass, fault, own, &siblings, world);
                replacement::note_missing(pass, fault, world);
            }
            FaultState::Failed | FaultState::NotInjected => {}
        }
    }
    pass.status.faults = faults;
    closed
}

const AWAY: &str = "the operator was away when it was due, and for too long after";
const OVER: &str = "by its plan the load was over before it could be sent";
const ENDED_BEFORE: &str = "the load ended before it was due";

/// True when it is decided what became of an intent that was open when the load ended.
fn close_intended(pass: &mut Pass, fault: &mut FaultStatus, due: Timestamp, world: &World) -> bool {
    if let Some(results) = world.facts.kills.get(&fault.name) {
        settle(fault, results, due);
        return true;
    }
    if is_sent(fault, world) {
        let until = due + MAX_LATENESS + ANSWERED;
        if world.now < until {
            pass.wake_at(until);
            return false;
        }
        for target in fault.targets.iter_mut().filter(|t| t.state == TargetState::Intended) {
            target.state = TargetState::Unconfirmed;
            target.message = Some("its deletion was sent, and no answer came".to_owned());
        }
        settle(fault, &BTreeMap::new(), due);
        return true;
    }
    if world.now >= due && !is_picked_here(fault, world) {
        let Some(seen) = look_again(pass, fault, world) else { return false };
        note_gone(fault, seen);
    }
    leave(fault, due, if world.now < due { ENDED_BEFORE } else { "the load ended before it was sent" });
    true
}

/// Those that live are left alone, for a reason. What an earlier process may have done stays.
fn leave(fault: &mut FaultStatus, due: Timestamp, why: &str) {
    if fault.targets.iter().any(|t| t.state != TargetState::Intended) {
        settle(fault, &BTreeMap::new(), due);
    } else {
        not_injected(fault, why);
    }
}

fn not_injected(fault: &mut FaultStatus, why: &str) {
    (fault.state, fault.message) = (FaultState::NotInjected, Some(why.to_owned()));
}

/// This process has sent the deletions, or is about to.
fn is_sent(fault: &FaultStatus, world: &World) -> bool {
    world.facts.has_dispatched(&Effect::Kill { fault: fault.name.clone(), uids: Vec::new() })
}

/// Where it was not this process that picked the targets, the intent is an earlier one's: what that did with it is not
/// known.
fn is_picked_here(fault: &FaultStatus, world: &World) -> bool {
    world.facts.has_dispatched(&Effect::ListCandidates { fault: fault.name.clone() })
}

fn intended(fault: &FaultStatus) -> impl Iterator<Item = &TargetStatus> {
    fault.targets.iter().filter(|t| t.state == TargetState::Intended)
}

type Seen = BTreeMap<String, TargetSeen>;

/// How the targets stand; `None` until they have been looked up.
fn look_again<'a>(pass: &mut Pass, fault: &FaultStatus, world: &'a World) -> Option<&'a Seen> {
    let seen = world.facts.seen.get(&fault.name);
    if seen.is_none() {
        pass.effect(Effect::LookAgain { fault: fault.name.clone() });
    }
    seen
}

/// Those that do not live may have been deleted by the process that intended it. The others are clear.
fn note_gone(fault: &mut FaultStatus, seen: &Seen) {
    for target in fault.targets.iter_mut().filter(|t| t.state == TargetState::Intended) {
        let why = match seen.get(&target.uid) {
            Some(TargetSeen::Alive) => continue,
            Some(TargetSeen::Gone) | None => {
                "found gone after a restart of the operator: not provably ours".to_owned()
            }
            Some(TargetSeen::Unknown(why)) => {
                format!("failed to look it up after a restart of the operator: {why}")
            }
        };
        target.state = TargetState::Unconfirmed;
        target.message = Some(why);
    }
}

/// Writes what became of the targets, and of the fault as a whole.
fn settle(fault: &mut FaultStatus, results: &BTreeMap<String, KillResult>, due: Timestamp) {
    if let Some(KillResult::TooLate { message }) = results.values().next()
        && results.values().all(|result| matches!(result, KillResult::TooLate { .. }))
    {
        return leave(fault, due, message);
    }
    for target in &mut fault.targets {
        let Some(result) = results.get(&target.uid) else { continue };
        let (state, sent, message) = match result {
            KillResult::Done { sent, acknowledged } => {
                target.acknowledged_at = Some(MicroTime(*acknowledged));
                (TargetState::Injected, Some(sent), None)
            }
            KillResult::TooLate { message } => (TargetState::Failed, None, Some(message)),
            KillResult::Refused { sent, message } => (TargetState::Failed, Some(sent), Some(message)),
            KillResult::Unconfirmed { sent, message } => {
                (TargetState::Unconfirmed, Some(sent), Some(message))
            }
        };
        target.state = state;
        target.sent_at = sent.copied().map(MicroTime);
        target.message = message.cloned();
    }
    if let Some(sent) = fault.targets.iter().filter_map(|t| t.sent_at.as_ref()).map(|t| t.0).min() {
        fault.injected_at = Some(MicroTime(sent));
        fault.timing_error_milliseconds = Some(millis_between(due, sent));
    }
    let any = |state: TargetState| fault.targets.iter().find(|target| target.state == state);
    let (state, decisive) = match (any(TargetState::Failed), any(TargetState::Unconfirmed)) {
        (Some(failed), _) => (FaultState::Failed, Some(failed)),
        (None, Some(unconfirmed)) => (FaultState::Unconfirmed, Some(unconfirmed)),
        (None, None) => (FaultState::Injected, None),
    };
    let message = decisive
        .map(|target| format!("{}: {}", target.name, target.message.as_deref().unwrap_or("no reason given")));
    if state == FaultState::Unconfirmed {
        // It happened between its due time and now, if it happened; the window starts at the earlier end.
        fault.injected_at.get_or_insert(MicroTime(due));
    }
    fault.message = message.or(fault.message.take());
    fault.state = state;
}
