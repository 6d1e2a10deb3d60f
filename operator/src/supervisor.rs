//! Watches LoadTests and their pods in the served namespaces, and keeps one task per active run: it spawns,
//! forwards to and reaps them. What a run does is in [`crate::run`].

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream::SelectAll};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt, reflector,
        watcher::{self, Event},
    },
};
use loadtest_core::plan::names::{MANAGED_BY_LABEL, MANAGER, owner_of};
use loadtest_crds::{FINALIZER, LoadTest, Phase};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    context::Context,
    run::{self, observe::Pods},
};

/// So many are listed at a time: a finished LoadTest may take 200 kB, and most are finished.
const PAGE_OF_TESTS: u32 = 20;
const PAGE_OF_PODS: u32 = 100;

/// What a task hears from its supervisor.
struct Handle {
    object: watch::Sender<LoadTest>,
    pods: Arc<Notify>,
}

enum Seen {
    Test(Box<LoadTest>),
    TestGone(String),
    /// The LoadTests of a namespace were listed, or cannot be.
    Heard(String),
    /// A pod of this run changed.
    Pod(String),
    /// All pods were read anew. Of those that went while nobody watched there is no event, so this is news for every
    /// run.
    AllPods,
}

/// Runs until the process ends. Watches that break are begun again.
pub async fn supervise(context: Arc<Context>) -> anyhow::Result<()> {
    let mut seen = SelectAll::new();
    let mut stores: HashMap<String, Pods> = HashMap::new();
    for namespace in &context.config.namespaces {
        let (store, pods) = watch_pods(&context, namespace);
        stores.insert(namespace.clone(), store);
        seen.push(pods);
        seen.push(watch_tests(&context, namespace));
    }
    tracing::info!(namespaces = ?context.config.namespaces, "watching");

    let mut handles: HashMap<String, Handle> = HashMap::new();
    let mut tasks: JoinSet<String> = JoinSet::new();
    loop {
        tokio::select! {
            Some(seen) = seen.next() => match seen {
                Seen::Test(test) => forward(&context, &stores, &mut handles, &mut tasks, *test),
                Seen::TestGone(uid) => drop(handles.remove(&uid)),
                Seen::Heard(namespace) => context.claims.heard(&namespace),
                Seen::Pod(uid) => handles.get(&uid).iter().for_each(|handle| handle.pods.notify_one()),
                Seen::AllPods => handles.values().for_each(|handle| handle.pods.notify_one()),
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok(uid) => {
                    context.claims.forget(&uid);
                    handles.remove(&uid);
                }
                // The run is taken up again, from its record, by the process that follows this one.
                Err(panicked) => anyhow::bail!("a run's task ended abnormally: {panicked}"),
            },
            else => anyhow::bail!("all watches ended"),
        }
        context.metrics.active_runs.set(i64::try_from(handles.len()).unwrap_or(i64::MAX));
    }
}

fn forward(
    context: &Arc<Context>,
    stores: &HashMap<String, Pods>,
    handles: &mut HashMap<String, Handle>,
    tasks: &mut JoinSet<String>,
    test: LoadTest,
) {
    let (Some(uid), Some(namespace)) = (test.uid(), test.namespace()) else { return };
    if let Some(handle) = handles.get(&uid) {
        handle.object.send_replace(test);
        return;
    }
    if !is_active(&test) {
        return;
    }
    let Some(store) = stores.get(&namespace) else { return };
    context.claims.learn(&test);
    let pods = Arc::new(Notify::new());
    let (sender, object) = watch::channel(test);
    handles.insert(uid.clone(), Handle { object: sender, pods: pods.clone() });
    let task = run::Run::new(context.clone(), uid.clone(), object, pods, store.clone());
    tasks.spawn(async move {
        task.run().await;
        uid
    });
}

/// A finished run without our finalizer is history.
fn is_active(test: &LoadTest) -> bool {
    let finished = test.status.as_ref().is_some_and(|s| s.phase == Phase::Finished);
    let ours = test.finalizers().iter().any(|f| f == FINALIZER);
    match (&test.metadata.deletion_timestamp, finished) {
        (Some(_), _) => ours,
        (None, finished) => !finished || ours,
    }
}

fn watch_tests(context: &Context, namespace: &str) -> futures::stream::BoxStream<'static, Seen> {
    let api: Api<LoadTest> = Api::namespaced(context.own.client.clone(), namespace);
    let namespace = namespace.to_owned();
    watcher::watcher(api, watcher::Config::default().page_size(PAGE_OF_TESTS))
        .default_backoff()
        .filter_map(move |event| {
            let seen = match event {
                Ok(Event::Apply(test) | Event::InitApply(test)) => Some(Seen::Test(Box::new(test))),
                Ok(Event::Delete(test)) => Some(Seen::TestGone(test.uid().unwrap_or_default())),
                Ok(Event::Init) => None,
                Ok(Event::InitDone) => Some(Seen::Heard(namespace.clone())),
                Err(error) => {
                    tracing::warn!(%error, "failed to watch LoadTests, trying again");
                    // The runs of other namespaces do not wait for it.
                    Some(Seen::Heard(namespace.clone()))
                }
            };
            async move { seen }
        })
        .boxed()
}

fn watch_pods(context: &Context, namespace: &str) -> (Pods, futures::stream::BoxStream<'static, Seen>) {
    let api: Api<Pod> = Api::namespaced(context.own.client.clone(), namespace);
    let ours =
        watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}")).page_size(PAGE_OF_PODS);
    let (store, writer) = reflector::store();
    let changes = watcher::watcher(api, ours)
        .default_backoff()
        .modify(|pod: &mut Pod| {
            pod.metadata.managed_fields = None;
        })
        .reflect(writer);
    let (complete, completed) = watch::channel(false);
    let pods = Pods { store: store.clone(), complete: completed };
    let changes = changes.filter_map(move |event| {
        let seen = match event {
            Ok(Event::Apply(pod) | Event::Delete(pod)) => {
                owner_of(&pod.metadata).map(|uid| Seen::Pod(uid.to_owned()))
            }
            Ok(Event::InitDone) => {
                complete.send_replace(true);
                Some(Seen::AllPods)
            }
            Ok(Event::Init | Event::InitApply(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "failed to watch pods, trying again");
                None
            }
        };
        async move { seen }
    });
    (pods, changes.boxed())
}
