//! What a window is of its figure: one event and all that there is of it, or a sample of an ongoing process.

use loadtest_crds::WindowKind;

use crate::numbers::confidence::{Block, design_effect};

/// What a window is of its figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// One event, and all of its requests were counted.
    Census,
    /// A part of an ongoing process, with the design effect of its requests, and what of them belongs to faults.
    Sample { design_effect: f64, faults: Block },
}

/// Whether a window is a sample of an ongoing process, or one event and all that there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Census,
    Sample,
}

impl Wanted {
    #[must_use]
    pub fn of(kind: WindowKind) -> Self {
        if kind.is_of_fault() { Self::Census } else { Self::Sample }
    }

    /// `blocks` says of each stretch of 5 s what was counted in it, and whether it lay in a fault.
    pub(crate) fn scope(
        self,
        blocks: impl FnOnce() -> Result<Vec<(Block, bool)>, String>,
    ) -> Result<Scope, String> {
        if self == Self::Census {
            return Ok(Scope::Census);
        }
        let (faults, steady): (Vec<_>, Vec<_>) = blocks()?.into_iter().partition(|(_, in_fault)| *in_fault);
        let steady: Vec<Block> = steady.into_iter().map(|(block, _)| block).collect();
        let faults = faults.into_iter().fold(Block::default(), |sum, (block, _)| Block {
            total: sum.total + block.total,
            bad: sum.bad + block.bad,
        });
        Ok(Scope::Sample { design_effect: design_effect(&steady), faults })
    }
}
