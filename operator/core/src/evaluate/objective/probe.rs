//! One objective in one window: what is asked, and how the answers become a finding.

use crate::{
    evaluate::{
        objective::{
            finding::Finding, judge, query::QueryProbe, ratio::RatioProbe, scope::Scope, shares::ShareProbe,
            stat::StatProbe,
        },
        windows::{Extent, Window, context::Context},
    },
    k6::{
        queries::{ITERATIONS, K6Samples, Metric, Split},
        question::Asks,
    },
    numbers::{duration::human, interval::Interval},
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::ask::{Answers, RequestKind},
};

/// How an objective is measured in a window.
#[derive(Debug)]
pub enum Probe {
    /// Decided without asking.
    Known(Finding),
    Share {
        share: ShareProbe,
        window: Window,
    },
    Counter {
        query: String,
        events: usize,
        /// Of any series that is there when k6 sends anything.
        iterations: usize,
        seconds: f64,
    },
    Stat(StatProbe),
    Ratio(RatioProbe),
    Query(QueryProbe),
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
            return Self::Known(Finding::no_data(format!(
                "the window is shorter than k6's push interval of {}: lengthen the load",
                human(context.settings.push)
            )));
        };
        let mut counter = |metric: &str, samples: &K6Samples| {
            let of = samples.of(Metric::Counter(metric.to_owned().into()));
            let question = context.metrics.increase(of, Split::Whole, &reads);
            let query = question.to_string();
            let at = RequestKind::Instant { at: last.to };
            let events = asks.ask(question, at);
            let same_scenario = K6Samples { scenario: samples.scenario.clone(), ..K6Samples::default() };
            let iterations = context.metrics.increase(same_scenario.of(ITERATIONS), Split::Whole, &reads);
            let iterations = asks.ask(iterations, at);
            let end = context.load.map_or(last.to, |load| load.to);
            let within = |read: &Interval| Interval::new(read.from, read.to.min(end));
            let seconds = reads.iter().filter_map(within).map(|read| read.length().as_secs_f64()).sum();
            Self::Counter { query, events, iterations, seconds }
        };
        match &objective.figure {
            Figure::K6Count { metric, samples } | Figure::K6Rate { metric, samples } => {
                counter(metric, samples)
            }
            Figure::K6Stat { metric, stat, samples } => {
                StatProbe::ask((metric, *stat, samples), &reads, context, asks).map_or_else(
                    || Self::Known(Finding::no_data("this figure cannot be measured")),
                    Self::Stat,
                )
            }
            Figure::Ratio { good, total } => Self::Ratio(RatioProbe::ask(good, total, window, context, asks)),
            Figure::Query(_) | Figure::Slope { .. } | Figure::Template(_) => {
                QueryProbe::ask(&objective.figure, window, context, asks)
                    .map_or_else(|why| Self::Known(Finding::no_data(why)), Self::Query)
            }
            Figure::K6Failed { .. }
            | Figure::K6Share { .. }
            | Figure::K6Percentile { .. }
            | Figure::K6Under { .. } => {
                let grid = context.cells.filter(|_| !window.kind.is_of_fault());
                ShareProbe::ask(objective, &reads, grid, context, asks).map_or_else(
                    || Self::Known(Finding::no_data("this figure cannot be measured")),
                    |share| Self::Share { share, window: window.clone() },
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
            Self::Share { share, window } => share.tally(answers).and_then(|tally| {
                let scope = Scope::of(window.kind, holes, || share.cells(&context.reads(window), answers))?;
                Ok(judge::share(objective, scope, &tally))
            }),
            Self::Counter { events, iterations, seconds, .. } => answers.sum(*events).and_then(|events| {
                let is_there = objective.declared && answers.sum(*iterations)?.is_some();
                Ok(judge::counter(objective, events.or(is_there.then_some(0.0)), *seconds))
            }),
            Self::Stat(stat) => stat.judge(objective, answers),
            Self::Ratio(ratio) => ratio.judge(objective, answers, holes),
            Self::Query(query) => query.judge(objective, answers, holes),
        };
        (finding.unwrap_or_else(Finding::no_data), self.query(answers))
    }

    /// True where it reads what k6 pushed.
    #[must_use]
    pub fn is_of_k6(&self) -> bool {
        matches!(self, Self::Share { .. } | Self::Counter { .. } | Self::Stat(_))
    }

    pub(crate) fn query(&self, answers: &Answers) -> Option<String> {
        match self {
            Self::Known(_) => None,
            Self::Share { share, .. } => share.query(answers),
            Self::Stat(stat) => stat.query(),
            Self::Ratio(ratio) => Some(ratio.query.clone()),
            Self::Query(probe) => Some(probe.query.clone()),
            Self::Counter { query, .. } => Some(query.clone()),
        }
    }
}
