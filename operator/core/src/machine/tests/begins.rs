//! Until the load has started.

use rstest::rstest;

use super::*;
use crate::machine::world::Problem;

/// A script that cannot be loaded ends the runners too, and they may be seen first.
#[test]
fn a_runner_that_ends_early_waits_for_the_inspection() {
    let mut sim = Sim::new();
    while sim.status.phase == Phase::Pending || !sim.facts.has_dispatched(&Effect::Create) {
        sim.pass();
        sim.finish_effects();
    }
    let plan = sim.plan.clone();
    for id in plan.runners() {
        let state = PodState::Ended { exit_code: Some(107), reason: "Error".to_owned() };
        let view = PodView {
            role: Role::Runner,
            scenario: id.scenario.clone(),
            runner: Some(id.clone()),
            state,
            leaves_by: None,
        };
        sim.cluster.pods.insert(plan.names.runner_pod(&id), view);
        sim.facts.last_words.insert(id, Ok("level=error msg=\"the same\"".to_owned()));
    }
    let decide_with = |facts: &Facts| {
        let mut world = World {
            now: sim.now,
            stop: false,
            deleting: false,
            generation: Some(1),
            process: "operator-1",
            pods: &sim.cluster.pods,
            facts: &mut facts.clone(),
            claimed: &[],
        };
        decide(&plan, &sim.status, &mut world)
    };
    sim.facts.inspections.clear();
    assert_eq!(decide_with(&sim.facts).status.verdict, None);
    let log = r#"level=error msg="Line 1:35 Unexpected identifier""#;
    sim.facts.inspections.insert("a".to_owned(), Err(log.to_owned()));
    let pass = decide_with(&sim.facts);
    assert_eq!(pass.status.reason.as_deref(), Some("ScriptInvalid"));
    assert!(pass.status.message.unwrap().contains("Unexpected identifier"));
}

/// What the node did to an inspection says nothing about the script.
#[rstest]
#[case::its_own_end(Some(107), "Error", "ScriptInvalid", "Unexpected identifier")]
#[case::out_of_memory(Some(137), "OOMKilled", "InspectionKilled", "OOMKilled, exit code 137")]
#[case::evicted(None, "Evicted", "InspectionKilled", "Evicted")]
fn an_inspection_that_was_killed(
    #[case] exit_code: Option<i32>,
    #[case] how: &str,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let mut sim = Sim::new();
    while sim.cluster.pods.is_empty() {
        sim.pass();
        sim.finish_effects();
    }
    let pod = sim.cluster.pods.get_mut(&sim.plan.names.inspect_pod("a")).unwrap();
    pod.state = PodState::Ended { exit_code, reason: how.to_owned() };
    let log = r#"level=error msg="Line 1:35 Unexpected identifier""#;
    sim.facts.inspections.insert("a".to_owned(), Err(log.to_owned()));
    while sim.status.phase < Phase::Finished {
        assert!(sim.pass(), "{:?}", sim.status);
        sim.finish_effects();
    }
    assert_eq!(sim.status.reason.as_deref(), Some(reason), "{:?}", sim.status.message);
    assert!(sim.status.message.as_ref().unwrap().contains(words), "{:?}", sim.status.message);
}

#[test]
fn a_problem_of_the_preflight_starts_nothing() {
    let mut sim = Sim::new();
    sim.pass();
    sim.under_way.clear();
    let problem = Problem { reason: "Forbidden", message: "may not".to_owned() };
    sim.facts.preflight = Some(vec![problem]);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.verdict, Some(Verdict::Error));
    assert_eq!(sim.status.reason.as_deref(), Some("Forbidden"));
    assert_eq!(sim.cluster.setups, 0);
}

#[test]
fn a_stop_while_pods_are_being_created_waits_for_them() {
    for deleting in [false, true] {
        let mut sim = Sim::new();
        while !sim.under_way.contains(&Effect::Create) {
            sim.finish_effects();
            sim.pass();
        }
        let create = std::mem::take(&mut sim.under_way);
        (sim.stop, sim.deleting) = (!deleting, deleting);
        while sim.pass() {
            assert!(
                sim.under_way.is_empty(),
                "nothing is deleted while pods still come: {:?}",
                sim.under_way
            );
        }
        sim.under_way = create;
        sim.finish_effects();
        assert!(!sim.cluster.pods.is_empty());
        sim.run(&BTreeMap::new());
        assert!(sim.cluster.pods.is_empty());
    }
}

#[test]
fn an_inspection_that_cannot_be_read_is_not_the_scripts_fault() {
    let mut sim = Sim { unread_inspection: true, ..Sim::new() };
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.reason.as_deref(), Some("InspectionUnread"));
    let message = sim.status.message.unwrap();
    assert!(message.contains("scenario a: its log could not be read: no luck; scenario b"), "{message}");
    let waited = sim.status.finished_at.unwrap().0.duration_since(sim.status.accepted_at.unwrap().0);
    assert!(Duration::try_from(waited).unwrap() >= sim.plan.start_timeout, "{waited}");
    assert_eq!((sim.status.verdict, sim.cluster.setups), (Some(Verdict::Error), 0));
}

#[test]
fn an_inspection_that_is_read_at_last_goes_on() {
    let mut sim = Sim { unread_inspection: true, ..Sim::new() };
    while sim.facts.unread_inspections.len() < 2 {
        sim.pass();
        sim.finish_effects();
    }
    sim.now += Duration::from_secs(20);
    for name in ["a", "b"] {
        sim.facts.inspections.insert(name.to_owned(), Ok(NOTHING.to_owned()));
    }
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.phase, Phase::Finished);
    assert_eq!(sim.cluster.setups, 2);
}

#[test]
fn an_unread_inspection_is_told_where_its_script_has_ended_the_runners() {
    let mut sim = Sim { unread_inspection: true, ..Sim::new() };
    while sim.cluster.pods.is_empty() {
        sim.pass();
        sim.finish_effects();
    }
    for pod in sim.cluster.pods.values_mut() {
        pod.state = PodState::Ended { exit_code: Some(107), reason: "Error".to_owned() };
    }
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.reason.as_deref(), Some("InspectionUnread"));
}

/// An inspection whose pod was deleted, or never came, has no end of its own.
#[test]
fn an_inspection_without_a_pod_is_not_waited_for_for_ever() {
    let mut sim = Sim::new();
    while sim.cluster.pods.is_empty() {
        sim.pass();
        sim.finish_effects();
    }
    sim.cluster.pods.retain(|_, pod| pod.role == Role::Runner);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.reason.as_deref(), Some("InspectionUnread"));
    assert!(sim.status.message.unwrap().contains("scenario a: its pod is gone"));
}

#[test]
fn an_inspection_that_was_deleted_is_not_waited_for_at_all() {
    let mut sim = Sim { unread_inspection: true, ..Sim::new() };
    sim.run_to(&Effect::ReadInspection { scenario: "a".to_owned() });
    sim.finish_effects();
    sim.cluster.pods.retain(|_, pod| pod.role == Role::Runner);
    let gone = sim.now;
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.reason.as_deref(), Some("InspectionUnread"));
    let message = sim.status.message.unwrap();
    assert!(message.contains("the inspection of scenario a is lost: its pod is gone"), "{message}");
    let took = sim.status.finished_at.unwrap().0.duration_since(gone);
    assert!(took.as_secs() < 5, "{took:?}");
}

/// As by `kubectl delete pod --force`: there is nothing to wait for.
#[rstest]
#[case::before_it_was_ready(&Effect::ReadInspection { scenario: "a".to_owned() })]
#[case::at_the_barrier(&Effect::Setup { scenario: "a".to_owned() })]
fn a_runner_that_is_gone_before_the_start_ends_the_run_at_once(#[case] at: &Effect) {
    let mut sim = Sim::new();
    sim.run_to(at);
    sim.cluster.pods.remove("chat-a-1");
    let gone = sim.now;
    sim.run(&BTreeMap::new());
    assert_eq!(
        (sim.status.verdict, sim.status.reason.as_deref()),
        (Some(Verdict::Error), Some("RunnerLost"))
    );
    let message = sim.status.message.unwrap();
    assert!(message.starts_with("runner a-1 was lost before the start: its pod is gone"), "{message}");
    let took = sim.status.finished_at.unwrap().0.duration_since(gone);
    assert!(took.as_secs() < 5, "{took:?}");
    assert_eq!(sim.status.load.and_then(|load| load.started_at), None);
}

/// The watch may show a pod later than the answer to its creation.
#[test]
fn a_runner_that_was_not_seen_yet_is_waited_for() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::Create);
    sim.finish_effects();
    let late = sim.cluster.pods.remove("chat-a-1").unwrap();
    for _ in 0..20 {
        sim.pass();
        sim.finish_effects();
    }
    assert_eq!((sim.status.phase, sim.status.verdict), (Phase::Preparing, None));
    sim.cluster.pods.insert("chat-a-1".to_owned(), late);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.runners.unwrap().lost, 0);
}

/// Without it the pods of a load that hangs would run for days.
#[test]
fn the_deadline_is_lowered_by_whoever_follows_the_load() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::Start { runners: Vec::new() });
    sim.finish_effects();
    while sim.status.phase < Phase::Running {
        sim.pass();
    }
    sim.crash(true);
    sim.pass();
    let seconds = 60 + 300;
    assert!(sim.under_way.contains(&Effect::LowerDeadline { seconds }), "{:?}", sim.under_way);
}

/// Each within its own bounds, but not within those of a status.
#[test]
fn scripts_that_are_too_much_together_are_refused() {
    let mut test = plan_spec();
    let scenario = test.spec.scenarios[0].clone();
    let named = |n| loadtest_crds::Scenario { name: format!("s{n}"), ..scenario.clone() };
    test.spec.scenarios = (0..9).map(named).collect();
    let mut sim = Sim { plan: Plan::of(&test).unwrap(), ..Sim::new() };
    let thresholds: Vec<String> = (1..=32).map(|limit| format!("p(95)<{limit}")).collect();
    let printed =
        serde_json::json!({"maxVUs": 4, "thresholds": {"http_req_duration": thresholds}}).to_string();
    for scenario in &test.spec.scenarios {
        sim.facts.inspections.insert(scenario.name.clone(), Ok(printed.clone()));
    }
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.reason.as_deref(), Some("ScriptInvalid"));
    let message = sim.status.message.unwrap();
    assert!(message.contains("together have 288 thresholds") && message.contains("at most 256"), "{message}");
    assert!(sim.status.scenarios.iter().all(|scenario| scenario.thresholds.is_empty()));
}
