//! Operators that die of judging a run.

use super::*;

/// As far as where the figures are about to be judged; the operator dies of it.
fn die_judging(sim: &mut Sim) {
    sim.run_to(&Effect::Evaluate);
    sim.crash(true);
}

#[test]
fn a_run_that_took_the_operator_down_twice_is_not_judged_again() {
    let mut sim = Sim::new();
    die_judging(&mut sim);
    die_judging(&mut sim);
    sim.run(&BTreeMap::new());
    let status = &sim.status;
    assert_eq!((status.verdict, status.reason.as_deref()), (Some(Verdict::Error), Some("NotJudged")));
    assert!(
        status.message.as_ref().unwrap().starts_with("the operator ended 2 times while it judged this run")
    );
    assert_eq!((status.phase, sim.cluster.judgements), (Phase::Finished, 0));
    // What was done to the system under test is told all the same.
    assert_eq!(status.faults[0].state, FaultState::Injected);
    assert!(sim.cluster.pods.is_empty() && sim.cluster.finalizer_gone);
}

#[test]
fn a_run_that_took_it_down_once_is_judged_when_no_other_such_run_is() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::Settle { again: false });
    assert!(sim.under_way.contains(&Effect::Settle { again: false }));
    die_judging(&mut sim);
    sim.run_to(&Effect::Settle { again: true });
    assert!(sim.under_way.contains(&Effect::Settle { again: true }), "{:?}", sim.under_way);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.resume.judged_by, ["operator-1", "operator-2"]);
    assert_eq!((sim.status.phase, sim.cluster.judgements), (Phase::Finished, 1));
    assert_ne!(sim.status.reason.as_deref(), Some("NotJudged"));
}

/// It is recorded before the figures are asked for, and only by a process that is about to.
#[test]
fn an_operator_that_dies_while_it_waits_has_not_judged() {
    let mut sim = Sim::new();
    for _ in 0..5 {
        sim.run_to(&Effect::Settle { again: false });
        assert_eq!(sim.status.resume.judged_by, Vec::<String>::new());
        sim.crash(true);
    }
    sim.run_to(&Effect::Evaluate);
    assert_eq!(sim.status.resume.judged_by, ["operator-6"]);
}

/// Two that both believe they lead take turns: neither has ended.
#[test]
fn two_operators_at_once_are_no_deaths() {
    let mut sim = Sim::new();
    for turn in 0..6 {
        sim.run_to(&Effect::Evaluate);
        sim.crash(true);
        sim.process = format!("operator-{}", 1 + (turn + 1) % 2);
    }
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.resume.judged_by, ["operator-1", "operator-2"]);
    assert_ne!(sim.status.reason.as_deref(), Some("NotJudged"));
}
