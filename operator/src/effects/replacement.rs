//! What becomes of a fault's pods: the watch of those behind its selector, and of the EndpointSlices of the Services that
//! its targets served. When the fault is over is decided from that.

use std::{fmt, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use loadtest_core::machine::{
    behind::Behind,
    fact::Fact,
    pick::Candidate,
    serving::{SERVICE_LABEL, candidates},
};
use serde::de::DeserializeOwned;

use super::{Shared, faults::effect_client};
use crate::clients::EffectClient;

/// Watches, and tells each change.
pub async fn watch(s: Arc<Shared>, fault: String, behind: Behind) {
    let (Some(plan), Ok(effect)) = (s.plan.fault(&fault), effect_client(&s)) else { return };
    let behind = Arc::new(behind);
    let mut looks = looks(&effect, &plan.namespace, &plan.selector_text(), behind.services());
    while let Some((at, pods)) = looks.next().await {
        s.tell(Fact::SeenBehind { fault: fault.clone(), from: behind.clone(), at, pods });
    }
}

/// The pods as they are, each time that something about them has changed. Half a picture would show pods that are gone
/// or serve nobody: there is none before the first lists of both are whole.
fn looks(
    effect: &EffectClient,
    namespace: &str,
    selector: &str,
    services: &[String],
) -> BoxStream<'static, (Timestamp, Vec<Candidate>)> {
    let (pods, pods_changed) = follow::<Pod>(effect, namespace, selector);
    let (slices, slices_changed) = if services.is_empty() {
        (reflector::store().0, stream::pending().boxed())
    } else {
        let matching = format!("{SERVICE_LABEL} in ({})", services.join(","));
        follow::<EndpointSlice>(effect, namespace, &matching)
    };
    let mut last = None;
    let (mut pods_listed, mut slices_listed) = (false, services.is_empty());
    let changed = stream::select(pods_changed.map(|()| true), slices_changed.map(|()| false));
    let looks = changed.filter_map(move |of_pods| {
        pods_listed |= of_pods;
        slices_listed |= !of_pods;
        let whole = pods_listed && slices_listed;
        let at = Timestamp::now();
        let (pods, slices) = (pods.state(), slices.state());
        let now = candidates(pods.iter().map(AsRef::as_ref), slices.iter().map(AsRef::as_ref));
        let look = (whole && last.as_ref() != Some(&now)).then(|| (at, now.clone()));
        if whole {
            last = Some(now);
        }
        async move { look }
    });
    looks.boxed()
}

/// The objects that match, and a sign each time that they have changed. There are none until the first list is
/// whole; a list that is made anew takes the place of the one before when it is whole.
fn follow<K>(effect: &EffectClient, namespace: &str, matching: &str) -> (Store<K>, BoxStream<'static, ()>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<K> = Api::namespaced(effect.client.clone(), namespace);
    let (store, writer) = reflector::store();
    let changes = watcher::watcher(api, watcher::Config::default().labels(matching)).default_backoff();
    let changes = changes.reflect(writer).filter_map(async |change| match change {
        Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
        Ok(_) => Some(()),
        Err(error) => {
            let what = K::plural(&());
            tracing::warn!(%error, %what, "failed to watch the targets, trying again");
            None
        }
    });
    (store, changes.boxed())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::{Client, Config};
    use loadtest_core::machine::behind::Count;
    use loadtest_crds::{FaultStatus, ServedService, TargetStatus};
    use rstest::rstest;
    use serde_json::{Value, json};
    use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

    use super::*;

    const PODS: &str = "/api/v1/namespaces/shop/pods";
    const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

    fn pod(uid: &str, ready: bool) -> Value {
        let ready = if ready { "True" } else { "False" };
        json!({
            "metadata": {"name": uid, "namespace": "shop", "uid": uid, "resourceVersion": "1"},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn slice(uids: &[&str]) -> Value {
        let target = |uid: &&str| {
            let target = json!({"kind": "Pod", "name": uid, "uid": uid});
            json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": target})
        };
        json!({
            "metadata": {
                "name": "dbman-x", "namespace": "shop", "uid": "x", "resourceVersion": "1",
                "labels": {SERVICE_LABEL: "dbman"},
            },
            "addressType": "IPv4",
            "endpoints": uids.iter().map(target).collect::<Vec<_>>(),
        })
    }

    /// What is there at first, and what a watch tells then.
    fn answer(request: &Request, first: &[Value], then: Option<&Value>) -> ResponseTemplate {
        let asked = |key: &str, value: &str| request.url.query_pairs().any(|(k, v)| k == key && v == value);
        if !asked("watch", "true") {
            let (list, items) = (json!({"resourceVersion": "1"}), first);
            return ResponseTemplate::new(200).set_body_json(json!({"metadata": list, "items": items}));
        }
        match then {
            Some(object) => ResponseTemplate::new(200)
                .set_body_string(format!("{}\n", json!({"type": "MODIFIED", "object": object}))),
            // A watch in which nothing happens.
            None => ResponseTemplate::new(200).set_delay(Duration::from_secs(600)),
        }
    }

    /// Of the ready pods a and b, a was killed; c comes in its place. What a watch tells at last makes it whole: that
    /// c is in the slice, or that it is ready. Without a Service nobody reads slices.
    #[rstest]
    #[case::the_endpoint_comes_last(true, true, &["b"], None, Some(slice(&["b", "c"])), SLICES)]
    #[case::readiness_comes_last(true, false, &["b", "c"], Some(pod("c", true)), None, PODS)]
    #[case::no_service(false, false, &[], Some(pod("c", true)), None, PODS)]
    #[tokio::test]
    async fn it_ends_with_what_comes_last(
        #[case] served: bool,
        #[case] c_is_ready: bool,
        #[case] endpoints: &'static [&'static str],
        #[case] pod_then: Option<Value>,
        #[case] slice_then: Option<Value>,
        #[case] decisive: &str,
    ) {
        let server = MockServer::start().await;
        let pods = [pod("b", true), pod("c", c_is_ready)];
        let respond = move |request: &Request| match request.url.path() {
            PODS => answer(request, &pods, pod_then.as_ref()),
            SLICES => answer(request, &[slice(endpoints)], slice_then.as_ref()),
            _ => ResponseTemplate::new(404),
        };
        Mock::given(any()).respond_with(respond).mount(&server).await;
        let config = Config::new(server.uri().parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let effect = EffectClient { client, user: "system:serviceaccount:loadtests:breaker".to_owned() };
        let service = ServedService { name: "dbman".to_owned(), ready_before: 2 };
        let fault = FaultStatus {
            ready_before: Some(2),
            targets: vec![TargetStatus { uid: "a".to_owned(), ..TargetStatus::default() }],
            services: if served { vec![service] } else { Vec::new() },
            ..FaultStatus::default()
        };
        let mut behind = Behind::of(&fault);
        let injected = Timestamp::now();

        let services = behind.services().to_owned();
        let there = async {
            let mut looks = looks(&effect, "shop", "app=dbman", &services);
            while behind.there(injected, &Count::before(&fault)).is_none() {
                let (at, pods) = looks.next().await.expect("the watch has ended");
                behind.tell(at, &pods);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), there).await.expect("it never ends");

        let requests = server.received_requests().await.unwrap();
        let of = |path: &str, key: &str| -> Vec<String> {
            let requests = requests.iter().filter(|r| r.url.path() == path);
            let pairs = requests.flat_map(|r| r.url.query_pairs().into_owned().collect::<Vec<_>>());
            pairs.filter(|(k, _)| k == key).map(|(_, value)| value).collect()
        };
        assert!(!of(decisive, "watch").is_empty(), "the first lists were not all of it");
        assert!(of(PODS, "labelSelector").iter().all(|selector| selector == "app=dbman"));
        let selectors = of(SLICES, "labelSelector");
        assert_eq!(selectors.is_empty(), !served, "{selectors:?}");
        assert!(selectors.iter().all(|s| s == "kubernetes.io/service-name in (dbman)"), "{selectors:?}");
    }

    /// The lists of two watches come one after the other, in any order.
    #[rstest]
    #[case::pods_come_last(PODS)]
    #[case::slices_come_last(SLICES)]
    #[tokio::test]
    async fn half_a_picture_is_none(#[case] late: &'static str) {
        let server = MockServer::start().await;
        let respond = move |request: &Request| {
            let first = match request.url.path() {
                PODS => vec![pod("a", true), pod("b", true)],
                _ => vec![slice(&["a", "b"])],
            };
            let delay = Duration::from_millis(if request.url.path() == late { 500 } else { 0 });
            match answer(request, &first, None) {
                list if !request.url.query().unwrap_or_default().contains("watch=true") => {
                    list.set_delay(delay)
                }
                nothing => nothing,
            }
        };
        Mock::given(any()).respond_with(respond).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        let effect = EffectClient { client, user: "system:serviceaccount:loadtests:breaker".to_owned() };
        let (_, pods) = looks(&effect, "shop", "app=dbman", &["dbman".to_owned()]).next().await.unwrap();
        assert_eq!(pods.len(), 2);
        assert!(pods.iter().all(|pod| pod.ready), "{pods:?}");
    }
}
