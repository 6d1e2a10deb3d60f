//! Answers to questions that a run did not ask, counted from its cells: as when another limit moves the end of a
//! window. They are right to the length of a cell.
//!
//! Cells tell how many of the run's HTTP requests there were and how long they took, by name, scenario and outcome.
//! Whatever else is asked, or tells apart what they do not, has no answer.

use std::collections::BTreeMap;

use crate::{
    k6::{
        queries::{HTTP_REQ_DURATION, HTTP_REQS, K6Series, NAME, OUTCOME, SCENARIO, Split},
        question::{About, Question, Request},
    },
    numbers::{interval::seconds, limit::count},
    prometheus::{
        ask::{Answer, RequestKind},
        histogram::{Bucket, Histogram},
        series::Labels,
    },
    record::cells::Cells,
};

/// Cells, added up from the start of the load.
#[derive(Debug)]
pub struct Recount<'a> {
    cells: &'a Cells,
    run_id: &'a str,
    series: Vec<(&'a Labels, Vec<(f64, Histogram)>)>,
}

/// Requests by the labels that are kept apart.
type Groups = BTreeMap<Labels, Histogram>;

impl<'a> Recount<'a> {
    #[must_use]
    pub fn of(cells: &'a Cells, run_id: &'a str) -> Self {
        let series = cells.series.iter().map(|series| {
            let mut sum = Histogram::default();
            let points = series.cells.iter().map(|(number, cell)| {
                let bucket = |(place, count): (&usize, &u64)| {
                    Some(Bucket { count: *count as f64, ..*cells.buckets.get(*place)? })
                };
                let mut buckets: Vec<Bucket> = cell.iter().filter_map(bucket).collect();
                buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
                let count = buckets.iter().map(|b| b.count).sum();
                let took = buckets.iter().map(|b| b.count * b.middle()).sum();
                sum = sum.plus(&Histogram { count, sum: took, buckets });
                (cells.end_of(*number), sum.clone())
            });
            (&series.labels, points.collect())
        });
        Self { cells, run_id, series: series.collect() }
    }

    /// The answer; `None` where cells cannot tell, and where they can for some names only, why not.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Option<Answer> {
        let Question::K6(metrics, about) = &request.question else { return None };
        let (About::Cumulative { of, by } | About::Increase { of, by, .. }) = about else { return None };
        if metrics.run_id != self.run_id || !tells(of, *by) {
            return None;
        }
        if let Some(why) = self.hides(of) {
            return Some(Answer::Failed(why));
        }
        let groups = |at: f64| match about {
            About::Increase { stretches, .. } => {
                let mut gained = Groups::new();
                for stretch in stretches {
                    let before = self.up_to(of, *by, seconds(stretch.from));
                    for (labels, end) in self.up_to(of, *by, seconds(stretch.to)) {
                        let gain = before.get(&labels).map(|before| end.since(before)).unwrap_or(end);
                        add(&mut gained, labels, &gain);
                    }
                }
                gained
            }
            _ => self.up_to(of, *by, at),
        };
        let mut courses: BTreeMap<Labels, Vec<(f64, Histogram)>> = BTreeMap::new();
        for at in request.kind.times() {
            for (labels, histogram) in groups(at) {
                courses.entry(labels).or_default().push((at, histogram));
            }
        }
        let counts = |points: Vec<(f64, Histogram)>| points.into_iter().map(|(at, h)| (at, h.count));
        Some(match request.kind {
            _ if of.metric == HTTP_REQ_DURATION => Answer::Histograms(courses.into_iter().collect()),
            RequestKind::Instant { .. } => {
                let all = courses.into_iter().flat_map(|(labels, points)| {
                    counts(points).map(move |(at, count)| (labels.clone(), at, count))
                });
                Answer::Vector(all.collect())
            }
            RequestKind::Range { .. } => {
                let all = courses.into_iter().map(|(labels, points)| (labels, counts(points).collect()));
                Answer::Matrix(all.collect())
            }
        })
    }

    /// All up to a time. One within a cell reads as the end of the cell before.
    fn up_to(&self, of: &K6Series, by: Split, at: f64) -> Groups {
        // Sums of milliseconds may be off by the last bit.
        let end = at + self.cells.step_milliseconds as f64 * 1e-6;
        let mut groups = Groups::new();
        for (labels, points) in self.series.iter().filter(|(labels, _)| is_of(of, labels)) {
            let Some((_, sum)) = points.iter().rev().find(|(at, _)| *at <= end) else { continue };
            let kept = by.labels().iter().filter_map(|label| labels.get_key_value(*label));
            add(&mut groups, kept.map(|(label, value)| (label.clone(), value.clone())).collect(), sum);
        }
        groups
    }

    /// Why requests of a name are not told from others.
    fn hides(&self, of: &K6Series) -> Option<String> {
        let (names, name) = (self.cells.folded?, of.samples.tags.get(NAME)?);
        let names = count(i64::try_from(names).unwrap_or(i64::MAX));
        Some(format!(
            "the run did not ask it, and its record does not tell {name} from other request names: there were {names}"
        ))
    }
}

fn tells(of: &K6Series, by: Split) -> bool {
    [HTTP_REQS, HTTP_REQ_DURATION].contains(&of.metric)
        && of.samples.tags.keys().all(|tag| [NAME, OUTCOME].contains(&tag.as_str()))
        && by.labels().iter().all(|label| [SCENARIO, OUTCOME].contains(label))
}

fn is_of(series: &K6Series, labels: &Labels) -> bool {
    let is = |label: &str, value: &str| labels.get(label).map_or("", String::as_str) == value;
    series.samples.tags.iter().all(|(tag, value)| is(tag, value))
        && series.samples.scenario.as_ref().is_none_or(|scenario| is(SCENARIO, scenario))
        && (!series.answered || is(OUTCOME, "true"))
}

fn add(groups: &mut Groups, labels: Labels, more: &Histogram) {
    let sum = groups.entry(labels).or_default();
    *sum = sum.plus(more);
}

#[cfg(test)]
mod tests;
