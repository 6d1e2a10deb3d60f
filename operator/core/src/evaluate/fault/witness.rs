//! One objective around a fault: what is asked for, and how its cells are read from the answers.

use std::collections::BTreeMap;

use crate::{
    evaluate::{
        fault::{
            cells::{Allowed, Cell, Readings, Track},
            grid::Grid,
        },
        objective::shares,
        windows::context::Context,
    },
    k6::{
        outcomes::Outcomes,
        queries::{HTTP_REQS, Split},
        question::{Asks, Question},
    },
    numbers::limit::Bound,
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::{ask::Answers, histogram::UpTo, series::Labels},
};

#[derive(Debug)]
pub(super) struct TrackProbe {
    objective: String,
    allowed: Allowed,
    of_requests: bool,
    /// Up to which value a sample of a Trend is good, in seconds.
    good_up_to: Option<f64>,
    /// Each name that the metric may have, with the seconds that one of its units is.
    names: Vec<f64>,
    /// The question for each name, after the injection.
    after: Vec<usize>,
    /// The same before each injection up to this one, by the fault's name.
    before: BTreeMap<String, (Grid, Vec<usize>)>,
}

impl TrackProbe {
    pub(super) fn ask(
        objective: &ObjectivePlan,
        after: Grid,
        before: &[(String, Grid)],
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let of_requests = objective.figure.is_of_requests();
        let split = if of_requests { Split::Outcome } else { Split::Whole };
        let (allowed, good_up_to, metrics, samples) = match &objective.figure {
            Figure::K6Failed { samples } => {
                let metrics = vec![(HTTP_REQS, 1.0)];
                (Allowed::of_share(&objective.bound), None, metrics, samples)
            }
            Figure::K6Percentile { metric, percentile, samples } => {
                let limit = objective.bound.limit().base();
                let metrics = shares::trends(metric).collect();
                (Allowed::AtMost(1.0 - percentile / 100.0), Some(limit), metrics, samples)
            }
            Figure::K6Under { metric, under, samples } => {
                let slow = 1.0 - objective.bound.limit().base();
                let allowed = match objective.bound {
                    Bound::AtLeast(_) => Allowed::AtMost(slow),
                    Bound::AtMost(_) => Allowed::AtLeast(slow),
                };
                (allowed, Some(under.base()), shares::trends(metric).collect(), samples)
            }
            _ => return None,
        };
        let queries: Vec<Question> = metrics
            .iter()
            .map(|(name, _)| context.metrics.cumulative(samples.of(name.clone()), split))
            .collect();
        let mut ask = |grid: Grid| -> Vec<usize> {
            queries.iter().map(|query| asks.ask(query.clone(), grid.range())).collect()
        };
        Some(Self {
            objective: objective.name.clone(),
            allowed,
            of_requests,
            good_up_to,
            names: metrics.iter().map(|(_, unit)| *unit).collect(),
            after: ask(after),
            before: before.iter().map(|(fault, grid)| (fault.clone(), (*grid, ask(*grid)))).collect(),
        })
    }

    /// The cells after the injection, and those before the fault named `first`.
    pub(super) fn read(
        &self,
        after: Grid,
        first: &str,
        answers: &Answers,
    ) -> Result<Readings<Track>, String> {
        let mut measured = None;
        for (name, id) in self.after.iter().enumerate() {
            let values = self.cumulative(*id, name, after, answers)?;
            if values.is_some() {
                measured = values.map(|values| (name, values));
                break;
            }
        }
        let Some((name, values)) = measured else {
            return Err(format!(
                "k6 sent no sample of {}: check its tags against the script",
                self.objective
            ));
        };
        let before = match self.before.get(first) {
            Some((grid, ids)) => match ids.get(name) {
                Some(id) => self.cumulative(*id, name, *grid, answers)?.unwrap_or_else(|| {
                    // Nothing was sent until then.
                    [0, 1, 2].map(|_| vec![Cell::default(); grid.len()])
                }),
                None => Readings::default(),
            },
            None => Readings::default(),
        };
        Ok(Track::readings(&self.objective, self.allowed, &before, &values))
    }

    /// The values at each time of a grid; `None` where k6 had sent nothing.
    fn cumulative(
        &self,
        id: usize,
        name: usize,
        grid: Grid,
        answers: &Answers,
    ) -> Result<Option<Readings<Vec<Cell>>>, String> {
        let mut cells = Cells::new(grid);
        let any = match self.good_up_to {
            None => {
                let series = answers.matrix(id)?;
                for (labels, points) in series {
                    let exactly = |n: f64| UpTo { surely: n, likely: n, perhaps: n };
                    cells.add(labels, points.iter().map(|(at, n)| (*at, (*n, exactly(*n)))));
                }
                !series.is_empty()
            }
            Some(limit) => {
                let limit = limit / self.names.get(name).copied().unwrap_or(1.0);
                let series = answers.histograms(id)?;
                for (labels, points) in series {
                    cells.add(labels, points.iter().map(|(at, h)| (*at, (h.count, h.up_to(limit)))));
                }
                !series.is_empty()
            }
        };
        if self.of_requests && cells.counts.last().is_some_and(|c| c.untold > 0.0) {
            return Err(format!(
                "{}: requests do not say whether they failed: remove http.setResponseCallback(null) from the script",
                self.objective
            ));
        }
        Ok(any.then(|| cells.values(self.of_requests)))
    }
}

/// The values at each time of a grid, by outcome: how many there were, and how many of them up to the limit.
struct Cells {
    grid: Grid,
    counts: Vec<Outcomes>,
    within: Vec<Readings<Outcomes>>,
}

impl Cells {
    fn new(grid: Grid) -> Self {
        Self {
            grid,
            counts: vec![Outcomes::default(); grid.len()],
            within: vec![Readings::default(); grid.len()],
        }
    }

    /// A series that is not there yet is zero, and keeps its last value where it has no sample.
    fn add(&mut self, labels: &Labels, points: impl Iterator<Item = (f64, (f64, UpTo))>) {
        let at: BTreeMap<usize, (f64, UpTo)> = points
            .filter(|(_, (count, within))| count.is_finite() && within.likely.is_finite())
            .filter_map(|(at, values)| Some((self.grid.index(at)?, values)))
            .collect();
        let mut last = (0.0, UpTo::default());
        for (index, (counts, within)) in self.counts.iter_mut().zip(&mut self.within).enumerate() {
            last = at.get(&index).copied().unwrap_or(last);
            counts.add(labels, last.0);
            for (within, n) in within.iter_mut().zip([last.1.perhaps, last.1.likely, last.1.surely]) {
                within.add(labels, n);
            }
        }
    }

    fn values(&self, of_requests: bool) -> Readings<Vec<Cell>> {
        let good = |within: &Outcomes| if of_requests { within.answered } else { within.untold };
        [0, 1, 2].map(|n| {
            let pairs = self.counts.iter().zip(&self.within);
            pairs
                .map(|(counts, within)| Cell {
                    total: counts.total(),
                    bad: counts.total() - good(&within[n]),
                })
                .collect()
        })
    }
}
