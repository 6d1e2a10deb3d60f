use loadtest_crds::{LoadStatus, Outcome, Plateau, RecoveryStatus, ScenarioStatus};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const START: i64 = 1_700_000_000;

fn at(second: f64) -> Timestamp {
    Timestamp::from_millisecond(START * 1000 + (second * 1000.0) as i64).unwrap()
}

fn micro(second: f64) -> Option<MicroTime> {
    Some(MicroTime(at(second)))
}

/// 100 s of load with 10 s of ramp at either end.
fn status(faults: Vec<FaultStatus>) -> LoadTestStatus {
    LoadTestStatus {
        load: Some(LoadStatus { started_at: micro(0.0), ended_at: micro(100.0), ..LoadStatus::default() }),
        scenarios: vec![
            ScenarioStatus {
                name: "chat".to_owned(),
                plateaus: vec![Plateau { from: 10_000, to: 90_000 }],
                ..ScenarioStatus::default()
            },
            ScenarioStatus {
                name: "probe".to_owned(),
                plateaus: vec![Plateau { from: 0, to: 100_000 }],
                ..ScenarioStatus::default()
            },
        ],
        faults,
        ..LoadTestStatus::default()
    }
}

fn fault(injected: f64, replaced: Option<f64>, recovered: Option<Option<f64>>) -> FaultStatus {
    FaultStatus {
        name: "kill".to_owned(),
        state: FaultState::Injected,
        injected_at: micro(injected),
        replaced_at: replaced.and_then(micro),
        recovery: recovered.map(|recovered| RecoveryStatus {
            outcome: Outcome::Met,
            within: Some("10s".to_owned()),
            recovered_at: recovered.and_then(micro),
            ..RecoveryStatus::default()
        }),
        ..FaultStatus::default()
    }
}

/// The stretches of a kind in seconds of the load, or why there are none.
fn show(status: &LoadTestStatus, kind: WindowKind) -> String {
    let second = |t: Timestamp| (t.as_millisecond() - START * 1000) as f64 / 1000.0;
    windows(status)
        .iter()
        .filter(|w| w.kind == kind)
        .map(|w| match &w.extent {
            Extent::Stretches(s) => s
                .iter()
                .map(|s| format!("{}..{}", second(s.from), second(s.to)))
                .collect::<Vec<_>>()
                .join(" "),
            Extent::Nothing(why) => format!("nothing: {why}"),
            Extent::Absent(why) => format!("absent: {why}"),
        })
        .collect::<Vec<_>>()
        .join("; ")
}

#[rstest]
#[case::no_fault(vec![], "10..90", "")]
#[case::recovered_after_replaced(vec![fault(30.0, Some(35.0), Some(Some(41.0)))], "10..30 41..90", "30..35")]
#[case::recovered_before_replaced(vec![fault(30.0, Some(35.0), Some(Some(32.0)))], "10..30 35..90", "30..35")]
#[case::never_recovered(vec![fault(30.0, Some(35.0), Some(None))], "10..30", "30..35")]
#[case::never_replaced(vec![fault(30.0, None, Some(Some(32.0)))], "10..30", "30..100")]
#[case::no_recovery_asked_for(vec![fault(30.0, Some(35.0), None)], "10..30 35..90", "30..35")]
#[case::two_that_overlap(
    vec![fault(30.0, Some(35.0), Some(Some(50.0))), fault(40.0, Some(45.0), Some(Some(60.0)))],
    "10..30 60..90",
    "30..35; 40..45"
)]
fn steady_and_fault_windows(#[case] faults: Vec<FaultStatus>, #[case] steady: &str, #[case] of_faults: &str) {
    let status = status(faults);
    assert_eq!(show(&status, WindowKind::Run), "0..100");
    assert_eq!(show(&status, WindowKind::Steady), steady);
    assert_eq!(show(&status, WindowKind::Fault), of_faults);
}

#[rstest]
#[case::after_the_replacement(fault(30.0, Some(35.0), Some(Some(41.0))), "35..41")]
#[case::never(fault(30.0, Some(35.0), Some(None)), "35..100")]
#[case::before_the_replacement(
    fault(30.0, Some(35.0), Some(Some(32.0))),
    "nothing: the objectives held again before the pods of fault kill were replaced"
)]
#[case::not_asked_for(
    fault(30.0, Some(35.0), None),
    "nothing: fault kill has no recovery, which alone says when it is over"
)]
#[case::not_injected(
    FaultStatus { state: FaultState::NotInjected, ..fault(30.0, None, None) },
    "absent: fault kill was not injected"
)]
#[case::unconfirmed(
    FaultStatus { state: FaultState::Unconfirmed, ..fault(30.0, None, None) },
    "absent: fault kill may have happened, but not provably by this run"
)]
fn recovery_windows(#[case] fault: FaultStatus, #[case] recovery: &str) {
    assert_eq!(show(&status(vec![fault]), WindowKind::Recovery), recovery);
}

#[test]
fn an_unconfirmed_fault_is_no_steady_load() {
    let fault = FaultStatus { state: FaultState::Unconfirmed, ..fault(30.0, Some(40.0), None) };
    assert_eq!(show(&status(vec![fault]), WindowKind::Steady), "10..30 40..90");
}

#[test]
fn a_load_that_ramps_all_the_time_has_no_steady_window() {
    let mut status = status(vec![]);
    status.scenarios[1].plateaus.clear();
    assert!(show(&status, WindowKind::Steady).starts_with("absent: the load ramps all the time"));
}

#[test]
fn a_run_without_load_has_no_windows() {
    assert!(windows(&LoadTestStatus::default()).iter().all(|w| matches!(w.extent, Extent::Absent(_))));
}

#[test]
fn the_run_starts_with_the_first_runner_and_not_with_the_last() {
    let mut status = status(vec![]);
    status.load.as_mut().unwrap().start_intended_at = micro(-0.5);
    assert_eq!(show(&status, WindowKind::Run), "-0.5..100");
    assert_eq!(show(&status, WindowKind::Steady), "10..90");
}

fn faults() -> impl Strategy<Value = Vec<FaultStatus>> {
    let one =
        (0.0f64..100.0, prop::option::of(0.0f64..40.0), prop::option::of(prop::option::of(0.0f64..40.0)));
    prop::collection::vec(
        one.prop_map(|(at, replaced, recovered)| {
            fault(at, replaced.map(|r| at + r), recovered.map(|r| r.map(|r| at + r)))
        }),
        0..6,
    )
}

proptest! {
    #[test]
    fn steady_load_holds_nothing_of_a_fault(faults in faults()) {
        let status = status(faults);
        let load = load(&status).unwrap();
        let all = windows(&status);
        let steady = all.iter().find(|w| w.kind == WindowKind::Steady).unwrap().stretches();
        for pair in steady.windows(2) {
            prop_assert!(pair[0].to <= pair[1].from, "stretches in order and apart");
        }
        let apart = |a: &Interval, b: &Interval| a.to <= b.from || b.to <= a.from;
        for window in &all {
            for stretch in window.stretches() {
                prop_assert!(stretch.from < stretch.to);
                prop_assert!(stretch.from >= load.from && stretch.to <= load.to, "within the load");
                if matches!(window.kind, WindowKind::Fault | WindowKind::Recovery) {
                    prop_assert!(steady.iter().all(|s| apart(s, stretch)), "apart from the steady load");
                }
            }
        }
        for fault in &status.faults {
            let of = |kind| all.iter().find(|w| w.kind == kind && w.fault.as_ref() == Some(&fault.name));
            if let (Some(during), Some(after)) = (of(WindowKind::Fault), of(WindowKind::Recovery))
                && let ([during], [after]) = (during.stretches(), after.stretches())
            {
                prop_assert!(during.to <= after.from, "the recovery follows the fault");
            }
        }
    }
}
