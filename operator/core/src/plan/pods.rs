//! Pods by their labels, checked: what is put together to a selector must not hold another one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use loadtest_crds::Pods;

use crate::plan::{
    error::Refusal,
    read::name,
    syntax::{is_label_key, is_label_value},
};

/// The namespace and the selector of pods that the spec names.
pub(super) fn checked(pods: &Pods, own: &str) -> Result<(String, LabelSelector), Refusal> {
    let namespace = name("namespace", &pods.namespace_in(own))?;
    let selector = pods.selector.clone();
    let labels = selector.match_labels.iter().flatten();
    let expressions = || selector.match_expressions.iter().flatten();
    let keys = labels.clone().map(|(key, _)| key).chain(expressions().map(|one| &one.key));
    let values =
        labels.map(|(_, value)| value).chain(expressions().flat_map(|one| one.values.iter().flatten()));
    if let Some(text) = keys.into_iter().find(|key| !is_label_key(key)) {
        return Err(Refusal::LabelKey(text.clone()));
    }
    if let Some(text) = values.into_iter().find(|value| !is_label_value(value)) {
        return Err(Refusal::LabelValue(text.clone()));
    }
    Ok((namespace, selector))
}

/// A selector as kubectl's `-l` takes it. Its keys and values are checked.
pub(super) fn selector_text(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}"));
    let expressions = selector.match_expressions.iter().flatten().map(|e| {
        let values = || e.values.as_deref().unwrap_or_default().join(",");
        match e.operator.as_str() {
            "In" => format!("{} in ({})", e.key, values()),
            "NotIn" => format!("{} notin ({})", e.key, values()),
            "DoesNotExist" => format!("!{}", e.key),
            _ => e.key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}
