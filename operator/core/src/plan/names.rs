//! Names and labels of everything that belongs to a run.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use loadtest_crds::GROUP;

/// A runner: scenario and index in it. Its text form, `chat-0`, is the tag `loadtest_runner` of its k6 metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerId {
    pub scenario: String,
    pub index: u32,
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.scenario, self.index)
    }
}

/// What a pod of a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Runner,
    Inspect,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Inspect => "inspect",
        }
    }
}

pub const UID_LABEL: &str = "loadtest.dev/uid";
pub const RUN_LABEL: &str = "loadtest.dev/run";
pub const SCENARIO_LABEL: &str = "loadtest.dev/scenario";
pub const ROLE_LABEL: &str = "loadtest.dev/role";
pub const INDEX_LABEL: &str = "loadtest.dev/index";
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
pub const MANAGER: &str = "loadtest-operator";

/// The names of one run's objects. Made from the LoadTest's own name and uid, without a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunNames {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl RunNames {
    #[must_use]
    pub fn runner_pod(&self, id: &RunnerId) -> String {
        format!("{}-{id}", self.name)
    }

    #[must_use]
    pub fn inspect_pod(&self, scenario: &str) -> String {
        format!("{}-{scenario}-inspect", self.name)
    }

    /// The ConfigMap that holds an inline script. With the uid, for it must be this run's: `a` with scenario `b-c` and
    /// `a-b` with scenario `c` would share a name, as would a run that was deleted and made anew.
    #[must_use]
    pub fn script_config_map(&self, scenario: &str) -> String {
        let uid: String = self.uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{}-{scenario}-script-{uid}", self.name)
    }

    /// The ConfigMap that keeps the logs of the runners.
    #[must_use]
    pub fn logs_config_map(&self) -> String {
        format!("{}-logs", self.name)
    }

    /// The ConfigMap that holds the record of the run.
    #[must_use]
    pub fn record_config_map(&self) -> String {
        format!("{}-record", self.name)
    }

    /// Labels of everything that belongs to the run.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned()),
            ("app.kubernetes.io/name".to_owned(), "k6".to_owned()),
            (RUN_LABEL.to_owned(), self.name.clone()),
            (UID_LABEL.to_owned(), self.uid.clone()),
        ])
    }

    /// Labels of one of the run's pods.
    #[must_use]
    pub fn pod_labels(&self, role: Role, scenario: &str, index: Option<u32>) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(ROLE_LABEL.to_owned(), role.as_str().to_owned());
        labels.insert(SCENARIO_LABEL.to_owned(), scenario.to_owned());
        if let Some(index) = index {
            labels.insert(INDEX_LABEL.to_owned(), index.to_string());
        }
        labels
    }
}

/// The uid of the LoadTest that an object belongs to. Labels may be edited, and anybody may write one.
#[must_use]
pub fn owner_of(object: &ObjectMeta) -> Option<&str> {
    let ours = |api: &str| api.split_once('/').is_some_and(|(group, _)| group == GROUP);
    let owners = object.owner_references.iter().flatten();
    owners
        .filter(|owner| owner.kind == "LoadTest" && ours(&owner.api_version))
        .map(|owner| owner.uid.as_str())
        .next()
}

/// The series of a run: its label, or its name without a generated or numbered suffix.
#[must_use]
pub fn series(name: &str, generate_name: Option<&str>, label: Option<&str>) -> String {
    if let Some(label) = label.filter(|l| !l.is_empty()) {
        return label.to_owned();
    }
    if let Some(prefix) = generate_name.map(|p| p.trim_end_matches('-')).filter(|p| !p.is_empty()) {
        return prefix.to_owned();
    }
    match name.rsplit_once('-') {
        Some((stem, suffix)) if !stem.is_empty() && suffix.chars().all(|c| c.is_ascii_digit()) => {
            stem.to_owned()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn an_object_belongs_to_its_owner_whatever_its_labels_say() {
        let owned = |kind: &str, api: &str| {
            serde_json::from_value::<ObjectMeta>(serde_json::json!({
                "labels": {UID_LABEL: "another"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "node"},
                    {"apiVersion": api, "kind": kind, "name": "chat", "uid": "uid-1"}
                ]
            }))
            .unwrap()
        };
        assert_eq!(owner_of(&owned("LoadTest", "loadtest.dev/v1alpha1")), Some("uid-1"));
        assert_eq!(owner_of(&owned("LoadTest", "example.org/v1")), None);
        assert_eq!(owner_of(&owned("Job", "batch/v1")), None);
        assert_eq!(owner_of(&ObjectMeta::default()), None);
    }

    #[rstest]
    #[case("chat-failover", None, None, "chat-failover")]
    #[case("chat-failover-7", None, None, "chat-failover")]
    #[case("chat-failover-x2k9q", Some("chat-failover-"), None, "chat-failover")]
    #[case("chat-failover-x2k9q", Some("chat-failover-"), Some("weekly"), "weekly")]
    fn series_of_a_name(
        #[case] name: &str,
        #[case] generate: Option<&str>,
        #[case] label: Option<&str>,
        #[case] expected: &str,
    ) {
        assert_eq!(series(name, generate, label), expected);
    }
}
