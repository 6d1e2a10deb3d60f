//! What all runs share.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use kube::runtime::events::{Recorder, Reporter};

use crate::{
    claims::Claims,
    clients::{EffectClients, OwnClient},
    config::Config,
    k6_api::K6Api,
    metrics::Metrics,
    prometheus::Prometheus,
    room::Rooms,
};

/// Clients, configuration and metrics.
pub struct Context {
    pub own: OwnClient,
    pub effects: EffectClients,
    pub config: Config,
    pub metrics: Arc<Metrics>,
    pub recorder: Recorder,
    pub k6: K6Api,
    pub load_store: Prometheus,
    pub prometheus: BTreeMap<String, Prometheus>,
    pub rooms: Arc<Rooms>,
    /// The name of this process; no other has it.
    pub process: String,
    pub claims: Claims,
}

impl Context {
    pub fn new(
        own: OwnClient,
        config: Config,
        metrics: Arc<Metrics>,
        pod_name: String,
    ) -> anyhow::Result<Self> {
        let process = format!("{pod_name} of {}", Timestamp::now());
        let rooms = Arc::new(Rooms::default());
        let reporter = Reporter { controller: "loadtest-operator".to_owned(), instance: Some(pod_name) };
        let prometheus = config
            .prometheus
            .iter()
            .map(|(name, one)| {
                let token = one.bearer_token_file.clone();
                Ok((name.clone(), Prometheus::new(&one.query_url, token, rooms.clone())?))
            })
            .collect::<anyhow::Result<_>>()?;
        let store = &config.load_store;
        let load_store = Prometheus::new(&store.query_url, store.bearer_token_file.clone(), rooms.clone())?;
        Ok(Self {
            recorder: Recorder::new(own.client.clone(), reporter),
            own,
            effects: EffectClients::default(),
            claims: Claims::new(&config.namespaces),
            config,
            metrics,
            k6: K6Api::new(),
            load_store,
            prometheus,
            rooms,
            process,
        })
    }
}
