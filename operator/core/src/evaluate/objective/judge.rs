//! A figure against its limit: Met, Warn, Missed, or why it cannot be said, with the result in words.
//!
//! No data is never a pass. A figure that is not a number is NoData; one that stands on too few scrapes is
//! Unmeasurable; a share of too few requests is TooFew or Unclear (see [`crate::numbers::confidence`]). The message says what
//! to do about it.

use loadtest_crds::{Outcome, TooFewPolicy};

use crate::{
    evaluate::objective::shares::Tally,
    k6::outcomes::Outcomes,
    numbers::{
        confidence::{Block, Count, Sample, Standing},
        limit::{Bound, Limit, count, percent, whole},
    },
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::histogram::Grain,
};

pub mod ratio;

/// One figure, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub outcome: Outcome,
    /// In the unit of the limit.
    pub value: Option<String>,
    /// In the base unit; `None` where the value is no number, as in `over 5% failed`.
    pub figure: Option<f64>,
    /// How finely a percentile is known, in seconds.
    pub grain: Option<Grain>,
    pub samples: Option<i64>,
    pub bad: Option<i64>,
    /// How many independent samples it is worth, for a share of an ongoing process.
    pub effective: Option<i64>,
    pub message: String,
}

/// What a window is of its figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// One event, and all of its requests were counted.
    Census,
    /// A part of an ongoing process, with the design effect of its requests, and what of them belongs to faults.
    Sample { design_effect: f64, faults: Block },
}

pub const NO_SAMPLE: &str = "k6 sent no such sample in the whole run: check the metric, the tags and the scenario of this \
                             objective against the script";

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
            grain: None,
            samples: None,
            bad: None,
            effective: None,
            message: message.into(),
        }
    }
}

/// The counts of requests, where failed ones can be told from answered ones.
///
/// # Errors
/// Why they cannot, and what to do, in words for the user.
pub fn told(outcomes: Outcomes) -> Result<Outcomes, String> {
    if !outcomes.total().is_finite() {
        return Err(NOT_A_NUMBER.to_owned());
    }
    if outcomes.untold > 0.0 {
        return Err(format!(
            "{} of the requests do not say whether they failed: remove http.setResponseCallback(null) from the script",
            count(whole(outcomes.untold))
        ));
    }
    if outcomes.total() < 0.5 {
        return Err("no request ended in this window".to_owned());
    }
    Ok(outcomes)
}

/// The counts of a script's own samples, if there are any. They do not say whether anything failed.
///
/// # Errors
/// Why they say nothing, in words for the user.
pub fn counted(outcomes: Outcomes) -> Result<Outcomes, String> {
    if !outcomes.total().is_finite() {
        return Err(NOT_A_NUMBER.to_owned());
    }
    if outcomes.total() < 0.5 {
        return Err("the script added no sample in this window".to_owned());
    }
    Ok(Outcomes { untold: outcomes.total(), ..Outcomes::default() })
}

const NOT_A_NUMBER: &str = "Prometheus gave a count that is not a number";

/// A share of k6's requests: of those that failed, or of those that took too long. A percentile is judged as a share:
/// p95 within the limit means that at most 5% failed or took longer. So an outage, whose refused requests are fast,
/// cannot improve it.
#[must_use]
pub fn share(plan: &ObjectivePlan, of_requests: bool, scope: Scope, tally: &Tally) -> Finding {
    let ruled = Ruled::of(plan, tally.total, tally.bad, scope);
    let bad = tally.bad.likely / tally.total;
    let limit = plan.bound.limit();
    let total = count(whole(tally.total));
    let who = if of_requests { "requests" } else { "samples" };
    let (value, shown, base) = match &plan.figure {
        Figure::K6Percentile { percentile, .. } => {
            let allowed = percent(1.0 - percentile / 100.0);
            let share = Limit::parse(&allowed).map_or_else(|| percent(bad), |allowed| allowed.show(bad));
            let value = tally.percentile(*percentile);
            let shown = value.map_or_else(|| format!("over {allowed} failed"), |value| limit.show(value));
            let were = if of_requests { "failed or took" } else { "were" };
            (value, shown, format!("{share} of {total} {who} {were} over {limit}, limit {allowed}"))
        }
        Figure::K6Under { under, .. } => {
            let shown = limit.show(1.0 - bad);
            let were = if of_requests { "were answered within" } else { "were up to" };
            let base = format!("{shown} of {total} {who} {were} {under}, {}", limit_words(&plan.bound));
            (Some(1.0 - bad), shown, base)
        }
        _ => {
            let shown = limit.show(bad);
            let base = format!("{shown} of {total} {who} failed, {}", limit_words(&plan.bound));
            (Some(bad), shown, base)
        }
    };
    let grain = match &plan.figure {
        Figure::K6Percentile { percentile, .. } => tally.grain(*percentile),
        _ => None,
    };
    Finding { grain, ..ruled.finding(plan, value, shown, base, tally.total, tally.bad.likely) }
}

/// The events of a k6 Counter, or events a second.
#[must_use]
pub fn counter(plan: &ObjectivePlan, events: Option<f64>, seconds: f64) -> Finding {
    let Some(events) = events else { return Finding::no_data(NO_SAMPLE) };
    let rate = matches!(plan.figure, Figure::K6Rate { .. });
    let value = if rate { events / seconds } else { events };
    if !value.is_finite() {
        return Finding::no_data(NOT_A_NUMBER);
    }
    let shown = plan.bound.limit().show(value);
    let (events, limit) = (whole(events), limit_words(&plan.bound));
    let base = if rate {
        format!("{shown} a second ({} in {seconds:.1}s), {limit}", count(events))
    } else {
        format!("{shown} were counted, {limit}")
    };
    Finding {
        outcome: outcome(plan, value),
        message: warning(plan, value).unwrap_or(base),
        value: Some(shown),
        figure: Some(value),
        grain: None,
        samples: Some(events),
        bad: None,
        effective: None,
    }
}

/// How a share stands, and what there is to say about it.
struct Ruled {
    outcome: Outcome,
    effective: Option<i64>,
    note: String,
}

impl Ruled {
    fn of(plan: &ObjectivePlan, total: f64, bad: Count, scope: Scope) -> Self {
        let against = Against::of(plan);
        let (design_effect, faults) = match scope {
            Scope::Census => (1.0, Block::default()),
            Scope::Sample { design_effect, faults } => (design_effect, faults),
        };
        let sample = Sample {
            total,
            bad: if against.good { bad.rest_of(total) } else { bad },
            allowed: against.allowed,
            design_effect,
            faults: if against.good { Block { bad: faults.total - faults.bad, ..faults } } else { faults },
        };
        let effective = sample.effective().round();
        let bracket = if whole(bad.least) == whole(bad.most) {
            String::new()
        } else {
            let (least, most) = (count(whole(bad.least)), count(whole(bad.most)));
            format!(" ({least} to {most} of them bad: the limit lies inside a bucket of k6's histogram)")
        };
        let worth = if effective < (total * 0.95).round() {
            format!(" (bad ones came in bursts, so these are worth {})", count(whole(effective)))
        } else {
            String::new()
        };
        let advice = "lengthen the window or raise the load";
        let standing = match scope {
            Scope::Census => sample.counted(),
            Scope::Sample { .. } => sample.estimated(),
        };
        let (outcome, note) = match standing {
            Standing::TooFew { needed } if plan.on_too_few == TooFewPolicy::Judge => {
                let outcome = of_standing(sample.counted());
                (outcome, format!("{bracket}; judged as counted, with fewer than {}{worth}", count(needed)))
            }
            Standing::TooFew { needed } => {
                let needed = count(needed);
                (Outcome::TooFew, format!("{bracket}; too few to tell, {needed} are needed{worth}: {advice}"))
            }
            Standing::Unclear { from, to } => {
                let (from, to) = if against.shown { (from, to) } else { (1.0 - to, 1.0 - from) };
                let range = format!("{} and {}", percent(from), percent(to));
                let unclear = "the sample cannot tell, the share behind it lies between";
                (Outcome::Unclear, format!("{bracket}; {unclear} {range}{worth}: {advice}"))
            }
            Standing::Bucket => {
                (Outcome::Unclear, format!("{bracket}; that decides: set the limit to another value"))
            }
            standing => (of_standing(standing), bracket),
        };
        let effective = matches!(scope, Scope::Sample { .. }).then_some(whole(effective));
        Self { outcome, effective, note }
    }

    fn finding(
        self,
        plan: &ObjectivePlan,
        value: Option<f64>,
        shown: String,
        base: String,
        total: f64,
        bad: f64,
    ) -> Finding {
        let warned = value.filter(|value| self.outcome == Outcome::Met && plan.warns(*value));
        Finding {
            outcome: if warned.is_some() { Outcome::Warn } else { self.outcome },
            message: format!("{}{}", warned.and_then(|v| warned_words(plan, v)).unwrap_or(base), self.note),
            value: Some(shown),
            figure: value,
            grain: None,
            samples: Some(whole(total)),
            bad: Some(whole(bad)),
            effective: self.effective,
        }
    }
}

fn of_standing(standing: Standing) -> Outcome {
    match standing {
        Standing::Within => Outcome::Met,
        Standing::Beyond => Outcome::Missed,
        Standing::TooFew { .. } => Outcome::TooFew,
        Standing::Bucket | Standing::Unclear { .. } => Outcome::Unclear,
    }
}

/// What a share is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// The share that the limit allows, of bad requests, or of good ones.
    pub allowed: f64,
    /// Good ones count against the limit: a share of good ones that must stay low, or of bad ones that must not.
    pub good: bool,
    /// The share that counts against the limit is the one that is shown.
    shown: bool,
}

impl Against {
    #[must_use]
    pub fn of(plan: &ObjectivePlan) -> Self {
        let limit = plan.bound.limit().base();
        match (&plan.figure, &plan.bound) {
            (Figure::K6Percentile { percentile, .. }, _) => {
                Self { allowed: 1.0 - percentile / 100.0, good: false, shown: true }
            }
            (Figure::K6Failed { .. }, Bound::AtMost(_)) => Self { allowed: limit, good: false, shown: true },
            (Figure::K6Failed { .. }, Bound::AtLeast(_)) => {
                Self { allowed: 1.0 - limit, good: true, shown: false }
            }
            (_, Bound::AtLeast(_)) => Self { allowed: 1.0 - limit, good: false, shown: false },
            (_, Bound::AtMost(_)) => Self { allowed: limit, good: true, shown: true },
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

fn warned_words(plan: &ObjectivePlan, value: f64) -> Option<String> {
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

#[cfg(test)]
mod tests;
