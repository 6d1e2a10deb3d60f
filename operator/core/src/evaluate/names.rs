//! How many request names a run has. k6 names a request by its URL where its script does not, so there may be any number
//! of them. The cells of a record tell them apart only where they are few.

use crate::{numbers::limit::count, prometheus::series::Value};

/// So many names are told apart.
pub const MOST_NAMES: u64 = 200;

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
        self.names > MOST_NAMES
    }
}

/// What to say of so many names, where they are too many.
#[must_use]
pub fn too_many(names: i64) -> Option<String> {
    u64::try_from(names).is_ok_and(|names| names > MOST_NAMES).then(|| {
        format!(
            "{} different request names: k6 names a request by its URL where the script does not, and each name has series \
             of its own in k6 and in Prometheus. Give requests of one kind the same name, as in http.get(url, {{tags: \
             {{name: 'Room'}}}}). The record tells no more than {MOST_NAMES} names apart, and counts these together",
            count(names)
        )
    })
}
