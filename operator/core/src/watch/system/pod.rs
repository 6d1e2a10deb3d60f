//! What was seen of a pod of the system under test.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use loadtest_crds::HappeningKind;

/// A pod of the system under test as it is seen at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSeen {
    pub uid: String,
    pub name: String,
    /// What made it: the Deployment, StatefulSet or DaemonSet; empty for a bare pod.
    pub workload: String,
    /// Hash of the template that it was made from.
    pub revision: Option<String>,
    /// By container.
    pub images: BTreeMap<String, String>,
    /// By container: by resource, as in 500m for cpu. Not those of containers that only initialise.
    pub limits: BTreeMap<String, BTreeMap<String, String>>,
    pub ready: bool,
    /// It is being deleted.
    pub going: bool,
    /// All its containers have ended for good.
    pub over: bool,
    pub created_at: Option<Timestamp>,
    pub disruption: Option<Disruption>,
    pub containers: BTreeMap<String, ContainerSeen>,
}

/// Why the cluster takes a pod away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// Eviction or Node.
    pub kind: HappeningKind,
    pub why: String,
    pub at: Option<Timestamp>,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSeen {
    /// How often it was started again since the pod was made.
    pub restarts: i32,
    /// It has ended and does not run.
    pub ended_now: bool,
    /// How it last ended.
    pub last_end: Option<ContainerEnd>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerEnd {
    pub exit_code: i32,
    pub reason: String,
    /// By the clock of its node, to the second.
    pub at: Option<Timestamp>,
}

impl PodSeen {
    /// As the API server tells it.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let (workload, revision) = template(pod);
        let containers = status.map(|s| {
            let all = s.init_container_statuses.iter().chain(&s.container_statuses).flatten();
            all.map(|c| (c.name.clone(), container(c))).collect()
        });
        let spec = pod.spec.as_ref();
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            workload,
            revision,
            images: spec
                .map(|s| {
                    let all = s.init_containers.iter().flatten().chain(&s.containers);
                    all.map(|c| (c.name.clone(), c.image.clone().unwrap_or_default()))
                        .collect::<BTreeMap<_, _>>()
                })
                .unwrap_or_default(),
            limits: spec.map(|s| s.containers.iter().map(limits).collect()).unwrap_or_default(),
            ready: is_ready(pod),
            going: pod.metadata.deletion_timestamp.is_some(),
            over: status
                .and_then(|s| s.phase.as_deref())
                .is_some_and(|p| matches!(p, "Failed" | "Succeeded")),
            created_at: pod.metadata.creation_timestamp.as_ref().map(|t| t.0),
            disruption: disruption(pod),
            containers: containers.unwrap_or_default(),
        }
    }

    /// Neither on its way out nor at its end.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.going && !self.over
    }

    /// `dbman 5f7c6d9b9c`
    pub(crate) fn template(&self) -> Option<String> {
        let revision = self.revision.as_deref()?;
        Some(format!("{} {revision}", self.workload).trim().to_owned())
    }
}

impl ContainerSeen {
    /// How often it has ended.
    pub(crate) fn ends(&self) -> i32 {
        self.restarts + i32::from(self.ended_now)
    }

    pub(crate) fn was_out_of_memory(&self) -> bool {
        self.last_end.as_ref().is_some_and(|end| end.reason == "OOMKilled")
    }
}

/// Ready, and not on its way out.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// What made the pod, and the hash of the template that it was made from. The name of a ReplicaSet is that of its
/// Deployment and this hash.
fn template(pod: &Pod) -> (String, Option<String>) {
    let label = |key: &str| pod.metadata.labels.as_ref()?.get(key).cloned();
    let owner = pod.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true));
    let name = owner.map(|o| o.name.clone()).unwrap_or_default();
    match label("pod-template-hash") {
        Some(hash) => {
            let workload = name.strip_suffix(&format!("-{hash}")).unwrap_or(&name).to_owned();
            (workload, Some(hash))
        }
        None => {
            let revision = label("controller-revision-hash");
            // StatefulSets put their own name in front.
            let short = revision.map(|r| r.strip_prefix(&format!("{name}-")).unwrap_or(&r).to_owned());
            (name, short)
        }
    }
}

fn limits(container: &Container) -> (String, BTreeMap<String, String>) {
    let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    let limits = limits.into_iter().flatten().map(|(name, limit)| (name.clone(), limit.0.clone()));
    (container.name.clone(), limits.collect())
}

fn container(status: &ContainerStatus) -> ContainerSeen {
    let ended = |state: &Option<ContainerState>| state.as_ref().and_then(|s| s.terminated.clone());
    let now = ended(&status.state);
    ContainerSeen {
        restarts: status.restart_count,
        ended_now: now.is_some(),
        last_end: now.or_else(|| ended(&status.last_state)).map(end),
    }
}

fn end(ended: ContainerStateTerminated) -> ContainerEnd {
    ContainerEnd {
        exit_code: ended.exit_code,
        reason: ended.reason.unwrap_or_default(),
        at: ended.finished_at.map(|t| t.0),
    }
}

/// Why the cluster takes the pod away, where it says so: the kubelet in the pod's reason, all others in the
/// condition DisruptionTarget.
fn disruption(pod: &Pod) -> Option<Disruption> {
    let status = pod.status.as_ref()?;
    let condition =
        status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    let by_condition = condition.map(|c| {
        let reason = c.reason.clone().unwrap_or_default();
        let kind = match reason.as_str() {
            "DeletionByTaintManager" | "DeletionByPodGC" => HappeningKind::Node,
            _ => HappeningKind::Eviction,
        };
        let why = format!("{reason}: {}", c.message.clone().unwrap_or_default());
        Disruption { kind, why, at: c.last_transition_time.as_ref().map(|t| t.0) }
    });
    by_condition.or_else(|| {
        let kind = match status.reason.as_deref()? {
            "Evicted" | "Preempting" => HappeningKind::Eviction,
            "NodeLost" | "NodeShutdown" | "NodeAffinity" | "Terminated" => HappeningKind::Node,
            _ => return None,
        };
        let words = [status.reason.clone(), status.message.clone()];
        let why = words.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let ends = status.container_statuses.iter().flatten().filter_map(|c| container(c).last_end?.at);
        Some(Disruption { kind, why, at: ends.max() })
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: Value, status: Value) -> PodSeen {
        let limits = json!({"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "5m"}});
        let spec = json!({
            "containers": [{"name": "c", "image": "i:1", "resources": limits}, {"name": "d", "image": "d:1"}],
            "initContainers": [{"name": "x", "image": "x:1"}],
        });
        PodSeen::of(
            &serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap(),
        )
    }

    #[rstest]
    #[case::deployment(
        json!({"pod-template-hash": "5f7c"}), json!([{"kind": "ReplicaSet", "name": "dbman-5f7c", "controller": true}]), "dbman", Some("5f7c")
    )]
    #[case::stateful_set(
        json!({"controller-revision-hash": "db-6b8d"}), json!([{"kind": "StatefulSet", "name": "db", "controller": true}]), "db", Some("6b8d")
    )]
    #[case::daemon_set(
        json!({"controller-revision-hash": "6b8d"}), json!([{"kind": "DaemonSet", "name": "agent", "controller": true}]), "agent", Some("6b8d")
    )]
    #[case::bare(json!({}), json!([]), "", None)]
    fn templates(
        #[case] labels: Value,
        #[case] mut owners: Value,
        #[case] workload: &str,
        #[case] revision: Option<&str>,
    ) {
        for owner in owners.as_array_mut().unwrap() {
            owner["apiVersion"] = json!("apps/v1");
            owner["uid"] = json!("u");
        }
        let seen = pod(json!({"name": "p", "labels": labels, "ownerReferences": owners}), json!({}));
        assert_eq!((seen.workload.as_str(), seen.revision.as_deref()), (workload, revision));
        assert_eq!(
            seen.images,
            [("c", "i:1"), ("d", "d:1"), ("x", "x:1")].map(|(c, i)| (c.to_owned(), i.to_owned())).into()
        );
        let limits = [("cpu", "500m"), ("memory", "64Mi")].map(|(r, l)| (r.to_owned(), l.to_owned())).into();
        assert_eq!(seen.limits, [("c".to_owned(), limits), ("d".to_owned(), BTreeMap::new())].into());
        assert!(seen.lives() && !seen.ready);
    }

    #[test]
    fn a_container_that_was_killed_for_lack_of_memory() {
        let killed = json!({"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:05Z"});
        let status = |state: Value, last: Value, restarts: i32| {
            json!({"phase": "Running", "containerStatuses": [{
                "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
                "state": state, "lastState": last}]})
        };
        let down =
            pod(json!({}), status(json!({"terminated": killed}), json!({}), 0)).containers["c"].clone();
        assert_eq!((down.restarts, down.ended_now), (0, true));
        let up = pod(json!({}), status(json!({"running": {}}), json!({"terminated": killed}), 1));
        let up = up.containers["c"].clone();
        assert_eq!((up.restarts, up.ended_now), (1, false));
        assert_eq!(up.last_end, down.last_end);
        assert_eq!(up.last_end.unwrap().reason, "OOMKilled");
    }

    #[rstest]
    #[case(json!({"reason": "Evicted", "message": "low on memory"}), Some((HappeningKind::Eviction, "Evicted: low on memory")))]
    #[case(json!({"reason": "NodeLost"}), Some((HappeningKind::Node, "NodeLost")))]
    #[case(json!({"reason": "Other"}), None)]
    #[case(json!({}), None)]
    #[case(
        json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "m"}]}),
        Some((HappeningKind::Node, "DeletionByTaintManager: m"))
    )]
    #[case(
        json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "m"}]}),
        Some((HappeningKind::Eviction, "EvictionByEvictionAPI: m"))
    )]
    #[case(json!({"conditions": [{"type": "DisruptionTarget", "status": "False"}]}), None)]
    fn disruptions(#[case] status: Value, #[case] expected: Option<(HappeningKind, &str)>) {
        let found = pod(json!({}), status).disruption;
        assert_eq!(found.as_ref().map(|d| (d.kind, d.why.as_str())), expected);
    }
}
