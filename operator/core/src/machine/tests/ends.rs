//! What ends a load before its time.

use super::*;

#[test]
fn an_undisturbed_run_goes_through_all_phases() {
    let mut sim = Sim::new();
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.phase, Phase::Finished);
    assert_eq!(sim.cluster.setups, 2);
    assert_eq!(sim.cluster.teardowns, 2);
    assert_eq!(sim.cluster.deletes.len(), 1);
    let fault = &sim.status.faults[0];
    assert_eq!(fault.state, FaultState::Injected);
    assert_eq!(fault.timing_error_milliseconds, Some(0));
    assert_eq!(fault.targets[0].uid, sim.cluster.deletes[0]);
    let services: Vec<_> = fault.services.iter().map(|s| (s.name.as_str(), s.ready_before)).collect();
    assert_eq!(services, [("dbman", 2)]);
    assert!(sim.cluster.pods.is_empty());
    assert!(sim.status.conditions.iter().any(|c| c.type_ == "Complete" && c.status == "True"));
    let watched = &sim.status.system[0];
    assert_eq!((watched.name.as_str(), watched.pods), ("target of kill", Some(2)));
    // The fault explains the pod that went, and the one that came.
    assert_eq!((watched.happenings.as_slice(), watched.outcome), (&[][..], Outcome::Met));
    assert_eq!(watched.ready.iter().map(|s| s.pods).collect::<Vec<_>>(), [2]);
    assert_eq!(watched.until, sim.status.load.as_ref().unwrap().ended_at);
    let draft = sim.cluster.record.unwrap();
    assert_eq!((sim.status.verdict, &sim.status.grounds), (draft.judged.verdict, &draft.judged.grounds));
    assert_eq!(sim.status.report.as_deref(), Some("chat-record"));
}

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

fn unread(ids: impl IntoIterator<Item = (&'static str, u32)>) -> LogSummary {
    let id = |(scenario, index): (&str, u32)| RunnerId { scenario: scenario.to_owned(), index };
    let unread = ids.into_iter().map(|runner| (id(runner), "its pod is gone".to_owned())).collect();
    LogSummary { unread, ..LogSummary::default() }
}

/// As far as the evaluation, where all pods are deleted by somebody else.
fn evaluating() -> Sim {
    let mut sim = Sim::new();
    while sim.status.phase != Phase::Evaluating {
        sim.finish_effects();
        if !sim.pass() {
            sim.now += Duration::from_millis(250);
        }
    }
    sim
}

#[test]
fn a_log_that_was_not_read_is_not_one_without_errors() {
    let mut sim = Sim { logs: unread([("a", 1)]), ..Sim::new() };
    sim.run(&BTreeMap::new());
    let load = sim.status.load.unwrap();
    assert_eq!(
        (load.unread_logs.as_slice(), load.script_errors),
        (&["a-1: its pod is gone".to_owned()][..], None)
    );
    assert_eq!(sim.status.verdict, Some(Verdict::Inconclusive));
    let told = sim.status.grounds.iter().any(|ground| ground.contains("a-1: its pod is gone"));
    assert!(told, "{:?}", sim.status.grounds);
}

#[test]
fn the_logs_of_pods_that_are_gone_are_asked_for() {
    let mut sim = evaluating();
    sim.cluster.pods.clear();
    sim.logs = unread([("a", 0), ("a", 1), ("b", 0)]);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.load.unwrap().unread_logs.len(), 3);
}

#[test]
fn a_lost_runner_is_not_told_twice() {
    let mut sim = evaluating();
    let runners = sim.status.runners.as_mut().unwrap();
    (runners.lost, runners.problems) = (1, vec!["a-1: its pod is gone".to_owned()]);
    sim.logs = unread([("a", 1)]);
    sim.run(&BTreeMap::new());
    let load = sim.status.load.unwrap();
    assert_eq!((load.unread_logs.len(), load.script_errors), (0, None));
}

#[test]
fn of_many_unread_logs_ten_lines_are_recorded() {
    let mut sim = evaluating();
    sim.logs = unread((0..40).map(|index| ("a", index)));
    sim.run(&BTreeMap::new());
    let unread = sim.status.load.unwrap().unread_logs;
    assert_eq!((unread.len(), unread[9].as_str()), (10, "and 31 more"));
}

/// Who takes the run up after the load cannot ask k6 any more how it ended.
#[test]
fn an_operator_that_dies_after_the_load_still_knows_that_scripts_ended_it() {
    for dies in [false, true] {
        let mut sim = Sim::new();
        sim.ends_as = ExecutionStatus(10);
        while sim.status.phase < Phase::Evaluating {
            let moved = sim.pass();
            if !moved {
                sim.now += Duration::from_millis(250);
            }
            sim.finish_effects();
        }
        if dies {
            sim.crash(true);
        }
        sim.run(&BTreeMap::new());
        assert_eq!(sim.status.runners.unwrap().interrupted, 3);
        assert_eq!(sim.status.reason.as_deref(), Some("RunnerInterrupted"), "dies: {dies}");
    }
}

/// `exec.test.fail()` ends nothing: k6 goes on to the end of its load, and then says that the script failed it.
#[test]
fn a_script_that_marks_the_run_as_failed_did_not_end_its_load() {
    for dies in [false, true] {
        let mut sim = Sim::new();
        sim.ends_as = ExecutionStatus(11);
        sim.logs.marked_failed = Some("no order was paid".to_owned());
        while sim.status.phase < Phase::Evaluating {
            if !sim.pass() {
                sim.now += Duration::from_millis(250);
            }
            sim.finish_effects();
        }
        if dies {
            sim.crash(true);
        }
        sim.run(&BTreeMap::new());
        let runners = sim.status.runners.unwrap();
        assert_eq!((runners.failed, runners.interrupted, runners.ended), (3, 0, 3));
        let reason = sim.status.reason.as_deref();
        assert_eq!((sim.status.verdict, reason), (Some(Verdict::Inconclusive), Some("RunnerInterrupted")));
        let message = sim.status.message.unwrap();
        assert!(
            message.contains("marked the run as failed (exec.test.fail()): no order was paid"),
            "{message}"
        );
        assert!(!message.contains("before"), "{message}");
    }
}

/// Whether a script cleaned up behind itself is told, and decides nothing.
#[test]
fn a_teardown_that_throws_is_told() {
    let mut sim = Sim { teardown: Err("Error: no database".to_owned()), ..Sim::new() };
    sim.run(&BTreeMap::new());
    let failed = "teardown() failed: Error: no database";
    assert_eq!(sim.status.scenarios[0].teardown_message.as_deref(), Some(failed));
    let told = format!("scenario a: {failed}");
    assert!(sim.status.grounds.contains(&told), "{:?}", sim.status.grounds);
    let undisturbed = {
        let mut sim = Sim::new();
        sim.run(&BTreeMap::new());
        assert!(
            !sim.status.grounds.iter().any(|ground| ground.contains("teardown")),
            "{:?}",
            sim.status.grounds
        );
        (sim.status.verdict, sim.status.reason)
    };
    assert_eq!((sim.status.verdict, sim.status.reason), undisturbed);
}

#[test]
fn a_teardown_that_cannot_be_run_is_told() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::WatchSystem);
    sim.cluster.pods.remove("chat-a-0");
    sim.run_to(&Effect::Teardown {
        scenario: "b".to_owned(),
        runner: RunnerId { scenario: "b".to_owned(), index: 0 },
    });
    sim.crash(true);
    sim.run(&BTreeMap::new());
    let told = |words: &str| sim.status.grounds.iter().any(|ground| ground.starts_with(words));
    assert!(told("scenario a: teardown() was not run: runner a-0 is gone"), "{:?}", sim.status.grounds);
    assert!(told("scenario b: teardown() was begun, but the operator restarted"), "{:?}", sim.status.grounds);
}

/// The pods stay as they were seen last, whatever is asked of them.
#[test]
fn a_lost_node_does_not_hold_a_run() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::WatchSystem);
    sim.node_lost = true;
    sim.run_by_the_clock();
    assert_eq!((sim.status.phase, sim.status.reason.as_deref()), (Phase::Finished, Some("RunnerLost")));
    let (runners, load) = (sim.status.runners.unwrap(), sim.status.load.unwrap());
    assert_eq!((runners.lost, runners.ended), (3, 0));
    assert_eq!(runners.problems[0], "a-0: does not answer, 6m after the load was to end");
    let late = load.ended_at.unwrap().0.duration_since(load.planned_end_at.unwrap().0);
    assert_eq!(late.as_secs(), 360);
}

#[test]
fn a_node_that_is_lost_after_the_load_makes_its_runners_lost() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::Release { runners: Vec::new() });
    sim.node_lost = true;
    sim.run_by_the_clock();
    assert_eq!((sim.status.phase, sim.status.reason.as_deref()), (Phase::Finished, Some("RunnerLost")));
    let runners = sim.status.runners.unwrap();
    assert_eq!((runners.lost, runners.ended), (3, 0));
    assert_eq!(runners.problems[0], "a-0: its pod did not end within 2m of being told to");
}

#[test]
fn a_lost_node_does_not_hold_a_stop_or_a_deletion() {
    for at in [Effect::Setup { scenario: "a".to_owned() }, Effect::WatchSystem] {
        for deleting in [false, true] {
            let mut sim = Sim::new();
            sim.run_to(&at);
            sim.node_lost = true;
            (sim.stop, sim.deleting) = (!deleting, deleting);
            let stopped = sim.now;
            sim.run_by_the_clock();
            let took = sim.now.duration_since(stopped);
            assert!(took.as_secs() <= 250, "{took:?}");
            assert_eq!(sim.status.verdict, (!deleting).then_some(Verdict::Aborted));
        }
    }
}

/// The time counts from when they were told by the process that waits.
#[test]
fn runners_that_nobody_told_to_end_are_not_lost() {
    let mut sim = Sim::new();
    sim.run_to(&Effect::Release { runners: Vec::new() });
    sim.crash(true);
    sim.now += Duration::from_secs(600);
    sim.run(&BTreeMap::new());
    assert_eq!(sim.status.runners.unwrap().lost, 0);
}

/// The operator may not touch its pods any more: the load has its end, and the run says what is left.
#[test]
fn pods_that_may_not_be_released_hold_up_nothing() {
    let mut sim = Sim { powerless: true, ..Sim::new() };
    sim.run(&BTreeMap::new());
    assert_eq!((sim.status.phase, sim.status.verdict), (Phase::Finished, Some(Verdict::Inconclusive)));
    assert_eq!(sim.cluster.pods.len(), 5, "nobody has deleted them");
    let runners = sim.status.runners.unwrap();
    assert_eq!(runners.lost, 3);
    assert_eq!(runners.problems[0], "a-0: its pod could not be told to end: forbidden");
    let (released, ended) = (sim.status.resume.released_at.unwrap().0, sim.status.finished_at.unwrap().0);
    assert!(ended.duration_since(released).as_secs() < 10, "it waited for pods that nobody ends");
}

/// The API server follows the owner references then.
#[test]
fn a_deletion_does_not_wait_for_a_right() {
    let mut sim = Sim { powerless: true, ..Sim::new() };
    sim.run_to(&Effect::Follow { runners: Vec::new() });
    sim.deleting = true;
    sim.run_by_the_clock();
    assert!(sim.cluster.finalizer_gone);
}
