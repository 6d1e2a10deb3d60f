//! What a run does to the world. Each effect runs beside the run's task and reports what came of it as a fact; it
//! decides nothing.

pub mod deletion;
mod evaluate;
mod faults;
mod guardrails;
mod history;
mod logs;
mod objects;
mod persist;
mod preflight;
mod replacement;
mod report;
mod runners;
mod system;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, runtime::reflector::Store};
use loadtest_core::{
    machine::{behind::Behind, fact::Fact, fault::latest as latest_injection, pods::PodState, world::Effect},
    plan::{Plan, names::RunnerId},
};
use loadtest_crds::{LoadTest, LoadTestStatus};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};
use tracing::Instrument;

use crate::{
    context::Context,
    events,
    room::Held,
    run::{observe, record::is_to_end, refused::GivenUp},
    stores::Stores,
};

/// Carries out the effects of one run. Dropped with its task, it ends those under way.
pub struct Effects {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
    /// The watches of targets, by fault.
    watches: Mutex<HashMap<String, AbortHandle>>,
}

/// What every effect may use.
pub struct Shared {
    pub context: Arc<Context>,
    pub plan: Arc<Plan>,
    /// As it was when the run was taken up; its spec never changes.
    pub test: LoadTest,
    pub store: Store<Pod>,
    /// As it is now: whether the run is told to end.
    object: watch::Receiver<LoadTest>,
    facts: mpsc::UnboundedSender<Fact>,
    /// For what the run keeps of Prometheus's answers, from when it may ask for them.
    room: std::sync::Mutex<Option<Held>>,
}

impl Effects {
    pub fn new(
        context: Arc<Context>,
        plan: Arc<Plan>,
        test: LoadTest,
        store: Store<Pod>,
        object: watch::Receiver<LoadTest>,
        facts: mpsc::UnboundedSender<Fact>,
    ) -> Self {
        let shared = Arc::new(Shared { context, plan, test, store, object, facts, room: Mutex::default() });
        Self { shared, tasks: Mutex::default(), watches: Mutex::default() }
    }

    /// Begins an effect. What it needs of the status is taken now.
    pub fn begin(&self, effect: Effect, status: &LoadTestStatus) {
        let s = self.shared.clone();
        match effect {
            Effect::Preflight => self.spawn(preflight::check(s)),
            Effect::Create => self.spawn(objects::create(s)),
            Effect::FollowInspection { scenario } => self.spawn(logs::follow_inspection(s, scenario)),
            Effect::ReadInspection { scenario } => self.spawn(logs::read_inspection(s, scenario)),
            Effect::ReadLastWords { runner } => self.spawn(logs::read_last_words(s, runner)),
            Effect::AwaitBarrier { runner } => self.spawn(runners::await_barrier(s, runner)),
            Effect::Setup { scenario } => self.spawn(runners::set_up(s, scenario)),
            Effect::Start { runners } => {
                let intended = status.load.as_ref().and_then(|l| l.start_intended_at.as_ref()).map(|t| t.0);
                self.spawn(runners::start(s, runners, intended));
            }
            Effect::LowerDeadline { seconds } => self.spawn(objects::lower_deadline(s, seconds)),
            Effect::Follow { runners } => {
                for runner in runners {
                    self.spawn(runners::follow(s.clone(), runner));
                }
                self.spawn(evaluate::follow_live(s));
            }
            Effect::ListCandidates { fault } => {
                let latest = latest_injection_of(status, &fault);
                self.spawn(faults::list_candidates(s, fault, latest));
            }
            Effect::CheckSteady { fault } => self.spawn(faults::check_steady(s, fault, status.clone())),
            Effect::LookAgain { fault } => {
                let targets = targets_of(status, &fault);
                self.spawn(faults::look_again(s, fault, targets));
            }
            Effect::Kill { fault, uids } => {
                let mut targets = targets_of(status, &fault);
                targets.retain(|t| uids.contains(&t.uid));
                let latest = latest_injection_of(status, &fault);
                self.spawn(faults::kill(s, fault, targets, latest));
            }
            Effect::AwaitReplacement { fault } => {
                if let Some(recorded) = status.faults.iter().find(|f| f.name == fault) {
                    let watch = self.spawn_watch(replacement::watch(s, fault.clone(), Behind::of(recorded)));
                    if let Ok(mut watches) = self.watches.lock() {
                        watches.insert(fault, watch);
                    }
                }
            }
            Effect::LeaveTargets { fault } => {
                let watch = self.watches.lock().ok().and_then(|mut watches| watches.remove(&fault));
                watch.iter().for_each(AbortHandle::abort);
            }
            Effect::Watch { queries } => self.spawn(guardrails::watch(s, queries)),
            Effect::StopLoad { runners } => self.spawn(runners::stop_load(s, runners)),
            Effect::WatchSystem => self.spawn(system::watch(s, status.clone())),
            Effect::LookAtSystem => self.spawn(system::look(s, status.clone())),
            Effect::Teardown { scenario, runner } => self.spawn(runners::tear_down(s, scenario, runner)),
            Effect::CountRequests { runners } => self.spawn(runners::count_requests(s, runners)),
            Effect::Release { runners } => self.spawn(objects::release(s, runners)),
            Effect::KeepLogs => {
                let started = status.load_started().is_some();
                self.spawn(logs::keep(s, started));
            }
            Effect::Settle { again } => self.spawn(evaluate::settle(s, status.clone(), again)),
            Effect::Evaluate => self.spawn(evaluate::evaluate(s, status.clone())),
            Effect::FetchHistory => self.spawn(history::fetch(s, status.clone())),
            Effect::KeepRecord(draft) => self.spawn(report::keep(s, draft)),
            Effect::DeletePods => {
                let created = status.runners.as_ref().is_some_and(|r| r.created_at.is_some());
                self.spawn(deletion::delete_pods(s, created));
            }
        }
    }

    /// The answers that the run kept are dropped, and others may have their room.
    pub fn give_up_room(&self) {
        self.shared.change_room(|room| *room = None);
    }

    fn spawn(&self, effect: impl Future<Output = ()> + Send + 'static) {
        self.spawn_watch(effect);
    }

    /// An effect that may have to end before its run.
    fn spawn_watch(&self, effect: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let task = tokio::spawn(effect.in_current_span());
        if let Ok(mut tasks) = self.tasks.lock() {
            tasks.retain(|t| !t.is_finished());
            tasks.push(task.abort_handle());
        }
        task.abort_handle()
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        if let Ok(tasks) = self.tasks.lock() {
            tasks.iter().for_each(AbortHandle::abort);
        }
    }
}

fn targets_of(status: &LoadTestStatus, fault: &str) -> Vec<loadtest_crds::TargetStatus> {
    status.faults.iter().find(|f| f.name == fault).map(|f| f.targets.clone()).unwrap_or_default()
}

fn latest_injection_of(status: &LoadTestStatus, fault: &str) -> Timestamp {
    let recorded = status.faults.iter().find(|f| f.name == fault);
    recorded.and_then(latest_injection).unwrap_or(Timestamp::MIN)
}

impl Shared {
    /// Where the run's questions go.
    pub fn stores(&self) -> Stores {
        Stores::of(&self.context, &self.plan)
    }

    /// Hands a fact to the run.
    pub fn tell(&self, fact: Fact) {
        tracing::debug!(fact = fact.name(), "told");
        // A run that has ended needs no more facts.
        let _ = self.facts.send(fact);
    }

    /// Returns when the run is told to end, or its object is gone.
    pub async fn told_to_end(&self) {
        let _ = self.object.clone().wait_for(|object| is_to_end(object) != (false, false)).await;
    }

    /// Says that the API server has refused something, and that it was given up.
    pub fn refused(&self, what: &str, refused: &GivenUp) {
        tracing::warn!(why = refused.why, "failed to {what}: refused");
        events::given_up(&self.context, &self.test, what, refused);
    }

    pub fn change_room<T>(&self, change: impl FnOnce(&mut Option<Held>) -> T) -> T {
        change(&mut self.room.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.own.client.clone(), &self.plan.names.namespace)
    }

    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.context.own.client.clone(), &self.plan.names.namespace)
    }

    /// The state of one runner's pod as the watch knows it.
    pub fn runner_state(&self, id: &RunnerId) -> Option<PodState> {
        observe::state_of(&self.store, &self.plan.names, &self.plan.names.runner_pod(id))
    }

    /// The address of one runner, while it runs.
    pub fn runner_ip(&self, id: &RunnerId) -> Option<String> {
        match self.runner_state(id) {
            Some(PodState::Running { ip }) => Some(ip),
            _ => None,
        }
    }
}
