//! A whole run on a virtual clock, with an operator that may die between any two steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use loadtest_crds::{FaultState, FaultStatus, LoadTest, LoadTestStatus, Outcome, Phase, StepState, Verdict};
use proptest::prelude::*;

use super::*;
use crate::{
    evaluate::{fault::steady::Health, windows::context::Settings},
    k6::{ExecutionStatus, RunnerStatus},
    machine::{
        behind::Behind,
        fact::{Fact, News},
        pick::Candidate,
        pods::{PodState, PodView},
        world::{Claim, Facts, KillResult, LogSummary, RunnerStart, TargetSeen},
    },
    plan::{
        guardrail::GuardrailPlan,
        names::{Role, RunnerId},
    },
    record::{Draft, Evidence},
    verdict::baseline::History,
    watch::{guardrail::Reading, system::pod::PodSeen},
};

mod begins;
mod claims;
mod deaths;
mod ends;
mod faults;
mod judging;
mod replacement;
mod unrecorded;

const NOTHING: &str = r#"{
  "scenarios": {"default": {"executor": "per-vu-iterations", "iterations": null, "maxDuration": null}},
  "maxVUs": 1
}"#;

fn plan() -> Plan {
    Plan::of(&plan_spec()).unwrap()
}

fn plan_spec() -> LoadTest {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "uid-1"},
        "spec": {
            "serviceAccountName": "faults",
            "scenarios": [
                {"name": "a", "script": {"inline": "x"}, "parallelism": 2, "vus": 4, "duration": "60s"},
                {"name": "b", "script": {"inline": "x"}, "vus": 1, "duration": "60s"}
            ],
            "faults": [{
                "name": "kill", "at": "20s", "podKill": {"gracePeriodSeconds": 0},
                "target": {"selector": {"matchLabels": {"app": "dbman"}}, "pick": {"count": 1}},
                "recovery": {"of": ["ok"], "within": "10s", "hold": "5s"}
            }],
            "objectives": [{
                "name": "ok", "k6": {"metric": "http_req_failed"}, "atMost": "1%", "windows": ["Run"]
            }]
        }
    }))
    .unwrap()
}

/// The cluster: what effects have done to it survives the operator.
#[derive(Default)]
struct Cluster {
    pods: BTreeMap<String, PodView>,
    started: BTreeSet<RunnerId>,
    load_from: Option<Timestamp>,
    dbmans: BTreeMap<String, bool>,
    /// Pods that will be ready, and when.
    coming: BTreeMap<String, Timestamp>,
    setups: usize,
    teardowns: usize,
    deletes: Vec<String>,
    finalizer_gone: bool,
    stopped_at: Option<Timestamp>,
    record: Option<Arc<Draft>>,
    /// How often the figures were judged.
    judgements: usize,
}

impl Cluster {
    fn dbmans(&self) -> Vec<PodSeen> {
        let alive = self.dbmans.iter().filter(|(_, alive)| **alive);
        alive
            .map(|(uid, _)| PodSeen {
                uid: uid.clone(),
                name: uid.clone(),
                ready: true,
                ..PodSeen::default()
            })
            .collect()
    }

    /// The dbmans as a list or a watch has them; those that are coming are there and not ready.
    fn candidates(&self) -> Vec<Candidate> {
        let alive = self.dbmans.iter().filter(|(_, alive)| **alive).map(|(uid, _)| (uid, true));
        let coming = self.coming.keys().map(|uid| (uid, false));
        let pod = |(uid, ready): (&String, bool)| Candidate {
            name: uid.clone(),
            uid: uid.clone(),
            node: None,
            ready,
            serves: if ready { BTreeSet::from(["dbman".to_owned()]) } else { BTreeSet::new() },
        };
        alive.chain(coming).map(pod).collect()
    }
}

/// What happens before the injection ends no fault.
fn assert_in_order(status: &LoadTestStatus) {
    for fault in &status.faults {
        if let (Some(injected), Some(replaced)) = (&fault.injected_at, &fault.replaced_at) {
            assert!(injected.0 < replaced.0, "{fault:#?}");
        }
    }
}

fn recorded<'a>(status: &'a LoadTestStatus, fault: &str) -> &'a FaultStatus {
    status.faults.iter().find(|f| f.name == fault).unwrap()
}

/// How a list of pods fails.
#[derive(Clone, Copy)]
enum Unlisted {
    Silent,
    Error(&'static str),
}

/// A run under simulation.
struct Sim {
    plan: Plan,
    now: Timestamp,
    status: LoadTestStatus,
    facts: Facts,
    cluster: Cluster,
    stop: bool,
    /// `spec.stop` is set before this pass.
    stop_at: Option<usize>,
    deleting: bool,
    /// When the last pass wanted to look again.
    wake: Option<Timestamp>,
    /// The last pass wanted to let the object go.
    releases: bool,
    /// Effects handed out and not carried out yet.
    under_way: Vec<Effect>,
    /// So long after the load's start a guardrail's value is beyond its limit.
    harm_after: Option<Duration>,
    /// The node of the run's pods is gone: the API server shows them as they were.
    node_lost: bool,
    /// How the runners say that they ended.
    ends_as: ExecutionStatus,
    /// How the system stands before a fault; `None` where Prometheus does not answer.
    health: Option<Health>,
    /// The API server does not list pods.
    unlisted: Option<Unlisted>,
    /// What the logs say.
    logs: LogSummary,
    /// The logs of the inspections cannot be read.
    unread_inspection: bool,
    /// What comes of a teardown().
    teardown: Result<(), String>,
    /// The name of the operator's process.
    process: String,
    /// So long after a pod is deleted another is ready in its place; `None` where none comes.
    replaced_after: Option<Duration>,
    /// What the faults of other runs have taken.
    claimed: Vec<Arc<Claim>>,
    /// The watches of targets tell nothing.
    unseen: bool,
    /// The operator may neither release its pods nor delete them.
    powerless: bool,
}

impl Sim {
    fn new() -> Self {
        let dbmans = ["d-1", "d-2"].map(|uid| (uid.to_owned(), true)).into();
        Self {
            plan: plan(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            status: LoadTestStatus::default(),
            facts: Facts::default(),
            cluster: Cluster { dbmans, ..Cluster::default() },
            stop: false,
            stop_at: None,
            deleting: false,
            wake: None,
            releases: false,
            under_way: Vec::new(),
            harm_after: None,
            node_lost: false,
            ends_as: ExecutionStatus::ENDED,
            health: Some(Health::Held),
            unlisted: None,
            logs: LogSummary::default(),
            unread_inspection: false,
            teardown: Ok(()),
            process: "operator-1".to_owned(),
            replaced_after: Some(Duration::from_secs(1)),
            claimed: Vec::new(),
            unseen: false,
            powerless: false,
        }
    }

    /// With a guardrail that is breached after 5 s and 3 s more.
    fn guarded() -> Self {
        let spec: loadtest_crds::Guardrail = serde_json::from_value(serde_json::json!(
            {"name": "harm", "query": "harm", "atMost": "5", "for": "3s"}
        ))
        .unwrap();
        let mut sim = Self { harm_after: Some(Duration::from_secs(5)), ..Self::new() };
        sim.plan.guardrails = GuardrailPlan::all(&[spec], &sim.plan.names).unwrap();
        sim
    }

    /// The operator dies: what it knew is lost, what it recorded is not. Effects under way may or may not
    /// have reached the cluster.
    fn crash(&mut self, lost: bool) {
        let under_way = std::mem::take(&mut self.under_way);
        if !lost {
            for effect in under_way {
                self.carry_out(effect);
            }
            self.cluster.finalizer_gone |= self.releases;
        }
        self.releases = false;
        self.facts = Facts::default();
        let number: usize = self.process.trim_start_matches("operator-").parse().unwrap();
        self.process = format!("operator-{}", number + 1);
    }

    /// Goes on until an effect is handed out, and leaves it to be carried out.
    fn run_to(&mut self, wanted: &Effect) {
        for _ in 0..2000 {
            let moved = self.pass();
            if self.under_way.iter().any(|effect| effect.key() == wanted.key()) {
                return;
            }
            self.finish_effects();
            if !moved {
                self.now += Duration::from_millis(250);
            }
        }
        panic!("never came to {wanted:?}: {:#?}", self.status);
    }

    /// One pass; true if it changed or began anything.
    fn pass(&mut self) -> bool {
        self.advance_cluster();
        let (plan, status, mut world) = self.world();
        let pass = decide(plan, status, &mut world);
        assert_in_order(&pass.status);
        assert!(pass.status.phase >= self.status.phase, "a phase never goes back");
        let kills = pass.effects.iter().any(|effect| matches!(effect, Effect::Kill { .. }));
        assert!(!kills || pass.status.phase == Phase::Running, "no fault is sent once the load has ended");
        assert!(!kills || pass.status == self.status, "no fault waits for a write");
        let mut moved = pass.status != self.status;
        self.status = pass.status;
        self.wake = pass.wake;
        moved |= pass.releases;
        self.releases = pass.releases;
        for effect in pass.effects {
            if self.facts.dispatched.insert(effect.key()) {
                moved = true;
                self.under_way.push(effect);
            }
        }
        moved
    }

    fn world(&mut self) -> (&Plan, &LoadTestStatus, World<'_>) {
        let world = World {
            now: self.now,
            stop: self.stop,
            deleting: self.deleting,
            generation: Some(1),
            process: &self.process,
            pods: &self.cluster.pods,
            facts: &mut self.facts,
            claimed: &self.claimed,
        };
        (&self.plan, &self.status, world)
    }

    fn finish_effects(&mut self) {
        for effect in std::mem::take(&mut self.under_way) {
            self.carry_out(effect);
        }
        self.cluster.finalizer_gone |= self.releases;
    }

    fn advance_cluster(&mut self) {
        let now = self.now;
        let ready = self.cluster.coming.extract_if(.., |_, at| *at <= now).map(|(uid, _)| (uid, true));
        self.cluster.dbmans.extend(ready.collect::<Vec<_>>());
        for fault in &self.status.faults {
            let watch = Effect::AwaitReplacement { fault: fault.name.clone() };
            if self.facts.has_dispatched(&watch) && !self.unseen {
                let (from, pods) = (Arc::new(Behind::of(fault)), self.cluster.candidates());
                self.facts.apply(Fact::SeenBehind { fault: fault.name.clone(), from, at: now, pods });
            }
        }
        let over = self.cluster.stopped_at.is_some()
            || self.cluster.load_from.is_some_and(|from| self.now >= from + Duration::from_secs(60));
        if let (Some(after), Some(from)) = (self.harm_after, self.cluster.load_from)
            && self.facts.dispatched.contains("watch")
        {
            let value = if self.now >= from + after { 9.0 } else { 1.0 };
            let guardrail = "harm".to_owned();
            self.facts.apply(Fact::Read(vec![Reading { guardrail, at: self.now, value: Ok(value) }]));
        }
        for id in self.cluster.started.clone() {
            if over && !self.node_lost {
                let status = RunnerStatus { status: self.ends_as, paused: false, vus: 0 };
                if self.facts.dispatched.contains("follow") {
                    self.facts.k6.insert(id, status);
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let (now, facts, cluster) = (self.now, &mut self.facts, &mut self.cluster);
        let running = || PodState::Running { ip: "198.19.0.1".to_owned() };
        let ended = || PodState::Ended { exit_code: Some(0), reason: "Completed".to_owned() };
        match effect {
            Effect::Preflight => facts.apply(Fact::Checked {
                problems: Vec::new(),
                scraped_every: BTreeMap::new(),
                scripts: BTreeMap::new(),
            }),
            Effect::Create => {
                for s in &self.plan.scenarios {
                    let name = self.plan.names.inspect_pod(&s.spec.name);
                    let scenario = s.spec.name.clone();
                    cluster.pods.entry(name).or_insert(PodView {
                        role: Role::Inspect,
                        scenario,
                        runner: None,
                        state: ended(),
                        leaves_by: None,
                    });
                }
                for id in self.plan.runners() {
                    cluster.pods.entry(self.plan.names.runner_pod(&id)).or_insert(PodView {
                        role: Role::Runner,
                        scenario: id.scenario.clone(),
                        runner: Some(id),
                        state: running(),
                        leaves_by: None,
                    });
                }
                facts.apply(Fact::Created(Ok(())));
            }
            Effect::ReadInspection { scenario } if self.unread_inspection => {
                facts.apply(Fact::InspectionUnread { scenario, why: "no luck".to_owned() });
            }
            Effect::ReadInspection { scenario } => {
                facts.apply(Fact::Inspected { scenario, result: Ok(NOTHING.to_owned()) });
            }
            Effect::ReadLastWords { runner } => {
                facts.apply(Fact::LastWords { runner, log: Ok(String::new()) });
            }
            Effect::AwaitBarrier { runner } => {
                facts.apply(Fact::AtBarrier { runner, at: now });
            }
            Effect::Setup { scenario } => {
                cluster.setups += 1;
                facts.apply(Fact::SetUp { scenario, result: Ok(()) });
            }
            Effect::Start { runners } => {
                cluster.load_from.get_or_insert(now);
                cluster.started.extend(runners.iter().cloned());
                let starts = runners.into_iter();
                facts.apply(Fact::Started(
                    starts.map(|runner| RunnerStart { runner, sent: now, acknowledged: Ok(now) }).collect(),
                ));
            }
            Effect::ListCandidates { fault } if self.unlisted.is_some() => {
                if let Some(Unlisted::Error(message)) = self.unlisted {
                    facts.apply(Fact::Unlisted { fault: fault.clone(), why: message.to_owned() });
                }
                self.under_way.push(Effect::ListCandidates { fault });
            }
            Effect::ListCandidates { fault } => {
                facts.apply(Fact::Listed { fault, result: Ok(cluster.candidates()) });
            }
            Effect::CheckSteady { fault } => {
                if let Some(health) = self.health.clone() {
                    facts.apply(Fact::Steady { fault, health });
                }
            }
            Effect::LookAgain { fault } => {
                let targets = &recorded(&self.status, &fault).targets;
                let seen = targets.iter().map(|t| {
                    let alive = cluster.dbmans.get(&t.uid).copied().unwrap_or(false);
                    (t.uid.clone(), if alive { TargetSeen::Alive } else { TargetSeen::Gone })
                });
                facts.apply(Fact::LookedAgain { fault, targets: seen.collect() });
            }
            Effect::Kill { fault, uids } => {
                let targets = &recorded(&self.status, &fault).targets;
                let recorded: Vec<&str> = targets.iter().map(|t| t.uid.as_str()).collect();
                let results = uids.into_iter().map(|uid| {
                    assert!(recorded.contains(&uid.as_str()), "only recorded targets are killed");
                    // The precondition: a pod that is gone cannot be deleted again.
                    let result = if cluster.dbmans.insert(uid.clone(), false) == Some(true) {
                        cluster.deletes.push(uid.clone());
                        if let Some(after) = self.replaced_after {
                            cluster.coming.insert(format!("{uid}'"), now + after);
                        }
                        KillResult::Done { sent: now, acknowledged: now }
                    } else {
                        KillResult::Refused { sent: now, message: "gone".to_owned() }
                    };
                    (uid, result)
                });
                let results = results.collect();
                facts.apply(Fact::Killed { fault, results });
            }
            Effect::Watch { .. } => {}
            Effect::StopLoad { .. } => {
                cluster.stopped_at.get_or_insert(now);
                facts.apply(Fact::LoadStopped { unstopped: Vec::new() });
            }
            Effect::WatchSystem => {
                let started = self.status.load.as_ref().and_then(|l| l.started_at.as_ref()).unwrap().0;
                for part in &self.status.system {
                    let (before, news) = (Box::new(part.clone()), News::All(cluster.dbmans()));
                    facts.apply(Fact::SeenOfSystem { before, started, at: now, news });
                }
            }
            Effect::LookAtSystem => {
                let started = self.status.load.as_ref().and_then(|l| l.started_at.as_ref()).unwrap().0;
                for part in &self.status.system {
                    let news = News::Last(Ok(cluster.dbmans()));
                    facts.apply(Fact::SeenOfSystem {
                        before: Box::new(part.clone()),
                        started,
                        at: now,
                        news,
                    });
                }
            }
            Effect::Teardown { scenario, .. } => {
                cluster.teardowns += 1;
                facts.apply(Fact::TornDown { scenario, result: self.teardown.clone() });
            }
            Effect::CountRequests { .. } => facts.apply(Fact::Counted(Some(100))),
            Effect::Release { runners } if self.powerless => {
                let refused = runners.into_iter().map(|id| (id, "forbidden".to_owned()));
                facts.apply(Fact::Unreleased(refused.collect()));
            }
            Effect::DeletePods if self.powerless => {
                facts.apply(Fact::PodsDeleted(Err("forbidden".to_owned())));
            }
            Effect::Release { .. } if self.node_lost => {}
            Effect::Release { runners } => {
                for id in runners {
                    if let Some(pod) = cluster.pods.get_mut(&self.plan.names.runner_pod(&id)) {
                        pod.state = ended();
                    }
                }
            }
            Effect::KeepLogs => facts.apply(Fact::LogsKept(self.logs.clone())),
            Effect::Settle { .. } => facts.apply(Fact::Settled(Ok(()))),
            Effect::Evaluate => {
                self.cluster.judgements += 1;
                let settings = Settings { run_id: "uid-1".to_owned(), push: Duration::from_secs(1) };
                let evidence = Evidence { settings, asked: Vec::new(), cells: Err("none".to_owned()) };
                facts.apply(Fact::Judged {
                    judgement: Box::default(),
                    evidence: Arc::new(evidence),
                    matched: BTreeMap::new(),
                });
            }
            Effect::FetchHistory => facts.apply(Fact::History(History::default())),
            Effect::KeepRecord(draft) => {
                // The status as the verdict will make it is in the record before it is anywhere else.
                assert_eq!(draft.judged.verdict.is_some(), draft.status.verdict.is_none());
                cluster.record = Some(draft);
                facts.apply(Fact::Recorded(Ok(())));
            }
            Effect::DeletePods if self.node_lost => {
                for pod in cluster.pods.values_mut() {
                    pod.leaves_by.get_or_insert(now + Duration::from_secs(2));
                }
                facts.apply(Fact::PodsDeleted(Ok(())));
            }
            Effect::DeletePods => {
                cluster.pods.clear();
                facts.apply(Fact::PodsDeleted(Ok(())));
            }
            // Told as the cluster moves.
            Effect::AwaitReplacement { .. } | Effect::LeaveTargets { .. } => {}
            Effect::FollowInspection { .. } | Effect::LowerDeadline { .. } | Effect::Follow { .. } => {}
        }
    }

    /// Lets the run go on where nothing but the clock moves it.
    fn run_by_the_clock(&mut self) {
        for _ in 0..200 {
            let moved = self.pass();
            self.finish_effects();
            if self.cluster.finalizer_gone {
                return;
            }
            if !moved {
                let wake = self.wake.unwrap_or_else(|| panic!("waits for ever: {:#?}", self.status));
                assert!(wake > self.now, "wakes for nothing");
                self.now = wake;
            }
        }
        panic!("the run never ended: {:#?}", self.status);
    }

    /// Lets the run go on until nothing is left to do. `dies_at` are the passes after which the operator dies,
    /// each with whether the effects under way are lost.
    fn run(&mut self, dies_at: &BTreeMap<usize, bool>) {
        for step in 0..2000 {
            self.stop |= self.stop_at == Some(step);
            let moved = self.pass();
            match dies_at.get(&step) {
                Some(lost) => self.crash(*lost),
                None => self.finish_effects(),
            }
            if self.cluster.finalizer_gone {
                return;
            }
            if !moved {
                self.now += Duration::from_millis(250);
            }
        }
        panic!("the run never ended: {:#?}", self.status);
    }
}
