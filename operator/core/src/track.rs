//! The cells around a fault: what is asked for them, and how they are read from the answers.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{FaultState, FaultStatus, LoadTestStatus, Outcome, Plateau, RecoveryStatus};

use crate::{
    ask::{Answers, Asks, RequestKind, Series},
    evaluate::Context,
    judge::Outcomes,
    k6,
    plan::objective::{Figure, ObjectivePlan, RecoveryPlan},
    probe::{self, seconds},
    promql::{self, Split},
    recovery::{self, Allowed, BEFORE, Cell, Incident, Track},
    windows::Interval,
};

/// Prometheus refuses range queries of more than 11,000 points.
const MOST_CELLS: u64 = 10_000;

/// How the recovery from a fault is measured.
#[derive(Debug)]
pub enum FaultProbe {
    /// Decided without asking.
    Known(RecoveryStatus),
    Asked(Box<Asked>),
}

/// The questions about one fault.
#[derive(Debug)]
pub struct Asked {
    plan: RecoveryPlan,
    ready: Option<i64>,
    grid: Grid,
    push: Duration,
    flat_cells: Option<usize>,
    tracks: Vec<TrackProbe>,
    push_age: usize,
}

/// Times at which cumulative values are read; one of them is the injection.
#[derive(Clone, Copy, Debug)]
struct Grid {
    from: Timestamp,
    injected: Timestamp,
    to: Timestamp,
    step: Duration,
}

#[derive(Debug)]
struct TrackProbe {
    objective: String,
    allowed: Allowed,
    of_requests: bool,
    /// Counts, and for a percentile those within the limit, under each name that the metric may have.
    candidates: Vec<(usize, Option<usize>)>,
}

/// Asks what the recovery from a fault needs.
#[must_use]
pub fn probe(
    fault: &FaultStatus,
    plan: Option<&RecoveryPlan>,
    objectives: &[ObjectivePlan],
    status: &LoadTestStatus,
    context: &Context,
    asks: &mut Asks,
) -> FaultProbe {
    let known = |why: &str| FaultProbe::Known(recovery::without_measurement(fault, plan, why));
    let injected = fault.injected_at.as_ref().filter(|_| fault.state == FaultState::Injected).map(|t| t.0);
    let Some(injected) = injected else { return known("the fault was not provably injected") };
    let Some(plan) = plan else {
        return known("measured up to the replacement of the pods: no recovery is asked for");
    };
    let Some(grid) = Grid::around(injected, status, context) else {
        return known("the load ended with the fault: lengthen the load");
    };
    let range = RequestKind::Range { from: grid.from, to: grid.to, step: grid.step };
    let tracks = plan
        .of
        .iter()
        .filter_map(|name| objectives.iter().find(|o| o.name == *name))
        .filter_map(|objective| TrackProbe::ask(objective, context, asks, range))
        .collect();
    FaultProbe::Asked(Box::new(Asked {
        plan: plan.clone(),
        ready: recovery::ready(fault),
        flat_cells: grid.flat_cells(status),
        grid,
        push: context.settings.push,
        tracks,
        push_age: asks.ask(promql::push_age(&context.metrics), range),
    }))
}

impl FaultProbe {
    /// How the system recovered.
    #[must_use]
    pub fn assess(&self, answers: &Answers) -> RecoveryStatus {
        match self {
            Self::Known(status) => status.clone(),
            Self::Asked(asked) => {
                let status = match asked.tracks.iter().map(|t| t.read(asked.grid, answers)).collect() {
                    Ok(tracks) => asked.incident(tracks, answers).assess(),
                    Err(why) => RecoveryStatus {
                        outcome: Outcome::NoData,
                        within: Some(asked.plan.within_text.clone()),
                        message: Some(why),
                        ..RecoveryStatus::default()
                    },
                };
                RecoveryStatus { ready_milliseconds: asked.ready, ..status }
            }
        }
    }
}

impl Asked {
    fn incident(&self, tracks: Vec<Track>, answers: &Answers) -> Incident<'_> {
        Incident {
            plan: &self.plan,
            injected: self.grid.injected,
            step: self.grid.step,
            push: self.push,
            flat_cells: self.flat_cells,
            tracks,
            push_ages: self.push_ages(answers),
        }
    }

    fn push_ages(&self, answers: &Answers) -> Vec<Duration> {
        let mut ages = vec![Duration::ZERO; self.grid.len()];
        for (at, age) in
            answers.matrix(self.push_age).unwrap_or_default().iter().flat_map(|(_, points)| points)
        {
            if let (Some(index), Ok(age)) = (self.grid.index(*at), Duration::try_from_secs_f64(*age)) {
                ages[index] = age;
            }
        }
        ages.into_iter().skip(self.grid.steps_to(self.grid.injected) + 1).collect()
    }
}

impl Grid {
    fn around(injected: Timestamp, status: &LoadTestStatus, context: &Context) -> Option<Self> {
        let load = context.load?;
        // The last runner is seen through some time after its last request; without load there are no requests
        // to recover.
        let planned = status.load.as_ref()?.planned_end_at.as_ref().map_or(load.to, |t| t.0);
        let end = Interval::new(injected, load.to.min(planned))?;
        let step = Duration::from_secs(
            context.settings.push.as_millis().div_ceil(1000).try_into().unwrap_or(1).max(1),
        );
        let cells = |length: Duration| u64::try_from(length.as_millis() / step.as_millis()).unwrap_or(0);
        let so_far = Interval::new(load.from, injected).map_or(Duration::ZERO, |i| i.length());
        let before = cells(so_far.min(BEFORE));
        let after = cells(end.length()).min(MOST_CELLS - before);
        let steps = |n: u64| {
            SignedDuration::from_millis(i64::try_from(u128::from(n) * step.as_millis()).unwrap_or(0))
        };
        Some(Self {
            from: injected.checked_sub(steps(before)).ok()?,
            injected,
            to: injected.checked_add(steps(after)).ok()?,
            step,
        })
    }

    fn index(&self, at: f64) -> Option<usize> {
        let index = ((at - seconds(self.from)) / self.step.as_secs_f64()).round();
        (index >= 0.0 && index < self.len() as f64).then_some(index as usize)
    }

    fn len(&self) -> usize {
        self.steps_to(self.to) + 1
    }

    fn steps_to(&self, at: Timestamp) -> usize {
        let millis = at.duration_since(self.from).as_millis();
        usize::try_from(millis).unwrap_or(0) / usize::try_from(self.step.as_millis()).unwrap_or(1).max(1)
    }

    /// For how many cells after the injection the asked load stays level; none where it ramps already.
    fn flat_cells(&self, status: &LoadTestStatus) -> Option<usize> {
        let started = status.load.as_ref()?.started_at.as_ref()?.0;
        let plateaus: Vec<Plateau> = k6::intersect(status.scenarios.iter().map(|s| s.plateaus.clone()));
        if status.scenarios.iter().any(|s| s.plateaus.is_empty()) {
            return None;
        }
        let injected = i64::try_from(self.injected.duration_since(started).as_millis()).ok()?;
        let step = i64::try_from(self.step.as_millis()).ok()?;
        let left =
            plateaus.iter().find(|p| p.from <= injected && injected < p.to).map_or(0, |p| p.to - injected);
        usize::try_from(left / step.max(1)).ok()
    }
}

impl TrackProbe {
    fn ask(
        objective: &ObjectivePlan,
        context: &Context,
        asks: &mut Asks,
        range: RequestKind,
    ) -> Option<Self> {
        let of_requests = objective.figure.is_of_requests();
        let split = if of_requests { Split::Outcome } else { Split::Whole };
        let (allowed, candidates) = match &objective.figure {
            Figure::K6Failed { samples } => {
                let selector = context.metrics.selector(promql::HTTP_REQS, samples);
                let counts = asks.ask(context.metrics.cumulative(&selector, split, None), range);
                (Allowed::of_share(&objective.bound), vec![(counts, None)])
            }
            Figure::K6Percentile { metric, percentile, samples } => {
                let limit = objective.bound.limit().base();
                let candidates = probe::trends(metric)
                    .map(|(name, unit)| {
                        let selector = context.metrics.selector(&name, samples);
                        let histograms = context.metrics.cumulative(&selector, split, None);
                        let counts = promql::histogram_count(&histograms);
                        let fractions = promql::histogram_fraction(limit / unit, &histograms);
                        let within = format!("{counts} * {fractions}");
                        (asks.ask(counts, range), Some(asks.ask(within, range)))
                    })
                    .collect();
                (Allowed::AtMost(1.0 - percentile / 100.0), candidates)
            }
            Figure::Ratio { .. } | Figure::Query(_) => return None,
        };
        Some(Self { objective: objective.name.clone(), allowed, of_requests, candidates })
    }

    fn read(&self, grid: Grid, answers: &Answers) -> Result<Track, String> {
        let mut measured = None;
        for candidate in &self.candidates {
            let counts = answers.matrix(candidate.0)?;
            if !counts.is_empty() {
                measured = Some((counts, candidate.1));
                break;
            }
        }
        let Some((counts, within)) = measured else {
            return Err(format!(
                "k6 sent no sample of {}: check its tags against the script",
                self.objective
            ));
        };
        let counts = cumulative(counts, grid);
        let cells: Vec<Cell> = match within {
            None => counts.iter().map(|c| Cell { total: c.total(), bad: c.failed }).collect(),
            Some(within) => {
                let within = cumulative(answers.matrix(within)?, grid);
                let good = |w: &Outcomes| if self.of_requests { w.answered } else { w.untold };
                counts
                    .iter()
                    .zip(&within)
                    .map(|(c, w)| Cell { total: c.total(), bad: c.total() - good(w) })
                    .collect()
            }
        };
        if self.of_requests && counts.last().is_some_and(|c| c.untold > 0.0) {
            return Err(format!(
                "{}: requests do not say whether they failed: remove http.setResponseCallback(null) from the script",
                self.objective
            ));
        }
        Ok(Track::new(&self.objective, self.allowed, &cells, grid.steps_to(grid.injected)))
    }
}

/// The values at each time of the grid. A series that is not there yet is zero, and keeps its last value where
/// it has no sample.
fn cumulative(series: &[Series], grid: Grid) -> Vec<Outcomes> {
    let mut all = vec![Outcomes::default(); grid.len()];
    for (labels, points) in series {
        let at: BTreeMap<usize, f64> = points
            .iter()
            .filter(|(_, value)| value.is_finite())
            .filter_map(|(at, value)| Some((grid.index(*at)?, *value)))
            .collect();
        let mut last = 0.0;
        for (index, outcomes) in all.iter_mut().enumerate() {
            last = at.get(&index).copied().unwrap_or(last);
            outcomes.add(labels, last);
        }
    }
    all
}
