//! Any PromQL in one window: what is asked, and how the answers become a finding.

use std::collections::BTreeSet;

use crate::{
    evaluate::{
        objective::{
            ending::Ending,
            finding::Finding,
            points,
            scrapes::{Scrapes, selectors_of, step},
        },
        windows::{Window, context::Context},
    },
    k6::question::Asks,
    numbers::interval::Interval,
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::{
        ask::{Answers, RequestKind},
        expression::{goes_on, needs_all},
        promql,
        series::{Series, Value},
        template::Values,
    },
};

/// A query, a template or a slope, with a question for each stretch of its window.
#[derive(Debug)]
pub struct QueryProbe {
    pub query: String,
    stretches: Vec<usize>,
    scrapes: Scrapes,
    ending: Ending,
    /// When each selector of a template had its newest sample, one question for each stretch.
    newest: Vec<Vec<usize>>,
}

impl QueryProbe {
    /// Asks.
    ///
    /// # Errors
    /// Why there is nothing to ask, in words for the user.
    pub fn ask(figure: &Figure, window: &Window, context: &Context, asks: &mut Asks) -> Result<Self, String> {
        let rendered = rendered(figure, window, context)?;
        let is_template = matches!(figure, Figure::Template(_));
        let scrapes = Scrapes::ask(&rendered, window, asks);
        let mut ask = |(query, stretch): &(String, Interval)| {
            let (from, to) = (stretch.from, stretch.to);
            let range = RequestKind::Range { from, to, step: step(stretch.length()) };
            asks.ask(query.clone(), if is_template { RequestKind::Instant { at: to } } else { range })
        };
        let stretches = rendered.iter().map(&mut ask).collect();
        let goes_on = if is_template { needs_all } else { goes_on };
        let ending = Ending::of(window, rendered.iter().all(|(query, _)| goes_on(query)));
        let newest = if is_template && ending.is_watched() { newest(&rendered, asks) } else { Vec::new() };
        let mut queries: Vec<String> = rendered.into_iter().map(|(query, _)| query).collect();
        queries.dedup();
        Ok(Self { query: queries.join("\n"), stretches, scrapes, ending, newest })
    }

    /// What the answers say.
    ///
    /// # Errors
    /// Why they say nothing, in words for the user.
    pub fn judge(
        &self,
        objective: &ObjectivePlan,
        answers: &Answers,
        holes: &[Interval],
    ) -> Result<Finding, String> {
        match &objective.figure {
            Figure::Template(_) => self.scrapes.or_else(answers, points::MIN_SCRAPES, || {
                let values: Vec<&[Value]> =
                    self.stretches.iter().map(|id| answers.vector(*id)).collect::<Result<_, _>>()?;
                self.newest.iter().try_fold(points::template(objective, &values), |finding, ids| {
                    let times = ids.iter().map(|id| answers.sum(*id)).collect::<Result<Vec<_>, _>>()?;
                    Ok(self.ending.of_newest(finding, &times, &self.scrapes, answers, holes))
                })
            }),
            Figure::Slope { per, per_text, .. } => self.scrapes.or_else(answers, points::MIN_POINTS, || {
                let (series, fewest) = (self.series(answers)?, self.scrapes.fewest(answers)?);
                let finding = points::slope(objective, per.as_secs_f64(), per_text, fewest, &series);
                Ok(self.to_the_end(finding, &series, answers, holes))
            }),
            _ => self.scrapes.or_else(answers, points::MIN_SCRAPES, || {
                let series = self.series(answers)?;
                Ok(self.to_the_end(points::query(objective, &series), &series, answers, holes))
            }),
        }
    }

    fn series<'a>(&self, answers: &'a Answers) -> Result<Vec<&'a [Series]>, String> {
        self.stretches.iter().map(|id| answers.matrix(*id)).collect()
    }

    fn to_the_end(
        &self,
        finding: Finding,
        series: &[&[Series]],
        answers: &Answers,
        holes: &[Interval],
    ) -> Finding {
        let last = |series: &&[Series]| {
            series.iter().filter_map(|(_, points)| points.last()).map(|(at, _)| *at).max_by(f64::total_cmp)
        };
        let last: Vec<Option<f64>> = series.iter().map(last).collect();
        self.ending.of_last(finding, &last, &self.scrapes, answers, holes)
    }
}

/// The query as it is asked in each stretch.
fn rendered(figure: &Figure, window: &Window, context: &Context) -> Result<Vec<(String, Interval)>, String> {
    let fault = window.fault.as_ref().and_then(|name| context.faults.get(name));
    let of = |stretch: &Interval| match figure {
        Figure::Query(query) | Figure::Slope { query, .. } => Ok(query.clone()),
        Figure::Template(template) => {
            let values = Values {
                start: stretch.from,
                end: stretch.to,
                run: context.settings.run_id.clone(),
                namespace: context.namespace.clone(),
                fault: fault.cloned(),
            };
            template.render(&values).map_err(|why| why.to_string())
        }
        _ => Err("this figure is no query".to_owned()),
    };
    window.stretches().iter().map(|stretch| Ok((of(stretch)?, *stretch))).collect()
}

/// Asks when each selector of a query had its newest sample in each stretch.
fn newest(rendered: &[(String, Interval)], asks: &mut Asks) -> Vec<Vec<usize>> {
    let mut by_selector: Vec<Vec<usize>> = Vec::new();
    for (query, stretch) in rendered {
        let kind = RequestKind::Instant { at: stretch.to };
        for (n, selector) in BTreeSet::from_iter(selectors_of(query)).iter().enumerate() {
            let id = asks.ask(promql::newest(selector, *stretch, step(stretch.length())), kind);
            match by_selector.get_mut(n) {
                Some(ids) => ids.push(id),
                None => by_selector.push(vec![id]),
            }
        }
    }
    by_selector
}
