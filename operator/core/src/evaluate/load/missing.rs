//! What is missing of a part of the script, of iterations and of virtual users.

use loadtest_crds::{Arrivals, ScenarioStatus, Shortfall, ShortfallCause};

use crate::{
    evaluate::load::{
        case::{Case, MISSING, MISSING_VUS, because},
        parts::{ByPart, key},
        silence::Silence,
    },
    numbers::limit::count,
};

impl Case<'_> {
    pub(super) fn iterations(&self, silence: Option<&Silence>, shortfalls: &mut Vec<Shortfall>) {
        for scenario in &self.status.scenarios {
            let through = |part: &&Arrivals| {
                self.ran_through(part.ends_at_milliseconds.or(scenario.duration_milliseconds))
            };
            let parts = scenario.arrivals.iter().filter(through);
            shortfalls.extend(parts.filter_map(|part| self.iterations_of(scenario, part, silence)));
        }
    }

    /// Of the iterations that a part by arrival rate asks for, k6 counts those that end and those that it drops. The
    /// others were under way when it interrupted them, no more than there are virtual users, or never started. One for
    /// each runner may be on its way as the load ends.
    fn iterations_of(
        &self,
        scenario: &ScenarioStatus,
        part: &Arrivals,
        silence: Option<&Silence>,
    ) -> Option<Shortfall> {
        let of = |parts: &ByPart| parts.get(&key(scenario, part)).copied().unwrap_or(0.0);
        let asked = part.iterations as f64;
        let missing = asked - of(&self.parts.iterations) - of(&self.parts.dropped);
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
        if too_many(scenario.max_vus.unwrap_or(0) as f64) {
            let text = what("never started: k6 did not get round to them");
            let text = format!("{text}; raise spec.runner.limits, or parallelism");
            return Some(because(ShortfallCause::Generator, text));
        }
        too_many(f64::from(scenario.runners)).then(|| {
            let advice = "raise its gracefulStop if iterations may take so long";
            self.explained(what("started and never ended"), silence, advice)
        })
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
                shortfalls.push(self.explained(format!("{text}{}", self.beside(|_| true)), None, ""));
            }
        }
    }
}
