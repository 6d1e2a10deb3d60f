//! How long the named alert took to notice a fault.
//!
//! A firing alert has a sample in `ALERTS` at each evaluation of its rule, so its first sample after the injection
//! is when it fired, and the condition became true at most one evaluation before it was seen. The samples are read
//! as they were written (a range query would repeat them for five minutes). The floor, `for` and the interval of
//! the rule's group, is what Prometheus says about the rule; where it says nothing, there is none.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::RecoveryStatus;

use crate::{
    evaluate::fault::scene::millis,
    k6::question::{Asks, Question},
    numbers::{duration::human, interval::seconds},
    plan::fault::AlertPlan,
    prometheus::{
        ask::{AlertRule, Answers, RequestKind},
        promql,
    },
};

/// The questions about one alert and one injection.
#[derive(Clone, Debug)]
pub struct DetectProbe {
    alert: String,
    injected: Timestamp,
    end: Timestamp,
    before: usize,
    firing: usize,
    rules: usize,
}

/// What is known about the detection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detected {
    pub after: Option<Duration>,
    pub resolution: Option<Duration>,
    pub floor: Option<Duration>,
    pub message: String,
}

impl DetectProbe {
    /// Asks when the alert fired, from the injection to the end of the load.
    #[must_use]
    pub fn ask(alert: &AlertPlan, injected: Timestamp, end: Timestamp, asks: &mut Asks) -> Self {
        let selector = promql::firing(&alert.name, &alert.namespace);
        let reach = end.duration_since(injected).as_secs().max(0) + 1;
        Self {
            alert: alert.name.clone(),
            injected,
            end,
            before: asks.ask(selector.clone(), RequestKind::Instant { at: injected }),
            firing: asks.ask(promql::raw(&selector, reach, end), RequestKind::Instant { at: end }),
            rules: asks.ask(Question::AlertRules(alert.name.clone()), RequestKind::Instant { at: end }),
        }
    }

    /// What the answers say.
    #[must_use]
    pub fn read(&self, answers: &Answers) -> Detected {
        let alert = &self.alert;
        let rules = answers.rules(self.rules).unwrap_or_default();
        let soonest = rules.iter().min_by(|a, b| floor(a).total_cmp(&floor(b)));
        let known = Detected {
            floor: soonest.and_then(|rule| Duration::try_from_secs_f64(floor(rule)).ok()),
            ..Detected::default()
        };
        let (before, firing) = match (answers.vector(self.before), answers.matrix(self.firing)) {
            (Ok(before), Ok(firing)) => (before, firing),
            (Err(why), _) | (_, Err(why)) => {
                return Detected { message: format!("whether {alert} fired is not known: {why}"), ..known };
            }
        };
        if !before.is_empty() {
            let message = format!("{alert} was firing already when the fault came, so it shows nothing");
            return Detected { message, ..known };
        }
        let injected = seconds(self.injected);
        let after = |(_, points): &(_, Vec<(f64, f64)>)| {
            points.iter().map(|(at, _)| *at).filter(|at| *at > injected).collect::<Vec<f64>>()
        };
        let samples: Vec<Vec<f64>> = firing.iter().map(after).collect();
        let Some(first) = samples.iter().flatten().copied().min_by(f64::total_cmp) else {
            let unknown = matches!(answers.rules(self.rules), Ok([]));
            let waited = Duration::try_from(self.end.duration_since(self.injected)).unwrap_or_default();
            let message = if unknown {
                format!("Prometheus has no alert {alert}: write the name as its rule has it")
            } else {
                format!("{alert} had not fired after {} (load ended)", human(waited))
            };
            return Detected { message, ..known };
        };
        let gap =
            samples.iter().flat_map(|s| s.windows(2)).map(|pair| pair[1] - pair[0]).min_by(f64::total_cmp);
        let every = soonest.map(|rule| rule.every).or(gap);
        let took = Duration::try_from_secs_f64(first - injected).unwrap_or_default();
        let resolution = every.and_then(|every| Duration::try_from_secs_f64(every).ok());
        let measured = resolution.map_or_else(String::new, |r| format!(", measured to {}", human(r)));
        let floor = known.floor.map_or_else(String::new, |f| format!(", at the soonest {}", human(f)));
        Detected {
            after: Some(took),
            resolution,
            message: format!("{alert} fired {} after the fault{measured}{floor}", human(took)),
            ..known
        }
    }
}

impl Detected {
    /// Adds the detection to what is known of a recovery.
    #[must_use]
    pub fn join(self, recovery: RecoveryStatus) -> RecoveryStatus {
        let message = match recovery.message {
            Some(message) => format!("{message}; {}", self.message),
            None => self.message,
        };
        RecoveryStatus {
            detect_milliseconds: self.after.map(millis),
            detect_resolution_milliseconds: self.resolution.map(millis),
            detect_floor_milliseconds: self.floor.map(millis),
            message: Some(message),
            ..recovery
        }
    }
}

/// The soonest that the alert can fire after its condition came true, in seconds.
fn floor(rule: &AlertRule) -> f64 {
    rule.holds_for + rule.every
}

#[cfg(test)]
mod tests;
