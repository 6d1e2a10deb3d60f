//! What is broken while the load runs, and how fast the system must be back.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    pods::Pods,
    schema::{NAME, NAME_MESSAGE},
    text::{DurationText, LimitText},
};

/// One fault, injected once, at its time. Times count from the measured start of the load.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.podKill)").message("say what the fault does, as in podKill: {}"))]
pub struct Fault {
    /// Name of the fault, unique in the run, as in `kill-dbman`.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new(NAME).message(NAME_MESSAGE))]
    pub name: String,

    /// When, after the measured start of the load, as in `30s` or `3m`.
    pub at: DurationText,

    /// Which pods.
    pub target: Target,

    /// Deletes the picked pods. Their controller replaces them, as after the loss of a node or an eviction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_kill: Option<PodKill>,

    /// How fast the system must recover from this fault. Without it the recovery is measured up to the
    /// replacement of the pods and not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryLimit>,

    /// How much harm the fault may do, from its injection until the system is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// The harm that one injection may do to each of the named objectives, counted in their requests. At least one of
/// badRequests, downtime and worstSecond.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.badRequests) || has(self.downtime) || has(self.worstSecond)").message("a budget has a limit: write badRequests, downtime or worstSecond"))]
pub struct Budget {
    /// Names of the objectives whose bad requests count, as in `[save-success]`. Client-side ones (k6) only.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub of: Vec<String>,

    /// At most so many requests that failed or were slower than the objective's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub bad_requests: Option<i64>,

    /// At most so much downtime: the good requests that are missing against the 60 s before the fault, divided
    /// by the median of a second there. A second without any good request is 1s; one with half of them is 500ms.
    /// Measured to one push of k6 on either side: at least a second and a push, 2s where k6 pushes every second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<DurationText>,

    /// At most this share of bad requests in the worst second, as in `50%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^(100([.]0*)?|[0-9]{1,2}([.][0-9]+)?)%$')").message("write a share from 0% to 100%, as in 50%"))]
    pub worst_second: Option<LimitText>,
}

/// The pods of a fault. The choice among those that match is random with the run's seed, and recorded.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    #[serde(flatten)]
    pub pods: Pods,

    /// How many of the matching ready pods: exactly one of count, percent or all. Default: count 1.
    #[serde(default)]
    pub pick: Pick,

    /// Allow a fault that leaves no ready pod behind the selector. Default false: such a fault is refused. Pods that
    /// other faults take at the time, also those of other LoadTests, count as gone.
    #[serde(default)]
    pub allow_no_ready: bool,
}

/// How many of the matching pods a fault takes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.count), has(self.percent), has(self.all)].filter(x, x).size() == 1").message("write exactly one of count, percent or all"))]
pub struct Pick {
    /// This many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub count: Option<i32>,
    /// This share of the pods, in percent, rounded down, but at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
    /// `true`: every matching pod, at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("all takes true: leave it out, and write count or percent"))]
    pub all: Option<bool>,
}

impl Default for Pick {
    fn default() -> Self {
        Self { count: Some(1), percent: None, all: None }
    }
}

/// How the pods are deleted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodKill {
    /// Seconds that the pods get to end by themselves. Default 0: the endpoint is gone at once, while the
    /// process gets SIGTERM and lives up to 2 s more, the kubelet's minimum.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub grace_period_seconds: i64,
}

/// What counts as recovered, and until when.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryLimit {
    /// Names of objectives that must be back within their limits. Client-side ones (k6) only.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub of: Vec<String>,

    /// The longest time from the injection to the recovery, as in `5m`. At least a second and a push of k6; the
    /// load must last until `at`, `within` and `hold` are over.
    #[x_kube(validation = Rule::new("!self.matches('^[0.]+[a-z]+$')").message("nothing recovers in no time: write how long it may take, as in 5m"))]
    pub within: DurationText,

    /// For how long the objectives must stay within their limits to count as recovered. Default 10s; less than
    /// 5s is measured as 5s.
    #[serde(default = "default_hold")]
    pub hold: DurationText,

    /// Name of a Prometheus alert that should notice the fault. The time until it first fires is measured, not
    /// judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z_][a-zA-Z0-9_]*$')").message("write the alert's name as its rule has it, as in DbmanDown"))]
    pub alert: Option<String>,
}

fn default_hold() -> DurationText {
    "10s".into()
}
