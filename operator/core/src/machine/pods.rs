//! The run's own pods, as far as decisions hang on them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, Pod};

use crate::plan::{
    Plan,
    names::{Role, RunnerId},
};

/// One of the run's own pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    pub role: Role,
    pub scenario: String,
    pub runner: Option<RunnerId>,
    pub state: PodState,
    /// When it is to be gone, its grace period included, where it is being deleted.
    pub leaves_by: Option<Timestamp>,
}

/// How far a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Not running yet, and why, in the kubelet's or scheduler's words.
    Waiting {
        reason: String,
        message: String,
    },
    Running {
        ip: String,
    },
    /// Its container has ended.
    Ended {
        exit_code: Option<i32>,
        reason: String,
    },
}

/// All of them that are found, by name.
#[must_use]
pub fn views(plan: &Plan, find: impl Fn(&str) -> Option<Arc<Pod>>) -> BTreeMap<String, PodView> {
    let planned = plan.pods().into_iter();
    let view = |(name, (scenario, runner)): (String, (String, Option<RunnerId>))| {
        let pod = find(&name)?;
        let role = if runner.is_some() { Role::Runner } else { Role::Inspect };
        let leaves_by = pod.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        Some((name, PodView { role, scenario, runner, state: PodState::of(&pod), leaves_by }))
    };
    planned.filter_map(view).collect()
}

impl PodState {
    /// As the kubelet and the scheduler tell it.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or("Pending");
        let container = status.and_then(|s| s.container_statuses.as_ref()).and_then(|c| c.first());
        let container: Option<&ContainerState> = container.and_then(|c| c.state.as_ref());

        if let Some(ended) = container.and_then(|c| c.terminated.as_ref()) {
            let reason = ended.reason.clone().unwrap_or_else(|| "Ended".to_owned());
            return Self::Ended { exit_code: Some(ended.exit_code), reason };
        }
        if matches!(phase, "Failed" | "Succeeded") {
            let reason = status.and_then(|s| s.reason.clone()).unwrap_or_else(|| phase.to_owned());
            return Self::Ended { exit_code: None, reason };
        }
        if container.is_some_and(|c| c.running.is_some())
            && let Some(ip) = status.and_then(|s| s.pod_ip.clone())
        {
            return Self::Running { ip };
        }
        if let Some(waiting) = container.and_then(|c| c.waiting.as_ref()) {
            return Self::Waiting {
                reason: waiting.reason.clone().unwrap_or_default(),
                message: waiting.message.clone().unwrap_or_default(),
            };
        }
        let unscheduled = status
            .and_then(|s| s.conditions.as_ref())
            .and_then(|all| all.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"));
        Self::Waiting {
            reason: unscheduled.and_then(|c| c.reason.clone()).unwrap_or_else(|| "Pending".to_owned()),
            message: unscheduled.and_then(|c| c.message.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn container(state: Value) -> Value {
        json!([{"name": "k6", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}])
    }

    fn waiting(reason: &str, message: &str) -> PodState {
        PodState::Waiting { reason: reason.to_owned(), message: message.to_owned() }
    }

    fn ended(exit_code: Option<i32>, reason: &str) -> PodState {
        PodState::Ended { exit_code, reason: reason.to_owned() }
    }

    #[rstest]
    #[case::made_just_now(json!({}), waiting("Pending", ""))]
    #[case::no_node(
        json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
        waiting("Unschedulable", "0/1 nodes")
    )]
    #[case::no_image(
        json!({"containerStatuses": container(json!({"waiting": {"reason": "ErrImagePull", "message": "m"}}))}),
        waiting("ErrImagePull", "m")
    )]
    #[case::no_address_yet(json!({"containerStatuses": container(json!({"running": {}}))}), waiting("Pending", ""))]
    #[case::running(
        json!({"podIP": "198.19.0.1", "containerStatuses": container(json!({"running": {}}))}),
        PodState::Running { ip: "198.19.0.1".to_owned() }
    )]
    #[case::ended(
        json!({"phase": "Failed", "containerStatuses": container(json!({"terminated": {"exitCode": 107}}))}),
        ended(Some(107), "Ended")
    )]
    #[case::evicted_before_it_ran(json!({"phase": "Failed", "reason": "Evicted"}), ended(None, "Evicted"))]
    fn how_far_a_pod_is(#[case] status: Value, #[case] expected: PodState) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
        assert_eq!(PodState::of(&pod), expected);
    }
}
