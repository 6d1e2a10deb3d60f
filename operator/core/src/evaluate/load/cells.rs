//! The load in cells of time: when was how much of it there, and what became of it?

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    evaluate::windows::grid::Grid,
    k6::{
        queries::{
            DROPPED_ITERATIONS, HTTP_REQ_DURATION, HTTP_REQS, ITERATION_DURATION, K6Metrics, K6Series,
            OUTCOME, Split,
        },
        question::{About, Asks, Question},
    },
    numbers::interval::{Interval, seconds},
    prometheus::{ask::Answers, series::Point},
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
    pub(super) grid: Grid,
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
        let grid = Grid::new(load.from, length, step);
        (grid.len() > 0).then(|| Self::ask(metrics, metrics, grid, asks))
    }

    /// The shortest cells around a time, one of which ends then, and the virtual users in them.
    pub fn around(
        at: Timestamp,
        metrics: &K6Metrics,
        load: Interval,
        asks: &mut Asks,
    ) -> Option<(Self, usize)> {
        let from = at.checked_sub(CLOSE).ok().filter(|_| at <= load.to)?;
        let to = at.checked_add(CLOSE).ok()?.min(load.to);
        let length = Interval::new(from, to)?.length();
        // Histograms are dear: of those in short cells at the end of a long load only what is new is read.
        let cells = Self::ask(metrics, &metrics.lately(LATELY), Grid::new(from, length, CELL), asks);
        let users = Grid::new(from, length, Duration::from_secs(1)).range();
        Some((cells, asks.ask(users_by_scenario(metrics), users)))
    }

    fn ask(metrics: &K6Metrics, lately: &K6Metrics, grid: Grid, asks: &mut Asks) -> Self {
        let range = grid.range();
        let (requests, dropped) = (K6Series::all(HTTP_REQS), K6Series::all(DROPPED_ITERATIONS));
        let durations = K6Series::all(HTTP_REQ_DURATION).answered();
        let p95 = |of: K6Series| lately.about(About::GainedP95 { of, within: grid.step });
        Self {
            grid,
            requests: asks.ask(metrics.cumulative(requests, Split::Outcome), range),
            dropped: asks.ask(metrics.cumulative(dropped, Split::Whole), range),
            p95: asks.ask(p95(durations), range),
            iteration_p95: asks.ask(p95(K6Series::all(ITERATION_DURATION)), range),
        }
    }

    /// From the first on that had anything; none where the requests are not known.
    pub fn cells(&self, answers: &Answers) -> Vec<Cell> {
        let Ok(requests) = answers.matrix(self.requests) else { return Vec::new() };
        // First as they add up from the start.
        let mut cells = vec![Cell::default(); self.grid.len() + 1];
        for (labels, points) in requests {
            let is_failed = labels.get(OUTCOME).is_some_and(|outcome| outcome == "false");
            for (cell, sum) in cells.iter_mut().zip(self.grid.carried(points.iter().copied())) {
                cell.requests += sum;
                cell.failed += if is_failed { sum } else { 0.0 };
            }
        }
        for (_, points) in answers.matrix(self.dropped).unwrap_or_default() {
            for (cell, sum) in cells.iter_mut().zip(self.grid.carried(points.iter().copied())) {
                cell.dropped += sum;
            }
        }
        let first = cells.iter().skip(1).take_while(|cell| cell.requests + cell.dropped < 0.5).count();
        for number in (1..cells.len()).rev() {
            let before = cells[number - 1];
            let cell = &mut cells[number];
            cell.to = seconds(self.grid.start(number));
            cell.requests = (cell.requests - before.requests).max(0.0);
            cell.failed = (cell.failed - before.failed).max(0.0);
            cell.dropped = (cell.dropped - before.dropped).max(0.0);
        }
        let mut put = |id: usize, into: fn(&mut Cell) -> &mut Option<f64>| {
            let points = answers.matrix(id).unwrap_or_default().iter().flat_map(|(_, points)| points);
            for (at, p95) in points.filter(|(_, p95)| p95.is_finite()) {
                if let Some(cell) = self.grid.index(*at).and_then(|number| cells.get_mut(number)) {
                    *into(cell) = Some(*p95 / 1000.0);
                }
            }
        };
        put(self.p95, |cell| &mut cell.p95);
        put(self.iteration_p95, |cell| &mut cell.iteration_p95);
        cells.split_off(1 + first)
    }
}

pub fn users_by_scenario(metrics: &K6Metrics) -> Question {
    metrics.about(About::VirtualUsers { by: Split::Scenario })
}

/// The fewest virtual users in each cell.
pub fn add_vus(cells: &mut [Cell], step: Duration, id: Option<usize>, answers: &Answers) {
    let series = id.and_then(|id| answers.matrix(id).ok()).unwrap_or_default();
    let mut users: Vec<Point> = series.iter().flat_map(|(_, points)| points).copied().collect();
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
