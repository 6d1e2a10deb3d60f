//! Slow-downs planted into k6's histograms, wherever the answers' times lie in the buckets.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{K6Figure, Objective, ObjectiveStatus, VerdictPolicy};
use rstest::rstest;

use super::*;
use crate::{
    evaluate::{
        judgement,
        objective::{judge, scope::Scope, tally::Tally},
        windows::{Extent, Window},
    },
    numbers::confidence::{Block, Count},
    prometheus::histogram::{Bucket, Histogram},
};

/// What k6 makes of answers, each with its time in seconds: buckets that grow by 2^(1/8), one of which ends at 1 s.
fn k6(times: &[f64]) -> Histogram {
    let mut counts: BTreeMap<i32, f64> = BTreeMap::new();
    for time in times {
        *counts.entry((8.0 * time.log2()).ceil() as i32).or_default() += 1.0;
    }
    let end = |number: i32| 2f64.powf(f64::from(number) / 8.0);
    let bucket = |(n, count): (i32, f64)| Bucket { lower: end(n - 1), upper: end(n), count };
    Histogram {
        count: times.len() as f64,
        sum: times.iter().sum(),
        buckets: counts.into_iter().map(bucket).collect(),
    }
}

fn plan(percentile: f64) -> ObjectivePlan {
    let figure = K6Figure {
        metric: "http_req_duration".to_owned(),
        percentile: Some(percentile),
        ..K6Figure::default()
    };
    let objective = Objective {
        name: "p".to_owned(),
        k6: Some(figure),
        at_most: Some("1000ms".into()),
        ..Objective::default()
    };
    ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
}

/// The status of a run whose answers took so long.
fn run(plan: &ObjectivePlan, times: &[f64]) -> LoadTestStatus {
    let tally =
        Tally { total: times.len() as f64, bad: Count::default(), took: k6(times), seconds_per_unit: 1.0 };
    let scope = Scope::Sample { design_effect: 1.0, faults: Block::default() };
    let window = Window { kind: WindowKind::Run, fault: None, extent: Extent::Stretches(Vec::new()) };
    let result = judgement::result(&window, judge::share(plan, true, scope, &tally), None);
    LoadTestStatus {
        phase: Phase::Finished,
        verdict: Some(Verdict::Pass),
        series: Some("chat".to_owned()),
        fingerprint: Some("f".to_owned()),
        finished_at: Some(MicroTime(Timestamp::UNIX_EPOCH)),
        objectives: vec![ObjectiveStatus {
            name: "p".to_owned(),
            windows: vec![result],
            ..ObjectiveStatus::default()
        }],
        ..LoadTestStatus::default()
    }
}

fn earlier(status: LoadTestStatus) -> Earlier {
    let mut test = LoadTest { status: Some(status), ..LoadTest::default() };
    test.metadata.name = Some("chat-1".to_owned());
    Earlier::of(&test, "chat", "own").unwrap()
}

fn history(plan: &ObjectivePlan, runs: &[Vec<f64>]) -> History {
    History { runs: runs.iter().map(|times| earlier(run(plan, times))).collect(), unread: None }
}

fn against(plan: &ObjectivePlan, limit: &str, now: &[f64], history: &History) -> BaselineStatus {
    let baseline = BaselinePlan { runs: 9, max_regression: Limit::parse(limit).unwrap() };
    compare(Some(&baseline), std::slice::from_ref(plan), &run(plan, now), history).remove(0)
}

// Ends of buckets in milliseconds: 250 272.6 297.3 324.2 353.6 385.6 420.4. All answers take the same time.
#[rstest]
// One bucket more is at least 0% and at most 18.9%, two at least 9.1%, three at least 18.9%.
#[case::a_bucket_more_by_15_percent("10%", 300.0, 345.0, Outcome::Warn, Some("345ms, 15% above 300ms"))]
#[case::a_bucket_more_by_3_percent("10%", 320.0, 329.6, Outcome::Met, Some("330ms, 3% above 320ms"))]
#[case::two_buckets_more_by_15_percent("10%", 320.0, 368.0, Outcome::Warn, Some("368ms, 15% above 320ms"))]
#[case::two_buckets_more_by_10_percent("10%", 322.0, 354.2, Outcome::Met, Some("354ms, 10% above 322ms"))]
#[case::two_buckets_more_by_11_percent("10%", 322.0, 357.4, Outcome::Warn, Some("357ms, 11% above 322ms"))]
#[case::three_buckets_more("10%", 320.0, 390.0, Outcome::Warn, None)]
#[case::the_same_bucket("10%", 300.0, 320.0, Outcome::Met, None)]
#[case::the_same_bucket_for_less("5%", 300.0, 320.0, Outcome::Warn, Some("320ms, 6.7% above 300ms"))]
#[case::a_bucket_more_for_less("5%", 320.0, 329.6, Outcome::Met, Some("330ms, 3% above 320ms"))]
#[case::faster("10%", 300.0, 200.0, Outcome::Met, None)]
#[case::as_before("10%", 300.0, 300.0, Outcome::Met, None)]
fn answers_that_take_the_same_time(
    #[case] limit: &str,
    #[case] before: f64,
    #[case] now: f64,
    #[case] expected: Outcome,
    #[case] mean: Option<&str>,
) {
    let times = |time: f64| vec![time / 1000.0; 1000];
    let plan = plan(95.0);
    let result = against(&plan, limit, &times(now), &history(&plan, &vec![times(before); 5]));
    let message = result.message.unwrap();
    assert_eq!(result.outcome, expected, "{message}");
    let by_means = message.split_once("so the mean decides: ").map(|(_, mean)| mean);
    match mean {
        Some(mean) => assert!(by_means.is_some_and(|told| told.starts_with(mean)), "{message}"),
        None => assert_eq!(by_means, None, "{message}"),
    }
}

/// Answers about this time, by a logistic distribution of the logarithm: 90% of them lie within 3 spreads on either side.
fn about(time: f64, spread: f64) -> Vec<f64> {
    let share = |n: i32| (f64::from(n) + 0.5) / 2000.0;
    let logit = |share: f64| (share / (1.0 - share)).ln();
    (0..2000).map(|n| time * (spread * logit(share(n))).exp()).collect()
}

// A spread of 0.06 is where the buckets around p95 begin to tell enough.
#[rstest]
fn a_planted_slowdown_is_found_wherever_the_times_lie(
    #[values(0.0, 0.004, 0.02, 0.04, 0.06, 0.1, 0.3)] spread: f64,
    #[values(50.0, 90.0, 95.0, 99.0)] percentile: f64,
    #[values(5, 6)] runs: usize,
) {
    let plan = plan(percentile);
    for place in 0..8 {
        let time = 0.25 * 2f64.powf(f64::from(place) / 8.0 / 8.0);
        // Runs of one build differ a little, and may lie on both sides of the end of a bucket.
        let apart = [1.0, 1.003, 0.996, 1.005, 0.998, 1.001];
        let before: Vec<Vec<f64>> = apart.iter().take(runs).map(|by| about(time * by, spread)).collect();
        let history = history(&plan, &before);
        for (limit, slower, expected) in [
            ("10%", 1.15, Outcome::Warn),
            ("10%", 1.03, Outcome::Met),
            ("5%", 1.03, Outcome::Met),
            ("10%", 0.9, Outcome::Met),
        ] {
            let result = against(&plan, limit, &about(time * slower, spread), &history);
            assert_eq!(result.outcome, expected, "{place}, {slower} at {limit}: {result:?}");
        }
    }
}

// Nine in ten answer at once, and say nothing of the others: p95 moves by 15%, and the mean by 3%.
#[test]
fn where_the_buckets_tell_enough_the_mean_does_not_decide() {
    let plan = plan(95.0);
    let times = |slower: f64| {
        let slow = about(0.3 * slower, 0.1);
        [vec![0.1; 18_000], slow].concat()
    };
    let history = history(&plan, &vec![times(1.0); 5]);
    let result = against(&plan, "10%", &times(1.15), &history);
    assert_eq!(result.outcome, Outcome::Warn, "{result:?}");
    assert!(!result.message.unwrap().contains("the mean decides"));
    assert_eq!(against(&plan, "10%", &times(1.03), &history).outcome, Outcome::Met);
}

// Nine in ten answer within 100 ms, and p95 is that of the others, which all take the same time: 25% more are two buckets
// or three, though the mean rises by 4.5% only.
#[test]
fn where_the_mean_did_not_move_as_the_percentile_must_have_it_does_not_decide() {
    let plan = plan(95.0);
    for place in 0..8 {
        let times = |slower: f64| {
            let slow = 0.2 * 2f64.powf(f64::from(place) / 8.0 / 8.0) * slower;
            [vec![0.1; 900], vec![slow; 100]].concat()
        };
        let history = history(&plan, &vec![times(1.0); 5]);
        for (limit, slower, expected) in
            [("10%", 1.25, Outcome::Warn), ("10%", 1.03, Outcome::Met), ("5%", 1.03, Outcome::Met)]
        {
            let result = against(&plan, limit, &times(slower), &history);
            assert_eq!(result.outcome, expected, "{place}, {slower} at {limit}: {result:?}");
        }
    }
}

// A fifth of the answers take 1.75 times as long, but not those around the median: the mean rises by 15%.
#[test]
fn nor_where_it_moved_further() {
    let plan = plan(50.0);
    let before = vec![vec![0.3; 1000]; 5];
    let now = [vec![0.3; 800], vec![0.525; 200]].concat();
    let result = against(&plan, "5%", &now, &history(&plan, &before));
    assert_eq!(result.outcome, Outcome::Met, "{result:?}");
}

// 20 of 2,000 hang for 10 s: the mean of all would be 33% more.
#[rstest]
#[case::as_before(1.0, Outcome::Met)]
#[case::a_little_slower(1.03, Outcome::Met)]
#[case::slower(1.15, Outcome::Warn)]
fn answers_that_hung_do_not_move_the_mean(#[case] slower: f64, #[case] expected: Outcome) {
    let plan = plan(95.0);
    for place in 0..8 {
        let time = 0.3 * 2f64.powf(f64::from(place) / 8.0 / 8.0);
        let mut now = vec![time * slower; 1980];
        now.extend([10.0; 20]);
        let result = against(&plan, "10%", &now, &history(&plan, &vec![vec![time; 2000]; 5]));
        assert_eq!(result.outcome, expected, "{place}: {result:?}");
    }
}

// 320 ms and 329.6 ms lie in neighbouring buckets, whose figures are 9.1% apart.
#[rstest]
#[case::none(5, Outcome::Met)]
#[case::one(4, Outcome::Warn)]
#[case::all(0, Outcome::Warn)]
fn runs_of_an_earlier_version_are_compared_by_their_figures(#[case] told: usize, #[case] expected: Outcome) {
    let plan = plan(95.0);
    let mut runs: Vec<Earlier> = (0..5).map(|_| earlier(run(&plan, &[0.32; 1000]))).collect();
    for run in runs.iter_mut().skip(told) {
        run.figures[0].bucket = None;
        run.figures[0].mean = None;
    }
    // As a record of that version is read.
    let runs = serde_json::from_value(serde_json::to_value(&runs).unwrap()).unwrap();
    let result = against(&plan, "5%", &[0.3296; 1000], &History { runs, unread: None });
    assert_eq!((result.outcome, result.runs), (expected, 5), "{result:?}");
}

#[test]
fn in_words() {
    let plan = plan(95.0);
    let result = against(&plan, "10%", &[0.345; 1000], &history(&plan, &vec![vec![0.3; 1000]; 5]));
    // 324.2 ms and 297.3 ms, times 2^(0.95/8).
    let words = "352ms, 9.1% above 323ms, the median of 5 earlier runs; k6's buckets leave it open, so the mean decides: \
                 345ms, 15% above 300ms, the median of theirs; allowed are 30ms";
    assert_eq!(result.message.as_deref(), Some(words));
}
