//! A write that the API server refuses and will refuse again as it is: what to say of it, and when to try again.
//!
//! As nothing is done that is not recorded, the run waits; once the cause is gone it goes on by itself. Load that is to
//! end ends all the same: `machine::unrecorded`.

use std::time::Duration;

use kube::core::Status;

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Refusal {
    pub cause: Cause,
    /// The first field that is wrong, as in `status.phase`, or what else is.
    pub field: String,
    pub why: String,
}

/// What is not tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// `None` where it was not taken in time.
    pub cause: Option<Cause>,
    /// In the API server's words.
    pub why: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The operator is newer than the installed CRDs, which do not know a value that it writes.
    Invalid,
    /// The whole object is larger than etcd or the API server take.
    TooLarge,
    /// A right is missing, or a webhook says no.
    Forbidden,
    /// The API server does not understand it.
    Unwanted,
}

impl Cause {
    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Invalid => {
                "apply the CRDs of this operator's version: kubectl apply --server-side -f \
                 charts/loadtest-operator/crds/"
            }
            Self::TooLarge => {
                "the object is larger than etcd takes: write less into its labels and annotations; scripts and long \
                 values go into ConfigMaps"
            }
            Self::Forbidden => {
                "give the operator the rights that its chart gives it, and look at the admission webhooks: kubectl get \
                 validatingwebhookconfigurations"
            }
            Self::Unwanted => {
                "look at the log of the API server, and at what stands between it and the operator"
            }
        }
    }
}

impl Refusal {
    /// `None` for all errors that say nothing about what was sent, and for conflicts.
    pub fn of(error: &kube::Error) -> Option<Self> {
        let kube::Error::Api(status) = error else { return None };
        let said = |cause, field: &str| Self { cause, field: field.to_owned(), why: status.message.clone() };
        match status.code {
            _ if is_too_large(status) => Some(said(Cause::TooLarge, "size")),
            422 => Some(Self::invalid(status)),
            403 => Some(said(Cause::Forbidden, "rights")),
            400 | 405 | 406 | 415 => Some(said(Cause::Unwanted, "request")),
            _ => None,
        }
    }

    fn invalid(status: &Status) -> Self {
        // A cause without a field says only that rules were not checked, as the object is wrong anyway.
        let named = |field: &str| !field.is_empty() && field != "<nil>";
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let (field, why) = match causes.into_iter().find(|cause| named(&cause.field)) {
            Some(cause) => (cause.field.clone(), cause.message.clone()),
            None => ("status".to_owned(), status.message.clone()),
        };
        Self { cause: Cause::Invalid, field, why }
    }
}

/// The API server has a code for what is too large for itself; what is too large for etcd comes back as an internal
/// error with etcd's words, or with those of the connection to it.
fn is_too_large(status: &Status) -> bool {
    let words = ["request is too large", "request entity too large", "message larger than max"];
    let message = status.message.to_lowercase();
    status.code == 413 || status.code >= 400 && words.iter().any(|words| message.contains(words))
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

    fn answer(code: u16, message: &str, causes: Value) -> kube::Error {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "",
            "message": message, "details": {"causes": causes},
        });
        kube::Error::Api(serde_json::from_value::<Status>(status).unwrap().boxed())
    }

    #[rstest]
    #[case::an_unknown_value(
        json!([
            {"reason": "FieldValueNotSupported", "field": "status.phase",
             "message": "Unsupported value: \"Resting\": supported values: \"Pending\", \"Preparing\""},
            {"reason": "FieldValueRequired", "field": "status.observedGeneration", "message": "Required value"},
        ]),
        "status.phase: Unsupported value: \"Resting\": supported values: \"Pending\", \"Preparing\""
    )]
    #[case::rules_that_were_not_checked(
        json!([
            {"field": "<nil>", "message": "Invalid value: \"null\": some validation rules were not checked"},
            {"field": "status.verdict", "message": "Unsupported value: \"Perhaps\""},
        ]),
        "status.verdict: Unsupported value: \"Perhaps\""
    )]
    #[case::no_cause(json!([]), "status: LoadTest.loadtest.dev \"chat\" is invalid")]
    fn what_is_invalid_names_its_field(#[case] causes: Value, #[case] expected: &str) {
        let refusal = Refusal::of(&answer(422, "LoadTest.loadtest.dev \"chat\" is invalid", causes)).unwrap();
        assert_eq!((refusal.cause, refusal.to_string().as_str()), (Cause::Invalid, expected));
    }

    #[rstest]
    #[case::for_etcd(500, "etcdserver: request is too large", Some(Cause::TooLarge))]
    #[case::for_the_way_to_etcd(
        500,
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097400 vs. 2097152)",
        Some(Cause::TooLarge)
    )]
    #[case::for_the_api_server(413, "Request entity too large: limit is 3145728", Some(Cause::TooLarge))]
    #[case::for_a_proxy(413, "", Some(Cause::TooLarge))]
    #[case::a_right_is_missing(403, "loadtests.loadtest.dev \"chat\" is forbidden", Some(Cause::Forbidden))]
    #[case::a_webhook(400, "admission webhook \"x\" denied the request", Some(Cause::Unwanted))]
    #[case::a_conflict(409, "the object has been modified", None)]
    #[case::gone(404, "not found", None)]
    #[case::an_old_token(401, "Unauthorized", None)]
    #[case::busy(429, "too many requests", None)]
    #[case::broken(500, "etcdserver: leader changed", None)]
    #[case::away(503, "", None)]
    #[case::late(504, "request did not complete within the allotted timeout", None)]
    fn what_will_never_be_taken(#[case] code: u16, #[case] message: &str, #[case] expected: Option<Cause>) {
        let refusal = Refusal::of(&answer(code, message, json!([])));
        assert_eq!(refusal.map(|refusal| refusal.cause), expected);
    }

    #[test]
    fn pauses_grow_up_to_an_end() {
        let mut pauses = Pauses::default();
        let all: Vec<u128> = (0..8).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(all, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    }
}
