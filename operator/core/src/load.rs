//! The load itself: what was asked for against what was delivered, and whose fault the difference is.
//!
//! Less than was asked for is a [`Shortfall`] with its cause:
//! - **Generator**: a runner was short of CPU or was lost, k6 never tried to start the iterations, or the runners
//!   did not start together. What such runners measure is no evidence, so this is looked at first.
//! - **Target**: in the cells of time with too little load requests failed (1%, and at least twice the share of
//!   the other cells), or answers were slower (p95 at least half as long again as in the other cells, and 10 ms); or
//!   at least half of what was dropped was dropped in cells in which no iteration ended, though they usually end within
//!   one.
//! - **Target** too: a load by virtual users in which answers stop coming for good. k6 counts neither the requests nor the
//!   iterations that it interrupts as the load ends, so that a hang to the end leaves no trace but silence.
//! - **Unknown**: neither; the script may simply ask for too few virtual users.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use loadtest_crds::{Expectation, LoadTestStatus, Shortfall, ShortfallCause};

use crate::{
    ask::{Answers, Asks, RequestKind},
    duration::human,
    evaluate::Context,
    k6,
    limit::{count, percent},
    machine::stopper,
    plan::objective::K6Samples,
    probe::seconds,
    promql::{self, HTTP_REQ_DURATION, HTTP_REQS, OUTCOME, Split},
    series::Point,
    windows::{self, Interval},
};

/// Less than this share of the load may be missing: the least that the usual objectives (p99, an error share of 1%)
/// can tell from none.
const MISSING: f64 = 0.01;
/// Of the virtual users more may be missing: k6 reports them once a second only.
const MISSING_VUS: f64 = 0.1;
/// A load that ended so much before its plan was ended: that has its own ground.
const EARLY: SignedDuration = SignedDuration::from_secs(2);
/// Runners that start further apart than this do not make one load.
const SPREAD_MILLISECONDS: i64 = 1000;
/// Failed requests below this share explain no missing load.
const FAILED: f64 = 0.01;
/// Answers are slower when their p95 is so many times what it is elsewhere, and by so many seconds.
const SLOWER: f64 = 1.5;
const SLOWER_SECONDS: f64 = 0.01;
/// This share of the dropped iterations tells why they were dropped.
const HALF: f64 = 0.5;
/// A silence to the end of the load is at least so long, so many cells, and so many times an iteration (the highest p95
/// of a cell before it, of which there are so many).
const SILENCE: Duration = Duration::from_secs(10);
const SILENT_CELLS: usize = 2;
const SILENT_ITERATIONS: f64 = 4.0;
const CELLS_BEFORE: usize = 3;
/// Of fewer virtual users, or with fewer requests in a cell, it may be the script's own.
const FEWEST_VUS: i64 = 5;
const FEWEST_REQUESTS: f64 = 5.0;
/// Cells are at least so long, and at most so many.
const CELL: Duration = Duration::from_secs(5);
const MOST_CELLS: u64 = 100;
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
    iterations: Option<usize>,
    dropped: Option<usize>,
    vus: Option<usize>,
    steady: Option<(usize, Duration)>,
    cells: Option<CellsProbe>,
}

#[derive(Clone, Debug)]
struct CellsProbe {
    step: Duration,
    requests: usize,
    dropped: usize,
    p95: usize,
    iteration_p95: usize,
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

/// What is not in a status: sums over the whole run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub requests: Option<i64>,
    pub iterations: Option<i64>,
    pub dropped: Option<i64>,
}

impl LoadProbe {
    /// Asks. `steady` is what of the Steady window is read.
    #[must_use]
    pub fn new(context: &Context, steady: &[Interval], asks: &mut Asks) -> Self {
        let Some(load) = context.load else { return Self::default() };
        let (metrics, all) = (&context.metrics, K6Samples::default());
        let at = RequestKind::Instant { at: load.to };
        let by_part = |metric: &str| {
            let last = metrics.last_values(metric, &all, Some(load.to));
            format!("sum by (loadtest_scenario, scenario) ({last})")
        };
        let length = load.length();
        // k6 reports them each second; in a very long load a short stretch could be missed between two points.
        let step = Duration::from_secs(length.as_secs().div_ceil(MOST_POINTS)).max(Duration::from_secs(1));
        let vus = (step <= CELL).then(|| {
            let selector = metrics.selector(promql::VUS, &all);
            let range = RequestKind::Range { from: load.from, to: load.to, step };
            asks.ask(format!("sum by (loadtest_scenario) ({selector})"), range)
        });
        let requests = metrics.selector(HTTP_REQS, &all);
        let steady_length: Duration = steady.iter().map(Interval::length).sum();
        let steady = (!steady.is_empty())
            .then(|| (asks.ask(metrics.increase(&requests, Split::Whole, steady), at), steady_length));
        let step = Duration::from_secs(length.as_secs().div_ceil(MOST_CELLS)).max(CELL);
        let cells = (length >= step).then(|| {
            let range = RequestKind::Range { from: load.from + step, to: load.to, step };
            let durations = promql::answered(&metrics.selector(HTTP_REQ_DURATION, &all));
            let p95 = |selector: &str| promql::histogram_quantile(0.95, &metrics.gained(selector, step));
            CellsProbe {
                step,
                requests: asks.ask(metrics.cumulative(&requests, Split::Outcome, None), range),
                dropped: asks.ask(
                    metrics.cumulative(
                        &metrics.selector(promql::DROPPED_ITERATIONS, &all),
                        Split::Whole,
                        None,
                    ),
                    range,
                ),
                p95: asks.ask(p95(&durations), range),
                iteration_p95: asks.ask(p95(&metrics.selector(promql::ITERATION_DURATION, &all)), range),
            }
        });
        Self {
            iterations: Some(asks.ask(by_part(promql::ITERATIONS), at)),
            dropped: Some(asks.ask(by_part(promql::DROPPED_ITERATIONS), at)),
            vus,
            steady,
            cells,
        }
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
        let parts = Parts {
            iterations: by_labels(self.iterations, answers),
            dropped: by_labels(self.dropped, answers),
            vus: highest(self.vus, answers),
        };
        let steady_rate = self.steady.and_then(|(id, length)| {
            let requests = answers.sum(id).ok().flatten()?;
            (!length.is_zero()).then(|| requests / length.as_secs_f64())
        });
        let step = self.cells.as_ref().map_or(CELL, |cells| cells.step);
        let mut cells = self.cells.as_ref().map(|probe| probe.cells(answers)).unwrap_or_default();
        add_vus(&mut cells, step, self.vus, answers);
        Case { status, expect, totals, parts, steady_rate, cells, step }.assess()
    }
}

/// By LoadTest scenario and k6 scenario.
type ByPart = BTreeMap<(String, String), f64>;

#[derive(Clone, Debug, Default)]
struct Parts {
    iterations: ByPart,
    dropped: ByPart,
    vus: ByPart,
}

/// Everything that is known of a load.
struct Case<'a> {
    status: &'a LoadTestStatus,
    expect: Option<&'a Expectation>,
    totals: Totals,
    parts: Parts,
    steady_rate: Option<f64>,
    cells: Vec<Cell>,
    step: Duration,
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
        // A guardrail that stopped the load is reason enough for what is missing.
        if stopper(self.status).is_none() {
            if !self.ended_early() {
                self.iterations(&mut shortfalls);
                self.vus(&mut shortfalls);
                self.silence(&mut shortfalls);
            }
            self.dropped(&mut shortfalls);
            self.expected(&mut shortfalls);
        }
        shortfalls.truncate(MOST_SHORTFALLS);
        Delivered {
            asked_iterations: arrivals().next().is_some().then_some(asked),
            vus: (!self.parts.vus.is_empty()).then(|| self.parts.vus.values().sum::<f64>().round() as i64),
            shortfalls,
        }
    }

    fn ended_early(&self) -> bool {
        let load = self.status.load.as_ref();
        let planned = load.and_then(|l| l.planned_end_at.as_ref()).map(|at| at.0);
        let ended = load.and_then(|l| l.ended_at.as_ref()).map(|at| at.0);
        planned.zip(ended).is_some_and(|(planned, ended)| planned.duration_since(ended) > EARLY)
    }

    /// Iterations that k6 neither started nor dropped: it did not get round to them. Those under way as the load
    /// ended are not counted, so as many as there are virtual users may be missing.
    fn iterations(&self, shortfalls: &mut Vec<Shortfall>) {
        for scenario in &self.status.scenarios {
            for part in &scenario.arrivals {
                let key = (scenario.name.clone(), part.name.clone());
                let of = |parts: &ByPart| parts.get(&key).copied().unwrap_or(0.0);
                let (done, dropped) = (of(&self.parts.iterations), of(&self.parts.dropped));
                let asked = part.iterations as f64;
                let under_way = scenario.max_vus.unwrap_or(0) as f64;
                let never = asked - done - dropped;
                if never - under_way > MISSING * asked {
                    let text = format!(
                        "scenario {}: {} of the {} iterations that {} asks for were never started: k6 did not get round \
                         to them; raise spec.runner.limits, or parallelism",
                        scenario.name,
                        count(never.round() as i64),
                        count(part.iterations),
                        part.name
                    );
                    shortfalls.push(because(ShortfallCause::Generator, text));
                }
            }
        }
    }

    fn vus(&self, shortfalls: &mut Vec<Shortfall>) {
        for scenario in &self.status.scenarios {
            let Some(asked) = scenario.held_vus.filter(|asked| *asked > 0) else { continue };
            let key = (scenario.name.clone(), String::new());
            let Some(seen) = self.parts.vus.get(&key).copied() else { continue };
            if (asked as f64 - seen) > MISSING_VUS * asked as f64 {
                let text = format!(
                    "scenario {}: {} of {} virtual users were there at once at most",
                    scenario.name,
                    count(seen.round() as i64),
                    count(asked)
                );
                shortfalls.push(self.explained(text, self.of_target(|_| true), ""));
            }
        }
    }

    fn dropped(&self, shortfalls: &mut Vec<Shortfall>) {
        // k6 has no series for iterations of which none ended.
        let (iterations, Some(dropped)) = (self.totals.iterations.unwrap_or(0), self.totals.dropped) else {
            return;
        };
        let share = dropped as f64 / (dropped + iterations).max(1) as f64;
        if share > MISSING {
            let text = format!(
                "{} of {} iterations ({}) were dropped: all virtual users were busy",
                count(dropped),
                count(dropped + iterations),
                percent(share)
            );
            let advice = "raise maxVUs of the script if the system under test may take so long";
            let why = self.of_target(|cell| cell.dropped > 0.0).or_else(|| self.of_silence());
            shortfalls.push(self.explained(text, why, advice));
        }
    }

    /// Runners that were lost or short of CPU have a ground of their own, and may be the reason; that they started apart
    /// is none for this.
    fn silence(&self, shortfalls: &mut Vec<Shortfall>) {
        if self.starved().is_some() || self.status.runners.as_ref().is_some_and(|r| r.lost > 0) {
            return;
        }
        let Some((length, usual)) = self.silent_end() else { return };
        let text = format!(
            "no answers came: for the last {} of constant load not one request and not one iteration ended, with all \
             virtual users there; an iteration took at most {} (p95) before",
            human(length),
            milliseconds(usual)
        );
        shortfalls.push(because(ShortfallCause::Target, text));
    }

    /// For how long before the end of the constant load nothing ended any more, nor did later, and how long an iteration
    /// took before. A script may be silent of its own: where that could be, or a fault could be the reason, it is none.
    fn silent_end(&self) -> Option<(Duration, f64)> {
        let scenarios = &self.status.scenarios;
        let held: i64 = scenarios.iter().map(|s| s.held_vus).sum::<Option<i64>>()?;
        if held < FEWEST_VUS || scenarios.iter().any(|s| !s.arrivals.is_empty()) {
            return None;
        }
        let load = windows::load(self.status)?;
        let started = self.status.load.as_ref()?.started_at.as_ref()?.0;
        let plateau = k6::intersect(scenarios.iter().map(|s| s.plateaus.clone())).into_iter().next_back()?;
        let at = |millis: i64| seconds(started) + millis as f64 / 1000.0;
        let step = self.step.as_secs_f64();
        let silent = |cell: &&Cell| cell.requests < 0.5 && cell.iteration_p95.is_none();
        if !self.cells.iter().filter(|cell| cell.to > at(plateau.to)).all(|cell| silent(&cell)) {
            return None;
        }
        let is_level = |cell: &&Cell| cell.to - step >= at(plateau.from) && cell.to <= at(plateau.to);
        let level: Vec<&Cell> = self.cells.iter().filter(is_level).collect();
        let disturbances: Vec<Interval> =
            self.status.faults.iter().filter_map(|fault| windows::disturbance(fault, load)).collect();
        let disturbed = |cell: &&Cell| {
            disturbances.iter().any(|d| seconds(d.from) < cell.to && seconds(d.to) > cell.to - step)
        };
        let all_there = |cell: &&Cell| cell.vus.is_some_and(|vus| vus >= (1.0 - MISSING_VUS) * held as f64);
        let end = level.iter().rev().take_while(|cell| silent(cell) && all_there(cell)).count();
        let (before, end) = level.split_at(level.len() - end);
        // In the last cell with an answer they may already have been few. Nor may a fault have begun it.
        let (last, before) = before.split_last()?;
        if disturbed(last) || end.iter().any(disturbed) {
            return None;
        }
        let took: Vec<f64> = before
            .iter()
            .filter(|cell| !disturbed(cell))
            .map(|cell| cell.iteration_p95.filter(|_| cell.requests >= FEWEST_REQUESTS))
            .collect::<Option<_>>()?;
        let longest = took.iter().copied().chain(last.iteration_p95).fold(0.0, f64::max);
        let length = self.step * u32::try_from(end.len()).unwrap_or(u32::MAX);
        let is_long = length >= SILENCE && length.as_secs_f64() >= SILENT_ITERATIONS * longest;
        (end.len() >= SILENT_CELLS && took.len() >= CELLS_BEFORE && is_long).then_some((length, longest))
    }

    fn expected(&self, shortfalls: &mut Vec<Shortfall>) {
        let Some(expect) = self.expect else { return };
        let advice = "ask for more load: more virtual users, or a higher rate";
        if let Some(least) = expect.min_requests {
            let text = match self.totals.requests {
                None => Some("the requests could not be counted".to_owned()),
                Some(sent) if sent < least => Some(format!("{} requests", count(sent))),
                Some(_) => None,
            };
            if let Some(text) = text {
                let text = format!("{text}, and expect.minRequests is {}", count(least));
                let fair = least as f64 / self.cells.len().max(1) as f64;
                let why = self.of_target(|cell| cell.requests < fair);
                shortfalls.push(self.explained(text, why, advice));
            }
        }
        if let Some(least) = expect.min_rate {
            let text = match self.steady_rate {
                None => Some("the rate in steady load could not be measured".to_owned()),
                Some(rate) if rate < least as f64 => {
                    Some(format!("{} requests a second in steady load", shown(rate)))
                }
                Some(_) => None,
            };
            if let Some(text) = text {
                let text = format!("{text}, and expect.minRate is {}", count(least));
                let fair = least as f64 * self.step.as_secs_f64();
                let why = self.of_target(|cell| cell.requests < fair);
                shortfalls.push(self.explained(text, why, advice));
            }
        }
    }

    /// A shortfall with its cause. That it is the target, the cells of time in which it showed tell against the others.
    fn explained(&self, text: String, target: Option<String>, advice: &str) -> Shortfall {
        if let Some(why) = self.of_generator() {
            return because(ShortfallCause::Generator, format!("{text}; {why}"));
        }
        if let Some(why) = target {
            return because(ShortfallCause::Target, format!("{text}; {why}"));
        }
        let advice = if advice.is_empty() { String::new() } else { format!(": {advice}") };
        let text = format!("{text}; neither the runners nor the system under test show why{advice}");
        because(ShortfallCause::Unknown, text)
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
        if self.starved().is_some() {
            return Some("runners were short of CPU".to_owned());
        }
        if let Some(runners) = self.status.runners.as_ref().filter(|runners| runners.lost > 0) {
            return Some(format!("{} of {} runners were lost", runners.lost, runners.total));
        }
        let spread = self.status.load.as_ref().and_then(|load| load.start_spread_milliseconds).unwrap_or(0);
        let apart = || Duration::from_millis(spread.unsigned_abs());
        (spread > SPREAD_MILLISECONDS).then(|| format!("the runners started {} apart", human(apart())))
    }

    fn of_target(&self, lacks: impl Fn(&Cell) -> bool) -> Option<String> {
        let (low, rest): (Vec<Cell>, Vec<Cell>) = self.cells.iter().partition(|cell| lacks(cell));
        let failed = |cells: &[Cell]| {
            let requests: f64 = cells.iter().map(|cell| cell.requests).sum();
            let failed: f64 = cells.iter().map(|cell| cell.failed).sum();
            if requests > 0.0 { failed / requests } else { 0.0 }
        };
        let (then, else_) = (failed(&low), failed(&rest));
        if then >= FAILED && then >= 2.0 * else_ {
            return Some(format!("{} of the requests failed then, {} else", percent(then), percent(else_)));
        }
        let (slow, usual) = (median_p95(&low)?, median_p95(&rest)?);
        (slow >= SLOWER * usual && slow - usual >= SLOWER_SECONDS).then(|| {
            format!("answers were slower then: p95 {}, else {}", milliseconds(slow), milliseconds(usual))
        })
    }

    /// A request that hangs neither fails nor is slow before it ends. While iterations are dropped all virtual users
    /// are busy: where none gets to the end of what usually takes less than a cell, they wait for answers.
    fn of_silence(&self) -> Option<String> {
        let usual = median(self.cells.iter().filter_map(|cell| cell.iteration_p95).collect())?;
        let silent = |cell: &&Cell| cell.dropped > 0.0 && cell.iteration_p95.is_none();
        let dropped: f64 = self.cells.iter().map(|cell| cell.dropped).sum();
        let stuck: f64 = self.cells.iter().filter(silent).map(|cell| cell.dropped).sum();
        let length = self.step * u32::try_from(self.cells.iter().filter(silent).count()).unwrap_or(u32::MAX);
        (stuck > 0.0 && stuck >= HALF * dropped && usual < self.step.as_secs_f64()).then(|| {
            format!(
                "no answers came: for {} not one iteration ended, which takes {} (p95) else",
                human(length),
                milliseconds(usual)
            )
        })
    }
}

impl CellsProbe {
    fn cells(&self, answers: &Answers) -> Vec<Cell> {
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
                        *into(cell) = Some(*p95);
                    }
                }
            }
        };
        put(self.p95, |cell| &mut cell.p95);
        put(self.iteration_p95, |cell| &mut cell.iteration_p95);
        cells.into_values().collect()
    }
}

/// The fewest virtual users in each cell.
fn add_vus(cells: &mut [Cell], step: Duration, id: Option<usize>, answers: &Answers) {
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

fn by_labels(id: Option<usize>, answers: &Answers) -> ByPart {
    let answered = id.and_then(|id| answers.vector(id).ok()).unwrap_or_default();
    let label = |labels: &crate::ask::Labels, name: &str| labels.get(name).cloned().unwrap_or_default();
    answered
        .iter()
        .filter(|(.., value)| value.is_finite())
        .map(|(labels, _, value)| ((label(labels, "loadtest_scenario"), label(labels, "scenario")), *value))
        .collect()
}

/// The highest point of each scenario.
fn highest(id: Option<usize>, answers: &Answers) -> ByPart {
    let answered = id.and_then(|id| answers.matrix(id).ok()).unwrap_or_default();
    let of = |labels: &crate::ask::Labels| labels.get("loadtest_scenario").cloned().unwrap_or_default();
    let high = |points: &[Point]| points.iter().map(|(_, users)| *users).fold(0.0, f64::max);
    answered.iter().map(|(labels, points)| ((of(labels), String::new()), high(points))).collect()
}

fn because(cause: ShortfallCause, message: String) -> Shortfall {
    Shortfall { cause, message }
}

fn median_p95(cells: &[Cell]) -> Option<f64> {
    median(cells.iter().filter_map(|cell| cell.p95).collect())
}

fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

fn milliseconds(seconds: f64) -> String {
    format!("{} ms", shown(seconds * 1000.0))
}

/// With one digit behind the point below 100.
fn shown(number: f64) -> String {
    if number.abs() < 100.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

#[cfg(test)]
mod tests;
