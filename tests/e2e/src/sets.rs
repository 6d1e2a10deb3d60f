//! The ready-made sets of guardrails, asked of the real exporters: every indicator has a value, and it is the right
//! one where the stage knows what is right.

use std::{ops::RangeInclusive, time::Duration};

use loadtest_core::{numbers::limit::Limit, plan::guardrail::sets};
use loadtest_crds::{Guardrail, GuardrailSet, LoadTestStatus, Outcome, Verdict};
use serde_json::{Value, json};
use test_support::{
    crd::http_get,
    program::{printed, program, run_with_input},
    runs::expect,
    stage::{Setup, Stage},
    wait::eventually,
};

use crate::spec::{READER, load, with};

/// The systems and their exporters.
const EXPORTED: &str = include_str!("sets/exported.yaml");
/// A pod begins, an exporter is scraped, cAdvisor has looked twice.
const VALUES_WITHIN: Duration = Duration::from_secs(120);

/// Every indicator of the watched sets, and between what its worst value must lie. `exported.yaml` says why.
const INDICATORS: [(&str, RangeInclusive<f64>); 17] = [
    // No request fails, and the load does not change.
    ("client-errors", 0.0..=0.0),
    ("client-p99", 0.0001..=10.0),
    ("client-rate", -5.0..=0.95),
    // Whatever the machine does: a share of it.
    ("node-cpu", 0.01..=1.0),
    ("node-memory", 0.01..=0.99),
    ("node-disk-io", 0.0..=1.5),
    // A container that takes all of its CPU, where the machine has it to give; 36 MiB and Redis itself of 96 MiB.
    ("pod-cpu", 0.2..=1.5),
    ("pod-memory", 0.3..=0.85),
    // Ten users of 20 connections, and the exporter; 50 ms, and a few short statements of the exporter.
    ("postgres-connections", 0.5..=0.95),
    ("postgres-query-time", 0.02..=2.0),
    ("postgres-replication-lag", 0.0..=0.0),
    // 320 values of 112 KiB each of 64 MiB; 20 users of 100, and the exporter.
    ("limited-cpu", 0.0001..=0.9),
    ("limited-memory", 0.5..=0.7),
    ("limited-connections", 0.2..=0.4),
    // About 1 MB of the machine's memory; the exporter of 10,000, or of what the open files allow.
    ("open-cpu", 0.0001..=0.9),
    ("open-memory", 0.0..=0.01),
    ("open-connections", 0.0001..=0.002),
];

#[tokio::test]
async fn every_indicator_of_the_sets_has_its_value_from_real_exporters() {
    Setup::new("sets")
        .room(3)
        .limit(Duration::from_secs(480))
        .play(async |stage| {
            let mut kubectl = program("kubectl");
            let output =
                run_with_input(kubectl.args(["apply", "--namespace", &stage.targets, "-f", "-"]), EXPORTED);
            assert!(output.status.success(), "kubectl apply: {}", printed(&output));
            let watched = watched(stage);
            for guardrail in watched.iter().filter(|g| g.set != Some(GuardrailSet::Client)) {
                for indicator in guardrail.set.into_iter().flat_map(|set| sets::members(set, guardrail)) {
                    let query = indicator.query.unwrap_or_default();
                    let what = format!("a value of {}: {query}", indicator.name);
                    eventually(&what, VALUES_WITHIN, || value(stage, &query)).await;
                }
            }

            let spec = with(load(READER, "40s"), json!({"guardrails": watched}));
            let run = stage.run("sets", spec).await;
            let status = run.finished().await;
            expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
            let names: Vec<&str> = status.guardrails.iter().map(|g| g.name.as_str()).collect();
            assert_eq!(names, INDICATORS.map(|(name, _)| name));
            for (name, right) in INDICATORS {
                assert_value(&status, name, &right);
            }
        })
        .await;
}

/// What the machine does beside the test must not end the load: no breach is as long as this.
fn watched(stage: &Stage) -> Vec<Guardrail> {
    let targets = format!("namespace=\"{}\"", stage.targets);
    let all = json!([
        {"name": "client", "set": "Client", "for": "10m"},
        {"name": "node", "set": "Node", "selector": targets, "for": "10m"},
        {"name": "pod", "set": "Pod", "selector": targets, "for": "10m"},
        {"name": "postgres", "set": "Postgres", "selector": targets, "for": "10m"},
        {"name": "limited", "set": "Redis", "selector": format!("{targets},pod=\"redis-limited\""), "for": "10m"},
        {"name": "open", "set": "Redis", "selector": format!("{targets},pod=\"redis-open\""), "for": "10m"},
    ]);
    serde_json::from_value(all).unwrap_or_else(|error| panic!("these are no guardrails: {error}"))
}

/// The one value that a query has now.
async fn value(stage: &Stage, query: &str) -> Option<f64> {
    let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let prometheus = "/api/v1/namespaces/monitoring/services/prometheus:http/proxy";
    let request = http_get(&format!("{prometheus}/api/v1/query?query={query}"));
    let answer: Value = stage.client.request(request).await.ok()?;
    let series = answer["data"]["result"].as_array()?;
    let number: f64 = series.first()?["value"][1].as_str()?.parse().ok()?;
    (series.len() == 1 && !number.is_nan()).then_some(number)
}

fn assert_value(status: &LoadTestStatus, name: &str, right: &RangeInclusive<f64>) {
    let guardrail = status.guardrails.iter().find(|g| g.name == name);
    let guardrail = guardrail.unwrap_or_else(|| panic!("no guardrail {name}: {:#?}", status.guardrails));
    assert_eq!(guardrail.outcome, Outcome::Met, "{guardrail:#?}");
    // Asked once a second for 40 s.
    assert!(guardrail.samples >= Some(15), "{guardrail:#?}");
    let worst = guardrail.worst.as_deref().and_then(Limit::parse).map(|worst| worst.base());
    assert!(worst.is_some_and(|worst| right.contains(&worst)), "not within {right:?}: {guardrail:#?}");
}
