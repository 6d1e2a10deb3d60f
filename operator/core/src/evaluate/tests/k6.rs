//! Figures of k6.

use loadtest_crds::Between;

use super::*;

#[test]
fn a_run_without_any_failure_has_no_failed_series_and_none_failed() {
    let fake = load(|_| GOOD);
    let judgement = judge(&fake, &[success(&ALL[..2]), p95(&ALL[..1])], vec![], &[]);
    assert_eq!(figure(&judgement, "save-success", WindowKind::Run), (Outcome::Met, Some(1200), Some(0)));
    assert_eq!(figure(&judgement, "save-p95", WindowKind::Run), (Outcome::Met, Some(1200), Some(0)));
    assert_eq!(result(&judgement, "save-p95", WindowKind::Run).value.as_deref(), Some("100ms"));
    assert_eq!((judgement.requests, judgement.failed_requests), (Some(1200), Some(0)));
    assert_eq!(judgement.dropped_iterations, Some(0));
}

#[test]
fn nothing_but_failures() {
    let fake = load(|_| Some((0.0, false)));
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
    let fake = load(|second| if second > 40.0 { GOOD } else { None });
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
    let fake = load(|_| GOOD);
    assert_eq!(judge(&fake, &[other], vec![], &[]).objectives[0].outcome, Outcome::NoData);
}

#[test]
fn an_outage_does_not_improve_a_percentile() {
    // All answered requests are slow, the refused ones are fast: 3 in 60 s are 5%, one more is too many.
    let with = |refused: usize| {
        let fake = load(|second| {
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
    let fake = load(|second| {
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

/// A share, its figures and outcome in one window.
fn share_of(window: &WindowResult) -> (Outcome, Option<i64>, Option<i64>, Option<i64>) {
    (window.outcome, window.samples, window.bad, window.effective_samples)
}

#[test]
fn bad_requests_in_a_burst_are_worth_less_unless_a_fault_explains_them() {
    // 60 of 1,200 in 3 s, with at most 4% allowed.
    let fake = load(outage);
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
    let mut fake = load(|second| if second < 3.0 { Some((0.4, true)) } else { GOOD });
    let labels = [("loadtest_run", "4f1c"), ("loadtest_runner", "chat-0")];
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
fn a_spike_of_steady_load_is_found_where_it_was() {
    // The cell from 30 s on: 40 of its 100 requests are slow, all pushed within it.
    let fake = load(|second| if (31.0..33.0).contains(&second) { Some((0.4, true)) } else { GOOD });
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
