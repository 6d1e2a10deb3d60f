//! A run against earlier runs of its series: which of them count, and whether a figure has become worse.
//!
//! A figure is worse when it lies on the wrong side of the median of the last passing runs with the same
//! fingerprint, by more than a share of that median and by more than the runs scatter among themselves: 3 times
//! their median absolute deviation, scaled by 1.4826 to the standard deviation of a normal distribution
//! (Rousseeuw and Croux 1993, "Alternatives to the Median Absolute Deviation").
//!
//! A percentile is known to a bucket of k6's histogram, 9% wide: the same bucket or the next one is no change.

use std::collections::BTreeMap;

use jiff::Timestamp;
use loadtest_crds::{
    BaselineStatus, LoadTest, LoadTestStatus, Outcome, Phase, Verdict, WindowKind, WindowResult,
};
use serde::{Deserialize, Serialize};

use crate::{
    k6::metrics::BUCKET,
    numbers::{
        limit::{Bound, Limit, percent, read_decimal},
        median::median,
    },
    plan::{BaselinePlan, figure::Figure, objective::ObjectivePlan},
};

/// With fewer runs a median and a scatter say little: a change is shown, and not judged.
pub const FEWEST: usize = 5;
/// A status must stay small.
const MOST: usize = 64;

/// What is known of earlier runs of the series, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    pub runs: Vec<Earlier>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// One earlier run, as far as it is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Earlier {
    pub name: String,
    pub verdict: Verdict,
    pub finished_at: Timestamp,
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The ConfigMap with its record.
    #[serde(default)]
    pub report: Option<String>,
    pub figures: Vec<EarlierFigure>,
    /// What its selectors and queries matched: see [`crate::verdict::drift`]. Known of the latest run only.
    #[serde(default)]
    pub matched: BTreeMap<String, i64>,
}

/// One objective in one window of an earlier run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierFigure {
    pub objective: String,
    pub window: WindowKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    pub outcome: Outcome,
    /// As it is for programs: one that is rounded for reading differs though nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
}

impl Earlier {
    /// A run of the series whose figures are evidence; none for all others.
    #[must_use]
    pub fn of(test: &LoadTest, series: &str, own_uid: &str) -> Option<Self> {
        let status = test.status.as_ref()?;
        let verdict =
            status.verdict.filter(|v| matches!(v, Verdict::Pass | Verdict::Warn | Verdict::Fail))?;
        let own = test.metadata.uid.as_deref() == Some(own_uid);
        if own || status.phase != Phase::Finished || status.series.as_deref() != Some(series) {
            return None;
        }
        let figures = status.objectives.iter().flat_map(|objective| {
            objective.windows.iter().map(|window| EarlierFigure {
                objective: objective.name.clone(),
                window: window.window,
                fault: window.fault.clone(),
                outcome: window.outcome,
                figure: window.figure.clone(),
            })
        });
        Some(Self {
            name: test.metadata.name.clone()?,
            verdict,
            finished_at: status.finished_at.as_ref()?.0,
            fingerprint: status.fingerprint.clone(),
            report: status.report.clone(),
            figures: figures.collect(),
            matched: BTreeMap::new(),
        })
    }

    fn is_same_load(&self, fingerprint: Option<&str>) -> bool {
        fingerprint.is_some() && self.fingerprint.as_deref() == fingerprint
    }
}

impl History {
    /// Of all earlier runs of the series, those that matter: the last, the last with the same load, and the last so
    /// many passing ones with the same load.
    #[must_use]
    pub fn of(mut all: Vec<Earlier>, fingerprint: Option<&str>, passing: usize) -> Self {
        all.sort_by(|a, b| b.finished_at.cmp(&a.finished_at).then(a.name.cmp(&b.name)));
        let (mut same_load, mut passed) = (false, 0);
        let mut runs = Vec::new();
        for (n, run) in all.into_iter().enumerate() {
            let same = run.is_same_load(fingerprint);
            let counts = same && run.verdict == Verdict::Pass && passed < passing;
            if n == 0 || counts || same && !same_load {
                passed += usize::from(counts);
                same_load |= same;
                runs.push(run);
            }
        }
        Self { runs, unread: None }
    }

    /// The run before, whatever its load.
    #[must_use]
    pub fn last(&self) -> Option<&Earlier> {
        self.runs.first()
    }

    /// The run before with the same load.
    #[must_use]
    pub fn last_of(&self, fingerprint: Option<&str>) -> Option<&Earlier> {
        self.runs.iter().find(|run| run.is_same_load(fingerprint))
    }

    /// The run before with the same load, if it missed this objective.
    #[must_use]
    pub fn missed_before(&self, fingerprint: Option<&str>, objective: &str) -> Option<&str> {
        let before = self.last_of(fingerprint)?;
        let missed = before.figures.iter().any(|f| f.objective == objective && f.outcome == Outcome::Missed);
        missed.then_some(before.name.as_str())
    }
}

/// The figures of a run against those of earlier runs, the regressions first.
#[must_use]
pub fn compare(
    plan: Option<&BaselinePlan>,
    objectives: &[ObjectivePlan],
    status: &LoadTestStatus,
    history: &History,
) -> Vec<BaselineStatus> {
    let Some(plan) = plan else { return Vec::new() };
    let fingerprint = status.fingerprint.as_deref();
    let earlier: Vec<&Earlier> = history
        .runs
        .iter()
        .filter(|run| run.verdict == Verdict::Pass && run.is_same_load(fingerprint))
        .take(plan.runs)
        .collect();
    let mut all: Vec<BaselineStatus> = status
        .objectives
        .iter()
        .filter_map(|o| Some((o, objectives.iter().find(|p| p.name == o.name)?)))
        .flat_map(|(o, objective)| {
            let windows = o.windows.iter().filter(|w| w.fault.is_none() && w.value.is_some());
            windows.map(|window| one(plan, objective, window, &earlier, history)).collect::<Vec<_>>()
        })
        .collect();
    all.sort_by_key(|one| one.outcome != Outcome::Warn);
    all.truncate(MOST);
    all
}

fn one(
    plan: &BaselinePlan,
    objective: &ObjectivePlan,
    window: &WindowResult,
    earlier: &[&Earlier],
    history: &History,
) -> BaselineStatus {
    let mut result = BaselineStatus {
        name: objective.name.clone(),
        window: window.window,
        outcome: Outcome::NoData,
        value: window.value.clone(),
        ..BaselineStatus::default()
    };
    let same = |f: &&EarlierFigure| f.objective == objective.name && f.window == window.window;
    let before = earlier.iter().filter_map(|run| run.figures.iter().find(same));
    let values: Vec<f64> = before.filter_map(|f| read_decimal(f.figure.as_deref()?)).collect();
    result.runs = i32::try_from(values.len()).unwrap_or(i32::MAX);
    let limit = objective.bound.limit();
    let median = median(values.iter().copied());
    result.median = median.map(|median| limit.show(median));
    let message = match (window.figure.as_deref().and_then(read_decimal), median) {
        _ if history.unread.is_some() => {
            format!("the earlier runs cannot be read: {}", history.unread.as_deref().unwrap_or_default())
        }
        (None, _) => "this run has no value to compare".to_owned(),
        (_, None) => "there is no earlier passing run with the same load".to_owned(),
        (Some(value), Some(median)) => {
            let of = match values.len() {
                1 => "the one earlier run".to_owned(),
                runs => format!("the median of {runs} earlier runs"),
            };
            let shown = change(limit, value, median, &of);
            if values.len() < FEWEST {
                format!("{shown}; judged from {FEWEST} runs on")
            } else if median == 0.0 {
                format!("{shown}; nothing is a share of 0, so it is not judged")
            } else {
                let (allowed, why) = allowed(plan, objective, median, &values);
                let worse = match objective.bound {
                    Bound::AtMost(_) => value - median,
                    Bound::AtLeast(_) => median - value,
                };
                // What is exactly allowed is not lost to rounding.
                let is_regression = worse > allowed * (1.0 + 1e-9);
                result.outcome = if is_regression { Outcome::Warn } else { Outcome::Met };
                format!("{shown}; allowed are {}{why}", limit.show(allowed))
            }
        }
    };
    result.message = Some(message);
    result
}

/// How much worse than the median is no regression yet, and why where that is not the plan's.
fn allowed(
    plan: &BaselinePlan,
    objective: &ObjectivePlan,
    median: f64,
    earlier: &[f64],
) -> (f64, &'static str) {
    let deviations = earlier.iter().map(|one| (one - median).abs());
    let scatter = 3.0 * 1.4826 * self::median(deviations).unwrap_or(0.0);
    let share = plan.max_regression.base() * median.abs();
    let bucket = match objective.figure {
        Figure::K6Percentile { .. } => (BUCKET - 1.0) * median.abs(),
        _ => 0.0,
    };
    if bucket > share.max(scatter) {
        (bucket, ", a bucket of k6's histogram")
    } else {
        (share.max(scatter), "")
    }
}

/// `268ms, 15.5% above 232ms, the median of 5 earlier runs`
fn change(limit: &Limit, value: f64, median: f64, of: &str) -> String {
    let (shown, usual) = (limit.show_beside(value, median), limit.show_beside(median, value));
    if value == median {
        return format!("{shown}, as {of}");
    }
    if median == 0.0 {
        return format!("{shown}, against {usual}, {of}");
    }
    let side = if value > median { "above" } else { "below" };
    format!("{shown}, {} {side} {usual}, {of}", percent((value - median).abs() / median.abs()))
}

#[cfg(test)]
mod tests;
