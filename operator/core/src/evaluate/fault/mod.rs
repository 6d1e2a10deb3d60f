//! The cells around a fault: what is asked for them, and how they are read from the answers.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{
    BudgetStatus, FaultEffect, FaultState, FaultStatus, LoadTestStatus, Outcome, RecoveryStatus,
};

use crate::{
    evaluate::{
        fault::{
            cells::{Readings, Track, in_bucket},
            detect::DetectProbe,
            pushes::Pushes,
            recovery::Measured,
            scene::{Scene, add},
            track::TrackProbe,
        },
        windows::{self, context::Context, grid::Grid},
    },
    k6::question::{About, Asks},
    numbers::interval::Interval,
    plan::{
        fault::{self, BudgetPlan, FaultLimits, RecoveryPlan},
        objective::ObjectivePlan,
    },
    prometheus::ask::Answers,
};

pub mod budget;
pub mod cells;
pub mod detect;
mod grid;
mod pushes;
pub mod recovery;
pub mod scene;
pub mod steady;
mod track;

/// Cells carry histograms, so no more are read than this, or than two recoveries at their limit take.
const LONGEST: Duration = Duration::from_secs(3600);
/// Prometheus refuses range queries of more than 11,000 points.
const MOST_CELLS: u32 = 10_000;

/// How the recovery from a fault and its harm are measured.
#[derive(Debug)]
pub struct FaultProbe {
    limits: FaultLimits,
    /// Or why nothing was asked.
    asked: Result<Asked, &'static str>,
}

/// What came of a fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    pub recovery: RecoveryStatus,
    pub budget: Option<BudgetStatus>,
}

/// The questions about one fault.
#[derive(Debug)]
struct Asked {
    recovery: RecoveryPlan,
    scene: Scene<'static>,
    after: Grid,
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
    FaultProbe { asked: ask(fault, limits, objectives, status, context, asks), limits: limits.clone() }
}

fn ask(
    fault: &FaultStatus,
    limits: &FaultLimits,
    objectives: &[ObjectivePlan],
    status: &LoadTestStatus,
    context: &Context,
    asks: &mut Asks,
) -> Result<Asked, &'static str> {
    let injected = injection(fault).ok_or("the fault was not provably injected")?;
    let recovery = limits
        .recovery
        .as_ref()
        .ok_or("measured up to the replacement of the pods: no recovery is asked for")?;
    let step = fault::step(context.settings.push);
    let load_end = load_end(status, context).filter(|end| *end > injected);
    let load_end = load_end.ok_or("the load ended with the fault: lengthen the load")?;
    let within = recovery.within.as_ref().map_or(Duration::ZERO, |w| w.time);
    let longest = LONGEST.max(within.saturating_mul(2).saturating_add(recovery.hold)).min(step * MOST_CELLS);
    let left = Interval::new(injected, load_end).map_or(Duration::ZERO, |i| i.length());
    let (length, end) = if left > longest { (longest, "measured no longer") } else { (left, "load ended") };
    let after = Grid::new(injected, length, step);
    let all_before: Vec<(String, Grid)> = status
        .faults
        .iter()
        .filter_map(|f| Some((f.name.clone(), injection(f)?)))
        .filter(|(name, at)| *at < injected || *name == fault.name)
        .map(|(name, at)| (name, grid::before(at, status, context, step)))
        .collect();
    let tracks = limits
        .witnesses()
        .iter()
        .filter_map(|name| objectives.iter().find(|o| o.name == *name))
        .filter_map(|objective| TrackProbe::ask(objective, after, &all_before, context, asks))
        .collect();
    let mut scene = Scene {
        injected,
        step,
        push: context.settings.push,
        flat_cells: grid::flat_cells(injected, status, step),
        ready: None,
        end,
        felt: None,
    };
    let ready = recovery::ready(fault).map(|ms| Duration::from_millis(ms.unsigned_abs()));
    scene.ready = ready.map(|ready| scene.cells(ready));
    Ok(Asked {
        recovery: recovery.clone(),
        scene,
        after,
        tracks,
        push_age: asks.ask(context.metrics.about(About::PushAge), after.range()),
        alert: recovery.alert.as_ref().map(|alert| DetectProbe::ask(alert, injected, load_end, asks)),
    })
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
        let mut findings = probe.assess(name, felt.as_deref(), first.as_deref(), answers);
        if let Some(fault) = status.faults.iter_mut().find(|f| f.name == *name) {
            recovery::add_ready(&mut findings.recovery, fault);
            fault.recovery = Some(findings.recovery.clone());
            fault.budget.clone_from(&findings.budget);
        }
        if let Some(earlier) = felt.as_ref().and_then(|felt| found.get_mut(felt)) {
            earlier.note(&format!(", with {name} injected meanwhile"));
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
    fn without(limits: &FaultLimits, why: &str) -> Self {
        Self {
            recovery: recovery::without(limits.recovery.as_ref(), why),
            budget: limits.budget.as_ref().map(|_| budget::without(why)),
        }
    }

    /// Says something more about a measurement.
    fn note(&mut self, text: &str) {
        add(&mut self.recovery.message, text);
        if let Some(budget) = &mut self.budget {
            add(&mut budget.message, text);
        }
    }
}

impl FaultProbe {
    /// How the system recovered from the fault of this name, and what harm was done. `felt` names the fault that
    /// may still have been felt when it came, `first` the first one of that incident.
    fn assess(&self, name: &str, felt: Option<&str>, first: Option<&str>, answers: &Answers) -> Findings {
        let Asked { recovery: plan, scene, after, tracks, push_age, alert } = match &self.asked {
            Ok(asked) => asked,
            Err(why) => return Findings::without(&self.limits, why),
        };
        let scene = Scene { felt, ..*scene };
        let tracks: Result<Vec<Readings<Track>>, String> =
            tracks.iter().map(|track| track.read(first.unwrap_or(name), answers)).collect();
        let mut findings = match tracks {
            Err(why) => Findings::without(&self.limits, &why),
            Ok(tracks) => {
                let pushes = Pushes::read(*push_age, *after, &scene, answers);
                let measured = recovery::assess(scene, plan, &of(&plan.of, &tracks));
                let budget = self.limits.budget.as_ref();
                let budget = budget.map(|plan| budget_of(plan, scene, &measured, &tracks, &pushes));
                Findings { recovery: recovery_of(plan, scene, measured, &tracks, &pushes), budget }
            }
        };
        if let Some(alert) = alert {
            findings.recovery = alert.read(answers).join(findings.recovery);
        }
        findings
    }
}

/// The tracks of these objectives.
fn of(names: &[String], tracks: &[Readings<Track>]) -> Vec<Readings<Track>> {
    tracks.iter().filter(|[track, _]| names.contains(&track.objective)).cloned().collect()
}

/// The recovery, unless a push was late until it was over. One that was missed in full before that is missed.
fn recovery_of(
    plan: &RecoveryPlan,
    scene: Scene<'_>,
    Measured { status, cells, .. }: Measured,
    tracks: &[Readings<Track>],
    pushes: &Pushes<'_>,
) -> RecoveryStatus {
    let Some(doubt) = pushes.doubt(cells) else { return status };
    let heard = pushes.heard_of();
    if status.outcome == Outcome::Missed && heard >= recovery::deciding_cells(&scene, plan) {
        let heard_of = of(&plan.of, tracks).into_iter().map(|track| track.map(|track| track.up_to(heard)));
        if recovery::assess(scene, plan, &heard_of.collect::<Vec<_>>()).status.outcome == Outcome::Missed {
            return status;
        }
    }
    let mut open = RecoveryStatus { outcome: Outcome::NoData, recover_milliseconds: None, ..status };
    add(&mut open.message, &format!("; but {doubt}"));
    open
}

/// The budget, unless a push was late until the system was back.
fn budget_of(
    plan: &BudgetPlan,
    scene: Scene<'_>,
    Measured { status, back, cells }: &Measured,
    tracks: &[Readings<Track>],
    pushes: &Pushes<'_>,
) -> BudgetStatus {
    if status.effect == FaultEffect::NotExercised {
        return budget::without(status.message.as_deref().unwrap_or_default());
    }
    // Its pods are to be ready, too.
    let back = back.map(|back| Some(back?.max(scene.ready?)));
    let bucket = in_bucket(tracks);
    let (mut budget, counted) = budget::assess(scene, plan, &of(&plan.of, tracks), back, bucket.as_deref());
    if let Some(doubt) = pushes.doubt(counted.max(*cells)) {
        budget.outcome = Outcome::NoData;
        add(&mut budget.message, &format!("; but {doubt}"));
    }
    budget
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
