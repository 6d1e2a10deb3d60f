//! The largest LoadTests: one that runs to its verdict, one that is told that it is too large, and those for which etcd
//! has no room left at all.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use loadtest_crds::{LoadTest, LoadTestStatus, Phase, Verdict};
use serde_json::{Value, json};
use test_support::{
    runs::expect,
    stage::{BREAKER, Setup, Stage},
    wait::eventually,
};

use crate::{
    heavy::beside_an_innocent_run,
    spec::{READER, few_failures, load, with},
};

/// A name as long as it may be.
fn name(what: &str, number: usize, most: usize) -> String {
    format!("{what}-{number:03}-{}", "n".repeat(most - what.len() - 5))
}

/// 16 faults and 64 objectives, each judged in all windows: 2,176 results. What becomes of the faults is of no account:
/// they come so fast that the pods do not.
fn largest(stage: &Stage) -> Value {
    let selector = json!({"matchLabels": {"app": "crowd"}});
    let fault = |n: usize| {
        json!({
            "name": name("fault", n, 40), "at": format!("{}s", 3 + n / 2), "podKill": {},
            "target": {"namespace": stage.targets, "selector": selector, "allowNoReady": true},
            "recovery": {"of": ["few-failures"], "within": "3s", "hold": "1s"},
        })
    };
    let objective = |n: usize| {
        json!({
            "name": name("objective", n, 63), "k6": {"metric": "http_req_duration", "under": "20s"},
            "atLeast": "1%", "windows": ["Run", "Steady", "Fault", "Recovery"],
        })
    };
    let objectives: Vec<Value> = [few_failures()].into_iter().chain((0..63).map(objective)).collect();
    with(
        load(READER, "20s"),
        json!({
            "serviceAccountName": BREAKER,
            "faults": (0..16).map(fault).collect::<Vec<_>>(),
            "objectives": objectives,
        }),
    )
}

/// It is recorded whole.
fn assert_fits(status: &LoadTestStatus) {
    assert_ne!(status.reason.as_deref(), Some("StatusTooLarge"));
    assert_eq!(status.objectives.len(), 64);
    assert_eq!(status.faults.len(), 16);
    let bytes = serde_json::to_vec(status).unwrap().len();
    assert!(bytes <= 260 << 10, "the status takes {bytes} bytes");
    let left_out = status.grounds.iter().find(|ground| ground.contains("of 2143 results are left out"));
    assert!(left_out.is_some(), "{:#?}", status.grounds);
}

#[tokio::test]
async fn the_largest_run_goes_to_its_verdict() {
    Setup::new("largest")
        .room(3)
        .play(async |stage| {
            stage.deploy_victims("crowd", 4).await;
            assert_fits(&beside_an_innocent_run(stage, largest(stage), 20).await);
        })
        .await;
}

/// The API server keeps each `<` in six bytes.
fn script_of(bytes: usize) -> String {
    "<".repeat(bytes / 6)
}

#[tokio::test]
async fn a_spec_that_leaves_no_room_for_a_status() {
    Setup::new("large-spec")
        .play(async |stage| {
            let run = stage.run("large", load(&script_of(1_100_000), "5s")).await;
            let words =
                ["the spec takes ", "may take 512 KiB", "put scripts and long values into ConfigMaps"];
            expect(&run.finished().await, Verdict::Error, "InvalidSpec", &words);
            run.delete().await;
            run.gone().await;
        })
        .await;
}

/// What etcd takes at once.
const ETCD: usize = 3 << 19;

/// Notes beside an object that fill it up, as far as it goes: so many bytes are tried, and fewer each time.
async fn fill<T>(bytes: usize, step: usize, mut attempt: impl AsyncFnMut(Value) -> kube::Result<T>) -> T {
    for less in (0..20_000).step_by(step) {
        match attempt(json!({"notes": "n".repeat(20_000 - less), "more": script_of(bytes - 20_000)})).await {
            Ok(taken) => return taken,
            Err(error) => assert!(error.to_string().contains("too large"), "{error}"),
        }
    }
    panic!("nothing as large as this is taken");
}

async fn told_as_refused(stage: &Stage) {
    let events: Api<Event> = Api::namespaced(stage.client.clone(), &stage.namespace);
    eventually("an event that says so", Duration::from_secs(90), || async {
        let all = events.list(&ListParams::default()).await.ok()?.items;
        let told = all.into_iter().find(|event| event.reason.as_deref() == Some("StatusRefused"))?;
        told.note.filter(|note| note.contains("too large"))
    })
    .await;
}

#[tokio::test]
async fn an_object_without_room_for_a_status_can_be_deleted() {
    Setup::new("large-full")
        .play(async |stage| {
            let resource = ApiResource::erase::<LoadTest>(&());
            let api: Api<DynamicObject> =
                Api::namespaced_with(stage.client.clone(), &stage.namespace, &resource);
            fill(ETCD - 1_200_000, 100, async |notes| {
                let object = json!({
                    "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
                    "metadata": {"name": "full", "namespace": stage.namespace, "annotations": notes},
                    "spec": load(&script_of(1_200_000), "5s"),
                });
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object).await
            })
            .await;
            told_as_refused(stage).await;
            assert!(stage.runs().get("full").await.unwrap().finalizers().is_empty());
            stage.runs().delete("full", &DeleteParams::default()).await.unwrap();
            eventually("it to be gone", Duration::from_secs(60), || async {
                stage.runs().get_opt("full").await.ok()?.is_none().then_some(())
            })
            .await;
        })
        .await;
}

/// Its load does not go on where nobody can write down what comes of it.
#[tokio::test]
async fn a_run_that_is_filled_up_ends_and_can_be_deleted() {
    Setup::new("large-later")
        .room(2)
        .play(async |stage| {
            // Annotations alone may not take as much.
            let script = format!("{READER}// {}", script_of(150_000));
            let run = stage.run("later", load(&script, "30s")).await;
            run.reached(Phase::Running).await;
            let runs = stage.runs();
            fill(ETCD - 150_000, 500, async |notes| {
                let patch = Patch::Merge(json!({"metadata": {"annotations": notes}}));
                runs.patch("later", &PatchParams::default(), &patch).await
            })
            .await;
            // Figures of a load under way may take no more room than those before them; those of its end do.
            told_as_refused(stage).await;
            eventually("its pods to go", Duration::from_secs(60), || async {
                run.pods().await.is_empty().then_some(())
            })
            .await;
            // There may be no room for the time of the deletion while the finalizer is there.
            eventually("a deletion", Duration::from_secs(30), || async {
                runs.delete("later", &DeleteParams::default()).await.ok()
            })
            .await;
            run.gone().await;
        })
        .await;
}
