//! What happens to the system under test in mid-run, with no fault to explain it.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{EvictParams, ListParams, Patch, PatchParams},
    runtime::wait::{await_condition, conditions},
};
use loadtest_crds::{HappeningKind, LoadTest, LoadTestStatus, Outcome, Phase, Verdict, WatchedStatus};
use serde_json::{Value, json};
use test_support::{
    install::apply,
    program::{kubectl, printed},
    runs::{Run, expect},
    stage::{BREAKER, IDLE, Setup, Stage},
};

use crate::spec::{READER, load, load_with_fault, with};

/// A load beside a watched part `victim`, the pods `app: victim` of the stage's target namespace.
fn watching(stage: &Stage, duration: &str, part: Value) -> Value {
    let victim = json!({
        "name": "victim",
        "namespace": stage.targets,
        "selector": {"matchLabels": {"app": "victim"}},
    });
    let system = json!([with(victim, part)]);
    with(load(READER, duration), json!({"serviceAccountName": BREAKER, "system": system}))
}

fn part<'a>(status: &'a LoadTestStatus, name: &str) -> &'a WatchedStatus {
    let part = status.system.iter().find(|p| p.name == name);
    part.unwrap_or_else(|| panic!("no part {name}: {:?}", status.system))
}

fn kinds(status: &LoadTestStatus) -> Vec<HappeningKind> {
    part(status, "victim").happenings.iter().map(|h| h.kind).collect()
}

/// The first look has been recorded.
async fn is_watched(run: &Run<'_>) {
    run.reached(Phase::Running).await;
    let looked = |t: &LoadTest| {
        t.status.as_ref().is_some_and(|s| s.system.iter().any(|p| p.name == "victim" && p.pods.is_some()))
    };
    run.until("watched", Duration::from_secs(30), looked).await;
}

async fn patch(stage: &Stage, patch: Value) {
    let api: Api<Deployment> = Api::namespaced(stage.client.clone(), &stage.targets);
    api.patch("victim", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Ends with an exit code.
const EXITS: &str = "exit 3";
/// Takes twice as much memory again and again.
const EATS: &str = "x=a; while :; do x=$x$x; done";

/// A pod `app: victim` whose container ends in this way when it is told to, and is started again.
async fn falling_pod(stage: &Stage, name: &str, end: &str) {
    let command = format!("redis-server --save '' --dir /tmp & echo $! > /tmp/pid; wait; {end}");
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": stage.targets, "labels": {"app": "victim"}},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main",
                "image": "docker.io/library/redis:7",
                "command": ["sh", "-c", command],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
            }],
        },
    });
    apply(&pod.to_string());
    let ready = await_condition(victims(stage), name, conditions::is_pod_running());
    tokio::time::timeout(Duration::from_secs(90), ready).await.unwrap().unwrap();
}

fn victims(stage: &Stage) -> Api<Pod> {
    Api::namespaced(stage.client.clone(), &stage.targets)
}

fn fall(stage: &Stage, name: &str) {
    // The image has a shell and little else.
    let kill = "read pid < /tmp/pid; kill $pid";
    let args = ["exec", name, "--namespace", &stage.targets, "--", "sh", "-c", kill];
    let output = kubectl(&args);
    assert!(output.status.success(), "{}", printed(&output));
}

#[tokio::test]
async fn a_container_that_restarts_is_listed_or_fails_the_run() {
    Setup::new("restarts")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            falling_pod(stage, "falling", EXITS).await;
            let listed = stage.run("listed", watching(stage, "30s", json!({}))).await;
            let strict = json!({"assertNoRestarts": true, "assertNoOOM": true});
            let strict = stage.run("strict", watching(stage, "30s", strict)).await;
            tokio::join!(is_watched(&listed), is_watched(&strict));
            fall(stage, "falling");
            let (listed, refused) = tokio::join!(listed.finished(), strict.finished());
            expect(
                &listed,
                Verdict::Warn,
                "Confounded",
                &["victim: container main of pod falling restarted, exit code 3 (Error)", "into the load"],
            );
            assert_eq!(kinds(&listed), [HappeningKind::Restart]);
            let victim = part(&listed, "victim");
            assert_eq!((victim.pods, victim.restarts, victim.outcome), (Some(3), 1, Outcome::Met));
            assert_eq!(victim.images, ["docker.io/library/redis:7"]);
            assert!(victim.limits.iter().any(|limits| limits == "main: memory 64Mi"), "{:?}", victim.limits);
            assert_eq!(victim.ready[0].pods, 3, "{:?}", victim.ready);
            let words = ["victim: 1 restart that no fault explains, none allowed", "pod falling"];
            expect(&refused, Verdict::Fail, "AssertFailed", &words);
        })
        .await;
}

/// One of three pods eats its memory up, and another is evicted as by `kubectl drain`.
#[tokio::test]
async fn a_kill_for_lack_of_memory_and_an_eviction() {
    Setup::new("taken")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            falling_pod(stage, "greedy", EATS).await;
            let listed = stage.run("listed", watching(stage, "30s", json!({}))).await;
            let strict = stage.run("strict", watching(stage, "30s", json!({"assertNoOOM": true}))).await;
            tokio::join!(is_watched(&listed), is_watched(&strict));
            fall(stage, "greedy");
            let all = victims(stage).list(&ListParams::default().labels("app=victim")).await.unwrap();
            let evicted =
                all.items.iter().filter_map(|p| p.metadata.name.clone()).find(|name| name != "greedy");
            let evicted = evicted.expect("no victim is left");
            victims(stage).evict(&evicted, &EvictParams::default()).await.unwrap();
            let (listed, refused) = tokio::join!(listed.finished(), strict.finished());

            for status in [&listed, &refused] {
                let victim = part(status, "victim");
                assert_eq!((victim.restarts, victim.out_of_memory), (1, 1), "{victim:?}");
                let of = |kind: HappeningKind| {
                    let all: Vec<_> = victim.happenings.iter().filter(|h| h.kind == kind).collect();
                    assert_eq!(all.len(), 1, "{kind:?}: {victim:?}");
                    (all[0].pod.clone().unwrap_or_default(), all[0].message.clone())
                };
                let (pod, why) = of(HappeningKind::OutOfMemory);
                assert_eq!(pod, "greedy");
                assert!(why.contains("was killed for lack of memory, restarted"), "{why}");
                let (pod, why) = of(HappeningKind::Eviction);
                assert_eq!(pod, evicted);
                assert!(why.contains("was evicted: EvictionByEvictionAPI"), "{why}");
                // What came in its place is neither a deletion nor scaling.
                assert_eq!(victim.happenings.len(), 2, "{victim:?}");
            }
            expect(&listed, Verdict::Warn, "Confounded", &["victim: ", "into the load"]);
            assert_eq!(part(&listed, "victim").outcome, Outcome::Met);
            let words = ["victim: 1 container killed for lack of memory", "none allowed", "pod greedy"];
            expect(&refused, Verdict::Fail, "AssertFailed", &words);
            assert_eq!(part(&refused, "victim").outcome, Outcome::Missed);
        })
        .await;
}

#[tokio::test]
async fn a_rollout_in_mid_run_is_inconclusive() {
    Setup::new("rollout")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let run = stage.run("rollout", watching(stage, "30s", json!({"assertNoRestarts": true}))).await;
            is_watched(&run).await;
            let annotations = json!({"restartedAt": "now"});
            patch(stage, json!({"spec": {"template": {"metadata": {"annotations": annotations}}}})).await;
            let status = run.finished().await;
            expect(
                &status,
                Verdict::Inconclusive,
                "Rollout",
                &["in mid-run", "victim from ", "the same images"],
            );
            // The pods that the rollout replaced are part of it.
            assert_eq!(kinds(&status), [HappeningKind::Rollout]);
            let victim = part(&status, "victim");
            assert_eq!((victim.revisions.len(), victim.outcome), (2, Outcome::Met), "{victim:?}");
        })
        .await;
}

#[tokio::test]
async fn a_deployment_that_is_scaled_reaches_its_number() {
    Setup::new("scaling")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("victim", 1).await;
            let wanted = |reaches: i32| json!({"scaling": {"reaches": reaches, "within": "35s"}});
            let reaches = stage.run("reaches", watching(stage, "40s", wanted(3))).await;
            let misses = stage.run("misses", watching(stage, "40s", wanted(4))).await;
            tokio::join!(is_watched(&reaches), is_watched(&misses));
            patch(stage, json!({"spec": {"replicas": 3}})).await;
            let (reached, missed) = tokio::join!(reaches.finished(), misses.finished());
            expect(&reached, Verdict::Pass, "AllObjectivesMet", &[]);
            assert_eq!(kinds(&reached), [HappeningKind::Scaled]);
            let scaling = part(&reached, "victim").scaling.clone().expect("no scaling");
            assert_eq!(scaling.outcome, Outcome::Met, "{scaling:?}");
            assert!(scaling.reached_milliseconds.is_some_and(|ms| (1..35_000).contains(&ms)), "{scaling:?}");
            assert_eq!(part(&reached, "victim").ready.last().map(|s| s.pods), Some(3));
            expect(
                &missed,
                Verdict::Fail,
                "ScalingMissed",
                &["no more than 3 pods ready", "at least 4 within 35s"],
            );
        })
        .await;
}

/// The fault's own pods are watched without being named, and what it did explains itself.
#[tokio::test]
async fn a_fault_explains_its_pods_and_no_others() {
    Setup::new("explained")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 3).await;
            let run = stage.run("explained", load_with_fault(stage, "40s", "4s")).await;
            let injected = |t: &LoadTest| {
                t.status.as_ref().is_some_and(|s| s.faults.iter().any(|f| f.replaced_at.is_some()))
            };
            run.reached(Phase::Running).await;
            run.until("replaced", Duration::from_secs(60), injected).await;
            let pods = victims(stage);
            let all = pods.list(&ListParams::default().labels("app=victim")).await.unwrap();
            let one = all.items.iter().find(|p| p.metadata.deletion_timestamp.is_none());
            let one = one.and_then(|p| p.metadata.name.clone()).expect("no victim is left");
            pods.delete(&one, &Default::default()).await.unwrap();
            let status = run.finished().await;
            let words = ["target of kill", &one, "deleted and replaced, and not by a fault"];
            expect(&status, Verdict::Warn, "Confounded", &words);
            assert_eq!(status.system.len(), 1);
            assert_eq!(status.system[0].happenings.len(), 1, "{:?}", status.system[0].happenings);
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    Setup::new("unwatched")
        .play(async |stage| {
            let (nothing, forbidden) = tokio::join!(
                async { stage.run("nothing", watching(stage, "5s", json!({}))).await.finished().await },
                async {
                    let spec = with(watching(stage, "5s", json!({})), json!({"serviceAccountName": IDLE}));
                    stage.run("forbidden", spec).await.finished().await
                },
            );
            let words = ["system victim: no pod in namespace", "matches app=victim"];
            expect(&nothing, Verdict::Error, "NoTarget", &words);
            let words = [
                "service account idle may not list, watch pods",
                "verbs: [list, watch]",
                "kind: RoleBinding",
            ];
            expect(&forbidden, Verdict::Error, "Forbidden", &words);
        })
        .await;
}
