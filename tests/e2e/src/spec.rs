//! Specs of LoadTests, as small as they can be.

use serde_json::{Value, json};
use test_support::stage::{BREAKER, Stage};

/// Users who ask for a small page again and again.
pub const READER: &str = r#"
import http from 'k6/http';
import { sleep } from 'k6';
export default function () {
  http.get('http://prometheus.monitoring:9090/-/ready', { tags: { name: 'Ready' } });
  sleep(0.2);
}
"#;

/// The same, with a setup() that takes its time.
pub const SLOW_SETUP: &str = r#"
import http from 'k6/http';
import { sleep } from 'k6';
export function setup() { sleep(30); }
export default function () { http.get('http://prometheus.monitoring:9090/-/ready'); sleep(0.2); }
"#;

/// One scenario `a` with two runners and the given script.
pub fn load(script: &str, duration: &str) -> Value {
    json!({
        "scenarios": [{"name": "a", "script": {"inline": script}, "parallelism": 2, "vus": 4, "duration": duration}],
        "objectives": [few_failures()],
        // A run of seconds has few requests: what they say is judged as it is.
        "verdict": {"onTooFew": "Judge"},
    })
}

pub fn few_failures() -> Value {
    json!({"name": "few-failures", "k6": {"metric": "http_req_failed"}, "atMost": "1%"})
}

/// A load with one fault `kill` of one of the pods `app: victim` in the stage's target namespace.
pub fn load_with_fault(stage: &Stage, duration: &str, at: &str) -> Value {
    with(
        load(READER, duration),
        json!({
            "serviceAccountName": BREAKER,
            "faults": [{
                "name": "kill",
                "at": at,
                "target": {"namespace": stage.targets, "selector": {"matchLabels": {"app": "victim"}}},
                "podKill": {},
            }],
        }),
    )
}

/// A spec with other values for some of its fields, as a JSON merge patch.
pub fn with(mut spec: Value, patch: Value) -> Value {
    merge(&mut spec, patch);
    spec
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}
