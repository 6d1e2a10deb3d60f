//! Counters of scripts, and of the system under test.

use loadtest_crds::{Outcome, Ratio};

use super::*;
use crate::{evaluate::objective::judge::ratio::ratio, prometheus::series::Increase};

fn of_ratio() -> ObjectivePlan {
    let ratio = Ratio { good: "good_total".to_owned(), total: "all_total".to_owned() };
    plan(Objective {
        ratio: Some(ratio),
        at_least: Some("99.9%".into()),
        warn_below: Some("99.95%".into()),
        ..Objective::default()
    })
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
    Some(Increase { events, perhaps: 0.0, scrapes })
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

const UNTOLD: &str = "50% of 5,000 events were good; with the 1,000,000 that series had counted when they began in this \
                      window, which may be older than it, 50% to 99.75% (limit at least 99.5%): let Prometheus scrape them \
                      before the load begins";

// Of 5,000 events in the window, and of what their series had counted when they began: how many were good, and how many
// were not. The limit is 99.5%.
#[rstest]
#[case::a_lifetime_that_would_decide((2500.0, 1_000_000.0, 0.0), Outcome::Unmeasurable, UNTOLD)]
#[case::one_that_would_not(
    (2500.0, 5000.0, 0.0),
    Outcome::Missed,
    "50% of 5,000 events were good, limit at least 99.5% (75% with what series had counted when they began in it)"
)]
#[case::what_a_new_pod_did_before_its_first_scrape(
    (4999.0, 40.0, 0.0),
    Outcome::Met,
    "99.98% of 5,000 events were good, limit at least 99.5%"
)]
#[case::failures_of_before(
    (5000.0, 0.0, 50.0),
    Outcome::Unmeasurable,
    "100% of 5,000 events were good; with the 50 that series had counted when they began in this window, which may be \
     older than it, 99.01% to 100% (limit at least 99.5%): let Prometheus scrape them before the load begins"
)]
#[case::some_series_may_be_old_and_others_not((4990.0, 50_000.0, 50.0), Outcome::Unmeasurable, "99.8% of 5,000 events")]
#[case::nothing_else((0.0, 0.0, 0.0), Outcome::Missed, "0% of 5,000 events were good, limit at least 99.5%")]
fn what_series_began_with(
    #[case] (good, perhaps_good, perhaps_bad): (f64, f64, f64),
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let plan = plan(Objective {
        ratio: Some(Ratio { good: "good_total".to_owned(), total: "all_total".to_owned() }),
        at_least: Some("99.5%".into()),
        ..Objective::default()
    });
    let of = |events: f64, perhaps: f64| Some(Increase { events, perhaps, scrapes: 9 });
    let total = of(5000.0, perhaps_good + perhaps_bad);
    let finding = ratio(&plan, Scope::Census, of(good, perhaps_good), total);
    assert_eq!(finding.outcome, outcome, "{}", finding.message);
    assert!(finding.message.starts_with(message), "{}", finding.message);
}

#[test]
fn nothing_but_what_series_began_with() {
    let of = |perhaps: f64| Some(Increase { events: 0.0, perhaps, scrapes: 9 });
    let finding = ratio(&of_ratio(), Scope::Census, of(90.0), of(90.0));
    assert_eq!(finding.outcome, Outcome::Unmeasurable, "{}", finding.message);
    let says = "ratio.total counted nothing in this window; with the 90 that series had counted";
    assert!(finding.message.starts_with(says), "{}", finding.message);
}
