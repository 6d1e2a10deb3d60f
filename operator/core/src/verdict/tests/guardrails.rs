//! Guardrails, and thresholds of the script.

use loadtest_crds::{Guardrail, GuardrailNoData, GuardrailStatus, ScenarioStatus, ScriptThreshold};

use super::*;
use crate::{
    numbers::limit::Limit,
    plan::{guardrail::Check, names::RunNames},
};

fn guardrail(outcome: Outcome, stopped: bool) -> GuardrailStatus {
    GuardrailStatus {
        name: "errors".to_owned(),
        outcome,
        limit: "at most 50%".to_owned(),
        breached_at: stopped.then(|| at(30)).flatten(),
        query: Some("sum(errors)".to_owned()),
        message: Some("62% at 06:12:11Z, beyond since 06:12:01Z, limit 50%".to_owned()),
        ..GuardrailStatus::default()
    }
}

fn watched(on_no_data: GuardrailNoData) -> Vec<GuardrailPlan> {
    let spec = Guardrail {
        name: "errors".to_owned(),
        query: Some("sum(errors)".to_owned()),
        at_most: Some("50%".into()),
        for_: "10s".into(),
        on_no_data,
        ..Guardrail::default()
    };
    let names = RunNames { namespace: "n".to_owned(), name: "r".to_owned(), uid: "u".to_owned() };
    GuardrailPlan::all(&[spec], &names).unwrap()
}

#[rstest]
#[case::held(Met, false, Verdict::Pass, Reason::AllObjectivesMet)]
#[case::breached(Missed, true, Verdict::Fail, Reason::GuardrailBreached)]
#[case::warned(Warn, false, Verdict::Warn, Reason::GuardrailWarned)]
#[case::without_data(NoData, false, Verdict::Warn, Reason::GuardrailWithoutData)]
#[case::stopped_without_data(NoData, true, Verdict::Inconclusive, Reason::GuardrailWithoutData)]
fn a_guardrail(
    #[case] outcome: Outcome,
    #[case] stopped: bool,
    #[case] verdict: Verdict,
    #[case] reason: Reason,
) {
    let ruling = case([Met, Met, Met])
        .with(|c| {
            c.guardrails = watched(GuardrailNoData::Warn);
            c.status.guardrails = vec![guardrail(outcome, stopped)];
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{}", ruling.message);
}

/// What a runner that is gone sends no more is a drop, and no more errors.
#[rstest]
#[case::a_drop(true, 1, Verdict::Inconclusive, Reason::RunnerLost)]
#[case::a_drop_with_all_runners(true, 0, Verdict::Fail, Reason::GuardrailBreached)]
#[case::errors(false, 1, Verdict::Fail, Reason::GuardrailBreached)]
fn a_breach_without_one_of_the_runners(
    #[case] drop: bool,
    #[case] lost: i32,
    #[case] verdict: Verdict,
    #[case] reason: Reason,
) {
    let ruling = case([Met, Met, Met])
        .with(|c| {
            c.guardrails = watched(GuardrailNoData::Warn);
            if drop {
                c.guardrails[0].check = Check::Drop(Limit::parse("50%").unwrap());
            }
            c.status.guardrails = vec![guardrail(Missed, true)];
            c.status.runners = Some(RunnersStatus { total: 2, lost, ..RunnersStatus::default() });
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{}", ruling.message);
}

#[test]
fn a_breach_says_what_where_and_since_when() {
    let ruling = case([Missed, Met, Met])
        .with(|c| {
            c.guardrails = watched(GuardrailNoData::Warn);
            c.status.guardrails = vec![guardrail(Missed, true)];
        })
        .decide();
    assert_eq!(ruling.reason, Reason::GuardrailBreached);
    assert_eq!(
        ruling.message,
        "guardrail errors stopped the load: 62% at 06:12:11Z, beyond since 06:12:01Z, limit 50% (sum(errors)) (and 1 more)"
    );
}

#[rstest]
#[case::said_to_be_ignored(GuardrailNoData::Ignore, NoData, Verdict::Pass)]
#[case::not_said(GuardrailNoData::Warn, NoData, Verdict::Warn)]
fn silence_of_a_guardrail(
    #[case] policy: GuardrailNoData,
    #[case] outcome: Outcome,
    #[case] verdict: Verdict,
) {
    let ruling = case([Met, Met, Met]).with(|c| {
        c.guardrails = watched(policy);
        c.status.guardrails = vec![guardrail(outcome, false)];
    });
    assert_eq!(ruling.decide().verdict, verdict);
}

#[test]
fn a_guardrail_that_was_never_watched_is_no_pass() {
    let ruling = case([Met, Met, Met]).with(|c| c.guardrails = watched(GuardrailNoData::Warn)).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Warn, Reason::GuardrailWithoutData));
}

#[test]
fn a_threshold_that_cannot_be_judged_is_named_and_no_pass() {
    let ruling = case([Met, Met, Met])
        .with(|c| {
            let threshold = ScriptThreshold {
                metric: "vus".to_owned(),
                expression: "value<200".to_owned(),
                ..ScriptThreshold::default()
            };
            let thresholds = vec![threshold];
            c.status.scenarios = vec![ScenarioStatus { thresholds, ..ScenarioStatus::default() }];
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Warn, Reason::ThresholdNotJudged));
    assert!(ruling.message.contains("threshold: vus value<200"), "{}", ruling.message);
}
