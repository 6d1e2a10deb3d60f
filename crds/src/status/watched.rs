//! The system under test as it was watched in mid-run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::schema::without_defaults;

/// One part of the system under test as it was watched.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct WatchedStatus {
    /// Name of the part, or `target of FAULT` for the pods of a fault that no part names.
    pub name: String,
    /// Whether its asserts held: Met, Missed, or NoData (not watched, or not yet to the end).
    pub outcome: Outcome,
    /// Pods that matched when the load started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<i32>,
    /// Images that they ran, at most 10; those of a rollout are added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Limits of their containers, as in `dbman: cpu 500m, memory 256Mi` or `dbman: none`, at most 10; those of a
    /// rollout or a resize are added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Revisions of the pods' templates, as in `dbman 5f7c6d9b9c`, at most 10; those of a rollout are added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// Ready pods over time: at each change, how many there were; at most 100, beyond that without the shortest
    /// steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<ReadyStep>,
    /// Restarts of containers that no fault explains.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: i32,
    /// Containers killed for lack of memory that no fault explains.
    #[serde(skip_serializing_if = "is_zero")]
    pub out_of_memory: i32,
    /// What happened to it that no fault explains, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub happenings: Vec<Happening>,
    /// How many more things happened than are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_happenings: i32,
    /// Whether it was scaled as far and as soon as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// Up to when it was watched, as far as was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
    /// A hash of the pods that matched last, by which an operator that takes the run up again can tell whether
    /// pods came or went unseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<String>,
    /// When nobody watched, as after a restart of the operator; at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<WatchGap>,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How many pods were ready from a time on.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ReadyStep {
    /// From when on.
    pub at: Option<MicroTime>,
    /// Ready pods.
    pub pods: i32,
}

/// Something that happened to the system under test in mid-run and that no fault of the run explains.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Happening {
    /// When it was first seen.
    pub at: Option<MicroTime>,
    /// Restart, OutOfMemory, Eviction, Deletion, Rollout, Scaled or Node.
    pub kind: HappeningKind,
    /// The pod, where it happened to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Its container, for Restart and OutOfMemory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Restarts of that container since the pod was made, for Restart and OutOfMemory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<i32>,
    /// What happened, in words.
    pub message: String,
}

/// What kind of thing happened.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum HappeningKind {
    /// A container ended and was started again.
    #[default]
    Restart,
    /// A container was killed for lack of memory.
    OutOfMemory,
    /// A pod was evicted or preempted.
    Eviction,
    /// A pod was deleted and replaced, by whomever.
    Deletion,
    /// Pods of another revision or with another image came.
    Rollout,
    /// Pods were added or taken away.
    Scaled,
    /// A pod was taken away because of its node.
    Node,
}

/// A time in which nobody watched.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct WatchGap {
    /// When it began.
    pub from: Option<MicroTime>,
    /// When it ended.
    pub to: Option<MicroTime>,
    /// Pods came or went in it, so restarts of those that went were not seen.
    pub pods_changed: bool,
}

impl WatchGap {
    /// As in `12:03:10 to 12:03:14`.
    #[must_use]
    pub fn words(&self) -> String {
        let clock = |at: &Option<MicroTime>| {
            at.as_ref().map_or_else(|| "?".to_owned(), |at| at.0.strftime("%H:%M:%S").to_string())
        };
        format!("{} to {}", clock(&self.from), clock(&self.to))
    }
}

/// A scaling that the load was to bring about.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ScalingStatus {
    /// Met, Missed, or NoData (not watched, or nothing had to be scaled).
    pub outcome: Outcome,
    /// How long after the start of the load so many pods were ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_milliseconds: Option<i64>,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}
