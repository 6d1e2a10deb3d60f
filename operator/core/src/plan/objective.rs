//! Objectives, checked: which figure, which limit, in which windows.

use std::time::Duration;

use loadtest_crds::{
    NoDataPolicy, Objective, TooFewPolicy, VerdictPolicy, WindowKind,
    text::{DurationText, LimitText},
};

use crate::{
    numbers::limit::{Bound, Limit},
    plan::{
        error::ObjectiveError,
        figure::{self, Figure, time},
    },
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
            && !windows.iter().all(|kind| kind.is_of_fault())
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

fn limit(objective: &str, field: &'static str, text: &LimitText) -> Result<Limit, ObjectiveError> {
    Limit::parse(text.as_str()).ok_or_else(|| ObjectiveError::Limit {
        objective: objective.to_owned(),
        field,
        text: text.to_string(),
    })
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

#[cfg(test)]
mod tests;
