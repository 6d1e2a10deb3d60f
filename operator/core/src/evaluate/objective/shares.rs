//! Shares of k6's requests: which failed, and which took too long. How they are asked for, and how they are read from
//! the answers.
//!
//! The counts of a window come from one query; what came in bursts is seen in cells of 5 s over the whole load, which
//! all windows and objectives of the same requests share.

use crate::{
    evaluate::{
        objective::{judge, tally::Tally},
        windows::{context::Context, grid::Cells},
    },
    k6::{
        metrics::{Kind, built_in},
        outcomes::Outcomes,
        queries::{HTTP_REQS, K6Samples, K6Series, Metric, OUTCOME, Split},
        question::Asks,
    },
    numbers::{
        confidence::{Block, Count},
        interval::Interval,
    },
    plan::figure::Figure,
    prometheus::{
        ask::{Answers, RequestKind},
        histogram::Histogram,
    },
};

/// What makes a request a bad one, besides that it failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bad {
    Failed,
    /// It took longer, in seconds.
    Slower(f64),
}

/// The questions about one share in one window.
#[derive(Debug)]
pub struct ShareProbe {
    pub(crate) bad: Bad,
    /// k6's requests say whether they failed; the samples of a script's Trend do not.
    pub of_requests: bool,
    split: Split,
    candidates: Vec<Candidate>,
}

/// A metric under one of the names that it may have: a Trend of which the script said that it is a time has its unit in
/// its name.
#[derive(Debug)]
struct Candidate {
    pub(crate) seconds_per_unit: f64,
    series: K6Series,
    query: String,
    counts: Option<usize>,
    cells: Option<usize>,
}

/// The names that a Trend may have in Prometheus, each with the seconds that one of its units is.
pub fn trends(metric: &str) -> impl Iterator<Item = (Metric, f64)> {
    let named = (Metric::Times(metric.to_owned().into()), 0.001);
    let raw =
        (built_in(metric) != Some(Kind::Time)).then(|| (Metric::Trend(metric.to_owned().into()), 0.001));
    std::iter::once(named).chain(raw)
}

impl ShareProbe {
    /// Asks for a share of k6's requests in the stretches, and in cells; `None` for any other figure.
    #[must_use]
    pub fn ask(
        figure: &Figure,
        limit: f64,
        reads: &[Interval],
        cells: Option<Cells>,
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let at = RequestKind::Instant { at: reads.last()?.to };
        let mut probe = Self::of(figure, limit)?;
        for candidate in &mut probe.candidates {
            let counts = context.metrics.increase(candidate.series.clone(), probe.split, reads);
            candidate.query = counts.to_string();
            candidate.counts = Some(asks.ask(counts, at));
        }
        if let Some(cells) = cells {
            probe.add_cells(cells, context, asks);
        }
        Some(probe)
    }

    /// Asks for its cells alone.
    #[must_use]
    pub fn ask_cells(
        figure: &Figure,
        limit: f64,
        cells: Cells,
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let mut probe = Self::of(figure, limit)?;
        probe.add_cells(cells, context, asks);
        Some(probe)
    }

    fn add_cells(&mut self, cells: Cells, context: &Context, asks: &mut Asks) {
        for candidate in &mut self.candidates {
            let cumulative = context.metrics.cumulative(candidate.series.clone(), self.split);
            candidate.cells = Some(asks.ask(cumulative, cells.range()));
        }
    }

    fn of(figure: &Figure, limit: f64) -> Option<Self> {
        let candidate = |(metric, seconds_per_unit): (Metric, f64), samples: &K6Samples| Candidate {
            seconds_per_unit,
            series: samples.of(metric),
            query: String::new(),
            counts: None,
            cells: None,
        };
        let (bad, candidates) = match figure {
            Figure::K6Failed { samples } => (Bad::Failed, vec![candidate((HTTP_REQS, 1.0), samples)]),
            Figure::K6Percentile { metric, samples, .. } => {
                (Bad::Slower(limit), trends(metric).map(|name| candidate(name, samples)).collect())
            }
            Figure::K6Under { metric, under, samples } => {
                (Bad::Slower(under.base()), trends(metric).map(|name| candidate(name, samples)).collect())
            }
            _ => return None,
        };
        let of_requests = figure.is_of_requests();
        let split = if of_requests { Split::Outcome } else { Split::Whole };
        Some(Self { bad, of_requests, split, candidates })
    }

    /// The query that shows the counts.
    #[must_use]
    pub fn query(&self, answers: &Answers) -> Option<String> {
        let found = self.measured(answers).ok().map(|(candidate, ..)| candidate);
        found.or(self.candidates.first()).map(|candidate| candidate.query.clone())
    }

    /// What became of the requests.
    ///
    /// # Errors
    /// Why that cannot be said, in words for the user.
    pub fn tally(&self, answers: &Answers) -> Result<Tally, String> {
        let (candidate, outcomes, took) = self.measured(answers)?;
        let bad = match self.bad {
            Bad::Failed => Count::exactly(outcomes.failed),
            Bad::Slower(limit) => slower(&took, limit / candidate.seconds_per_unit).plus(outcomes.failed),
        };
        Ok(Tally { total: outcomes.total(), bad, took, seconds_per_unit: candidate.seconds_per_unit })
    }

    /// The candidate that has data, with its counts.
    fn measured(&self, answers: &Answers) -> Result<(&Candidate, Outcomes, Histogram), String> {
        let mut found = None;
        for candidate in &self.candidates {
            let Some((outcomes, took)) = self.read(candidate, answers)? else { continue };
            if found.is_some() {
                return Err("two scripts use this Trend with different units: give one of them another name"
                    .to_owned());
            }
            found = Some((candidate, outcomes, took));
        }
        let Some((candidate, outcomes, took)) = found else { return Err(judge::NO_SAMPLE.to_owned()) };
        let outcomes = if self.of_requests { judge::told(outcomes)? } else { judge::counted(outcomes)? };
        Ok((candidate, outcomes, took))
    }

    fn read(
        &self,
        candidate: &Candidate,
        answers: &Answers,
    ) -> Result<Option<(Outcomes, Histogram)>, String> {
        let Some(counts) = candidate.counts else { return Ok(None) };
        if self.bad == Bad::Failed {
            let outcomes = Outcomes::of(answers.vector(counts)?);
            return Ok(outcomes.map(|outcomes| (outcomes, Histogram::default())));
        }
        let series = answers.histograms(counts)?;
        let mut outcomes = Outcomes::default();
        let mut took = Histogram::default();
        for (labels, points) in series {
            let Some((_, histogram)) = points.last() else { continue };
            let before = outcomes.failed;
            outcomes.add(labels, histogram.count);
            // How long a failed request took says nothing good of it.
            if outcomes.failed <= before {
                took = took.plus(histogram);
            }
        }
        Ok((!series.is_empty()).then_some((outcomes, took)))
    }

    /// What became of the requests in each of the cells.
    ///
    /// # Errors
    /// Why that cannot be said, in words for the user.
    pub fn cells(&self, cells: Cells, answers: &Answers) -> Result<Vec<Block>, String> {
        let mut sums = vec![Block::default(); cells.len() + 1];
        for candidate in &self.candidates {
            let Some(id) = candidate.cells else { continue };
            if self.bad == Bad::Failed {
                for (labels, points) in answers.matrix(id)? {
                    let failed = is_failed(labels);
                    cells.add(
                        &mut sums,
                        points.iter().map(|(at, value)| {
                            (*at, Block { total: *value, bad: if failed { *value } else { 0.0 } })
                        }),
                    );
                }
            } else {
                for (labels, points) in answers.histograms(id)? {
                    let failed = self.of_requests && is_failed(labels);
                    cells.add(
                        &mut sums,
                        points.iter().map(|(at, histogram)| {
                            let slower = || self.slower(histogram, candidate.seconds_per_unit).likely;
                            let bad = if failed { histogram.count } else { slower() };
                            (*at, Block { total: histogram.count, bad })
                        }),
                    );
                }
            }
        }
        let gained = |pair: &[Block]| {
            let total = (pair[1].total - pair[0].total).max(0.0);
            Block { total, bad: (pair[1].bad - pair[0].bad).clamp(0.0, total) }
        };
        Ok(sums.windows(2).map(gained).collect())
    }

    fn slower(&self, histogram: &Histogram, seconds_per_unit: f64) -> Count {
        match self.bad {
            Bad::Failed => Count::default(),
            Bad::Slower(limit) => slower(histogram, limit / seconds_per_unit),
        }
    }
}

fn is_failed(labels: &crate::prometheus::series::Labels) -> bool {
    labels.get(OUTCOME).is_some_and(|outcome| outcome == "false")
}

fn slower(took: &Histogram, limit: f64) -> Count {
    let up_to = took.up_to(limit);
    Count { least: up_to.surely, likely: up_to.likely, most: up_to.perhaps }.rest_of(took.count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use rstest::rstest;

    use super::*;
    use crate::numbers::interval::seconds;

    fn load(length: i64) -> Interval {
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        Interval::new(at(0), at(length)).unwrap()
    }

    #[rstest]
    #[case::a_minute(60, 1, Some((5, 12)))]
    #[case::and_a_bit(64, 1, Some((5, 12)))]
    #[case::shorter_than_a_cell(4, 1, None)]
    #[case::slow_pushes(60, 12, Some((15, 4)))]
    #[case::eight_hours(28_800, 1, Some((15, 1920)))]
    fn cells_over_a_load(#[case] length: i64, #[case] push: u64, #[case] expected: Option<(u64, usize)>) {
        let cells = Cells::over(load(length), Duration::from_secs(push));
        assert_eq!(cells.map(|cells| (cells.step.as_secs(), cells.len())), expected);
    }

    #[test]
    fn only_whole_cells_belong_to_a_stretch() {
        let cells = Cells::over(load(60), Duration::from_secs(1)).unwrap();
        let stretch = |from: i64, to: i64| {
            Interval::new(
                cells.from + SignedDuration::from_secs(from),
                cells.from + SignedDuration::from_secs(to),
            )
            .unwrap()
        };
        let within: Vec<usize> = cells.within(&[stretch(1, 20), stretch(40, 54)]).collect();
        assert_eq!(within, [1, 2, 3, 8, 9]);
    }

    #[test]
    fn a_series_counts_from_zero_and_keeps_its_last_value() {
        let cells = Cells::over(load(25), Duration::from_secs(1)).unwrap();
        let mut sums = vec![Block::default(); cells.len() + 1];
        let at = |second: f64| seconds(cells.from) + second;
        let value = |total: f64| Block { total, bad: 1.0 };
        cells.add(&mut sums, [(at(10.0), value(4.0)), (at(20.0), value(9.0))].into_iter());
        let totals: Vec<f64> = sums.iter().map(|sum| sum.total).collect();
        assert_eq!(totals, [0.0, 0.0, 4.0, 4.0, 9.0, 9.0]);
    }
}
