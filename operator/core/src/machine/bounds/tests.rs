use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use loadtest_crds::{
    BaselineStatus, BudgetStatus, FaultState, FaultStatus, GuardrailStatus, Happening, LoadStatus, LoadTest,
    ObjectiveStatus, ReadyStep, RecoveryStatus, RunnersStatus, ScalingStatus, ServedService, Shortfall,
    Spike, TargetStatus, Verdict, WatchGap, WatchedStatus, WindowKind,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::plan::{Plan, error::PlanError, size::LARGEST_SPEC};

/// Longer than any text may be, of characters of three bytes.
fn long() -> String {
    "…".repeat(1400)
}

fn at(second: i64) -> Option<MicroTime> {
    Some(MicroTime(jiff::Timestamp::new(1_700_000_000 + second, 123_456_000).unwrap()))
}

fn result(window: WindowKind, fault: Option<String>, outcome: Outcome) -> WindowResult {
    WindowResult {
        window,
        fault,
        from: at(0),
        to: at(60),
        outcome,
        value: Some("212.41ms".to_owned()),
        figure: Some("0.212418".to_owned()),
        samples: Some(1_234_567),
        bad: Some(1234),
        effective_samples: Some(345_678),
        query: Some("q".repeat(700)),
        message: Some("…".repeat(400)),
    }
}

/// The longest name that a spec may have, and which one it is.
fn name(what: &str, number: usize, most: usize) -> String {
    format!("{what}-{number:03}-{}", "n".repeat(most - what.len() - 5))
}

/// A finished run with all that a LoadTest may have: so many pods hit by each of 16 faults, and 64 objectives with 34
/// results each.
fn largest(pods: usize, outcome: impl Fn(&WindowResult) -> Outcome) -> LoadTestStatus {
    let fault = |n| name("fault", n, 40);
    let windows = || {
        let of_faults = (0..16).flat_map(|n| [(WindowKind::Fault, n), (WindowKind::Recovery, n)]);
        let whole = [WindowKind::Run, WindowKind::Steady].map(|kind| result(kind, None, Outcome::Met));
        let all =
            whole.into_iter().chain(of_faults.map(|(kind, n)| result(kind, Some(fault(n)), Outcome::Met)));
        all.map(|result| WindowResult { outcome: outcome(&result), ..result }).collect::<Vec<_>>()
    };
    let target = |n| TargetStatus {
        namespace: "s".repeat(63),
        name: name("pod", n, 253),
        uid: "0".repeat(36),
        node: Some("d".repeat(253)),
        sent_at: at(1),
        acknowledged_at: at(2),
        message: Some(long()),
        ..TargetStatus::default()
    };
    let service = |n| ServedService { name: name("service", n, 63), ready_before: 5 };
    let happening = |n| Happening {
        at: at(n),
        pod: Some("p".repeat(253)),
        container: Some("c".repeat(63)),
        message: long(),
        ..Happening::default()
    };
    let spike = |n| Spike { at: at(n), share: "42%".to_owned(), usual: "1%".to_owned(), ..Spike::default() };
    LoadTestStatus {
        phase: Phase::Finished,
        verdict: Some(Verdict::Fail),
        reason: Some("KeyObjectiveMissed".to_owned()),
        message: Some(long()),
        grounds: vec![long(); 100],
        report: Some("chat-record".to_owned()),
        runners: Some(RunnersStatus {
            problems: vec![long(); 10],
            starved: vec![long(); 10],
            ..RunnersStatus::default()
        }),
        load: Some(LoadStatus {
            unread_logs: vec![long(); 10],
            shortfalls: vec![Shortfall { message: long(), ..Shortfall::default() }; 20],
            ..LoadStatus::default()
        }),
        faults: (0..16)
            .map(|n| FaultStatus {
                name: fault(n),
                state: FaultState::Injected,
                injected_at: at(1),
                services: (0..16).map(service).collect(),
                targets: (0..pods).map(target).collect(),
                recovery: Some(RecoveryStatus { message: Some(long()), ..RecoveryStatus::default() }),
                budget: Some(BudgetStatus { message: Some(long()), ..BudgetStatus::default() }),
                message: Some(long()),
                ..FaultStatus::default()
            })
            .collect(),
        objectives: (0..64)
            .map(|n| ObjectiveStatus {
                name: name("objective", n, 63),
                limit: "at most 300ms".to_owned(),
                windows: windows(),
                spikes: (0..20).map(spike).collect(),
                ..ObjectiveStatus::default()
            })
            .collect(),
        guardrails: (0..64)
            .map(|n| GuardrailStatus {
                name: name("guardrail", n, 63),
                message: Some(long()),
                query: Some("q".repeat(128)),
                ..GuardrailStatus::default()
            })
            .collect(),
        system: (0..16)
            .map(|n| WatchedStatus {
                name: name("part", n, 63),
                ready: (0..100).map(|n| ReadyStep { at: at(n), pods: n as i32 % 7 }).collect(),
                happenings: (0..20).map(happening).collect(),
                gaps: vec![WatchGap { from: at(0), to: at(1), pods_changed: false }; 10],
                scaling: Some(ScalingStatus { message: Some(long()), ..ScalingStatus::default() }),
                message: Some(long()),
                ..WatchedStatus::default()
            })
            .collect(),
        baseline: (0..64)
            .map(|n| BaselineStatus {
                name: name("objective", n, 63),
                message: Some(long()),
                ..BaselineStatus::default()
            })
            .collect(),
        conditions: (0..8)
            .map(|n| Condition {
                type_: name("Condition", n, 20),
                status: "True".to_owned(),
                reason: "KeyObjectiveMissed".to_owned(),
                message: long(),
                last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
                observed_generation: None,
            })
            .collect(),
        ..LoadTestStatus::default()
    }
}

fn fitted(status: &LoadTestStatus) -> LoadTestStatus {
    let mut fitted = status.clone();
    fit(&mut fitted);
    fitted
}

fn missed(result: &WindowResult) -> Outcome {
    if result.fault.as_deref().is_some_and(|fault| fault.contains("007")) {
        Outcome::Missed
    } else {
        Outcome::Met
    }
}

#[rstest]
#[case::all_met(|_: &WindowResult| Outcome::Met, 3)]
#[case::some_missed(missed, 3)]
#[case::all_missed(|_: &WindowResult| Outcome::Missed, 3)]
fn the_largest_run_fits(#[case] outcome: fn(&WindowResult) -> Outcome, #[case] pods: usize) {
    let whole = largest(pods, outcome);
    let status = fitted(&whole);
    let bytes = stored_bytes(&status);
    assert!(bytes <= LARGEST_STATUS, "{bytes} of {} bytes", stored_bytes(&whole));
    assert_eq!(fitted(&status), status, "what fits stays as it is");

    let told = |s: &LoadTestStatus| (s.verdict, s.reason.clone(), s.report.clone());
    assert_eq!(told(&status), told(&whole));
    for (kept, fault) in status.faults.iter().zip(&whole.faults) {
        let uids = |f: &FaultStatus| f.targets.iter().map(|t| (t.uid.clone(), t.state)).collect::<Vec<_>>();
        assert_eq!((&kept.name, kept.state, uids(kept)), (&fault.name, fault.state, uids(fault)));
    }
    for (kept, objective) in status.objectives.iter().zip(&whole.objectives) {
        let misses = |o: &ObjectiveStatus| o.windows.iter().filter(|w| w.outcome == Outcome::Missed).count();
        let met = kept.windows.iter().any(|w| w.outcome == Outcome::Met);
        assert!(!met || misses(kept) == misses(objective), "a miss went before a met one");
        assert!(misses(objective) == 0 || misses(kept) > 0, "no miss of {} is left", kept.name);
    }
    let last = status.grounds.last().unwrap();
    assert!(last.contains("of 2176 results are left out, those that were met first"), "{last}");
    assert!(last.ends_with("kubectl loadtest judge shows them"), "{last}");
}

/// Which pods were hit is never left out, so it sums up to more. It has to fit all the same.
#[test]
fn hundreds_of_pods_with_the_longest_names_fit_into_what_the_spec_leaves() {
    let status = fitted(&largest(50, |_| Outcome::Missed));
    let bytes = stored_bytes(&status);
    assert!(LARGEST_SPEC + bytes < (3 << 19) - (256 << 10), "{bytes}");
    assert_eq!(status.faults[15].targets.len(), 50);
}

/// While it runs, nothing is left out: the next operator goes on from it.
#[test]
fn of_a_run_that_goes_on_only_texts_are_cut() {
    let whole = LoadTestStatus { phase: Phase::Running, ..largest(2, missed) };
    let (before, after) =
        (serde_json::to_value(&whole).unwrap(), serde_json::to_value(fitted(&whole)).unwrap());
    let mut longest = 0;
    same_but_for_texts(&before, &after, &mut longest);
    assert_eq!(longest, SENTENCE - SENTENCE % 3, "a text is cut between two characters");
}

fn same_but_for_texts(before: &Value, after: &Value, longest: &mut usize) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            assert!(before.keys().eq(after.keys()));
            before.iter().for_each(|(key, value)| same_but_for_texts(value, &after[key], longest));
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            before.iter().zip(after).for_each(|(before, after)| same_but_for_texts(before, after, longest));
        }
        (Value::String(_), Value::String(after)) => *longest = after.len().max(*longest),
        _ => assert_eq!(before, after),
    }
}

#[rstest]
#[case::short("short", 10, "short")]
#[case::just("0123456789", 10, "0123456789")]
#[case::long("0123456789a", 10, "0123456…")]
#[case::between_characters("äääääää", 10, "äää…")]
fn a_text_is_cut_between_characters(#[case] text: &str, #[case] most: usize, #[case] expected: &str) {
    let mut text = text.to_owned();
    cut(&mut text, most);
    assert_eq!(text, expected);
    assert!(text.len() <= most.max(5));
}

fn spec_with(script: &str) -> LoadTest {
    serde_json::from_value(json!({
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "uid-1"},
        "spec": {"scenarios": [{"name": "a", "script": {"inline": script}, "vus": 1, "duration": "5s"}]},
    }))
    .unwrap()
}

#[rstest]
#[case::the_longest_script("x".repeat(200_000), None)]
#[case::line_ends_take_two_bytes("x\n".repeat(100_000), None)]
// The API server writes each of them as \u003c.
#[case::as_it_is_kept("<".repeat(200_000), Some("the spec takes 1173 KiB where it is kept, and may take 512 KiB"))]
fn a_spec_leaves_room_for_its_status(#[case] script: String, #[case] refused: Option<&str>) {
    match (Plan::of(&spec_with(&script)), refused) {
        (Ok(_), None) => {}
        (Err(error @ PlanError::TooLarge(_)), Some(words)) => {
            let message = error.to_string();
            assert!(message.contains(words) && message.contains("put scripts"), "{message}");
        }
        (plan, _) => panic!("{:?}", plan.map(|_| ())),
    }
}
