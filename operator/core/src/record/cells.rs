//! The client's requests second by second: how many, with which outcome, and how long they took, for each request
//! name and scenario. They are recorded beside the answers that the verdict stands on, so that a run can be asked
//! what nobody asked at the time.
//!
//! k6's histograms are cumulative: a cell is the difference of two. Long runs, and those with many request names, have
//! longer cells; very many names ([`crate::evaluate::names`]) are not told apart.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use loadtest_crds::LoadTestStatus;
use serde::{Deserialize, Serialize};

use crate::{
    evaluate::{
        names::Counted,
        windows::{self, context::Settings},
    },
    k6::{
        queries::{HTTP_REQ_DURATION, K6Metrics, K6Series, Split},
        question::{Question, Request},
    },
    numbers::interval::seconds,
    prometheus::{
        ask::{Answer, RequestKind},
        histogram::{Bucket, Histogram},
        room,
        series::Labels,
    },
};

/// No series has more cells.
const MOST_CELLS: u64 = 3600;
/// All series together have no more, and usually half as many: few names have requests of either outcome.
const MOST_TOGETHER: u64 = 20_000;
/// So many points are asked for at a time, of one series and of all together: a point may be some kilobytes.
const AT_A_TIME: u64 = 300;
const AT_A_TIME_TOGETHER: u64 = 1000;
/// Prometheus puts each of them together from all series of its name: so many histograms it looks at for one answer and
/// for all of them, whatever its own limit (50 million samples, and a histogram counts for dozens).
const LOOKED_AT_AT_A_TIME: u64 = 60_000;
const MOST_LOOKED_AT: u64 = 3_000_000;
/// They take no more memory than this, or there are none.
pub const MOST_BYTES: usize = 4 << 20;
/// What a cell takes, and what each eight buckets of it do.
const CELL_BYTES: usize = 64;
const EIGHT_BUCKETS: usize = 200;

/// What happened in each cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cells {
    /// Where the first cell begins.
    pub from: Timestamp,
    pub step_milliseconds: u64,
    /// The buckets that cells name by their place in this list.
    pub buckets: Vec<Bucket>,
    /// How many request names there were, where they are not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<u64>,
    pub series: Vec<CellSeries>,
}

/// The cells of one request name in one scenario with one outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellSeries {
    pub labels: Labels,
    /// Those that are not empty, by number.
    pub cells: BTreeMap<u64, Cell>,
}

/// How many requests ended in each bucket: its place, and the count.
pub type Cell = BTreeMap<usize, u64>;

/// Asks for the cells, part by part.
#[derive(Debug)]
pub struct Reader {
    question: Question,
    /// The end of the last cell, and of the next one to be asked for, by number.
    last: u64,
    next: u64,
    at_a_time: u64,
    series: BTreeMap<Labels, Course>,
    cells: Cells,
    /// How much memory both take.
    pub bytes: usize,
}

/// One series on its way.
#[derive(Debug, Default)]
struct Course {
    /// Cumulative, at the end of the last part.
    last: Histogram,
    cells: BTreeMap<u64, Cell>,
}

impl Reader {
    /// # Errors
    /// Why there are no cells.
    pub fn new(status: &LoadTestStatus, settings: &Settings, names: Option<Counted>) -> Result<Self, String> {
        let load = windows::load(status).ok_or("there was no load")?;
        let counted = names.ok_or("Prometheus tells no request of k6")?;
        let folded = counted.are_too_many().then_some(counted.names);
        // Each name may have answered and failed requests in each scenario.
        let scenarios = u64::try_from(status.scenarios.len()).unwrap_or(1).max(1);
        let series = (folded.map_or(counted.names, |_| 1) * 2 * scenarios).min(counted.series).max(1);
        let within = counted.series.max(1);
        let most = MOST_CELLS.min(MOST_TOGETHER / series).min(MOST_LOOKED_AT / within).max(1);
        let step = Duration::from_secs(load.length().as_secs().div_ceil(most).max(1));
        // The last push comes after the end.
        let read = load.length() + settings.push;
        let reach = i64::try_from(read.as_secs()).unwrap_or(i64::MAX / 2) + 60;
        let split = if folded.is_some() { Split::Nameless } else { Split::Named };
        Ok(Self {
            question: K6Metrics::new(&settings.run_id, reach)
                .cumulative(K6Series::all(HTTP_REQ_DURATION), split),
            last: u64::try_from(read.as_millis().div_ceil(step.as_millis())).unwrap_or(u64::MAX),
            next: 0,
            at_a_time: (AT_A_TIME_TOGETHER / series).min(LOOKED_AT_AT_A_TIME / within).clamp(1, AT_A_TIME),
            series: BTreeMap::new(),
            cells: Cells {
                from: load.from,
                step_milliseconds: u64::try_from(step.as_millis()).unwrap_or(u64::MAX),
                folded,
                ..Cells::default()
            },
            bytes: 0,
        })
    }

    /// The next question; `None` when all is known.
    #[must_use]
    pub fn next(&self) -> Option<Request> {
        let step = Duration::from_millis(self.cells.step_milliseconds);
        let at = |n: u64| self.cells.from.checked_add(step.checked_mul(u32::try_from(n).ok()?)?).ok();
        if self.next > self.last {
            return None;
        }
        let to = (self.next + self.at_a_time - 1).min(self.last);
        let kind = RequestKind::Range { from: at(self.next)?, to: at(to)?, step };
        Some(Request { id: 0, question: self.question.clone(), kind })
    }

    /// Takes the answer to it.
    ///
    /// # Errors
    /// Why there are no cells.
    pub fn take(&mut self, answer: Answer) -> Result<(), String> {
        let series = match answer {
            Answer::Histograms(series) => series,
            Answer::Matrix(series) if series.is_empty() => Vec::new(),
            Answer::Failed(why) => return Err(why),
            _ => return Err("Prometheus answered with another kind of value than was asked for".to_owned()),
        };
        let from = seconds(self.cells.from);
        for (labels, points) in series {
            if !self.series.contains_key(&labels) {
                self.bytes += 2 * room::bytes_of_series(&labels, 0);
            }
            let course = self.series.entry(labels).or_default();
            let before = course.last.buckets.len();
            for (at, histogram) in points {
                let ends = ((at - from) * 1000.0 / self.cells.step_milliseconds as f64).round();
                // What was there before the load, as the requests of setup(), belongs to no cell.
                if ends >= 1.0 {
                    let cell = cell(&histogram.since(&course.last), &mut self.cells.buckets);
                    if !cell.is_empty() {
                        self.bytes += CELL_BYTES + cell.len().div_ceil(8) * EIGHT_BUCKETS;
                        course.cells.insert(ends as u64 - 1, cell);
                    }
                }
                course.last = histogram;
            }
            self.bytes += room::bytes_of_buckets(course.last.buckets.len());
            self.bytes = self.bytes.saturating_sub(room::bytes_of_buckets(before));
            if self.bytes > MOST_BYTES {
                return Err(format!("they take more than {} MiB of memory", MOST_BYTES >> 20));
            }
        }
        self.next += self.at_a_time;
        Ok(())
    }

    /// The cells that were read.
    #[must_use]
    pub fn finish(self) -> Cells {
        let told = self.series.into_iter().filter(|(_, course)| !course.cells.is_empty());
        let series = told.map(|(labels, course)| CellSeries { labels, cells: course.cells });
        Cells { series: series.collect(), ..self.cells }
    }
}

/// What was added, by the places of its buckets; new ones are appended.
fn cell(added: &Histogram, buckets: &mut Vec<Bucket>) -> Cell {
    let mut cell = Cell::new();
    for bucket in &added.buckets {
        let shape = Bucket { count: 0.0, ..*bucket };
        let place = buckets.iter().position(|known| *known == shape).unwrap_or_else(|| {
            buckets.push(shape);
            buckets.len() - 1
        });
        let count = bucket.count.round();
        if count >= 1.0 {
            *cell.entry(place).or_default() += count as u64;
        }
    }
    cell
}

impl Cells {
    /// Where a cell ends, in seconds since the epoch.
    #[must_use]
    pub fn end_of(&self, number: u64) -> f64 {
        seconds(self.from) + (number + 1) as f64 * self.step_milliseconds as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests;
