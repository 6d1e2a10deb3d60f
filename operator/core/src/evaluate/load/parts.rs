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
use loadtest_crds::{Arrivals, LoadTestStatus, ScenarioStatus, Shortfall, ShortfallCause};

use crate::{
    evaluate::load::{Case, MISSING, because, milliseconds},
    k6::queries::{self, K6Metrics, K6Samples},
    numbers::{duration::human, interval::Interval, limit::count},
    prometheus::{
        ask::{Answers, Asks, RequestKind},
        promql,
        series::{Labels, Point},
    },
};

/// Of the virtual users more may be missing: k6 reports them once a second only.
pub const MISSING_VUS: f64 = 0.1;
/// An iteration that is still under way may take so many times the p99 of those that ended.
const LONGER: f64 = 1.5;
/// Iterations stop ending where none does for so long at the end of a part, and in the time that so many are asked for.
const SILENT_MILLISECONDS: i64 = 5000;
const SILENT_ITERATIONS: i64 = 10;
/// Fewer end then, where it is less than this share of what usually does.
const SLOWED: f64 = 0.75;
/// After so long k6 gives a request up, unless the script says otherwise.
const TIMEOUT_MILLISECONDS: i64 = 60_000;
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
    iterations: usize,
    dropped: usize,
    p99: usize,
    ended_before: Vec<(Part, usize)>,
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

impl Case<'_> {
    pub(super) fn iterations(&self, shortfalls: &mut Vec<Shortfall>) {
        for scenario in &self.status.scenarios {
            let through = |part: &&Arrivals| {
                self.ran_through(part.ends_at_milliseconds.or(scenario.duration_milliseconds))
            };
            let parts = scenario.arrivals.iter().filter(through);
            shortfalls.extend(parts.filter_map(|part| self.iterations_of(scenario, part)));
        }
    }

    fn iterations_of(&self, scenario: &ScenarioStatus, part: &Arrivals) -> Option<Shortfall> {
        let of = |parts: &ByPart| parts.get(&key(scenario, part)).copied();
        let ended = of(&self.parts.iterations).unwrap_or(0.0);
        let asked = part.iterations as f64;
        let missing = asked - ended - of(&self.parts.dropped).unwrap_or(0.0);
        let too_many = |under_way: f64| missing - under_way > MISSING * asked;
        let what = |became: &str| {
            format!(
                "scenario {}: {} of the {} iterations that {} asks for were {became}",
                scenario.name,
                count(missing.round() as i64),
                count(part.iterations),
                part.name
            )
        };
        let most = scenario.max_vus.unwrap_or(0) as f64;
        if too_many(most) {
            let text = what("never started: k6 did not get round to them");
            let text = format!("{text}; raise spec.runner.limits, or parallelism");
            return Some(because(ShortfallCause::Generator, text));
        }
        let p99 = of(&self.parts.p99)?;
        let rate = part.most_per_minute.filter(|most| *most > 0)? as f64 / 60.0;
        let graceful_stop = part.graceful_stop_milliseconds?;
        let longest = (LONGER * p99 - graceful_stop as f64 / 1000.0).max(0.0);
        let under_way = rate * longest + f64::from(scenario.runners);
        if !too_many(under_way.min(most)) {
            return None;
        }
        if let Some(why) = self.of_runners() {
            let text = what("never started, or never ended");
            return Some(because(ShortfallCause::Generator, format!("{text}; {why}")));
        }
        let ends_at = part.ends_at_milliseconds?;
        let by_a_fault = |hang: i64| {
            let about = ends_at.saturating_sub(hang).saturating_sub(SILENT_MILLISECONDS);
            self.is_disturbed(about, ends_at.saturating_add(graceful_stop))
        };
        // As many are asked for in this time: where all hang, they do since then.
        if by_a_fault((missing / rate * 1000.0) as i64) {
            return None;
        }
        let text = what("started and never ended");
        let moments = last_moments(self.status, scenario, part)?;
        let before = of(&self.parts.ended_before)?;
        let ended = ended - before;
        if ended < 0.5 {
            let text = format!(
                "{text}; no answers came: in its last {} and after it not one ended, which takes {} (p99) else",
                human(moments.length()),
                milliseconds(p99)
            );
            return Some(because(ShortfallCause::Target, text));
        }
        // Where as many end as ever, some are meant to last for longer than the load.
        let usual = before / (asked - rate * moments.length().as_secs_f64()).max(1.0);
        let advice = "raise its gracefulStop if iterations may take so long";
        let slowed = ended < SLOWED * usual * rate * moments.length().as_secs_f64();
        (slowed && !by_a_fault(TIMEOUT_MILLISECONDS)).then(|| self.explained(text, None, advice))
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

fn key(scenario: &ScenarioStatus, part: &Arrivals) -> Part {
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
