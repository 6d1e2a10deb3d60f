//! Pods that a LoadTest names by their labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{LABEL_KEY, LABEL_VALUE, LABEL_VALUE_MESSAGE, NAME, rule, text_rule};

/// Pods of one namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// Namespace of the pods. Default: the LoadTest's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(NAME).message("a namespace has lower-case letters, digits and '-', as in msg-server"))]
    pub namespace: Option<String>,

    /// Labels of the pods, as in `matchLabels: {app: dbman}`. An empty selector is refused.
    #[x_kube(validation = Rule::new("(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)").message("an empty selector would match every pod of the namespace: write matchLabels, as in {app: dbman}"))]
    #[schemars(schema_with = "selector_schema")]
    pub selector: LabelSelector,
}

impl Pods {
    /// Their namespace, for a LoadTest in the namespace `own`.
    #[must_use]
    pub fn namespace_in(&self, own: &str) -> String {
        self.namespace.clone().unwrap_or_else(|| own.to_owned())
    }
}

/// A label selector with bounds, so that the cost of its rules is bounded too. The type of k8s-openapi has
/// neither bounds nor descriptions.
fn selector_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Labels of the pods, as in `matchLabels: {app: dbman}`. An empty selector is refused.",
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels that a pod must have, all of them, as in `{app: dbman}`.",
                "type": "object",
                "maxProperties": 16,
                "additionalProperties": {
                    "type": "string",
                    "maxLength": 63,
                    "x-kubernetes-validations": [text_rule(LABEL_VALUE, LABEL_VALUE_MESSAGE)]
                }
            },
            "matchExpressions": {
                "description": "Conditions on labels, all of which must hold.",
                "type": "array",
                "maxItems": 16,
                "items": {
                    "description": "One condition on a label.",
                    "type": "object",
                    "required": ["key", "operator"],
                    "x-kubernetes-validations": [
                        rule(
                            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
                            "In and NotIn need values, as in values: [blue, green]"
                        ),
                        rule(
                            "self.operator in ['In', 'NotIn'] || !has(self.values) || self.values.size() == 0",
                            "Exists and DoesNotExist take no values"
                        )
                    ],
                    "properties": {
                        "key": {
                            "description": "Key of the label.",
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 317,
                            "x-kubernetes-validations": [text_rule(
                                LABEL_KEY,
                                "write the key of a label, as in app or app.kubernetes.io/name"
                            )]
                        },
                        "operator": {
                            "description": "In, NotIn, Exists or DoesNotExist.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"]
                        },
                        "values": {
                            "description": "Values for In and NotIn.",
                            "type": "array",
                            "maxItems": 32,
                            "items": {
                                "type": "string",
                                "maxLength": 63,
                                "x-kubernetes-validations": [text_rule(LABEL_VALUE, LABEL_VALUE_MESSAGE)]
                            }
                        }
                    }
                }
            }
        }
    })
}
