//! `logs`: those of this run, and of no other.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::support::{Cluster, MAPS, PODS, RUNS, owner, run_object};

fn map(owners: &[Value]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "chat-logs", "namespace": "loadtests", "ownerReferences": owners},
        "data": {"a-0.log": "kept words"},
    }))
}

fn pod(name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "loadtests", "ownerReferences": [owner(uid)]},
        "status": {"containerStatuses": [{
            "name": "k6", "image": "k6", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}
        }]},
    })
}

/// A finished run whose pods are these, each with a log of its own name.
async fn cluster(pods: &[Value], map: ResponseTemplate) -> Cluster {
    let cluster = Cluster::start().await;
    let run = run_object("chat", "Finished", Some("Pass"));
    cluster.answers("GET", &format!("{RUNS}/chat"), ResponseTemplate::new(200).set_body_json(run)).await;
    cluster.answers("GET", &format!("{MAPS}/chat-logs"), map).await;
    let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods});
    cluster.answers("GET", PODS, ResponseTemplate::new(200).set_body_json(list)).await;
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let log = ResponseTemplate::new(200).set_body_string(format!("words of {name}"));
        cluster.answers("GET", &format!("{PODS}/{name}/log"), log).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_logs_of_the_run_are_printed() {
    cluster(&[], map(&[owner("1")])).await.run("logs chat").await.is(0, &["kept words"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_of_somebody_else_is_not_printed() {
    for owners in [vec![], vec![owner("2")]] {
        let answer = cluster(&[], map(&owners)).await.run("logs chat").await;
        answer.is(66, &["ConfigMap chat-logs is not of this run", "kubectl get configmap chat-logs"]);
        assert!(!answer.out.contains("kept words"), "{}", answer.out);
    }
    let pods = [pod("chat-a-0", "1"), pod("chat-a-1", "2")];
    let answer = cluster(&pods, map(&[])).await.run("logs chat").await;
    answer.is(0, &["words of chat-a-0", "ConfigMap chat-logs is not of this run"]);
    assert!(!answer.out.contains("kept words") && !answer.out.contains("chat-a-1"), "{}", answer.out);
}
