//! The API server takes no record.

use super::*;
use crate::{
    machine::unrecorded::{give_up, restrict},
    plan::size,
};

impl Sim {
    fn reached(phase: Phase) -> Self {
        let mut sim = Sim::guarded();
        sim.harm_after = None;
        while sim.status.phase != phase {
            let moved = sim.pass();
            sim.finish_effects();
            if !moved {
                sim.now += Duration::from_millis(250);
            }
        }
        sim
    }

    /// A pass whose record is refused: what it does all the same.
    fn refused_pass(&mut self) -> Vec<Effect> {
        self.advance_cluster();
        let (plan, status, mut world) = self.world();
        let mut pass = decide(plan, status, &mut world);
        if pass.status != self.status {
            restrict(&mut pass, &self.status, self.stop);
        }
        self.begin(pass)
    }

    fn give_up(&mut self, why: &str) -> Option<Pass> {
        let (plan, status, world) = self.world();
        give_up(plan, status, why, &world)
    }

    fn begin(&mut self, pass: Pass) -> Vec<Effect> {
        let mut effects = pass.effects;
        self.releases = pass.releases;
        effects.retain(|effect| self.facts.dispatched.insert(effect.key()));
        self.under_way.extend(effects.iter().cloned());
        effects
    }

    /// So many of them, with what is done between them.
    fn refused_passes(&mut self, passes: usize) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..passes {
            done.extend(self.refused_pass().iter().map(Effect::key));
            self.finish_effects();
            self.now += Duration::from_secs(1);
        }
        done
    }
}

fn ended(sim: &Sim) -> bool {
    sim.cluster.pods.values().all(|pod| matches!(pod.state, PodState::Ended { .. }))
}

#[test]
fn without_a_record_nothing_begins() {
    let mut sim = Sim::new();
    assert_eq!(sim.refused_passes(10), Vec::<String>::new());
}

#[test]
fn a_stop_ends_the_load_and_nothing_else() {
    let mut sim = Sim::reached(Phase::Running);
    sim.stop = true;
    let done = sim.refused_passes(10);
    assert_eq!((done, ended(&sim)), (vec!["release".to_owned()], true));
    assert_eq!(sim.status.phase, Phase::Running, "it is not recorded");
    // Once it can be, the run ends as any other that is stopped.
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.verdict, Some(Verdict::Aborted));
    assert!(sim.cluster.deletes.is_empty());
}

/// The next operator finds the stop in the spec.
#[test]
fn a_stop_that_is_not_recorded_outlives_the_operator() {
    let mut sim = Sim::reached(Phase::Running);
    sim.stop = true;
    sim.refused_passes(3);
    sim.crash(true);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.verdict, Some(Verdict::Aborted));
}

#[test]
fn a_breach_stops_the_load() {
    let mut sim = Sim::reached(Phase::Running);
    while sim.pass() {
        sim.finish_effects();
    }
    sim.harm_after = Some(Duration::ZERO);
    let done = sim.refused_passes(10);
    assert!(done.contains(&"stop-load".to_owned()) && sim.cluster.stopped_at.is_some(), "{done:?}");
    assert!(!done.iter().any(|key| key.starts_with("kill") || key == "release"), "{done:?}");
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.reason.as_deref(), Some("GuardrailBreached"));
}

#[test]
fn a_deletion_needs_no_record() {
    let mut sim = Sim::reached(Phase::Running);
    sim.deleting = true;
    sim.refused_passes(10);
    assert!(sim.cluster.finalizer_gone && sim.cluster.pods.is_empty());
}

#[test]
fn a_status_that_is_too_large_is_an_error_in_few_words() {
    let mut sim = Sim::reached(Phase::Running);
    sim.status.faults[0].state = FaultState::Injected;
    let large = size::stored_bytes(&sim.status);
    let why = "etcdserver: request is too large";
    let last = sim.give_up(why).unwrap();
    let (status, large) = (&last.status, large.max(4000));
    assert_eq!((status.verdict, status.reason.as_deref()), (Some(Verdict::Error), Some("StatusTooLarge")));
    assert!(status.message.as_ref().is_some_and(|m| m.contains(why) && m.contains("ConfigMaps")));
    assert_eq!(status.faults[0].state, FaultState::Injected, "what was done to the system is told");
    assert!(size::stored_bytes(status) < large, "{status:#?}");

    // Recorded or not, the pods go.
    let mut unrecorded = Sim::reached(Phase::Running);
    for _ in 0..3 {
        let last = unrecorded.give_up(why).unwrap();
        unrecorded.begin(last);
        unrecorded.finish_effects();
    }
    assert!(unrecorded.cluster.pods.is_empty() && unrecorded.cluster.finalizer_gone);
    // And once there is room again, the run has an end.
    unrecorded.cluster.finalizer_gone = false;
    unrecorded.run(&BTreeMap::new());
    assert_eq!(unrecorded.status.phase, Phase::Finished);
    sim.status = last.status;
    sim.run(&BTreeMap::new());
    assert!(sim.cluster.pods.is_empty());
    assert_eq!(sim.status.reason.as_deref(), Some("StatusTooLarge"));
}

#[test]
fn a_verdict_that_is_recorded_stays() {
    let mut sim = Sim::reached(Phase::Finished);
    assert_eq!(sim.give_up("too large"), None);
    // A label is made larger, or the CRD is replaced: its pods go all the same.
    sim.status.message = Some("another".to_owned());
    sim.refused_passes(5);
    assert!(sim.cluster.finalizer_gone && sim.cluster.pods.is_empty());
}
