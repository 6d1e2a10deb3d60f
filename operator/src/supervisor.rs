//! Watches LoadTests and their pods in the served namespaces, and keeps one task per active run: it spawns,
//! forwards to and reaps them. What a run does is in [`crate::run`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures::{Stream, StreamExt, stream::SelectAll};
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
    run::{self, observe::Pods, refused::Refusal},
};

/// So many are listed at a time: a finished LoadTest may take 200 kB, and most are finished.
const PAGE_OF_TESTS: u32 = 20;
const PAGE_OF_PODS: u32 = 100;

/// What a task hears from its supervisor.
struct Handle {
    namespace: String,
    object: watch::Sender<LoadTest>,
    pods: Arc<Notify>,
}

enum Seen {
    Test(Box<LoadTest>),
    TestGone(String),
    /// All LoadTests of a namespace were read, by uid. Of those that went while nobody watched there is no event.
    AllTests {
        namespace: String,
        uids: BTreeSet<String>,
    },
    /// The LoadTests of a namespace may not be read.
    NoTests(String),
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
                Seen::AllTests { namespace, uids } => {
                    leave_gone(&mut handles, &namespace, &uids);
                    context.claims.heard(&namespace);
                }
                // The runs of other namespaces do not wait for a right that may never come.
                Seen::NoTests(namespace) => context.claims.heard(&namespace),
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
    handles.insert(uid.clone(), Handle { namespace, object: sender, pods: pods.clone() });
    let task = run::Run::new(context.clone(), uid.clone(), object, pods, store.clone());
    tasks.spawn(async move {
        task.run().await;
        uid
    });
}

/// Drops those whose LoadTest is not there any more; their tasks end with that.
fn leave_gone(handles: &mut HashMap<String, Handle>, namespace: &str, there: &BTreeSet<String>) {
    handles.retain(|uid, handle| handle.namespace != namespace || there.contains(uid));
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
    let events = watcher::watcher(api, watcher::Config::default().page_size(PAGE_OF_TESTS)).default_backoff();
    seen_of_tests(events, namespace.to_owned()).boxed()
}

/// A store of them all, as kube has it, would take too much memory: only who is there is kept, while a list is read.
fn seen_of_tests(
    events: impl Stream<Item = watcher::Result<Event<LoadTest>>>,
    namespace: String,
) -> impl Stream<Item = Seen> {
    let mut listed = BTreeSet::new();
    events.filter_map(move |event| {
        let seen = match event {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(test)) => {
                listed.extend(test.uid());
                Some(Seen::Test(Box::new(test)))
            }
            Ok(Event::InitDone) => {
                Some(Seen::AllTests { namespace: namespace.clone(), uids: std::mem::take(&mut listed) })
            }
            Ok(Event::Apply(test)) => Some(Seen::Test(Box::new(test))),
            Ok(Event::Delete(test)) => Some(Seen::TestGone(test.uid().unwrap_or_default())),
            Err(error) => {
                tracing::warn!(%error, "failed to watch LoadTests, trying again");
                is_refused(&error).then(|| Seen::NoTests(namespace.clone()))
            }
        };
        async move { seen }
    })
}

/// A refusal is an answer. Without one the list is still to come.
fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(error) if Refusal::of(error).is_some())
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

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn test(uid: &str) -> LoadTest {
        let mut test = LoadTest::new(uid, loadtest_crds::LoadTestSpec::default());
        test.metadata.uid = Some(uid.to_owned());
        test
    }

    fn list(uids: &[&str]) -> Vec<watcher::Result<Event<LoadTest>>> {
        let each = uids.iter().map(|uid| Event::InitApply(test(uid)));
        [Event::Init].into_iter().chain(each).chain([Event::InitDone]).map(Ok).collect()
    }

    #[tokio::test]
    #[rstest::rstest]
    #[case::busy(429, 0)]
    #[case::unwell(503, 0)]
    #[case::forbidden(403, 1)]
    async fn only_a_refusal_is_an_answer_to_a_list(#[case] code: u16, #[case] answers: usize) {
        let refusal = kube::core::Status::failure("no", "No").with_code(code).boxed();
        let error = watcher::Error::InitialListFailed(kube::Error::Api(refusal));
        let seen = seen_of_tests(stream::iter([Err(error)]), "loadtests".to_owned());
        assert_eq!(seen.count().await, answers);
    }

    /// a went while the watch was away, and c came after the first list. The list in between broke off.
    #[tokio::test]
    async fn a_loadtest_that_went_while_nobody_watched_is_left() {
        let mut events = list(&["a", "b"]);
        events.push(Ok(Event::Apply(test("c"))));
        events.push(Err(watcher::Error::NoResourceVersion));
        events.extend([Ok(Event::Init), Ok(Event::InitApply(test("a")))]);
        events.push(Err(watcher::Error::NoResourceVersion));
        events.extend(list(&["b", "c"]));

        let mut handles: HashMap<String, Handle> = HashMap::new();
        let mut insert = |namespace: &str, test: LoadTest| {
            let uid = test.metadata.uid.clone().unwrap();
            let (object, heard) = watch::channel(test);
            let handle = Handle { namespace: namespace.to_owned(), object, pods: Arc::default() };
            handles.insert(uid, handle);
            heard
        };
        let gone = insert("loadtests", test("a"));
        let there = ["b", "c"].map(|uid| insert("loadtests", test(uid)));
        let elsewhere = insert("others", test("d"));

        let seen: Vec<Seen> = seen_of_tests(stream::iter(events), "loadtests".to_owned()).collect().await;
        let last = seen.into_iter().last();
        let Some(Seen::AllTests { namespace, uids }) = last else { panic!("the list is not told") };
        leave_gone(&mut handles, &namespace, &uids);
        assert!(gone.has_changed().is_err(), "its task is not told");
        assert!(there.iter().chain([&elsewhere]).all(|object| object.has_changed().is_ok()));
    }
}
