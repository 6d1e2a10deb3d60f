//! The run's own pods as the watch has them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{ObjectRef, Store};
use loadtest_core::{
    machine::pods::{PodState, PodView, views},
    plan::{
        Plan,
        names::{RunNames, owner_of},
    },
};
use tokio::sync::watch;

/// The pods of all runs of a namespace.
#[derive(Clone)]
pub struct Pods {
    pub store: Store<Pod>,
    /// Turns true when the store has had its first whole list. Not `Store::wait_until_ready`, which wakes one of
    /// those who wait and forgets the others.
    pub complete: watch::Receiver<bool>,
}

/// All pods of one run, by name. By their names and their owner, for a user may edit labels.
pub fn pods(store: &Store<Pod>, plan: &Plan) -> BTreeMap<String, PodView> {
    views(plan, |name| own(store, &plan.names, name))
}

/// The run's own pod of this name.
fn own(store: &Store<Pod>, names: &RunNames, name: &str) -> Option<Arc<Pod>> {
    let pod = store.get(&ObjectRef::new(name).within(&names.namespace))?;
    (owner_of(&pod.metadata) == Some(names.uid.as_str())).then_some(pod)
}

/// How far the run's own pod of this name is.
pub fn state_of(store: &Store<Pod>, names: &RunNames, name: &str) -> Option<PodState> {
    own(store, names, name).map(|pod| PodState::of(&pod))
}
