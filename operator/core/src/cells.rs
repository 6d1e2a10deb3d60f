//! The client's requests second by second: how many, with which outcome, and how long they took, for each request
//! name and scenario. They are recorded beside the answers that the verdict stands on, so that a run can be asked
//! what nobody asked at the time.
//!
//! k6's histograms are cumulative: a cell is the difference of two. Runs of more than an hour, or with many request
//! names, have longer cells.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::LoadTestStatus;
use serde::{Deserialize, Serialize};

use crate::{
    ask::{Answer, Labels, Request, RequestKind},
    evaluate::Settings,
    histogram::{Bucket, Histogram},
    plan::objective::K6Samples,
    probe::seconds,
    promql::{self, K6Metrics},
    windows,
};

/// No series has more cells.
const MOST_CELLS: u64 = 3600;
/// All series together have no more.
const MOST_TOGETHER: u64 = 40_000;
/// So many points are asked for at a time, of one series and of all together: a point may be some kilobytes, and an
/// answer of more than 16 MiB is refused.
const AT_A_TIME: u64 = 300;
const AT_A_TIME_TOGETHER: u64 = 3000;
/// Longer cells tell nothing that the windows do not.
const LONGEST: Duration = Duration::from_secs(60);

/// What happened in each cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cells {
    /// Where the first cell begins.
    pub from: Timestamp,
    pub step_milliseconds: u64,
    /// The buckets that cells name by their place in this list.
    pub buckets: Vec<Bucket>,
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
    query: String,
    from: Timestamp,
    step: Duration,
    count: u64,
    next: u64,
    at_a_time: u64,
    places: BTreeMap<[u64; 2], usize>,
    /// Cumulative, at the end of the last part.
    last: BTreeMap<Labels, Histogram>,
    cells: Cells,
}

/// Asks how many series there will be. `None` where there was no load.
#[must_use]
pub fn how_many(status: &LoadTestStatus, settings: &Settings) -> Option<Request> {
    let load = windows::load(status)?;
    let query = format!("count({})", query(settings, load.length()));
    Some(Request { id: 0, query, kind: RequestKind::Instant { at: load.to } })
}

fn query(settings: &Settings, length: Duration) -> String {
    let reach = i64::try_from(length.as_secs()).unwrap_or(i64::MAX / 2) + 60;
    let metrics = K6Metrics::new(&settings.run_id, reach);
    let selector = metrics.selector(promql::HTTP_REQ_DURATION, &K6Samples::default());
    metrics.cumulative_by(&selector, &["name", "loadtest_scenario", promql::OUTCOME])
}

impl Reader {
    /// `None` where there was no request.
    #[must_use]
    pub fn new(status: &LoadTestStatus, settings: &Settings, how_many: &Answer) -> Option<Self> {
        let load = windows::load(status)?;
        let Answer::Vector(counted) = how_many else { return None };
        let series = counted.first().map(|(.., count)| *count).filter(|count| *count >= 1.0)? as u64;
        let length = load.length();
        let most = MOST_CELLS.min(MOST_TOGETHER / series.max(1)).max(1);
        let step = Duration::from_secs(length.as_secs().div_ceil(most).max(1));
        let count = u64::try_from(length.as_millis().div_ceil(step.as_millis())).ok()?;
        let cells = Cells {
            from: load.from,
            step_milliseconds: u64::try_from(step.as_millis()).ok()?,
            ..Cells::default()
        };
        Some(Self {
            query: query(settings, length),
            from: load.from,
            step,
            count,
            next: 0,
            at_a_time: (AT_A_TIME_TOGETHER / series.max(1)).clamp(1, AT_A_TIME),
            places: BTreeMap::new(),
            last: BTreeMap::new(),
            cells,
        })
    }

    /// The next question; `None` when all is known.
    #[must_use]
    pub fn next(&self) -> Option<Request> {
        let at = |n: u64| {
            let after =
                SignedDuration::from_millis(i64::try_from(u128::from(n) * self.step.as_millis()).ok()?);
            self.from.checked_add(after).ok()
        };
        if self.next > self.count {
            return None;
        }
        let last = (self.next + self.at_a_time - 1).min(self.count);
        let kind = RequestKind::Range { from: at(self.next)?, to: at(last)?, step: self.step };
        Some(Request { id: 0, query: self.query.clone(), kind })
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
        for (labels, points) in series {
            let mut last = self.last.remove(&labels).unwrap_or_default();
            for (at, histogram) in points {
                let ends = ((at - seconds(self.from)) / self.step.as_secs_f64()).round();
                // What was there before the load, as the requests of setup(), belongs to no cell.
                if ends >= 1.0 {
                    self.add(&labels, ends as u64 - 1, &histogram.since(&last));
                }
                last = histogram;
            }
            self.last.insert(labels, last);
        }
        self.next += self.at_a_time;
        Ok(())
    }

    fn add(&mut self, labels: &Labels, number: u64, added: &Histogram) {
        let mut cell = Cell::new();
        for bucket in &added.buckets {
            let buckets = &mut self.cells.buckets;
            let place =
                *self.places.entry([bucket.lower.to_bits(), bucket.upper.to_bits()]).or_insert_with(|| {
                    buckets.push(Bucket { count: 0.0, ..*bucket });
                    buckets.len() - 1
                });
            let count = bucket.count.round();
            if count >= 1.0 {
                *cell.entry(place).or_default() += count as u64;
            }
        }
        if cell.is_empty() {
            return;
        }
        let known = self.cells.series.iter().position(|series| series.labels == *labels);
        let place = known.unwrap_or_else(|| {
            self.cells.series.push(CellSeries { labels: labels.clone(), cells: BTreeMap::new() });
            self.cells.series.len() - 1
        });
        if let Some(series) = self.cells.series.get_mut(place) {
            series.cells.insert(number, cell);
        }
    }

    /// The cells, all of them read.
    #[must_use]
    pub fn finish(self) -> Cells {
        self.cells
    }
}

impl Cells {
    /// Where a cell ends, in seconds since the epoch.
    #[must_use]
    pub fn end_of(&self, number: u64) -> f64 {
        seconds(self.from) + (number + 1) as f64 * self.step_milliseconds as f64 / 1000.0
    }

    /// Cells twice as long; `None` where they would be too long to tell anything.
    #[must_use]
    pub fn coarser(&self) -> Option<Self> {
        let step_milliseconds = self.step_milliseconds.checked_mul(2)?;
        if u128::from(step_milliseconds) > LONGEST.as_millis() {
            return None;
        }
        let series = self.series.iter().map(|series| {
            let mut cells: BTreeMap<u64, Cell> = BTreeMap::new();
            for (number, cell) in &series.cells {
                let merged = cells.entry(number / 2).or_default();
                for (place, count) in cell {
                    *merged.entry(*place).or_default() += count;
                }
            }
            CellSeries { labels: series.labels.clone(), cells }
        });
        Some(Self {
            step_milliseconds,
            buckets: self.buckets.clone(),
            from: self.from,
            series: series.collect(),
        })
    }
}

#[cfg(test)]
mod tests;
