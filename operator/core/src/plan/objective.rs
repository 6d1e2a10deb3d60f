//! Objectives, checked: which figure, which limit, in which windows.

use std::time::Duration;

use loadtest_crds::{
    NoDataPolicy, Objective, TooFewPolicy, VerdictPolicy, WindowKind,
    text::{DurationText, LimitText},
};

use crate::{
    evaluate::windows::is_of_fault,
    k6::queries::K6Samples,
    numbers::{
        duration,
        limit::{Bound, Dimension, Limit},
    },
    plan::{error::ObjectiveError, figure},
    prometheus::template::Template,
};

/// One objective of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectivePlan {
    pub name: String,
    pub figure: Figure,
    pub bound: Bound,
    /// Within the bound, but beyond this, the figure is in its warning band.
    pub warn: Option<Limit>,
    /// A miss alone fails the run.
    pub key: bool,
    pub on_no_data: NoDataPolicy,
    pub on_too_few: TooFewPolicy,
    /// In this order, each once, never empty.
    pub windows: Vec<WindowKind>,
    /// The stretch of a Between window.
    pub between: Option<BetweenPlan>,
}

/// A stretch of the load, from its measured start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BetweenPlan {
    pub from: Duration,
    pub to: Duration,
}

/// What is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// The share of k6's requests that failed.
    K6Failed { samples: K6Samples },
    /// The share of a k6 Trend's samples that failed or lie above the limit, `percentile` in percent.
    K6Percentile { metric: String, percentile: f64, samples: K6Samples },
    /// The share of a k6 Trend's samples that were answered within a time.
    K6Under { metric: String, under: Limit, samples: K6Samples },
    /// The events of a k6 Counter.
    K6Count { metric: String, samples: K6Samples },
    /// The events of a k6 Counter a second.
    K6Rate { metric: String, samples: K6Samples },
    /// The share of good events, from the raw samples of two plain selectors.
    Ratio { good: String, total: String },
    /// A PromQL expression that gives one series.
    Query(String),
    /// The same with places to fill in, asked once for a window.
    Template(Template),
    /// What a PromQL expression grows by within a time.
    Slope { query: String, per: Duration, per_text: String },
}

impl ObjectivePlan {
    /// Checks an objective.
    ///
    /// # Errors
    /// [`ObjectiveError`] says what to write instead.
    pub fn parse(objective: &Objective, policy: &VerdictPolicy) -> Result<Self, ObjectiveError> {
        let name = &objective.name;
        let bound = match (&objective.at_most, &objective.at_least) {
            (Some(text), None) => Bound::AtMost(limit(name, "atMost", text)?),
            (None, Some(text)) => Bound::AtLeast(limit(name, "atLeast", text)?),
            _ => return Err(ObjectiveError::Bound(name.clone())),
        };
        let figure = figure::parse(objective, &bound)?;
        let between = objective.between.as_ref().map(|b| between(name, &b.from, &b.to)).transpose()?;
        let windows = windows(objective)?;
        if let Figure::Template(template) = &figure
            && let Some(of_fault) = template.names().find(|name| name.is_of_fault())
            && !windows.iter().all(|kind| is_of_fault(*kind))
        {
            return Err(ObjectiveError::TemplateWindow { objective: name.clone(), name: of_fault });
        }
        Ok(Self {
            warn: warn(objective, &bound)?,
            name: name.clone(),
            figure,
            bound,
            key: objective.key,
            on_no_data: objective.on_no_data.unwrap_or(policy.on_no_data),
            on_too_few: objective.on_too_few.unwrap_or(policy.on_too_few),
            windows,
            between,
        })
    }

    /// True when the value, in its base unit, is within the bound but in the warning band.
    #[must_use]
    pub fn warns(&self, value: f64) -> bool {
        self.warn.as_ref().is_some_and(|warn| match self.bound {
            Bound::AtMost(_) => value > warn.base(),
            Bound::AtLeast(_) => value < warn.base(),
        })
    }
}

impl Figure {
    /// A share of k6's requests or samples: measured by the runners, so that it sees what a dying server cannot
    /// tell, and at any moment some of them are good and some are bad.
    #[must_use]
    pub fn is_client_side(&self) -> bool {
        matches!(self, Self::K6Failed { .. } | Self::K6Percentile { .. } | Self::K6Under { .. })
    }

    /// Which samples of k6 it stands on; `None` for figures of the system under test.
    #[must_use]
    pub fn samples(&self) -> Option<&K6Samples> {
        match self {
            Self::K6Failed { samples }
            | Self::K6Percentile { samples, .. }
            | Self::K6Under { samples, .. }
            | Self::K6Count { samples, .. }
            | Self::K6Rate { samples, .. } => Some(samples),
            Self::Ratio { .. } | Self::Query(_) | Self::Template(_) | Self::Slope { .. } => None,
        }
    }

    /// About k6's HTTP requests, which say whether they failed, unlike the samples of the script's own Trends.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        match self {
            Self::K6Failed { .. } => true,
            Self::K6Percentile { metric, .. } | Self::K6Under { metric, .. } => {
                metric.starts_with("http_req_")
            }
            _ => false,
        }
    }
}

fn limit(objective: &str, field: &'static str, text: &LimitText) -> Result<Limit, ObjectiveError> {
    Limit::parse(text.as_str()).ok_or_else(|| ObjectiveError::Limit {
        objective: objective.to_owned(),
        field,
        text: text.to_string(),
    })
}

pub(crate) fn share(objective: &str, bound: &Bound) -> Result<(), ObjectiveError> {
    let limit = bound.limit();
    if limit.dimension() == Dimension::Share && (0.0..=1.0).contains(&limit.base()) {
        Ok(())
    } else {
        Err(ObjectiveError::Share(objective.to_owned()))
    }
}

fn warn(objective: &Objective, bound: &Bound) -> Result<Option<Limit>, ObjectiveError> {
    let name = objective.name.clone();
    let (field, text, beside, other) = match bound {
        Bound::AtMost(_) => ("warnAbove", &objective.warn_above, "atMost", &objective.warn_below),
        Bound::AtLeast(_) => ("warnBelow", &objective.warn_below, "atLeast", &objective.warn_above),
    };
    if other.is_some() {
        return Err(ObjectiveError::WarnField { objective: name, write: field });
    }
    let Some(text) = text else { return Ok(None) };
    let warn = limit(&objective.name, field, text)?;
    let limit = bound.limit();
    if warn.dimension() != limit.dimension() {
        return Err(ObjectiveError::WarnUnit { objective: name, field, beside: beside.to_owned() });
    }
    let stricter = match bound {
        Bound::AtMost(_) => warn.base() < limit.base(),
        Bound::AtLeast(_) => warn.base() > limit.base(),
    };
    if !stricter {
        let (warn, limit) = (warn.to_string(), limit.to_string());
        return Err(ObjectiveError::WarnSide { objective: name, field, warn, limit });
    }
    Ok(Some(warn))
}

fn between(objective: &str, from: &DurationText, to: &DurationText) -> Result<BetweenPlan, ObjectiveError> {
    let plan =
        BetweenPlan { from: time(objective, "between.from", from)?, to: time(objective, "between.to", to)? };
    if plan.from < plan.to { Ok(plan) } else { Err(ObjectiveError::Between(objective.to_owned())) }
}

/// A stretch of its own takes the place of the default window.
fn windows(objective: &Objective) -> Result<Vec<WindowKind>, ObjectiveError> {
    let name = || objective.name.clone();
    let mut windows = objective.windows.clone();
    if objective.between.is_some() {
        if windows.iter().any(|kind| !matches!(kind, WindowKind::Run | WindowKind::Between)) {
            return Err(ObjectiveError::BetweenBeside(name()));
        }
        return Ok(vec![WindowKind::Between]);
    }
    if windows.contains(&WindowKind::Between) {
        return Err(ObjectiveError::BetweenWhere(name()));
    }
    windows.sort_unstable();
    windows.dedup();
    if windows.is_empty() {
        windows.push(WindowKind::Run);
    }
    Ok(windows)
}

pub(crate) fn time(
    objective: &str,
    field: &'static str,
    text: &DurationText,
) -> Result<Duration, ObjectiveError> {
    duration::parse(text.as_str()).ok_or_else(|| ObjectiveError::Duration {
        objective: objective.to_owned(),
        field,
        text: text.to_string(),
    })
}

#[cfg(test)]
mod tests;
