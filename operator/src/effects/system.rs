//! The pods of the system under test, watched with the rights of the LoadTest's service account.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use loadtest_core::{
    machine::fact::{Fact, News},
    plan::system::WatchPlan,
    watch::system::pod::PodSeen,
};
use loadtest_crds::{LoadTestStatus, WatchedStatus};

use super::{Shared, faults::effect_client};
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
            Ok(watcher::Event::InitApply(pod)) => listed.push(PodSeen::of(&pod)),
            Ok(watcher::Event::InitDone) => {
                tell(at, News::All(std::mem::take(&mut listed)));
            }
            Ok(watcher::Event::Apply(pod)) => {
                tell(at, News::Changed(Box::new(PodSeen::of(&pod))));
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
            Ok(pods) => return Ok(pods.iter().map(PodSeen::of).collect()),
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
    let started = status.load_started().unwrap_or_else(Timestamp::now);
    s.tell(Fact::SeenOfSystem { before: Box::new(before), started, at, news });
}
