//! The system under test: what of it is watched while the load runs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    pods::Pods,
    schema::{NAME, NAME_MESSAGE},
    text::{DurationText, LimitText},
};

/// Pods of the system under test, watched with the rights of the service account from the start of the load to
/// its end. A restart, an out-of-memory kill, an eviction or a deletion that no fault explains makes the run a
/// Warn, a rollout makes it Inconclusive, and scaling is listed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// Name of this part of the system, as in `dbman`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(NAME).message(NAME_MESSAGE))]
    pub name: String,

    #[serde(flatten)]
    pub pods: Pods,

    /// A restart of a container that no fault explains fails the run. Default false: it makes the run a Warn.
    #[serde(default)]
    pub assert_no_restarts: bool,

    /// A container killed for lack of memory, with no fault to explain it, fails the run. Default false: it makes
    /// the run a Warn.
    #[serde(default, rename = "assertNoOOM")]
    pub assert_no_oom: bool,

    /// How many ready pods the load must bring about, and how soon. Otherwise the run fails; where as many are
    /// ready from the start, nothing is shown, and it is Inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// A scaling that the load must bring about.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// This many ready pods.
    #[schemars(range(min = 1, max = 5000))]
    pub reaches: i32,
    /// So soon after the start of the load, as in `2m`.
    pub within: DurationText,
}

/// What the load itself must be, for the run to say anything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// At least this many HTTP requests in the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub min_requests: Option<i64>,
    /// At least this many HTTP requests a second in steady load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_rate: Option<i64>,
}

/// Compares with earlier runs of the series.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// The last so many passing runs with the same load. With fewer than 5 a change is shown and not judged.
    /// Default 5.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 50))]
    pub runs: i32,
    /// A figure that is worse than the median of those runs by more than this share, and by more than their own
    /// scatter (3 × 1.4826 × MAD), makes the run a Warn. Default 10%.
    #[serde(default = "ten_percent")]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,3}([.][0-9]+)?%$')").message("write a share, as in 10%"))]
    pub max_regression: LimitText,
}

fn five() -> i32 {
    5
}

fn ten_percent() -> LimitText {
    "10%".into()
}
