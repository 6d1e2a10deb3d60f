//! What every object of a run has in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use loadtest_crds::GROUP;

use crate::plan::names::RunNames;

pub(crate) fn owner(names: &RunNames) -> OwnerReference {
    OwnerReference {
        api_version: format!("{GROUP}/v1alpha1"),
        kind: "LoadTest".to_owned(),
        name: names.name.clone(),
        uid: names.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
