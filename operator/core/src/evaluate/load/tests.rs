use ShortfallCause::{Generator, Target, Unknown};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{Arrivals, GuardrailStatus, LoadStatus, RunnersStatus, ScenarioStatus};
use rstest::rstest;

use super::*;
use crate::{evaluate::load::parts::ByPart, k6::queries::OUTCOME};

mod arrivals;
mod silence;

fn at(second: i64) -> Option<MicroTime> {
    Some(MicroTime(Timestamp::from_second(1_800_000_000 + second).unwrap()))
}

/// A load of 60 s: 1,000 iterations are to arrive, and 10 virtual users may work on them.
fn status() -> LoadTestStatus {
    LoadTestStatus {
        load: Some(LoadStatus {
            started_at: at(0),
            planned_end_at: at(60),
            ended_at: at(60),
            start_spread_milliseconds: Some(5),
            ..LoadStatus::default()
        }),
        runners: Some(RunnersStatus { total: 2, ..RunnersStatus::default() }),
        scenarios: vec![ScenarioStatus {
            name: "a".to_owned(),
            max_vus: Some(10),
            arrivals: vec![Arrivals { name: "steady".to_owned(), iterations: 1000, ..Arrivals::default() }],
            ..ScenarioStatus::default()
        }],
        ..LoadTestStatus::default()
    }
}

fn parts(iterations: f64, dropped: f64) -> Parts {
    let part = |value| ByPart::from([(("a".to_owned(), "steady".to_owned()), value)]);
    Parts { iterations: part(iterations), dropped: part(dropped), ..Parts::default() }
}

/// Cells of 5 s with so many requests.
fn cell(requests: f64, failed: f64, dropped: f64, p95: f64) -> Cell {
    Cell { requests, failed, dropped, p95: Some(p95), ..Cell::default() }
}

fn good() -> Cell {
    cell(100.0, 0.0, 0.0, 0.020)
}

fn causes(delivered: &Delivered) -> Vec<ShortfallCause> {
    delivered.shortfalls.iter().map(|shortfall| shortfall.cause).collect()
}

fn assess(status: &LoadTestStatus, iterations: f64, dropped: f64, cells: Vec<Cell>) -> Delivered {
    let totals = Totals {
        requests: Some(iterations as i64),
        iterations: Some(iterations as i64),
        dropped: Some(dropped as i64),
    };
    let parts = parts(iterations, dropped);
    Case { status, expect: None, totals, parts, steady_rate: None, cells, step: CELL, end: Vec::new() }
        .assess()
}

#[rstest]
#[case::all_of_it(1000.0, 0.0, &[])]
#[case::one_in_a_hundred(990.0, 0.0, &[])]
#[case::never_ended(989.0, 0.0, &[Unknown])]
// The ten virtual users may be busy as the load ends, and 1% of 1,000 besides.
#[case::under_way(980.0, 0.0, &[Unknown])]
#[case::never_started(979.0, 0.0, &[Generator])]
#[case::hardly_any_dropped(990.0, 10.0, &[])]
#[case::dropped(980.0, 20.0, &[Unknown])]
#[case::nothing_at_all(0.0, 0.0, &[Generator])]
fn iterations_asked_and_delivered(
    #[case] done: f64,
    #[case] dropped: f64,
    #[case] expected: &[ShortfallCause],
) {
    let delivered = assess(&status(), done, dropped, vec![good(); 12]);
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
    assert_eq!(delivered.asked_iterations, Some(1000));
}

/// k6 drops what it has no virtual user for, also while it waits for its very first iterations.
#[test]
fn dropped_before_any_iteration_ended() {
    let totals = Totals { requests: Some(100), iterations: None, dropped: Some(5900) };
    let status = LoadTestStatus { scenarios: Vec::new(), ..status() };
    let parts = parts(0.0, 5900.0);
    let case = Case {
        status: &status,
        expect: None,
        totals,
        parts,
        steady_rate: None,
        cells: vec![],
        step: CELL,
        end: vec![],
    };
    assert_eq!(causes(&case.assess()), [Unknown]);
}

/// Whose fault it was the figures do not say; they stand beside it.
#[rstest]
#[case::as_always(
    cell(80.0, 0.0, 20.0, 0.020),
    "; of the requests then 0% failed, p95 20.0 ms; else 0% failed, p95 20.0 ms"
)]
#[case::failed(
    cell(80.0, 4.0, 20.0, 0.020),
    "; of the requests then 5% failed, p95 20.0 ms; else 0% failed, p95 20.0 ms"
)]
#[case::slower(
    cell(80.0, 0.0, 20.0, 0.310),
    "; of the requests then 0% failed, p95 310 ms; else 0% failed, p95 20.0 ms"
)]
#[case::none(Cell { dropped: 20.0, ..Cell::default() }, "; no request ended then; else 0% failed, p95 20.0 ms")]
fn dropped_with_what_the_answers_were_like(#[case] bad: Cell, #[case] beside: &str) {
    let cells = [vec![good(); 8], vec![bad; 4]].concat();
    let delivered = assess(&status(), 800.0, 200.0, cells);
    assert_eq!(causes(&delivered), [Unknown]);
    let message = format!(
        "200 of 1,000 iterations (20%) were dropped: all virtual users were busy{beside}; raise maxVUs of the script if the \
         system under test may take so long"
    );
    assert_eq!(delivered.shortfalls[0].message, message);
}

#[test]
fn a_target_that_fails_from_the_start_has_its_figures() {
    let delivered = assess(&status(), 500.0, 500.0, vec![cell(40.0, 30.0, 40.0, 1.0); 12]);
    assert_eq!(causes(&delivered), [Unknown]);
    let message = &delivered.shortfalls[0].message;
    assert!(message.contains("busy; of the requests 75% failed, p95 1000 ms; raise"), "{message}");
}

fn starve(status: &mut LoadTestStatus) {
    let starved = vec!["a-0: 31 of 40 answers of k6 itself came late".to_owned()];
    status.runners = Some(RunnersStatus { total: 2, starved, ..RunnersStatus::default() });
}

/// Slow and failing requests say nothing of the target where the runners had no CPU.
#[rstest]
#[case::starved(starve, &[Generator, Generator])]
#[case::lost(|s: &mut LoadTestStatus| s.runners.as_mut().unwrap().lost = 1, &[Generator])]
#[case::apart(|s: &mut LoadTestStatus| s.load.as_mut().unwrap().start_spread_milliseconds = Some(1001), &[Generator])]
#[case::together(|s: &mut LoadTestStatus| s.load.as_mut().unwrap().start_spread_milliseconds = Some(1000), &[Unknown])]
fn the_generator_first(#[case] change: fn(&mut LoadTestStatus), #[case] expected: &[ShortfallCause]) {
    let mut status = status();
    change(&mut status);
    let cells = [vec![good(); 8], vec![cell(80.0, 40.0, 20.0, 0.9); 4]].concat();
    assert_eq!(causes(&assess(&status, 800.0, 200.0, cells)), expected);
}

#[test]
fn starved_runners_are_no_evidence_even_where_nothing_is_missing() {
    let mut status = status();
    starve(&mut status);
    let delivered = assess(&status, 1000.0, 0.0, vec![good(); 12]);
    assert_eq!(causes(&delivered), [Generator]);
    assert!(delivered.shortfalls[0].message.contains("raise spec.runner.limits"));
}

#[test]
fn a_load_that_was_ended_is_not_compared_with_its_plan() {
    let mut status = status();
    status.load.as_mut().unwrap().ended_at = at(30);
    assert_eq!(causes(&assess(&status, 500.0, 0.0, vec![good(); 6])), []);
    status.guardrails = vec![GuardrailStatus { breached_at: at(30), ..GuardrailStatus::default() }];
    assert_eq!(causes(&assess(&status, 250.0, 250.0, vec![good(); 6])), []);
}

/// A part of a minute beside one by iterations, which may take ten: the load ends after so many seconds.
#[rstest]
#[case::all_of_it(62, 0, 1000.0, &[])]
#[case::less(62, 0, 900.0, &[Generator])]
#[case::less_without_its_last_two_seconds(58, 0, 900.0, &[Generator])]
#[case::less_since_it_ended_early(57, 0, 900.0, &[])]
// One of two scripts ended itself, and the other went on.
#[case::less_since_a_script_ended_a_runner(62, 1, 500.0, &[])]
fn a_part_is_compared_once_it_ran_through(
    #[case] ended: i64,
    #[case] interrupted: i32,
    #[case] done: f64,
    #[case] expected: &[ShortfallCause],
) {
    let mut status = status();
    let load = status.load.as_mut().unwrap();
    (load.planned_end_at, load.ended_at) = (at(600), at(ended));
    status.runners.as_mut().unwrap().interrupted = interrupted;
    status.scenarios[0].duration_milliseconds = Some(600_000);
    status.scenarios[0].arrivals[0].ends_at_milliseconds = Some(60_000);
    let delivered = assess(&status, done, 0.0, vec![good(); 12]);
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
}

#[rstest]
#[case::all(10, 10.0, &[])]
#[case::nine_of_ten(10, 9.0, &[])]
#[case::eight_of_ten(10, 8.0, &[Unknown])]
fn virtual_users(#[case] held: i64, #[case] seen: f64, #[case] expected: &[ShortfallCause]) {
    let mut status = status();
    // Another scenario goes by iterations, and may take ten minutes.
    status.load.as_mut().unwrap().planned_end_at = at(600);
    status.scenarios[0].duration_milliseconds = Some(60_000);
    status.scenarios[0].held_vus = Some(held);
    status.scenarios[0].arrivals.clear();
    let vus = ByPart::from([(("a".to_owned(), String::new()), seen)]);
    let parts = Parts { vus, ..Parts::default() };
    let case = Case {
        status: &status,
        expect: None,
        totals: Totals::default(),
        parts,
        steady_rate: None,
        cells: Vec::new(),
        step: CELL,
        end: Vec::new(),
    };
    let delivered = case.assess();
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
    assert_eq!((delivered.vus, delivered.asked_iterations), (Some(seen as i64), None));
}

/// 12 cells of 5 s: minRequests 1,200 is 100 a cell, minRate 20 as well.
#[rstest]
#[case::enough((Some(1200), Some(20)), 1200, 20.0, good(), &[])]
#[case::too_few((Some(1200), None), 1199, 20.0, good(), &[Unknown])]
#[case::too_slow((None, Some(20)), 1200, 19.9, good(), &[Unknown])]
#[case::requests_failed((Some(1200), Some(20)), 1000, 17.0, cell(50.0, 20.0, 0.0, 0.02), &[Unknown, Unknown])]
fn expected(
    #[case] expect: (Option<i64>, Option<i64>),
    #[case] requests: i64,
    #[case] rate: f64,
    #[case] bad: Cell,
    #[case] causes_: &[ShortfallCause],
) {
    let status = LoadTestStatus { scenarios: Vec::new(), ..status() };
    let expect = Expectation { min_requests: expect.0, min_rate: expect.1 };
    let case = Case {
        status: &status,
        expect: Some(&expect),
        totals: Totals { requests: Some(requests), ..Totals::default() },
        parts: Parts::default(),
        steady_rate: Some(rate),
        cells: [vec![good(); 8], vec![bad; 4]].concat(),
        step: CELL,
        end: Vec::new(),
    };
    let delivered = case.assess();
    assert_eq!(causes(&delivered), causes_, "{:?}", delivered.shortfalls);
}

#[test]
fn what_could_not_be_counted_is_not_enough() {
    let status = status();
    let expect = Expectation { min_requests: Some(1), min_rate: Some(1) };
    let case = Case {
        status: &status,
        expect: Some(&expect),
        totals: Totals::default(),
        parts: parts(1000.0, 0.0),
        steady_rate: None,
        cells: Vec::new(),
        step: CELL,
        end: Vec::new(),
    };
    assert_eq!(causes(&case.assess()), [Unknown, Unknown]);
}

#[test]
fn cells_are_what_was_added_in_each() {
    let labels = |outcome: &str| [(OUTCOME.to_owned(), outcome.to_owned())].into();
    let points = |values: [f64; 3]| vec![(5.0, values[0]), (10.0, values[1]), (15.0, values[2])];
    let mut answers = Answers::default();
    answers.add(vec![
        (
            0,
            crate::prometheus::ask::Answer::Matrix(vec![
                (labels("true"), points([100.0, 180.0, 240.0])),
                // The first failure comes in the second cell.
                (labels("false"), vec![(10.0, 4.0), (15.0, 4.0)]),
            ]),
        ),
        (
            1,
            crate::prometheus::ask::Answer::Matrix(vec![(
                crate::prometheus::series::Labels::new(),
                points([0.0, 3.0, 3.0]),
            )]),
        ),
        (
            2,
            crate::prometheus::ask::Answer::Matrix(vec![(
                crate::prometheus::series::Labels::new(),
                points([100.0, f64::NAN, 200.0]),
            )]),
        ),
        (
            3,
            crate::prometheus::ask::Answer::Matrix(vec![(
                crate::prometheus::series::Labels::new(),
                points([300.0, 400.0, f64::NAN]),
            )]),
        ),
    ]);
    let grid = Grid::new(Timestamp::UNIX_EPOCH, CELL * 3, CELL);
    let probe = CellsProbe { grid, requests: 0, dropped: 1, p95: 2, iteration_p95: 3 };
    let expected = [
        Cell { to: 5.0, iteration_p95: Some(0.3), ..cell(100.0, 0.0, 0.0, 0.1) },
        Cell { to: 10.0, p95: None, iteration_p95: Some(0.4), ..cell(84.0, 4.0, 3.0, 0.0) },
        Cell { to: 15.0, ..cell(60.0, 0.0, 0.0, 0.2) },
    ];
    assert_eq!(probe.cells(&answers), expected);
    // Before anything was sent there is no cell, and without an answer none at all.
    let grid = Grid::new(Timestamp::from_second(-10).unwrap(), CELL * 5, CELL);
    assert_eq!(CellsProbe { grid, ..probe.clone() }.cells(&answers), expected);
    assert_eq!(CellsProbe { requests: 9, ..probe }.cells(&answers), []);
}

#[test]
fn virtual_users_of_a_cell_are_the_fewest_of_all_scenarios_together() {
    let points =
        |users: [f64; 4]| (0..4).map(|n| (f64::from(n) + 3.0, users[n as usize])).collect::<Vec<_>>();
    let series = |users| (crate::prometheus::series::Labels::new(), points(users));
    let mut answers = Answers::default();
    let matrix = vec![series([10.0, 10.0, 8.0, 0.0]), series([5.0, 4.0, 5.0, 1.0])];
    answers.add(vec![(0, crate::prometheus::ask::Answer::Matrix(matrix))]);
    let mut cells = [5.0, 10.0, 15.0].map(|to| Cell { to, ..Cell::default() });
    add_vus(&mut cells, CELL, Some(0), &answers);
    assert_eq!(cells.map(|cell| cell.vus), [Some(13.0), Some(1.0), None]);
}
