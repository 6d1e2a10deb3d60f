use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{
    FaultState, FaultStatus, Guardrail, GuardrailNoData, GuardrailStatus, K6Figure, Objective,
    RecoveryStatus, RunnersStatus, ScenarioStatus, ScriptThreshold, Shortfall, ShortfallCause, Spike,
    WindowKind,
};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::names::RunNames;

fn at(second: i64) -> Option<MicroTime> {
    Some(MicroTime(Timestamp::from_second(1_700_000_000 + second).unwrap()))
}

fn plan(name: &str, key: bool, on_no_data: NoDataPolicy) -> ObjectivePlan {
    let objective = Objective {
        name: name.to_owned(),
        k6: Some(K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() }),
        at_most: Some("1%".into()),
        key,
        on_no_data: Some(on_no_data),
        ..Objective::default()
    };
    ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
}

fn window(kind: WindowKind, outcome: Outcome) -> WindowResult {
    let message = match outcome {
        Outcome::Met => "0% of 9,204 requests failed, limit 1%",
        Outcome::Warn => "0.9% is above the warning limit of 0.5% (limit 1%)",
        Outcome::Unclear | Outcome::TooFew | Outcome::Unmeasurable => "the samples cannot tell",
        Outcome::NoData => "no request ended in this window",
        Outcome::Missed => "7.1% of 9,204 requests failed, limit 1%",
    };
    WindowResult {
        window: kind,
        fault: (kind == WindowKind::Fault).then(|| "kill-dbman".to_owned()),
        from: at(0),
        to: at(60),
        outcome,
        samples: Some(9204),
        message: Some(message.to_owned()),
        ..WindowResult::default()
    }
}

fn objective(plan: &ObjectivePlan, windows: Vec<WindowResult>) -> ObjectiveStatus {
    ObjectiveStatus {
        name: plan.name.clone(),
        outcome: windows.iter().map(|w| w.outcome).max().unwrap_or_default(),
        key: plan.key,
        limit: plan.bound.words(),
        windows,
        ..ObjectiveStatus::default()
    }
}

/// A run whose objectives `save` (key), `list` and `search` came out so, in Run.
struct Case {
    plans: Vec<ObjectivePlan>,
    status: LoadTestStatus,
    policy: VerdictPolicy,
    guardrails: Vec<GuardrailPlan>,
    facts: Facts,
}

fn case(outcomes: [Outcome; 3]) -> Case {
    let plans = [("save", true), ("list", false), ("search", false)]
        .map(|(name, key)| plan(name, key, NoDataPolicy::Inconclusive));
    let objectives = plans
        .iter()
        .zip(outcomes)
        .map(|(plan, outcome)| objective(plan, vec![window(WindowKind::Run, outcome)]))
        .collect();
    let load = LoadStatus {
        started_at: at(0),
        ended_at: at(60),
        requests: Some(9204),
        iterations: Some(5000),
        ..LoadStatus::default()
    };
    Case {
        plans: plans.into(),
        status: LoadTestStatus { objectives, load: Some(load), ..LoadTestStatus::default() },
        policy: VerdictPolicy::default(),
        guardrails: Vec::new(),
        facts: Facts { planned: Duration::from_secs(60), ..Facts::default() },
    }
}

#[rstest]
#[case::unclear(
    Outcome::Unclear,
    TooFewPolicy::Inconclusive,
    NoDataPolicy::Inconclusive,
    Verdict::Warn,
    "Unclear"
)]
#[case::unclear_whatever_the_policies(
    Outcome::Unclear,
    TooFewPolicy::Fail,
    NoDataPolicy::Fail,
    Verdict::Warn,
    "Unclear"
)]
#[case::too_few(
    Outcome::TooFew,
    TooFewPolicy::Inconclusive,
    NoDataPolicy::Fail,
    Verdict::Inconclusive,
    "TooFew"
)]
#[case::too_few_is_a_fail(
    Outcome::TooFew,
    TooFewPolicy::Fail,
    NoDataPolicy::Inconclusive,
    Verdict::Fail,
    "TooFew"
)]
#[case::unmeasurable(
    Outcome::Unmeasurable,
    TooFewPolicy::Fail,
    NoDataPolicy::Inconclusive,
    Verdict::Inconclusive,
    "Unmeasurable"
)]
#[case::unmeasurable_is_a_fail(
    Outcome::Unmeasurable,
    TooFewPolicy::Inconclusive,
    NoDataPolicy::Fail,
    Verdict::Fail,
    "Unmeasurable"
)]
fn what_cannot_be_told(
    #[case] outcome: Outcome,
    #[case] on_too_few: TooFewPolicy,
    #[case] on_no_data: NoDataPolicy,
    #[case] verdict: Verdict,
    #[case] reason: &str,
) {
    let mut case = case([Outcome::Met, outcome, Outcome::Met]);
    for plan in &mut case.plans {
        (plan.on_too_few, plan.on_no_data) = (on_too_few, on_no_data);
    }
    let ruling = case.decide();
    assert_eq!((ruling.verdict, ruling.reason.as_str()), (verdict, reason));
    assert_eq!(ruling.message, "list: the samples cannot tell");
}

/// Spikes of `save` and of `list`, each so many seconds after the start.
#[rstest]
#[case::none(&[], &[], Verdict::Pass, "AllObjectivesMet")]
#[case::one(&[10], &[], Verdict::Pass, "AllObjectivesMet")]
#[case::one_moment(&[10], &[10], Verdict::Pass, "AllObjectivesMet")]
#[case::one_across_two_cells(&[10, 15], &[], Verdict::Pass, "AllObjectivesMet")]
#[case::two(&[10, 20], &[], Verdict::Warn, "Unstable")]
#[case::one_of_each(&[10], &[30], Verdict::Warn, "Unstable")]
#[case::far_apart(&[10], &[611], Verdict::Pass, "AllObjectivesMet")]
fn spikes_of_steady_load(
    #[case] save: &[i64],
    #[case] list: &[i64],
    #[case] verdict: Verdict,
    #[case] reason: &str,
) {
    let mut case = case([Outcome::Met; 3]);
    let spike = |second: &i64| Spike {
        at: at(*second),
        seconds: 5,
        share: "42%".to_owned(),
        usual: "0.1%".to_owned(),
        samples: 100,
    };
    case.status.objectives[0].spikes = save.iter().map(spike).collect();
    case.status.objectives[1].spikes = list.iter().map(spike).collect();
    let ruling = case.decide();
    assert_eq!((ruling.verdict, ruling.reason.as_str()), (verdict, reason));
    let words = "save at 22:13:30 (10s after the start): 42% of 100 requests bad in 5s, usually 0.1%";
    assert_eq!(ruling.grounds.iter().any(|line| line.contains(words)), !save.is_empty(), "{ruling:#?}");
}

fn fault(state: FaultState, outcome: Outcome) -> FaultStatus {
    let message = match outcome {
        Outcome::Missed => "back 14s after the fault, measured to 2s, limit 10s",
        _ => "back 3s after the fault, measured to 2s, limit 10s",
    };
    FaultStatus {
        name: "kill-dbman".to_owned(),
        state,
        injected_at: at(20),
        message: (state == FaultState::Failed).then(|| "pods \"dbman-1\" is forbidden".to_owned()),
        recovery: Some(RecoveryStatus {
            outcome,
            within: Some("10s".to_owned()),
            recover_milliseconds: Some(3000),
            message: Some(message.to_owned()),
            ..RecoveryStatus::default()
        }),
        ..FaultStatus::default()
    }
}

impl Case {
    fn decide(&self) -> Ruling {
        decide(&self.policy, &self.plans, &self.guardrails, &self.status, &self.facts)
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn load(&mut self) -> &mut LoadStatus {
        self.status.load.get_or_insert_default()
    }
}

use Outcome::{Met, Missed, NoData, Warn};

#[rstest]
#[case::all_met([Met, Met, Met], Verdict::Pass, Reason::AllObjectivesMet)]
#[case::a_warning([Met, Warn, Met], Verdict::Warn, Reason::InWarningBand)]
#[case::one_miss([Met, Missed, Met], Verdict::Warn, Reason::ObjectiveMissed)]
#[case::a_miss_and_a_warning([Warn, Missed, Met], Verdict::Warn, Reason::ObjectiveMissed)]
#[case::two_misses([Met, Missed, Missed], Verdict::Fail, Reason::ObjectivesMissed)]
#[case::the_key([Missed, Met, Met], Verdict::Fail, Reason::KeyObjectiveMissed)]
#[case::no_data([Met, NoData, Met], Verdict::Inconclusive, Reason::NoData)]
#[case::no_data_and_a_miss([Met, NoData, Missed], Verdict::Inconclusive, Reason::NoData)]
#[case::no_data_and_the_key([Missed, NoData, Met], Verdict::Fail, Reason::KeyObjectiveMissed)]
fn objectives(#[case] outcomes: [Outcome; 3], #[case] verdict: Verdict, #[case] reason: Reason) {
    let ruling = case(outcomes).decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{}", ruling.message);
}

#[test]
fn without_any_allowed_miss_one_is_a_fail() {
    let ruling = case([Met, Missed, Met]).with(|c| c.policy.max_misses = 0).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Fail, Reason::ObjectiveMissed));
}

#[test]
fn an_objective_that_misses_in_several_windows_missed_once() {
    let ruling = case([Met, Met, Met])
        .with(|c| {
            let windows = vec![window(WindowKind::Run, Missed), window(WindowKind::Fault, Missed)];
            c.status.objectives[1] = objective(&c.plans[1], windows);
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Warn, Reason::ObjectiveMissed));
    assert_eq!(ruling.message, "list: 7.1% of 9,204 requests failed, limit 1% (and 1 more)");
    assert_eq!(
        ruling.grounds[1],
        "not met: list in fault kill-dbman: 7.1% of 9,204 requests failed, limit 1%"
    );
}

#[rstest]
#[case::missing_data(true, Verdict::Fail)]
#[case::a_window_that_never_was(false, Verdict::Inconclusive)]
fn no_data_fails_where_the_user_said_so(#[case] window_was: bool, #[case] verdict: Verdict) {
    let ruling = case([Met, NoData, Met])
        .with(|c| {
            c.plans[1].on_no_data = NoDataPolicy::Fail;
            if !window_was {
                c.status.objectives[1].windows[0].from = None;
            }
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, Reason::NoData));
}

#[test]
fn an_objective_with_nothing_to_judge_anywhere_is_no_pass() {
    let ruling = case([Met, Met, Met]).with(|c| c.status.objectives[1].outcome = NoData).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::NoData));
    assert_eq!(ruling.message, "list: none of its windows held anything to judge");
}

#[test]
fn an_objective_that_was_never_evaluated_is_no_pass() {
    let ruling = case([Met, Met, Met]).with(|c| c.status.objectives.clear()).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::NoData));
}

#[rstest]
#[case::in_time(FaultState::Injected, Met, Verdict::Pass, Reason::AllObjectivesMet)]
#[case::too_slow(FaultState::Injected, Missed, Verdict::Fail, Reason::RecoveryTooSlow)]
#[case::not_measured(FaultState::Injected, NoData, Verdict::Inconclusive, Reason::NoData)]
#[case::failed(FaultState::Failed, NoData, Verdict::Error, Reason::FaultFailed)]
#[case::unconfirmed(FaultState::Unconfirmed, NoData, Verdict::Inconclusive, Reason::FaultUnconfirmed)]
#[case::not_injected(FaultState::NotInjected, NoData, Verdict::Inconclusive, Reason::FaultNotInjected)]
#[case::still_pending(FaultState::Pending, NoData, Verdict::Inconclusive, Reason::FaultNotInjected)]
#[case::still_intended(FaultState::Intended, NoData, Verdict::Inconclusive, Reason::FaultNotInjected)]
fn faults(
    #[case] state: FaultState,
    #[case] recovery: Outcome,
    #[case] verdict: Verdict,
    #[case] reason: Reason,
) {
    let ruling = case([Met, Met, Met]).with(|c| c.status.faults = vec![fault(state, recovery)]).decide();
    assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{}", ruling.message);
}

#[test]
fn a_fault_without_a_recovery_limit_is_not_judged() {
    let unjudged = FaultStatus {
        recovery: Some(RecoveryStatus { outcome: Met, ..RecoveryStatus::default() }),
        ..fault(FaultState::Injected, Met)
    };
    let ruling = case([Met, Met, Met]).with(|c| c.status.faults = vec![unjudged]).decide();
    assert_eq!(ruling.verdict, Verdict::Pass);
    assert!(!ruling.grounds.iter().any(|line| line.contains("kill-dbman")));
}

fn lost(c: &mut Case) {
    let problems = vec!["chat-1: its container ended with exit code 137 (OOMKilled)".to_owned()];
    c.status.runners = Some(RunnersStatus { total: 4, lost: 1, problems, ..RunnersStatus::default() });
}

fn lacks(c: &mut Case, cause: ShortfallCause) {
    c.load().shortfalls.push(Shortfall { cause, message: "812 of 1,000 iterations".to_owned() });
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
#[case::push_errors(|c: &mut Case| c.facts.push_errors = 3, Verdict::Inconclusive, Reason::FiguresIncomplete)]
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

#[test]
fn a_miss_is_no_evidence_where_figures_are_missing() {
    let ruling = case([Missed, Missed, Missed]).with(|c| c.facts.push_errors = 1).decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Reason::FiguresIncomplete));
    assert!(ruling.message.starts_with("1 of k6's pushes did not reach Prometheus"), "{}", ruling.message);
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
        c.facts.push_errors = 1;
    });
    assert_eq!(ruling.decide().verdict, Verdict::Inconclusive);
}

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
                metric: "http_req_duration".to_owned(),
                expression: "avg<200".to_owned(),
                ..ScriptThreshold::default()
            };
            let thresholds = vec![threshold];
            c.status.scenarios = vec![ScenarioStatus { thresholds, ..ScenarioStatus::default() }];
        })
        .decide();
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Warn, Reason::ThresholdNotJudged));
    assert!(ruling.message.contains("threshold: http_req_duration avg<200"), "{}", ruling.message);
}

#[test]
fn the_grounds_of_a_fail() {
    let ruling = case([Missed, Warn, Met])
        .with(|c| {
            c.status.faults = vec![fault(FaultState::Injected, Met)];
            c.status.objectives[2].windows.push(window(WindowKind::Fault, NoData));
            c.load().dropped_iterations = Some(7);
        })
        .decide();
    insta::assert_snapshot!(format!(
        "{:?} {}: {}\n{}",
        ruling.verdict,
        ruling.reason.as_str(),
        ruling.message,
        ruling.grounds.join("\n")
    ));
}

#[test]
fn the_sentence_of_a_pass() {
    let ruling =
        case([Met, Met, Met]).with(|c| c.status.faults = vec![fault(FaultState::Injected, Met)]).decide();
    assert_eq!(ruling.message, "all 3 objectives were met over 9,204 requests; slowest recovery 3s");
}

#[test]
fn the_status_stays_small() {
    let ruling = case([Met, Met, Met])
        .with(|c| c.status.objectives[1].windows = vec![window(WindowKind::Run, Missed); 300])
        .decide();
    assert_eq!(ruling.grounds.len(), MOST_GROUNDS);
    assert_eq!(ruling.grounds.last().map(String::as_str), Some("and 204 more"));
}

/// Whether `b` is at least as bad as `a`. No data and a miss do not compare: a miss is evidence, and less of it
/// may be allowed.
fn no_better(a: Outcome, b: Outcome) -> bool {
    matches!((a, b), (Met, _) | (Warn, Warn | NoData | Missed) | (NoData, NoData) | (Missed, Missed))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![Met, Warn, NoData, Missed])
}

proptest! {
    #[test]
    fn a_worse_outcome_never_makes_the_verdict_better(
        outcomes in prop::collection::vec((outcome(), prop::bool::ANY, prop::bool::ANY), 1..6),
        recovery in outcome(),
        max_misses in 0i32..4,
        push_errors in prop::bool::weighted(0.2),
        runner_lost in prop::bool::weighted(0.2),
        which in 0usize..7,
        worse in outcome(),
    ) {
        let plans: Vec<ObjectivePlan> = outcomes.iter().enumerate().map(|(i, (_, key, fail))| {
            plan(&format!("o{i}"), *key, if *fail { NoDataPolicy::Fail } else { NoDataPolicy::Inconclusive })
        }).collect();
        let build = |outcomes: &[Outcome], recovery: Outcome| {
            let mut c = case([Met, Met, Met]);
            c.plans.clone_from(&plans);
            c.status.objectives = plans
                .iter()
                .zip(outcomes)
                .map(|(plan, outcome)| objective(plan, vec![window(WindowKind::Run, *outcome)]))
                .collect();
            c.status.faults = vec![fault(FaultState::Injected, recovery)];
            c.policy.max_misses = max_misses;
            c.facts.push_errors = i64::from(push_errors);
            if runner_lost {
                lost(&mut c);
            }
            c.decide()
        };
        let before: Vec<Outcome> = outcomes.iter().map(|o| o.0).collect();
        let mut after = before.clone();
        let mut recovery_after = recovery;
        let changed = after.get_mut(which).unwrap_or(&mut recovery_after);
        let was = *changed;
        *changed = worse;
        if no_better(was, worse) {
            prop_assert!(build(&before, recovery).verdict <= build(&after, recovery_after).verdict);
        }
        // Never a pass without data.
        let ruling = build(&before, recovery);
        if before.contains(&NoData) || recovery == NoData {
            prop_assert!(ruling.verdict >= Verdict::Inconclusive);
        }
        prop_assert_eq!(ruling.verdict == Verdict::Pass, ruling.reason == Reason::AllObjectivesMet);
        prop_assert!(!ruling.message.is_empty() && !ruling.grounds.is_empty());
    }
}
