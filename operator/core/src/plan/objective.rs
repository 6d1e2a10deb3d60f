//! Objectives, checked: which figure, which limit, in which windows.

use std::time::Duration;

use loadtest_crds::{Between, NoDataPolicy, Objective, TooFewPolicy, VerdictPolicy, WindowKind};

use crate::{
    numbers::limit::{Bound, Limit},
    plan::{
        error::{PlanError, Refusal},
        figure::{self, Figure},
        read,
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
    /// The script declares its metric: without a sample it was never added to.
    pub declared: bool,
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
    /// [`PlanError`] says what to write instead.
    pub fn parse(objective: &Objective, policy: &VerdictPolicy) -> Result<Self, PlanError> {
        Self::of(objective, policy).map_err(Refusal::of("objective", &objective.name))
    }

    fn of(objective: &Objective, policy: &VerdictPolicy) -> Result<Self, Refusal> {
        let bound = match (&objective.at_most, &objective.at_least) {
            (Some(text), None) => Bound::AtMost(read::limit("atMost", text)?),
            (None, Some(text)) => Bound::AtLeast(read::limit("atLeast", text)?),
            _ => return Err(Refusal::Bound),
        };
        let figure = figure::parse(objective, &bound)?;
        let windows = windows(objective)?;
        if let Figure::Template(template) = &figure
            && let Some(of_fault) = template.names().find(|name| name.is_of_fault())
            && !windows.iter().all(|kind| kind.is_of_fault())
        {
            return Err(Refusal::TemplateWindow(of_fault));
        }
        Ok(Self {
            warn: warn(objective, &bound)?,
            name: objective.name.clone(),
            figure,
            bound,
            key: objective.key,
            on_no_data: objective.on_no_data.unwrap_or(policy.on_no_data),
            on_too_few: objective.on_too_few.unwrap_or(policy.on_too_few),
            windows,
            between: objective.between.as_ref().map(between).transpose()?,
            declared: false,
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

fn warn(objective: &Objective, bound: &Bound) -> Result<Option<Limit>, Refusal> {
    let (above, below) = (objective.warn_above.as_ref(), objective.warn_below.as_ref());
    match bound {
        Bound::AtMost(_) if below.is_some() => Err(Refusal::WarnField("warnAbove")),
        Bound::AtLeast(_) if above.is_some() => Err(Refusal::WarnField("warnBelow")),
        Bound::AtMost(limit) => read::warn("warnAbove", above, limit, false),
        Bound::AtLeast(limit) => read::warn("warnBelow", below, limit, true),
    }
}

fn between(stretch: &Between) -> Result<BetweenPlan, Refusal> {
    let (from, to) = (read::time("between.from", &stretch.from)?, read::time("between.to", &stretch.to)?);
    if from < to { Ok(BetweenPlan { from, to }) } else { Err(Refusal::Between) }
}

/// A stretch of its own takes the place of the default window.
fn windows(objective: &Objective) -> Result<Vec<WindowKind>, Refusal> {
    let mut windows = objective.windows.clone();
    if objective.between.is_some() {
        if windows.iter().any(|kind| !matches!(kind, WindowKind::Run | WindowKind::Between)) {
            return Err(Refusal::BetweenBeside);
        }
        return Ok(vec![WindowKind::Between]);
    }
    if windows.contains(&WindowKind::Between) {
        return Err(Refusal::BetweenWhere);
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
