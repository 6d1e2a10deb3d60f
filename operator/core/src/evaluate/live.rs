//! Figures so far, while the load runs: for those who watch, not judged.

use std::time::Duration;

use crate::{
    evaluate::names::Counted,
    k6::{
        queries::{HTTP_REQ_DURATION, HTTP_REQS, K6Metrics, K6Series, OUTCOME, Split},
        question::About,
    },
    prometheus::{ask::Answer, promql, series::Labels},
};

/// The figures of all runners together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub requests: i64,
    pub failed: i64,
    /// How many names the requests of the last minutes had.
    pub request_names: Option<i64>,
    pub p95_milliseconds: Option<i64>,
}

/// Series that began before the process that asks did.
const BEFORE: Duration = Duration::from_secs(600);

/// What to ask for now, of a load that has been followed for so long.
#[must_use]
pub fn queries(run_id: &str, followed: Duration) -> [String; 3] {
    let reach = i64::try_from((followed + BEFORE).as_secs()).unwrap_or(i64::MAX);
    let metrics = K6Metrics::new(run_id, reach);
    [
        metrics.cumulative(K6Series::all(HTTP_REQS), Split::Outcome),
        metrics.cumulative(K6Series::all(HTTP_REQ_DURATION).answered(), Split::Whole),
        // Of late: each of them may be a series by itself.
        metrics.lately(promql::LOOKBACK).about(About::RequestNames),
    ]
    .map(|question| question.to_string())
}

impl Live {
    /// What the answers to [`queries`] say; nothing without the counts.
    #[must_use]
    pub fn of(answers: &[Answer]) -> Option<Self> {
        let [Answer::Vector(sums), took, names] = answers else { return None };
        let failed = |labels: &Labels| labels.get(OUTCOME).is_some_and(|o| o == "false");
        let sum = |only_failed: bool| {
            let counted = sums.iter().filter(|(labels, ..)| !only_failed || failed(labels));
            counted.map(|(.., value)| value).sum::<f64>().round() as i64
        };
        let p95 = match took {
            Answer::Histograms(one) => {
                let took = one.first().and_then(|(_, points)| points.last());
                took.and_then(|(_, took)| took.quantile(0.95))
            }
            _ => None,
        };
        Some(Self {
            requests: sum(false),
            failed: sum(true),
            request_names: match names {
                Answer::Vector(names) => Counted::of(names).map(Counted::names),
                _ => None,
            },
            p95_milliseconds: p95.filter(|ms| ms.is_finite()).map(|ms| ms.round() as i64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::histogram::{Bucket, Histogram};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn sums() -> Answer {
        let of = |outcome: &str, value| (labels(&[(OUTCOME, outcome)]), 0.0, value);
        Answer::Vector(vec![of("true", 95.0), of("false", 5.0)])
    }

    #[test]
    fn the_figures_of_all_runners() {
        let bucket = Bucket { lower: 100.0, upper: 200.0, count: 100.0 };
        let took = Histogram { count: 100.0, sum: 15_000.0, buckets: vec![bucket] };
        let names = vec![(labels(&[]), 0.0, 3.0), (labels(&[("of", "series")]), 0.0, 12.0)];
        let answers =
            [sums(), Answer::Histograms(vec![(labels(&[]), vec![(0.0, took)])]), Answer::Vector(names)];
        let live = Live::of(&answers).unwrap();
        assert_eq!((live.requests, live.failed, live.request_names), (100, 5, Some(3)));
        assert!(live.p95_milliseconds.is_some_and(|ms| (100..=200).contains(&ms)), "{live:?}");
    }

    #[test]
    fn without_an_answer_there_is_no_figure() {
        let silent = || Answer::Failed("no answer".to_owned());
        let counted = Live { requests: 100, failed: 5, ..Live::default() };
        assert_eq!(Live::of(&[sums(), silent(), silent()]), Some(counted));
        assert_eq!(Live::of(&[silent(), silent(), silent()]), None);
        assert_eq!(Live::of(&[]), None);
    }
}
