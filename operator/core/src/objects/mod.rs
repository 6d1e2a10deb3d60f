//! The objects of a run, built from the plan alone: no client, no clock. After `Plan::of` building cannot fail.

pub mod keys;
pub mod owner;
pub mod pod;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    objects::{owner::owner, pod::Push},
    plan::{Plan, names::RunNames},
};

/// Everything that a run needs in the cluster before it can start.
#[derive(Clone, Debug, PartialEq)]
pub struct RunObjects {
    /// Scripts that stand in the LoadTest itself.
    pub config_maps: Vec<ConfigMap>,
    /// Inspections first: created first, their answer is there before the last runner is ready.
    pub pods: Vec<Pod>,
}

/// Builds all objects of a run.
#[must_use]
pub fn build_run(plan: &Plan, push: &Push) -> RunObjects {
    let inspections = plan.scenarios.iter().map(|s| pod::build_inspection(plan, s));
    let runners = plan.scenarios.iter().flat_map(|scenario| {
        (0..scenario.parallelism()).map(move |index| pod::build_runner(plan, scenario, index, push))
    });
    RunObjects {
        config_maps: plan.scenarios.iter().filter_map(|s| script::build_config_map(&plan.names, s)).collect(),
        pods: inspections.chain(runners).collect(),
    }
}

/// Where the logs of the runners are kept, a key per runner.
#[must_use]
pub fn build_logs(names: &RunNames, logs: impl IntoIterator<Item = (String, String)>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names.logs_config_map()),
            namespace: Some(names.namespace.clone()),
            labels: Some(names.labels()),
            owner_references: Some(vec![owner(names)]),
            ..ObjectMeta::default()
        },
        data: Some(logs.into_iter().map(|(runner, log)| (format!("{runner}.log"), log)).collect()),
        ..ConfigMap::default()
    }
}

/// Where the record of the run is kept.
#[must_use]
pub fn build_record(names: &RunNames, record: Vec<u8>, matched: &BTreeMap<String, i64>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names.record_config_map()),
            namespace: Some(names.namespace.clone()),
            labels: Some(names.labels()),
            owner_references: Some(vec![owner(names)]),
            ..ObjectMeta::default()
        },
        data: Some([(keys::MATCHED_KEY.to_owned(), serde_json::json!(matched).to_string())].into()),
        binary_data: Some([(keys::RECORD_KEY.to_owned(), ByteString(record))].into()),
        ..ConfigMap::default()
    }
}
