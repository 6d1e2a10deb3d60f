//! What `k6 inspect --execution-requirements` prints.

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::{Plateau, ScriptThreshold};
use serde::Deserialize;

use crate::numbers::duration;

/// As of every length of time in a LoadTest.
pub(crate) const LONGEST: Duration = Duration::from_secs(168 * 3600);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Inspection {
    pub(crate) scenarios: Option<BTreeMap<String, K6Scenario>>,
    #[serde(rename = "totalDuration")]
    pub(crate) total_duration: Option<String>,
    #[serde(rename = "maxVUs")]
    pub(crate) max_vus: Option<i64>,
    // The short forms. From them k6 makes up a scenario that it calls default.
    pub(crate) vus: Option<i64>,
    pub(crate) duration: Option<String>,
    pub(crate) iterations: Option<i64>,
    pub(crate) stages: Option<Vec<Stage>>,
    pub(crate) thresholds: Option<BTreeMap<String, Vec<Threshold>>>,
    pub(crate) tags: Option<Tags>,
    pub(crate) rps: Option<f64>,
}

pub(crate) type Tags = BTreeMap<String, serde::de::IgnoredAny>;

/// Where the script's load comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `options.scenarios`.
    Scenarios,
    /// `options.vus`, `duration`, `iterations` or `stages`, which flags may override.
    ShortForm,
    /// Nothing: k6 would run one iteration.
    Nothing,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct K6Scenario {
    pub(crate) executor: String,
    pub(crate) start_time: Option<String>,
    pub(crate) duration: Option<String>,
    max_duration: Option<String>,
    pub(crate) stages: Option<Vec<Stage>>,
    #[serde(rename = "startVUs")]
    pub(crate) start_vus: Option<f64>,
    pub(crate) start_rate: Option<f64>,
    pub(crate) rate: Option<f64>,
    pub(crate) time_unit: Option<String>,
    pub(crate) vus: Option<f64>,
    pub(crate) iterations: Option<i64>,
    pub(crate) tags: Option<Tags>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stage {
    pub(crate) duration: Option<String>,
    pub(crate) target: Option<f64>,
}

/// k6's own default for `gracefulStop` and `gracefulRampDown`.
pub(crate) const GRACEFUL_STOP: Duration = Duration::from_secs(30);

impl Inspection {
    /// Each once.
    pub(crate) fn thresholds(&self) -> Vec<ScriptThreshold> {
        let mut all: Vec<ScriptThreshold> = Vec::new();
        for (metric, expressions) in self.thresholds.iter().flatten() {
            for threshold in expressions.iter().map(|expression| expression.of(metric)) {
                if !all.iter().any(|t| t.metric == *metric && t.expression == threshold.expression) {
                    all.push(threshold);
                }
            }
        }
        all
    }

    pub(crate) fn source(&self) -> Source {
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

    pub(crate) fn planned_end(&self) -> Duration {
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

    /// Stretches in which this scenario's load does not ramp, with its virtual users or its rate. Before its start it adds
    /// nothing, which is constant too; its start and end are steps.
    pub(crate) fn levels(&self) -> Vec<(Plateau, f64)> {
        let start = self.start_time.as_deref().and_then(length).unwrap_or_default();
        // k6's defaults where the script says nothing.
        let Some(stages) = &self.stages else {
            let all = Plateau { from: millis(start), to: millis(self.planned_end()) };
            return vec![(all, self.vus.unwrap_or(1.0))];
        };
        let by_rate = self.executor.contains("arrival");
        let mut level = if by_rate { self.start_rate.unwrap_or(0.0) } else { self.start_vus.unwrap_or(1.0) };
        let mut at = start;
        let mut flat = Vec::new();
        for stage in stages {
            let end = at + stage.length();
            let target = stage.target.unwrap_or(level);
            if target == level && end > at {
                flat.push((Plateau { from: millis(at), to: millis(end) }, level));
            }
            (level, at) = (target, end);
        }
        flat
    }

    pub(crate) fn plateaus(&self) -> Vec<Plateau> {
        self.levels().into_iter().map(|(stretch, _)| stretch).collect()
    }
}

/// The stretches that lie in one of each list, with the sum of their levels.
pub(crate) fn together(all: impl Iterator<Item = Vec<(Plateau, f64)>>) -> Vec<(Plateau, f64)> {
    let both = |left: Vec<(Plateau, f64)>, right: Vec<(Plateau, f64)>| {
        let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
        let common = pairs.map(|((a, level), (b, more))| {
            (Plateau { from: a.from.max(b.from), to: a.to.min(b.to) }, level + more)
        });
        common.filter(|(stretch, _)| stretch.from < stretch.to).collect()
    };
    all.reduce(both).unwrap_or_default()
}

impl Stage {
    pub(crate) fn length(&self) -> Duration {
        self.duration.as_deref().and_then(length).unwrap_or_default()
    }
}

/// A length of time as k6 prints it. One that is too long to run stays too long, and can be added to others.
pub(crate) fn length(text: &str) -> Option<Duration> {
    Some(duration::parse(text)?.min(2 * LONGEST))
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A threshold as k6 inspect prints it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Threshold {
    Text(String),
    #[serde(rename_all = "camelCase")]
    Full {
        threshold: String,
        abort_on_fail: Option<bool>,
        delay_abort_eval: Option<String>,
    },
}

impl Threshold {
    pub fn of(&self, metric: &str) -> ScriptThreshold {
        match self {
            Self::Text(expression) => ScriptThreshold {
                metric: metric.to_owned(),
                expression: expression.clone(),
                ..ScriptThreshold::default()
            },
            Self::Full { threshold, abort_on_fail, delay_abort_eval } => ScriptThreshold {
                metric: metric.to_owned(),
                expression: threshold.clone(),
                abort_on_fail: abort_on_fail.unwrap_or(false),
                delay_abort_eval: delay_abort_eval.clone(),
            },
        }
    }
}
