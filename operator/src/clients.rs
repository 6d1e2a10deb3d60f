//! Two kinds of client, kept apart by type: [`OwnClient`] acts with the operator's own rights, on the run's
//! own objects; [`EffectClient`] acts with the rights of the LoadTest's service account, on targets.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use kube::{Client, Config};

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
        let client = Client::try_from(config.clone()).context("failed to make a Kubernetes client")?;
        Ok(Self { client, config })
    }

    fn impersonate(&self, user: &str) -> kube::Result<EffectClient> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        // A refusal is a fact about the fault at its time: it must be seen at once, not retried away.
        config.default_retry = false;
        Ok(EffectClient { client: Client::try_from(config)?, user: user.to_owned() })
    }
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
