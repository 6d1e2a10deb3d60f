//! Counts of requests by their outcome.

use crate::{k6::queries, prometheus::series::Labels};

/// Counts by k6's `expected_response`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcomes {
    pub answered: f64,
    pub failed: f64,
    /// Without the tag.
    pub untold: f64,
}

impl Outcomes {
    /// Reads the series of a sum by `expected_response`; `None` without any.
    #[must_use]
    pub fn of(series: &[(Labels, f64, f64)]) -> Option<Self> {
        let mut outcomes = Self::default();
        for (labels, _, value) in series {
            outcomes.add(labels, *value);
        }
        (!series.is_empty()).then_some(outcomes)
    }

    pub fn add(&mut self, labels: &Labels, value: f64) {
        match labels.get(queries::OUTCOME).map(String::as_str) {
            Some("true") => self.answered += value,
            Some("false") => self.failed += value,
            _ => self.untold += value,
        }
    }

    #[must_use]
    pub fn total(&self) -> f64 {
        self.answered + self.failed + self.untold
    }
}
