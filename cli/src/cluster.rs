//! The connection to a cluster, and its errors in words.

use std::time::Duration;

use http::Uri;
use kube::{
    Api, Client, Config, Resource,
    api::{ApiResource, DynamicObject, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{NamespaceResourceScope, Request, Status},
};
use loadtest_core::plan::syntax::is_object_name;
use loadtest_crds::LoadTest;

use crate::{args::Connection, error::Error};

const FIELD_MANAGER: &str = "kubectl-loadtest";

/// A cluster as one user sees it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    url: String,
    /// Where runs are looked for, from the flag or the context.
    pub namespace: String,
    /// Whether the user chose the namespace with a flag.
    pub namespace_given: bool,
    flags: String,
}

impl Cluster {
    pub async fn connect(connection: &Connection) -> Result<Self, Error> {
        let mut config = config(connection).await?;
        // A person waits: say early that there is no answer.
        config.connect_timeout = Some(Duration::from_secs(10));
        // A repeated create would make a second run.
        config.default_retry = false;
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        if !is_object_name(&namespace) {
            return Err(Error::NoNamespace(namespace));
        }
        let client =
            Client::try_from(config).map_err(|error| Error::internal("set up the connection", error))?;
        Ok(Self {
            client,
            url,
            namespace,
            namespace_given: connection.namespace.is_some(),
            flags: flags(connection),
        })
    }

    /// The same cluster, in another namespace.
    pub fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The runs of all namespaces.
    pub fn everywhere(&self) -> Api<LoadTest> {
        Api::all(self.client.clone())
    }

    /// Runs as the API server has them, with fields that this program does not know.
    pub fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::erase::<LoadTest>(&()))
    }

    /// Creates a run. Fields that the API server does not know are refused rather than dropped.
    pub async fn create(&self, body: Vec<u8>) -> Result<DynamicObject, kube::Error> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = Request::new(self.objects().resource_url()).create(&params, body);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        let uri = format!("{}&fieldValidation=Strict", request.uri());
        *request.uri_mut() = uri.parse::<Uri>().map_err(|error| kube::Error::HttpError(error.into()))?;
        self.client.request(request).await
    }

    /// A command that the user can type to go on, with the flags that lead to this cluster.
    pub fn command(&self, command: &str) -> String {
        format!("kubectl loadtest {command} -n {}{}", self.namespace, self.flags)
    }

    /// The error of a request, in words.
    pub fn explain(&self, error: kube::Error, doing: impl Into<String>) -> Error {
        let doing = doing.into();
        match error {
            kube::Error::Api(status) => self.explain_status(&status, doing),
            error @ (kube::Error::SerdeError(_) | kube::Error::BuildRequest(_)) => Error::Api {
                doing,
                message: format!("{error}; is this program older than the cluster's operator?"),
            },
            error => Error::Unreachable { doing, url: self.url.clone(), cause: root_cause(&error) },
        }
    }

    fn explain_status(&self, status: &Status, doing: String) -> Error {
        let message = status.message.clone();
        match status.code {
            401 => Error::Unauthorized { doing, url: self.url.clone() },
            403 => Error::Forbidden { doing, message, namespace: self.namespace.clone() },
            404 if message.starts_with("namespaces ") => Error::NoNamespace(self.namespace.clone()),
            404 if !is_object_missing(status) => Error::NotInstalled { doing, url: self.url.clone() },
            _ => Error::Api { doing, message },
        }
    }
}

/// Whether the API server knows the kind and lacks the object; for an unknown kind it has no reason to give.
fn is_object_missing(status: &Status) -> bool {
    status.reason == "NotFound" && status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

async fn config(connection: &Connection) -> Result<Config, Error> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let chosen = connection.kubeconfig.is_some() || connection.context.is_some();
    if !chosen {
        return Config::infer().await.map_err(|error| Error::NoCluster(error.into()));
    }
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.map_err(|error| Error::Kubeconfig(error.into()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| Error::Kubeconfig(error.into()))
}

fn flags(connection: &Connection) -> String {
    let context = connection.context.as_ref().map(|name| format!(" --context {name}"));
    let file = connection.kubeconfig.as_ref().map(|path| format!(" --kubeconfig {}", path.display()));
    [context, file].into_iter().flatten().collect()
}

/// What lies at the bottom of an error: `Connection refused`, not the layers that passed it on.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
