use std::time::Duration;

use rstest::rstest;

use super::*;

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

fn counted(series: f64) -> Answer {
    Answer::Vector(vec![(Labels::new(), 0.0, series)])
}

/// Answers in the parts in which it is asked.
fn read(length: i64, all: &[(Labels, Vec<(i64, Histogram)>)]) -> Cells {
    let mut reader = Reader::new(&status(length), &settings(), &counted(all.len() as f64)).unwrap();
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
#[case::a_minute(60, 1.0, 1)]
#[case::an_hour(3600, 5.0, 1)]
#[case::a_bit_more(3601, 5.0, 2)]
#[case::a_day(86_400, 2.0, 24)]
#[case::many_names(3600, 100.0, 9)]
fn long_runs_have_longer_cells(#[case] length: i64, #[case] series: f64, #[case] step: u64) {
    let reader = Reader::new(&status(length), &settings(), &counted(series)).unwrap();
    assert_eq!(reader.step, Duration::from_secs(step));
    assert!(reader.count * series as u64 <= MOST_TOGETHER && reader.count <= MOST_CELLS);
}

#[rstest]
#[case::no_series(Answer::Vector(vec![]))]
#[case::no_answer(Answer::Failed("gone".to_owned()))]
fn without_requests_there_are_no_cells(#[case] counted: Answer) {
    assert!(Reader::new(&status(60), &settings(), &counted).is_none());
    assert!(how_many(&LoadTestStatus::default(), &settings()).is_none());
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
fn the_questions_are_promql() {
    let reader = Reader::new(&status(60), &settings(), &counted(1.0)).unwrap();
    for query in [how_many(&status(60), &settings()).unwrap().query, reader.next().unwrap().query] {
        promql_parser::parser::parse(&query).unwrap_or_else(|why| panic!("{query}: {why}"));
    }
}

#[test]
fn many_series_are_asked_for_in_smaller_parts() {
    let reader = Reader::new(&status(600), &settings(), &counted(100.0)).unwrap();
    let RequestKind::Range { from, to, step } = reader.next().unwrap().kind else { panic!() };
    assert_eq!((from, to, step), (at(0), at(58), Duration::from_secs(2)));
}
