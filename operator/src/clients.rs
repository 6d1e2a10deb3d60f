//! Two kinds of client, kept apart by type: [`OwnClient`] acts with the operator's own rights, on the run's
//! own objects; [`EffectClient`] acts with the rights of the LoadTest's service account, on targets.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use kube::{Client, Config, client::ClientBuilder};
use tower::timeout::TimeoutLayer;

/// How long the API server may take to answer, the client's own tries together.
const ANSWER: Duration = Duration::from_secs(15);

/// The operator's own rights.
#[derive(Clone)]
pub struct OwnClient {
    pub client: Client,
    config: Config,
}

/// The rights of one service account, for everything that reaches beyond the run's own pods.
#[derive(Clone)]
pub struct EffectClient {
    pub client: Client,
    /// `system:serviceaccount:NAMESPACE:NAME`, as the audit log shows it.
    pub user: String,
}

impl OwnClient {
    pub async fn infer() -> anyhow::Result<Self> {
        let config =
            Config::infer().await.context("failed to find the API server: run in a pod or set KUBECONFIG")?;
        Self::of(config)
    }

    pub fn of(config: Config) -> anyhow::Result<Self> {
        let client = connect(config.clone()).context("failed to make a Kubernetes client")?;
        Ok(Self { client, config })
    }

    fn impersonate(&self, user: &str) -> kube::Result<EffectClient> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        // A refusal is a fact about the fault at its time: it must be seen at once, not retried away.
        config.default_retry = false;
        Ok(EffectClient { client: connect(config)?, user: user.to_owned() })
    }
}

/// A client whose every request is answered or fails: on a dead connection a run would see nothing until TCP gives up.
/// Watches are answered too, before their first event; what follows is theirs to bound.
fn connect(config: Config) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(ANSWER)).build())
}

/// One client per account: kube cannot impersonate per request, and a warm connection saves the handshake at
/// a fault's time.
#[derive(Default)]
pub struct EffectClients(Mutex<BTreeMap<String, EffectClient>>);

impl EffectClients {
    pub fn of(&self, own: &OwnClient, namespace: &str, account: &str) -> kube::Result<EffectClient> {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&user) {
            return Ok(client.clone());
        }
        let client = own.impersonate(&user)?;
        clients.insert(user, client.clone());
        Ok(client)
    }
}
