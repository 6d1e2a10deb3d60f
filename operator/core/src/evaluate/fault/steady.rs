//! Whether the system is healthy just before a fault: a fault that strikes a system which is down already shows
//! nothing about the fault.
//!
//! The objectives that tell how the system takes the fault are judged over the last 10 s, by the same questions as in
//! any window. Only a miss keeps the fault from being injected: too few requests to be sure of one, or no answer, do
//! not. One bad request is always allowed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{LoadTestStatus, Outcome, WindowKind};

use crate::{
    evaluate::{
        objective::probe::Probe,
        windows::{
            Extent, Window,
            context::{Context, Settings},
        },
    },
    k6::question::{Asks, Request},
    numbers::{duration::human, interval::Interval},
    plan::{Plan, objective::ObjectivePlan},
    prometheus::ask::{Answer, Answers},
};

/// How far back is looked.
const BEFORE: Duration = Duration::from_secs(10);

/// How the system stood just before a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Held,
    /// An objective was missed, and how.
    NotHeld(String),
    /// Why that is not known.
    Unknown(String),
}

/// The questions about the time just before a fault.
#[derive(Debug)]
pub struct Steady {
    probes: Vec<(ObjectivePlan, Probe)>,
    requests: Vec<Request>,
    length: Duration,
    context: Context,
}

impl Steady {
    /// Asks what the objectives of a fault's recovery and budget say about the time up to `now`.
    #[must_use]
    pub fn ask(
        plan: &Plan,
        fault: &str,
        status: &LoadTestStatus,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Self> {
        let witnesses = plan.fault(fault)?.witnesses();
        // Ten seconds are too short to tell bursts from independent requests.
        let context = Context { cells: None, ..Context::of(status, settings) };
        let earliest = now.saturating_sub(SignedDuration::try_from(BEFORE).ok()?).unwrap_or(now);
        let push = SignedDuration::try_from(settings.push).unwrap_or(SignedDuration::ZERO);
        let after_others = felt_until(plan, status, fault).map(|at| at.saturating_add(push).unwrap_or(at));
        let from = context.load?.from.max(earliest).max(after_others.unwrap_or(earliest));
        let interval = Interval::new(from, now)?;
        let window = Window { kind: WindowKind::Run, fault: None, extent: Extent::Stretches(vec![interval]) };
        let mut asks = Asks::default();
        let named = plan.objectives.iter().filter(|o| witnesses.contains(&o.name));
        let probes = named.map(|o| (o.clone(), Probe::new(o, &window, &context, &mut asks))).collect();
        Some(Self { probes, requests: asks.into_requests(), length: interval.length(), context })
    }

    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.clone()
    }

    /// What the answers say.
    #[must_use]
    pub fn judge(&self, answers: Vec<(usize, Answer)>) -> Health {
        let failed = answers.iter().find_map(|(_, answer)| match answer {
            Answer::Failed(why) => Some(why.clone()),
            _ => None,
        });
        let mut all = Answers::default();
        all.add(answers);
        for (objective, probe) in &self.probes {
            let (finding, _) = probe.judge(objective, &self.context, &all, &[]);
            let more_than_one = finding.bad.is_none_or(|bad| bad > 1);
            if finding.outcome == Outcome::Missed && more_than_one {
                return Health::NotHeld(format!(
                    "{}: in the {} before, {}",
                    objective.name,
                    human(self.length),
                    finding.message
                ));
            }
        }
        failed.map_or(Health::Held, Health::Unknown)
    }
}

/// Until when the faults that have been injected may be felt by their own limits. Till then the system is not expected
/// to be healthy: what comes meanwhile is one incident with them.
#[must_use]
pub fn felt_until(plan: &Plan, status: &LoadTestStatus, fault: &str) -> Option<Timestamp> {
    let others = status.faults.iter().zip(&plan.faults).filter(|(_, other)| other.name != fault);
    let ends = others.filter_map(|(status, other)| {
        let injected = status.injected()?;
        Some(match &other.limits.recovery {
            Some(recovery) => {
                let within = recovery.within.as_ref().map_or(Duration::ZERO, |within| within.time);
                injected.saturating_add(SignedDuration::try_from(within.max(recovery.hold)).ok()?).ok()?
            }
            None => status.replaced().unwrap_or(Timestamp::MAX),
        })
    });
    ends.max()
}

#[cfg(test)]
mod tests;
