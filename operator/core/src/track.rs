//! The cells around a fault: what is asked for them, and how they are read from the answers.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use loadtest_crds::{
    BudgetStatus, FaultEffect, FaultState, FaultStatus, LoadTestStatus, Outcome, ReadyBy, RecoveryStatus,
};

use crate::{
    ask::{Answers, Asks, Labels},
    budget::{self, Harm},
    detect::DetectProbe,
    evaluate::Context,
    judge::Outcomes,
    plan::{
        FaultLimits,
        objective::{Bound, Figure, ObjectivePlan},
    },
    promql::{self, Split},
    recovery::{self, Allowed, Cell, Incident, Track},
    shares,
    windows::{self, Interval},
};

mod grid;

use grid::{Grid, flat_cells};

/// Cells carry histograms, so no more are read than this, or than two recoveries at their limit take.
const LONGEST: Duration = Duration::from_secs(3600);
/// How the recovery from a fault and its harm are measured.
#[derive(Debug)]
pub enum FaultProbe {
    /// Decided without asking.
    Known(Box<Findings>),
    Asked(Box<Asked>),
}

/// What came of a fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    pub recovery: RecoveryStatus,
    pub budget: Option<BudgetStatus>,
}

/// The questions about one fault.
#[derive(Debug)]
pub struct Asked {
    limits: FaultLimits,
    injected: Timestamp,
    ready: Option<i64>,
    ready_by: Option<ReadyBy>,
    /// Cells until as many pods as before were ready; `None` where that never came.
    ready_cells: Option<usize>,
    after: Grid,
    /// What ends the cells.
    end: &'static str,
    push: Duration,
    flat_cells: Option<usize>,
    tracks: Vec<TrackProbe>,
    push_age: usize,
    alert: Option<DetectProbe>,
}

#[derive(Debug)]
struct TrackProbe {
    objective: String,
    allowed: Allowed,
    of_requests: bool,
    /// Up to which value a sample of a Trend is good, in seconds.
    good_up_to: Option<f64>,
    /// Each name that the metric may have, with the seconds that one of its units is.
    names: Vec<f64>,
    /// The question for each name, after the injection.
    after: Vec<usize>,
    /// The same before each injection up to this one, by the fault's name.
    before: BTreeMap<String, (Grid, Vec<usize>)>,
}

/// Asks what the recovery from a fault and its budget need.
#[must_use]
pub fn probe(
    fault: &FaultStatus,
    limits: &FaultLimits,
    objectives: &[ObjectivePlan],
    status: &LoadTestStatus,
    context: &Context,
    asks: &mut Asks,
) -> FaultProbe {
    let known = |why: &str| FaultProbe::Known(Box::new(Findings::without(fault, limits, why)));
    let Some(injected) = injection(fault) else { return known("the fault was not provably injected") };
    let Some(recovery) = &limits.recovery else {
        return known("measured up to the replacement of the pods: no recovery is asked for");
    };
    let push = context.settings.push;
    let step = recovery::step(push);
    let Some(load_end) = load_end(status, context).filter(|end| *end > injected) else {
        return known("the load ended with the fault: lengthen the load");
    };
    let within = recovery.within.as_ref().map_or(Duration::ZERO, |w| w.time);
    let longest = LONGEST.max(within.saturating_mul(2).saturating_add(recovery.hold));
    let left = Interval::new(injected, load_end).map_or(Duration::ZERO, |i| i.length());
    let (length, end) = if left > longest { (longest, "measured no longer") } else { (left, "load ended") };
    let after = Grid::after(injected, length, step);
    let all_before: Vec<(String, Grid)> = status
        .faults
        .iter()
        .filter_map(|f| Some((f.name.clone(), injection(f)?)))
        .filter(|(name, at)| *at < injected || *name == fault.name)
        .map(|(name, at)| (name, Grid::before(at, status, context, step)))
        .collect();
    let tracks = limits
        .witnesses()
        .iter()
        .filter_map(|name| objectives.iter().find(|o| o.name == *name))
        .filter_map(|objective| TrackProbe::ask(objective, after, &all_before, context, asks))
        .collect();
    let ready = recovery::ready(fault);
    FaultProbe::Asked(Box::new(Asked {
        limits: limits.clone(),
        injected,
        ready,
        ready_by: recovery::ready_by(fault),
        ready_cells: ready.map(|ms| {
            usize::try_from(u128::from(ms.unsigned_abs()).div_ceil(step.as_millis().max(1)))
                .unwrap_or(usize::MAX)
        }),
        flat_cells: flat_cells(injected, status, step),
        after,
        end,
        push,
        tracks,
        push_age: asks.ask(promql::push_age(&context.metrics), after.range()),
        alert: recovery.alert.as_ref().map(|alert| DetectProbe::ask(alert, injected, load_end, asks)),
    }))
}

/// What came of each fault, in the order given; the recoveries are recorded as they are found, since one fault may
/// come while an earlier one is still felt. Then both are one incident: what was usual is what was usual before the
/// first of them.
#[must_use]
pub fn assess(
    probes: &[(String, FaultProbe)],
    status: &mut LoadTestStatus,
    context: &Context,
    answers: &Answers,
) -> Vec<(String, Findings)> {
    let at = |status: &LoadTestStatus, name: &str| {
        status.faults.iter().find(|f| f.name == name).and_then(|f| f.injected_at.clone()).map(|t| t.0)
    };
    let mut order: Vec<usize> = (0..probes.len()).collect();
    order.sort_by_key(|n| at(status, &probes[*n].0));
    let mut found: BTreeMap<String, Findings> = BTreeMap::new();
    let mut first_of: BTreeMap<String, String> = BTreeMap::new();
    for (name, probe) in order.into_iter().map(|n| &probes[n]) {
        let felt = at(status, name).and_then(|injected| {
            let load = context.load?;
            let still = |f: &&FaultStatus| {
                let felt = found.contains_key(&f.name).then(|| windows::disturbance(f, load)).flatten();
                felt.is_some_and(|felt| felt.from < injected && felt.to > injected)
            };
            let felt = status.faults.iter().filter(still);
            felt.max_by_key(|f| windows::disturbance(f, load).map(|i| i.to)).map(|f| f.name.clone())
        });
        let first = felt.as_ref().map(|felt| first_of.get(felt).unwrap_or(felt).clone());
        let findings = probe.assess(name, felt.as_deref(), first.as_deref(), answers);
        if let Some(fault) = status.faults.iter_mut().find(|f| f.name == *name) {
            fault.recovery = Some(findings.recovery.clone());
            fault.budget.clone_from(&findings.budget);
        }
        if let Some(earlier) = felt.as_ref().and_then(|felt| found.get_mut(felt)) {
            earlier.note(&format!("with {name} injected meanwhile"));
        }
        if let Some(first) = first {
            first_of.insert(name.clone(), first);
        }
        found.insert(name.clone(), findings);
    }
    let in_order = probes.iter().filter_map(|(name, _)| Some((name.clone(), found.remove(name)?)));
    in_order.collect()
}

impl Findings {
    fn without(fault: &FaultStatus, limits: &FaultLimits, why: &str) -> Self {
        Self {
            recovery: recovery::without_measurement(fault, limits.recovery.as_ref(), why),
            budget: limits.budget.as_ref().map(|_| budget::without(why)),
        }
    }

    /// Says something more about a measurement.
    fn note(&mut self, text: &str) {
        let budget = self.budget.as_mut().map(|b| &mut b.message);
        for message in std::iter::once(&mut self.recovery.message).chain(budget).flatten() {
            message.push_str(", ");
            message.push_str(text);
        }
    }
}

impl FaultProbe {
    /// How the system recovered from the fault of this name, and what harm was done. `felt` names the fault that
    /// may still have been felt when it came, `first` the first one of that incident.
    #[must_use]
    pub fn assess(&self, name: &str, felt: Option<&str>, first: Option<&str>, answers: &Answers) -> Findings {
        match self {
            Self::Known(findings) => Findings::clone(findings),
            Self::Asked(asked) => asked.assess(name, felt, first, answers),
        }
    }
}

impl Asked {
    fn assess(&self, name: &str, felt: Option<&str>, first: Option<&str>, answers: &Answers) -> Findings {
        let Some(plan) = &self.limits.recovery else { return Findings::default() };
        let tracks: Result<Vec<Track>, String> =
            self.tracks.iter().map(|t| t.read(self.after, first.unwrap_or(name), answers)).collect();
        let push_ages = self.push_ages(answers);
        let of = |names: &[String]| match &tracks {
            Ok(tracks) => Ok(tracks.iter().filter(|t| names.contains(&t.objective)).cloned().collect()),
            Err(why) => Err(why.clone()),
        };
        let recovery = match of(&plan.of) {
            Ok(tracks) => Incident {
                plan,
                injected: self.injected,
                step: self.after.step,
                push: self.push,
                flat_cells: self.flat_cells,
                tracks,
                push_ages: push_ages.clone(),
                ready: self.ready_cells,
                end: self.end,
                felt,
            }
            .assess(),
            Err(why) => RecoveryStatus {
                outcome: if plan.within.is_some() { Outcome::NoData } else { Outcome::Met },
                within: plan.within.as_ref().map(|within| within.text.clone()),
                message: Some(why),
                ..RecoveryStatus::default()
            },
        };
        let budget = self.limits.budget.as_ref().map(|plan| match of(&plan.of) {
            Err(why) => budget::without(&why),
            Ok(_) if recovery.effect == FaultEffect::NotExercised => {
                budget::without(recovery.message.as_deref().unwrap_or_default())
            }
            Ok(tracks) => Harm {
                plan,
                tracks: &tracks,
                step: self.after.step,
                push: self.push,
                flat_cells: self.flat_cells,
                push_ages: &push_ages,
                back: self.back(&recovery),
                end: self.end,
                felt,
            }
            .assess(),
        });
        let recovery = RecoveryStatus { ready_milliseconds: self.ready, ready_by: self.ready_by, ..recovery };
        let recovery = match &self.alert {
            Some(alert) => alert.read(answers).join(recovery),
            None => recovery,
        };
        Findings { recovery, budget }
    }

    /// The cell in which the objectives held again and the pods were replaced.
    fn back(&self, recovery: &RecoveryStatus) -> Option<usize> {
        let recovered = recovery.recovered_at.as_ref()?.0.duration_since(self.injected);
        let cells =
            recovered.as_millis() / i128::try_from(self.after.step.as_millis()).unwrap_or(1000).max(1);
        Some(usize::try_from(cells).ok()?.max(self.ready_cells?))
    }

    fn push_ages(&self, answers: &Answers) -> Vec<Duration> {
        let mut ages = vec![Duration::ZERO; self.after.len()];
        for (at, age) in
            answers.matrix(self.push_age).unwrap_or_default().iter().flat_map(|(_, points)| points)
        {
            if let (Some(index), Ok(age)) = (self.after.index(*at), Duration::try_from_secs_f64(*age)) {
                ages[index] = age;
            }
        }
        ages.into_iter().skip(1).collect()
    }
}

fn injection(fault: &FaultStatus) -> Option<Timestamp> {
    fault.injected_at.as_ref().filter(|_| fault.state == FaultState::Injected).map(|t| t.0)
}

/// The last runner is seen through some time after its last request; without load there are no requests to recover.
fn load_end(status: &LoadTestStatus, context: &Context) -> Option<Timestamp> {
    let load = context.load?;
    let planned = status.load.as_ref()?.planned_end_at.as_ref().map_or(load.to, |t| t.0);
    Some(load.to.min(planned))
}

impl TrackProbe {
    fn ask(
        objective: &ObjectivePlan,
        after: Grid,
        before: &[(String, Grid)],
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let of_requests = objective.figure.is_of_requests();
        let split = if of_requests { Split::Outcome } else { Split::Whole };
        let (allowed, good_up_to, metrics, samples) = match &objective.figure {
            Figure::K6Failed { samples } => {
                let metrics = vec![(promql::HTTP_REQS.to_owned(), 1.0)];
                (Allowed::of_share(&objective.bound), None, metrics, samples)
            }
            Figure::K6Percentile { metric, percentile, samples } => {
                let limit = objective.bound.limit().base();
                let metrics = shares::trends(metric).collect();
                (Allowed::AtMost(1.0 - percentile / 100.0), Some(limit), metrics, samples)
            }
            Figure::K6Under { metric, under, samples } => {
                let slow = 1.0 - objective.bound.limit().base();
                let allowed = match objective.bound {
                    Bound::AtLeast(_) => Allowed::AtMost(slow),
                    Bound::AtMost(_) => Allowed::AtLeast(slow),
                };
                (allowed, Some(under.base()), shares::trends(metric).collect(), samples)
            }
            _ => return None,
        };
        let queries: Vec<String> = metrics
            .iter()
            .map(|(name, _)| {
                context.metrics.cumulative(&context.metrics.selector(name, samples), split, None)
            })
            .collect();
        let mut ask = |grid: Grid| -> Vec<usize> {
            queries.iter().map(|query| asks.ask(query.clone(), grid.range())).collect()
        };
        Some(Self {
            objective: objective.name.clone(),
            allowed,
            of_requests,
            good_up_to,
            names: metrics.iter().map(|(_, unit)| *unit).collect(),
            after: ask(after),
            before: before.iter().map(|(fault, grid)| (fault.clone(), (*grid, ask(*grid)))).collect(),
        })
    }

    /// The cells after the injection, and those before the fault named `first`.
    fn read(&self, after: Grid, first: &str, answers: &Answers) -> Result<Track, String> {
        let mut measured = None;
        for (name, id) in self.after.iter().enumerate() {
            let values = self.cumulative(*id, name, after, answers)?;
            if values.is_some() {
                measured = values.map(|values| (name, values));
                break;
            }
        }
        let Some((name, values)) = measured else {
            return Err(format!(
                "k6 sent no sample of {}: check its tags against the script",
                self.objective
            ));
        };
        let before = match self.before.get(first) {
            Some((grid, ids)) => match ids.get(name) {
                Some(id) => self.cumulative(*id, name, *grid, answers)?.unwrap_or_else(|| {
                    // Nothing was sent until then.
                    vec![Cell::default(); grid.len()]
                }),
                None => Vec::new(),
            },
            None => Vec::new(),
        };
        Ok(Track::new(&self.objective, self.allowed, &before, &values))
    }

    /// The values at each time of a grid; `None` where k6 had sent nothing.
    fn cumulative(
        &self,
        id: usize,
        name: usize,
        grid: Grid,
        answers: &Answers,
    ) -> Result<Option<Vec<Cell>>, String> {
        let mut cells = Cells::new(grid);
        let any = match self.good_up_to {
            None => {
                let series = answers.matrix(id)?;
                for (labels, points) in series {
                    cells.add(labels, points.iter().map(|(at, value)| (*at, (*value, *value))));
                }
                !series.is_empty()
            }
            Some(limit) => {
                let limit = limit / self.names.get(name).copied().unwrap_or(1.0);
                let series = answers.histograms(id)?;
                for (labels, points) in series {
                    cells.add(labels, points.iter().map(|(at, h)| (*at, (h.count, h.up_to(limit).likely))));
                }
                !series.is_empty()
            }
        };
        if self.of_requests && cells.counts.last().is_some_and(|c| c.untold > 0.0) {
            return Err(format!(
                "{}: requests do not say whether they failed: remove http.setResponseCallback(null) from the script",
                self.objective
            ));
        }
        Ok(any.then(|| cells.values(self.of_requests)))
    }
}

/// The values at each time of a grid, by outcome: how many there were, and how many of them up to the limit.
struct Cells {
    grid: Grid,
    counts: Vec<Outcomes>,
    within: Vec<Outcomes>,
}

impl Cells {
    fn new(grid: Grid) -> Self {
        Self {
            grid,
            counts: vec![Outcomes::default(); grid.len()],
            within: vec![Outcomes::default(); grid.len()],
        }
    }

    /// A series that is not there yet is zero, and keeps its last value where it has no sample.
    fn add(&mut self, labels: &Labels, points: impl Iterator<Item = (f64, (f64, f64))>) {
        let at: BTreeMap<usize, (f64, f64)> = points
            .filter(|(_, (count, within))| count.is_finite() && within.is_finite())
            .filter_map(|(at, values)| Some((self.grid.index(at)?, values)))
            .collect();
        let mut last = (0.0, 0.0);
        for (index, (counts, within)) in self.counts.iter_mut().zip(&mut self.within).enumerate() {
            last = at.get(&index).copied().unwrap_or(last);
            counts.add(labels, last.0);
            within.add(labels, last.1);
        }
    }

    fn values(&self, of_requests: bool) -> Vec<Cell> {
        let good = |within: &Outcomes| if of_requests { within.answered } else { within.untold };
        let pairs = self.counts.iter().zip(&self.within);
        pairs
            .map(|(counts, within)| Cell { total: counts.total(), bad: counts.total() - good(within) })
            .collect()
    }
}

#[cfg(test)]
mod tests;
