//! The run's own objects: created, released.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use loadtest_core::{
    machine::fact::Fact,
    objects,
    plan::names::{ROLE_LABEL, Role, RunnerId, owner_of},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Shared,
    persist::{No, RIGHTS_COME, persist},
};
use crate::error::said;

/// Requests under way at once. The API server queues what it cannot take, so more brings nothing.
const PARALLEL: usize = 64;
/// The deadlines of the runners are lowered one after the other, from so long after the start on.
const DEADLINES_AFTER: Duration = Duration::from_secs(2);
const DEADLINE_TURN: Duration = Duration::from_millis(100);

/// Creates all objects of the run; the pods all at once. Those that exist stay as they are.
pub async fn create(s: Arc<Shared>) {
    let result = try_create(&s).await;
    s.tell(Fact::Created(result));
}

async fn try_create(s: &Shared) -> Result<(), String> {
    let push = s.context.config.load_store.push().map_err(|error| error.to_string())?;
    let objects = objects::build_run(&s.plan, &push);

    let maps = s.config_maps();
    for map in &objects.config_maps {
        match maps.create(&PostParams::default(), map).await {
            Ok(_) => {}
            Err(kube::Error::Api(refusal)) if refusal.reason == "AlreadyExists" => {
                ours(&maps, "ConfigMap", &map.name_any(), &s.plan.names.uid).await?;
            }
            Err(error) => {
                return Err(format!("failed to create ConfigMap {}: {}", map.name_any(), said(&error)));
            }
        }
    }
    // The inspections are on their way before the runners, so that their answer is there before the last of these.
    let inspects =
        |pod: &Pod| pod.labels().get(ROLE_LABEL).is_some_and(|role| role == Role::Inspect.as_str());
    let (inspections, runners): (Vec<Pod>, Vec<Pod>) = objects.pods.into_iter().partition(inspects);
    create_pods(s, inspections).await?;
    create_pods(s, runners).await
}

async fn create_pods(s: &Shared, pods: Vec<Pod>) -> Result<(), String> {
    let api = s.pods();
    let mut created = stream::iter(pods)
        .map(|pod| {
            let api = &api;
            async move {
                match api.create(&PostParams::default(), &pod).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(refusal)) if refusal.reason == "AlreadyExists" => {
                        ours(api, "pod", &pod.name_any(), &s.plan.names.uid).await
                    }
                    Err(error) => Err(format!("failed to create pod {}: {}", pod.name_any(), said(&error))),
                }
            }
        })
        .buffer_unordered(PARALLEL);
    let mut result = Ok(());
    while let Some(one) = created.next().await {
        result = result.and(one);
    }
    result
}

/// An earlier process may have created it; anyone else's object of that name is in the way.
async fn ours<K>(api: &Api<K>, kind: &str, name: &str, uid: &str) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    match whose(api, name, uid).await {
        Ok(Whose::Ours) => Ok(()),
        Ok(Whose::Others | Whose::Nobodys) => Err(format!(
            "a {kind} named {name} exists and is not of this run: delete it or rename the LoadTest"
        )),
        Err(error) => Err(format!("failed to look at {name}: {}", said(&error))),
    }
}

/// Whose object has a name that this run wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Ours,
    Others,
    Nobodys,
}

/// Looks at an object's owner, for its name says nothing: users name objects too, and edit labels.
pub async fn whose<K>(api: &Api<K>, name: &str, uid: &str) -> kube::Result<Whose>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    Ok(match api.get_opt(name).await? {
        Some(object) if owner_of(object.meta()) == Some(uid) => Whose::Ours,
        Some(_) => Whose::Others,
        None => Whose::Nobodys,
    })
}

/// A paused k6 has no end of its own, so its pod was created with a high ceiling; now the length is known. There is
/// no hurry, and each patch is work for the API server and the kubelet, at a moment at which the runners begin.
pub async fn lower_deadline(s: Arc<Shared>, seconds: i64) {
    let s = &s;
    let patches = (0..).zip(s.plan.runners()).map(|(turn, runner)| async move {
        sleep(DEADLINES_AFTER + DEADLINE_TURN * turn).await;
        patch_deadline(s, &runner, seconds, Instant::now()).await
    });
    // They end with the run all the same, or with the ceiling.
    if let Some(why) = join_all(patches).await.into_iter().find_map(Result::err) {
        s.refused("lower the runners' deadlines", &why);
    }
}

/// Makes the kubelet end the pods: SIGTERM within a second, and the pod stays with its exit code and logs.
/// Deleting it would lose them, and a k6 that lingers ends by nothing else.
pub async fn release(s: Arc<Shared>, runners: Vec<RunnerId>) {
    let (s, rights) = (&s, Instant::now() + RIGHTS_COME);
    let refused: BTreeMap<RunnerId, String> = stream::iter(runners)
        .map(|runner| async move {
            let why = patch_deadline(s, &runner, 1, rights).await.err()?;
            Some((runner, why))
        })
        .buffer_unordered(PARALLEL)
        .filter_map(async |refused| refused)
        .collect()
        .await;
    if let Some(why) = refused.values().next() {
        s.refused("release the runners", why);
        s.tell(Fact::Unreleased(refused));
    }
}

/// Fails where it is refused, until after `rights`.
async fn patch_deadline(s: &Shared, runner: &RunnerId, seconds: i64, rights: Instant) -> Result<(), String> {
    let api = s.pods();
    let name = s.plan.names.runner_pod(runner);
    let patch = Patch::Strategic(json!({"spec": {"activeDeadlineSeconds": seconds}}));
    let patched = persist("patch a runner's deadline", rights, || async {
        match api.patch(&name, &PatchParams::default(), &patch).await {
            // Lowered already. A conflict with the kubelet's own writes is tried again.
            Err(kube::Error::Api(refusal)) if refusal.code == 422 => Ok(()),
            other => other.map(drop),
        }
    });
    match patched.await {
        Ok(()) | Err(No::Gone) => Ok(()),
        Err(No::Refused(why)) => Err(why),
    }
}
