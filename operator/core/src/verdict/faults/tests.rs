use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{BudgetStatus, LoadStatus, RecoveryStatus, RunnersStatus, TargetStatus};
use rstest::rstest;

use super::*;

/// The grounds of one fault, as verdict, reason and text.
fn grounds(fault: FaultStatus, lost: i32, figures_whole: bool) -> Vec<(Verdict, Reason, String)> {
    let runners = Some(RunnersStatus { lost, ..RunnersStatus::default() });
    let status = LoadTestStatus { faults: vec![fault], runners, ..LoadTestStatus::default() };
    let mut grounds = Vec::new();
    of_faults(&status, &mut grounds);
    let doubt = (!figures_whole).then_some(Reason::FiguresIncomplete);
    of_limits(&status, doubt, &mut grounds);
    grounds.into_iter().map(|g| (g.verdict, g.reason, g.text)).collect()
}

fn fault(state: FaultState, message: Option<&str>) -> FaultStatus {
    FaultStatus {
        name: "kill".to_owned(),
        state,
        injected_at: Some(MicroTime(Timestamp::UNIX_EPOCH)),
        message: message.map(str::to_owned),
        ..FaultStatus::default()
    }
}

/// The operator was away as the load ended, and learned of the end too late.
#[rstest]
#[case::before_the_end(1, 0)]
#[case::as_it_ended(0, 1)]
fn a_fault_after_the_load_met_nothing(#[case] ended: i64, #[case] expected: usize) {
    let ended_at = Some(MicroTime(Timestamp::from_second(ended).unwrap()));
    let status = LoadTestStatus {
        faults: vec![fault(FaultState::Injected, None)],
        load: Some(LoadStatus { ended_at, ..LoadStatus::default() }),
        ..LoadTestStatus::default()
    };
    let mut grounds = Vec::new();
    of_faults(&status, &mut grounds);
    let inconclusive =
        |g: &&Ground| (g.verdict, g.reason) == (Verdict::Inconclusive, Reason::FaultNotInjected);
    assert_eq!(grounds.iter().filter(inconclusive).count(), expected);
}

/// A load of 60 s with a fault after 20 s, whose pod came again after so many seconds, or never.
#[rstest]
#[case::replaced(FaultState::Injected, Some(5), None, None)]
#[case::lost(
    FaultState::Injected,
    None,
    Some("1 of 2 ready"),
    Some((Verdict::Warn, Reason::NotReplaced, "fault kill: pod dbman-0 was not replaced within 40s, when the load ended: 1 of 2 ready"))
)]
#[case::nobody_looked(
    FaultState::Injected,
    None,
    None,
    Some((Verdict::Inconclusive, Reason::NoData, "no data: fault kill: whether pod dbman-0 was replaced within 40s, when the load ended, nobody saw"))
)]
#[case::perhaps_not_ours(FaultState::Unconfirmed, None, None, None)]
#[case::never_sent(FaultState::NotInjected, None, None, None)]
fn a_pod_that_is_lost_for_good_is_named(
    #[case] state: FaultState,
    #[case] replaced: Option<i64>,
    #[case] missing: Option<&str>,
    #[case] expected: Option<(Verdict, Reason, &str)>,
) {
    let at = |second: i64| Some(MicroTime(Timestamp::from_second(second).unwrap()));
    let fault = FaultStatus {
        injected_at: at(20),
        replaced_at: replaced.and_then(|after| at(20 + after)),
        missing: missing.map(str::to_owned),
        targets: vec![TargetStatus { name: "dbman-0".to_owned(), ..TargetStatus::default() }],
        ..fault(state, None)
    };
    let status = LoadTestStatus {
        faults: vec![fault],
        load: Some(LoadStatus { ended_at: at(60), ..LoadStatus::default() }),
        ..LoadTestStatus::default()
    };
    let mut grounds = Vec::new();
    of_replacements(&status, &mut grounds);
    let found = grounds.first().map(|g| (g.verdict, g.reason, g.text.as_str()));
    assert_eq!(found, expected);
    let shown = if missing.is_some() { ", 1 not replaced" } else { "" };
    let injected = usize::from(state == FaultState::Injected);
    assert_eq!(display::display(&status, &[]).faults, Some(format!("{injected}/1{shown}")));
}

#[test]
fn of_many_pods_some_are_named() {
    let named = |n: usize| {
        let target = |i| TargetStatus { name: format!("d-{i}"), ..TargetStatus::default() };
        pods(&FaultStatus { targets: (0..n).map(target).collect(), ..FaultStatus::default() })
    };
    assert_eq!(named(1), "pod d-0 was");
    assert_eq!(named(2), "pods d-0, d-1 were");
    assert_eq!(named(7), "pods d-0, d-1, d-2, d-3, d-4 and 2 more were");
}

fn budget(outcome: Outcome) -> FaultStatus {
    let message = Some("60 bad requests, limit 59".to_owned());
    let budget = Some(BudgetStatus { outcome, message, ..BudgetStatus::default() });
    FaultStatus { budget, ..fault(FaultState::Injected, None) }
}

#[rstest]
#[case::met(Outcome::Met, 0, true, Verdict::Pass, Reason::AllObjectivesMet, "met: budget of kill: 60 bad")]
#[case::missed(
    Outcome::Missed,
    0,
    true,
    Verdict::Fail,
    Reason::BudgetExceeded,
    "not met: budget of kill: 60"
)]
#[case::unclear(Outcome::Unclear, 0, true, Verdict::Warn, Reason::Unclear, "unclear: budget of kill")]
#[case::no_data(Outcome::NoData, 0, true, Verdict::Inconclusive, Reason::NoData, "no data: budget of kill")]
#[case::figures_missing(
    Outcome::Missed,
    0,
    false,
    Verdict::Inconclusive,
    Reason::FiguresIncomplete,
    "not met: b"
)]
#[case::runner_lost(Outcome::Missed, 1, true, Verdict::Inconclusive, Reason::RunnerLost, "not met: budget")]
fn budgets(
    #[case] outcome: Outcome,
    #[case] lost: i32,
    #[case] whole: bool,
    #[case] verdict: Verdict,
    #[case] reason: Reason,
    #[case] text: &str,
) {
    let all = grounds(budget(outcome), lost, whole);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].0, all[0].1), (verdict, reason));
    assert!(all[0].2.starts_with(text), "{all:?}");
}

#[test]
fn a_fault_that_failed_says_so_once() {
    let failed = FaultStatus { state: FaultState::Failed, ..budget(Outcome::NoData) };
    assert_eq!(grounds(failed, 0, true).len(), 1);
}

#[rstest]
#[case::skipped(
    FaultState::NotInjected,
    Some("not steady: ok: 12% of 200 requests failed in the last 10s, at most 1%"),
    Reason::NotSteady,
    Some("fault kill was skipped: not steady: ok")
)]
#[case::too_late(
    FaultState::NotInjected,
    Some("the load ended before it was due"),
    Reason::FaultNotInjected,
    Some("fault kill was not injected: the load ended before it was due")
)]
#[case::not_known(
    FaultState::Injected,
    Some("whether the system was steady before is not known: Prometheus had not answered in time"),
    Reason::AllObjectivesMet,
    Some("fault kill was injected: whether the system was steady")
)]
#[case::injected(FaultState::Injected, None, Reason::AllObjectivesMet, None)]
fn faults(
    #[case] state: FaultState,
    #[case] message: Option<&str>,
    #[case] reason: Reason,
    #[case] text: Option<&str>,
) {
    let all = grounds(fault(state, message), 0, true);
    match text {
        None => assert!(all.is_empty(), "{all:?}"),
        Some(text) => {
            assert_eq!((all.len(), all[0].1), (1, reason), "{all:?}");
            assert!(all[0].2.starts_with(text), "{all:?}");
        }
    }
}

#[test]
fn a_target_that_served_nothing_makes_it_inconclusive() {
    let recovery = RecoveryStatus {
        outcome: Outcome::NoData,
        effect: FaultEffect::NotExercised,
        within: Some("10s".to_owned()),
        message: Some("ok had no request in the 60s before the fault".to_owned()),
        ..RecoveryStatus::default()
    };
    let all = grounds(FaultStatus { recovery: Some(recovery), ..budget(Outcome::NoData) }, 0, true);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|g| (g.0, g.1) == (Verdict::Inconclusive, Reason::NotExercised)), "{all:?}");
}
