//! What became of the faults: what was intended and done, how the system recovered, and the harm done.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Outcome, time};
use crate::schema::without_defaults;

/// One fault of the run.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct FaultStatus {
    /// Name of the fault.
    pub name: String,
    /// Pending, Intended (pods picked and recorded), Injected, Failed, Unconfirmed (it may have happened,
    /// but not provably by us) or NotInjected.
    pub state: FaultState,
    /// When it is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<MicroTime>,
    /// When the first effect was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected_at: Option<MicroTime>,
    /// How long after its due time the first effect was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing_error_milliseconds: Option<i64>,
    /// Ready pods behind the selector before the fault: when they were picked, or when they were deleted, where those
    /// were more. Pods that come in the place of those of an earlier fault, and were not ready yet, count too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_before: Option<i32>,
    /// The Services that the picked pods served when they were picked, at most 16, by name. Empty where none had a
    /// ready endpoint of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServedService>,
    /// When as many pods as before were ready again, and each of the services had as many of them ready in its
    /// EndpointSlices: the end of the Fault window, and later than injectedAt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<MicroTime>,
    /// What was missing when the load ended without that, as in `1 of 2 ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The picked pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
    /// How the system recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
    /// The harm that it did against its budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A Service that picked pods served.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ServedService {
    /// Name of the Service, in the namespace of the pods.
    pub name: String,
    /// Pods behind the selector that were ready and had a ready endpoint in its EndpointSlices before the fault.
    pub ready_before: i32,
}

/// How far a fault is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FaultState {
    #[default]
    Pending,
    Intended,
    Injected,
    Failed,
    Unconfirmed,
    NotInjected,
}

/// One pod that a fault picked.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct TargetStatus {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// The pod's uid: the precondition of its deletion, so that no other pod of that name is hit.
    pub uid: String,
    /// Node that the pod ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Intended, Injected, Failed, or Unconfirmed (it may have happened, but not provably by us).
    pub state: TargetState,
    /// When the effect was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<MicroTime>,
    /// When the API server acknowledged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<MicroTime>,
    /// What the API server answered, where it was not what was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far one target of a fault is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TargetState {
    #[default]
    Intended,
    Injected,
    Failed,
    Unconfirmed,
}

/// How the system recovered from a fault. Times count from the injection; each is the upper end of what the
/// measurement allows.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct RecoveryStatus {
    /// Met, Warn, NoData or Missed.
    pub outcome: Outcome,
    /// What came of the fault: Unmeasured, Recovered, NotBack, NoEffect (the objectives never left their
    /// limits) or NotExercised (the target served nothing before the fault).
    pub effect: FaultEffect,
    /// Until the named alert first fired. Not there where it did not fire, or had been firing before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_milliseconds: Option<i64>,
    /// How finely that could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_resolution_milliseconds: Option<i64>,
    /// The soonest that the alert can fire: its `for` and its group's interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_floor_milliseconds: Option<i64>,
    /// Until as many pods as before were ready, and served their Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_milliseconds: Option<i64>,
    /// By what that is judged: Endpoints (the pods were ready, and each Service in `services` had as many of them
    /// ready in its EndpointSlices as before) or Pods (their readiness alone: the picked pods served no Service).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_by: Option<ReadyBy>,
    /// Until the objectives held again, for as long as `hold` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recover_milliseconds: Option<i64>,
    /// How finely the recovery could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution_milliseconds: Option<i64>,
    /// When the objectives held again: the end of the Recovery window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<MicroTime>,
    /// The limit, as written in the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// By what the pods of a fault count as ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ReadyBy {
    Endpoints,
    Pods,
}

/// What came of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FaultEffect {
    #[default]
    Unmeasured,
    Recovered,
    NotBack,
    NoEffect,
    NotExercised,
}

/// The harm that one injection did, counted by the client from the injection until the system was back.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct BudgetStatus {
    /// Met, Unclear (beyond a limit by less than the figures can tell), NoData or Missed.
    pub outcome: Outcome,
    /// Requests that failed or were slower than the objective's limit, of the objective that had the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_requests: Option<i64>,
    /// Missing good requests, in units of what was usual before the fault; known to one push on either side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_milliseconds: Option<i64>,
    /// The largest share of bad requests in one second, as in `42%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_second: Option<String>,
    /// The result in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl FaultStatus {
    /// How the message of a fault begins that was left out because the system was not steady before it.
    pub const NOT_STEADY: &str = "not steady";

    /// True where it was left out because the system was not steady before it.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.starts_with(Self::NOT_STEADY))
    }

    /// When it is due.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        time(&self.due_at)
    }

    /// When its first effect was sent, or may have been.
    #[must_use]
    pub fn injected(&self) -> Option<Timestamp> {
        time(&self.injected_at)
    }

    /// When as many pods as before were ready again.
    #[must_use]
    pub fn replaced(&self) -> Option<Timestamp> {
        time(&self.replaced_at)
    }

    /// When it began, if it may have: its record can be a moment behind.
    #[must_use]
    pub fn begun(&self) -> Option<Timestamp> {
        match self.state {
            FaultState::Pending | FaultState::NotInjected => None,
            _ => self.injected().or(self.due()),
        }
    }

    /// The pods that it hit, or is about to. One that is only intended when the fault is over was left alone.
    pub fn hit(&self) -> impl Iterator<Item = &TargetStatus> {
        self.targets.iter().filter(|target| match target.state {
            TargetState::Intended => self.state == FaultState::Intended,
            TargetState::Injected | TargetState::Unconfirmed => true,
            TargetState::Failed => false,
        })
    }
}
