//! The stage of one test on the cluster: namespaces of its own, an operator of its own, and nothing left after it.
//!
//! The operator is a child process with the rights that the chart gives it and no others: the chart's Roles are
//! rendered for this stage's namespaces, and the child gets a token of their service account. So a test can kill
//! and restart it, and a right that the chart forgot shows at once.

use std::{
    cell::RefCell,
    convert::Infallible,
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    time::Duration,
};

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use loadtest_crds::{LoadTest, Phase};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::MissedTickBehavior};

use crate::{
    cluster::client,
    install,
    namespace::Namespace,
    operator::{self, Launch, Operator},
    program::{kubectl, printed},
    proxy::Proxy,
    runs::Run,
    wait::eventually,
};

/// How much may be on stage at once, so that two cores do not decide what a test measures.
static ROOM: Semaphore = Semaphore::const_new(ROOM_SIZE as usize);
const ROOM_SIZE: u32 = 6;
/// A test that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(480);

/// The service account that may delete pods in the stage's target namespace.
pub const BREAKER: &str = "breaker";
/// May be acted as, but has no right on any target.
pub const IDLE: &str = "idle";
/// May be acted as, but does not exist.
pub const GHOST: &str = "ghost";
/// Endpoint of the configuration where nothing listens.
pub const REFUSED: &str = "refused";

/// What a test wants before it begins.
#[derive(Clone, Debug)]
pub struct Setup {
    name: &'static str,
    room: u32,
    failpoint: Option<&'static str>,
    each: bool,
    operator: bool,
    door: bool,
    pub(crate) write_path: Option<&'static str>,
    one_cpu: bool,
    limit: Duration,
}

/// Where a test plays.
pub struct Stage {
    pub client: Client,
    /// Where LoadTests are made.
    pub namespace: String,
    /// Where the targets of faults are.
    pub targets: String,
    namespaces: Vec<Namespace>,
    door: Option<Proxy>,
    pub(crate) setup: Setup,
    launch: RefCell<Option<Launch>>,
    operators: RefCell<Vec<Operator>>,
}

impl Setup {
    /// A stage with the given name, which becomes part of the names of its namespaces.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            room: 1,
            failpoint: None,
            each: false,
            operator: true,
            door: false,
            write_path: None,
            one_cpu: false,
            limit: LIMIT,
        }
    }

    /// How much of the room it takes: 1 for a run that never gets to its load, up to 6 to be alone.
    #[must_use]
    pub fn room(mut self, room: u32) -> Self {
        self.room = room.min(ROOM_SIZE);
        self
    }

    /// The operator kills itself when it first gets there: see `operator/src/failpoint.rs`.
    #[must_use]
    pub fn failpoint(mut self, name: &'static str) -> Self {
        self.failpoint = Some(name);
        self
    }

    /// Every operator kills itself there, whenever it gets there.
    #[must_use]
    pub fn failpoint_of_each(mut self, name: &'static str) -> Self {
        (self.failpoint, self.each) = (Some(name), true);
        self
    }

    /// For a test of many runs.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The operator has as many threads as with a limit of one CPU.
    #[must_use]
    pub fn one_cpu(mut self) -> Self {
        self.one_cpu = true;
        self
    }

    /// The runners are told to write to another path of the load store.
    #[must_use]
    pub fn write_path(mut self, path: &'static str) -> Self {
        self.write_path = Some(path);
        self
    }

    /// A way to the load store that the test can shut.
    #[must_use]
    pub fn with_door(mut self) -> Self {
        self.door = true;
        self
    }

    /// The test starts the operator itself.
    #[must_use]
    pub fn without_operator(mut self) -> Self {
        self.operator = false;
        self
    }

    /// Plays a test. When it is through, nothing may be left of its runs; whether it passes or not, nothing is
    /// left of its namespaces.
    ///
    /// # Panics
    /// When the test does, or leaves something behind.
    pub async fn play(self, test: impl AsyncFnOnce(&Stage)) {
        let (room, limit) = (self.room, self.limit);
        // Not on the clock of the test.
        operator::binary();
        let Ok(_place) = ROOM.acquire_many(room).await else { panic!("the stage is closed") };
        let stage = Stage::open(self).await;
        let whole = async {
            stage.equip().await;
            test(&stage).await;
            stage.assert_nothing_left().await;
        };
        let result = AssertUnwindSafe(tokio::time::timeout(limit, whole)).catch_unwind().await;
        let passed = matches!(result, Ok(Ok(())));
        if !passed {
            stage.print_evidence();
        }
        stage.close(passed).await;
        match result {
            Ok(Ok(())) => {}
            Ok(Err(_)) => panic!("the test was not over within {limit:?}"),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl Stage {
    async fn open(setup: Setup) -> Self {
        let client = client().await;
        let restricted = [("pod-security.kubernetes.io/enforce", "restricted"), ("loadtest.dev/e2e", "true")];
        let runs = Namespace::create(&client, &format!("e2e-{}", setup.name), &restricted).await;
        let targets = Namespace::create(&client, &format!("e2e-{}-t", setup.name), &restricted).await;
        let door = if setup.door { Some(install::door(&client).await) } else { None };
        Self {
            client,
            door,
            namespace: runs.name.clone(),
            targets: targets.name.clone(),
            namespaces: vec![runs, targets],
            setup,
            launch: RefCell::default(),
            operators: RefCell::default(),
        }
    }

    async fn equip(&self) {
        install::assert_ready(&self.client).await;
        let launch = install::operator(self, self.setup.failpoint, self.setup.one_cpu).await;
        let launch = Launch { each: self.setup.each, ..launch };
        *self.launch.borrow_mut() = Some(launch);
        if self.setup.operator {
            self.start_operator();
        }
    }

    /// The door to the load store.
    ///
    /// # Panics
    /// When the setup did not ask for one.
    #[must_use]
    pub fn door(&self) -> &Proxy {
        self.door
            .as_ref()
            .unwrap_or_else(|| panic!("the stage has no door: ask for it with Setup::with_door"))
    }

    pub(crate) fn door_address(&self) -> Option<std::net::SocketAddr> {
        self.door.as_ref().map(|door| door.address)
    }

    /// Starts an operator; after an earlier one was killed, its successor.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_operator(&self) {
        let launch = self.launch.borrow();
        let launch = launch.as_ref().unwrap_or_else(|| panic!("the stage is not equipped"));
        let mut operators = self.operators.borrow_mut();
        operators.push(Operator::start(launch));
    }

    /// What the operator that was started last holds of memory, in MiB.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn operator_memory(&self) -> f64 {
        let operators = self.operators.borrow();
        operators.last().unwrap_or_else(|| panic!("no operator was started")).memory()
    }

    /// SIGKILL for every operator that still runs.
    pub fn kill_operator(&self) {
        self.operators.borrow_mut().iter_mut().for_each(Operator::kill);
    }

    /// Looks after the operator as a kubelet does: goes on for as long as that would let it live.
    ///
    /// # Panics
    /// When it is silent three times in a row, and would be restarted.
    pub async fn keep_alive(&self) -> Infallible {
        let mut pause = tokio::time::interval(Duration::from_secs(1));
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        loop {
            pause.tick().await;
            let http = self.operators.borrow().last().map(|operator| operator.http);
            let Some(http) = http else { continue };
            silent = if operator::is_alive(http).await { 0 } else { silent + 1 };
            assert!(silent < 3, "the operator does not answer: it would be restarted");
        }
    }

    /// Returns when the operator has ended by itself, as at a failpoint.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn operator_ended(&self) {
        eventually("the operator to end at its failpoint", Duration::from_secs(180), || async {
            self.operators.borrow_mut().iter_mut().all(|o| !o.is_running()).then_some(())
        })
        .await;
    }

    /// The kubeconfig with the operator's own rights.
    #[must_use]
    pub fn operator_kubeconfig(&self) -> PathBuf {
        let launch = self.launch.borrow();
        launch.as_ref().map(|l| l.kubeconfig.clone()).unwrap_or_default()
    }

    /// The user that the operator's faults come from in the API server's audit log.
    #[must_use]
    pub fn user(&self, account: &str) -> String {
        format!("system:serviceaccount:{}:{account}", self.namespace)
    }

    /// Makes a LoadTest of this spec, as a user would: what it does not say is the API server's to fill in.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn run(&self, name: &str, spec: Value) -> Run<'_> {
        let object = json!({
            "apiVersion": "loadtest.dev/v1alpha1",
            "kind": "LoadTest",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        });
        Run::create(self, &object).await
    }

    /// The stage's LoadTests.
    #[must_use]
    pub fn runs(&self) -> Api<LoadTest> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Pods beside the LoadTests.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn assert_nothing_left(&self) {
        let tests = self.runs().list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default();
        for test in tests {
            let name = test.name_any();
            let phase = test.status.as_ref().map(|s| s.phase);
            assert_eq!(phase, Some(Phase::Finished), "LoadTest {name} is not finished");
            assert!(test.finalizers().is_empty(), "LoadTest {name} still has {:?}", test.finalizers());
        }
        let left = self.pods().list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default();
        let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
        assert!(left.is_empty(), "pods are left: {left:?}");
        for operator in self.operators.borrow_mut().iter_mut() {
            assert!(operator.is_running() || operator.was_killed(), "the operator has ended by itself");
            assert!(!operator.log().contains("panicked at"), "the operator has panicked");
        }
    }

    /// What a person would look at to find out why a test failed.
    fn print_evidence(&self) {
        for operator in self.operators.borrow().iter() {
            eprintln!("--- log of the operator, its last lines\n{}", operator.log_tail(80));
        }
        for namespace in [&self.namespace, &self.targets] {
            for what in [
                &["get", "loadtests", "-o", "yaml"][..],
                &["get", "pods", "-o", "wide"],
                &["get", "events", "--sort-by=.lastTimestamp"],
            ] {
                let args = [what, &["--namespace", namespace]].concat();
                eprintln!("--- kubectl {}\n{}", args.join(" "), printed(&kubectl(&args)));
            }
        }
    }

    async fn close(&self, passed: bool) {
        self.kill_operator();
        if passed && let Some(launch) = self.launch.borrow().as_ref() {
            // Only files of its own, and logs that nobody will read.
            let _ = std::fs::remove_dir_all(&launch.folder);
        }
        // Without an operator nobody takes the finalizers off, and the namespace would stay.
        let runs = self.runs();
        let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        for test in runs.list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default() {
            if let Err(error) = runs.patch(&test.name_any(), &PatchParams::default(), &off).await {
                eprintln!("failed to take the finalizers off {}: {error}", test.name_any());
            }
        }
        for namespace in &self.namespaces {
            namespace.delete().await;
        }
    }
}
