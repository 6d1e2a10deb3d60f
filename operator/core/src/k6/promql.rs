//! Questions in PromQL: the templates over k6's series. Those that any series may fill are in
//! [`crate::prometheus::promql`], and none are anywhere else.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use crate::{
    k6::{
        queries::{
            HTTP_REQS, K6Metrics, K6Samples, K6Series, NAME, OUTCOME, RUN, RUNNER, SCENARIO, Split, VUS,
        },
        question::{About, Question},
    },
    prometheus::promql::{LOOKBACK, histogram_quantile, newest, quoted, seconds},
};

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promql(text) | Self::AlertRules(text) => f.write_str(text),
            Self::K6(metrics, about) => f.write_str(&render(metrics, about)),
        }
    }
}

fn render(metrics: &K6Metrics, about: &About) -> String {
    let all = |metric| selector(metrics, &K6Series::all(metric));
    let last = |selector: &str, at| last(selector, metrics.reach_seconds, at);
    match about {
        About::Cumulative { of, by } => sum(*by, &last(&selector(metrics, of), None)),
        About::LastValues { of, at } => last(&selector(metrics, of), *at),
        About::Increase { of, by, stretches } => {
            // A series that was not there at the start of a stretch counts from zero: `or` takes its value at the end
            // (`or vector(0)` would not do for histograms). Without any series at the end the result is empty.
            let selector = selector(metrics, of);
            let parts = stretches.iter().map(|stretch| {
                let [start, end] = [stretch.from, stretch.to].map(|at| sum(*by, &last(&selector, Some(at))));
                format!("{end} - {start} or {end}")
            });
            if stretches.len() == 1 {
                return parts.collect();
            }
            // The stretches have the same labels: only a label of their own lets `or` keep them apart.
            let parts = parts.enumerate().map(|(n, part)| labelled(&part, "stretch", &n.to_string()));
            sum(*by, &parts.collect::<Vec<_>>().join(" or "))
        }
        About::GainedP95 { of, within } => {
            // All that is taken off must be there.
            let (selector, reach, within) = (selector(metrics, of), metrics.reach_seconds, within.as_secs());
            let now = format!("sum(last_over_time({selector}[{}s]))", reach + within.cast_signed());
            let before = format!("sum(last_over_time({selector}[{reach}s] offset {within}s))");
            histogram_quantile(0.95, &format!("{now} - {before} or {now}"))
        }
        About::Newest { of, stretch, step } => newest(&selector(metrics, of), *stretch, *step),
        About::VirtualUsers { by } => sum(*by, &all(VUS)),
        About::RequestNames => {
            let all = last(&all(HTTP_REQS), None);
            let series = labelled(&format!("count({all})"), "of", "series");
            format!("count(count by ({NAME}) ({all})) or {series}")
        }
        About::RunnersHeard { within } => {
            let since = format!("last_over_time({}[{}ms])", all(VUS), within.as_millis().max(1));
            format!("count(count by ({RUNNER}) ({since}))")
        }
        About::PushAge => format!("max{}", age_of_those_to_come(&all(VUS))),
        About::PushesLate { scenario, in_time } => {
            let of = K6Samples { scenario: scenario.clone(), ..K6Samples::default() };
            let users = selector(metrics, &of.of(VUS));
            let (age, in_time) = (age_of_those_to_come(&users), in_time.as_secs_f64());
            let by = format!("by ({SCENARIO})");
            format!("max(sum {by} ({age} > {in_time}) / count {by} ({users}))")
        }
    }
}

/// Selects the run's samples of one metric.
fn selector(metrics: &K6Metrics, of: &K6Series) -> String {
    let mut selector = format!("{}{{{RUN}={}", of.metric, quoted(&metrics.run_id));
    if let Some(scenario) = &of.samples.scenario {
        let _ = write!(selector, ",{SCENARIO}={}", quoted(scenario));
    }
    for (tag, value) in &of.samples.tags {
        let _ = write!(selector, ",{}={}", label(tag), quoted(value));
    }
    if of.answered {
        let _ = write!(selector, ",{OUTCOME}=\"true\"");
    }
    selector.push('}');
    selector
}

fn last(selector: &str, reach_seconds: i64, at: Option<Timestamp>) -> String {
    let at = at.map(|at| format!(" @ {}", seconds(at))).unwrap_or_default();
    format!("last_over_time({selector}[{reach_seconds}s]{at})")
}

fn sum(by: Split, of: &str) -> String {
    match by.labels() {
        [] => format!("sum({of})"),
        labels => format!("sum by ({}) ({of})", labels.join(", ")),
    }
}

fn labelled(of: &str, label: &str, value: &str) -> String {
    format!(r#"label_replace({of}, "{label}", {}, "", "")"#, quoted(value))
}

fn age_of_those_to_come(users: &str) -> String {
    format!("((time() - timestamp({users})) and {users} offset -{}s)", LOOKBACK.as_secs())
}

/// The label that a Prometheus makes of a tag: single underscores for all that is no letter and no digit.
pub(crate) fn label(tag: &str) -> String {
    let mut label = String::with_capacity(tag.len());
    for c in tag.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }) {
        if c != '_' || !label.ends_with('_') {
            label.push(c);
        }
    }
    if label.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{label}") } else { label }
}
