//! The columns of `kubectl get loadtests`.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::{
    Display, FaultEffect, FaultState, FaultStatus, LoadTestStatus, ObjectiveStatus, Outcome, WindowResult,
};

use crate::{
    numbers::{
        duration::human,
        limit::{Bound, Dimension, Limit, count},
    },
    plan::objective::ObjectivePlan,
};

/// Fills the columns from what is known so far.
#[must_use]
pub fn display(status: &LoadTestStatus, plans: &[ObjectivePlan]) -> Display {
    Display {
        load: load(status),
        worst: worst(status, plans),
        faults: faults(status),
        recovery: recovery(status),
        spread: status
            .load
            .as_ref()
            .and_then(|load| load.start_spread_milliseconds)
            .map(|ms| human(Duration::from_millis(ms.unsigned_abs()))),
    }
}

/// `40 VUs, 812/s`: what was asked for, and what was delivered.
fn load(status: &LoadTestStatus) -> Option<String> {
    let load = status.load.as_ref()?;
    let asked = load.asked_vus.map(|vus| format!("{} VUs", count(vus)));
    let rate = || {
        let seconds = status.load_ended()?.duration_since(status.load_started()?).as_secs_f64();
        let rate = load.requests? as f64 / seconds;
        rate.is_finite().then(|| if rate < 10.0 { format!("{rate:.1}/s") } else { format!("{rate:.0}/s") })
    };
    match (asked, rate()) {
        (Some(asked), Some(rate)) => Some(format!("{asked}, {rate}")),
        (asked, rate) => asked.or(rate),
    }
}

/// `save-p95 Fault 212ms ≤ 300ms`: the result furthest beyond its limit, or closest to it.
fn worst(status: &LoadTestStatus, plans: &[ObjectivePlan]) -> Option<String> {
    let results = status.objectives.iter().flat_map(|objective| {
        let bound = plans.iter().find(|p| p.name == objective.name).map(|p| &p.bound);
        objective.windows.iter().filter_map(move |window| Some((objective, window, bound?)))
    });
    let (objective, window, bound) =
        results.filter(|(_, window, _)| window.outcome != Outcome::Met || window.value.is_some()).max_by(
            |a, b| weight(a.1, a.2).partial_cmp(&weight(b.1, b.2)).unwrap_or(std::cmp::Ordering::Equal),
        )?;
    Some(words(objective, window, bound))
}

fn words(objective: &ObjectiveStatus, window: &WindowResult, bound: &Bound) -> String {
    let limit = bound.limit();
    let nothing = matches!(window.outcome, Outcome::NoData | Outcome::Unmeasurable);
    let told = match (window.value.as_deref().filter(|_| !nothing), window.outcome) {
        (None, _) => "no data".to_owned(),
        (Some(value), _) if Limit::parse(value).is_none() => format!("{value}, limit {limit}"),
        (Some(value), Outcome::Unclear) => format!("{value}, limit {limit}: unclear"),
        (Some(value), Outcome::TooFew) => format!("{value}, limit {limit}: too few"),
        (Some(value), outcome) => {
            let relation = match (bound, outcome) {
                (Bound::AtMost(_), Outcome::Missed) => ">",
                (Bound::AtMost(_), _) => "≤",
                (Bound::AtLeast(_), Outcome::Missed) => "<",
                (Bound::AtLeast(_), _) => "≥",
            };
            format!("{value} {relation} {limit}")
        }
    };
    format!("{} {} {told}", objective.name, window.window.as_str())
}

/// First the outcome, then how much of what the limit allows was used up.
fn weight(window: &WindowResult, bound: &Bound) -> (Outcome, f64) {
    let used = window.value.as_deref().map_or(0.0, |value| {
        // A value that is no number, such as "over 5% failed", is beyond any.
        Limit::parse(value).map_or(f64::INFINITY, |value| used(value.base(), bound))
    });
    (window.outcome, used)
}

fn used(value: f64, bound: &Bound) -> f64 {
    let limit = bound.limit().base();
    let used = match bound {
        Bound::AtMost(_) => value / limit,
        // 99.95% of at least 99.9% has used half of the 0.1% that may go wrong.
        Bound::AtLeast(of) if of.dimension() == Dimension::Share && limit < 1.0 => {
            (1.0 - value) / (1.0 - limit)
        }
        Bound::AtLeast(_) => limit / value,
    };
    if used.is_nan() { 0.0 } else { used }
}

/// `2/2`: injected of planned; `2/2, 1 not replaced` once the load has ended.
fn faults(status: &LoadTestStatus) -> Option<String> {
    let injected = status.faults.iter().filter(|f| f.state == FaultState::Injected).count();
    let lost = status.load_ended().map_or(0, |ended| {
        status.faults.iter().filter(|f| f.missing.is_some() && not_replaced(f, ended).is_some()).count()
    });
    let lost = if lost == 0 { String::new() } else { format!(", {lost} not replaced") };
    (!status.faults.is_empty()).then(|| format!("{injected}/{}{lost}", status.faults.len()))
}

/// How long a fault that struck a load, which has ended, had waited in vain for as many pods as before.
#[must_use]
pub fn not_replaced(fault: &FaultStatus, ended: Timestamp) -> Option<Duration> {
    let injected = fault.injected().filter(|_| fault.state == FaultState::Injected)?;
    let open = fault.replaced_at.is_none() && injected < ended;
    open.then(|| Duration::try_from(ended.duration_since(injected)).unwrap_or_default())
}

/// The slowest recovery, or how long was waited in vain for one.
fn recovery(status: &LoadTestStatus) -> Option<String> {
    let ended = status.load_ended();
    let never = status.faults.iter().find_map(|fault| {
        let recovery = fault.recovery.as_ref()?;
        let waited = ended?.duration_since(fault.injected()?);
        (recovery.effect == FaultEffect::NotBack)
            .then(|| format!("> {}", human(Duration::try_from(waited).unwrap_or_default())))
    });
    never.or_else(|| slowest_recovery(status).map(human))
}

/// The longest time that a recovery took, of those that came.
#[must_use]
pub fn slowest_recovery(status: &LoadTestStatus) -> Option<Duration> {
    let recoveries = status.faults.iter().filter_map(|f| f.recovery.as_ref());
    recoveries.filter_map(|r| r.recover_milliseconds).max().map(|ms| Duration::from_millis(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests;
