//! The run's own pods as the machine sees them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::{ResourceExt, runtime::reflector::Store};
use loadtest_core::{
    machine::{PodState, PodView},
    names::{INDEX_LABEL, ROLE_LABEL, Role, RunnerId, SCENARIO_LABEL, UID_LABEL},
};
use tokio::sync::watch;

/// The pods of all runs of a namespace.
#[derive(Clone)]
pub struct Pods {
    pub store: Store<Pod>,
    /// Turns true when the store has had its first whole list. Not `Store::wait_until_ready`, which wakes one of
    /// those who wait and forgets the others.
    pub complete: watch::Receiver<bool>,
}

/// All pods of one run, by name.
pub fn pods(store: &Store<Pod>, uid: &str) -> BTreeMap<String, PodView> {
    let pods = store.state();
    let own = pods.iter().filter(|pod| pod.labels().get(UID_LABEL).is_some_and(|of| of == uid));
    own.filter_map(|pod| Some((pod.name_any(), view(pod)?))).collect()
}

/// The address of one of the run's pods.
pub fn view(pod: &Pod) -> Option<PodView> {
    let labels = pod.labels();
    let scenario = labels.get(SCENARIO_LABEL)?.clone();
    let role = match labels.get(ROLE_LABEL)?.as_str() {
        "runner" => Role::Runner,
        "inspect" => Role::Inspect,
        _ => return None,
    };
    let runner = match role {
        Role::Inspect => None,
        Role::Runner => {
            Some(RunnerId { scenario: scenario.clone(), index: labels.get(INDEX_LABEL)?.parse().ok()? })
        }
    };
    let leaves_by = pod.metadata.deletion_timestamp.as_ref().map(|t| t.0);
    Some(PodView { role, scenario, runner, state: state(pod), leaves_by })
}

fn state(pod: &Pod) -> PodState {
    let status = pod.status.as_ref();
    let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or("Pending");
    let container = status.and_then(|s| s.container_statuses.as_ref()).and_then(|c| c.first());
    let container: Option<&ContainerState> = container.and_then(|c| c.state.as_ref());

    if let Some(ended) = container.and_then(|c| c.terminated.as_ref()) {
        let reason = ended.reason.clone().unwrap_or_else(|| "Ended".to_owned());
        return PodState::Ended { exit_code: Some(ended.exit_code), reason };
    }
    if matches!(phase, "Failed" | "Succeeded") {
        let reason = status.and_then(|s| s.reason.clone()).unwrap_or_else(|| phase.to_owned());
        return PodState::Ended { exit_code: None, reason };
    }
    if container.is_some_and(|c| c.running.is_some())
        && let Some(ip) = status.and_then(|s| s.pod_ip.clone())
    {
        return PodState::Running { ip };
    }
    if let Some(waiting) = container.and_then(|c| c.waiting.as_ref()) {
        return PodState::Waiting {
            reason: waiting.reason.clone().unwrap_or_default(),
            message: waiting.message.clone().unwrap_or_default(),
        };
    }
    let unscheduled = status
        .and_then(|s| s.conditions.as_ref())
        .and_then(|all| all.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"));
    PodState::Waiting {
        reason: unscheduled.and_then(|c| c.reason.clone()).unwrap_or_else(|| "Pending".to_owned()),
        message: unscheduled.and_then(|c| c.message.clone()).unwrap_or_default(),
    }
}
