//! Which pods a fault takes: a pure choice from those that match, random by the run's seed.

use std::{collections::BTreeSet, fmt};

use crate::{
    numbers::hash::fnv,
    plan::fault::{FaultPlan, PickPlan},
};

/// A pod behind a fault's selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    pub name: String,
    pub uid: String,
    pub node: Option<String>,
    /// Ready and not already on its way out.
    pub ready: bool,
    /// The Services that have a ready endpoint of it.
    pub serves: BTreeSet<String>,
}

/// Why a fault has no targets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    #[error("no ready pod in namespace {namespace} matches {selector}{besides}")]
    NoneReady { namespace: String, selector: String, besides: Besides },
    #[error(
        "asked for {asked} pods, but only {ready} ready ones in namespace {namespace} match {selector}{besides}"
    )]
    TooFew { asked: usize, ready: usize, namespace: String, selector: String, besides: Besides },
    #[error(
        "would leave none of the {ready} ready pods that match {selector} in namespace {namespace}{besides}: set \
         target.allowNoReady: true if that is meant, or run more replicas"
    )]
    NoneLeft { ready: usize, namespace: String, selector: String, besides: Besides },
}

/// How many ready pods are not counted, since other faults take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Besides(pub usize);

impl fmt::Display for Besides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ", besides {} that other faults take", self.0) }
    }
}

/// At most this many pods are taken by `all` and `percent`, so that a status stays small.
pub const MAX_TARGETS: usize = 50;

/// Picks the targets of a fault. The same seed, fault and pods give the same choice. Pods that are `taken`, by uid, by
/// other faults count as gone already.
///
/// # Errors
/// [`PickError`] where nothing may be picked.
pub fn pick(
    fault: &FaultPlan,
    candidates: &[Candidate],
    taken: &BTreeSet<String>,
    seed: i64,
) -> Result<Vec<Candidate>, PickError> {
    let (others, mut ready): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.iter().filter(|c| c.ready).partition(|c| taken.contains(&c.uid));
    let besides = Besides(others.len());
    let (namespace, selector) = (fault.namespace.clone(), fault.selector_text());
    if ready.is_empty() {
        return Err(PickError::NoneReady { namespace, selector, besides });
    }
    let count = match fault.pick {
        PickPlan::Count(n) if n > ready.len() => {
            return Err(PickError::TooFew { asked: n, ready: ready.len(), namespace, selector, besides });
        }
        PickPlan::Count(n) => n,
        PickPlan::Percent(p) => (ready.len() * p / 100).max(1),
        PickPlan::All => ready.len(),
    }
    .min(MAX_TARGETS);
    if count == ready.len() && !fault.allow_no_ready {
        return Err(PickError::NoneLeft { ready: ready.len(), namespace, selector, besides });
    }
    // A hash per pod and not a shuffle: the choice does not depend on the order in which pods were listed.
    ready.sort_by_cached_key(|c| (mix(seed, &fault.name, &c.uid), c.uid.clone()));
    Ok(ready.into_iter().take(count).cloned().collect())
}

/// FNV-1a over the seed, the fault's name and the pod's uid, finished with the mixer of SplitMix64.
/// Not for secrets: for a choice that can be made again.
fn mix(seed: i64, fault: &str, uid: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(fault.bytes()).chain([0]).chain(uid.bytes());
    let hash = fnv(bytes);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
