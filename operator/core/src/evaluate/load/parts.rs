//! What the parts of a script asked for, and what came of each.
//!
//! Of the iterations that a part by arrival rate asks for, k6 counts those that end and those that it drops. The others
//! were either under way when it interrupted them, `gracefulStop` after the end of the part, or never started. So many are
//! under way then as the rate and the length of an iteration make:
//!
//! ```text
//! most = rate · max(0, 1.5 · p99 − gracefulStop), and one for each runner; never more than there are virtual users
//! ```
//!
//! That 1% takes longer than p99 is within the 1% that may be missing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{Arrivals, LoadTestStatus, ScenarioStatus};

use crate::{
    k6::queries::{self, K6Metrics, K6Samples},
    numbers::interval::Interval,
    prometheus::{
        ask::{Answers, Asks, RequestKind},
        promql,
        series::{Labels, Point},
    },
};

/// Iterations stop ending where none does for so long at the end of a part, and in the time that so many are asked for.
pub(crate) const SILENT_MILLISECONDS: i64 = 5000;
const SILENT_ITERATIONS: i64 = 10;
/// Of more parts nobody asks when their iterations ended.
const MOST_PARTS: usize = 20;

/// A LoadTest scenario and a k6 scenario in it.
pub type Part = (String, String);
pub type ByPart = BTreeMap<Part, f64>;

#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub iterations: ByPart,
    pub dropped: ByPart,
    /// How long an iteration takes, in seconds.
    pub p99: ByPart,
    /// Iterations that had ended when the last moments of the part began.
    pub ended_before: ByPart,
    pub vus: ByPart,
}

/// The questions.
#[derive(Clone, Debug)]
pub struct PartsProbe {
    pub(crate) iterations: usize,
    pub(crate) dropped: usize,
    pub(crate) p99: usize,
    pub(crate) ended_before: Vec<(Part, usize)>,
}

impl PartsProbe {
    pub fn new(status: &LoadTestStatus, metrics: &K6Metrics, load: Interval, asks: &mut Asks) -> Self {
        let at = RequestKind::Instant { at: load.to };
        let by_part = |metric: &str, until: Timestamp| {
            let last = metrics.last_values(metric, &K6Samples::default(), Some(until));
            format!("sum by ({}, scenario) ({last})", queries::SCENARIO)
        };
        let all = status.scenarios.iter().flat_map(|s| s.arrivals.iter().map(move |part| (s, part)));
        let last_moments = all.filter_map(|(s, part)| Some((key(s, part), last_moments(status, s, part)?)));
        Self {
            ended_before: last_moments
                .take(MOST_PARTS)
                .map(|(part, moments)| (part, asks.ask(by_part(queries::ITERATIONS, moments.from), at)))
                .collect(),
            iterations: asks.ask(by_part(queries::ITERATIONS, load.to), at),
            dropped: asks.ask(by_part(queries::DROPPED_ITERATIONS, load.to), at),
            p99: asks
                .ask(promql::histogram_quantile(0.99, &by_part(queries::ITERATION_DURATION, load.to)), at),
        }
    }

    /// All but the virtual users.
    pub fn parts(&self, answers: &Answers) -> Parts {
        let ended_before = self.ended_before.iter().filter_map(|(part, id)| {
            answers.vector(*id).ok()?;
            Some((part.clone(), by_labels(*id, answers).get(part).copied().unwrap_or(0.0)))
        });
        Parts {
            iterations: by_labels(self.iterations, answers),
            dropped: by_labels(self.dropped, answers),
            p99: by_labels(self.p99, answers),
            ended_before: ended_before.collect(),
            vus: ByPart::new(),
        }
    }
}

pub(crate) fn key(scenario: &ScenarioStatus, part: &Arrivals) -> Part {
    (scenario.name.clone(), part.name.clone())
}

/// The end of a part, long enough for some iterations to end in it; none where its rate may not be constant there.
pub fn last_moments(status: &LoadTestStatus, scenario: &ScenarioStatus, part: &Arrivals) -> Option<Interval> {
    let to = part.ends_at_milliseconds?;
    let most = part.most_per_minute.filter(|most| *most > 0)?;
    let from = to - (SILENT_ITERATIONS * 60_000 / most).max(SILENT_MILLISECONDS);
    if !scenario.plateaus.iter().any(|plateau| plateau.from <= from && plateau.to >= to) {
        return None;
    }
    let started = status.load.as_ref()?.started_at.as_ref()?.0;
    let after = |millis: i64| started.checked_add(SignedDuration::from_millis(millis)).ok();
    Interval::new(after(from)?, after(to)?)
}

fn by_labels(id: usize, answers: &Answers) -> ByPart {
    let answered = answers.vector(id).unwrap_or_default();
    let label = |labels: &Labels, name: &str| labels.get(name).cloned().unwrap_or_default();
    answered
        .iter()
        .filter(|(.., value)| value.is_finite())
        .map(|(labels, _, value)| ((label(labels, queries::SCENARIO), label(labels, "scenario")), *value))
        .collect()
}

/// The highest point of each scenario.
pub fn highest(id: Option<usize>, answers: &Answers) -> ByPart {
    let answered = id.and_then(|id| answers.matrix(id).ok()).unwrap_or_default();
    let of = |labels: &Labels| labels.get(queries::SCENARIO).cloned().unwrap_or_default();
    let high = |points: &[Point]| points.iter().map(|(_, users)| *users).fold(0.0, f64::max);
    answered.iter().map(|(labels, points)| ((of(labels), String::new()), high(points))).collect()
}
