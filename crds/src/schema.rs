//! What the derives of the schema leave to be said: rules that several types share, and corrections.

use schemars::{Schema, transform::transform_subschemas};
use serde_json::{Map, Value, json};

/// A name that becomes part of pod names and labels.
pub(crate) const NAME: &str = "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')";

/// A key of a label, with or without a prefix.
pub(crate) const LABEL_KEY: &str =
    "self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')";

/// A value of a label.
pub(crate) const LABEL_VALUE: &str = "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')";

/// Said of a value of a label that is none.
pub(crate) const LABEL_VALUE_MESSAGE: &str = "the value of a label has letters, digits, '-', '_' and '.', as in dbman: write each label with a key of its own";

/// The name of an object in a namespace.
pub(crate) const OBJECT: &str =
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";

/// Said of a name that is none.
pub(crate) const NAME_MESSAGE: &str =
    "use lower-case letters, digits and '-', and begin and end with a letter or digit, as in kill-dbman";

/// A rule with its message, for schemas that are written by hand.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// A rule on a text, whose message begins with the text: the API server shows only its type.
pub(crate) fn text_rule(rule: &str, message: &str) -> Value {
    let shown = format!("'`' + self + '`: ' + {}", cel_string(message));
    json!({ "rule": rule, "message": message, "messageExpression": shown })
}

/// Puts the name of a list's entry before the messages of its rules: the API server shows only its index.
pub(crate) fn with_names(schema: &mut Schema) {
    let Some(Value::Array(rules)) =
        schema.get_mut("items").and_then(|items| items.get_mut("x-kubernetes-validations"))
    else {
        return;
    };
    for rule in rules {
        if let Some(message) = rule["message"].as_str() {
            rule["messageExpression"] = json!(format!("self.name + ': ' + {}", cel_string(message)));
        }
    }
}

fn cel_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Corrects what the derive makes of a type and of all that is in it.
pub(crate) fn corrected(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        without_null(object);
        if let Some(Value::String(description)) = object.get_mut("description") {
            *description = flowing(description);
        }
    }
    transform_subschemas(&mut corrected, schema);
}

/// Makes an optional field optional and no more. The derive makes each of them nullable too; then
/// `podKill:` with nothing behind it, which is null in YAML, would count as written for CEL's `has()`, and pass
/// the very rule that asks for it. Without `nullable` the API server drops a null before it checks the object.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [single] = types.as_slice() {
            let single = single.clone();
            object.insert("type".to_owned(), single);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|v| !v.is_null());
    }
    merge_single_choice(object);
}

/// A doc comment as `kubectl explain` wraps it best: each paragraph one line, examples as they stand, indented.
fn flowing(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut example, mut open) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            example = !example;
            open = false;
        } else if example {
            lines.push(format!("  {line}"));
        } else if line.is_empty() {
            lines.push(String::new());
            open = false;
        } else if let Some(last) = lines.last_mut().filter(|_| open) {
            last.push(' ');
            last.push_str(line);
        } else {
            lines.push(line.to_owned());
            open = true;
        }
    }
    lines.join("\n")
}

/// `anyOf: [X, null]` becomes X, under the description that the field has.
fn merge_single_choice(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|c| c.get("type") != Some(&json!("null")));
    let [Value::Object(only)] = choices.as_slice() else { return };
    let only = only.clone();
    object.remove("anyOf");
    for (key, value) in only {
        object.entry(key).or_insert(value);
    }
}

/// Removes the defaults that serde's struct-level `default` leaves in the schema: a status is written by the
/// operator, and what it leaves out must stay out. The keys of a list map stay required.
pub(crate) fn without_defaults(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for property in properties.values_mut() {
        if let Some(property) = property.as_object_mut() {
            property.remove("default");
        }
    }
    if properties.contains_key("name") {
        schema.insert("required".to_owned(), json!(["name"]));
    }
}

/// Resources of a pod, by name.
pub(crate) fn resources(description: &str) -> Schema {
    schemars::json_schema!({
        "description": description,
        "type": "object",
        "default": {},
        "maxProperties": 8,
        "additionalProperties": {
            "description": "A quantity, as in `500m` or `256Mi`.",
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "x-kubernetes-validations": [rule(
                "type(self) == int || isQuantity(self)",
                "write a quantity, as in 500m or 2 for cpu and 256Mi for memory",
            )]
        }
    })
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use super::*;

    #[test]
    fn paragraphs_flow_and_examples_stand() {
        let text = "One\nparagraph.\n\nFor example:\n\n```yaml\n- a: 1\n  b: 2\n```";
        assert_eq!(flowing(text), "One paragraph.\n\nFor example:\n\n  - a: 1\n    b: 2");
    }

    fn rules(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                let own = fields.get("x-kubernetes-validations").and_then(Value::as_array);
                found.extend(
                    own.into_iter().flatten().filter_map(|rule| rule["rule"].as_str()).map(str::to_owned),
                );
                fields.values().for_each(|field| rules(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
            _ => {}
        }
    }

    /// `duration()` of what is none is an error of its own, which is read before what the field's own rule says; and
    /// Go's durations end at 292 years.
    #[test]
    fn no_rule_reads_a_length_of_time_that_may_be_none() {
        const READABLE: &str =
            ".matches('^([0-9]{1,9}([.][0-9]{1,9})?(ms|s)|[0-9]{1,5}([.][0-9]{1,9})?[mh])+$')";
        let mut found = Vec::new();
        rules(&serde_json::to_value(crate::LoadTest::crd()).unwrap(), &mut found);
        let reading: Vec<&String> = found.iter().filter(|rule| rule.contains("duration(self")).collect();
        assert!(reading.len() > 2, "{reading:#?}");
        for rule in reading {
            assert!(rule.contains(READABLE), "{rule}");
        }
    }

    #[test]
    fn a_choice_with_null_is_no_choice() {
        let mut schema = schemars::json_schema!({
            "description": "Ours.",
            "anyOf": [{ "type": "string", "enum": ["A"], "description": "Theirs." }, { "type": "null" }]
        });
        corrected(&mut schema);
        assert_eq!(schema.to_value(), json!({ "description": "Ours.", "type": "string", "enum": ["A"] }));
    }
}
