//! One API server under trial, and specs that are written in one line.

use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, Status},
};
use loadtest_crds::LoadTest;
use serde_json::{Value, json};

/// The namespace of specs that are tried and never stored.
const NAMESPACE: &str = "default";

/// The API server with this checkout's CRD.
pub struct Server {
    pub client: Client,
}

impl Server {
    pub async fn new() -> Self {
        let client = test_support::client().await;
        test_support::install_crd(&client).await;
        Self { client }
    }

    /// LoadTests of a namespace, as free JSON, so that wrong ones can be sent too.
    pub fn load_tests(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<LoadTest>(&()))
    }

    /// Sends a LoadTest through admission, storing nothing.
    pub async fn try_object(&self, object: Value) -> Result<DynamicObject, Box<Status>> {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match self.load_tests(NAMESPACE).create(&params, &object).await {
            Ok(accepted) => Ok(accepted),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("the API server did not answer: {error}"),
        }
    }

    pub async fn try_spec(&self, spec: &Value) -> Result<DynamicObject, Box<Status>> {
        self.try_object(object("tried", spec)).await
    }
}

/// A LoadTest with a name and a spec.
pub fn object(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest", "metadata": { "name": name }, "spec": spec })
}

/// Parses YAML, as users write it.
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The smallest spec, with these fields put in or, where they are null, taken out.
pub fn spec(fields: &str) -> Value {
    merged(json!({ "scenarios": [minimal_scenario()] }), yaml(fields))
}

/// A spec with one scenario, which has these fields.
pub fn scenario(fields: &str) -> Value {
    json!({ "scenarios": [merged(minimal_scenario(), yaml(fields))] })
}

/// A spec whose runner pods have these settings.
pub fn runner(fields: &str) -> Value {
    merged(spec("{}"), json!({ "runner": yaml(fields) }))
}

/// A spec with one objective, which has these fields and a name.
pub fn objective(fields: &str) -> Value {
    let named = merged(json!({ "name": "tried" }), yaml(fields));
    merged(with_fault("{}"), json!({ "objectives": [minimal_objective(), named] }))
}

/// A spec with one fault, which has these fields.
pub fn fault(fields: &str) -> Value {
    with_fault(fields)
}

/// A spec with one fault, whose target has these fields.
pub fn target(fields: &str) -> Value {
    with_fault(&json!({ "target": yaml(fields) }).to_string())
}

fn with_fault(fields: &str) -> Value {
    let minimal = json!({
        "name": "kill",
        "at": "30s",
        "target": { "selector": { "matchLabels": { "app": "dbman" } } },
        "podKill": {},
        "recovery": { "of": ["success"], "within": "5m" }
    });
    json!({
        "serviceAccountName": "chat-failover",
        "scenarios": [minimal_scenario()],
        "faults": [merged(minimal, yaml(fields))],
        "objectives": [minimal_objective()]
    })
}

fn minimal_scenario() -> Value {
    json!({ "name": "chat", "script": { "configMap": { "name": "chat", "key": "chat.js" } } })
}

fn minimal_objective() -> Value {
    json!({ "name": "success", "k6": { "metric": "http_req_failed" }, "atMost": "1%" })
}

/// A JSON merge patch: objects are merged, null removes, all else replaces.
pub fn merged(mut base: Value, patch: Value) -> Value {
    let (Some(fields), Value::Object(changes)) = (base.as_object_mut(), patch.clone()) else { return patch };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(&key);
        } else {
            let old = fields.remove(&key).unwrap_or_else(|| json!({}));
            fields.insert(key, merged(old, change));
        }
    }
    base
}
