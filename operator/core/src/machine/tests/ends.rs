//! What ends a load before its time.

use super::*;

#[test]
fn a_breach_stops_the_load_and_is_a_fail() {
    let mut sim = Sim::guarded();
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.verdict, Some(Verdict::Fail));
    assert_eq!(sim.status.reason.as_deref(), Some("GuardrailBreached"));
    let (from, stopped) = (sim.cluster.load_from.unwrap(), sim.cluster.stopped_at.unwrap());
    let after = Duration::try_from(stopped.duration_since(from)).unwrap();
    assert!((8..9).contains(&after.as_secs()), "{after:?}");
    // The fault was due at 20 s. The users' data is cleaned up all the same.
    assert_eq!(sim.status.faults[0].state, FaultState::NotInjected);
    assert!(sim.cluster.deletes.is_empty());
    assert_eq!(sim.cluster.teardowns, 2);
    let (runners, load) = (sim.status.runners.unwrap(), sim.status.load.unwrap());
    assert_eq!((runners.lost, load.ended_at.map(|at| at.0)), (0, Some(stopped)));
    let scripts = sim.status.grounds.iter().find(|ground| ground.contains("ended by their own script"));
    assert_eq!(scripts, None);
}

#[test]
fn a_runner_that_cannot_be_stopped_is_ended_with_its_pod() {
    let mut sim = Sim::guarded();
    while !sim.under_way.iter().any(|effect| matches!(effect, Effect::StopLoad { .. })) {
        sim.finish_effects();
        if !sim.pass() {
            sim.now += Duration::from_millis(250);
        }
    }
    sim.under_way.clear();
    sim.facts.load_stopped = Some(vec![RunnerId { scenario: "a".to_owned(), index: 1 }]);
    sim.pass();
    let released = sim.under_way.iter().any(|effect| matches!(effect, Effect::Release { .. }));
    assert!(released, "{:?}", sim.under_way);
    sim.run(&BTreeMap::new());
    assert_eq!((sim.status.verdict, sim.cluster.teardowns), (Some(Verdict::Fail), 0));
}

#[test]
fn a_stop_ends_the_load_and_aborts() {
    let mut sim = Sim::new();
    while sim.status.phase != Phase::Running {
        sim.pass();
        sim.finish_effects();
    }
    sim.stop = true;
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.verdict, Some(Verdict::Aborted));
    assert_eq!(sim.status.faults[0].state, FaultState::NotInjected);
    assert!(sim.cluster.deletes.is_empty());
    assert!(sim.cluster.pods.is_empty());
}

#[test]
fn a_deleted_run_leaves_nothing() {
    let mut sim = Sim::new();
    while sim.status.phase != Phase::Running {
        sim.pass();
        sim.finish_effects();
    }
    sim.deleting = true;
    sim.run(&BTreeMap::new());
    assert!(sim.cluster.pods.is_empty());
}
