//! The operator's configuration file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use loadtest_core::{numbers::duration, objects::pod::Push};
use serde::Deserialize;

/// k6 would be busy with it.
const SHORTEST_PUSH: Duration = Duration::from_millis(200);

/// What the administrator allows.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The namespaces whose LoadTests are run.
    pub namespaces: Vec<String>,
    pub load_store: LoadStore,
    /// The Prometheus endpoints that LoadTests may name.
    #[serde(default)]
    pub prometheus: BTreeMap<String, PrometheusEndpoint>,
    #[serde(default)]
    pub leader_election: LeaderElection,
}

/// Where the runners write what k6 counts, and where it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadStore {
    #[serde(rename = "queryURL")]
    pub query_url: String,
    /// Takes OTLP over HTTP.
    #[serde(rename = "writeURL")]
    pub write_url: String,
    #[serde(default = "one_second", deserialize_with = "read_duration")]
    pub push_interval: Duration,
    /// File that holds a bearer token for queries.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
}

/// A Prometheus that knows the system under test.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusEndpoint {
    #[serde(rename = "queryURL")]
    pub query_url: String,
    /// File that holds a bearer token for queries.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaderElection {
    pub enabled: bool,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Config {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read the configuration {}", path.display()))?;
        let config: Self = serde_saphyr::from_str(&text)
            .with_context(|| format!("failed to parse the configuration {}", path.display()))?;
        ensure!(!config.namespaces.is_empty(), "the configuration serves no namespace: list at least one");
        config.load_store.push()?;
        Ok(config)
    }
}

impl LoadStore {
    /// Where the runners send to.
    pub fn push(&self) -> anyhow::Result<Push> {
        ensure!(
            self.push_interval >= SHORTEST_PUSH,
            "loadStore.pushInterval: shorter than {} ms: write 1s",
            SHORTEST_PUSH.as_millis()
        );
        let url = &self.write_url;
        Push::to(url, self.push_interval).with_context(|| {
            format!(
                "loadStore.writeURL: `{url}` is no URL, as in http://prometheus:9090/api/v1/otlp/v1/metrics"
            )
        })
    }
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn read_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no duration, as in 1s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_chart_writes_and_refuses_unknown_fields() {
        let text = "namespaces: [loadtests]\nloadStore:\n  queryURL: http://s:9090\n  writeURL: http://s:9090/otlp\n  \
                    pushInterval: 2s\n";
        let config: Config = serde_saphyr::from_str(text).unwrap();
        assert_eq!(config.load_store.push_interval, Duration::from_secs(2));
        assert!(config.prometheus.is_empty());
        assert!(config.leader_election.enabled);
        assert!(serde_saphyr::from_str::<Config>(&format!("{text}more: 1\n")).is_err());
    }
}
