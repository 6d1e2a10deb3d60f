//! The cells around a fault: what is asked for them, and how they are read from the answers.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{
    BudgetStatus, FaultEffect, FaultState, FaultStatus, LoadTestStatus, Outcome, ReadyBy, RecoveryStatus,
};

use crate::{
    evaluate::{
        fault::{
            budget::Harm,
            cells::{Readings, Track},
            detect::DetectProbe,
            grid::{Grid, flat_cells},
            recovery::Incident,
            witness::TrackProbe,
        },
        windows::{self, context::Context},
    },
    k6::question::{About, Asks},
    numbers::interval::Interval,
    plan::{
        fault::{self, FaultLimits, RecoveryPlan},
        objective::ObjectivePlan,
    },
    prometheus::ask::Answers,
};

pub mod budget;
pub mod cells;
pub mod detect;
mod grid;
pub mod recovery;
pub mod steady;
mod witness;

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
    let step = fault::step(push);
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
        push_age: asks.ask(context.metrics.about(About::PushAge), after.range()),
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
        let tracks: Result<Vec<Readings<Track>>, String> =
            self.tracks.iter().map(|t| t.read(self.after, first.unwrap_or(name), answers)).collect();
        let (recovery, budget) = match tracks {
            Ok(tracks) => match self.push_ages(answers) {
                Ok(ages) => self.judge(plan, &tracks, felt, &ages),
                Err(why) => {
                    let (recovery, budget) = self.judge(plan, &tracks, felt, &[]);
                    let unknown = |message: Option<String>| {
                        let message = message.unwrap_or_default();
                        Some(format!("{message}; but whether k6's pushes came in time is not known: {why}"))
                    };
                    (
                        RecoveryStatus {
                            outcome: Outcome::NoData,
                            message: unknown(recovery.message),
                            ..recovery
                        },
                        budget.map(|budget| BudgetStatus {
                            outcome: Outcome::NoData,
                            message: unknown(budget.message),
                            ..budget
                        }),
                    )
                }
            },
            Err(why) => {
                let recovery = RecoveryStatus {
                    outcome: if plan.within.is_some() { Outcome::NoData } else { Outcome::Met },
                    within: plan.within.as_ref().map(|within| within.text.clone()),
                    message: Some(why.clone()),
                    ..RecoveryStatus::default()
                };
                (recovery, self.limits.budget.as_ref().map(|_| budget::without(&why)))
            }
        };
        let recovery = RecoveryStatus { ready_milliseconds: self.ready, ready_by: self.ready_by, ..recovery };
        let recovery = match &self.alert {
            Some(alert) => alert.read(answers).join(recovery),
            None => recovery,
        };
        Findings { recovery, budget }
    }

    /// By each reading of the cells, and what they agree on.
    fn judge(
        &self,
        plan: &RecoveryPlan,
        tracks: &[Readings<Track>],
        felt: Option<&str>,
        push_ages: &[Duration],
    ) -> (RecoveryStatus, Option<BudgetStatus>) {
        let of = |names: &[String]| -> Vec<Readings<Track>> {
            tracks.iter().filter(|[track, ..]| names.contains(&track.objective)).cloned().collect()
        };
        let witnesses = of(&plan.of);
        let [kindest, likely, harshest] = cells::by_kindness(&witnesses);
        let recoveries = [(kindest, false), (likely, false), (harshest, true)].map(|(tracks, harsh)| {
            let incident = Incident {
                plan,
                injected: self.injected,
                step: self.after.step,
                push: self.push,
                flat_cells: self.flat_cells,
                tracks,
                push_ages: push_ages.to_vec(),
                harsh,
                ready: self.ready_cells,
                end: self.end,
                felt,
            };
            incident.assess()
        });
        let pushes_late = push_ages.iter().any(|age| *age > self.after.step + self.push);
        let backs = self.backs(&recoveries);
        let recovery = recovery::agreed(recoveries, &witnesses, pushes_late);
        let budget = self.limits.budget.as_ref().map(|plan| {
            if recovery.effect == FaultEffect::NotExercised {
                return budget::without(recovery.message.as_deref().unwrap_or_default());
            }
            let readings = cells::by_harm(&of(&plan.of));
            let budgets = [0, 1, 2].map(|n| {
                let harm = Harm {
                    plan,
                    tracks: &readings[n],
                    step: self.after.step,
                    push: self.push,
                    flat_cells: self.flat_cells,
                    push_ages,
                    back: backs[n],
                    end: self.end,
                    felt,
                };
                harm.assess()
            });
            budget::agreed(plan, budgets, &of(&plan.of), pushes_late)
        });
        (recovery, budget)
    }

    /// In which cell the system was back: at the soonest of all readings, likely, and at the latest.
    fn backs(&self, recoveries: &Readings<RecoveryStatus>) -> Readings<Option<usize>> {
        let backs = recoveries.each_ref().map(|recovery| self.back(recovery));
        let mut sorted = backs;
        sorted.sort_unstable_by_key(|back| back.unwrap_or(usize::MAX));
        [sorted[0], backs[1], sorted[2]]
    }

    /// The cell in which the objectives held again and the pods were replaced.
    fn back(&self, recovery: &RecoveryStatus) -> Option<usize> {
        let recovered = recovery.recovered_at.as_ref()?.0.duration_since(self.injected);
        let cells =
            recovered.as_millis() / i128::try_from(self.after.step.as_millis()).unwrap_or(1000).max(1);
        Some(usize::try_from(cells).ok()?.max(self.ready_cells?))
    }

    fn push_ages(&self, answers: &Answers) -> Result<Vec<Duration>, String> {
        let mut ages = vec![Duration::ZERO; self.after.len()];
        for (at, age) in answers.matrix(self.push_age)?.iter().flat_map(|(_, points)| points) {
            if let (Some(index), Ok(age)) = (self.after.index(*at), Duration::try_from_secs_f64(*age)) {
                ages[index] = age;
            }
        }
        Ok(ages.into_iter().skip(1).collect())
    }
}

fn injection(fault: &FaultStatus) -> Option<Timestamp> {
    fault.injected_at.as_ref().filter(|_| fault.state == FaultState::Injected).map(|t| t.0)
}

/// The last runner is seen through some time after its last request; without load there are no requests to recover. What
/// happened in the last push before is read with the next, which belongs to no cell.
fn load_end(status: &LoadTestStatus, context: &Context) -> Option<Timestamp> {
    let load = context.load?;
    let planned = status.load.as_ref()?.planned_end_at.as_ref().map_or(load.to, |t| t.0);
    let push = SignedDuration::try_from(context.settings.push).ok()?;
    Some(load.to.min(planned).saturating_sub(push).unwrap_or(load.from))
}

#[cfg(test)]
mod tests;
