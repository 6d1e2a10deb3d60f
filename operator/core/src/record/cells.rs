//! The client's requests second by second: how many, with which outcome, and how long they took, for each request
//! name and scenario. They are recorded beside the answers that the verdict stands on, so that a run can be asked
//! what nobody asked at the time.
//!
//! k6's histograms are cumulative: a cell is the difference of two. Runs of more than an hour, or with many request
//! names, have longer cells; of very many names ([`names`]) only some are told apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::LoadTestStatus;
use serde::{Deserialize, Serialize};

use crate::{
    evaluate::{
        names::{self, Counted, MOST_NAMES, OTHER_NAMES},
        windows::{self, context::Settings},
    },
    k6::{
        promql::{cumulative_by_names, most_requested},
        queries::{HTTP_REQ_DURATION, K6Metrics, K6Series, NAME, Split},
        question::{About, Question, Request},
    },
    numbers::{
        interval::{Interval, seconds},
        limit::count,
    },
    prometheus::{
        ask::{Answer, RequestKind},
        histogram::{Bucket, Histogram},
        room,
        series::Labels,
    },
};

/// No series has more cells.
const MOST_CELLS: u64 = 3600;
/// All series together have no more.
const MOST_TOGETHER: u64 = 40_000;
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
/// Longer cells tell nothing that the windows do not.
const LONGEST: Duration = Duration::from_secs(60);

const OTHER_KIND: &str = "Prometheus answered with another kind of value than was asked for";

/// What happened in each cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cells {
    /// Where the first cell begins.
    pub from: Timestamp,
    pub step_milliseconds: u64,
    /// The buckets that cells name by their place in this list.
    pub buckets: Vec<Bucket>,
    /// How many request names there were, where not all of them have series of their own: the others go by
    /// [`OTHER_NAMES`].
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

/// Asks for the cells: first how many request names there are and which of them are to be told apart, then part by
/// part.
#[derive(Debug)]
pub struct Reader {
    load: Interval,
    metrics: K6Metrics,
    wanted: Vec<String>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// How many names there are is asked.
    Count,
    /// Too many: which of them are the most frequent.
    Most(Counted),
    /// How many series the cells will have.
    Series { counted: Counted, question: Question },
    /// The cells.
    Parts(Parts),
}

/// The cells, part by part.
#[derive(Debug)]
struct Parts {
    question: Question,
    step: Duration,
    count: u64,
    next: u64,
    at_a_time: u64,
    places: BTreeMap<[u64; 2], usize>,
    series: BTreeMap<Labels, Course>,
    cells: Cells,
    /// How much memory both take.
    bytes: usize,
}

/// One series on its way.
#[derive(Debug, Default)]
struct Course {
    /// Cumulative, at the end of the last part.
    last: Histogram,
    cells: BTreeMap<u64, Cell>,
}

impl Reader {
    /// `None` where there was no load. Names that are wanted are told apart.
    #[must_use]
    pub fn new(status: &LoadTestStatus, settings: &Settings, wanted: Vec<String>) -> Option<Self> {
        let load = windows::load(status)?;
        let reach = i64::try_from(load.length().as_secs()).unwrap_or(i64::MAX / 2) + 60;
        let metrics = K6Metrics::new(&settings.run_id, reach);
        Some(Self { load, metrics, wanted, stage: Stage::Count })
    }

    /// How much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.stage {
            Stage::Parts(parts) => parts.bytes,
            _ => 0,
        }
    }

    /// The next question; `None` when all is known.
    #[must_use]
    pub fn next(&self) -> Option<Request> {
        let question = match &self.stage {
            Stage::Count => self.metrics.about(About::RequestNames),
            Stage::Most(_) => most_requested(&self.metrics, MOST_NAMES),
            Stage::Series { question, .. } => format!("count({question})").into(),
            Stage::Parts(parts) => return parts.next(),
        };
        Some(Request { id: 0, question, kind: RequestKind::Instant { at: self.load.to } })
    }

    /// Takes the answer to it.
    ///
    /// # Errors
    /// Why there are no cells.
    pub fn take(&mut self, answer: Answer) -> Result<(), String> {
        if let Stage::Parts(parts) = &mut self.stage {
            return parts.take(answer);
        }
        let values = match answer {
            Answer::Vector(values) => values,
            Answer::Failed(why) => return Err(why),
            _ => return Err(OTHER_KIND.to_owned()),
        };
        let durations = K6Series::all(HTTP_REQ_DURATION);
        self.stage = match &self.stage {
            Stage::Count => match Counted::of(&values).ok_or("k6 sent no request")? {
                counted if counted.are_too_many() => Stage::Most(counted),
                counted => {
                    Stage::Series { counted, question: self.metrics.cumulative(durations, Split::Cell) }
                }
            },
            Stage::Most(counted) => {
                let kept = names::kept(&self.wanted, &values);
                let kept = kept.iter().map(String::as_str);
                let question = cumulative_by_names(&self.metrics, &durations, kept, OTHER_NAMES);
                Stage::Series { counted: *counted, question }
            }
            Stage::Series { counted, question } => {
                let series = values.first().map(|(.., count)| *count).filter(|count| *count >= 1.0);
                let series = series.ok_or("k6 sent no request")? as u64;
                Stage::Parts(Parts::new(self.load, question.clone(), series, *counted))
            }
            Stage::Parts(_) => return Ok(()),
        };
        Ok(())
    }

    /// The cells; `None` unless all of them were read.
    #[must_use]
    pub fn finish(self) -> Option<Cells> {
        match self.stage {
            Stage::Parts(parts) => Some(parts.finish()),
            _ => None,
        }
    }
}

impl Parts {
    pub(crate) fn new(load: Interval, question: Question, series: u64, counted: Counted) -> Self {
        let (series, within) = (series.max(1), counted.series.max(1));
        let most = MOST_CELLS.min(MOST_TOGETHER / series).min(MOST_LOOKED_AT / within).max(1);
        let step = Duration::from_secs(load.length().as_secs().div_ceil(most).max(1));
        let cells = Cells {
            from: load.from,
            step_milliseconds: u64::try_from(step.as_millis()).unwrap_or(u64::MAX),
            folded: counted.are_too_many().then_some(counted.names),
            ..Cells::default()
        };
        Self {
            question,
            step,
            count: u64::try_from(load.length().as_millis().div_ceil(step.as_millis())).unwrap_or(u64::MAX),
            next: 0,
            at_a_time: (AT_A_TIME_TOGETHER / series).min(LOOKED_AT_AT_A_TIME / within).clamp(1, AT_A_TIME),
            places: BTreeMap::new(),
            series: BTreeMap::new(),
            cells,
            bytes: 0,
        }
    }

    fn next(&self) -> Option<Request> {
        let at = |n: u64| {
            let after =
                SignedDuration::from_millis(i64::try_from(u128::from(n) * self.step.as_millis()).ok()?);
            self.cells.from.checked_add(after).ok()
        };
        if self.next > self.count {
            return None;
        }
        let last = (self.next + self.at_a_time - 1).min(self.count);
        let kind = RequestKind::Range { from: at(self.next)?, to: at(last)?, step: self.step };
        Some(Request { id: 0, question: self.question.clone(), kind })
    }

    fn take(&mut self, answer: Answer) -> Result<(), String> {
        let series = match answer {
            Answer::Histograms(series) => series,
            Answer::Matrix(series) if series.is_empty() => Vec::new(),
            Answer::Failed(why) => return Err(why),
            _ => return Err(OTHER_KIND.to_owned()),
        };
        for (labels, points) in series {
            if !self.series.contains_key(&labels) {
                self.bytes += 2 * room::bytes_of_series(&labels, 0);
            }
            let course = self.series.entry(labels).or_default();
            let before = course.last.buckets.len();
            for (at, histogram) in points {
                let ends = ((at - seconds(self.cells.from)) / self.step.as_secs_f64()).round();
                // What was there before the load, as the requests of setup(), belongs to no cell.
                if ends >= 1.0 {
                    let added = histogram.since(&course.last);
                    let cell = cell(&added, &mut self.places, &mut self.cells.buckets);
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

    fn finish(self) -> Cells {
        let told = self.series.into_iter().filter(|(_, course)| !course.cells.is_empty());
        let series = told.map(|(labels, course)| CellSeries { labels, cells: course.cells });
        Cells { series: series.collect(), ..self.cells }
    }
}

/// What was added, by the places of its buckets; new ones are appended.
fn cell(added: &Histogram, places: &mut BTreeMap<[u64; 2], usize>, buckets: &mut Vec<Bucket>) -> Cell {
    let mut cell = Cell::new();
    for bucket in &added.buckets {
        let place = *places.entry([bucket.lower.to_bits(), bucket.upper.to_bits()]).or_insert_with(|| {
            buckets.push(Bucket { count: 0.0, ..*bucket });
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

    /// Which request names are not told apart, in words.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let (all, told) = (self.folded?, self.names().len());
        Some(format!(
            "request names: of {} it tells {} apart, and counts the others together",
            count(i64::try_from(all).unwrap_or(i64::MAX)),
            count(i64::try_from(told).unwrap_or(i64::MAX)),
        ))
    }

    /// The request names that have series of their own.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let all = self.series.iter().filter_map(|series| series.labels.get(NAME));
        all.map(String::as_str).filter(|name| self.folded.is_none() || *name != OTHER_NAMES).collect()
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
            folded: self.folded,
            from: self.from,
            series: series.collect(),
        })
    }
}

#[cfg(test)]
mod tests;
