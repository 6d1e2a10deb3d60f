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

/// Where the API server publishes its schemas.
const PUBLISHED: &str = "/openapi/v3/apis/loadtest.dev/v1alpha1";

/// Applies the CRD as the types say, and returns when the API server uses it.
///
/// # Panics
/// When the API server refuses it.
pub async fn install_crd(client: &Client) -> CustomResourceDefinition {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = LoadTest::crd();
    let name = LoadTest::crd_name();
    let applied = api
        .patch(name, &PatchParams::apply("loadtest-tests").force(), &Patch::Apply(&crd))
        .await
        .unwrap_or_else(|error| panic!("the API server refuses the CRD: {error}"));
    // The new schema is in force when the API server publishes it, which comes last.
    let wanted = leaves_of(schema_of(&serde_json::to_value(&applied).unwrap_or_default()));
    eventually("the schema to be published", Duration::from_secs(90), || async {
        let published: Value = client.request(http_get(PUBLISHED)).await.ok()?;
        let published = &published["components"]["schemas"]["dev.loadtest.v1alpha1.LoadTest"]["properties"];
        (leaves_of(published) == wanted).then_some(())
    })
    .await;
    eventually("the CRD to be established", Duration::from_secs(90), || async {
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

fn schema_of(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
}

/// All texts and numbers of the spec's and the status's schema, in order.
fn leaves_of(properties: &Value) -> Vec<String> {
    let mut leaves = Vec::new();
    collect(&properties["spec"], &mut leaves);
    collect(&properties["status"], &mut leaves);
    leaves
}

fn collect(value: &Value, leaves: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            // What the API server adds where an integer or a string is taken.
            fields.iter().filter(|(key, _)| *key != "anyOf").for_each(|(_, field)| collect(field, leaves));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, leaves)),
        Value::Number(number) => leaves.push(number.as_f64().unwrap_or_default().to_string()),
        Value::Null => {}
        leaf => leaves.push(leaf.to_string()),
    }
}

/// A plain GET, for what has no type.
///
/// # Panics
/// When the path is none.
#[must_use]
pub fn http_get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap_or_else(|error| panic!("{path}: {error}"))
}
