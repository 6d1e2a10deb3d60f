use std::time::Duration;

use loadtest_crds::{
    FaultState, FaultStatus, K6Figure, Objective, Outcome, Ratio, TooFewPolicy, VerdictPolicy,
};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    evaluate::{
        fake::{Event, Fake},
        judgement::QUERY_BYTES,
        minute::{GOOD, LENGTH, at, injected, load, over, settings},
    },
    plan::fault::{RecoveryPlan, TimeLimit},
};

mod hangs;
mod k6;
mod series;

fn kill(at: f64, replaced: f64) -> FaultStatus {
    injected("kill-dbman", at, replaced)
}

fn recovery(of: &[&str]) -> FaultLimits {
    let recovery = RecoveryPlan {
        of: of.iter().map(|name| (*name).to_owned()).collect(),
        within: Some(TimeLimit { time: Duration::from_secs(10), text: "10s".to_owned() }),
        hold: Duration::from_secs(5),
        alert: None,
    };
    FaultLimits { recovery: Some(recovery), budget: None }
}

fn objective(name: &str, objective: Objective) -> ObjectivePlan {
    let policy = VerdictPolicy { on_too_few: TooFewPolicy::Judge, ..VerdictPolicy::default() };
    ObjectivePlan::parse(&Objective { name: name.to_owned(), ..objective }, &policy).unwrap()
}

const ALL: [WindowKind; 4] = [WindowKind::Run, WindowKind::Steady, WindowKind::Fault, WindowKind::Recovery];

fn k6(metric: &str, percentile: Option<f64>, limit: &str, windows: &[WindowKind]) -> Objective {
    let tags = [("name".to_owned(), "save".to_owned())].into();
    Objective {
        k6: Some(K6Figure { metric: metric.to_owned(), percentile, tags, ..K6Figure::default() }),
        at_most: Some(limit.into()),
        windows: windows.to_vec(),
        ..Objective::default()
    }
}

fn success(windows: &[WindowKind]) -> ObjectivePlan {
    objective("save-success", k6("http_req_failed", None, "1%", windows))
}

fn p95(windows: &[WindowKind]) -> ObjectivePlan {
    objective("save-p95", k6("http_req_duration", Some(95.0), "300ms", windows))
}

fn judge(fake: &Fake, objectives: &[ObjectivePlan], faults: Vec<FaultStatus>, of: &[&str]) -> Judgement {
    let recoveries = faults.iter().map(|f| (f.name.clone(), recovery(of))).collect();
    minute::judge(Evaluation::new(objectives, recoveries, &over(faults), settings()), fake)
}

fn result<'a>(judgement: &'a Judgement, objective: &str, kind: WindowKind) -> &'a WindowResult {
    let objective = judgement.objectives.iter().find(|o| o.name == objective).unwrap();
    objective.windows.iter().find(|w| w.window == kind).unwrap()
}

fn figure(judgement: &Judgement, objective: &str, kind: WindowKind) -> (Outcome, Option<i64>, Option<i64>) {
    let result = result(judgement, objective, kind);
    (result.outcome, result.samples, result.bad)
}

/// Refused for 3 s, which is fast: 60 requests of 1,200.
fn outage(second: f64) -> Option<(f64, bool)> {
    if (20.0..23.0).contains(&second) { Some((0.001, false)) } else { GOOD }
}

#[test]
fn a_fault_with_all_its_windows() {
    let mut fake = load(outage);
    let count = |second: i32| if (20..23).contains(&second) { None } else { Some(f64::from(second) * 20.0) };
    let scrapes = |share: f64| {
        (-5..70)
            .filter_map(move |s| Some((at(f64::from(s)), count(s.clamp(0, 60))? * share)))
            .collect::<Vec<_>>()
    };
    fake.add("saved_total", &[("status", "ok")], scrapes(0.999));
    fake.add("saved_total", &[("status", "failed")], scrapes(0.001));
    fake.add("cpu", &[("pod", "a")], (-5..70).map(|s| (at(f64::from(s)), if s == 30 { 0.95 } else { 0.5 })));
    let saved = objective(
        "saved",
        Objective {
            ratio: Some(Ratio {
                good: "saved_total{status=\"ok\"}".to_owned(),
                total: "saved_total".to_owned(),
            }),
            at_least: Some("99.9%".into()),
            windows: ALL[..3].to_vec(),
            ..Objective::default()
        },
    );
    let cpu = objective(
        "cpu",
        Objective {
            query: Some("max(cpu)".to_owned()),
            at_most: Some("90%".into()),
            windows: ALL[..3].to_vec(),
            ..Objective::default()
        },
    );
    let objectives = [success(&ALL), p95(&ALL[1..3]), saved, cpu];
    let judgement = judge(&fake, &objectives, vec![kill(20.0, 24.5)], &["save-success"]);
    insta::assert_yaml_snapshot!(judgement.objectives);
    insta::assert_yaml_snapshot!(judgement.recoveries);
}

#[test]
fn a_fault_that_was_not_injected_has_no_window_and_no_recovery() {
    let fake = load(|_| GOOD);
    let fault = FaultStatus { state: FaultState::NotInjected, ..kill(20.0, 24.0) };
    let judgement = judge(&fake, &[success(&ALL)], vec![fault], &["save-success"]);
    assert_eq!(result(&judgement, "save-success", WindowKind::Fault).outcome, Outcome::NoData);
    assert_eq!(judgement.recoveries[0].1.outcome, Outcome::NoData);
    assert_eq!(judgement.objectives[0].outcome, Outcome::NoData);
}

#[test]
fn prometheus_that_does_not_answer_is_no_data_everywhere() {
    let objectives = [success(&ALL), p95(&ALL)];
    let recoveries = vec![("kill-dbman".to_owned(), recovery(&["save-p95"]))];
    let mut evaluation = Evaluation::new(&objectives, recoveries, &over(vec![kill(20.0, 24.0)]), settings());
    let mut answers = Vec::new();
    let judgement = loop {
        match evaluation.step(answers) {
            Step::Ask(requests) => {
                answers = requests
                    .iter()
                    .map(|r| (r.id, Answer::Failed("connection refused".to_owned())))
                    .collect();
            }
            Step::Done(judgement) => break judgement,
        }
    };
    for window in judgement.objectives.iter().flat_map(|o| &o.windows) {
        assert_eq!(window.outcome, Outcome::NoData, "{window:?}");
        assert_eq!(window.message.as_deref(), Some("the query failed: connection refused"));
    }
    assert_eq!(judgement.recoveries[0].1.outcome, Outcome::NoData);
    assert_eq!(judgement.requests, None);
}

#[test]
fn a_run_without_load_is_judged_without_a_question() {
    let mut evaluation = Evaluation::new(&[success(&ALL)], vec![], &LoadTestStatus::default(), settings());
    let Step::Done(judgement) = evaluation.step(vec![]) else { panic!("there is nothing to ask") };
    assert_eq!(judgement.objectives[0].outcome, Outcome::NoData);
}

#[test]
fn the_queries_of_a_large_run_do_not_fill_its_status() {
    let fake = load(|_| GOOD);
    let objectives: Vec<ObjectivePlan> = (0..60)
        .map(|n| objective(&format!("o{n}"), k6("http_req_duration", Some(95.0), "300ms", &ALL[..2])))
        .chain([objective("missed", k6("http_req_duration", Some(95.0), "1ms", &ALL[..1]))])
        .collect();
    let judgement = judge(&fake, &objectives, vec![], &[]);
    let bytes: usize = judgement
        .objectives
        .iter()
        .flat_map(|o| &o.windows)
        .filter_map(|w| w.query.as_ref())
        .map(String::len)
        .sum();
    assert!(bytes > 0 && bytes <= QUERY_BYTES, "{bytes}");
    assert!(result(&judgement, "missed", WindowKind::Run).query.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the ledger of what really happened: a fault window holds everything of the fault and at most a
    /// push more on either side, a steady stretch nothing from outside.
    #[test]
    fn figures_equal_the_ledger_within_a_push(
        seed in prop::collection::vec((0.0f64..LENGTH, 0.01f64..0.6, prop::bool::weighted(0.8)), 50..300),
        phases in prop::collection::vec(0.0f64..1.0, 1..4),
        injected in 5.0f64..40.0,
        lasted in 0.5f64..10.0,
    ) {
        let events: Vec<Event> = seed
            .iter()
            .map(|(second, took, answered)| {
                let at = at((second * 1000.0).round() / 1000.0);
                Event { at, took: *took, answered: *answered }
            })
            .collect();
        let mut fake = Fake::default();
        for (runner, phase) in phases.iter().enumerate() {
            let own: Vec<Event> =
                events.iter().enumerate().filter(|(n, _)| n % phases.len() == runner).map(|(_, e)| *e).collect();
            fake.push(&format!("chat-{runner}"), *phase, &own);
        }
        let (injected, replaced) =
            ((injected * 1000.0).round() / 1000.0, ((injected + lasted) * 1000.0).round() / 1000.0);
        let ledger = |from: f64, to: f64, bad: bool| {
            let within = events.iter().filter(|e| e.at > at(from) && e.at <= at(to) && (!bad || !e.answered));
            i64::try_from(within.count()).unwrap()
        };
        let judgement =
            judge(&fake, &[success(&ALL), p95(&ALL)], vec![kill(injected, replaced)], &["save-success"]);

        let all = i64::try_from(events.len()).unwrap();
        let run = result(&judgement, "save-success", WindowKind::Run);
        prop_assert_eq!((run.samples, run.bad), (Some(all), Some(ledger(-1.0, 99.0, true))));
        let run = result(&judgement, "save-p95", WindowKind::Run);
        let slow = events.iter().filter(|e| !e.answered || e.took > 0.3).count();
        prop_assert_eq!((run.samples, run.bad), (Some(all), i64::try_from(slow).ok()));

        let fault = result(&judgement, "save-success", WindowKind::Fault);
        for (figure, bad) in [(fault.samples, false), (fault.bad, true)] {
            let figure = figure.unwrap_or(0);
            prop_assert!(figure >= ledger(injected, replaced, bad), "nothing of the fault is missed");
            prop_assert!(figure <= ledger(injected - 1.0, replaced + 1.0, bad), "and little else is counted");
        }
        let steady = result(&judgement, "save-success", WindowKind::Steady);
        let recovered = judgement.recoveries[0].1.recovered_at.as_ref();
        let recovered = recovered.map_or(LENGTH, |t| t.0.as_millisecond() as f64 / 1000.0 - at(0.0)).max(replaced);
        for (figure, bad) in [(steady.samples, false), (steady.bad, true)] {
            let figure = figure.unwrap_or(0);
            prop_assert!(figure <= ledger(0.0, injected, bad) + ledger(recovered, LENGTH, bad));
        }
    }
}
