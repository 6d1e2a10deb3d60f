//! The harm of an outage is right: what the operator finds in k6's cells, against the clock and the servers' ledger.

use std::time::{Duration, Instant};

use loadtest_crds::{BudgetStatus, FaultEffect, FaultState, LoadTestStatus, Outcome, Phase, Verdict};
use serde_json::{Value, json};
use test_support::{
    runs::{Run, expect, fault},
    stage::{BREAKER, Setup, Stage},
};

use crate::figures::{CHAT, PUSH, SEND, chat, counted, whole};

/// A load in which a pod dies that nobody needs, after 20 s: what happens then is the test's doing.
fn spec(stage: &Stage, run: &str, duration: &str, more: Value) -> Value {
    let mut kill = json!({
        "name": "kill",
        "at": "20s",
        "target": {"namespace": stage.targets, "selector": {"matchLabels": {"app": "victim"}}},
        "podKill": {},
        "recovery": {"of": ["send"], "within": "20s", "hold": "5s", "alert": "DbmanDown"},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        kill[key] = value.clone();
    }
    chat(stage, run, duration, json!({"serviceAccountName": BREAKER, "faults": [kill]}))
}

async fn injected(run: &Run<'_>) -> LoadTestStatus {
    let killed = |s: &LoadTestStatus| s.faults.iter().any(|f| f.state == FaultState::Injected);
    let limit = Duration::from_secs(180);
    run.until("hit by its fault", limit, |t| t.status.as_ref().is_some_and(killed)).await
}

#[tokio::test]
async fn three_seconds_of_outage_are_found_as_such() {
    Setup::new("outage")
        .room(4)
        .limit(Duration::from_secs(600))
        .play(async |stage| {
            stage.install_chat_scripts(&[("figures.js", CHAT)]);
            stage.install_target_app(&["chat.debugFaults=true"]);
            stage.deploy_victims("victim", 2).await;
            an_outage(stage).await;
            no_outage(stage).await;
            unhealthy_before(stage).await;
        })
        .await;
}

/// Every request is refused for 3 s.
async fn an_outage(stage: &Stage) {
    let budget = json!({"of": ["send"], "badRequests": 20, "downtime": "15s", "worstSecond": "100%"});
    let run = stage.run("down", spec(stage, "down", "60s", json!({"budget": budget}))).await;
    let status = injected(&run).await;
    let at = fault(&status, "kill").injected_at.clone().expect("not injected").0.as_millisecond();
    let before = stage.ledger("down-send", at - 10_000, at).await;
    assert!(before.ok > 100 && before.failed == 0, "{before:?}");

    let asked = Instant::now();
    stage.fail_route(SEND, 1.0).await;
    let begun = Instant::now();
    counted(stage, "down-send", |t| t.failed * 10 >= before.ok * 3).await;
    let least = begun.elapsed().as_secs_f64();
    stage.fail_route(SEND, 0.0).await;
    let most = asked.elapsed().as_secs_f64();

    let status = run.finished().await;
    let kill = fault(&status, "kill");
    let (budget, recovery) =
        (kill.budget.clone().unwrap_or_default(), kill.recovery.clone().unwrap_or_default());
    let down = budget.downtime_milliseconds.unwrap_or(-1) as f64 / 1000.0;
    // A busy machine may pause beside the outage, and then nobody was served either.
    let paused = paused(stage, "down-send", at, 15).await;
    println!("injected {:?} ms late", kill.timing_error_milliseconds);
    println!("down for {least:.2} s to {most:.2} s, found as {down} s: {budget:#?} {recovery:#?}");
    println!("less than usual was asked for {paused:.2} s");
    assert!((2.0..10.0).contains(&least), "the outage itself lasted {least} s");
    let right = down >= least - 1.0 && down <= most + paused + 1.0;
    assert!(right || is_late(&budget), "{least} s to {most} s, but {budget:#?}");
    // Nothing failed before or after, so the count is exact.
    let ledger = whole(stage, &status, "down-send").await;
    assert_eq!(budget.bad_requests, Some(ledger.failed), "{ledger:?}");
    assert_eq!(budget.worst_second.as_deref(), Some("100%"));
    let expected = if is_late(&budget) { Outcome::NoData } else { Outcome::Missed };
    assert_eq!(
        (recovery.effect, budget.outcome),
        (FaultEffect::Recovered, expected),
        "{recovery:#?} {budget:#?}"
    );
    // No dbman was lost, but one may have missed a scrape. The alert's rule says how soon it could have fired.
    assert!(recovery.detect_floor_milliseconds > Some(0), "{recovery:#?}");
    let grounds = status.grounds.join("\n");
    if is_late(&budget) {
        assert!(grounds.contains("no data: budget of kill:"), "{grounds}");
        return;
    }
    assert_eq!(recovery.outcome, Outcome::Met, "{recovery:#?}");
    assert!(grounds.contains("not met: budget of kill:"), "{grounds}");
    assert_eq!(status.verdict, Some(Verdict::Fail), "{grounds}");
}

/// How long the servers got less than usual in the seconds after a time, in seconds of what is usual.
async fn paused(stage: &Stage, name: &str, at: i64, seconds: i64) -> f64 {
    let second =
        async |n: i64| stage.ledger(name, at + n * 1000, at + (n + 1) * 1000 - 100).await.total() as f64;
    let mut before = Vec::new();
    for n in -15..0 {
        before.push(second(n).await);
    }
    before.sort_by(f64::total_cmp);
    let usual = before[before.len() / 2];
    let mut paused = 0.0;
    for n in 0..seconds {
        paused += (usual - second(n).await).max(0.0) / usual;
    }
    paused
}

/// k6 itself was held up, and the figure is no verdict.
fn is_late(budget: &BudgetStatus) -> bool {
    budget.message.as_ref().is_some_and(|message| message.contains("pushes came late"))
}

/// Nothing happens when the pod dies, unless the machine was too busy for the load itself: then the servers saw it too.
async fn no_outage(stage: &Stage) {
    // No limit of the worst second: a busy machine may pause for one.
    let budget = json!({"of": ["send"], "badRequests": 0, "downtime": "2s"});
    let status =
        stage.run("calm", spec(stage, "calm", "45s", json!({"budget": budget}))).await.finished().await;
    let kill = fault(&status, "kill");
    let (budget, recovery) =
        (kill.budget.clone().unwrap_or_default(), kill.recovery.clone().unwrap_or_default());
    let at = kill.injected_at.as_ref().expect("not injected").0.as_millisecond();
    let paused = paused(stage, "calm-send", at, 20).await;
    println!("paused for {paused:.2} s: {budget:#?} {recovery:#?}");
    assert_eq!(budget.bad_requests, Some(0), "{budget:#?}");
    let down = budget.downtime_milliseconds.unwrap_or(i64::MAX);
    let right = down <= PUSH + (paused * 1000.0) as i64;
    assert!(right || is_late(&budget), "paused for {paused} s, but {budget:#?}");
    if paused < 0.5 && !is_late(&budget) {
        assert_eq!(recovery.outcome, Outcome::Met, "{recovery:#?}");
        assert_eq!(budget.outcome, Outcome::Met, "{budget:#?}");
        assert_eq!(recovery.effect, FaultEffect::NoEffect, "{recovery:#?}");
        let grounds = status.grounds.join("\n");
        assert!(grounds.contains("no effect: send never left the limits"), "{grounds}");
    }
}

/// Everything fails before the fault is due: it is skipped.
async fn unhealthy_before(stage: &Stage) {
    let run = stage.run("ill", spec(stage, "ill", "45s", json!({}))).await;
    run.reached(Phase::Running).await;
    stage.fail_route(SEND, 1.0).await;
    let status = run.finished().await;
    stage.fail_route(SEND, 0.0).await;
    let kill = fault(&status, "kill");
    assert_eq!(kill.state, FaultState::NotInjected, "{kill:#?}");
    assert!(
        kill.message.as_deref().is_some_and(|m| m.starts_with("not steady: send: in the 10s before, ")),
        "{kill:#?}"
    );
    assert!(kill.targets.is_empty(), "{kill:#?}");
    // That nearly every request failed weighs more.
    expect(&status, Verdict::Fail, "ObjectivesMissed", &["failed"]);
    let grounds = status.grounds.join("\n");
    assert!(grounds.contains("fault kill was skipped: not steady: send"), "{grounds}");
}
