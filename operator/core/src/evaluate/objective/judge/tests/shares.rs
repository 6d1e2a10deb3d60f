//! Shares of k6's requests.

use loadtest_crds::{Outcome, TooFewPolicy};

use super::*;

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
    let finding = share(&k6(None, "0.1%", Some("0.05%")), Scope::Census, &requests(total, bad));
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
    let finding = share(&k6(None, "0.1%", Some("0.05%")), SAMPLE, &requests(total, bad));
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
    assert_eq!(finding.effective, Some(total as i64));
}

#[test]
fn bursts_are_said() {
    let scope = Scope::Sample { design_effect: 10.0, faults: NO_FAULTS };
    let finding = share(&k6(None, "0.1%", None), scope, &requests(10_000.0, 2.0));
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
    let finding = share(&plan, SAMPLE, &requests(40.0, bad));
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
    let finding = share(&k6(Some(95.0), "300ms", Some("250ms")), Scope::Census, &tally);
    assert_eq!((finding.outcome, finding.message.as_str()), (outcome, message));
    assert_eq!(finding.value.as_deref(), Some(value));
}

#[test]
fn a_share_that_rounds_to_its_limit_shows_more_digits() {
    let tally = took(94_996.0, 0.0, 0.0, 0.0, 5004.0);
    let finding = share(&k6(Some(95.0), "300ms", None), Scope::Census, &tally);
    assert_eq!(finding.message, "5.004% of 100,000 requests failed or took over 300ms, limit 5%");
}

#[rstest]
#[case::all(took(1000.0, 0.0, 0.0, 0.0, 0.0), Outcome::Met, "100%")]
#[case::at_the_limit(took(900.0, 0.0, 90.0, 0.0, 10.0), Outcome::Met, "99%")]
#[case::one_failed_more(took(900.0, 0.0, 89.0, 0.0, 11.0), Outcome::Missed, "98.9%")]
fn within_a_time(#[case] tally: Tally, #[case] outcome: Outcome, #[case] value: &str) {
    let finding = share(&under("300ms", "99%"), Scope::Census, &tally);
    assert_eq!((finding.outcome, finding.value.as_deref()), (outcome, Some(value)));
    let words = format!("{value} of 1,000 requests were answered within 300ms, limit at least 99%");
    assert_eq!(finding.message, words);
}

#[test]
fn within_a_time_as_a_sample_says_the_good_share() {
    // 4 bad of 1,000: 0.18% to 0.89%; so 99.11% to 99.82% are good.
    let tally = took(996.0, 0.0, 0.0, 0.0, 4.0);
    let finding = share(&under("300ms", "99.5%"), SAMPLE, &tally);
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
    let finding = share(&plan, SAMPLE, &requests(12.0, bad));
    assert_eq!((finding.outcome, finding.samples), (outcome, Some(12)));
    assert!(finding.message.contains("of 12 requests"), "{}", finding.message);
}

/// Requests that must fail: the answered ones count against the limit.
#[rstest]
#[case::all_refused(500.0, Outcome::Met, "100%")]
#[case::some_let_in(400.0, Outcome::Missed, "80%")]
fn a_share_of_failures_may_have_to_be_high(#[case] bad: f64, #[case] outcome: Outcome, #[case] value: &str) {
    let figure = K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() };
    let plan = plan(Objective { k6: Some(figure), at_least: Some("99%".into()), ..Objective::default() });
    let finding = share(&plan, SAMPLE, &requests(500.0, bad));
    assert_eq!((finding.outcome, finding.value.as_deref()), (outcome, Some(value)));
}
