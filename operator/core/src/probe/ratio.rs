//! A ratio of server-side counters: what is asked, and how the raw samples are read.

use std::time::Duration;

use jiff::SignedDuration;
use loadtest_crds::WindowKind;

use super::{Ending, Wanted, seconds};
use crate::{
    ask::{Answers, Asks, RequestKind},
    confidence::Block,
    evaluate::Context,
    judge::{self, Finding},
    plan::objective::ObjectivePlan,
    promql,
    series::{Coverage, Increase, gained_between, increase_of_all, sampled_every},
    spikes::CELL_SECONDS,
    windows::{Interval, Window},
};

/// How far behind a window its closing scrape is looked for.
const AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The questions about one ratio in one window.
#[derive(Debug)]
pub struct RatioProbe {
    pub query: String,
    reads: Vec<Read>,
    coverage: Coverage,
    scope: Wanted,
    /// k6 writes a sample only when something happened: how often is no interval of scrapes.
    scraped: bool,
    ending: Ending,
}

/// The raw samples of one stretch.
#[derive(Clone, Copy, Debug)]
struct Read {
    stretch: Interval,
    good: usize,
    total: usize,
}

impl RatioProbe {
    pub fn ask(good: &str, total: &str, window: &Window, context: &Context, asks: &mut Asks) -> Self {
        let run = &context.settings.run_id;
        let scraped = ![good, total].iter().any(|selector| selector.starts_with("k6_"));
        let (good, total) = (promql::of_run(good, run), promql::of_run(total, run));
        let mut queries = String::new();
        let reads = window
            .stretches()
            .iter()
            .map(|stretch| {
                // The first scrape after the window closes it, so samples are read beyond its end as well.
                let to = stretch.to.saturating_add(AFTER).unwrap_or(stretch.to);
                let ahead = Duration::from_secs(AFTER.as_secs().unsigned_abs());
                let reach = stretch.length() + promql::LOOKBACK + ahead;
                let reach = i64::try_from(reach.as_secs()).unwrap_or(i64::MAX);
                let now = RequestKind::Instant { at: to };
                let mut raw = |selector: &str| {
                    let query = promql::raw(selector, reach, to);
                    if queries.is_empty() {
                        queries.clone_from(&query);
                    } else if !queries.contains(&query) {
                        queries = format!("{queries}\n{query}");
                    }
                    asks.ask(query, now)
                };
                Read { stretch: *stretch, good: raw(&good), total: raw(&total) }
            })
            .collect();
        let coverage = match window.kind {
            WindowKind::Steady => Coverage::Inside,
            WindowKind::Run | WindowKind::Fault | WindowKind::Recovery | WindowKind::Between => {
                Coverage::Whole
            }
        };
        let ending = Ending::of(window, scraped);
        Self { query: queries, reads, coverage, scope: Wanted::of(window.kind), scraped, ending }
    }

    pub fn judge(
        &self,
        objective: &ObjectivePlan,
        answers: &Answers,
        holes: &[Interval],
    ) -> Result<Finding, String> {
        let total = self.gains(answers, |read| read.total)?;
        let good = self.gains(answers, |read| read.good)?;
        let good = match (good, self.room_for_good(answers)?) {
            (Some(good), Some(room)) => Some(Increase { scrapes: good.scrapes.max(room), ..good }),
            (Some(good), None) => Some(Increase { scrapes: usize::MAX, ..good }),
            (None, _) => None,
        };
        let scope = self.scope.scope(|| self.blocks(answers, holes))?;
        let finding = judge::ratio(objective, scope, good, total);
        self.to_the_end(finding, answers, holes)
    }

    /// The finding, unless the counters stopped. One that nothing adds to is scraped all the same.
    fn to_the_end(&self, finding: Finding, answers: &Answers, holes: &[Interval]) -> Result<Finding, String> {
        let mut last = Vec::new();
        let mut every: Option<f64> = None;
        for read in &self.reads {
            let series = answers.matrix(read.total)?;
            let of_one = sampled_every(series.iter().map(|(_, points)| points.as_slice()));
            every = [every, of_one].into_iter().flatten().min_by(f64::total_cmp);
            let from = seconds(read.stretch.from);
            let times = series.iter().filter_map(|(_, points)| points.last()).map(|(at, _)| *at);
            last.push(times.filter(|at| *at > from).max_by(f64::total_cmp));
        }
        Ok(self.ending.or_else(finding, &last, every.unwrap_or(0.0), holes))
    }

    /// What all series gained over all stretches; `None` without any series.
    fn gains(&self, answers: &Answers, which: impl Fn(&Read) -> usize) -> Result<Option<Increase>, String> {
        let mut all: Option<Increase> = None;
        for read in &self.reads {
            let series = answers.matrix(which(read))?;
            if series.is_empty() {
                continue;
            }
            let points = series.iter().map(|(_, points)| points.as_slice());
            let (from, to) = (seconds(read.stretch.from), seconds(read.stretch.to));
            let one = increase_of_all(points, from, to, self.coverage);
            let so_far = all.unwrap_or_default();
            all =
                Some(Increase { events: so_far.events + one.events, scrapes: so_far.scrapes + one.scrapes });
        }
        Ok(all)
    }

    /// How many scrapes of the good events there is room for in the stretches; `None` where that cannot be told. Their
    /// series may be born late, or go with a pod, so that fewer of them say nothing: only that they come too rarely does.
    fn room_for_good(&self, answers: &Answers) -> Result<Option<usize>, String> {
        if !self.scraped {
            return Ok(None);
        }
        let mut room: Option<usize> = None;
        for read in &self.reads {
            let series = answers.matrix(read.good)?;
            if let Some(every) = sampled_every(series.iter().map(|(_, points)| points.as_slice())) {
                let scrapes = (read.stretch.length().as_secs_f64() / every).floor() as usize;
                room = Some(room.unwrap_or(0).saturating_add(scrapes).saturating_add(1));
            }
        }
        Ok(room)
    }

    /// What was counted in each 5 s of the stretches.
    fn blocks(&self, answers: &Answers, holes: &[Interval]) -> Result<Vec<(Block, bool)>, String> {
        let mut blocks = Vec::new();
        for read in &self.reads {
            let (from, to) = (seconds(read.stretch.from), seconds(read.stretch.to));
            let cells = ((to - from) / CELL_SECONDS as f64).floor() as usize;
            let times: Vec<f64> =
                (0..=cells).map(|n| (n as f64).mul_add(CELL_SECONDS as f64, from)).collect();
            let of = |id: usize| -> Result<Vec<f64>, String> {
                let series = answers.matrix(id)?;
                Ok(gained_between(series.iter().map(|(_, points)| points.as_slice()), &times))
            };
            let (good, total) = (of(read.good)?, of(read.total)?);
            let in_fault = |n: usize| {
                let (from, to) = (times[n], times[n + 1]);
                holes.iter().any(|hole| seconds(hole.from) < to && from < seconds(hole.to))
            };
            blocks.extend(
                total
                    .into_iter()
                    .zip(good)
                    .enumerate()
                    .map(|(n, (total, good))| (Block { total, bad: (total - good).max(0.0) }, in_fault(n))),
            );
        }
        Ok(blocks)
    }
}
