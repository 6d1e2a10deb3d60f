//! What is missing of a part of the script, and whose fault it is.

use loadtest_crds::{Arrivals, ScenarioStatus, Shortfall, ShortfallCause};

use crate::{
    evaluate::load::{
        case::{Case, MISSING, because, milliseconds},
        parts::{ByPart, SILENT_MILLISECONDS, key, last_moments},
    },
    numbers::{duration::human, limit::count},
};

/// Of the virtual users more may be missing: k6 reports them once a second only.
pub const MISSING_VUS: f64 = 0.1;

/// An iteration that is still under way may take so many times the p99 of those that ended.
const LONGER: f64 = 1.5;

/// Fewer end then, where it is less than this share of what usually does.
const SLOWED: f64 = 0.75;

/// After so long k6 gives a request up, unless the script says otherwise.
const TIMEOUT_MILLISECONDS: i64 = 60_000;

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
