//! What each command asks of the API server, prints, and exits with.

use std::process::Command;

use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, method, path, query_param};
use wiremock::{Mock, ResponseTemplate};

use super::support::{Answer, Cluster, RUNS, kubeconfig, manifest, no_such_run, refusal, run_object};

#[tokio::test(flavor = "multi_thread")]
async fn status_exits_by_the_verdict() {
    let cluster = Cluster::start().await;
    let verdicts = [("Pass", 0), ("Fail", 1), ("Warn", 2), ("Inconclusive", 3), ("Error", 4), ("Aborted", 5)];
    for (verdict, code) in verdicts {
        let name = verdict.to_lowercase();
        let object = run_object(&name, "Finished", Some(verdict));
        let at = format!("{RUNS}/{name}");
        cluster.answers("GET", &at, ResponseTemplate::new(200).set_body_json(object)).await;
        let answer = cluster.run(&format!("status {name}")).await;
        answer.is(code, &[&verdict.to_uppercase(), "as the operator says"]);
        assert!(!answer.out.contains('\x1b'), "colours without a terminal: {}", answer.out);
    }
    let object = run_object("young", "Running", None);
    cluster.answers("GET", &format!("{RUNS}/young"), ResponseTemplate::new(200).set_body_json(object)).await;
    cluster.run("status young").await.is(75, &["RUNNING"]);
    cluster.run("status young -o json").await.is(75, &["\"prometheus\": \"main\""]);
    cluster.run("status young -o yaml").await.is(75, &["prometheus: main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_apart() {
    let cluster = Cluster::start().await;
    // An API server without the CRD says no more than this.
    cluster.answers("GET", RUNS, ResponseTemplate::new(404).set_body_string("404 page not found\n")).await;
    cluster.run("list").await.is(69, &["does not know LoadTests", "helm install"]);

    let forbidden = refusal(403, "Forbidden", "user x cannot get resource", json!({}));
    cluster.answers("GET", &format!("{RUNS}/secret"), forbidden).await;
    cluster.run("status secret").await.is(77, &["user x cannot get resource", "kubectl auth can-i"]);

    let unknown = refusal(401, "Unauthorized", "Unauthorized", json!({}));
    cluster.answers("GET", &format!("{RUNS}/me"), unknown).await;
    cluster.run("status me").await.is(77, &["does not accept your credentials"]);

    cluster.run("status").await.is(69, &["does not know LoadTests"]);
    cluster.run("status x --context nowhere").await.is(69, &["nowhere", "--context"]);
    cluster.run("run").await.is(64, &["--filename"]);
    cluster.run("run -f /nowhere.yaml").await.is(66, &["/nowhere.yaml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_answer_is_named() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cluster = Cluster::start().await;
    let dead = Cluster { kubeconfig: kubeconfig(&format!("http://{address}"), address.port()), ..cluster };
    dead.run("status x").await.is(69, &[&address.to_string(), "Connection refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_name_is_helped() {
    let cluster = Cluster::start().await;
    cluster.answers("GET", &format!("{RUNS}/chat-fialover"), no_such_run("chat-fialover")).await;
    cluster.lists(json!([run_object("chat-failover", "Finished", Some("Pass"))])).await;
    for command in ["status", "watch", "stop", "rerun", "logs"] {
        let answer = cluster.run(&format!("{command} chat-fialover")).await;
        answer.is(66, &["no LoadTest chat-fialover in namespace loadtests", "did you mean chat-failover?"]);
    }
}

/// A name goes into the path of a request as it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_asks_for_nothing_else() {
    let cluster = Cluster::start().await;
    cluster.lists(json!([run_object("chat", "Finished", Some("Pass"))])).await;
    for command in ["status", "watch", "stop", "rerun", "logs", "judge"] {
        for name in ["x/../../pods/chat", "chat?watch=true", "chat%2f"] {
            cluster
                .run(&format!("{command} {name}"))
                .await
                .is(66, &[&format!("no LoadTest {name} in namespace")]);
        }
    }
    cluster.run("status chat -n ../..").await.is(66, &["the namespace ../.. does not exist"]);
    let requests = cluster.server.received_requests().await.unwrap();
    let lists = ["/apis/loadtest.dev/v1alpha1/loadtests", RUNS];
    let others: Vec<_> = requests.iter().filter(|request| !lists.contains(&request.url.path())).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_use_makes_a_sibling() {
    let cluster = Cluster::start().await;
    let taken = refusal(409, "AlreadyExists", "already exists", json!({"name": "chat"}));
    Mock::given(method("POST"))
        .and(path(RUNS))
        .and(query_param("fieldValidation", "Strict"))
        .and(body_partial_json(json!({"metadata": {"name": "chat"}})))
        .respond_with(taken)
        .expect(2)
        .mount(&cluster.server)
        .await;
    Mock::given(method("POST"))
        .and(path(RUNS))
        .and(body_partial_json(json!({
            "metadata": {"generateName": "chat-", "labels": {"loadtest.dev/series": "chat"}},
        })))
        .respond_with(ResponseTemplate::new(201).set_body_json(run_object("chat-x7k2p", "Pending", None)))
        .expect(1)
        .mount(&cluster.server)
        .await;
    let file = manifest("chat");
    let answer = cluster.run(&format!("run -o name -f {file}")).await;
    answer.is(0, &["made its sibling chat-x7k2p"]);
    assert_eq!(answer.out, "loadtest.loadtest.dev/chat-x7k2p\n");
    // A name that was asked for is not replaced.
    cluster.run(&format!("run --name chat -f {file}")).await.is(65, &["exists already", "--generate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_refuses_is_told_field_by_field() {
    let cluster = Cluster::start().await;
    let causes = json!({"causes": [{"field": "spec.faults[0]", "message": "Invalid value: \"object\": say what the fault does"}]});
    cluster.answers("POST", RUNS, refusal(422, "Invalid", "is invalid", causes)).await;
    let answer = cluster.run(&format!("run -f {}", manifest("refused"))).await;
    answer.is(65, &["refused LoadTest refused:\n  spec.faults[0]: say what the fault does"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_has_the_spec_without_the_stop() {
    let cluster = Cluster::start().await;
    let mut stopped = run_object("chat-x7k2p", "Finished", Some("Aborted"));
    stopped["spec"]["stop"] = json!(true);
    stopped["metadata"]["generateName"] = json!("chat-");
    cluster
        .answers("GET", &format!("{RUNS}/chat-x7k2p"), ResponseTemplate::new(200).set_body_json(stopped))
        .await;
    let created = ResponseTemplate::new(201).set_body_json(run_object("chat-abcde", "Pending", None));
    cluster.answers("POST", RUNS, created).await;
    cluster.run("rerun chat-x7k2p").await.is(0, &["loadtest.loadtest.dev/chat-abcde created"]);
    let requests = cluster.server.received_requests().await.unwrap();
    let body: Value = requests.iter().find(|r| r.method == "POST").unwrap().body_json().unwrap();
    assert_eq!(
        body["metadata"],
        json!({"namespace": "loadtests", "generateName": "chat-", "labels": {"loadtest.dev/series": "chat"}})
    );
    assert_eq!(body["spec"]["stop"], Value::Null);
    assert_eq!(body["spec"]["prometheus"], "main");
    assert_eq!(body["status"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_is_one_patch_and_none_for_what_is_over() {
    let cluster = Cluster::start().await;
    let running = run_object("going", "Running", None);
    let answer = ResponseTemplate::new(200).set_body_json(&running);
    cluster.answers("GET", &format!("{RUNS}/going"), answer.clone()).await;
    Mock::given(method("PATCH"))
        .and(path(format!("{RUNS}/going")))
        .and(body_partial_json(json!({"spec": {"stop": true}})))
        .respond_with(answer)
        .expect(1)
        .mount(&cluster.server)
        .await;
    cluster.run("stop going").await.is(0, &["told to stop"]);

    let over = ResponseTemplate::new(200).set_body_json(run_object("over", "Finished", Some("Pass")));
    cluster.answers("GET", &format!("{RUNS}/over"), over).await;
    cluster.run("stop over").await.is(0, &["finished already", "Pass"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlives_an_api_server_that_fails() {
    let cluster = Cluster::start().await;
    let running = run_object("chat", "Running", None);
    cluster.answers("GET", &format!("{RUNS}/chat"), ResponseTemplate::new(200).set_body_json(&running)).await;
    cluster.lists(json!([running])).await;
    let watch = || Mock::given(method("GET")).and(path(RUNS)).and(query_param("watch", "true"));
    let trouble = refusal(500, "InternalError", "etcd is away", json!({}));
    watch().respond_with(trouble).up_to_n_times(1).with_priority(1).mount(&cluster.server).await;
    let end = json!({"type": "MODIFIED", "object": run_object("chat", "Finished", Some("Warn"))});
    watch()
        .respond_with(ResponseTemplate::new(200).set_body_string(format!("{end}\n")))
        .mount(&cluster.server)
        .await;
    // Without a name it is the latest run.
    let answer = cluster.run("watch").await;
    answer.is(2, &["Running", "lost (", "connected again", "Finished  Warn  as the operator says"]);
    assert!(answer.err.contains("kubectl loadtest status chat -n loadtests"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_deleted_ends_the_watch() {
    let cluster = Cluster::start().await;
    let running = run_object("chat", "Running", None);
    cluster.answers("GET", &format!("{RUNS}/chat"), ResponseTemplate::new(200).set_body_json(&running)).await;
    cluster.lists(json!([])).await;
    cluster.run("watch chat").await.is(66, &["was deleted"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_watching_and_says_how_to_go_on() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use std::time::Duration;

    let cluster = Cluster::start().await;
    let running = run_object("chat", "Running", None);
    cluster.answers("GET", &format!("{RUNS}/chat"), ResponseTemplate::new(200).set_body_json(&running)).await;
    cluster.lists(json!([running])).await;
    let silent = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    cluster.answers("GET", RUNS, silent).await;

    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-loadtest"));
        command.args(["watch", "chat", "--kubeconfig"]).arg(&cluster.kubeconfig);
        let answer: Answer = tokio::task::spawn_blocking(move || {
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert!(line.contains("Running"), "{line}");
            Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            child.wait_with_output().unwrap().into()
        })
        .await
        .unwrap();
        answer.is(code, &["the run goes on", "kubectl loadtest stop chat -n loadtests"]);
    }
}
