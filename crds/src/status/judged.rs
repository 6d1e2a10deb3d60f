//! What was judged: objectives, guardrails and the comparison with earlier runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::{objective::WindowKind, schema::without_defaults};

/// One objective with its results.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ObjectiveStatus {
    /// Name of the objective.
    pub name: String,
    /// The worst of its windows: Met, Warn, Unclear, TooFew, Unmeasurable, NoData or Missed.
    pub outcome: Outcome,
    /// A miss alone fails the run.
    pub key: bool,
    /// The limit in words, as in `at most 300ms`.
    pub limit: String,
    /// One result per window. Where a large run's status has no room for all of them, those that were met are left
    /// out first; the record has them.
    pub windows: Vec<WindowResult>,
    /// Stretches of 5 s in steady load that stood out, at most 20. Two within ten minutes make the run a Warn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spikes: Vec<Spike>,
}

/// One objective in one window.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct WindowResult {
    /// Run, Steady, Fault, Recovery or Between.
    pub window: WindowKind,
    /// The fault, for Fault and Recovery windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Start of the window (of its first stretch, where it has several).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<MicroTime>,
    /// End of the window (of its last stretch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<MicroTime>,
    /// Met, Warn, Unclear, TooFew, Unmeasurable, NoData or Missed.
    pub outcome: Outcome,
    /// The figure in the limit's unit, as in `212ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The same figure for programs: a decimal number in the base unit, not rounded for reading, as in `0.212418`.
    /// Times are in seconds, shares are parts of one (`0.999` is 99.9%), sizes are in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// How many samples (requests, events or points) the figure stands on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<i64>,
    /// Of those, how many were bad, for figures that are shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad: Option<i64>,
    /// How many independent samples the figure is worth: bad requests come in bursts, and a burst is no better
    /// evidence than one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_samples: Option<i64>,
    /// The query as it was asked; paste it into Prometheus to see the figure again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A few seconds of steady load in which far more requests were bad than usual, and more than the limit allows.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Spike {
    /// When it began.
    pub at: Option<MicroTime>,
    /// How long the stretch is.
    pub seconds: i64,
    /// The share of bad requests in it, as in `42%`.
    pub share: String,
    /// That share in the median of all such stretches.
    pub usual: String,
    /// The requests in it.
    pub samples: i64,
}

/// One guardrail and what became of it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct GuardrailStatus {
    /// Name of the guardrail; one of a set has the set's name in front.
    pub name: String,
    /// Met, Warn, NoData or Missed (it stopped the run).
    pub outcome: Outcome,
    /// The limit in words, as in `at most 50%`.
    pub limit: String,
    /// The worst value seen, in the limit's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<String>,
    /// How often it was asked and gave a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<i64>,
    /// When the breach began that stopped the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breached_at: Option<MicroTime>,
    /// The query as it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One figure against earlier runs of the series.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct BaselineStatus {
    /// Name of the objective.
    pub name: String,
    /// Run, Steady or Between.
    pub window: WindowKind,
    /// Met, Warn (a regression) or NoData (too few earlier runs, or nothing to compare).
    pub outcome: Outcome,
    /// This run's figure, in the limit's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The median of the earlier runs, in the limit's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<String>,
    /// How many earlier runs it was compared with.
    pub runs: i32,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
