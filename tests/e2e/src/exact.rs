//! The figures against k6's own summary at the end of its run: counts are equal, and percentiles agree up to the width
//! of a bucket. Windows of their own, templates and slopes are asked of a real Prometheus.

use std::collections::BTreeMap;

use loadtest_core::numbers::limit::{Limit, read_decimal};
use loadtest_crds::{LoadTestStatus, Outcome, Verdict, WindowKind, WindowResult};
use serde_json::{Value, json};
use test_support::{
    runs::{expect, result},
    stage::Setup,
};

/// Requests, and a Trend whose values are those of a uniform distribution from 1 ms to 500 ms, whatever happens.
const SCRIPT: &str = r#"
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { sleep } from 'k6';
const steps = new Trend('steps', true);
const turns = new Counter('turns');
export const options = { summaryTrendStats: [
  'p(49)', 'p(50)', 'p(51)', 'p(90)', 'p(94)', 'p(96)', 'p(99)', 'count' ] };
export default function () {
  http.get('http://prometheus.monitoring:9090/-/ready', { tags: { name: 'Ready' } });
  for (let i = 0; i < 10; i++) steps.add((exec.scenario.iterationInTest * 10 + i) % 500 + 1);
  turns.add(1);
  sleep(0.05);
}
export function handleSummary(data) {
  const numbers = {};
  for (const name of ['http_reqs', 'http_req_duration', 'steps', 'turns']) numbers[name] = data.metrics[name].values;
  return { stdout: `\nSUMMARY ${JSON.stringify(numbers)}\n` };
}
"#;

/// Half of a bucket on either side would do for evenly spread samples; a whole one for any.
const BUCKET: f64 = 0.1;

#[tokio::test]
async fn figures_are_those_of_k6s_own_summary() {
    Setup::new("exact")
        .room(2)
        .play(async |stage| {
            let percentile = |name: &str, metric: &str, p: f64| {
                json!({"name": name, "k6": {"metric": metric, "percentile": p}, "atMost": "5000ms"})
            };
            let of_counter = |name: &str, figure: &str| {
                json!({"name": name, "k6": {"metric": "turns", figure: true}, "atLeast": "1"})
            };
            let query = |name: &str, text: &str| json!({"name": name, "query": text, "atMost": "1000"});
            let spec = json!({
                "scenarios": [{
                    "name": "a", "script": {"inline": SCRIPT}, "vus": 4, "duration": "15s",
                }],
                "objectives": [
                    {"name": "failed", "k6": {"metric": "http_req_failed"}, "atMost": "1%"},
                    percentile("p50", "http_req_duration", 50.0),
                    percentile("p95", "http_req_duration", 95.0),
                    percentile("steps-p50", "steps", 50.0),
                    percentile("steps-p90", "steps", 90.0),
                    percentile("steps-p99", "steps", 99.0),
                    {"name": "steps-under", "k6": {"metric": "steps", "under": "250ms"}, "atLeast": "40%"},
                    {"name": "steps-in-between", "k6": {"metric": "turns", "count": true}, "atLeast": "10",
                        "between": {"from": "5s", "to": "10s"}},
                    of_counter("turns", "count"),
                    of_counter("turn-rate", "rate"),
                    query("pushes", "max(count_over_time(k6_vus{testid=\"{{run}}\"}[{{window}}] @ {{end}}))"),
                    {"name": "growth", "slope": {"query": "time()", "per": "1h"}, "atMost": "3601"},
                ],
                "verdict": {"onTooFew": "Judge"},
            });
            let run = stage.run("exact", spec).await;
            let status = run.finished().await;
            let summary = summary(&run.log("a-0").await);
            let own = |metric: &str, stat: &str| summary[metric][stat];

            let count = |name: &str| whole(&status, name).samples.unwrap_or(-1) as f64;
            assert_eq!(count("failed"), own("http_reqs", "count"));
            assert_eq!(count("p95"), own("http_reqs", "count"));
            assert_eq!(count("steps-p50"), own("steps", "count"));
            assert_eq!(count("turns"), own("turns", "count"));
            // k6 interpolates between two requests, which may lie far apart: theirs is between the ranks beside it.
            for (name, metric, low, high) in [
                ("p50", "http_req_duration", "p(49)", "p(51)"),
                ("p95", "http_req_duration", "p(94)", "p(96)"),
                ("steps-p50", "steps", "p(50)", "p(50)"),
                ("steps-p90", "steps", "p(90)", "p(90)"),
                ("steps-p99", "steps", "p(99)", "p(99)"),
            ] {
                let ours = shown(whole(&status, name)) * 1000.0;
                let theirs = own(metric, low) * (1.0 - BUCKET)..=own(metric, high) * (1.0 + BUCKET);
                assert!(theirs.contains(&ours), "{name}: {ours} is not within {theirs:?}");
            }
            // 250 of 500 values are up to 250 ms, which is the end of a bucket.
            let under = shown(whole(&status, "steps-under"));
            assert!((under - 0.5).abs() < 0.05, "{under}");

            let between = result(&status, "steps-in-between", WindowKind::Between, None);
            let rate = shown(whole(&status, "turn-rate"));
            assert!((shown(between) / 5.0 / rate - 1.0).abs() < 0.5, "{between:?} at {rate} a second");
            // A push a second, from the first to the last.
            let pushes = shown(whole(&status, "pushes"));
            assert!((8.0..=18.0).contains(&pushes), "{pushes}");
            // An hour has 3,600 s.
            let grown = whole(&status, "growth").message.clone().unwrap_or_default();
            assert!((shown(whole(&status, "growth")) / 3600.0 - 1.0).abs() < 1e-3, "{grown}");
            for window in status.objectives.iter().flat_map(|o| &o.windows) {
                assert_eq!(window.outcome, Outcome::Met, "{window:#?}");
            }
            expect(&status, Verdict::Pass, "AllObjectivesMet", &["all 12 objectives"]);
        })
        .await;
}

/// 120 requests by three runners, with tags that other tools give their runners and runs.
const TAGGED: &str = r#"
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { sleep } from 'k6';
const turns = new Counter('turns');
export const options = { scenarios: {
  all: { executor: 'per-vu-iterations', vus: 6, iterations: 20, maxDuration: '30s', tags: { runner: 'all' } } } };
export default function () {
  const tags = { runner: 'mine', testid: 'nightly', name: 'Ready' };
  http.get('http://prometheus.monitoring:9090/-/ready', { tags });
  turns.add(1, tags);
  sleep(0.2);
}
"#;

#[tokio::test]
async fn tags_of_a_script_hide_no_runner() {
    Setup::new("tagged")
        .room(3)
        .play(async |stage| {
            let spec = json!({
                "scenarios": [{"name": "a", "script": {"inline": TAGGED}, "parallelism": 3}],
                "objectives": [
                    {"name": "failed", "k6": {"metric": "http_req_failed", "tags": {"runner": "mine"}}, "atMost": "1%"},
                    {"name": "turns", "k6": {"metric": "turns", "count": true}, "atLeast": "120"},
                ],
                "verdict": {"onTooFew": "Judge"},
            });
            let status = stage.run("tagged", spec).await.finished().await;
            assert_eq!(whole(&status, "failed").samples, Some(120), "{:#?}", whole(&status, "failed"));
            assert_eq!(whole(&status, "turns").samples, Some(120), "{:#?}", whole(&status, "turns"));
            expect(&status, Verdict::Pass, "AllObjectivesMet", &["all 2 objectives"]);
        })
        .await;
}

#[tokio::test]
async fn few_requests_say_little_unless_they_all_fail() {
    Setup::new("few")
        .room(2)
        .play(async |stage| {
            let script = |url: &str| {
                format!(
                    "import http from 'k6/http'; import {{ sleep }} from 'k6';
                     export default function () {{ http.get('{url}'); sleep(1); }}"
                )
            };
            let spec = |url: &str| {
                json!({
                    "scenarios": [{"name": "a", "script": {"inline": script(url)}, "vus": 2, "duration": "6s"}],
                    "objectives": [{"name": "failed", "k6": {"metric": "http_req_failed"}, "atMost": "1%", "key": true}],
                })
            };
            let good = spec("http://prometheus.monitoring:9090/-/ready");
            let (few, bad) = tokio::join!(
                async { stage.run("few", good).await.finished().await },
                async { stage.run("bad", spec("http://127.0.0.1:9/")).await.finished().await },
            );
            assert_eq!(whole(&few, "failed").outcome, Outcome::TooFew);
            expect(&few, Verdict::Inconclusive, "TooFew", &["299 are needed"]);
            expect(&bad, Verdict::Fail, "KeyObjectiveMissed", &["100% of"]);
        })
        .await;
}

fn whole<'a>(status: &'a LoadTestStatus, name: &str) -> &'a WindowResult {
    result(status, name, WindowKind::Run, None)
}

/// The figure in its base unit; what is shown of it is the same, rounded.
fn shown(window: &WindowResult) -> f64 {
    let value = window.value.as_deref().unwrap_or_else(|| panic!("no value: {window:#?}"));
    let shown = Limit::parse(value).unwrap_or_else(|| panic!("no number: {value}")).base();
    let figure = window.figure.as_deref().and_then(read_decimal);
    let figure = figure.unwrap_or_else(|| panic!("no figure: {window:#?}"));
    // 1.04 ms is shown as 1ms.
    assert!((figure - shown).abs() <= 0.06 * shown.abs(), "{figure} is shown as {value}");
    figure
}

/// What k6 said at its end, by metric and statistic.
fn summary(log: &str) -> BTreeMap<String, BTreeMap<String, f64>> {
    let line = log.lines().find_map(|line| line.split_once("SUMMARY ")).unwrap_or_else(|| panic!("{log}")).1;
    let read: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    serde_json::from_value(read).unwrap_or_else(|error| panic!("{error}: {line}"))
}
