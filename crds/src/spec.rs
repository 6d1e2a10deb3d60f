//! The `LoadTest` object: one run.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    guardrail::Guardrail,
    objective::{NoDataPolicy, Objective, TooFewPolicy},
    scenario::{Runner, Scenario},
    schema::{NAME, OBJECT, corrected, with_names},
    status::LoadTestStatus,
    system::{Baseline, Expectation, Watched},
};

/// What to run, what to break, and what must hold. A LoadTest is one run, as a Job is: it starts when it is
/// created, and only spec.stop may change afterwards. To run again, make a sibling: `kubectl loadtest rerun NAME`.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "loadtest.dev",
    version = "v1alpha1",
    kind = "LoadTest",
    plural = "loadtests",
    shortname = "lt",
    category = "loadtest",
    namespaced,
    status = "LoadTestStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A load test with faults and a verdict: starts k6 runner pods together, injects faults while the load runs, asks Prometheus whether each objective held, and writes the verdict with its grounds into the status. One object is one run.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("the name becomes a label of the runner pods: use at most 63 characters"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Load", type_ = "string", json_path = ".status.display.load", description = "Virtual users asked for, and requests a second delivered"),
    printcolumn(name = "Worst", type_ = "string", json_path = ".status.display.worst", description = "The objective closest to or furthest beyond its limit"),
    printcolumn(name = "Faults", type_ = "string", json_path = ".status.display.faults", description = "Faults injected of those planned, and how many of them left pods that were not replaced"),
    printcolumn(name = "Recovery", type_ = "string", json_path = ".status.display.recovery", description = "The slowest recovery"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = "1"),
    printcolumn(name = "Spread", type_ = "string", json_path = ".status.display.spread", priority = "1", description = "Time between the first runner told to start and the last that did"),
    printcolumn(name = "Series", type_ = "string", json_path = ".status.series", priority = "1")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = corrected)]
#[x_kube(
    validation = Rule::new("self.faults.size() == 0 || has(self.serviceAccountName)").message("faults are injected with the rights of a service account: set serviceAccountName to one that may delete the target pods"),
    validation = Rule::new("self.faults.size() == 0 || self.objectives.exists(o, has(o.k6))").message("a LoadTest with faults needs at least one k6 objective: metrics of the system under test can miss what died with a pod"),
    validation = Rule::new("self.faults.all(f, !has(f.recovery) || f.recovery.of.all(n, self.objectives.exists(o, o.name == n && has(o.k6))))").message("recovery.of names what is no k6 objective in spec.objectives: recovery is measured from the client, so name objectives with k6"),
    validation = Rule::new("self.faults.all(f, !has(f.budget) || f.budget.of.all(n, self.objectives.exists(o, o.name == n && has(o.k6))))").message("budget.of names what is no k6 objective in spec.objectives: harm is counted by the client, so name objectives with k6"),
    validation = Rule::new("self.system.size() == 0 || has(self.serviceAccountName)").message("the system under test is watched with the rights of a service account: set serviceAccountName to one that may list and watch its pods"),
    validation = Rule::new("self.objectives.all(o, !has(o.k6) || !has(o.k6.scenario) || self.scenarios.exists(s, s.name == o.k6.scenario))").message("k6.scenario names a scenario that is not in spec.scenarios"),
    validation = Rule::new("self.faults.size() > 0 || !self.objectives.exists(o, 'Fault' in o.windows || 'Recovery' in o.windows)").message("an objective is judged in Fault or Recovery windows, but there are no faults: add one, or remove these windows"),
    validation = Rule::new("self.faults.size() == 0 || self.faults.exists(f, has(f.recovery)) || !self.objectives.exists(o, 'Recovery' in o.windows)").message("an objective is judged in Recovery windows, but no fault has a recovery: add recovery to a fault, or remove the window"),
    validation = Rule::new("!oldSelf.stop || self.stop").message("a stopped run cannot be started again: make a sibling with kubectl loadtest rerun"),
    validation = Rule::new("self.scenarios == oldSelf.scenarios && self.faults == oldSelf.faults && self.objectives == oldSelf.objectives && self.runner == oldSelf.runner && self.prometheus == oldSelf.prometheus && self.verdict == oldSelf.verdict && self.guardrails == oldSelf.guardrails && self.system == oldSelf.system && has(self.expect) == has(oldSelf.expect) && (!has(self.expect) || self.expect == oldSelf.expect) && has(self.baseline) == has(oldSelf.baseline) && (!has(self.baseline) || self.baseline == oldSelf.baseline) && has(self.serviceAccountName) == has(oldSelf.serviceAccountName) && (!has(self.serviceAccountName) || self.serviceAccountName == oldSelf.serviceAccountName)").message("a LoadTest is one run and its spec never changes, except for stop: to run with other settings create another, as kubectl loadtest run -f FILE does")
)]
pub struct LoadTestSpec {
    /// End the run now: the load stops, faults are undone, and the verdict is Aborted. The only field that
    /// may be changed, and only from false to true.
    #[serde(default)]
    pub stop: bool,

    /// The service account, in this namespace, whose rights are used for everything that reaches beyond
    /// the run's own pods: reading and deleting the targets of faults. Needed for faults and system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(OBJECT).message("write the name of a service account in the run's namespace, as in shop-failover"))]
    pub service_account_name: Option<String>,

    /// Groups of k6 runners. They start together and their loads add up. For example:
    ///
    /// ```yaml
    /// - name: chat
    ///   script: {configMap: {name: chat-script, key: chat.js}}
    ///   parallelism: 4
    ///   vus: 500
    ///   duration: 10m
    ///   env:
    ///     - {name: BASE_URL, value: "http://chat.msg-server:8080"}
    /// ```
    #[schemars(length(min = 1, max = 16), transform = with_names)]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new(inline_together()).message("inline scripts take at most 400,000 characters together: put them into ConfigMaps, and name these in script.configMap")
    )]
    pub scenarios: Vec<Scenario>,

    /// Settings of the runner pods.
    #[serde(default)]
    pub runner: Runner,

    /// Which of the Prometheus endpoints in the operator's configuration answers the objectives. Default `default`.
    #[serde(default = "default_prometheus")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(NAME).message("write the name of an endpoint in the operator's configuration, as in default, and not its address"))]
    pub prometheus: String,

    /// What is broken while the load runs. For example:
    ///
    /// ```yaml
    /// - name: kill-dbman
    ///   at: 3m
    ///   target:
    ///     namespace: msg-server
    ///     selector: {matchLabels: {app: dbman}}
    ///     pick: {count: 1}
    ///   podKill: {gracePeriodSeconds: 0}
    ///   recovery: {of: [save-success], within: 5m, hold: 10s}
    /// ```
    #[serde(default)]
    #[schemars(length(max = 16), transform = with_names)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub faults: Vec<Fault>,

    /// What must hold. Without objectives a run ends Inconclusive: nothing was judged. For example:
    ///
    /// ```yaml
    /// - name: save-success
    ///   k6: {metric: http_req_failed, tags: {name: SendMessage}}
    ///   atMost: 0.1%
    ///   key: true
    /// - name: save-p95
    ///   k6: {metric: http_req_duration, percentile: 95}
    ///   atMost: 300ms
    ///   warnAbove: 250ms
    ///   windows: [Steady, Fault]
    /// - name: persist-success
    ///   ratio:
    ///     good: 'chat_message_persist_total{status="ok"}'
    ///     total: chat_message_persist_total
    ///   atLeast: 99.9%
    /// - name: queue
    ///   query: max(queue_depth)
    ///   atMost: "1000"
    /// ```
    #[serde(default)]
    #[schemars(length(max = 64), transform = with_names)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub objectives: Vec<Objective>,

    /// What must never happen while the load runs: a breach stops the run, which is a Fail. For example:
    ///
    /// ```yaml
    /// - name: errors
    ///   query: sum(rate(http_errors_total[10s])) / sum(rate(http_requests_total[10s]))
    ///   atMost: 50%
    ///   for: 30s
    ///   suspendDuring: [Fault]
    /// - {name: postgres, set: Postgres}
    /// ```
    #[serde(default)]
    #[schemars(length(max = 32), transform = with_names)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub guardrails: Vec<Guardrail>,

    /// The pods of the system under test, watched while the load runs. For example:
    ///
    /// ```yaml
    /// - name: dbman
    ///   namespace: msg-server
    ///   selector: {matchLabels: {app: dbman}}
    ///   assertNoOOM: true
    /// ```
    #[serde(default)]
    #[schemars(length(max = 16), transform = with_names)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub system: Vec<Watched>,

    /// What the load itself must be: less makes the run Inconclusive, or a Fail where the system under test was
    /// the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,

    /// Compares the figures with those of earlier passing runs of the series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,

    /// How the results of the objectives become one verdict.
    #[serde(default)]
    pub verdict: VerdictPolicy,
}

/// How results become a verdict.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictPolicy {
    /// What an objective without data means: Inconclusive or Fail. Never a pass. Default Inconclusive.
    #[serde(default)]
    pub on_no_data: NoDataPolicy,

    /// What too few samples mean for an objective: Inconclusive, Fail, or Judge (the few are judged as they
    /// are). Default Inconclusive.
    #[serde(default)]
    pub on_too_few: TooFewPolicy,

    /// How many objectives that are not key may miss with a Warn; one more is a Fail. Default 1.
    #[serde(default = "one_miss")]
    #[schemars(range(min = 0, max = 64))]
    pub max_misses: i32,
}

impl Default for VerdictPolicy {
    fn default() -> Self {
        Self {
            on_no_data: NoDataPolicy::default(),
            on_too_few: TooFewPolicy::default(),
            max_misses: one_miss(),
        }
    }
}

/// The lengths of all inline scripts, added one by one: the API server cannot bound the cost of a sum over a list that
/// the rule makes itself.
fn inline_together() -> String {
    let length = |n| {
        format!("(self.size() > {n} && has(self[{n}].script.inline) ? size(self[{n}].script.inline) : 0)")
    };
    let lengths: Vec<String> = (0..16).map(length).collect();
    format!("{} <= 400000", lengths.join(" + "))
}

fn one_miss() -> i32 {
    1
}

fn default_prometheus() -> String {
    "default".to_owned()
}
