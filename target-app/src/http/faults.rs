//! A switch that makes chosen routes fail or answer late, so that a test can have a run with nothing but failures,
//! or with an exact share of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::error::ApiError;

#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<HashMap<String, Active>>>);

/// What `POST /debug/fail` takes. Ratio 0 and delay 0 end the fault of the route.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Rule {
    /// A route's pattern, for example `/api/v1/rooms/{id}/messages`, or `persist` for the storing of messages.
    route: String,
    /// Share of the requests that fail, 0 to 1.
    #[serde(default)]
    ratio: f64,
    /// Added before the request is served or fails.
    #[serde(default)]
    delay_ms: u64,
}

struct Active {
    rule: Rule,
    /// Carries the fractions over from request to request: the share is exact, not a matter of chance. Sums of
    /// fractions are short of 1 by a rounding error, hence the tolerance where it is compared.
    due: f64,
}

impl Faults {
    /// Waits for the fault's delay, if any. True when this request shall fail.
    pub async fn inject(&self, route: &str) -> bool {
        let Some((delay, fails)) = self.next(route) else { return false };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        fails
    }

    fn next(&self, route: &str) -> Option<(Duration, bool)> {
        let mut active = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if active.is_empty() {
            return None;
        }
        let fault = active.get_mut(route)?;
        fault.due += fault.rule.ratio;
        let fails = fault.due >= 1.0 - 1e-9;
        if fails {
            fault.due -= 1.0;
        }
        Some((Duration::from_millis(fault.rule.delay_ms), fails))
    }

    fn set(&self, rule: Rule) -> Vec<Rule> {
        let mut active = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rule.ratio == 0.0 && rule.delay_ms == 0 {
            active.remove(&rule.route);
        } else {
            active.insert(rule.route.clone(), Active { rule, due: 0.0 });
        }
        active.values().map(|fault| fault.rule.clone()).collect()
    }

    pub fn router(&self) -> Router {
        Router::new().route("/debug/fail", post(change)).with_state(self.clone())
    }
}

/// Answers with the faults of this instance that are in force now.
async fn change(State(faults): State<Faults>, Json(rule): Json<Rule>) -> Result<Json<Vec<Rule>>, ApiError> {
    if !(0.0..=1.0).contains(&rule.ratio) {
        return Err(ApiError::bad_request("ratio must be between 0 and 1"));
    }
    Ok(Json(faults.set(rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(ratio: f64, delay_ms: u64) -> Rule {
        Rule { route: "/r".into(), ratio, delay_ms }
    }

    #[test]
    fn fails_the_exact_share() {
        for (ratio, expected) in [(0.0, 0), (0.1, 100), (0.25, 250), (0.5, 500), (1.0, 1000)] {
            let faults = Faults::default();
            faults.set(rule(ratio, 1));
            let failed = (0..1000).filter(|_| faults.next("/r").is_some_and(|(_, fails)| fails)).count();
            assert_eq!(failed, expected, "at {ratio}");
        }
    }

    #[test]
    fn touches_no_other_route_and_ends_when_told() {
        let faults = Faults::default();
        assert_eq!(faults.set(rule(1.0, 0)).len(), 1);
        assert_eq!(faults.next("/other"), None);
        assert_eq!(faults.next("/r"), Some((Duration::ZERO, true)));
        assert!(faults.set(rule(0.0, 0)).is_empty());
        assert_eq!(faults.next("/r"), None);
    }
}
