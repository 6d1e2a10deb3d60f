use loadtest_crds::{Between, K6Figure, Ratio, Slope};
use rstest::rstest;

use super::*;
use crate::prometheus::template::Template;

fn k6(metric: &str, percentile: Option<f64>) -> Objective {
    Objective {
        name: "save".to_owned(),
        k6: Some(K6Figure { metric: metric.to_owned(), percentile, ..K6Figure::default() }),
        ..Objective::default()
    }
}

fn at_most(objective: Objective, limit: &str) -> Objective {
    Objective { at_most: Some(limit.into()), ..objective }
}

fn at_least(objective: Objective, limit: &str) -> Objective {
    Objective { at_least: Some(limit.into()), ..objective }
}

fn ratio(good: &str, total: &str) -> Objective {
    let ratio = Ratio { good: good.to_owned(), total: total.to_owned() };
    at_least(Objective { name: "save".to_owned(), ratio: Some(ratio), ..Objective::default() }, "99.9%")
}

fn query(text: &str) -> Objective {
    let objective =
        Objective { name: "save".to_owned(), query: Some(text.to_owned()), ..Objective::default() };
    at_most(objective, "100")
}

fn parse(objective: &Objective) -> Result<ObjectivePlan, PlanError> {
    ObjectivePlan::parse(objective, &VerdictPolicy::default())
}

#[test]
fn a_percentile_with_its_warning_band() {
    let written = Objective {
        warn_above: Some("250ms".into()),
        windows: vec![WindowKind::Fault, WindowKind::Run, WindowKind::Fault],
        ..at_most(k6("http_req_duration", Some(95.0)), "0.3s")
    };
    let plan = parse(&written).unwrap();
    assert_eq!(plan.windows, [WindowKind::Run, WindowKind::Fault]);
    assert_eq!(plan.bound.words(), "at most 0.3s");
    assert!(plan.bound.holds(0.3) && !plan.bound.holds(0.3001));
    assert!(plan.warns(0.26) && !plan.warns(0.25));
    assert!(plan.figure.is_client_side() && plan.figure.is_of_requests());
}

#[test]
fn without_windows_it_is_the_run_and_without_a_policy_that_of_the_run() {
    let policy = VerdictPolicy { on_no_data: NoDataPolicy::Fail, ..VerdictPolicy::default() };
    let plan = ObjectivePlan::parse(&query("max(up)"), &policy).unwrap();
    assert_eq!(plan.windows, [WindowKind::Run]);
    assert_eq!(plan.on_no_data, NoDataPolicy::Fail);
}

fn under(metric: &str, under: &str) -> Objective {
    let mut objective = k6(metric, None);
    objective.k6.as_mut().unwrap().under = Some(under.into());
    objective
}

fn counter(metric: &str, rate: bool) -> Objective {
    let mut objective = k6(metric, None);
    let figure = objective.k6.as_mut().unwrap();
    (figure.rate, figure.count) = (rate.then_some(true), (!rate).then_some(true));
    objective
}

fn between(from: &str, to: &str) -> Option<Between> {
    Some(Between { from: from.into(), to: to.into() })
}

fn slope(query: &str, per: &str) -> Objective {
    let slope = Slope { query: query.to_owned(), per: per.into() };
    at_most(Objective { name: "save".to_owned(), slope: Some(slope), ..Objective::default() }, "50Mi")
}

#[test]
fn a_stretch_takes_the_place_of_windows() {
    let written = Objective {
        windows: vec![WindowKind::Run],
        between: between("30s", "1m30s"),
        ..at_least(counter("http_reqs", true), "500")
    };
    let plan = parse(&written).unwrap();
    assert_eq!(plan.windows, [WindowKind::Between]);
    let stretch = BetweenPlan { from: Duration::from_secs(30), to: Duration::from_secs(90) };
    assert_eq!(plan.between, Some(stretch));
}

#[test]
fn a_template_of_a_fault_is_judged_in_its_windows() {
    let text = "sum(increase(restarts_total{pod=~\"{{fault.targets}}\"}[{{window}}]))";
    let written = Objective { windows: vec![WindowKind::Fault, WindowKind::Recovery], ..query(text) };
    let Figure::Template(template) = parse(&written).unwrap().figure else { panic!("no template") };
    assert_eq!(template, Template::parse(text).unwrap());
}

#[test]
fn how_few_are_judged_is_said_by_the_objective_or_the_run() {
    let policy = VerdictPolicy { on_too_few: TooFewPolicy::Fail, ..VerdictPolicy::default() };
    let of = |on_too_few| {
        let written = Objective { on_too_few, ..query("max(up)") };
        ObjectivePlan::parse(&written, &policy).unwrap().on_too_few
    };
    assert_eq!((of(None), of(Some(TooFewPolicy::Judge))), (TooFewPolicy::Fail, TooFewPolicy::Judge));
}

#[test]
fn refusals_say_what_to_write_instead() {
    let mut both = under("http_req_duration", "300ms");
    both.k6.as_mut().unwrap().percentile = Some(95.0);
    let p95 = || at_most(k6("http_req_duration", Some(95.0)), "300ms");
    let refused = [
        ("no figure", at_most(Objective { name: "save".to_owned(), ..Objective::default() }, "1%")),
        ("no bound", k6("http_req_failed", None)),
        ("no limit", at_most(k6("http_req_failed", None), "1 percent")),
        ("share in numbers", at_most(k6("http_req_failed", None), "5")),
        ("share above all", at_most(k6("http_req_failed", None), "120%")),
        ("percentile without time", at_most(k6("http_req_duration", Some(95.0)), "5%")),
        ("percentile at least", at_least(k6("http_req_duration", Some(95.0)), "300ms")),
        ("percentile of all", at_most(k6("http_req_duration", Some(100.0)), "300ms")),
        ("no trend", at_most(k6("http_reqs", Some(95.0)), "300ms")),
        ("a rate", at_most(k6("http_reqs", None), "1%")),
        ("warning unit", Objective { warn_above: Some("250".into()), ..p95() }),
        ("warning too late", Objective { warn_above: Some("300ms".into()), ..p95() }),
        ("warning side", Objective { warn_below: Some("250ms".into()), ..p95() }),
        ("ratio of a function", ratio("rate(a[1m])", "b")),
        ("ratio of a range", ratio("a", "b[1m]")),
        ("ratio with offset", ratio("a offset 1m", "b")),
        ("ratio with a comment", ratio("a # good", "b")),
        ("ratio unclosed", ratio("a{b=\"c\"", "b")),
        ("ratio of a pattern of names", ratio("{__name__=~\"a|b\"}", "b")),
        ("ratio of no name", ratio("a", "{job=\"chat\"}")),
        ("query of a pattern of names", query("sum({__name__=~\"a|b\"})")),
        ("query of no name", query("max(a) / count({job=\"chat\"})")),
        ("template of no name", query("sum(increase({__name__!=\"a\",b=\"c\"}[{{window}}]))")),
        ("slope of a pattern of names", slope("max({__name__=~\"a.*\"})", "1h")),
        ("query unclosed", query("max(up")),
        ("query of a template", query("max(up{run=\"{{run}}\"}) + {{x}}")),
        ("query of an open template", query("max(up{run=\"{{run\"})")),
        ("query of a template of a range", query("up[{{window}}]")),
        ("query of a fault in Run", query("sum(up{pod=~\"{{fault.targets}}\"})")),
        ("two figures of a metric", at_most(both, "300ms")),
        ("share under without percent", at_least(under("http_req_duration", "300ms"), "300ms")),
        ("share under of no trend", at_least(under("http_reqs", "300ms"), "99%")),
        ("share under no time", at_least(under("http_req_duration", "soon"), "99%")),
        ("count of a trend", at_least(counter("http_req_duration", false), "5")),
        ("count in percent", at_least(counter("http_reqs", false), "5%")),
        ("rate of a gauge", at_least(counter("vus", true), "5")),
        ("between backwards", Objective { between: between("30s", "20s"), ..query("max(up)") }),
        ("between nowhere", Objective { windows: vec![WindowKind::Between], ..query("max(up)") }),
        (
            "between in a fault",
            Objective {
                windows: vec![WindowKind::Fault],
                between: between("20s", "30s"),
                ..query("max(up)")
            },
        ),
        ("slope of a template", slope("max(rss[{{window}}])", "1h")),
        ("slope of a range", slope("rss[5m]", "1h")),
        ("slope per nothing", slope("max(rss)", "hour")),
        ("slope and query", Objective { query: Some("max(up)".to_owned()), ..slope("max(rss)", "1h") }),
        ("query of a range", query("up[5m]")),
        ("query of a string", query("\"up\"")),
    ];
    let messages = refused.map(|(case, written)| format!("{case}\n  {}", parse(&written).unwrap_err()));
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_reserved_tag_is_refused() {
    let mut written = at_most(k6("http_req_failed", None), "1%");
    written.k6.as_mut().unwrap().tags.insert("testid".to_owned(), "x".to_owned());
    assert_eq!(
        parse(&written).unwrap_err().to_string(),
        "objective save: the tag testid is set by the operator: remove it"
    );
}

#[rstest]
#[case(ratio("chat_message_persist_total{status=\"ok\"}", "chat_message_persist_total"))]
#[case(ratio("{__name__=\"a\",b=~\"c|d\"}", "a{}"))]
#[case(query("sum(pg_stat_activity_count) / max(pg_settings_max_connections)"))]
#[case(query("histogram_quantile(0.99, sum by (le) (rate(x_bucket[30s])))"))]
#[case(query("scalar(sum(up))"))]
#[case(query("sum({__name__=\"a.b\"})"))]
#[case(at_least(k6("http_req_failed", None), "99%"))]
#[case(at_most(k6("my_trend", Some(99.9)), "2s"))]
#[case(at_least(under("http_req_duration", "300ms"), "99%"))]
#[case(at_least(under("my_trend", "1m30s"), "99%"))]
#[case(at_least(counter("http_reqs", true), "500"))]
#[case(at_most(counter("my_errors", false), "0"))]
#[case(query("sum(increase(a[{{window}}])) / sum(increase(b[{{window}}]))"))]
#[case(slope("max(rss)", "30m"))]
fn accepted(#[case] written: Objective) {
    parse(&written).unwrap();
}
