//! Where it is measured: a namespace, the script, and an operator.

use std::path::Path;

use anyhow::bail;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use loadtest_crds::LoadTest;
use serde_json::json;
use test_support::{Namespace, install::load_store_url};
use tokio::time::{Duration, Instant, sleep};

use crate::{operator::Operator, witness::RUNNER_HEADER};

/// How long pods and LoadTests may take to go.
const LEAVING: Duration = Duration::from_secs(60);
/// What the ConfigMap with the script is called.
const SCRIPT: &str = "bench";
/// What all our LoadTests carry.
pub const LABEL: (&str, &str) = ("loadtest.dev/series", "bench");

/// One request of each virtual user, then one a second. There is no setup().
fn script() -> String {
    format!(
        "import http from 'k6/http';
import {{ sleep }} from 'k6';
export default function () {{
  http.get(__ENV.WITNESS, {{ headers: {{ '{RUNNER_HEADER}': __ENV.HOSTNAME }}, tags: {{ name: 'Witness' }} }});
  sleep(1);
}}
"
    )
}

/// The namespace with what both sides use.
pub struct Place {
    pub client: Client,
    pub namespace: String,
    own: Option<Namespace>,
    operator: Option<Operator>,
    image: String,
    witness: String,
}

impl Place {
    /// In a namespace of its own with an operator of its own, or in that which the installed one serves.
    pub async fn make(
        image: &str,
        operator: Option<&Path>,
        served: &str,
        witness: &str,
    ) -> anyhow::Result<Self> {
        let client = test_support::client().await;
        let own = match operator {
            None => None,
            Some(_) => {
                let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
                Some(Namespace::create(&client, "bench", &labels).await)
            }
        };
        let mut place = Self {
            namespace: own.as_ref().map_or_else(|| served.to_owned(), |n| n.name.clone()),
            client,
            own,
            operator: None,
            image: image.to_owned(),
            witness: witness.to_owned(),
        };
        let made = async {
            place.config_maps().delete(SCRIPT, &DeleteParams::default()).await.ok();
            place.config_maps().create(&PostParams::default(), &place.script_map()).await?;
            if let Some(binary) = operator {
                let store = load_store_url(&place.client).await;
                place.operator = Some(Operator::start(binary, &place.namespace, &store)?);
            }
            anyhow::Ok(())
        };
        if let Err(error) = made.await {
            place.clean().await;
            return Err(error);
        }
        Ok(place)
    }

    /// A LoadTest of so many runners for so long. Also what the bare pods are built from.
    pub fn load_test(&self, name: &str, runners: u32, duration: &str) -> anyhow::Result<LoadTest> {
        let (key, value) = LABEL;
        Ok(serde_json::from_value(json!({
            "apiVersion": "loadtest.dev/v1alpha1",
            "kind": "LoadTest",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {key: value}},
            "spec": {
                "runner": {"image": self.image},
                "scenarios": [{
                    "name": "first",
                    "script": {"configMap": {"name": SCRIPT, "key": "script.js"}},
                    "parallelism": runners,
                    "vus": runners,
                    "duration": duration,
                    "env": [{"name": "WITNESS", "value": self.witness}]
                }]
            }
        }))?)
    }

    /// The operator that was started for this, if it was.
    pub fn operator(&self) -> Option<&Operator> {
        self.operator.as_ref()
    }

    /// A measurement to its end, or until Ctrl-C. When it fails, the operator's log is shown.
    pub async fn watched(&self, measurement: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        tokio::select! {
            result = measurement => result.inspect_err(|_| self.show_log()),
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    }

    pub fn load_tests(&self) -> Api<LoadTest> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until no pod of ours is left.
    pub async fn await_no_pods(&self, labels: &str) -> anyhow::Result<()> {
        let end = Instant::now() + LEAVING;
        let ours = ListParams::default().labels(labels);
        while !self.pods().list_metadata(&ours).await?.items.is_empty() {
            if Instant::now() > end {
                bail!("pods with {labels} were still there after {LEAVING:?}");
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// The cluster in a line.
    pub async fn describe(&self) -> String {
        let version = self.client.apiserver_version().await.map(|v| v.git_version).unwrap_or_default();
        let nodes = Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await;
        let nodes = nodes.map(|n| n.items).unwrap_or_default();
        let runtimes: Vec<String> = nodes
            .iter()
            .filter_map(|n| n.status.as_ref()?.node_info.as_ref())
            .map(|info| format!("{} on {}", info.container_runtime_version, info.kernel_version))
            .collect();
        let runtime = runtimes.first().cloned().unwrap_or_default();
        format!("Kubernetes {version}, {} node(s), {runtime}; k6 image {}", nodes.len(), self.image)
    }

    fn show_log(&self) {
        if let Some(operator) = &self.operator {
            eprintln!("the operator's last words:\n{}", operator.last_words());
        }
    }

    /// Removes all that was made, whatever state it is in.
    pub async fn clean(self) {
        // What stays is load without an end: a busy API server is asked again.
        for pause in [Some(5), Some(20), Some(60), None] {
            let Err(error) = self.remove_runs().await else { break };
            eprintln!("failed to remove what was measured in namespace {}: {error:#}", self.namespace);
            if let Some(seconds) = pause {
                sleep(Duration::from_secs(seconds)).await;
            }
        }
        if let Some(operator) = self.operator {
            operator.end().await;
        }
        match self.own {
            Some(namespace) => namespace.delete().await,
            None => {
                let api: Api<ConfigMap> = Api::namespaced(self.client, &self.namespace);
                api.delete(SCRIPT, &DeleteParams::default()).await.ok();
            }
        }
    }

    /// Runs that an interruption left. An operator that is gone would never let them go.
    async fn remove_runs(&self) -> anyhow::Result<()> {
        let api = self.load_tests();
        let ours = ListParams::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
        api.delete_collection(&DeleteParams::background(), &ours).await?;
        let bare = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        self.pods().delete_collection(&bare, &ListParams::default().labels(crate::bare::LABEL)).await?;
        let end = Instant::now() + LEAVING;
        loop {
            let left = api.list(&ours).await?.items;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                for test in left {
                    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                    match api.patch(&test.name_any(), &PatchParams::default(), &patch).await {
                        Err(kube::Error::Api(gone)) if gone.code == 404 => {}
                        patched => drop(patched?),
                    }
                }
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn script_map(&self) -> ConfigMap {
        let mut map =
            ConfigMap { data: Some([("script.js".to_owned(), script())].into()), ..ConfigMap::default() };
        map.metadata.name = Some(SCRIPT.to_owned());
        map
    }
}
