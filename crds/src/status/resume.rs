//! What the operator goes on from when it takes a run up again, and nobody else reads.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::without_defaults;

/// What the operator goes on from when it takes the run up again. For the operator alone: it may change with any version.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ResumeStatus {
    /// How far the setup() of each scenario is, which runs once, on one runner.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub setup: BTreeMap<String, StepState>,
    /// How far the teardown() of each scenario is, which runs once, on one runner.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teardown: BTreeMap<String, StepState>,
    /// When the runners that were left were told to end, after the load or instead of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_at: Option<MicroTime>,
    /// The processes of the operator that began to judge the run. All but the last have ended meanwhile; where two have,
    /// the run is not judged again, and is an Error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub judged_by: Vec<String>,
}

/// A step that may run only once. Intended is recorded before it runs; found so after a restart, nobody
/// knows whether it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    #[default]
    Pending,
    Intended,
    Done,
    Failed,
}

impl ResumeStatus {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
