//! What the parts of a script asked for, and what came of each.

use std::collections::BTreeMap;

use loadtest_crds::{Arrivals, ScenarioStatus};

use crate::{
    k6::{
        queries::{DROPPED_ITERATIONS, ITERATIONS, K6Metrics, K6Series, Metric, SCENARIO, Split},
        question::Asks,
    },
    numbers::interval::Interval,
    prometheus::{
        ask::{Answers, RequestKind},
        series::{Labels, Point},
    },
};

/// A LoadTest scenario and a k6 scenario in it.
pub type Part = (String, String);
pub type ByPart = BTreeMap<Part, f64>;

#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub iterations: ByPart,
    pub dropped: ByPart,
    pub vus: ByPart,
}

/// The questions.
#[derive(Clone, Debug)]
pub struct PartsProbe {
    pub(crate) iterations: usize,
    pub(crate) dropped: usize,
}

impl PartsProbe {
    pub fn new(metrics: &K6Metrics, load: Interval, asks: &mut Asks) -> Self {
        let mut by_part = |metric: Metric| {
            let sums = metrics.cumulative(K6Series::all(metric), Split::Part);
            asks.ask(sums, RequestKind::Instant { at: load.to })
        };
        Self { iterations: by_part(ITERATIONS), dropped: by_part(DROPPED_ITERATIONS) }
    }

    /// All but the virtual users.
    pub fn parts(&self, answers: &Answers) -> Parts {
        Parts {
            iterations: by_labels(self.iterations, answers),
            dropped: by_labels(self.dropped, answers),
            vus: ByPart::new(),
        }
    }
}

pub(crate) fn key(scenario: &ScenarioStatus, part: &Arrivals) -> Part {
    (scenario.name.clone(), part.name.clone())
}

fn by_labels(id: usize, answers: &Answers) -> ByPart {
    let answered = answers.vector(id).unwrap_or_default();
    let label = |labels: &Labels, name: &str| labels.get(name).cloned().unwrap_or_default();
    answered
        .iter()
        .filter(|(.., value)| value.is_finite())
        .map(|(labels, _, value)| ((label(labels, SCENARIO), label(labels, "scenario")), *value))
        .collect()
}

/// The highest point of each scenario.
pub fn highest(id: Option<usize>, answers: &Answers) -> ByPart {
    let answered = id.and_then(|id| answers.matrix(id).ok()).unwrap_or_default();
    let of = |labels: &Labels| labels.get(SCENARIO).cloned().unwrap_or_default();
    let high = |points: &[Point]| points.iter().map(|(_, users)| *users).fold(0.0, f64::max);
    answered.iter().map(|(labels, points)| ((of(labels), String::new()), high(points))).collect()
}
