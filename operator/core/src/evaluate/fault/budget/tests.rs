use rstest::rstest;

use jiff::Timestamp;

use super::*;
use crate::{
    evaluate::{fault::cells::in_bucket, objective::against::Against},
    numbers::confidence::{Count, Counts},
    plan::fault::TimeLimit,
};

/// One character is a cell of 1 s: `.` 20 good requests, `x` 10 good and 10 bad, `!` 20 bad, ` ` none, `-` 10
/// good, `,` 25 good, `+` 30 good, `=` 40 good, `^` 80 good, `'` 19 good and 1 bad, `:` 19 good.
fn cells(picture: &str) -> Vec<Cell> {
    let cell = |good: f64, bad: f64| Cell { total: good + bad, bad };
    picture
        .chars()
        .map(|c| match c {
            '.' => cell(20.0, 0.0),
            '\'' => cell(19.0, 1.0),
            ':' => cell(19.0, 0.0),
            'x' => cell(10.0, 10.0),
            '!' => cell(0.0, 20.0),
            '-' => cell(10.0, 0.0),
            ',' => cell(25.0, 0.0),
            '+' => cell(30.0, 0.0),
            '=' => cell(40.0, 0.0),
            '^' => cell(80.0, 0.0),
            _ => Cell::default(),
        })
        .collect()
}

const BEFORE: &str = "....................";

const ALLOWED: Against = Against { allowed: 0.01, good: false, shown: true };

fn track(name: &str, before: &str, after: &str) -> Track {
    Track { objective: name.to_owned(), against: ALLOWED, before: cells(before), after: cells(after) }
}

fn plan(bad: Option<u64>, downtime: Option<u64>, worst: Option<&str>) -> BudgetPlan {
    BudgetPlan {
        of: vec!["save".to_owned()],
        bad_requests: bad,
        downtime: downtime.map(|s| TimeLimit { time: Duration::from_secs(s), text: format!("{s}s") }),
        worst_second: worst.map(|text| Limit::parse(text).unwrap()),
    }
}

fn scene() -> Scene<'static> {
    Scene {
        injected: Timestamp::UNIX_EPOCH,
        step: Duration::from_secs(1),
        push: Duration::from_secs(1),
        flat_cells: None,
        ready: Some(0),
        end: "load ended",
        felt: None,
    }
}

/// Nothing is open.
fn harm(scene: Scene<'_>, plan: &BudgetPlan, tracks: &[Track], back: Option<usize>) -> BudgetStatus {
    let readings: Vec<_> = tracks.iter().map(|track| [track.clone(), track.clone()]).collect();
    assess(scene, plan, &readings, [back; 2], in_bucket(&readings).as_deref()).0
}

/// Bad requests, milliseconds down and the worst second, without any limit that is missed.
#[rstest]
// 3 s out of 60 s: 60 requests refused, or none at all because they hang.
#[case::refused("!!!.........", Some(3), 60, 3000, "100%")]
#[case::hanging("   .........", Some(3), 0, 3000, "100%")]
#[case::refused_between_the_cells("x!!x........", Some(4), 60, 3000, "100%")]
#[case::half_of_them_refused("xxxxxx......", Some(6), 60, 3000, "50%")]
#[case::half_as_many("------......", Some(6), 0, 3000, "0%")]
#[case::nothing_happened("............", Some(0), 0, 0, "0%")]
#[case::one_bad_in_a_second("...'........", Some(4), 1, 50, "5%")]
// The load ended before the system was back.
#[case::never_back("!!!!!!!!!!!!", None, 240, 12_000, "100%")]
// Felt again after it was back: not of this incident.
#[case::after_it_was_back("!!!....!!!..", Some(3), 60, 3000, "100%")]
// A push that came late: its requests are in the next cell, or in the one before.
#[case::a_late_push(". =.........", Some(4), 0, 0, "0%")]
#[case::an_early_push(".= .........", Some(4), 0, 0, "0%")]
// A pause of half a second, seen by a push that finds nothing.
#[case::a_late_push_and_a_pause(". +.........", Some(4), 0, 500, "0%")]
#[case::a_late_push_and_a_longer_pause(". ,.........", Some(4), 0, 750, "75%")]
#[case::uneven_pushes(". =. =. =...", Some(9), 0, 0, "0%")]
// Requests that hung for 3 s and were then answered all at once, 60 of them: what one push can move is let off.
#[case::a_burst_after_an_outage("   ^........", Some(3), 0, 2000, "100%")]
// More than usual in one place is no credit elsewhere.
#[case::no_credit("!!!.++++....", Some(9), 60, 3000, "100%")]
fn harm_that_can_be_counted_on_paper(
    #[case] after: &str,
    #[case] back: Option<usize>,
    #[case] bad: i64,
    #[case] down: i64,
    #[case] worst: &str,
) {
    let plan = plan(Some(1000), Some(100), Some("100%"));
    let status = harm(scene(), &plan, &[track("save", BEFORE, after)], back);
    let found = (status.bad_requests, status.downtime_milliseconds, status.worst_second.as_deref());
    assert_eq!(found, (Some(bad), Some(down), Some(worst)), "{:?}", status.message);
    assert_eq!(status.outcome, Outcome::Met, "{:?}", status.message);
}

#[rstest]
#[case::at_the_limit(
    plan(Some(60), None, None),
    Outcome::Met,
    "60 bad requests, limit 60; counted for 4s, until"
)]
#[case::one_too_many(
    plan(Some(59), None, None),
    Outcome::Missed,
    "60 bad requests, limit 59; counted for 4s, until"
)]
#[case::down_at_the_limit(plan(None, Some(3), None), Outcome::Met, "down for 3s ±1s, limit 3s; counted")]
#[case::down_within_what_is_known(
    plan(None, Some(2), None),
    Outcome::Unclear,
    "down for 3s ±1s, limit 2s; counted"
)]
#[case::worst_second(
    plan(None, None, Some("99%")),
    Outcome::Missed,
    "100% of the worst second bad, limit 99%"
)]
#[case::the_worst_decides(
    plan(Some(10), Some(2), Some("100%")),
    Outcome::Missed,
    "60 bad requests, limit 10; down for 3s ±1s, limit 2s; 100% of the worst second bad, limit 100%; counted"
)]
fn an_outage_of_three_seconds(#[case] plan: BudgetPlan, #[case] outcome: Outcome, #[case] message: &str) {
    let status = harm(scene(), &plan, &[track("save", BEFORE, "!!!.........")], Some(3));
    let said = status.message.unwrap();
    assert_eq!(status.outcome, outcome, "{said}");
    assert!(said.starts_with(message) && said.ends_with("until the system was back"), "{said}");
}

#[rstest]
#[case::beyond_what_is_known("!!!!........", Some(4), Outcome::Missed, "down for 4s ±1s, limit 2s")]
#[case::of_a_load_that_ended(
    "!!!!!!",
    None,
    Outcome::Missed,
    "down for 6s ±1s, limit 2s; counted for 6s, and the system was not back (load ended)"
)]
fn a_downtime(
    #[case] after: &str,
    #[case] back: Option<usize>,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let plan = plan(None, Some(2), None);
    let status = harm(scene(), &plan, &[track("save", BEFORE, after)], back);
    let said = status.message.unwrap();
    assert_eq!(status.outcome, outcome, "{said}");
    assert!(said.starts_with(message), "{said}");
}

/// One cell alone may hold what a push put together; two in a row cannot.
#[rstest]
#[case::one_second("!..........", Outcome::Unclear)]
#[case::two_seconds("!!.........", Outcome::Missed)]
#[case::silent_for_two("  .........", Outcome::Missed)]
#[case::silent_and_bad(" !.........", Outcome::Missed)]
#[case::silent_for_one(" ..........", Outcome::Unclear)]
fn a_worst_second_is_missed_only_with_its_neighbour(#[case] after: &str, #[case] outcome: Outcome) {
    let plan = plan(None, None, Some("60%"));
    let status = harm(scene(), &plan, &[track("save", BEFORE, after)], Some(2));
    assert_eq!(status.outcome, outcome, "{:?}", status.message);
    assert_eq!(status.worst_second.as_deref(), Some("100%"));
}

#[rstest]
#[case::too_little_before(
    "....",
    "!!!.....",
    "downtime not known: there were less than 5s of load before the fault"
)]
#[case::no_good_one_before("!!!!!!!!", "!!!.....", "downtime not known: no good request of save was usual")]
fn a_downtime_that_cannot_be_told(#[case] before: &str, #[case] after: &str, #[case] message: &str) {
    let plan = plan(None, Some(10), None);
    let status = harm(scene(), &plan, &[track("save", before, after)], Some(3));
    let said = status.message.unwrap();
    assert_eq!((status.outcome, status.downtime_milliseconds), (Outcome::NoData, None), "{said}");
    assert!(said.starts_with(message), "{said}");
}

/// Silence that nothing tells from the usual is no good second, and another objective does not make up for it.
#[rstest]
#[case::silent("....", ".           ", Outcome::NoData)]
#[case::served("....", "............", Outcome::Met)]
#[case::bad_all_the_same("....", "!!          ", Outcome::Missed)]
#[case::beside_what_is_usual(BEFORE, "............", Outcome::Met)]
fn a_worst_second_that_cannot_be_told(#[case] before: &str, #[case] after: &str, #[case] outcome: Outcome) {
    let plan = plan(None, None, Some("60%"));
    let tracks = [track("save", before, after), track("list", BEFORE, "............")];
    for tracks in [&tracks[..1], &tracks] {
        let status = harm(scene(), &plan, tracks, None);
        assert_eq!(status.outcome, outcome, "{:?}", status.message);
    }
}

#[test]
fn nothing_is_usual_where_the_load_ramps() {
    let plan = plan(None, Some(10), None);
    let tracks = [track("save", BEFORE, "!!!.....")];
    let with = |flat| harm(Scene { flat_cells: Some(flat), ..scene() }, &plan, &tracks, Some(3)).outcome;
    assert_eq!((with(2), with(8)), (Outcome::NoData, Outcome::Met));
}

#[test]
fn each_objective_has_the_budget_to_itself_and_the_worst_is_shown() {
    let plan = plan(Some(60), Some(10), Some("100%"));
    let tracks = [track("save", BEFORE, "xxx.........."), track("list", BEFORE, "!!!!.........")];
    let status = harm(scene(), &plan, &tracks, Some(4));
    let said = status.message.unwrap();
    assert_eq!(status.outcome, Outcome::Missed, "{said}");
    assert!(
        said.starts_with("80 bad requests of list, limit 60; down for 4s ±1s of list, limit 10s"),
        "{said}"
    );
}

/// Requests at random come unevenly: what is missing so is not held against the fault.
#[test]
fn what_was_missing_before_too_is_no_downtime() {
    // The median is 22. Of what 14, 14 and 18 lack, neighbours have 6: 14 of 22 are missing in 7 s, or 5.1 s in 56.
    // That is ordinary here, and taken off by as much as the cells served, nine tenths of what is usual.
    let pattern = |n: usize| -> Vec<Cell> {
        let good = [18.0, 22.0, 22.0, 14.0, 14.0, 24.0, 26.0];
        (0..n).map(|i| Cell { total: good[i % good.len()], bad: 0.0 }).collect()
    };
    let track =
        Track { objective: "save".to_owned(), against: ALLOWED, before: pattern(56), after: pattern(56) };
    let plan = plan(None, Some(2), None);
    let status = harm(scene(), &plan, std::slice::from_ref(&track), None);
    let down = status.downtime_milliseconds.unwrap();
    assert!((400..600).contains(&down), "{down} ms in 56 s: {:?}", status.message);
}

#[test]
fn a_fault_at_the_end_of_the_load_has_no_figures() {
    let plan = plan(Some(1), None, None);
    let status = harm(scene(), &plan, &[track("save", BEFORE, "")], None);
    assert_eq!(status.outcome, Outcome::NoData);
}

#[test]
fn an_earlier_fault_that_is_still_felt_is_named() {
    let plan = plan(Some(100), None, None);
    let tracks = [track("save", BEFORE, "!!!.........")];
    let status = harm(Scene { felt: Some("kill-redis"), ..scene() }, &plan, &tracks, Some(3));
    assert!(status.message.unwrap().ends_with("until the system was back, with kill-redis still felt"));
}

/// Of 3 s none, half or all are bad, by how those in the bucket of the objective's limit are taken.
#[rstest]
#[case::perhaps_too_many(
    plan(Some(40), None, None),
    NONE_TO_ALL,
    Outcome::Unclear,
    "60 bad requests, limit 40; counted for 4s, until the system was back; or 0 bad requests, limit 40; counted for \
     4s, until the system was back: the limit of save lies inside a bucket of k6's histogram: set the limit to another \
     value"
)]
#[case::within_at_most(
    plan(Some(60), None, None),
    NONE_TO_ALL,
    Outcome::Met,
    "60 bad requests, limit 60; counted for 4s, until the system was back (at most: the limit of save lies inside a"
)]
#[case::beyond_at_least(
    plan(Some(29), None, None),
    HALF_TO_ALL,
    Outcome::Missed,
    "60 bad requests, limit 29"
)]
// None to 3 s.
#[case::perhaps_down(
    plan(None, Some(1), None),
    NONE_TO_ALL,
    Outcome::Unclear,
    "down for 3s ±1s, limit 1s; counted for 4s, until the system was back; or down for 0ms ±1s, limit 1s; "
)]
#[case::down_at_most(plan(None, Some(3), None), NONE_TO_ALL, Outcome::Met, "down for 3s ±1s, limit 3s")]
#[case::a_worst_second_at_most(
    plan(None, None, Some("60%")),
    NONE_TO_ALL,
    Outcome::Unclear,
    "100% of the worst second bad"
)]
#[case::a_worst_second_at_least(
    plan(None, None, Some("40%")),
    HALF_TO_ALL,
    Outcome::Missed,
    "100% of the worst second bad"
)]
// One limit is missed for certain, whatever comes of the other.
#[case::one_of_two(
    plan(Some(29), Some(2), None),
    HALF_TO_ALL,
    Outcome::Missed,
    "60 bad requests, limit 29; down for 3s"
)]
fn a_limit_inside_a_bucket(
    #[case] plan: BudgetPlan,
    #[case] after: [&str; 2],
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let readings = [after.map(|after| track("save", BEFORE, after))];
    let (status, _) = assess(scene(), &plan, &readings, [Some(3); 2], in_bucket(&readings).as_deref());
    let said = status.message.unwrap();
    assert_eq!(status.outcome, outcome, "{said}");
    assert!(said.starts_with(message), "{said}");
}

const NONE_TO_ALL: [&str; 2] = ["............", "!!!........."];
const HALF_TO_ALL: [&str; 2] = ["xxx.........", "!!!........."];

/// It may have been back after 3 s or after 6, and another second was bad between.
#[test]
fn harm_is_counted_until_the_system_was_back_at_the_latest() {
    let same = [track("save", BEFORE, "!!!..!......"), track("save", BEFORE, "!!!..!......")];
    let plan = plan(Some(70), None, None);
    let (status, cells) = assess(scene(), &plan, &[same], [Some(3), Some(6)], Some("the bucket"));
    assert_eq!((status.outcome, status.bad_requests, cells), (Outcome::Unclear, Some(80), 8));
}

proptest::proptest! {
    /// Whatever the truth between the two readings: what is met or missed by both is so by it.
    #[test]
    fn the_truth_lies_between_the_readings(
        bad in proptest::collection::vec((0u8..3, 0u8..3, proptest::bool::ANY), 5..20),
        back in proptest::collection::vec(1usize..20, 3),
        limits in (0u64..200, 2u64..12, 0usize..4),
    ) {
        let cell = |silent: bool, bad: bool| match (silent, bad) {
            (true, _) => Cell::default(),
            (false, bad) => Cell { total: 20.0, bad: if bad { 20.0 } else { 0.0 } },
        };
        let reading = |is: &dyn Fn(u8, bool) -> bool| {
            let after = bad.iter().map(|(kind, rate, truly)| cell(*rate == 0, is(*kind, *truly))).collect();
            Track { after, ..track("save", BEFORE, "") }
        };
        let least = reading(&|kind, _| kind == 2);
        let most = reading(&|kind, _| kind > 0);
        let truth = reading(&|kind, truly| kind == 2 || kind == 1 && truly);
        let mut back = back;
        back.sort_unstable();
        let worst = ["10%", "50%", "99%", "100%"][limits.2];
        let plan = plan(Some(limits.0), Some(limits.1), Some(worst));
        let (found, _) =
            assess(scene(), &plan, &[[least, most]], [Some(back[0]), Some(back[2])], Some("bucket"));
        let exactly = harm(scene(), &plan, &[truth], Some(back[1]));
        if [Outcome::Met, Outcome::Missed].contains(&found.outcome) {
            proptest::prop_assert_eq!(found.outcome, exactly.outcome, "{:?} {:?}", found, exactly);
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// A total outage of any length, wherever it lies between the pushes of two runners: found within a second.
    #[test]
    fn an_outage_is_found_within_a_second(
        lasted in 1.0f64..12.0, phases in (0.0f64..1.0, 0.0f64..1.0), at in 0.0f64..1.0,
    ) {
        // 40 good requests a second, a runner each second one; a push shows what happened up to it.
        let good = |until: f64, phase: f64, odd: usize| -> f64 {
            let pushed = (until - phase).floor() + phase;
            let events = (0..2400).filter(|n| n % 2 == odd).map(|n| f64::from(u32::try_from(n).unwrap()) / 40.0);
            events.filter(|e| *e <= pushed && !(30.0 + at..30.0 + at + lasted).contains(e)).count() as f64
        };
        let cumulative: Vec<Counts> = (0..=60)
            .map(|s| f64::from(s) + at)
            .map(|s| good(s, phases.0, 0) + good(s, phases.1, 1))
            .map(|total| Counts { total, bad: Count::default() })
            .collect();
        let cells: Vec<Counts> = cumulative.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        let (before, after) = cells.split_at(30);
        let [track, _] = Track::readings("save", ALLOWED, before, after);
        let back = 30_usize.min((lasted + 2.0).ceil() as usize);
        let plan = plan(None, Some(100), None);
        let status = harm(scene(), &plan, std::slice::from_ref(&track), Some(back));
        let down = status.downtime_milliseconds.unwrap() as f64 / 1000.0;
        proptest::prop_assert!((down - lasted).abs() <= 1.0, "{} for {}", down, lasted);
    }
}
