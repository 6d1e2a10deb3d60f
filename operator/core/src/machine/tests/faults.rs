//! Faults, while the load runs.

use super::*;

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

/// A fault that comes while an earlier one may be felt by its own limits is part of the same incident.
#[test]
fn overlapping_faults_do_not_ask_for_a_healthy_system() {
    let spec = |at: &str| {
        let mut test = serde_json::to_value(plan_spec()).unwrap();
        let mut second = test["spec"]["faults"][0].clone();
        second["name"] = "again".into();
        second["at"] = at.into();
        test["spec"]["faults"].as_array_mut().unwrap().push(second);
        Plan::of(&serde_json::from_value(test).unwrap()).unwrap()
    };
    for (at, asks) in [("28s", false), ("40s", true)] {
        let mut sim = Sim::new();
        sim.plan = spec(at);
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
