//! Whether the system under test still is what the LoadTest means: how many pods its selectors and how many series
//! its queries match, and what of it matched in the run before and matches nothing now. A metric that was renamed
//! must not look like one that has nothing to report.

use std::collections::BTreeMap;

use loadtest_crds::LoadTestStatus;

use crate::{
    ask::{Answer, Asked},
    judge::whole,
    plan::{
        Plan,
        objective::{Figure, ObjectivePlan},
    },
    probe::names_of,
    promql,
    template::Values,
};

/// The key of the counts in the ConfigMap of the record, where the next run finds them.
pub const KEY: &str = "matched.json";

/// How many pods each selector of the LoadTest matched, and how many series each query. What was not asked, or could
/// not be answered, is not in it.
#[must_use]
pub fn matched(plan: &Plan, status: &LoadTestStatus, asked: &[Asked]) -> BTreeMap<String, i64> {
    let started = status.load.as_ref().and_then(|load| load.started_at.as_ref());
    let from = started.map_or(f64::NEG_INFINITY, |at| at.0.as_millisecond() as f64 / 1000.0);
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
    let most = |question: Question| {
        let answers = asked.iter().filter(|a| (question.is_it)(&a.query));
        Some((question.what, answers.filter_map(|a| (question.read)(&a.answer, from)).max()?))
    };
    questions(objective).into_iter().filter_map(most).collect()
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
    questions(objective).iter().any(|question| lost.contains(&question.what))
}

/// What an objective selects on the servers' side.
struct Question {
    what: String,
    /// Tells its queries.
    is_it: Box<dyn Fn(&str) -> bool>,
    /// How many series an answer speaks of, with the time from which on they count.
    read: fn(&Answer, f64) -> Option<i64>,
}

/// k6's own series begin anew with each run. A query may have a value without any of its series, so each name in it
/// counts by itself; but not with its labels, since there are no failed requests of a release that has none.
fn questions(objective: &ObjectivePlan) -> Vec<Question> {
    match &objective.figure {
        Figure::Ratio { good, total } => [good, total]
            .into_iter()
            .filter(|selector| !selector.starts_with("k6_"))
            .map(|selector| {
                let raw = format!("{selector}[");
                let is_it = Box::new(move |asked: &str| asked.starts_with(&raw));
                Question { what: format!("the selector {selector}"), is_it, read: series }
            })
            .collect(),
        Figure::Query(query) | Figure::Slope { query, .. } => {
            let own = query.clone();
            let what = format!("the query {query}");
            let whole = Question { what, is_it: Box::new(move |asked| asked == own), read: series };
            std::iter::once(whole).chain(names(query)).collect()
        }
        Figure::Template(template) => {
            template.render(&Values::example()).map_or_else(|_| Vec::new(), |query| names(&query).collect())
        }
        _ => Vec::new(),
    }
}

fn names(query: &str) -> impl Iterator<Item = Question> {
    names_of(query).into_iter().map(|name| {
        let present = promql::present(&name);
        let is_it = Box::new(move |asked: &str| asked == present);
        Question { what: format!("the metric {name}"), is_it, read: counted }
    })
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

/// The number that was asked for; nothing is counted as none.
fn counted(answer: &Answer, _: f64) -> Option<i64> {
    let Answer::Vector(numbers) = answer else { return None };
    Some(numbers.iter().map(|(.., number)| whole(*number)).sum())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use loadtest_crds::{Objective, VerdictPolicy};
    use rstest::rstest;

    use super::*;
    use crate::ask::RequestKind;

    fn counts(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
        of.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect()
    }

    /// A query may have a value without any series. Names are looked for as a window begins and ends.
    #[rstest]
    #[case::there(&[Some(3.0), Some(2.0)], Some(3))]
    #[case::born_in_it(&[None, Some(1.0)], Some(1))]
    #[case::never_there(&[None, None], Some(0))]
    #[case::not_asked(&[], None)]
    fn a_name_within_a_query(#[case] present: &[Option<f64>], #[case] expected: Option<i64>) {
        let objective = Objective {
            name: "errors".to_owned(),
            query: Some("sum(rate(errors_total{app=\"a\"}[1m])) or vector(0)".to_owned()),
            at_most: Some("1".into()),
            ..Objective::default()
        };
        let plan = ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap();
        let asked = |(n, count): (usize, &Option<f64>)| {
            let of = |count: f64| (BTreeMap::new(), 60.0, count);
            Asked {
                query: promql::present("errors_total"),
                kind: RequestKind::Instant { at: Timestamp::from_second(60 * n as i64).unwrap() },
                answer: Answer::Vector(count.map(of).into_iter().collect()),
            }
        };
        let asked: Vec<Asked> = present.iter().enumerate().map(asked).collect();
        let expected = expected.map(|n| ("the metric errors_total".to_owned(), n));
        assert_eq!(of_objective(&plan, &asked, 0.0), Vec::from_iter(expected));
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
