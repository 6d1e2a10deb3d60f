//! One figure, judged, and the words for it.

use loadtest_crds::Outcome;

use crate::{numbers::limit::Bound, plan::objective::ObjectivePlan};

/// One figure, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub outcome: Outcome,
    /// In the unit of the limit.
    pub value: Option<String>,
    /// In the base unit; `None` where the value is no number, as in `over 5% failed`.
    pub figure: Option<f64>,
    pub samples: Option<i64>,
    pub bad: Option<i64>,
    /// How many independent samples it is worth, for a share of an ongoing process.
    pub effective: Option<i64>,
    pub message: String,
}

impl Finding {
    #[must_use]
    pub fn no_data(message: impl Into<String>) -> Self {
        Self::without_value(Outcome::NoData, message)
    }

    #[must_use]
    pub fn unmeasurable(message: impl Into<String>) -> Self {
        Self::without_value(Outcome::Unmeasurable, message)
    }

    /// A window that is rightly empty.
    #[must_use]
    pub fn nothing_to_judge(why: &str) -> Self {
        Self { samples: Some(0), ..Self::without_value(Outcome::Met, format!("nothing to judge: {why}")) }
    }

    pub(crate) fn without_value(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            value: None,
            figure: None,
            samples: None,
            bad: None,
            effective: None,
            message: message.into(),
        }
    }
}

pub(crate) fn outcome(plan: &ObjectivePlan, value: f64) -> Outcome {
    if !plan.bound.holds(value) {
        Outcome::Missed
    } else if plan.warns(value) {
        Outcome::Warn
    } else {
        Outcome::Met
    }
}

/// The sentence for a value in the warning band.
pub(crate) fn warning(plan: &ObjectivePlan, value: f64) -> Option<String> {
    (outcome(plan, value) == Outcome::Warn).then(|| warned_words(plan, value))?
}

pub(crate) fn warned_words(plan: &ObjectivePlan, value: f64) -> Option<String> {
    let warn = plan.warn.as_ref()?;
    let limit = plan.bound.limit();
    let side = match plan.bound {
        Bound::AtMost(_) => "above",
        Bound::AtLeast(_) => "below",
    };
    Some(format!("{} is {side} the warning limit of {warn} (limit {limit})", warn.show(value)))
}

pub(crate) fn limit_words(bound: &Bound) -> String {
    match bound {
        Bound::AtMost(limit) => format!("limit {limit}"),
        Bound::AtLeast(limit) => format!("limit at least {limit}"),
    }
}
