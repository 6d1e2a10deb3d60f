use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// A slice of the Service, of endpoints `(uid of the pod, conditions)`.
fn slice(service: &str, endpoints: &[(&str, Value)]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(uid, conditions)| {
            json!({
                "addresses": ["10.0.0.1"],
                "conditions": conditions,
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": uid, "uid": uid},
            })
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": format!("{service}-x"), "labels": {SERVICE_LABEL: service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
    }))
    .unwrap()
}

fn ready() -> Value {
    json!({"ready": true})
}

/// A pod `(uid, whether it is ready, its Services, a letter each)`.
fn pods(pods: &[(&str, bool, &str)]) -> Vec<Candidate> {
    let pod = |(uid, ready, serves): &(&str, bool, &str)| Candidate {
        name: (*uid).to_owned(),
        uid: (*uid).to_owned(),
        node: None,
        ready: *ready,
        serves: serves.chars().map(String::from).collect(),
    };
    pods.iter().map(pod).collect()
}

#[rstest]
#[case::ready(vec![slice("dbman", &[("a", ready())])], "dbman")]
#[case::not_ready(vec![slice("dbman", &[("a", json!({"ready": false}))])], "")]
#[case::serving_and_terminating(vec![slice("dbman", &[("a", json!({"ready": false, "serving": true}))])], "")]
#[case::no_condition_means_ready(vec![slice("dbman", &[("a", json!({}))])], "dbman")]
#[case::another_pod(vec![slice("dbman", &[("b", ready())])], "")]
#[case::two_services(vec![slice("dbman", &[("a", ready())]), slice("dbman-peers", &[("a", ready())])], "dbman dbman-peers")]
#[case::two_slices_of_one(vec![slice("dbman", &[("a", ready())]), slice("dbman", &[("a", ready())])], "dbman")]
#[case::ready_in_one_of_two(vec![slice("dbman", &[("a", json!({"ready": false}))]), slice("dbman", &[("a", ready())])], "dbman")]
#[case::no_slices(vec![], "")]
fn the_services_of_pod_a(#[case] slices: Vec<EndpointSlice>, #[case] expected: &str) {
    let services: Vec<String> = Endpoints::of(&slices).services("a").into_iter().collect();
    assert_eq!(services.join(" "), expected);
}

/// Slices of nobody, and endpoints that are no pods.
#[rstest]
#[case::no_label(json!({"labels": {}}), json!({"kind": "Pod", "uid": "a"}))]
#[case::no_pod(json!({"labels": {SERVICE_LABEL: "dbman"}}), json!({"kind": "Node", "uid": "a"}))]
#[case::no_uid(json!({"labels": {SERVICE_LABEL: "dbman"}}), json!({"kind": "Pod", "name": "a"}))]
#[case::no_target(json!({"labels": {SERVICE_LABEL: "dbman"}}), Value::Null)]
fn what_tells_of_no_pod(#[case] metadata: Value, #[case] target: Value) {
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": target}],
    }))
    .unwrap();
    assert_eq!(Endpoints::of([&slice]), Endpoints::default());
}

#[rstest]
#[case::one(&["a"], &[("a", true, "s"), ("b", true, "s")], &[("s", 2)])]
#[case::none(&["a"], &[("a", true, ""), ("b", true, "")], &[])]
#[case::of_the_picked_alone(&["a"], &[("a", true, "s"), ("b", true, "st")], &[("s", 2)])]
#[case::ready_alone(&["a"], &[("a", true, "s"), ("b", false, "s")], &[("s", 1)])]
#[case::blue_and_green(
    &["a", "c"],
    &[("a", true, "bs"), ("b", true, "bs"), ("c", true, "gs")],
    &[("b", 2), ("g", 1), ("s", 3)]
)]
fn recorded_with_the_intent(
    #[case] picked: &[&str],
    #[case] all: &[(&str, bool, &str)],
    #[case] expected: &[(&str, i32)],
) {
    let all = pods(all);
    let picked: Vec<Candidate> = all.iter().filter(|p| picked.contains(&p.uid.as_str())).cloned().collect();
    let found = services(&picked, &all);
    let found: Vec<(&str, i32)> = found.iter().map(|s| (s.name.as_str(), s.ready_before)).collect();
    assert_eq!(found, expected);
}

#[test]
fn no_more_than_16_services_are_recorded() {
    let all = pods(&[("a", true, "abcdefghijklmnopqrst")]);
    let found = services(&all, &all);
    let names: String = found.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, "abcdefghijklmnop");
}
