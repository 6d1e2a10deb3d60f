//! Loads in which answers stop coming.

use loadtest_crds::{Arrivals, ShortfallCause};

use super::*;

/// k6 counts nothing of what it interrupts as the load ends.
#[rstest]
#[case::to_the_end(35.0, 61.0, &[ShortfallCause::Target])]
#[case::not_at_all(61.0, 61.0, &[])]
#[case::in_between(35.0, 50.0, &[])]
fn a_hang_is_seen_at_the_end(#[case] from: f64, #[case] to: f64, #[case] expected: &[ShortfallCause]) {
    let mut fake = load(|second| GOOD.filter(|_| second < from || second >= to));
    let users = (0..60).map(|second| (at(f64::from(second) + 0.3), 40.0));
    fake.add("k6_vus", &[("loadtest_run", "4f1c"), ("loadtest_scenario", "chat")], users);
    let mut status = over(Vec::new());
    status.scenarios[0].held_vus = Some(40);
    let judgement =
        minute::judge(Evaluation::new(&[success(&ALL[..1])], Vec::new(), &status, settings()), &fake);
    let shortfalls = &judgement.delivered.shortfalls;
    assert_eq!(shortfalls.iter().map(|s| s.cause).collect::<Vec<_>>(), expected, "{shortfalls:?}");
    // All that were answered were good.
    assert_eq!(result(&judgement, "save-success", WindowKind::Run).outcome, Outcome::Met);
}

/// 20 iterations a second, for a minute. k6 has virtual users for all that hang at the end.
#[rstest]
#[case::to_the_end(|second: f64| second < 42.0, &[ShortfallCause::Target])]
#[case::for_its_last_seconds(|second: f64| second < 52.0, &[ShortfallCause::Unknown])]
#[case::a_part_of_them(|second: f64| second < 45.0 || (second * 20.0) as i64 % 2 == 0, &[ShortfallCause::Unknown])]
#[case::not_at_all(|_: f64| true, &[])]
fn iterations_by_rate_that_hang_are_seen_at_the_end(
    #[case] ends: fn(f64) -> bool,
    #[case] expected: &[ShortfallCause],
) {
    let fake = load(|second| GOOD.filter(|_| ends(second)));
    let mut status = over(Vec::new());
    // The fake has no names for them.
    let scenario = &mut status.scenarios[0];
    (scenario.name, scenario.max_vus) = (String::new(), Some(400));
    scenario.arrivals =
        vec![Arrivals { iterations: 1200, ends_at_milliseconds: Some(60_000), ..Arrivals::default() }];
    let judgement =
        minute::judge(Evaluation::new(&[success(&ALL[..1])], Vec::new(), &status, settings()), &fake);
    let shortfalls = &judgement.delivered.shortfalls;
    assert_eq!(shortfalls.iter().map(|s| s.cause).collect::<Vec<_>>(), expected, "{shortfalls:?}");
    assert_eq!(result(&judgement, "save-success", WindowKind::Run).outcome, Outcome::Met);
}

/// Ten minutes, in cells of 6 s: in the last 10.5 s none ends in one of them only.
#[rstest]
#[case::hangs(589.5, &[ShortfallCause::Target])]
#[case::ends(600.0, &[])]
fn a_hang_at_the_end_of_a_long_load_is_seen(#[case] until: f64, #[case] expected: &[ShortfallCause]) {
    let requests = (0..1200).map(|n| f64::from(n) * 0.5 + 0.2).filter(|second| *second < until);
    let events: Vec<Event> =
        requests.map(|second| Event { at: at(second), took: 0.1, answered: true }).collect();
    let mut fake = Fake::default();
    fake.push("chat-0", 0.3, &events);
    let users = (0..600).map(|second| (at(f64::from(second) + 0.3), 40.0));
    fake.add("k6_vus", &[("loadtest_run", "4f1c"), ("loadtest_scenario", "chat")], users);
    let mut status = over(Vec::new());
    let load = status.load.get_or_insert_default();
    (load.planned_end_at, load.ended_at) = (minute::micro(600.0), minute::micro(600.4));
    status.scenarios[0].held_vus = Some(40);
    status.scenarios[0].plateaus[0].to = 600_000;
    let judgement =
        minute::judge(Evaluation::new(&[success(&ALL[..1])], Vec::new(), &status, settings()), &fake);
    let shortfalls = &judgement.delivered.shortfalls;
    assert_eq!(shortfalls.iter().map(|s| s.cause).collect::<Vec<_>>(), expected, "{shortfalls:?}");
}
