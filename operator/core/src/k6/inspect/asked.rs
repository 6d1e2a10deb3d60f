//! How much load a script asks for: iterations where it says how many are to arrive, virtual users where it says
//! how many are to be there.

use std::time::Duration;

use loadtest_crds::Arrivals;

use crate::k6::inspect::document::{K6Scenario, length, millis, together};

/// A stretch of constant load must last so long for its virtual users to be seen: k6 reports them each second.
const SEEN: Duration = Duration::from_secs(5);

/// The parts of a script that ask for an arrival rate.
pub fn arrivals<'a>(scenarios: impl Iterator<Item = (&'a String, &'a K6Scenario)>) -> Vec<Arrivals> {
    scenarios
        .filter_map(|(name, scenario)| {
            Some(Arrivals {
                name: name.clone(),
                iterations: scenario.iterations_to_arrive()?,
                ends_at_milliseconds: Some(millis(scenario.planned_end())),
            })
        })
        .collect()
}

/// Virtual users of the highest stretch of constant load that lasts for 5 s, where all parts of the script ask
/// for virtual users.
pub fn held<'a>(scenarios: impl Iterator<Item = &'a K6Scenario>) -> Option<i64> {
    let of_users =
        |scenario: &&K6Scenario| ["constant-vus", "ramping-vus"].contains(&scenario.executor.as_str());
    let levels = scenarios.map(|scenario| Some(scenario).filter(of_users).map(K6Scenario::levels));
    let together = together(levels.collect::<Option<Vec<_>>>()?.into_iter());
    let long = together.into_iter().filter(|(stretch, _)| stretch.to - stretch.from >= millis(SEEN));
    long.map(|(_, users)| users as i64).max()
}

/// Virtual users that a LoadTest itself asks for.
pub fn held_for(vus: i32, length: Duration) -> Option<i64> {
    (length >= SEEN).then_some(i64::from(vus))
}

impl K6Scenario {
    /// The time of its rates: so many iterations in this time.
    fn unit(&self) -> Duration {
        self.time_unit.as_deref().and_then(length).unwrap_or(Duration::from_secs(1))
    }

    fn iterations_to_arrive(&self) -> Option<i64> {
        let unit = self.unit();
        let arrive = |rate: f64, length: Duration| rate * length.as_secs_f64() / unit.as_secs_f64();
        let iterations = match self.executor.as_str() {
            "constant-arrival-rate" => arrive(self.rate?, self.duration.as_deref().and_then(length)?),
            "ramping-arrival-rate" => {
                let mut rate = self.start_rate.unwrap_or(0.0);
                let mut sum = 0.0;
                for stage in self.stages.iter().flatten() {
                    let target = stage.target.unwrap_or(rate);
                    sum += arrive(f64::midpoint(rate, target), stage.length());
                    rate = target;
                }
                sum
            }
            _ => return None,
        };
        iterations.is_finite().then_some(iterations.floor() as i64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;

    fn scenarios(json: &str) -> BTreeMap<String, K6Scenario> {
        serde_json::from_str(json).unwrap()
    }

    #[rstest]
    #[case::thirty_every_two_seconds(
        r#"{"executor":"constant-arrival-rate","rate":30,"timeUnit":"2s","duration":"20s"}"#,
        Some(300)
    )]
    #[case::a_second_by_default(
        r#"{"executor":"constant-arrival-rate","rate":5,"timeUnit":null,"duration":"1m"}"#,
        Some(300)
    )]
    #[case::a_ramp_is_a_triangle(r#"{"executor":"ramping-arrival-rate","startRate":0,"stages":[{"duration":"10s","target":10},{"duration":"5s","target":10}]}"#, Some(100))]
    #[case::down_again(r#"{"executor":"ramping-arrival-rate","startRate":60,"timeUnit":"1m","stages":[{"duration":"2m","target":0}]}"#, Some(60))]
    #[case::users_are_no_arrivals(r#"{"executor":"constant-vus","vus":3,"duration":"20s"}"#, None)]
    fn iterations_asked_for(#[case] json: &str, #[case] iterations: Option<i64>) {
        let found = arrivals(scenarios(&format!(r#"{{"a":{json}}}"#)).iter());
        assert_eq!(found.first().map(|a| a.iterations), iterations);
    }

    #[rstest]
    #[case::constant(
        r#"{"executor":"constant-arrival-rate","rate":5,"startTime":"10s","duration":"20s","gracefulStop":"1s"}"#,
        30_000
    )]
    #[case::a_ramp(
        r#"{"executor":"ramping-arrival-rate","startRate":2,"stages":[{"duration":"10s","target":10},{"duration":"5s","target":0}]}"#,
        15_000
    )]
    fn when_a_part_ends(#[case] json: &str, #[case] ends_at: i64) {
        let found = arrivals(scenarios(&format!(r#"{{"a":{json}}}"#)).iter()).remove(0);
        assert_eq!(found.ends_at_milliseconds, Some(ends_at));
    }

    const TEN: &str = r#""a":{"executor":"constant-vus","vus":10,"duration":"60s"}"#;

    #[rstest]
    #[case::constant(TEN.to_owned(), Some(10))]
    #[case::too_short(r#""a":{"executor":"constant-vus","vus":10,"duration":"4s"}"#.to_owned(), None)]
    #[case::a_peak_is_not_held(r#""a":{"executor":"ramping-vus","stages":[{"duration":"10s","target":100},{"duration":"10s","target":20},{"duration":"30s","target":20}]}"#.to_owned(), Some(20))]
    #[case::together(format!(r#"{TEN},"b":{{"executor":"constant-vus","vus":5,"startTime":"30s","duration":"30s"}}"#), Some(15))]
    #[case::iterations_end_when_they_end(format!(r#"{TEN},"b":{{"executor":"shared-iterations","vus":5}}"#), None)]
    #[case::rates(format!(r#"{TEN},"b":{{"executor":"constant-arrival-rate","rate":5,"duration":"60s"}}"#), None)]
    fn virtual_users_held(#[case] json: String, #[case] users: Option<i64>) {
        assert_eq!(held(scenarios(&format!("{{{json}}}")).values()), users);
    }
}
