//! What the parts of a script asked for, and what came of each.

use std::collections::BTreeMap;

use loadtest_crds::{Arrivals, Shortfall, ShortfallCause};

use super::{Case, MISSING, because};
use crate::{
    ask::{Answers, Labels},
    limit::count,
    series::Point,
};

/// Of the virtual users more may be missing: k6 reports them once a second only.
pub const MISSING_VUS: f64 = 0.1;

/// By LoadTest scenario and k6 scenario.
pub type ByPart = BTreeMap<(String, String), f64>;

#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub iterations: ByPart,
    pub dropped: ByPart,
    pub vus: ByPart,
}

impl Case<'_> {
    /// Iterations that k6 neither started nor dropped: it did not get round to them. Those under way as the load
    /// ended are not counted, so as many as there are virtual users may be missing.
    pub(super) fn iterations(&self, shortfalls: &mut Vec<Shortfall>) {
        for scenario in &self.status.scenarios {
            let through = |part: &&Arrivals| {
                self.ran_through(part.ends_at_milliseconds.or(scenario.duration_milliseconds))
            };
            for part in scenario.arrivals.iter().filter(through) {
                let key = (scenario.name.clone(), part.name.clone());
                let of = |parts: &ByPart| parts.get(&key).copied().unwrap_or(0.0);
                let (done, dropped) = (of(&self.parts.iterations), of(&self.parts.dropped));
                let asked = part.iterations as f64;
                let under_way = scenario.max_vus.unwrap_or(0) as f64;
                let never = asked - done - dropped;
                if never - under_way > MISSING * asked {
                    let text = format!(
                        "scenario {}: {} of the {} iterations that {} asks for were never started: k6 did not get round \
                         to them; raise spec.runner.limits, or parallelism",
                        scenario.name,
                        count(never.round() as i64),
                        count(part.iterations),
                        part.name
                    );
                    shortfalls.push(because(ShortfallCause::Generator, text));
                }
            }
        }
    }

    pub(super) fn vus(&self, shortfalls: &mut Vec<Shortfall>) {
        for scenario in self.status.scenarios.iter().filter(|s| self.ran_through(s.duration_milliseconds)) {
            let Some(asked) = scenario.held_vus.filter(|asked| *asked > 0) else { continue };
            let key = (scenario.name.clone(), String::new());
            let Some(seen) = self.parts.vus.get(&key).copied() else { continue };
            if (asked as f64 - seen) > MISSING_VUS * asked as f64 {
                let text = format!(
                    "scenario {}: {} of {} virtual users were there at once at most",
                    scenario.name,
                    count(seen.round() as i64),
                    count(asked)
                );
                shortfalls.push(self.explained(text, self.of_target(|_| true), ""));
            }
        }
    }
}

pub fn by_labels(id: Option<usize>, answers: &Answers) -> ByPart {
    let answered = id.and_then(|id| answers.vector(id).ok()).unwrap_or_default();
    let label = |labels: &Labels, name: &str| labels.get(name).cloned().unwrap_or_default();
    answered
        .iter()
        .filter(|(.., value)| value.is_finite())
        .map(|(labels, _, value)| ((label(labels, "loadtest_scenario"), label(labels, "scenario")), *value))
        .collect()
}

/// The highest point of each scenario.
pub fn highest(id: Option<usize>, answers: &Answers) -> ByPart {
    let answered = id.and_then(|id| answers.matrix(id).ok()).unwrap_or_default();
    let of = |labels: &Labels| labels.get("loadtest_scenario").cloned().unwrap_or_default();
    let high = |points: &[Point]| points.iter().map(|(_, users)| *users).fold(0.0, f64::max);
    answered.iter().map(|(labels, points)| ((of(labels), String::new()), high(points))).collect()
}
