//! The chart's values: what is refused, what becomes of them, and that the README knows them all.

use std::{fs, time::Duration};

use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Pod};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use test_support::{Namespace, cluster::ROOT, eventually, program, program::printed, run};

use super::installed::with_chart;

/// Renders the chart with these arguments, without a cluster.
fn rendered(arguments: &[&str]) -> Result<Vec<Value>, String> {
    let chart = format!("{ROOT}/charts/loadtest-operator");
    let mut command = program("helm");
    let output = run(command.args(["template", "tried", &chart, "--namespace=tried-system"]).args(arguments));
    if !output.status.success() {
        return Err(printed(&output));
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents =
        text.split("\n---\n").filter(|document| document.lines().any(|line| line.starts_with("kind:")));
    Ok(documents
        .map(|document| serde_saphyr::from_str(document.trim_start_matches("---\n")).unwrap())
        .collect())
}

fn accepts(arguments: &[&str]) {
    rendered(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
}

fn rejects(arguments: &[&str], part: &str) {
    match rendered(arguments) {
        Ok(_) => panic!("accepted: {arguments:?}"),
        Err(said) => assert!(said.contains(part), "refused without {part:?}: {said}"),
    }
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn values_are_checked() {
    let account = |fields: &str| format!("--set-json=faultAccounts=[{fields}]");
    accepts(&[]);
    accepts(&["--set=replicas=2"]);
    accepts(&[&account(r#"{"namespace": "loadtests", "name": "a", "targets": ["b", "c"]}"#)]);
    accepts(&["--set=prometheus.other.queryURL=https://p"]);
    let (query, write) = ("--set=loadStore.queryURL=https://s", "--set=loadStore.writeURL=https://s/otlp");
    accepts(&["--set=loadStore.enabled=false", query, write]);
    rejects(&["--set=loadStore.enabled=false", query], "needs the queryURL and the writeURL of yours");
    rejects(&[query, write], "set loadStore.enabled=false");
    rejects(&["--set=replica=2"], "additional properties 'replica' not allowed");
    rejects(&["--set-json=namespaces=[]"], "namespaces");
    rejects(&["--set-json=namespaces=[\"Load_Tests\"]"], "does not match pattern");
    rejects(&["--set=prometheus.default.queryURL=prometheus:9090"], "does not match pattern");
    rejects(&["--set=prometheus.default.remoteWriteURL=http://p/w"], "'remoteWriteURL' not allowed");
    rejects(&["--set=image.pullPolicy=Sometimes"], "pullPolicy");
    rejects(&["--set=logFormat=xml"], "logFormat");
    rejects(&[&account(r#"{"namespace": "loadtests"}"#)], "name");
    rejects(
        &[&account(r#"{"namespace": "other", "name": "a"}"#)],
        "namespace other, which is not in namespaces: add it there",
    );
    rejects(
        &[&account(r#"{"namespace": "loadtests", "name": "a"}, {"namespace": "loadtests", "name": "a"}"#)],
        "account loadtests/a is listed twice",
    );
    rejects(&["--set=replicas=2", "--set=leaderElection.enabled=false"], "set leaderElection.enabled");
}

#[test]
fn no_binding_of_the_operator_reaches_the_cluster() {
    let objects = rendered(&[]).unwrap();
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());
    let names =
        |kind| of_kind(&objects, kind).iter().map(|o| o["metadata"]["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("ClusterRole"), ["tried-loadtest-operator-view", "tried-loadtest-operator-edit"]);
    // Without fault accounts there is nobody to impersonate.
    assert_eq!(names("Role"), ["tried-loadtest-operator-lease", "tried-loadtest-operator"]);
    let without = rendered(&["--set=userRoles.create=false"]).unwrap();
    assert!(of_kind(&without, "ClusterRole").is_empty());
}

#[test]
fn a_new_configuration_is_a_new_pod() {
    let checksum = |arguments: &[&str]| {
        let objects = rendered(arguments).unwrap();
        of_kind(&objects, "Deployment")[0]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            .clone()
    };
    assert_eq!(checksum(&[]), checksum(&["--set=logFormat=text"]));
    assert_ne!(checksum(&[]), checksum(&["--set=loadStore.pushInterval=2s"]));
    assert_ne!(checksum(&[]), checksum(&["--set-json=namespaces=[\"a\"]"]));
}

#[test]
fn the_configuration_is_what_the_operator_reads() {
    let objects = rendered(&[
        "--set-json=namespaces=[\"a\", \"b\"]",
        "--set=prometheus.default.queryURL=http://prometheus.monitoring:9090",
        "--set=prometheus.default.bearerToken.secret=prometheus",
        "--set=prometheus.default.bearerToken.key=bearer",
    ])
    .unwrap();
    let config = of_kind(&objects, "ConfigMap")[0]["data"]["config.yaml"].as_str().unwrap().to_owned();
    let config: Value = serde_saphyr::from_str(&config).unwrap();
    assert_eq!(
        config,
        json!({
            "namespaces": ["a", "b"],
            "loadStore": {
                "queryURL": "http://tried-loadtest-operator-load-store.tried-system:9090",
                "writeURL": "http://tried-loadtest-operator-load-store.tried-system:9090/api/v1/otlp/v1/metrics",
                "pushInterval": "1s"
            },
            "prometheus": {"default": {
                "queryURL": "http://prometheus.monitoring:9090",
                "bearerTokenFile": "/var/run/secrets/loadtest-operator/default/token"
            }},
            "leaderElection": {"enabled": true}
        })
    );
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/var/run/secrets/loadtest-operator/default"));
}

#[tokio::test]
async fn all_runs_under_the_strictest_pod_security() {
    let client = test_support::client().await;
    let level = ("pod-security.kubernetes.io/enforce", "restricted");
    let namespace = Namespace::create(&client, "chart-restricted", &[level]).await;
    let objects = rendered(&["--set=serviceAccount.name=default"]).unwrap();
    let api: Api<Pod> = Api::namespaced(client, &namespace.name);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let mut results = Vec::new();
    for deployment in of_kind(&objects, "Deployment") {
        let mut pod: Pod = serde_json::from_value(deployment["spec"]["template"].clone()).unwrap();
        pod.metadata.name = Some("one".to_owned());
        results.push(api.create(&dry_run, &pod).await);
    }
    namespace.delete().await;
    assert_eq!(results.len(), 2, "the operator and the load store");
    for result in results {
        let container = &result.unwrap().spec.unwrap().containers[0];
        assert_eq!(container.security_context.as_ref().unwrap().read_only_root_filesystem, Some(true));
    }
}

#[tokio::test]
async fn namespaces_that_are_not_there_are_made_and_stay() {
    with_chart(|chart| async move {
        let name = format!("{}-made", chart.runs);
        let served = format!("--set-json=namespaces=[\"{name}\", \"{}\"]", chart.runs);
        let api: Api<NamespaceObject> = Api::all(chart.client.clone());
        for _ in 0..2 {
            let output = chart.upgrade(&[&served]);
            assert!(output.status.success(), "{}", printed(&output));
            let made = api.get(&name).await.unwrap();
            assert_eq!(made.metadata.labels.unwrap()["pod-security.kubernetes.io/enforce"], "restricted");
        }
        // Not served any more, and there all the same: the history of runs is in it.
        let output = chart.upgrade(&[]);
        assert!(output.status.success(), "{}", printed(&output));
        assert!(api.get(&name).await.unwrap().metadata.deletion_timestamp.is_none());
        api.delete(&name, &DeleteParams::background()).await.unwrap();
        eventually("the namespace to go", Duration::from_secs(60), || async {
            api.get_opt(&name)
                .await
                .unwrap()
                .is_none_or(|n| n.metadata.deletion_timestamp.is_some())
                .then_some(())
        })
        .await;
        // A namespace that somebody else made is left as it is.
        let found = api.get(&chart.runs).await.unwrap();
        assert!(!found.metadata.labels.unwrap_or_default().contains_key("helm.sh/chart"));
    })
    .await;
}

#[test]
fn the_readme_names_every_value() {
    let read = |file: &str| fs::read_to_string(format!("{ROOT}/charts/loadtest-operator/{file}")).unwrap();
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let readme = read("README.md");
    let mut names: Vec<String> = Vec::new();
    for (name, property) in schema["properties"].as_object().unwrap() {
        let definition = property["$ref"].as_str().and_then(|at| schema.pointer(at.trim_start_matches('#')));
        let property = definition.unwrap_or(property);
        match property["properties"].as_object() {
            Some(inner) => names.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            None => names.push(name.clone()),
        }
    }
    // Helm's own.
    names.retain(|name| name != "global");
    let missing: Vec<_> = names.iter().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "the README does not name {missing:?}");
    for name in values.as_object().unwrap().keys() {
        assert!(schema["properties"].get(name).is_some(), "the schema does not know {name}");
    }
}

#[test]
fn the_notes_show_a_load_test_that_the_api_takes() {
    let notes = fs::read_to_string(format!("{ROOT}/charts/loadtest-operator/templates/NOTES.txt")).unwrap();
    let from = notes.find("<<'YAML'\n").unwrap() + "<<'YAML'\n".len();
    let to = notes[from..].find("  YAML\n").unwrap() + from;
    let manifest: String = notes[from..to]
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)))
        .collect();
    let manifest = manifest.replace("{{ $namespace }}", "default");
    let mut kubectl = program("kubectl");
    let command = kubectl.args(["create", "--dry-run=server", "--filename=-"]);
    let output = test_support::run_with_input(command, &manifest);
    assert!(output.status.success(), "{}\n{manifest}", printed(&output));
}
