use rstest::rstest;

use super::*;
use crate::plan::Plan;
use crate::plan::error::PlanError;

fn plan(fault: serde_json::Value) -> Result<FaultPlan, PlanError> {
    let mut one = serde_json::json!({
        "name": "kill", "at": "20s", "podKill": {"gracePeriodSeconds": 0},
        "target": {"selector": {"matchLabels": {"app": "dbman"}}, "pick": {"count": 1}}
    });
    for (key, value) in fault.as_object().unwrap() {
        one[key] = value.clone();
    }
    let test = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "uid-1"},
        "spec": {
            "serviceAccountName": "faults",
            "scenarios": [{"name": "a", "script": {"inline": "x"}, "vus": 1, "duration": "60s"}],
            "faults": [one],
            "objectives": [
                {"name": "ok", "k6": {"metric": "http_req_failed"}, "atMost": "1%"},
                {"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "300ms"},
                {"name": "cpu", "query": "max(cpu)", "atMost": "90%"}
            ]
        }
    }))
    .unwrap();
    Plan::of(&test).map(|plan| plan.faults[0].clone())
}

#[test]
fn a_budget_alone_still_asks_when_the_system_was_back() {
    let plan =
        plan(serde_json::json!({"budget": {"of": ["ok"], "downtime": "5s", "worstSecond": "50%"}})).unwrap();
    let recovery = plan.limits.recovery.clone().unwrap();
    assert_eq!((recovery.of, recovery.within, recovery.hold), (vec!["ok".to_owned()], None, HOLD));
    let budget = plan.limits.budget.clone().unwrap();
    assert_eq!(budget.downtime.map(|d| (d.time, d.text)), Some((Duration::from_secs(5), "5s".to_owned())));
    assert_eq!(budget.worst_second.map(|w| w.base()), Some(0.5));
}

#[test]
fn every_witness_is_named_once() {
    let fault = serde_json::json!({
        "recovery": {"of": ["p95", "ok"], "within": "10s", "alert": "DbmanDown"},
        "budget": {"of": ["ok"], "badRequests": 100}
    });
    let plan = plan(fault).unwrap();
    assert_eq!(plan.witnesses(), ["ok", "p95"]);
    let alert = AlertPlan { name: "DbmanDown".to_owned(), namespace: "loadtests".to_owned() };
    assert_eq!(plan.limits.recovery.unwrap().alert, Some(alert));
}

#[rstest]
#[case(serde_json::json!({"recovery": {"of": ["cpu"], "within": "10s"}}), "fault kill: recovery.of names cpu, which is no share")]
#[case(serde_json::json!({"budget": {"of": ["ok", "no"], "badRequests": 1}}), "fault kill: budget.of names no, which is no share")]
#[case(serde_json::json!({"budget": {"of": ["ok"], "worstSecond": "half"}}), "fault kill: budget.worstSecond: `half` is no share")]
#[case(serde_json::json!({"budget": {"of": ["ok"], "downtime": "5"}}), "fault kill: budget.downtime: `5` is no length of time")]
#[case(selecting(serde_json::json!({"matchLabels": {"app": "a,role=b"}})), "fault kill: selector: `a,role=b` is no value of a label")]
#[case(selecting(serde_json::json!({"matchLabels": {"app,role": "b"}})), "fault kill: selector: `app,role` is no key of a label")]
#[case(selecting(serde_json::json!({"matchLabels": {"app in (a),b": ""}})), "fault kill: selector: `app in (a),b` is no key of a label")]
#[case(selecting(serde_json::json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b),role in (c"]}]})), "fault kill: selector: `b),role in (c` is no value of a label")]
#[case(selecting(serde_json::json!({"matchExpressions": [{"key": "!app", "operator": "Exists"}]})), "fault kill: selector: `!app` is no key of a label")]
#[case(serde_json::json!({"target": {"namespace": "../../api/v1/nodes", "selector": {"matchLabels": {"app": "a"}}}}), "fault kill: namespace: `../../api/v1/nodes` is no name")]
fn refusals_say_what_to_write_instead(#[case] fault: serde_json::Value, #[case] message: &str) {
    let error = plan(fault).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

fn selecting(selector: serde_json::Value) -> serde_json::Value {
    serde_json::json!({"target": {"selector": selector}})
}

#[test]
fn a_selector_is_written_as_kubectl_takes_it() {
    let selector = serde_json::json!({
        "matchLabels": {"app.kubernetes.io/name": "dbman", "tier": ""},
        "matchExpressions": [
            {"key": "zone", "operator": "In", "values": ["a", "b_1.2-X"]},
            {"key": "old", "operator": "DoesNotExist"},
            {"key": "new", "operator": "Exists"}
        ]
    });
    let plan = plan(selecting(selector)).unwrap();
    assert_eq!(plan.selector_text(), "app.kubernetes.io/name=dbman,tier=,zone in (a,b_1.2-X),!old,new");
}

/// A cell of 1 s and a push.
#[rstest]
#[case::coarse_enough(serde_json::json!({"recovery": {"of": ["ok"], "within": "2s"}}), 1000, None)]
#[case::within(serde_json::json!({"recovery": {"of": ["ok"], "within": "1900ms"}}), 1000, Some("2s"))]
#[case::downtime(serde_json::json!({"budget": {"of": ["ok"], "downtime": "1s"}}), 1000, Some("2s"))]
#[case::slow_pushes(serde_json::json!({"recovery": {"of": ["ok"], "within": "5s"}}), 5000, Some("10s"))]
#[case::uneven_pushes(serde_json::json!({"recovery": {"of": ["ok"], "within": "3s"}}), 1500, Some("3.5s"))]
#[case::counts_are_exact(serde_json::json!({"budget": {"of": ["ok"], "badRequests": 0}}), 5000, None)]
#[case::no_limits(serde_json::json!({}), 5000, None)]
fn limits_finer_than_the_figures(
    #[case] fault: serde_json::Value,
    #[case] push: u64,
    #[case] at_least: Option<&str>,
) {
    let refusal = plan(fault).unwrap().too_fine(Duration::from_millis(push));
    match at_least {
        None => assert_eq!(refusal, None),
        Some(least) => {
            let refusal = refusal.unwrap();
            assert!(refusal.ends_with(&format!("write at least {least}")), "{refusal}");
        }
    }
}

#[rstest]
#[case::in_the_load(serde_json::json!({"at": "59s"}), None)]
#[case::after_it(serde_json::json!({"at": "60s"}), Some("needs load until 1m after the start (at 1m), but the load lasts 1m: lengthen the load beyond that, or move the fault"))]
#[case::just_enough(serde_json::json!({"recovery": {"of": ["ok"], "within": "30s", "hold": "10s"}}), None)]
#[case::too_late(serde_json::json!({"recovery": {"of": ["ok"], "within": "31s", "hold": "10s"}}),
    Some("needs load until 1m1s after the start (at 20s, recovery within 31s, hold 10s), but the load lasts 1m: lengthen the load beyond that, or move the fault"))]
#[case::no_room_at_all(serde_json::json!({"at": "55s", "recovery": {"of": ["ok"], "within": "31s", "hold": "10s"}}),
    Some("needs load until 1m36s after the start (at 55s, recovery within 31s, hold 10s), but the load lasts 1m: lengthen the load beyond that, or move the fault"))]
#[case::budget(serde_json::json!({"at": "51s", "budget": {"of": ["ok"], "badRequests": 5}}),
    Some("needs load until 1m1s after the start (at 51s, hold 10s), but"))]
fn faults_that_end_after_the_load(#[case] fault: serde_json::Value, #[case] message: Option<&str>) {
    let refusal = plan(fault).unwrap().too_late(Duration::from_secs(60));
    match message {
        None => assert_eq!(refusal, None),
        Some(message) => {
            let refusal = refusal.unwrap();
            assert!(refusal.starts_with(&format!("fault kill {message}")), "{refusal}");
        }
    }
}
