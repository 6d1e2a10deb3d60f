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
//! Where pushes came late, a downtime is met with the age of the latest push to spare, and a worst second where no cell
//! was empty or had a bad request; else neither is known.
//!
//! Where the limit of an objective lies inside a bucket of k6's histogram, the samples in it may be good or bad. A
//! budget is only missed by the least harm that this leaves open, and only met by the most; in between it is Unclear.

use std::time::Duration;

use loadtest_crds::{BudgetStatus, Outcome};

use crate::{
    evaluate::fault::{
        cells::{Cell, Readings, Track, USUAL_CELLS, lacking, undecided},
        recovery::{count, finest, millis},
    },
    numbers::{
        duration::human,
        limit::{Limit, count as grouped, percent},
        median::median,
    },
    plan::fault::BudgetPlan,
};

/// What is needed to say what harm a fault did.
#[derive(Clone, Debug)]
pub struct Harm<'a> {
    pub plan: &'a BudgetPlan,
    pub tracks: &'a [Track],
    pub step: Duration,
    pub push: Duration,
    /// As in [`crate::evaluate::fault::recovery::Incident`].
    pub flat_cells: Option<usize>,
    pub push_ages: &'a [Duration],
    /// In which cell the system was back and its pods replaced; `None` where that never came.
    pub back: Option<usize>,
    /// What ended the cells where it never came, as in `load ended`.
    pub end: &'static str,
    /// The fault before this one that may still have been felt.
    pub felt: Option<&'a str>,
}

/// One limit against its figure.
#[derive(Debug)]
struct Finding {
    outcome: Outcome,
    message: String,
}

impl Harm<'_> {
    /// The harm against its budget.
    #[must_use]
    pub fn assess(&self) -> BudgetStatus {
        let cells = self.cells();
        if cells == 0 {
            return without("the load ended with the fault: lengthen the load");
        }
        let findings = [self.bad_requests(cells), self.downtime(cells), self.worst_second(cells)];
        let outcome = findings.iter().flatten().map(|f| f.outcome).max().unwrap_or(Outcome::NoData);
        let mut words: Vec<String> = findings.into_iter().flatten().map(|f| f.message).collect();
        let counted = human(self.step * count(cells));
        words.push(match self.back {
            Some(_) => format!("counted for {counted}, until the system was back"),
            None => format!("counted for {counted}, and the system was not back ({})", self.end),
        });
        let felt = self.felt.map(|fault| format!(", with {fault} still felt")).unwrap_or_default();
        let worst = self.worst_of(|track| worst_cell(track, cells).map(|(share, _)| share));
        BudgetStatus {
            outcome,
            bad_requests: self.worst_of(|t| Some(bad(t, cells))).map(|(bad, _)| bad.round() as i64),
            downtime_milliseconds: self
                .worst_of(|t| self.missing(t, cells).ok())
                .map(|(down, _)| millis(self.step.mul_f64(down))),
            worst_second: worst.map(|(share, _)| self.show_share(share)),
            message: Some(format!("{}{felt}", words.join("; "))),
        }
    }

    /// How many cells are counted: until the system was back, and for a push more, which may bring what was before.
    fn cells(&self) -> usize {
        let left = self.tracks.iter().map(|t| t.after.len()).min().unwrap_or(0);
        let Some(back) = self.back else { return left };
        let late = self.resolution(back).saturating_sub(self.step);
        let more = late.as_millis().div_ceil(self.step.as_millis().max(1));
        left.min(back.saturating_add(usize::try_from(more).unwrap_or(usize::MAX)))
    }

    fn bad_requests(&self, cells: usize) -> Option<Finding> {
        let limit = self.plan.bad_requests?;
        let (most, track) = self.worst_of(|track| Some(bad(track, cells)))?;
        let over = most > limit as f64 + 0.5;
        let limit = grouped(i64::try_from(limit).unwrap_or(i64::MAX));
        Some(Finding {
            outcome: if over { Outcome::Missed } else { Outcome::Met },
            message: format!(
                "{} bad requests{}, limit {limit}",
                grouped(most.round() as i64),
                self.of(track)
            ),
        })
    }

    fn downtime(&self, cells: usize) -> Option<Finding> {
        let limit = self.plan.downtime.as_ref()?;
        if let Some(why) = self.tracks.iter().find_map(|track| self.missing(track, cells).err()) {
            return Some(Finding { outcome: Outcome::NoData, message: format!("downtime not known: {why}") });
        }
        let (cells_down, track) = self.worst_of(|track| self.missing(track, cells).ok())?;
        let down = self.step.mul_f64(cells_down);
        let late = self.pushes_late(cells);
        let edge = if late { self.resolution(cells) } else { self.step };
        let outcome = if late {
            // What came late may make up for what was missing, too.
            if down + edge <= limit.time { Outcome::Met } else { Outcome::NoData }
        } else if down <= limit.time {
            Outcome::Met
        } else if down.saturating_sub(edge) <= limit.time {
            Outcome::Unclear
        } else {
            Outcome::Missed
        };
        let why = if late && outcome != Outcome::Met { " (k6's pushes came late)" } else { "" };
        Some(Finding {
            outcome,
            message: format!(
                "down for {} ±{}{}{why}, limit {}",
                human(rounded(down)),
                human(edge),
                self.of(track),
                limit.text
            ),
        })
    }

    fn worst_second(&self, cells: usize) -> Option<Finding> {
        let limit = self.plan.worst_second.as_ref()?;
        let Some((share, track)) = self.worst_of(|track| worst_cell(track, cells).map(|(share, _)| share))
        else {
            let message = "worst second not known: no request ended".to_owned();
            return Some(Finding { outcome: Outcome::NoData, message });
        };
        let with_neighbour = self.worst_of(|track| worst_cell(track, cells).map(|(_, pair)| pair));
        let beyond = |share: f64| share > limit.base() * (1.0 + 1e-9);
        let late = self.pushes_late(cells);
        let outcome = if late {
            // Late requests may make a bad second look better, and an empty one paid for.
            let served = |cell: &Cell| cell.bad < 0.5 && cell.total >= 0.5;
            let all_served = self.tracks.iter().all(|track| track.after.iter().take(cells).all(served));
            if all_served || !beyond(1.0) { Outcome::Met } else { Outcome::NoData }
        } else if !beyond(share) {
            Outcome::Met
        } else if with_neighbour.is_none_or(|(pair, _)| !beyond(pair)) {
            Outcome::Unclear
        } else {
            Outcome::Missed
        };
        let why = match outcome {
            Outcome::Unclear => " (a push may have put them there)",
            Outcome::NoData => " (k6's pushes came late)",
            _ => "",
        };
        Some(Finding {
            outcome,
            message: format!(
                "{} of the worst second bad{}{why}, limit {limit}",
                self.show_share(share),
                self.of(track)
            ),
        })
    }

    /// The missing good requests of an objective, in cells of what was usual.
    fn missing(&self, track: &Track, cells: usize) -> Result<f64, String> {
        let name = &track.objective;
        let good_before: Vec<f64> = track.before.iter().map(|c| c.total - c.bad).collect();
        if good_before.len() < USUAL_CELLS {
            return Err(format!(
                "there were less than {} of load before the fault, so nothing is usual",
                human(self.step * count(USUAL_CELLS))
            ));
        }
        if self.flat_cells.is_some_and(|flat| cells > flat.saturating_add(1)) {
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

    fn pushes_late(&self, cells: usize) -> bool {
        self.resolution(cells) > self.step + self.push
    }

    fn resolution(&self, cell: usize) -> Duration {
        finest(self.step, self.push, self.push_ages, cell)
    }

    /// The largest figure among the objectives, with the objective that has it.
    fn worst_of(&self, figure: impl Fn(&Track) -> Option<f64>) -> Option<(f64, &Track)> {
        let figures = self.tracks.iter().filter_map(|track| Some((figure(track)?, track)));
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

/// The budget, of what came out by each reading of the tracks, from the least to the most harm.
#[must_use]
pub fn agreed(
    plan: &BudgetPlan,
    budgets: Readings<BudgetStatus>,
    tracks: &[Readings<Track>],
    pushes_late: bool,
) -> BudgetStatus {
    let outcomes = budgets.each_ref().map(|budget| budget.outcome);
    let [least, likely, most] = budgets;
    let is_told = match outcomes {
        [_, Outcome::Met, most] => most == Outcome::Met,
        [least, Outcome::Missed, _] => least == Outcome::Missed,
        [least, likely, most] => least == likely && most == likely,
    };
    if is_told {
        return likely;
    }
    let span = format!("at least {}, at most {}", figures(plan, &least), figures(plan, &most));
    let unknown = outcomes.contains(&Outcome::NoData);
    BudgetStatus {
        outcome: if unknown { Outcome::NoData } else { Outcome::Unclear },
        message: Some(likely.message.unwrap_or_default() + &undecided(tracks, pushes_late, &span)),
        ..likely
    }
}

/// What there is a limit for.
fn figures(plan: &BudgetPlan, budget: &BudgetStatus) -> String {
    let known = |figure: Option<String>| figure.unwrap_or_else(|| "not known".to_owned());
    let bad = plan.bad_requests.map(|_| format!("{} bad requests", known(budget.bad_requests.map(grouped))));
    let time = |ms: i64| human(rounded(Duration::from_millis(ms.unsigned_abs())));
    let down =
        plan.downtime.as_ref().map(|_| format!("down for {}", known(budget.downtime_milliseconds.map(time))));
    let worst = plan
        .worst_second
        .as_ref()
        .map(|_| format!("{} of the worst second bad", known(budget.worst_second.clone())));
    [bad, down, worst].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// A budget that could not be judged, and why.
#[must_use]
pub fn without(why: &str) -> BudgetStatus {
    BudgetStatus { outcome: Outcome::NoData, message: Some(why.to_owned()), ..BudgetStatus::default() }
}

fn bad(track: &Track, cells: usize) -> f64 {
    track.after.iter().take(cells).map(|c| c.bad).sum()
}

/// The largest share of bad requests in a cell, and in two cells in a row.
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
        let sum =
            here.iter().fold(Cell::default(), |s, c| Cell { total: s.total + c.total, bad: s.bad + c.bad });
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
