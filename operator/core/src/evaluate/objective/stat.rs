//! The average, the least and the most of a k6 Trend in a window, of all runners together.
//!
//! The average is exact: the sum of all samples over their number. The least and the most lie in the first and the last
//! bucket of k6's histogram that hold any, whose ends are 4.4% or 9% apart: between them the limit decides nothing.

use loadtest_crds::{Outcome, Stat};

use crate::{
    evaluate::{
        objective::{
            cells::trends,
            finding::{Finding, limit_words},
            judge::NO_SAMPLE,
        },
        windows::context::Context,
    },
    k6::{
        queries::{K6Samples, Split},
        question::Asks,
    },
    numbers::{
        interval::Interval,
        limit::{Bound, count, whole},
    },
    plan::objective::ObjectivePlan,
    prometheus::{
        ask::{Answers, RequestKind},
        histogram::Histogram,
    },
};

/// The questions about one Trend in one window.
#[derive(Debug)]
pub struct StatProbe {
    stat: Stat,
    /// For each name of the metric the query, its answer, and the seconds that one of its units is.
    asked: Vec<(String, usize, f64)>,
}

impl StatProbe {
    #[must_use]
    pub fn ask(
        (metric, stat, samples): (&str, Stat, &K6Samples),
        reads: &[Interval],
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let at = RequestKind::Instant { at: reads.last()?.to };
        let mut ask = |(metric, unit)| {
            let question = context.metrics.increase(samples.of(metric), Split::Whole, reads);
            (question.to_string(), asks.ask(question, at), unit)
        };
        Some(Self { stat, asked: trends(metric).map(&mut ask).collect() })
    }

    #[must_use]
    pub fn query(&self) -> Option<String> {
        self.asked.first().map(|(query, ..)| query.clone())
    }

    /// # Errors
    /// Why it is not known, in words for the user.
    pub fn judge(&self, plan: &ObjectivePlan, answers: &Answers) -> Result<Finding, String> {
        let mut found = None;
        for (_, id, unit) in &self.asked {
            let series = answers.histograms(*id)?;
            let samples = series.iter().filter_map(|(_, points)| points.last()).map(|(_, one)| one);
            let samples = samples.fold(Histogram::default(), |sum, one| sum.plus(one));
            if samples.count > 0.5 && found.replace((samples, *unit)).is_some() {
                return Err("two scripts use this Trend with different units: give one of them another name"
                    .to_owned());
            }
        }
        let (samples, unit) = found.ok_or(NO_SAMPLE)?;
        let (from, to) = ends(self.stat, &samples).ok_or(NO_SAMPLE)?;
        Ok(against(plan, self.stat, (from * unit, to * unit), samples.count))
    }
}

/// Between which values it lies.
fn ends(stat: Stat, samples: &Histogram) -> Option<(f64, f64)> {
    let buckets = || samples.buckets.iter().filter(|bucket| bucket.count > 0.5);
    let ends = match stat {
        Stat::Avg => (samples.sum / samples.count, samples.sum / samples.count),
        Stat::Min => buckets().min_by(|a, b| a.lower.total_cmp(&b.lower)).map(|b| (b.lower, b.upper))?,
        Stat::Max => buckets().max_by(|a, b| a.upper.total_cmp(&b.upper)).map(|b| (b.lower, b.upper))?,
    };
    (ends.0.is_finite() && ends.1.is_finite()).then_some(ends)
}

fn against(plan: &ObjectivePlan, stat: Stat, (from, to): (f64, f64), samples: f64) -> Finding {
    let limit = plan.bound.limit();
    // The end that is nearer to the limit, or further beyond it.
    let value = if matches!(plan.bound, Bound::AtMost(_)) { to } else { from };
    let name = match stat {
        Stat::Avg => "the average",
        Stat::Min => "the least",
        Stat::Max => "the most",
    };
    let (samples, shown) = (whole(samples), limit.show(value));
    let words = format!("{name} of {} samples was {shown}, {}", count(samples), limit_words(&plan.bound));
    let finding = Finding::of_value(plan, value, words, samples);
    if plan.bound.holds(from) == plan.bound.holds(to) {
        return finding;
    }
    let message = format!(
        "{}; it lies between {} and {}, the ends of a bucket of k6's histogram, and that decides: set the limit to another \
         value",
        finding.message,
        limit.show(from),
        limit.show(to)
    );
    Finding { outcome: Outcome::Unclear, message, ..finding }
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{K6Figure, Objective, VerdictPolicy};
    use rstest::rstest;

    use super::*;
    use crate::prometheus::histogram::Bucket;

    fn plan(stat: Stat, limit: &str, upper: bool) -> ObjectivePlan {
        let k6 = K6Figure { metric: "http_req_duration".to_owned(), stat: Some(stat), ..K6Figure::default() };
        let (at_most, at_least) = if upper { (Some(limit.into()), None) } else { (None, Some(limit.into())) };
        let objective =
            Objective { name: "o".to_owned(), k6: Some(k6), at_most, at_least, ..Objective::default() };
        ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
    }

    /// Ten samples of 95 to 100 ms and ten of 190 to 200 ms, 2.9 s together; an empty bucket beyond.
    fn samples() -> Histogram {
        let bucket = |lower, upper, count| Bucket { lower, upper, count };
        let buckets = vec![bucket(95.0, 100.0, 10.0), bucket(190.0, 200.0, 10.0), bucket(400.0, 420.0, 0.0)];
        Histogram { count: 20.0, sum: 2900.0, buckets }
    }

    #[rstest]
    #[case(Stat::Avg, "145ms", true, Outcome::Met, "145ms")]
    #[case(Stat::Avg, "144ms", true, Outcome::Missed, "145ms")]
    #[case(Stat::Avg, "145ms", false, Outcome::Met, "145ms")]
    #[case(Stat::Max, "200ms", true, Outcome::Met, "200ms")]
    #[case(Stat::Max, "195ms", true, Outcome::Unclear, "200ms")]
    #[case(Stat::Max, "180ms", true, Outcome::Missed, "200ms")]
    #[case(Stat::Min, "95ms", false, Outcome::Met, "95ms")]
    #[case(Stat::Min, "97ms", false, Outcome::Unclear, "95ms")]
    #[case(Stat::Min, "101ms", false, Outcome::Missed, "95ms")]
    fn on_paper(
        #[case] stat: Stat,
        #[case] limit: &str,
        #[case] upper: bool,
        #[case] expected: Outcome,
        #[case] value: &str,
    ) {
        let (from, to) = ends(stat, &samples()).unwrap();
        let found = against(&plan(stat, limit, upper), stat, (from / 1000.0, to / 1000.0), 20.0);
        assert_eq!((found.outcome, found.value.as_deref()), (expected, Some(value)), "{}", found.message);
        assert_eq!(found.samples, Some(20));
    }

    #[test]
    fn nothing_has_no_least() {
        assert_eq!(ends(Stat::Min, &Histogram::default()), None);
        assert_eq!(ends(Stat::Avg, &Histogram::default()), None);
    }
}
