//! A record that the API server refuses as invalid: what to say of it, and when to try again.
//!
//! It happens when the operator is newer than the installed CRDs, which do not know a value that it writes. As nothing
//! is done that is not recorded, the run waits; once the CRDs are applied it goes on by itself.

use std::time::Duration;

/// What to do about it.
pub const ADVICE: &str = "apply the CRDs of this operator's version: kubectl apply --server-side -f \
                          charts/loadtest-operator/crds/";

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Refusal {
    /// The first field that is wrong, as in `status.phase`.
    pub field: String,
    pub why: String,
}

impl Refusal {
    /// `None` for all errors that say nothing about what was sent.
    pub fn of(error: &kube::Error) -> Option<Self> {
        let kube::Error::Api(status) = error else { return None };
        if status.code != 422 {
            return None;
        }
        // A cause without a field says only that rules were not checked, as the object is wrong anyway.
        let named = |field: &str| !field.is_empty() && field != "<nil>";
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let refusal = match causes.into_iter().find(|cause| named(&cause.field)) {
            Some(cause) => Self { field: cause.field.clone(), why: cause.message.clone() },
            None => Self { field: "status".to_owned(), why: status.message.clone() },
        };
        Some(refusal)
    }
}

/// How long to wait between tries: longer each time, up to an end.
#[derive(Debug)]
pub struct Pauses(Duration);

impl Pauses {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(10);

    pub fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn answer(code: u16, causes: Value) -> kube::Error {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "Invalid",
            "message": "LoadTest.loadtest.dev \"chat\" is invalid", "details": {"causes": causes},
        });
        kube::Error::Api(serde_json::from_value::<Status>(status).unwrap().boxed())
    }

    #[rstest]
    #[case::an_unknown_value(
        422,
        json!([
            {"reason": "FieldValueNotSupported", "field": "status.phase",
             "message": "Unsupported value: \"Resting\": supported values: \"Pending\", \"Preparing\""},
            {"reason": "FieldValueRequired", "field": "status.observedGeneration", "message": "Required value"},
        ]),
        Some("status.phase: Unsupported value: \"Resting\": supported values: \"Pending\", \"Preparing\"")
    )]
    #[case::rules_that_were_not_checked(
        422,
        json!([
            {"field": "<nil>", "message": "Invalid value: \"null\": some validation rules were not checked"},
            {"field": "status.verdict", "message": "Unsupported value: \"Perhaps\""},
        ]),
        Some("status.verdict: Unsupported value: \"Perhaps\"")
    )]
    #[case::no_cause(422, json!([]), Some("status: LoadTest.loadtest.dev \"chat\" is invalid"))]
    #[case::a_conflict(409, json!([]), None)]
    #[case::busy(429, json!([]), None)]
    #[case::broken(500, json!([]), None)]
    fn what_is_refused(#[case] code: u16, #[case] causes: Value, #[case] expected: Option<&str>) {
        let refusal = Refusal::of(&answer(code, causes)).map(|refusal| refusal.to_string());
        assert_eq!(refusal.as_deref(), expected);
    }

    #[test]
    fn pauses_grow_up_to_an_end() {
        let mut pauses = Pauses::default();
        let all: Vec<u128> = (0..8).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(all, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    }
}
