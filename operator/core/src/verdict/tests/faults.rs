//! Faults and their recoveries.

use super::*;

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
