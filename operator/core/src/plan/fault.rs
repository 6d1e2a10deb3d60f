//! Faults, checked: whom they hit, how fast the system must be back, how much harm they may do, and whether the
//! figures can tell.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use loadtest_crds::{Budget, Fault, Pick, RecoveryLimit, text::DurationText};

use crate::{
    numbers::{duration::human, limit::Limit},
    plan::{
        error::Refusal,
        objective::ObjectivePlan,
        pods::{self, selector_text},
        read,
    },
};

/// For how long the objectives must hold where only a budget asks when the system was back.
const HOLD: Duration = Duration::from_secs(10);

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    pub name: String,
    /// After the measured start of the load.
    pub at: Duration,
    pub namespace: String,
    pub selector: LabelSelector,
    pub pick: PickPlan,
    pub allow_no_ready: bool,
    pub action: Action,
    pub limits: FaultLimits,
}

/// What is asked of the system when a fault strikes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultLimits {
    /// How it is told that the system is back; there too where only a budget needs to know.
    pub recovery: Option<RecoveryPlan>,
    pub budget: Option<BudgetPlan>,
}

/// When the system counts as recovered, and how fast it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// Names of the objectives, all of them with figures of k6.
    pub of: Vec<String>,
    /// `None` where the recovery is measured and not judged.
    pub within: Option<TimeLimit>,
    /// For how long the objectives must hold to count as recovered.
    pub hold: Duration,
    pub alert: Option<AlertPlan>,
}

/// The alert that should notice a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertPlan {
    pub name: String,
    /// Where the targets are: the alert of another namespace is not about them.
    pub namespace: String,
}

/// How much harm a fault may do to each of the named objectives.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPlan {
    /// Names of the objectives, all of them with figures of k6.
    pub of: Vec<String>,
    pub bad_requests: Option<u64>,
    pub downtime: Option<TimeLimit>,
    /// A share.
    pub worst_second: Option<Limit>,
}

/// A length of time with the text that the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    pub time: Duration,
    pub text: String,
}

/// How many of the matching pods a fault takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickPlan {
    Count(usize),
    Percent(usize),
    All,
}

/// What a fault does to its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    PodKill { grace_period_seconds: u32 },
}

impl FaultPlan {
    pub(super) fn of(fault: &Fault, own: &str, objectives: &[ObjectivePlan]) -> Result<Self, Refusal> {
        let (namespace, selector) = pods::checked(&fault.target.pods, own)?;
        let kill = fault.pod_kill.as_ref().ok_or(Refusal::NoAction)?;
        Ok(Self {
            name: fault.name.clone(),
            at: read::time("at", &fault.at)?,
            limits: FaultLimits::of(fault, &namespace, objectives)?,
            namespace,
            selector,
            pick: PickPlan::of(&fault.target.pick).ok_or(Refusal::NoPick)?,
            allow_no_ready: fault.target.allow_no_ready,
            action: Action::PodKill {
                grace_period_seconds: u32::try_from(kill.grace_period_seconds).unwrap_or_default(),
            },
        })
    }

    /// The selector as kubectl's `-l` takes it.
    #[must_use]
    pub fn selector_text(&self) -> String {
        selector_text(&self.selector)
    }

    /// Names of all objectives that tell how the system takes the fault, each once.
    #[must_use]
    pub fn witnesses(&self) -> Vec<String> {
        self.limits.witnesses()
    }

    /// Why the fault cannot be judged with figures that are pushed so often: its limits are finer than they are.
    #[must_use]
    pub fn too_fine(&self, push: Duration) -> Option<String> {
        let finest = resolution(push);
        let within =
            self.limits.recovery.as_ref().and_then(|r| r.within.as_ref()).map(|l| ("recovery.within", l));
        let downtime =
            self.limits.budget.as_ref().and_then(|b| b.downtime.as_ref()).map(|l| ("budget.downtime", l));
        let (field, limit) = within.into_iter().chain(downtime).find(|(_, limit)| limit.time < finest)?;
        Some(format!(
            "fault {}: {field} of {} is finer than k6's figures, which come in seconds and every {}: write at least {}",
            self.name,
            limit.text,
            human(push),
            human(finest)
        ))
    }

    /// Why the fault cannot be judged in a load of this length.
    #[must_use]
    pub fn too_late(&self, load: Duration) -> Option<String> {
        let recovery = self.limits.recovery.as_ref();
        let within = recovery.and_then(|r| r.within.as_ref()).map_or(Duration::ZERO, |within| within.time);
        let hold = recovery.map_or(Duration::ZERO, |recovery| recovery.hold);
        let needed = self.at + within + hold;
        if needed <= load && self.at < load {
            return None;
        }
        let parts = [("at", self.at), ("recovery within", within), ("hold", hold)];
        let parts = parts.iter().filter(|(_, length)| !length.is_zero());
        let parts: Vec<String> = parts.map(|(what, length)| format!("{what} {}", human(*length))).collect();
        Some(format!(
            "fault {} needs load until {} after the start ({}), but the load lasts {}: lengthen the load beyond that, or \
             move the fault",
            self.name,
            human(needed),
            parts.join(", "),
            human(load)
        ))
    }
}

impl FaultLimits {
    fn of(fault: &Fault, namespace: &str, objectives: &[ObjectivePlan]) -> Result<Self, Refusal> {
        let tells = |name: &String| objectives.iter().any(|o| o.name == *name && o.figure.is_client_side());
        let witnesses = |field: &'static str, of: &[String]| match of.iter().find(|name| !tells(name)) {
            None => Ok(of.to_vec()),
            Some(objective) => Err(Refusal::Witness { field, objective: objective.clone() }),
        };
        let limit = |field: &'static str, text: &DurationText| {
            Ok::<_, Refusal>(TimeLimit { time: read::time(field, text)?, text: text.to_string() })
        };
        let recovery = |limits: &RecoveryLimit| {
            Ok::<_, Refusal>(RecoveryPlan {
                of: witnesses("recovery", &limits.of)?,
                within: Some(limit("recovery.within", &limits.within)?),
                hold: read::time("recovery.hold", &limits.hold)?,
                alert: limits.alert.clone().map(|name| AlertPlan { name, namespace: namespace.to_owned() }),
            })
        };
        let budget = |limits: &Budget| {
            let worst = limits.worst_second.as_ref();
            Ok::<_, Refusal>(BudgetPlan {
                of: witnesses("budget", &limits.of)?,
                bad_requests: limits.bad_requests.and_then(|n| u64::try_from(n).ok()),
                downtime: limits.downtime.as_ref().map(|d| limit("budget.downtime", d)).transpose()?,
                worst_second: worst.map(|text| read::share("budget.worstSecond", text)).transpose()?,
            })
        };
        let budget = fault.budget.as_ref().map(budget).transpose()?;
        let recovery = match &fault.recovery {
            Some(limits) => Some(recovery(limits)?),
            None => budget.as_ref().map(|budget| RecoveryPlan {
                of: budget.of.clone(),
                within: None,
                hold: HOLD,
                alert: None,
            }),
        };
        Ok(Self { recovery, budget })
    }

    /// Names of all objectives that tell how the system takes the fault, each once.
    #[must_use]
    pub fn witnesses(&self) -> Vec<String> {
        let recovery = self.recovery.iter().flat_map(|r| &r.of);
        let budget = self.budget.iter().flat_map(|b| &b.of);
        let mut names: Vec<String> = recovery.chain(budget).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl PickPlan {
    fn of(pick: &Pick) -> Option<Self> {
        let positive = |n: i32| usize::try_from(n).ok().filter(|n| *n > 0);
        match (pick.count, pick.percent, pick.all) {
            (Some(n), None, None) => positive(n).map(Self::Count),
            (None, Some(p), None) => positive(p).map(Self::Percent),
            (None, None, Some(true)) => Some(Self::All),
            _ => None,
        }
    }
}

/// The length of a cell: a push, in whole seconds.
#[must_use]
pub fn step(push: Duration) -> Duration {
    Duration::from_secs(u64::try_from(push.as_millis().div_ceil(1000)).unwrap_or(1).max(1))
}

/// How finely anything can be told from cells: a cell and a push.
#[must_use]
pub fn resolution(push: Duration) -> Duration {
    step(push) + push
}

#[cfg(test)]
mod tests;
