use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{
    FaultState, FaultStatus, K6Figure, Objective, RecoveryStatus, RunnersStatus, WindowKind,
};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

mod faults;
mod guardrails;
mod load;
mod samples;

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

fn fault(state: FaultState, outcome: Outcome) -> FaultStatus {
    let message = match outcome {
        Outcome::Missed => "back 14s after the fault, measured to 2s, limit 10s",
        _ => "back 3s after the fault, measured to 2s, limit 10s",
    };
    FaultStatus {
        name: "kill-dbman".to_owned(),
        state,
        injected_at: at(20),
        replaced_at: at(22),
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

fn lost(c: &mut Case) {
    let problems = vec!["chat-1: its container ended with exit code 137 (OOMKilled)".to_owned()];
    c.status.runners = Some(RunnersStatus { total: 4, lost: 1, problems, ..RunnersStatus::default() });
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
        ruling.reason,
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
        settled in prop::bool::weighted(0.8),
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
            c.facts.not_settled = (!settled).then(|| "late".to_owned());
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
