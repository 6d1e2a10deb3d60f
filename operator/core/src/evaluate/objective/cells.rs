//! A share of k6's requests or samples in cells of time: what is asked, and what each cell had.

use crate::{
    evaluate::{
        objective::judge,
        windows::{context::Context, grid::Grid},
    },
    k6::{
        metrics::{Kind, built_in},
        outcomes::Outcomes,
        queries::{HTTP_REQS, K6Samples, K6Series, Metric, Split},
        question::Asks,
    },
    numbers::confidence::{Count, Counts},
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::{ask::Answers, histogram::Histogram, series::Labels},
};

/// A share of k6's requests or samples, and the names that k6 may have sent them by.
#[derive(Clone, Debug)]
pub struct Share {
    /// What makes one bad besides that it failed: it took longer, in seconds.
    slower: Option<f64>,
    /// What tells good from bad; nothing does of the samples of a script's Trend.
    pub(crate) split: Split,
    pub(crate) names: Vec<Name>,
}

/// A metric under one of its names: a Trend of which the script said that it is a time has its unit in its name.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) series: K6Series,
    pub(crate) seconds_per_unit: f64,
}

impl Share {
    /// `None` for any other figure.
    #[must_use]
    pub fn of(objective: &ObjectivePlan) -> Option<Self> {
        let name = |(metric, seconds_per_unit): (Metric, f64), samples: &K6Samples| Name {
            series: samples.of(metric),
            seconds_per_unit,
        };
        let (slower, names) = match &objective.figure {
            Figure::K6Failed { samples } => (None, vec![name((HTTP_REQS, 1.0), samples)]),
            Figure::K6Share { metric, samples } => {
                (None, vec![name((Metric::Rate(metric.clone().into()), 1.0), samples)])
            }
            Figure::K6Percentile { metric, samples, .. } => {
                let limit = objective.bound.limit().base();
                (Some(limit), trends(metric).map(|trend| name(trend, samples)).collect())
            }
            Figure::K6Under { metric, under, samples } => {
                (Some(under.base()), trends(metric).map(|trend| name(trend, samples)).collect())
            }
            _ => return None,
        };
        let split = match objective.figure {
            Figure::K6Share { .. } => Split::Condition,
            _ if objective.figure.is_of_requests() => Split::Outcome,
            _ => Split::Whole,
        };
        Some(Self { slower, split, names })
    }

    /// True where each sample says whether it is a bad one.
    pub(crate) fn is_told(&self) -> bool {
        self.split != Split::Whole
    }

    /// True where only whether they failed makes them bad, so that they are counted and not timed.
    pub(crate) fn is_counted(&self) -> bool {
        self.slower.is_none()
    }

    /// Those of a name that took too long.
    pub(crate) fn slow(&self, took: &Histogram, name: &Name) -> Count {
        self.slower.map_or_else(Count::default, |limit| {
            let up_to = took.up_to(limit / name.seconds_per_unit);
            Count { least: up_to.surely, likely: up_to.likely, most: up_to.perhaps }.rest_of(took.count)
        })
    }

    /// What there is under the one name that has data; `None` without any.
    pub(crate) fn of_one_name<T>(
        &self,
        mut read: impl FnMut(&Name, usize) -> Result<Option<T>, String>,
    ) -> Result<Option<T>, String> {
        let mut found = None;
        for (number, name) in self.names.iter().enumerate() {
            let Some(one) = read(name, number)? else { continue };
            if found.replace(one).is_some() {
                return Err("two scripts use this Trend with different units: give one of them another name"
                    .to_owned());
            }
        }
        Ok(found)
    }
}

/// The names that a Trend may have in Prometheus, each with the seconds that one of its units is.
pub(crate) fn trends(metric: &str) -> impl Iterator<Item = (Metric, f64)> {
    let named = (Metric::Times(metric.to_owned().into()), 0.001);
    let raw =
        (built_in(metric) != Some(Kind::Time)).then(|| (Metric::Trend(metric.to_owned().into()), 0.001));
    std::iter::once(named).chain(raw)
}

/// The questions about a share in cells.
#[derive(Debug)]
pub struct ShareCells {
    share: Share,
    pub(crate) grid: Grid,
    /// One for each name.
    asked: Vec<usize>,
}

impl ShareCells {
    #[must_use]
    pub fn ask(share: &Share, grid: Grid, context: &Context, asks: &mut Asks) -> Self {
        let mut ask = |name: &Name| {
            let cumulative = context.metrics.cumulative(name.series.clone(), share.split);
            asks.ask(cumulative, grid.range())
        };
        Self { asked: share.names.iter().map(&mut ask).collect(), share: share.clone(), grid }
    }

    /// What each cell had; `None` where k6 had sent nothing.
    ///
    /// # Errors
    /// Why that cannot be said, in words for the user.
    pub fn read(&self, answers: &Answers) -> Result<Option<Vec<Counts>>, String> {
        let sums = self.share.of_one_name(|name, number| {
            let id = self.asked[number];
            let mut sums =
                Sums { cells: self, counts: vec![Counts::default(); self.grid.len() + 1], any: false };
            if self.share.is_counted() {
                for (labels, points) in answers.matrix(id)? {
                    let counts = |n: f64| Counts { total: n, bad: Count::default() };
                    sums.add(labels, points.iter().map(|(at, n)| (*at, counts(*n))))?;
                }
            } else {
                for (labels, points) in answers.histograms(id)? {
                    let counts = |h: &Histogram| Counts { total: h.count, bad: self.share.slow(h, name) };
                    sums.add(labels, points.iter().map(|(at, h)| (*at, counts(h))))?;
                }
            }
            Ok(sums.any.then_some(sums.counts))
        })?;
        Ok(sums.map(|sums| sums.windows(2).map(|pair| pair[1].since(pair[0])).collect()))
    }
}

/// Cumulative counts of all outcomes together, at each time of a grid.
struct Sums<'a> {
    cells: &'a ShareCells,
    counts: Vec<Counts>,
    any: bool,
}

impl Sums<'_> {
    /// Adds a series.
    fn add(&mut self, labels: &Labels, points: impl Iterator<Item = (f64, Counts)>) -> Result<(), String> {
        self.any = true;
        let finite = points.filter(|(_, n)| n.total.is_finite() && n.bad.likely.is_finite());
        let values: Vec<Counts> = self.cells.grid.carried(finite).collect();
        let mut outcome = Outcomes::default();
        outcome.add(labels, values.last().map_or(0.0, |last| last.total));
        let is_told = self.cells.share.is_told();
        if is_told && outcome.untold > 0.0 {
            return Err(judge::UNTOLD.to_owned());
        }
        let failed = is_told && outcome.failed > 0.0;
        for (sum, value) in self.counts.iter_mut().zip(values) {
            let bad = if failed { Count::exactly(value.total) } else { value.bad };
            *sum = sum.plus(Counts { bad, ..value });
        }
        Ok(())
    }
}
