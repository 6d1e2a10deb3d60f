//! Figures of queries: the worst point of a window, the value of a template, and how fast something grows.

use crate::{
    evaluate::objective::finding::{Finding, limit_words},
    numbers::limit::{Bound, count},
    plan::objective::ObjectivePlan,
    prometheus::series::{Point, Series, Value, theil_sen},
};

/// Fewer scrapes, or points of a query, say too little about a window.
pub const MIN_SCRAPES: usize = 4;
/// Fewer points say too little about how fast something grows.
pub const MIN_POINTS: usize = 10;

/// The worst point of an opaque query, over all stretches of a window.
#[must_use]
pub fn query(plan: &ObjectivePlan, stretches: &[&[Series]]) -> Finding {
    let points = match the_points(stretches) {
        Ok(points) => points,
        Err(finding) => return *finding,
    };
    let all = points.len();
    if all < MIN_SCRAPES {
        return Finding::unmeasurable(format!(
            "this window holds {all} of the {MIN_SCRAPES} points needed: judge a longer window"
        ));
    }
    let (which, worst) = worst(&plan.bound, points.iter().map(|(_, value)| *value));
    let shown = plan.bound.limit().show(worst);
    let base = format!("the {which} of {all} points was {shown}, {}", limit_words(&plan.bound));
    found(plan, worst, base, all)
}

/// The value of a query that speaks of a window as a whole; the worst of several stretches.
#[must_use]
pub fn template(plan: &ObjectivePlan, stretches: &[&[Value]]) -> Finding {
    if let Some(many) = stretches.iter().map(|series| series.len()).find(|n| *n > 1) {
        return several(many);
    }
    if stretches.iter().any(|series| series.is_empty()) || stretches.is_empty() {
        return Finding::no_data("the query has no value at the end of this window: try it in Prometheus");
    }
    let values = || stretches.iter().flat_map(|series| series.iter()).map(|(.., value)| *value);
    let broken = values().filter(|value| !value.is_finite()).count();
    if broken > 0 {
        return not_numbers(broken, stretches.len());
    }
    let (which, worst) = worst(&plan.bound, values());
    let shown = plan.bound.limit().show(worst);
    let of = match stretches.len() {
        1 => format!("{shown} over the window"),
        n => format!("the {which} of {n} stretches was {shown}"),
    };
    found(plan, worst, format!("{of}, {}", limit_words(&plan.bound)), stretches.len())
}

/// What a query grew by within `per` seconds, from the slopes between all its points. A series that is scraped every
/// 15 s gives the same point 15 times: of so many `scrapes`, each is looked at about once.
#[must_use]
pub fn slope(
    plan: &ObjectivePlan,
    per: f64,
    per_text: &str,
    scrapes: Option<f64>,
    stretches: &[&[Series]],
) -> Finding {
    let points = match the_points(stretches) {
        Ok(points) => points,
        Err(finding) => return *finding,
    };
    let scrapes = scrapes.map_or(points.len() as f64, |n| n.min(points.len() as f64));
    let all = scrapes as usize;
    if all < MIN_POINTS {
        return Finding::unmeasurable(format!(
            "this window holds {all} of the {MIN_POINTS} points needed for a slope: judge a longer window"
        ));
    }
    let every = (points.len() as f64 / scrapes).round().max(1.0) as usize;
    let points: Vec<Point> = points.into_iter().step_by(every).collect();
    let Some(slope) = theil_sen(&points) else {
        return Finding::no_data("the points of the query lie at one moment");
    };
    let grown = slope * per;
    let shown = plan.bound.limit().show(grown);
    let base = format!(
        "grew by {shown} within {per_text} (median of the slopes between {all} points), {}",
        limit_words(&plan.bound)
    );
    found(plan, grown, base, all)
}

fn found(plan: &ObjectivePlan, value: f64, words: String, samples: usize) -> Finding {
    Finding::of_value(plan, value, words, i64::try_from(samples).unwrap_or(i64::MAX))
}

/// All points of the one series, each of them a number.
fn the_points(stretches: &[&[Series]]) -> Result<Vec<Point>, Box<Finding>> {
    if let Some(many) = stretches.iter().map(|series| series.len()).find(|n| *n > 1) {
        return Err(Box::new(several(many)));
    }
    let points: Vec<Point> =
        stretches.iter().flat_map(|series| series.iter()).flat_map(|(_, points)| points).copied().collect();
    if points.is_empty() {
        return Err(Box::new(Finding::no_data("the query has no data in this window: try it in Prometheus")));
    }
    match points.iter().filter(|(_, value)| !value.is_finite()).count() {
        0 => Ok(points),
        broken => Err(Box::new(not_numbers(broken, points.len()))),
    }
}

fn several(many: usize) -> Finding {
    Finding::no_data(format!(
        "the query gives {many} series and must give one: wrap it in sum(), max() or min()"
    ))
}

fn not_numbers(broken: usize, all: usize) -> Finding {
    let (broken, all) = (count(broken as i64), count(all as i64));
    Finding::no_data(format!(
        "{broken} of {all} points are not a number, as after a division by zero: guard the query, as in (a / b > 0) or \
         vector(0)"
    ))
}

fn worst(bound: &Bound, values: impl Iterator<Item = f64>) -> (&'static str, f64) {
    match bound {
        Bound::AtMost(_) => ("highest", values.fold(f64::NEG_INFINITY, f64::max)),
        Bound::AtLeast(_) => ("lowest", values.fold(f64::INFINITY, f64::min)),
    }
}
