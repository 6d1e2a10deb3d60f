//! What a script asks for: the output of `k6 inspect --execution-requirements`, and what of it can be run.

use std::time::Duration;

use loadtest_crds::{Arrivals, Plateau, ScriptThreshold};

use crate::k6::inspect::{
    document::{GRACEFUL_STOP, Inspection, K6Scenario, LONGEST, Source, length, millis, together},
    error::{InspectionError, Refusal},
};

mod asked;
pub mod document;
pub mod error;
mod shared;

const MOST_SCENARIOS: usize = 50;
const MOST_STAGES: usize = 500;
/// More of one script would make the status too large. The image that inspects it is the user's.
pub(crate) const MOST_THRESHOLDS: usize = 32;
pub(crate) const LONGEST_EXPRESSION: usize = 500;

/// What a script asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirements {
    /// Virtual users at the peak, all runners together.
    pub max_vus: i64,
    /// The longest time it may take, graceful stops included.
    pub longest: Duration,
    /// The longest time without graceful stops: how long the load is planned to last.
    pub planned: Duration,
    /// Stretches of constant load.
    pub plateaus: Vec<Plateau>,
    /// Virtual users of the highest of them, where the script asks for virtual users.
    pub held_vus: Option<i64>,
    pub arrivals: Vec<Arrivals>,
    pub thresholds: Vec<ScriptThreshold>,
}

/// Reads what `k6 inspect --execution-requirements` printed. `vus` and `duration` are the LoadTest's own,
/// which k6 inspect was not told.
///
/// # Errors
/// [`InspectionError`] says what to write instead.
pub fn requirements(
    scenario: &str,
    runners: i32,
    load: Option<(i32, Duration)>,
    printed: &str,
) -> Result<Requirements, InspectionError> {
    read(runners, load, printed).map_err(|why| InspectionError { scenario: scenario.to_owned(), why })
}

fn read(runners: i32, load: Option<(i32, Duration)>, printed: &str) -> Result<Requirements, Refusal> {
    let inspection: Inspection =
        serde_json::from_str(json_part(printed)).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let own = inspection.scenarios.clone().unwrap_or_default();
    let thresholds = inspection.thresholds();
    let longest = thresholds.iter().map(|t| t.metric.len() + t.expression.len()).max().unwrap_or(0);
    let stages = own.values().filter_map(|part| part.stages.as_ref()).map(Vec::len).sum();
    for (what, found, most) in [
        ("scenarios", own.len(), MOST_SCENARIOS),
        ("stages", stages, MOST_STAGES),
        ("thresholds", thresholds.len(), MOST_THRESHOLDS),
        ("characters in a threshold", longest, LONGEST_EXPRESSION),
    ] {
        if found > most {
            return Err(Refusal::TooMany { what, found, most });
        }
    }
    inspection.can_be_shared(runners)?;

    let required = match (load, inspection.source()) {
        (Some(_), Source::Scenarios) => {
            return Err(Refusal::LoadTwice(own.into_keys().collect::<Vec<_>>().join(", ")));
        }
        (None, Source::Nothing) => return Err(Refusal::NoLoad),
        (Some((vus, planned)), _) => Requirements {
            max_vus: i64::from(vus),
            longest: planned + GRACEFUL_STOP,
            planned,
            plateaus: vec![Plateau { from: 0, to: millis(planned) }],
            held_vus: asked::held_for(vus, planned),
            arrivals: Vec::new(),
            thresholds,
        },
        (None, _) => Requirements {
            max_vus: inspection.max_vus.unwrap_or(0),
            longest: inspection.total_duration.as_deref().and_then(length).unwrap_or_default(),
            planned: own.values().map(K6Scenario::planned_end).max().unwrap_or_default(),
            plateaus: intersect(own.values().map(K6Scenario::plateaus)),
            held_vus: asked::held(own.values()),
            arrivals: asked::arrivals(own.iter()),
            thresholds,
        },
    };

    if required.planned > LONGEST || required.longest > LONGEST + Duration::from_secs(3600) {
        return Err(Refusal::TooLong);
    }
    if required.max_vus < i64::from(runners) {
        return Err(Refusal::MoreRunnersThanVus { runners, vus: required.max_vus });
    }
    Ok(required)
}

/// The stretches that lie in a plateau of every scenario.
pub fn intersect(all: impl Iterator<Item = Vec<Plateau>>) -> Vec<Plateau> {
    let levels = all.map(|plateaus| plateaus.into_iter().map(|plateau| (plateau, 0.0)).collect());
    together(levels).into_iter().map(|(plateau, _)| plateau).collect()
}

/// k6 may log warnings before and after the JSON document.
fn json_part(printed: &str) -> &str {
    let start = printed.find("\n{").map(|i| i + 1).or_else(|| printed.starts_with('{').then_some(0));
    let end = printed.rfind("\n}").map(|i| i + 2);
    match (start, end) {
        (Some(start), Some(end)) if start < end => &printed[start..end],
        _ => printed,
    }
}

/// True when k6 inspect has printed its whole document, which it does only for a script that it could load.
#[must_use]
pub fn is_whole_inspection(printed: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(json_part(printed)).is_ok()
}

#[cfg(test)]
mod tests;
