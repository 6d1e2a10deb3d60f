//! What goes into a decision and what comes out of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    evaluate::{fault::steady::Health, judgement::Judgement, live::Live},
    k6::RunnerStatus,
    machine::{
        behind::{Behind, Count},
        pick::Candidate,
        pods::PodView,
    },
    plan::names::RunnerId,
    record::{Draft, Evidence},
    verdict::baseline::History,
    watch::{guardrail::Watches, system::course::Course},
};

/// What was observed.
#[derive(Debug)]
pub struct World<'a> {
    pub now: Timestamp,
    /// spec.stop is set.
    pub stop: bool,
    /// The object is being deleted.
    pub deleting: bool,
    pub generation: Option<i64>,
    /// The name of this process of the operator; no other has it.
    pub process: &'a str,
    /// The run's own pods, by name.
    pub pods: &'a BTreeMap<String, PodView>,
    /// As they came; what is new of them is read with each decision.
    pub facts: &'a mut Facts,
    /// Pods that the faults of other runs have taken.
    pub claimed: &'a [Arc<Claim>],
}

/// Results of the effects that this process has carried out.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Keys of the effects handed out by this process.
    pub dispatched: BTreeSet<String>,
    pub preflight: Option<Vec<Problem>>,
    /// How long it takes from one scrape to the next, by selector of the objectives, known with the preflight; for
    /// series that are there already.
    pub scraped_every: BTreeMap<String, Duration>,
    /// Hashes of the scripts in ConfigMaps, by scenario, known with the preflight.
    pub scripts: BTreeMap<String, String>,
    pub created: Option<Result<(), String>>,
    /// Names of the run's pods that this process has seen.
    pub seen_pods: BTreeSet<String>,
    /// By scenario: what the inspection printed, or its log if it failed.
    pub inspections: BTreeMap<String, Result<String, String>>,
    /// By scenario: why what its inspection printed cannot be read so far.
    pub unread_inspections: BTreeMap<String, String>,
    /// Last words of runners that died, or why they cannot be read.
    pub last_words: BTreeMap<RunnerId, Result<String, String>>,
    /// Since when each runner has waited at the barrier.
    pub at_barrier: BTreeMap<RunnerId, Timestamp>,
    pub setup: BTreeMap<String, Result<(), String>>,
    pub started: Option<Vec<RunnerStart>>,
    /// The last answer of each runner's REST API.
    pub k6: BTreeMap<RunnerId, RunnerStatus>,
    pub candidates: BTreeMap<String, Result<Vec<Candidate>, Problem>>,
    /// Why the last attempt at such a list had no answer; it is asked for again.
    pub unlisted: BTreeMap<String, String>,
    /// By fault: how the system stood just before it.
    pub steady: BTreeMap<String, Health>,
    pub seen: BTreeMap<String, BTreeMap<String, TargetSeen>>,
    pub kills: BTreeMap<String, BTreeMap<String, KillResult>>,
    /// By fault: what is seen of the pods behind its selector, from its intent on.
    pub behind: BTreeMap<String, Behind>,
    /// What is seen of the system under test, by part.
    pub system: BTreeMap<String, Course>,
    pub teardown: BTreeMap<String, Result<(), String>>,
    /// The sum of the runners' own request counts; `Some(None)` where k6 could not tell.
    pub k6_requests: Option<Option<i64>>,
    pub logs: Option<LogSummary>,
    /// The figures have settled, or why they never did; and there is room for them.
    pub settled: Option<Result<(), String>>,
    /// The figures.
    pub judgement: Option<Judgement>,
    /// What the figures were read from, until it is recorded.
    pub evidence: Option<Arc<Evidence>>,
    /// What its selectors and queries matched: see [`crate::verdict::drift`].
    pub matched: BTreeMap<String, i64>,
    /// Earlier runs of the series.
    pub history: Option<History>,
    /// The record of the run is written, or why it cannot be.
    pub record: Option<Result<(), String>>,
    /// Figures so far, while the load runs.
    pub live: Option<Live>,
    /// By runner: why it could not be told to end.
    pub unreleased: BTreeMap<RunnerId, String>,
    /// All pods are told to end, or why they cannot be.
    pub pods_deleted: Option<Result<(), String>>,
    /// What was seen of the guardrails.
    pub watches: Watches,
    /// The load was stopped; the runners that did not answer, if any.
    pub load_stopped: Option<Vec<RunnerId>>,
    /// How promptly each runner's API answered while the load ran.
    pub promptness: BTreeMap<RunnerId, Promptness>,
}

/// How promptly a runner's API answered: of so many answers, so many came late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promptness {
    pub answers: i64,
    pub late: i64,
}

/// A guardrail's query, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedQuery {
    pub guardrail: String,
    pub query: String,
}

/// Why something cannot be, with a word for the condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: &'static str,
    pub message: String,
}

/// The start of one runner: it lies between the two times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerStart {
    pub runner: RunnerId,
    pub sent: Timestamp,
    /// `Err` with the reason where the runner never acknowledged.
    pub acknowledged: Result<Timestamp, String>,
}

/// A target, looked up again after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSeen {
    /// The pod with the recorded uid lives: nothing was done to it yet.
    Alive,
    /// Gone, on its way out, or replaced: perhaps by us.
    Gone,
    Unknown(String),
}

impl TargetSeen {
    /// By what there is under the target's name.
    #[must_use]
    pub fn of(found: Option<&Pod>, uid: &str) -> Self {
        let same = found.filter(|pod| pod.metadata.uid.as_deref() == Some(uid));
        match same {
            Some(pod) if pod.metadata.deletion_timestamp.is_none() => Self::Alive,
            _ => Self::Gone,
        }
    }
}

/// What became of one deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KillResult {
    Done {
        sent: Timestamp,
        acknowledged: Timestamp,
    },
    /// Not sent: this process was held up, and may not be the one any more that acts.
    TooLate {
        message: String,
    },
    /// Refused: certainly not done by us.
    Refused {
        sent: Timestamp,
        message: String,
    },
    /// No answer, and the pod is gone: perhaps done by us.
    Unconfirmed {
        sent: Timestamp,
        message: String,
    },
}

/// What the logs of the runners say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Iterations that threw.
    pub script_errors: i64,
    /// What a script said as it called `exec.test.fail()`.
    pub marked_failed: Option<String>,
    /// Runners whose log could not be read, and why.
    pub unread: BTreeMap<RunnerId, String>,
}

/// Something to do. Unless said otherwise it can be repeated without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Check what can be checked before anything starts.
    Preflight,
    /// Create the run's objects; those that exist stay.
    Create,
    /// Follow what an inspection prints, until it is complete.
    FollowInspection { scenario: String },
    /// Read what an inspection printed in all.
    ReadInspection { scenario: String },
    /// Read why a runner died.
    ReadLastWords { runner: RunnerId },
    /// Ask the runner until it waits at the barrier.
    AwaitBarrier { runner: RunnerId },
    /// Run setup() on the scenario's first runner and hand its result to the others. Only once, after its intent.
    Setup { scenario: String },
    /// Resume all runners. Those that already run stay as they are.
    Start { runners: Vec<RunnerId> },
    /// Lower the pods' deadline from the ceiling to the length of the load.
    LowerDeadline { seconds: i64 },
    /// Ask the runners how far they are, until each is through.
    Follow { runners: Vec<RunnerId> },
    /// List the pods behind a fault's selector, and the Services that they serve.
    ListCandidates { fault: String },
    /// Ask whether the system is healthy just before a fault.
    CheckSteady { fault: String },
    /// Look a fault's recorded targets up again.
    LookAgain { fault: String },
    /// Delete a fault's recorded targets, each with its uid as precondition. Only after its intent.
    Kill { fault: String, uids: Vec<String> },
    /// Watch the pods behind a fault's selector, and the Services that its targets served.
    AwaitReplacement { fault: String },
    /// End that watch.
    LeaveTargets { fault: String },
    /// Ask the guardrails' queries each second.
    Watch { queries: Vec<WatchedQuery> },
    /// End the load now, and leave k6 where it can still be asked.
    StopLoad { runners: Vec<RunnerId> },
    /// Watch the parts of the system under test.
    WatchSystem,
    /// Look at them once more, after the load.
    LookAtSystem,
    /// Run teardown() on the scenario's first runner. Only once, after its intent.
    Teardown { scenario: String, runner: RunnerId },
    /// Sum the runners' own request counts.
    CountRequests { runners: Vec<RunnerId> },
    /// Let the runners end: they flush their metrics and exit.
    Release { runners: Vec<RunnerId> },
    /// Read the logs of the runners and keep them.
    KeepLogs,
    /// Wait until the figures have settled, and until there is room for them. Where an earlier process has begun to judge
    /// them, also until no other such run is being judged.
    Settle { again: bool },
    /// Ask for the figures and judge them.
    Evaluate,
    /// Look earlier runs of the series up.
    FetchHistory,
    /// Write down what the verdict is decided from.
    KeepRecord(Arc<Draft>),
    /// Delete all pods of the run.
    DeletePods,
}

impl Effect {
    pub const KEEP_RECORD: &str = "keep-record";

    /// Effects of the same key are handed out once by a process.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Preflight => "preflight".to_owned(),
            Self::Create => "create".to_owned(),
            Self::FollowInspection { scenario } => format!("follow-inspection/{scenario}"),
            Self::ReadInspection { scenario } => format!("read-inspection/{scenario}"),
            Self::ReadLastWords { runner } => format!("read-last-words/{runner}"),
            Self::AwaitBarrier { runner } => format!("await-barrier/{runner}"),
            Self::Setup { scenario } => format!("setup/{scenario}"),
            Self::Start { .. } => "start".to_owned(),
            Self::LowerDeadline { .. } => "lower-deadline".to_owned(),
            Self::Follow { .. } => "follow".to_owned(),
            Self::ListCandidates { fault } => format!("list-candidates/{fault}"),
            Self::CheckSteady { fault } => format!("check-steady/{fault}"),
            Self::LookAgain { fault } => format!("look-again/{fault}"),
            Self::Kill { fault, .. } => format!("kill/{fault}"),
            Self::AwaitReplacement { fault } => format!("await-replacement/{fault}"),
            Self::LeaveTargets { fault } => format!("leave-targets/{fault}"),
            Self::Watch { .. } => "watch".to_owned(),
            Self::StopLoad { .. } => "stop-load".to_owned(),
            Self::WatchSystem => "watch-system".to_owned(),
            Self::LookAtSystem => "look-at-system".to_owned(),
            Self::Teardown { scenario, .. } => format!("teardown/{scenario}"),
            Self::CountRequests { .. } => "count-requests".to_owned(),
            Self::Release { .. } => "release".to_owned(),
            Self::KeepLogs => "keep-logs".to_owned(),
            Self::Settle { .. } => "settle".to_owned(),
            Self::Evaluate => "evaluate".to_owned(),
            Self::FetchHistory => "fetch-history".to_owned(),
            Self::KeepRecord(_) => Self::KEEP_RECORD.to_owned(),
            Self::DeletePods => "delete-pods".to_owned(),
        }
    }
}

impl Facts {
    /// Drops what nobody needs any more once the verdict is recorded.
    pub fn forget_figures(&mut self) {
        (self.judgement, self.evidence, self.history) = (None, None, None);
    }

    #[must_use]
    pub fn has_dispatched(&self, effect: &Effect) -> bool {
        self.dispatched.contains(&effect.key())
    }
}

/// The pods of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The LoadTest, as `namespace/name`.
    pub test: String,
    pub fault: String,
    /// Where they were picked.
    pub namespace: String,
    pub selector: String,
    /// Their names by uid.
    pub pods: BTreeMap<String, String>,
    /// What was there before.
    pub before: Count,
    pub injected_at: Option<Timestamp>,
    pub replaced_at: Option<Timestamp>,
}

impl Claim {
    /// Whether its pods were picked from these.
    #[must_use]
    pub fn is_of(&self, namespace: &str, selector: &str) -> bool {
        self.namespace == namespace && self.selector == selector
    }
}
