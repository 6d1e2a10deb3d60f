//! The spec, checked: after this nothing is optional that must be there, and every text is parsed.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use loadtest_crds::{Fault, LoadTest, Pick, Runner, Scenario, VerdictPolicy, text::DurationText};

use crate::{
    duration,
    names::{self, RunNames, RunnerId},
};

pub mod objective;

pub use objective::{ObjectiveError, ObjectivePlan, RecoveryPlan};

/// A run as it will be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub names: RunNames,
    pub series: String,
    pub service_account: Option<String>,
    pub prometheus: String,
    pub scenarios: Vec<ScenarioPlan>,
    pub runner: Runner,
    pub start_timeout: Duration,
    pub faults: Vec<FaultPlan>,
    pub objectives: Vec<ObjectivePlan>,
    pub policy: VerdictPolicy,
}

/// One group of runners.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioPlan {
    pub spec: Scenario,
    /// Virtual users and duration, where the LoadTest sets them.
    pub load: Option<(i32, Duration)>,
}

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
    pub recovery: Option<RecoveryPlan>,
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

/// The spec asks for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the object has no {0}: it must come from the API server")]
    Incomplete(&'static str),
    #[error("{field}: `{text}` is no length of time: write it as in 300ms, 90s or 1m30s")]
    Duration { field: String, text: String },
    #[error("fault {fault}: say what it does: podKill: {{}}")]
    NoAction { fault: String },
    #[error("fault {fault}: pick exactly one of count, percent or all")]
    NoPick { fault: String },
    #[error("fault {fault}: recovery.of names {objective}, which is not a k6 objective of this LoadTest")]
    RecoveryOf { fault: String, objective: String },
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
}

impl Plan {
    /// Checks a LoadTest.
    ///
    /// # Errors
    /// [`PlanError`] says what to write instead. The API server refuses most of it before.
    pub fn of(test: &LoadTest) -> Result<Self, PlanError> {
        let metadata = &test.metadata;
        let names = RunNames {
            namespace: metadata.namespace.clone().ok_or(PlanError::Incomplete("namespace"))?,
            name: metadata.name.clone().ok_or(PlanError::Incomplete("name"))?,
            uid: metadata.uid.clone().ok_or(PlanError::Incomplete("uid"))?,
        };
        let label = metadata.labels.as_ref().and_then(|l| l.get(loadtest_crds::SERIES_LABEL));
        let spec = &test.spec;
        let objectives = spec
            .objectives
            .iter()
            .map(|o| ObjectivePlan::parse(o, &spec.verdict))
            .collect::<Result<Vec<_>, _>>()?;
        let faults = spec
            .faults
            .iter()
            .map(|fault| FaultPlan::of(fault, &names.namespace, &objectives))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            series: names::series(&names.name, metadata.generate_name.as_deref(), label.map(String::as_str)),
            service_account: spec.service_account_name.clone(),
            prometheus: spec.prometheus.clone(),
            scenarios: spec.scenarios.iter().map(ScenarioPlan::of).collect::<Result<Vec<_>, _>>()?,
            start_timeout: time("runner.startTimeout", &spec.runner.start_timeout)?,
            runner: spec.runner.clone(),
            faults,
            objectives,
            policy: spec.verdict.clone(),
            names,
        })
    }

    /// Every runner of the run, in order.
    pub fn runners(&self) -> impl Iterator<Item = RunnerId> + '_ {
        self.scenarios.iter().flat_map(|scenario| {
            (0..scenario.parallelism()).map(|index| RunnerId { scenario: scenario.spec.name.clone(), index })
        })
    }

    #[must_use]
    pub fn scenario(&self, name: &str) -> Option<&ScenarioPlan> {
        self.scenarios.iter().find(|s| s.spec.name == name)
    }

    #[must_use]
    pub fn fault(&self, name: &str) -> Option<&FaultPlan> {
        self.faults.iter().find(|f| f.name == name)
    }
}

impl ScenarioPlan {
    fn of(spec: &Scenario) -> Result<Self, PlanError> {
        let load = match (spec.vus, &spec.duration) {
            (Some(vus), Some(length)) => {
                Some((vus, time(&format!("scenario {}: duration", spec.name), length)?))
            }
            _ => None,
        };
        Ok(Self { spec: spec.clone(), load })
    }

    #[must_use]
    pub fn parallelism(&self) -> u32 {
        u32::try_from(self.spec.parallelism).unwrap_or(1).max(1)
    }
}

impl FaultPlan {
    fn of(fault: &Fault, own_namespace: &str, objectives: &[ObjectivePlan]) -> Result<Self, PlanError> {
        let name = fault.name.clone();
        let field = |f: &str| format!("fault {}: {f}", fault.name);
        let kill = fault.pod_kill.as_ref().ok_or_else(|| PlanError::NoAction { fault: name.clone() })?;
        let recovery = match &fault.recovery {
            None => None,
            Some(limit) => {
                if let Some(unknown) = limit
                    .of
                    .iter()
                    .find(|n| !objectives.iter().any(|o| o.name == **n && o.figure.is_client_side()))
                {
                    return Err(PlanError::RecoveryOf { fault: name, objective: unknown.clone() });
                }
                Some(RecoveryPlan {
                    of: limit.of.clone(),
                    within: time(&field("recovery.within"), &limit.within)?,
                    within_text: limit.within.to_string(),
                    hold: time(&field("recovery.hold"), &limit.hold)?,
                })
            }
        };
        Ok(Self {
            at: time(&field("at"), &fault.at)?,
            namespace: fault.target.namespace.clone().unwrap_or_else(|| own_namespace.to_owned()),
            selector: fault.target.selector.clone(),
            pick: PickPlan::of(&fault.target.pick)
                .ok_or_else(|| PlanError::NoPick { fault: name.clone() })?,
            allow_no_ready: fault.target.allow_no_ready,
            action: Action::PodKill {
                grace_period_seconds: u32::try_from(kill.grace_period_seconds).unwrap_or_default(),
            },
            recovery,
            name,
        })
    }

    /// The selector as kubectl's `-l` takes it.
    #[must_use]
    pub fn selector_text(&self) -> String {
        let labels = self.selector.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}"));
        let expressions = self.selector.match_expressions.iter().flatten().map(|e| {
            let values = || e.values.as_deref().unwrap_or_default().join(",");
            match e.operator.as_str() {
                "In" => format!("{} in ({})", e.key, values()),
                "NotIn" => format!("{} notin ({})", e.key, values()),
                "DoesNotExist" => format!("!{}", e.key),
                _ => e.key.clone(),
            }
        });
        labels.chain(expressions).collect::<Vec<_>>().join(",")
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

fn time(field: &str, text: &DurationText) -> Result<Duration, PlanError> {
    duration::parse(text.as_str())
        .ok_or_else(|| PlanError::Duration { field: field.to_owned(), text: text.to_string() })
}
