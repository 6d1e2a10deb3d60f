use loadtest_crds::Plateau;

use super::*;
use crate::evaluate::load::tests::silence::{fault, hung};

/// A minute of ten iterations a second, and half a minute for what is under way as it ends.
fn arriving() -> LoadTestStatus {
    let mut status = status();
    status.load.as_mut().unwrap().ended_at = at(90);
    let scenario = &mut status.scenarios[0];
    (scenario.runners, scenario.max_vus) = (2, Some(100));
    scenario.plateaus = vec![Plateau { from: 0, to: 60_000 }];
    scenario.arrivals[0] =
        Arrivals { name: "steady".to_owned(), iterations: 600, ends_at_milliseconds: Some(60_000) };
    status
}

/// What came of it, in cells of 5 s.
fn of_arrivals(status: &LoadTestStatus, missing: f64, dropped: f64, cells: Vec<Cell>) -> Delivered {
    let ended = 600.0 - missing - dropped;
    let totals =
        Totals { iterations: Some(ended as i64), dropped: Some(dropped as i64), ..Totals::default() };
    let parts = parts(ended, dropped);
    Case { status, expect: None, totals, parts, steady_rate: None, cells, step: CELL, end: Vec::new() }
        .assess()
}

type Change = fn(&mut LoadTestStatus);

/// Missing may be 6, 1% of what is asked for, and one for each of the two runners.
#[rstest]
#[case::hardly_any(8.0, 18, |_: &mut LoadTestStatus| {}, &[])]
#[case::some(9.0, 18, |_: &mut LoadTestStatus| {}, &[Unknown])]
#[case::a_hang_of_fifteen_seconds(80.0, 9, |_: &mut LoadTestStatus| {}, &[Target])]
#[case::a_hang_of_five_seconds(50.0, 11, |_: &mut LoadTestStatus| {}, &[Unknown])]
#[case::a_hang_from_the_start_on(80.0, 3, |_: &mut LoadTestStatus| {}, &[Unknown])]
#[case::started_apart(80.0, 9, |s: &mut LoadTestStatus| s.load.as_mut().unwrap().start_spread_milliseconds = Some(1001), &[Target])]
#[case::a_lost_runner(80.0, 9, |s: &mut LoadTestStatus| s.runners.as_mut().unwrap().lost = 1, &[Generator])]
#[case::a_starved_runner(80.0, 9, starve, &[Generator, Generator])]
#[case::ended_by_its_script(80.0, 9, |s: &mut LoadTestStatus| s.load.as_mut().unwrap().ended_at = at(52), &[])]
// More than there are virtual users cannot have been under way.
#[case::as_many_as_virtual_users(106.0, 9, |_: &mut LoadTestStatus| {}, &[Target])]
#[case::more_than_virtual_users(107.0, 9, |_: &mut LoadTestStatus| {}, &[Generator])]
#[case::a_fault_just_before(80.0, 9, |s: &mut LoadTestStatus| fault(s, 41, 44), &[Unknown])]
#[case::down_a_ramp(80.0, 9, |s: &mut LoadTestStatus| s.scenarios[0].plateaus[0].to = 50_000, &[Unknown])]
// It may ask for none at its end.
#[case::silence_alone(0.0, 9, |_: &mut LoadTestStatus| {}, &[])]
fn iterations_that_never_ended(
    #[case] missing: f64,
    #[case] busy: usize,
    #[case] change: Change,
    #[case] expected: &[ShortfallCause],
) {
    let mut status = arriving();
    change(&mut status);
    let delivered = of_arrivals(&status, missing, 0.0, hung(busy, 18));
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
}

/// Iterations are dropped while all virtual users wait for answers that do not come: that is known from a cell or two.
#[rstest]
#[case::to_the_end(2, 12, 0.5, &[Target])]
#[case::in_the_first_cell(1, 12, 0.5, &[Target])]
// Virtual users that are simply too few.
#[case::iterations_that_take_long(2, 12, 13.0, &[Unknown])]
#[case::not_in_all_of_it(2, 8, 0.5, &[Unknown])]
fn dropped_to_the_end(
    #[case] busy: usize,
    #[case] drops_to: usize,
    #[case] usual: f64,
    #[case] expected: &[ShortfallCause],
) {
    let mut cells = hung(busy, 18);
    for (n, cell) in cells.iter_mut().enumerate() {
        cell.dropped = if (busy..drops_to).contains(&n) { 50.0 } else { 0.0 };
        cell.iteration_p95 = cell.iteration_p95.map(|_| usual);
    }
    let delivered = of_arrivals(&arriving(), 0.0, 400.0, cells);
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
}

#[test]
fn what_never_ended_is_named() {
    let message = |busy| of_arrivals(&arriving(), 80.0, 0.0, hung(busy, 18)).shortfalls.remove(0).message;
    assert_eq!(
        message(9),
        "scenario a: 80 of the 600 iterations that steady asks for were started and never ended; no answers came: for the \
         last 15s of constant load not one request and not one iteration ended; an iteration took at most 1100 ms (p95) before"
    );
    assert_eq!(
        message(18),
        "scenario a: 80 of the 600 iterations that steady asks for were started and never ended; raise its gracefulStop if \
         iterations may take so long"
    );
}
