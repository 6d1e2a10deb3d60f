//! What makes two runs the same: the load, the faults, and what was measured. Limits may differ, images too: a run
//! asks whether another build holds what the last one held.

use std::collections::BTreeMap;

use loadtest_crds::{Fault, LoadTestSpec, Objective, Runner, Scenario};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The part of the fingerprint that stands in the spec.
#[must_use]
pub fn of_spec(spec: &LoadTestSpec) -> String {
    let script_in_image = spec.scenarios.iter().any(|s| s.script.image.is_some());
    let mut objectives: Vec<Value> = spec.objectives.iter().map(figure).collect();
    objectives.sort_by_key(|o| o["name"].to_string());
    hash(&json!({
        "scenarios": spec.scenarios.iter().map(scenario).collect::<Vec<_>>(),
        "runner": runner(&spec.runner, script_in_image),
        "faults": spec.faults.iter().map(fault).collect::<Vec<_>>(),
        "objectives": objectives,
    }))
}

/// The fingerprint of a run. The scripts in ConfigMaps come as hashes of what was read, by scenario.
#[must_use]
pub fn of_run(of_spec: &str, scripts: &BTreeMap<String, String>) -> String {
    hash(&json!({"spec": of_spec, "scripts": scripts}))
}

/// The hash of a ConfigMap with a script: of all its keys, since a script may import the others.
#[must_use]
pub fn of_files<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let files: BTreeMap<&str, String> =
        files.map(|(name, file)| (name, hex(&Sha256::digest(file)))).collect();
    hash(&json!(files))
}

fn scenario(scenario: &Scenario) -> Value {
    let mut value = json!(scenario);
    // A ConfigMap is known by what it holds.
    if scenario.script.config_map.is_some() {
        remove(&mut value["script"]["configMap"], &["name"]);
    }
    value
}

fn runner(runner: &Runner, script_in_image: bool) -> Value {
    let mut value = json!(runner);
    remove(&mut value, &["imagePullPolicy", "imagePullSecrets", "startTimeout"]);
    if !script_in_image {
        remove(&mut value, &["image"]);
    }
    value
}

fn fault(fault: &Fault) -> Value {
    let mut value = json!(fault);
    remove(&mut value, &["recovery", "budget"]);
    value
}

fn figure(objective: &Objective) -> Value {
    let mut value = json!(objective);
    remove(&mut value, &["atMost", "atLeast", "warnAbove", "warnBelow", "key", "onNoData", "onTooFew"]);
    value
}

fn remove(value: &mut Value, keys: &[&str]) {
    if let Value::Object(fields) = value {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

fn hash(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(value, &mut hasher);
    // 64 bits: among the runs of a series no two will meet by chance.
    hex(&hasher.finalize())[..16].to_owned()
}

/// Keys in order, and nothing of what is not set: a field that a later version adds changes no fingerprint.
fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(item, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> =
                fields.iter().filter(|(_, value)| is_set(value)).collect();
            hasher.update(b"{");
            for (key, value) in fields {
                hasher.update(json!(key).to_string());
                hasher.update(b":");
                feed(value, hasher);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        other => hasher.update(other.to_string()),
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(is_set),
        _ => true,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn spec() -> Value {
        json!({
            "serviceAccountName": "faults",
            "scenarios": [{
                "name": "chat", "script": {"configMap": {"name": "chat-script", "key": "chat.js"}}, "parallelism": 2,
                "vus": 10, "duration": "60s", "env": [{"name": "BASE_URL", "value": "http://chat:8080"}]
            }],
            "runner": {"image": "grafana/k6:1.8.1", "limits": {"cpu": "1"}},
            "faults": [{
                "name": "kill", "at": "20s", "podKill": {},
                "target": {"selector": {"matchLabels": {"app": "dbman"}}, "pick": {"count": 1}},
                "recovery": {"of": ["save"], "within": "10s"}
            }],
            "objectives": [
                {"name": "save", "k6": {"metric": "http_req_failed", "tags": {"name": "Save"}}, "atMost": "1%"},
                {"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "300ms"}
            ]
        })
    }

    fn fingerprint(spec: Value, script: &str) -> String {
        let spec: LoadTestSpec = serde_json::from_value(spec).unwrap();
        let script = of_files([("chat.js", script.as_bytes())].into_iter());
        of_run(&of_spec(&spec), &[("chat".to_owned(), script)].into())
    }

    fn changed(at: &str, to: Value) -> Value {
        let mut spec = spec();
        *spec.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = to;
        spec
    }

    #[rstest]
    #[case::a_limit("/objectives/0/atMost", json!("5%"))]
    #[case::the_limit_of_a_recovery("/faults/0/recovery/within", json!("20s"))]
    #[case::an_image("/runner/image", json!("grafana/k6:2"))]
    #[case::the_name_of_a_config_map("/scenarios/0/script/configMap/name", json!("chat-script-2"))]
    #[case::the_account("/serviceAccountName", json!("other"))]
    #[case::the_order_of_objectives("/objectives", json!([spec()["objectives"][1], spec()["objectives"][0]]))]
    #[case::a_default_that_is_written_out("/objectives/0/windows", json!(["Run"]))]
    fn what_is_the_same_load(#[case] at: &str, #[case] to: Value) {
        let mut with_all = spec();
        with_all["objectives"][0]["windows"] = json!(["Run"]);
        let changed = if at.ends_with("windows") { with_all } else { changed(at, to) };
        assert_eq!(fingerprint(changed, "x"), fingerprint(spec(), "x"));
    }

    #[rstest]
    #[case::users("/scenarios/0/vus", json!(11))]
    #[case::runners("/scenarios/0/parallelism", json!(3))]
    #[case::length("/scenarios/0/duration", json!("61s"))]
    #[case::a_variable("/scenarios/0/env/0/value", json!("http://chat:8081"))]
    #[case::the_script_key("/scenarios/0/script/configMap/key", json!("other.js"))]
    #[case::cpu_of_the_runners("/runner/limits/cpu", json!("2"))]
    #[case::the_time_of_a_fault("/faults/0/at", json!("21s"))]
    #[case::its_target("/faults/0/target/selector/matchLabels/app", json!("chat"))]
    #[case::a_tag("/objectives/0/k6/tags/name", json!("List"))]
    #[case::a_percentile("/objectives/1/k6/percentile", json!(99.0))]
    fn what_is_another(#[case] at: &str, #[case] to: Value) {
        assert_ne!(fingerprint(changed(at, to), "x"), fingerprint(spec(), "x"));
    }

    #[test]
    fn another_script_is_another_load() {
        assert_ne!(fingerprint(spec(), "x"), fingerprint(spec(), "y"));
        let imports = |lib: &[u8]| of_files([("chat.js", b"x".as_slice()), ("lib.js", lib)].into_iter());
        assert_ne!(imports(b"1"), imports(b"2"));
    }

    /// It is compared with that of runs by other versions of the operator: a change here makes them strangers.
    #[test]
    fn it_does_not_change_by_itself() {
        insta::assert_snapshot!(fingerprint(spec(), "x"), @"40ca9f99d5106a59");
    }
}
