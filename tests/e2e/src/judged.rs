//! Loads that ran, and are no pass.

use std::time::Duration;

use kube::api::DeleteParams;
use loadtest_crds::{Outcome, Phase, Verdict, WindowKind};
use serde_json::json;
use test_support::{
    runs::{expect, objective, result},
    stage::Setup,
};

use crate::spec::{READER, few_failures, load, with};

#[tokio::test]
async fn a_load_that_holds_passes() {
    Setup::new("pass")
        .room(2)
        .play(async |stage| {
            let p95 = json!({"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95, "tags": {"name": "Ready"}}, "atMost": "20s"});
            let spec = with(load(READER, "8s"), json!({"objectives": [few_failures(), p95]}));
            let run = stage.run("pass-7", spec).await;
            let status = run.finished().await;
            expect(&status, Verdict::Pass, "AllObjectivesMet", &["all 2 objectives"]);
            let runners = status.runners.clone().unwrap_or_default();
            assert_eq!((runners.total, runners.ready, runners.ended, runners.lost), (2, 2, 2, 0));
            let figures = status.load.clone().unwrap_or_default();
            assert_eq!(figures.asked_vus, Some(4));
            assert!(figures.requests > Some(0), "{figures:?}");
            assert_eq!((figures.failed_requests, figures.script_errors), (Some(0), Some(0)));
            assert_eq!(status.series.as_deref(), Some("pass"));
            for runner in ["a-0", "a-1"] {
                run.log(runner).await;
            }
        })
        .await;
}

#[tokio::test]
async fn a_script_that_throws_in_every_iteration() {
    Setup::new("throws")
        .room(2)
        .play(async |stage| {
            let script = "import { sleep } from 'k6';
                import http from 'k6/http';
                export default function () {
                  http.get('http://prometheus.monitoring:9090/-/ready');
                  sleep(0.5);
                  throw new Error('no token in the answer');
                }";
            let run = stage.run("throws", load(script, "6s")).await;
            let status = run.finished().await;
            // Every request was fine: the objective is met, and it must not matter.
            assert_eq!(objective(&status, "few-failures").outcome, Outcome::Met);
            expect(&status, Verdict::Error, "ScriptFailed", &["failed in every iteration", "logs"]);
            assert!(run.log("a-0").await.contains("no token in the answer"));
        })
        .await;
}

#[tokio::test]
async fn a_query_without_data() {
    Setup::new("nodata")
        .room(2)
        .play(async |stage| {
            let lag = json!({"name": "lag", "query": "max(no_such_lag_seconds)", "atMost": "5"});
            let spec = with(load(READER, "6s"), json!({"objectives": [few_failures(), lag]}));
            let (soft, hard) =
                tokio::join!(async { stage.run("soft", spec.clone()).await.finished().await }, async {
                    let strict = with(spec.clone(), json!({"verdict": {"onNoData": "Fail"}}));
                    stage.run("hard", strict).await.finished().await
                });
            assert_eq!(result(&soft, "lag", WindowKind::Run, None).outcome, Outcome::NoData);
            expect(&soft, Verdict::Inconclusive, "NoData", &["lag", "no data in this window"]);
            expect(&hard, Verdict::Fail, "NoData", &["lag", "no data in this window"]);
        })
        .await;
}

#[tokio::test]
async fn no_objectives_no_pass() {
    Setup::new("none")
        .room(2)
        .play(async |stage| {
            let spec = with(load(READER, "5s"), json!({"objectives": []}));
            let status = stage.run("none", spec).await.finished().await;
            expect(&status, Verdict::Inconclusive, "NoObjectives", &["nothing was judged"]);
        })
        .await;
}

#[tokio::test]
async fn a_runner_that_is_lost() {
    Setup::new("lost")
        .room(2)
        .play(async |stage| {
            let run = stage.run("lost", load(READER, "30s")).await;
            run.reached(Phase::Running).await;
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            stage.pods().delete("lost-a-1", &now).await.unwrap();
            let lost = |t: &loadtest_crds::LoadTest| {
                t.status.as_ref().and_then(|s| s.runners.as_ref()).is_some_and(|r| r.lost == 1)
            };
            run.until("seen to have lost a runner", Duration::from_secs(30), lost).await;
            let status = run.finished().await;
            expect(&status, Verdict::Inconclusive, "RunnerLost", &["1 of 2 runners", "a-1"]);
        })
        .await;
}

/// Both are said, and neither ends the load.
#[tokio::test]
async fn a_script_that_fails_the_test_and_throws_in_teardown() {
    Setup::new("fails")
        .room(2)
        .play(async |stage| {
            let script = "import exec from 'k6/execution';
                import http from 'k6/http';
                import { sleep } from 'k6';
                export default function () {
                  http.get('http://prometheus.monitoring:9090/-/ready');
                  sleep(0.5);
                  if (exec.vu.iterationInScenario === 2) exec.test.fail('no order was paid');
                }
                export function teardown() { throw new Error('orders are left behind'); }";
            let status = stage.run("fails", load(script, "6s")).await.finished().await;
            let words = ["2 of the runners", "marked the run as failed", "no order was paid"];
            expect(&status, Verdict::Inconclusive, "RunnerInterrupted", &words);
            let runners = status.runners.clone().unwrap_or_default();
            assert_eq!((runners.failed, runners.interrupted, runners.lost), (2, 0, 0));
            // It went on to its end all the same.
            assert_eq!(objective(&status, "few-failures").outcome, Outcome::Met);
            let told = status.grounds.iter().find(|ground| ground.contains("teardown() failed"));
            let told = told.unwrap_or_else(|| panic!("teardown() is not told: {:#?}", status.grounds));
            assert!(told.contains("scenario a") && told.contains("orders are left behind"), "{told}");
        })
        .await;
}

#[tokio::test]
async fn a_script_that_ends_its_own_load() {
    Setup::new("abort")
        .room(2)
        .play(async |stage| {
            let script = "import exec from 'k6/execution';
                import http from 'k6/http';
                import { sleep } from 'k6';
                export default function () {
                  http.get('http://prometheus.monitoring:9090/-/ready');
                  sleep(1);
                  if (exec.vu.iterationInScenario === 3) exec.test.abort('seen enough');
                }";
            let status = stage.run("abort", load(script, "30s")).await.finished().await;
            expect(
                &status,
                Verdict::Inconclusive,
                "RunnerInterrupted",
                &["2 of the runners were ended by their own script"],
            );
        })
        .await;
}
