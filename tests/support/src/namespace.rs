//! A namespace for one test, gone when the test is over, however it ends.

use std::{collections::BTreeMap, panic::resume_unwind, time::Duration};

use k8s_openapi::{
    api::core::v1::Namespace as NamespaceObject, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::DeleteParams};

use crate::{cluster::client, wait::eventually};

/// A namespace that a test made.
#[derive(Clone)]
pub struct Namespace {
    pub name: String,
    client: Client,
}

impl Namespace {
    /// Makes a namespace whose name begins with `prefix` and is not taken.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn create(client: &Client, prefix: &str, labels: &[(&str, &str)]) -> Self {
        let labels: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let object = NamespaceObject {
            metadata: ObjectMeta {
                generate_name: Some(format!("{prefix}-")),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            ..NamespaceObject::default()
        };
        let api: Api<NamespaceObject> = Api::all(client.clone());
        let made = api
            .create(&Default::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("failed to make a namespace: {error}"));
        let namespace = Self { name: made.metadata.name.unwrap_or_default(), client: client.clone() };
        namespace.wait_for_account().await;
        namespace
    }

    /// Pods are refused until the namespace has its default service account.
    async fn wait_for_account(&self) {
        let api: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.client.clone(), &self.name);
        eventually("the default service account", Duration::from_secs(90), || async {
            api.get_opt("default").await.ok().flatten()
        })
        .await;
    }

    /// Deletes the namespace with all that is in it, without waiting for the end.
    pub async fn delete(&self) {
        let api: Api<NamespaceObject> = Api::all(self.client.clone());
        if let Err(error) = api.delete(&self.name, &DeleteParams::background()).await {
            eprintln!("failed to delete the namespace {}: {error}", self.name);
        }
    }
}

/// Runs a test in a namespace of its own, and deletes the namespace also when the test fails.
///
/// # Panics
/// When the test does.
pub async fn in_namespace<F>(prefix: &str, test: impl FnOnce(Client, String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let client = client().await;
    let namespace = Namespace::create(&client, prefix, &[]).await;
    let result = tokio::spawn(test(client, namespace.name.clone())).await;
    namespace.delete().await;
    if let Err(error) = result {
        resume_unwind(error.into_panic());
    }
}
