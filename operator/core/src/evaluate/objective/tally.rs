//! What became of the requests of a window.

use crate::{numbers::confidence::Count, prometheus::histogram::Histogram};

/// What became of the requests of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    pub total: f64,
    pub bad: Count,
    /// How long those took that were answered.
    pub took: Histogram,
    pub seconds_per_unit: f64,
}

impl Tally {
    /// The percentile of all requests, in seconds, the failed ones counted as the slowest; `None` where it falls among
    /// those.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<f64> {
        let share = percentile / 100.0 * self.total / self.took.count;
        let share = if share <= 1.0 + 1e-9 { share.min(1.0) } else { share };
        Some(self.took.quantile(share)? * self.seconds_per_unit)
    }
}
