//! The cluster that the suites run on: the checkout's own, or with CLUSTER=existing the current kubeconfig's.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// The root of the checkout.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The kubeconfig of the checkout's cluster, or nothing where CLUSTER=existing asks for the user's.
///
/// # Panics
/// When there is no cluster yet.
#[must_use]
pub fn kubeconfig() -> Option<PathBuf> {
    if std::env::var("CLUSTER").as_deref() == Ok("existing") {
        return None;
    }
    let path = Path::new(ROOT).join(".cluster/kubeconfig");
    match path.canonicalize() {
        Ok(path) => Some(path),
        Err(_) => panic!(
            "no cluster: {} is not there. Run `make cluster-up`, or set CLUSTER=existing to use the current kubeconfig",
            path.display()
        ),
    }
}

/// How the cluster is reached, as its administrator.
///
/// # Panics
/// When there is no cluster or its kubeconfig cannot be read.
pub async fn config() -> Config {
    let config = match kubeconfig() {
        None => Config::infer().await.map_err(|error| error.to_string()),
        Some(path) => match Kubeconfig::read_from(&path) {
            Ok(file) => Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
    };
    config.unwrap_or_else(|error| panic!("failed to read the kubeconfig of the cluster: {error}"))
}

/// A client with the rights of the administrator.
///
/// # Panics
/// When the cluster does not answer.
pub async fn client() -> Client {
    connect(config().await).await
}

/// A client with the rights of another user, as `kubectl --as USER`. Service accounts get their groups.
///
/// # Panics
/// When the cluster does not answer.
pub async fn client_as(user: &str) -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some(user.to_owned());
    connect(config).await
}

async fn connect(config: Config) -> Client {
    let url = config.cluster_url.clone();
    let client = Client::try_from(config).unwrap_or_else(|error| panic!("failed to make a client: {error}"));
    if let Err(error) = client.apiserver_version().await {
        panic!("the cluster at {url} does not answer: {error}. `make cluster-up` repairs it");
    }
    client
}
