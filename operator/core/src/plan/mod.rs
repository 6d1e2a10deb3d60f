//! The spec, checked: after this nothing is optional that must be there, and every text is parsed.

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::{Baseline, Expectation, LoadTest, LoadTestStatus, Runner, Scenario, VerdictPolicy};

use crate::{
    k6::store::{Store, store_of},
    numbers::limit::Limit,
    plan::{
        error::{PlanError, Refusal},
        fault::FaultPlan,
        figure::Figure,
        guardrail::{GuardrailPlan, MOST},
        names::{RunNames, RunnerId},
        objective::ObjectivePlan,
        system::WatchPlan,
    },
    prometheus::template::Values,
};

pub mod error;
pub mod fault;
pub mod figure;
pub mod fingerprint;
pub mod guardrail;
pub mod names;
pub mod objective;
mod pods;
mod read;
pub mod size;
pub mod syntax;
pub mod system;
pub mod threshold;

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
    pub guardrails: Vec<GuardrailPlan>,
    pub expect: Option<Expectation>,
    /// The parts of the system under test that are watched.
    pub watched: Vec<WatchPlan>,
    pub policy: VerdictPolicy,
    pub baseline: Option<BaselinePlan>,
    /// What of the run's fingerprint stands in the spec.
    pub fingerprint: String,
}

/// One group of runners.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioPlan {
    pub spec: Scenario,
    /// Virtual users and duration, where the LoadTest sets them.
    pub load: Option<(i32, Duration)>,
}

impl Plan {
    /// Whether anything is asked of the Prometheus that knows the system under test.
    #[must_use]
    pub fn asks_system(&self) -> bool {
        let of_system = |query: &str| store_of(query) != Ok(Store::Load);
        let objective = |objective: &ObjectivePlan| match &objective.figure {
            Figure::Ratio { good, total } => of_system(good) || of_system(total),
            Figure::Query(query) | Figure::Slope { query, .. } => of_system(query),
            Figure::Template(template) => {
                template.render(&Values::example()).map_or(true, |query| of_system(&query))
            }
            _ => false,
        };
        let has_alert = |fault: &FaultPlan| {
            fault.limits.recovery.as_ref().is_some_and(|recovery| recovery.alert.is_some())
        };
        self.objectives.iter().any(objective)
            || self.guardrails.iter().any(|guardrail| of_system(&guardrail.query))
            || self.faults.iter().any(has_alert)
    }

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
        size::check(&test.spec)?;
        let label = metadata.labels.as_ref().and_then(|l| l.get(loadtest_crds::SERIES_LABEL));
        let spec = &test.spec;
        let account = spec.service_account_name.as_ref();
        let scenario = |spec: &Scenario| ScenarioPlan::of(spec).map_err(Refusal::of("scenario", &spec.name));
        let objectives = spec
            .objectives
            .iter()
            .map(|o| ObjectivePlan::parse(o, &spec.verdict))
            .collect::<Result<Vec<_>, _>>()?;
        let faults = spec
            .faults
            .iter()
            .map(|fault| {
                let plan = FaultPlan::of(fault, &names.namespace, &objectives);
                plan.map_err(Refusal::of("fault", &fault.name))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            series: names::series(&names.name, metadata.generate_name.as_deref(), label.map(String::as_str)),
            service_account: account.map(|account| read::name("serviceAccountName", account)).transpose()?,
            prometheus: spec.prometheus.clone(),
            scenarios: spec.scenarios.iter().map(scenario).collect::<Result<Vec<_>, _>>()?,
            start_timeout: read::time("runner.startTimeout", &spec.runner.start_timeout)?,
            runner: spec.runner.clone(),
            watched: system::parts(&spec.system, &faults, &names.namespace)?,
            faults,
            objectives,
            guardrails: GuardrailPlan::all(&spec.guardrails, &names)?,
            expect: spec.expect.clone(),
            policy: spec.verdict.clone(),
            baseline: spec.baseline.as_ref().map(baseline).transpose()?,
            fingerprint: fingerprint::of_spec(spec),
            names,
        })
    }

    /// What is judged: the objectives, and the thresholds of the scripts once these are known.
    #[must_use]
    pub fn judged(&self, status: &LoadTestStatus) -> Vec<ObjectivePlan> {
        let own = self.objectives.iter().cloned();
        own.chain(threshold::objectives(status)).collect()
    }

    /// Every runner of the run, in order.
    pub fn runners(&self) -> impl Iterator<Item = RunnerId> + '_ {
        self.scenarios.iter().flat_map(|scenario| {
            (0..scenario.parallelism()).map(|index| RunnerId { scenario: scenario.spec.name.clone(), index })
        })
    }

    /// Every pod of the run by its name: of which scenario, and which runner, unless it inspects the script.
    #[must_use]
    pub fn pods(&self) -> BTreeMap<String, (String, Option<RunnerId>)> {
        let inspections = self.scenarios.iter().map(|s| {
            let scenario = s.spec.name.clone();
            (self.names.inspect_pod(&scenario), (scenario, None))
        });
        let runners = self.runners().map(|id| (self.names.runner_pod(&id), (id.scenario.clone(), Some(id))));
        inspections.chain(runners).collect()
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
    fn of(spec: &Scenario) -> Result<Self, Refusal> {
        let load = match (spec.vus, &spec.duration) {
            (Some(vus), Some(length)) => Some((vus, read::time("duration", length)?)),
            _ => None,
        };
        if let Some(map) = &spec.script.config_map {
            read::name("script.configMap.name", &map.name)?;
        }
        Ok(Self { spec: spec.clone(), load })
    }

    #[must_use]
    pub fn parallelism(&self) -> u32 {
        u32::try_from(self.spec.parallelism).unwrap_or(1).max(1)
    }
}

fn baseline(baseline: &Baseline) -> Result<BaselinePlan, Refusal> {
    Ok(BaselinePlan {
        runs: usize::try_from(baseline.runs).unwrap_or(0),
        max_regression: read::share("baseline.maxRegression", &baseline.max_regression)?,
    })
}

/// All guardrails of a run whose scripts are known: those of the spec, and the script's own thresholds with
/// abortOnFail.
#[must_use]
pub fn guardrails_of(plan: &Plan, status: &LoadTestStatus) -> Vec<GuardrailPlan> {
    let own = plan.guardrails.iter().cloned();
    own.chain(threshold::guardrails(status, &plan.names.uid)).take(MOST).collect()
}

/// With how many earlier runs to compare, and how much worse is too much.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselinePlan {
    pub runs: usize,
    pub max_regression: Limit,
}
