//! Points of queries and their slopes.

use loadtest_crds::{Outcome, Slope};

use super::*;
use crate::{
    evaluate::objective::{
        points::{MIN_SCRAPES, query, slope, template},
        scrapes::too_few,
    },
    prometheus::series::{Labels, Series},
};

fn of_query(at_most: bool) -> ObjectivePlan {
    let limit = Some("90%".into());
    let (at_most, at_least) = if at_most { (limit, None) } else { (None, limit) };
    plan(Objective { query: Some("max(cpu)".to_owned()), at_most, at_least, ..Objective::default() })
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
    let finding = too_few(&counted, MIN_SCRAPES);
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
