//! How much harm one fault did, against its budget, from its injection until the system was back.
//!
//! Counted in the same cells as the recovery (`recovery.rs`), for each named objective by itself:
//! - **bad requests**: those that failed or were slower than the objective's limit;
//! - **downtime**: the good requests that are missing in each cell, against the median of a cell in the up to 60 s
//!   before, divided by that median. A second without any good request is 1 s, one with half of them 500 ms;
//! - **worst second**: the largest share of bad requests in a cell; in a cell without any, where some were usual,
//!   what is missing counts as bad: all of it is 100%.
//!
//! The edges. k6 brings what happened since its last push with the next one, so a cell can lack requests that its
//! neighbour has. What a cell has above the median therefore makes up for what its neighbour lacks, and pays once;
//! and what was missing in this way in an ordinary cell before the fault is not held against the cells that served.
//! So a downtime is known to one push on either side, and is only missed where it is beyond its limit by more than
//! that. A worst second is only missed where it and a neighbour together are beyond the limit: a push may have put
//! them together, and one push that finds nothing is no silence of two. In between it is Unclear. Bad requests are
//! counted to one push after the system was back; some that ended in the push before the injection may be among them.
//!
//! Where the limit of an objective lies inside a bucket of k6's histogram, the samples in it may be good or bad. A
//! budget is only missed by the least harm that this leaves open, and only met by the most; in between it is Unclear.

use std::time::Duration;

use loadtest_crds::{BudgetStatus, Outcome};

use crate::{
    evaluate::fault::{
        cells::{Readings, Track, USUAL_CELLS, beside, lacking},
        scene::{Scene, add, millis},
    },
    numbers::{
        confidence::Cell,
        duration::human,
        limit::{Limit, count as grouped, percent},
        median::median,
    },
    plan::fault::BudgetPlan,
};

/// The harm of a fault against its budget, and how many cells were looked at. `back` says in which of them the system was
/// back and its pods replaced, at the soonest and at the latest; `bucket`, of which objectives a bucket leaves samples
/// open.
#[must_use]
pub fn assess(
    scene: Scene<'_>,
    plan: &BudgetPlan,
    tracks: &[Readings<Track>],
    back: Readings<Option<usize>>,
    bucket: Option<&str>,
) -> (BudgetStatus, usize) {
    let [least, most] = [0, 1].map(|reading| {
        let tracks = tracks.iter().map(|readings| &readings[reading]).collect();
        Harm { scene, plan, tracks, back: back[reading] }
    });
    // What is missing from the last cell may be in the next.
    let cells = most.cells() + 1;
    let (least, mut status) = (least.assess(), most.assess());
    if let Some(bucket) = bucket.filter(|_| least != status) {
        let is_same = least.outcome == status.outcome;
        add(&mut status.message, &beside(least.message.as_deref(), is_same, bucket));
        let unknown = [least.outcome, status.outcome].contains(&Outcome::NoData);
        status.outcome = match status.outcome {
            same if is_same => same,
            _ if unknown => Outcome::NoData,
            _ => Outcome::Unclear,
        };
    }
    (status, cells)
}

/// What is needed to say what harm a fault did, by one reading of its tracks.
#[derive(Clone, Debug)]
struct Harm<'a> {
    scene: Scene<'a>,
    plan: &'a BudgetPlan,
    tracks: Vec<&'a Track>,
    back: Option<usize>,
}

/// One limit against its figure, and the words for it.
type Finding = (Outcome, String);

impl Harm<'_> {
    fn assess(&self) -> BudgetStatus {
        let cells = self.cells();
        if cells == 0 {
            return without("the load ended with the fault: lengthen the load");
        }
        let findings = [self.bad_requests(cells), self.downtime(cells), self.worst_second(cells)];
        let outcome = findings.iter().flatten().map(|(outcome, _)| *outcome).max().unwrap_or(Outcome::NoData);
        let mut words: Vec<String> = findings.into_iter().flatten().map(|(_, words)| words).collect();
        let counted = human(self.scene.time(cells));
        words.push(match self.back {
            Some(_) => format!("counted for {counted}, until the system was back"),
            None => format!("counted for {counted}, and the system was not back ({})", self.scene.end),
        });
        let worst = self.worst_of(|track| worst_cell(track, cells).map(|(share, _)| share));
        let down = self.worst_of(|track| self.missing(track, cells).ok());
        BudgetStatus {
            outcome,
            bad_requests: self.worst_of(|t| Some(bad(t, cells))).map(|(bad, _)| bad.round() as i64),
            downtime_milliseconds: down.map(|(down, _)| millis(self.scene.step.mul_f64(down))),
            worst_second: worst.map(|(share, _)| self.show_share(share)),
            message: Some(words.join("; ") + &self.scene.still_felt()),
        }
    }

    /// How many cells are counted: until the system was back, and for a push more, which may bring what was before.
    fn cells(&self) -> usize {
        let left = self.tracks.iter().map(|t| t.after.len()).min().unwrap_or(0);
        let push = self.scene.cells(self.scene.push);
        self.back.map_or(left, |back| left.min(back.saturating_add(push)))
    }

    fn bad_requests(&self, cells: usize) -> Option<Finding> {
        let limit = self.plan.bad_requests?;
        let (most, track) = self.worst_of(|track| Some(bad(track, cells)))?;
        let over = most > limit as f64 + 0.5;
        let limit = grouped(i64::try_from(limit).unwrap_or(i64::MAX));
        let words = format!("{} bad requests{}, limit {limit}", grouped(most.round() as i64), self.of(track));
        Some((if over { Outcome::Missed } else { Outcome::Met }, words))
    }

    fn downtime(&self, cells: usize) -> Option<Finding> {
        let limit = self.plan.downtime.as_ref()?;
        if let Some(why) = self.tracks.iter().find_map(|track| self.missing(track, cells).err()) {
            return Some((Outcome::NoData, format!("downtime not known: {why}")));
        }
        let (cells_down, track) = self.worst_of(|track| self.missing(track, cells).ok())?;
        let (down, edge) = (self.scene.step.mul_f64(cells_down), self.scene.step);
        let outcome = if down <= limit.time {
            Outcome::Met
        } else if down.saturating_sub(edge) <= limit.time {
            Outcome::Unclear
        } else {
            Outcome::Missed
        };
        let (down, edge, of) = (human(rounded(down)), human(edge), self.of(track));
        Some((outcome, format!("down for {down} ±{edge}{of}, limit {}", limit.text)))
    }

    fn worst_second(&self, cells: usize) -> Option<Finding> {
        let limit = self.plan.worst_second.as_ref()?;
        let beyond = |share: f64| share > limit.base() * (1.0 + 1e-9);
        let worst = self.worst_of(|track| worst_cell(track, cells).map(|(share, _)| share));
        let with_neighbour = self.worst_of(|track| worst_cell(track, cells).map(|(_, pair)| pair));
        let is_beyond = worst.is_some_and(|(share, _)| beyond(share));
        let unknown = |track: &&&Track| may_be_silent(track, cells) || worst_cell(track, cells).is_none();
        let (outcome, why) = if is_beyond && with_neighbour.is_some_and(|(pair, _)| beyond(pair)) {
            (Outcome::Missed, "")
        } else if let Some(track) = self.tracks.iter().find(unknown) {
            let why = format!("a second had no request of {}, and nothing is usual", track.objective);
            return Some((Outcome::NoData, format!("worst second not known: {why}")));
        } else if is_beyond {
            (Outcome::Unclear, " (a push may have put them there)")
        } else {
            (Outcome::Met, "")
        };
        let (share, track) = worst?;
        let (share, of) = (self.show_share(share), self.of(track));
        Some((outcome, format!("{share} of the worst second bad{of}{why}, limit {limit}")))
    }

    /// The missing good requests of an objective, in cells of what was usual.
    fn missing(&self, track: &Track, cells: usize) -> Result<f64, String> {
        let name = &track.objective;
        let good_before: Vec<f64> = track.before.iter().map(|c| c.total - c.bad).collect();
        if good_before.len() < USUAL_CELLS {
            return Err(format!(
                "there were less than {} of load before the fault, so nothing is usual",
                human(self.scene.time(USUAL_CELLS))
            ));
        }
        if self.scene.flat_cells.is_some_and(|flat| cells > flat.saturating_add(1)) {
            return Err("the load ramps, so nothing is usual: inject the fault in constant load".to_owned());
        }
        let usual = median(good_before.iter().copied()).unwrap_or(0.0);
        if usual <= 0.0 {
            return Err(format!("no good request of {name} was usual before the fault"));
        }
        // The cells on either side have what a push moved across the edge.
        let good: Vec<f64> = track.after.iter().map(|c| c.total - c.bad).collect();
        let around: Vec<f64> =
            good_before.last().into_iter().chain(good.iter().take(cells + 1)).copied().collect();
        let lacking = lacking(&around, usual);
        let missing: f64 = lacking.iter().skip(1).take(cells).sum();
        let ordinary = self::lacking(&good_before, usual).iter().sum::<f64>() / good_before.len() as f64;
        let served: f64 = good.iter().take(cells).map(|good| (good / usual).min(1.0)).sum();
        Ok((missing / usual - served * ordinary / usual).max(0.0))
    }

    /// The largest figure among the objectives, with the objective that has it.
    fn worst_of(&self, figure: impl Fn(&Track) -> Option<f64>) -> Option<(f64, &Track)> {
        let figures = self.tracks.iter().filter_map(|track| Some((figure(track)?, *track)));
        figures.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// ` of save-success`, where there are several.
    fn of(&self, track: &Track) -> String {
        if self.tracks.len() > 1 { format!(" of {}", track.objective) } else { String::new() }
    }

    fn show_share(&self, share: f64) -> String {
        self.plan.worst_second.as_ref().map_or_else(|| percent(share), |limit: &Limit| limit.show(share))
    }
}

/// A budget that could not be judged, and why.
#[must_use]
pub fn without(why: &str) -> BudgetStatus {
    BudgetStatus { outcome: Outcome::NoData, message: Some(why.to_owned()), ..BudgetStatus::default() }
}

fn bad(track: &Track, cells: usize) -> f64 {
    track.after.iter().take(cells).map(|c| c.bad).sum()
}

/// Whether a cell is empty that nothing tells from a usual one.
fn may_be_silent(track: &Track, cells: usize) -> bool {
    let is_usual_known = track.before.len() >= USUAL_CELLS;
    !is_usual_known && track.after.iter().take(cells).any(|cell| cell.total < 0.5)
}

/// The largest share of bad requests in a cell, and in two cells in a row; `None` where no request ended.
fn worst_cell(track: &Track, cells: usize) -> Option<(f64, f64)> {
    let totals: Vec<f64> = track.before.iter().map(|c| c.total).collect();
    let usual = if totals.len() < USUAL_CELLS { 0.0 } else { median(totals).unwrap_or(0.0) };
    // A cell that is empty since its neighbour has its requests is not silent.
    let last = track.before.last().copied().unwrap_or_default();
    let around: Vec<f64> =
        std::iter::once(last).chain(track.after.iter().take(cells + 1).copied()).map(|c| c.total).collect();
    let lacking = lacking(&around, usual);
    let after = track.after.get(..cells.min(track.after.len())).unwrap_or_default();
    // What is missing from a cell that nobody else has.
    let silent = |at: usize| {
        let lacks = lacking.get(at + 1).copied().unwrap_or(0.0);
        let empty = after.get(at).is_some_and(|cell| cell.total < 0.5);
        if empty && lacks > usual / 2.0 { lacks } else { 0.0 }
    };
    let share = |at: usize, length: usize| {
        let here = after.get(at..at + length)?;
        let sum: Cell = here.iter().copied().sum();
        // Of a silent cell beside one that is not, only the cell by itself can be told.
        let all_silent = (at..at + length).all(|cell| silent(cell) > 0.0);
        if all_silent {
            return Some((at..at + length).map(silent).sum::<f64>() / length as f64 / usual);
        }
        (sum.total >= 0.5).then(|| sum.bad / sum.total)
    };
    let most = |length: usize| (0..after.len()).filter_map(|at| share(at, length)).max_by(f64::total_cmp);
    let single = most(1)?;
    Some((single, most(2).unwrap_or(single)))
}

/// To a tenth of a second: less is noise.
fn rounded(length: Duration) -> Duration {
    Duration::from_millis(u64::try_from((length.as_millis() + 50) / 100 * 100).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
