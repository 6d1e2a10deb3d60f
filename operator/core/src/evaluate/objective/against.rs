//! What a share is held against: how much of it an objective allows, and which requests count against it.

use crate::{
    numbers::{
        confidence::{Cell, share_holds},
        limit::Bound,
    },
    plan::{figure::Figure, objective::ObjectivePlan},
};

/// What a share is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// The share that the limit allows, of bad requests, or of good ones.
    pub allowed: f64,
    /// Good ones count against the limit: a share of good ones that must stay low, or of bad ones that must not.
    pub good: bool,
    /// The share that counts against the limit is the one that is shown.
    pub(crate) shown: bool,
}

impl Against {
    #[must_use]
    pub fn of(plan: &ObjectivePlan) -> Self {
        let limit = plan.bound.limit().base();
        match (&plan.figure, &plan.bound) {
            (Figure::K6Percentile { percentile, .. }, _) => {
                Self { allowed: 1.0 - percentile / 100.0, good: false, shown: true }
            }
            (Figure::K6Failed { .. }, Bound::AtMost(_)) => Self { allowed: limit, good: false, shown: true },
            (Figure::K6Failed { .. }, Bound::AtLeast(_)) => {
                Self { allowed: 1.0 - limit, good: true, shown: false }
            }
            (_, Bound::AtLeast(_)) => Self { allowed: 1.0 - limit, good: false, shown: false },
            (_, Bound::AtMost(_)) => Self { allowed: limit, good: true, shown: true },
        }
    }

    /// A cell with those as bad that count against the limit.
    #[must_use]
    pub fn counted(self, cell: Cell) -> Cell {
        if self.good { Cell { bad: cell.total - cell.bad, ..cell } } else { cell }
    }

    #[must_use]
    pub fn holds(self, cell: Cell) -> bool {
        let Cell { total, bad } = self.counted(cell);
        share_holds(bad, total, self.allowed)
    }

    /// As `holds`, with one request of grace.
    #[must_use]
    pub fn nearly_holds(self, cell: Cell) -> bool {
        let Cell { total, bad } = self.counted(cell);
        bad <= (total * self.allowed - 1e-9).ceil().max(1.0) + 1e-6
    }
}
