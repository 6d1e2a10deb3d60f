//! What the operator answers: where the run stands, what it did, what it measured, and the verdict.
//!
//! The status is also the operator's write-ahead log: whatever may happen only once is recorded here before
//! it is done, so that a run survives the death of the operator at any point.
mod fault;
mod judged;
mod load;
mod resume;
mod watched;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use fault::{
    BudgetStatus, FaultEffect, FaultState, FaultStatus, ReadyBy, RecoveryStatus, ServedService, TargetState,
    TargetStatus,
};
pub use judged::{BaselineStatus, GuardrailStatus, ObjectiveStatus, Spike, WindowResult};
pub use load::{
    Arrivals, LoadStatus, Plateau, RunnersStatus, ScenarioStatus, ScriptThreshold, Shortfall, ShortfallCause,
};
pub use resume::{ResumeStatus, StepState};
pub use watched::{Happening, HappeningKind, ReadyStep, ScalingStatus, WatchGap, WatchedStatus};

use crate::schema::{corrected, without_defaults};

/// State and result of the run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults, transform = corrected)]
pub struct LoadTestStatus {
    /// The generation of the spec that this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Pending, Preparing, Running, Evaluating, Finished.
    pub phase: Phase,

    /// Pass, Warn, Fail, Inconclusive, Error or Aborted. Set when the run is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,

    /// One word for what decided the verdict, as in ObjectiveMissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// One sentence for people: what the run is doing, or why it ended as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// The grounds of the verdict, a line each, the deciding ones first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grounds: Vec<String>,

    /// Runs of one kind share this name: the label loadtest.dev/series, or the name without its suffix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,

    /// Seed of the run's random choices, such as the pods that a fault picks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,

    /// When the operator took the run up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<MicroTime>,

    /// When the verdict was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,

    /// The columns of `kubectl get loadtests`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,

    /// The runner pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runners: Option<RunnersStatus>,

    /// The load as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadStatus>,

    /// The load by scenario.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub scenarios: Vec<ScenarioStatus>,

    /// The faults: what was intended, what was done, and how the system recovered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub faults: Vec<FaultStatus>,

    /// The objectives with their figures, one result per window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub objectives: Vec<ObjectiveStatus>,

    /// The guardrails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub guardrails: Vec<GuardrailStatus>,

    /// The system under test as it was watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub system: Vec<WatchedStatus>,

    /// The objectives against earlier runs of the series, at most 64, the regressions first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub baseline: Vec<BaselineStatus>,

    /// Runs with the same fingerprint have the same load: a hash of the scenarios, the scripts, the faults and
    /// the objectives' figures, images apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,

    /// The ConfigMap that holds the record of the run, from which it can be judged again: `kubectl loadtest judge`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,

    /// What the operator goes on from when it takes the run up again. For the operator alone: it may change with any
    /// version.
    #[serde(skip_serializing_if = "ResumeStatus::is_empty")]
    pub resume: ResumeStatus,

    /// Complete (the run is over), Passed, RunnersReady, FaultsReverted, Evaluated; Ready, Reconciling and
    /// Stalled for tools that follow the kstatus convention.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a run stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    #[default]
    Pending,
    Preparing,
    Running,
    Evaluating,
    Finished,
}

impl Phase {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Preparing => "Preparing",
            Self::Running => "Running",
            Self::Evaluating => "Evaluating",
            Self::Finished => "Finished",
        }
    }
}

/// The answer of a run. Ordered by weight: of two, the later one decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    Pass,
    Warn,
    Inconclusive,
    Fail,
    Aborted,
    Error,
}

impl Verdict {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Warn => "Warn",
            Self::Inconclusive => "Inconclusive",
            Self::Fail => "Fail",
            Self::Aborted => "Aborted",
            Self::Error => "Error",
        }
    }
}

/// How one figure stands to its limit. Ordered by weight: of two, the later one is the worse.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Outcome {
    #[default]
    Met,
    /// Within the limit, but beyond the warning limit.
    Warn,
    /// The samples cannot tell whether the limit holds.
    Unclear,
    /// So few samples that even without a bad one nothing would be shown.
    TooFew,
    /// Too few scrapes in the window.
    Unmeasurable,
    NoData,
    Missed,
}

/// Columns of `kubectl get loadtests`.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Display {
    /// Virtual users asked for and requests a second delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// The worst objective with its window, value and limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<String>,
    /// Faults injected of those planned, and how many of them left pods that were not replaced, as in
    /// `2/2, 1 not replaced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<String>,
    /// The slowest recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<String>,
    /// The start spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
}

impl LoadTestStatus {
    /// The guardrail that stopped the load.
    #[must_use]
    pub fn stopper(&self) -> Option<&GuardrailStatus> {
        self.guardrails.iter().find(|guardrail| guardrail.breached_at.is_some())
    }

    /// When the last runner acknowledged its start.
    #[must_use]
    pub fn load_started(&self) -> Option<Timestamp> {
        time(&self.load.as_ref()?.started_at)
    }

    /// When the load is due to end, by the scripts' own plan.
    #[must_use]
    pub fn load_planned_end(&self) -> Option<Timestamp> {
        time(&self.load.as_ref()?.planned_end_at)
    }

    /// When the last runner was seen through.
    #[must_use]
    pub fn load_ended(&self) -> Option<Timestamp> {
        time(&self.load.as_ref()?.ended_at)
    }

    /// How long the load is planned to last; nothing before the scripts were inspected.
    #[must_use]
    pub fn planned_length(&self) -> Duration {
        let longest = self.scenarios.iter().filter_map(|s| s.duration_milliseconds).max().unwrap_or(0);
        Duration::from_millis(u64::try_from(longest).unwrap_or(0))
    }

    /// Runners that died before their load was through, or never started.
    #[must_use]
    pub fn lost_runners(&self) -> i32 {
        self.runners.as_ref().map_or(0, |runners| runners.lost)
    }
}

pub(crate) fn time(at: &Option<MicroTime>) -> Option<Timestamp> {
    at.as_ref().map(|at| at.0)
}
