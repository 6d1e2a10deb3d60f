//! The queries that the operator asks. Every template is here, and none anywhere else.
//!
//! k6's counters and native histograms start at zero with each run and carry its id, and k6 writes a sample
//! whenever something happened since its last push. So the last sample up to a time is the exact count up to
//! that time, less what the runner had not pushed yet, and a window's figure is the difference of two such
//! values. `rate()` and `increase()` would lose what happened before a series' first sample, which is the whole
//! of a short outage, and would extrapolate the rest.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use promql_parser::{
    label::{METRIC_NAME, MatchOp},
    parser::{self, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

use crate::{numbers::interval::Interval, plan::objective::K6Samples};

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
    reach_seconds: i64,
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

/// A quantile, from 0 to 1, of histograms.
#[must_use]
pub fn histogram_quantile(quantile: f64, histograms: &str) -> String {
    // Six digits: more would only be noise of the division that it may come from.
    let quantile = (quantile * 1e6).round() / 1e6;
    format!("histogram_quantile({quantile}, {histograms})")
}

/// All selectors of a query, in its order.
#[must_use]
pub fn selectors(query: &str) -> Vec<VectorSelector> {
    struct Found(Vec<VectorSelector>);
    impl ExprVisitor for Found {
        type Error = std::convert::Infallible;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
            match expression {
                Expr::VectorSelector(selector) => self.0.push(selector.clone()),
                Expr::MatrixSelector(matrix) => self.0.push(matrix.vs.clone()),
                _ => {}
            }
            Ok(true)
        }
    }
    let mut found = Found(Vec::new());
    if let Ok(expression) = parser::parse(query) {
        let _ = walk_expr(&mut found, &expression);
    }
    found.0
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

/// The raw samples of a selector up to a time.
#[must_use]
pub fn raw(selector: &str, reach_seconds: i64, at: Timestamp) -> String {
    format!("{selector}[{reach_seconds}s] @ {}", seconds(at))
}

/// The targets of the selected series that were scraped as a stretch began, with the value 1.
#[must_use]
pub fn scraped_at_the_start(
    selectors: &[&str],
    reach_seconds: i64,
    from: Timestamp,
    to: Timestamp,
) -> String {
    let last = |selector: &&str| format!("last_over_time({selector}[{reach_seconds}s] @ {})", seconds(to));
    let series = selectors.iter().map(last).collect::<Vec<_>>().join(" or ");
    format!("up @ {} and on (job, instance) ({series})", seconds(from))
}

/// The alert of this name, while it fires, about this namespace or about none.
#[must_use]
pub fn firing(alert: &str, namespace: &str) -> String {
    // Names of namespaces have no character that a regular expression would read otherwise.
    format!(
        "ALERTS{{alertname={},alertstate=\"firing\",namespace=~{}}}",
        quoted(alert),
        quoted(&format!("|{namespace}"))
    )
}

/// How many scrapes of the selected series, the one that has the most, a stretch holds; 0 where there were some only
/// before it, and nothing where there never were any.
#[must_use]
pub fn scrapes(selector: &str, stretch: Interval) -> String {
    let length = stretch.length().as_millis().max(1);
    let at = seconds(stretch.to);
    let counted = |millis: u128| format!("count_over_time({selector}[{millis}ms] @ {at})");
    format!("max({} or 0 * {})", counted(length), counted(length + LOOKBACK.as_millis()))
}

/// Seconds between two scrapes of the selected series, of the one that is scraped most often; nothing for series
/// that are too young to tell.
#[must_use]
pub fn scraped_every(selector: &str) -> String {
    let lately = LATELY.as_secs();
    let times = format!("timestamp({selector})[{lately}s:1s]");
    format!(
        "min((max_over_time({times}) - min_over_time({times})) / (count_over_time({selector}[{lately}s]) > 3))"
    )
}

/// How long lately is: long enough for a scrape a minute.
pub const LATELY: Duration = Duration::from_secs(120);

/// As far back as Prometheus looks for the value of a series.
pub const LOOKBACK: Duration = Duration::from_secs(300);

/// When the selected series were last written, the one that is furthest behind.
#[must_use]
pub fn last_written(selector: &str) -> String {
    format!("min(timestamp({selector}))")
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

/// When the newest sample of the selected series within a stretch was written, in seconds since 1970, found by looking at
/// each step.
#[must_use]
pub fn newest(selector: &str, stretch: Interval, step: Duration) -> String {
    let (length, step, to) =
        (stretch.length().as_millis().max(1), step.as_secs().max(1), seconds(stretch.to));
    format!("max_over_time(max(timestamp({selector}))[{length}ms:{step}s] @ {to})")
}

/// Whether all series that it selects have one name.
#[must_use]
pub fn is_named(selector: &VectorSelector) -> bool {
    let by_matcher = || {
        let mut matchers = selector.matchers.matchers.iter();
        matchers.any(|matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal)
    };
    selector.name.is_some() || by_matcher()
}

/// Of how many series of this name there are samples.
#[must_use]
pub fn present(name: &str) -> String {
    format!("count({{__name__={}}})", quoted(name))
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

/// A time as PromQL writes it after `@`: seconds, to the millisecond.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

/// A string literal.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// k6 sends its tags as labels under their own names, whatever characters these have.
fn label(tag: &str) -> String {
    let plain = tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { tag.to_owned() } else { quoted(tag) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::interval::Interval;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millisecond(second * 1000 + 250).unwrap()
    }

    fn samples() -> K6Samples {
        K6Samples {
            tags: [("name".to_owned(), r#"say "hi""#.to_owned())].into(),
            scenario: Some("chat".to_owned()),
        }
    }

    #[test]
    fn every_template_is_promql() {
        let metrics = K6Metrics::new("4f1c", 90);
        let selector = metrics.selector(HTTP_REQ_DURATION, &samples());
        let one = [Interval { from: at(10), to: at(20) }];
        let two = [one[0], Interval { from: at(30), to: at(40) }];
        let all = [
            metrics.cumulative(&selector, Split::Outcome, None),
            metrics.increase(&selector, Split::Whole, &one),
            metrics.increase(&selector, Split::Outcome, &two),
            metrics.cumulative(&answered(&selector), Split::Whole, None),
            histogram_quantile(0.95, &metrics.cumulative(&selector, Split::Whole, None)),
            scraped_every("requests_total{code=\"200\"}"),
            scrapes("requests_total{code=\"200\"}", one[0]),
            raw("requests_total{code=\"200\"}", 70, at(30)),
            scraped_at_the_start(&["ok_total", "requests_total{code=\"200\"}"], 70, at(10), at(30)),
            last_written("requests_total"),
            push_age(&metrics),
            pushes_late(&metrics, Some("chat"), Duration::from_secs(3)),
            virtual_users(&metrics),
            newest("requests_total", one[0], Duration::from_secs(2)),
            present("requests_total"),
            firing("DbmanDown", "msg-server"),
            metrics.gained(&selector, Duration::from_secs(5)),
            metrics.last_values(VUS, &samples(), Some(at(30))),
            request_names(&metrics),
            most_requested(&metrics, 200),
            cumulative_by_names(&metrics, &selector, &[OUTCOME], ["save", "http://a/?x=(1)"], "(others)"),
        ];
        for query in &all {
            parser::parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        }
        insta::assert_snapshot!(all.join("\n\n"));
    }

    #[test]
    fn a_tag_that_is_no_label_name_is_quoted() {
        assert_eq!(label("my-tag"), "\"my-tag\"");
        assert_eq!(label("name"), "name");
    }

    #[test]
    fn only_k6_metrics_are_bound_to_the_run() {
        assert_eq!(of_run("up{a=\"b\"}", "r"), "up{a=\"b\"}");
        assert_eq!(of_run("k6_good_total", "r"), "k6_good_total{loadtest_run=\"r\"}");
        assert_eq!(of_run("k6_good_total{}", "r"), "k6_good_total{loadtest_run=\"r\"}");
        // A script may have a tag of this name.
        assert_eq!(
            of_run("k6_good_total{testid=\"b\"}", "r"),
            "k6_good_total{loadtest_run=\"r\",testid=\"b\"}"
        );
        assert_eq!(of_run("k6_good_total{a=\"b\"}", "r"), "k6_good_total{loadtest_run=\"r\",a=\"b\"}");
    }
}
