//! What is found out before the load: the run ends in Error, with one word and a sentence that says what to do.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use loadtest_crds::{LoadTest, LoadTestStatus, Phase, StepState, Verdict};
use serde_json::{Value, json};
use test_support::{
    install::apply,
    runs::expect,
    stage::{GHOST, IDLE, REFUSED, Setup, Stage},
};

use crate::spec::{READER, SLOW_SETUP, load, load_with_fault, with};

/// Runs a spec that must end in Error before any load.
async fn refused(stage: &Stage, name: &str, spec: Value, reason: &str, words: &[&str]) -> LoadTestStatus {
    let status = stage.run(name, spec).await.finished().await;
    expect(&status, Verdict::Error, reason, words);
    let load = status.load.clone().unwrap_or_default();
    assert_eq!(load.started_at, None, "the load was started all the same");
    status
}

fn script(text: &str) -> Value {
    load(text, "5s")
}

#[tokio::test]
async fn a_script_with_a_syntax_error() {
    Setup::new("syntax")
        .play(async |stage| {
            let spec = script("export default function () { this is no JavaScript }");
            let words = ["scenario a: the script cannot be loaded", "Unexpected identifier"];
            refused(stage, "syntax", spec, "ScriptInvalid", &words).await;
        })
        .await;
}

#[tokio::test]
async fn a_script_whose_init_throws() {
    Setup::new("init")
        .play(async |stage| {
            let spec = script("throw new Error('no such tenant'); export default function () {}");
            refused(stage, "init", spec, "ScriptInvalid", &["cannot be loaded", "no such tenant"]).await;
        })
        .await;
}

#[tokio::test]
async fn a_script_that_throws_in_setup() {
    Setup::new("setup")
        .play(async |stage| {
            let spec = script(
                "export function setup() { throw new Error('no database today') }
                 export default function () {}",
            );
            let words = ["setup() of scenario a failed", "no database today"];
            refused(stage, "setup", spec, "SetupFailed", &words).await;
        })
        .await;
}

#[tokio::test]
async fn a_runner_that_is_lost_before_the_start() {
    Setup::new("early")
        .play(async |stage| {
            let run = stage.run("early", load(SLOW_SETUP, "60s")).await;
            let in_setup = |t: &LoadTest| {
                let mut steps = t.status.iter().flat_map(|s| s.resume.setup.values());
                steps.any(|step| *step == StepState::Intended)
            };
            run.until("in setup()", Duration::from_secs(150), in_setup).await;
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            stage.pods().delete("early-a-1", &now).await.unwrap();
            let status = run.finished().await;
            let words = ["runner a-1 was lost before the start", "its pod is gone", "run the test again"];
            expect(&status, Verdict::Error, "RunnerLost", &words);
            assert_eq!(status.load.and_then(|load| load.started_at), None);
        })
        .await;
}

#[tokio::test]
async fn a_script_that_says_no_load_or_another() {
    Setup::new("load")
        .room(2)
        .play(async |stage| {
            let own = |options: &str| {
                let text = format!("export const options = {options}; export default function () {{}}");
                with(
                    script(&text),
                    json!({"scenarios": [{
                    "name": "a", "script": {"inline": text}, "parallelism": 2}]}),
                )
            };
            let scenarios = "{scenarios: {mine: {executor: 'constant-vus', vus: 2, duration: '5s'}}}";
            let twice =
                script(&format!("export const options = {scenarios}; export default function () {{}}"));
            tokio::join!(
                refused(
                    stage,
                    "none",
                    own("{}"),
                    "ScriptInvalid",
                    &["says nothing of its load", "write vus"]
                ),
                refused(
                    stage,
                    "rps",
                    own("{rps: 10, vus: 2, duration: '5s'}"),
                    "ScriptInvalid",
                    &["each of 2 runners would make up to 10 requests a second", "constant-arrival-rate"]
                ),
                refused(
                    stage,
                    "tag",
                    own(
                        "{scenarios: {mine: {executor: 'constant-vus', vus: 2, duration: '5s', tags: {testid: 'a'}}}}"
                    ),
                    "ScriptInvalid",
                    &["sets the tag testid", "another name"]
                ),
                refused(stage, "twice", twice, "ScriptInvalid", &["scenarios of its own (mine)", "remove"]),
                refused(
                    stage,
                    "few",
                    own("{vus: 1, duration: '5s'}"),
                    "ScriptInvalid",
                    &["2 runners share 1 virtual users", "lower parallelism to 1"]
                ),
            );
        })
        .await;
}

#[tokio::test]
async fn a_script_that_is_not_there() {
    Setup::new("script")
        .play(async |stage| {
            let maps: Api<ConfigMap> = Api::namespaced(stage.client.clone(), &stage.namespace);
            let scripts = json!({"metadata": {"name": "scripts"}, "data": {"chat.js": READER}});
            let scripts = serde_json::from_value(scripts).unwrap();
            maps.create(&PostParams::default(), &scripts).await.unwrap();
            let from = |name: &str, key: &str| {
                let source = json!({"configMap": {"name": name, "key": key}});
                with(
                    script(READER),
                    json!({"scenarios": [{
                    "name": "a", "script": source, "vus": 1, "duration": "5s"}]}),
                )
            };
            let no_map = ["no ConfigMap chats", "kubectl create configmap chats -n ", "--from-file=chat.js"];
            refused(stage, "map", from("chats", "chat.js"), "ScriptNotFound", &no_map).await;
            let no_key = ["ConfigMap scripts has no key chats.js", "it has: chat.js"];
            refused(stage, "key", from("scripts", "chats.js"), "ScriptNotFound", &no_key).await;
        })
        .await;
}

#[tokio::test]
async fn a_missing_secret() {
    Setup::new("secret")
        .play(async |stage| {
            let mut spec = script(READER);
            spec["scenarios"][0]["env"] = json!([
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "smoke", "key": "password"}}}
            ]);
            refused(stage, "secret", spec, "MissingReference", &["\"smoke\" not found"]).await;
        })
        .await;
}

#[tokio::test]
async fn an_image_that_is_not_there() {
    Setup::new("image")
        .play(async |stage| {
            let runner = json!({"image": "loadtest.dev/no-such-image:1", "imagePullPolicy": "Never"});
            let spec = with(script(READER), json!({"runner": runner}));
            refused(stage, "image", spec, "ImageUnavailable", &["loadtest.dev/no-such-image:1"]).await;
        })
        .await;
}

#[tokio::test]
async fn runners_that_find_no_node() {
    Setup::new("node")
        .play(async |stage| {
            let runner = json!({"nodeSelector": {"loadtest.dev/no-such": "node"}, "startTimeout": "8s"});
            let spec = with(script(READER), json!({"runner": runner}));
            let words = ["0 of 2 runners were ready within 8s", "first missing: a-0", "Unschedulable"];
            refused(stage, "node", spec, "RunnersNotReady", &words).await;
        })
        .await;
}

#[tokio::test]
async fn a_pod_in_the_way() {
    Setup::new("taken")
        .play(async |stage| {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"name": "taken-a-0"},
                "spec": {
                    "nodeSelector": {"loadtest.dev/no-such": "node"},
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{"name": "c", "image": "none", "securityContext": {
                        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
                },
            }))
            .unwrap();
            stage.pods().create(&PostParams::default(), &pod).await.unwrap();
            let words = ["pod named taken-a-0 exists and is not of this run", "rename the LoadTest"];
            refused(stage, "taken", script(READER), "CreateFailed", &words).await;
            // It is not ours, so it must still be there.
            stage.pods().delete("taken-a-0", &Default::default()).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_prometheus_that_is_not_there() {
    Setup::new("prometheus")
        .play(async |stage| {
            let asked = json!({"name": "up", "query": "min(up)", "atLeast": "1"});
            let at =
                |name: &str| with(script(READER), json!({"prometheus": name, "objectives": [asked.clone()]}));
            let words = ["Prometheus refused does not answer"];
            refused(stage, "refused", at(REFUSED), "PrometheusUnreachable", &words).await;
            let words = ["there is no Prometheus nowhere", "it has default, refused"];
            refused(stage, "unknown", at("nowhere"), "PrometheusUnknown", &words).await;
        })
        .await;
}

#[tokio::test]
async fn a_load_store_that_takes_no_figures() {
    Setup::new("unwritable")
        .write_path("/api/v1/write")
        .play(async |stage| {
            let words = ["/api/v1/write answers 404", "--web.enable-otlp-receiver"];
            refused(stage, "unwritable", script(READER), "LoadStoreRefuses", &words).await;
        })
        .await;
}

#[tokio::test]
async fn a_query_that_does_not_parse() {
    Setup::new("query")
        .play(async |stage| {
            let objective = json!({"name": "lag", "query": "sum(rate(lag[5m])", "atMost": "5"});
            let spec = with(script(READER), json!({"objectives": [objective]}));
            refused(stage, "query", spec, "InvalidSpec", &["objective lag: the query is not PromQL"]).await;
        })
        .await;
}

#[tokio::test]
async fn targets_that_are_not_there_or_too_few() {
    Setup::new("targets")
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let target = |target: Value| {
                let mut spec = load_with_fault(stage, "20s", "5s");
                spec["faults"][0]["target"] = with(spec["faults"][0]["target"].clone(), target);
                spec
            };
            let nobody = target(json!({"selector": {"matchLabels": {"app": "nobody"}}}));
            let none = format!("no ready pod in namespace {} matches app=nobody", stage.targets);
            refused(stage, "nobody", nobody, "NoTarget", &["fault kill", &none]).await;
            let three = target(json!({"pick": {"count": 3}}));
            let few = ["asked for 3 pods, but only 2 ready ones"];
            refused(stage, "three", three, "NoTarget", &few).await;
            let all = target(json!({"pick": {"all": true}}));
            let left = ["would leave none of the 2 ready pods", "target.allowNoReady: true"];
            refused(stage, "all", all, "NoTarget", &left).await;
        })
        .await;
}

#[tokio::test]
async fn a_fault_later_than_the_load() {
    Setup::new("late")
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let spec = load_with_fault(stage, "10s", "11s");
            let words = ["fault kill needs load until 11s", "the load lasts 10s", "lengthen the load"];
            refused(stage, "late", spec, "FaultAfterLoad", &words).await;
        })
        .await;
}

/// The message holds the Role that is missing. Applied as it stands, it mends the run.
#[tokio::test]
async fn an_account_that_may_not_delete_pods() {
    Setup::new("role")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let spec = with(load_with_fault(stage, "20s", "15s"), json!({"serviceAccountName": IDLE}));
            let may_not = format!(
                "service account idle may not list, watch, get, delete pods and list, watch endpointslices in \
                 namespace {}",
                stage.targets
            );
            let status = refused(stage, "before", spec.clone(), "Forbidden", &["fault kill", &may_not]).await;

            let message = status.message.unwrap_or_default();
            let (_, role) = message.split_once("apply:\n").expect("the message has no YAML to apply");
            apply(role);
            let run = stage.run("after", spec).await;
            run.reached(Phase::Running).await;
            run.stop().await;
            expect(&run.finished().await, Verdict::Aborted, "Stopped", &[]);
        })
        .await;
}

#[tokio::test]
async fn accounts_that_cannot_be_acted_as() {
    Setup::new("account")
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let acting_as = |account: &str| {
                with(load_with_fault(stage, "20s", "5s"), json!({"serviceAccountName": account}))
            };
            let missing = format!("no service account ghost in namespace {}", stage.namespace);
            refused(stage, "missing", acting_as(GHOST), "ServiceAccountNotFound", &[&missing]).await;

            let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &stage.namespace);
            let stranger = serde_json::from_value(json!({"metadata": {"name": "stranger"}})).unwrap();
            accounts.create(&PostParams::default(), &stranger).await.unwrap();
            let words = ["may not act as", &stage.user("stranger"), "faultAccounts"];
            refused(stage, "unlisted", acting_as("stranger"), "ImpersonationRefused", &words).await;
        })
        .await;
}

/// A run whose first look found nothing wrong may still be told to end before its pods are there.
#[tokio::test]
async fn a_run_that_nobody_takes_up_stays_pending() {
    Setup::new("pending")
        .without_operator()
        .play(async |stage| {
            let run = stage.run("pending", script(READER)).await;
            stage.start_operator();
            run.until("taken up", Duration::from_secs(60), |t| t.status.is_some()).await;
            run.stop().await;
            expect(&run.finished().await, Verdict::Aborted, "Stopped", &[]);
        })
        .await;
}
