//! What must hold: service level objectives over k6's own figures and over any metric in Prometheus.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schema::{NAME, NAME_MESSAGE, rule},
    text::{DurationText, LimitText},
};

/// One objective: a figure, its limit, and the windows in which it must hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.k6), has(self.ratio), has(self.query), has(self.slope)].filter(x, x).size() == 1").message("write exactly one of k6, ratio, query or slope"),
    validation = Rule::new("has(self.atMost) != has(self.atLeast)").message("write exactly one of atMost or atLeast"),
    validation = Rule::new("!has(self.warnAbove) || has(self.atMost)").message("warnAbove goes with atMost: with atLeast write warnBelow"),
    validation = Rule::new("!has(self.warnBelow) || has(self.atLeast)").message("warnBelow goes with atLeast: with atMost write warnAbove"),
    validation = Rule::new("!has(self.warnAbove) || !has(self.atMost) || (self.warnAbove.endsWith('%') == self.atMost.endsWith('%') && self.warnAbove.matches('[smh]$') == self.atMost.matches('[smh]$'))").message("warnAbove takes the kind of unit that atMost has, as in atMost: 300ms with warnAbove: 250ms"),
    validation = Rule::new("!has(self.warnBelow) || !has(self.atLeast) || (self.warnBelow.endsWith('%') == self.atLeast.endsWith('%') && self.warnBelow.matches('[smh]$') == self.atLeast.matches('[smh]$'))").message("warnBelow takes the kind of unit that atLeast has, as in atLeast: 99% with warnBelow: 99.5%"),
    validation = Rule::new("!has(self.k6) || !has(self.k6.percentile) || (has(self.atMost) && self.atMost.matches('^[0-9.]+(ms|s|m|h)$'))").message("a percentile of a k6 metric takes atMost with a time, as in atMost: 300ms"),
    validation = Rule::new("!has(self.k6) || has(self.k6.percentile) || self.k6.metric != 'http_req_failed' || [has(self.atMost) ? self.atMost : '0%', has(self.atLeast) ? self.atLeast : '0%'].all(l, l.matches('^(100([.]0*)?|[0-9]{1,2}([.][0-9]+)?)%$'))").message("http_req_failed is a share and takes a limit from 0% to 100%, as in atMost: 0.1%"),
    validation = Rule::new("!has(self.k6) || !has(self.k6.under) || [has(self.atMost) ? self.atMost : '0%', has(self.atLeast) ? self.atLeast : '0%'].all(l, l.matches('^(100([.]0*)?|[0-9]{1,2}([.][0-9]+)?)%$'))").message("the share of samples under a limit is judged in percent, from 0% to 100%, as in atLeast: 99%"),
    validation = Rule::new("!has(self.k6) || !(has(self.k6.rate) || has(self.k6.count)) || [has(self.atMost) ? self.atMost : '0', has(self.atLeast) ? self.atLeast : '0'].all(l, l.matches('^[0-9.]+[kMG]?$'))").message("rate and count are judged by a plain number, as in atLeast: \"500\""),
    validation = Rule::new("has(self.between) || !('Between' in self.windows)").message("say which stretch: between: {from: 30s, to: 90s}"),
    validation = Rule::new("!has(self.between) || !('Fault' in self.windows || 'Recovery' in self.windows || 'Steady' in self.windows)").message("between stands for itself: judge Steady, Fault or Recovery in another objective"),
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
    /// atMost, the smallest for atLeast. With a template in it, it is asked once, at the end of the window:
    /// `{{window}}` is the window's length as a PromQL duration, `{{start}}` and `{{end}}` its ends in seconds
    /// since 1970, `{{run}}` and `{{namespace}}` the LoadTest's uid and namespace, and in Fault and Recovery
    /// windows `{{fault.name}}`, `{{fault.namespace}}`, `{{fault.at}}` (seconds since 1970) and
    /// `{{fault.targets}}` (a regular expression of the killed pods' names).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,

    /// How fast a metric grows, as the memory of a pod does in a soak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<Slope>,

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

    /// What too few samples mean for the run: Inconclusive, Fail, or Judge (the few are judged as they are).
    /// Too few is: so few that a system just at its limit would show no bad one in 5% of all runs. Default:
    /// verdict.onTooFew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_too_few: Option<TooFewPolicy>,

    /// In which windows the objective must hold. Run: the whole load. Steady: the load without ramps,
    /// faults and recoveries. Fault: from each injection until the pods are replaced. Recovery: from there
    /// until the recovery's objectives hold again. Default [Run].
    #[serde(default = "whole_run")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub windows: Vec<WindowKind>,

    /// A stretch of the load to judge instead of windows, counted from its measured start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<Between>,
}

/// A stretch of the load.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("![self.from, self.to].all(t, t.matches('^([0-9]{1,9}([.][0-9]{1,9})?(ms|s)|[0-9]{1,5}([.][0-9]{1,9})?[mh])+$')) || duration(self.from) < duration(self.to)").message("between.from lies before between.to, as in from: 30s with to: 90s"))]
pub struct Between {
    /// Where it begins, after the measured start of the load, as in `30s`.
    pub from: DurationText,
    /// Where it ends, after the measured start of the load, as in `90s`.
    pub to: DurationText,
}

/// How fast a metric grows: the median of the slopes between all pairs of its points (Theil-Sen), so that single
/// peaks do not matter. Its limit is what it may grow by within `per`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slope {
    /// A PromQL expression that gives one series, as in `max(process_resident_memory_bytes{job="chat"})`.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// The limit holds for a growth within this time. Default 1h.
    #[serde(default = "an_hour")]
    #[x_kube(validation = Rule::new("!self.matches('^[0.]+[a-z]+$')").message("nothing grows in no time: write a time, as in 1h"))]
    pub per: DurationText,
}

fn an_hour() -> DurationText {
    "1h".into()
}

/// A figure over k6's own metrics, taken as the difference of cumulative values at the ends of a window.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.percentile) || has(self.under) || has(self.stat) || has(self.rate) || has(self.count) || !(self.metric in ['http_reqs', 'iterations', 'dropped_iterations', 'vus', 'vus_max', 'data_sent', 'data_received', 'http_req_duration', 'iteration_duration'])").message("say which figure of the metric: percentile: 95, under: 300ms or stat: Avg of a Trend, rate: true or count: true of a Counter; only a Rate, as http_req_failed or checks, goes without"),
    validation = Rule::new("[has(self.percentile), has(self.under), has(self.stat), has(self.rate), has(self.count)].filter(x, x).size() <= 1").message("write one of percentile, under, stat, rate or count"),
    validation = Rule::new("!(has(self.rate) || has(self.count)) || !(self.metric in ['http_req_failed', 'checks', 'vus', 'vus_max'])").message("rate and count take a Counter, as in http_reqs, iterations or a Counter of the script"),
    validation = Rule::new("!(has(self.percentile) || has(self.under) || has(self.stat)) || !(self.metric in ['http_req_failed', 'checks', 'http_reqs', 'iterations', 'dropped_iterations', 'vus', 'vus_max', 'data_sent', 'data_received', 'ws_sessions', 'ws_msgs_sent', 'ws_msgs_received', 'grpc_streams', 'grpc_streams_msgs_sent'])").message("this k6 metric is no Trend and has no percentiles: use http_req_duration or a Trend of the script (http_req_failed goes without percentile)")
)]
pub struct K6Figure {
    /// Name of the k6 metric, as in `http_req_failed`, `checks`, `http_req_duration`, or one of the script. A Rate goes
    /// without any of the fields below: the share of its samples that were true is judged.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z_][a-zA-Z0-9_]*$')").message("the name of a k6 metric has letters, digits and '_', as in http_req_duration: tags go into tags, and the percentile into percentile"))]
    pub metric: String,

    /// Percentile of a Trend, 1 to 99.99. It is judged as a share: p95 within the limit means that at most
    /// 5% of the requests failed or took longer, so that an outage cannot improve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1.0 && self <= 99.99").message("a percentile lies between 1 and 99.99, as in 95 or 99.9"))]
    pub percentile: Option<f64>,

    /// The share of a Trend's samples up to this time, as in `300ms`; failed requests count as slower. Judged
    /// with atLeast and a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<DurationText>,

    /// Average, least or most of a Trend's samples, failed requests among them, against a time. The least and the most
    /// are known to a bucket of k6's histogram (4.4% or 9%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<Stat>,

    /// `true`: events of a Counter a second, over the whole window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("rate takes true, or is left out"))]
    pub rate: Option<bool>,

    /// `true`: events of a Counter in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("count takes true, or is left out"))]
    pub count: Option<bool>,

    /// Only samples with these k6 tags, as in `{name: SendMessage}`.
    #[serde(default)]
    #[schemars(schema_with = "tags_schema")]
    pub tags: BTreeMap<String, String>,

    /// Only samples of this scenario of the LoadTest. Default: all scenarios.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30))]
    pub scenario: Option<String>,
}

/// A statistic of a Trend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Stat {
    Avg,
    Min,
    Max,
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
    /// The stretch of `between`.
    Between,
}

impl WindowKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "Run",
            Self::Steady => "Steady",
            Self::Fault => "Fault",
            Self::Recovery => "Recovery",
            Self::Between => "Between",
        }
    }

    /// True for the windows of one event, whose requests are all there are: no sample of anything.
    #[must_use]
    pub fn is_of_fault(self) -> bool {
        matches!(self, Self::Fault | Self::Recovery)
    }
}

/// What missing data means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NoDataPolicy {
    #[default]
    Inconclusive,
    Fail,
}

/// What too few samples mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TooFewPolicy {
    #[default]
    Inconclusive,
    Fail,
    /// The few are judged as they are.
    Judge,
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
            "!('testid' in self) && !('loadtest_run' in self) && !('loadtest_scenario' in self)",
            "the operator picks the run itself: leave the tags testid and loadtest_run out, and instead of loadtest_scenario write scenario beside tags"
        )]
    })
}
