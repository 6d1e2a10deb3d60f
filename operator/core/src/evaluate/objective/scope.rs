//! What a window is of its figure: one event and all that there is of it, or a sample of an ongoing process.

use loadtest_crds::WindowKind;

use crate::numbers::{
    confidence::{Cell, design_effect},
    interval::Interval,
};

/// What a window is of its figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// One event, and all of its requests were counted.
    Census,
    /// A part of an ongoing process, with the design effect of its requests, and what of them belongs to faults.
    Sample { design_effect: f64, faults: Cell },
}

impl Scope {
    /// Of a window of this kind. `cells` are what was counted in short stretches of it; those of faults overlap `holes`.
    pub(crate) fn of(
        kind: WindowKind,
        holes: &[Interval],
        cells: impl FnOnce() -> Result<Vec<(Interval, Cell)>, String>,
    ) -> Result<Self, String> {
        if kind.is_of_fault() {
            return Ok(Self::Census);
        }
        let in_fault = |(at, _): &(Interval, Cell)| holes.iter().any(|hole| hole.overlaps(*at));
        let (faults, steady): (Vec<_>, Vec<_>) = cells()?.into_iter().partition(in_fault);
        let steady: Vec<Cell> = steady.into_iter().map(|(_, cell)| cell).collect();
        let faults = faults.into_iter().map(|(_, cell)| cell).sum();
        Ok(Self::Sample { design_effect: design_effect(&steady), faults })
    }
}
