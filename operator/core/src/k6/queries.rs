//! The queries over k6's series, and the names of these.
//!
//! k6's counters and native histograms start at zero with each run and carry its id, and k6 writes a sample
//! whenever something happened since its last push. So the last sample up to a time is the exact count up to
//! that time, less what the runner had not pushed yet, and a window's figure is the difference of two such
//! values. `rate()` and `increase()` would lose what happened before a series' first sample, which is the whole
//! of a short outage, and would extrapolate the rest.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;

use crate::{
    numbers::interval::Interval,
    prometheus::promql::{LOOKBACK, quoted, seconds},
};

/// Which of the run's k6 samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct K6Samples {
    pub tags: BTreeMap<String, String>,
    pub scenario: Option<String>,
}

/// The label with the name of a request: its URL, where the script sets no tag of this name.
pub const NAME: &str = "name";

pub const HTTP_REQS: &str = "k6_http_reqs_total";

pub const HTTP_REQ_DURATION: &str = "k6_http_req_duration_seconds";

pub const ITERATIONS: &str = "k6_iterations_total";

pub const DROPPED_ITERATIONS: &str = "k6_dropped_iterations_total";

pub const ITERATION_DURATION: &str = "k6_iteration_duration_seconds";

pub const VUS: &str = "k6_vus";

/// The label by which k6 tells answered requests ("true") from failed ones ("false").
pub const OUTCOME: &str = "expected_response";

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

/// Whether a sum keeps answered and failed requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Outcome,
    Whole,
}

/// Reads the k6 metrics of one run.
#[derive(Clone, Debug)]
pub struct K6Metrics {
    run_id: String,
    /// Long enough to reach from any time of the run back to before its first sample.
    pub(crate) reach_seconds: i64,
}

impl K6Metrics {
    /// The same, of what happened lately only: differences of what was before that cost nothing.
    #[must_use]
    pub fn lately(&self, reach: Duration) -> Self {
        let reach = i64::try_from(reach.as_secs()).unwrap_or(i64::MAX);
        Self { reach_seconds: self.reach_seconds.min(reach), ..self.clone() }
    }

    #[must_use]
    pub fn new(run_id: &str, reach_seconds: i64) -> Self {
        Self { run_id: run_id.to_owned(), reach_seconds: reach_seconds.max(60) }
    }

    /// Selects the run's samples of one metric.
    #[must_use]
    pub fn selector(&self, metric: &str, samples: &K6Samples) -> String {
        let mut selector = format!("{metric}{{{RUN}={}", quoted(&self.run_id));
        if let Some(scenario) = &samples.scenario {
            let _ = write!(selector, ",{SCENARIO}={}", quoted(scenario));
        }
        for (tag, value) in &samples.tags {
            let _ = write!(selector, ",{}={}", label(tag), quoted(value));
        }
        selector.push('}');
        selector
    }

    /// The value since the start of the run, summed over the runners: at one time, or at each step of a range
    /// query.
    #[must_use]
    pub fn cumulative(&self, selector: &str, split: Split, at: Option<Timestamp>) -> String {
        let sum = match split {
            Split::Outcome => "sum by (expected_response) (",
            Split::Whole => "sum(",
        };
        let at = at.map(|at| format!(" @ {}", seconds(at))).unwrap_or_default();
        format!("{sum}last_over_time({selector}[{}s]{at}))", self.reach_seconds)
    }

    /// The last value of each series since the start of the run, up to a time.
    #[must_use]
    pub fn last_values(&self, metric: &str, samples: &K6Samples, at: Option<Timestamp>) -> String {
        let at = at.map(|at| format!(" @ {}", seconds(at))).unwrap_or_default();
        format!("last_over_time({}[{}s]{at})", self.selector(metric, samples), self.reach_seconds)
    }

    /// What was added in the time before, at each step of a range query.
    #[must_use]
    pub fn gained(&self, selector: &str, within: Duration) -> String {
        // All that is taken off must be there.
        let (reach, within) = (self.reach_seconds, within.as_secs());
        let now = format!("sum(last_over_time({selector}[{}s]))", reach + within.cast_signed());
        format!("{now} - sum(last_over_time({selector}[{reach}s] offset {within}s)) or {now}")
    }

    /// The same at each step of a range query, for each value of these labels.
    #[must_use]
    pub fn cumulative_by(&self, selector: &str, labels: &[&str]) -> String {
        format!("sum by ({}) (last_over_time({selector}[{}s]))", labels.join(", "), self.reach_seconds)
    }

    /// What was added in the stretches, together. A series that was not there at the start of a stretch counts
    /// from zero: `or` takes its value at the end (`or vector(0)` would not do for histograms). Without any
    /// series at the end the result is empty.
    #[must_use]
    pub fn increase(&self, selector: &str, split: Split, stretches: &[Interval]) -> String {
        let one = |stretch: &Interval| {
            let end = self.cumulative(selector, split, Some(stretch.to));
            let start = self.cumulative(selector, split, Some(stretch.from));
            format!("{end} - {start} or {end}")
        };
        match stretches {
            [stretch] => one(stretch),
            stretches => {
                // The stretches have the same labels: only a label of their own lets `or` keep them apart.
                let parts: Vec<String> = stretches
                    .iter()
                    .enumerate()
                    .map(|(i, stretch)| {
                        format!(r#"label_replace({}, "stretch", "{i}", "", "")"#, one(stretch))
                    })
                    .collect();
                let sum = match split {
                    Split::Outcome => "sum by (expected_response)",
                    Split::Whole => "sum",
                };
                format!("{sum} ({})", parts.join(" or "))
            }
        }
    }
}

/// How many request names the run has had, and, labelled, how many series.
#[must_use]
pub fn request_names(metrics: &K6Metrics) -> String {
    let all = metrics.last_values(HTTP_REQS, &K6Samples::default(), None);
    format!(r#"count(count by ({NAME}) ({all})) or label_replace(count({all}), "of", "series", "", "")"#)
}

/// The request names with the most requests.
#[must_use]
pub fn most_requested(metrics: &K6Metrics, names: usize) -> String {
    let requests = metrics.selector(HTTP_REQS, &K6Samples::default());
    format!("topk({names}, {})", metrics.cumulative_by(&requests, &[NAME]))
}

/// The value since the start of the run for each value of these labels and each of these request names. All other names
/// are one, that of `others`.
#[must_use]
pub fn cumulative_by_names<'a>(
    metrics: &K6Metrics,
    selector: &str,
    labels: &[&str],
    names: impl IntoIterator<Item = &'a str>,
    others: &str,
) -> String {
    let names = quoted(&names.into_iter().map(literally).collect::<Vec<_>>().join("|"));
    let of = |matches: &str| format!("{},{NAME}{matches}{names}}}", selector.trim_end_matches('}'));
    let apart = metrics.cumulative_by(&of("=~"), &[&[NAME][..], labels].concat());
    let together = metrics.cumulative_by(&of("!~"), labels);
    format!(r#"{apart} or label_replace({together}, "{NAME}", {}, "", "")"#, quoted(others))
}

/// A regular expression of this text and no other.
fn literally(text: &str) -> String {
    let mut expression = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression
}

/// Keeps the histograms of answered requests.
#[must_use]
pub fn answered(selector: &str) -> String {
    let selector = selector.trim_end_matches('}');
    format!(r#"{selector},{OUTCOME}="true"}}"#)
}

/// How old the last push is of the runner whose last push is the oldest, in seconds. k6 sends its number of
/// virtual users with every push. A runner that sends nothing any more was through, and is not late.
#[must_use]
pub fn push_age(metrics: &K6Metrics) -> String {
    format!("max{}", age_of_those_to_come(&metrics.selector(VUS, &K6Samples::default())))
}

/// How late the runners' last pushes are, in seconds, as if all runners of a scenario were equally late: of those whose
/// last push is older than `in_time`, the ages together, divided by the number of runners. Of the worst scenario.
#[must_use]
pub fn pushes_late(metrics: &K6Metrics, scenario: Option<&str>, in_time: Duration) -> String {
    let of = K6Samples { scenario: scenario.map(str::to_owned), ..K6Samples::default() };
    let users = metrics.selector(VUS, &of);
    let (age, in_time) = (age_of_those_to_come(&users), in_time.as_secs_f64());
    let by = format!("by ({SCENARIO})");
    format!("max(sum {by} ({age} > {in_time}) / count {by} ({users}))")
}

fn age_of_those_to_come(users: &str) -> String {
    format!("((time() - timestamp({users})) and {users} offset -{}s)", LOOKBACK.as_secs())
}

/// How many virtual users there are.
#[must_use]
pub fn virtual_users(metrics: &K6Metrics) -> String {
    format!("sum({})", metrics.selector(VUS, &K6Samples::default()))
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

/// k6 sends its tags as labels under their own names, whatever characters these have.
pub(crate) fn label(tag: &str) -> String {
    let plain = tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { tag.to_owned() } else { quoted(tag) }
}
