//! The load in cells of time: when was how much of it there, and what became of it?

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    k6::{
        queries::{
            DROPPED_ITERATIONS, HTTP_REQ_DURATION, HTTP_REQS, ITERATION_DURATION, K6Metrics, K6Series,
            OUTCOME, Split,
        },
        question::{About, Asks, Question},
    },
    numbers::interval::Interval,
    prometheus::{
        ask::{Answers, RequestKind},
        series::Point,
    },
};

/// Cells are at least so long, and at most so many.
pub const CELL: Duration = Duration::from_secs(5);
const MOST_CELLS: u64 = 100;
/// So long before and after a time that is looked at closely.
const CLOSE: SignedDuration = SignedDuration::from_secs(300);
/// Series that were silent for so long before have nothing new.
const LATELY: Duration = Duration::from_secs(900);

#[derive(Clone, Debug)]
pub struct CellsProbe {
    pub(super) step: Duration,
    /// A point that only says what was before the first cell, where that does not begin with the load.
    pub(super) before: Option<Timestamp>,
    pub(super) requests: usize,
    pub(super) dropped: usize,
    pub(super) p95: usize,
    pub(super) iteration_p95: usize,
}

/// A stretch of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Its end, in seconds since 1970.
    pub to: f64,
    pub requests: f64,
    pub failed: f64,
    pub dropped: f64,
    /// Of the answered requests, in seconds.
    pub p95: Option<f64>,
    /// Of the iterations, in seconds; none where none ended.
    pub iteration_p95: Option<f64>,
    /// The fewest virtual users in it, of all scenarios together; none where that is not known.
    pub vus: Option<f64>,
}

impl CellsProbe {
    /// `None` for a load that is shorter than a cell.
    pub fn new(metrics: &K6Metrics, load: Interval, asks: &mut Asks) -> Option<Self> {
        let length = load.length();
        let step = Duration::from_secs(length.as_secs().div_ceil(MOST_CELLS)).max(CELL);
        (length >= step).then(|| Self::ask(metrics, (load.from + step, load.to, step), None, asks))
    }

    /// The shortest cells around a time, one of which ends then, and the virtual users in them.
    pub fn around(
        at: Timestamp,
        metrics: &K6Metrics,
        load: Interval,
        asks: &mut Asks,
    ) -> Option<(Self, usize)> {
        if at > load.to {
            return None;
        }
        let from = at.checked_sub(CLOSE).ok()?;
        let to = at.checked_add(CLOSE).ok()?.min(load.to);
        let users = RequestKind::Range { from, to, step: Duration::from_secs(1) };
        let cells = Self::ask(metrics, (from, to, CELL), Some(from), asks);
        Some((cells, asks.ask(users_by_scenario(metrics), users)))
    }

    fn ask(
        metrics: &K6Metrics,
        (from, to, step): (Timestamp, Timestamp, Duration),
        before: Option<Timestamp>,
        asks: &mut Asks,
    ) -> Self {
        let range = RequestKind::Range { from, to, step };
        let (requests, dropped) = (K6Series::all(HTTP_REQS), K6Series::all(DROPPED_ITERATIONS));
        let durations = K6Series::all(HTTP_REQ_DURATION).answered();
        // Histograms are dear: of those in short cells at the end of a long load only what is new is read.
        let lately = if before.is_some() { metrics.lately(LATELY) } else { metrics.clone() };
        let p95 = |of: K6Series| lately.about(About::GainedP95 { of, within: step });
        Self {
            step,
            before,
            requests: asks.ask(metrics.cumulative(requests, Split::Outcome), range),
            dropped: asks.ask(metrics.cumulative(dropped, Split::Whole), range),
            p95: asks.ask(p95(durations), range),
            iteration_p95: asks.ask(p95(K6Series::all(ITERATION_DURATION)), range),
        }
    }

    pub fn cells(&self, answers: &Answers) -> Vec<Cell> {
        let mut cells: BTreeMap<i64, Cell> = BTreeMap::new();
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        for (labels, points) in answers.matrix(self.requests).unwrap_or_default() {
            let is_failed = labels.get(OUTCOME).is_some_and(|outcome| outcome == "false");
            for (at, gain) in gains(points) {
                let cell = cells.entry(millis(at)).or_default();
                cell.to = at;
                cell.requests += gain;
                cell.failed += if is_failed { gain } else { 0.0 };
            }
        }
        for (_, points) in answers.matrix(self.dropped).unwrap_or_default() {
            for (at, gain) in gains(points) {
                let cell = cells.entry(millis(at)).or_default();
                cell.to = at;
                cell.dropped += gain;
            }
        }
        let mut put = |id: usize, into: fn(&mut Cell) -> &mut Option<f64>| {
            for (_, points) in answers.matrix(id).unwrap_or_default() {
                for (at, p95) in points.iter().filter(|(_, p95)| p95.is_finite()) {
                    if let Some(cell) = cells.get_mut(&millis(*at)) {
                        *into(cell) = Some(*p95 / 1000.0);
                    }
                }
            }
        };
        put(self.p95, |cell| &mut cell.p95);
        put(self.iteration_p95, |cell| &mut cell.iteration_p95);
        if let Some(before) = self.before {
            cells.remove(&before.as_millisecond());
        }
        cells.into_values().collect()
    }
}

pub fn users_by_scenario(metrics: &K6Metrics) -> Question {
    metrics.about(About::VirtualUsers { by: Split::Scenario })
}

/// The fewest virtual users in each cell.
pub fn add_vus(cells: &mut [Cell], step: Duration, id: Option<usize>, answers: &Answers) {
    let mut users: Vec<Point> = Vec::new();
    for (_, points) in id.and_then(|id| answers.matrix(id).ok()).unwrap_or_default() {
        users.extend(points);
    }
    users.sort_by(|a, b| a.0.total_cmp(&b.0));
    let together: Vec<Point> = users
        .chunk_by(|a, b| (a.0 - b.0).abs() < 1e-3)
        .map(|same| (same[0].0, same.iter().map(|(_, users)| *users).sum()))
        .collect();
    for cell in cells {
        let within = |(at, _): &&Point| *at > cell.to - step.as_secs_f64() && *at <= cell.to;
        cell.vus = together.iter().filter(within).map(|(_, users)| *users).reduce(f64::min);
    }
}

/// What was added up to each point, from zero on.
fn gains(points: &[Point]) -> impl Iterator<Item = (f64, f64)> + '_ {
    points.iter().scan(0.0, |before, (at, value)| {
        let gain = value - *before;
        *before = *value;
        Some((*at, gain.max(0.0)))
    })
}
