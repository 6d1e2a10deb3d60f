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
            scope::Scope,
        },
        windows::{
            Window,
            context::Context,
            grid::{CELL_SECONDS, Grid},
        },
    },
    k6::{queries, question::Asks},
    numbers::{
        confidence::Cell,
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
    kind: WindowKind,
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
        let named: Vec<&str> =
            [good.as_str(), &total].into_iter().filter(|one| !one.starts_with("k6_")).collect();
        let mut queries: Vec<String> = Vec::new();
        let mut read = |stretch: &Interval| {
            // The first scrape after the window closes it, so samples are read beyond its end as well.
            let to = stretch.to.saturating_add(AFTER).unwrap_or(stretch.to);
            let reach = stretch.length() + promql::LOOKBACK + AFTER.unsigned_abs();
            let reach = i64::try_from(reach.as_secs()).unwrap_or(i64::MAX);
            let now = RequestKind::Instant { at: to };
            let mut raw = |selector: &str| {
                let query = promql::raw(selector, reach, to);
                if !queries.contains(&query) {
                    queries.push(query.clone());
                }
                asks.ask(query, now)
            };
            let (good, total) = (raw(&good), raw(&total));
            let up = (!named.is_empty())
                .then(|| asks.ask(promql::scraped_at_the_start(&named, reach, stretch.from, to), now));
            Read { stretch: *stretch, good, total, up }
        };
        let reads = window.stretches().iter().map(&mut read).collect();
        let coverage = if window.kind == WindowKind::Steady { Coverage::Inside } else { Coverage::Whole };
        let ending = Ending::of(window, scraped);
        Self { query: queries.join("\n"), reads, coverage, kind: window.kind, scraped, ending }
    }

    pub fn judge(
        &self,
        objective: &ObjectivePlan,
        answers: &Answers,
        holes: &[Interval],
    ) -> Result<Finding, String> {
        let total = self.gains(answers, |read| read.total)?;
        let good = self.gains(answers, |read| read.good)?;
        let room = self.room_for_good(answers)?;
        let good = good.map(|good| Increase { scrapes: good.scrapes.max(room), ..good });
        let scope = Scope::of(self.kind, holes, || self.cells(answers))?;
        let finding = ratio::ratio(objective, scope, good, total);
        self.to_the_end(finding, answers, holes)
    }

    /// The finding, unless the counters stopped. One that nothing adds to is scraped all the same.
    fn to_the_end(&self, finding: Finding, answers: &Answers, holes: &[Interval]) -> Result<Finding, String> {
        let (mut last, mut every) = (Vec::new(), f64::INFINITY);
        for read in &self.reads {
            let series = answers.matrix(read.total)?;
            every = every.min(sampled(series).unwrap_or(f64::INFINITY));
            let times = series.iter().filter_map(|(_, points)| points.last()).map(|(at, _)| *at);
            last.push(times.filter(|at| *at > seconds(read.stretch.from)).max_by(f64::total_cmp));
        }
        let every = if every.is_finite() { every } else { 0.0 };
        Ok(self.ending.or_else(finding, &last, every, holes))
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
            let every = sampled(series).unwrap_or(0.0);
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

    /// How many scrapes of the good events there is room for in the stretches; any number where that cannot be told.
    /// Their series may be born late, or go with a pod, so that fewer of them say nothing: only that they come too rarely
    /// does.
    fn room_for_good(&self, answers: &Answers) -> Result<usize, String> {
        let mut room: Option<usize> = None;
        for read in self.reads.iter().filter(|_| self.scraped) {
            if let Some(every) = sampled(answers.matrix(read.good)?) {
                let scrapes = (read.stretch.length().as_secs_f64() / every).floor() as usize;
                room = Some(room.unwrap_or(0).saturating_add(scrapes).saturating_add(1));
            }
        }
        Ok(room.unwrap_or(usize::MAX))
    }

    /// What was counted in each 5 s of the stretches.
    fn cells(&self, answers: &Answers) -> Result<Vec<(Interval, Cell)>, String> {
        let mut cells = Vec::new();
        for read in &self.reads {
            let grid = Grid::new(read.stretch.from, read.stretch.length(), Duration::from_secs(CELL_SECONDS));
            let times: Vec<f64> = (0..=grid.len()).map(|n| seconds(grid.start(n))).collect();
            let of = |id: usize| -> Result<Vec<f64>, String> {
                let series = answers.matrix(id)?;
                Ok(gained_between(series.iter().map(|(_, points)| points.as_slice()), &times))
            };
            let gained = of(read.total)?.into_iter().zip(of(read.good)?).enumerate();
            cells.extend(gained.map(|(number, (total, good))| {
                (grid.cell(number), Cell { total, bad: (total - good).max(0.0) })
            }));
        }
        Ok(cells)
    }
}

/// Seconds between two samples of a series.
fn sampled(series: &[Series]) -> Option<f64> {
    sampled_every(series.iter().map(|(_, points)| points.as_slice()))
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
