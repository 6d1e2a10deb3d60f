//! Pods that faults have taken, of this run and of the others: they count as gone already for whoever picks, and again
//! for whoever sends.

use std::collections::BTreeSet;

use loadtest_crds::{FaultStatus, LoadTestStatus};

use crate::{
    machine::{
        behind::Count,
        pick::Candidate,
        world::{Claim, World},
    },
    plan::{Plan, fault::FaultPlan},
};

/// Other faults that are named in a message.
const MOST_NAMED: usize = 3;

/// The pods that the faults of a run are about to delete, or have deleted: by its record, so that they are known to
/// whoever takes it up.
#[must_use]
pub fn claims(plan: &Plan, status: &LoadTestStatus) -> Vec<Claim> {
    let faults = status.faults.iter().zip(&plan.faults);
    let claims = faults.map(|(fault, own)| Claim {
        test: format!("{}/{}", plan.names.namespace, plan.names.name),
        fault: fault.name.clone(),
        namespace: own.namespace.clone(),
        selector: own.selector_text(),
        pods: fault.hit().map(|target| (target.uid.clone(), target.name.clone())).collect(),
        before: Count::before(fault),
        injected_at: fault.injected(),
        replaced_at: fault.replaced(),
    });
    claims.filter(|claim| !claim.pods.is_empty()).collect()
}

/// Uids of the pods of claims.
pub fn uids<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> BTreeSet<String> {
    claims.into_iter().flat_map(|claim| claim.pods.keys().cloned()).collect()
}

/// Who of the other runs leaves a fault fewer pods: takes some of these, or has taken such as are not replaced yet. As
/// in `fault kill of LoadTest shop/nightly takes dbman-0`.
pub fn rivals(own: &FaultPlan, pods: &BTreeSet<String>, world: &World) -> Option<String> {
    let selector = own.selector_text();
    let takes = |claim: &Claim| {
        let of_these = claim.pods.iter().find(|(uid, _)| pods.contains(*uid));
        let is_open = claim.is_of(&own.namespace, &selector) && claim.replaced_at.is_none();
        let (_, name) = of_these.or_else(|| claim.pods.iter().next().filter(|_| is_open))?;
        Some(format!("fault {} of LoadTest {} takes {name}", claim.fault, claim.test))
    };
    let all: Vec<String> = world.claimed.iter().filter_map(|claim| takes(claim)).collect();
    let more =
        if all.len() > MOST_NAMED { format!(", and {} more", all.len() - MOST_NAMED) } else { String::new() };
    let named = all.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    (!all.is_empty()).then(|| named + &more)
}

/// Whether a fault may be sent now.
#[derive(Debug, PartialEq, Eq)]
pub enum Guard {
    Clear,
    /// It would leave no ready pod, and why.
    NoneLeft(String),
    /// Nobody has seen the pods yet.
    Unseen,
}

/// Pods may have gone since some were picked, and others of them may have been taken: at least one must be ready that
/// nobody takes.
pub fn guard(fault: &FaultStatus, own: &FaultPlan, siblings: &[Claim], world: &World) -> Guard {
    if own.allow_no_ready {
        return Guard::Clear;
    }
    let listed = || world.facts.candidates.get(&fault.name)?.as_ref().ok().map(|pods| ready(pods));
    let seen = world.facts.behind.get(&fault.name).map(|behind| behind.ready().clone());
    let Some(ready) = seen.or_else(listed) else { return Guard::Unseen };
    let picked: BTreeSet<String> = fault.targets.iter().map(|target| target.uid.clone()).collect();
    let others = uids(siblings.iter().chain(world.claimed.iter().map(AsRef::as_ref)));
    if ready.iter().any(|pod| !picked.contains(pod) && !others.contains(pod)) {
        return Guard::Clear;
    }
    let of_its_own = ready.iter().filter(|pod| picked.contains(*pod)).count();
    let besides = match ready.len() - of_its_own {
        0 => String::new(),
        n => format!(", {n} that other faults take"),
    };
    let rivals = rivals(own, &ready, world).map(|who| format!("; {who}")).unwrap_or_default();
    Guard::NoneLeft(format!(
        "it would have left no ready pod that matches {} in namespace {}: {} ready when it was due, {of_its_own} of its \
         own{besides}{rivals}",
        own.selector_text(),
        own.namespace,
        ready.len(),
    ))
}

/// Uids of ready pods.
pub fn ready(pods: &[Candidate]) -> BTreeSet<String> {
    pods.iter().filter(|pod| pod.ready).map(|pod| pod.uid.clone()).collect()
}
