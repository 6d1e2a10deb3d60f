//! A small server of its own for tests in which the target itself hangs, slows down or changes: it is up in a second,
//! and Prometheus scrapes it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    crd::http_get,
    install::{IMAGES, apply},
    stage::Stage,
    wait::eventually,
};

impl Stage {
    /// A pod of chat by itself, with the label `app: NAME`: without dbman and Redis it still logs users in. Prometheus
    /// scrapes it when this returns its URL.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn deploy_lone_chat(&self, name: &str) -> String {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name, "namespace": self.targets, "labels": {"app": name},
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            },
            "spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "chat",
                    "image": IMAGES[2],
                    "args": ["chat"],
                    "env": [
                        {"name": "TOKEN_SECRET", "value": "a secret of this test"},
                        {"name": "DEBUG_FAULTS", "value": "true"},
                        {"name": "LOG_FILTER", "value": "error"},
                    ],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "50m", "memory": "16Mi"}},
                }],
            },
        });
        apply(&pod.to_string());
        self.until_scraped(name, true).await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.targets);
        let pod = pods.get(name).await.unwrap_or_else(|error| panic!("failed to read pod {name}: {error}"));
        let ip = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
        format!("http://{ip}:8080")
    }

    /// Gives a pod's label `app` another value. When this returns, Prometheus's series of the old one have ended.
    ///
    /// # Panics
    /// When they do not.
    pub async fn relabel(&self, pod: &str, app: &str) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.targets);
        let patch = json!({"metadata": {"labels": {"app": app}}});
        let patched = pods.patch(pod, &PatchParams::default(), &Patch::Merge(&patch)).await;
        let before = patched.unwrap_or_else(|error| panic!("pod {pod} cannot be labelled: {error}"));
        assert_eq!(before.labels().get("app").map(String::as_str), Some(app));
        self.until_scraped(app, true).await;
        self.until_scraped(pod, false).await;
    }

    /// Waits until Prometheus has a sample of the pods with this label, or none any more.
    async fn until_scraped(&self, app: &str, scraped: bool) {
        let query = format!("up{{namespace=\"{}\",app=\"{app}\"}}==1", self.targets);
        let prometheus = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy";
        let path = format!("{prometheus}/api/v1/query?query={}", url_encoded(&query));
        eventually(
            &format!("Prometheus to have scraped {app}: {scraped}"),
            Duration::from_secs(120),
            || async {
                let answer: Value = self.client.request(http_get(&path)).await.ok()?;
                let there = !answer["data"]["result"].as_array()?.is_empty();
                (there == scraped).then_some(())
            },
        )
        .await;
    }
}

/// Text as a value of a URL's query.
fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
