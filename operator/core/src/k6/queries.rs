//! Which of k6's samples there are: their names in Prometheus and their labels. They stand here and nowhere else.

use std::{
    borrow::Cow::{self, Borrowed},
    collections::BTreeMap,
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::prometheus::promql::quoted;

/// A metric of k6, by what it is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    Counter(Cow<'static, str>),
    /// A Trend of times, in milliseconds.
    Times(Cow<'static, str>),
    /// A Trend of which the script does not say that it is of times.
    Trend(Cow<'static, str>),
    Rate(Cow<'static, str>),
    Gauge(Cow<'static, str>),
}

pub const HTTP_REQS: Metric = Metric::Counter(Borrowed("http_reqs"));
pub const HTTP_REQ_DURATION: Metric = Metric::Times(Borrowed("http_req_duration"));
pub const ITERATIONS: Metric = Metric::Counter(Borrowed("iterations"));
pub const DROPPED_ITERATIONS: Metric = Metric::Counter(Borrowed("dropped_iterations"));
pub const ITERATION_DURATION: Metric = Metric::Times(Borrowed("iteration_duration"));
pub const VUS: Metric = Metric::Gauge(Borrowed("vus"));

/// What the names of k6's metrics begin with in the store.
pub const PREFIX: &str = "k6_";

/// The Counters of k6 itself that count bytes.
const OF_BYTES: [&str; 4] = ["data_sent", "data_received", "browser_data_sent", "browser_data_received"];

/// Its name in the store, as a Prometheus makes it of an OTLP metric: single underscores, the unit once, and `total` at the
/// end of a counter and nowhere else in it.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit, is_counter) = match self {
            Self::Counter(name) if OF_BYTES.contains(&name.as_ref()) => (name, Some("bytes"), true),
            Self::Counter(name) | Self::Rate(name) => (name, None, true),
            Self::Times(name) => (name, Some("milliseconds"), false),
            Self::Trend(name) | Self::Gauge(name) => (name, None, false),
        };
        let tokens = name.split('_').filter(|token| !(token.is_empty() || is_counter && *token == "total"));
        let mut tokens: Vec<&str> = tokens.collect();
        tokens.extend(unit.filter(|unit| !tokens.contains(unit)));
        tokens.extend(is_counter.then_some("total"));
        write!(f, "{PREFIX}{}", tokens.join("_"))
    }
}

/// The label with the name of a request: its URL, where the script sets no tag of this name.
pub const NAME: &str = "name";

/// The label by which k6 tells answered requests ("true") from failed ones ("false").
pub const OUTCOME: &str = "expected_response";

/// The label by which the samples of a Rate that were true ("nonzero") are told from others ("zero").
pub const CONDITION: &str = "condition";

/// The tags by which the operator tells runs, runners and scenarios apart. A script's own tags of these names would take
/// the place of ours.
pub const RUN: &str = "loadtest_run";
pub const RUNNER: &str = "loadtest_runner";
pub const SCENARIO: &str = "loadtest_scenario";

/// The run once more, as dashboards of k6 have it. Nothing here reads it.
pub const TEST_ID: &str = "testid";

/// True for the tags that runners have of us: a script must not set them.
#[must_use]
pub fn is_own_tag(name: &str) -> bool {
    name == TEST_ID || name.starts_with("loadtest_")
}

/// Which of the run's k6 samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct K6Samples {
    pub tags: BTreeMap<String, String>,
    pub scenario: Option<String>,
}

/// The samples of one metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct K6Series {
    pub metric: Metric,
    pub samples: K6Samples,
    /// Only those of answered requests.
    pub answered: bool,
}

impl K6Samples {
    #[must_use]
    pub fn of(&self, metric: Metric) -> K6Series {
        K6Series { metric, samples: self.clone(), answered: false }
    }
}

impl K6Series {
    /// All samples of a metric.
    #[must_use]
    pub fn all(metric: Metric) -> Self {
        K6Samples::default().of(metric)
    }

    #[must_use]
    pub fn answered(self) -> Self {
        Self { answered: true, ..self }
    }
}

/// What a sum keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Split {
    Whole,
    /// Answered and failed requests.
    Outcome,
    /// The samples of a Rate that were true, and others.
    Condition,
    Scenario,
    /// Scenarios, and k6's own within them.
    Part,
    /// Names, scenarios and outcomes of requests.
    Named,
    /// The same without the names.
    Nameless,
}

impl Split {
    #[must_use]
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &[],
            Self::Outcome => &[OUTCOME],
            Self::Condition => &[CONDITION],
            Self::Scenario => &[SCENARIO],
            Self::Part => &[SCENARIO, "scenario"],
            Self::Named => &[NAME, SCENARIO, OUTCOME],
            Self::Nameless => &[SCENARIO, OUTCOME],
        }
    }
}

/// The k6 metrics of one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct K6Metrics {
    pub(crate) run_id: String,
    /// Long enough to reach from any time of the run back to before its first sample.
    pub(crate) reach_seconds: i64,
}

impl K6Metrics {
    #[must_use]
    pub fn new(run_id: &str, reach_seconds: i64) -> Self {
        Self { run_id: run_id.to_owned(), reach_seconds: reach_seconds.max(60) }
    }

    /// The same, of what happened lately only: differences of what was before that cost nothing.
    #[must_use]
    pub fn lately(&self, reach: Duration) -> Self {
        let reach = i64::try_from(reach.as_secs()).unwrap_or(i64::MAX);
        Self { reach_seconds: self.reach_seconds.min(reach), ..self.clone() }
    }
}

/// A selector of k6's metrics sees the series of every run: keeps those of this one.
#[must_use]
pub fn of_run(selector: &str, run_id: &str) -> String {
    if !selector.starts_with("k6_") || selector.contains(RUN) {
        return selector.to_owned();
    }
    let matcher = format!("{RUN}={}", quoted(run_id));
    match selector.split_once('{') {
        Some((name, rest)) if rest.trim_start().starts_with('}') => format!("{name}{{{matcher}{rest}"),
        Some((name, rest)) => format!("{name}{{{matcher},{rest}"),
        None => format!("{selector}{{{matcher}}}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// As Prometheus 3.7 names them.
    #[rstest]
    #[case(HTTP_REQS, "k6_http_reqs_total")]
    #[case(HTTP_REQ_DURATION, "k6_http_req_duration_milliseconds")]
    #[case(Metric::Counter(Borrowed("data_sent")), "k6_data_sent_bytes_total")]
    #[case(Metric::Counter(Borrowed("data_lost")), "k6_data_lost_total")]
    #[case(Metric::Counter(Borrowed("errors_total")), "k6_errors_total")]
    #[case(Metric::Counter(Borrowed("total_errors")), "k6_errors_total")]
    #[case(Metric::Counter(Borrowed("a__b")), "k6_a_b_total")]
    #[case(Metric::Rate(Borrowed("checks")), "k6_checks_total")]
    #[case(Metric::Trend(Borrowed("size_total")), "k6_size_total")]
    #[case(Metric::Times(Borrowed("wait_milliseconds")), "k6_wait_milliseconds")]
    fn names_in_the_store(#[case] metric: Metric, #[case] name: &str) {
        assert_eq!(metric.to_string(), name);
    }
}
