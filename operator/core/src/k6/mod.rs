//! What k6 says of a script and of a run: the output of `k6 inspect`, the status of its REST API, and its log.

pub mod inspect;
pub mod log;
pub mod metrics;
pub mod outcomes;
pub mod promql;
pub mod queries;
pub mod question;
pub mod store;

/// `k6 run` and the REST API speak of the state of an execution in these numbers (k6, `lib/execution.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutionStatus(pub u32);

impl ExecutionStatus {
    /// Initialised, and waiting to be resumed.
    pub const PAUSED_BEFORE_RUN: Self = Self(4);
    /// Through; the later ones are ends too.
    pub const ENDED: Self = Self(9);
    /// Through, and the script had called `exec.test.fail()`, which ends nothing.
    pub const MARKED_AS_FAILED: Self = Self(11);

    #[must_use]
    pub fn has_ended(self) -> bool {
        self >= Self::ENDED
    }

    /// From inside, before its load was through: by `test.abort()` or a threshold with `abortOnFail`.
    #[must_use]
    pub fn was_interrupted(self) -> bool {
        self > Self::ENDED && self != Self::MARKED_AS_FAILED
    }
}

/// The REST API's `/v1/status`, as far as we read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerStatus {
    pub status: ExecutionStatus,
    pub paused: bool,
    pub vus: i64,
}
