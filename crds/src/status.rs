//! What the operator answers: where the run stands, what it did, what it measured, and the verdict.
//!
//! The status is also the operator's write-ahead log: whatever may happen only once is recorded here before
//! it is done, so that a run survives the death of the operator at any point.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    objective::WindowKind,
    schema::{corrected, without_defaults},
};

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
    /// Faults injected of those planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<String>,
    /// The slowest recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<String>,
    /// The start spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
}

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
    /// The script's setup(), which runs once, on one runner.
    pub setup: StepState,
    /// The script's teardown(), which runs once, on one runner.
    pub teardown: StepState,
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
    /// Ready pods behind the selector before the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_before: Option<i32>,
    /// When as many pods as before were ready again: the end of the Fault window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<MicroTime>,
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
    /// Until as many pods as before were ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_milliseconds: Option<i64>,
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

fn is_zero(n: &i32) -> bool {
    *n == 0
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
    /// One result per window.
    pub windows: Vec<WindowResult>,
    /// Stretches of 5 s in steady load that stood out, at most 20. Two within ten minutes make the run a Warn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spikes: Vec<Spike>,
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
