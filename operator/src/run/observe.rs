//! The run's own pods as the machine sees them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::runtime::reflector::{ObjectRef, Store};
use loadtest_core::{
    machine::world::{PodState, PodView},
    plan::{
        Plan,
        names::{Role, RunNames, RunnerId, owner_of},
    },
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

/// All pods of one run, by name. By their names and their owner, for a user may edit labels.
pub fn pods(store: &Store<Pod>, plan: &Plan) -> BTreeMap<String, PodView> {
    let planned = plan.pods().into_iter();
    let view = |(name, (scenario, runner)): (String, (String, Option<RunnerId>))| {
        let pod = own(store, &plan.names, &name)?;
        let role = if runner.is_some() { Role::Runner } else { Role::Inspect };
        let leaves_by = pod.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        Some((name, PodView { role, scenario, runner, state: state(&pod), leaves_by }))
    };
    planned.filter_map(view).collect()
}

/// The run's own pod of this name.
fn own(store: &Store<Pod>, names: &RunNames, name: &str) -> Option<Arc<Pod>> {
    let pod = store.get(&ObjectRef::new(name).within(&names.namespace))?;
    (owner_of(&pod.metadata) == Some(names.uid.as_str())).then_some(pod)
}

/// How far the run's own pod of this name is.
pub fn state_of(store: &Store<Pod>, names: &RunNames, name: &str) -> Option<PodState> {
    own(store, names, name).map(|pod| state(&pod))
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
