//! A LoadTest is one run: what may change once it is made.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use test_support::in_namespace;

use crate::{
    bounds::spec_schema,
    server::{Server, fault, merged, object, spec, yaml},
};

/// One change for every field of the spec that must not change.
fn changes() -> Value {
    json!({
        "serviceAccountName": "other",
        "scenarios": [{"name": "chat", "script": {"inline": "other"}}],
        "runner": {"image": "other"},
        "prometheus": "other",
        "faults": [],
        "objectives": [{"name": "success", "k6": {"metric": "http_req_failed"}, "atMost": "2%"}],
        "guardrails": [{"name": "node", "set": "Node"}],
        "system": [{"name": "dbman", "selector": {"matchLabels": {"app": "dbman"}}}],
        "expect": {"minRequests": 1},
        "baseline": {"runs": 6},
        "verdict": {"maxMisses": 2}
    })
}

async fn made(api: &Api<DynamicObject>, name: &str, spec: &Value) {
    let object: DynamicObject = serde_json::from_value(object(name, spec)).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

async fn change(api: &Api<DynamicObject>, name: &str, change: Value) -> Result<DynamicObject, String> {
    let patch = Patch::Merge(change);
    api.patch(name, &PatchParams::default(), &patch).await.map_err(|error| error.to_string())
}

#[test]
fn a_change_of_every_field_is_tried() {
    let schema = spec_schema();
    let mut fields: Vec<_> =
        schema["properties"].as_object().unwrap().keys().filter(|f| *f != "stop").collect();
    let changes = changes();
    let mut tried: Vec<_> = changes.as_object().unwrap().keys().collect();
    fields.sort();
    tried.sort();
    assert_eq!(
        fields, tried,
        "a field of the spec has no change here: is it in the rule of the immutable spec?"
    );
}

#[tokio::test]
async fn the_spec_never_changes() {
    in_namespace("api-changes", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        made(&api, "run", &fault("{}")).await;
        for (field, value) in changes().as_object().unwrap() {
            let refused = change(&api, "run", json!({"spec": {field: value}})).await.expect_err(field);
            assert!(
                refused.contains("a LoadTest is one run and its spec never changes"),
                "{field}: {refused}"
            );
        }
        let refused = change(&api, "run", json!({"spec": {"serviceAccountName": null}})).await.unwrap_err();
        assert!(refused.contains("its spec never changes"), "{refused}");
        // An account cannot be added either.
        made(&api, "plain", &spec("{}")).await;
        let refused = change(&api, "plain", json!({"spec": {"serviceAccountName": "a"}})).await.unwrap_err();
        assert!(refused.contains("its spec never changes"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_run_is_stopped_once() {
    in_namespace("api-stop", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        made(&api, "run", &fault("{}")).await;
        let stopped = change(&api, "run", json!({"spec": {"stop": true}})).await.unwrap();
        assert_eq!(stopped.data["spec"]["stop"], true);
        assert_eq!(stopped.metadata.generation, Some(2));
        for again in [json!(false), Value::Null] {
            let refused = change(&api, "run", json!({"spec": {"stop": again}})).await.unwrap_err();
            assert!(refused.contains("a stopped run cannot be started again"), "{refused}");
        }
    })
    .await;
}

#[tokio::test]
async fn metadata_and_status_may_change() {
    in_namespace("api-status", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        made(&api, "run", &fault("{}")).await;
        let labelled =
            change(&api, "run", json!({"metadata": {"labels": {"loadtest.dev/series": "weekly"}}}));
        assert_eq!(labelled.await.unwrap().metadata.generation, Some(1));
        // Only the status subresource writes the status.
        let ignored = change(&api, "run", json!({"status": {"phase": "Finished"}})).await.unwrap();
        assert!(ignored.data.get("status").is_none_or(Value::is_null), "{:?}", ignored.data);
        let status =
            Patch::Merge(json!({"status": {"phase": "Finished", "verdict": "Warn"}, "spec": {"stop": true}}));
        let written = api.patch_status("run", &PatchParams::default(), &status).await.unwrap();
        assert_eq!(written.data["status"]["verdict"], "Warn");
        assert_eq!(written.data["spec"]["stop"], false);
    })
    .await;
}

/// What an older CRD answers to a status that a newer operator writes. The operator tells the user this field.
#[tokio::test]
async fn a_status_with_an_unknown_value_is_refused_with_its_field() {
    in_namespace("api-unknown", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        made(&api, "run", &spec("{}")).await;
        let unknown = Patch::Merge(json!({"status": {"phase": "Resting"}}));
        let error = api.patch_status("run", &PatchParams::default(), &unknown).await.unwrap_err();
        let kube::Error::Api(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal.code, 422, "{refusal:#?}");
        let causes = refusal.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
        let named: Vec<_> = causes.iter().filter(|cause| cause.field != "<nil>").collect();
        assert_eq!(named.len(), 1, "{refusal:#?}");
        assert_eq!(named[0].field, "status.phase");
        assert!(named[0].message.contains("Unsupported value: \"Resting\""), "{}", named[0].message);
    })
    .await;
}

/// Admission weighs rules by what they cost; comparing a spec with its old self must fit for the largest one.
#[tokio::test]
async fn the_largest_spec_can_be_made_and_stopped() {
    in_namespace("api-largest", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        made(&api, "run", &largest()).await;
        change(&api, "run", json!({"spec": {"stop": true}})).await.unwrap();
    })
    .await;
}

fn largest() -> Value {
    let name = |i: usize| format!("objective-{i}-{}", "x".repeat(40));
    let script = |i: usize| json!({"inline": i.to_string().repeat(if i < 2 { 199_990 } else { 1 })});
    let env: Vec<_> =
        (0..64).map(|i| json!({"name": format!("NAME_{i}"), "value": "v".repeat(20)})).collect();
    let arguments = vec!["x".repeat(512); 4];
    let scenarios: Vec<_> = (0..16)
        .map(|i| json!({"name": format!("s{i}"), "script": script(i), "env": env, "arguments": arguments}))
        .collect();
    let objectives: Vec<_> = (0..64)
        .map(|i| {
            json!({
                "name": name(i),
                "k6": {"metric": "http_req_duration", "percentile": 95, "scenario": "s15"},
                "atMost": "1234.5678ms",
                "warnAbove": "1234.5ms",
                "windows": ["Run", "Steady", "Fault", "Recovery"]
            })
        })
        .collect();
    let of: Vec<_> = (48..64).map(name).collect();
    let faults: Vec<_> = (0..16)
        .map(|i| {
            json!({
                "name": format!("fault-{i}"),
                "at": "30s",
                "target": {"selector": {"matchLabels": {"app": "a"}}},
                "podKill": {},
                "recovery": {"of": of, "within": "5m"}
            })
        })
        .collect();
    json!({"serviceAccountName": "a", "scenarios": scenarios, "objectives": objectives, "faults": faults})
}

#[tokio::test]
async fn server_side_apply_merges_lists_by_name() {
    in_namespace("api-apply", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        let apply = |manager: &'static str, spec: Value| {
            let api = api.clone();
            async move {
                let object = Patch::Apply(object("run", &spec));
                api.patch("run", &PatchParams::apply(manager), &object)
                    .await
                    .map_err(|error| error.to_string())
            }
        };
        let whole = merged(
            spec("{}"),
            yaml("objectives: [{name: a, query: up, atMost: '1'}, {name: b, query: up, atMost: '2'}]"),
        );
        apply("team", whole.clone()).await.unwrap();
        // Applying it again, as GitOps tools do every few minutes, changes nothing.
        let again = apply("team", whole).await.unwrap();
        assert_eq!(again.metadata.generation, Some(1));
        // Another manager with one of the two objectives leaves the other in place.
        let one = yaml("objectives: [{name: b, query: up, atMost: '2'}]");
        let both = apply("other", one).await.unwrap();
        assert_eq!(both.data["spec"]["objectives"].as_array().unwrap().len(), 2);
        // A third name would be a change.
        let refused =
            apply("other", yaml("objectives: [{name: c, query: up, atMost: '2'}]")).await.unwrap_err();
        assert!(refused.contains("its spec never changes"), "{refused}");
        // Stopping takes that field alone, from whoever may.
        let stopped = apply("stopper", yaml("stop: true")).await.unwrap();
        assert_eq!(stopped.data["spec"]["stop"], true);
        assert_eq!(stopped.data["spec"]["objectives"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn conditions_are_merged_by_type() {
    in_namespace("api-conditions", |_, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        made(&api, "run", &spec("{}")).await;
        let condition = |type_: &str| {
            json!({
                "apiVersion": "loadtest.dev/v1alpha1",
                "kind": "LoadTest",
                "metadata": {"name": "run"},
                "status": {"conditions": [{
                    "type": type_, "status": "True", "reason": "Tried", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"
                }]}
            })
        };
        for (manager, type_) in [("one", "Complete"), ("two", "Passed")] {
            let patch = Patch::Apply(condition(type_));
            api.patch_status("run", &PatchParams::apply(manager), &patch).await.unwrap();
        }
        let stored = api.get("run").await.unwrap();
        assert_eq!(stored.data["status"]["conditions"].as_array().unwrap().len(), 2);
    })
    .await;
}
