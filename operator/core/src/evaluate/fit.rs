//! Whether the windows of a planned load are long enough for what is to be judged in them, as far as that is known
//! before the load: once the scripts have been inspected, and for series that are scraped already.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use loadtest_crds::{LoadTestStatus, WindowKind};

use crate::{
    evaluate::objective::{
        points::{MIN_POINTS, MIN_SCRAPES},
        scrapes,
    },
    k6::inspect,
    numbers::duration::human,
    plan::{
        figure::Figure,
        objective::{BetweenPlan, ObjectivePlan},
    },
    prometheus::promql,
};

/// A query is asked for a point each second.
const SECOND: Duration = Duration::from_secs(1);

/// Why an objective could not be judged even if all goes well, and what to write instead. `every` says how long it
/// takes from one scrape of a selector to the next, where that is known.
#[must_use]
pub fn too_short(
    objectives: &[ObjectivePlan],
    status: &LoadTestStatus,
    planned: Duration,
    every: &BTreeMap<String, Duration>,
) -> Option<String> {
    let steady = longest_plateau(status);
    objectives.iter().find_map(|objective| {
        let name = &objective.name;
        objective.windows.iter().find_map(|kind| {
            let (window, length) = match (kind, objective.between) {
                (WindowKind::Run, _) => ("the load", planned),
                (WindowKind::Steady, _) => ("the longest stretch of constant load", steady),
                (WindowKind::Between, Some(BetweenPlan { to, .. })) if to > planned => {
                    return Some(format!(
                        "objective {name}: its stretch ends {} after the start, but the load lasts {}: lengthen the \
                         load, or end the stretch with it",
                        human(to),
                        human(planned)
                    ));
                }
                (WindowKind::Between, Some(BetweenPlan { from, to })) => ("its stretch", to.saturating_sub(from)),
                // How long these last, is what the run is to show.
                (WindowKind::Fault | WindowKind::Recovery | WindowKind::Between, _) => return None,
            };
            if *kind == WindowKind::Steady && length.is_zero() {
                return Some(format!(
                    "objective {name} is judged in Steady, but the load ramps all the time: add a stretch of constant \
                     load to the script, or judge it in Run"
                ));
            }
            let (needed, of) = needed(&objective.figure, every)?;
            (length < needed).then(|| {
                format!(
                    "objective {name} needs {} for {of}, but {window} lasts {}: lengthen it to {}, or scrape more \
                     often",
                    human(needed),
                    human(length),
                    human(needed)
                )
            })
        })
    })
}

/// The selectors whose scrapes decide whether a window is long enough.
#[must_use]
pub fn selectors(objectives: &[ObjectivePlan]) -> BTreeSet<String> {
    let scraped = |o: &&ObjectivePlan| needed(&o.figure, &BTreeMap::new()).is_some();
    objectives.iter().filter(scraped).flat_map(|o| scrapes::selectors(&o.figure)).collect()
}

/// The seconds between two scrapes, as Prometheus tells them, in whole ones.
#[must_use]
pub fn every(seconds: f64) -> Option<Duration> {
    let seconds = seconds.round();
    (seconds >= 1.0 && seconds <= promql::LATELY.as_secs_f64()).then(|| Duration::from_secs_f64(seconds))
}

fn longest_plateau(status: &LoadTestStatus) -> Duration {
    let plateaus = inspect::intersect(status.scenarios.iter().map(|s| s.plateaus.clone()));
    let longest = plateaus.iter().map(|p| p.to - p.from).max().unwrap_or(0);
    Duration::from_millis(u64::try_from(longest).unwrap_or(0))
}

/// How long a window must be, and for what.
fn needed(figure: &Figure, every: &BTreeMap<String, Duration>) -> Option<(Duration, String)> {
    let points = match figure {
        Figure::Ratio { .. } | Figure::Query(_) | Figure::Template(_) => MIN_SCRAPES,
        Figure::Slope { .. } => MIN_POINTS,
        // These stand on counts of the client, whose number only the run shows.
        _ => return None,
    };
    let times = u32::try_from(points).unwrap_or(u32::MAX);
    let slowest = scrapes::selectors(figure)
        .into_iter()
        .filter_map(|selector| every.get(&selector).map(|every| (*every, selector)))
        .max_by_key(|(every, _)| *every)
        .filter(|(every, _)| *every > SECOND);
    Some(match slowest {
        Some((every, selector)) => {
            (every * times, format!("{points} scrapes of {selector}, one every {}", human(every)))
        }
        None => (SECOND * times, format!("{points} points, one a second")),
    })
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{Between, K6Figure, Objective, Plateau, ScenarioStatus, Slope, VerdictPolicy};
    use rstest::rstest;

    use super::*;

    fn plan(objective: Objective) -> ObjectivePlan {
        let objective = Objective { name: "o".to_owned(), at_most: Some("90%".into()), ..objective };
        ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
    }

    fn query(windows: &[WindowKind], between: Option<(&str, &str)>) -> ObjectivePlan {
        plan(Objective {
            query: Some("max(cpu)".to_owned()),
            windows: windows.to_vec(),
            between: between.map(|(from, to)| Between { from: from.into(), to: to.into() }),
            ..Objective::default()
        })
    }

    fn slope() -> ObjectivePlan {
        let slope = Slope { query: "max(cpu)".to_owned(), per: "1h".into() };
        plan(Objective { slope: Some(slope), ..Objective::default() })
    }

    fn failed(windows: &[WindowKind]) -> ObjectivePlan {
        let figure = K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() };
        plan(Objective { k6: Some(figure), windows: windows.to_vec(), ..Objective::default() })
    }

    /// A load of 60 s, of which 20 s to 40 s are constant, with a scrape of `cpu` every 5 s or at unknown times.
    #[rstest]
    #[case::long_enough(query(&[WindowKind::Run], None), Some(15), None)]
    #[case::in_the_load(query(&[WindowKind::Run], None), Some(16), Some("objective o needs 1m4s for 4 scrapes of cpu, one every 16s, but the load lasts 1m: lengthen it to 1m4s, or scrape more often"))]
    #[case::in_steady(query(&[WindowKind::Steady], None), Some(6), Some("objective o needs 24s for 4 scrapes of cpu, one every 6s, but the longest stretch of constant load lasts 20s"))]
    #[case::in_its_stretch(query(&[], Some(("10s", "25s"))), Some(5), Some("objective o needs 20s for 4 scrapes of cpu, one every 5s, but its stretch lasts 15s"))]
    #[case::unknown_scrapes(query(&[], Some(("10s", "13s"))), None, Some("objective o needs 4s for 4 points, one a second, but its stretch lasts 3s"))]
    #[case::beyond_the_load(query(&[], Some(("30s", "61s"))), None, Some("objective o: its stretch ends 1m1s after the start, but the load lasts 1m"))]
    #[case::up_to_its_end(query(&[], Some(("30s", "60s"))), None, None)]
    #[case::a_fault(query(&[WindowKind::Fault], None), Some(60), None)]
    #[case::a_slope(slope(), Some(6), None)]
    #[case::a_slope_of_few(slope(), Some(7), Some("objective o needs 1m10s for 10 scrapes of cpu"))]
    #[case::requests(failed(&[WindowKind::Run, WindowKind::Steady]), Some(60), None)]
    fn windows_that_are_too_short(
        #[case] objective: ObjectivePlan,
        #[case] every: Option<u64>,
        #[case] expected: Option<&str>,
    ) {
        let scenario = ScenarioStatus {
            plateaus: vec![Plateau { from: 20_000, to: 40_000 }],
            ..ScenarioStatus::default()
        };
        let status = LoadTestStatus { scenarios: vec![scenario], ..LoadTestStatus::default() };
        let every = every.map(|every| ("cpu".to_owned(), Duration::from_secs(every))).into_iter().collect();
        let refusal = too_short(&[objective], &status, Duration::from_secs(60), &every);
        assert_eq!(refusal.is_some(), expected.is_some(), "{refusal:?}");
        assert!(refusal.iter().all(|why| why.starts_with(expected.unwrap_or_default())), "{refusal:?}");
    }

    #[rstest]
    #[case::each_second(0.95, Some(1))]
    #[case::each_15_seconds(14.8, Some(15))]
    #[case::more_often_than_matters(0.2, None)]
    #[case::longer_than_was_looked_at(300.0, None)]
    #[case::nan(f64::NAN, None)]
    fn time_between_two_scrapes(#[case] seconds: f64, #[case] expected: Option<u64>) {
        assert_eq!(every(seconds), expected.map(Duration::from_secs));
    }

    #[test]
    fn a_load_that_only_ramps_has_no_steady_window() {
        let status = LoadTestStatus::default();
        let objective = failed(&[WindowKind::Steady]);
        let why = too_short(&[objective], &status, Duration::from_secs(60), &BTreeMap::new()).unwrap();
        assert!(why.contains("the load ramps all the time: add a stretch"), "{why}");
    }
}
