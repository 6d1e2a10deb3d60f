//! Shares of k6's requests: which failed, and which took too long. How they are asked for, and how they are read from
//! the answers.
//!
//! The counts of a window come from one query; what came in bursts is seen in cells of 5 s over the whole load, which
//! all windows and objectives of the same requests share.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    evaluate::{
        objective::{judge, spikes::CELL_SECONDS},
        windows::context::Context,
    },
    k6::{
        metrics::{Kind, built_in},
        outcomes::Outcomes,
        queries::{self, K6Samples, Split},
    },
    numbers::{
        confidence::{Block, Count},
        interval::{Interval, seconds},
    },
    plan::figure::Figure,
    prometheus::{
        ask::{Answers, Asks, RequestKind},
        histogram::{Grain, Histogram},
    },
};

/// Cells get longer where there would be more.
const MOST_CELLS: u64 = 2000;

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
    bad: Bad,
    /// k6's requests say whether they failed; the samples of a script's Trend do not.
    pub of_requests: bool,
    split: Split,
    candidates: Vec<Candidate>,
}

/// A metric under one of the names that it may have: times arrive in seconds, and in milliseconds where the script
/// did not say that its Trend is a time.
#[derive(Debug, Default)]
struct Candidate {
    seconds_per_unit: f64,
    selector: String,
    query: String,
    counts: Option<usize>,
    cells: Option<usize>,
}

/// What became of the requests of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    pub total: f64,
    pub bad: Count,
    /// How long those took that were answered.
    pub took: Histogram,
    pub seconds_per_unit: f64,
}

/// Stretches of equal length over the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    pub from: Timestamp,
    pub step: Duration,
    count: u64,
}

impl Tally {
    /// The percentile of all requests, in seconds, the failed ones counted as the slowest; `None` where it falls among
    /// those.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<f64> {
        Some(self.took.quantile(self.of_measured(percentile))? * self.seconds_per_unit)
    }

    /// How finely that is known, in seconds.
    #[must_use]
    pub fn grain(&self, percentile: f64) -> Option<Grain> {
        let Grain { bucket, mean } = self.took.grain(self.of_measured(percentile))?;
        let unit = self.seconds_per_unit;
        Some(Grain { bucket: bucket.map(|(above, up_to)| (above * unit, up_to * unit)), mean: mean * unit })
    }

    /// The share of the measured requests that is this percentile of all.
    fn of_measured(&self, percentile: f64) -> f64 {
        let share = percentile / 100.0 * self.total / self.took.count;
        if share <= 1.0 + 1e-9 { share.min(1.0) } else { share }
    }
}

/// The names that a Trend may have in Prometheus, each with the seconds that one of its units is.
pub fn trends(metric: &str) -> impl Iterator<Item = (String, f64)> {
    let in_seconds = (format!("k6_{metric}_seconds"), 1.0);
    let raw = (built_in(metric) != Some(Kind::Time)).then(|| (format!("k6_{metric}"), 0.001));
    std::iter::once(in_seconds).chain(raw)
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
        let mut probe = Self::of(figure, limit, context)?;
        for candidate in &mut probe.candidates {
            candidate.query = context.metrics.increase(&candidate.selector, probe.split, reads);
            candidate.counts = Some(asks.ask(candidate.query.clone(), at));
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
        let mut probe = Self::of(figure, limit, context)?;
        probe.add_cells(cells, context, asks);
        Some(probe)
    }

    fn add_cells(&mut self, cells: Cells, context: &Context, asks: &mut Asks) {
        for candidate in &mut self.candidates {
            let cumulative = context.metrics.cumulative(&candidate.selector, self.split, None);
            candidate.cells = Some(asks.ask(cumulative, cells.range()));
        }
    }

    fn of(figure: &Figure, limit: f64, context: &Context) -> Option<Self> {
        let candidate = |(name, seconds_per_unit): (String, f64), samples: &K6Samples| Candidate {
            seconds_per_unit,
            selector: context.metrics.selector(&name, samples),
            ..Candidate::default()
        };
        let (bad, candidates) = match figure {
            Figure::K6Failed { samples } => {
                (Bad::Failed, vec![candidate((queries::HTTP_REQS.to_owned(), 1.0), samples)])
            }
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
    labels.get(queries::OUTCOME).is_some_and(|outcome| outcome == "false")
}

fn slower(took: &Histogram, limit: f64) -> Count {
    let up_to = took.up_to(limit);
    Count { least: up_to.surely, likely: up_to.likely, most: up_to.perhaps }.rest_of(took.count)
}

impl Cells {
    /// Over a whole load, each as long as several pushes.
    #[must_use]
    pub fn over(load: Interval, push: Duration) -> Option<Self> {
        let shortest = load.length().as_secs().div_ceil(MOST_CELLS).max(push.as_secs());
        let seconds = CELL_SECONDS * shortest.div_ceil(CELL_SECONDS).max(1);
        let count = load.length().as_secs() / seconds;
        (count > 0).then_some(Self { from: load.from, step: Duration::from_secs(seconds), count })
    }

    fn range(self) -> RequestKind {
        RequestKind::Range { from: self.from, to: self.start(self.len()), step: self.step }
    }

    fn len(self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Where a cell begins.
    #[must_use]
    pub fn start(self, number: usize) -> Timestamp {
        let millis = u128::try_from(number).unwrap_or(0) * self.step.as_millis();
        let after = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        self.from.saturating_add(after).unwrap_or(self.from)
    }

    /// The numbers of the cells that lie within one of the stretches.
    pub fn within(self, stretches: &[Interval]) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(move |number| {
            let (from, to) = (self.start(*number), self.start(*number + 1));
            stretches.iter().any(|stretch| stretch.from <= from && to <= stretch.to)
        })
    }

    /// Adds the cumulative values of one series at the ends of the cells. One that is not there yet is zero, and
    /// keeps its last value where it has no sample.
    fn add(self, sums: &mut [Block], points: impl Iterator<Item = (f64, Block)>) {
        let number = |at: f64| ((at - seconds(self.from)) / self.step.as_secs_f64()).round();
        let known: BTreeMap<usize, Block> = points
            .filter(|(at, value)| number(*at) >= 0.0 && value.total.is_finite())
            .map(|(at, value)| (number(at) as usize, value))
            .collect();
        let mut last = Block::default();
        for (number, sum) in sums.iter_mut().enumerate() {
            last = known.get(&number).copied().unwrap_or(last);
            sum.total += last.total;
            sum.bad += last.bad;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

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
