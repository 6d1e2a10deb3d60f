//! Which request names the cells tell apart. k6 names a request by its URL where its script does not, so there may be
//! any number of names. Those that objectives ask for and the most frequent have series of their own; the others are
//! counted together, by Prometheus, so that nobody here ever reads them.

use std::collections::BTreeSet;

use loadtest_crds::LoadTestStatus;

use crate::{
    k6::queries::NAME,
    numbers::limit::count,
    plan::Plan,
    prometheus::series::{Labels, Value},
};

/// So many names have series of their own.
pub const MOST_NAMES: usize = 200;
/// They are part of a query, and together they are no longer.
const MOST_BYTES: usize = 16 << 10;
/// The name that all others go by.
pub const OTHER_NAMES: &str = "(other names)";

/// What Prometheus has of a run's requests: the answer to [`About::RequestNames`](crate::k6::question::About::RequestNames).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub(crate) names: u64,
    /// Of all runners, statuses and so on.
    pub(crate) series: u64,
}

impl Counted {
    /// `None` where there was no request.
    #[must_use]
    pub fn of(values: &[Value]) -> Option<Self> {
        let of = |labelled: bool| {
            let value = values.iter().find(|(labels, ..)| labels.is_empty() != labelled);
            value.map(|(.., count)| *count).filter(|count| *count >= 1.0).map(|count| count as u64)
        };
        Some(Self { names: of(false)?, series: of(true)? })
    }

    /// How many names there are.
    #[must_use]
    pub fn names(self) -> i64 {
        i64::try_from(self.names).unwrap_or(i64::MAX)
    }

    #[must_use]
    pub(crate) fn are_too_many(self) -> bool {
        usize::try_from(self.names).is_ok_and(|names| names > MOST_NAMES)
    }
}

/// What to say of so many names, where they are too many.
#[must_use]
pub fn too_many(names: i64) -> Option<String> {
    usize::try_from(names).is_ok_and(|names| names > MOST_NAMES).then(|| {
        format!(
            "{} different request names: k6 names a request by its URL where the script does not, and each name has series \
             of its own in k6 and in Prometheus. Give requests of one kind the same name, as in http.get(url, {{tags: \
             {{name: 'Room'}}}}). The record tells {MOST_NAMES} of them apart, those of objectives and the most frequent, \
             and counts the others together",
            count(names)
        )
    })
}

/// The names that objectives and thresholds ask for, and with them the limits of faults.
#[must_use]
pub fn wanted(plan: &Plan, status: &LoadTestStatus) -> Vec<String> {
    let objectives = plan.judged(status);
    let samples = objectives.iter().filter_map(|objective| objective.figure.samples());
    samples.filter_map(|samples| samples.tags.get(NAME).cloned()).collect()
}

/// The names that get series of their own: those that are wanted, and of the most frequent ones as many as there is
/// room for.
pub(crate) fn kept(wanted: &[String], most: &[Value]) -> BTreeSet<String> {
    let name = |labels: &Labels| labels.get(NAME).cloned().unwrap_or_default();
    let mut most: Vec<(String, f64)> =
        most.iter().map(|(labels, _, requests)| (name(labels), *requests)).collect();
    most.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut kept = BTreeSet::new();
    let mut bytes = 0;
    for name in wanted.iter().cloned().chain(most.into_iter().map(|(name, _)| name)) {
        let room = kept.len() < MOST_NAMES && bytes + name.len() <= MOST_BYTES;
        if room && name != OTHER_NAMES && !kept.contains(&name) {
            bytes += name.len();
            kept.insert(name);
        }
    }
    kept
}
