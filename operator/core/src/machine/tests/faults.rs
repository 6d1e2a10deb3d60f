//! Faults, while the load runs.

use rstest::rstest;

use super::*;
use crate::evaluate::live::Live;

#[test]
fn a_fault_is_skipped_when_the_system_is_unhealthy_before_it() {
    let mut sim = Sim::new();
    sim.health = Some(Health::NotHeld("ok: in the 10s before, 12% of 200 requests failed".to_owned()));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!(fault.state, FaultState::NotInjected);
    let message = fault.message.as_deref().unwrap();
    assert_eq!(message, "not steady: ok: in the 10s before, 12% of 200 requests failed");
    assert!(sim.cluster.deletes.is_empty() && fault.targets.is_empty());
    assert_eq!(sim.status.verdict, Some(Verdict::Inconclusive));
    assert_eq!(sim.status.reason.as_deref(), Some("NotSteady"));
}

/// Nothing is recorded while an answer may come; half a second before the fault there is no more time for one.
#[test]
fn a_fault_does_not_wait_for_prometheus() {
    let mut sim = Sim::new();
    sim.health = None;
    let mut intended = None;
    while sim.cluster.deletes.is_empty() {
        assert!(sim.status.phase < Phase::Evaluating, "{:?}", sim.status.message);
        let moved = sim.pass();
        sim.finish_effects();
        if sim.status.faults.first().is_some_and(|f| f.state == FaultState::Intended) {
            intended.get_or_insert(sim.now);
        }
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    let due = sim.status.faults[0].due_at.clone().unwrap().0;
    assert_eq!(intended, Some(due - Duration::from_millis(500)));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((fault.state, fault.timing_error_milliseconds), (FaultState::Injected, Some(0)));
    let message = fault.message.as_deref().unwrap();
    assert!(message.ends_with("not known: Prometheus had not answered in time"), "{message}");
}

/// With a second fault of the same pods, at a time of its own.
pub fn with_second(at: &str) -> Plan {
    let mut test = serde_json::to_value(plan_spec()).unwrap();
    let mut second = test["spec"]["faults"][0].clone();
    second["name"] = "again".into();
    second["at"] = at.into();
    test["spec"]["faults"].as_array_mut().unwrap().push(second);
    Plan::of(&serde_json::from_value(test).unwrap()).unwrap()
}

/// A fault that comes while an earlier one may be felt by its own limits is part of the same incident.
#[test]
fn overlapping_faults_do_not_ask_for_a_healthy_system() {
    for (at, asks) in [("28s", false), ("40s", true)] {
        let mut sim = Sim::new();
        sim.plan = with_second(at);
        sim.cluster.dbmans.insert("d-3".to_owned(), true);
        let asked = Effect::CheckSteady { fault: "again".to_owned() };
        while sim.status.faults.get(1).is_none_or(|f| f.state == FaultState::Pending) {
            assert!(sim.status.phase < Phase::Evaluating, "{:?}", sim.status.message);
            let moved = sim.pass();
            sim.finish_effects();
            if !moved {
                sim.now += Duration::from_millis(250);
            }
        }
        assert_eq!(sim.facts.has_dispatched(&asked), asks, "at {at}");
    }
}

fn kill() -> Effect {
    Effect::Kill { fault: "kill".to_owned(), uids: Vec::new() }
}

/// What ends the load comes before what is due at the same time.
#[test]
fn a_breach_at_the_time_of_a_fault_leaves_it_out() {
    let mut sim = Sim::guarded();
    sim.harm_after = Some(Duration::from_secs(17));
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert!(sim.status.stopper().is_some());
    assert_eq!(sim.cluster.stopped_at, fault.due(), "it was to stop just then");
    assert_eq!((fault.state, sim.cluster.deletes.len()), (FaultState::NotInjected, 0), "{fault:#?}");
}

/// Nor does it get so far as to pick pods, which would be listed with a fault that never came.
#[test]
fn a_load_that_ends_as_a_fault_is_to_be_intended_leaves_it_out() {
    for is_breach in [true, false] {
        let mut sim = if is_breach { Sim::guarded() } else { Sim::new() };
        sim.harm_after = is_breach.then_some(Duration::from_millis(16_500));
        // Half a second before it is due there is no more time for an answer.
        sim.health = None;
        let before = |fault: &FaultStatus| Some(fault.due()? - Duration::from_millis(500));
        while sim.status.faults.first().and_then(before).is_none_or(|at| sim.now < at) {
            let moved = sim.pass();
            sim.finish_effects();
            if !moved {
                sim.now += Duration::from_millis(250);
            }
        }
        assert_eq!(sim.status.faults[0].state, FaultState::Pending);
        sim.cluster.stopped_at = (!is_breach).then_some(sim.now);
        sim.pass();
        assert_eq!(sim.status.phase, Phase::Evaluating);
        sim.run(&BTreeMap::new());
        let fault = &sim.status.faults[0];
        assert_eq!((fault.state, fault.targets.len()), (FaultState::NotInjected, 0), "{fault:#?}");
    }
}

/// A write may take long: what is due as one is needed is sent by the pass after it.
#[test]
fn a_fault_is_not_sent_with_a_write() {
    let mut sim = Sim::new();
    while sim.status.faults.first().is_none_or(|f| f.state != FaultState::Intended) {
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    while sim.pass() {
        sim.finish_effects();
    }
    sim.now = sim.status.faults[0].due_at.clone().unwrap().0;
    sim.facts.live = Some(Live { requests: 100, failed: 0, request_names: None, p95_milliseconds: None });
    let sent_by = |sim: &mut Sim| {
        sim.pass();
        sim.under_way.iter().any(|effect| effect.key() == kill().key())
    };
    assert_eq!([sent_by(&mut sim), sent_by(&mut sim)], [false, true]);
}

/// A deletion that is under way when the load ends is waited for, and counts as what it was.
#[test]
fn a_deletion_under_way_as_the_load_ends_has_its_result() {
    let stop = |sim: &mut Sim| sim.stop = true;
    let breach = |sim: &mut Sim| {
        sim.plan.guardrails.clone_from(&Sim::guarded().plan.guardrails);
        sim.harm_after = Some(Duration::ZERO);
        sim.facts.dispatched.insert("watch".to_owned());
    };
    let end = |sim: &mut Sim| sim.now += Duration::from_secs(40);
    for end_it in [&stop as &dyn Fn(&mut Sim), &breach, &end] {
        let mut sim = Sim::new();
        sim.run_to(&kill());
        let kill = std::mem::take(&mut sim.under_way);
        end_it(&mut sim);
        for _ in 0..40 {
            sim.pass();
            sim.finish_effects();
            sim.now += Duration::from_millis(500);
            if sim.status.phase == Phase::Evaluating {
                break;
            }
        }
        assert_eq!((sim.status.phase, sim.status.faults[0].state), (Phase::Evaluating, FaultState::Intended));
        sim.under_way.extend(kill);
        sim.finish_effects();
        sim.run(&BTreeMap::new());
        assert_eq!((sim.status.faults[0].state, sim.cluster.deletes.len()), (FaultState::Injected, 1));
    }
}

/// It does not wait for ever: perhaps the pod was deleted.
#[test]
fn a_deletion_without_an_answer_is_unconfirmed() {
    let mut sim = Sim::new();
    sim.run_to(&kill());
    sim.under_way.clear();
    sim.stop = true;
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!((sim.status.phase, fault.state), (Phase::Finished, FaultState::Unconfirmed), "{fault:#?}");
}

/// An earlier operator's intent is looked up before anything is said of it.
#[test]
fn a_stop_after_a_crash_looks_whether_the_fault_was_sent() {
    for (lost, state) in [(false, FaultState::Unconfirmed), (true, FaultState::NotInjected)] {
        let mut sim = Sim::new();
        sim.run_to(&kill());
        sim.crash(lost);
        sim.stop = true;
        sim.run(&BTreeMap::new());
        assert_eq!(sim.cluster.deletes.len(), usize::from(!lost));
        assert_eq!(sim.status.faults[0].state, state);
    }
}

/// As when the API server takes no writes from the intent on.
#[test]
fn a_fault_that_was_held_up_is_not_sent_late() {
    for (late, state) in [(30, FaultState::Injected), (31, FaultState::NotInjected)] {
        let mut sim = Sim::new();
        while sim.status.faults.first().is_none_or(|f| f.state != FaultState::Intended) {
            let moved = sim.pass();
            sim.finish_effects();
            if !moved {
                sim.now += Duration::from_millis(250);
            }
        }
        sim.now = sim.status.faults[0].due_at.clone().unwrap().0 + Duration::from_secs(late);
        sim.run(&BTreeMap::new());
        let fault = &sim.status.faults[0];
        assert_eq!(fault.state, state, "{late} s late: {fault:#?}");
        assert_eq!(sim.cluster.deletes.len(), usize::from(state == FaultState::Injected));
    }
}

/// A process that has just begun has not heard of the runners yet, which may be through.
#[rstest]
#[case::pending(FaultState::Pending, FaultState::NotInjected)]
#[case::intended(FaultState::Intended, FaultState::NotInjected)]
fn nothing_is_sent_after_the_planned_end(#[case] left_as: FaultState, #[case] expected: FaultState) {
    let mut test = serde_json::to_value(plan_spec()).unwrap();
    let fault = test["spec"]["faults"][0].as_object_mut().unwrap();
    fault.insert("at".to_owned(), "55s".into());
    fault.remove("recovery");
    let mut sim = Sim::new();
    sim.plan = Plan::of(&serde_json::from_value(test).unwrap()).unwrap();
    let is_there = |sim: &Sim| {
        let fault = sim.status.faults.first();
        let close =
            |f: &FaultStatus| f.due_at.as_ref().is_some_and(|due| sim.now + Duration::from_secs(3) > due.0);
        fault.is_some_and(|f| f.state == left_as && close(f))
    };
    while !is_there(&sim) {
        assert!(sim.status.phase < Phase::Evaluating, "{:#?}", sim.status.faults);
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    sim.crash(true);
    // No runner answers.
    sim.node_lost = true;
    sim.now = sim.status.load.as_ref().unwrap().planned_end_at.clone().unwrap().0 + Duration::from_secs(1);
    for _ in 0..8 {
        sim.pass();
        sim.finish_effects();
    }
    let fault = &sim.status.faults[0];
    assert_eq!((fault.state, sim.cluster.deletes.len()), (expected, 0), "{fault:#?}");
}

/// The system is asked about beside the list, not after it.
#[test]
fn a_late_list_does_not_keep_a_fault_from_being_skipped() {
    let mut sim = Sim::new();
    sim.unlisted = Some(Unlisted::Silent);
    sim.health = Some(Health::NotHeld("ok: in the 10s before, 12% of 200 requests failed".to_owned()));
    while sim.status.faults.first().and_then(|f| f.due_at.as_ref()).is_none_or(|due| sim.now < due.0) {
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    sim.unlisted = None;
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.faults[0].state, FaultState::NotInjected);
    assert_eq!(sim.status.reason.as_deref(), Some("NotSteady"));
}

/// An API server that lists nothing says nothing about the system under test.
#[rstest]
#[case::silent(Unlisted::Silent, "no answer to their list")]
#[case::failing(Unlisted::Error("chaos cannot list the pods: 503"), "chaos cannot list the pods: 503")]
fn a_fault_whose_targets_are_not_listed_is_not_injected(#[case] unlisted: Unlisted, #[case] why: &str) {
    let mut sim = Sim::new();
    sim.unlisted = Some(unlisted);
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!(fault.state, FaultState::NotInjected);
    let message = fault.message.as_deref().unwrap();
    assert_eq!(message, format!("its targets were not known within 30 s of its time: {why}"));
    assert!(sim.cluster.deletes.is_empty() && fault.targets.is_empty());
    assert_eq!(sim.status.verdict, Some(Verdict::Inconclusive));
}

/// Nor is one given up whose list comes a little late.
#[test]
fn a_list_that_comes_late_makes_the_fault_late() {
    let mut sim = Sim::new();
    sim.unlisted = Some(Unlisted::Silent);
    while sim
        .status
        .faults
        .first()
        .and_then(|f| f.due_at.as_ref())
        .is_none_or(|due| sim.now < due.0 + Duration::from_secs(12))
    {
        let moved = sim.pass();
        sim.finish_effects();
        if !moved {
            sim.now += Duration::from_millis(250);
        }
    }
    assert_eq!(sim.status.faults[0].state, FaultState::Pending);
    sim.unlisted = None;
    sim.run(&BTreeMap::new());
    let fault = &sim.status.faults[0];
    assert_eq!(fault.state, FaultState::Injected);
    assert!(
        fault.timing_error_milliseconds.is_some_and(|late| (12_000..13_000).contains(&late)),
        "{fault:#?}"
    );
}

/// Together they must neither take the last ready pod, nor the same one.
#[test]
fn faults_that_are_due_together_share_the_pods() {
    for at in ["20s", "21s"] {
        let mut sim = Sim::new();
        sim.plan = with_second(at);
        sim.run(&BTreeMap::new());
        let (first, second) = (&sim.status.faults[0], &sim.status.faults[1]);
        assert_eq!((first.state, second.state), (FaultState::Injected, FaultState::Failed), "at {at}");
        assert_eq!(sim.cluster.deletes.len(), 1, "at {at}: {:?}", sim.cluster.deletes);
        let why = second.message.as_deref().unwrap();
        assert!(why.starts_with("would leave none of the 1 ready pods"), "{why}");
        assert!(why.contains("in namespace loadtests, besides 1 that other faults take: set"), "{why}");

        let mut sim = Sim::new();
        sim.plan = with_second(at);
        sim.cluster.dbmans.insert("d-3".to_owned(), true);
        sim.run(&BTreeMap::new());
        let states: Vec<FaultState> = sim.status.faults.iter().map(|f| f.state).collect();
        assert_eq!(states, [FaultState::Injected, FaultState::Injected], "at {at}");
        assert_ne!(sim.status.faults[0].targets[0].uid, sim.status.faults[1].targets[0].uid);
        assert_eq!(sim.cluster.deletes.len(), 2);
    }
}
