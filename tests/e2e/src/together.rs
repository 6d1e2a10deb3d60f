//! Several runs at once, users who edit, several operators.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use loadtest_crds::{FaultState, Verdict};
use serde_json::json;
use test_support::{
    audit,
    runs::{Run, expect, fault},
    stage::{BREAKER, Setup},
};

use crate::spec::{READER, load, load_with_fault, with};

/// A user who changes a label again and again, so that every write of the operator may come too late.
pub async fn keep_editing(run: &Run<'_>) -> Infallible {
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    for number in 0.. {
        pause.tick().await;
        run.label("edited", &format!("{number}")).await;
    }
    unreachable!("the numbers do not end")
}

#[tokio::test]
async fn two_runs_at_once() {
    Setup::new("two")
        .room(3)
        .play(async |stage| {
            // Of the same names but their own: what one counts must not be the other's.
            let (few, many) =
                (json!([{"name": "a", "script": {"inline": READER}, "vus": 1, "duration": "8s"}]), 6);
            let (few, many) = tokio::join!(
                async {
                    let spec = with(load(READER, "8s"), json!({"scenarios": few}));
                    stage.run("few", spec).await.finished().await
                },
                async {
                    let mut spec = load(READER, "8s");
                    spec["scenarios"][0]["vus"] = json!(many);
                    stage.run("many", spec).await.finished().await
                }
            );
            for status in [&few, &many] {
                expect(status, Verdict::Pass, "AllObjectivesMet", &[]);
                let load = status.load.clone().unwrap_or_default();
                assert_eq!(load.requests, load.k6_requests, "{load:?}");
            }
            let requests = |s: &loadtest_crds::LoadTestStatus| s.load.as_ref().and_then(|l| l.requests);
            assert!(requests(&many) > requests(&few), "{:?}, {:?}", requests(&few), requests(&many));
        })
        .await;
}

/// They were there before the operator, so it takes them up while it does not know their pods yet.
#[tokio::test]
async fn runs_that_wait_for_an_operator() {
    Setup::new("waiting")
        .room(3)
        .without_operator()
        .play(async |stage| {
            let spec = load(READER, "5s");
            let runs = [
                stage.run("first", spec.clone()).await,
                stage.run("second", spec.clone()).await,
                stage.run("third", spec).await,
            ];
            stage.start_operator();
            for run in &runs {
                expect(&run.finished().await, Verdict::Pass, "AllObjectivesMet", &[]);
            }
        })
        .await;
}

/// Every edit changes the resourceVersion that the operator's next write is fenced with.
#[tokio::test]
async fn a_label_that_is_edited_all_the_time() {
    Setup::new("edit")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let run = stage.run("edit", load_with_fault(stage, "25s", "5s")).await;
            let status = tokio::select! {
                status = run.finished() => status,
                never = keep_editing(&run) => match never {},
            };
            expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
            assert_eq!(fault(&status, "kill").state, FaultState::Injected);
            let operator = stage.user("loadtest-operator");
            let conflicts = audit::requests(&stage.namespace)
                .into_iter()
                .filter(|r| r.user == operator && r.resource == "loadtests/status" && r.code == 409)
                .count();
            assert!(conflicts > 0, "no write of the operator met an edit, so this shows nothing");
            assert_eq!(audit::deletions_by(&stage.targets, &stage.user(BREAKER)).len(), 1);
        })
        .await;
}

/// Without a Lease between them, the record alone decides which of two operators has a run.
#[tokio::test]
async fn two_operators_at_once() {
    Setup::new("operators")
        .room(2)
        .play(async |stage| {
            stage.start_operator();
            stage.deploy_victims("victim", 2).await;
            let run = stage.run("operators", load_with_fault(stage, "25s", "5s")).await;
            let status = run.finished().await;
            let deletions = audit::deletions_by(&stage.targets, &stage.user(BREAKER));
            // Within some milliseconds of each other both requests may be taken: for the same pod, by its UID.
            let hit: BTreeSet<_> = deletions.iter().filter(|d| d.code == 200).map(|d| &d.uid).collect();
            assert!(hit.len() == 1 && !hit.contains(&None), "{deletions:#?}");
            // The operator whose record wins may be the one whose request came second.
            match fault(&status, "kill").state {
                FaultState::Unconfirmed => expect(&status, Verdict::Inconclusive, "FaultUnconfirmed", &[]),
                _ => expect(&status, Verdict::Pass, "AllObjectivesMet", &[]),
            }
        })
        .await;
}
