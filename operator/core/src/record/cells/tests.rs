use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::{
    evaluate::names::{MOST_NAMES, too_many},
    k6::queries::NAME,
};

const START: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn status(length: i64) -> LoadTestStatus {
    serde_json::from_value(serde_json::json!({
        "acceptedAt": at(-5).to_string(),
        "load": {"startIntendedAt": at(0).to_string(), "startedAt": at(0).to_string(), "endedAt": at(length).to_string()},
    }))
    .unwrap()
}

fn settings() -> Settings {
    Settings { run_id: "4f1c".to_owned(), push: Duration::from_secs(1) }
}

fn labels(outcome: &str) -> Labels {
    [("name", "save"), ("loadtest_scenario", "chat"), ("expected_response", outcome)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn histogram(buckets: &[(f64, f64)]) -> Histogram {
    let bucket = |(lower, count): &(f64, f64)| Bucket { lower: *lower, upper: lower * 2.0, count: *count };
    Histogram {
        count: buckets.iter().map(|(_, count)| count).sum(),
        sum: 0.0,
        buckets: buckets.iter().map(bucket).collect(),
    }
}

/// Of a load with so many request names and so many series of them.
fn reader(length: i64, names: u64, series: u64) -> Reader {
    Reader::new(&status(length), &settings(), Some(Counted { names, series })).unwrap()
}

/// Answers in the parts in which it is asked.
fn read(length: i64, all: &[(Labels, Vec<(i64, Histogram)>)]) -> Cells {
    let mut reader = reader(length, 1, 2);
    while let Some(request) = reader.next() {
        let RequestKind::Range { from, to, .. } = request.kind else { panic!("{request:?}") };
        let series = all.iter().filter_map(|(labels, points)| {
            let points: Vec<_> = points
                .iter()
                .filter(|(second, _)| at(*second) >= from && at(*second) <= to)
                .map(|(second, histogram)| (seconds(at(*second)), histogram.clone()))
                .collect();
            (!points.is_empty()).then(|| (labels.clone(), points))
        });
        reader.take(Answer::Histograms(series.collect())).unwrap();
    }
    reader.finish()
}

/// The requests of a series by cell, and in it by the lower end of their bucket.
fn of(cells: &Cells, outcome: &str) -> Vec<(u64, Vec<(f64, u64)>)> {
    let series = cells.series.iter().find(|series| series.labels == labels(outcome)).unwrap();
    let cell =
        |cell: &Cell| cell.iter().map(|(place, count)| (cells.buckets[*place].lower, *count)).collect();
    series.cells.iter().map(|(number, own)| (*number, cell(own))).collect()
}

#[test]
fn a_cell_is_what_was_added_in_it() {
    // 4 before the load. Answered: 10 in the first second, none in the second, 5 and 2 slower ones in the third. Failed: 1 in the third.
    let answered = vec![
        (0, histogram(&[(0.1, 4.0)])),
        (1, histogram(&[(0.1, 14.0)])),
        (2, histogram(&[(0.1, 14.0)])),
        (3, histogram(&[(0.1, 19.0), (0.2, 2.0)])),
    ];
    let failed = vec![(3, histogram(&[(0.1, 1.0)]))];
    let cells = read(3, &[(labels("true"), answered), (labels("false"), failed)]);
    assert_eq!((cells.from, cells.step_milliseconds), (at(0), 1000));
    assert_eq!(of(&cells, "true"), [(0, vec![(0.1, 10)]), (2, vec![(0.1, 5), (0.2, 2)])]);
    assert_eq!(of(&cells, "false"), [(2, vec![(0.1, 1)])]);
}

#[test]
fn what_was_added_between_two_parts_is_counted_once() {
    let points = (1..=700).map(|second| (second, histogram(&[(0.1, 3.0 * second as f64)]))).collect();
    let cells = read(700, &[(labels("true"), points)]);
    let counts = of(&cells, "true");
    assert_eq!(counts.len(), 700);
    assert!(counts.iter().all(|(_, cell)| *cell == [(0.1, 3)]));
}

#[rstest]
#[case::a_minute(60, 1, 1)]
#[case::a_quarter_of_an_hour(900, 10, 1)]
#[case::an_hour(3600, 2, 1)]
#[case::a_bit_more(3601, 2, 2)]
#[case::a_day(86_400, 1, 24)]
#[case::many_names(3600, 50, 18)]
fn long_runs_have_longer_cells(#[case] length: i64, #[case] names: u64, #[case] step: u64) {
    let reader = reader(length, names, 2 * names);
    assert_eq!(reader.cells.step_milliseconds, step * 1000);
    assert!((reader.last - 1) * names * 2 <= MOST_TOGETHER && reader.last - 1 <= MOST_CELLS);
}

#[rstest]
#[case::a_minute(60, 1)]
#[case::an_hour(3600, 44)]
fn prometheus_has_a_bounded_number_of_histograms_to_look_at(#[case] length: i64, #[case] step: u64) {
    let reader = reader(length, 36_392, 36_392);
    assert_eq!((reader.cells.step_milliseconds, reader.at_a_time), (step * 1000, 1));
    assert!(reader.last * 36_392 <= MOST_LOOKED_AT);
}

#[test]
fn without_a_load_or_a_request_there_are_no_cells() {
    let of = |status, names| Reader::new(&status, &settings(), names).unwrap_err();
    assert_eq!(of(status(60), None), "Prometheus tells no request of k6");
    assert_eq!(of(LoadTestStatus::default(), None), "there was no load");
    assert_eq!(reader(60, 1, 2).take(Answer::Failed("gone".to_owned())).unwrap_err(), "gone");
}

#[test]
fn many_series_are_asked_for_in_smaller_parts() {
    let RequestKind::Range { from, to, step } = reader(600, 50, 100).next().unwrap().kind else { panic!() };
    assert_eq!((from, to, step), (at(0), at(27), Duration::from_secs(3)));
}

#[rstest]
#[case::few(MOST_NAMES, None)]
#[case::many(MOST_NAMES + 1, Some(201))]
fn up_to_a_number_all_names_are_told_apart(#[case] names: u64, #[case] folded: Option<u64>) {
    let reader = reader(60, names, 900);
    let by = if folded.is_none() { "name, " } else { "" };
    assert_eq!(
        reader.next().unwrap().question.to_string(),
        format!(
            "sum by ({by}loadtest_scenario, expected_response) \
             (last_over_time(k6_http_req_duration_milliseconds{{loadtest_run=\"4f1c\"}}[121s]))"
        )
    );
    assert_eq!(reader.finish().folded, folded);
    assert_eq!(too_many(names as i64).is_some(), folded.is_some());
}

/// There may be a name for each request.
#[test]
fn a_thousand_series_take_a_thousand_steps() {
    let series = |n: usize| {
        let labels = [(NAME.to_owned(), format!("http://chat/{n}"))].into();
        let points = (1..=2).map(|second| (seconds(at(second)), histogram(&[(0.1, second as f64)])));
        (labels, points.collect())
    };
    let mut reader = reader(2, 1000, 1000);
    reader.take(Answer::Histograms((0..1000).map(series).collect())).unwrap();
    let cells = reader.finish();
    assert_eq!(cells.series.len(), 1000);
    assert!(cells.series.iter().all(|series| series.cells.len() == 2));
}

/// Twenty thousand cells with a dozen buckets each would be some 10 MiB.
#[test]
fn cells_that_take_too_much_memory_are_none() {
    let mut reader = reader(3600, 5, 10);
    let buckets = |n: i64| -> Vec<(f64, f64)> { (1..13).map(|b| (f64::from(b), n as f64)).collect() };
    let mut result = Ok(());
    while let Some(request) = reader.next().filter(|_| result.is_ok()) {
        let RequestKind::Range { from, to, .. } = request.kind else { panic!("{request:?}") };
        let first = from.as_second() - START;
        let points: Vec<_> =
            (first..=to.as_second() - START).map(|n| (seconds(at(n)), histogram(&buckets(n)))).collect();
        let series =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (labels(name), points.clone()));
        result = reader.take(Answer::Histograms(series.into()));
        assert!(reader.bytes <= MOST_BYTES + (300 << 10), "{}", reader.bytes);
    }
    assert_eq!(result, Err("they take more than 4 MiB of memory".to_owned()));
}
