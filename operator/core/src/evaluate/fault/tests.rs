use loadtest_crds::{K6Figure, Objective, VerdictPolicy};
use rstest::rstest;

use super::*;
use crate::{
    evaluate::{
        Evaluation, Step,
        fake::Fake,
        judgement::Judgement,
        minute::{self, GOOD, REFUSED, SLOW, at, injected, load, over, settings},
    },
    k6::question::Request,
    plan::fault::{AlertPlan, BudgetPlan, RecoveryPlan, TimeLimit},
    prometheus::ask::{AlertRule, Answer},
};

fn objective(name: &str, metric: &str, percentile: Option<f64>, limit: &str) -> ObjectivePlan {
    let objective = Objective {
        name: name.to_owned(),
        k6: Some(K6Figure { metric: metric.to_owned(), percentile, ..K6Figure::default() }),
        at_most: Some(limit.into()),
        ..Objective::default()
    };
    ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
}

fn limits(of: &str, alert: bool) -> FaultLimits {
    let of = vec![of.to_owned()];
    let time = |s| TimeLimit { time: Duration::from_secs(s), text: format!("{s}s") };
    let alert = alert.then(|| AlertPlan { name: "DbmanDown".to_owned(), namespace: "msg-server".to_owned() });
    FaultLimits {
        recovery: Some(RecoveryPlan {
            of: of.clone(),
            within: Some(time(20)),
            hold: Duration::from_secs(5),
            alert,
        }),
        budget: Some(BudgetPlan { of, bad_requests: Some(70), downtime: Some(time(5)), worst_second: None }),
    }
}

fn judge(fake: &Fake, faults: Vec<FaultStatus>, limits: &FaultLimits) -> Judgement {
    minute::judge(evaluation(faults, limits), fake)
}

fn evaluation(faults: Vec<FaultStatus>, limits: &FaultLimits) -> Evaluation {
    let status = over(faults);
    let objectives = [
        objective("ok", "http_req_failed", None, "1%"),
        objective("p95", "http_req_duration", Some(95.0), "300ms"),
    ];
    let asked = status.faults.iter().map(|f| (f.name.clone(), limits.clone())).collect();
    Evaluation::new(&objectives, asked, &status, settings())
}

/// 3 s of a minute, in which every request is refused, slow, or never comes back: 60 requests.
#[rstest]
#[case::refused("ok", REFUSED, Some(60), Outcome::Met)]
#[case::refused_counts_as_slow("p95", REFUSED, Some(60), Outcome::Met)]
#[case::slow("p95", SLOW, Some(60), Outcome::Met)]
#[case::hanging("ok", None, Some(0), Outcome::Met)]
fn an_outage_of_three_seconds(
    #[case] of: &str,
    #[case] during: Option<(f64, bool)>,
    #[case] bad: Option<i64>,
    #[case] outcome: Outcome,
) {
    let fake = load(|second| if (30.0..33.0).contains(&second) { during } else { GOOD });
    let judgement = judge(&fake, vec![injected("kill", 30.0, 34.0)], &limits(of, false));
    let budget = &judgement.budgets[0].1;
    assert_eq!((budget.outcome, budget.bad_requests), (outcome, bad), "{budget:?}");
    let down = budget.downtime_milliseconds.unwrap();
    assert!((2000..=4000).contains(&down), "{budget:?}");
    let recovery = &judgement.recoveries[0].1;
    assert_eq!(recovery.effect, FaultEffect::Recovered, "{recovery:?}");
    assert!(recovery.recover_milliseconds.is_some_and(|ms| (3000..=5000).contains(&ms)), "{recovery:?}");
}

/// It lies in the same bucket as the limit, half of which interpolation takes as within.
const IN_BUCKET: minute::Request = Some((0.3 * (1.0 + 5e-8), true));

/// 20 requests a second may be too slow or not. 70 bad ones are allowed, and a recovery of 20 s.
#[rstest]
#[case::within_either_way(3.0, Outcome::Met, Outcome::Met, 60)]
// From none to 100 bad ones.
#[case::perhaps_too_many(5.0, Outcome::Met, Outcome::Unclear, 100)]
#[case::perhaps_too_late(25.0, Outcome::NoData, Outcome::Unclear, 500)]
fn a_limit_inside_a_bucket(
    #[case] lasted: f64,
    #[case] recovered: Outcome,
    #[case] budget: Outcome,
    #[case] bad: i64,
) {
    let during = |second: f64| (30.0..30.0 + lasted).contains(&second);
    let fake = load(|second| if during(second) { IN_BUCKET } else { GOOD });
    let judgement = judge(&fake, vec![injected("kill", 30.0, 34.0)], &limits("p95", false));
    let (recovery, found) = (&judgement.recoveries[0].1, &judgement.budgets[0].1);
    assert_eq!((recovery.outcome, found.outcome), (recovered, budget), "{recovery:?} {found:?}");
    assert_eq!(found.bad_requests, Some(bad));
    for (outcome, message) in [(recovered, &recovery.message), (budget, &found.message)] {
        let advice =
            "the limit of p95 lies inside a bucket of k6's histogram: set the limit to another value";
        assert_eq!(message.as_deref().unwrap().contains(advice), outcome != Outcome::Met, "{message:?}");
    }
}

/// Refused for 3 s; then for 12 s one in 14 may be too slow, which is within 5% at least, and not at most. What harm is
/// done at most is counted until the system was back at the latest.
#[test]
fn harm_is_counted_as_long_as_any_reading_says() {
    let fake = load(|second| match second {
        30.0..33.0 => REFUSED,
        33.0..45.0 if (second / 0.05) as i64 % 14 == 0 => IN_BUCKET,
        _ => GOOD,
    });
    let judgement = judge(&fake, vec![injected("kill", 30.0, 34.0)], &limits("p95", false));
    let (recovery, budget) = (&judgement.recoveries[0].1, &judgement.budgets[0].1);
    assert_eq!(recovery.outcome, Outcome::Met, "{recovery:?}");
    let message = recovery.message.as_deref().unwrap();
    assert!(message.contains(" (at most: the limit of p95 lies inside a bucket"), "{message}");
    assert_eq!(budget.outcome, Outcome::Unclear, "{budget:?}");
    assert!(budget.bad_requests.is_some_and(|bad| (71..80).contains(&bad)), "{budget:?}");
    let message = budget.message.as_deref().unwrap();
    assert!(
        message.starts_with('7') && message.contains("; or 60 bad requests, limit 70; down for 3s "),
        "{message}"
    );
}

/// How old the pushes were is asked in vain.
#[test]
fn pushes_of_which_nothing_is_known_leave_all_open() {
    let fake = load(|second| if (30.0..33.0).contains(&second) { REFUSED } else { GOOD });
    let mut evaluation = evaluation(vec![injected("kill", 30.0, 34.0)], &limits("ok", false));
    let mut answers = Vec::new();
    let judgement = loop {
        let answer = |request: &Request| match request.question.to_string().starts_with("max((time()") {
            true => Answer::Failed("too many samples".to_owned()),
            false => fake.answer(request),
        };
        match evaluation.step(answers) {
            Step::Ask(requests) => answers = requests.iter().map(|r| (r.id, answer(r))).collect(),
            Step::Done(judgement) => break judgement,
        }
    };
    let (recovery, budget) = (&judgement.recoveries[0].1, &judgement.budgets[0].1);
    assert_eq!((recovery.outcome, budget.outcome), (Outcome::NoData, Outcome::NoData));
    for message in [&recovery.message, &budget.message] {
        let message = message.as_deref().unwrap();
        assert!(
            message.ends_with(
                "whether k6's pushes came in time is not known: the query failed: too many samples"
            ),
            "{message}"
        );
    }
}

#[test]
fn without_an_outage_nothing_is_missing() {
    let judgement = judge(&load(|_| GOOD), vec![injected("kill", 30.0, 34.0)], &limits("ok", false));
    let budget = &judgement.budgets[0].1;
    assert_eq!((budget.outcome, budget.bad_requests), (Outcome::Met, Some(0)));
    assert!(budget.downtime_milliseconds.unwrap() < 500, "{budget:?}");
    assert_eq!(judgement.recoveries[0].1.effect, FaultEffect::NoEffect);
}

/// Refused from 8 s to 20 s. The second fault comes at 14 s, and the 6 s before it were no usual ones.
#[test]
fn faults_that_overlap_are_one_incident() {
    let fake = load(|second| if (8.0..20.0).contains(&second) { REFUSED } else { GOOD });
    let faults = vec![injected("second", 14.0, 15.0), injected("first", 8.0, 10.0)];
    let judgement = judge(&fake, faults, &limits("ok", false));
    let [second, first] = [0, 1].map(|n| (judgement.recoveries[n].1.clone(), judgement.budgets[n].1.clone()));
    for message in [second.0.message.unwrap(), second.1.message.clone().unwrap()] {
        assert!(message.ends_with("with first still felt"), "{message}");
    }
    for message in [first.0.message.unwrap(), first.1.message.clone().unwrap()] {
        assert!(message.ends_with("with second injected meanwhile"), "{message}");
    }
    for (found, bad, down) in [(second.1, 120, 6000), (first.1, 240, 12_000)] {
        let counted = found.bad_requests.unwrap();
        assert!((bad..=bad + 20).contains(&counted), "{counted} of {bad}");
        let found = found.downtime_milliseconds.unwrap();
        assert!((down - 1000..=down + 1000).contains(&found), "{found} of {down}");
    }
}

#[test]
fn faults_apart_from_each_other_are_two() {
    let fake = load(|second| if (8.0..11.0).contains(&second) { REFUSED } else { GOOD });
    let judgement = judge(
        &fake,
        vec![injected("first", 8.0, 10.0), injected("second", 30.0, 32.0)],
        &limits("ok", false),
    );
    for (_, recovery) in &judgement.recoveries {
        let message = recovery.message.as_deref().unwrap();
        assert!(!message.contains(", with "), "{message}");
    }
    assert_eq!(judgement.recoveries[1].1.effect, FaultEffect::NoEffect);
    assert_eq!(judgement.budgets[1].1.bad_requests, Some(0));
}

#[test]
fn a_target_that_served_nothing_before() {
    let fake = load(|second| if second < 30.0 { None } else { GOOD });
    let judgement = judge(&fake, vec![injected("kill", 30.0, 34.0)], &limits("ok", false));
    assert_eq!(judgement.recoveries[0].1.effect, FaultEffect::NotExercised);
    assert_eq!(judgement.budgets[0].1.outcome, Outcome::NoData);
}

#[test]
fn the_alert_of_the_targets_namespace_is_the_one() {
    let mut fake = load(|second| if (30.0..33.0).contains(&second) { REFUSED } else { GOOD });
    let alert = |namespace| [("alertname", "DbmanDown"), ("alertstate", "firing"), ("namespace", namespace)];
    let samples = |from: i32| (from..50).step_by(5).map(|s| (at(f64::from(s)), 1.0)).collect::<Vec<_>>();
    fake.add("ALERTS", &alert("another"), samples(5));
    fake.add("ALERTS", &alert("msg-server"), samples(35));
    fake.rules = vec![AlertRule { holds_for: 0.0, every: 5.0 }];
    let judgement = judge(&fake, vec![injected("kill", 30.5, 34.0)], &limits("ok", true));
    let found = &judgement.recoveries[0].1;
    let times =
        (found.detect_milliseconds, found.detect_resolution_milliseconds, found.detect_floor_milliseconds);
    assert_eq!(times, (Some(4500), Some(5000), Some(5000)), "{found:?}");
    assert!(
        found
            .message
            .as_deref()
            .unwrap()
            .ends_with("DbmanDown fired 4.5s after the fault, measured to 5s, at the soonest 5s")
    );
}

#[test]
fn a_script_that_ramps_all_the_time_is_level_nowhere() {
    let mut status = over(Vec::new());
    let flat = |status: &LoadTestStatus| grid::flat_cells(minute::time(30.0), status, Duration::from_secs(1));
    assert_eq!(flat(&status), Some(30));
    status.scenarios[0].plateaus.clear();
    assert_eq!(flat(&status), None, "what is not known");
    status.scenarios[0].duration_milliseconds = Some(60_000);
    assert_eq!(flat(&status), Some(0));
}

/// The runner that does not push from one time to another is 1 s late at most else. Refused for 3 s, or longer.
#[rstest]
#[case::in_time(70.0, 70.0, 33.0, Outcome::Met, Outcome::Met)]
// One push is left out: at 36 s the last one is of 34 s.
#[case::for_one_push(34.1, 36.0, 33.0, Outcome::Met, Outcome::Met)]
#[case::before_the_fault(20.0, 24.0, 33.0, Outcome::Met, Outcome::Met)]
#[case::as_it_came(26.0, 30.5, 33.0, Outcome::NoData, Outcome::NoData)]
#[case::while_it_was_felt(30.0, 33.5, 33.0, Outcome::NoData, Outcome::NoData)]
#[case::while_it_must_hold(34.0, 38.0, 33.0, Outcome::NoData, Outcome::NoData)]
#[case::after_it_was_back(45.0, 52.0, 33.0, Outcome::Met, Outcome::Met)]
#[case::before_it_was_missed(44.0, 52.0, 61.0, Outcome::NoData, Outcome::NoData)]
// It had been down for 20 s and more.
#[case::just_after_it_was_missed(55.5, 61.0, 61.0, Outcome::Missed, Outcome::NoData)]
#[case::just_before_it_was_missed(54.5, 61.0, 61.0, Outcome::NoData, Outcome::NoData)]
#[case::after_it_was_missed(57.0, 61.0, 61.0, Outcome::Missed, Outcome::NoData)]
fn a_late_push_until_the_system_was_back(
    #[case] silent_from: f64,
    #[case] silent_to: f64,
    #[case] back: f64,
    #[case] recovered: Outcome,
    #[case] budget: Outcome,
) {
    let mut fake = load(|second| if (30.0..back).contains(&second) { REFUSED } else { GOOD });
    let pushes = (0..700).map(|tenth| f64::from(tenth) * 0.1 + 0.05);
    let heard = pushes.filter(|second| *second <= silent_from || *second > silent_to);
    fake.add("k6_vus", &[("loadtest_run", "4f1c")], heard.map(|second| (at(second), 5.0)));
    let mut limits = limits("ok", false);
    limits.budget.as_mut().unwrap().bad_requests = Some(100);
    let judgement = judge(&fake, vec![injected("kill", 30.0, 34.0)], &limits);
    let (recovery, found) = (&judgement.recoveries[0].1, &judgement.budgets[0].1);
    assert_eq!((recovery.outcome, found.outcome), (recovered, budget), "{recovery:?} {found:?}");
    for (outcome, message) in [(recovered, &recovery.message), (budget, &found.message)] {
        let late = message.as_deref().unwrap().contains("; but k6's pushes came late (");
        assert_eq!(late, outcome == Outcome::NoData, "{message:?}");
    }
    assert_eq!(recovery.recover_milliseconds.is_some(), recovered == Outcome::Met);
}
