//! What became of the load: the runner pods, the requests, and what was asked for and not delivered.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::without_defaults;

/// Counts of runner pods.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct RunnersStatus {
    /// Asked for, all scenarios together.
    pub total: i32,
    /// Initialised and waiting at the barrier, or past it.
    pub ready: i32,
    /// Through with their load.
    pub ended: i32,
    /// Died before their load was through, or never started.
    pub lost: i32,
    /// Ended by their own script before their load was through: by `test.abort()`, or a threshold with
    /// `abortOnFail`. Known once the load has ended; a load that a guardrail or `spec.stop` ended has none.
    pub interrupted: i32,
    /// Through with their load, which their own script marked as failed: by `exec.test.fail()`.
    pub failed: i32,
    /// When the runner pods were asked for; recorded before they are created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<MicroTime>,
    /// When the last runner was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<MicroTime>,
    /// The lost runners and why, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The runners that were too short of CPU to measure anything, at most 10: what they measured is the time
    /// that they waited for it themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub starved: Vec<String>,
}

/// The load as a whole.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct LoadStatus {
    /// Virtual users asked for at the peak, all scenarios together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_vus: Option<i64>,
    /// When the runners were to be resumed; recorded before they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_intended_at: Option<MicroTime>,
    /// When the last runner acknowledged its start. Faults count from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// Time from the first start sent to the last start acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_spread_milliseconds: Option<i64>,
    /// Time from the first start sent to the last start sent. Where the spread is much longer, the runners were
    /// slow to act on it: they want more CPU, or more nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_sent_within_milliseconds: Option<i64>,
    /// When the load is due to end, by the scripts' own plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_end_at: Option<MicroTime>,
    /// When the last runner was seen through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<MicroTime>,
    /// Requests that the runners counted themselves, those of setup() and teardown() included, read from k6 as
    /// the load ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k6_requests: Option<i64>,
    /// HTTP requests sent, as recorded in Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<i64>,
    /// Of those, the failed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_requests: Option<i64>,
    /// How many different names the HTTP requests had: their tag `name`, or their URL where the script sets none. While
    /// the load runs, those of the last five minutes. The record tells no more than 200 apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_names: Option<i64>,
    /// 95th percentile of the answered HTTP requests so far, for those who watch; the figures that are judged
    /// are those of the objectives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_milliseconds: Option<i64>,
    /// Iterations completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<i64>,
    /// Iterations that k6 could not start for lack of virtual users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_iterations: Option<i64>,
    /// Iterations that threw an exception, from the runners' logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_errors: Option<i64>,
    /// Runners that were not lost and whose log could not be read, and why, at most 10. Nobody knows what they
    /// reported, so the run is Inconclusive at best.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread_logs: Vec<String>,
    /// Iterations that the scripts asked for, where they ask for an arrival rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_iterations: Option<i64>,
    /// The most virtual users seen at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_vus: Option<i64>,
    /// In what the load was less than was asked for, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<Shortfall>,
}

/// Something that the load was to be and was not.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Shortfall {
    /// Generator, Target or Unknown. Only where the target is the cause, the run is a Fail.
    pub cause: ShortfallCause,
    /// What was missing, and what says whose fault it was.
    pub message: String,
}

/// Why the load was less than was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ShortfallCause {
    #[default]
    Unknown,
    Generator,
    Target,
}

/// The load of one scenario.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ScenarioStatus {
    /// Name of the scenario.
    pub name: String,
    /// Its runner pods.
    pub runners: i32,
    /// Virtual users at the peak, from the inspection of the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_vus: Option<i64>,
    /// The longest time the script may take, from the inspection, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_milliseconds: Option<i64>,
    /// Stretches, in milliseconds from the start, in which the load neither ramps up nor down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plateaus: Vec<Plateau>,
    /// Virtual users of the highest stretch of constant load that lasts 5 s or longer; only for scripts that ask
    /// for virtual users and not for an arrival rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_vus: Option<i64>,
    /// The parts of the script that ask for an arrival rate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arrivals: Vec<Arrivals>,
    /// Thresholds of the script. They are judged as objectives, over all runners together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ScriptThreshold>,
    /// Why teardown() failed, or could not be run. The verdict does not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown_message: Option<String>,
}

/// A part of a script that asks for an arrival rate.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Arrivals {
    /// Its name under `options.scenarios`.
    pub name: String,
    /// Iterations that it asks for, all runners together.
    pub iterations: i64,
    /// When it is due to end, in milliseconds from the start of the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at_milliseconds: Option<i64>,
}

/// One threshold of a script.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct ScriptThreshold {
    /// The metric with its tags, as in `http_req_duration{name:SendMessage}`.
    pub metric: String,
    /// The expression, as in `p(95)<300`.
    pub expression: String,
    /// A miss stops the load, as a guardrail does.
    pub abort_on_fail: bool,
    /// The script's `delayAbortEval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_abort_eval: Option<String>,
}

/// A stretch of constant load, in milliseconds from the start.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plateau {
    /// Where it begins, in milliseconds from the start of the load.
    pub from: i64,
    /// Where it ends, in milliseconds from the start of the load.
    pub to: i64,
}
