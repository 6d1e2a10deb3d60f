//! A ratio of server-side counters: what is asked, and how the raw samples are read.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use loadtest_crds::WindowKind;

use crate::{
    evaluate::{
        objective::{
            ending::{Ending, hole},
            finding::Finding,
            judge::ratio,
            scope::Wanted,
        },
        windows::{Window, context::Context, grid::CELL_SECONDS},
    },
    k6::{queries, question::Asks},
    numbers::{
        confidence::Block,
        interval::{Interval, seconds},
    },
    plan::objective::ObjectivePlan,
    prometheus::{
        ask::{Answers, RequestKind},
        promql,
        series::{Coverage, Increase, Known, Labels, Series, gained_between, increase_of_all, sampled_every},
    },
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
    /// Which of their targets were scraped as it began.
    up: Option<usize>,
}

impl RatioProbe {
    pub fn ask(good: &str, total: &str, window: &Window, context: &Context, asks: &mut Asks) -> Self {
        let run = &context.settings.run_id;
        let scraped = ![good, total].iter().any(|selector| selector.starts_with("k6_"));
        let (good, total) = (queries::of_run(good, run), queries::of_run(total, run));
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
                let (of_good, of_total) = (raw(&good), raw(&total));
                let scraped: Vec<&str> =
                    [good.as_str(), &total].into_iter().filter(|one| !one.starts_with("k6_")).collect();
                let up = (!scraped.is_empty())
                    .then(|| asks.ask(promql::scraped_at_the_start(&scraped, reach, stretch.from, to), now));
                Read { stretch: *stretch, good: of_good, total: of_total, up }
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
        let finding = ratio::ratio(objective, scope, good, total);
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
            let since = read.scraped_since(answers)?;
            let every = sampled_every(series.iter().map(|(_, points)| points.as_slice())).unwrap_or(0.0);
            let known = series.iter().map(|one| (one.1.as_slice(), known(one, &since, every)));
            let (from, to) = (seconds(read.stretch.from), seconds(read.stretch.to));
            let one = increase_of_all(known, from, to, self.coverage);
            let so_far = all.unwrap_or_default();
            all = Some(Increase {
                events: so_far.events + one.events,
                perhaps: so_far.perhaps + one.perhaps,
                scrapes: so_far.scrapes + one.scrapes,
            });
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

/// What Prometheus scrapes: its job and instance.
type Target<'a> = (&'a str, &'a str);

impl Read {
    /// Since when each target is known to have been scraped: since a series of it had a sample, or since the stretch
    /// began, if it was up then.
    fn scraped_since<'a>(&self, answers: &'a Answers) -> Result<BTreeMap<Target<'a>, f64>, String> {
        let first = |(labels, points): &'a Series| Some((target(labels)?, points.first()?.0));
        let (good, total) = (answers.matrix(self.good)?, answers.matrix(self.total)?);
        let mut since = BTreeMap::new();
        for (target, at) in good.iter().chain(total).filter_map(first) {
            since.entry(target).and_modify(|since: &mut f64| *since = since.min(at)).or_insert(at);
        }
        // Without an answer nothing is known.
        let up = self.up.and_then(|up| answers.vector(up).ok()).unwrap_or_default();
        let from = seconds(self.stretch.from);
        for target in up.iter().filter(|(.., up)| *up == 1.0).filter_map(|(labels, ..)| target(labels)) {
            since.entry(target).and_modify(|since: &mut f64| *since = since.min(from)).or_insert(from);
        }
        Ok(since)
    }
}

/// A series without an instance was not scraped, or was added up: nobody knows from what.
fn target(labels: &Labels) -> Option<Target<'_>> {
    let instance = labels.get("instance").filter(|instance| !instance.is_empty())?;
    Some((labels.get("job").map_or("", String::as_str), instance))
}

/// A series comes from zero where its target had been scraped before, without it; and those of k6 begin with the run.
/// That a pod or a process is new shows nothing: an exporter's counters are as old as what it looks at.
fn known((labels, points): &Series, since: &BTreeMap<Target<'_>, f64>, every: f64) -> Known {
    if labels.get("__name__").is_some_and(|name| name.starts_with("k6_")) {
        return Known { from_zero: true, hole: f64::INFINITY };
    }
    let since = target(labels).and_then(|target| since.get(&target));
    let from_zero = since.zip(points.first()).is_some_and(|(since, (first, _))| since < first);
    Known { from_zero, hole: hole(every) }
}
