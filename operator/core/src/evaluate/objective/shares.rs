//! Shares of k6's requests in a window: which failed, and which took too long.
//!
//! The counts of a window come from one query; what came in bursts is seen in cells over the whole load, which all
//! windows and objectives of the same requests share.

use crate::{
    evaluate::{
        objective::{
            cells::{Share, ShareCells},
            judge,
            tally::Tally,
        },
        windows::{context::Context, grid::Grid},
    },
    k6::{outcomes::Outcomes, question::Asks},
    numbers::{confidence::Cell, interval::Interval},
    plan::objective::ObjectivePlan,
    prometheus::{
        ask::{Answers, RequestKind},
        histogram::Histogram,
    },
};

/// The questions about one share in one window.
#[derive(Debug)]
pub struct ShareProbe {
    pub(crate) share: Share,
    /// The query for each name of the metric.
    asked: Vec<(String, usize)>,
    cells: Option<ShareCells>,
}

impl ShareProbe {
    /// Asks for a share of k6's requests in the stretches, and in cells; `None` for any other figure.
    #[must_use]
    pub fn ask(
        objective: &ObjectivePlan,
        reads: &[Interval],
        grid: Option<Grid>,
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let at = RequestKind::Instant { at: reads.last()?.to };
        let share = Share::of(objective)?;
        let mut asked = Vec::new();
        for name in &share.names {
            let question = context.metrics.increase(name.series.clone(), share.split, reads);
            asked.push((question.to_string(), asks.ask(question, at)));
        }
        let cells = grid.map(|grid| ShareCells::ask(&share, grid, context, asks));
        Some(Self { share, asked, cells })
    }

    /// The query that shows the counts.
    #[must_use]
    pub fn query(&self, answers: &Answers) -> Option<String> {
        let found = self.measured(answers).ok().flatten().map_or(0, |found| found.number);
        self.asked.get(found).map(|(query, _)| query.clone())
    }

    /// What became of the requests.
    ///
    /// # Errors
    /// Why that cannot be said, in words for the user.
    pub fn tally(&self, answers: &Answers) -> Result<Tally, String> {
        let found = self.measured(answers)?.ok_or(judge::NO_SAMPLE)?;
        let outcomes =
            if self.share.is_told() { judge::told(found.outcomes)? } else { judge::counted(found.outcomes)? };
        let name = &self.share.names[found.number];
        let bad = self.share.slow(&found.took, name).plus(outcomes.failed);
        Ok(Tally { total: outcomes.total(), bad, took: found.took, seconds_per_unit: name.seconds_per_unit })
    }

    /// What was counted in each cell of the load within the stretches; nothing where it was not asked.
    ///
    /// # Errors
    /// Why that cannot be said, in words for the user.
    pub fn cells(&self, reads: &[Interval], answers: &Answers) -> Result<Vec<(Interval, Cell)>, String> {
        let Some(cells) = &self.cells else { return Ok(Vec::new()) };
        let counts = cells.read(answers)?.unwrap_or_default();
        let cell = |n: usize| Some((cells.grid.cell(n), counts.get(n)?.cell(|bad| bad.likely)));
        Ok(cells.grid.within(reads).filter_map(cell).collect())
    }

    fn measured(&self, answers: &Answers) -> Result<Option<Measured>, String> {
        self.share.of_one_name(|_, number| {
            let (_, id) = self.asked[number];
            if self.share.is_counted() {
                let outcomes = Outcomes::of(answers.vector(id)?);
                return Ok(outcomes.map(|outcomes| Measured {
                    number,
                    outcomes,
                    took: Histogram::default(),
                }));
            }
            let series = answers.histograms(id)?;
            let mut found = Measured { number, outcomes: Outcomes::default(), took: Histogram::default() };
            for (labels, points) in series {
                let Some((_, histogram)) = points.last() else { continue };
                let before = found.outcomes.failed;
                found.outcomes.add(labels, histogram.count);
                // How long a failed request took says nothing good of it.
                if found.outcomes.failed <= before {
                    found.took = found.took.plus(histogram);
                }
            }
            Ok((!series.is_empty()).then_some(found))
        })
    }
}

/// What there was under one name.
struct Measured {
    /// Which of the names.
    number: usize,
    outcomes: Outcomes,
    took: Histogram,
}
