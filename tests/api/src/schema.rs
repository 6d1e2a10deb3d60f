//! The CRD as a whole: accepted without reservations, small, and documented field by field.

use kube::CustomResourceExt;
use loadtest_crds::LoadTest;
use serde_json::{Value, json};
use test_support::crd::condition;

use crate::server::{Server, merged, object, scenario, spec, yaml};

/// Far below what etcd and kubectl's last-applied annotation take.
const MOST_BYTES: usize = 200_000;

#[tokio::test]
async fn the_api_server_takes_the_crd_without_reservations() {
    let client = test_support::client().await;
    let crd = test_support::install_crd(&client).await;
    assert_eq!(condition(&crd, "Established"), Some("True"));
    assert_eq!(condition(&crd, "NamesAccepted"), Some("True"));
    assert_eq!(condition(&crd, "NonStructuralSchema"), None, "{:?}", crd.status);
}

#[test]
fn the_crd_is_small() {
    let size = serde_saphyr::to_string(&LoadTest::crd()).unwrap().len();
    assert!(size < MOST_BYTES, "{size} bytes");
}

#[test]
fn every_field_says_what_it_is_for() {
    let crd = serde_json::to_value(LoadTest::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut silent = Vec::new();
    for part in ["spec", "status"] {
        collect_silent(&schema["properties"][part], part, &mut silent);
    }
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

#[tokio::test]
async fn what_is_left_out_gets_its_default() {
    let server = Server::new().await;
    let stored = server.try_spec(&spec("{}")).await.unwrap();
    let runner = yaml(
        "{image: 'grafana/k6:1.8.1', imagePullPolicy: IfNotPresent, imagePullSecrets: [], requests: {}, limits: {}, \
         startTimeout: 2m, runAsUser: 12345, nodeSelector: {}, tolerations: []}",
    );
    let expected = json!({
        "stop": false,
        "prometheus": "default",
        "scenarios": [{
            "name": "chat",
            "script": {"configMap": {"name": "chat", "key": "chat.js"}},
            "parallelism": 1,
            "env": [],
            "arguments": []
        }],
        "runner": runner,
        "faults": [],
        "objectives": [],
        "guardrails": [],
        "system": [],
        "verdict": {"onNoData": "Inconclusive", "onTooFew": "Inconclusive", "maxMisses": 1}
    });
    assert_eq!(stored.data["spec"], expected);
}

#[tokio::test]
async fn defaults_reach_into_what_is_given() {
    let server = Server::new().await;
    let given = yaml(
        "{runner: {image: other}, verdict: {maxMisses: 0}, serviceAccountName: a, \
         faults: [{name: k, at: 1s, podKill: {}, target: {selector: {matchLabels: {app: a}}}, recovery: {of: [o], within: 1m}}], \
         objectives: [{name: o, k6: {metric: http_req_failed}, atMost: 1%}]}",
    );
    let stored = server.try_spec(&merged(spec("{}"), given)).await.unwrap().data["spec"].take();
    assert_eq!(stored["runner"]["startTimeout"], "2m");
    assert_eq!(
        stored["verdict"],
        json!({"maxMisses": 0, "onNoData": "Inconclusive", "onTooFew": "Inconclusive"})
    );
    assert_eq!(stored["faults"][0]["target"]["pick"], json!({"count": 1}));
    assert_eq!(stored["faults"][0]["target"]["allowNoReady"], false);
    assert_eq!(stored["faults"][0]["podKill"], json!({"gracePeriodSeconds": 0}));
    assert_eq!(stored["faults"][0]["recovery"]["hold"], "10s");
    assert_eq!(stored["objectives"][0]["windows"], json!(["Run"]));
    assert_eq!(stored["objectives"][0]["key"], false);
}

/// `runner:` with nothing behind it is null in YAML, and means the same as no runner.
#[tokio::test]
async fn a_field_without_a_value_counts_as_left_out() {
    let server = Server::new().await;
    let mut with_nulls = scenario("{}");
    for field in ["runner", "faults", "objectives", "verdict", "prometheus", "serviceAccountName"] {
        with_nulls[field] = Value::Null;
    }
    for field in ["vus", "duration", "env", "parallelism"] {
        with_nulls["scenarios"][0][field] = Value::Null;
    }
    let with = server.try_object(object("tried", &with_nulls)).await.unwrap();
    let without = server.try_spec(&spec("{}")).await.unwrap();
    assert_eq!(with.data["spec"], without.data["spec"]);
    // The types read what is stored.
    serde_json::from_value::<LoadTest>(serde_json::to_value(&with).unwrap()).unwrap();
}

fn collect_silent(schema: &Value, path: &str, silent: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if field["description"].as_str().is_none_or(|text| text.len() < 10) {
            silent.push(path.clone());
        }
        collect_silent(field, &path, silent);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            collect_silent(&schema[below], &format!("{path}[]"), silent);
        }
    }
}
