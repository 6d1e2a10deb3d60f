//! One figure, judged, and the words for it.

use loadtest_crds::Outcome;

use crate::{numbers::limit::Bound, plan::objective::ObjectivePlan};

/// One figure, judged.
#[derive(Clone, Debug, Default, PartialEq)]
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

    fn without_value(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), ..Self::default() }
    }

    /// A value against its limit, said in these words unless it lies in the warning band.
    pub(crate) fn of_value(plan: &ObjectivePlan, value: f64, words: String, samples: i64) -> Self {
        let outcome = if !plan.bound.holds(value) {
            Outcome::Missed
        } else if plan.warns(value) {
            Outcome::Warn
        } else {
            Outcome::Met
        };
        let warned = Some(outcome).filter(|outcome| *outcome == Outcome::Warn);
        Self {
            outcome,
            message: warned.and_then(|_| warned_words(plan, value)).unwrap_or(words),
            value: Some(plan.bound.limit().show(value)),
            figure: Some(value),
            samples: Some(samples),
            ..Self::default()
        }
    }
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
