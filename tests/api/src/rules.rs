//! Runs the cases, and sees that every rule of the schema is among them.

use kube::CustomResourceExt;
use loadtest_crds::LoadTest;
use serde_json::Value;

use crate::{
    cases,
    server::{Server, object, spec, yaml},
};

#[tokio::test]
async fn every_case_is_accepted_or_refused_as_it_says() {
    let server = Server::new().await;
    let mut wrong = Vec::new();
    for case in cases::all() {
        let shown: String = case.spec.to_string().chars().take(600).collect();
        match (server.try_spec(&case.spec).await, case.refused) {
            (Ok(_), None) => {}
            (Ok(_), Some(part)) => wrong.push(format!("accepted, not refused with {part:?}: {shown}")),
            (Err(status), None) => wrong.push(format!("refused: {}\n    {shown}", status.message)),
            // A rule that fails on what it is asked says so in words of its own, in front of all others.
            (Err(status), Some(_)) if status.message.contains("evaluating rule") => {
                wrong.push(format!("a rule was not guarded: {}\n    {shown}", status.message));
            }
            (Err(status), Some(part)) if status.message.contains(part) => {}
            (Err(status), Some(part)) => {
                wrong.push(format!("refused without {part:?}: {}\n    {shown}", status.message));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_case_that_breaks_it() {
    let crd = serde_json::to_value(LoadTest::crd()).unwrap();
    let mut messages = Vec::new();
    collect_messages(
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
        &mut messages,
    );
    assert!(messages.len() > 40, "found only {} rules", messages.len());
    let parts: Vec<_> = cases::all().into_iter().filter_map(|case| case.refused).collect();
    // These two need a stored object: `changes` tries them.
    let tried_elsewhere =
        ["a stopped run cannot be started again", "a LoadTest is one run and its spec never changes"];
    let untried: Vec<_> = messages
        .iter()
        .filter(|message| !parts.iter().chain(&tried_elsewhere).any(|part| message.contains(part)))
        .collect();
    assert!(untried.is_empty(), "no case breaks: {untried:#?}");
}

#[tokio::test]
async fn names_that_become_labels_are_short() {
    let server = Server::new().await;
    let name = |length: usize| object(&"a".repeat(length), &spec("{}"));
    server.try_object(name(63)).await.unwrap();
    let refused = server.try_object(name(64)).await.unwrap_err();
    assert!(refused.message.contains("use at most 63 characters"), "{}", refused.message);
}

#[tokio::test]
async fn a_name_can_be_generated() {
    let server = Server::new().await;
    let mut object = object("", &spec("{}"));
    object["metadata"] = yaml("generateName: chat-failover-");
    let accepted = server.try_object(object).await.unwrap();
    assert!(accepted.metadata.name.unwrap().starts_with("chat-failover-"));
}

fn collect_messages(schema: &Value, messages: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                messages.push(
                    rule["message"].as_str().unwrap_or_else(|| panic!("no message: {rule}")).to_owned(),
                );
            }
            fields.values().for_each(|field| collect_messages(field, messages));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_messages(item, messages)),
        _ => {}
    }
}
