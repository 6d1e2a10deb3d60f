//! What ends a load while it runs, and whether the load was what was asked for.

use std::time::Duration;

use loadtest_crds::{FaultState, GuardrailStatus, LoadTestStatus, Outcome, Phase, ShortfallCause, Verdict};
use serde_json::json;
use test_support::{
    ledger::Tally,
    runs::{expect, fault, objective},
    stage::{Setup, Stage},
};

use crate::{
    figures::counted,
    spec::{READER, load, load_with_fault, with},
};

fn guardrail<'a>(status: &'a LoadTestStatus, name: &str) -> &'a GuardrailStatus {
    let found = status.guardrails.iter().find(|guardrail| guardrail.name == name);
    found.unwrap_or_else(|| panic!("no guardrail {name}: {:#?}", status.guardrails))
}

/// The load is there for 60 s; its own virtual users are too many as soon as they are known.
#[tokio::test]
async fn a_breach_stops_the_load() {
    Setup::new("breach")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let script = format!("{READER}\nexport function teardown() {{ console.log('cleaned up'); }}");
            let crowd = json!({
                "name": "crowd", "query": "sum(k6_vus{testid=\"{{run}}\"})", "atMost": "0", "for": "3s"
            });
            let patch = json!({"guardrails": [crowd]});
            let mut spec = with(load_with_fault(stage, "60s", "40s"), patch);
            spec["scenarios"][0]["script"]["inline"] = json!(script);
            let run = stage.run("breach", spec).await;
            let status = run.finished().await;
            let query = format!("sum(k6_vus{{testid=\"{}\"}})", run.uid);
            expect(
                &status,
                Verdict::Fail,
                "GuardrailBreached",
                &["guardrail crowd", "limit 0", "since", &query],
            );

            let crowd = guardrail(&status, "crowd");
            assert_eq!((crowd.outcome, crowd.worst.as_deref()), (Outcome::Missed, Some("4")), "{crowd:?}");
            let load = status.load.clone().unwrap_or_default();
            let (Some(since), Some(ended)) = (&crowd.breached_at, &load.ended_at) else {
                panic!("{status:?}")
            };
            let stopped = ended.0.as_millisecond() - since.0.as_millisecond() - 3000;
            assert!(stopped <= 20_000, "stopped {stopped} ms after it was a breach");
            // What there was is judged, and the users' data is cleaned up.
            assert!(load.requests > Some(0) && load.k6_requests <= load.requests, "{load:?}");
            assert_eq!(objective(&status, "few-failures").outcome, Outcome::Met);
            assert_eq!(fault(&status, "kill").state, FaultState::NotInjected);
            assert!(run.log("a-0").await.contains("cleaned up"));
            let runners = status.runners.unwrap_or_default();
            assert_eq!((runners.lost, runners.starved.len()), (0, 0), "{runners:?}");
        })
        .await;
}

#[tokio::test]
async fn guardrails_that_warn_and_one_without_data() {
    Setup::new("warned")
        .room(2)
        .play(async |stage| {
            let guardrails = json!([
                {"name": "high", "query": "vector(60)", "atMost": "100", "warnAbove": "50", "for": "2s"},
                {"name": "fine", "query": "vector(40)", "atMost": "100", "warnAbove": "50", "for": "2s"},
                {"name": "nothing", "query": "max(no_such_metric)", "atMost": "1", "for": "2s", "onNoData": "Ignore"},
            ]);
            let spec = with(load(READER, "15s"), json!({"guardrails": guardrails}));
            let run = stage.run("warned", spec).await;
            let status = run.finished().await;
            expect(&status, Verdict::Warn, "GuardrailWarned", &["guardrail high", "60", "warning from 50 on"]);
            assert_eq!(guardrail(&status, "fine").outcome, Outcome::Met);
            assert!(guardrail(&status, "fine").samples >= Some(5), "{:?}", status.guardrails);
            assert_eq!(guardrail(&status, "nothing").outcome, Outcome::NoData);
        })
        .await;
}

#[tokio::test]
async fn a_guardrail_that_cannot_be_asked() {
    Setup::new("unasked")
        .play(async |stage| {
            let query =
                r#"label_replace(vector(1), "a", "1", "", "") or label_replace(vector(2), "a", "2", "", "")"#;
            let several = json!({"name": "several", "query": query, "atMost": "1"});
            let spec = with(load(READER, "8s"), json!({"guardrails": [several]}));
            let run = stage.run("unasked", spec).await;
            let status = run.finished().await;
            expect(&status, Verdict::Error, "GuardrailInvalid", &["guardrail several", "2 series", "max("]);
        })
        .await;
}

#[tokio::test]
async fn less_load_than_expected() {
    Setup::new("less")
        .room(2)
        .play(async |stage| {
            let expected = json!({"minRequests": 1_000_000, "minRate": 1});
            let run = stage.run("less", with(load(READER, "8s"), json!({"expect": expected}))).await;
            let status = run.finished().await;
            expect(&status, Verdict::Inconclusive, "LoadNotDelivered", &["expect.minRequests is 1,000,000"]);
            let load = status.load.unwrap_or_default();
            assert_eq!(
                (load.shortfalls.len(), load.shortfalls[0].cause),
                (1, ShortfallCause::Unknown),
                "{load:?}"
            );
            assert_eq!((load.asked_vus, load.delivered_vus), (Some(4), Some(4)));
        })
        .await;
}

/// The target is as quick as ever: what is missing, and slow, is the runner's doing.
#[tokio::test]
async fn a_starved_generator_is_inconclusive() {
    Setup::new("starved")
        .room(2)
        .limit(Duration::from_secs(400))
        .play(async |stage| {
            let script = "
                import http from 'k6/http';
                export const options = { scenarios: { steady: {
                  executor: 'constant-arrival-rate', rate: 100, duration: '20s', preAllocatedVUs: 10, maxVUs: 10 } } };
                export default function () { http.get('http://prometheus.monitoring:9090/-/ready'); }";
            let spec = json!({
                "scenarios": [{"name": "a", "script": {"inline": script}}],
                "runner": {"limits": {"cpu": "20m"}, "startTimeout": "3m"},
                "verdict": {"onTooFew": "Judge"},
                "objectives": [
                    {"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "20ms", "key": true}
                ],
            });
            let run = stage.run("starved", spec).await;
            let status = run.finished().await;
            assert_eq!(status.verdict, Some(Verdict::Inconclusive), "{:#?}", status.grounds);
            assert!(status.grounds.iter().any(|g| g.contains("short of CPU")), "{:#?}", status.grounds);
            let load = status.load.clone().unwrap_or_default();
            assert!(load.shortfalls.iter().all(|s| s.cause == ShortfallCause::Generator), "{load:?}");
            assert_eq!(load.asked_iterations, Some(2000));
            assert_eq!(status.runners.unwrap_or_default().starved.len(), 1);
        })
        .await;
}

/// Arrivals at 20 a second, with virtual users for as many requests at once as take half a second each.
const ARRIVALS: &str = "
import http from 'k6/http';
export const options = { scenarios: { arrivals: {
  executor: 'constant-arrival-rate', rate: 20, duration: '30s', preAllocatedVUs: 10, maxVUs: 10, gracefulStop: '1s' } } };
const params = (more) => ({ headers: { 'Content-Type': 'application/json', 'X-Request-Name': __ENV.ROUTE, ...more } });
const login = () =>
  http.post(`${__ENV.BASE_URL}/api/v1/auth/login`, JSON.stringify({ name: 'load-test-user-1', password: 'any' }), params({}));
export function setup() { return login().json(); }
export default function ({ token }) {
  if (__ENV.ROUTE === 'login') login();
  else http.get(`${__ENV.BASE_URL}/api/v1/me`, params({ Authorization: `Bearer ${token}` }));
}";

/// A run of [`ARRIVALS`] at one of chat's routes, which answers so much later from the second cell of time on.
async fn late(stage: &Stage, url: &str, name: &str, route: &str, delay: u64) -> LoadTestStatus {
    let env = json!([{"name": "BASE_URL", "value": url}, {"name": "ROUTE", "value": name}]);
    let mut spec = load(ARRIVALS, "");
    spec["scenarios"] = json!([{"name": "a", "script": {"inline": ARRIVALS}, "env": env}]);
    let run = stage.run(name, spec).await;
    run.reached(Phase::Running).await;
    let served = |t: Tally| t.ok >= 120;
    counted(stage, name, served).await;
    stage.delay_route(route, delay).await;
    run.finished().await
}

/// Iterations are dropped while the runners have CPU. That the target hangs to the end of the one load is a fail; that it
/// needs twice the time that there are virtual users for in the other is shown, and for an objective to judge.
#[tokio::test]
async fn a_target_that_hangs_fails_the_run_and_a_slow_one_is_shown() {
    Setup::new("late")
        .room(3)
        .play(async |stage| {
            let url = stage.deploy_lone_chat("chat").await;
            let (hung, slow) = tokio::join!(
                late(stage, &url, "me", "/api/v1/me", 60_000),
                late(stage, &url, "login", "/api/v1/auth/login", 1000),
            );
            let dropped = "were dropped: all virtual users were busy";
            expect(
                &hung,
                Verdict::Fail,
                "LoadNotDelivered",
                &[dropped, "no answers came", "not one iteration ended"],
            );
            let beside = "busy; of the requests then 0% failed, p95 ";
            expect(&slow, Verdict::Inconclusive, "LoadNotDelivered", &[dropped, beside, "; else 0% failed"]);
            for (status, cause) in [(hung, ShortfallCause::Target), (slow, ShortfallCause::Unknown)] {
                let load = status.load.unwrap_or_default();
                assert_eq!(load.asked_iterations, Some(600));
                assert!(load.shortfalls.iter().all(|s| s.cause == cause), "{load:?}");
                let runners = status.runners.unwrap_or_default();
                assert_eq!((runners.lost, runners.starved.len()), (0, 0), "{runners:?}");
            }
        })
        .await;
}

/// The load is there for 60 s; every request fails, and k6 itself would have stopped the one runner after 3 s.
#[tokio::test]
async fn a_threshold_that_aborts_stops_the_load_of_all_runners() {
    Setup::new("aborting")
        .room(2)
        .play(async |stage| {
            let script = "
                import http from 'k6/http';
                import { sleep } from 'k6';
                export const options = { thresholds: { 'http_req_failed{name:Nowhere}': [
                  { threshold: 'rate<0.5', abortOnFail: true, delayAbortEval: '3s' } ] } };
                export default function () {
                  http.get('http://prometheus.monitoring:9090/nowhere', { tags: { name: 'Nowhere' } });
                  sleep(0.2);
                }";
            let run = stage.run("aborting", with(load(script, "60s"), json!({"objectives": []}))).await;
            let status = run.finished().await;
            let name = "threshold: http_req_failed{name:Nowhere} rate<0.5";
            let stopped = format!("guardrail {name} stopped the load");
            expect(&status, Verdict::Fail, "GuardrailBreached", &[&stopped, "100%", "limit 50%", "since"]);
            assert_eq!(guardrail(&status, name).outcome, Outcome::Missed);
            assert_eq!(objective(&status, name).outcome, Outcome::Missed);
            let load = status.load.clone().unwrap_or_default();
            let (Some(from), Some(to)) = (&load.started_at, &load.ended_at) else { panic!("{status:?}") };
            let lasted = to.0.as_millisecond() - from.0.as_millisecond();
            assert!((3000..45_000).contains(&lasted), "the load went on for {lasted} ms");
            // It was not the script that ended its runners, and nothing is missing.
            assert!(load.shortfalls.is_empty(), "{load:?}");
            assert_eq!(status.runners.as_ref().map(|r| (r.total, r.lost)), Some((2, 0)));
            assert!(status.grounds.iter().all(|g| !g.contains("their own script")), "{:?}", status.grounds);
        })
        .await;
}

#[tokio::test]
async fn thresholds_of_a_script_count() {
    Setup::new("threshold")
        .room(2)
        .play(async |stage| {
            let script = "
                import http from 'k6/http';
                import { check, sleep } from 'k6';
                import { Counter, Rate, Trend } from 'k6/metrics';
                const even = new Rate('even'), orders = new Counter('orders'), never = new Counter('never');
                const size = new Trend('size'), steps = new Trend('steps', true);
                export const options = { tags: { team: 'chat' }, thresholds: {
                  'http_req_failed{name:Nowhere}': ['rate<0.01'],
                  'http_req_failed{name:Ready}': ['rate<0.01'],
                  checks: ['rate>0.9', 'rate>=1'],
                  'checks{check:is odd}': ['rate<0.6'],
                  even: ['rate>0.4', 'rate<0.2'],
                  orders: ['count>7'], never: ['count<10'],
                  size: ['avg<2.6', 'min>=1', 'max<4.5', 'med<3.2', 'p(90)<4.2'],
                  steps: ['avg<2.4', 'max<=3.9'],
                  http_req_duration: ['avg<2000', 'max<60000'],
                  'http_reqs{team:chat}': ['count>10'],
                  vus: ['value<100'],
                } };
                export default function () {
                  const ready = http.get('http://prometheus.monitoring:9090/-/ready', { tags: { name: 'Ready' } });
                  check(ready, { 'is ready': (r) => r.status === 200 });
                  check(__ITER, { 'is odd': (n) => n % 2 === 1 });
                  http.get('http://prometheus.monitoring:9090/nowhere', { tags: { name: 'Nowhere' } });
                  even.add(__ITER % 2 === 0);
                  orders.add(1);
                  for (const n of [1, 2, 3, 4]) { size.add(n); steps.add(n); }
                  sleep(0.2);
                }";
            let mut spec = load(script, "8s");
            spec["objectives"] = json!([]);
            let run = stage.run("threshold", spec).await;
            let status = run.finished().await;
            expect(&status, Verdict::Fail, "KeyObjectiveMissed", &["threshold: "]);
            // Each iteration: one check of two always passes, the other each second time; even is its reverse; sizes are
            // 1, 2, 3 and 4, of which 4 lies within a bucket of its upper end.
            for (threshold, outcome) in [
                ("http_req_failed{name:Nowhere} rate<0.01", Outcome::Missed),
                ("http_req_failed{name:Ready} rate<0.01", Outcome::Met),
                ("checks rate>0.9", Outcome::Missed),
                ("checks rate>=1", Outcome::Missed),
                ("checks{check:is odd} rate<0.6", Outcome::Met),
                ("even rate>0.4", Outcome::Met),
                ("even rate<0.2", Outcome::Missed),
                ("orders count>7", Outcome::Met),
                ("never count<10", Outcome::Met),
                ("size avg<2.6", Outcome::Met),
                ("size max<4.5", Outcome::Met),
                ("size med<3.2", Outcome::Met),
                ("size p(90)<4.2", Outcome::Met),
                ("steps avg<2.4", Outcome::Missed),
                ("steps max<=3.9", Outcome::Missed),
                // One lies at the upper end of its bucket.
                ("size min>=1", Outcome::Unclear),
                ("http_req_duration avg<2000", Outcome::Met),
                ("http_req_duration max<60000", Outcome::Met),
                ("http_reqs{team:chat} count>10", Outcome::Met),
            ] {
                let found = objective(&status, &format!("threshold: {threshold}"));
                assert_eq!(found.outcome, outcome, "{found:#?}");
            }
            let value = |of: &str| objective(&status, &format!("threshold: {of}")).windows[0].value.clone();
            assert_eq!(value("size avg<2.6").as_deref(), Some("2.5ms"));
            assert_eq!(value("never count<10").as_deref(), Some("0"));
            let orders = objective(&status, "threshold: orders count>7").windows[0].samples;
            let even = objective(&status, "threshold: even rate>0.4").windows[0].samples;
            assert!(orders.is_some() && orders == even, "{orders:?} and {even:?}");
            let named = "not judged: threshold: vus value<100";
            assert!(status.grounds.iter().any(|ground| ground.starts_with(named)), "{:?}", status.grounds);
        })
        .await;
}
