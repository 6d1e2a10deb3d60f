//! What a script asks for: the output of `k6 inspect --execution-requirements`, and what of it can be run.

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::{Arrivals, Plateau, ScriptThreshold};
use serde::Deserialize;

use crate::numbers::duration;

mod asked;
mod shared;

/// The script is not one that can be run as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectionError {
    #[error("scenario {scenario}: failed to read what k6 inspect printed: {cause}")]
    Unreadable { scenario: String, cause: String },
    #[error(
        "scenario {scenario}: the script defines scenarios of its own ({scenarios}), which vus and duration \
         would silently delete: remove vus and duration from the LoadTest, or the scenarios from the script"
    )]
    LoadTwice { scenario: String, scenarios: String },
    #[error(
        "scenario {scenario}: the script says nothing of its load and would run one iteration: write vus and \
         duration into the LoadTest, or scenarios into the script"
    )]
    NoLoad { scenario: String },
    #[error(
        "scenario {scenario}: {runners} runners share {vus} virtual users, so some would get none: lower \
         parallelism to {vus} or raise the load"
    )]
    MoreRunnersThanVus { scenario: String, runners: i32, vus: i64 },
    #[error(
        "scenario {scenario}: the script has {found} thresholds, and at most {MOST_THRESHOLDS} are judged: remove some"
    )]
    TooManyThresholds { scenario: String, found: usize },
    #[error("scenario {scenario}: the script has {found} {what}, and at most {most} can be run: write fewer")]
    TooMany { scenario: String, what: &'static str, found: usize, most: usize },
    #[error(
        "scenario {scenario}: the script has a threshold of {found} characters, and at most \
         {LONGEST_EXPRESSION} are judged: shorten it"
    )]
    ThresholdTooLong { scenario: String, found: usize },
    #[error(
        "scenario {scenario}: the script sets the tag {tag} for all of its samples, and testid and tags that begin with \
         loadtest_ are the operator's own: give it another name"
    )]
    OwnTag { scenario: String, tag: String },
    #[error(
        "scenario {scenario}: each of {runners} runners would make up to {rps} requests a second (rps of the script, or \
         K6_RPS), which k6 does not share out: ask for a rate by the executor constant-arrival-rate, which is shared out, \
         or set parallelism to 1"
    )]
    RateNotShared { scenario: String, runners: i32, rps: String },
    #[error(
        "scenario {scenario}: {part} is externally-controlled, which k6 cannot share out to {runners} runners: use another \
         executor, or set parallelism to 1"
    )]
    UsersNotShared { scenario: String, runners: i32, part: String },
    #[error("scenario {scenario}: the script's load lasts longer than 168h, a week: shorten it")]
    TooLong { scenario: String },
}

/// More of one script would make the status too large. The image that inspects it is the user's.
const MOST_THRESHOLDS: usize = 32;
const LONGEST_EXPRESSION: usize = 500;
const MOST_SCENARIOS: usize = 50;
const MOST_STAGES: usize = 500;
/// As of every length of time in a LoadTest.
const LONGEST: Duration = Duration::from_secs(168 * 3600);

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

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Inspection {
    scenarios: Option<BTreeMap<String, K6Scenario>>,
    #[serde(rename = "totalDuration")]
    total_duration: Option<String>,
    #[serde(rename = "maxVUs")]
    max_vus: Option<i64>,
    // The short forms. From them k6 makes up a scenario that it calls default.
    vus: Option<i64>,
    duration: Option<String>,
    iterations: Option<i64>,
    stages: Option<Vec<Stage>>,
    thresholds: Option<BTreeMap<String, Vec<asked::Threshold>>>,
    tags: Option<Tags>,
    rps: Option<f64>,
}

type Tags = BTreeMap<String, serde::de::IgnoredAny>;

/// Where the script's load comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// `options.scenarios`.
    Scenarios,
    /// `options.vus`, `duration`, `iterations` or `stages`, which flags may override.
    ShortForm,
    /// Nothing: k6 would run one iteration.
    Nothing,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct K6Scenario {
    executor: String,
    start_time: Option<String>,
    graceful_stop: Option<String>,
    duration: Option<String>,
    max_duration: Option<String>,
    stages: Option<Vec<Stage>>,
    #[serde(rename = "startVUs")]
    start_vus: Option<f64>,
    start_rate: Option<f64>,
    rate: Option<f64>,
    time_unit: Option<String>,
    vus: Option<f64>,
    iterations: Option<i64>,
    tags: Option<Tags>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Stage {
    duration: Option<String>,
    target: Option<f64>,
}

/// k6's own default for `gracefulStop` and `gracefulRampDown`.
const GRACEFUL_STOP: Duration = Duration::from_secs(30);

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
    let inspection: Inspection = serde_json::from_str(json_part(printed))
        .map_err(|e| InspectionError::Unreadable { scenario: scenario.to_owned(), cause: e.to_string() })?;
    let own = inspection.scenarios.clone().unwrap_or_default();
    let thresholds = inspection.thresholds();
    if thresholds.len() > MOST_THRESHOLDS {
        let (scenario, found) = (scenario.to_owned(), thresholds.len());
        return Err(InspectionError::TooManyThresholds { scenario, found });
    }
    if let Some(found) =
        thresholds.iter().map(|t| t.metric.len() + t.expression.len()).find(|n| *n > LONGEST_EXPRESSION)
    {
        return Err(InspectionError::ThresholdTooLong { scenario: scenario.to_owned(), found });
    }
    let stages = own.values().filter_map(|part| part.stages.as_ref()).map(Vec::len).sum();
    for (what, found, most) in [("scenarios", own.len(), MOST_SCENARIOS), ("stages", stages, MOST_STAGES)] {
        if found > most {
            return Err(InspectionError::TooMany { scenario: scenario.to_owned(), what, found, most });
        }
    }

    inspection.can_be_shared(scenario, runners)?;

    let required = match (load, inspection.source()) {
        (Some(_), Source::Scenarios) => {
            let scenarios = own.into_keys().collect::<Vec<_>>().join(", ");
            return Err(InspectionError::LoadTwice { scenario: scenario.to_owned(), scenarios });
        }
        (None, Source::Nothing) => return Err(InspectionError::NoLoad { scenario: scenario.to_owned() }),
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
        return Err(InspectionError::TooLong { scenario: scenario.to_owned() });
    }
    if required.max_vus < i64::from(runners) {
        return Err(InspectionError::MoreRunnersThanVus {
            scenario: scenario.to_owned(),
            runners,
            vus: required.max_vus,
        });
    }
    Ok(required)
}

impl Inspection {
    /// Each once.
    fn thresholds(&self) -> Vec<ScriptThreshold> {
        let mut all: Vec<ScriptThreshold> = Vec::new();
        for (metric, expressions) in self.thresholds.iter().flatten() {
            for threshold in expressions.iter().map(|expression| expression.of(metric)) {
                let same = |t: &&ScriptThreshold| {
                    t.metric == threshold.metric && t.expression == threshold.expression
                };
                if all.iter().find(same).is_none() {
                    all.push(threshold);
                }
            }
        }
        all
    }

    fn source(&self) -> Source {
        let short = self.vus.is_some()
            || self.duration.is_some()
            || self.iterations.is_some()
            || self.stages.is_some();
        match &self.scenarios {
            _ if short => Source::ShortForm,
            None => Source::Nothing,
            Some(own) if own.is_empty() => Source::Nothing,
            Some(own) if own.len() == 1 && own.get("default").is_some_and(K6Scenario::is_made_up) => {
                Source::Nothing
            }
            Some(_) => Source::Scenarios,
        }
    }
}

impl K6Scenario {
    /// The one iteration that k6 runs for a script without any load.
    fn is_made_up(&self) -> bool {
        self.executor == "per-vu-iterations" && self.iterations.is_none() && self.max_duration.is_none()
    }

    fn planned_end(&self) -> Duration {
        let start = self.start_time.as_deref().and_then(length).unwrap_or_default();
        let own = match (&self.stages, &self.duration, &self.max_duration) {
            (Some(stages), _, _) => stages.iter().map(Stage::length).sum(),
            (None, Some(duration), _) => length(duration).unwrap_or_default(),
            (None, None, Some(max)) => length(max).unwrap_or_default(),
            // Executors by iterations have this limit where the script says none.
            (None, None, None) => Duration::from_secs(600),
        };
        start + own
    }

    /// Stretches in which this scenario's load does not ramp. Before its start it adds nothing, which is
    /// constant too; its start and end are steps.
    fn plateaus(&self) -> Vec<Plateau> {
        let start = self.start_time.as_deref().and_then(length).unwrap_or_default();
        let Some(stages) = &self.stages else {
            return vec![Plateau { from: millis(start), to: millis(self.planned_end()) }];
        };
        let mut at = start;
        // k6's defaults where the script says nothing.
        let mut level = if self.executor.contains("arrival") {
            self.start_rate.or(Some(0.0))
        } else {
            self.start_vus.or(Some(1.0))
        };
        let mut flat = Vec::new();
        for stage in stages {
            let end = at + stage.length();
            if stage.target == level && end > at {
                flat.push(Plateau { from: millis(at), to: millis(end) });
            }
            level = stage.target;
            at = end;
        }
        flat
    }
}

impl Stage {
    fn length(&self) -> Duration {
        self.duration.as_deref().and_then(length).unwrap_or_default()
    }
}

/// The stretches that lie in a plateau of every scenario.
pub fn intersect(all: impl Iterator<Item = Vec<Plateau>>) -> Vec<Plateau> {
    all.reduce(|left, right| {
        let mut both = Vec::new();
        for a in &left {
            for b in &right {
                let (from, to) = (a.from.max(b.from), a.to.min(b.to));
                if from < to {
                    both.push(Plateau { from, to });
                }
            }
        }
        both
    })
    .unwrap_or_default()
}

/// A length of time as k6 prints it. One that is too long to run stays too long, and can be added to others.
fn length(text: &str) -> Option<Duration> {
    Some(duration::parse(text)?.min(2 * LONGEST))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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
