//! The figures of a run, as they stand in its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{BudgetStatus, LoadTestStatus, ObjectiveStatus, Outcome, RecoveryStatus, WindowResult};

use crate::{
    evaluate::{load::Delivered, names::Counted, objective::finding::Finding, windows::Window},
    numbers::limit,
    plan::objective::ObjectivePlan,
};

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    pub objectives: Vec<ObjectiveStatus>,
    /// By fault, in the order of the status.
    pub recoveries: Vec<(String, RecoveryStatus)>,
    /// By fault, of those that have a budget.
    pub budgets: Vec<(String, BudgetStatus)>,
    pub requests: Option<i64>,
    pub failed_requests: Option<i64>,
    /// How many names the requests had.
    pub request_names: Option<Counted>,
    pub iterations: Option<i64>,
    pub dropped_iterations: Option<i64>,
    /// What was asked for, and what of it is missing.
    pub delivered: Delivered,
    /// When the load ended, where that was seen much later only.
    pub ended_at: Option<MicroTime>,
}

impl Judgement {
    /// Records the figures.
    pub fn write_into(&self, status: &mut LoadTestStatus) {
        status.objectives.clone_from(&self.objectives);
        for (name, recovery) in &self.recoveries {
            if let Some(fault) = status.faults.iter_mut().find(|f| f.name == *name) {
                fault.recovery = Some(recovery.clone());
                fault.budget = self.budgets.iter().find(|(of, _)| of == name).map(|(_, b)| b.clone());
            }
        }
        let load = status.load.get_or_insert_default();
        load.ended_at = self.ended_at.clone().or(load.ended_at.take());
        load.requests = self.requests;
        load.failed_requests = self.failed_requests;
        load.request_names = self.request_names.map(Counted::names).or(load.request_names);
        load.iterations = self.iterations;
        load.dropped_iterations = self.dropped_iterations;
        load.asked_iterations = self.delivered.asked_iterations;
        load.delivered_vus = self.delivered.vus;
        load.shortfalls.clone_from(&self.delivered.shortfalls);
    }
}

pub(crate) fn result(window: &Window, finding: Finding, query: Option<String>) -> WindowResult {
    let stretches = window.stretches();
    WindowResult {
        window: window.kind,
        fault: window.fault.clone(),
        from: stretches.first().map(|s| MicroTime(s.from)),
        to: stretches.last().map(|s| MicroTime(s.to)),
        outcome: finding.outcome,
        value: finding.value,
        figure: finding.figure.and_then(limit::decimal),
        samples: finding.samples,
        bad: finding.bad,
        effective_samples: finding.effective,
        query,
        message: Some(finding.message),
    }
}

/// A status must stay small: queries beyond this many bytes are left out of it, those of figures that met their
/// limit first, and of these the longest.
pub(crate) const QUERY_BYTES: usize = 24 * 1024;

pub(crate) fn leave_out_queries(objectives: &mut [ObjectiveStatus]) {
    let mut results: Vec<&mut WindowResult> = objectives.iter_mut().flat_map(|o| &mut o.windows).collect();
    let length = |result: &WindowResult| result.query.as_ref().map_or(0, String::len);
    results.sort_by_key(|result| (result.outcome == Outcome::Met, length(result)));
    let mut kept = 0;
    for result in results {
        kept += length(result);
        if kept > QUERY_BYTES {
            result.query = None;
        }
    }
}

pub(crate) fn objective_status(objective: &ObjectivePlan, windows: Vec<WindowResult>) -> ObjectiveStatus {
    let worst = windows.iter().map(|w| w.outcome).max().unwrap_or(Outcome::NoData);
    // An objective of which every window was rightly empty was never judged, and that is no pass.
    let judged = windows.iter().any(|w| w.from.is_some() || w.outcome != Outcome::Met);
    ObjectiveStatus {
        name: objective.name.clone(),
        outcome: if judged { worst } else { Outcome::NoData },
        key: objective.key,
        limit: objective.bound.words(),
        windows,
        spikes: Vec::new(),
    }
}
