use loadtest_crds::{K6Figure, Objective, VerdictPolicy};
use rstest::rstest;

use super::*;
use crate::{
    numbers::confidence::{Cell, Count},
    prometheus::histogram::{Bucket, Histogram},
};

mod counters;
mod points;
mod shares;

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

const NO_FAULTS: Cell = Cell { total: 0.0, bad: 0.0 };
const SAMPLE: Scope = Scope::Sample { design_effect: 1.0, faults: NO_FAULTS };

fn requests(total: f64, bad: f64) -> Tally {
    Tally { total, bad: Count::exactly(bad), took: Histogram::default(), seconds_per_unit: 1.0 }
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

#[rstest]
#[case::share_of_failures(share(&k6(None, "1%", None), Scope::Census, &requests(3000.0, 10.0)), Some(10.0 / 3000.0))]
#[case::share_in_time(share(&under("300ms", "99%"), Scope::Census, &took(900.0, 0.0, 89.0, 0.0, 11.0)), Some(0.989))]
#[case::percentile_among_the_failed(
    share(&k6(Some(95.0), "1s", None), Scope::Census, &took(900.0, 0.0, 0.0, 0.0, 100.0)),
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

fn counter_plan(rate: bool, limit: &str) -> ObjectivePlan {
    let figure = K6Figure {
        metric: "orders".to_owned(),
        rate: rate.then_some(true),
        count: (!rate).then_some(true),
        ..K6Figure::default()
    };
    plan(Objective { k6: Some(figure), at_least: Some(limit.into()), ..Objective::default() })
}
