//! Which store a query is asked of: what k6 counts is in the load store, all else in the Prometheus that the LoadTest
//! names.

use crate::{
    k6::{queries::PREFIX, question::Question},
    prometheus::expression,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Where the runners write.
    Load,
    /// Where the system under test is known.
    System,
}

/// A query that reads series of both stores, and so can be asked of neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the query reads k6's series and others, which are in different stores: write two objectives, or count in the system \
     what it did of the load"
)]
pub struct ReadsBoth;

impl Question {
    /// The store that has its answer.
    ///
    /// # Errors
    /// Where one would not do.
    pub fn store(&self) -> Result<Store, ReadsBoth> {
        match self {
            Self::K6(..) => Ok(Store::Load),
            Self::AlertRules(_) => Ok(Store::System),
            Self::Promql(query) => store_of(query),
        }
    }
}

/// The store of what a query reads.
///
/// # Errors
/// Where one would not do.
pub fn store_of(query: &str) -> Result<Store, ReadsBoth> {
    let selectors = expression::selectors(query);
    let of_k6 = |name: &Option<String>| name.as_deref().is_some_and(|name| name.starts_with(PREFIX));
    let (k6, all) = (selectors.iter().filter(|s| of_k6(&s.name)).count(), selectors.len());
    match k6 {
        0 => Ok(Store::System),
        k6 if k6 == all => Ok(Store::Load),
        _ => Err(ReadsBoth),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sum(rate(k6_http_reqs_total[10s]))", Ok(Store::Load))]
    #[case("sum(k6_vus) / sum(k6_vus_max)", Ok(Store::Load))]
    #[case("max(up)", Ok(Store::System))]
    #[case("{job=\"k6_a\"}", Ok(Store::System))]
    #[case("time() - 3", Ok(Store::System))]
    #[case("sum(rate(persisted_total[10s])) / sum(rate(k6_http_reqs_total[10s]))", Err(ReadsBoth))]
    fn each_query_has_one_store(#[case] query: &str, #[case] expected: Result<Store, ReadsBoth>) {
        assert_eq!(store_of(query), expected);
    }
}
