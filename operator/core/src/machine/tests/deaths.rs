//! Operators that die.

use std::sync::LazyLock;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Wherever the operator dies, and however often, and wherever the run is stopped or a guardrail breached, nothing
    /// that may happen once happens twice, and the run ends with nothing left over.
    #[test]
    fn no_crash_makes_anything_happen_twice(
        deaths in prop::collection::btree_map(0usize..350, any::<bool>(), 0..6),
        stop_at in prop::option::of(0usize..350),
        harm_after in prop::option::of(15_000u64..20_000),
    ) {
        let mut sim = if harm_after.is_some() { Sim::guarded() } else { Sim::new() };
        sim.harm_after = harm_after.map(Duration::from_millis);
        sim.stop_at = stop_at;
        sim.run(&deaths);
        nothing_twice(&sim)?;
    }

    /// The same close to the fault, where a death leaves most in doubt.
    #[test]
    fn no_crash_around_a_fault_hides_it(
        deaths in prop::collection::btree_map(0usize..16, any::<bool>(), 0..4),
        stop_at in prop::option::of(0usize..16),
    ) {
        let from = *STEPS_TO_KILL - 8;
        let mut sim = Sim::new();
        sim.stop_at = stop_at.map(|step| from + step);
        sim.run(&deaths.into_iter().map(|(step, lost)| (from + step, lost)).collect());
        nothing_twice(&sim)?;
    }

    /// A breach that was decided stays decided, and the load is stopped.
    #[test]
    fn a_breach_survives_the_operator(deaths in prop::collection::btree_map(0usize..200, any::<bool>(), 0..6)) {
        let mut sim = Sim::guarded();
        sim.run(&deaths);
        prop_assert_eq!(sim.status.phase, Phase::Finished);
        if sim.status.stopper().is_some() {
            prop_assert!(sim.cluster.stopped_at.is_some());
            // Two that died of judging it are enough.
            let judged = sim.status.reason.as_deref() != Some("NotJudged");
            prop_assert_eq!(sim.status.verdict, Some(if judged { Verdict::Fail } else { Verdict::Error }));
        }
        prop_assert!(sim.cluster.teardowns <= 2);
        prop_assert!(sim.cluster.pods.is_empty());
    }
}

/// Passes until the fault is sent, where nothing disturbs the run.
static STEPS_TO_KILL: LazyLock<usize> = LazyLock::new(steps_to_kill);

fn steps_to_kill() -> usize {
    let mut sim = Sim::new();
    for step in 0..2000 {
        let moved = sim.pass();
        if sim.under_way.iter().any(|effect| matches!(effect, Effect::Kill { .. })) {
            return step;
        }
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    panic!("no fault was sent");
}

fn nothing_twice(sim: &Sim) -> Result<(), TestCaseError> {
    prop_assert!(sim.cluster.deletes.len() <= 1, "killed {:?}", sim.cluster.deletes);
    prop_assert!(sim.cluster.setups <= 2);
    prop_assert!(sim.cluster.teardowns <= 2);
    prop_assert!(sim.cluster.pods.is_empty());
    prop_assert_eq!(sim.status.phase, Phase::Finished);
    let Some(fault) = sim.status.faults.first() else {
        // Stopped before it was taken up.
        return Ok(());
    };
    if fault.state == FaultState::NotInjected {
        prop_assert!(sim.cluster.deletes.is_empty(), "{fault:?}");
    }
    if fault.state == FaultState::Injected {
        // What the status claims is what happened.
        prop_assert_eq!(&sim.cluster.deletes, &vec![fault.targets[0].uid.clone()]);
    }
    if sim.cluster.deletes.is_empty() {
        prop_assert!(fault.state != FaultState::Injected);
    }
    if sim.status.resume.setup.values().any(|step| *step == StepState::Intended) {
        let verdict = sim.status.verdict;
        prop_assert!(verdict == Some(Verdict::Error) || sim.stop && verdict == Some(Verdict::Aborted));
    }
    Ok(())
}
