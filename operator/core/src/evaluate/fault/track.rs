//! One objective around a fault: what is asked for, and how its cells are read from the answers.

use std::collections::BTreeMap;

use crate::{
    evaluate::{
        fault::cells::{Readings, Track},
        objective::{
            against::Against,
            cells::{Share, ShareCells},
        },
        windows::{context::Context, grid::Grid},
    },
    k6::question::Asks,
    numbers::confidence::Counts,
    plan::objective::ObjectivePlan,
    prometheus::ask::Answers,
};

#[derive(Debug)]
pub(super) struct TrackProbe {
    objective: String,
    against: Against,
    after: ShareCells,
    /// The cells before each injection up to this one, by the fault's name.
    before: BTreeMap<String, ShareCells>,
}

impl TrackProbe {
    pub(super) fn ask(
        objective: &ObjectivePlan,
        after: Grid,
        before: &[(String, Grid)],
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let share = Share::of(objective)?;
        let mut ask = |grid| ShareCells::ask(&share, grid, context, asks);
        Some(Self {
            objective: objective.name.clone(),
            against: Against::of(objective),
            after: ask(after),
            before: before.iter().map(|(fault, grid)| (fault.clone(), ask(*grid))).collect(),
        })
    }

    /// The cells after the injection, and those before the fault named `first`.
    pub(super) fn read(&self, first: &str, answers: &Answers) -> Result<Readings<Track>, String> {
        let name = &self.objective;
        let read = |cells: &ShareCells| cells.read(answers).map_err(|why| format!("{name}: {why}"));
        let after = read(&self.after)?
            .ok_or_else(|| format!("k6 sent no sample of {name}: check its tags against the script"))?;
        let before = match self.before.get(first) {
            // Nothing was sent until then.
            Some(cells) => read(cells)?.unwrap_or_else(|| vec![Counts::default(); cells.grid.len()]),
            None => Vec::new(),
        };
        Ok(Track::readings(name, self.against, &before, &after))
    }
}
