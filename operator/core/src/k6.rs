//! What k6 says of a script and of a run: the output of `k6 inspect --execution-requirements`, and the
//! status of its REST API.

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::{Arrivals, Plateau, ScriptThreshold};
use serde::Deserialize;

use crate::duration;

mod asked;
mod log;
pub mod metrics;

pub use log::Log;

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
}

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

/// What the last error in a k6 log says, as one line of bounded length.
#[must_use]
pub fn error_in_log(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| is_error(line))?;
    let field = |name: &str| line.split_once(name).map(|(_, rest)| unquote(rest));
    let message = match (field(" msg="), field(" error=")) {
        (Some(what), Some(why)) => format!("{what}: {why}"),
        (Some(what), None) => what,
        (None, _) => line.to_owned(),
    };
    let mut short = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = short.char_indices().nth(400) {
        short.truncate(cut);
        short.push('…');
    }
    Some(short)
}

/// True for a line by which k6 reports an error: of the script, of its own, or of an output.
#[must_use]
pub fn is_error(line: &str) -> bool {
    line.contains("level=error") || line.contains("level=fatal")
}

/// True for a line by which k6 reports an iteration that threw. What a script logs itself, by `console.error`,
/// is its own affair: it may well log every failed request of an outage.
#[must_use]
pub fn is_exception(line: &str) -> bool {
    is_error(line) && line.contains("source=stacktrace")
}

/// True for a line that reports metrics which did not reach Prometheus.
#[must_use]
pub fn is_push_error(line: &str) -> bool {
    line.contains("Failed to send the time series data")
}

/// The value of a logfmt field: a quoted string with its escapes undone, or one word.
fn unquote(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split(' ').next().unwrap_or_default().to_owned();
    };
    let mut out = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n' | 't' | 'r') => out.push(' '),
                Some(other) => out.push(other),
                None => break,
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT_FORM: &str = r#"{
  "vus": 5, "duration": "10s",
  "scenarios": {"default": {"executor": "constant-vus", "vus": 5, "duration": "10s"}},
  "totalDuration": "40s", "maxVUs": 5
}"#;
    const NOTHING: &str = r#"{
  "vus": null,
  "scenarios": {"default": {"executor": "per-vu-iterations", "vus": null, "iterations": null, "maxDuration": null}},
  "totalDuration": "10m30s", "maxVUs": 1
}"#;
    const RAMP: &str = r#"time="…" level=warning msg="something"
{
  "scenarios": {
    "steady": {"executor": "constant-arrival-rate", "rate": 5, "duration": "1m30s"},
    "ramp": {"executor": "ramping-vus", "stages": [
      {"duration": "10s", "target": 5}, {"duration": "1m0s", "target": 5}, {"duration": "5s", "target": 0}]}
  },
  "totalDuration": "2m0s", "maxVUs": 15
}"#;

    /// The image that prints it is the user's, and may print anything.
    #[rstest::rstest]
    #[case::longer_than_can_be_added(
        r#"{"a": {"executor": "constant-vus", "startTime": "5000000000000000h", "duration": "5000000000000000h"}}"#
    )]
    #[case::later_than_any_calendar(r#"{"a": {"executor": "constant-vus", "duration": "99999999h"}}"#)]
    #[case::in_stages(
        r#"{"a": {"executor": "ramping-vus", "stages": [{"duration": "100h"}, {"duration": "4000000000000000h"}]}}"#
    )]
    fn a_load_of_more_than_a_week_is_refused(#[case] scenarios: &str) {
        let printed = format!("{{\"scenarios\": {scenarios}, \"maxVUs\": 1}}");
        let refused = requirements("a", 1, None, &printed).unwrap_err();
        assert_eq!(refused, InspectionError::TooLong { scenario: "a".to_owned() });
    }

    #[test]
    fn more_than_the_status_can_hold_is_refused() {
        let stage = r#"{"duration": "1s", "target": 1}"#;
        let stages = vec![stage; MOST_STAGES + 1].join(",");
        let one = format!(
            r#"{{"scenarios": {{"a": {{"executor": "ramping-vus", "stages": [{stages}]}}}}, "maxVUs": 1}}"#
        );
        let refused = requirements("a", 1, None, &one).unwrap_err();
        assert!(refused.to_string().contains("501 stages, and at most 500"), "{refused}");
        let expression = "p(95)<1".repeat(100);
        let long =
            format!(r#"{{"vus": 1, "duration": "1s", "thresholds": {{"http_reqs": ["{expression}"]}}}}"#);
        let refused = requirements("a", 1, None, &long).unwrap_err();
        assert!(refused.to_string().contains("a threshold of 709 characters"), "{refused}");
    }

    #[test]
    fn the_load_test_says_the_load_of_a_plain_script() {
        let required = requirements("chat", 4, Some((40, Duration::from_secs(90))), NOTHING).unwrap();
        assert_eq!((required.max_vus, required.planned), (40, Duration::from_secs(90)));
        assert_eq!(required.plateaus, [Plateau { from: 0, to: 90_000 }]);
    }

    #[test]
    fn a_script_may_say_its_load_itself() {
        let required = requirements("chat", 2, None, SHORT_FORM).unwrap();
        assert_eq!((required.max_vus, required.planned), (5, Duration::from_secs(10)));
        assert_eq!(required.longest, Duration::from_secs(40));
    }

    #[test]
    fn ramps_are_no_plateaus() {
        let required = requirements("chat", 2, None, RAMP).unwrap();
        assert_eq!(required.plateaus, [Plateau { from: 10_000, to: 70_000 }]);
        assert_eq!(required.planned, Duration::from_secs(90));
    }

    #[test]
    fn loads_that_cannot_be_are_refused_with_advice() {
        let load = Some((4, Duration::from_secs(9)));
        let text = |r: Result<Requirements, InspectionError>| r.unwrap_err().to_string();
        assert!(text(requirements("a", 1, load, RAMP)).contains("(ramp, steady)"));
        assert!(text(requirements("a", 1, None, NOTHING)).contains("write vus and duration"));
        assert!(text(requirements("a", 6, None, SHORT_FORM)).contains("lower parallelism to 5"));
        assert!(text(requirements("a", 1, None, "not json")).contains("failed to read"));
    }

    #[test]
    fn thresholds_are_read_in_both_their_forms() {
        let text = SHORT_FORM.replace(
            "\"totalDuration\"",
            r#""thresholds": {"http_req_duration{name:Send}": ["p(95)<300", "p(95)<300"],
               "http_req_failed": [{"threshold": "rate<0.01", "abortOnFail": true, "delayAbortEval": "5s"}]},
               "totalDuration""#,
        );
        let found = requirements("a", 1, None, &text).unwrap().thresholds;
        let plain = ScriptThreshold {
            metric: "http_req_duration{name:Send}".to_owned(),
            expression: "p(95)<300".to_owned(),
            ..ScriptThreshold::default()
        };
        let aborts = ScriptThreshold {
            metric: "http_req_failed".to_owned(),
            expression: "rate<0.01".to_owned(),
            abort_on_fail: true,
            delay_abort_eval: Some("5s".to_owned()),
        };
        assert_eq!(found, [plain, aborts]);
    }

    #[test]
    fn an_inspection_is_whole_when_its_document_is() {
        assert!(is_whole_inspection(RAMP) && is_whole_inspection(SHORT_FORM));
        assert!(!is_whole_inspection(&SHORT_FORM[..SHORT_FORM.len() - 1]));
        assert!(!is_whole_inspection("") && !is_whole_inspection("time=\"x\" level=error msg=\"no\""));
    }

    #[test]
    fn the_last_error_of_a_log_becomes_one_line() {
        let log = "time=\"x\" level=info msg=\"ok\"\n\
                   time=\"x\" level=error msg=\"Error: \\\"boom\\\"\\n\\tat file:///f.js:1:7(12)\\n\" hint=\"script exception\"\n";
        assert_eq!(error_in_log(log).unwrap(), "Error: \"boom\" at file:///f.js:1:7(12)");
        let setup = "time=\"x\" level=error msg=\"Error executing setup\" error=\"Error: no database\\n\\tat setup (file:///f.js:1:33(3))\\n\"";
        assert_eq!(
            error_in_log(setup).unwrap(),
            "Error executing setup: Error: no database at setup (file:///f.js:1:33(3))"
        );
        assert_eq!(error_in_log("nothing here"), None);
    }

    #[test]
    fn only_what_was_thrown_is_an_exception() {
        let thrown = r#"level=error msg="Error: boom\n\tat f.js:1:7(12)\n" executor=constant-vus scenario=default source=stacktrace"#;
        let logged = r#"level=error msg="save failed: 503" source=console"#;
        assert!(is_exception(thrown));
        assert!(!is_exception(logged) && is_error(logged));
    }
}
