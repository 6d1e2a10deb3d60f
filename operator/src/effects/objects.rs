//! The run's own objects: created, released.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use loadtest_core::{
    machine::fact::Fact,
    objects,
    plan::names::{ROLE_LABEL, Role, RunNames, RunnerId, owner_of},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Shared,
    persist::{No, RIGHTS_COME, persist, persist_until},
};
use crate::run::refused::GivenUp;

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

    let until = Instant::now() + s.plan.start_timeout;
    let maps = s.config_maps();
    for map in &objects.config_maps {
        create_one(&maps, &s.plan.names, "ConfigMap", map, too_late(s, until)).await?;
    }
    // The inspections are on their way before the runners, so that their answer is there before the last of these.
    let inspects =
        |pod: &Pod| pod.labels().get(ROLE_LABEL).is_some_and(|role| role == Role::Inspect.as_str());
    let (inspections, runners): (Vec<Pod>, Vec<Pod>) = objects.pods.into_iter().partition(inspects);
    create_pods(s, inspections, until).await?;
    create_pods(s, runners, until).await
}

/// All of them, also where one fails: what is under way must not come after a deletion.
async fn create_pods(s: &Shared, pods: Vec<Pod>, until: Instant) -> Result<(), String> {
    let (api, names) = (&s.pods(), &s.plan.names);
    let created = stream::iter(pods)
        .map(|pod| async move { create_one(api, names, "pod", &pod, too_late(s, until)).await });
    let created: Vec<Result<(), String>> = created.buffer_unordered(PARALLEL).collect().await;
    created.into_iter().collect()
}

/// The runners must be ready, or the run is to end.
async fn too_late(s: &Shared, until: Instant) {
    tokio::select! {
        () = sleep_until(until) => {}
        () = s.told_to_end() => {}
    }
}

async fn create_one<K>(
    api: &Api<K>,
    names: &RunNames,
    kind: &str,
    object: &K,
    end: impl Future<Output = ()>,
) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let name = object.name_any();
    let created = persist_until("create an object of the run", end, || async {
        match api.create(&PostParams::default(), object).await {
            // By an earlier process, or by a request whose answer was lost; or it is anyone else's.
            Err(kube::Error::Api(refusal)) if refusal.reason == "AlreadyExists" => {
                whose(api, &name, &names.uid).await
            }
            created => created.map(|_| Whose::Ours),
        }
    });
    match created.await {
        Ok(Whose::Ours) => Ok(()),
        Ok(Whose::Others | Whose::Nobodys) => Err(format!(
            "a {kind} named {name} exists and is not of this run: delete it or rename the LoadTest"
        )),
        Err(No::Gone) => {
            Err(format!("failed to create {kind} {name}: namespace {} is gone", names.namespace))
        }
        Err(No::Refused(refused)) => Err(format!("failed to create {kind} {name}: {}", refused.why)),
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
    if let Some(refused) = join_all(patches).await.into_iter().find_map(Result::err) {
        s.refused("lower the runners' deadlines", &refused);
    }
}

/// Makes the kubelet end the pods: SIGTERM within a second, and the pod stays with its exit code and logs.
/// Deleting it would lose them, and a k6 that lingers ends by nothing else.
pub async fn release(s: Arc<Shared>, runners: Vec<RunnerId>) {
    let (s, rights) = (&s, Instant::now() + RIGHTS_COME);
    let patched: Vec<(RunnerId, Result<(), GivenUp>)> = stream::iter(runners)
        .map(|runner| async move {
            let patched = patch_deadline(s, &runner, 1, rights).await;
            (runner, patched)
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    if let Some(first) = patched.iter().find_map(|(_, patched)| patched.as_ref().err()) {
        s.refused("release the runners", first);
        let refused = patched.into_iter().filter_map(|(runner, patched)| Some((runner, patched.err()?.why)));
        s.tell(Fact::Unreleased(refused.collect()));
    }
}

/// Fails where it is refused, until after `rights`.
async fn patch_deadline(s: &Shared, runner: &RunnerId, seconds: i64, rights: Instant) -> Result<(), GivenUp> {
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
        Err(No::Refused(refused)) => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use kube::{Client, Config};
    use rstest::rstest;
    use wiremock::{
        Mock, MockServer, Request, ResponseTemplate,
        matchers::{any, method},
    };

    use super::*;

    fn pod(owner: &str) -> Pod {
        let owner =
            json!({"apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest", "name": "chat", "uid": owner});
        serde_json::from_value(json!({"metadata": {"name": "chat-a-0", "ownerReferences": [owner]}})).unwrap()
    }

    fn refusal(code: u16) -> ResponseTemplate {
        let reason = if code == 409 { "AlreadyExists" } else { "No" };
        ResponseTemplate::new(code).set_body_json(json!({
            "kind": "Status", "status": "Failure", "message": "exceeded quota", "reason": reason, "code": code,
        }))
    }

    /// Answers to one request after the other, whose pod of that name is there, and what comes of it.
    #[rstest]
    #[case::busy_and_unwell(&[429, 503, 201], "", "", 3)]
    #[case::refused(&[503, 403], "", "failed to create pod chat-a-0: exceeded quota", 2)]
    #[case::the_answer_was_lost(&[503, 409], "uid-1", "", 2)]
    #[case::of_somebody_else(
        &[409], "uid-2", "a pod named chat-a-0 exists and is not of this run: delete it or rename the LoadTest", 1
    )]
    #[case::the_namespace_is_gone(&[404], "", "failed to create pod chat-a-0: namespace loadtests is gone", 1)]
    #[tokio::test]
    async fn what_may_be_repeated_is(
        #[case] codes: &'static [u16],
        #[case] there: &str,
        #[case] expected: &str,
        #[case] asked: usize,
    ) {
        let server = MockServer::start().await;
        let nth = AtomicUsize::new(0);
        let answer = move |_: &Request| match codes[nth.fetch_add(1, Ordering::Relaxed)] {
            201 => ResponseTemplate::new(201).set_body_json(pod("uid-1")),
            code => refusal(code),
        };
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200).set_body_json(pod(there)))
            .mount(&server)
            .await;
        let mut config = Config::new(server.uri().parse().unwrap());
        config.default_retry = false;
        let api: Api<Pod> = Api::namespaced(Client::try_from(config).unwrap(), "loadtests");
        let [namespace, name, uid] = ["loadtests", "chat", "uid-1"].map(str::to_owned);
        let names = RunNames { namespace, name, uid };

        let created = create_one(&api, &names, "pod", &pod("uid-1"), pending()).await;
        assert_eq!(created.err().unwrap_or_default(), expected);
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.iter().filter(|r| r.method.as_str() == "POST").count(), asked);
    }
}
