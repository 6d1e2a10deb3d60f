//! The load itself: what was asked for against what was delivered, and whose fault the difference is.
//!
//! Less than was asked for is a [`Shortfall`] with its cause, where one is known:
//! - **Generator**: a runner was short of CPU or was lost, k6 never tried to start the iterations, or the runners
//!   did not start together. What such runners measure is no evidence.
//! - **Target**: answers stopped coming for good ([`silence`]).
//! - **Unknown**: else. What the answers were like then and else stands beside it, and who reads it may judge.

pub mod case;
mod cells;
pub mod end;
pub mod missing;
mod parts;
mod silence;

use std::time::Duration;

use jiff::SignedDuration;
use loadtest_crds::{Expectation, LoadTestStatus, Shortfall, ShortfallCause};

use crate::{
    evaluate::{
        load::{
            case::{Case, MISSING, Totals, because, milliseconds, shown},
            cells::{CELL, Cell, CellsProbe, add_vus, users_by_scenario},
            parts::{Parts, PartsProbe, highest},
            silence::Silence,
        },
        windows::{self, context::Context, grid::Grid},
    },
    k6::{
        queries::{HTTP_REQS, K6Series, Split},
        question::Asks,
    },
    numbers::{
        duration::human,
        interval::Interval,
        limit::{count, percent},
        median::median,
    },
    prometheus::ask::{Answers, RequestKind},
};

/// What ended so much before its plan was ended: that has its own ground.
const EARLY: SignedDuration = SignedDuration::from_secs(2);
/// Runners that start further apart than this do not make one load.
const SPREAD_MILLISECONDS: i64 = 1000;
/// Points that are asked for.
const MOST_POINTS: u64 = 2000;
/// A status must stay small.
const MOST_SHORTFALLS: usize = 20;

/// What the load was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivered {
    pub asked_iterations: Option<i64>,
    pub vus: Option<i64>,
    pub shortfalls: Vec<Shortfall>,
}

/// The questions.
#[derive(Clone, Debug, Default)]
pub struct LoadProbe {
    parts: Option<PartsProbe>,
    vus: Option<usize>,
    steady: Option<(usize, Duration)>,
    cells: Option<CellsProbe>,
    end: Option<(CellsProbe, usize)>,
}

impl LoadProbe {
    /// Asks. `steady` is what of the Steady window is read.
    #[must_use]
    pub fn new(status: &LoadTestStatus, context: &Context, steady: &[Interval], asks: &mut Asks) -> Self {
        let Some(load) = context.load else { return Self::default() };
        let metrics = &context.metrics;
        let read = context.read_load().unwrap_or(load);
        let at = RequestKind::Instant { at: read.to };
        let length = load.length();
        // k6 reports them each second; in a very long load a short stretch could be missed between two points.
        let step = Duration::from_secs(length.as_secs().div_ceil(MOST_POINTS).max(1));
        let vus = Grid::new(load.from, length, step).range();
        let vus = (step <= CELL).then(|| asks.ask(users_by_scenario(metrics), vus));
        let steady_length: Duration = steady.iter().map(Interval::length).sum();
        let steady = (!steady.is_empty()).then(|| {
            (asks.ask(metrics.increase(K6Series::all(HTTP_REQS), Split::Whole, steady), at), steady_length)
        });
        let cells = CellsProbe::new(metrics, load, asks);
        // Longer cells hide a short silence at the end.
        let is_coarse = cells.as_ref().is_some_and(|cells| cells.grid.step > CELL);
        let level = silence::constant_load(status).filter(|_| is_coarse);
        let end = level.and_then(|(_, level)| CellsProbe::around(level.to, metrics, load, asks));
        let parts = Some(PartsProbe::new(metrics, read, asks));
        Self { parts, vus, steady, cells, end }
    }

    /// What the load was, and what it lacked.
    #[must_use]
    pub fn assess(
        &self,
        status: &LoadTestStatus,
        expect: Option<&Expectation>,
        totals: Totals,
        answers: &Answers,
    ) -> Delivered {
        let parts = self.parts.as_ref().map(|probe| probe.parts(answers)).unwrap_or_default();
        let parts = Parts { vus: highest(self.vus, answers), ..parts };
        let steady_rate = self.steady.and_then(|(id, length)| {
            let requests = answers.sum(id).ok().flatten()?;
            (!length.is_zero()).then(|| requests / length.as_secs_f64())
        });
        let step = self.cells.as_ref().map_or(CELL, |cells| cells.grid.step);
        let mut cells = self.cells.as_ref().map(|probe| probe.cells(answers)).unwrap_or_default();
        add_vus(&mut cells, step, self.vus, answers);
        let mut end = self.end.as_ref().map(|(probe, _)| probe.cells(answers)).unwrap_or_default();
        add_vus(&mut end, CELL, self.end.as_ref().map(|(_, users)| *users), answers);
        Case { status, expect, totals, parts, steady_rate, cells, step, end }.assess()
    }
}

impl Case<'_> {
    fn assess(&self) -> Delivered {
        let arrivals = || self.status.scenarios.iter().flat_map(|s| &s.arrivals);
        let asked: i64 = arrivals().map(|part| part.iterations).sum();
        let mut shortfalls = Vec::new();
        if let Some(starved) = self.starved() {
            let advice = "raise spec.runner.limits, or parallelism";
            shortfalls.push(because(ShortfallCause::Generator, format!("{starved}: {advice}")));
        }
        // A guardrail that stopped the load is reason enough for what is missing, as is a script that ended a runner.
        let interrupted = self.status.runners.as_ref().is_some_and(|runners| runners.interrupted > 0);
        if self.status.stopper().is_none() {
            let silence = self.silence().filter(|_| !interrupted);
            // That all virtual users were busy says more than how many were still so at the end.
            self.dropped(silence.as_ref(), &mut shortfalls);
            if !interrupted {
                self.iterations(silence.as_ref(), &mut shortfalls);
                self.vus(&mut shortfalls);
            }
            // A script by arrival rate may ask for nothing at its end: there silence only says why something is missing.
            if let Some(silence) = silence.filter(|_| arrivals().next().is_none()) {
                let text = format!("{}, with all virtual users there", silence.text());
                shortfalls.push(because(ShortfallCause::Target, text));
            }
            self.expected(&mut shortfalls);
        }
        shortfalls.truncate(MOST_SHORTFALLS);
        Delivered {
            asked_iterations: arrivals().next().is_some().then_some(asked),
            vus: (!self.parts.vus.is_empty()).then(|| self.parts.vus.values().sum::<f64>().round() as i64),
            shortfalls,
        }
    }

    /// True where what was due to end so many milliseconds after the start did so, as far as is known. A load is planned
    /// for as long as its iterations may take; all of it that goes by time is usually over when it ends before.
    fn ran_through(&self, due: Option<i64>) -> bool {
        let due = due
            .and_then(|due| self.status.load_started()?.checked_add(SignedDuration::from_millis(due)).ok());
        let due = due.or(self.status.load_planned_end());
        due.zip(self.status.load_ended()).is_none_or(|(due, ended)| due.duration_since(ended) <= EARLY)
    }

    fn dropped(&self, silence: Option<&Silence>, shortfalls: &mut Vec<Shortfall>) {
        // k6 has no series for iterations of which none ended.
        let (iterations, Some(dropped)) = (self.totals.iterations.unwrap_or(0), self.totals.dropped) else {
            return;
        };
        let share = dropped as f64 / (dropped + iterations).max(1) as f64;
        if share > MISSING {
            let text = format!(
                "{} of {} iterations ({}) were dropped: all virtual users were busy{}",
                count(dropped),
                count(dropped + iterations),
                percent(share),
                self.beside(|cell| cell.dropped > 0.0)
            );
            let advice = "raise maxVUs of the script if the system under test may take so long";
            shortfalls.push(self.explained(text, silence.filter(|silence| silence.dropped), advice));
        }
    }

    fn expected(&self, shortfalls: &mut Vec<Shortfall>) {
        let Some(expect) = self.expect else { return };
        let cells = self.cells.len().max(1) as f64;
        let sent = |sent: f64| format!("{} requests", count(sent.round() as i64));
        let rate = |rate: f64| format!("{} requests a second in steady load", shown(rate));
        let requests = expect.min_requests.map(|least| {
            let words = self.totals.requests.map(|n| (n as f64, sent(n as f64)));
            ("minRequests", least, least as f64 / cells, words, "the requests could not be counted")
        });
        let rate = expect.min_rate.map(|least| {
            let fair = least as f64 * self.step.as_secs_f64();
            let words = self.steady_rate.map(|n| (n, rate(n)));
            ("minRate", least, fair, words, "the rate in steady load could not be measured")
        });
        for (field, least, fair, found, unknown) in requests.into_iter().chain(rate) {
            let text = match found {
                None => unknown.to_owned(),
                Some((found, words)) if found < least as f64 => words,
                Some(_) => continue,
            };
            let beside = self.beside(|cell| cell.requests < fair);
            let text = format!("{text}, and expect.{field} is {}{beside}", count(least));
            let advice = "ask for more load: more virtual users, or a higher rate";
            shortfalls.push(self.explained(text, None, advice));
        }
    }

    /// A shortfall with its cause.
    fn explained(&self, text: String, silence: Option<&Silence>, advice: &str) -> Shortfall {
        if let Some(silence) = silence {
            return because(ShortfallCause::Target, format!("{text}; {}", silence.text()));
        }
        if let Some(why) = self.of_generator() {
            return because(ShortfallCause::Generator, format!("{text}; {why}"));
        }
        let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
        because(ShortfallCause::Unknown, format!("{text}{advice}"))
    }

    fn starved(&self) -> Option<String> {
        let starved = &self.status.runners.as_ref()?.starved;
        let first = starved.first()?;
        let more = match starved.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!("runners were short of CPU, so what they measured is no evidence: {first}{more}"))
    }

    fn of_generator(&self) -> Option<String> {
        self.of_runners().or_else(|| {
            let load = self.status.load.as_ref();
            let spread = load.and_then(|load| load.start_spread_milliseconds).unwrap_or(0);
            let apart = || Duration::from_millis(spread.unsigned_abs());
            (spread > SPREAD_MILLISECONDS).then(|| format!("the runners started {} apart", human(apart())))
        })
    }

    /// Why runners did less than they were there for.
    fn of_runners(&self) -> Option<String> {
        if self.starved().is_some() {
            return Some("runners were short of CPU".to_owned());
        }
        let runners = self.status.runners.as_ref().filter(|runners| runners.lost > 0)?;
        Some(format!("{} of {} runners were lost", runners.lost, runners.total))
    }

    /// What faults left behind.
    fn disturbances(&self) -> Vec<Interval> {
        let load = windows::load(self.status);
        let of = |load| self.status.faults.iter().filter_map(move |fault| windows::disturbance(fault, load));
        load.into_iter().flat_map(of).collect()
    }

    /// What the answers were like in the cells of time in which the load lacked something, and else.
    fn beside(&self, lacks: impl Fn(&Cell) -> bool) -> String {
        let (low, rest): (Vec<Cell>, Vec<Cell>) = self.cells.iter().partition(|cell| lacks(cell));
        let answers = |cells: &[Cell]| {
            let requests: f64 = cells.iter().map(|cell| cell.requests).sum();
            let failed: f64 = cells.iter().map(|cell| cell.failed).sum();
            let p95 = median(cells.iter().filter_map(|cell| cell.p95)).map(milliseconds);
            let p95 = p95.map(|p95| format!(", p95 {p95}")).unwrap_or_default();
            (requests >= 0.5).then(|| format!("{} failed{p95}", percent(failed / requests)))
        };
        match (low.is_empty(), answers(&low), answers(&rest)) {
            (true, ..) | (_, None, None) => String::new(),
            (_, Some(then), None) => format!("; of the requests {then}"),
            (_, Some(then), Some(else_)) => format!("; of the requests then {then}; else {else_}"),
            (_, None, Some(else_)) => format!("; no request ended then; else {else_}"),
        }
    }
}

#[cfg(test)]
mod tests;
