//! The pods of the system under test, watched with the rights of the LoadTest's service account.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use loadtest_core::{
    machine::fact::{Fact, News},
    plan::system::WatchPlan,
    watch::system::pod::{ContainerEnd, ContainerSeen, Disruption, PodSeen},
};
use loadtest_crds::{HappeningKind, LoadTestStatus, WatchedStatus};

use super::{
    Shared,
    faults::{effect_client, is_ready},
};
use crate::error::{said, said_of_watch};

/// The last look is tried so often, a second apart.
const TRIES: usize = 5;
/// A list of pods takes no longer where the API server is well.
const ANSWER: Duration = Duration::from_secs(10);

/// Watches every part until the run is over.
pub async fn watch(s: Arc<Shared>, status: LoadTestStatus) {
    join_all(s.plan.watched.iter().map(|part| watch_part(&s, part, &status))).await;
}

async fn watch_part(s: &Shared, part: &WatchPlan, status: &LoadTestStatus) {
    let tell = |at, news| tell(s, part, status, at, news);
    let client = match effect_client(s) {
        Ok(effect) => effect.client,
        Err(problem) => {
            return tell(Timestamp::now(), News::Trouble(problem.message));
        }
    };
    let api: Api<Pod> = Api::namespaced(client, &part.namespace);
    let matching = watcher::Config::default().labels(&part.selector_text());
    let mut changes = watcher::watcher(api, matching).default_backoff().boxed();
    let mut listed = Vec::new();
    while let Some(change) = changes.next().await {
        let at = Timestamp::now();
        match change {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => listed.push(seen(&pod)),
            Ok(watcher::Event::InitDone) => {
                tell(at, News::All(std::mem::take(&mut listed)));
            }
            Ok(watcher::Event::Apply(pod)) => {
                tell(at, News::Changed(Box::new(seen(&pod))));
            }
            Ok(watcher::Event::Delete(pod)) => {
                tell(at, News::Gone(pod.uid().unwrap_or_default()));
            }
            Err(error) => {
                tracing::warn!(%error, part = part.name, "failed to watch the system under test, trying again");
                tell(at, News::Trouble(said_of_watch(&error)));
            }
        }
    }
}

/// Looks at every part once more, after the load.
pub async fn look(s: Arc<Shared>, status: LoadTestStatus) {
    join_all(s.plan.watched.iter().map(|part| {
        let (s, status) = (&s, &status);
        async move {
            let pods = list(s, part).await;
            tell(s, part, status, Timestamp::now(), News::Last(pods));
        }
    }))
    .await;
}

async fn list(s: &Shared, part: &WatchPlan) -> Result<Vec<PodSeen>, String> {
    let mut failure = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        match list_once(s, part).await {
            Ok(pods) => return Ok(pods.iter().map(seen).collect()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The pods of one part.
pub async fn list_once(s: &Shared, part: &WatchPlan) -> Result<Vec<Pod>, String> {
    let client = effect_client(s).map_err(|problem| problem.message)?.client;
    let api: Api<Pod> = Api::namespaced(client, &part.namespace);
    let matching = ListParams::default().labels(&part.selector_text());
    match tokio::time::timeout(ANSWER, api.list(&matching)).await {
        Ok(Ok(pods)) => Ok(pods.items),
        Ok(Err(error)) => Err(said(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// Hands what was seen to the part's course, which goes on from what was recorded when this effect began.
fn tell(s: &Shared, part: &WatchPlan, status: &LoadTestStatus, at: Timestamp, news: News) {
    let name = &part.name;
    let recorded = status.system.iter().find(|p| p.name == *name).cloned();
    let before = recorded.unwrap_or_else(|| WatchedStatus { name: name.clone(), ..WatchedStatus::default() });
    let started =
        status.load.as_ref().and_then(|l| l.started_at.as_ref()).map_or_else(Timestamp::now, |t| t.0);
    s.tell(Fact::SeenOfSystem { before: Box::new(before), started, at, news });
}

/// A pod as the core takes it in.
fn seen(pod: &Pod) -> PodSeen {
    let status = pod.status.as_ref();
    let (workload, revision) = template(pod);
    let containers = status.map(|s| {
        let all = s.init_container_statuses.iter().chain(&s.container_statuses).flatten();
        all.map(|c| (c.name.clone(), container(c))).collect()
    });
    let spec = pod.spec.as_ref();
    PodSeen {
        uid: pod.uid().unwrap_or_default(),
        name: pod.name_any(),
        workload,
        revision,
        images: spec
            .map(|s| {
                let all = s.init_containers.iter().flatten().chain(&s.containers);
                all.map(|c| (c.name.clone(), c.image.clone().unwrap_or_default())).collect::<BTreeMap<_, _>>()
            })
            .unwrap_or_default(),
        limits: spec.map(|s| s.containers.iter().map(limits).collect()).unwrap_or_default(),
        ready: is_ready(pod),
        going: pod.metadata.deletion_timestamp.is_some(),
        over: status.and_then(|s| s.phase.as_deref()).is_some_and(|p| matches!(p, "Failed" | "Succeeded")),
        created_at: pod.metadata.creation_timestamp.as_ref().map(|t| t.0),
        disruption: disruption(pod),
        containers: containers.unwrap_or_default(),
    }
}

/// What made the pod, and the hash of the template that it was made from. The name of a ReplicaSet is that of its
/// Deployment and this hash.
fn template(pod: &Pod) -> (String, Option<String>) {
    let label = |key: &str| pod.labels().get(key).cloned();
    let owner = pod.owner_references().iter().find(|o| o.controller == Some(true));
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
        seen(&serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap())
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
