use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{
    FaultState, FaultStatus, GuardrailSet, GuardrailStatus, LoadStatus, LoadTest, LoadTestStatus, Outcome,
    Plateau, ScenarioStatus,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{
    plan::Plan,
    watch::{
        guardrail::{Reading, Watches},
        moment,
    },
};

/// Where the metrics of a set come from, in words.
fn source(set: GuardrailSet) -> &'static str {
    match set {
        GuardrailSet::Client => "k6, the run's own requests",
        GuardrailSet::Node => "node_exporter",
        GuardrailSet::Pod => "cAdvisor (kubelet); the limits from kube-state-metrics, or else from cAdvisor",
        GuardrailSet::Postgres => {
            "postgres_exporter; query-time also wants the extension pg_stat_statements and the exporter's collector \
             `stat_statements`, which is off by default"
        }
        GuardrailSet::Redis => {
            "redis_exporter; memory without `maxmemory` also wants the exporter's option `-include-system-metrics`"
        }
        GuardrailSet::Kafka => "kafka_exporter",
        GuardrailSet::WebSocket => "the gateway itself, under these names",
    }
}

const ALL: [GuardrailSet; 7] = [
    GuardrailSet::Client,
    GuardrailSet::Node,
    GuardrailSet::Pod,
    GuardrailSet::Postgres,
    GuardrailSet::Redis,
    GuardrailSet::Kafka,
    GuardrailSet::WebSocket,
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A run of 100 s with a fault at 40 s, whose recovery must hold for 10 s, and one guardrail over `value`.
fn plan(guardrail: Value) -> Plan {
    plan_of(json!([guardrail])).unwrap()
}

fn plan_of(guardrails: Value) -> Result<Plan, crate::plan::error::PlanError> {
    let test: LoadTest = serde_json::from_value(json!({
        "metadata": {"name": "chat", "namespace": "team", "uid": "4f1c"},
        "spec": {
            "serviceAccountName": "faults",
            "scenarios": [{"name": "a", "script": {"inline": "x"}, "vus": 4, "duration": "100s"}],
            "objectives": [{"name": "ok", "k6": {"metric": "http_req_failed"}, "atMost": "1%"}],
            "faults": [{
                "name": "kill", "at": "40s", "podKill": {},
                "target": {"selector": {"matchLabels": {"app": "dbman"}}, "pick": {"count": 1}},
                "recovery": {"of": ["ok"], "within": "30s", "hold": "10s"}
            }],
            "guardrails": guardrails
        }
    }))
    .unwrap();
    Plan::of(&test)
}

fn guarded(limits: Value) -> Plan {
    let mut guardrail = json!({"name": "g", "query": "value", "for": "3s"});
    for (key, value) in limits.as_object().unwrap() {
        guardrail[key] = value.clone();
    }
    plan(guardrail)
}

/// With constant load from 10 s to 90 s; the fault's pods were gone from 40 s to 45 s.
fn status() -> LoadTestStatus {
    let time = |second: i64| Some(MicroTime(at(second)));
    LoadTestStatus {
        load: Some(LoadStatus { started_at: time(0), ..LoadStatus::default() }),
        scenarios: vec![ScenarioStatus {
            plateaus: vec![Plateau { from: 10_000, to: 90_000 }],
            ..ScenarioStatus::default()
        }],
        faults: vec![FaultStatus {
            name: "kill".to_owned(),
            state: FaultState::Injected,
            due_at: time(40),
            injected_at: time(40),
            replaced_at: time(45),
            ..FaultStatus::default()
        }],
        ..LoadTestStatus::default()
    }
}

/// A value a second from `from` on; NaN is no data.
fn watch(plan: &Plan, status: &LoadTestStatus, from: i64, values: &[f64]) -> GuardrailStatus {
    let mut watches = Watches::default();
    see(&mut watches, plan, status, from, values);
    watches.statuses(&plan.guardrails, &status.guardrails).remove(0)
}

fn see(watches: &mut Watches, plan: &Plan, status: &LoadTestStatus, from: i64, values: &[f64]) {
    for (second, value) in (from..).zip(values) {
        watches.tell([Reading { guardrail: "g".to_owned(), at: at(second), value: Ok(*value) }]);
        watches.read(plan, status);
    }
}

const NONE: f64 = f64::NAN;

#[rstest]
#[case::within(&[1.0, 5.0, 5.0, 5.0, 5.0], Outcome::Met, None)]
#[case::not_long_enough(&[1.0, 6.0, 6.0, 6.0, 1.0, 6.0], Outcome::Met, None)]
#[case::long_enough(&[1.0, 6.0, 6.0, 6.0, 6.0], Outcome::Missed, Some(11))]
#[case::with_a_break(&[6.0, 6.0, 1.0, 6.0, 6.0, 6.0, 6.0], Outcome::Missed, Some(13))]
// Three seconds beyond it were seen: 0–1, 2–3 and 3–4. In the moment without a value nobody knows.
#[case::a_gap_is_no_break(&[6.0, 6.0, NONE, 6.0, 6.0, 6.0], Outcome::Missed, Some(10))]
#[case::and_does_not_count(&[6.0, 6.0, NONE, 6.0, 6.0], Outcome::Met, None)]
fn beyond_its_limit(#[case] values: &[f64], #[case] outcome: Outcome, #[case] since: Option<i64>) {
    let found = watch(&guarded(json!({"atMost": "5"})), &status(), 10, values);
    assert_eq!(
        (found.outcome, found.breached_at),
        (outcome, since.map(|s| MicroTime(at(s)))),
        "{:?}",
        found.message
    );
}

#[test]
fn at_once_where_for_is_zero() {
    let found = watch(&guarded(json!({"atLeast": "5", "for": "0s"})), &status(), 10, &[5.0, 4.9]);
    assert_eq!((found.outcome, found.worst.as_deref()), (Outcome::Missed, Some("4.9")));
}

#[test]
fn nobody_looked_for_too_long() {
    let plan = guarded(json!({"atMost": "5"}));
    let mut watches = Watches::default();
    for second in [10, 11, 31, 32] {
        watches.tell([Reading { guardrail: "g".to_owned(), at: at(second), value: Ok(6.0) }]);
    }
    watches.read(&plan, &status());
    assert_eq!(watches.statuses(&plan.guardrails, &[])[0].outcome, Outcome::Met);
}

#[rstest]
#[case::at_most(json!({"atMost": "50%", "warnAbove": "30%"}), &[0.1, 0.4, 0.4, 0.4, 0.4], Outcome::Warn, "40%")]
#[case::at_least(json!({"atLeast": "50%", "warnBelow": "70%"}), &[0.9, 0.6, 0.6, 0.6, 0.6], Outcome::Warn, "60%")]
#[case::too_short(json!({"atMost": "50%", "warnAbove": "30%"}), &[0.4, 0.4, 0.4, 0.1, 0.4], Outcome::Met, "40%")]
// Beyond the limit is beyond the warning limit too.
#[case::both(json!({"atMost": "50%", "warnAbove": "30%"}), &[0.4, 0.6, 0.6, 0.4, 0.1], Outcome::Warn, "60%")]
fn warnings(#[case] limits: Value, #[case] values: &[f64], #[case] outcome: Outcome, #[case] worst: &str) {
    let found = watch(&guarded(limits), &status(), 10, values);
    assert_eq!((found.outcome, found.worst.as_deref()), (outcome, Some(worst)), "{:?}", found.message);
    assert_eq!(found.breached_at, None);
}

#[test]
fn what_is_told_of_a_breach() {
    let found = watch(&guarded(json!({"atMost": "50%"})), &status(), 10, &[0.1, 0.6, 0.6, 0.6, 0.62]);
    assert_eq!(found.message.as_deref(), Some("62% at 08:00:14Z, beyond since 08:00:11Z, limit 50%"));
    assert_eq!((found.limit.as_str(), found.samples), ("at most 50%", Some(5)));
}

#[rstest]
// Beyond from 38 s to 50 s, with a fault from 40 s to 45 s and its recovery until 55 s.
#[case::not_suspended(json!([]), 12, Some(38))]
#[case::in_the_fault(json!(["Fault"]), 12, Some(45))]
#[case::in_both(json!(["Fault", "Recovery"]), 12, None)]
#[case::the_clock_begins_anew(json!(["Fault", "Recovery"]), 25, Some(55))]
#[case::in_the_recovery_only(json!(["Recovery"]), 12, Some(38))]
fn suspended(#[case] windows: Value, #[case] seconds: usize, #[case] since: Option<i64>) {
    let plan = guarded(json!({"atMost": "5", "suspendDuring": windows}));
    let found = watch(&plan, &status(), 38, &vec![6.0; seconds]);
    assert_eq!(found.breached_at, since.map(|s| MicroTime(at(s))), "{:?}", found.message);
}

#[test]
fn a_fault_that_is_not_over_suspends_to_the_end() {
    let mut status = status();
    status.faults[0].replaced_at = None;
    let plan = guarded(json!({"atMost": "5", "suspendDuring": ["Fault"]}));
    assert_eq!(watch(&plan, &status, 41, &[6.0; 40]).samples, None);
    status.faults[0].state = FaultState::Pending;
    assert_eq!(watch(&plan, &status, 41, &[6.0; 40]).outcome, Outcome::Missed);
}

#[test]
fn a_fault_suspends_from_its_due_time_until_its_record_says_when() {
    let mut status = status();
    let fault = &mut status.faults[0];
    (fault.state, fault.injected_at, fault.replaced_at) = (FaultState::Intended, None, None);
    let plan = guarded(json!({"atMost": "5", "suspendDuring": ["Fault"], "for": "1s"}));
    assert_eq!(watch(&plan, &status, 40, &[6.0; 5]).outcome, Outcome::NoData);
    assert_eq!(watch(&plan, &status, 38, &[6.0, 6.0]).outcome, Outcome::Missed);
}

/// `n` times the same.
fn line(n: usize, value: f64) -> Vec<f64> {
    vec![value; n]
}

#[rstest]
// 10 values of 100, then 49: a drop of 51%.
#[case::half([line(10, 100.0), line(4, 49.0)].concat(), Outcome::Missed, Some("51%"))]
#[case::not_quite([line(10, 100.0), line(4, 50.0)].concat(), Outcome::Met, Some("50%"))]
#[case::too_few_values([line(9, 100.0), line(4, 49.0)].concat(), Outcome::Met, Some("51%"))]
#[case::too_short([line(10, 100.0), line(3, 1.0), line(5, 90.0)].concat(), Outcome::Met, Some("99%"))]
// The median of 5 × 60 and 6 × 100 is 100.
#[case::of_the_median([line(5, 60.0), line(6, 100.0), line(4, 45.0)].concat(), Outcome::Missed, Some("55%"))]
#[case::more_is_no_drop([line(10, 100.0), line(10, 900.0)].concat(), Outcome::Met, Some("-800%"))]
fn drops(#[case] values: Vec<f64>, #[case] outcome: Outcome, #[case] worst: Option<&str>) {
    let found = watch(&guarded(json!({"dropAtMost": "50%"})), &status(), 10, &values);
    let shown = found.worst.as_deref();
    if outcome == Outcome::Missed || worst == Some("99%") || worst == Some("50%") {
        assert_eq!(shown, worst);
    }
    assert_eq!(found.outcome, outcome, "{:?}", found.message);
}

#[test]
fn a_drop_is_looked_at_in_constant_load_only() {
    let plan = guarded(json!({"dropAtMost": "50%"}));
    // From 80 s on; from 90 s on the load goes down as it should.
    let values = [line(10, 100.0), line(10, 1.0)].concat();
    let never = watch(&plan, &status(), 80, &values);
    assert_eq!(
        (never.outcome, never.message.as_deref()),
        (Outcome::NoData, Some("never comparable, of 20 values"))
    );
    // The ramp up to 10 s tells nothing of what is usual.
    let values = [line(10, 1000.0), line(10, 100.0), line(5, 90.0)].concat();
    assert_eq!(watch(&plan, &status(), 0, &values).outcome, Outcome::Met);
}

#[test]
fn every_stretch_has_its_own_usual_value() {
    let mut status = status();
    status.scenarios[0].plateaus =
        vec![Plateau { from: 0, to: 20_000 }, Plateau { from: 20_000, to: 60_000 }];
    status.faults.clear();
    let values = [line(20, 1000.0), line(20, 100.0)].concat();
    assert_eq!(watch(&guarded(json!({"dropAtMost": "50%"})), &status, 0, &values).outcome, Outcome::Met);
}

#[test]
fn values_that_reach_back_into_a_ramp_do_not_count() {
    let mut status = status();
    status.scenarios[0].plateaus = vec![Plateau { from: 10_000, to: 60_000 }];
    let mut plan = guarded(json!({"dropAtMost": "50%", "query": "sum(rate(value[8s]))"}));
    assert_eq!(plan.guardrails[0].reach, Duration::from_secs(8));
    // The first eight hold the higher load of before.
    let values = [line(8, 1000.0), line(20, 100.0)].concat();
    assert_eq!(watch(&plan, &status, 10, &values).outcome, Outcome::Met);
    plan.guardrails[0].reach = Duration::ZERO;
    let values = [line(10, 1000.0), line(20, 100.0)].concat();
    assert_eq!(watch(&plan, &status, 10, &values).outcome, Outcome::Missed);
}

#[rstest]
#[case::warn(json!("Warn"), Outcome::NoData, false)]
#[case::stop(json!("Stop"), Outcome::NoData, true)]
#[case::ignore(json!("Ignore"), Outcome::Met, false)]
fn without_data_for_as_long_as_for(#[case] policy: Value, #[case] outcome: Outcome, #[case] stops: bool) {
    let plan = guarded(json!({"atMost": "5", "onNoData": policy}));
    let found = watch(&plan, &status(), 10, &[1.0, NONE, NONE, NONE, NONE, 1.0]);
    assert_eq!((found.outcome, found.breached_at.is_some()), (outcome, stops), "{:?}", found.message);
    let brief = watch(&plan, &status(), 10, &[1.0, NONE, NONE, NONE, 1.0]);
    assert_eq!((brief.outcome, brief.samples), (Outcome::Met, Some(2)));
}

#[test]
fn a_query_that_fails_gives_no_value_and_says_why() {
    let plan = guarded(json!({"atMost": "5"}));
    let mut watches = Watches::default();
    for second in 10..20 {
        let value = Err("the query gives nothing".to_owned());
        watches.tell([Reading { guardrail: "g".to_owned(), at: at(second), value }]);
    }
    watches.read(&plan, &status());
    let found = watches.statuses(&plan.guardrails, &[]).remove(0);
    assert_eq!(found.outcome, Outcome::NoData);
    assert_eq!(found.message.as_deref(), Some("no value for 3s: the query gives nothing"));
}

#[test]
fn a_guardrail_that_never_gave_a_value_is_no_pass() {
    let plan = guarded(json!({"atMost": "5", "onNoData": "Ignore"}));
    let found = Watches::default().statuses(&plan.guardrails, &[]).remove(0);
    assert_eq!((found.outcome, found.samples), (Outcome::NoData, None));
}

#[test]
fn a_new_process_goes_on_from_what_is_recorded() {
    let plan = guarded(json!({"atMost": "5", "warnAbove": "3"}));
    let mut status = status();
    status.guardrails = vec![watch(&plan, &status, 10, &[1.0, 4.0, 4.0, 4.0, 4.5])];
    assert_eq!(status.guardrails[0].outcome, Outcome::Warn);
    // Not looked at yet: as it was.
    assert_eq!(Watches::default().statuses(&plan.guardrails, &status.guardrails), status.guardrails);
    let found = watch(&plan, &status, 30, &[1.0, 2.0]);
    assert_eq!((found.outcome, found.samples, found.worst.as_deref()), (Outcome::Warn, Some(7), Some("4.5")));
    assert_eq!(found.message, status.guardrails[0].message);
}

#[rstest]
#[case::warns_never(json!({"atMost": "50%", "warnAbove": "60%"}), "would never warn before 50%")]
#[case::other_unit(json!({"atMost": "50%", "warnAbove": "60ms"}), "would never warn")]
#[case::no_limit(json!({"atMost": "a lot"}), "atMost: `a lot` is no limit")]
#[case::two_limits(json!({"atMost": "5", "atLeast": "1"}), "exactly one of atMost, atLeast or dropAtMost")]
#[case::no_share(json!({"dropAtMost": "5"}), "a drop is a share")]
#[case::no_promql(json!({"atMost": "5", "query": "max("}), "the query is not PromQL")]
#[case::a_range(json!({"atMost": "5", "query": "up[5m]"}), "gives a range")]
#[case::a_window(json!({"atMost": "5", "query": "up{a=\"{{window}}\"}"}), "{{window}} has no value while the load runs")]
#[case::a_fault(json!({"atMost": "5", "query": "up{a=\"{{fault.name}}\"}"}), "{{fault.name}} has no value while")]
#[case::no_time(json!({"atMost": "5", "for": "soon"}), "for: `soon` is no length of time")]
fn refused(#[case] limits: Value, #[case] why: &str) {
    let mut guardrail = json!({"name": "g", "query": "value", "for": "3s"});
    for (key, value) in limits.as_object().unwrap() {
        guardrail[key] = value.clone();
    }
    let error = plan_of(json!([guardrail])).unwrap_err().to_string();
    assert!(error.contains(why) && error.contains("guardrail g"), "{error}");
}

#[test]
fn templates_are_filled_in() {
    let plan =
        guarded(json!({"atMost": "5", "query": "max(up{run=\"{{run}}\",namespace=\"{{namespace}}\"})"}));
    assert_eq!(plan.guardrails[0].query, r#"max(up{run="4f1c",namespace="team"})"#);
}

#[test]
fn a_guardrail_takes_the_place_of_an_indicator_of_its_name() {
    let set = json!({"name": "pg", "set": "Postgres", "for": "1m", "suspendDuring": ["Fault"]});
    let own = json!({"name": "pg-connections", "query": "max(mine)", "atMost": "7"});
    let plan = plan_of(json!([set, own])).unwrap();
    let names: Vec<&str> = plan.guardrails.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names, ["pg-query-time", "pg-replication-lag", "pg-connections"]);
    let by_name: BTreeMap<&str, &GuardrailPlan> =
        plan.guardrails.iter().map(|g| (g.name.as_str(), g)).collect();
    assert_eq!(by_name["pg-connections"].query, "max(mine)");
    let lag = by_name["pg-replication-lag"];
    assert_eq!(
        (lag.hold, lag.suspend_in_faults, lag.words().as_str()),
        (Duration::from_secs(60), true, "at most 5s")
    );
}

#[test]
fn what_is_too_much_or_twice_is_refused() {
    let many: Vec<Value> = (0..24).map(|i| json!({"name": format!("s{i}"), "set": "Postgres"})).collect();
    assert!(plan_of(json!(many)).unwrap_err().to_string().contains("72 guardrails"));
    let twice = json!([{"name": "a", "set": "Kafka"}, {"name": "a", "set": "Kafka"}]);
    assert!(
        plan_of(twice)
            .unwrap_err()
            .to_string()
            .contains("guardrail a-lag: another guardrail is called so too")
    );
}

/// Every indicator of every set, with and without a selector.
#[rstest]
#[case::all(None)]
#[case::some(Some(r#"namespace="chat",pod=~"dbman-.*""#))]
#[case::with_a_comma(Some(r#"namespace="chat","#))]
fn every_query_of_every_set_is_promql(#[case] selector: Option<&str>) {
    for set in ALL {
        let plan = plan(json!({"name": "s", "set": format!("{set:?}"), "selector": selector}));
        assert_eq!(plan.guardrails.len(), sets::indicators(set).len());
        for guardrail in &plan.guardrails {
            assert!(!guardrail.query.contains("SELECTOR"), "{}", guardrail.query);
            assert_eq!(
                selector.is_some(),
                guardrail.query.contains("namespace=\"chat\""),
                "{}",
                guardrail.query
            );
            // Each of its selectors is narrowed.
            let metrics = guardrail.query.matches('{').count();
            assert!(selector.is_none() || metrics == guardrail.query.matches("namespace=\"chat\"").count());
        }
    }
}

#[test]
fn a_selector_that_is_none_is_refused() {
    let error = plan_of(json!([{"name": "s", "set": "Node", "selector": "chat"}])).unwrap_err().to_string();
    assert!(error.contains("the selector `chat` does not fit its set"), "{error}");
}

/// The table that users read is the one that is watched.
#[test]
fn the_documented_sets_are_these() {
    let mut table = String::new();
    for set in ALL {
        table.push_str(&format!("### {set:?}\n\nFrom {}.\n\n", source(set)));
        table.push_str("| indicator | what it says | warning | critical |\n| --- | --- | --- | --- |\n");
        for one in sets::indicators(set) {
            let drop = if one.is_drop { "a drop of over " } else { "over " };
            let warn = one.warn.map_or_else(|| "–".to_owned(), |warn| format!("over {warn}"));
            table.push_str(&format!("| `{}` | {} | {warn} | {drop}{} |\n", one.name, one.what, one.critical));
        }
        table.push_str("\n```text\n");
        for one in sets::indicators(set) {
            table.push_str(&format!(
                "{}: {}\n",
                one.name,
                one.query.replace(",SELECTOR", "").replace("{SELECTOR}", "")
            ));
        }
        table.push_str("```\n\n");
    }
    let docs = include_str!("../../../../../docs/guardrails.md");
    assert!(docs.contains(&table), "docs/guardrails.md does not hold this:\n{table}");
}

#[test]
fn the_limits_are_those_of_the_requirements() {
    let of = |set: GuardrailSet| -> Vec<(&str, Option<&str>, &str)> {
        sets::indicators(set).iter().map(|i| (i.name, i.warn, i.critical)).collect()
    };
    let (cpu, memory) = (("cpu", Some("70%"), "90%"), ("memory", Some("70%"), "85%"));
    assert_eq!(of(GuardrailSet::Node), [cpu, memory, ("disk-io", Some("70%"), "90%")]);
    assert_eq!(of(GuardrailSet::Pod), [cpu, memory]);
    assert_eq!(
        of(GuardrailSet::Postgres),
        [
            ("connections", Some("80%"), "95%"),
            ("query-time", Some("100ms"), "500ms"),
            ("replication-lag", Some("1s"), "5s")
        ]
    );
    assert_eq!(of(GuardrailSet::Kafka), [("lag", Some("1000"), "5000")]);
    assert_eq!(of(GuardrailSet::WebSocket)[2], ("heartbeats", Some("1%"), "5%"));
    assert_eq!(
        of(GuardrailSet::Client),
        [("errors", Some("1%"), "5%"), ("p99", Some("200ms"), "500ms"), ("rate", None, "50%")]
    );
}

#[test]
fn a_time_lies_where_it_does() {
    let course = moment::Course::of(&plan(json!({"name": "g", "query": "v", "atMost": "1"})), &status());
    let milliseconds = |ms: i64| at(0) + SignedDuration::from_millis(ms);
    let places = [39_999, 40_000, 44_999, 45_000, 54_999, 55_000].map(|ms| {
        let at = milliseconds(ms);
        (course.in_fault(at), course.in_recovery(at))
    });
    let (neither, fault, recovery) = ((false, false), (true, false), (false, true));
    assert_eq!(places, [neither, fault, fault, recovery, recovery, neither]);
    assert_eq!(course.stretch(milliseconds(12_500)), Some((0, Duration::from_millis(2500))));
    assert_eq!(course.stretch(milliseconds(90_000)), None);
}
