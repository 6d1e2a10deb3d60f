//! The CRD of this checkout, in the cluster.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt,
    api::{Patch, PatchParams},
};
use loadtest_crds::LoadTest;
use serde_json::Value;

use crate::wait::eventually;

/// Applies the CRD as the types say, and returns when the API server uses it.
///
/// # Panics
/// When the API server refuses it.
pub async fn install_crd(client: &Client) -> CustomResourceDefinition {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = LoadTest::crd();
    let name = LoadTest::crd_name();
    let before = api.get_opt(name).await.unwrap_or_else(|error| panic!("failed to read the CRD: {error}"));
    let published_before = published(client).await;
    let applied = api
        .patch(name, &PatchParams::apply("loadtest-tests").force(), &Patch::Apply(&crd))
        .await
        .unwrap_or_else(|error| panic!("the API server refuses the CRD: {error}"));
    let changed = before.as_ref().and_then(|b| b.metadata.generation) != applied.metadata.generation;
    if changed {
        // The new schema is in force when the API server publishes it, which comes last.
        eventually("the new schema to be published", Duration::from_secs(30), || async {
            (published(client).await != published_before).then_some(())
        })
        .await;
    }
    eventually("the CRD to be established", Duration::from_secs(30), || async {
        let crd = api.get(name).await.ok()?;
        condition(&crd, "Established").is_some_and(|status| status == "True").then_some(crd)
    })
    .await
}

/// The status of a condition of the CRD.
#[must_use]
pub fn condition<'a>(crd: &'a CustomResourceDefinition, type_: &str) -> Option<&'a str> {
    let conditions = crd.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == type_).map(|c| c.status.as_str())
}

async fn published(client: &Client) -> Option<Value> {
    let request = http_get("/openapi/v3/apis/loadtest.dev/v1alpha1");
    client.request(request).await.ok()
}

/// A plain GET, for what has no type.
///
/// # Panics
/// When the path is none.
#[must_use]
pub fn http_get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap_or_else(|error| panic!("{path}: {error}"))
}
