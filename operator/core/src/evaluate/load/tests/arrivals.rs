use loadtest_crds::Plateau;

use super::*;
use crate::evaluate::load::tests::silence::fault;

/// A minute of ten iterations a second, and half a minute for what is under way as it ends.
fn arriving() -> LoadTestStatus {
    let mut status = status();
    status.load.as_mut().unwrap().ended_at = at(90);
    let scenario = &mut status.scenarios[0];
    (scenario.runners, scenario.max_vus) = (2, Some(100));
    scenario.plateaus = vec![Plateau { from: 0, to: 60_000 }];
    scenario.arrivals[0] = Arrivals {
        name: "steady".to_owned(),
        iterations: 600,
        most_per_minute: Some(600),
        ends_at_milliseconds: Some(60_000),
        graceful_stop_milliseconds: Some(30_000),
    };
    status
}

/// What came of it, where an iteration takes so many seconds (p99) and so many of those that ended did so in the last 5 s
/// of the minute or later.
fn of_arrivals(status: &LoadTestStatus, missing: f64, p99: Option<f64>, late: f64) -> Delivered {
    let (ended, part) = (600.0 - missing, ("a".to_owned(), "steady".to_owned()));
    let parts = Parts {
        p99: p99.map(|p99| (part.clone(), p99)).into_iter().collect(),
        ended_before: [(part, ended - late)].into(),
        ..parts(ended, 0.0)
    };
    let totals = Totals { iterations: Some(ended as i64), dropped: Some(0), ..Totals::default() };
    Case {
        status,
        expect: None,
        totals,
        parts,
        steady_rate: None,
        cells: Vec::new(),
        step: CELL,
        end: Vec::new(),
    }
    .assess()
}

type Change = fn(&mut LoadTestStatus);

fn graceful_stop(status: &mut LoadTestStatus, milliseconds: i64) {
    status.scenarios[0].arrivals[0].graceful_stop_milliseconds = Some(milliseconds);
}

/// Missing may be 6, 1% of what is asked for, and one for each of the two runners.
#[rstest]
#[case::hardly_any(8.0, 0.1, 50.0, |_: &mut LoadTestStatus| {}, &[])]
// Some are meant to last for longer than the load.
#[case::some_and_as_many_ended_as_ever(9.0, 0.1, 50.0, |_: &mut LoadTestStatus| {}, &[])]
// Of 550 that were asked for before, 554 and 553 had ended; three quarters of that share of 50 are 37.8 and 37.7.
#[case::some_and_fewer_ended(9.0, 0.1, 37.0, |_: &mut LoadTestStatus| {}, &[Unknown])]
#[case::some_and_hardly_fewer_ended(9.0, 0.1, 38.0, |_: &mut LoadTestStatus| {}, &[])]
#[case::a_few_since_a_fault(9.0, 0.1, 37.0, |s: &mut LoadTestStatus| fault(s, 20, 22), &[])]
#[case::some_and_no_other_ended(9.0, 0.1, 0.0, |_: &mut LoadTestStatus| {}, &[Target])]
#[case::a_hang_of_eight_seconds(80.0, 0.1, 0.0, |_: &mut LoadTestStatus| {}, &[Target])]
#[case::started_apart(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| s.load.as_mut().unwrap().start_spread_milliseconds = Some(1001), &[Target])]
#[case::a_lost_runner(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| s.runners.as_mut().unwrap().lost = 1, &[Generator])]
#[case::a_starved_runner(80.0, 0.1, 0.0, starve, &[Generator, Generator])]
#[case::ended_by_its_script(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| s.load.as_mut().unwrap().ended_at = at(52), &[])]
// More than there are virtual users cannot have been under way.
#[case::as_many_as_virtual_users(106.0, 0.1, 0.0, |_: &mut LoadTestStatus| {}, &[Target])]
#[case::more_than_virtual_users(107.0, 0.1, 0.0, |_: &mut LoadTestStatus| {}, &[Generator])]
// Sessions of 2 to 20 s, of which k6 waits for none: half the p99 and more are under way.
#[case::long_sessions(110.0, 19.8, 50.0, |s: &mut LoadTestStatus| { graceful_stop(s, 0); s.scenarios[0].max_vus = Some(250) }, &[])]
// 1.5 times 4 s, less 1 s, at ten a second.
#[case::as_many_as_usual(58.0, 4.0, 50.0, |s: &mut LoadTestStatus| graceful_stop(s, 1000), &[])]
#[case::more_than_usual(59.0, 4.0, 20.0, |s: &mut LoadTestStatus| graceful_stop(s, 1000), &[Unknown])]
// The same sessions, but that k6 waits for them.
#[case::waited_for(58.0, 19.8, 0.0, |_: &mut LoadTestStatus| {}, &[Target])]
// As many as are asked for in the last 8 s, and 5 s before.
#[case::a_fault_just_before(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| fault(s, 45, 48), &[])]
#[case::a_fault_long_before(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| fault(s, 43, 47), &[Target])]
#[case::a_fault_while_k6_waits(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| fault(s, 70, 75), &[])]
// Where few are asked for at the end, none may end.
#[case::down_a_ramp(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| s.scenarios[0].plateaus[0].to = 59_000, &[])]
#[case::short_constant_load(80.0, 0.1, 0.0, |s: &mut LoadTestStatus| s.scenarios[0].plateaus[0].from = 55_001, &[])]
fn iterations_that_never_ended(
    #[case] missing: f64,
    #[case] p99: f64,
    #[case] late: f64,
    #[case] change: Change,
    #[case] expected: &[ShortfallCause],
) {
    let mut status = arriving();
    change(&mut status);
    let delivered = of_arrivals(&status, missing, Some(p99), late);
    assert_eq!(causes(&delivered), expected, "{:?}", delivered.shortfalls);
}

/// They may all be under way, for all that is known.
#[test]
fn where_none_ever_ended_all_virtual_users_may_be_busy() {
    assert_eq!(causes(&of_arrivals(&arriving(), 106.0, None, 0.0)), []);
    let mut old = arriving();
    old.scenarios[0].arrivals[0].most_per_minute = None;
    assert_eq!(causes(&of_arrivals(&old, 106.0, Some(0.1), 0.0)), []);
}

/// Three a minute: ten are asked for in 200 s.
#[test]
fn few_iterations_are_awaited_for_longer() {
    let mut status = arriving();
    status.scenarios[0].arrivals[0].most_per_minute = Some(3);
    status.scenarios[0].arrivals[0].ends_at_milliseconds = Some(600_000);
    let moments = |status: &LoadTestStatus| {
        let scenario = &status.scenarios[0];
        crate::evaluate::load::parts::last_moments(status, scenario, &scenario.arrivals[0])
    };
    assert_eq!(moments(&status), None);
    status.scenarios[0].plateaus[0].to = 600_000;
    assert_eq!(moments(&status).unwrap().length(), Duration::from_secs(200));
}

#[test]
fn what_never_ended_is_named() {
    let message = |late| of_arrivals(&arriving(), 80.0, Some(0.1), late).shortfalls.remove(0).message;
    assert_eq!(
        message(0.0),
        "scenario a: 80 of the 600 iterations that steady asks for were started and never ended; no answers came: in its \
         last 5s and after it not one ended, which takes 100 ms (p99) else"
    );
    assert_eq!(
        message(25.0),
        "scenario a: 80 of the 600 iterations that steady asks for were started and never ended; neither the runners nor \
         the system under test show why: raise its gracefulStop if iterations may take so long"
    );
}
