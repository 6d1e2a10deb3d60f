use loadtest_crds::{K6Figure, Objective, Ratio, VerdictPolicy};
use rstest::rstest;

use super::*;

fn plan(objective: Objective) -> ObjectivePlan {
    ObjectivePlan::parse(&Objective { name: "o".to_owned(), ..objective }, &VerdictPolicy::default()).unwrap()
}

fn k6(percentile: Option<f64>, limit: &str, warn: Option<&str>) -> ObjectivePlan {
    let metric = if percentile.is_some() { "http_req_duration" } else { "http_req_failed" }.to_owned();
    plan(Objective {
        k6: Some(K6Figure { metric, percentile, ..K6Figure::default() }),
        at_most: Some(limit.into()),
        warn_above: warn.map(Into::into),
        ..Objective::default()
    })
}

fn of_ratio() -> ObjectivePlan {
    let ratio = Ratio { good: "good_total".to_owned(), total: "all_total".to_owned() };
    plan(Objective {
        ratio: Some(ratio),
        at_least: Some("99.9%".into()),
        warn_below: Some("99.95%".into()),
        ..Objective::default()
    })
}

fn of_query(at_most: bool) -> ObjectivePlan {
    let limit = Some("90%".into());
    let (at_most, at_least) = if at_most { (limit, None) } else { (None, limit) };
    plan(Objective { query: Some("max(cpu)".to_owned()), at_most, at_least, ..Objective::default() })
}

fn outcomes(answered: f64, failed: f64) -> Option<Outcomes> {
    Some(Outcomes { answered, failed, untold: 0.0 })
}

#[rstest]
#[case::none_failed(outcomes(1000.0, 0.0), Outcome::Met, "0% of 1,000 requests failed, limit 0.1%")]
#[case::at_the_limit(
    outcomes(999.0, 1.0),
    Outcome::Warn,
    "0.1% is above the warning limit of 0.05% (limit 0.1%)"
)]
#[case::one_too_many(outcomes(998.0, 2.0), Outcome::Missed, "0.2% of 1,000 requests failed, limit 0.1%")]
#[case::all_failed(outcomes(0.0, 1000.0), Outcome::Missed, "100% of 1,000 requests failed, limit 0.1%")]
#[case::none_sent(outcomes(0.0, 0.0), Outcome::NoData, "no request ended in this window")]
fn failed_requests(#[case] counts: Option<Outcomes>, #[case] outcome: Outcome, #[case] message: &str) {
    let finding = failed(&k6(None, "0.1%", Some("0.05%")), counts);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

#[rstest]
#[case::no_series(None, "k6 sent no such sample")]
#[case::no_callback(Some(Outcomes { untold: 12.0, ..Outcomes::default() }), "12 of the requests do not say")]
#[case::not_a_number(outcomes(f64::NAN, 1.0), "not a number")]
fn failed_requests_that_cannot_be_told(#[case] counts: Option<Outcomes>, #[case] message: &str) {
    let finding = failed(&k6(None, "0.1%", None), counts);
    assert_eq!(finding.outcome, Outcome::NoData);
    assert!(finding.message.contains(message), "{}", finding.message);
}

// p95 over 1,000 requests: 50 may have failed or taken longer.
#[rstest]
#[case::all_fast(1000.0, Some(0.1), Outcome::Met, "0% of 1,000 requests failed or took over 300ms, limit 5%")]
#[case::exactly(950.0, Some(0.2), Outcome::Met, "5% of 1,000 requests failed or took over 300ms, limit 5%")]
#[case::warned(960.0, Some(0.26), Outcome::Warn, "260ms is above the warning limit of 250ms (limit 300ms)")]
#[case::one_more(
    949.0,
    Some(0.301),
    Outcome::Missed,
    "5.1% of 1,000 requests failed or took over 300ms, limit 5%"
)]
#[case::an_outage(929.0, None, Outcome::Missed, "7.1% of 1,000 requests failed or took over 300ms, limit 5%")]
#[case::nothing_answered(
    0.0,
    None,
    Outcome::Missed,
    "100% of 1,000 requests failed or took over 300ms, limit 5%"
)]
fn percentiles(
    #[case] within: f64,
    #[case] value: Option<f64>,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let finding = percentile(
        &k6(Some(95.0), "300ms", Some("250ms")),
        95.0,
        true,
        Spread { total: 1000.0, within, value },
    );
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
    assert_eq!(finding.bad, Some(1000 - whole(within)));
    if value.is_none() {
        assert_eq!(finding.value.as_deref(), Some("over 5% failed"));
    }
}

#[test]
fn a_share_that_rounds_to_its_limit_shows_more_digits() {
    let spread = Spread { total: 100_000.0, within: 94_996.0, value: Some(0.301) };
    let finding = percentile(&k6(Some(95.0), "300ms", None), 95.0, true, spread);
    assert_eq!(finding.message, "5.004% of 100,000 requests failed or took over 300ms, limit 5%");
}

fn gain(events: f64, scrapes: usize) -> Option<Increase> {
    Some(Increase { events, scrapes })
}

#[rstest]
#[case::all_good(
    gain(2000.0, 9),
    gain(2000.0, 9),
    Outcome::Met,
    "100% of 2,000 events were good, limit at least 99.9%"
)]
#[case::warned(
    gain(1998.5, 9),
    gain(2000.0, 9),
    Outcome::Warn,
    "99.925% is below the warning limit of 99.95% (limit 99.9%)"
)]
#[case::missed(
    gain(1997.0, 9),
    gain(2000.0, 9),
    Outcome::Missed,
    "99.85% of 2,000 events were good, limit at least 99.9%"
)]
#[case::none_good(
    None,
    gain(2000.0, 9),
    Outcome::Missed,
    "0% of 2,000 events were good (no series matches ratio.good), limit at least 99.9%"
)]
#[case::nothing_counted(
    gain(0.0, 9),
    gain(0.0, 9),
    Outcome::NoData,
    "ratio.total counted nothing in this window"
)]
#[case::too_few_scrapes(
    gain(30.0, 3),
    gain(30.0, 3),
    Outcome::NoData,
    "this window holds 3 of the 4 scrapes needed: scrape more often, or judge a k6 figure here"
)]
#[case::more_good_than_all(
    gain(30.0, 9),
    gain(20.0, 9),
    Outcome::NoData,
    "ratio.good counted 30 and ratio.total only 20: the good events must be among the total"
)]
#[case::written_a_moment_apart(
    gain(1001.0, 9),
    gain(1000.0, 9),
    Outcome::Met,
    "100% of 1,000 events were good, limit at least 99.9%"
)]
fn ratios(
    #[case] good: Option<Increase>,
    #[case] total: Option<Increase>,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let finding = ratio(&of_ratio(), good, total);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

#[test]
fn a_ratio_without_any_series_is_no_data() {
    assert_eq!(ratio(&of_ratio(), None, None).outcome, Outcome::NoData);
}

fn series(values: &[f64]) -> Series {
    (Labels::new(), values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect())
}

#[rstest]
#[case::largest(true, &[0.2, 0.85, 0.3, 0.4], Outcome::Met, "the highest of 4 points was 85%, limit 90%")]
#[case::one_point_over(true, &[0.2, 0.95, 0.3, 0.4], Outcome::Missed, "the highest of 4 points was 95%, limit 90%")]
#[case::smallest(false, &[0.92, 0.95, 0.99, 1.0], Outcome::Met, "the lowest of 4 points was 92%, limit at least 90%")]
#[case::one_point_under(false, &[0.92, 0.1, 0.99, 1.0], Outcome::Missed, "the lowest of 4 points was 10%, limit at least 90%")]
#[case::three_points(true, &[0.2, 0.2, 0.2], Outcome::NoData, "this window holds 3 of the 4 points needed: judge a longer window")]
#[case::nothing(true, &[], Outcome::NoData, "the query has no data in this window: try it in Prometheus")]
fn queries(#[case] at_most: bool, #[case] values: &[f64], #[case] outcome: Outcome, #[case] message: &str) {
    let finding = query(&of_query(at_most), &[&[series(values)]]);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

#[rstest]
#[case(f64::NAN)]
#[case(f64::INFINITY)]
fn a_query_with_a_hole_is_no_data(#[case] hole: f64) {
    let finding = query(&of_query(true), &[&[series(&[0.1, hole, 0.1, 0.1, hole])]]);
    assert_eq!(finding.outcome, Outcome::NoData);
    assert!(finding.message.starts_with("2 of 5 points are not a number"), "{}", finding.message);
}

#[test]
fn a_query_with_two_series_says_how_to_make_them_one() {
    let finding = query(&of_query(true), &[&[series(&[0.1; 9]), series(&[0.1; 9])]]);
    assert_eq!(finding.outcome, Outcome::NoData);
    assert!(finding.message.contains("wrap it in sum(), max() or min()"), "{}", finding.message);
}

#[test]
fn the_worst_of_several_stretches_counts() {
    let finding = query(&of_query(true), &[&[series(&[0.1; 5])], &[series(&[0.1, 0.97])], &[]]);
    assert_eq!((finding.outcome, finding.value.as_deref()), (Outcome::Missed, Some("97%")));
}
