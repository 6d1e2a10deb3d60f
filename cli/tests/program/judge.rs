//! `judge`: a run again from its record.

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::ByteString;
use loadtest_core::{
    evaluate::{Evaluation, Step, windows::context::Settings},
    k6::question::Request,
    objects::keys::RECORD_KEY,
    plan::Plan,
    prometheus::ask::{Answer, RequestKind},
    record::{Draft, Evidence, MOST_BYTES, Record, cells::Cells},
    verdict::{conclude, ground::Facts},
};
use loadtest_crds::LoadTest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::support::{Cluster, MAPS, RUNS, no_such_run, owner, refusal, run_object};

/// A queue that was 7 long at most, in a minute without any k6 figure.
fn answer(request: &Request) -> Answer {
    match request.kind {
        RequestKind::Range { from, .. } => {
            let points = (0..60).map(|n| (from.as_second() as f64 + f64::from(n), f64::from(n % 8)));
            Answer::Matrix(vec![(Default::default(), points.collect())])
        }
        // There are series of that name.
        RequestKind::Instant { .. } if request.question.to_string().starts_with("count({__name__=") => {
            Answer::Vector(vec![(Default::default(), 0.0, 1.0)])
        }
        RequestKind::Instant { .. } => Answer::Vector(Vec::new()),
    }
}

fn record() -> Vec<u8> {
    let test: LoadTest = serde_json::from_value(json!({
        "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "1"},
        "spec": {
            "scenarios": [{"name": "a", "script": {"inline": "x"}}],
            "objectives": [{"name": "depth", "query": "max(queue_depth)", "atMost": "10", "key": true}],
        },
        "status": {
            "phase": "Evaluating",
            "load": {"startedAt": "2026-08-01T10:00:00.000000Z", "endedAt": "2026-08-01T10:01:00.000000Z"},
        },
    }))
    .unwrap();
    let status = test.status.clone().unwrap();
    let plan = Plan::of(&test).unwrap();
    let settings = Settings { run_id: "1".to_owned(), push: Duration::from_secs(1) };
    let mut evaluation = Evaluation::of(&plan, &status, settings.clone());
    let mut answers = Vec::new();
    let judgement = loop {
        match evaluation.step(answers) {
            Step::Ask(requests) => answers = requests.iter().map(|r| (r.id, answer(r))).collect(),
            Step::Done(judgement) => break judgement,
        }
    };
    let facts = Facts::default();
    let judged = conclude(&plan, &status, &judgement, &facts);
    let evidence =
        Arc::new(Evidence { settings, asked: evaluation.into_asked(), cells: Ok(Cells::default()) });
    Record::new(&test, &Draft { status, facts, evidence, judged }).write(MOST_BYTES).unwrap()
}

fn map(data: Value, owner: Value) -> ResponseTemplate {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "chat-record", "namespace": "loadtests", "ownerReferences": [owner]},
        "binaryData": data,
    });
    ResponseTemplate::new(200).set_body_json(object)
}

fn file(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_cluster_is_judged_again_and_its_record_saved() {
    let cluster = Cluster::start().await;
    let mut finished = run_object("chat", "Finished", Some("Pass"));
    finished["status"]["report"] = json!("chat-record");
    cluster.answers("GET", &format!("{RUNS}/chat"), ResponseTemplate::new(200).set_body_json(finished)).await;
    let record = record();
    let data = json!({RECORD_KEY: serde_json::to_value(ByteString(record.clone())).unwrap()});
    cluster.answers("GET", &format!("{MAPS}/chat-record"), map(data, owner("1"))).await;

    let answer = cluster.run("judge lt/chat").await;
    answer.is(0, &["PASS  chat", "depth", "JUDGED AGAIN\n  as recorded"]);

    let saved = file("saved.json.gz");
    let answer = cluster.run(&format!("judge chat --limit depth=6 --save {saved}")).await;
    answer
        .is(1, &["FAIL  chat", "Pass (AllObjectivesMet)", "Fail (KeyObjectiveMissed)", "Met, 7, at most 10"]);
    assert_eq!(std::fs::read(&saved).unwrap(), record);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_judged_without_a_cluster() {
    let path = file("record.json.gz");
    std::fs::write(&path, record()).unwrap();
    // Its server is gone.
    let cluster = Cluster { kubeconfig: "/nowhere".into(), ..Cluster::start().await };
    cluster.run(&format!("judge {path}")).await.is(0, &["as recorded"]);
    cluster
        .run(&format!("judge {path} --limit depth=7"))
        .await
        .is(0, &["Met, 7, at most 10", "Met, 7, at most 7"]);
    let answer = cluster.run(&format!("judge {path} --limit depth=6 -o json")).await;
    answer.is(1, &[]);
    let object: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        (&object["status"]["verdict"], &object["spec"]["objectives"][0]["atMost"]),
        (&json!("Fail"), &json!("6"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_says_why() {
    let cluster = Cluster::start().await;
    let path = file("unjudged.json.gz");
    std::fs::write(&path, record()).unwrap();
    cluster
        .run(&format!("judge {path} --limit dpth=6"))
        .await
        .is(65, &["no objective dpth", "there is depth"]);
    cluster.run(&format!("judge {path} --limit depth")).await.is(64, &["NAME=LIMIT", "save-p95=250ms"]);
    cluster.run("judge ./nothing.gz").await.is(66, &["./nothing.gz"]);
    std::fs::write(&path, "{}").unwrap();
    cluster.run(&format!("judge {path}")).await.is(65, &["not the record of a run"]);
    std::fs::write(&path, r#"{"version": 99}"#).unwrap();
    cluster.run(&format!("judge {path}")).await.is(65, &["version 99"]);

    let running = run_object("going", "Running", None);
    cluster.answers("GET", &format!("{RUNS}/going"), ResponseTemplate::new(200).set_body_json(running)).await;
    cluster.run("judge going").await.is(66, &["LoadTest going has no record: it is not finished yet"]);
    let refused = run_object("refused", "Finished", Some("Error"));
    cluster
        .answers("GET", &format!("{RUNS}/refused"), ResponseTemplate::new(200).set_body_json(refused))
        .await;
    cluster.run("judge refused").await.is(66, &["ended before its figures were judged"]);
    let mut lost = run_object("lost", "Finished", Some("Pass"));
    lost["status"]["report"] = json!("lost-record");
    cluster.answers("GET", &format!("{RUNS}/lost"), ResponseTemplate::new(200).set_body_json(lost)).await;
    let gone =
        refusal(404, "NotFound", "configmaps \"lost-record\" not found", json!({"name": "lost-record"}));
    cluster.answers("GET", &format!("{MAPS}/lost-record"), gone).await;
    cluster.run("judge lost").await.is(66, &["ConfigMap lost-record is gone"]);
    let mut other = run_object("other", "Finished", Some("Pass"));
    other["status"]["report"] = json!("other-record");
    cluster.answers("GET", &format!("{RUNS}/other"), ResponseTemplate::new(200).set_body_json(other)).await;
    let strangers = map(json!({RECORD_KEY: serde_json::to_value(ByteString(record())).unwrap()}), owner("2"));
    cluster.answers("GET", &format!("{MAPS}/other-record"), strangers).await;
    cluster.run("judge other").await.is(66, &["ConfigMap other-record is not of this run"]);
    cluster.answers("GET", &format!("{RUNS}/chta"), no_such_run("chta")).await;
    cluster.lists(json!([run_object("chat", "Finished", Some("Pass"))])).await;
    cluster.run("judge chta").await.is(66, &["did you mean chat?"]);
}
