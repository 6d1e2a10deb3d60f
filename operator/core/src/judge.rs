//! A figure against its limit: Met, Warn, Missed or NoData, with the result in words.
//!
//! No data is never a pass. A figure that is not a number, or that stands on too little, is NoData, and the
//! message says what to do about it.

use loadtest_crds::Outcome;

use crate::{
    ask::{Labels, Series},
    limit::{Limit, count, percent},
    plan::objective::{Bound, ObjectivePlan},
    promql,
    series::Increase,
};

/// Fewer scrapes, or points of a query, say too little about a window.
pub const MIN_SCRAPES: usize = 4;

/// One figure, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub outcome: Outcome,
    /// In the unit of the limit.
    pub value: Option<String>,
    pub samples: Option<i64>,
    pub bad: Option<i64>,
    pub message: String,
}

/// Counts by k6's `expected_response`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcomes {
    pub answered: f64,
    pub failed: f64,
    /// Without the tag.
    pub untold: f64,
}

/// What a percentile is judged on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub total: f64,
    /// Those that were answered within the limit.
    pub within: f64,
    /// The percentile in seconds, failed requests counted as the slowest; `None` where it falls among them.
    pub value: Option<f64>,
}

impl Finding {
    #[must_use]
    pub fn no_data(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::NoData, value: None, samples: None, bad: None, message: message.into() }
    }

    /// A window that is rightly empty.
    #[must_use]
    pub fn nothing_to_judge(why: &str) -> Self {
        Self {
            outcome: Outcome::Met,
            value: None,
            samples: Some(0),
            bad: None,
            message: format!("nothing to judge: {why}"),
        }
    }
}

impl Outcomes {
    /// Reads the series of a sum by `expected_response`; `None` without any.
    #[must_use]
    pub fn of(series: &[(Labels, f64, f64)]) -> Option<Self> {
        let mut outcomes = Self::default();
        for (labels, _, value) in series {
            outcomes.add(labels, *value);
        }
        (!series.is_empty()).then_some(outcomes)
    }

    pub fn add(&mut self, labels: &Labels, value: f64) {
        match labels.get(promql::OUTCOME).map(String::as_str) {
            Some("true") => self.answered += value,
            Some("false") => self.failed += value,
            _ => self.untold += value,
        }
    }

    #[must_use]
    pub fn total(&self) -> f64 {
        self.answered + self.failed + self.untold
    }
}

/// The counts, where failed requests can be told from answered ones.
///
/// # Errors
/// Why they cannot, and what to do, in words for the user.
pub fn told(outcomes: Option<Outcomes>) -> Result<Outcomes, String> {
    let Some(outcomes) = outcomes else {
        return Err(
            "k6 sent no such sample in the whole run: check the metric, the tags and the scenario of this \
                    objective against the script"
                .to_owned(),
        );
    };
    if !outcomes.total().is_finite() {
        return Err("Prometheus gave a count that is not a number".to_owned());
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

/// The share of requests that failed.
#[must_use]
pub fn failed(plan: &ObjectivePlan, outcomes: Option<Outcomes>) -> Finding {
    let outcomes = match told(outcomes) {
        Ok(outcomes) => outcomes,
        Err(why) => return Finding::no_data(why),
    };
    let (total, bad) = (outcomes.total(), outcomes.failed);
    let share = bad / total;
    let shown = plan.bound.limit().show(share);
    Finding {
        outcome: outcome(plan, share),
        message: warning(plan, share).unwrap_or_else(|| {
            format!("{shown} of {} requests failed, {}", count(whole(total)), limit_words(&plan.bound))
        }),
        value: Some(shown),
        samples: Some(whole(total)),
        bad: Some(whole(bad)),
    }
}

/// A percentile, judged as a share: p95 within the limit means that at most 5% failed or took longer. So an
/// outage, whose refused requests are fast, cannot improve it.
#[must_use]
pub fn percentile(plan: &ObjectivePlan, p: f64, of_requests: bool, spread: Spread) -> Finding {
    let Spread { total, within, value } = spread;
    if !(total.is_finite() && within.is_finite()) {
        return Finding::no_data("Prometheus gave a count that is not a number");
    }
    if total < 0.5 {
        return Finding::no_data(if of_requests {
            "no request ended in this window"
        } else {
            "the script added no sample in this window"
        });
    }
    let limit = plan.bound.limit();
    let bad = (total - within).max(0.0);
    let allowed = percent(1.0 - p / 100.0);
    let share =
        Limit::parse(&allowed).map_or_else(|| percent(bad / total), |allowed| allowed.show(bad / total));
    let outcome = if !share_holds(bad, total, 1.0 - p / 100.0) {
        Outcome::Missed
    } else if value.is_some_and(|value| plan.warns(value)) {
        Outcome::Warn
    } else {
        Outcome::Met
    };
    let who = if of_requests { "requests failed or took" } else { "samples were" };
    Finding {
        outcome,
        value: Some(value.map_or_else(|| format!("over {allowed} failed"), |value| limit.show(value))),
        samples: Some(whole(total)),
        bad: Some(whole(bad)),
        message: value
            .filter(|_| outcome == Outcome::Warn)
            .and_then(|value| warning(plan, value))
            .unwrap_or_else(|| {
                format!("{share} of {} {who} over {limit}, limit {allowed}", count(whole(total)))
            }),
    }
}

/// True when `bad` of `total` is at most the allowed share, up to what interpolation and rounding leave open.
#[must_use]
pub fn share_holds(bad: f64, total: f64, allowed: f64) -> bool {
    bad <= total.mul_add(allowed, total * 1e-9)
}

/// Good over total of server-side counters.
#[must_use]
pub fn ratio(plan: &ObjectivePlan, good: Option<Increase>, total: Option<Increase>) -> Finding {
    let Some(total) = total else {
        return Finding::no_data(
            "no series matches ratio.total around this window: check the selector, and that Prometheus scrapes the pods",
        );
    };
    if total.scrapes < MIN_SCRAPES {
        return Finding::no_data(format!(
            "this window holds {} of the {MIN_SCRAPES} scrapes needed: scrape more often, or judge a k6 figure here",
            total.scrapes
        ));
    }
    if total.events < 0.5 {
        return Finding::no_data("ratio.total counted nothing in this window");
    }
    let share = good.map_or(0.0, |good| good.events) / total.events;
    // One counter may be written a moment before the other; more than that is another population.
    if share > 1.01 {
        return Finding::no_data(format!(
            "ratio.good counted {} and ratio.total only {}: the good events must be among the total",
            count(whole(good.unwrap_or_default().events)),
            count(whole(total.events))
        ));
    }
    let share = share.min(1.0);
    let shown = plan.bound.limit().show(share);
    let nothing_good = if good.is_none() { " (no series matches ratio.good)" } else { "" };
    Finding {
        outcome: outcome(plan, share),
        message: warning(plan, share).unwrap_or_else(|| {
            let total = count(whole(total.events));
            format!("{shown} of {total} events were good{nothing_good}, {}", limit_words(&plan.bound))
        }),
        value: Some(shown),
        samples: Some(whole(total.events)),
        bad: Some(whole(total.events * (1.0 - share))),
    }
}

/// The worst point of an opaque query, over all stretches of a window.
#[must_use]
pub fn query(plan: &ObjectivePlan, stretches: &[&[Series]]) -> Finding {
    if let Some(many) = stretches.iter().map(|series| series.len()).find(|n| *n > 1) {
        return Finding::no_data(format!(
            "the query gives {many} series and must give one: wrap it in sum(), max() or min()"
        ));
    }
    let points = || stretches.iter().flat_map(|series| series.iter()).flat_map(|(_, points)| points.iter());
    let all = points().count();
    let broken = points().filter(|(_, value)| !value.is_finite()).count();
    if all == 0 {
        return Finding::no_data("the query has no data in this window: try it in Prometheus");
    }
    if broken > 0 {
        return Finding::no_data(format!(
            "{broken} of {all} points are not a number, as after a division by zero: guard the query, as in (a / b > 0) \
             or vector(0)"
        ));
    }
    if all < MIN_SCRAPES {
        return Finding::no_data(format!(
            "this window holds {all} of the {MIN_SCRAPES} points needed: judge a longer window"
        ));
    }
    let values = points().map(|(_, value)| *value);
    let (which, worst) = match plan.bound {
        Bound::AtMost(_) => ("highest", values.fold(f64::NEG_INFINITY, f64::max)),
        Bound::AtLeast(_) => ("lowest", values.fold(f64::INFINITY, f64::min)),
    };
    let shown = plan.bound.limit().show(worst);
    Finding {
        outcome: outcome(plan, worst),
        message: warning(plan, worst).unwrap_or_else(|| {
            format!("the {which} of {all} points was {shown}, {}", limit_words(&plan.bound))
        }),
        value: Some(shown),
        samples: i64::try_from(all).ok(),
        bad: None,
    }
}

fn outcome(plan: &ObjectivePlan, value: f64) -> Outcome {
    if !plan.bound.holds(value) {
        Outcome::Missed
    } else if plan.warns(value) {
        Outcome::Warn
    } else {
        Outcome::Met
    }
}

/// The sentence for a value in the warning band.
fn warning(plan: &ObjectivePlan, value: f64) -> Option<String> {
    let warn = plan.warn.as_ref().filter(|_| outcome(plan, value) == Outcome::Warn)?;
    let limit = plan.bound.limit();
    let side = match plan.bound {
        Bound::AtMost(_) => "above",
        Bound::AtLeast(_) => "below",
    };
    Some(format!("{} is {side} the warning limit of {warn} (limit {limit})", warn.show(value)))
}

fn limit_words(bound: &Bound) -> String {
    match bound {
        Bound::AtMost(limit) => format!("limit {limit}"),
        Bound::AtLeast(limit) => format!("limit at least {limit}"),
    }
}

/// A count that interpolation may have left with a fraction.
#[must_use]
pub fn whole(n: f64) -> i64 {
    n.round() as i64
}

#[cfg(test)]
mod tests;
