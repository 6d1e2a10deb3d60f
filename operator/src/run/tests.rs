//! A run against a server in place of the API server: one whose CRD is older than the operator, and one whose answer is
//! lost.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kube::runtime::reflector;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::*;
use crate::{clients::OwnClient, config::Config, metrics::Metrics};

const RUN: &str = "/apis/loadtest.dev/v1alpha1/namespaces/loadtests/loadtests/chat";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/loadtests/events";
const PODS: &str = "/api/v1/namespaces/loadtests/pods";

/// One LoadTest, and the CRD with the phases that it knows.
struct Api(Mutex<Stored>);

struct Stored {
    test: Value,
    /// How many more writes of the phase it takes until the right CRD is there.
    refusals: usize,
    /// How many more writes of the status are stored, and answered as if they had not been.
    lost: usize,
    version: u64,
}

impl Respond for Api {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let at = request.url.path();
        match (request.method.as_str(), at.strip_prefix(RUN)) {
            ("GET", Some("")) => ResponseTemplate::new(200).set_body_json(&stored.test),
            ("PATCH", Some("")) => {
                stored.test["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
                ResponseTemplate::new(200).set_body_json(&stored.test)
            }
            ("PUT", Some("/status")) if body["status"]["phase"] == "Preparing" && stored.refusals > 0 => {
                stored.refusals -= 1;
                refused()
            }
            ("PUT", Some("/status"))
                if body["metadata"]["resourceVersion"] != stored.test["metadata"]["resourceVersion"] =>
            {
                failure(409, "Conflict", json!([]))
            }
            ("PUT", Some("/status")) => {
                stored.test["status"] = body["status"].clone();
                stored.version += 1;
                stored.test["metadata"]["resourceVersion"] = json!(stored.version.to_string());
                if stored.lost > 0 {
                    stored.lost -= 1;
                    return failure(504, "Timeout", json!([]));
                }
                ResponseTemplate::new(200).set_body_json(&stored.test)
            }
            ("POST" | "PATCH", None) if at.starts_with(EVENTS) => {
                ResponseTemplate::new(201).set_body_json(body)
            }
            ("GET", None) if at == PODS => ResponseTemplate::new(200).set_body_json(json!({
                "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": [],
            })),
            _ => failure(404, "NotFound", json!([])),
        }
    }
}

fn refused() -> ResponseTemplate {
    let supported = "Unsupported value: \"Preparing\": supported values: \"Pending\", \"Finished\"";
    failure(422, "Invalid", json!([{"field": "status.phase", "message": supported}]))
}

fn failure(code: u16, reason: &str, causes: Value) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": reason, "details": {"causes": causes},
    }))
}

/// What was sent to an address with a method, in order.
async fn sent(server: &MockServer, method: &str, at: &str) -> Vec<Value> {
    let all = server.received_requests().await.unwrap();
    let those = all.iter().filter(|r| r.method.as_str() == method && r.url.path().starts_with(at));
    those.map(|r| r.body_json().unwrap()).collect()
}

/// A run to its end, and what the operator's metrics then say.
async fn played(refusals: usize, lost: usize) -> (MockServer, String) {
    let test = json!({
        "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "4f1c", "resourceVersion": "1"},
        // The ConfigMap does not exist, so that the run ends with its checks.
        "spec": {
            "prometheus": "main",
            "scenarios": [{"name": "a", "script": {"configMap": {"name": "none", "key": "a.js"}}}],
        },
    });
    let server = MockServer::start().await;
    let api = Api(Mutex::new(Stored { test: test.clone(), refusals, lost, version: 1 }));
    Mock::given(any()).respond_with(api).mount(&server).await;
    let config: Config = serde_json::from_value(json!({
        "namespaces": ["loadtests"],
        "prometheus": {"main": {"queryURL": server.uri(), "remoteWriteURL": server.uri()}},
    }))
    .unwrap();
    let metrics = Arc::new(Metrics::default());
    let own = OwnClient::of(kube::Config::new(server.uri().parse().unwrap())).unwrap();
    let context = Context::new(own, config, metrics.clone(), "operator-0".to_owned()).unwrap();

    let (store, _writer) = reflector::store();
    let (_told, complete) = watch::channel(true);
    let (_object, object) = watch::channel(serde_json::from_value(test).unwrap());
    let pods = Pods { store, complete };
    let run = Run::new(Arc::new(context), "4f1c".to_owned(), object, Arc::default(), pods);
    tokio::time::timeout(Duration::from_secs(60), run.run()).await.expect("the run goes on to its end");
    (server, metrics.render())
}

/// The phases that were written, in their order.
async fn phases(server: &MockServer) -> Vec<Value> {
    sent(server, "PUT", RUN).await.iter().map(|put| put["status"]["phase"].clone()).collect()
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_no_conflict_with_another_operator() {
    let (server, metrics) = played(0, 1).await;
    let phases = phases(&server).await;
    assert_eq!(phases[..2], ["Preparing"; 2], "sent again by the client: {phases:?}");
    assert_eq!(phases.last(), Some(&json!("Finished")));
    assert!(!metrics.contains("outcome=\"Abandoned\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_status_that_the_crd_does_not_know_is_told_and_the_run_goes_on_once_it_does() {
    let (server, metrics) = played(2, 0).await;
    let phases = phases(&server).await;
    assert_eq!(phases[..3], ["Preparing"; 3], "refused, refused, taken: {phases:?}");
    assert_eq!(phases.last(), Some(&json!("Finished")));

    let events = sent(&server, "POST", EVENTS).await;
    let told: Vec<&Value> = events.iter().filter(|event| event["reason"] == "StatusRefused").collect();
    // The second is merged into the first, if that has arrived by then.
    let merged = sent(&server, "PATCH", EVENTS).await.len();
    assert!(!told.is_empty() && told.len() + merged <= 2, "{events:#?}");
    assert_eq!((&told[0]["type"], &told[0]["regarding"]["name"]), (&json!("Warning"), &json!("chat")));
    let note = told[0]["note"].as_str().unwrap();
    for words in ["status.phase: Unsupported value: \"Preparing\"", refused::ADVICE] {
        assert!(note.contains(words), "{words} is missing in {note}");
    }
    assert!(metrics.contains("loadtest_operator_passes_total{outcome=\"Refused\"} 2"), "{metrics}");
}
