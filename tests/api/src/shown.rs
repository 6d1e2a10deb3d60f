//! What kubectl shows: tables, manual pages, and the names of fields that do not exist.

use http::Request;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use test_support::{in_namespace, kubectl, program::printed, run_with_input};

use crate::server::{Server, object, spec};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[tokio::test]
async fn get_shows_phase_verdict_load_worst_faults_recovery_age() {
    in_namespace("api-table", |client, namespace| async move {
        let api = Server::new().await.load_tests(&namespace);
        let object = serde_json::from_value(object("run", &spec("{}"))).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
        let status = json!({"status": {
            "phase": "Finished", "verdict": "Warn", "reason": "ObjectiveMissed", "series": "weekly",
            "display": {
                "load": "540 VUs, 1,021/s", "worst": "save-p95 Fault 341ms > 300ms", "faults": "2/2",
                "recovery": "3.1s", "spread": "12ms"
            }
        }});
        api.patch_status("run", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

        let path = format!("/apis/loadtest.dev/v1alpha1/namespaces/{namespace}/loadtests");
        let request = Request::get(path).header("Accept", TABLE).body(Vec::new()).unwrap();
        let table: Value = client.request(request).await.unwrap();
        let columns = |wide: bool| -> Vec<String> {
            let columns = table["columnDefinitions"].as_array().unwrap().iter();
            let shown = columns.filter(|c| wide || c["priority"] == 0);
            shown.map(|c| c["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            columns(false),
            ["Name", "Phase", "Verdict", "Load", "Worst", "Faults", "Recovery", "Age"]
        );
        assert_eq!(columns(true)[8..], ["Reason", "Spread", "Series"]);
        let cells: Vec<_> = table["rows"][0]["cells"].as_array().unwrap().clone();
        assert_eq!(
            cells[..7],
            [
                json!("run"),
                json!("Finished"),
                json!("Warn"),
                json!("540 VUs, 1,021/s"),
                json!("save-p95 Fault 341ms > 300ms"),
                json!("2/2"),
                json!("3.1s"),
            ]
        );
        assert_eq!(cells[8..], [json!("ObjectiveMissed"), json!("12ms"), json!("weekly")]);
    })
    .await;
}

#[tokio::test]
async fn explain_reads_like_a_manual_page() {
    Server::new().await;
    // kubectl's own cache may hold the schema of an older CRD.
    let cache = std::env::temp_dir().join(format!("loadtest-explain-{}", std::process::id()));
    let cache_flag = format!("--cache-dir={}", cache.display());
    let fields = ["loadtest", "loadtest.spec", "loadtest.spec.faults", "loadtest.spec.objectives.k6"];
    let pages = fields.map(|field| (field, kubectl(&["explain", field, &cache_flag])));
    let _ = std::fs::remove_dir_all(&cache);
    for (field, output) in pages {
        assert!(output.status.success(), "{}", printed(&output));
        insta::assert_snapshot!(format!("explain_{field}"), printed(&output));
    }
}

#[tokio::test]
async fn the_short_name_is_known() {
    Server::new().await;
    for name in ["lt", "loadtests", "loadtest"] {
        let output = kubectl(&["get", name, "--namespace=default"]);
        assert!(output.status.success(), "{}", printed(&output));
    }
}

/// Whoever deletes all of a namespace's workloads, `kubectl delete all --all`, does not mean the verdicts.
#[tokio::test]
async fn loadtests_are_in_a_category_of_their_own() {
    Server::new().await;
    for (category, expected) in [("all", ""), ("loadtest", "loadtests.loadtest.dev")] {
        let category = format!("--categories={category}");
        let output = kubectl(&["api-resources", "--api-group=loadtest.dev", "--output=name", &category]);
        assert!(output.status.success(), "{}", printed(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
    }
}

#[tokio::test]
async fn kubectl_names_fields_that_do_not_exist() {
    Server::new().await;
    let wrong = "
apiVersion: loadtest.dev/v1alpha1
kind: LoadTest
metadata: {name: tried, namespace: default}
spec:
  serviceAccountName: a
  scenario: {}
  scenarios:
    - {name: chat, scripts: {}, script: {inline: x}}
  faults:
    - name: kill
      at: 30s
      target: {selector: {app: dbman}}
      podkill: {}
";
    let mut command = test_support::program("kubectl");
    let output = run_with_input(command.args(["apply", "--dry-run=server", "--filename=-"]), wrong);
    assert!(!output.status.success());
    let said = printed(&output);
    for field in [
        "spec.scenario\"",
        "spec.scenarios[0].scripts\"",
        "spec.faults[0].target.selector.app\"",
        "spec.faults[0].podkill\"",
    ] {
        assert!(said.contains(&format!("unknown field \"{field}")), "no {field}: {said}");
    }
}
