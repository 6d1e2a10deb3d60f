//! The load, and whether its figures are complete.

use loadtest_crds::{ScenarioStatus, ScriptThreshold, Shortfall, ShortfallCause};

use super::*;
use crate::plan::threshold;

fn lacks(c: &mut Case, cause: ShortfallCause) {
    c.load().shortfalls.push(Shortfall { cause, message: "812 of 1,000 iterations".to_owned() });
}

fn unread(c: &mut Case) {
    c.load().unread_logs = vec!["chat-1: its pod is gone".to_owned()];
}

#[rstest]
#[case::runner_lost(lost, Verdict::Inconclusive, Reason::RunnerLost)]
#[case::interrupted(|c: &mut Case| c.facts.interrupted_runners = 2, Verdict::Inconclusive, Reason::RunnerInterrupted)]
#[case::less_for_the_generator(|c: &mut Case| lacks(c, ShortfallCause::Generator), Verdict::Inconclusive, Reason::LoadNotDelivered)]
#[case::less_for_the_target(|c: &mut Case| lacks(c, ShortfallCause::Target), Verdict::Fail, Reason::LoadNotDelivered)]
#[case::less_for_no_known_reason(|c: &mut Case| lacks(c, ShortfallCause::Unknown), Verdict::Inconclusive, Reason::LoadNotDelivered)]
#[case::hardly_any_dropped(|c: &mut Case| c.load().dropped_iterations = Some(50), Verdict::Pass, Reason::AllObjectivesMet)]
#[case::some_script_errors(|c: &mut Case| c.load().script_errors = Some(1), Verdict::Warn, Reason::ScriptErrors)]
#[case::nothing_but_script_errors(|c: &mut Case| c.load().script_errors = Some(5000), Verdict::Error, Reason::ScriptFailed)]
#[case::a_log_that_was_not_read(unread, Verdict::Inconclusive, Reason::FiguresIncomplete)]
#[case::not_settled(|c: &mut Case| c.facts.not_settled = Some("late".to_owned()), Verdict::Inconclusive, Reason::NotSettled)]
#[case::no_objectives(
    |c: &mut Case| { c.plans.clear(); c.status.objectives.clear(); },
    Verdict::Inconclusive,
    Reason::NoObjectives
)]
fn the_load_and_its_figures(#[case] change: fn(&mut Case), #[case] verdict: Verdict, #[case] reason: Reason) {
    let ruling = case([Met, Met, Met]).with(change).decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{}", ruling.message);
}

#[test]
fn a_miss_with_a_lost_runner_is_still_a_miss_but_a_slow_recovery_is_not() {
    assert_eq!(case([Missed, Met, Met]).with(lost).decide().verdict, Verdict::Fail);
    let slow = case([Met, Met, Met]).with(|c| {
        lost(c);
        c.status.faults = vec![fault(FaultState::Injected, Missed)];
    });
    assert_eq!((slow.decide().verdict, slow.decide().reason), (Verdict::Inconclusive, Reason::RunnerLost));
    assert_eq!(
        slow.decide().message,
        "1 of 4 runners were lost: chat-1: its container ended with exit code 137 (OOMKilled) (and 1 more)"
    );
}

/// A Counter of the script, judged by its sum or by its rate.
fn amount(name: &str, key: bool, rate: bool, at_least: bool) -> ObjectivePlan {
    let of = |this: bool| this.then_some(true);
    let limit = |this: bool| this.then(|| "90".into());
    let objective = Objective {
        name: name.to_owned(),
        k6: Some(K6Figure {
            metric: "http_reqs".to_owned(),
            rate: of(rate),
            count: of(!rate),
            ..K6Figure::default()
        }),
        at_most: limit(!at_least),
        at_least: limit(at_least),
        key,
        ..Objective::default()
    };
    ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
}

fn interrupted(c: &mut Case) {
    c.facts.interrupted_runners = 1;
}

fn nothing(_: &mut Case) {}

/// The requests of a runner that is gone are missing in an amount, and its reason is said.
#[rstest]
#[case::a_rate(lost, amount("save", true, true, true), Verdict::Inconclusive, Reason::RunnerLost)]
#[case::a_count(lost, amount("save", true, false, true), Verdict::Inconclusive, Reason::RunnerLost)]
#[case::interrupted(
    interrupted,
    amount("save", true, true, true),
    Verdict::Inconclusive,
    Reason::RunnerInterrupted
)]
// With a runner more it were more still.
#[case::too_much(lost, amount("save", true, true, false), Verdict::Fail, Reason::KeyObjectiveMissed)]
#[case::with_all_runners(
    nothing,
    amount("save", true, true, true),
    Verdict::Fail,
    Reason::KeyObjectiveMissed
)]
fn an_amount_without_one_of_the_runners(
    #[case] change: fn(&mut Case),
    #[case] plan: ObjectivePlan,
    #[case] verdict: Verdict,
    #[case] reason: Reason,
) {
    let ruling = case([Missed, Met, Met])
        .with(|c| {
            c.plans[0] = plan;
            change(c);
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{}", ruling.message);
}

#[test]
fn an_amount_without_one_of_the_runners_is_none_of_too_many_misses() {
    let ruling = |change: fn(&mut Case)| {
        let case = case([Met, Missed, Missed]).with(|c| {
            c.plans[2] = amount("search", false, true, true);
            change(c);
        });
        let ruling = case.decide();
        (ruling.verdict, ruling.reason)
    };
    assert_eq!(ruling(nothing), (Verdict::Fail, Reason::ObjectivesMissed));
    assert_eq!(ruling(lost), (Verdict::Inconclusive, Reason::RunnerLost));
}

#[test]
fn a_threshold_over_an_amount_is_one_too() {
    let ruling = case([Met, Met, Met])
        .with(|c| {
            let threshold = ScriptThreshold {
                metric: "http_reqs".to_owned(),
                expression: "rate>90".to_owned(),
                ..ScriptThreshold::default()
            };
            let scenario = ScenarioStatus { thresholds: vec![threshold], ..ScenarioStatus::default() };
            c.status.scenarios = vec![scenario];
            c.plans.extend(threshold::objectives(&c.status));
            let of_script = objective(&c.plans[3], vec![window(WindowKind::Run, Missed)]);
            c.status.objectives.push(of_script);
            lost(c);
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::RunnerLost), "{ruling:?}");
}

#[test]
fn a_miss_is_no_evidence_where_figures_are_missing() {
    let ruling =
        case([Missed, Missed, Missed]).with(|c| c.facts.not_settled = Some("late".to_owned())).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::NotSettled));
    assert!(ruling.message.starts_with("the figures did not settle: late"), "{}", ruling.message);
}

#[test]
fn a_miss_is_no_evidence_where_a_log_was_not_read() {
    let ruling = case([Missed, Met, Met]).with(unread).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::FiguresIncomplete));
    assert!(ruling.message.contains("chat-1: its pod is gone"), "{}", ruling.message);
}

#[test]
fn what_starved_runners_measured_is_no_evidence() {
    let ruling = case([Missed, Missed, Met]).with(|c| lacks(c, ShortfallCause::Generator)).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::LoadNotDelivered));
    let ruling = case([Missed, Met, Met]).with(|c| lacks(c, ShortfallCause::Unknown)).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Fail, Reason::KeyObjectiveMissed));
}

#[test]
fn a_target_is_not_blamed_where_figures_are_missing() {
    let ruling = case([Met, Met, Met]).with(|c| {
        lacks(c, ShortfallCause::Target);
        c.facts.not_settled = Some("late".to_owned());
    });
    assert_eq!(ruling.decide().verdict, Verdict::Inconclusive);
}
