//! What k6 says of a script and of a run: the output of `k6 inspect --execution-requirements`, and the
//! status of its REST API.

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::Plateau;
use serde::Deserialize;

use crate::duration;

/// `k6 run` and the REST API speak of the state of an execution in these numbers (k6, `lib/execution.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutionStatus(pub u32);

impl ExecutionStatus {
    /// Initialised, and waiting to be resumed.
    pub const PAUSED_BEFORE_RUN: Self = Self(4);
    /// Through; the later ones are interrupted (10) and marked as failed (11).
    pub const ENDED: Self = Self(9);

    #[must_use]
    pub fn has_ended(self) -> bool {
        self >= Self::ENDED
    }

    #[must_use]
    pub fn is_at_barrier(self) -> bool {
        self == Self::PAUSED_BEFORE_RUN
    }
}

/// The REST API's `/v1/status`, as far as we read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerStatus {
    pub status: ExecutionStatus,
    pub paused: bool,
    pub vus: i64,
}

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
}

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
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Inspection {
    scenarios: Option<BTreeMap<String, K6Scenario>>,
    #[serde(rename = "totalDuration")]
    total_duration: Option<String>,
    #[serde(rename = "maxVUs")]
    max_vus: Option<i64>,
    vus: Option<i64>,
    duration: Option<String>,
    iterations: Option<i64>,
    stages: Option<Vec<Stage>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct K6Scenario {
    executor: String,
    start_time: Option<String>,
    duration: Option<String>,
    max_duration: Option<String>,
    stages: Option<Vec<Stage>>,
    #[serde(rename = "startVUs")]
    start_vus: Option<f64>,
    start_rate: Option<f64>,
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
    let inspection: Inspection = serde_json::from_str(json_part(printed)).map_err(|e| InspectionError::Unreadable {
        scenario: scenario.to_owned(),
        cause: e.to_string(),
    })?;
    let own = inspection.scenarios.as_ref().filter(|s| !s.is_empty());

    let required = match (load, own) {
        (Some(_), Some(own)) => {
            let scenarios = own.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(InspectionError::LoadTwice { scenario: scenario.to_owned(), scenarios });
        }
        (Some((vus, planned)), None) => Requirements {
            max_vus: i64::from(vus),
            longest: planned + GRACEFUL_STOP,
            planned,
            plateaus: vec![Plateau { from: 0, to: millis(planned) }],
        },
        (None, Some(own)) => Requirements {
            max_vus: inspection.max_vus.unwrap_or(0),
            longest: inspection.total_duration.as_deref().and_then(duration::parse).unwrap_or_default(),
            planned: own.values().map(K6Scenario::planned_end).max().unwrap_or_default(),
            plateaus: intersect(own.values().map(K6Scenario::plateaus)),
        },
        (None, None) => shortcut(scenario, &inspection)?,
    };

    if required.max_vus < i64::from(runners) {
        return Err(InspectionError::MoreRunnersThanVus {
            scenario: scenario.to_owned(),
            runners,
            vus: required.max_vus,
        });
    }
    Ok(required)
}

/// A script with `options.vus`, `duration`, `iterations` or `stages` and no scenarios.
fn shortcut(scenario: &str, inspection: &Inspection) -> Result<Requirements, InspectionError> {
    let stand_in = K6Scenario {
        duration: inspection.duration.clone(),
        stages: inspection.stages.clone(),
        max_duration: inspection.iterations.map(|_| "10m".to_owned()),
        ..K6Scenario::default()
    };
    if stand_in.duration.is_none() && stand_in.stages.is_none() && inspection.iterations.is_none() {
        return Err(InspectionError::NoLoad { scenario: scenario.to_owned() });
    }
    let planned = stand_in.planned_end();
    Ok(Requirements {
        max_vus: inspection.max_vus.or(inspection.vus).unwrap_or(1),
        longest: inspection
            .total_duration
            .as_deref()
            .and_then(duration::parse)
            .unwrap_or(planned + GRACEFUL_STOP),
        planned,
        plateaus: stand_in.plateaus(),
    })
}

impl K6Scenario {
    fn planned_end(&self) -> Duration {
        let start = self.start_time.as_deref().and_then(duration::parse).unwrap_or_default();
        let own = match (&self.stages, &self.duration, &self.max_duration) {
            (Some(stages), _, _) => stages.iter().map(Stage::length).sum(),
            (None, Some(duration), _) => duration::parse(duration).unwrap_or_default(),
            (None, None, Some(max)) => duration::parse(max).unwrap_or_default(),
            // Executors by iterations have this limit where the script says none.
            (None, None, None) => Duration::from_secs(600),
        };
        start + own
    }

    /// Stretches in which this scenario's load does not ramp. Before its start it adds nothing, which is
    /// constant too; its start and end are steps.
    fn plateaus(&self) -> Vec<Plateau> {
        let start = self.start_time.as_deref().and_then(duration::parse).unwrap_or_default();
        let Some(stages) = &self.stages else {
            return vec![Plateau { from: millis(start), to: millis(self.planned_end()) }];
        };
        let mut at = start;
        let mut level = if self.executor.contains("arrival") { self.start_rate } else { self.start_vus };
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
        self.duration.as_deref().and_then(duration::parse).unwrap_or_default()
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

/// The lines of a k6 log that say what went wrong, shortened to one sentence for the status.
#[must_use]
pub fn error_in_log(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains("level=error") || line.starts_with("ERRO"))?;
    let message = line
        .split_once("msg=\"")
        .map_or(line, |(_, rest)| rest)
        .trim_end_matches(|c: char| c != '"' && !c.is_alphanumeric());
    let message = message.split("\" ").next().unwrap_or(message).trim_end_matches('"');
    let message = message.replace("\\n", " ").replace("\\t", " ").replace("\\\"", "\"");
    let mut short: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = short.char_indices().nth(400) {
        short.truncate(cut);
        short.push('…');
    }
    Some(short)
}
