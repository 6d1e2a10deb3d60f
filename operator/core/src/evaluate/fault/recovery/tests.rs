use loadtest_crds::ServedService;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    evaluate::fault::cells::{Allowed, Cell, by_harm, by_kindness},
    plan::fault::TimeLimit,
};

const INJECTED: i64 = 1_700_000_000;

/// One character is a cell of 1 s: `.` 20 good requests, `x` 10 good and 10 bad, `!` 20 bad, ` ` none, `-` 10
/// good, `'` 19 good and 1 bad, `=` 60 good.
fn cells(picture: &str) -> Vec<Cell> {
    picture
        .chars()
        .map(|c| match c {
            '.' => Cell { total: 20.0, bad: 0.0 },
            '\'' => Cell { total: 20.0, bad: 1.0 },
            'x' => Cell { total: 20.0, bad: 10.0 },
            '!' => Cell { total: 20.0, bad: 20.0 },
            '-' => Cell { total: 10.0, bad: 0.0 },
            '=' => Cell { total: 60.0, bad: 0.0 },
            _ => Cell::default(),
        })
        .collect()
}

fn plan(within: u64, hold: u64) -> RecoveryPlan {
    RecoveryPlan {
        of: vec!["save".to_owned()],
        within: Some(TimeLimit { time: Duration::from_secs(within), text: format!("{within}s") }),
        hold: Duration::from_secs(hold),
        alert: None,
    }
}

fn track(objective: &str, before: &str, after: &str) -> Track {
    let allowed = Allowed::AtMost(0.01);
    Track { objective: objective.to_owned(), allowed, before: cells(before), after: cells(after) }
}

fn incident(plan: &RecoveryPlan, tracks: Vec<Track>) -> Incident<'_> {
    Incident {
        plan,
        injected: Timestamp::from_second(INJECTED).unwrap(),
        step: Duration::from_secs(1),
        push: Duration::from_secs(1),
        flat_cells: None,
        tracks,
        push_ages: vec![],
        harsh: false,
        ready: Some(0),
        end: "load ended",
        felt: None,
    }
}

fn assess_with(before: &str, after: &str, plan: &RecoveryPlan, flat_cells: Option<usize>) -> RecoveryStatus {
    Incident { flat_cells, ..incident(plan, vec![track("save", before, after)]) }.assess()
}

fn assess(after: &str) -> RecoveryStatus {
    assess_with("..........", after, &plan(10, 5), None)
}

/// A recovery of 40 cells whose last push is so old, and a fault whose time has not passed yet.
#[rstest]
#[case::no_effect_seen(
    "..........",
    5,
    5,
    FaultEffect::NoEffect,
    Outcome::NoData,
    "no effect was seen, but k6's pushes came late (6s), limit 5s"
)]
#[case::not_passed_yet(
    "!!!!!!!!!!!!!!!",
    30,
    1,
    FaultEffect::NotBack,
    Outcome::NoData,
    "> 15s (load ended): save was not back within its limit, limit 30s, and 30s had not passed yet"
)]
#[case::just_passed(
    "!!!!!!!!!!!!!!!",
    15,
    1,
    FaultEffect::NotBack,
    Outcome::Missed,
    "> 15s (load ended): save was not back"
)]
// What is bad at the end may have come from before.
#[case::bad_of_long_ago(
    "----------------------------------!!!!!!",
    30,
    20,
    FaultEffect::NotBack,
    Outcome::NoData,
    "> 40s"
)]
#[case::bad_all_along(
    "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!",
    30,
    5,
    FaultEffect::NotBack,
    Outcome::Missed,
    "> 40s"
)]
fn what_late_pushes_and_a_short_load_leave_open(
    #[case] after: &str,
    #[case] within: u64,
    #[case] age: u64,
    #[case] effect: FaultEffect,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let plan = plan(within, 5);
    let push_ages = vec![Duration::from_secs(age); after.len()];
    let incident = Incident { push_ages, ..incident(&plan, vec![track("save", "..........", after)]) };
    let status = incident.assess();
    let said = status.message.clone().unwrap();
    assert_eq!((status.effect, status.outcome), (effect, outcome), "{said}");
    assert!(said.starts_with(message), "{said}");
    // What comes after a fault that had no effect is none of its harm.
    let recovered = status.recovered_at.map(|at| at.0.as_second());
    assert_eq!(recovered, (effect == FaultEffect::NoEffect).then_some(INJECTED));
}

#[rstest]
#[case::an_outage_of_three_seconds("!!!........", Outcome::Met, Some(3000), "back 3s after the fault")]
#[case::too_slow("!!!!!!!!!!!!.......", Outcome::Missed, Some(12_000), "back 12s after the fault")]
#[case::at_the_limit("!!!!!!!!!!.......", Outcome::Met, Some(10_000), "back 10s after the fault")]
#[case::requests_that_hang("    ........", Outcome::Met, Some(4000), "back 4s after the fault")]
#[case::back_and_gone_again("!!..!!.......", Outcome::Met, Some(6000), "back 6s after the fault")]
#[case::felt_late("..!!........", Outcome::Met, Some(4000), "back 4s after the fault")]
#[case::never_felt(
    "..........",
    Outcome::Met,
    Some(2000),
    "no effect: save never left the limits (a dip shorter than 2s would not show)"
)]
#[case::never_back(
    "!!!!!!!!!!!!",
    Outcome::Missed,
    None,
    "> 12s (load ended): save was not back within its limit"
)]
#[case::never_any_request_again(
    "!!          ",
    Outcome::Missed,
    None,
    "> 12s (load ended): no requests of save"
)]
#[case::half_the_rate(
    "!!----------",
    Outcome::Missed,
    None,
    "> 12s (load ended): save had fewer requests than 90%"
)]
// One cell of half the usual is 10% of the stretch.
#[case::rate_back_later("!!------......", Outcome::Met, Some(7000), "back 7s after the fault")]
#[case::load_too_short(
    "!!!...",
    Outcome::NoData,
    None,
    "within its limits 3s after the fault, but the load ended 3s later, before the 5s"
)]
#[case::load_too_short_and_too_late("!!!!!!!!!!!!!!...", Outcome::Missed, None, "> 17s (load ended)")]
#[case::no_load_left("", Outcome::NoData, None, "the load ended with the fault")]
// One bad request in a pair of cells is let through, but not more of them than the limit allows over the stretch.
#[case::a_stray_failure("!!'..........", Outcome::Met, Some(2000), "back 2s")]
#[case::many_stray_failures("!!'.'.'.'.'.", Outcome::Missed, None, "> 12s (load ended): save was not back")]
fn recoveries(
    #[case] after: &str,
    #[case] outcome: Outcome,
    #[case] recover: Option<i64>,
    #[case] message: &str,
) {
    let status = assess(after);
    let said = status.message.clone().unwrap();
    assert_eq!((status.outcome, status.recover_milliseconds), (outcome, recover), "{said}");
    assert!(said.starts_with(message), "{said}");
    assert_eq!(status.resolution_milliseconds, Some(2000));
    assert_eq!(status.within.as_deref(), Some("10s"));
}

#[test]
fn the_recovery_window_ends_where_the_objectives_hold_again() {
    let at = |after| assess(after).recovered_at.unwrap().0.as_second() - INJECTED;
    assert_eq!(at("!!!........"), 3);
    assert_eq!(at("..........."), 0);
}

#[rstest]
#[case::served_nothing_before("          ", "..........", "save had no request in the 10s before the fault")]
#[case::finer_than_measured("..........", "..........", "limit 1s is finer than can be measured here (2s)")]
fn what_cannot_be_measured(#[case] before: &str, #[case] after: &str, #[case] message: &str) {
    let status = assess_with(before, after, &plan(1, 5), None);
    assert_eq!(status.outcome, Outcome::NoData);
    assert!(status.message.clone().unwrap().starts_with(message), "{:?}", status.message);
}

#[test]
fn a_rate_is_not_compared_where_the_load_ramps_or_nothing_was_before() {
    assert_eq!(assess_with("....", "!!----------", &plan(10, 5), None).recover_milliseconds, Some(2000));
    assert_eq!(
        assess_with("..........", "!!----------", &plan(10, 5), Some(0)).recover_milliseconds,
        Some(2000)
    );
    assert_eq!(assess_with("..........", "!!----------", &plan(10, 5), Some(99)).outcome, Outcome::Missed);
}

#[rstest]
#[case::back("!!!........", FaultEffect::Recovered)]
#[case::too_slow("!!!!!!!!!!!!.......", FaultEffect::Recovered)]
#[case::never_felt("..........", FaultEffect::NoEffect)]
#[case::never_back("!!!!!!!!!!!!", FaultEffect::NotBack)]
#[case::load_too_short("!!!...", FaultEffect::Unmeasured)]
#[case::no_load_left("", FaultEffect::Unmeasured)]
fn what_came_of_it(#[case] after: &str, #[case] effect: FaultEffect) {
    assert_eq!(assess(after).effect, effect);
}

#[test]
fn a_target_that_served_nothing_was_not_exercised() {
    let status = assess_with("          ", "..........", &plan(10, 5), None);
    assert_eq!((status.outcome, status.effect), (Outcome::NoData, FaultEffect::NotExercised));
}

/// The pods are back after 8 s, and what broke when they went was felt after 6 s: that is no "no effect".
#[rstest]
#[case::while_pods_are_missing(Some(8), FaultEffect::Recovered, Some(8000))]
#[case::never_replaced(None, FaultEffect::Recovered, Some(8000))]
#[case::after_the_pods_were_back(Some(0), FaultEffect::NoEffect, Some(2000))]
fn an_effect_may_come_late(
    #[case] ready: Option<usize>,
    #[case] effect: FaultEffect,
    #[case] recover: Option<i64>,
) {
    let plan = plan(10, 5);
    let tracks = vec![track("save", "..........", "......!!.........")];
    let status = Incident { ready, ..incident(&plan, tracks) }.assess();
    assert_eq!((status.effect, status.recover_milliseconds), (effect, recover), "{:?}", status.message);
}

#[rstest]
#[case::back("!!!........", Outcome::Met, "back 3s after the fault, measured to 2s, with other still felt")]
#[case::not_back(
    "!!!!!!!!!!",
    Outcome::NoData,
    "> 10s (measured no longer): save was not back within its limit"
)]
fn without_a_limit_it_is_measured_and_not_judged(
    #[case] after: &str,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let plan = RecoveryPlan { within: None, ..plan(10, 5) };
    let tracks = vec![track("save", "..........", after)];
    let incident = Incident { end: "measured no longer", felt: Some("other"), ..incident(&plan, tracks) };
    let status = incident.assess();
    let said = status.message.unwrap();
    assert!(said.starts_with(message) && said.ends_with(", with other still felt"), "{said}");
    assert_eq!((status.outcome, status.within), (outcome, None));
}

#[test]
fn a_short_hold_is_measured_as_five_seconds() {
    let status = assess_with("..........", "!!...!.......", &plan(10, 1), None);
    assert_eq!(status.recover_milliseconds, Some(6000));
}

#[test]
fn pushes_that_fall_on_either_side_of_a_cell_are_no_outage() {
    // One runner pushes every second, and the cells see none, then two at once.
    let jitter: Vec<Cell> = [20.0, 0.0, 40.0, 20.0, 0.0, 40.0, 20.0, 20.0, 0.0, 40.0]
        .map(|total| Cell { total, bad: 0.0 })
        .into();
    let track = Track {
        objective: "save".to_owned(),
        allowed: Allowed::AtMost(0.01),
        before: jitter.clone(),
        after: jitter,
    };
    let plan = plan(10, 5);
    let incident = incident(&plan, vec![track]);
    assert_eq!(incident.assess().outcome, Outcome::Met);
}

#[rstest]
// The last push before cell 12 was 6 s old: the system may have been back since second 5.
#[case::may_have_been_in_time(
    6,
    Outcome::NoData,
    "back 12s after the fault or up to 7s before, since k6's pushes"
)]
#[case::a_usual_push(1, Outcome::Missed, "back 12s after the fault, measured to 2s, limit 10s")]
fn a_recovery_that_only_late_pushes_make_slow_is_not_judged(
    #[case] age: u64,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let plan = plan(10, 5);
    let mut incident = incident(&plan, vec![track("save", "..........", "!!!!!!!!!!!!.......")]);
    incident.push_ages = (0..19).map(|cell| Duration::from_secs(if cell == 11 { age } else { 1 })).collect();
    let status = incident.assess();
    assert_eq!(status.outcome, outcome);
    assert!(status.message.clone().unwrap().starts_with(message), "{:?}", status.message);
}

#[test]
fn every_named_objective_must_be_back() {
    let plan = plan(10, 5);
    let tracks =
        vec![track("save", "..........", "!!............"), track("list", "..........", "!!!!!!........")];
    let incident = incident(&plan, tracks);
    assert_eq!(incident.assess().recover_milliseconds, Some(6000));
}

#[test]
fn cells_are_differences_and_a_runner_that_is_lost_takes_nothing_back() {
    let cumulative = [(0.0, 0.0), (10.0, 1.0), (30.0, 1.0), (25.0, 0.0), (40.0, 2.0)]
        .map(|(total, bad)| Cell { total, bad });
    let exactly = |cells: &[Cell]| [0, 1, 2].map(|_| cells.to_vec());
    let (before, after) = (exactly(&cumulative[..3]), exactly(&cumulative[2..]));
    for track in Track::readings("save", Allowed::AtMost(0.01), &before, &after) {
        assert_eq!(track.before, [Cell { total: 10.0, bad: 1.0 }, Cell { total: 20.0, bad: 0.0 }]);
        assert_eq!(track.after, [Cell::default(), Cell { total: 15.0, bad: 2.0 }]);
    }
}

/// Of 10 and then 20 requests 4 and 2 are in the bucket, and a lost runner takes back some of them.
#[test]
fn cells_of_which_a_bucket_tells_no_more() {
    let cumulative = [[0.0; 3], [1.0, 3.0, 5.0], [6.0, 9.0, 12.0], [7.0, 6.0, 5.0]];
    let totals = [0.0, 10.0, 30.0, 32.0];
    let of =
        |n: usize| totals.iter().zip(cumulative).map(|(t, bad)| Cell { total: *t, bad: bad[n] }).collect();
    let readings = [0, 1, 2].map(of);
    let tracks = Track::readings("save", Allowed::AtMost(0.01), &readings, &readings);
    let bad = |cells: &[Cell]| cells.iter().map(|c| c.bad).collect::<Vec<_>>();
    assert_eq!(tracks.each_ref().map(|t| bad(&t.after)), [[1.0, 5.0, 1.0], [3.0, 6.0, 1.0], [5.0, 7.0, 1.0]]);
    // What is usual is the most where the good ones before are the fewest.
    assert_eq!(
        tracks.each_ref().map(|t| bad(&t.before)),
        [[5.0, 7.0, 1.0], [3.0, 6.0, 1.0], [1.0, 5.0, 1.0]]
    );
}

/// The same 20 requests a second, with those in the limit's bucket taken as good, as interpolated, as bad.
fn in_bucket(pictures: [&str; 3]) -> [Track; 3] {
    pictures.map(|after| track("save", "..........", after))
}

/// 10 s are allowed.
#[rstest]
#[case::known_exactly(["!!!.........."; 3], Outcome::Met, "back 3s after the fault, measured to 2s, limit 10s")]
#[case::in_time_either_way(["..........", "!!!..........", "!!!!!........."], Outcome::Met, "back 3s after the fault, measured to 2s, limit 10s")]
#[case::perhaps_too_late(["!!............", "!!!...........", "!!!!!!!!!!!!....."], Outcome::NoData, "back 3s after the fault, measured to 2s, limit 10s (2s or 12s: the limit of save lies inside a bucket of k6's histogram); that decides: set the limit to another value")]
#[case::perhaps_in_time(["!!............", "!!!!!!!!!!!.....", "!!!!!!!!!!!!....."], Outcome::NoData, "back 11s after the fault, measured to 2s, limit 10s (2s or 12s: the limit of")]
#[case::perhaps_not_back(["............", "!!..........", "!!!!!!!!!!!!"], Outcome::NoData, "back 2s after the fault, measured to 2s, limit 10s (2s or not back: the limit of")]
#[case::too_late_either_way(["!!!!!!!!!!!.....", "!!!!!!!!!!!!.....", "!!!!!!!!!!!!!....."], Outcome::Missed, "back 12s")]
#[case::felt_later_by_the_kinder(["...............!!!......", "...............!!!......", "!!!............!!!......"], Outcome::NoData, "back 18s after the fault, measured to 2s, limit 10s (18s or 3s: the limit of")]
#[case::too_late_or_not_back(["!!!!!!!!!!!.....", "!!!!!!!!!!!!!!!!", "!!!!!!!!!!!!!!!!"], Outcome::Missed, "> 16s (load ended)")]
fn a_limit_inside_a_bucket(#[case] after: [&str; 3], #[case] outcome: Outcome, #[case] message: &str) {
    let (tracks, plan) = ([in_bucket(after)], plan(10, 5));
    // Its pods are back late.
    let recoveries =
        by_kindness(&tracks).map(|tracks| Incident { ready: Some(20), ..incident(&plan, tracks) }.assess());
    let status = agreed(recoveries, &tracks, false);
    let said = status.message.unwrap();
    assert_eq!(status.outcome, outcome, "{said}");
    assert!(said.starts_with(message), "{said}");
}

/// Of one objective requests must not be slow, of the other they must be.
#[test]
fn what_is_kind_depends_on_the_limit() {
    let slow = in_bucket(["..", "'.", "!."]);
    let must = slow.clone().map(|track| Track { allowed: Allowed::AtLeast(0.9), ..track });
    let first = |tracks: Vec<Track>| tracks.iter().map(|t| t.after[0].bad).collect::<Vec<_>>();
    let tracks = [slow, must];
    assert_eq!(by_kindness(&tracks).map(first), [[0.0, 20.0], [1.0, 1.0], [20.0, 0.0]]);
    assert_eq!(by_harm(&tracks).map(first), [[0.0, 0.0], [1.0, 1.0], [20.0, 20.0]]);
}

/// The push of the cell in which a picture has 60 requests is 6 s old when it comes.
#[rstest]
// Half of the requests hang for 37 s. A stretch may lack a tenth.
#[case::perhaps_back_late(
    "-     =------------------------------.......",
    Outcome::NoData,
    "back 5s after the fault, measured to 7s, limit 10s (5s or 36s: k6's pushes came late); that decides: see whether"
)]
#[case::perhaps_not_back(
    "-     =----------",
    Outcome::NoData,
    "back 5s after the fault, measured to 7s, limit 10s (5s or not back: k6's"
)]
#[case::back_in_time("-     =.......", Outcome::Met, "back 5s after the fault, measured to 7s, limit 10s")]
#[case::no_effect("......=.......", Outcome::Met, "no effect: save never left the limits")]
fn what_a_late_push_brings_does_not_make_the_system_back(
    #[case] after: &str,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let (tracks, plan) = ([in_bucket([after; 3])], plan(10, 5));
    let push_ages: Vec<_> = (0..after.len() as u64)
        .map(|cell| Duration::from_secs(if (1..=5).contains(&cell) { cell + 1 } else { 1 }))
        .collect();
    let [kindest, likely, harshest] = by_kindness(&tracks);
    let recoveries = [(kindest, false), (likely, false), (harshest, true)].map(|(tracks, harsh)| {
        Incident { push_ages: push_ages.clone(), harsh, ..incident(&plan, tracks) }.assess()
    });
    let status = agreed(recoveries, &tracks, true);
    let said = status.message.unwrap();
    assert_eq!(status.outcome, outcome, "{said}");
    assert!(said.starts_with(message), "{said}");
}

/// As of users who think: 32 requests in each of three cells, then 8. One of many runners was late once.
#[test]
fn a_late_push_does_not_call_a_load_slow_that_comes_in_waves() {
    let wave = |cell: usize| Cell { total: if cell % 6 < 3 { 32.0 } else { 8.0 }, bad: 0.0 };
    let before: Vec<Cell> = (0..60).map(wave).collect();
    let after: Vec<Cell> = (0..60).map(|cell| if cell < 3 { Cell::default() } else { wave(cell) }).collect();
    let plan = plan(10, 30);
    let track = Track { objective: "save".to_owned(), allowed: Allowed::AtMost(0.01), before, after };
    let push_ages: Vec<_> =
        (0..60).map(|cell| Duration::from_millis(if cell == 20 { 2300 } else { 1000 })).collect();
    for harsh in [false, true] {
        let status =
            Incident { push_ages: push_ages.clone(), harsh, ..incident(&plan, vec![track.clone()]) }.assess();
        assert_eq!((status.outcome, status.recover_milliseconds), (Outcome::Met, Some(3000)), "{status:?}");
    }
}

/// Nothing from the fault on but for a last push that came late: until then there was time enough to be back.
#[rstest]
#[case::nothing_all_along(' ', 20, Outcome::Missed)]
#[case::half_all_along('-', 20, Outcome::Missed)]
#[case::late_before_its_time(' ', 12, Outcome::NoData)]
fn a_late_push_at_the_end_does_not_bring_back_what_was_gone(
    #[case] cell: char,
    #[case] late_from: usize,
    #[case] outcome: Outcome,
) {
    let plan = plan(10, 5);
    let after = cell.to_string().repeat(22);
    let push_ages = (0..22).map(|cell| Duration::from_secs(if cell < late_from { 1 } else { 4 })).collect();
    let incident = Incident { push_ages, ..incident(&plan, vec![track("save", "..........", &after)]) };
    let status = incident.assess();
    assert_eq!((status.effect, status.outcome), (FaultEffect::NotBack, outcome), "{:?}", status.message);
}

proptest! {
    #[test]
    fn an_outage_is_found_where_it_ends(calm in 0usize..4, outage in 1usize..20, rest in 5usize..20) {
        let after = ".".repeat(calm) + &"!".repeat(outage) + &".".repeat(rest);
        let status = assess_with("..........", &after, &plan(100, 5), None);
        let end = i64::try_from(calm + outage).unwrap() * 1000;
        prop_assert_eq!(status.recover_milliseconds, Some(end));
        prop_assert_eq!(status.outcome, Outcome::Met);
    }

    #[test]
    fn a_longer_outage_never_recovers_sooner(
        after in prop::collection::vec(prop::sample::select(vec!['.', 'x', '!', ' ', '-']), 5..40), at in 0usize..40,
    ) {
        let picture: String = after.iter().collect();
        let worse: String =
            after.iter().enumerate().map(|(i, c)| if i == at { '!' } else { *c }).collect();
        let time = |picture: &str| assess_with("..........", picture, &plan(100, 5), None)
            .recover_milliseconds.unwrap_or(i64::MAX);
        // A silent or a slow cell that fails instead has its requests back: only good ones count here.
        if after.get(at) == Some(&'.') {
            prop_assert!(time(&worse) >= time(&picture), "{} before {}", worse, picture);
        }
    }
}

/// Said of a fault that happened, also of one whose pods never came back.
#[rstest]
#[case::pods(Some(INJECTED), &[], Some(ReadyBy::Pods))]
#[case::services(Some(INJECTED), &["dbman"], Some(ReadyBy::Endpoints))]
#[case::never_injected(None, &["dbman"], None)]
fn what_counts_as_ready_is_said(
    #[case] injected: Option<i64>,
    #[case] services: &[&str],
    #[case] expected: Option<ReadyBy>,
) {
    let service = |name: &&str| ServedService { name: (*name).to_owned(), ready_before: 2 };
    let fault = FaultStatus {
        injected_at: injected.map(|second| MicroTime(Timestamp::from_second(second).unwrap())),
        services: services.iter().map(service).collect(),
        ..FaultStatus::default()
    };
    let found = without_measurement(&fault, None, "no recovery is asked for");
    assert_eq!((found.ready_by, found.ready_milliseconds), (expected, None));
}
