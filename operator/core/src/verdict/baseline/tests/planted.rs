//! Slow-downs planted into k6's histograms, wherever the answers' times lie in the buckets.

use super::*;
use crate::{
    evaluate::{
        judgement,
        objective::{judge, scope::Scope, tally::Tally},
        windows::{Extent, Window},
    },
    numbers::confidence::{Cell, Count},
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

fn percentile(percentile: f64) -> ObjectivePlan {
    let mut objective = p95("p");
    if let Figure::K6Percentile { percentile: of, .. } = &mut objective.figure {
        *of = percentile;
    }
    objective
}

/// The status of a run whose answers took so long.
fn run(plan: &ObjectivePlan, times: &[f64]) -> LoadTestStatus {
    let tally =
        Tally { total: times.len() as f64, bad: Count::default(), took: k6(times), seconds_per_unit: 1.0 };
    let scope = Scope::Sample { design_effect: 1.0, faults: Cell::default() };
    let window = Window { kind: WindowKind::Run, fault: None, extent: Extent::Stretches(Vec::new()) };
    let result = judgement::result(&window, judge::share(plan, scope, &tally), None);
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

fn history(plan: &ObjectivePlan, runs: &[Vec<f64>]) -> History {
    let earlier = |times: &Vec<f64>| {
        let metadata = kube_metadata("chat-1");
        Earlier::of(
            &LoadTest { metadata, status: Some(run(plan, times)), ..LoadTest::default() },
            "chat",
            "own",
        )
    };
    History { runs: runs.iter().filter_map(earlier).collect(), unread: None }
}

fn against(plan: &ObjectivePlan, limit: &str, now: &[f64], history: &History) -> BaselineStatus {
    let baseline = BaselinePlan { runs: 9, max_regression: Limit::parse(limit).unwrap() };
    compare(Some(&baseline), std::slice::from_ref(plan), &run(plan, now), history).remove(0)
}

// Ends of buckets in milliseconds: 250 272.6 297.3 324.2 353.6 385.6 420.4. All answers take the same time, so that a
// bucket more shows as 9.1%, and may be anything up to 18.9%.
#[rstest]
#[case::the_same_bucket("5%", 300.0, 320.0, Outcome::Met)]
#[case::the_next_by_3_percent("5%", 320.0, 329.6, Outcome::Met)]
#[case::the_next_by_15_percent("10%", 300.0, 345.0, Outcome::Met)]
#[case::the_one_after_by_15_percent("10%", 320.0, 368.0, Outcome::Warn)]
#[case::the_one_after_by_10_percent("10%", 322.0, 354.2, Outcome::Warn)]
#[case::the_one_after_where_that_is_allowed("20%", 320.0, 368.0, Outcome::Met)]
#[case::three_more("20%", 320.0, 390.0, Outcome::Warn)]
#[case::faster("10%", 300.0, 200.0, Outcome::Met)]
#[case::as_before("10%", 300.0, 300.0, Outcome::Met)]
fn answers_that_take_the_same_time(
    #[case] limit: &str,
    #[case] before: f64,
    #[case] now: f64,
    #[case] expected: Outcome,
) {
    let times = |time: f64| vec![time / 1000.0; 1000];
    let plan = percentile(95.0);
    let result = against(&plan, limit, &times(now), &history(&plan, &vec![times(before); 5]));
    assert_eq!(result.outcome, expected, "{result:?}");
}

/// Answers about this time, by a logistic distribution of the logarithm: 90% of them lie within 3 spreads on either side.
fn about(time: f64, spread: f64) -> Vec<f64> {
    let share = |n: i32| (f64::from(n) + 0.5) / 2000.0;
    let logit = |share: f64| (share / (1.0 - share)).ln();
    (0..2000).map(|n| time * (spread * logit(share(n))).exp()).collect()
}

// From a spread of 0.06 on the buckets around p95 are filled evenly enough to tell 15%.
#[rstest]
fn a_slowdown_that_the_buckets_tell_is_found_wherever_the_times_lie(
    #[values(0.06, 0.1, 0.3)] spread: f64,
    #[values(50.0, 90.0, 95.0, 99.0)] of: f64,
    #[values(5, 6)] runs: usize,
) {
    let plan = percentile(of);
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

#[test]
fn in_words() {
    let plan = percentile(95.0);
    let result = against(&plan, "5%", &[0.345; 1000], &history(&plan, &vec![vec![0.3; 1000]; 5]));
    // 324.2 ms and 297.3 ms, times 2^(0.95/8).
    let words = "352ms, 9.1% above 323ms, the median of 5 earlier runs; allowed are 29.2ms, a bucket of k6's histogram";
    assert_eq!(result.message.as_deref(), Some(words));
}
