//! When a fault is over.

use rstest::rstest;

use super::*;
use crate::{
    evaluate::windows::{Extent, windows},
    machine::tests::faults::with_second,
};

/// Pods `d-1` to `d-3`, two faults of one of them.
fn two_faults(second_at: &str) -> Sim {
    let mut sim = Sim::new();
    sim.plan = with_second(second_at);
    sim.cluster.dbmans.insert("d-3".to_owned(), true);
    sim
}

fn until_replaced(fault: &FaultStatus) -> Duration {
    let (from, to) = (fault.injected_at.as_ref().unwrap().0, fault.replaced_at.as_ref().unwrap().0);
    Duration::try_from(to.duration_since(from)).unwrap()
}

fn assert_windows(sim: &Sim) {
    for window in windows(&sim.status) {
        let is_there = matches!(window.extent, Extent::Stretches(_));
        assert!(is_there || window.kind != loadtest_crds::WindowKind::Fault, "{window:?}");
    }
}

/// So many milliseconds before the fault, or after it.
#[rstest]
#[case(-1900, 3)]
#[case(-1000, 3)]
#[case(-250, 3)]
#[case(0, 3)]
#[case(500, 2)]
fn a_pod_that_becomes_ready_before_the_fault_was_there_before_it(#[case] at: i64, #[case] before: i32) {
    let mut sim = Sim::new();
    sim.replaced_after = Some(Duration::from_secs(4));
    while sim.status.faults.first().is_none_or(|fault| fault.state != FaultState::Intended) {
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    let due = sim.status.faults[0].due_at.clone().unwrap().0;
    sim.cluster.coming.insert("d-3".to_owned(), due + jiff::SignedDuration::from_millis(at));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((fault.ready_before, fault.services[0].ready_before), (Some(before), before), "{fault:#?}");
    let took = if before == 3 { 4000 } else { 500 };
    assert_eq!(until_replaced(fault), Duration::from_millis(took));
    assert_windows(&sim);
}

/// Three seconds apart: what comes in the place of the first fault's pod does not end the second, whether it is ready
/// before it was picked, between pick and deletion, or after it.
#[rstest]
fn each_fault_waits_for_its_own_replacement(
    #[values(500, 1250, 2500, 3000, 4000, 8000)] replaced_after: u64,
    #[values("22s", "23s", "25s")] second_at: &str,
) {
    let mut sim = two_faults(second_at);
    sim.replaced_after = Some(Duration::from_millis(replaced_after));
    sim.run(&BTreeMap::new());
    for fault in &sim.status.faults {
        assert_eq!(fault.state, FaultState::Injected);
        assert!(until_replaced(fault) >= Duration::from_millis(replaced_after), "{fault:#?}");
        assert_eq!(fault.ready_before, Some(3), "{fault:#?}");
    }
    assert_eq!(until_replaced(&sim.status.faults[1]), Duration::from_millis(replaced_after));
    assert_windows(&sim);
}

/// Nor does what comes in the place of a pod that another run has deleted.
#[test]
fn a_fault_of_another_run_is_not_over_either() {
    let mut sim = Sim::new();
    sim.replaced_after = Some(Duration::from_secs(4));
    while sim.status.faults.first().is_none_or(|fault| fault.state != FaultState::Intended) {
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    let due = sim.status.faults[0].due_at.clone().unwrap().0;
    let mut earlier = super::claims::claim(&sim, "d-0");
    earlier.injected_at = Some(due - Duration::from_secs(3));
    earlier.before.ready = 3;
    sim.claimed.push(Arc::new(earlier));
    sim.cluster.coming.insert("d-0'".to_owned(), due + Duration::from_secs(2));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((fault.ready_before, until_replaced(fault)), (Some(3), Duration::from_secs(4)), "{fault:#?}");
}

/// What will not come is not waited for again: the second fault is over with its own pod.
#[test]
fn a_pod_that_was_lost_to_an_earlier_fault_is_not_waited_for() {
    let mut sim = two_faults("40s");
    sim.replaced_after = None;
    while sim.cluster.deletes.is_empty() {
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    sim.replaced_after = Some(Duration::from_secs(2));
    sim.run(&BTreeMap::new());
    let [first, second] = sim.status.faults.as_slice() else { panic!("two faults") };
    assert_eq!((first.ready_before, first.replaced_at.is_some()), (Some(3), false), "{first:#?}");
    assert_eq!(first.missing.as_deref(), Some("2 of 3 ready"));
    assert_eq!((second.ready_before, until_replaced(second)), (Some(2), Duration::from_secs(2)));
}

/// Also where operators die on the way; but for one that dies when nothing can be seen any more.
#[rstest]
#[case::nobody_dies(None)]
#[case::after_the_fault(Some(30))]
fn a_pod_that_does_not_come_again_is_named(#[case] dies_after: Option<u64>) {
    let mut sim = Sim::new();
    sim.replaced_after = None;
    if let Some(after) = dies_after {
        while sim.cluster.load_from.is_none_or(|from| sim.now < from + Duration::from_secs(after)) {
            let moved = sim.pass();
            sim.finish_effects();
            if !moved {
                sim.now += Duration::from_millis(250);
            }
        }
        sim.crash(true);
    }
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((fault.state, fault.replaced_at.clone()), (FaultState::Injected, None));
    assert_eq!(fault.missing.as_deref(), Some("1 of 2 ready"));
    let pod = &fault.targets[0].name;
    let ground =
        format!("fault kill: pod {pod} was not replaced within 40s, when the load ended: 1 of 2 ready");
    assert!(sim.status.grounds.contains(&ground), "{:#?}", sim.status.grounds);
    assert_ne!(sim.status.verdict, Some(Verdict::Pass));
    let shown = sim.status.display.and_then(|display| display.faults);
    assert_eq!(shown.as_deref(), Some("1/1, 1 not replaced"));
}
