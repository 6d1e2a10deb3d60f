//! What must hold: service level objectives over k6's own figures and over any metric in Prometheus.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schema::{NAME, NAME_MESSAGE, rule},
    text::LimitText,
};

/// One objective: a figure, its limit, and the windows in which it must hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.k6), has(self.ratio), has(self.query)].filter(x, x).size() == 1").message("write exactly one of k6, ratio or query"),
    validation = Rule::new("has(self.atMost) != has(self.atLeast)").message("write exactly one of atMost or atLeast"),
    validation = Rule::new("!has(self.warnAbove) || has(self.atMost)").message("warnAbove goes with atMost: with atLeast write warnBelow"),
    validation = Rule::new("!has(self.warnBelow) || has(self.atLeast)").message("warnBelow goes with atLeast: with atMost write warnAbove"),
    validation = Rule::new("!has(self.warnAbove) || !has(self.atMost) || (self.warnAbove.endsWith('%') == self.atMost.endsWith('%') && self.warnAbove.matches('[smh]$') == self.atMost.matches('[smh]$'))").message("warnAbove takes the kind of unit that atMost has, as in atMost: 300ms with warnAbove: 250ms"),
    validation = Rule::new("!has(self.warnBelow) || !has(self.atLeast) || (self.warnBelow.endsWith('%') == self.atLeast.endsWith('%') && self.warnBelow.matches('[smh]$') == self.atLeast.matches('[smh]$'))").message("warnBelow takes the kind of unit that atLeast has, as in atLeast: 99% with warnBelow: 99.5%"),
    validation = Rule::new("!has(self.k6) || !has(self.k6.percentile) || (has(self.atMost) && self.atMost.matches('^[0-9.]+(ms|s|m|h)$'))").message("a percentile of a k6 metric takes atMost with a time, as in atMost: 300ms"),
    validation = Rule::new("!has(self.k6) || has(self.k6.percentile) || self.k6.metric != 'http_req_failed' || [has(self.atMost) ? self.atMost : '0%', has(self.atLeast) ? self.atLeast : '0%'].all(l, l.matches('^(100([.]0*)?|[0-9]{1,2}([.][0-9]+)?)%$'))").message("http_req_failed is a share and takes a limit from 0% to 100%, as in atMost: 0.1%"),
    validation = Rule::new("!has(self.ratio) || [has(self.atMost) ? self.atMost : '0%', has(self.atLeast) ? self.atLeast : '0%'].all(l, l.matches('^(100([.]0*)?|[0-9]{1,2}([.][0-9]+)?)%$'))").message("a ratio is a share and takes a limit from 0% to 100%, as in atLeast: 99.9%")
)]
pub struct Objective {
    /// Name of the objective, unique in the run, as in `save-p95`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(NAME).message(NAME_MESSAGE))]
    pub name: String,

    /// A figure that k6 measures, exact to the request, seen from the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k6: Option<K6Figure>,

    /// Good over total of two counters that the system under test exposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,

    /// Any PromQL expression that gives one series. Over a window its worst value counts: the largest for
    /// atMost, the smallest for atLeast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,

    /// The figure must not be above this: `300ms`, `0.1%`, `1.5Gi`, or a plain number in quotes, `"100"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<LimitText>,

    /// The figure must not be below this: `99.9%`, `10k`, or a plain number in quotes, `"5000"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<LimitText>,

    /// Within the limit, but above this, the run is a Warn at best. Same kind of unit as atMost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_above: Option<LimitText>,

    /// Within the limit, but below this, the run is a Warn at best. Same kind of unit as atLeast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_below: Option<LimitText>,

    /// A miss of this objective alone fails the run, whatever verdict.maxMisses says. Default false.
    #[serde(default)]
    pub key: bool,

    /// What a window without data means for the run: Inconclusive or Fail. Default: verdict.onNoData.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_no_data: Option<NoDataPolicy>,

    /// In which windows the objective must hold. Run: the whole load. Steady: the load without ramps,
    /// faults and recoveries. Fault: from each injection until the pods are replaced. Recovery: from there
    /// until the recovery's objectives hold again. Default [Run].
    #[serde(default = "whole_run")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub windows: Vec<WindowKind>,
}

/// A figure over k6's own metrics, taken as the difference of cumulative values at the ends of a window.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.percentile) || self.metric == 'http_req_failed'").message("say which percentile of the metric, as in percentile: 95; without one only http_req_failed can be judged (k6 sends the Rate of each runner without its total: count with two Counters and write a ratio or a query over them)"),
    validation = Rule::new("!has(self.percentile) || !(self.metric in ['http_req_failed', 'checks', 'http_reqs', 'iterations', 'dropped_iterations', 'vus', 'vus_max', 'data_sent', 'data_received', 'ws_sessions', 'ws_msgs_sent', 'ws_msgs_received', 'grpc_streams', 'grpc_streams_msgs_sent'])").message("this k6 metric is no Trend and has no percentiles: use http_req_duration or a Trend of the script (http_req_failed goes without percentile)")
)]
pub struct K6Figure {
    /// Name of the k6 metric, as in `http_req_failed`, `http_req_duration`, or a Trend of the script.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z_][a-zA-Z0-9_]*$')").message("the name of a k6 metric has letters, digits and '_', as in http_req_duration: tags go into tags, and the percentile into percentile"))]
    pub metric: String,

    /// Percentile of a Trend, 1 to 99.99. It is judged as a share: p95 within the limit means that at most
    /// 5% of the requests failed or took longer, so that an outage cannot improve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1.0 && self <= 99.99").message("a percentile lies between 1 and 99.99, as in 95 or 99.9"))]
    pub percentile: Option<f64>,

    /// Only samples with these k6 tags, as in `{name: SendMessage}`.
    #[serde(default)]
    #[schemars(schema_with = "tags_schema")]
    pub tags: BTreeMap<String, String>,

    /// Only samples of this scenario of the LoadTest. Default: all scenarios.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30))]
    pub scenario: Option<String>,
}

/// Two counters of the system under test. Each is a plain PromQL selector of counter series, as in
/// `chat_message_persist_total{status="ok"}`; the operator takes the increase over the window.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    /// The good events.
    #[schemars(length(min = 1, max = 2048))]
    pub good: String,
    /// All events.
    #[schemars(length(min = 1, max = 2048))]
    pub total: String,
}

/// A part of the run over which objectives are judged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum WindowKind {
    #[default]
    Run,
    Steady,
    Fault,
    Recovery,
}

/// What missing data means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NoDataPolicy {
    #[default]
    Inconclusive,
    Fail,
}

fn whole_run() -> Vec<WindowKind> {
    vec![WindowKind::Run]
}

fn tags_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Only samples with these k6 tags, as in `{name: SendMessage}`.",
        "type": "object",
        "default": {},
        "maxProperties": 8,
        "additionalProperties": { "type": "string", "maxLength": 256 },
        "x-kubernetes-validations": [rule(
            "!('testid' in self) && !('loadtest_scenario' in self)",
            "the operator picks the run itself: leave the tag testid out, and instead of loadtest_scenario write scenario beside tags"
        )]
    })
}
