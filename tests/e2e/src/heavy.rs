//! Runs that are heavy to evaluate, and an innocent one beside them, which must not notice. The operator has one thread,
//! as with a limit of one CPU.

use std::{convert::Infallible, time::Duration};

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use loadtest_crds::{FaultState, LoadTestStatus, Outcome, Verdict};
use serde_json::{Value, json};
use test_support::{
    eventually,
    runs::{expect, fault, objective},
    stage::{Setup, Stage},
};

use crate::{
    replayed::{again, assert_same, record_of},
    spec::{load, load_with_fault},
};

/// A URL of its own for each request, and no tag `name`: some thousands in a few seconds.
const NAMELESS: &str = r#"
import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
export default function () {
  for (let page = 0; page < 5; page++) {
    const of = `${exec.vu.idInTest}-${exec.vu.iterationInInstance}-${page}`;
    http.get(`http://prometheus.monitoring:9090/-/ready?page=${of}`);
  }
  sleep(0.05);
}
"#;

/// What the chart gives the operator, in MiB.
const LIMIT: f64 = 128.0;
/// So near to what it was at rest it is again afterwards.
const GIVEN_BACK: f64 = 10.0;

/// A heavy run whose load lasts so many seconds, beside an innocent one with two faults: one while the heavy load runs,
/// and one when it is evaluated. The operator lives through it in its room and gives it back, and the innocent run
/// passes. Gives the heavy one's status.
pub async fn beside_an_innocent_run(stage: &Stage, heavy: Value, seconds: u32) -> LoadTestStatus {
    stage.deploy_victims("victim", 2).await;
    let mut spec = load_with_fault(stage, &format!("{}s", seconds + 20), "5s");
    let mut again = spec["faults"][0].clone();
    (again["name"], again["at"]) = (json!("again"), json!(format!("{}s", seconds + 7)));
    spec["faults"].as_array_mut().expect("faults").push(again);
    let rest = stage.operator_memory();
    let mut most = rest;
    let heavy = stage.run("heavy", heavy).await;
    let innocent = stage.run("innocent", spec).await;
    let (heavy, innocent) = tokio::select! {
        both = async { tokio::join!(heavy.finished(), innocent.finished()) } => both,
        never = stage.keep_alive() => match never {},
        never = watch_memory(stage, &mut most) => match never {},
    };
    assert!(most < LIMIT, "the operator held {most:.0} MiB");
    for name in ["kill", "again"] {
        assert_eq!(fault(&innocent, name).state, FaultState::Injected, "{:#?}", innocent.faults);
    }
    expect(&innocent, Verdict::Pass, "AllObjectivesMet", &[]);
    eventually("the memory to be given back", Duration::from_secs(30), async || {
        (stage.operator_memory() <= rest + GIVEN_BACK).then_some(())
    })
    .await;
    println!(
        "the operator held {rest:.0} MiB at rest, {most:.0} at most, {:.0} after it",
        stage.operator_memory()
    );
    let late: Vec<_> = innocent.faults.iter().filter_map(|fault| fault.timing_error_milliseconds).collect();
    println!("the faults beside it were {late:?} ms late");
    heavy
}

/// The most that the operator holds while something else goes on.
async fn watch_memory(stage: &Stage, most: &mut f64) -> Infallible {
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    loop {
        pause.tick().await;
        *most = most.max(stage.operator_memory());
    }
}

#[tokio::test]
async fn thousands_of_request_names() {
    Setup::new("names")
        .room(6)
        .one_cpu()
        .play(async |stage| {
            let status = beside_an_innocent_run(stage, load(NAMELESS, "8s"), 8).await;
            // All requests are judged, by whatever name.
            assert_eq!(objective(&status, "few-failures").outcome, Outcome::Met, "{:#?}", status.objectives);
            let names = status.load.as_ref().and_then(|load| load.request_names).unwrap_or(0);
            assert!(names > 1000, "{names} names show nothing: {:#?}", status.load);
            let told = |ground: &&String| ground.contains("different request names");
            assert_eq!(status.grounds.iter().filter(told).count(), 1, "{:#?}", status.grounds);

            let (bytes, record) = record_of(stage, &status).await;
            println!("a record of {names} request names takes {bytes} bytes");
            let cells = record.cells.as_ref().unwrap_or_else(|| panic!("{:?}", record.left_out));
            assert_eq!(cells.folded, u64::try_from(names).ok());
            assert_same(again(&record, &[]), &status);

            let events: Api<Event> = Api::namespaced(stage.client.clone(), &stage.namespace);
            eventually("an event that tells of the names", Duration::from_secs(30), || async {
                let all = events.list(&ListParams::default()).await.ok()?.items;
                let warned = |e: &Event| {
                    e.reason.as_deref() == Some("ManyRequestNames") && e.type_.as_deref() == Some("Warning")
                };
                all.iter().any(warned).then_some(())
            })
            .await;
        })
        .await;
}
