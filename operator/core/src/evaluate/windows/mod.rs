//! The parts of a run over which objectives are judged, as intervals of time.
//!
//! - **Run**: the whole load.
//! - **Steady**: the stretches of constant load, without faults and what they left behind.
//! - **Fault**: from an injection until as many pods as before are ready.
//! - **Recovery**: from there until the objectives of the recovery hold again.
//! - **Between**: a stretch that an objective names, from the measured start of the load.
//!
//! A window that should be there and is not (a fault that never happened) is [`Extent::Absent`]; one that is
//! rightly empty (the objectives held again before the pods were replaced) is [`Extent::Nothing`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultEffect, FaultState, FaultStatus, LoadTestStatus, RecoveryStatus, WindowKind};

use crate::{k6::inspect, numbers::interval::Interval, plan::objective::BetweenPlan};

pub mod context;
pub mod grid;

/// A part of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub kind: WindowKind,
    /// The fault, for Fault and Recovery.
    pub fault: Option<String>,
    pub extent: Extent,
}

/// Where a window lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// In order, apart from each other, at least one; more than one only for Steady.
    Stretches(Vec<Interval>),
    /// Rightly empty, and why: there is nothing to judge.
    Nothing(String),
    /// Not there, and why: nothing can be judged.
    Absent(String),
}

impl Window {
    #[must_use]
    pub fn stretches(&self) -> &[Interval] {
        match &self.extent {
            Extent::Stretches(stretches) => stretches,
            Extent::Nothing(_) | Extent::Absent(_) => &[],
        }
    }

    /// The window in words, as they follow an objective's name: ` in fault kill-dbman`, or nothing for Run.
    #[must_use]
    pub fn words(kind: WindowKind, fault: Option<&str>) -> String {
        match (kind, fault) {
            (WindowKind::Run, _) => String::new(),
            (WindowKind::Between, _) => " in its own stretch".to_owned(),
            (WindowKind::Steady, _) => " in steady load".to_owned(),
            (WindowKind::Fault, Some(fault)) => format!(" in fault {fault}"),
            (WindowKind::Fault, None) => " in faults".to_owned(),
            (WindowKind::Recovery, Some(fault)) => format!(" in the recovery from {fault}"),
            (WindowKind::Recovery, None) => " in recoveries".to_owned(),
        }
    }
}

/// The whole load, from the first start sent to the last runner seen through.
///
/// It starts when the start was recorded as intended, a moment before the first runner was resumed, so that
/// no request of a runner that was resumed early is left out.
#[must_use]
pub fn load(status: &LoadTestStatus) -> Option<Interval> {
    let load = status.load.as_ref()?;
    let started = load.started_at.as_ref()?.0;
    let from = load.start_intended_at.as_ref().map_or(started, |intended| intended.0.min(started));
    let to = load.ended_at.as_ref().or(load.planned_end_at.as_ref())?.0;
    Interval::new(from, to)
}

/// The stretches of constant load, by the measured start of it.
#[must_use]
pub fn level(status: &LoadTestStatus) -> Vec<Interval> {
    let Some(MicroTime(started)) = status.load.as_ref().and_then(|load| load.started_at.clone()) else {
        return Vec::new();
    };
    let at = |millis| started.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX);
    let plateaus = inspect::intersect(status.scenarios.iter().map(|s| s.plateaus.clone()));
    plateaus.iter().filter_map(|plateau| Interval::new(at(plateau.from), at(plateau.to))).collect()
}

/// The stretch between two times after the measured start of the load, up to its end.
#[must_use]
pub fn between(status: &LoadTestStatus, stretch: BetweenPlan) -> Window {
    let started = status.load.as_ref().and_then(|load| load.started_at.as_ref());
    let extent = match load(status).zip(started) {
        None => Extent::Absent(NEVER_RAN.to_owned()),
        Some((load, MicroTime(started))) => {
            let after = |length: Duration| started.checked_add(length).unwrap_or(load.to).min(load.to);
            match Interval::new(after(stretch.from), after(stretch.to)) {
                None => Extent::Absent("the load was over before this stretch".to_owned()),
                Some(stretch) => Extent::Stretches(vec![stretch]),
            }
        }
    };
    Window { kind: WindowKind::Between, fault: None, extent }
}

const NEVER_RAN: &str = "the load never ran";

/// All windows of a run: Run, Steady, then a Fault and a Recovery for each fault.
#[must_use]
pub fn windows(status: &LoadTestStatus) -> Vec<Window> {
    let window = |kind, fault: Option<&FaultStatus>, extent| Window {
        kind,
        fault: fault.map(|fault| fault.name.clone()),
        extent,
    };
    let Some(load) = load(status) else {
        return [WindowKind::Run, WindowKind::Steady, WindowKind::Fault, WindowKind::Recovery]
            .map(|kind| window(kind, None, Extent::Absent(NEVER_RAN.to_owned())))
            .into();
    };
    let run = window(WindowKind::Run, None, Extent::Stretches(vec![load]));
    let steady = window(WindowKind::Steady, None, steady(status, load));
    let of_faults = status.faults.iter().flat_map(|fault| {
        [
            window(WindowKind::Fault, Some(fault), of_fault(fault, load)),
            window(WindowKind::Recovery, Some(fault), of_recovery(fault, load)),
        ]
    });
    [run, steady].into_iter().chain(of_faults).collect()
}

fn steady(status: &LoadTestStatus, load: Interval) -> Extent {
    let within = |level: Interval| Interval::new(level.from.max(load.from), level.to.min(load.to));
    let flat: Vec<Interval> = level(status).into_iter().filter_map(within).collect();
    if flat.is_empty() {
        return Extent::Absent(
            "the load ramps all the time: add a stretch of constant load to the script".to_owned(),
        );
    }
    let mut holes: Vec<Interval> =
        status.faults.iter().filter_map(|fault| disturbance(fault, load)).collect();
    holes.sort_unstable_by_key(|hole| hole.from);
    let stretches = holes.into_iter().fold(flat, |stretches, hole| {
        stretches.into_iter().flat_map(|stretch| stretch.without(hole)).collect()
    });
    if stretches.is_empty() {
        Extent::Absent(
            "faults and their recoveries fill all of the constant load: lengthen the load or move the faults"
                .to_owned(),
        )
    } else {
        Extent::Stretches(stretches)
    }
}

/// From the injection until both the pods are replaced and the objectives hold again; until the end of the
/// load where that never came.
#[must_use]
pub fn disturbance(fault: &FaultStatus, load: Interval) -> Option<Interval> {
    let from = match fault.state {
        FaultState::NotInjected | FaultState::Pending => return None,
        _ => fault.injected_at.as_ref().or(fault.due_at.as_ref())?.0,
    };
    let recovery = measured_recovery(fault);
    let replaced = fault.replaced_at.as_ref().map(|t| t.0);
    let recovered = recovery.map(|r| r.recovered_at.as_ref().map(|t| t.0));
    let to = match (replaced, recovered) {
        (Some(replaced), Some(Some(recovered))) => replaced.max(recovered),
        (Some(replaced), None) => replaced,
        _ => load.to,
    };
    Interval::new(from.max(load.from), to.min(load.to))
}

/// The recovery of a fault, where one was asked for or measured for its budget.
fn measured_recovery(fault: &FaultStatus) -> Option<&RecoveryStatus> {
    fault.recovery.as_ref().filter(|r| r.within.is_some() || r.effect != FaultEffect::Unmeasured)
}

fn of_fault(fault: &FaultStatus, load: Interval) -> Extent {
    let Some(injected) = injected(fault) else { return never(fault) };
    let to = fault.replaced_at.as_ref().map_or(load.to, |t| t.0).min(load.to);
    match Interval::new(injected.max(load.from), to) {
        Some(interval) => Extent::Stretches(vec![interval]),
        None => Extent::Absent(format!("fault {} did not fall into the load", fault.name)),
    }
}

fn of_recovery(fault: &FaultStatus, load: Interval) -> Extent {
    if injected(fault).is_none() {
        return never(fault);
    }
    let name = &fault.name;
    let Some(recovery) = measured_recovery(fault) else {
        return Extent::Nothing(format!("fault {name} has no recovery, which alone says when it is over"));
    };
    let Some(MicroTime(replaced)) = fault.replaced_at else {
        return Extent::Nothing(format!("the pods of fault {name} were not replaced before the load ended"));
    };
    let to = recovery.recovered_at.as_ref().map_or(load.to, |t| t.0).min(load.to);
    match Interval::new(replaced, to) {
        Some(interval) => Extent::Stretches(vec![interval]),
        None => Extent::Nothing(format!(
            "the objectives held again before the pods of fault {name} were replaced"
        )),
    }
}

fn injected(fault: &FaultStatus) -> Option<Timestamp> {
    fault.injected_at.as_ref().filter(|_| fault.state == FaultState::Injected).map(|t| t.0)
}

fn never(fault: &FaultStatus) -> Extent {
    let why = match fault.state {
        FaultState::Unconfirmed => "may have happened, but not provably by this run",
        FaultState::Failed => "failed",
        _ => "was not injected",
    };
    Extent::Absent(format!("fault {} {why}", fault.name))
}

#[cfg(test)]
mod tests;
