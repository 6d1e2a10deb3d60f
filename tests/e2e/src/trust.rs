//! Whether a verdict can be trusted: the same healthy test again and again, and a Prometheus that is away.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use loadtest_crds::{LoadTest, Verdict, WindowKind};
use serde_json::json;
use test_support::{runs::result, stage::Setup};

use crate::spec::{READER, few_failures, load, with};

/// Enough samples for each objective to be decided, and nothing wrong with the system.
#[tokio::test]
async fn twenty_runs_of_a_healthy_test() {
    Setup::new("healthy")
        .room(6)
        .limit(Duration::from_secs(600))
        .play(async |stage| {
            let p95 = json!({"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "10s"});
            let mut spec =
                with(load(READER, "12s"), json!({"objectives": [few_failures(), p95], "verdict": {"onTooFew": "Fail"}}));
            spec["objectives"][0]["windows"] = json!(["Run", "Steady"]);
            spec["objectives"][0]["atMost"] = json!("2%");
            spec["scenarios"][0]["vus"] = json!(10);
            let spec = &spec;
            let verdicts: Vec<(Verdict, String)> = stream::iter(0..20)
                .map(|number| async move {
                    let status = stage.run(&format!("healthy-{number}"), spec.clone()).await.finished().await;
                    (status.verdict.unwrap_or(Verdict::Error), format!("{:?}", status.message))
                })
                .buffer_unordered(4)
                .collect()
                .await;
            let count = |of: Verdict| verdicts.iter().filter(|(verdict, _)| *verdict == of).count();
            assert!(count(Verdict::Warn) <= 1, "{verdicts:#?}");
            // On a busy machine a runner may be short of CPU, which is Inconclusive and says so.
            let short = |(verdict, message): &&(Verdict, String)| {
                *verdict == Verdict::Inconclusive && message.contains("short of CPU")
            };
            let short = verdicts.iter().filter(short).count();
            assert!(short <= 3, "{verdicts:#?}");
            assert_eq!(count(Verdict::Pass) + count(Verdict::Warn) + short, 20, "{verdicts:#?}");
        })
        .await;
}

/// What k6 sends while nobody answers comes with the next that somebody does.
#[tokio::test]
async fn a_load_store_that_is_dead_for_twenty_seconds() {
    Setup::new("dead")
        .room(2)
        .with_door()
        .play(async |stage| {
            let run = stage.run("dead", load(READER, "45s")).await;
            let some = |t: &LoadTest| {
                let load = t.status.as_ref().and_then(|s| s.load.clone()).unwrap_or_default();
                load.requests.is_some_and(|n| n >= 20)
            };
            run.until("seen to send requests", Duration::from_secs(150), some).await;
            stage.door().shut(Duration::from_secs(20)).await;
            let status = run.finished().await;
            let load = status.load.clone().unwrap_or_default();
            assert!(load.k6_requests.is_some_and(|n| n > 300), "{load:?}");
            assert_eq!(load.requests, load.k6_requests, "what came back is not what k6 counted");
            let counted = result(&status, "few-failures", WindowKind::Run, None);
            assert_eq!(counted.samples, load.k6_requests, "{counted:#?}");
            assert_eq!(status.verdict, Some(Verdict::Pass), "{:#?}", status.grounds);
        })
        .await;
}
