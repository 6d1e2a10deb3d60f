//! Figures of what Prometheus scrapes: ratios, queries, slopes.

use loadtest_crds::Slope;

use super::*;
use crate::numbers::limit::Limit;

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
    let mut fake = load(|_| GOOD);
    let target = [("instance", "10.0.0.1:8080")];
    fake.add("all_total", &target, saved((-1..=14).map(|n| n * 5)));
    fake.add("good_total", &target, saved(good.iter().copied()));
    let judgement = judge(&fake, &[ratio_of("good_total", "all_total", &ALL[..1])], vec![], &[]);
    let saved = result(&judgement, "saved", WindowKind::Run);
    assert_eq!(saved.outcome, expected, "{:?}", saved.message);
}

/// A counter of 20 events a second from `since` on, scraped each second from `from` on, that had counted `before` by then.
fn counting(from: i32, before: f64, each: f64) -> impl Iterator<Item = (f64, f64)> {
    (from..=65).map(move |s| (at(f64::from(s)), before + f64::from(s.min(60) - from) * each))
}

// One target has a counter from before the load on: 10 good ones a second, and 10 others. A second one appears at 20 s, 10
// of each a second as well, with what it has counted in its life.
#[rstest]
#[case::a_lifetime_of_good_ones(1_000_000.0, 0.0, "40%", Outcome::Met)]
#[case::a_lifetime_that_decides(1_000_000.0, 0.0, "95%", Outcome::Unmeasurable)]
#[case::one_of_bad_ones(0.0, 1_000_000.0, "40%", Outcome::Unmeasurable)]
#[case::a_pod_that_is_new(30.0, 30.0, "95%", Outcome::Missed)]
fn what_a_series_had_counted_when_it_appeared(
    #[case] good: f64,
    #[case] bad: f64,
    #[case] limit: &str,
    #[case] expected: Outcome,
) {
    let mut fake = load(|_| GOOD);
    let old = |status| [("job", "pods"), ("instance", "old"), ("status", status)];
    let new = |status| [("job", "pods"), ("instance", "new"), ("status", status)];
    fake.add("seen_total", &old("ok"), counting(-5, 7000.0, 10.0));
    fake.add("seen_total", &old("failed"), counting(-5, 30.0, 10.0));
    fake.add("seen_total", &new("ok"), counting(20, good, 10.0));
    fake.add("seen_total", &new("failed"), counting(20, bad, 10.0));
    let mut seen = ratio_of("seen_total{status=\"ok\"}", "seen_total", &ALL[..1]);
    seen.bound = crate::numbers::limit::Bound::AtLeast(Limit::parse(limit).unwrap());
    let judgement = judge(&fake, &[seen], vec![], &[]);
    let seen = result(&judgement, "saved", WindowKind::Run);
    assert_eq!(seen.outcome, expected, "{:?}", seen.message);
    // 61 s of the one and 40 s of the other, half of it good.
    assert_eq!((seen.samples, seen.bad), (Some(2020), Some(1010)), "{:?}", seen.message);
}

// 37 of 1,257 events failed, all of them before the scrape at 20 s, the first with a series of failures.
#[rstest]
#[case::of_a_target_that_has_others([("instance", "a"), ("job", "pods")], &[], Outcome::Missed, 37)]
#[case::of_one_that_was_up([("instance", "b"), ("job", "pods")], &[("b", 1.0)], Outcome::Missed, 37)]
#[case::of_one_that_was_down([("instance", "b"), ("job", "pods")], &[("b", 0.0)], Outcome::Unmeasurable, 0)]
#[case::of_one_that_nobody_knows([("instance", "b"), ("job", "pods")], &[], Outcome::Unmeasurable, 0)]
#[case::of_no_target([("source", "rule"), ("job", "pods")], &[], Outcome::Unmeasurable, 0)]
fn a_series_comes_from_zero_where_its_target_was_scraped_without_it(
    #[case] labels: [(&str, &str); 2],
    #[case] up: &[(&str, f64)],
    #[case] expected: Outcome,
    #[case] bad: i64,
) {
    let mut fake = load(|_| GOOD);
    let good = [("job", "pods"), ("instance", "a"), ("status", "ok")];
    fake.add("saved_total", &good, saved(-5..=65));
    let failed = [labels[0], labels[1], ("status", "failed")];
    fake.add("saved_total", &failed, (20..=65).map(|s| (at(f64::from(s)), 37.0)));
    for (instance, value) in up {
        let samples = (-5..=65).map(|s| (at(f64::from(s)), *value));
        fake.add("up", &[("job", "pods"), ("instance", instance)], samples);
    }
    let mut judged = ratio_of("saved_total{status=\"ok\"}", "saved_total", &ALL[..1]);
    judged.bound = crate::numbers::limit::Bound::AtLeast(Limit::parse("98.5%").unwrap());
    let judgement = judge(&fake, &[judged], vec![], &[]);
    let saved = result(&judgement, "saved", WindowKind::Run);
    assert_eq!((saved.outcome, saved.bad), (expected, Some(bad)), "{:?}", saved.message);
}

// An exporter is gone from before the load until 20 s; what it counts was good until then, and is not since.
#[test]
fn what_was_counted_while_nobody_looked_may_be_older_than_the_load() {
    let mut fake = load(|_| GOOD);
    let of = |status| [("job", "pods"), ("instance", "a"), ("status", status)];
    let scraped = || (-60..=-50).chain(20..=65);
    fake.add(
        "seen_total",
        &of("ok"),
        scraped().map(|s| (at(f64::from(s)), f64::from(s.min(20) + 60) * 100.0)),
    );
    fake.add(
        "seen_total",
        &of("failed"),
        scraped().map(|s| (at(f64::from(s)), f64::from(s.max(20) - 20) * 10.0)),
    );
    let judgement =
        judge(&fake, &[ratio_of("seen_total{status=\"ok\"}", "seen_total", &ALL[..1])], vec![], &[]);
    let saved = result(&judgement, "saved", WindowKind::Run);
    assert_eq!((saved.outcome, saved.bad), (Outcome::Missed, Some(410)), "{:?}", saved.message);
    assert!(saved.message.as_deref().unwrap().starts_with("0% of 410 events"), "{:?}", saved.message);
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
    let mut fake = load(|_| GOOD);
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
    let mut fake = load(|_| GOOD);
    fake.add("slow", &[], [-5, 15, 35].map(|s| (at(f64::from(s)), 1.0)));
    let query = Some("max(slow) - max(slow)".to_owned());
    let twice = objective("twice", Objective { query, at_most: Some("1000".into()), ..Objective::default() });
    let judgement = judge(&fake, &[twice], vec![], &[]);
    assert_eq!(result(&judgement, "twice", WindowKind::Run).outcome, Outcome::Unmeasurable);
}

#[test]
fn k6_counts_good_events_as_rarely_as_they_come() {
    let mut fake = load(|_| GOOD);
    let labels = [("loadtest_run", "4f1c"), ("loadtest_runner", "chat-0")];
    fake.add("k6_all_total", &labels, saved(1..=60));
    fake.add("k6_good_total", &labels, [(at(20.0), 1.0), (at(50.0), 2.0)]);
    let judgement = judge(&fake, &[ratio_of("k6_good_total", "k6_all_total", &ALL[..1])], vec![], &[]);
    assert_eq!(figure(&judgement, "saved", WindowKind::Run), (Outcome::Missed, Some(1200), Some(1198)));
    // What no more happens is written no more.
    fake.add("k6_early_total", &labels, saved(1..=20));
    let judgement = judge(&fake, &[ratio_of("k6_early_total", "k6_early_total", &ALL[..1])], vec![], &[]);
    assert_eq!(figure(&judgement, "saved", WindowKind::Run), (Outcome::Met, Some(400), Some(0)));
}

#[test]
fn templates_and_slopes() {
    let mut fake = load(|_| GOOD);
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
