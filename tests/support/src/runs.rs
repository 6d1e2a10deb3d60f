//! A LoadTest on its way, as a test follows it.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
    runtime::wait::await_condition,
};
use loadtest_crds::{
    FaultStatus, LoadTest, LoadTestStatus, ObjectiveStatus, Phase, Verdict, WindowKind, WindowResult,
};
use serde_json::{Value, json};

use crate::{stage::Stage, wait::eventually};

/// The longest that any run of the suite takes.
const FINISH: Duration = Duration::from_secs(300);
/// What is left to do after the verdict: pods and finalizer go.
const CLEAN_UP: Duration = Duration::from_secs(60);

/// One run.
pub struct Run<'a> {
    stage: &'a Stage,
    pub name: String,
    pub uid: String,
}

impl<'a> Run<'a> {
    pub(crate) async fn create(stage: &'a Stage, object: &Value) -> Run<'a> {
        // As it was written: through our own types it would arrive with every default filled in.
        let resource = ApiResource::erase::<LoadTest>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), &stage.namespace, &resource);
        let object: DynamicObject = serde_json::from_value(object.clone())
            .unwrap_or_else(|error| panic!("this is no object: {error}"));
        let made = api
            .create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("the LoadTest is refused: {error}"));
        Run { stage, name: made.name_any(), uid: made.uid().unwrap_or_default() }
    }

    /// Waits until the LoadTest is as it should be.
    ///
    /// # Panics
    /// When it is not within the time.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        holds: impl Fn(&LoadTest) -> bool,
    ) -> LoadTestStatus {
        let condition = |test: Option<&LoadTest>| test.is_some_and(&holds);
        let waited = await_condition(self.stage.runs(), &self.name, condition);
        match tokio::time::timeout(within, waited).await {
            Ok(Ok(test)) => test.and_then(|t| t.status).unwrap_or_default(),
            Ok(Err(error)) => panic!("failed to watch {}: {error}", self.name),
            Err(_) => {
                panic!("waited {within:?} for {} to be {what}; it is: {}", self.name, self.summary().await)
            }
        }
    }

    /// Its status without what a reader of a failed test need not see, and its pods.
    async fn summary(&self) -> String {
        let mut status = match self.stage.runs().get(&self.name).await {
            Ok(test) => serde_json::to_value(test.status.unwrap_or_default()).unwrap_or_default(),
            Err(error) => return error.to_string(),
        };
        for bulky in ["conditions", "objectives", "matched"] {
            status.as_object_mut().map(|fields| fields.remove(bulky));
        }
        let own = ListParams::default().labels(&format!("loadtest.dev/uid={}", self.uid));
        let pods = self.stage.pods().list(&own).await.map(|list| list.items).unwrap_or_default();
        let pods: Vec<String> = pods
            .iter()
            .map(|pod| {
                let deadline = pod.spec.as_ref().and_then(|s| s.active_deadline_seconds);
                let containers = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
                let state = containers.and_then(|all| all.first()).and_then(|c| c.state.as_ref());
                format!("{} (deadline {deadline:?}) {state:?}", pod.name_any())
            })
            .collect();
        format!("{status}\npods: {}", pods.join("\n"))
    }

    /// Waits for a phase.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn reached(&self, phase: Phase) -> LoadTestStatus {
        self.until(&format!("{phase:?}"), FINISH, |t| t.status.as_ref().is_some_and(|s| s.phase >= phase))
            .await
    }

    /// Waits for the verdict, and until nothing of the run is left but its record.
    ///
    /// # Panics
    /// When either does not come.
    pub async fn finished(&self) -> LoadTestStatus {
        self.reached(Phase::Finished).await;
        let released = |t: &LoadTest| t.finalizers().is_empty();
        let status = self.until("without its finalizer", CLEAN_UP, released).await;
        let left = self.pods().await;
        assert!(left.is_empty(), "pods of {} are left: {left:?}", self.name);
        status
    }

    /// Waits until the object is gone, and asserts that its pods are.
    ///
    /// # Panics
    /// When it stays.
    pub async fn gone(&self) {
        let gone = await_condition(self.stage.runs(), &self.name, |test: Option<&LoadTest>| test.is_none());
        let result = tokio::time::timeout(CLEAN_UP, gone).await;
        assert!(matches!(result, Ok(Ok(_))), "LoadTest {} is not gone within {CLEAN_UP:?}", self.name);
        let left = self.pods().await;
        assert!(left.is_empty(), "pods of {} are left: {left:?}", self.name);
    }

    /// Names of the run's pods.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn pods(&self) -> Vec<String> {
        let own = ListParams::default().labels(&format!("loadtest.dev/uid={}", self.uid));
        let pods = self.stage.pods().list(&own).await;
        pods.unwrap_or_else(|error| panic!("failed to list pods: {error}"))
            .iter()
            .map(ResourceExt::name_any)
            .collect()
    }

    /// Sets spec.stop.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stop(&self) {
        self.patch(json!({"spec": {"stop": true}})).await;
    }

    /// Sets a label, as a user may at any time.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn label(&self, key: &str, value: &str) {
        self.patch(json!({"metadata": {"labels": {key: value}}})).await;
    }

    async fn patch(&self, patch: Value) {
        let patched =
            self.stage.runs().patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        assert!(patched.is_ok(), "{patch} is refused: {patched:?}");
    }

    /// Deletes the LoadTest, without waiting for it to be gone.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn delete(&self) {
        let deleted = self.stage.runs().delete(&self.name, &DeleteParams::default()).await;
        assert!(deleted.is_ok(), "{} cannot be deleted: {:?}", self.name, deleted.err());
    }

    /// The kept log of one runner, as `chat-0`.
    ///
    /// # Panics
    /// When it was not kept.
    pub async fn log(&self, runner: &str) -> String {
        let maps: Api<ConfigMap> = Api::namespaced(self.stage.client.clone(), &self.stage.namespace);
        let name = format!("{}-logs", self.name);
        let map = eventually(&format!("ConfigMap {name}"), Duration::from_secs(30), || async {
            maps.get_opt(&name).await.ok().flatten()
        })
        .await;
        let key = format!("{runner}.log");
        let mut data = map.data.unwrap_or_default();
        let keys: Vec<String> = data.keys().cloned().collect();
        data.remove(&key).unwrap_or_else(|| panic!("{name} has no {key}, it has {keys:?}"))
    }
}

/// Asserts a verdict, its reason, and what its sentence says; and that the conditions agree with it.
///
/// # Panics
/// When it is another.
pub fn expect(status: &LoadTestStatus, verdict: Verdict, reason: &str, words: &[&str]) {
    let message = status.message.as_deref().unwrap_or_default();
    let found = (status.verdict, status.reason.as_deref());
    assert_eq!(found, (Some(verdict), Some(reason)), "{message}\ngrounds: {:#?}", status.grounds);
    for word in words {
        assert!(message.contains(word), "the message does not say {word:?}: {message}");
    }
    let truth = |yes: bool| if yes { "True" } else { "False" };
    let expected = [
        ("Complete", "True"),
        ("Passed", truth(verdict == Verdict::Pass)),
        ("Reconciling", "False"),
        ("Stalled", truth(verdict == Verdict::Error)),
        ("Ready", truth(verdict != Verdict::Error)),
    ];
    for (kind, is) in expected {
        let condition = status.conditions.iter().find(|c| c.type_ == kind);
        let condition = condition.unwrap_or_else(|| panic!("there is no condition {kind}"));
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str(), condition.message.as_str()),
            (is, reason, message),
            "condition {kind}"
        );
    }
}

/// The result of an objective in a window; that of the only one of its kind, where no fault is named.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn result<'a>(
    status: &'a LoadTestStatus,
    objective: &str,
    kind: WindowKind,
    fault: Option<&str>,
) -> &'a WindowResult {
    let objective = self::objective(status, objective);
    let found = objective.windows.iter().find(|w| w.window == kind && w.fault.as_deref() == fault);
    found.unwrap_or_else(|| panic!("no {kind:?} {fault:?} in {objective:#?}"))
}

/// An objective's results.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn objective<'a>(status: &'a LoadTestStatus, name: &str) -> &'a ObjectiveStatus {
    let found = status.objectives.iter().find(|o| o.name == name);
    found.unwrap_or_else(|| panic!("no objective {name}: {:#?}", status.objectives))
}

/// What became of a fault.
///
/// # Panics
/// When there is none of that name.
#[must_use]
pub fn fault<'a>(status: &'a LoadTestStatus, name: &str) -> &'a FaultStatus {
    status.faults.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no fault {name}"))
}
