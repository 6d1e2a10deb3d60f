//! Every bound in the schema, found by walking it, and broken by one.

use kube::CustomResourceExt;
use loadtest_crds::LoadTest;
use serde_json::{Value, json};

use crate::server::Server;

/// A bound of the schema with a value on it and a value beyond it.
struct Bound {
    /// The way to the value: names of fields, and 0 for the first entry of a list.
    path: Vec<Step>,
    kind: &'static str,
    on: Option<Value>,
    beyond: Value,
    /// Part of the API server's words.
    words: &'static str,
}

#[derive(Clone)]
enum Step {
    Field(String),
    First,
}

#[tokio::test]
async fn every_bound_holds_where_the_schema_says() {
    let server = Server::new().await;
    let schema = spec_schema();
    let mut bounds = Vec::new();
    collect(&schema, &[], &mut bounds);
    assert!(bounds.len() > 100, "found only {} bounds", bounds.len());
    let mut wrong = Vec::new();
    for bound in &bounds {
        let name = format!("{} of {}", bound.kind, shown(&bound.path));
        match server.try_spec(&build(&schema, &bound.path, &bound.beyond)).await {
            Ok(_) => wrong.push(format!("{name}: accepted beyond it")),
            Err(status) if mentions(&status.message, bound) => {}
            Err(status) => wrong.push(format!("{name}: refused with other words: {}", status.message)),
        }
        let Some(on) = &bound.on else { continue };
        // Rules may refuse such a value for reasons of their own.
        if let Err(status) = server.try_spec(&build(&schema, &bound.path, on)).await
            && mentions(&status.message, bound)
        {
            wrong.push(format!("{name}: refused on it: {}", status.message));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_text_list_and_map_of_the_spec_is_bounded() {
    let mut unbounded = Vec::new();
    collect_unbounded(&spec_schema(), &[], &mut unbounded);
    assert!(unbounded.is_empty(), "{unbounded:#?}");
}

pub fn spec_schema() -> Value {
    let crd = serde_json::to_value(LoadTest::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// True when the message refuses the value at the bound's path in the bound's words.
fn mentions(message: &str, bound: &Bound) -> bool {
    let path = shown(&bound.path);
    message.match_indices(&path).any(|(at, _)| {
        let rest = &message[at + path.len()..];
        let this = rest.split(", spec.").next().unwrap_or(rest);
        this.starts_with([':', ' ']) && this.contains(bound.words)
    })
}

fn collect(schema: &Value, path: &[Step], bounds: &mut Vec<Bound>) {
    let mut add = |kind, on: Option<Value>, beyond: Value, words| {
        bounds.push(Bound { path: path.to_vec(), kind, on, beyond, words });
    };
    let size = |name: &str| schema[name].as_u64().and_then(|n| usize::try_from(n).ok());
    if let Some(most) = size("maxLength") {
        add("maxLength", Some(json!("1".repeat(most))), json!("1".repeat(most + 1)), "may not be more than");
    }
    if let Some(least) = size("minLength") {
        add("minLength", Some(json!("1".repeat(least))), json!("1".repeat(least - 1)), "should be at least");
    }
    if let Some(most) = schema["maximum"].as_f64() {
        add("maximum", Some(json!(most as i64)), json!(most as i64 + 1), "less than or equal to");
    }
    if let Some(least) = schema["minimum"].as_f64() {
        add("minimum", Some(json!(least as i64)), json!(least as i64 - 1), "greater than or equal to");
    }
    if let Some(most) = size("maxItems") {
        let items = |n: usize| Value::Array((0..n).map(|i| entry(&schema["items"], i)).collect());
        // A set of an enum cannot hold more entries than the enum has values without repeating one.
        add("maxItems", Some(items(most)), items(most + 1), "must have at most");
    }
    if let Some(least) = size("minItems") {
        let items = |n: usize| Value::Array((0..n).map(|i| entry(&schema["items"], i)).collect());
        add("minItems", Some(items(least)), items(least - 1), "should have at least");
    }
    if let Some(most) = size("maxProperties") {
        let map = |n: usize| Value::Object((0..n).map(|i| (format!("k{i}"), json!("1"))).collect());
        add("maxProperties", Some(map(most)), map(most + 1), "must have at most");
    }
    if schema["enum"].is_array() {
        add("enum", None, json!("Nonsense"), "Unsupported value");
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut path = path.to_vec();
        path.push(Step::Field(name.to_owned()));
        bounds.push(Bound { path, kind: "required", on: None, beyond: Value::Null, words: "Required value" });
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        collect(field, &[path, &[Step::Field(name.clone())]].concat(), bounds);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &[path, &[Step::First]].concat(), bounds);
    }
}

/// An entry of a list that differs from the others by its index.
fn entry(items: &Value, index: usize) -> Value {
    if let Some(values) = items["enum"].as_array() {
        return values[index % values.len()].clone();
    }
    match items["type"].as_str() {
        Some("object") => {
            let mut entry = smallest(items);
            if entry["name"].is_string() {
                entry["name"] = json!(format!("n{index}"));
            }
            entry
        }
        _ => json!(format!("e{index}")),
    }
}

/// A value with all required fields.
fn smallest(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields = required.map(|name| (name.to_owned(), smallest(&schema["properties"][name])));
            Value::Object(fields.collect())
        }
        Some("array") => json!([smallest(&schema["items"])]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("1s"),
    }
}

/// A spec with this value at this path, and what is required around it.
fn build(schema: &Value, path: &[Step], value: &Value) -> Value {
    let mut spec = json!({ "scenarios": [{ "name": "chat", "script": { "inline": "x" } }] });
    place(schema, &mut spec, path, value);
    spec
}

fn place(schema: &Value, object: &mut Value, path: &[Step], value: &Value) {
    match path {
        [] => *object = value.clone(),
        [Step::Field(name), rest @ ..] => {
            let field = &schema["properties"][name];
            if object[name].is_null() {
                object[name] = smallest(field);
            }
            if rest.is_empty() && value.is_null() {
                object.as_object_mut().unwrap().remove(name);
            } else {
                place(field, &mut object[name], rest, value);
            }
        }
        [Step::First, rest @ ..] => {
            if object[0].is_null() {
                *object = json!([smallest(&schema["items"])]);
            }
            place(&schema["items"], &mut object[0], rest, value);
        }
    }
}

fn shown(path: &[Step]) -> String {
    path.iter().fold("spec".to_owned(), |shown, step| match step {
        Step::Field(name) => format!("{shown}.{name}"),
        Step::First => format!("{shown}[0]"),
    })
}

fn collect_unbounded(schema: &Value, path: &[Step], unbounded: &mut Vec<String>) {
    let has = |bound: &str| !schema[bound].is_null();
    let bounded = match schema["type"].as_str() {
        Some("string") => has("maxLength") || has("enum"),
        Some("array") => has("maxItems"),
        Some("object") => !has("additionalProperties") || has("maxProperties"),
        Some("integer") => has("minimum") && has("maximum"),
        _ => true,
    };
    if !bounded {
        unbounded.push(shown(path));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        collect_unbounded(field, &[path, &[Step::Field(name.clone())]].concat(), unbounded);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            collect_unbounded(&schema[below], &[path, &[Step::First]].concat(), unbounded);
        }
    }
}
