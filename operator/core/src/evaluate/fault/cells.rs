//! The cells around a fault: how many requests ended in each, and which stretches of them are within the limit.

use crate::{
    evaluate::objective::against::Against,
    numbers::confidence::{Cell, Counts},
};

/// With fewer cells than this before a fault nothing can be called usual.
pub const USUAL_CELLS: usize = 5;
const USUAL_SHARE: f64 = 0.9;

/// One named objective around a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    pub objective: String,
    pub against: Against,
    /// Cells up to the injection, the last of them ending there.
    pub before: Vec<Cell>,
    /// Cells from the injection to the end of the load.
    pub after: Vec<Cell>,
}

/// The same with the least and with the most harm that the samples in the bucket of an objective's limit leave open:
/// which of them are bad the bucket does not tell.
pub type Readings<T> = [T; 2];

/// Why a stretch does not count as recovered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Why {
    Silent,
    Outside,
    Slow,
}

/// The requests that were usual before the fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual {
    pub(crate) cell: f64,
    /// Stretches of 5 cells had less than 90% of it at times.
    uneven: bool,
}

impl Usual {
    fn at_least(self, cells: usize) -> f64 {
        let missing = if self.uneven { 1.0 } else { 0.0 };
        self.cell * (USUAL_SHARE * cells as f64 - missing) - 1e-6
    }
}

impl Track {
    /// Least harm is done where the open ones after the injection are good and those before it, which make what is
    /// usual, are bad; most the other way round.
    #[must_use]
    pub fn readings(
        objective: &str,
        against: Against,
        before: &[Counts],
        after: &[Counts],
    ) -> Readings<Self> {
        let least = |counts: &[Counts]| counts.iter().map(|counts| counts.cell(|bad| bad.least)).collect();
        let most = |counts: &[Counts]| counts.iter().map(|counts| counts.cell(|bad| bad.most)).collect();
        let track = |before, after| Self { objective: objective.to_owned(), against, before, after };
        [track(most(before), least(after)), track(least(before), most(after))]
    }

    /// The same, of a load that ended after so many cells.
    pub(crate) fn up_to(self, cells: usize) -> Self {
        Self { after: self.after.into_iter().take(cells).collect(), ..self }
    }

    /// What was usual before the fault; `None` with too few cells to tell.
    pub(crate) fn usual(&self) -> Option<Usual> {
        let mut sums: Vec<f64> =
            self.before.windows(USUAL_CELLS).map(|cells| cells.iter().map(|c| c.total).sum()).collect();
        sums.sort_unstable_by(f64::total_cmp);
        let median = *sums.get(sums.len() / 2)?;
        let uneven = sums.first().is_some_and(|lowest| *lowest < USUAL_SHARE * median);
        Some(Usual { cell: median / USUAL_CELLS as f64, uneven })
    }

    fn sum(&self, from: usize, to: usize) -> Cell {
        self.after.get(from..to.min(self.after.len())).unwrap_or_default().iter().copied().sum()
    }

    /// Why the cells from `from` on, `length` of them, do not count as recovered.
    pub(crate) fn objection(&self, from: usize, length: usize, usual: Option<Usual>) -> Option<Why> {
        for at in from..from + length.saturating_sub(1).max(1) {
            let pair = self.sum(at, at + 2);
            if pair.total < 0.5 {
                return Some(Why::Silent);
            }
            if !self.against.nearly_holds(pair) {
                return Some(Why::Outside);
            }
        }
        let all = self.sum(from, from + length);
        if !self.against.holds(all) {
            return Some(Why::Outside);
        }
        usual.filter(|usual| all.total < usual.at_least(length)).map(|_| Why::Slow)
    }
}

/// The readings of all tracks, the kindest to the objectives first. To one that asks for a share of bad requests more
/// of them are kinder.
#[must_use]
pub fn by_kindness(tracks: &[Readings<Track>]) -> Readings<Vec<Track>> {
    let reading = |harsh: bool| {
        let of =
            |[least, most]: &Readings<Track>| if least.against.good == harsh { least } else { most }.clone();
        tracks.iter().map(of).collect()
    };
    [reading(false), reading(true)]
}

/// Which objectives have a limit inside a bucket of k6's histogram that leaves samples open.
#[must_use]
pub fn in_bucket(tracks: &[Readings<Track>]) -> Option<String> {
    let open = tracks.iter().filter(|[least, most]| least != most);
    let objectives: Vec<&str> = open.map(|[least, _]| least.objective.as_str()).collect();
    (!objectives.is_empty()).then(|| {
        format!("the limit of {} lies inside a bucket of k6's histogram", objectives.join(" and of "))
    })
}

/// What is said of the harsher reading beside the kinder one: that it is an upper end where both have the same outcome,
/// and else what the other says.
#[must_use]
pub fn beside(kinder: Option<&str>, is_same: bool, bucket: &str) -> String {
    match kinder.filter(|_| !is_same) {
        None => format!(" (at most: {bucket})"),
        Some(kinder) => format!("; or {kinder}: {bucket}: set the limit to another value"),
    }
}

/// What each cell lacks of what is usual, after what its neighbours have above it.
pub fn lacking(cells: &[f64], usual: f64) -> Vec<f64> {
    let mut lacking: Vec<f64> = cells.iter().map(|cell| (usual - cell).max(0.0)).collect();
    let mut above: Vec<f64> = cells.iter().map(|cell| (cell - usual).max(0.0)).collect();
    for at in 0..cells.len() {
        for neighbour in [Some(at + 1), at.checked_sub(1)].into_iter().flatten() {
            let (Some(lacks), Some(has)) = (lacking.get_mut(at), above.get_mut(neighbour)) else { continue };
            let paid = lacks.min(*has);
            *lacks -= paid;
            *has -= paid;
        }
    }
    lacking
}
