//! Runs whose faults want the same pods.

use rstest::rstest;

use super::*;
use crate::machine::claim::claims;

/// Another run's fault of the same pods that has taken this one.
pub fn claim(sim: &Sim, pod: &str) -> Claim {
    Claim {
        test: "shop/nightly".to_owned(),
        fault: "gone".to_owned(),
        namespace: "loadtests".to_owned(),
        selector: sim.plan.faults[0].selector_text(),
        pods: BTreeMap::from([(pod.to_owned(), pod.to_owned())]),
        before: Default::default(),
        injected_at: None,
        replaced_at: None,
    }
}

fn is_intended(sim: &Sim) -> bool {
    sim.status.faults.first().is_some_and(|fault| fault.state == FaultState::Intended)
}

fn run_until(sim: &mut Sim, there: impl Fn(&Sim) -> bool) {
    while !there(sim) {
        assert!(sim.status.phase < Phase::Evaluating, "{:#?}", sim.status.faults);
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
}

/// Of two ready pods another run takes one before ours picks.
#[test]
fn the_last_pod_that_others_leave_is_not_picked() {
    let mut sim = Sim::new();
    sim.claimed.push(Arc::new(claim(&sim, "d-1")));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((fault.state, fault.targets.len()), (FaultState::NotInjected, 0));
    let why = fault.message.as_deref().unwrap();
    let words = "fault gone of LoadTest shop/nightly takes d-1: would leave none of the 1 ready pods";
    assert!(why.starts_with(words), "{why}");
    assert_eq!((sim.status.verdict, sim.cluster.deletes.len()), (Some(Verdict::Inconclusive), 0));
    assert_eq!(sim.status.reason.as_deref(), Some("FaultNotInjected"));
}

/// Or it has taken one, and another is not there yet.
#[test]
fn nor_is_the_last_one_while_others_wait_for_theirs() {
    let mut sim = Sim::new();
    sim.cluster.dbmans.remove("d-2");
    sim.claimed.push(Arc::new(claim(&sim, "d-2")));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((fault.state, sim.cluster.deletes.len()), (FaultState::NotInjected, 0), "{fault:#?}");
}

/// Where nobody takes anything, the spec itself is wrong.
#[test]
fn a_fault_that_never_had_pods_fails_as_before() {
    let mut sim = Sim::new();
    sim.cluster.dbmans.remove("d-2");
    let over = Claim { replaced_at: Some(sim.now), ..claim(&sim, "d-2") };
    sim.claimed.push(Arc::new(over));
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.faults[0].state, FaultState::Failed);
    assert_eq!(sim.status.verdict, Some(Verdict::Error));
}

/// Looked at again when it is sent: the other pod may be taken, or gone, since ours was picked.
#[rstest]
#[case::taken(true, "fault gone of LoadTest shop/nightly takes d-")]
#[case::gone(false, "1 ready when it was due, 1 of its own")]
fn the_last_ready_pod_is_not_deleted(#[case] is_taken: bool, #[case] words: &str) {
    for allowed in [false, true] {
        let mut sim = Sim::new();
        sim.plan.faults[0].allow_no_ready = allowed;
        run_until(&mut sim, is_intended);
        let picked = sim.status.faults[0].targets[0].uid.clone();
        let other = if picked == "d-1" { "d-2" } else { "d-1" };
        if is_taken {
            sim.claimed.push(Arc::new(claim(&sim, other)));
        } else {
            sim.cluster.dbmans.insert(other.to_owned(), false);
        }
        sim.run(&BTreeMap::new());
        let fault = &sim.status.faults[0];
        if allowed {
            assert_eq!((fault.state, sim.cluster.deletes.len()), (FaultState::Injected, 1));
            continue;
        }
        assert_eq!((fault.state, sim.cluster.deletes.len()), (FaultState::NotInjected, 0), "{fault:#?}");
        let why = fault.message.as_deref().unwrap();
        assert!(why.starts_with("it would have left no ready pod that matches app=dbman"), "{why}");
        assert!(why.contains(words), "{why}");
    }
}

/// A process that takes an intent up sends nothing before it has seen the pods.
#[test]
fn what_nobody_has_seen_is_not_deleted() {
    let mut sim = Sim::new();
    run_until(&mut sim, is_intended);
    sim.crash(true);
    sim.now = sim.status.faults[0].due_at.clone().unwrap().0;
    sim.unseen = true;
    for _ in 0..8 {
        sim.pass();
        sim.finish_effects();
    }
    assert_eq!((sim.cluster.deletes.len(), is_intended(&sim)), (0, true));
    sim.unseen = false;
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.faults[0].state, FaultState::Injected);
}

/// Two runs of the same two or three pods, whose faults are so many milliseconds apart: one process, which may die
/// after a number of rounds.
#[rstest]
fn two_runs_never_leave_no_pod(
    #[values(2, 3)] pods: usize,
    #[values(0, 250, 1000, 2000, 2500)] apart: u64,
    #[values(None, Some(true), Some(false))] dies: Option<bool>,
) {
    let mut sims = [Sim::new(), Sim::new()];
    sims[1].plan.names.name = "other".to_owned();
    sims[1].plan.faults[0].at += Duration::from_millis(apart);
    // By another seed, which may pick another pod.
    sims[1].plan.faults[0].name = "other".to_owned();
    let mut shared: BTreeMap<String, bool> = (1..=pods).map(|n| (format!("d-{n}"), true)).collect();
    let mut coming = BTreeMap::new();
    for sim in &mut sims {
        sim.replaced_after = Some(Duration::from_secs(4));
        sim.health = None;
    }
    let mut died = dies.is_none();
    for _ in 0..4000 {
        let mut moved = false;
        for own in [0, 1] {
            let other = claims(&sims[1 - own].plan, &sims[1 - own].status);
            let sim = &mut sims[own];
            sim.claimed = other.into_iter().map(Arc::new).collect();
            std::mem::swap(&mut shared, &mut sim.cluster.dbmans);
            std::mem::swap(&mut coming, &mut sim.cluster.coming);
            if !sim.cluster.finalizer_gone {
                moved |= sim.pass();
                if is_intended(sim) && !died {
                    died = true;
                    sim.crash(dies == Some(true));
                } else {
                    sim.finish_effects();
                }
            }
            std::mem::swap(&mut shared, &mut sim.cluster.dbmans);
            std::mem::swap(&mut coming, &mut sim.cluster.coming);
            assert!(shared.values().any(|ready| *ready), "no pod is ready: {shared:?}");
        }
        if sims.iter().all(|sim| sim.cluster.finalizer_gone) {
            break;
        }
        if !moved {
            sims.iter_mut().for_each(|sim| sim.now += Duration::from_millis(250));
        }
    }
    let states = sims.each_ref().map(|sim| sim.status.faults[0].state);
    let deleted: Vec<&String> = sims.iter().flat_map(|sim| &sim.cluster.deletes).collect();
    let expected = if pods == 2 {
        // The second one is spared, and not an error.
        assert!(deleted.len() <= 1, "{deleted:?}");
        [FaultState::Injected, FaultState::NotInjected]
    } else {
        [FaultState::Injected, FaultState::Injected]
    };
    assert_eq!(states, expected, "{:#?}", sims[1].status.faults);
}
