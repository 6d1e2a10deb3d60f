//! A figure against its limit: Met, Warn, Missed, or why it cannot be said, with the result in words.
//!
//! No data is never a pass. A figure that is not a number is NoData; one that stands on too few scrapes is
//! Unmeasurable; a share of too few requests is TooFew or Unclear (see [`crate::numbers::confidence`]). The message says what
//! to do about it.

use crate::{
    evaluate::objective::{
        finding::{Finding, limit_words},
        scope::Scope,
        standing::ruled,
        tally::Tally,
    },
    k6::outcomes::Outcomes,
    numbers::limit::{Limit, count, percent, whole},
    plan::{figure::Figure, objective::ObjectivePlan},
};

pub mod ratio;

pub const NO_SAMPLE: &str = "k6 sent no such sample in the whole run: check the metric, the tags and the scenario of this \
                             objective against the script";

/// The counts of requests, where failed ones can be told from answered ones.
///
/// # Errors
/// Why they cannot, and what to do, in words for the user.
pub fn told(outcomes: Outcomes) -> Result<Outcomes, String> {
    if !outcomes.total().is_finite() {
        return Err(NOT_A_NUMBER.to_owned());
    }
    if outcomes.untold > 0.0 {
        return Err(format!("{} of the {UNTOLD}", count(whole(outcomes.untold))));
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

pub const UNTOLD: &str =
    "requests do not say whether they failed: remove http.setResponseCallback(null) from the script";

const NOT_A_NUMBER: &str = "Prometheus gave a count that is not a number";

/// A share of k6's requests: of those that failed, or of those that took too long. A percentile is judged as a share:
/// p95 within the limit means that at most 5% failed or took longer. So an outage, whose refused requests are fast,
/// cannot improve it.
#[must_use]
pub fn share(plan: &ObjectivePlan, scope: Scope, tally: &Tally) -> Finding {
    let of_requests = plan.figure.is_of_requests();
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
        Figure::K6Share { metric, .. } => {
            // Those that are not true count as bad.
            let shown = limit.show(1.0 - bad);
            let were = if metric == "checks" {
                "checks passed".to_owned()
            } else {
                format!("samples of {metric} were true")
            };
            (
                Some(1.0 - bad),
                shown.clone(),
                format!("{shown} of {total} {were}, {}", limit_words(&plan.bound)),
            )
        }
        _ => {
            let shown = limit.show(bad);
            let base = format!("{shown} of {total} {who} failed, {}", limit_words(&plan.bound));
            (Some(bad), shown, base)
        }
    };
    ruled(plan, scope, (tally.total, tally.bad), value, shown, base)
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
    Finding::of_value(plan, value, base, events)
}

#[cfg(test)]
mod tests;
