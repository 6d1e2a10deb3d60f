//! What a stage needs in the cluster: the operator's rights and configuration from its chart, targets, scripts.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{ConfigMap, Node, Service, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
    config::Kubeconfig,
};
use serde_json::{Value, json};

use crate::{
    cluster::{ROOT, kubeconfig},
    operator::{Launch, folder},
    program::{printed, program, run, run_with_input},
    proxy::Proxy,
    stage::{BREAKER, GHOST, IDLE, REFUSED, Stage},
    wait::eventually,
};

pub(crate) const IMAGES: [&str; 3] =
    ["docker.io/grafana/k6:1.8.1", "docker.io/library/redis:7", "loadtest.dev/target-app:dev"];
const ACCOUNT: &str = "loadtest-operator";
/// Where a Prometheus takes OTLP.
pub const WRITE_PATH: &str = "/api/v1/otlp/v1/metrics";
/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Fails, with what to do, where the cluster lacks what every test needs.
///
/// # Panics
/// When it does.
pub async fn assert_ready(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = crds.get_opt("loadtests.loadtest.dev").await.ok().flatten();
    assert!(crd.is_some(), "the cluster does not know LoadTests: run `make install`");
    if kubeconfig().is_none() {
        // Another cluster may pull its images.
        return;
    }
    let nodes: Api<Node> = Api::all(client.clone());
    let names = eventually("the node's list of images", Duration::from_secs(90), || async {
        let nodes = nodes.list(&ListParams::default()).await.ok()?;
        let images = nodes.items.into_iter().filter_map(|n| n.status?.images).flatten();
        let names: Vec<String> = images.filter_map(|i| i.names).flatten().collect();
        (!names.is_empty()).then_some(names)
    })
    .await;
    for image in IMAGES {
        assert!(names.iter().any(|n| n == image), "the cluster has no image {image}: run `make images`");
    }
}

/// Gives the stage's operator the rights that the chart says, and writes its configuration.
///
/// # Panics
/// When the chart cannot be rendered or applied.
pub async fn operator(stage: &Stage, failpoint: Option<&'static str>, one_cpu: bool) -> Launch {
    let store = match stage.door_address() {
        Some(door) => format!("http://{door}"),
        None => load_store_url(&stage.client).await,
    };
    let values = values(stage, &prometheus_url(&stage.client).await, &store).to_string();
    let render = |parts: &[&str]| {
        let mut helm = program("helm");
        helm.args(["template", ACCOUNT]).arg(Path::new(ROOT).join("charts/loadtest-operator"));
        helm.args(["--namespace", &stage.namespace, "--values", "-"]);
        helm.args(parts.iter().flat_map(|part| ["--show-only", part]));
        let output = run_with_input(&mut helm, &values);
        assert!(output.status.success(), "the chart does not render: {}", printed(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    apply(&render(&["templates/serviceaccount.yaml", "templates/rbac.yaml", "templates/faultaccounts.yaml"]));
    let config: ConfigMap = serde_saphyr::from_str(&render(&["templates/config.yaml"]))
        .unwrap_or_else(|error| panic!("failed to read the chart's ConfigMap: {error}"));
    let config = config.data.and_then(|mut d| d.remove("config.yaml")).unwrap_or_default();

    let folder = folder().join(&stage.namespace);
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("failed to make {}: {e}", folder.display()));
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("failed to write {}: {e}", path.display()));
        path
    };
    let token = token(&stage.client, &stage.namespace, ACCOUNT).await;
    Launch {
        kubeconfig: write("kubeconfig", &kubeconfig_with(&token)),
        config: write("config.yaml", &config),
        failpoint,
        one_cpu,
        each: false,
        folder,
    }
}

fn values(stage: &Stage, prometheus: &str, store: &str) -> Value {
    let (runs, targets) = (&stage.namespace, &stage.targets);
    let write_path = stage.setup.write_path.unwrap_or(WRITE_PATH);
    json!({
        "namespaces": [runs],
        "createNamespaces": false,
        "userRoles": {"create": false},
        "leaderElection": {"enabled": false},
        "faultAccounts": [
            {"namespace": runs, "name": BREAKER, "targets": [targets]},
            {"namespace": runs, "name": IDLE, "targets": []},
            {"namespace": runs, "name": GHOST, "create": false, "targets": []},
        ],
        "loadStore": {"enabled": false, "queryURL": store, "writeURL": format!("{store}{write_path}")},
        "prometheus": {"default": {"queryURL": prometheus}, REFUSED: {"queryURL": NOWHERE}},
    })
}

async fn prometheus_url(client: &Client) -> String {
    service_url(client, "monitoring", "prometheus").await
}

/// The load store that the operator's chart brings.
///
/// # Panics
/// When there is none.
pub async fn load_store_url(client: &Client) -> String {
    service_url(client, "loadtest-system", "loadtest-operator-load-store").await
}

/// The operator runs beside the cluster and not in it, where names of Services mean nothing.
async fn service_url(client: &Client, namespace: &str, name: &str) -> String {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = services.get_opt(name).await.ok().flatten();
    let ip = service.and_then(|s| s.spec?.cluster_ip);
    let ip = ip
        .unwrap_or_else(|| panic!("there is no Service {name} in namespace {namespace}: run `make install`"));
    format!("http://{ip}:9090")
}

/// A door to the load store, at the address from which this machine reaches it: so pods reach this machine.
pub(crate) async fn door(client: &Client) -> Proxy {
    let url = load_store_url(client).await;
    let target: SocketAddr = url
        .strip_prefix("http://")
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("{url} is no address"));
    let socket = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // Connecting a datagram socket sends nothing: it only chooses the route.
        socket.connect(target)?;
        socket.local_addr()
    });
    let own = socket.unwrap_or_else(|error| panic!("failed to find the way to {target}: {error}"));
    Proxy::listen(own.ip(), target).await
}

/// `kubectl apply` of YAML.
///
/// # Panics
/// When it is refused.
pub fn apply(yaml: &str) {
    let output = run_with_input(program("kubectl").args(["apply", "-f", "-"]), yaml);
    assert!(output.status.success(), "kubectl apply: {}", printed(&output));
}

async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
    match answer.map(|a| a.status.map(|s| s.token)) {
        Ok(Some(token)) => token,
        other => panic!("failed to get a token for {account}: {other:?}"),
    }
}

/// The administrator's kubeconfig with the token in the place of his credentials. JSON is YAML.
fn kubeconfig_with(token: &str) -> String {
    let admin = match kubeconfig() {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let admin = admin.unwrap_or_else(|error| panic!("failed to read the kubeconfig: {error}"));
    let current = admin.contexts.iter().find(|c| Some(&c.name) == admin.current_context.as_ref());
    let cluster = current.and_then(|c| c.context.as_ref()).map(|c| c.cluster.clone()).unwrap_or_default();
    let cluster = admin.clusters.iter().find(|c| c.name == cluster);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "operator", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {
            "cluster": cluster.map(|c| &c.name), "user": "operator"}}],
        "current-context": "e2e",
    })
    .to_string()
}

impl Stage {
    /// Small pods for faults to kill, with the label `app: NAME`, ready when this returns.
    ///
    /// # Panics
    /// When they do not get ready.
    pub async fn deploy_victims(&self, name: &str, replicas: i32) {
        let labels = json!({"app": name});
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.targets},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "automountServiceAccountToken": false,
                        "terminationGracePeriodSeconds": 1,
                        "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": "redis",
                            "image": IMAGES[1],
                            "command": ["redis-server", "--save", "", "--dir", "/tmp"],
                            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                            "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
                            "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
                        }],
                    },
                },
            },
        });
        apply(&deployment.to_string());
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.targets);
        eventually("the victims to be ready", Duration::from_secs(120), || async {
            let status = api.get(name).await.ok()?.status?;
            (status.ready_replicas == Some(replicas)).then_some(())
        })
        .await;
    }

    /// The chat system in the target namespace, ready when this returns. `settings` as for `helm --set`.
    ///
    /// # Panics
    /// When it cannot be installed.
    pub fn install_target_app(&self, settings: &[&str]) {
        let mut helm = program("helm");
        helm.args(["install", "target-app"]).arg(Path::new(ROOT).join("charts/target-app"));
        helm.args(["--namespace", &self.targets, "--wait", "--timeout", "240s"]);
        helm.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let output = run(&mut helm);
        assert!(output.status.success(), "target-app cannot be installed: {}", printed(&output));
    }

    /// The ConfigMap `chat-failover` with the example's scripts, and others beside them.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn install_chat_scripts(&self, more: &[(&str, &str)]) {
        let folder = Path::new(ROOT).join("examples/chat-failover");
        let script = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).unwrap_or_else(|e| panic!("failed to read {}: {e}", path.display()))
        };
        let names = ["chat.js", "probe.js", "chat-client.js"];
        let mut data: serde_json::Map<_, _> =
            names.into_iter().map(|name| (name.to_owned(), Value::from(script(name)))).collect();
        data.extend(more.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))));
        apply(
            &json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "chat-failover", "namespace": self.namespace},
                "data": data,
            })
            .to_string(),
        );
    }
}
