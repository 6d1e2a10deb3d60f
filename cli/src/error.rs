//! What can go wrong, each with what to do about it.

use std::path::PathBuf;

use loadtest_core::record::{RecordError, replay::ReplayError};
use thiserror::Error;

use crate::{exit, manifest::ManifestError};

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Error)]
pub enum Error {
    #[error("failed to read the kubeconfig: {0}")]
    Kubeconfig(#[source] Source),

    #[error("no cluster is configured: {0}")]
    NoCluster(#[source] Source),

    #[error("failed to {doing}: no answer from the API server at {url}: {cause}")]
    Unreachable { doing: String, url: String, cause: String },

    #[error("failed to {doing}: the cluster at {url} does not know LoadTests")]
    NotInstalled { doing: String, url: String },

    #[error("failed to {doing}: {message}")]
    Forbidden { doing: String, message: String, namespace: String },

    #[error("failed to {doing}: the API server at {url} does not accept your credentials")]
    Unauthorized { doing: String, url: String },

    #[error("there is no LoadTest {name} in namespace {namespace}")]
    NotFound { name: String, namespace: String, advice: String },

    #[error("there are no LoadTests in namespace {namespace}")]
    NoRuns { namespace: String },

    #[error("the namespace {0} does not exist")]
    NoNamespace(String),

    #[error("LoadTest {0} was deleted while it was watched")]
    Deleted(String),

    #[error("the API server refused {name}:\n  {}", causes.join("\n  "))]
    Refused { name: String, causes: Vec<String> },

    #[error("LoadTest {0} exists already")]
    Exists(String),

    #[error("failed to {doing}: {message}")]
    Api { doing: String, message: String },

    #[error("failed to read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },

    #[error("{}: {source}", path.display())]
    Manifest { path: PathBuf, source: ManifestError },

    #[error("{record}: {source}")]
    NoRecord { record: String, source: RecordError },

    #[error("LoadTest {name} has no record: {why}")]
    NotRecorded { name: String, why: String },

    #[error("{record} cannot be judged so: {source}")]
    NotJudged { record: String, source: ReplayError },

    #[error("failed to write {}: {source}", path.display())]
    Save { path: PathBuf, source: std::io::Error },

    #[error("{message}")]
    NoLogs { message: String, advice: String },

    #[error("failed to {doing}: {source}")]
    Internal { doing: &'static str, source: Source },

    /// The reader of the output is gone, as in `… | head`. Nothing to say, and nobody to say it to.
    #[error("standard output is closed")]
    OutputClosed,
}

impl Error {
    pub fn internal(doing: &'static str, source: impl Into<Source>) -> Self {
        Self::Internal { doing, source: source.into() }
    }

    /// What the user can do.
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Kubeconfig(_) | Self::NoCluster(_) => {
                "name one with --kubeconfig FILE or KUBECONFIG, and a context with --context".to_owned()
            }
            Self::Unreachable { .. } => {
                "is the cluster up, and is this its address? kubectl cluster-info shows what kubectl sees"
                    .to_owned()
            }
            Self::NotInstalled { .. } => {
                "install the operator with its CRD: helm install loadtest-operator charts/loadtest-operator; \
                 or choose another cluster with --context"
                    .to_owned()
            }
            Self::Forbidden { namespace, .. } => format!(
                "ask for the role view in namespace {namespace} to read LoadTests, or edit to run and stop them; \
                 kubectl auth can-i --list -n {namespace} shows what you may do"
            ),
            Self::Unauthorized { .. } => "log in again, or choose another user with --context".to_owned(),
            Self::NotFound { advice, .. } | Self::NoLogs { advice, .. } => advice.clone(),
            Self::NoRuns { namespace } => format!(
                "start one: kubectl loadtest run -f loadtest.yaml -n {namespace}; \
                 kubectl loadtest list -A shows those of all namespaces"
            ),
            Self::NoNamespace(namespace) => format!("create it: kubectl create namespace {namespace}"),
            Self::Exists(_) => "choose another --name, or let --generate complete it".to_owned(),
            Self::Manifest { source, .. } => source.advice()?,
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Kubeconfig(_)
            | Self::NoCluster(_)
            | Self::Unreachable { .. }
            | Self::NotInstalled { .. } => exit::UNAVAILABLE,
            Self::Forbidden { .. } | Self::Unauthorized { .. } => exit::NOT_ALLOWED,
            Self::NotFound { .. }
            | Self::NoRuns { .. }
            | Self::NoNamespace(_)
            | Self::Deleted(_)
            | Self::NoLogs { .. }
            | Self::NotRecorded { .. }
            | Self::File { .. } => exit::NOT_FOUND,
            Self::Manifest { .. }
            | Self::Refused { .. }
            | Self::Exists(_)
            | Self::NoRecord { .. }
            | Self::NotJudged { .. } => exit::BAD_MANIFEST,
            Self::Api { .. } | Self::Internal { .. } | Self::Save { .. } | Self::OutputClosed => {
                exit::FAILURE
            }
        }
    }
}
