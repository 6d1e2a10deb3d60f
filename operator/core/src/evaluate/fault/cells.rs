//! The cells around a fault: how many requests ended in each, and which stretches of them are within the limit.

use crate::numbers::{confidence::share_holds, limit::Bound};

/// With fewer cells than this before a fault nothing can be called usual.
pub const USUAL_CELLS: usize = 5;
const USUAL_SHARE: f64 = 0.9;

/// What ended in one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub total: f64,
    pub bad: f64,
}

/// The share of bad requests that an objective allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    AtMost(f64),
    AtLeast(f64),
}

/// One named objective around a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    pub objective: String,
    pub allowed: Allowed,
    /// Cells up to the injection, the last of them ending there.
    pub before: Vec<Cell>,
    /// Cells from the injection to the end of the load.
    pub after: Vec<Cell>,
}

/// The same by how the samples in the bucket that holds an objective's limit are taken: as good, as interpolated, as
/// bad. Which of them it is the bucket does not tell.
pub type Readings<T> = [T; 3];

/// Why a stretch does not count as recovered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Why<'a> {
    Silent(&'a Track),
    Outside(&'a Track),
    Slow(&'a Track),
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

impl Allowed {
    #[must_use]
    pub fn of_share(bound: &Bound) -> Self {
        match bound {
            Bound::AtMost(limit) => Self::AtMost(limit.base()),
            Bound::AtLeast(limit) => Self::AtLeast(limit.base()),
        }
    }

    fn holds(self, cell: Cell) -> bool {
        match self {
            Self::AtMost(share) => share_holds(cell.bad, cell.total, share),
            Self::AtLeast(share) => cell.bad >= cell.total * share * (1.0 - 1e-9),
        }
    }

    /// As `holds`, with one request of grace.
    fn nearly_holds(self, cell: Cell) -> bool {
        match self {
            Self::AtMost(share) => cell.bad <= (cell.total * share).ceil().max(1.0) + 1e-6,
            Self::AtLeast(share) => cell.bad >= (cell.total * share).floor() - 1e-6,
        }
    }
}

impl Track {
    /// Makes cells of the cumulative values before and after the injection, each a step apart. Least harm is done where
    /// those after it are taken as good and those before it, which make what is usual, as bad; most the other way round.
    #[must_use]
    pub fn readings(
        objective: &str,
        allowed: Allowed,
        before: &Readings<Vec<Cell>>,
        after: &Readings<Vec<Cell>>,
    ) -> Readings<Self> {
        let (before, after) = (differences(before), differences(after));
        [0, 1, 2].map(|n| Self {
            objective: objective.to_owned(),
            allowed,
            before: before[2 - n].clone(),
            after: after[n].clone(),
        })
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
        let cells = self.after.get(from..to.min(self.after.len())).unwrap_or_default();
        cells.iter().fold(Cell::default(), |sum, c| Cell { total: sum.total + c.total, bad: sum.bad + c.bad })
    }

    /// Why the cells from `from` on, `length` of them, do not count as recovered. Where they are `doubtful` a cell may
    /// hold what happened long before, and then what it has above the usual makes up for its neighbours alone.
    pub(crate) fn objection(
        &self,
        from: usize,
        length: usize,
        usual: Option<Usual>,
        doubtful: bool,
    ) -> Option<Why<'_>> {
        for at in from..from + length.saturating_sub(1).max(1) {
            let pair = self.sum(at, at + 2);
            if pair.total < 0.5 {
                return Some(Why::Silent(self));
            }
            if !self.allowed.nearly_holds(pair) {
                return Some(Why::Outside(self));
            }
        }
        if !self.allowed.holds(self.sum(from, from + length)) {
            return Some(Why::Outside(self));
        }
        let served = |usual: &Usual| {
            if !doubtful {
                return self.sum(from, from + length).total;
            }
            let cells = self.after.get(from..(from + length).min(self.after.len())).unwrap_or_default();
            let lacks = |cells: &[Cell]| {
                let totals: Vec<f64> = cells.iter().map(|cell| cell.total).collect();
                lacking(&totals, usual.cell).iter().sum::<f64>()
            };
            // Load that comes in waves lacked as much before.
            let ordinary = lacks(&self.before) * length as f64 / self.before.len() as f64;
            let lacks = (lacks(cells) - ordinary).max(0.0);
            (usual.cell * length as f64 - lacks).min(self.sum(from, from + length).total)
        };
        usual.filter(|usual| served(usual) < usual.at_least(length)).map(|_| Why::Slow(self))
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

/// Counts that fall, as a lost runner's may, add nothing.
fn differences(cumulative: &Readings<Vec<Cell>>) -> Readings<Vec<Cell>> {
    let [least, mut likely, mut most] = cumulative.each_ref().map(|cells| -> Vec<Cell> {
        let gained = cells.windows(2).map(|pair| {
            let total = (pair[1].total - pair[0].total).max(0.0);
            Cell { total, bad: (pair[1].bad - pair[0].bad).clamp(0.0, total) }
        });
        gained.collect()
    });
    for ((least, likely), most) in least.iter().zip(&mut likely).zip(&mut most) {
        likely.bad = likely.bad.max(least.bad);
        most.bad = most.bad.max(likely.bad);
    }
    [least, likely, most]
}

/// The tracks of each reading, from the least to the most harm.
#[must_use]
pub fn by_harm(tracks: &[Readings<Track>]) -> Readings<Vec<Track>> {
    [0, 1, 2].map(|n| tracks.iter().map(|readings| readings[n].clone()).collect())
}

/// The tracks of each reading, from the kindest to the objectives to the harshest. To one that asks for a share of bad
/// requests more of them are kinder.
#[must_use]
pub fn by_kindness(tracks: &[Readings<Track>]) -> Readings<Vec<Track>> {
    let kindest_first = |readings: &Readings<Track>| {
        let mut readings = readings.clone();
        if let [Track { allowed: Allowed::AtLeast(_), .. }, ..] = readings {
            readings.reverse();
        }
        readings
    };
    by_harm(&tracks.iter().map(kindest_first).collect::<Vec<_>>())
}

/// What is said where only the samples in a bucket decide, or only late pushes, and what comes out by the one and by
/// the other.
#[must_use]
pub fn undecided(tracks: &[Readings<Track>], pushes_late: bool, span: &str) -> String {
    let inexact = tracks.iter().filter(|[least, _, most]| least != most);
    let objectives: Vec<&str> = inexact.map(|[least, ..]| least.objective.as_str()).collect();
    let (mut why, mut advice) = (Vec::new(), Vec::new());
    if !objectives.is_empty() {
        let of = objectives.join(" and of ");
        why.push(format!("the limit of {of} lies inside a bucket of k6's histogram"));
        advice.push("set the limit to another value");
    }
    if pushes_late {
        why.push("k6's pushes came late".to_owned());
        advice.push("see whether Prometheus keeps up");
    }
    format!(" ({span}: {}); that decides: {}", why.join(", and "), advice.join(", and "))
}
