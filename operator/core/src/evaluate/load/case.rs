//! Everything that is known of a load, and the words for it.

use std::time::Duration;

use loadtest_crds::{Expectation, LoadTestStatus, Shortfall, ShortfallCause};

use crate::evaluate::load::{cells::Cell, parts::Parts};

/// Less than this share of the load may be missing: the least that the usual objectives (p99, an error share of 1%)
/// can tell from none.
pub(crate) const MISSING: f64 = 0.01;

/// Of the virtual users more may be missing: k6 reports them once a second only.
pub(crate) const MISSING_VUS: f64 = 0.1;

/// What is not in a status: sums over the whole run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub requests: Option<i64>,
    pub iterations: Option<i64>,
    pub dropped: Option<i64>,
}

/// Everything that is known of a load.
pub(crate) struct Case<'a> {
    pub(crate) status: &'a LoadTestStatus,
    pub(crate) expect: Option<&'a Expectation>,
    pub(crate) totals: Totals,
    pub(crate) parts: Parts,
    pub(crate) steady_rate: Option<f64>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) step: Duration,
    /// The shortest cells, around the end of constant load; none where all are.
    pub(crate) end: Vec<Cell>,
}

pub(crate) fn because(cause: ShortfallCause, message: String) -> Shortfall {
    Shortfall { cause, message }
}

pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{} ms", shown(seconds * 1000.0))
}

/// With one digit behind the point below 100.
pub(crate) fn shown(number: f64) -> String {
    if number.abs() < 100.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}
