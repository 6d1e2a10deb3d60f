//! What must never happen while the load runs: a breach stops the run.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    objective::WindowKind,
    schema::{NAME, NAME_MESSAGE},
    text::{DurationText, LimitText},
};

/// One indicator that is watched while the load runs, or a ready-made set of them. Beyond its critical limit for
/// as long as `for`, the load stops, faults are undone, and the run is a Fail.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.query) != has(self.set)").message("write exactly one of query and set, as in set: Postgres"),
    validation = Rule::new("!has(self.query) || [has(self.atMost), has(self.atLeast), has(self.dropAtMost)].filter(x, x).size() == 1").message("write exactly one of atMost, atLeast or dropAtMost: the critical limit"),
    validation = Rule::new("!has(self.set) || !(has(self.atMost) || has(self.atLeast) || has(self.dropAtMost) || has(self.warnAbove) || has(self.warnBelow))").message("a set brings its limits with it: to change one, write a guardrail with its name, a query and a limit beside the set"),
    validation = Rule::new("!has(self.selector) || has(self.set)").message("selector goes with a set: write it into the query"),
    validation = Rule::new("!has(self.warnAbove) || has(self.atMost) || has(self.dropAtMost)").message("warnAbove goes with atMost: with atLeast write warnBelow"),
    validation = Rule::new("!has(self.warnBelow) || has(self.atLeast)").message("warnBelow goes with atLeast: with atMost write warnAbove")
)]
pub struct Guardrail {
    /// Name of the guardrail, unique in the run, as in `errors`. One with the name of an indicator of a set, as
    /// `postgres-connections`, takes its place.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(NAME).message(NAME_MESSAGE))]
    pub name: String,

    /// A ready-made set: Client (k6's own figures), Node, Pod, Postgres, Redis, Kafka or WebSocket. Its indicators
    /// and limits are listed in the documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<GuardrailSet>,

    /// Only series with these labels, for the indicators of a set: a part of a PromQL selector, as in
    /// `namespace="chat"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub selector: Option<String>,

    /// Any PromQL expression that gives one series, asked every second. `{{run}}` and `{{namespace}}` stand for the
    /// LoadTest's uid and namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,

    /// Critical above this, as in `50%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<LimitText>,

    /// Critical below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<LimitText>,

    /// Critical when the value has dropped by more than this share from its median before, as in `50%`. Looked at
    /// in constant load only; the median is that of the same stretch of constant load, of at least 10 values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^(100([.]0*)?|[0-9]{1,2}([.][0-9]+)?)%$')").message("write a share from 0% to 100%, as in 50%"))]
    pub drop_at_most: Option<LimitText>,

    /// Above this, but within the limit, for as long as `for`, the run is a Warn at best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_above: Option<LimitText>,

    /// Below this, but within the limit, for as long as `for`, the run is a Warn at best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_below: Option<LimitText>,

    /// For how long the value must be beyond a limit without a break. Default 10s.
    #[serde(default = "ten_seconds", rename = "for")]
    pub for_: DurationText,

    /// In which windows a breach does not count: Fault, Recovery or both. The time of a breach begins anew after
    /// them. Default none.
    #[serde(default)]
    #[schemars(length(max = 2))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(w, w in ['Fault', 'Recovery'])").message("a guardrail is suspended during Fault or Recovery")
    )]
    pub suspend_during: Vec<WindowKind>,

    /// What it means that the query gives nothing for as long as `for`: Ignore, Warn (default) or Stop. A load
    /// that was stopped so is Inconclusive.
    #[serde(default)]
    pub on_no_data: GuardrailNoData,
}

/// A ready-made set of guardrails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum GuardrailSet {
    Client,
    Node,
    Pod,
    Postgres,
    Redis,
    Kafka,
    WebSocket,
}

/// What a guardrail without data means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GuardrailNoData {
    Ignore,
    #[default]
    Warn,
    Stop,
}

fn ten_seconds() -> DurationText {
    "10s".into()
}
