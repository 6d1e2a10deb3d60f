//! Operators that die.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Wherever the operator dies, and however often, nothing that may happen once happens twice, and the run
    /// ends with nothing left over.
    #[test]
    fn no_crash_makes_anything_happen_twice(deaths in prop::collection::btree_map(0usize..350, any::<bool>(), 0..6)) {
        let mut sim = Sim::new();
        sim.run(&deaths);
        prop_assert!(sim.cluster.deletes.len() <= 1, "killed {:?}", sim.cluster.deletes);
        prop_assert!(sim.cluster.setups <= 2);
        prop_assert!(sim.cluster.teardowns <= 2);
        prop_assert!(sim.cluster.pods.is_empty());
        prop_assert_eq!(sim.status.phase, Phase::Finished);
        let fault = &sim.status.faults[0];
        if fault.state == FaultState::Injected {
            // What the status claims is what happened.
            prop_assert_eq!(&sim.cluster.deletes, &vec![fault.targets[0].uid.clone()]);
        }
        if sim.cluster.deletes.is_empty() {
            prop_assert!(fault.state != FaultState::Injected);
        }
        if sim.status.scenarios.iter().any(|s| s.setup == StepState::Intended) {
            prop_assert_eq!(sim.status.verdict, Some(Verdict::Error));
        }
    }

    /// A breach that was decided stays decided, and the load is stopped.
    #[test]
    fn a_breach_survives_the_operator(deaths in prop::collection::btree_map(0usize..200, any::<bool>(), 0..6)) {
        let mut sim = Sim::guarded();
        sim.run(&deaths);
        prop_assert_eq!(sim.status.phase, Phase::Finished);
        if stopper(&sim.status).is_some() {
            prop_assert!(sim.cluster.stopped_at.is_some());
            prop_assert_eq!(sim.status.verdict, Some(Verdict::Fail));
        }
        prop_assert!(sim.cluster.teardowns <= 2);
        prop_assert!(sim.cluster.pods.is_empty());
    }
}
