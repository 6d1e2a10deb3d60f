use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::{evaluate::names::too_many, prometheus::expression};

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

/// So many request names, of so many series.
fn counted(names: f64, series: f64) -> Answer {
    let labelled = [("of".to_owned(), "series".to_owned())].into();
    Answer::Vector(vec![(Labels::new(), 0.0, names), (labelled, 0.0, series)])
}

/// Of the parts of a load with as many series in Prometheus as in the cells.
fn parts(length: i64, series: u64) -> Parts {
    let load = Interval { from: at(0), to: at(length) };
    Parts::new(load, String::new().into(), series, Counted { names: 1, series })
}

/// Answers in the parts in which it is asked.
fn read(length: i64, all: &[(Labels, Vec<(i64, Histogram)>)]) -> Cells {
    let mut reader = Reader::new(&status(length), &settings(), Vec::new()).unwrap();
    reader.take(counted(1.0, all.len() as f64)).unwrap();
    reader.take(Answer::Vector(vec![(Labels::new(), 0.0, all.len() as f64)])).unwrap();
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
    reader.finish().unwrap()
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
#[case::an_hour(3600, 5, 1)]
#[case::a_bit_more(3601, 5, 2)]
#[case::a_day(86_400, 2, 24)]
#[case::many_names(3600, 100, 9)]
fn long_runs_have_longer_cells(#[case] length: i64, #[case] series: u64, #[case] step: u64) {
    let parts = parts(length, series);
    assert_eq!(parts.step, Duration::from_secs(step));
    assert!(parts.count * series <= MOST_TOGETHER && parts.count <= MOST_CELLS);
}

#[rstest]
#[case::a_minute(60, 1)]
#[case::an_hour(3600, 44)]
fn prometheus_has_a_bounded_number_of_histograms_to_look_at(#[case] length: i64, #[case] step: u64) {
    let load = Interval { from: at(0), to: at(length) };
    let parts = Parts::new(load, String::new().into(), 4, Counted { names: 36_392, series: 36_392 });
    assert_eq!((parts.step, parts.at_a_time), (Duration::from_secs(step), 1));
    assert!(parts.count * 36_392 <= MOST_LOOKED_AT);
}

#[rstest]
#[case::no_series(Answer::Vector(vec![]), "k6 sent no request")]
#[case::no_answer(Answer::Failed("gone".to_owned()), "gone")]
fn without_requests_there_are_no_cells(#[case] answer: Answer, #[case] why: &str) {
    let mut reader = Reader::new(&status(60), &settings(), Vec::new()).unwrap();
    assert_eq!(reader.take(answer).unwrap_err(), why);
    assert!(reader.finish().is_none());
    assert!(Reader::new(&LoadTestStatus::default(), &settings(), Vec::new()).is_none());
}

#[test]
fn coarser_cells_hold_the_same_requests() {
    let points = (1..=5).map(|second| (second, histogram(&[(0.1, second as f64)]))).collect();
    let cells = read(5, &[(labels("true"), points)]);
    let coarser = cells.coarser().unwrap();
    assert_eq!(coarser.step_milliseconds, 2000);
    assert_eq!(of(&coarser, "true"), [(0, vec![(0.1, 2)]), (1, vec![(0.1, 2)]), (2, vec![(0.1, 1)])]);
    let steps = std::iter::successors(Some(cells), Cells::coarser).count();
    assert_eq!(steps, 6, "1, 2, 4, 8, 16 and 32 seconds");
}

#[test]
fn many_series_are_asked_for_in_smaller_parts() {
    let RequestKind::Range { from, to, step } = parts(600, 100).next().unwrap().kind else { panic!() };
    assert_eq!((from, to, step), (at(0), at(18), Duration::from_secs(2)));
}

/// As Prometheus answers which names are the most frequent.
fn most(names: impl IntoIterator<Item = (String, f64)>) -> Answer {
    let labelled = |name: String| [(NAME.to_owned(), name)].into();
    Answer::Vector(names.into_iter().map(|(name, requests)| (labelled(name), 0.0, requests)).collect())
}

#[test]
fn up_to_a_number_all_names_are_told_apart() {
    let mut reader = Reader::new(&status(60), &settings(), Vec::new()).unwrap();
    let mut asked = vec![reader.next().unwrap()];
    for answer in [counted(MOST_NAMES as f64, 900.0), Answer::Vector(vec![(Labels::new(), 0.0, 400.0)])] {
        reader.take(answer).unwrap();
        asked.push(reader.next().unwrap());
    }
    insta::assert_snapshot!(asked.iter().map(|r| r.question.to_string()).collect::<Vec<_>>().join("\n\n"));
    asked
        .iter()
        .for_each(|request| drop(promql_parser::parser::parse(&request.question.to_string()).unwrap()));
    assert_eq!(reader.finish().unwrap().folded, None);
}

#[test]
fn of_more_the_wanted_ones_and_the_most_frequent_are() {
    let wanted = vec!["save".to_owned(), "http://chat/rooms/7?a=(b)|\"c\"".to_owned()];
    let mut reader = Reader::new(&status(60), &settings(), wanted.clone()).unwrap();
    reader.take(counted(36_392.0, 36_392.0)).unwrap();
    assert!(reader.next().unwrap().question.to_string().starts_with("topk(200, "));
    let frequent = (0..MOST_NAMES).map(|n| (format!("http://chat/{n}"), 1000.0 - n as f64));
    reader.take(most(frequent)).unwrap();
    let query = reader.next().unwrap().question.to_string();
    promql_parser::parser::parse(&query).unwrap_or_else(|why| panic!("{query}: {why}"));
    let selectors = expression::selectors(&query);
    let told = |name: &str| {
        let found = selectors.iter().map(|s| {
            let mut matchers = s.matchers.matchers.iter().filter(|m| m.name == NAME);
            matchers.next().unwrap().is_match(name)
        });
        found.collect::<Vec<_>>()
    };
    // The one selector or the other, never both.
    for name in [&wanted[0], &wanted[1], "http://chat/0", "http://chat/197"] {
        assert_eq!(told(name), [true, false], "{name}");
    }
    for name in ["http://chat/198", "http://chat/0/", "httpx//chat/0", "", "other"] {
        assert_eq!(told(name), [false, true], "{name}");
    }
    reader.take(Answer::Vector(vec![(Labels::new(), 0.0, 402.0)])).unwrap();
    assert_eq!(reader.finish().unwrap().folded, Some(36_392));
}

#[test]
fn names_are_part_of_a_query_and_so_only_as_many_as_it_has_room_for() {
    let long: Vec<_> = (0..200).map(|n| (format!("{n:0>500}"), 1.0)).collect();
    let Answer::Vector(long) = most(long) else { panic!() };
    let kept = names::kept(&["save".to_owned()], &long);
    assert!(kept.len() == 33 && kept.contains("save"), "{}", kept.len());
}

/// There may be a name for each request.
#[test]
fn a_thousand_series_take_a_thousand_steps() {
    let series = |n: usize| {
        let labels = [(NAME.to_owned(), format!("http://chat/{n}"))].into();
        let points = (1..=2).map(|second| (seconds(at(second)), histogram(&[(0.1, second as f64)])));
        (labels, points.collect())
    };
    let mut parts = parts(2, 1000);
    parts.step = Duration::from_secs(1);
    parts.take(Answer::Histograms((0..1000).map(series).collect())).unwrap();
    let cells = parts.finish();
    assert_eq!(cells.series.len(), 1000);
    assert!(cells.series.iter().all(|series| series.cells.len() == 2));
}

#[rstest]
#[case(MOST_NAMES as i64, false)]
#[case(MOST_NAMES as i64 + 1, true)]
fn so_many_names_are_told(#[case] names: i64, #[case] told: bool) {
    let text = too_many(names);
    assert_eq!(text.is_some(), told, "{text:?}");
}

/// Forty thousand cells with a dozen buckets each would be some 20 MiB.
#[test]
fn cells_that_take_too_much_memory_are_none() {
    let mut parts = parts(3600, 10);
    let buckets = |n: i64| -> Vec<(f64, f64)> { (1..13).map(|b| (f64::from(b), n as f64)).collect() };
    let mut result = Ok(());
    while let Some(request) = parts.next().filter(|_| result.is_ok()) {
        let RequestKind::Range { from, to, .. } = request.kind else { panic!("{request:?}") };
        let first = from.as_second() - START;
        let points: Vec<_> =
            (first..=to.as_second() - START).map(|n| (seconds(at(n)), histogram(&buckets(n)))).collect();
        let series =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (labels(name), points.clone()));
        result = parts.take(Answer::Histograms(series.into()));
        assert!(parts.bytes <= MOST_BYTES + (300 << 10), "{}", parts.bytes);
    }
    assert_eq!(result, Err("they take more than 4 MiB of memory".to_owned()));
}
