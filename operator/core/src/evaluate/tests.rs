use loadtest_crds::{
    Between, FaultState, FaultStatus, K6Figure, Objective, Ratio, ShortfallCause, Slope, TooFewPolicy,
    VerdictPolicy,
};
use proptest::prelude::*;
use rstest::rstest;

use super::{
    fake::{Event, Fake},
    minute::{GOOD, LENGTH, at, injected, over, pushed, requests, settings},
    *,
};
use crate::plan::{RecoveryPlan, TimeLimit};

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

/// The requests, and what of them Prometheus has.
fn load(outcome: impl Fn(f64) -> minute::Request) -> (Fake, Vec<Event>) {
    let requests = requests(outcome);
    (pushed(&requests), requests)
}

fn result<'a>(judgement: &'a Judgement, objective: &str, kind: WindowKind) -> &'a WindowResult {
    let objective = judgement.objectives.iter().find(|o| o.name == objective).unwrap();
    objective.windows.iter().find(|w| w.window == kind).unwrap()
}

fn figure(judgement: &Judgement, objective: &str, kind: WindowKind) -> (Outcome, Option<i64>, Option<i64>) {
    let result = result(judgement, objective, kind);
    (result.outcome, result.samples, result.bad)
}

#[test]
fn a_run_without_any_failure_has_no_failed_series_and_none_failed() {
    let (fake, _) = load(|_| GOOD);
    let judgement = judge(&fake, &[success(&ALL[..2]), p95(&ALL[..1])], vec![], &[]);
    assert_eq!(figure(&judgement, "save-success", WindowKind::Run), (Outcome::Met, Some(1200), Some(0)));
    assert_eq!(figure(&judgement, "save-p95", WindowKind::Run), (Outcome::Met, Some(1200), Some(0)));
    assert_eq!(result(&judgement, "save-p95", WindowKind::Run).value.as_deref(), Some("100ms"));
    assert_eq!((judgement.requests, judgement.failed_requests), (Some(1200), Some(0)));
    assert_eq!(judgement.dropped_iterations, Some(0));
}

#[test]
fn nothing_but_failures() {
    let (fake, _) = load(|_| Some((0.0, false)));
    let judgement = judge(&fake, &[success(&ALL[..1]), p95(&ALL[..1])], vec![], &[]);
    assert_eq!(
        figure(&judgement, "save-success", WindowKind::Run),
        (Outcome::Missed, Some(1200), Some(1200))
    );
    assert_eq!(figure(&judgement, "save-p95", WindowKind::Run), (Outcome::Missed, Some(1200), Some(1200)));
    assert_eq!(result(&judgement, "save-p95", WindowKind::Run).value.as_deref(), Some("over 5% failed"));
}

#[test]
fn a_series_that_first_appears_in_mid_run_counts_from_zero() {
    let (fake, _) = load(|second| if second > 40.0 { GOOD } else { None });
    let judgement = judge(&fake, &[success(&ALL[..2])], vec![], &[]);
    assert_eq!(figure(&judgement, "save-success", WindowKind::Run), (Outcome::Met, Some(400), Some(0)));
    assert_eq!(figure(&judgement, "save-success", WindowKind::Steady), (Outcome::Met, Some(400), Some(0)));
}

#[test]
fn a_tag_that_no_request_has_is_no_data() {
    let other = objective(
        "other",
        Objective {
            k6: Some(K6Figure {
                metric: "http_req_failed".to_owned(),
                tags: [("name".to_owned(), "sve".to_owned())].into(),
                ..K6Figure::default()
            }),
            at_most: Some("1%".into()),
            ..Objective::default()
        },
    );
    let (fake, _) = load(|_| GOOD);
    assert_eq!(judge(&fake, &[other], vec![], &[]).objectives[0].outcome, Outcome::NoData);
}

/// Refused for 3 s, which is fast: 60 requests of 1,200.
fn outage(second: f64) -> Option<(f64, bool)> {
    if (20.0..23.0).contains(&second) { Some((0.001, false)) } else { GOOD }
}

#[test]
fn an_outage_does_not_improve_a_percentile() {
    // All answered requests are slow, the refused ones are fast: 3 in 60 s are 5%, one more is too many.
    let with = |refused: usize| {
        let (fake, _) = load(|second| {
            let slow = Some((0.25, true));
            if (20.0..20.0 + refused as f64 * 0.05).contains(&second) { Some((0.001, false)) } else { slow }
        });
        judge(&fake, &[p95(&ALL[..1])], vec![], &[])
    };
    assert_eq!(figure(&with(60), "save-p95", WindowKind::Run), (Outcome::Met, Some(1200), Some(60)));
    assert_eq!(figure(&with(61), "save-p95", WindowKind::Run), (Outcome::Missed, Some(1200), Some(61)));
}

#[test]
fn the_percentile_shown_counts_failed_requests_as_the_slowest() {
    // 1,140 answered in 1 ms to 1,140 ms: of all 1,200 the 95th percentile is the last of them.
    let (fake, _) = load(|second| {
        let n = (second / 0.05).floor();
        if n < 60.0 { Some((0.0, false)) } else { Some(((n - 59.0) / 1000.0, true)) }
    });
    let judgement = judge(
        &fake,
        &[objective("save-p95", k6("http_req_duration", Some(95.0), "2s", &ALL[..1]))],
        vec![],
        &[],
    );
    assert_eq!(result(&judgement, "save-p95", WindowKind::Run).value.as_deref(), Some("1.1s"));
    assert_eq!(figure(&judgement, "save-p95", WindowKind::Run), (Outcome::Met, Some(1200), Some(60)));
}

#[test]
fn a_fault_with_all_its_windows() {
    let (mut fake, _) = load(outage);
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

fn ratio_of(good: &str, total: &str, windows: &[WindowKind]) -> ObjectivePlan {
    let ratio = Ratio { good: good.to_owned(), total: total.to_owned() };
    let windows = windows.to_vec();
    let written =
        Objective { ratio: Some(ratio), at_least: Some("95%".into()), windows, ..Objective::default() };
    objective("saved", written)
}

/// 20 events a second from the start of the load to its end, all of them good, as they are scraped.
fn saved(times: impl Iterator<Item = i32>) -> impl Iterator<Item = (f64, f64)> {
    times.map(|s| (at(f64::from(s)), f64::from(s.clamp(0, 60)) * 20.0))
}

// All are scraped every 5 s, and read to a minute after the load.
#[rstest]
#[case::as_often(&[-5, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65], Outcome::Met)]
#[case::each_half_minute(&[-5, 25, 55], Outcome::Unmeasurable)]
#[case::each_half_minute_and_born_with_the_load(&[25, 55, 85], Outcome::Unmeasurable)]
#[case::born_late(&[55, 60, 65], Outcome::Met)]
#[case::gone_with_its_pod(&[-5, 0, 5, 10], Outcome::Missed)]
fn a_ratio_wants_scrapes_of_its_good_events_too(#[case] good: &[i32], #[case] expected: Outcome) {
    let (mut fake, _) = load(|_| GOOD);
    fake.add("all_total", &[], saved((-1..=14).map(|n| n * 5)));
    fake.add("good_total", &[], saved(good.iter().copied()));
    let judgement = judge(&fake, &[ratio_of("good_total", "all_total", &ALL[..1])], vec![], &[]);
    let saved = result(&judgement, "saved", WindowKind::Run);
    assert_eq!(saved.outcome, expected, "{:?}", saved.message);
}

fn depth(windows: &[WindowKind]) -> ObjectivePlan {
    let windows = windows.to_vec();
    let query = Some("max(queue_depth)".to_owned());
    objective("depth", Objective { query, at_most: Some("1000".into()), windows, ..Objective::default() })
}

// The fault is over at 26 s; a series is there for 300 s after its last sample, unless it is marked as gone.
#[rstest]
#[case::to_the_end(&[(-5, 70)], [Outcome::Met, Outcome::Met])]
#[case::born_with_the_load(&[(1, 70)], [Outcome::Met, Outcome::Met])]
#[case::born_late(&[(35, 70)], [Outcome::Met, Outcome::Met])]
#[case::dead_from_10_s_on(&[(-5, 10)], [Outcome::Unmeasurable, Outcome::Unmeasurable])]
#[case::gone_with_the_fault(&[(-5, 21)], [Outcome::Unmeasurable, Outcome::Unmeasurable])]
#[case::back_after_the_fault(&[(-5, 21), (34, 70)], [Outcome::Met, Outcome::Met])]
fn data_that_stops_says_nothing_of_the_rest(
    #[case] there: &[(i32, i32)],
    #[case] expected: [Outcome; 2],
    #[values("depth", "saved", "growth")] name: &str,
) {
    let (mut fake, _) = load(|_| GOOD);
    for (n, (from, to)) in there.iter().enumerate() {
        let (from, to, pod) = (*from, *to, n.to_string());
        let labels = [("pod", pod.as_str())];
        fake.add("saved_total", &labels, saved(from..=to));
        fake.add("queue_depth", &labels, saved(from..=to).map(|(at, _)| (at, 6.0)));
        fake.gone("queue_depth", &labels, at(f64::from(to + 1)));
    }
    let slope = Slope { query: "max(queue_depth)".to_owned(), per: "1h".into() };
    let growth = Objective {
        slope: Some(slope),
        at_most: Some("1000".into()),
        windows: ALL[..2].to_vec(),
        ..Objective::default()
    };
    let objectives = [
        success(&ALL[..1]),
        depth(&ALL[..2]),
        ratio_of("saved_total", "saved_total", &ALL[..2]),
        objective("growth", growth),
    ];
    let judgement = judge(&fake, &objectives, vec![kill(20.0, 26.0)], &["save-success"]);
    let outcomes = [WindowKind::Run, WindowKind::Steady].map(|kind| result(&judgement, name, kind).outcome);
    assert_eq!(outcomes, expected, "{:?}", result(&judgement, name, WindowKind::Steady).message);
}

#[test]
fn a_selector_that_a_query_has_twice_is_scraped_once() {
    let (mut fake, _) = load(|_| GOOD);
    fake.add("slow", &[], [-5, 15, 35].map(|s| (at(f64::from(s)), 1.0)));
    let query = Some("max(slow) - max(slow)".to_owned());
    let twice = objective("twice", Objective { query, at_most: Some("1000".into()), ..Objective::default() });
    let judgement = judge(&fake, &[twice], vec![], &[]);
    assert_eq!(result(&judgement, "twice", WindowKind::Run).outcome, Outcome::Unmeasurable);
}

#[test]
fn k6_counts_good_events_as_rarely_as_they_come() {
    let (mut fake, _) = load(|_| GOOD);
    let labels = [("testid", "4f1c"), ("runner", "chat-0")];
    fake.add("k6_all_total", &labels, saved(1..=60));
    fake.add("k6_good_total", &labels, [(at(20.0), 1.0), (at(50.0), 2.0)]);
    let judgement = judge(&fake, &[ratio_of("k6_good_total", "k6_all_total", &ALL[..1])], vec![], &[]);
    assert_eq!(figure(&judgement, "saved", WindowKind::Run), (Outcome::Missed, Some(1200), Some(1198)));
    // What no more happens is written no more.
    fake.add("k6_early_total", &labels, saved(1..=20));
    let judgement = judge(&fake, &[ratio_of("k6_early_total", "k6_early_total", &ALL[..1])], vec![], &[]);
    assert_eq!(figure(&judgement, "saved", WindowKind::Run), (Outcome::Met, Some(400), Some(0)));
}

/// A share, its figures and outcome in one window.
fn share_of(window: &WindowResult) -> (Outcome, Option<i64>, Option<i64>, Option<i64>) {
    (window.outcome, window.samples, window.bad, window.effective_samples)
}

#[test]
fn bad_requests_in_a_burst_are_worth_less_unless_a_fault_explains_them() {
    // 60 of 1,200 in 3 s, with at most 4% allowed.
    let (fake, _) = load(outage);
    let plan = || {
        let written = k6("http_req_failed", None, "4%", &ALL[..1]);
        ObjectivePlan { on_too_few: TooFewPolicy::Inconclusive, ..objective("save", written) }
    };
    // Of 12 cells of 100 one holds all 60: 12/11 · (55² + 11 · 5²) / (1,200 · 0.05 · 0.95) = 63 times as uneven.
    let alone = judge(&fake, &[plan()], vec![], &[]);
    let (outcome, samples, bad, effective) = share_of(result(&alone, "save", WindowKind::Run));
    assert_eq!((outcome, samples, bad), (Outcome::TooFew, Some(1200), Some(60)));
    assert!(effective < Some(40), "{effective:?}");
    // The fault happened, and so did its 60 failures: 5% at least.
    let explained = judge(&fake, &[plan()], vec![kill(20.0, 24.5)], &["save"]);
    let run = share_of(result(&explained, "save", WindowKind::Run));
    assert_eq!(run, (Outcome::Missed, Some(1200), Some(60), Some(1200)));
}

#[test]
fn a_share_within_a_time_and_counters_of_the_script() {
    let (mut fake, _) = load(|second| if second < 3.0 { Some((0.4, true)) } else { GOOD });
    let labels = [("testid", "4f1c"), ("runner", "chat-0")];
    // 5 orders a second.
    fake.add("k6_orders_total", &labels, (1..=60).map(|s| (at(f64::from(s)), f64::from(s * 5))));
    // 3 at the very start, and none since.
    fake.add("k6_retries_total", &labels, (1..=120).map(|half| (at(f64::from(half) / 2.0), 3.0)));
    let counter = |name: &str, rate: bool, at_least: &str, windows: &[WindowKind]| {
        let figure = K6Figure {
            metric: name.to_owned(),
            rate: rate.then_some(true),
            count: (!rate).then_some(true),
            ..K6Figure::default()
        };
        let windows = windows.to_vec();
        Objective { k6: Some(figure), at_least: Some(at_least.into()), windows, ..Objective::default() }
    };
    let mut under = k6("http_req_duration", None, "", &ALL[..1]);
    under.k6.as_mut().unwrap().under = Some("300ms".into());
    (under.at_most, under.at_least) = (None, Some("90%".into()));
    let mut retries = counter("retries", false, "0", &ALL[1..2]);
    (retries.at_most, retries.at_least) = (retries.at_least, None);
    let mut between = counter("orders", false, "50", &[]);
    between.between = Some(Between { from: "10s".into(), to: "20s".into() });
    let objectives = [
        objective("under", under),
        objective("orders", counter("orders", false, "300", &ALL[..1])),
        objective("order-rate", counter("orders", true, "4.9", &ALL[1..2])),
        objective("between", between),
        objective("never", counter("refunds", false, "0", &ALL[..1])),
        objective("retries", retries),
    ];
    let judgement = judge(&fake, &objectives, vec![], &[]);
    // 60 of 1,200 took 400 ms.
    let under = result(&judgement, "under", WindowKind::Run);
    assert_eq!((under.outcome, under.value.as_deref(), under.bad), (Outcome::Met, Some("95%"), Some(60)));
    let value = |name: &str, kind: WindowKind| {
        let result = result(&judgement, name, kind);
        (result.outcome, result.value.as_deref(), result.samples)
    };
    assert_eq!(value("orders", WindowKind::Run), (Outcome::Met, Some("300"), Some(300)));
    // From one push after the start on: 59 s.
    assert_eq!(value("order-rate", WindowKind::Steady), (Outcome::Met, Some("5"), Some(295)));
    assert_eq!(value("between", WindowKind::Between), (Outcome::Met, Some("50"), Some(50)));
    assert_eq!(value("never", WindowKind::Run), (Outcome::NoData, None, None));
    // It was judged: a counter that gained nothing is a figure.
    assert_eq!(value("retries", WindowKind::Steady), (Outcome::Met, Some("0"), Some(0)));
    let retries = judgement.objectives.iter().find(|o| o.name == "retries");
    assert_eq!(retries.map(|o| o.outcome), Some(Outcome::Met));
}

#[test]
fn templates_and_slopes() {
    let (mut fake, _) = load(|_| GOOD);
    // Grows by a byte a second; scraped each second, or every 5 s.
    fake.add("rss", &[("pod", "a")], (-60..70).map(|s| (at(f64::from(s)), 1000.0 + f64::from(s))));
    fake.add("slow", &[("pod", "a")], (-12..14).map(|s| (at(f64::from(s * 5)), f64::from(s * 5))));
    let query = |text: &str, windows: &[WindowKind]| Objective {
        query: Some(text.to_owned()),
        at_most: Some("100".into()),
        windows: windows.to_vec(),
        ..Objective::default()
    };
    let slope = |text: &str| Objective {
        slope: Some(Slope { query: text.to_owned(), per: "1m".into() }),
        at_most: Some("100".into()),
        ..Objective::default()
    };
    let objectives = [
        objective("scrapes", query("max(count_over_time(rss[{{window}}]))", &[WindowKind::Fault])),
        objective("coarse", query("max(count_over_time(slow[{{window}}]))", &[WindowKind::Fault])),
        objective("plain-coarse", query("max(slow)", &[WindowKind::Fault])),
        objective("growth", slope("max(rss)")),
        objective("coarse-growth", slope("max(slow)")),
    ];
    let judgement = judge(&fake, &objectives, vec![kill(20.0, 30.0)], &[]);
    let value = |name: &str, kind: WindowKind| {
        let result = result(&judgement, name, kind);
        (result.outcome, result.value.as_deref())
    };
    let scrapes = result(&judgement, "scrapes", WindowKind::Fault);
    assert_eq!((scrapes.outcome, scrapes.value.as_deref()), (Outcome::Met, Some("10")));
    assert_eq!(scrapes.query.as_deref(), Some("max(count_over_time(rss[10s]))"));
    // Two scrapes in 10 s: at 25 and 30.
    assert_eq!(value("coarse", WindowKind::Fault), (Outcome::Unmeasurable, None));
    let plain = result(&judgement, "plain-coarse", WindowKind::Fault).message.as_deref().unwrap();
    assert!(plain.starts_with("this window holds 2 of the 4 scrapes of slow"), "{plain}");
    assert_eq!(value("growth", WindowKind::Run), (Outcome::Met, Some("60")));
    assert_eq!(value("coarse-growth", WindowKind::Run), (Outcome::Met, Some("60")));
    assert_eq!(result(&judgement, "coarse-growth", WindowKind::Run).samples, Some(13));
}

#[test]
fn a_spike_of_steady_load_is_found_where_it_was() {
    // The cell from 30 s on: 40 of its 100 requests are slow, all pushed within it.
    let (fake, _) = load(|second| if (31.0..33.0).contains(&second) { Some((0.4, true)) } else { GOOD });
    let judgement = judge(&fake, &[p95(&ALL[..2]), success(&ALL[..1])], vec![], &[]);
    let spikes = &judgement.objectives[0].spikes;
    assert_eq!(spikes.len(), 1, "{spikes:?}");
    let second = spikes[0].at.as_ref().unwrap().0.as_millisecond() as f64 / 1000.0 - at(0.0);
    assert!((29.9..=30.0).contains(&second), "{second}");
    assert_eq!((spikes[0].samples, spikes[0].usual.as_str()), (100, "0%"));
    assert!(judgement.objectives[1].spikes.is_empty(), "no request failed");
    // In a fault it is none.
    let judgement = judge(&fake, &[p95(&ALL[..2])], vec![kill(30.5, 35.5)], &["save-p95"]);
    assert!(judgement.objectives[0].spikes.is_empty());
}

#[test]
fn a_fault_that_was_not_injected_has_no_window_and_no_recovery() {
    let (fake, _) = load(|_| GOOD);
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
    let (fake, _) = load(|_| GOOD);
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

/// k6 counts nothing of what it interrupts as the load ends.
#[rstest]
#[case::to_the_end(35.0, 61.0, &[ShortfallCause::Target])]
#[case::not_at_all(61.0, 61.0, &[])]
#[case::in_between(35.0, 50.0, &[])]
fn a_hang_is_seen_at_the_end(#[case] from: f64, #[case] to: f64, #[case] expected: &[ShortfallCause]) {
    let (mut fake, _) = load(|second| GOOD.filter(|_| second < from || second >= to));
    let users = (0..60).map(|second| (at(f64::from(second) + 0.3), 40.0));
    fake.add("k6_vus", &[("testid", "4f1c"), ("loadtest_scenario", "chat")], users);
    let mut status = over(Vec::new());
    status.scenarios[0].held_vus = Some(40);
    let judgement =
        minute::judge(Evaluation::new(&[success(&ALL[..1])], Vec::new(), &status, settings()), &fake);
    let shortfalls = &judgement.delivered.shortfalls;
    assert_eq!(shortfalls.iter().map(|s| s.cause).collect::<Vec<_>>(), expected, "{shortfalls:?}");
    // All that were answered were good.
    assert_eq!(result(&judgement, "save-success", WindowKind::Run).outcome, Outcome::Met);
}
