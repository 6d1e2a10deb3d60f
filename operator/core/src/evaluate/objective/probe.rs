//! One objective in one window: what is asked, and how the answers become a finding.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    evaluate::{
        objective::{
            ending::Ending,
            finding::Finding,
            judge,
            names::Names,
            points,
            ratio::RatioProbe,
            scope::Wanted,
            scrapes::{Scrapes, selectors_of, step},
            shares::ShareProbe,
        },
        windows::{Extent, Window, context::Context},
    },
    k6::{
        queries::{K6Samples, Metric, Split},
        question::Asks,
    },
    numbers::{confidence::Block, interval::Interval},
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::{
        ask::{Answers, RequestKind},
        expression::{goes_on, needs_all},
        promql,
        series::{Series, Value},
        template::{Template, Values},
    },
};

/// How an objective is measured in a window.
#[derive(Debug)]
pub enum Probe {
    /// Decided without asking.
    Known(Finding),
    Share {
        share: ShareProbe,
        scope: Wanted,
        window: Window,
    },
    Counter {
        query: String,
        events: usize,
        seconds: f64,
    },
    Ratio(RatioProbe),
    Query {
        query: String,
        stretches: Vec<usize>,
        scrapes: Scrapes,
        ending: Ending,
    },
    Template {
        query: String,
        stretches: Vec<usize>,
        scrapes: Scrapes,
        ending: Ending,
        /// When each of its selectors had its newest sample, one question for each stretch.
        newest: Vec<Vec<usize>>,
    },
    Slope {
        query: String,
        per: Duration,
        per_text: String,
        stretches: Vec<usize>,
        scrapes: Scrapes,
        ending: Ending,
    },
}

impl Probe {
    /// Asks what the objective needs in this window.
    #[must_use]
    pub fn new(objective: &ObjectivePlan, window: &Window, context: &Context, asks: &mut Asks) -> Self {
        match &window.extent {
            Extent::Nothing(why) => return Self::Known(Finding::nothing_to_judge(why)),
            Extent::Absent(why) => return Self::Known(Finding::no_data(why.clone())),
            Extent::Stretches(_) => {}
        }
        let reads = context.reads(window);
        let Some(last) = reads.last() else {
            let shortest = crate::numbers::duration::human(context.settings.push);
            return Self::Known(Finding::no_data(format!(
                "the window is shorter than k6's push interval of {shortest}: lengthen the load"
            )));
        };
        let mut counter = |metric: &str, samples: &K6Samples| {
            let of = samples.of(Metric::Counter(metric.to_owned().into()));
            let question = context.metrics.increase(of, Split::Whole, &reads);
            let query = question.to_string();
            let events = asks.ask(question, RequestKind::Instant { at: last.to });
            let end = context.load.map_or(last.to, |load| load.to);
            let within = |read: &Interval| Interval::new(read.from, read.to.min(end));
            let seconds = reads.iter().filter_map(within).map(|read| read.length().as_secs_f64()).sum();
            Self::Counter { query, events, seconds }
        };
        match &objective.figure {
            Figure::K6Count { metric, samples } | Figure::K6Rate { metric, samples } => {
                counter(metric, samples)
            }
            Figure::Ratio { good, total } => Self::Ratio(RatioProbe::ask(good, total, window, context, asks)),
            Figure::Query(query) => {
                let scrapes = Scrapes::ask(query, window, asks);
                let ending = Ending::of(window, goes_on(query));
                Self::Query { query: query.clone(), stretches: points(query, window, asks), scrapes, ending }
            }
            Figure::Slope { query, per, per_text } => {
                let scrapes = Scrapes::ask(query, window, asks);
                let stretches = points(query, window, asks);
                Self::Slope {
                    query: query.clone(),
                    per: *per,
                    per_text: per_text.clone(),
                    stretches,
                    scrapes,
                    ending: Ending::of(window, goes_on(query)),
                }
            }
            Figure::Template(template) => ask_template(template, window, context, asks),
            figure => {
                let scope = Wanted::of(window.kind);
                let cells = context.cells.filter(|_| scope == Wanted::Sample);
                let limit = objective.bound.limit().base();
                ShareProbe::ask(figure, limit, &reads, cells, context, asks).map_or_else(
                    || Self::Known(Finding::no_data("this figure cannot be measured")),
                    |share| Self::Share { share, scope, window: window.clone() },
                )
            }
        }
    }

    /// The finding, and the query that shows it. `holes` are the faults with what they left behind.
    #[must_use]
    pub fn judge(
        &self,
        objective: &ObjectivePlan,
        context: &Context,
        answers: &Answers,
        holes: &[Interval],
    ) -> (Finding, Option<String>) {
        let finding = match self {
            Self::Known(finding) => return (finding.clone(), None),
            Self::Share { share, scope, window } => share.tally(answers).and_then(|tally| {
                let scope = scope.scope(|| blocks(share, window, context, answers, holes))?;
                Ok(judge::share(objective, share.of_requests, scope, &tally))
            }),
            Self::Counter { events, seconds, .. } => {
                answers.sum(*events).map(|events| judge::counter(objective, events, *seconds))
            }
            Self::Ratio(ratio) => ratio.judge(objective, answers, holes),
            Self::Query { stretches, scrapes, ending, .. } => {
                scrapes.or_else(answers, points::MIN_SCRAPES, || {
                    let series = all_series(stretches, answers)?;
                    let finding = points::query(objective, &series);
                    Ok(ending.of_points(finding, &series, scrapes, answers, holes))
                })
            }
            Self::Slope { stretches, scrapes, per, per_text, ending, .. } => {
                scrapes.or_else(answers, points::MIN_POINTS, || {
                    let series = all_series(stretches, answers)?;
                    let fewest = scrapes.fewest(answers)?;
                    let finding = points::slope(objective, per.as_secs_f64(), per_text, fewest, &series);
                    Ok(ending.of_points(finding, &series, scrapes, answers, holes))
                })
            }
            Self::Template { stretches, scrapes, ending, newest, .. } => {
                scrapes.or_else(answers, points::MIN_SCRAPES, || {
                    let values: Result<Vec<&[Value]>, String> =
                        stretches.iter().map(|id| answers.vector(*id)).collect();
                    let mut finding = points::template(objective, &values?);
                    for ids in newest {
                        let times: Vec<Option<f64>> =
                            ids.iter().map(|id| answers.sum(*id)).collect::<Result<_, _>>()?;
                        finding = ending.of_newest(finding, &times, scrapes, answers, holes);
                    }
                    Ok(finding)
                })
            }
        };
        (finding.unwrap_or_else(Finding::no_data), self.query(answers))
    }

    /// True where it reads what k6 pushed.
    #[must_use]
    pub fn is_of_k6(&self) -> bool {
        matches!(self, Self::Share { .. } | Self::Counter { .. })
    }

    pub(crate) fn query(&self, answers: &Answers) -> Option<String> {
        match self {
            Self::Known(_) => None,
            Self::Share { share, .. } => share.query(answers),
            Self::Ratio(ratio) => Some(ratio.query.clone()),
            Self::Counter { query, .. }
            | Self::Query { query, .. }
            | Self::Template { query, .. }
            | Self::Slope { query, .. } => Some(query.clone()),
        }
    }
}

/// The cells of a window, as far as they lie in what is read of it.
fn blocks(
    share: &ShareProbe,
    window: &Window,
    context: &Context,
    answers: &Answers,
    holes: &[Interval],
) -> Result<Vec<(Block, bool)>, String> {
    let Some(cells) = context.cells else { return Ok(Vec::new()) };
    let all = share.cells(cells, answers)?;
    let reads = context.reads(window);
    let block = |number: usize| {
        let cell = Interval { from: cells.start(number), to: cells.start(number + 1) };
        Some((*all.get(number)?, holes.iter().any(|hole| hole.overlaps(cell))))
    };
    Ok(cells.within(&reads).filter_map(block).collect())
}

fn ask_template(template: &Template, window: &Window, context: &Context, asks: &mut Asks) -> Probe {
    let fault = window.fault.as_ref().and_then(|name| context.faults.get(name)).cloned();
    let mut rendered = Vec::new();
    for stretch in window.stretches() {
        let values = Values {
            start: stretch.from,
            end: stretch.to,
            run: context.settings.run_id.clone(),
            namespace: context.namespace.clone(),
            fault: fault.clone(),
        };
        match template.render(&values) {
            Ok(query) => rendered.push((query, *stretch)),
            Err(why) => return Probe::Known(Finding::no_data(why.to_string())),
        }
    }
    let names = rendered.last().map(|(query, _)| Names::ask(query, window, asks));
    let mut scrapes = Scrapes { names: names.unwrap_or_default(), held: Vec::new() };
    for (query, stretch) in &rendered {
        scrapes.add(query, *stretch, asks);
    }
    let stretches = rendered
        .iter()
        .map(|(query, stretch)| asks.ask(query.clone(), RequestKind::Instant { at: stretch.to }))
        .collect();
    let ending = Ending::of(window, rendered.iter().all(|(query, _)| needs_all(query)));
    let newest = if ending.is_watched() { newest(&rendered, asks) } else { Vec::new() };
    let query = rendered.into_iter().map(|(query, _)| query).collect::<Vec<_>>().join("\n");
    Probe::Template { query, stretches, scrapes, ending, newest }
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

/// Asks for the points of a query in each stretch.
fn points(query: &str, window: &Window, asks: &mut Asks) -> Vec<usize> {
    let stretches = window.stretches().iter();
    stretches
        .map(|s| {
            let kind = RequestKind::Range { from: s.from, to: s.to, step: step(s.length()) };
            asks.ask(query.to_owned(), kind)
        })
        .collect()
}

fn all_series<'a>(ids: &[usize], answers: &'a Answers) -> Result<Vec<&'a [Series]>, String> {
    ids.iter().map(|id| answers.matrix(*id)).collect()
}
