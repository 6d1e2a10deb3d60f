//! Whether the system under test still is what the LoadTest means: how many pods its selectors and how many series
//! its queries match, and what of it matched in the run before and matches nothing now. A metric that was renamed
//! must not look like one that has nothing to report.

use std::collections::BTreeMap;

use loadtest_crds::LoadTestStatus;

use crate::{
    k6::question::{Asked, Question},
    numbers::interval::seconds,
    plan::{Plan, figure::Figure, objective::ObjectivePlan},
    prometheus::ask::Answer,
};

/// How many pods each selector of the LoadTest matched, and how many series each query. What was not asked, or could
/// not be answered, is not in it.
#[must_use]
pub fn matched(plan: &Plan, status: &LoadTestStatus, asked: &[Asked]) -> BTreeMap<String, i64> {
    let from = status.load_started().map_or(f64::NEG_INFINITY, seconds);
    let mut matched = BTreeMap::new();
    matched.extend(plan.objectives.iter().flat_map(|objective| of_objective(objective, asked, from)));
    for fault in &plan.faults {
        let recorded = status.faults.iter().find(|f| f.name == fault.name).and_then(|f| f.ready_before);
        if let Some(ready) = recorded {
            let what =
                format!("the pods {} in {} (fault {})", fault.selector_text(), fault.namespace, fault.name);
            matched.insert(what, i64::from(ready));
        }
    }
    for watched in &status.system {
        if let Some(pods) = watched.pods {
            matched.insert(format!("the pods of {}", watched.name), i64::from(pods));
        }
    }
    matched
}

fn of_objective(objective: &ObjectivePlan, asked: &[Asked], from: f64) -> Vec<(String, i64)> {
    let most = |is_it: IsIt| {
        let of = |a: &&Asked| matches!(&a.question, Question::Promql(query) if is_it(query));
        let answers = asked.iter().filter(of).filter_map(|a| series(&a.answer, from));
        answers.max()
    };
    questions(objective).into_iter().filter_map(|(what, is_it)| Some((what, most(is_it)?))).collect()
}

/// What of a run matched something before and matches nothing now.
#[must_use]
pub fn lost(before: &BTreeMap<String, i64>, now: &BTreeMap<String, i64>) -> Vec<String> {
    let gone = |what: &String| now.get(what) == Some(&0);
    let lost = before.iter().filter(|(what, count)| **count > 0 && gone(what));
    lost.map(|(what, _)| what.clone()).collect()
}

/// Whether an objective stands on something that is lost: its figure says nothing then.
#[must_use]
pub fn concerns(lost: &[String], objective: &ObjectivePlan) -> bool {
    questions(objective).iter().any(|(what, _)| lost.contains(what))
}

/// Tells the queries of one question.
type IsIt = Box<dyn Fn(&str) -> bool>;

/// What an objective selects on the servers' side. k6's own series begin anew with each run. What a query reads counts
/// only as far as it has a value for it: a release without errors has no series of failed requests.
fn questions(objective: &ObjectivePlan) -> Vec<(String, IsIt)> {
    match &objective.figure {
        Figure::Query(query) | Figure::Slope { query, .. } => {
            let query = query.clone();
            vec![(format!("the query {query}"), Box::new(move |asked| asked == query))]
        }
        Figure::Ratio { good, total } => [good, total]
            .into_iter()
            .filter(|selector| !selector.starts_with("k6_"))
            .map(|selector| {
                let raw = format!("{selector}[");
                let is_it: IsIt = Box::new(move |asked| asked.starts_with(&raw));
                (format!("the selector {selector}"), is_it)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// How many series had a value in the load. Raw samples are read from further back, for the value before a window: a
/// series of which there are only those had ended before, as after a rollout that renamed it.
fn series(answer: &Answer, from: f64) -> Option<i64> {
    let count = match answer {
        Answer::Vector(series) => series.len(),
        Answer::Matrix(series) => {
            series.iter().filter(|(_, points)| points.iter().any(|(at, _)| *at >= from)).count()
        }
        Answer::Histograms(series) => series.len(),
        Answer::Rules(_) | Answer::Failed(_) => return None,
    };
    i64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn counts(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
        of.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect()
    }

    #[rstest]
    #[case::as_before(&[("a", 3)], &[("a", 3)], &[])]
    #[case::fewer(&[("a", 3)], &[("a", 1)], &[])]
    #[case::nothing_any_more(&[("a", 3), ("b", 1)], &[("a", 0), ("b", 1)], &["a"])]
    #[case::nothing_as_before(&[("a", 0)], &[("a", 0)], &[])]
    #[case::not_asked_any_more(&[("a", 3)], &[("b", 0)], &[])]
    #[case::no_run_before(&[], &[("a", 0)], &[])]
    fn what_matched_before_and_matches_nothing_now(
        #[case] before: &[(&str, i64)],
        #[case] now: &[(&str, i64)],
        #[case] expected: &[&str],
    ) {
        let lost = lost(&counts(before), &counts(now));
        assert_eq!(lost, expected);
    }
}
