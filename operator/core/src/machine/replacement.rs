//! The end of a fault: as many pods as before are ready, and serve.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultState, FaultStatus};

use crate::{
    machine::{
        behind::{Count, Seen},
        pass::Pass,
        world::{Claim, Effect, World},
    },
    plan::fault::FaultPlan,
};

/// Waits until as many as before are there. `siblings` are the other faults of the run.
pub fn wait(pass: &mut Pass, fault: &mut FaultStatus, own: &FaultPlan, siblings: &[Claim], world: &World) {
    if fault.replaced_at.is_none() {
        pass.effect(Effect::AwaitReplacement { fault: fault.name.clone() });
        note(pass, fault, own, siblings, world);
    } else {
        leave(pass, fault, world);
    }
}

/// Nobody watches any more.
pub fn leave(pass: &mut Pass, fault: &FaultStatus, world: &World) {
    if world.facts.has_dispatched(&Effect::AwaitReplacement { fault: fault.name.clone() }) {
        pass.effect(Effect::LeaveTargets { fault: fault.name.clone() });
    }
}

/// What was seen before the load ended belongs to it.
pub fn note(pass: &Pass, fault: &mut FaultStatus, own: &FaultPlan, siblings: &[Claim], world: &World) {
    let (Some(behind), Some(injected)) = (world.facts.behind.get(&fault.name), fault.injected()) else {
        return;
    };
    if fault.replaced_at.is_some() {
        return;
    }
    if let Some(before) = behind.before(injected) {
        record(fault, &before_all(fault, own, siblings, world, before));
    }
    let ended = pass.status.load_ended().unwrap_or(world.now);
    if let Some(at) = behind.there(injected, &Count::before(fault)).filter(|at| *at <= ended) {
        fault.replaced_at = Some(MicroTime(at));
        fault.missing = None;
    }
}

/// As many as were ready when pods were picked, and when they were deleted. Where an earlier fault of the same pods is
/// not over by then, what comes in their place is part of what was there before: as far as it exists and is not ready.
fn before_all(
    fault: &FaultStatus,
    own: &FaultPlan,
    siblings: &[Claim],
    world: &World,
    before: &Seen,
) -> Count {
    let mut wanted = Count::before(fault);
    wanted.raise(&before.all, usize::MAX);
    let Some(injected) = fault.injected() else { return wanted };
    let selector = own.selector_text();
    let others = siblings.iter().chain(world.claimed.iter().map(AsRef::as_ref));
    let open = others.filter(|other| {
        other.is_of(&own.namespace, &selector)
            && other.injected_at.is_some_and(|at| at <= injected)
            && other.replaced_at.is_none_or(|at| at > injected)
    });
    for other in open {
        wanted.raise(&other.before, before.all.ready + before.coming);
    }
    wanted
}

fn record(fault: &mut FaultStatus, wanted: &Count) {
    let recorded = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    fault.ready_before = Some(recorded(wanted.ready));
    for service in &mut fault.services {
        if let Some(serving) = wanted.services.get(&service.name) {
            service.ready_before = recorded(*serving);
        }
    }
}

/// What was missing when the load ended.
pub fn note_missing(pass: &Pass, fault: &mut FaultStatus, world: &World) {
    let open = fault.state == FaultState::Injected && fault.replaced_at.is_none() && fault.missing.is_none();
    let ended = pass.status.load_ended();
    let (true, Some(ended)) = (open, ended) else { return };
    let seen = world.facts.behind.get(&fault.name).and_then(|behind| behind.at(ended));
    fault.missing = seen.map(|seen| seen.others.against(&Count::before(fault)));
}
