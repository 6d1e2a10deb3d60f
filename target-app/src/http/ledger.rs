//! An account of every finished request that owes nothing to the metrics, for tests that compare the two: counts by
//! route and outcome, in buckets of 100 ms of wall-clock time, for the last hour of activity.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

const BUCKET_MS: u64 = 100;
/// An hour in which every bucket has requests.
const MAX_BUCKETS: usize = 36_000;
/// Names come from clients: past this many in one bucket they count as one.
const MAX_KEYS_PER_BUCKET: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Answered with a status below 400.
    Ok,
    /// Answered with 400 or more.
    Failed,
    /// The client went away before the answer.
    Aborted,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct Key {
    pub method: String,
    /// The pattern, for example `/api/v1/rooms/{id}/messages`.
    pub route: String,
    /// What the client calls this request in the header `X-Request-Name`; empty without one.
    pub name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    pub ok: u64,
    pub failed: u64,
    pub aborted: u64,
}

#[derive(Clone)]
pub struct Ledger {
    started_ms: u64,
    buckets: Arc<Mutex<BTreeMap<u64, HashMap<Key, Counts>>>>,
}

#[derive(Deserialize)]
struct Range {
    from: u64,
    to: u64,
}

#[derive(Debug, Serialize)]
struct Statement {
    /// What was asked, widened to whole buckets: from ≤ time of completion < to, in Unix milliseconds.
    from: u64,
    to: u64,
    bucket_ms: u64,
    /// Since when this process counts. What an earlier one has counted is gone.
    started_ms: u64,
    /// Start of the oldest bucket that is still kept.
    oldest_ms: Option<u64>,
    routes: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    counts: Counts,
}

impl Ledger {
    pub fn new() -> Self {
        Self { started_ms: now_ms(), buckets: Default::default() }
    }

    pub fn record(&self, key: Key, outcome: Outcome) {
        self.record_at(now_ms(), key, outcome);
    }

    fn record_at(&self, at_ms: u64, mut key: Key, outcome: Outcome) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(at_ms / BUCKET_MS).or_default();
        if bucket.len() >= MAX_KEYS_PER_BUCKET && !bucket.contains_key(&key) {
            key.name = "(others)".to_owned();
        }
        let counts = bucket.entry(key).or_default();
        match outcome {
            Outcome::Ok => counts.ok += 1,
            Outcome::Failed => counts.failed += 1,
            Outcome::Aborted => counts.aborted += 1,
        }
        while buckets.len() > MAX_BUCKETS {
            buckets.pop_first();
        }
    }

    fn statement(&self, range: &Range) -> Statement {
        let first = range.from / BUCKET_MS;
        let end = range.to.div_ceil(BUCKET_MS).max(first);
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums: HashMap<&Key, Counts> = HashMap::new();
        for (key, counts) in buckets.range(first..end).flat_map(|(_, bucket)| bucket) {
            let sum = sums.entry(key).or_default();
            sum.ok += counts.ok;
            sum.failed += counts.failed;
            sum.aborted += counts.aborted;
        }
        let mut routes: Vec<Line> =
            sums.into_iter().map(|(key, counts)| Line { key: key.clone(), counts }).collect();
        routes.sort_by(|a, b| {
            (&a.key.route, &a.key.method, &a.key.name).cmp(&(&b.key.route, &b.key.method, &b.key.name))
        });
        Statement {
            from: first * BUCKET_MS,
            to: end.saturating_mul(BUCKET_MS),
            bucket_ms: BUCKET_MS,
            started_ms: self.started_ms,
            oldest_ms: buckets.keys().next().map(|bucket| bucket * BUCKET_MS),
            routes,
        }
    }

    /// `GET /debug/ledger?from=&to=`, both in Unix milliseconds.
    pub fn router(&self) -> Router {
        Router::new().route("/debug/ledger", get(show)).with_state(self.clone())
    }
}

async fn show(State(ledger): State<Ledger>, Query(range): Query<Range>) -> Json<Statement> {
    Json(ledger.statement(&range))
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { method: "POST".into(), route: "/r".into(), name: name.into() }
    }

    fn counts(ledger: &Ledger, from: u64, to: u64) -> Vec<(String, Counts)> {
        let statement = ledger.statement(&Range { from, to });
        statement.routes.into_iter().map(|line| (line.key.name, line.counts)).collect()
    }

    #[test]
    fn counts_by_outcome_within_the_range() {
        let ledger = Ledger::new();
        for (at, outcome) in [
            (999, Outcome::Ok),
            (1000, Outcome::Ok),
            (1050, Outcome::Failed),
            (1199, Outcome::Ok),
            (1250, Outcome::Aborted),
            (1300, Outcome::Ok),
        ] {
            ledger.record_at(at, key("a"), outcome);
        }
        assert_eq!(counts(&ledger, 1000, 1300), [("a".into(), Counts { ok: 2, failed: 1, aborted: 1 })]);
        assert_eq!(counts(&ledger, 1000, 1000), []);
        assert_eq!(counts(&ledger, 1300, 1000), []);
    }

    #[test]
    fn a_range_is_widened_to_whole_buckets() {
        let ledger = Ledger::new();
        ledger.record_at(1010, key("a"), Outcome::Ok);
        let statement = ledger.statement(&Range { from: 1050, to: 1060 });
        assert_eq!((statement.from, statement.to), (1000, 1100));
        assert_eq!(statement.routes.len(), 1);
    }

    #[test]
    fn keeps_a_bounded_number_of_buckets_and_names() {
        let ledger = Ledger::new();
        for i in 0..MAX_BUCKETS as u64 + 10 {
            ledger.record_at(i * BUCKET_MS, key("a"), Outcome::Ok);
        }
        let statement = ledger.statement(&Range { from: 0, to: u64::MAX });
        assert_eq!(statement.oldest_ms, Some(10 * BUCKET_MS));
        assert_eq!(statement.routes[0].counts.ok, MAX_BUCKETS as u64);

        let ledger = Ledger::new();
        for i in 0..MAX_KEYS_PER_BUCKET + 5 {
            ledger.record_at(0, key(&format!("name-{i}")), Outcome::Ok);
        }
        let lines = counts(&ledger, 0, 1);
        assert_eq!(lines.len(), MAX_KEYS_PER_BUCKET + 1);
        assert!(lines.contains(&("(others)".into(), Counts { ok: 5, ..Default::default() })));
    }
}
