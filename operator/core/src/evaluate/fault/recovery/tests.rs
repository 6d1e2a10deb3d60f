use jiff::Timestamp;
use loadtest_crds::ServedService;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    evaluate::objective::against::Against,
    numbers::confidence::{Cell, Count, Counts},
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

const ALLOWED: Against = Against { allowed: 0.01, good: false, shown: true };

fn track(objective: &str, before: &str, after: &str) -> Track {
    Track { objective: objective.to_owned(), against: ALLOWED, before: cells(before), after: cells(after) }
}

fn scene() -> Scene<'static> {
    Scene {
        injected: Timestamp::from_second(INJECTED).unwrap(),
        step: Duration::from_secs(1),
        push: Duration::from_secs(1),
        flat_cells: None,
        ready: Some(0),
        end: "load ended",
        felt: None,
    }
}

/// Nothing is open.
fn exactly(scene: Scene<'_>, plan: &RecoveryPlan, tracks: Vec<Track>) -> RecoveryStatus {
    let tracks: Vec<_> = tracks.into_iter().map(|track| [track.clone(), track]).collect();
    super::assess(scene, plan, &tracks).status
}

fn assess_with(before: &str, after: &str, plan: &RecoveryPlan, flat_cells: Option<usize>) -> RecoveryStatus {
    exactly(Scene { flat_cells, ..scene() }, plan, vec![track("save", before, after)])
}

fn assess(after: &str) -> RecoveryStatus {
    assess_with("..........", after, &plan(10, 5), None)
}

/// A fault whose time has not passed yet.
#[rstest]
#[case::not_passed_yet(
    30,
    Outcome::NoData,
    "> 15s (load ended): save was not back within its limit, limit 30s, and 30s had not passed yet"
)]
#[case::just_passed(15, Outcome::Missed, "> 15s (load ended): save was not back")]
fn what_a_short_load_leaves_open(#[case] within: u64, #[case] outcome: Outcome, #[case] message: &str) {
    let status = assess_with("..........", "!!!!!!!!!!!!!!!", &plan(within, 5), None);
    let said = status.message.unwrap();
    assert_eq!((status.effect, status.outcome), (FaultEffect::NotBack, outcome), "{said}");
    assert!(said.starts_with(message), "{said}");
    assert_eq!(status.recovered_at, None);
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
    let status = exactly(Scene { ready, ..scene() }, &plan, tracks);
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
    let scene = Scene { end: "measured no longer", felt: Some("other"), ..scene() };
    let status = exactly(scene, &plan, tracks);
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
    let track =
        Track { objective: "save".to_owned(), against: ALLOWED, before: jitter.clone(), after: jitter };
    assert_eq!(exactly(scene(), &plan(10, 5), vec![track]).outcome, Outcome::Met);
}

#[test]
fn every_named_objective_must_be_back() {
    let tracks =
        vec![track("save", "..........", "!!............"), track("list", "..........", "!!!!!!........")];
    assert_eq!(exactly(scene(), &plan(10, 5), tracks).recover_milliseconds, Some(6000));
}

#[test]
fn cells_are_differences_and_a_runner_that_is_lost_takes_nothing_back() {
    let cumulative = [(0.0, 0.0), (10.0, 1.0), (30.0, 1.0), (25.0, 0.0), (40.0, 2.0)]
        .map(|(total, bad)| Counts { total, bad: Count::exactly(bad) });
    let gained: Vec<(f64, f64)> =
        cumulative.windows(2).map(|p| p[1].since(p[0])).map(|c| (c.total, c.bad.likely)).collect();
    assert_eq!(gained, [(10.0, 1.0), (20.0, 0.0), (0.0, 0.0), (15.0, 2.0)]);
}

/// Of 10 and then 20 requests 4 and 2 are in the bucket, and a lost runner takes back some of them.
#[test]
fn cells_of_which_a_bucket_tells_no_more() {
    let bad = [[0.0; 3], [1.0, 3.0, 5.0], [6.0, 9.0, 12.0], [7.0, 6.0, 5.0]];
    let counts = bad.map(|[least, likely, most]| Count { least, likely, most });
    let totals = [0.0, 10.0, 30.0, 32.0];
    let cumulative: Vec<Counts> =
        totals.iter().zip(counts).map(|(total, bad)| Counts { total: *total, bad }).collect();
    let cells: Vec<Counts> = cumulative.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    let tracks = Track::readings("save", ALLOWED, &cells, &cells);
    let bad = |cells: &[Cell]| cells.iter().map(|c| c.bad).collect::<Vec<_>>();
    assert_eq!(tracks.each_ref().map(|t| bad(&t.after)), [[1.0, 5.0, 1.0], [5.0, 7.0, 1.0]]);
    // What is usual is the most where the good ones before are the fewest.
    assert_eq!(tracks.each_ref().map(|t| bad(&t.before)), [[5.0, 7.0, 1.0], [1.0, 5.0, 1.0]]);
}

/// The same 20 requests a second, with those in the limit's bucket taken as good, and as bad.
fn in_bucket(pictures: [&str; 2]) -> [Track; 2] {
    pictures.map(|after| track("save", "..........", after))
}

/// 10 s are allowed.
#[rstest]
#[case::known_exactly(
    ["!!!.........."; 2], Outcome::Met, Some(3),
    "back 3s after the fault, measured to 2s, limit 10s"
)]
#[case::in_time_either_way(
    ["..........", "!!!!!........."], Outcome::Met, Some(5),
    "back 5s after the fault, measured to 2s, limit 10s (at most: the limit of save lies inside a bucket of k6's histogram)"
)]
#[case::perhaps_too_late(
    ["!!............", "!!!!!!!!!!!!....."], Outcome::NoData, Some(12),
    "back 12s after the fault, measured to 2s, limit 10s; or back 2s after the fault, measured to 2s, limit 10s: the \
     limit of save lies inside a bucket of k6's histogram: set the limit to another value"
)]
#[case::perhaps_not_back(
    ["............", "!!!!!!!!!!!!"], Outcome::NoData, None,
    "> 12s (load ended): save was not back within its limit, limit 10s; or no effect: save never left"
)]
#[case::too_late_either_way(
    ["!!!!!!!!!!!.....", "!!!!!!!!!!!!!....."], Outcome::Missed, Some(13),
    "back 13s after the fault, measured to 2s, limit 10s (at most: the limit of"
)]
#[case::too_late_or_not_back(
    ["!!!!!!!!!!!.....", "!!!!!!!!!!!!!!!!"], Outcome::Missed, None,
    "> 16s (load ended): save was not back within its limit, limit 10s (at most: the limit of"
)]
// It was felt at first or later, and may have been back before that.
#[case::felt_later_by_the_kinder(
    ["...............!!!......", "!!!............!!!......"], Outcome::NoData, Some(18),
    "back 18s after the fault, measured to 2s, limit 10s; or back 0ms after the fault, measured"
)]
#[case::perhaps_never_felt_and_gone_again(
    ["........................", "!!!............!!!......"], Outcome::NoData, Some(18),
    "back 18s after the fault, measured to 2s, limit 10s; or no effect: save never left"
)]
fn a_limit_inside_a_bucket(
    #[case] after: [&str; 2],
    #[case] outcome: Outcome,
    #[case] back: Option<i64>,
    #[case] message: &str,
) {
    // Its pods are back late.
    let Measured { status, back: [soonest, latest], .. } =
        super::assess(Scene { ready: Some(17), ..scene() }, &plan(10, 5), &[in_bucket(after)]);
    let said = status.message.unwrap();
    assert_eq!(status.outcome, outcome, "{said}");
    assert!(said.starts_with(message), "{said}");
    assert_eq!(status.recovered_at.map(|at| at.0.as_second() - INJECTED), back);
    assert!(latest.is_none_or(|latest| soonest.is_some_and(|soonest| soonest <= latest)));
}

/// Of one objective requests must not be slow, of the other they must be.
#[test]
fn what_is_kind_depends_on_the_limit() {
    let slow = in_bucket(["..", "!."]);
    let must = slow.clone().map(|track| Track { against: Against { good: true, ..ALLOWED }, ..track });
    let first = |tracks: Vec<Track>| tracks.iter().map(|t| t.after[0].bad).collect::<Vec<_>>();
    assert_eq!(by_kindness(&[slow, must]).map(first), [[0.0, 20.0], [20.0, 0.0]]);
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

proptest! {
    /// Whatever the truth between the two readings, it is back between them.
    #[test]
    fn the_truth_lies_between_the_readings(
        bad in prop::collection::vec((0u8..3, any::<bool>()), 5..40), ready in 0usize..40,
    ) {
        let cell = |bad: bool| Cell { total: 20.0, bad: if bad { 20.0 } else { 0.0 } };
        let reading = |is: &dyn Fn(u8, bool) -> bool| {
            let after = bad.iter().map(|(kind, truly)| cell(is(*kind, *truly))).collect();
            Track { after, ..track("save", "..........", "") }
        };
        let least = reading(&|kind, _| kind == 2);
        let most = reading(&|kind, _| kind > 0);
        let truth = reading(&|kind, truly| kind == 2 || kind == 1 && truly);
        let (scene, plan) = (Scene { ready: Some(ready), ..scene() }, plan(10, 5));
        let found = super::assess(scene, &plan, &[[least, most]]);
        let exactly = super::assess(scene, &plan, &[[truth.clone(), truth]]);
        let back = |cell: Option<usize>| cell.unwrap_or(usize::MAX);
        prop_assert!(back(found.back[0]) <= back(exactly.back[0]));
        prop_assert!(back(exactly.back[0]) <= back(found.back[1]));
        if [Outcome::Met, Outcome::Missed].contains(&found.status.outcome) {
            prop_assert_eq!(found.status.outcome, exactly.status.outcome, "{:?} {:?}", found, exactly);
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
    let mut found = without(None, "no recovery is asked for");
    add_ready(&mut found, &fault);
    assert_eq!((found.ready_by, found.ready_milliseconds), (expected, None));
}
