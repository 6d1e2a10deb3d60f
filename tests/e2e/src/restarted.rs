//! An operator that dies at the worst moments. Its successor takes the run up from the record, and what may happen
//! only once happens once: the API server's audit log is the witness.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use loadtest_crds::{FaultState, LoadTest, LoadTestStatus, Phase, ReadyBy, StepState, TargetState, Verdict};
use serde_json::json;
use test_support::{
    audit, eventually,
    install::apply,
    runs::{Run, expect, fault},
    stage::{BREAKER, Setup, Stage},
};

use crate::{
    spec::{READER, load, load_with_fault},
    together::keep_editing,
};

/// Exactly one deletion of the recorded pod, with its uid as precondition, sent by the operator as the account.
fn assert_killed_once(stage: &Stage, status: &LoadTestStatus) {
    let target = match fault(status, "kill").targets.as_slice() {
        [target] => target,
        other => panic!("one target was asked for: {other:#?}"),
    };
    let operator = stage.user("loadtest-operator");
    let account = stage.user(BREAKER);
    let deletions = audit::deletions_by(&stage.targets, &operator);
    let done: Vec<_> = deletions.iter().filter(|d| d.code == 200).collect();
    assert_eq!(done.len(), 1, "{deletions:#?}");
    assert_eq!(done[0].uid.as_ref(), Some(&target.uid), "{deletions:#?}");
    assert_eq!(done[0].name, target.name);
    for deletion in &deletions {
        assert_eq!(deletion.acting_as.as_ref(), Some(&account), "{deletions:#?}");
    }
}

/// A run with one fault, whose operator dies at its failpoint and is followed by another, while a user edits labels.
async fn killed_at_its_failpoint(stage: &Stage) -> LoadTestStatus {
    stage.deploy_victims("victim", 2).await;
    let run = stage.run("once", load_with_fault(stage, "30s", "5s")).await;
    let course = async {
        run.reached(Phase::Running).await;
        stage.operator_ended().await;
        stage.start_operator();
        run.finished().await
    };
    tokio::select! {
        status = course => status,
        never = keep_editing(&run) => match never {},
    }
}

#[tokio::test]
async fn killed_before_the_effect_was_sent() {
    Setup::new("intended")
        .room(2)
        .failpoint("kill-intended")
        .play(async |stage| {
            let status = killed_at_its_failpoint(stage).await;
            assert_killed_once(stage, &status);
            // The pod was found alive, so nothing had been done to it.
            let kill = fault(&status, "kill");
            assert_eq!(kill.state, FaultState::Injected);
            // No Service stands before these pods: their readiness is all there is.
            assert_eq!(kill.services, []);
            assert_eq!(kill.recovery.as_ref().and_then(|r| r.ready_by), Some(ReadyBy::Pods), "{kill:#?}");
            assert!(kill.replaced_at.is_some(), "{kill:#?}");
            expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
        })
        .await;
}

#[tokio::test]
async fn killed_after_the_effect_was_sent() {
    Setup::new("sent")
        .room(2)
        .failpoint("kill-sent")
        .play(async |stage| {
            let status = killed_at_its_failpoint(stage).await;
            assert_unconfirmed(stage, &status);
        })
        .await;
}

#[tokio::test]
async fn killed_before_the_result_was_recorded() {
    Setup::new("unrecorded")
        .room(2)
        .failpoint("kill-unrecorded")
        .play(async |stage| {
            let status = killed_at_its_failpoint(stage).await;
            assert_unconfirmed(stage, &status);
        })
        .await;
}

/// The pod was found gone: not provably by this run.
fn assert_unconfirmed(stage: &Stage, status: &LoadTestStatus) {
    assert_killed_once(stage, status);
    let kill = fault(status, "kill");
    assert_eq!((kill.state, kill.targets[0].state), (FaultState::Unconfirmed, TargetState::Unconfirmed));
    let words = ["fault kill may have happened, but not provably by this run", "found gone after a restart"];
    expect(status, Verdict::Inconclusive, "FaultUnconfirmed", &words);
}

/// The replacement is ready before it serves: the Service takes in only pods that the test has labelled. The next
/// operator waits for what the one before it recorded.
#[tokio::test]
async fn killed_after_the_fault_was_recorded() {
    Setup::new("recorded")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            open_service(stage).await;
            let run = stage.run("once", load_with_fault(stage, "35s", "4s")).await;
            let injected = |t: &LoadTest| {
                t.status.iter().flat_map(|s| &s.faults).any(|f| f.state == FaultState::Injected)
            };
            run.until("past its fault", Duration::from_secs(150), injected).await;
            stage.kill_operator();
            stage.start_operator();
            let (before, joined) = let_in(stage, 1).await;
            assert_eq!(joined.len(), 1, "{joined:?}");
            let status = run.finished().await;
            assert_killed_once(stage, &status);
            let kill = fault(&status, "kill");
            let served: Vec<_> = kill.services.iter().map(|s| (s.name.as_str(), s.ready_before)).collect();
            assert_eq!(served, [("victim", 2)], "{kill:#?}");
            assert_eq!(
                kill.recovery.as_ref().and_then(|r| r.ready_by),
                Some(ReadyBy::Endpoints),
                "{kill:#?}"
            );
            let replaced = SystemTime::from(kill.replaced_at.as_ref().expect("not replaced").0);
            assert!(replaced > before, "replaced at {replaced:?}, let in after {before:?}");
            expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
        })
        .await;
}

/// The Service `victim` of the pods `app: victim` that were let in; both of them are.
async fn open_service(stage: &Stage) {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "victim", "namespace": stage.targets},
        "spec": {"selector": {"app": "victim", "let-in": "yes"}, "ports": [{"port": 6379}]},
    });
    apply(&service.to_string());
    let_in(stage, 2).await;
    let slices: Api<EndpointSlice> = Api::namespaced(stage.client.clone(), &stage.targets);
    eventually("two ready endpoints", Duration::from_secs(60), || async {
        let slices = slices.list(&ListParams::default()).await.ok()?.items;
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
        (ready.count() == 2).then_some(())
    })
    .await;
}

/// Labels the pods that are ready and not let in yet, when there are so many; when that was, and which.
async fn let_in(stage: &Stage, count: usize) -> (SystemTime, Vec<String>) {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.targets);
    let waiting = ListParams::default().labels("app=victim,let-in!=yes");
    let names = eventually("pods to let in", Duration::from_secs(60), || async {
        let pods = pods.list(&waiting).await.ok()?.items;
        let names: Vec<String> = pods.iter().filter(|p| is_ready(p)).map(ResourceExt::name_any).collect();
        (names.len() == count).then_some(names)
    })
    .await;
    let at = SystemTime::now();
    for name in &names {
        let label = Patch::Merge(json!({"metadata": {"labels": {"let-in": "yes"}}}));
        pods.patch(name, &PatchParams::default(), &label).await.unwrap();
    }
    (at, names)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// In every phase, one after the other; nothing of it shows in the figures.
#[tokio::test]
async fn killed_in_every_phase() {
    Setup::new("phases")
        .room(2)
        .play(async |stage| {
            let run = stage.run("phases", load(READER, "10s")).await;
            for phase in [Phase::Preparing, Phase::Running, Phase::Evaluating] {
                run.reached(phase).await;
                stage.kill_operator();
                stage.start_operator();
            }
            let status = run.finished().await;
            expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
            assert_whole(&run, &status).await;
        })
        .await;
}

#[tokio::test]
async fn killed_before_the_runners_were_started() {
    Setup::new("start-intended")
        .room(2)
        .failpoint("start-intended")
        .play(async |stage| killed_at_the_start(stage).await)
        .await;
}

#[tokio::test]
async fn killed_after_the_runners_were_started() {
    Setup::new("started")
        .room(2)
        .failpoint("started")
        .play(async |stage| killed_at_the_start(stage).await)
        .await;
}

async fn killed_at_the_start(stage: &Stage) {
    let run = stage.run("start", load(READER, "8s")).await;
    stage.operator_ended().await;
    stage.start_operator();
    let status = run.finished().await;
    expect(&status, Verdict::Pass, "AllObjectivesMet", &[]);
    assert_whole(&run, &status).await;
}

/// Prometheus has every request that the runners' own logs tell of.
async fn assert_whole(run: &Run<'_>, status: &LoadTestStatus) {
    let load = status.load.clone().unwrap_or_default();
    let runners = status.runners.clone().unwrap_or_default();
    assert_eq!((runners.total, runners.lost), (2, 0), "{runners:?}");
    // 4 users, a request each 0.2 s and a little.
    let from = load.start_intended_at.unwrap().0;
    let seconds = load.ended_at.unwrap().0.duration_since(from).as_secs_f64();
    let most = (4.0 * (seconds / 0.2 + 2.0)) as i64;
    let requests = load.requests.unwrap_or_default();
    assert!(requests > most / 8 && requests <= most, "{requests} requests in {seconds} s");
    if let Some(own) = load.k6_requests {
        assert_eq!(own, requests);
    }
    run.log("a-0").await;
}

/// Whether setup() ran cannot be known, and it must not run twice.
#[tokio::test]
async fn killed_in_setup() {
    Setup::new("setup-intended")
        .failpoint("setup-intended")
        .play(async |stage| {
            let run = stage.run("setup", load(READER, "8s")).await;
            stage.operator_ended().await;
            stage.start_operator();
            let status = run.finished().await;
            expect(&status, Verdict::Error, "SetupUnknown", &["not run twice"]);
            assert_eq!(status.resume.setup.values().next(), Some(&StepState::Intended));
        })
        .await;
}
