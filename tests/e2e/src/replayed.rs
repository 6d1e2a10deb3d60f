//! Runs that are judged again from their record, and runs that are compared with earlier ones.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use loadtest_core::{
    objects::keys,
    record::{
        Record,
        replay::{self, OtherLimit},
    },
};
use loadtest_crds::{LoadTestStatus, Outcome, Verdict, WindowKind};
use serde_json::{Value, json};
use test_support::{
    runs::{expect, result},
    stage::{Setup, Stage},
};

use crate::spec::{READER, few_failures, load, load_with_fault, with};

pub async fn record_of(stage: &Stage, status: &LoadTestStatus) -> (usize, Record) {
    let name = status.report.clone().expect("the run has no record");
    let maps: Api<ConfigMap> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let map = maps.get(&name).await.unwrap_or_else(|error| panic!("failed to read {name}: {error}"));
    assert!(map.metadata.owner_references.is_some_and(|owners| owners.len() == 1), "{name} has no owner");
    let bytes =
        map.binary_data.and_then(|mut data| data.remove(keys::RECORD_KEY)).expect("the record is empty").0;
    (bytes.len(), Record::read(&bytes).expect("the record cannot be read"))
}

pub fn again(record: &Record, limits: &[&str]) -> LoadTestStatus {
    let limits: Vec<OtherLimit> = limits.iter().map(|limit| limit.parse().unwrap()).collect();
    replay::judge(record, &limits).expect("it cannot be judged").test.status.unwrap_or_default()
}

/// Field by field, but for what tells when the verdict was written.
pub fn assert_same(replayed: LoadTestStatus, recorded: &LoadTestStatus) {
    let told = |status: &LoadTestStatus| {
        let mut value = serde_json::to_value(status).unwrap();
        for of_the_writing in ["finishedAt", "conditions"] {
            value.as_object_mut().unwrap().remove(of_the_writing);
        }
        value
    };
    let (replayed, recorded) = (told(&replayed), told(recorded));
    for (field, value) in recorded.as_object().unwrap() {
        assert_eq!(Some(value), replayed.get(field), "{field}");
    }
    assert_eq!(replayed, recorded);
}

#[tokio::test]
async fn a_run_is_judged_the_same_from_its_record_and_otherwise_with_other_limits() {
    Setup::new("replayed")
        .room(2)
        .play(async |stage| {
            let p95 = json!({"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "20s"});
            let one = json!({"name": "one", "query": "vector(1)", "atMost": "1000", "windows": ["Run"]});
            let spec = with(load(READER, "8s"), json!({"objectives": [few_failures(), p95, one]}));
            let status = stage.run("held", spec).await.finished().await;
            expect(&status, Verdict::Pass, "AllObjectivesMet", &["all 3 objectives"]);
            let (bytes, record) = record_of(stage, &status).await;
            println!("a record of {} answers takes {bytes} bytes", record.evidence.asked.len());
            assert_same(again(&record, &[]), &status);

            let stricter = again(&record, &["one=0.5"]);
            assert_eq!(result(&stricter, "one", WindowKind::Run, None).outcome, Outcome::Missed);
            assert_eq!((stricter.verdict, stricter.reason.as_deref()), (Some(Verdict::Warn), Some("ObjectiveMissed")));
            // Another limit of a percentile is another sum over the recorded histogram.
            let both = again(&record, &["one=0.5", "p95=0.001ms"]);
            assert_eq!(result(&both, "p95", WindowKind::Run, None).outcome, Outcome::Missed, "{both:#?}");
            assert_eq!((both.verdict, both.reason.as_deref()), (Some(Verdict::Fail), Some("ObjectivesMissed")));
        })
        .await;
}

#[tokio::test]
async fn so_is_a_run_with_a_fault() {
    Setup::new("refailed")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let of = json!({"of": ["few-failures"], "within": "10s", "hold": "5s"});
            let spec = load_with_fault(stage, "25s", "5s");
            let spec = with(
                spec,
                json!({"objectives": [with(few_failures(), json!({"windows": ["Run", "Steady", "Fault"]}))]}),
            );
            let mut spec = spec;
            spec["faults"][0]["recovery"] = of;
            let status = stage.run("broken", spec).await.finished().await;
            let (_, record) = record_of(stage, &status).await;
            assert_same(again(&record, &[]), &status);
            // The victim serves no requests of this load: it is never down, measured to two seconds.
            let slow = again(&record, &["kill=9s"]);
            assert_eq!(slow.faults[0].recovery.as_ref().and_then(|r| r.within.as_deref()), Some("9s"));
            assert_eq!(slow.verdict, status.verdict);
        })
        .await;
}

/// chat's route for a new message.
const SEND: &str = "/api/v1/rooms/{id}/messages";

const SENDER: &str = r#"
import exec from 'k6/execution';
import { prepare, sendMessage } from './chat-client.js';
export function setup() { return prepare(2); }
export default function (session) {
  const vu = exec.vu.idInTest;
  const room = session.rooms[vu % session.rooms.length];
  sendMessage(session, room, `${session.run}-${vu}-${exec.vu.iterationInScenario}`, 'Send');
}
"#;

fn sender(stage: &Stage) -> Value {
    json!({
        "scenarios": [{
            "name": "chat",
            "script": {"configMap": {"name": "chat-failover", "key": "sender.js"}},
            "vus": 8, "duration": "6s",
            "env": [{"name": "BASE_URL", "value": format!("http://chat.{}:8080", stage.targets)}],
        }],
        "objectives": [{
            "name": "median",
            "k6": {"metric": "http_req_duration", "percentile": 50, "tags": {"name": "Send"}}, "atMost": "4000ms",
        }],
        "baseline": {"runs": 5, "maxRegression": "10%"},
    })
}

#[tokio::test]
async fn a_slow_down_of_two_buckets_is_found_and_one_of_3_percent_is_not() {
    Setup::new("slower")
        .room(6)
        .play(async |stage| {
            stage.install_chat_scripts(&[("sender.js", SENDER)]);
            stage.install_target_app(&["chat.debugFaults=true"]);
            // The delay is nearly all of the answer's time, so that other work on the machine does not matter. Buckets
            // end at 386, 420, 459 and 500 ms.
            let mut fingerprints = Vec::new();
            let mut run = async |name: &str, delay: u64| {
                stage.delay_route(SEND, delay).await;
                let status = stage.run(name, sender(stage)).await.finished().await;
                println!("{name}: {delay} ms: {:?} {:?}", status.verdict, status.baseline);
                fingerprints.push(status.fingerprint.clone());
                status
            };
            for n in 1..=5 {
                let status = run(&format!("slower-{n}"), 392).await;
                expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
                let compared = status.baseline.first().expect("nothing was compared");
                assert_eq!((compared.outcome, compared.runs), (Outcome::NoData, n - 1), "{compared:?}");
            }
            let a_little = run("slower-6", 404).await;
            expect(&a_little, Verdict::Pass, "AllObjectivesMet", &[]);
            assert_eq!((a_little.baseline[0].outcome, a_little.baseline[0].runs), (Outcome::Met, 5));
            let much = run("slower-7", 475).await;
            expect(&much, Verdict::Warn, "Regression", &["median", "above", "the median of 5 earlier runs"]);
            assert!(fingerprints[0].is_some() && fingerprints.iter().all(|f| *f == fingerprints[0]));
            // The history is in the record: no cluster is needed to come to the same.
            let (_, record) = record_of(stage, &much).await;
            assert_same(again(&record, &[]), &much);
        })
        .await;
}

/// Users who log in again and again.
const LOGIN: &str = "
import http from 'k6/http';
import { sleep } from 'k6';
const headers = { 'Content-Type': 'application/json' };
export default function () {
  http.post(`${__ENV.BASE_URL}/api/v1/auth/login`, JSON.stringify({ name: 'load-test-user-1', password: 'any' }), { headers });
  sleep(0.1);
}";

/// A load of the pods `app: web`, whose own series are judged.
fn logins(stage: &Stage, url: &str) -> Value {
    let all = format!("http_requests_total{{namespace=\"{}\"", stage.targets);
    let ok = json!({"good": format!("{all},app=\"web\",status=\"200\"}}"), "total": format!("{all}}}")});
    let up = format!("max(up{{namespace=\"{}\",app=\"web\"}})", stage.targets);
    let flood = format!("sum(rate({all},app=\"web\"}}[5s]) > 1000) or vector(0)");
    let mut spec = load(LOGIN, "12s");
    spec["scenarios"][0]["env"] = json!([{"name": "BASE_URL", "value": url}]);
    let objectives = json!([
        few_failures(),
        {"name": "ok", "ratio": ok, "atLeast": "99%", "key": true},
        {"name": "up", "query": up, "atLeast": "0"},
        {"name": "flood", "query": flood, "atMost": "0"},
    ]);
    with(spec, json!({"objectives": objectives}))
}

/// Its label is changed, so that selectors of the old one match nothing: what would be the miss of a key objective is
/// none, though the old series ended only a moment ago.
#[tokio::test]
async fn what_matched_in_the_run_before_and_does_no_more_is_drift() {
    Setup::new("drift")
        .room(2)
        .play(async |stage| {
            let url = stage.deploy_lone_chat("web").await;
            let before = stage.run("drift-1", logins(stage, &url)).await.finished().await;
            expect(&before, Verdict::Pass, "AllObjectivesMet", &["all 4 objectives"]);
            assert_eq!(before.series.as_deref(), Some("drift"));

            stage.relabel("web", "site").await;
            let after = stage.run("drift-2", logins(stage, &url)).await.finished().await;
            let words = ["drift", "matched in the run before (drift-1)", "matches nothing now"];
            expect(&after, Verdict::Inconclusive, "Drift", &words);
            let ok = result(&after, "ok", WindowKind::Run, None);
            assert_eq!((ok.outcome, ok.value.as_deref()), (Outcome::Missed, Some("0%")), "{ok:#?}");
            assert_eq!(result(&after, "up", WindowKind::Run, None).outcome, Outcome::NoData);
            assert_eq!(result(&after, "few-failures", WindowKind::Run, None).outcome, Outcome::Met);
            let named = |what: &str| after.grounds.iter().filter(|ground| ground.contains(what)).count();
            let selector = format!(
                "drift: the selector http_requests_total{{namespace=\"{}\",app=\"web\"",
                stage.targets
            );
            let query = format!("drift: the query max(up{{namespace=\"{}\",app=\"web\"}})", stage.targets);
            assert_eq!((named(&selector), named(&query)), (1, 1), "{:#?}", after.grounds);
            // The ratio's total is still there, and all names.
            assert_eq!(named("drift: "), 2, "{:#?}", after.grounds);
            // The series ended a moment ago.
            let flood = result(&after, "flood", WindowKind::Run, None);
            assert_eq!(flood.outcome, Outcome::Unmeasurable, "{flood:#?}");
        })
        .await;
}
