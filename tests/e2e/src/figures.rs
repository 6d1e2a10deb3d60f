//! The figures are right: k6's counts in Prometheus, as the operator reads them, against the ledger that chat's servers
//! keep themselves, and against loads whose outcome is known beforehand.

use std::time::Duration;

use loadtest_crds::{FaultState, LoadTestStatus, Outcome, Phase, Verdict, WindowKind, WindowResult};
use serde_json::{Value, json};
use test_support::{
    ledger::Tally,
    runs::{Run, expect, fault, objective, result},
    stage::{BREAKER, Setup, Stage},
};

use crate::spec::{load, with};

/// How often k6 pushes, in milliseconds: what a count may be behind at either end of a window.
pub const PUSH: i64 = 1000;
/// chat's route for a new message.
pub const SEND: &str = "/api/v1/rooms/{id}/messages";

/// Users who send messages all the time, and begin to list them only after a few seconds.
pub const CHAT: &str = r#"
import exec from 'k6/execution';
import { sleep } from 'k6';
import { listMessages, prepare, sendMessage } from './chat-client.js';
export function setup() { return prepare(3); }
export default function (session) {
  const begun = Date.now();
  const vu = exec.vu.idInTest;
  const room = session.rooms[vu % session.rooms.length];
  sendMessage(session, room, `${session.run}-${vu}-${exec.vu.iterationInScenario}`, __ENV.SEND);
  if (Date.now() - exec.scenario.startTime > 5000) listMessages(session, room, __ENV.LIST);
  // As many requests on a slow machine.
  sleep(Math.max(0, 0.2 - (Date.now() - begun) / 1000));
}
"#;

/// A load of chat whose requests carry names of their own, so that the ledger can tell runs apart.
pub fn chat(stage: &Stage, run: &str, duration: &str, more: Value) -> Value {
    let (send, list) = (format!("{run}-send"), format!("{run}-list"));
    let env = json!([
        {"name": "BASE_URL", "value": format!("http://chat.{}:8080", stage.targets)},
        {"name": "SEND", "value": send},
        {"name": "LIST", "value": list},
    ]);
    let failed = |name: &str, of: &str| json!({"name": name, "k6": {"metric": "http_req_failed", "tags": {"name": of}}, "atMost": "1%"});
    let p95 = |name: &str, of: &str| {
        let figure = json!({"metric": "http_req_duration", "percentile": 95, "tags": {"name": of}});
        json!({"name": name, "k6": figure, "atMost": "20s"})
    };
    let persisted =
        format!("http_requests_total{{namespace=\"{}\",app=\"chat\",route=\"{SEND}\"", stage.targets);
    let spec = json!({
        "scenarios": [{
            "name": "chat",
            "script": {"configMap": {"name": "chat-failover", "key": "figures.js"}},
            "parallelism": 2,
            "vus": 6,
            "duration": duration,
            "env": env,
        }],
        "objectives": [
            failed("send", &send), p95("send-p95", &send), failed("list", &list), p95("list-p95", &list),
            {"name": "served", "ratio": {
                "good": format!("{persisted},status!~\"5..\"}}"), "total": format!("{persisted}}}")}, "atLeast": "99%"},
        ],
        "verdict": {"onTooFew": "Judge"},
    });
    with(spec, more)
}

/// What the servers say of a whole run.
pub async fn whole(stage: &Stage, status: &LoadTestStatus, name: &str) -> Tally {
    let from = status.accepted_at.as_ref().expect("no start").0.as_millisecond();
    let to = status.finished_at.as_ref().expect("no end").0.as_millisecond();
    stage.ledger(name, from, to).await
}

/// Counts over a whole run differ at most by what ended after the window's end, which is less than a push.
fn assert_equal(result: &WindowResult, ledger: Tally, slack: i64) {
    let (samples, bad) = (result.samples.unwrap_or(-1), result.bad.unwrap_or(-1));
    let near = |count: i64, truth: i64| count <= truth && count >= truth - slack;
    assert!(near(samples, ledger.total()) && near(bad, ledger.bad()), "{ledger:?}, but {result:#?}");
}

/// Requests in one push interval, from the mean rate.
fn in_one_push(status: &LoadTestStatus, total: i64) -> i64 {
    let load = status.load.clone().unwrap_or_default();
    let length = load.ended_at.unwrap().0.duration_since(load.started_at.unwrap().0);
    total * PUSH / i64::try_from(length.as_millis()).unwrap() + 1
}

#[tokio::test]
async fn counts_without_failures_with_some_and_with_nothing_else() {
    Setup::new("figures")
        .room(3)
        .play(async |stage| {
            stage.install_chat_scripts(&[("figures.js", CHAT)]);
            stage.install_target_app(&["chat.debugFaults=true"]);
            none_fail(stage).await;
            some_fail(stage).await;
            all_fail(stage).await;
        })
        .await;
}

/// No series of failures exists, and that of the lists begins in mid-run.
async fn none_fail(stage: &Stage) {
    let status = stage.run("none", chat(stage, "none", "12s", json!({}))).await.finished().await;
    expect(&status, Verdict::Pass, "AllObjectivesMet", &["all 5 objectives"]);
    for (name, of) in [("send", "none-send"), ("list", "none-list")] {
        let ledger = whole(stage, &status, of).await;
        assert!(ledger.ok > 50 && ledger.bad() == 0, "{of}: {ledger:?}");
        assert_equal(
            result(&status, name, WindowKind::Run, None),
            ledger,
            in_one_push(&status, ledger.total()),
        );
        assert_equal_count(&status, &format!("{name}-p95"), name);
    }
}

/// Failures begin and end in mid-run: the series of failed requests first appear above zero, in k6's metrics and in
/// those of the servers.
async fn some_fail(stage: &Stage) {
    let run = stage.run("some", chat(stage, "some", "25s", json!({}))).await;
    run.reached(Phase::Running).await;
    counted(stage, "some-send", |t| t.ok >= 60).await;
    stage.fail_route(SEND, 1.0).await;
    counted(stage, "some-send", |t| t.failed >= 60).await;
    stage.fail_route(SEND, 0.0).await;

    let status = run.finished().await;
    let ledger = whole(stage, &status, "some-send").await;
    assert!(ledger.ok > 60 && ledger.failed >= 60 && ledger.aborted == 0, "{ledger:?}");
    let slack = in_one_push(&status, ledger.total());
    let send = result(&status, "send", WindowKind::Run, None);
    assert_equal(send, ledger, slack);
    assert_eq!(send.bad, Some(ledger.failed), "the failures ended long before the load");
    assert_eq!(send.outcome, Outcome::Missed);
    // The servers' own counters, scraped: the same failures.
    assert_eq!(result(&status, "served", WindowKind::Run, None).bad, Some(ledger.failed));
    expect(&status, Verdict::Fail, "ObjectivesMissed", &[]);
}

/// Every request fails, and each within milliseconds: no percentile may look good for it.
async fn all_fail(stage: &Stage) {
    stage.fail_route(SEND, 1.0).await;
    let status = stage.run("all", chat(stage, "all", "8s", json!({}))).await.finished().await;
    stage.fail_route(SEND, 0.0).await;
    let ledger = whole(stage, &status, "all-send").await;
    assert!(ledger.ok == 0 && ledger.failed > 50, "{ledger:?}");
    let send = result(&status, "send", WindowKind::Run, None);
    assert_equal(send, ledger, in_one_push(&status, ledger.total()));
    assert_all_bad(&status, "send");
    assert_all_bad(&status, "send-p95");
    assert_eq!(result(&status, "list-p95", WindowKind::Run, None).outcome, Outcome::Met);
}

fn assert_all_bad(status: &LoadTestStatus, name: &str) {
    let result = result(status, name, WindowKind::Run, None);
    assert_eq!((result.outcome, result.bad), (Outcome::Missed, result.samples), "{result:#?}");
    assert!(result.samples > Some(0), "{result:#?}");
}

/// A percentile stands on the same requests as the share of failures.
fn assert_equal_count(status: &LoadTestStatus, percentile: &str, share: &str) {
    let samples = |name: &str| result(status, name, WindowKind::Run, None).samples;
    assert_eq!(samples(percentile), samples(share));
}

pub async fn counted(stage: &Stage, name: &str, enough: impl Fn(Tally) -> bool) {
    let all = async || enough(stage.ledger(name, 0, i64::MAX / 1_000_000).await);
    test_support::eventually("enough requests in the ledger", Duration::from_secs(60), async || {
        all().await.then_some(())
    })
    .await;
}

/// The only dbman is killed, and chat does not try again: an outage that clients see. Only chat keeps the ledger, so
/// nothing of it is lost.
#[tokio::test]
async fn counts_in_the_window_of_a_fault() {
    Setup::new("window")
        .room(3)
        .play(async |stage| {
            stage.install_chat_scripts(&[("figures.js", CHAT)]);
            stage.install_target_app(&["dbman.replicas=1", "dbman.retries=0"]);
            let faults = json!([{
                "name": "kill-dbman",
                "at": "6s",
                "target": {
                    "namespace": stage.targets, "selector": {"matchLabels": {"app": "dbman"}}, "allowNoReady": true},
                "podKill": {},
                "recovery": {"of": ["send"], "within": "15s", "hold": "5s"},
            }]);
            let mut spec = chat(stage, "window", "35s", json!({"serviceAccountName": BREAKER, "faults": faults}));
            spec["objectives"][0]["windows"] = json!(["Run", "Fault"]);
            let status = stage.run("window", spec).await.finished().await;

            let kill = fault(&status, "kill-dbman");
            assert_eq!(kill.state, FaultState::Injected, "{kill:#?}");
            let ledger = whole(stage, &status, "window-send").await;
            assert!(ledger.failed > 0, "nothing failed, so this shows nothing: {ledger:?}");
            assert_equal(
                result(&status, "send", WindowKind::Run, None),
                ledger,
                in_one_push(&status, ledger.total()),
            );

            let window = result(&status, "send", WindowKind::Fault, Some("kill-dbman"));
            let from = window.from.as_ref().expect("no start").0.as_millisecond();
            let to = window.to.as_ref().expect("no end").0.as_millisecond();
            // A push that a busy machine holds up comes with the next.
            let least = stage.ledger("window-send", from, to - 3 * PUSH).await;
            let most = stage.ledger("window-send", from - 3 * PUSH, to + 3 * PUSH).await;
            let (samples, bad) = (window.samples.unwrap(), window.bad.unwrap());
            assert!((least.total()..=most.total()).contains(&samples), "{least:?} {most:?} {window:#?}");
            assert!((least.bad()..=most.bad()).contains(&bad) && bad > 0, "{least:?} {most:?} {window:#?}");
            // The outage is over when the window ends, but for what a slow machine does afterwards.
            assert!(bad * 2 >= ledger.bad(), "{bad} of {ledger:?}");
            let recovery = kill.recovery.clone().unwrap_or_default();
            assert!(recovery.recover_milliseconds > Some(0), "{recovery:#?}");
            assert_eq!(objective(&status, "send").outcome, Outcome::Missed);
        })
        .await;
}

/// A refused connection takes no time at all, so a bare percentile would call this the fastest system there is.
#[tokio::test]
async fn an_outage_does_not_improve_a_percentile() {
    Setup::new("refused-port")
        .room(2)
        .play(async |stage| {
            let script = "import http from 'k6/http';
                import { sleep } from 'k6';
                export default function () { http.get('http://127.0.0.1:9/'); sleep(0.2); }";
            let failed = json!({"name": "failed", "k6": {"metric": "http_req_failed"}, "atMost": "50%"});
            let p95 = json!({"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "1s"});
            let spec = with(load(script, "6s"), json!({"objectives": [failed, p95]}));
            let run: Run<'_> = stage.run("refused", spec).await;
            let status = run.finished().await;
            assert_all_bad(&status, "failed");
            assert_all_bad(&status, "p95");
            assert_eq!(result(&status, "failed", WindowKind::Run, None).value.as_deref(), Some("100%"));
            let load = status.load.clone().unwrap_or_default();
            assert_eq!(load.failed_requests, load.requests);
            assert_eq!(load.k6_requests, load.requests);
            expect(&status, Verdict::Fail, "ObjectivesMissed", &["100%"]);
        })
        .await;
}
