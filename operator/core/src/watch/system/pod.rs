//! What was seen of a pod of the system under test.

use std::collections::BTreeMap;

use jiff::Timestamp;
use loadtest_crds::HappeningKind;

/// A pod of the system under test as it is seen at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSeen {
    pub uid: String,
    pub name: String,
    /// What made it: the Deployment, StatefulSet or DaemonSet; empty for a bare pod.
    pub workload: String,
    /// Hash of the template that it was made from.
    pub revision: Option<String>,
    /// By container.
    pub images: BTreeMap<String, String>,
    /// By container: by resource, as in 500m for cpu. Not those of containers that only initialise.
    pub limits: BTreeMap<String, BTreeMap<String, String>>,
    pub ready: bool,
    /// It is being deleted.
    pub going: bool,
    /// All its containers have ended for good.
    pub over: bool,
    pub created_at: Option<Timestamp>,
    pub disruption: Option<Disruption>,
    pub containers: BTreeMap<String, ContainerSeen>,
}

/// Why the cluster takes a pod away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// Eviction or Node.
    pub kind: HappeningKind,
    pub why: String,
    pub at: Option<Timestamp>,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSeen {
    /// How often it was started again since the pod was made.
    pub restarts: i32,
    /// It has ended and does not run.
    pub ended_now: bool,
    /// How it last ended.
    pub last_end: Option<ContainerEnd>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerEnd {
    pub exit_code: i32,
    pub reason: String,
    /// By the clock of its node, to the second.
    pub at: Option<Timestamp>,
}

impl PodSeen {
    /// Neither on its way out nor at its end.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.going && !self.over
    }

    /// `dbman 5f7c6d9b9c`
    pub(crate) fn template(&self) -> Option<String> {
        let revision = self.revision.as_deref()?;
        Some(format!("{} {revision}", self.workload).trim().to_owned())
    }
}

impl ContainerSeen {
    /// How often it has ended.
    pub(crate) fn ends(&self) -> i32 {
        self.restarts + i32::from(self.ended_now)
    }

    pub(crate) fn was_out_of_memory(&self) -> bool {
        self.last_end.as_ref().is_some_and(|end| end.reason == "OOMKilled")
    }
}
