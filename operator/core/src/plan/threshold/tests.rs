use loadtest_crds::WindowKind;
use promql_parser::parser;
use rstest::rstest;

use super::*;
use crate::plan::figure::Figure;

fn threshold(metric: &str, expression: &str) -> ScriptThreshold {
    ScriptThreshold {
        metric: metric.to_owned(),
        expression: expression.to_owned(),
        ..ScriptThreshold::default()
    }
}

fn status(thresholds: Vec<ScriptThreshold>) -> LoadTestStatus {
    let scenario = ScenarioStatus {
        name: "chat".to_owned(),
        thresholds,
        duration_milliseconds: Some(60_000),
        ..ScenarioStatus::default()
    };
    LoadTestStatus { scenarios: vec![scenario], ..LoadTestStatus::default() }
}

#[rstest]
#[case("http_req_duration", "p(95)<300", "at most 300ms")]
#[case("http_req_duration{name:SendMessage}", "p(99.9) <= 1500", "at most 1500ms")]
#[case("mine", "med<10", "at most 10ms")]
#[case("http_req_failed", "rate<0.01", "at most 1%")]
#[case("http_req_failed{name:SendMessage}", "rate<=0.001", "at most 0.1%")]
#[case("http_req_failed", "rate==0", "at most 0%")]
#[case("http_req_failed", "rate<0.07", "at most 7%")]
#[case("messages_sent", "count>100000", "at least 100001")]
#[case("http_reqs{name:SendMessage}", "count<10", "at most 9")]
#[case("http_reqs", "rate>50", "at least 50")]
#[case("mine", "rate>50", "at least 50")]
#[case("checks", "rate>0.99", "at least 99%")]
#[case("checks{check:is 200}", "rate==1", "at least 100%")]
#[case("mine", "rate<0.1", "at most 10%")]
#[case("http_req_duration", "avg<200", "at most 200ms")]
#[case("http_req_duration", "max<1000", "at most 1000ms")]
#[case("mine", "min>5", "at least 5ms")]
fn judged_over_all_runners(#[case] metric: &str, #[case] expression: &str, #[case] bound: &str) {
    let status = status(vec![threshold(metric, expression)]);
    let found = objectives(&status);
    assert_eq!(found.len(), 1, "{:?}", unjudged(&status));
    assert_eq!(
        (found[0].name.as_str(), found[0].key),
        (format!("threshold: {metric} {expression}").as_str(), true)
    );
    assert_eq!(found[0].bound.words(), bound);
    assert_eq!(found[0].windows, [WindowKind::Run]);
    assert!(unjudged(&status).is_empty());
}

#[test]
fn tags_and_scenario_choose_the_samples() {
    let found =
        objectives(&status(vec![threshold("http_req_duration{name:Send,group:::main}", "p(95)<300")]));
    let Figure::K6Percentile { samples, percentile, .. } = &found[0].figure else { panic!("{found:?}") };
    assert_eq!((samples.scenario.as_deref(), *percentile), (Some("chat"), 95.0));
    let tags = [("group", "::main"), ("name", "Send")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(samples.tags, tags.into());
}

#[rstest]
#[case("vus", "max<20", "is a Gauge")]
#[case("http_reqs", "avg<20", "has no percentiles")]
#[case("vus", "value<100", "`value` is no figure")]
#[case("http_req_duration", "p(95)>300", "against the most that it may be")]
#[case("http_req_duration", "p(95)!=300", "is none of p(95)")]
#[case("http_req_duration", "p(100)<300", "percentile")]
#[case("http_req_duration", "p95<300", "`p95` is no figure")]
#[case("http_req_failed", "rate", "is none of")]
fn what_cannot_be_judged_is_named(#[case] metric: &str, #[case] expression: &str, #[case] why: &str) {
    let status = status(vec![threshold(metric, expression)]);
    let found = unjudged(&status);
    assert_eq!(found[0].0, format!("threshold: {metric} {expression}"));
    assert!(found[0].1.contains(why), "{}", found[0].1);
    assert!(objectives(&status).is_empty());
}

/// Each is an objective, is bounded by its parts, or is named: none is lost.
#[test]
fn none_is_ignored() {
    let all = [
        "p(95)<3", "med<3", "rate<0.1", "rate>5", "count>7", "avg<1", "max<1", "value<1", "nonsense",
        "p()<1", "count==2",
    ];
    for metric in ["http_req_duration", "http_req_failed", "http_reqs", "checks", "mine", "vus"] {
        for expression in all {
            let status = status(vec![threshold(metric, expression)]);
            let found = objectives(&status).len() + unjudged(&status).len();
            assert_eq!(found, 1, "{metric} {expression}");
        }
    }
}

#[test]
fn the_same_threshold_of_two_scenarios_has_two_names() {
    let mut status = status(vec![threshold("http_req_failed", "rate<0.01")]);
    let other = ScenarioStatus { name: "probe".to_owned(), ..status.scenarios[0].clone() };
    status.scenarios.push(other);
    let names: Vec<String> = objectives(&status).into_iter().map(|o| o.name).collect();
    assert_eq!(
        names,
        ["threshold chat: http_req_failed rate<0.01", "threshold probe: http_req_failed rate<0.01"]
    );
}

#[rstest]
#[case(Is::Above, 100_000.0, "100001")]
#[case(Is::AtLeast, 100_000.0, "100000")]
#[case(Is::Below, 10.0, "9")]
#[case(Is::Below, 9.5, "9")]
#[case(Is::AtMost, 10.0, "10")]
fn a_count_is_a_whole_number(#[case] is: Is, #[case] limit: f64, #[case] text: &str) {
    let (metric, samples) = ("msgs".to_owned(), K6Samples::default());
    assert_eq!(Parsed { metric, samples, aggregate: Aggregate::Count, is, limit }.text(), text);
}

#[rstest]
#[case("http_req_duration", "p(95)<300", "at most 300ms")]
#[case("http_req_failed", "rate<0.01", "at most 1%")]
#[case("msgs", "count<1000", "at most 999")]
#[case("checks", "rate>0.9", "at least 90%")]
fn abort_on_fail_is_a_guardrail(#[case] metric: &str, #[case] expression: &str, #[case] bound: &str) {
    let plain = threshold(metric, expression);
    assert!(guardrails(&status(vec![plain.clone()]), "4f1c").is_empty());
    let aborts = ScriptThreshold { abort_on_fail: true, ..plain };
    let late = ScriptThreshold { delay_abort_eval: Some("30s".to_owned()), ..aborts.clone() };
    for (threshold, seconds) in [(aborts, 10), (late, 30)] {
        let found = guardrails(&status(vec![threshold]), "4f1c");
        assert_eq!((found[0].words().as_str(), found[0].hold.as_secs()), (bound, seconds));
        assert!(
            found[0].query.contains("loadtest_run=\"4f1c\",loadtest_scenario=\"chat\""),
            "{}",
            found[0].query
        );
        parser::parse(&found[0].query).unwrap_or_else(|error| panic!("{}: {error}", found[0].query));
    }
}
