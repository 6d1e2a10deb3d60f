//! Manifests of LoadTests, kept as the user wrote them: the API server, not this program, says which fields there
//! are, so that a misspelt one is refused and one that is newer than this program is not lost.

use kube::api::DynamicObject;
use loadtest_crds::{GROUP, SERIES_LABEL};
use serde_json::{Map, Value, json};
use thiserror::Error;

const API_VERSION: &str = "loadtest.dev/v1alpha1";

/// Labels by which deployment tools find what they own. A sibling that bore them would be pruned or overwritten.
const TOOL_LABELS: [&str; 5] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/",
    "helm.toolkit.fluxcd.io/",
    "kustomize.toolkit.fluxcd.io/",
];

/// Metadata that a person writes. The rest is the cluster's, and stands in manifests that were read back from one.
const OWN_METADATA: [&str; 5] = ["name", "generateName", "namespace", "labels", "annotations"];

#[derive(Debug, Error)]
pub enum ManifestError {
    #[error("this is no YAML:\n{0}")]
    Syntax(String),

    #[error("no LoadTest in it")]
    Empty,

    #[error("document {index} has no kind")]
    NoKind { index: usize },

    #[error("document {index} is a {kind}{}", name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
    OtherKind { index: usize, kind: String, name: Option<String> },

    #[error("document {index} has the apiVersion `{found}`")]
    OtherVersion { index: usize, found: String },

    #[error("document {index} has neither metadata.name nor metadata.generateName")]
    NoName { index: usize },

    #[error("LoadTest {name} is for the namespace {found}, not {wanted}")]
    OtherNamespace { name: String, found: String, wanted: String },

    #[error("--name names one run, and there are {0} in this file")]
    SeveralNames(usize),
}

impl ManifestError {
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Empty | Self::NoKind { .. } => {
                format!("a LoadTest begins with apiVersion: {API_VERSION} and kind: LoadTest")
            }
            Self::OtherKind { .. } => {
                "run starts LoadTests alone: keep what they need (scripts, service accounts) in \
                                       another file and give that to kubectl apply -f"
                    .to_owned()
            }
            Self::OtherVersion { .. } => format!("write apiVersion: {API_VERSION}"),
            Self::NoName { .. } => "write metadata.name, or give one with --name".to_owned(),
            Self::OtherNamespace { found, .. } => format!("leave out -n, or give -n {found}"),
            Self::SeveralNames(_) => "leave out --name, or split the file".to_owned(),
            Self::Syntax(_) => return None,
        })
    }
}

/// A LoadTest to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    object: Map<String, Value>,
}

/// Reads every document of a manifest. Lists (`kind: List`) are taken apart.
pub fn parse(text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
    let mut manifests = Vec::new();
    for (i, document) in documents.into_iter().enumerate() {
        let index = i + 1;
        let is_list = document["kind"] == "List" || document["kind"] == "LoadTestList";
        match document {
            Value::Null => {}
            Value::Object(mut object) if is_list => {
                let items = object.remove("items").and_then(|items| match items {
                    Value::Array(items) => Some(items),
                    _ => None,
                });
                for item in items.unwrap_or_default() {
                    manifests.push(one(item, index)?);
                }
            }
            document => manifests.push(one(document, index)?),
        }
    }
    if manifests.is_empty() { Err(ManifestError::Empty) } else { Ok(manifests) }
}

fn one(document: Value, index: usize) -> Result<Manifest, ManifestError> {
    let Value::Object(object) = document else { return Err(ManifestError::NoKind { index }) };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind.is_empty() {
        return Err(ManifestError::NoKind { index });
    }
    let ours = api_version.split('/').next() == Some(GROUP);
    if kind != "LoadTest" || (!ours && api_version.contains('/')) {
        let name = object.get("metadata").and_then(|m| m["name"].as_str()).map(str::to_owned);
        return Err(ManifestError::OtherKind { index, kind, name });
    }
    if api_version != API_VERSION {
        return Err(ManifestError::OtherVersion { index, found: api_version });
    }
    let manifest = Manifest { object };
    if manifest.name().is_none() && manifest.generate_name().is_none() {
        return Err(ManifestError::NoName { index });
    }
    Ok(manifest)
}

impl Manifest {
    /// The manifest of an object that exists.
    pub fn of_object(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        serde_json::to_value(object).and_then(serde_json::from_value).map(|object| Self { object })
    }

    fn metadata(&self) -> Option<&Map<String, Value>> {
        self.object.get("metadata")?.as_object()
    }

    fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata()?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    pub fn name(&self) -> Option<&str> {
        self.metadata_text("name")
    }

    pub fn generate_name(&self) -> Option<&str> {
        self.metadata_text("generateName")
    }

    pub fn namespace(&self) -> Option<&str> {
        self.metadata_text("namespace")
    }

    /// What runs of this kind share: the series label, else what the operator says, else the name without the part that
    /// the cluster made up.
    pub fn series(&self) -> String {
        let labelled = self.metadata().and_then(|m| m.get("labels")?.get(SERIES_LABEL)?.as_str());
        let told = || self.object.get("status")?.get("series")?.as_str();
        let generated = || Some(self.generate_name()?.trim_end_matches(['-', '.']));
        labelled.or_else(told).or_else(generated).or_else(|| self.name()).unwrap_or("run").to_owned()
    }

    /// As it is created in a namespace: what only the cluster writes is left out, and a run that was stopped is not
    /// born stopped.
    pub fn fresh(&self, namespace: &str) -> Self {
        let mut metadata = self.metadata().cloned().unwrap_or_default();
        metadata.retain(|key, _| OWN_METADATA.contains(&key.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        metadata.insert("namespace".to_owned(), json!(namespace));
        if metadata.contains_key("name") {
            metadata.remove("generateName");
        }
        let mut object = self.object.clone();
        object.insert("metadata".to_owned(), Value::Object(metadata));
        object.remove("status");
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            spec.remove("stop");
        }
        Self { object }
    }

    pub fn with_name(mut self, name: &str) -> Self {
        if let Some(Value::Object(metadata)) = self.object.get_mut("metadata") {
            metadata.insert("name".to_owned(), json!(name));
            metadata.remove("generateName");
        }
        self
    }

    /// Another run of the same kind, with a name that the cluster completes.
    pub fn sibling(&self, namespace: &str) -> Self {
        let series = self.series();
        let mut sibling = self.fresh(namespace);
        if let Some(Value::Object(metadata)) = sibling.object.get_mut("metadata") {
            metadata.remove("name");
            metadata.remove("annotations");
            metadata.insert("generateName".to_owned(), json!(format!("{series}-")));
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.retain(|key, _| !TOOL_LABELS.iter().any(|tool| key.starts_with(tool)));
                labels.insert(SERIES_LABEL.to_owned(), json!(series));
            }
        }
        sibling
    }

    pub fn to_json(&self) -> Vec<u8> {
        Value::Object(self.object.clone()).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str =
        "apiVersion: loadtest.dev/v1alpha1\nkind: LoadTest\nmetadata: {name: chat}\nspec: {scenarios: []}\n";

    fn value(manifest: &Manifest) -> Value {
        serde_json::from_slice(&manifest.to_json()).unwrap()
    }

    #[test]
    fn every_document_is_read_and_empty_ones_are_skipped() {
        let text = format!("---\n{CHAT}---\n# nothing here\n---\n{}", CHAT.replace("chat", "mail"));
        let names: Vec<_> = parse(&text).unwrap().iter().map(|m| m.name().unwrap().to_owned()).collect();
        assert_eq!(names, ["chat", "mail"]);
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: loadtest.dev/v1alpha1\n  kind: LoadTest\n  metadata: {generateName: chat-}\n";
        let manifests = parse(text).unwrap();
        assert_eq!(manifests.len(), 1);
        assert_eq!(manifests[0].series(), "chat");
    }

    #[test]
    fn other_kinds_are_refused_with_advice() {
        let text = format!("{CHAT}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: script}}\n");
        let error = parse(&text).unwrap_err();
        assert_eq!(error.to_string(), "document 2 is a ConfigMap (script)");
        assert!(error.advice().unwrap().contains("kubectl apply -f"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            ("", "no LoadTest in it"),
            ("just text", "document 1 has no kind"),
            (
                "apiVersion: loadtest.dev/v1\nkind: LoadTest",
                "document 1 has the apiVersion `loadtest.dev/v1`",
            ),
            ("kind: LoadTest", "document 1 has the apiVersion ``"),
            (
                "apiVersion: loadtest.dev/v1alpha1\nkind: LoadTest",
                "document 1 has neither metadata.name nor metadata.generateName",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
        assert!(parse("a: [").unwrap_err().to_string().starts_with("this is no YAML"));
    }

    #[test]
    fn what_the_cluster_wrote_is_left_out() {
        let text = "apiVersion: loadtest.dev/v1alpha1\nkind: LoadTest\nmetadata:\n  name: chat\n  uid: x\n  resourceVersion: '5'\n  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', keep: me}\nspec: {stop: true, prometheus: main}\nstatus: {phase: Finished}\n";
        let fresh = parse(text).unwrap()[0].fresh("loadtests");
        assert_eq!(
            value(&fresh),
            json!({
                "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
                "metadata": {"name": "chat", "namespace": "loadtests", "annotations": {"keep": "me"}},
                "spec": {"prometheus": "main"},
            })
        );
    }

    #[test]
    fn a_sibling_has_the_same_spec_and_its_series_as_label() {
        let text = "apiVersion: loadtest.dev/v1alpha1\nkind: LoadTest\nmetadata:\n  name: chat\n  labels: {team: a, argocd.argoproj.io/instance: x}\nspec: {prometheus: main}\n";
        let sibling = parse(text).unwrap()[0].sibling("loadtests");
        assert_eq!(
            value(&sibling)["metadata"],
            json!({
                "namespace": "loadtests", "generateName": "chat-",
                "labels": {"team": "a", "loadtest.dev/series": "chat"},
            })
        );
        assert_eq!(value(&sibling)["spec"], json!({"prometheus": "main"}));
    }

    #[test]
    fn siblings_of_siblings_stay_in_the_series() {
        let text = "apiVersion: loadtest.dev/v1alpha1\nkind: LoadTest\nmetadata:\n  name: chat-x7k2p\n  generateName: chat-\n  labels: {loadtest.dev/series: chat}\n";
        let again = parse(text).unwrap()[0].sibling("loadtests");
        assert_eq!(again.generate_name(), Some("chat-"));
        assert_eq!(again.name(), None);
        assert_eq!(again.series(), "chat");
    }

    #[test]
    fn figures_and_versions_stay_what_the_user_wrote() {
        let text = format!("{CHAT}  \n").replace(
            "scenarios: []",
            "runner: {image: 'grafana/k6:1.8.1'}, objectives: [{atMost: 0.1%, warnAbove: 250ms}]",
        );
        let spec = value(&parse(&text).unwrap()[0])["spec"].clone();
        assert_eq!(spec["objectives"][0], json!({"atMost": "0.1%", "warnAbove": "250ms"}));
    }
}
