use loadtest_crds::{FaultState, FaultStatus, Plateau};

use super::*;

/// A minute of 40 virtual users, and half a minute for what is under way as it ends.
fn held() -> LoadTestStatus {
    let mut status = status();
    status.load.as_mut().unwrap().ended_at = at(90);
    let scenario = &mut status.scenarios[0];
    scenario.arrivals.clear();
    scenario.held_vus = Some(40);
    scenario.plateaus = vec![Plateau { from: 0, to: 60_000 }];
    status
}

/// So many cells with 182 requests, and nothing in those after them.
pub fn hung(busy: usize, all: usize) -> Vec<Cell> {
    let usual = Cell { iteration_p95: Some(1.1), ..cell(182.0, 0.0, 0.0, 0.1) };
    let cells = (0..all).map(|n| Cell {
        to: 1_800_000_000.0 + 5.0 * (n as f64 + 1.0),
        vus: Some(40.0),
        ..if n < busy { usual } else { Cell::default() }
    });
    cells.collect()
}

fn in_users(status: &LoadTestStatus, cells: Vec<Cell>) -> Delivered {
    let vus = ByPart::from([(("a".to_owned(), String::new()), 40.0)]);
    let parts = Parts { vus, ..Parts::default() };
    let totals = Totals { requests: Some(1270), iterations: Some(1270), dropped: Some(0) };
    Case { status, expect: None, totals, parts, steady_rate: None, cells, step: CELL, end: Vec::new() }
        .assess()
}

type Status = LoadTestStatus;
type Cells = Vec<Cell>;
type Change = fn(&mut Status, &mut Cells);

pub fn fault(status: &mut LoadTestStatus, injected: i64, replaced: i64) {
    status.faults = vec![FaultStatus {
        state: FaultState::Injected,
        injected_at: at(injected),
        replaced_at: at(replaced),
        ..FaultStatus::default()
    }];
}

#[rstest]
#[case::from_35_seconds_on(7, |_: &mut Status, _: &mut Cells| {}, &[Target])]
#[case::ten_seconds(10, |_: &mut Status, _: &mut Cells| {}, &[Target])]
#[case::in_the_midst_of_a_cell(8, |_: &mut Status, cells: &mut Cells| cells[7].requests = 1.0, &[Target])]
#[case::five_seconds(11, |_: &mut Status, _: &mut Cells| {}, &[])]
#[case::none(12, |_: &mut Status, _: &mut Cells| {}, &[])]
#[case::from_the_start(0, |_: &mut Status, _: &mut Cells| {}, &[])]
#[case::hardly_anything_before(2, |_: &mut Status, _: &mut Cells| {}, &[])]
// Four iterations of 6.2 s are just within 25 s.
#[case::long_iterations(7, |_: &mut Status, cells: &mut Cells| cells[3].iteration_p95 = Some(6.2), &[Target])]
#[case::longer_iterations(7, |_: &mut Status, cells: &mut Cells| cells[3].iteration_p95 = Some(6.3), &[])]
#[case::iterations_that_never_end(7, |_: &mut Status, cells: &mut Cells| cells.iter_mut().for_each(|cell| cell.iteration_p95 = None), &[])]
#[case::a_pause_before(7, |_: &mut Status, cells: &mut Cells| cells[3] = Cell { to: cells[3].to, vus: Some(40.0), ..Cell::default() }, &[])]
#[case::few_requests(7, |_: &mut Status, cells: &mut Cells| cells[3].requests = 4.0, &[])]
// The script goes on without requests.
#[case::iterations_go_on(7, |_: &mut Status, cells: &mut Cells| cells.iter_mut().for_each(|cell| cell.iteration_p95 = Some(1.0)), &[])]
#[case::answers_come_late(7, |_: &mut Status, cells: &mut Cells| cells[14].requests = 40.0, &[])]
#[case::few_users(7, |status: &mut Status, _: &mut Cells| status.scenarios[0].held_vus = Some(4), &[])]
#[case::users_are_gone(7, |_: &mut Status, cells: &mut Cells| cells[11].vus = Some(0.0), &[])]
#[case::users_are_not_known(7, |_: &mut Status, cells: &mut Cells| cells.iter_mut().for_each(|cell| cell.vus = None), &[])]
#[case::no_constant_load(7, |status: &mut Status, _: &mut Cells| status.scenarios[0].plateaus.clear(), &[])]
#[case::a_ramp_down(7, |status: &mut Status, _: &mut Cells| status.scenarios[0].plateaus[0].to = 44_000, &[])]
#[case::by_other_executors(7, |status: &mut Status, _: &mut Cells| status.scenarios[0].held_vus = None, &[])]
#[case::ended_by_its_script(7, |status: &mut Status, _: &mut Cells| status.load.as_mut().unwrap().ended_at = at(50), &[])]
#[case::a_fault_long_before(7, |status: &mut Status, _: &mut Cells| fault(status, 11, 14), &[Target])]
#[case::a_fault_just_before(7, |status: &mut Status, _: &mut Cells| fault(status, 31, 34), &[])]
#[case::a_fault_within(7, |status: &mut Status, _: &mut Cells| fault(status, 41, 44), &[])]
#[case::a_lost_runner(7, |status: &mut Status, _: &mut Cells| status.runners.as_mut().unwrap().lost = 1, &[])]
#[case::a_starved_runner(7, |status: &mut Status, _: &mut Cells| starve(status), &[Generator])]
#[case::started_apart(7, |status: &mut Status, _: &mut Cells| status.load.as_mut().unwrap().start_spread_milliseconds = Some(1001), &[Target])]
fn silence_to_the_end(#[case] busy: usize, #[case] change: Change, #[case] expected: &[ShortfallCause]) {
    let (mut status, mut cells) = (held(), hung(busy, 18));
    change(&mut status, &mut cells);
    let delivered = in_users(&status, cells);
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
}

#[test]
fn a_target_that_hangs_to_the_end_is_named() {
    assert_eq!(
        in_users(&held(), hung(7, 18)).shortfalls[0].message,
        "no answers came: for the last 25s of constant load not one request and not one iteration ended; an iteration \
         took at most 1100 ms (p95) before, with all virtual users there"
    );
}

/// An hour that hangs for its last seconds: in cells of 36 s, and in cells of 5 s for the last five minutes and half a
/// minute more.
fn hour(hangs: f64) -> (Cells, Cells) {
    let usual = Cell { iteration_p95: Some(1.1), vus: Some(40.0), ..cell(182.0, 0.0, 0.0, 0.1) };
    let cells = |from: f64, step: f64, count: i32| -> Cells {
        let ends = (1..=count).map(|n| from + step * f64::from(n));
        let is_busy = |to: f64| to - step < 3600.0 - hangs;
        let of = |to: f64| if is_busy(to) { usual } else { Cell { vus: usual.vus, ..Cell::default() } };
        ends.map(|to| Cell { to: 1_800_000_000.0 + to, ..of(to) }).collect()
    };
    (cells(0.0, 36.0, 100), cells(3300.0, 5.0, 66))
}

#[rstest]
#[case::ten_seconds(10.0, |_: &mut Cells, _: &mut Cells| {}, &[Target])]
#[case::nine_seconds(9.0, |_: &mut Cells, _: &mut Cells| {}, &[])]
#[case::two_long_cells(72.0, |_: &mut Cells, end: &mut Cells| end.clear(), &[Target])]
#[case::less_than_two_long_cells(71.0, |_: &mut Cells, end: &mut Cells| end.clear(), &[])]
// Four iterations of 2.5 s are just within ten seconds; of longer ones many more seconds are wanted.
#[case::long_iterations(10.0, |_: &mut Cells, end: &mut Cells| end[3].iteration_p95 = Some(2.5), &[Target])]
#[case::longer_iterations(10.0, |_: &mut Cells, end: &mut Cells| end[3].iteration_p95 = Some(2.6), &[])]
#[case::a_pause_before(10.0, |_: &mut Cells, end: &mut Cells| end[3].requests = 4.0, &[])]
#[case::answers_come_late(10.0, |_: &mut Cells, end: &mut Cells| end[62].requests = 1.0, &[])]
#[case::answers_come_much_later(10.0, |cells: &mut Cells, _: &mut Cells| cells.push(Cell { to: 1_800_003_636.0, ..good() }), &[])]
fn silence_at_the_end_of_an_hour(
    #[case] hangs: f64,
    #[case] change: fn(&mut Cells, &mut Cells),
    #[case] expected: &[ShortfallCause],
) {
    let mut status = held();
    let load = status.load.as_mut().unwrap();
    (load.planned_end_at, load.ended_at) = (at(3600), at(3630));
    status.scenarios[0].plateaus = vec![Plateau { from: 0, to: 3_600_000 }];
    let (mut cells, mut end) = hour(hangs);
    change(&mut cells, &mut end);
    let parts = Parts { vus: ByPart::from([(("a".to_owned(), String::new()), 40.0)]), ..Parts::default() };
    let (totals, step) = (Totals { requests: Some(131_040), ..Totals::default() }, Duration::from_secs(36));
    let case = Case { status: &status, expect: None, totals, parts, steady_rate: None, cells, step, end };
    let delivered = case.assess();
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
}
