//! Whether the pods behind a fault's selector serve: before the fault and, counted the same way, after it.
//!
//! A pod serves a Service when it is ready and an EndpointSlice of that Service has a ready endpoint of it. Each
//! Service is counted by itself: pods behind one selector may stand behind different Services, and a count of those
//! that serve all of them could be none.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    core::v1::Pod,
    discovery::v1::{Endpoint, EndpointSlice},
};
use loadtest_crds::ServedService;

use crate::{machine::pick::Candidate, watch::system::pod::is_ready};

/// The label by which an EndpointSlice says whose it is.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// So many Services of a fault's pods are recorded, and waited for: a status stays small.
pub const MAX_SERVICES: usize = 16;

/// The Services that have a ready endpoint of a pod, by the pod's uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(BTreeMap<String, BTreeSet<String>>);

impl Endpoints {
    /// Reads slices. A Service may have several, as many as it has families of addresses or more, and a pod may be in
    /// more than one of them.
    #[must_use]
    pub fn of<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Self {
        let mut pods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for slice in slices {
            let Some(service) = slice.metadata.labels.as_ref().and_then(|l| l.get(SERVICE_LABEL)) else {
                continue;
            };
            for uid in slice.endpoints.iter().filter(|e| is_endpoint_ready(e)).filter_map(pod) {
                pods.entry(uid.to_owned()).or_default().insert(service.clone());
            }
        }
        Self(pods)
    }

    /// The Services that a pod serves.
    #[must_use]
    pub fn services(&self, uid: &str) -> BTreeSet<String> {
        self.0.get(uid).cloned().unwrap_or_default()
    }
}

/// The pods behind a selector with what they serve, in the order of their uids. One that has ended is a leftover: it will
/// never be ready.
#[must_use]
pub fn candidates<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
) -> Vec<Candidate> {
    let endpoints = Endpoints::of(slices);
    let candidate = |pod: &Pod| {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        Candidate {
            name: pod.metadata.name.clone().unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
            ready: is_ready(pod),
            serves: endpoints.services(&uid),
            uid,
        }
    };
    let mut all: Vec<Candidate> = pods.into_iter().filter(|pod| !has_ended(pod)).map(candidate).collect();
    all.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
    all
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// The API has it so that no condition means ready.
fn is_endpoint_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)
}

/// The uid of the pod behind an endpoint.
fn pod(endpoint: &Endpoint) -> Option<&str> {
    let target = endpoint.target_ref.as_ref().filter(|t| t.kind.as_deref() == Some("Pod"))?;
    target.uid.as_deref()
}

/// The Services that picked pods serve, each with how many of all the pods serve it.
#[must_use]
pub fn services(picked: &[Candidate], all: &[Candidate]) -> Vec<ServedService> {
    let names: BTreeSet<&String> = picked.iter().flat_map(|pod| &pod.serves).collect();
    let each = names.into_iter().take(MAX_SERVICES).map(|name| ServedService {
        name: name.clone(),
        ready_before: i32::try_from(all.iter().filter(|pod| serves(pod, name)).count()).unwrap_or(i32::MAX),
    });
    each.collect()
}

fn serves(pod: &Candidate, service: &str) -> bool {
    pod.ready && pod.serves.contains(service)
}

#[cfg(test)]
mod tests;
