//! Counts of requests by their outcome, and of the samples of a Rate.

use crate::{k6::queries, prometheus::series::Labels};

/// Counts by k6's `expected_response`, or by whether the samples of a Rate were true.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcomes {
    pub answered: f64,
    pub failed: f64,
    /// Without the tag.
    pub untold: f64,
}

impl Outcomes {
    /// Reads the series of a sum by either; `None` without any.
    #[must_use]
    pub fn of(series: &[(Labels, f64, f64)]) -> Option<Self> {
        let mut outcomes = Self::default();
        for (labels, _, value) in series {
            outcomes.add(labels, *value);
        }
        (!series.is_empty()).then_some(outcomes)
    }

    pub fn add(&mut self, labels: &Labels, value: f64) {
        match labels.get(queries::OUTCOME).or_else(|| labels.get(queries::CONDITION)).map(String::as_str) {
            Some("true" | "nonzero") => self.answered += value,
            Some("false" | "zero") => self.failed += value,
            _ => self.untold += value,
        }
    }

    #[must_use]
    pub fn total(&self) -> f64 {
        self.answered + self.failed + self.untold
    }
}
