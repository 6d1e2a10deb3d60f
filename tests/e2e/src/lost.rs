//! Pods that several faults want, and pods that do not come again.

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, reflector, watcher},
};
use loadtest_crds::{FaultState, LoadTestStatus, Verdict, WindowKind};
use serde_json::json;
use test_support::{
    audit,
    install::apply,
    runs::{expect, fault, result},
    stage::{BREAKER, Setup, Stage},
};

use crate::spec::{few_failures, load_with_fault, with};

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    pod.meta().deletion_timestamp.is_none()
        && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The fewest ready victims that there were at any time of a course, and what came of it.
async fn fewest_ready<T>(stage: &Stage, course: impl Future<Output = T>) -> (usize, T) {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.targets);
    let (store, writer) = reflector::store();
    let changes = watcher::watcher(pods, watcher::Config::default().labels("app=victim")).default_backoff();
    let changes = changes.reflect(writer);
    pin_mut!(changes, course);
    let mut fewest = usize::MAX;
    loop {
        tokio::select! {
            result = &mut course => return (fewest, result),
            Some(change) = changes.next() => match change {
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) | Err(_) => {}
                Ok(_) => fewest = fewest.min(store.state().iter().filter(|pod| is_ready(pod)).count()),
            },
        }
    }
}

/// No pod may come in the place of one that goes.
fn forbid_pods(stage: &Stage) {
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full", "namespace": stage.targets},
        "spec": {"hard": {"pods": "1"}},
    });
    apply(&quota.to_string());
}

fn deletions(stage: &Stage) -> usize {
    let all = audit::deletions_by(&stage.targets, &stage.user(BREAKER));
    all.iter().filter(|deletion| deletion.code == 200).count()
}

/// The run whose fault came, then the one whose fault was spared.
fn by_fate(runs: [&LoadTestStatus; 2]) -> Option<[&LoadTestStatus; 2]> {
    match runs.map(|status| fault(status, "kill").state) {
        [FaultState::Injected, FaultState::NotInjected] => Some(runs),
        [FaultState::NotInjected, FaultState::Injected] => Some([runs[1], runs[0]]),
        [FaultState::Injected, FaultState::Injected] => None,
        other => panic!("{other:?}: {:#?}", runs.map(|status| fault(status, "kill"))),
    }
}

fn assert_spared(status: &LoadTestStatus, by: &LoadTestStatus) {
    let pod = &fault(by, "kill").targets[0].name;
    let words = ["fault kill was not injected", "fault kill of LoadTest ", &format!("takes {pod}")];
    expect(status, Verdict::Inconclusive, "FaultNotInjected", &words);
}

/// Each kills one of the same two pods, at the same time after its own start.
#[tokio::test]
async fn two_runs_leave_one_pod_ready_between_them() {
    Setup::new("last-pod")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let one = stage.run("one", load_with_fault(stage, "20s", "8s")).await;
            let other = stage.run("other", load_with_fault(stage, "20s", "8s")).await;
            let both = async { tokio::join!(one.finished(), other.finished()) };
            let (fewest, (one, other)) = fewest_ready(stage, both).await;
            assert_eq!(fewest, 1, "with as few as that {} pods were deleted", deletions(stage));
            match by_fate([&one, &other]) {
                Some([injected, spared]) => {
                    assert_spared(spared, injected);
                    assert_eq!(deletions(stage), 1);
                }
                // On a slow machine they may start so far apart that the first pod was replaced by then.
                None => {
                    let mut kills = [fault(&one, "kill"), fault(&other, "kill")];
                    kills.sort_by_key(|kill| kill.injected_at.as_ref().map(|at| at.0));
                    let (first, second) = (&kills[0].replaced_at, &kills[1].injected_at);
                    let is_over = first.as_ref().zip(second.as_ref()).is_some_and(|(a, b)| a.0 < b.0);
                    assert!(is_over, "{kills:#?}");
                }
            }
        })
        .await;
}

/// A quota keeps the new pod out: the run that killed the old one says so, and the other one does not take the last.
#[tokio::test]
async fn a_pod_that_does_not_come_again_is_a_warning_that_names_it() {
    Setup::new("quota")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            forbid_pods(stage);
            let one = stage.run("one", load_with_fault(stage, "20s", "8s")).await;
            let other = stage.run("other", load_with_fault(stage, "20s", "8s")).await;
            let both = async { tokio::join!(one.finished(), other.finished()) };
            let (fewest, (one, other)) = fewest_ready(stage, both).await;
            assert_eq!((fewest, deletions(stage)), (1, 1));
            let Some([injected, spared]) = by_fate([&one, &other]) else { panic!("both were injected") };
            assert_spared(spared, injected);

            let kill = fault(injected, "kill");
            assert_eq!((kill.replaced_at.as_ref(), kill.missing.as_deref()), (None, Some("1 of 2 ready")));
            let named = format!("fault kill: pod {} was not replaced within ", kill.targets[0].name);
            expect(injected, Verdict::Warn, "NotReplaced", &[&named, "when the load ended: 1 of 2 ready"]);
            let shown = injected.display.as_ref().and_then(|display| display.faults.as_deref());
            assert_eq!(shown, Some("1/1, 1 not replaced"));
        })
        .await;
}

/// What comes in the place of the first fault's pod is ready about when the second picks and deletes its own.
#[tokio::test]
async fn faults_that_are_three_seconds_apart_end_after_they_began() {
    Setup::new("apart")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 4).await;
            let objective = with(few_failures(), json!({"windows": ["Run", "Fault"]}));
            let mut spec = with(load_with_fault(stage, "25s", "5s"), json!({"objectives": [objective]}));
            let faults = spec["faults"].as_array_mut().unwrap();
            for (name, at) in [("second", "8s"), ("third", "11s")] {
                let again = with(faults[0].clone(), json!({"name": name, "at": at}));
                faults.push(again);
            }
            let status = stage.run("apart", spec).await.finished().await;
            for name in ["kill", "second", "third"] {
                let kill = fault(&status, name);
                assert_eq!(kill.state, FaultState::Injected, "{kill:#?}");
                let (from, to) = (kill.injected_at.as_ref(), kill.replaced_at.as_ref());
                let is_in_order = from.zip(to).is_some_and(|(from, to)| from.0 < to.0);
                assert!(is_in_order, "{kill:#?}");
                assert_eq!(kill.ready_before, Some(4), "{kill:#?}");
                let window = result(&status, "few-failures", WindowKind::Fault, Some(name));
                let (from, to) = (window.from.as_ref(), window.to.as_ref());
                assert!(from.zip(to).is_some_and(|(from, to)| from.0 < to.0), "{window:#?}");
            }
        })
        .await;
}
