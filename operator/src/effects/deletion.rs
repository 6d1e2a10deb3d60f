//! The end of the run's pods: found by their label and by their names, so that none is lost to whoever edits labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
    runtime::{conditions::is_deleted, wait::await_condition},
};
use loadtest_core::{
    machine::fact::Fact,
    plan::names::{MANAGED_BY_LABEL, MANAGER, UID_LABEL, owner_of},
};
use loadtest_crds::LoadTest;
use tokio::time::{Instant, timeout};

use super::{
    Shared,
    persist::{No, RIGHTS_COME, persist},
};
use crate::{context::Context, run::refused::GivenUp};

/// Requests under way at once.
const PARALLEL: usize = 64;
/// What a pod gets to flush what it still holds.
const GRACE_SECONDS: u32 = 2;
/// The watch does not show pods without the operator's label: they are waited for here, for so long.
const UNWATCHED: Duration = Duration::from_secs(60);

/// Deletes all pods of the run. `created` says whether any was ever asked for.
pub async fn delete_pods(s: Arc<Shared>, created: bool) {
    let planned = if created { s.plan.pods().into_keys().collect() } else { BTreeSet::new() };
    let deleted = delete(&s.pods(), &s.plan.names.uid, &planned, Instant::now() + RIGHTS_COME).await;
    if let Err(refused) = &deleted {
        s.refused("delete the run's pods", refused);
    }
    s.tell(Fact::PodsDeleted(deleted.map_err(|refused| refused.why)));
}

/// Deletes the pods of a run that has no plan.
pub async fn end_pods(context: &Context, test: &LoadTest, uid: &str) {
    let api = Api::namespaced(context.own.client.clone(), &test.namespace().unwrap_or_default());
    if let Err(GivenUp { why, .. }) = delete(&api, uid, &BTreeSet::new(), Instant::now() + RIGHTS_COME).await
    {
        tracing::warn!(why, "failed to delete the run's pods");
    }
}

/// Fails where it is refused, until after `rights`.
async fn delete(
    api: &Api<Pod>,
    uid: &str,
    planned: &BTreeSet<String>,
    rights: Instant,
) -> Result<(), GivenUp> {
    let deleted = persist("delete the run's pods", rights, || async {
        let pods = find(api, uid, planned).await?;
        let deleted = stream::iter(pods.clone())
            .map(|(name, pod)| async move { delete_one(api, &name, pod.uid).await });
        let deleted = deleted.buffer_unordered(PARALLEL).collect::<Vec<_>>().await;
        deleted.into_iter().collect::<kube::Result<()>>()?;
        Ok(pods.into_iter().filter(|(_, pod)| !is_watched(pod)).collect::<Vec<_>>())
    });
    let unwatched = match deleted.await {
        Ok(unwatched) => unwatched,
        Err(No::Gone) => Vec::new(),
        Err(No::Refused(refused)) => return Err(refused),
    };
    stream::iter(unwatched)
        .for_each_concurrent(PARALLEL, |(name, pod)| async move {
            tracing::warn!(pod = name, "a pod of the run had lost its labels");
            let uid = pod.uid.unwrap_or_default();
            let gone = await_condition(api.clone(), &name, is_deleted(&uid));
            // One that stays is its node's, as are those that the watch shows.
            let _ = timeout(UNWATCHED, gone).await;
        })
        .await;
    Ok(())
}

/// The run's pods, by name: those with its label, and of the others that it planned those that it owns.
async fn find(
    api: &Api<Pod>,
    uid: &str,
    planned: &BTreeSet<String>,
) -> kube::Result<BTreeMap<String, ObjectMeta>> {
    let labelled = api.list_metadata(&ListParams::default().labels(&format!("{UID_LABEL}={uid}"))).await?;
    let all = labelled.items.into_iter().map(|pod| pod.metadata);
    let mut found: BTreeMap<String, ObjectMeta> =
        all.filter(|pod| is_of(pod, uid)).filter_map(|pod| Some((pod.name.clone()?, pod))).collect();
    let missing: Vec<String> = planned.iter().filter(|name| !found.contains_key(*name)).cloned().collect();
    let looked_up: Vec<_> = stream::iter(missing)
        .map(|name| async move { api.get_metadata_opt(&name).await })
        .buffer_unordered(PARALLEL)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<kube::Result<_>>()?;
    let others = looked_up.into_iter().flatten().map(|pod| pod.metadata).filter(|pod| is_of(pod, uid));
    found.extend(others.filter_map(|pod| Some((pod.name.clone()?, pod))));
    Ok(found)
}

fn is_of(pod: &ObjectMeta, uid: &str) -> bool {
    owner_of(pod) == Some(uid)
}

fn is_watched(pod: &ObjectMeta) -> bool {
    pod.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL)).is_some_and(|by| by == MANAGER)
}

/// Of this pod and of none that has come in its place.
async fn delete_one(api: &Api<Pod>, name: &str, uid: Option<String>) -> kube::Result<()> {
    let params = DeleteParams {
        grace_period_seconds: Some(GRACE_SECONDS),
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use kube::{Client, Config};
    use serde_json::{Value, json};
    use wiremock::{
        Mock, MockServer, Request, ResponseTemplate,
        matchers::{any, method, path},
    };

    use super::*;

    const PODS: &str = "/api/v1/namespaces/loadtests/pods";

    fn pod(name: &str, owner: &str, labels: Value) -> Value {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "name": name, "uid": format!("{name}-uid"), "labels": labels,
                "ownerReferences": [
                    {"apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest", "name": "chat", "uid": owner}
                ],
            }
        })
    }

    fn not_found() -> ResponseTemplate {
        ResponseTemplate::new(404).set_body_json(json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "not found",
        }))
    }

    /// One keeps its labels, one has lost them, one is a stranger's with a name of ours, one never was.
    #[tokio::test]
    async fn pods_are_found_without_their_labels() {
        let server = MockServer::start().await;
        let ours = json!({MANAGED_BY_LABEL: MANAGER, UID_LABEL: "uid-1"});
        let list = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"},
            "items": [pod("chat-a-0", "uid-1", ours.clone()), pod("stray", "uid-2", ours.clone())],
        });
        Mock::given(method("GET"))
            .and(path(PODS))
            .respond_with(ResponseTemplate::new(200).set_body_json(list))
            .mount(&server)
            .await;
        for (name, owner) in [("chat-a-1", "uid-1"), ("chat-a-2", "uid-2")] {
            let found = pod(name, owner, json!({MANAGED_BY_LABEL: MANAGER}));
            Mock::given(method("GET"))
                .and(path(format!("{PODS}/{name}")))
                .respond_with(ResponseTemplate::new(200).set_body_json(found))
                .mount(&server)
                .await;
        }
        let deleted = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(200).set_body_json(deleted))
            .mount(&server)
            .await;
        Mock::given(any()).respond_with(not_found()).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();

        let planned = ["chat-a-0", "chat-a-1", "chat-a-2", "chat-a-3"].map(str::to_owned).into();
        delete(&Api::namespaced(client, "loadtests"), "uid-1", &planned, Instant::now()).await.unwrap();

        let sent = server.received_requests().await.unwrap();
        let deletions = sent.iter().filter(|request| request.method.as_str() == "DELETE");
        let mut deleted: Vec<(String, Value)> = deletions
            .map(|request: &Request| {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                (request.url.path().to_owned(), body["preconditions"]["uid"].clone())
            })
            .collect();
        deleted.sort_by(|a, b| a.0.cmp(&b.0));
        let expected =
            ["chat-a-0", "chat-a-1"].map(|name| (format!("{PODS}/{name}"), json!(format!("{name}-uid"))));
        assert_eq!(deleted, expected);
    }
}
