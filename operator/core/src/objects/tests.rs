//! The objects of a run as they are sent.

use std::time::Duration;

use loadtest_crds::LoadTest;

use super::*;

fn plan() -> Plan {
    let test: LoadTest = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "5c1f0f9e"},
        "spec": {"runner": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}, "scenarios": [
            {
                "name": "users", "parallelism": 2, "vus": 40, "duration": "90s",
                "script": {"configMap": {"name": "scripts", "key": "chat.js"}},
                "env": [
                    {"name": "BASE_URL", "value": "http://chat:8080/$(x)"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "smoke", "key": "password"}}},
                    {"name": "K6_VUS", "value": "7"}
                ],
                "arguments": ["--http-debug"]
            },
            {"name": "probe", "script": {"inline": "export default function () {}"}}
        ]}
    }))
    .unwrap();
    Plan::of(&test).unwrap()
}

fn objects() -> RunObjects {
    let push = Push::to("http://store:9090/api/v1/otlp/v1/metrics", Duration::from_secs(1)).unwrap();
    build_run(&plan(), &push)
}

#[test]
fn inspections_come_before_runners() {
    let names: Vec<String> = objects().pods.into_iter().filter_map(|p| p.metadata.name).collect();
    assert_eq!(
        names,
        ["chat-users-inspect", "chat-probe-inspect", "chat-users-0", "chat-users-1", "chat-probe-0"]
    );
}

#[test]
fn a_runner_pod() {
    insta::assert_yaml_snapshot!(objects().pods[3]);
}

#[test]
fn an_inspection_pod() {
    insta::assert_yaml_snapshot!(objects().pods[0]);
}

#[test]
fn an_inline_script_becomes_a_config_map() {
    insta::assert_yaml_snapshot!(objects().config_maps);
}

#[test]
fn every_object_is_owned_and_labelled_and_every_pod_restricted() {
    let objects = objects();
    for pod in &objects.pods {
        let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.controller, owner.uid.as_str()), (Some(true), "5c1f0f9e"));
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert!(spec.active_deadline_seconds.is_some(), "a paused k6 never ends by itself");
        // A namespace with a ResourceQuota takes no other pods.
        let resources = spec.containers[0].resources.as_ref().unwrap();
        assert_eq!(resources.requests.as_ref(), Some(&plan().runner.requests));
        assert_eq!(resources.limits.as_ref(), Some(&plan().runner.limits));
        let security = spec.containers[0].security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(spec.security_context.as_ref().unwrap().run_as_non_root, Some(true));
    }
}
