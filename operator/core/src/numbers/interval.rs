//! Stretches of time, and times as Prometheus counts them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A stretch of time, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Interval {
    /// The interval between two times, unless it is empty.
    #[must_use]
    pub fn new(from: Timestamp, to: Timestamp) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::try_from(self.to.duration_since(self.from)).unwrap_or_default()
    }

    #[must_use]
    pub fn overlaps(&self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// What is left of it without `hole`.
    pub(crate) fn without(self, hole: Self) -> impl Iterator<Item = Self> {
        let before = Self::new(self.from, self.to.min(hole.from));
        let after = Self::new(self.from.max(hole.to), self.to);
        before.into_iter().chain(after)
    }
}

/// Seconds since the epoch.
#[must_use]
pub fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
