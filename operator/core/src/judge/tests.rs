use loadtest_crds::{K6Figure, Objective, Ratio, Slope, VerdictPolicy};
use rstest::rstest;

use super::*;
use crate::{
    ask::Series,
    histogram::{Bucket, Histogram},
};

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

fn under(under: &str, at_least: &str) -> ObjectivePlan {
    let figure =
        K6Figure { metric: "http_req_duration".to_owned(), under: Some(under.into()), ..K6Figure::default() };
    plan(Objective { k6: Some(figure), at_least: Some(at_least.into()), ..Objective::default() })
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

const NO_FAULTS: Block = Block { total: 0.0, bad: 0.0 };
const SAMPLE: Scope = Scope::Sample { design_effect: 1.0, faults: NO_FAULTS };

fn requests(total: f64, bad: f64) -> Tally {
    Tally { total, bad: Count::exactly(bad), took: Histogram::default(), seconds_per_unit: 1.0 }
}

#[rstest]
#[case::none_failed(1000.0, 0.0, Outcome::Met, "0% of 1,000 requests failed, limit 0.1%")]
#[case::at_the_limit(1000.0, 1.0, Outcome::Warn, "0.1% is above the warning limit of 0.05% (limit 0.1%)")]
#[case::one_too_many(1000.0, 2.0, Outcome::Missed, "0.2% of 1,000 requests failed, limit 0.1%")]
#[case::all_failed(1000.0, 1000.0, Outcome::Missed, "100% of 1,000 requests failed, limit 0.1%")]
fn failed_requests_of_a_fault(
    #[case] total: f64,
    #[case] bad: f64,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let finding = share(&k6(None, "0.1%", Some("0.05%")), true, Scope::Census, &requests(total, bad));
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
    assert_eq!((finding.samples, finding.bad, finding.effective), (Some(1000), Some(bad as i64), None));
}

#[rstest]
#[case::enough_and_none(10_000.0, 0.0, Outcome::Met, "0% of 10,000 requests failed, limit 0.1%")]
#[case::warned(
    10_000.0,
    6.0,
    Outcome::Unclear,
    "0.06% of 10,000 requests failed, limit 0.1%; the sample cannot tell, the share behind it lies between 0.031% and 0.12%: lengthen the window or raise the load"
)]
#[case::warned_for_certain(
    100_000.0,
    60.0,
    Outcome::Warn,
    "0.06% is above the warning limit of 0.05% (limit 0.1%)"
)]
#[case::too_few(
    1000.0,
    0.0,
    Outcome::TooFew,
    "0% of 1,000 requests failed, limit 0.1%; too few to tell, 2,995 are needed: lengthen the window or raise the load"
)]
#[case::few_but_certain(1000.0, 10.0, Outcome::Missed, "1% of 1,000 requests failed, limit 0.1%")]
#[case::beyond_perhaps(
    10_000.0,
    12.0,
    Outcome::Unclear,
    "0.12% of 10,000 requests failed, limit 0.1%; the sample cannot tell, the share behind it lies between 0.075% and 0.19%: lengthen the window or raise the load"
)]
fn failed_requests_of_a_steady_load(
    #[case] total: f64,
    #[case] bad: f64,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let finding = share(&k6(None, "0.1%", Some("0.05%")), true, SAMPLE, &requests(total, bad));
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
    assert_eq!(finding.effective, Some(total as i64));
}

#[test]
fn bursts_are_said() {
    let scope = Scope::Sample { design_effect: 10.0, faults: NO_FAULTS };
    let finding = share(&k6(None, "0.1%", None), true, scope, &requests(10_000.0, 2.0));
    assert_eq!((finding.outcome, finding.effective), (Outcome::TooFew, Some(1000)));
    assert_eq!(
        finding.message,
        "0.02% of 10,000 requests failed, limit 0.1%; too few to tell, 2,995 are needed (bad ones came in bursts, so \
         these are worth 1,000): lengthen the window or raise the load"
    );
}

#[rstest]
#[case::none_bad(
    0.0,
    Outcome::Met,
    "0% of 40 requests failed, limit 1%; judged as counted, with fewer than 299"
)]
#[case::one_bad(
    1.0,
    Outcome::Missed,
    "2.5% of 40 requests failed, limit 1%; judged as counted, with fewer than 299"
)]
fn few_may_be_judged_as_they_are(#[case] bad: f64, #[case] outcome: Outcome, #[case] message: &str) {
    let plan = ObjectivePlan { on_too_few: TooFewPolicy::Judge, ..k6(None, "1%", None) };
    let finding = share(&plan, true, SAMPLE, &requests(40.0, bad));
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

#[rstest]
#[case::no_callback(Outcomes { untold: 12.0, ..Outcomes::default() }, "12 of the requests do not say")]
#[case::not_a_number(Outcomes { answered: f64::NAN, ..Outcomes::default() }, "not a number")]
#[case::none_sent(Outcomes::default(), "no request ended in this window")]
fn failed_requests_that_cannot_be_told(#[case] counts: Outcomes, #[case] message: &str) {
    let why = told(counts).unwrap_err();
    assert!(why.contains(message), "{why}");
}

/// Requests that took 100 ms, 260 ms, 290 ms or up to 324 ms, and failed ones. Each bucket but the last ends at its
/// time; the limit of 300 ms lies inside the last.
fn took(quick: f64, warned: f64, near: f64, last: f64, failed: f64) -> Tally {
    let bucket = |lower, upper, count| Bucket { lower, upper, count };
    let buckets: Vec<Bucket> = [
        bucket(0.09, 0.1, quick),
        bucket(0.25, 0.26, warned),
        bucket(0.28, 0.29, near),
        bucket(0.297, 0.324, last),
    ]
    .into_iter()
    .filter(|b| b.count > 0.0)
    .collect();
    let took = Histogram { count: quick + warned + near + last, sum: 0.0, buckets };
    let up_to = took.up_to(0.3);
    let slow = Count { least: up_to.surely, likely: up_to.likely, most: up_to.perhaps }.rest_of(took.count);
    Tally { total: took.count + failed, bad: slow.plus(failed), took, seconds_per_unit: 1.0 }
}

// p95 over 1,000 requests: 50 may have failed or taken longer.
#[rstest]
#[case::all_fast(
    took(1000.0, 0.0, 0.0, 0.0, 0.0),
    Outcome::Met,
    "99.5ms",
    "0% of 1,000 requests failed or took over 300ms, limit 5%"
)]
#[case::exactly(
    took(950.0, 0.0, 0.0, 0.0, 50.0),
    Outcome::Met,
    "100ms",
    "5% of 1,000 requests failed or took over 300ms, limit 5%"
)]
#[case::warned(
    took(800.0, 160.0, 0.0, 0.0, 40.0),
    Outcome::Warn,
    "259ms",
    "259ms is above the warning limit of 250ms (limit 300ms)"
)]
#[case::one_more(
    took(949.0, 0.0, 0.0, 0.0, 51.0),
    Outcome::Missed,
    "over 5% failed",
    "5.1% of 1,000 requests failed or took over 300ms, limit 5%"
)]
#[case::an_outage(
    took(0.0, 0.0, 0.0, 0.0, 1000.0),
    Outcome::Missed,
    "over 5% failed",
    "100% of 1,000 requests failed or took over 300ms, limit 5%"
)]
#[case::the_bucket_decides(
    took(920.0, 0.0, 0.0, 60.0, 20.0),
    Outcome::Unclear,
    "310ms",
    "7.3% of 1,000 requests failed or took over 300ms, limit 5% (20 to 80 of them bad: the limit lies inside a bucket \
     of k6's histogram); that decides: set the limit to another value"
)]
#[case::the_bucket_does_not_matter(
    took(960.0, 0.0, 0.0, 20.0, 20.0),
    Outcome::Met,
    "99.9ms",
    "3.8% of 1,000 requests failed or took over 300ms, limit 5% (20 to 40 of them bad: the limit lies inside a bucket \
     of k6's histogram)"
)]
fn percentiles(#[case] tally: Tally, #[case] outcome: Outcome, #[case] value: &str, #[case] message: &str) {
    let finding = share(&k6(Some(95.0), "300ms", Some("250ms")), true, Scope::Census, &tally);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
    assert_eq!(finding.value.as_deref(), Some(value));
}

#[test]
fn a_share_that_rounds_to_its_limit_shows_more_digits() {
    let tally = took(94_996.0, 0.0, 0.0, 0.0, 5004.0);
    let finding = share(&k6(Some(95.0), "300ms", None), true, Scope::Census, &tally);
    assert_eq!(finding.message, "5.004% of 100,000 requests failed or took over 300ms, limit 5%");
}

#[rstest]
#[case::all(took(1000.0, 0.0, 0.0, 0.0, 0.0), Outcome::Met, "100%")]
#[case::at_the_limit(took(900.0, 0.0, 90.0, 0.0, 10.0), Outcome::Met, "99%")]
#[case::one_failed_more(took(900.0, 0.0, 89.0, 0.0, 11.0), Outcome::Missed, "98.9%")]
fn within_a_time(#[case] tally: Tally, #[case] outcome: Outcome, #[case] value: &str) {
    let finding = share(&under("300ms", "99%"), true, Scope::Census, &tally);
    assert_eq!((finding.outcome, finding.value.as_deref()), (outcome, Some(value)));
    let words = format!("{value} of 1,000 requests were answered within 300ms, limit at least 99%");
    assert_eq!(finding.message, words);
}

#[test]
fn within_a_time_as_a_sample_says_the_good_share() {
    // 4 bad of 1,000: 0.18% to 0.89%; so 99.11% to 99.82% are good.
    let tally = took(996.0, 0.0, 0.0, 0.0, 4.0);
    let finding = share(&under("300ms", "99.5%"), true, SAMPLE, &tally);
    assert_eq!(finding.outcome, Outcome::Unclear);
    assert!(finding.message.contains("between 99.11% and 99.82%"), "{}", finding.message);
}

#[rstest]
#[case::none_allowed(k6(None, "0%", None), 0.0, Outcome::Met)]
#[case::one_of_none(k6(None, "0%", None), 1.0, Outcome::Missed)]
#[case::all_wanted(under("300ms", "100%"), 0.0, Outcome::Met)]
#[case::all_but_one(under("300ms", "100%"), 1.0, Outcome::Missed)]
fn a_limit_of_none_needs_no_certainty(
    #[case] plan: ObjectivePlan,
    #[case] bad: f64,
    #[case] outcome: Outcome,
) {
    let finding = share(&plan, true, SAMPLE, &requests(12.0, bad));
    assert_eq!((finding.outcome, finding.samples), (outcome, Some(12)));
    assert!(finding.message.contains("of 12 requests"), "{}", finding.message);
}

#[rstest]
#[case::share_of_failures(share(&k6(None, "1%", None), true, Scope::Census, &requests(3000.0, 10.0)), Some(10.0 / 3000.0))]
#[case::share_in_time(share(&under("300ms", "99%"), true, Scope::Census, &took(900.0, 0.0, 89.0, 0.0, 11.0)), Some(0.989))]
#[case::percentile_among_the_failed(
    share(&k6(Some(95.0), "1s", None), true, Scope::Census, &took(900.0, 0.0, 0.0, 0.0, 100.0)),
    None
)]
#[case::events(counter(&counter_plan(false, "10"), Some(12.0), 60.0), Some(12.0))]
#[case::events_a_second(counter(&counter_plan(true, "1"), Some(10.0), 3.0), Some(10.0 / 3.0))]
#[case::no_data(counter(&counter_plan(false, "10"), None, 60.0), None)]
fn the_figure_is_not_rounded(#[case] finding: Finding, #[case] figure: Option<f64>) {
    match (finding.figure, figure) {
        (Some(found), Some(figure)) => assert!((found - figure).abs() < 1e-12, "{finding:?}"),
        (found, figure) => assert_eq!(found, figure, "{finding:?}"),
    }
}

/// Requests that must fail: the answered ones count against the limit.
#[rstest]
#[case::all_refused(500.0, Outcome::Met, "100%")]
#[case::some_let_in(400.0, Outcome::Missed, "80%")]
fn a_share_of_failures_may_have_to_be_high(#[case] bad: f64, #[case] outcome: Outcome, #[case] value: &str) {
    let figure = K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() };
    let plan = plan(Objective { k6: Some(figure), at_least: Some("99%".into()), ..Objective::default() });
    let finding = share(&plan, true, SAMPLE, &requests(500.0, bad));
    assert_eq!((finding.outcome, finding.value.as_deref()), (outcome, Some(value)));
}

fn counter_plan(rate: bool, limit: &str) -> ObjectivePlan {
    let figure = K6Figure {
        metric: "orders".to_owned(),
        rate: rate.then_some(true),
        count: (!rate).then_some(true),
        ..K6Figure::default()
    };
    plan(Objective { k6: Some(figure), at_least: Some(limit.into()), ..Objective::default() })
}

#[rstest]
#[case::enough(false, "500", Some(500.0), Outcome::Met, "500 were counted, limit at least 500")]
#[case::one_fewer(false, "500", Some(499.0), Outcome::Missed, "499 were counted, limit at least 500")]
#[case::rate(true, "8", Some(500.0), Outcome::Met, "8.3 a second (500 in 60.0s), limit at least 8")]
#[case::slow(true, "10", Some(500.0), Outcome::Missed, "8.3 a second (500 in 60.0s), limit at least 10")]
#[case::never(false, "500", None, Outcome::NoData, NO_SAMPLE)]
#[case::nan(false, "500", Some(f64::NAN), Outcome::NoData, "Prometheus gave a count that is not a number")]
fn counters(
    #[case] rate: bool,
    #[case] limit: &str,
    #[case] events: Option<f64>,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let finding = counter(&counter_plan(rate, limit), events, 60.0);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
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
    Outcome::Unmeasurable,
    "this window holds 3 of the 4 scrapes needed: scrape more often, or judge a k6 figure here"
)]
#[case::good_ones_scraped_rarely(
    gain(1900.0, 2),
    gain(2000.0, 12),
    Outcome::Unmeasurable,
    "this window holds 2 of the 4 scrapes of ratio.good that are needed: scrape more often, or judge a longer window"
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
    let finding = ratio(&of_ratio(), Scope::Census, good, total);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

#[test]
fn a_ratio_is_a_sample_too() {
    let of = |good: f64, total: f64| ratio(&of_ratio(), SAMPLE, gain(good, 9), gain(total, 9)).outcome;
    assert_eq!(of(2000.0, 2000.0), Outcome::TooFew);
    assert_eq!(of(2995.0, 2995.0), Outcome::Met);
    assert_eq!(of(2994.0, 2995.0), Outcome::Unclear);
    assert_eq!(of(2900.0, 2995.0), Outcome::Missed);
}

#[test]
fn a_ratio_without_any_series_is_no_data() {
    assert_eq!(ratio(&of_ratio(), SAMPLE, None, None).outcome, Outcome::NoData);
}

fn series(values: &[f64]) -> Series {
    (Labels::new(), values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect())
}

#[rstest]
#[case::largest(true, &[0.2, 0.85, 0.3, 0.4], Outcome::Met, "the highest of 4 points was 85%, limit 90%")]
#[case::one_point_over(true, &[0.2, 0.95, 0.3, 0.4], Outcome::Missed, "the highest of 4 points was 95%, limit 90%")]
#[case::smallest(false, &[0.92, 0.95, 0.99, 1.0], Outcome::Met, "the lowest of 4 points was 92%, limit at least 90%")]
#[case::one_point_under(false, &[0.92, 0.1, 0.99, 1.0], Outcome::Missed, "the lowest of 4 points was 10%, limit at least 90%")]
#[case::three_points(true, &[0.2, 0.2, 0.2], Outcome::Unmeasurable, "this window holds 3 of the 4 points needed: judge a longer window")]
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

#[rstest]
#[case::enough(&[("a", Some(4.0)), ("b", Some(9.0))], None)]
#[case::three(&[("a", Some(9.0)), ("b", Some(3.0))], Some("this window holds 3 of the 4 scrapes of b"))]
#[case::none_of_what_was_there_before(&[("a", Some(0.0))], Some("this window holds 0 of the 4 scrapes of a"))]
#[case::a_series_that_never_was(&[("a", None), ("b", Some(4.0))], None)]
#[case::no_selector(&[], None)]
fn scrapes_of_a_window(#[case] counted: &[(&str, Option<f64>)], #[case] message: Option<&str>) {
    let counted: Vec<(String, Option<f64>)> = counted.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect();
    let finding = scraped(&counted, MIN_SCRAPES);
    assert!(finding.iter().all(|finding| finding.outcome == Outcome::Unmeasurable));
    assert_eq!(finding.is_some(), message.is_some());
    assert!(finding.iter().all(|f| f.message.starts_with(message.unwrap_or_default())), "{finding:?}");
}

#[rstest]
#[case::met(vec![vec![0.85]], Outcome::Met, "85% over the window, limit 90%")]
#[case::worst_of_two(vec![vec![0.85], vec![0.97]], Outcome::Missed, "the highest of 2 stretches was 97%, limit 90%")]
#[case::one_stretch_without(vec![vec![0.85], vec![]], Outcome::NoData, "the query has no value at the end of this window: try it in Prometheus")]
#[case::nan(vec![vec![f64::NAN]], Outcome::NoData, "1 of 1 points are not a number, as after a division by zero: guard the query, as in (a / b > 0) or vector(0)")]
#[case::two_series(vec![vec![0.1, 0.2]], Outcome::NoData, "the query gives 2 series and must give one: wrap it in sum(), max() or min()")]
fn templates(#[case] values: Vec<Vec<f64>>, #[case] outcome: Outcome, #[case] message: &str) {
    let vector = |values: &Vec<f64>| values.iter().map(|v| (Labels::new(), 0.0, *v)).collect::<Vec<_>>();
    let stretches: Vec<Vec<(Labels, f64, f64)>> = values.iter().map(vector).collect();
    let stretches: Vec<&[(Labels, f64, f64)]> = stretches.iter().map(Vec::as_slice).collect();
    let finding = template(&of_query(true), &stretches);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

fn of_slope(limit: &str) -> ObjectivePlan {
    let slope = Slope { query: "max(rss)".to_owned(), per: "1h".into() };
    plan(Objective { slope: Some(slope), at_most: Some(limit.into()), ..Objective::default() })
}

/// A point each second, which grows by 1,024 bytes a second: 3.52Mi an hour.
#[rstest]
#[case::within(
    "4Mi",
    60,
    Outcome::Met,
    "grew by 3.5Mi within 1h (median of the slopes between 60 points), limit 4Mi"
)]
#[case::beyond(
    "3Mi",
    60,
    Outcome::Missed,
    "grew by 3.5Mi within 1h (median of the slopes between 60 points), limit 3Mi"
)]
#[case::too_few(
    "4Mi",
    9,
    Outcome::Unmeasurable,
    "this window holds 9 of the 10 points needed for a slope: judge a longer window"
)]
#[case::nothing("4Mi", 0, Outcome::NoData, "the query has no data in this window: try it in Prometheus")]
fn slopes(#[case] limit: &str, #[case] points: usize, #[case] outcome: Outcome, #[case] message: &str) {
    let values: Vec<f64> = (0..points).map(|n| 1e6 + 1024.0 * n as f64).collect();
    let finding = slope(&of_slope(limit), 3600.0, "1h", None, &[&[series(&values)]]);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
}

#[test]
fn a_scrape_counts_once_for_a_slope() {
    // A scrape every 5 s, seen at each second: 5 equal points each.
    let values: Vec<f64> = (0..100).map(|n| f64::from(n / 5)).collect();
    let of = |scrapes| slope(&of_slope("4Mi"), 3600.0, "1h", scrapes, &[&[series(&values)]]);
    // A step of 1 every 5 s.
    assert_eq!((of(Some(20.0)).value.as_deref(), of(Some(20.0)).samples), (Some("0.001Mi"), Some(20)));
    assert_eq!(of(Some(8.0)).outcome, Outcome::Unmeasurable);
}
