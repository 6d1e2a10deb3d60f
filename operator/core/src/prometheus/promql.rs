//! Templates of PromQL that any series may fill. Those of k6's series are in [`crate::k6::promql`], and none are
//! anywhere else.

use std::time::Duration;

use crate::numbers::interval::Interval;
use jiff::Timestamp;

/// A quantile, from 0 to 1, of histograms.
#[must_use]
pub fn histogram_quantile(quantile: f64, histograms: &str) -> String {
    // Six digits: more would only be noise of the division that it may come from.
    let quantile = (quantile * 1e6).round() / 1e6;
    format!("histogram_quantile({quantile}, {histograms})")
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

/// When the newest sample of the selected series within a stretch was written, in seconds since 1970, found by looking at
/// each step.
#[must_use]
pub fn newest(selector: &str, stretch: Interval, step: Duration) -> String {
    let (length, step, to) =
        (stretch.length().as_millis().max(1), step.as_secs().max(1), seconds(stretch.to));
    format!("max_over_time(max(timestamp({selector}))[{length}ms:{step}s] @ {to})")
}

/// Of how many series of this name there are samples.
#[must_use]
pub fn present(name: &str) -> String {
    format!("count({{__name__={}}})", quoted(name))
}

/// A time as PromQL writes it after `@`: seconds, to the millisecond.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

/// A string literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"))
}

#[cfg(test)]
mod tests {
    use promql_parser::parser;

    use super::*;
    use crate::{
        k6::{
            promql::label,
            queries::{HTTP_REQ_DURATION, K6Metrics, K6Samples, Split, VUS, of_run},
            question::{About, Question},
        },
        numbers::interval::Interval,
    };

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
        let took = samples().of(HTTP_REQ_DURATION);
        let of = |question: Question| question.to_string();
        let about = |about| of(metrics.about(about));
        let one = [Interval { from: at(10), to: at(20) }];
        let two = [one[0], Interval { from: at(30), to: at(40) }];
        let all = [
            of(metrics.cumulative(took.clone(), Split::Outcome)),
            of(metrics.increase(took.clone(), Split::Whole, &one)),
            of(metrics.increase(took.clone(), Split::Outcome, &two)),
            of(metrics.cumulative(took.clone().answered(), Split::Whole)),
            histogram_quantile(0.95, &of(metrics.cumulative(took.clone(), Split::Whole))),
            scraped_every("requests_total{code=\"200\"}"),
            scrapes("requests_total{code=\"200\"}", one[0]),
            raw("requests_total{code=\"200\"}", 70, at(30)),
            scraped_at_the_start(&["ok_total", "requests_total{code=\"200\"}"], 70, at(10), at(30)),
            last_written("requests_total"),
            about(About::PushAge),
            about(About::PushesLate { scenario: Some("chat".to_owned()), in_time: Duration::from_secs(3) }),
            about(About::VirtualUsers { by: Split::Whole }),
            newest("requests_total", one[0], Duration::from_secs(2)),
            present("requests_total"),
            firing("DbmanDown", "msg-server"),
            about(About::GainedP95 { of: took.clone(), within: Duration::from_secs(5) }),
            about(About::LastValues { of: samples().of(VUS), at: Some(at(30)) }),
            about(About::RequestNames),
        ];
        for query in &all {
            parser::parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        }
        insta::assert_snapshot!(all.join("\n\n"));
    }

    #[test]
    fn a_tag_is_named_as_prometheus_names_it() {
        assert_eq!(label("my-tag"), "my_tag");
        assert_eq!(label("a__b"), "a_b");
        assert_eq!(label("1x"), "key_1x");
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
