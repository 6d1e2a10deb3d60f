//! Stop and deletion: whatever the phase, the load ends, and nothing is left.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use loadtest_crds::{FaultState, LoadTest, Phase, StepState, Verdict};
use serde_json::{Value, json};
use test_support::{
    audit,
    runs::{Run, expect, fault},
    stage::{BREAKER, Setup, Stage},
};

use crate::spec::{READER, SLOW_SETUP, load, load_with_fault};

/// Waits until setup() runs.
async fn in_setup(run: &Run<'_>) {
    let runs = |t: &LoadTest| {
        let mut steps = t.status.iter().flat_map(|s| s.resume.setup.values()).peekable();
        steps.peek().is_some() && steps.all(|step| *step == StepState::Intended)
    };
    run.until("in setup()", Duration::from_secs(150), runs).await;
}

async fn victims(stage: &Stage) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.targets);
    let pods = pods.list(&ListParams::default()).await.unwrap();
    pods.iter().filter_map(ResourceExt::uid).collect()
}

#[tokio::test]
async fn deleted_in_the_middle_of_the_load() {
    Setup::new("delete")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let before = victims(stage).await;
            let run = stage.run("delete", load_with_fault(stage, "120s", "100s")).await;
            run.reached(Phase::Running).await;
            run.delete().await;
            run.gone().await;
            assert_eq!(victims(stage).await, before);
            assert_eq!(audit::deletions_by(&stage.targets, &stage.user(BREAKER)), []);
        })
        .await;
}

/// Whoever edits labels does not hide a pod from us: neither while the load runs, nor at the end.
#[tokio::test]
async fn a_runner_without_its_labels_is_ended_too() {
    Setup::new("unlabelled")
        .room(2)
        .play(async |stage| {
            let run = stage.run("unlabelled", load(READER, "120s")).await;
            run.reached(Phase::Running).await;
            let without = |labels: Value| Patch::Merge(json!({"metadata": {"labels": labels}}));
            let params = PatchParams::default();
            // The run's own label alone: it is still known by its name and its owner.
            let uid = without(json!({"loadtest.dev/uid": null, "loadtest.dev/role": null}));
            stage.pods().patch("unlabelled-a-0", &params, &uid).await.unwrap();
            // The one by which the operator watches pods: the runner counts as lost, and the pod runs on.
            let all = without(json!({"loadtest.dev/uid": null, "app.kubernetes.io/managed-by": null}));
            stage.pods().patch("unlabelled-a-1", &params, &all).await.unwrap();
            let lost = |t: &LoadTest| {
                t.status.as_ref().and_then(|s| s.runners.as_ref()).is_some_and(|r| r.lost == 1)
            };
            let status = run.until("seen to have lost a runner", Duration::from_secs(30), lost).await;
            let problems = status.runners.unwrap_or_default().problems;
            assert!(problems[0].starts_with("a-1: "), "{problems:?}");
            run.delete().await;
            run.gone().await;
            // The object is held until its pods are gone.
            let left = stage.pods().list(&ListParams::default()).await.unwrap();
            assert!(
                left.items.is_empty(),
                "{:?}",
                left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
            );
        })
        .await;
}

#[tokio::test]
async fn deleted_during_setup() {
    Setup::new("delete-setup")
        .play(async |stage| {
            let run = stage.run("delete", load(SLOW_SETUP, "60s")).await;
            in_setup(&run).await;
            run.delete().await;
            run.gone().await;
        })
        .await;
}

#[tokio::test]
async fn deleted_when_it_is_history() {
    Setup::new("delete-history")
        .play(async |stage| {
            let run = stage.run("delete", load("export default function () { nothing", "5s")).await;
            run.finished().await;
            run.delete().await;
            run.gone().await;
        })
        .await;
}

#[tokio::test]
async fn stopped_in_the_middle_of_the_load() {
    Setup::new("stop")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let before = victims(stage).await;
            let run = stage.run("stop", load_with_fault(stage, "120s", "100s")).await;
            run.reached(Phase::Running).await;
            run.stop().await;
            let status = run.finished().await;
            expect(&status, Verdict::Aborted, "Stopped", &["spec.stop"]);
            assert_eq!(fault(&status, "kill").state, FaultState::NotInjected);
            assert_eq!(victims(stage).await, before);
            assert_eq!(audit::deletions_by(&stage.targets, &stage.user(BREAKER)), []);
            let planned =
                status.load.as_ref().and_then(|l| l.planned_end_at.clone()).expect("no planned end");
            assert!(status.finished_at.expect("no end").0 < planned.0, "the load was not ended early");
            // What the runners said until then is kept.
            assert!(run.log("a-0").await.contains("level="));
        })
        .await;
}

#[tokio::test]
async fn stopped_during_setup() {
    Setup::new("stop-setup")
        .play(async |stage| {
            let run = stage.run("stop", load(SLOW_SETUP, "60s")).await;
            in_setup(&run).await;
            run.stop().await;
            let status = run.finished().await;
            expect(&status, Verdict::Aborted, "Stopped", &["spec.stop"]);
            assert_eq!(status.load.and_then(|l| l.started_at), None);
        })
        .await;
}

#[tokio::test]
async fn stopped_before_it_began() {
    Setup::new("stop-first")
        .without_operator()
        .play(async |stage| {
            let run = stage.run("stop", load(READER, "60s")).await;
            run.stop().await;
            stage.start_operator();
            let status = run.finished().await;
            expect(&status, Verdict::Aborted, "Stopped", &["spec.stop"]);
            let created = audit::requests(&stage.namespace);
            let created: Vec<_> =
                created.iter().filter(|r| r.verb == "create" && r.resource == "pods").collect();
            assert!(created.is_empty(), "{created:?}");
        })
        .await;
}
