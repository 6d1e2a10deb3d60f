//! One objective in one window: what is asked, and how the answers become a finding.

use std::time::Duration;

use jiff::SignedDuration;
use loadtest_crds::WindowKind;

use crate::{
    ask::{Answers, Asks, RequestKind, Series},
    evaluate::Context,
    judge::{self, Finding, Outcomes, Spread},
    plan::objective::{Figure, K6Samples, ObjectivePlan, is_built_in_trend},
    promql::{self, Split},
    series::{Coverage, Increase, increase_of_all},
    windows::{Extent, Interval, Window},
};

/// More points of an opaque query than this are never asked for.
const MOST_POINTS: u64 = 500;

/// How an objective is measured in a window.
#[derive(Debug)]
pub enum Probe {
    /// Decided without asking.
    Known(Finding),
    Failed {
        query: String,
        counts: usize,
    },
    Percentile {
        percentile: f64,
        of_requests: bool,
        candidates: Vec<Trend>,
        shown: Shown,
    },
    Ratio {
        query: String,
        reads: Vec<(Interval, usize, usize)>,
        coverage: Coverage,
    },
    Query {
        query: String,
        stretches: Vec<usize>,
    },
}

/// A k6 Trend under one of the names that it may have: times arrive in seconds, and in milliseconds where the
/// script did not say that its Trend is a time.
#[derive(Debug)]
pub struct Trend {
    seconds_per_unit: f64,
    /// The histograms whose quantile is shown.
    answered: String,
    counts: usize,
    fractions: usize,
    counts_query: String,
}

/// The percentile to show.
#[derive(Debug)]
pub enum Shown {
    NotAsked,
    /// More requests failed than the percentile leaves out.
    AmongFailed,
    Asked {
        query: String,
        id: usize,
        trend: usize,
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
            let shortest = crate::duration::human(context.settings.push);
            return Self::Known(Finding::no_data(format!(
                "the window is shorter than k6's push interval of {shortest}: lengthen the load"
            )));
        };
        let now = RequestKind::Instant { at: last.to };
        match &objective.figure {
            Figure::K6Failed { samples } => {
                let selector = context.metrics.selector(promql::HTTP_REQS, samples);
                let query = context.metrics.increase(&selector, Split::Outcome, &reads);
                Self::Failed { counts: asks.ask(query.clone(), now), query }
            }
            Figure::K6Percentile { metric, percentile, samples } => {
                let of_requests = objective.figure.is_of_requests();
                let limit = objective.bound.limit().base();
                let candidates = trends(metric)
                    .map(|(name, seconds_per_unit)| {
                        Trend::ask(
                            &name,
                            seconds_per_unit,
                            limit,
                            of_requests,
                            samples,
                            &reads,
                            context,
                            asks,
                            now,
                        )
                    })
                    .collect();
                Self::Percentile { percentile: *percentile, of_requests, candidates, shown: Shown::NotAsked }
            }
            Figure::Ratio { good, total } => ratio(good, total, window, context, asks),
            Figure::Query(query) => Self::Query {
                query: query.clone(),
                stretches: window
                    .stretches()
                    .iter()
                    .map(|s| {
                        let kind = RequestKind::Range { from: s.from, to: s.to, step: step(s.length()) };
                        asks.ask(query.clone(), kind)
                    })
                    .collect(),
            },
        }
    }

    /// Asks for the percentile to show: that of all requests, the failed ones counted as the slowest. So the
    /// value is within the limit exactly when the share is.
    pub fn ask_for_percentile(&mut self, answers: &Answers, asks: &mut Asks) {
        let Self::Percentile { percentile, of_requests, candidates, shown } = self else { return };
        let Ok((trend, counts)) = measured(candidates, *of_requests, answers) else { return };
        let slowest = if *of_requests { counts.answered } else { counts.total() };
        let quantile = *percentile / 100.0 * counts.total() / slowest;
        if !quantile.is_finite() || quantile > 1.0 {
            *shown = Shown::AmongFailed;
            return;
        }
        let query = promql::histogram_quantile(quantile, &candidates[trend].answered);
        // The time is in the query itself; any will do.
        let id = asks.ask(query.clone(), RequestKind::Instant { at: jiff::Timestamp::UNIX_EPOCH });
        *shown = Shown::Asked { query, id, trend };
    }

    /// The finding, and the query that shows it.
    #[must_use]
    pub fn judge(&self, objective: &ObjectivePlan, answers: &Answers) -> (Finding, Option<String>) {
        match self {
            Self::Known(finding) => (finding.clone(), None),
            Self::Failed { query, counts } => {
                let finding = match answers.vector(*counts) {
                    Ok(series) => judge::failed(objective, Outcomes::of(series)),
                    Err(why) => Finding::no_data(why),
                };
                (finding, Some(query.clone()))
            }
            Self::Percentile { percentile, of_requests, candidates, shown } => {
                judge_percentile(objective, *percentile, *of_requests, candidates, shown, answers)
            }
            Self::Ratio { query, reads, coverage } => {
                let finding = match (
                    gains(reads, *coverage, answers, |r| r.1),
                    gains(reads, *coverage, answers, |r| r.2),
                ) {
                    (Ok(good), Ok(total)) => judge::ratio(objective, good, total),
                    (Err(why), _) | (_, Err(why)) => Finding::no_data(why),
                };
                (finding, Some(query.clone()))
            }
            Self::Query { query, stretches } => {
                let series: Result<Vec<&[Series]>, String> =
                    stretches.iter().map(|id| answers.matrix(*id)).collect();
                let finding = match series {
                    Ok(series) => judge::query(objective, &series),
                    Err(why) => Finding::no_data(why),
                };
                (finding, Some(query.clone()))
            }
        }
    }
}

impl Trend {
    #[expect(clippy::too_many_arguments, reason = "one caller, and a struct of these would say nothing more")]
    fn ask(
        metric: &str,
        seconds_per_unit: f64,
        limit: f64,
        of_requests: bool,
        samples: &K6Samples,
        reads: &[Interval],
        context: &Context,
        asks: &mut Asks,
        now: RequestKind,
    ) -> Self {
        let selector = context.metrics.selector(metric, samples);
        let split = if of_requests { Split::Outcome } else { Split::Whole };
        let increase = context.metrics.increase(&selector, split, reads);
        let counts_query = promql::histogram_count(&increase);
        let answered = if of_requests {
            context.metrics.increase(&promql::answered(&selector), Split::Whole, reads)
        } else {
            increase.clone()
        };
        Self {
            seconds_per_unit,
            answered,
            counts: asks.ask(counts_query.clone(), now),
            fractions: asks.ask(promql::histogram_fraction(limit / seconds_per_unit, &increase), now),
            counts_query,
        }
    }

    /// How many samples were within the limit.
    fn within(&self, counts: Outcomes, of_requests: bool, answers: &Answers) -> Result<f64, String> {
        let mut within = 0.0;
        for (labels, _, fraction) in answers.vector(self.fractions)? {
            let mut class = Outcomes::default();
            class.add(labels, 1.0);
            let count = if of_requests { class.answered * counts.answered } else { counts.total() };
            if count > 0.0 {
                within += count * fraction;
            }
        }
        Ok(within)
    }
}

/// The names that a Trend may have in Prometheus, each with the seconds that one of its units is.
pub fn trends(metric: &str) -> impl Iterator<Item = (String, f64)> {
    let in_seconds = (format!("k6_{metric}_seconds"), 1.0);
    let raw = (!is_built_in_trend(metric)).then(|| (format!("k6_{metric}"), 0.001));
    std::iter::once(in_seconds).chain(raw)
}

/// The Trend that has data, and its counts.
fn measured(candidates: &[Trend], of_requests: bool, answers: &Answers) -> Result<(usize, Outcomes), String> {
    let mut found = None;
    for (index, trend) in candidates.iter().enumerate() {
        let Some(counts) = Outcomes::of(answers.vector(trend.counts)?) else { continue };
        if found.is_some() {
            return Err(
                "two scripts use this Trend with different units: give one of them another name".to_owned()
            );
        }
        found = Some((index, counts));
    }
    let (index, counts) = found.unzip();
    let counts = if of_requests {
        judge::told(counts)?
    } else {
        counts.ok_or(
            "k6 sent no such sample in the whole run: check the metric, the tags and the scenario of this \
                      objective against the script",
        )?
    };
    Ok((index.unwrap_or(0), counts))
}

fn judge_percentile(
    objective: &ObjectivePlan,
    percentile: f64,
    of_requests: bool,
    candidates: &[Trend],
    shown: &Shown,
    answers: &Answers,
) -> (Finding, Option<String>) {
    let counts_query = candidates.first().map(|t| t.counts_query.clone());
    let (trend, counts) = match measured(candidates, of_requests, answers) {
        Ok(measured) => measured,
        Err(why) => return (Finding::no_data(why), counts_query),
    };
    let (value, query) = match shown {
        Shown::Asked { query, id, trend } => match answers.sum(*id) {
            Ok(Some(value)) if value.is_finite() => {
                (Some(value * candidates[*trend].seconds_per_unit), Some(query.clone()))
            }
            Ok(_) => {
                let why = "Prometheus gave no percentile, though there are samples: is its feature native-histograms on?";
                return (Finding::no_data(why), Some(query.clone()));
            }
            Err(why) => return (Finding::no_data(why), Some(query.clone())),
        },
        Shown::AmongFailed | Shown::NotAsked => (None, counts_query),
    };
    let finding = match candidates[trend].within(counts, of_requests, answers) {
        Ok(within) => judge::percentile(
            objective,
            percentile,
            of_requests,
            Spread { total: counts.total(), within, value },
        ),
        Err(why) => Finding::no_data(why),
    };
    (finding, query)
}

fn ratio(good: &str, total: &str, window: &Window, context: &Context, asks: &mut Asks) -> Probe {
    let coverage = match window.kind {
        WindowKind::Steady => Coverage::Inside,
        WindowKind::Run | WindowKind::Fault | WindowKind::Recovery | WindowKind::Between => Coverage::Whole,
    };
    let run = &context.settings.run_id;
    let (good, total) = (promql::of_run(good, run), promql::of_run(total, run));
    let mut queries = String::new();
    let reads = window
        .stretches()
        .iter()
        .map(|stretch| {
            // The first scrape after the window closes it, so samples are read beyond its end as well.
            let ahead = AFTER;
            let to = stretch.to.saturating_add(ahead).unwrap_or(stretch.to);
            let reach =
                stretch.length() + context.lookback + Duration::from_secs(AFTER.as_secs().unsigned_abs());
            let reach = i64::try_from(reach.as_secs()).unwrap_or(i64::MAX);
            let now = RequestKind::Instant { at: to };
            let mut raw = |selector: &str| {
                let query = promql::raw(selector, reach, to);
                if queries.is_empty() || !queries.contains(&query) {
                    queries = if queries.is_empty() { query.clone() } else { format!("{queries}\n{query}") };
                }
                asks.ask(query, now)
            };
            (*stretch, raw(&good), raw(&total))
        })
        .collect();
    Probe::Ratio { query: queries, reads, coverage }
}

/// How far behind a window its closing scrape is looked for.
const AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What all series gained over all stretches; `None` without any series.
fn gains(
    reads: &[(Interval, usize, usize)],
    coverage: Coverage,
    answers: &Answers,
    which: impl Fn(&(Interval, usize, usize)) -> usize,
) -> Result<Option<Increase>, String> {
    let mut all: Option<Increase> = None;
    for read in reads {
        let series = answers.matrix(which(read))?;
        if series.is_empty() {
            continue;
        }
        let points = series.iter().map(|(_, points)| points.as_slice());
        let one = increase_of_all(points, seconds(read.0.from), seconds(read.0.to), coverage);
        let so_far = all.unwrap_or_default();
        all = Some(Increase { events: so_far.events + one.events, scrapes: so_far.scrapes + one.scrapes });
    }
    Ok(all)
}

/// Seconds since the epoch.
#[must_use]
pub fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// The step of a range query: 1 s, and more where that would be too many points.
fn step(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs().div_ceil(MOST_POINTS).max(1))
}
