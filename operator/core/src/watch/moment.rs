//! Where a time lies in the run: under a fault, in the recovery from one, and in which stretch of constant load.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::{FaultStatus, LoadTestStatus, Plateau};

use crate::{k6::inspect, plan::Plan};

/// The run as its guardrails see it.
#[derive(Clone, Debug)]
pub struct Course {
    started: Option<Timestamp>,
    /// Stretches of constant load, in milliseconds from the start.
    plateaus: Vec<Plateau>,
    faults: Vec<(FaultStatus, Duration)>,
}

impl Course {
    #[must_use]
    pub fn of(plan: &Plan, status: &LoadTestStatus) -> Self {
        let hold = |name: &str| {
            plan.fault(name)
                .and_then(|f| f.limits.recovery.as_ref())
                .map_or(Duration::ZERO, |recovery| recovery.hold)
        };
        Self {
            started: status.load_started(),
            plateaus: inspect::intersect(status.scenarios.iter().map(|s| s.plateaus.clone())),
            faults: status.faults.iter().map(|fault| (fault.clone(), hold(&fault.name))).collect(),
        }
    }

    /// From an injection until the pods are replaced.
    #[must_use]
    pub fn in_fault(&self, at: Timestamp) -> bool {
        self.faults.iter().any(|(fault, _)| {
            fault.begun().is_some_and(|from| from <= at) && fault.replaced().is_none_or(|until| at < until)
        })
    }

    /// From the replacement of the pods until the `hold` of the recovery has gone by: whether the system is
    /// back is only judged when the load is over.
    #[must_use]
    pub fn in_recovery(&self, at: Timestamp) -> bool {
        self.faults.iter().any(|(fault, hold)| {
            let from = fault.begun().and(fault.replaced());
            from.is_some_and(|from| from <= at && at < from + *hold)
        })
    }

    /// The stretch of constant load that a time lies in, and for how long it has lasted by then.
    #[must_use]
    pub fn stretch(&self, at: Timestamp) -> Option<(usize, Duration)> {
        let since = i64::try_from(at.duration_since(self.started?).as_millis()).ok()?;
        let index = self.plateaus.iter().position(|p| p.from <= since && since < p.to)?;
        let lasted = u64::try_from(since - self.plateaus[index].from).unwrap_or(0);
        Some((index, Duration::from_millis(lasted)))
    }
}
