//! What a query reads, and how many scrapes of it a window holds.

use std::{collections::BTreeSet, time::Duration};

use loadtest_crds::Outcome;

use crate::{
    evaluate::{
        objective::{finding::Finding, names::Names},
        windows::Window,
    },
    k6::question::Asks,
    numbers::interval::Interval,
    plan::figure::Figure,
    prometheus::{
        ask::{Answers, RequestKind},
        expression, promql,
        template::Values,
    },
};

/// The series of the system under test that a figure stands on. Those of k6 end with the load and are settled
/// by its own count.
#[must_use]
pub fn selectors(figure: &Figure) -> Vec<String> {
    match figure {
        // Either may be scraped later than the other: the good ones that are yet to come would be bad.
        Figure::Ratio { good, total } => {
            [good, total].into_iter().flat_map(|one| selectors_of(one)).collect()
        }
        Figure::Query(query) | Figure::Slope { query, .. } => selectors_of(query),
        // Those that name a window or a fault are not there before or after it.
        Figure::Template(template) => {
            template.render(&Values::example()).map_or_else(|_| vec![], |query| selectors_of(&query))
        }
        _ => vec![],
    }
}

/// The series of the system under test that a query reads, as it stands at the time of the query.
#[must_use]
pub fn selectors_of(query: &str) -> Vec<String> {
    let mut read = expression::selectors(query);
    read.retain(|selector| {
        let is_of_k6 = selector.name.as_deref().is_some_and(|name| name.starts_with("k6_"));
        selector.offset.is_none() && selector.at.is_none() && !is_of_k6
    });
    read.iter().map(ToString::to_string).collect()
}

/// More points of an opaque query than this are never asked for.
const MOST_POINTS: u64 = 500;

/// What a query reads: how many scrapes of each of its selectors the window holds, one question for each stretch, and
/// whether there is such a name at all.
#[derive(Debug, Default)]
pub struct Scrapes {
    held: Vec<(String, Vec<usize>)>,
    names: Names,
}

impl Scrapes {
    /// Asks about a query as it is in each stretch.
    pub(crate) fn ask(rendered: &[(String, Interval)], window: &Window, asks: &mut Asks) -> Self {
        let names = rendered.last().map(|(query, _)| Names::ask(query, window, asks)).unwrap_or_default();
        let mut held: Vec<(String, Vec<usize>)> = Vec::new();
        for (query, stretch) in rendered {
            // A selector that a query has twice is scraped once.
            for selector in BTreeSet::from_iter(selectors_of(query)) {
                let kind = RequestKind::Instant { at: stretch.to };
                let id = asks.ask(promql::scrapes(&selector, *stretch), kind);
                match held.iter_mut().find(|(known, _)| *known == selector) {
                    Some((_, ids)) => ids.push(id),
                    None => held.push((selector, vec![id])),
                }
            }
        }
        Self { held, names }
    }

    fn counted(&self, answers: &Answers) -> Result<Vec<(String, Option<f64>)>, String> {
        self.held
            .iter()
            .map(|(selector, ids)| {
                let mut all = None;
                for id in ids {
                    if let Some(scrapes) = answers.sum(*id)? {
                        all = Some(all.unwrap_or(0.0) + scrapes);
                    }
                }
                Ok((selector.clone(), all))
            })
            .collect()
    }

    /// Seconds between two scrapes of the selector that is scraped least, where so many seconds of each stretch hold
    /// all that there are.
    pub(crate) fn every(&self, held: &[f64], answers: &Answers) -> f64 {
        let of = |ids: &Vec<usize>| {
            let one = |(id, held): (&usize, &f64)| Some((*held, answers.sum(*id).ok().flatten()?));
            let all = ids.iter().zip(held).filter_map(one);
            let (held, scrapes) = all.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            (scrapes > 0.0).then(|| held / scrapes)
        };
        self.held.iter().filter_map(|(_, ids)| of(ids)).fold(0.0, f64::max)
    }

    pub(crate) fn fewest(&self, answers: &Answers) -> Result<Option<f64>, String> {
        let counted = self.counted(answers)?;
        Ok(counted.into_iter().filter_map(|(_, scrapes)| scrapes).min_by(f64::total_cmp))
    }

    /// The finding, unless the window holds too few scrapes for it, or nothing is called so. What the query itself has
    /// not, comes first.
    pub(crate) fn or_else(
        &self,
        answers: &Answers,
        needed: usize,
        finding: impl FnOnce() -> Result<Finding, String>,
    ) -> Result<Finding, String> {
        let finding = finding()?;
        if finding.outcome == Outcome::NoData {
            return Ok(finding);
        }
        let counted = self.counted(answers)?;
        let finding = too_few(&counted, needed).unwrap_or(finding);
        Ok(self.names.or_else(noting_what_is_empty(finding, &counted), answers))
    }
}

/// What is wrong with the scrapes of a window, if anything is: for each selector of a query, how many scrapes of it the
/// window holds, and `None` where it has never had any series.
pub(crate) fn too_few(selectors: &[(String, Option<f64>)], needed: usize) -> Option<Finding> {
    let known = selectors.iter().filter_map(|(selector, scrapes)| Some((selector, (*scrapes)?)));
    let (selector, scrapes) = known.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (scrapes < needed as f64).then(|| {
        Finding::unmeasurable(format!(
            "this window holds {scrapes:.0} of the {needed} scrapes of {selector} that are needed: scrape more often, or \
             judge a longer window"
        ))
    })
}

/// A value though nothing matches is the query's own, as after `or vector(0)`.
fn noting_what_is_empty(finding: Finding, counted: &[(String, Option<f64>)]) -> Finding {
    let is_good = matches!(finding.outcome, Outcome::Met | Outcome::Warn);
    let Some((selector, _)) = counted.iter().find(|(_, scrapes)| is_good && scrapes.is_none()) else {
        return finding;
    };
    Finding { message: format!("{} (no series matches {selector})", finding.message), ..finding }
}

/// The step of a range query: 1 s, and more where that would be too many points.
pub(crate) fn step(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs().div_ceil(MOST_POINTS).max(1))
}
