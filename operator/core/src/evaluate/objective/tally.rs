//! What became of the requests of a window.

use crate::{
    numbers::confidence::Count,
    prometheus::histogram::{Grain, Histogram},
};

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
        Some(self.took.quantile(self.of_measured(percentile))? * self.seconds_per_unit)
    }

    /// How finely that is known, in seconds.
    #[must_use]
    pub fn grain(&self, percentile: f64) -> Option<Grain> {
        let Grain { bucket, mean } = self.took.grain(self.of_measured(percentile))?;
        let unit = self.seconds_per_unit;
        Some(Grain { bucket: bucket.map(|(above, up_to)| (above * unit, up_to * unit)), mean: mean * unit })
    }

    /// The share of the measured requests that is this percentile of all.
    fn of_measured(&self, percentile: f64) -> f64 {
        let share = percentile / 100.0 * self.total / self.took.count;
        if share <= 1.0 + 1e-9 { share.min(1.0) } else { share }
    }
}
