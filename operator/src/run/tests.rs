//! A run against a server in place of the API server: one whose CRD is older than the operator, one whose answer is lost,
//! and one that takes no status, or no large one.

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
struct Api(Arc<Mutex<Stored>>);

struct Stored {
    test: Value,
    /// How many more writes of the phase it takes until the right CRD is there.
    refusals: usize,
    /// How many more writes of the status are stored, and answered as if they had not been.
    lost: usize,
    /// Whether a status is not too large.
    fits: fn(&Value) -> bool,
    /// The status is never taken, and the object is deleted when it is refused for the first time.
    broken: bool,
    /// Pods may not be listed.
    powerless: bool,
    version: u64,
}

impl Respond for Api {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let at = request.url.path();
        if stored.test.is_null() && at.starts_with(RUN) {
            return failure(404, "NotFound", json!([]));
        }
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
            ("PUT", Some("/status")) if stored.broken => {
                stored.test["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                failure(500, "InternalError", json!([]))
            }
            ("PUT", Some("/status")) if !(stored.fits)(&body["status"]) => {
                failure(500, "etcdserver: request is too large", json!([]))
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
            ("GET", None) if at == PODS && stored.powerless => failure(403, "Forbidden", json!([])),
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

/// The finalizers that the object was left with, in the order in which they were written.
async fn finalizers(server: &MockServer) -> Vec<Value> {
    sent(server, "PATCH", RUN).await.iter().map(|patch| patch["metadata"]["finalizers"].clone()).collect()
}

/// What the API server is like.
struct Given {
    refusals: usize,
    lost: usize,
    fits: fn(&Value) -> bool,
    broken: bool,
    powerless: bool,
    script: Value,
}

impl Default for Given {
    fn default() -> Self {
        // The ConfigMap does not exist, so that the run ends with its checks.
        let script = json!({"configMap": {"name": "none", "key": "a.js"}});
        Self { refusals: 0, lost: 0, fits: |_| true, broken: false, powerless: false, script }
    }
}

/// A run, and what the operator's metrics then say. `meanwhile` may change the object, and send it to the run.
async fn played(
    given: Given,
    meanwhile: impl AsyncFn(&MockServer, &Mutex<Stored>, &watch::Sender<LoadTest>),
) -> (MockServer, String) {
    let Given { refusals, lost, fits, broken, powerless, script } = given;
    let test = json!({
        "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "4f1c", "resourceVersion": "1"},
        "spec": {"prometheus": "main", "scenarios": [{"name": "a", "script": script}]},
    });
    let server = MockServer::start().await;
    let stored = Stored { test: test.clone(), refusals, lost, fits, broken, powerless, version: 1 };
    let stored = Arc::new(Mutex::new(stored));
    Mock::given(any()).respond_with(Api(stored.clone())).mount(&server).await;
    let config: Config = serde_json::from_value(json!({
        "namespaces": ["loadtests"],
        "loadStore": {"queryURL": server.uri(), "writeURL": server.uri()},
    }))
    .unwrap();
    let metrics = Arc::new(Metrics::default());
    let own = OwnClient::of(kube::Config::new(server.uri().parse().unwrap())).unwrap();
    let context = Context::new(own, config, metrics.clone(), "operator-0".to_owned()).unwrap();
    // As the supervisor says once it has listed them.
    context.claims.heard("loadtests");

    let (store, _writer) = reflector::store();
    let (_told, complete) = watch::channel(true);
    let (sender, object) = watch::channel(serde_json::from_value(test).unwrap());
    let pods = Pods { store, complete };
    let run = Run::new(Arc::new(context), "4f1c".to_owned(), object, Arc::default(), pods);
    let both = async { tokio::join!(run.run(), meanwhile(&server, &stored, &sender)) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("the run goes on to its end");
    (server, metrics.render())
}

async fn nothing(_: &MockServer, _: &Mutex<Stored>, _: &watch::Sender<LoadTest>) {}

/// Waits until the run has said that its record is refused, and deletes the object then.
async fn deleted_when_refused(server: &MockServer, stored: &Mutex<Stored>, object: &watch::Sender<LoadTest>) {
    while !told(server).await.iter().any(|note| note.contains("request is too large")) {
        tokio::task::yield_now().await;
    }
    let at = "2026-01-01T00:00:00Z";
    {
        let mut stored = stored.lock().unwrap();
        let held = stored.test["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        if held {
            stored.test["metadata"]["deletionTimestamp"] = json!(at);
        } else {
            stored.test = Value::Null;
        }
    }
    object.send_modify(|test| {
        test.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at.parse().unwrap()));
    });
}

/// What was said of refused records.
async fn told(server: &MockServer) -> Vec<String> {
    let events = sent(server, "POST", EVENTS).await;
    let refused = events.iter().filter(|event| event["reason"] == "StatusRefused");
    refused.map(|event| event["note"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Without the right to its pods a run ends all the same, and says so.
#[tokio::test]
async fn pods_that_may_not_be_deleted_are_told() {
    let (server, _) = played(Given { powerless: true, ..Given::default() }, nothing).await;
    assert_eq!(finalizers(&server).await.last(), Some(&json!([])));
    let events = sent(&server, "POST", EVENTS).await;
    let told: Vec<&Value> = events.iter().filter(|event| event["reason"] == "GivenUp").collect();
    let [event] = &told[..] else { panic!("{events:#?}") };
    let note = event["note"].as_str().unwrap();
    assert_eq!((&event["type"], &event["action"]), (&json!("Warning"), &json!("delete the run's pods")));
    for words in ["failed to delete the run's pods: Forbidden", Cause::Forbidden.advice()] {
        assert!(note.contains(words), "{words} is missing in {note}");
    }
}

/// The phases that were written, in their order.
async fn phases(server: &MockServer) -> Vec<Value> {
    sent(server, "PUT", RUN).await.iter().map(|put| put["status"]["phase"].clone()).collect()
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_no_conflict_with_another_operator() {
    let (server, metrics) = played(Given { lost: 1, ..Given::default() }, nothing).await;
    let phases = phases(&server).await;
    assert_eq!(phases[..2], ["Preparing"; 2], "sent again by the client: {phases:?}");
    assert_eq!(phases.last(), Some(&json!("Finished")));
    assert!(!metrics.contains("outcome=\"Abandoned\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_status_that_the_crd_does_not_know_is_told_and_the_run_goes_on_once_it_does() {
    let (server, metrics) = played(Given { refusals: 2, ..Given::default() }, nothing).await;
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
    for words in ["status.phase: Unsupported value: \"Preparing\"", Cause::Invalid.advice()] {
        assert!(note.contains(words), "{words} is missing in {note}");
    }
    assert!(metrics.contains("loadtest_operator_passes_total{outcome=\"Refused\"} 2"), "{metrics}");
}

/// One that has room for a few lines only is told that it ended, and why.
#[tokio::test]
async fn a_status_that_is_too_large_ends_the_run_in_error() {
    let fits = |status: &Value| status["reason"] == "StatusTooLarge";
    let (server, _) = played(Given { fits, ..Given::default() }, nothing).await;
    let last = sent(&server, "PUT", RUN).await.pop().unwrap();
    let status = &last["status"];
    assert_eq!((&status["phase"], &status["verdict"]), (&json!("Finished"), &json!("Error")));
    assert!(status["message"].as_str().unwrap().contains("etcdserver: request is too large"), "{status}");
    assert_eq!(finalizers(&server).await.last(), Some(&json!([])));
}

/// Its finalizer is gone by then, and that it is removed again is nothing new.
#[tokio::test]
async fn a_run_that_was_given_up_ends_once_there_is_room_for_it() {
    let room_comes = async |server: &MockServer, stored: &Mutex<Stored>, _: &watch::Sender<LoadTest>| {
        while finalizers(server).await.last() != Some(&json!([])) {
            tokio::task::yield_now().await;
        }
        stored.lock().unwrap().fits = |_| true;
    };
    let (server, _) = played(Given { fits: |_| false, ..Given::default() }, room_comes).await;
    assert_eq!(phases(&server).await.last(), Some(&json!("Finished")));
    assert_eq!(finalizers(&server).await.len(), 2, "set once and removed once");
}

/// Nothing can be written: that is told, nothing holds the object, and its deletion is the end.
#[rstest::rstest]
#[case::of_a_run(Given { fits: |_| false, ..Given::default() }, vec![json!(["loadtest.dev/end-load"]), json!([])])]
#[case::of_a_spec_that_is_too_large(
    Given { fits: |_| false, script: json!({"inline": "<".repeat(200_000)}), ..Given::default() },
    vec![]
)]
#[tokio::test]
async fn a_run_that_cannot_be_recorded_can_be_deleted(#[case] given: Given, #[case] marked: Vec<Value>) {
    let (server, _) = played(given, deleted_when_refused).await;
    assert_eq!(finalizers(&server).await, marked);
    let notes = told(&server).await;
    assert!(notes[0].contains("size: etcdserver: request is too large"), "{notes:?}");
    assert!(notes[0].contains(Cause::TooLarge.advice()), "{notes:?}");
}

#[tokio::test]
async fn a_deletion_does_not_wait_for_an_api_server_that_takes_no_status() {
    let (server, _) = played(Given { broken: true, ..Given::default() }, nothing).await;
    assert_eq!(finalizers(&server).await.last(), Some(&json!([])));
    assert_eq!(told(&server).await, Vec::<String>::new());
}
