use super::*;

const SHORT_FORM: &str = r#"{
  "vus": 5, "duration": "10s",
  "scenarios": {"default": {"executor": "constant-vus", "vus": 5, "duration": "10s"}},
  "totalDuration": "40s", "maxVUs": 5
}"#;
const NOTHING: &str = r#"{
  "vus": null,
  "scenarios": {"default": {"executor": "per-vu-iterations", "vus": null, "iterations": null, "maxDuration": null}},
  "totalDuration": "10m30s", "maxVUs": 1
}"#;
const RAMP: &str = r#"time="…" level=warning msg="something"
{
  "scenarios": {
    "steady": {"executor": "constant-arrival-rate", "rate": 5, "duration": "1m30s"},
    "ramp": {"executor": "ramping-vus", "stages": [
      {"duration": "10s", "target": 5}, {"duration": "1m0s", "target": 5}, {"duration": "5s", "target": 0}]}
  },
  "totalDuration": "2m0s", "maxVUs": 15
}"#;

/// The image that prints it is the user's, and may print anything.
#[rstest::rstest]
#[case::longer_than_can_be_added(
    r#"{"a": {"executor": "constant-vus", "startTime": "5000000000000000h", "duration": "5000000000000000h"}}"#
)]
#[case::later_than_any_calendar(r#"{"a": {"executor": "constant-vus", "duration": "99999999h"}}"#)]
#[case::in_stages(
    r#"{"a": {"executor": "ramping-vus", "stages": [{"duration": "100h"}, {"duration": "4000000000000000h"}]}}"#
)]
fn a_load_of_more_than_a_week_is_refused(#[case] scenarios: &str) {
    let printed = format!("{{\"scenarios\": {scenarios}, \"maxVUs\": 1}}");
    let refused = requirements("a", 1, None, &printed).unwrap_err();
    assert_eq!(refused, InspectionError { scenario: "a".to_owned(), why: Refusal::TooLong });
}

#[test]
fn more_than_the_status_can_hold_is_refused() {
    let stage = r#"{"duration": "1s", "target": 1}"#;
    let stages = vec![stage; MOST_STAGES + 1].join(",");
    let one = format!(
        r#"{{"scenarios": {{"a": {{"executor": "ramping-vus", "stages": [{stages}]}}}}, "maxVUs": 1}}"#
    );
    let refused = requirements("a", 1, None, &one).unwrap_err();
    assert!(refused.to_string().contains("501 stages, and at most 500"), "{refused}");
    let expression = "p(95)<1".repeat(100);
    let long = format!(r#"{{"vus": 1, "duration": "1s", "thresholds": {{"http_reqs": ["{expression}"]}}}}"#);
    let refused = requirements("a", 1, None, &long).unwrap_err();
    assert!(refused.to_string().contains("709 characters in a threshold, and at most 500"), "{refused}");
}

#[test]
fn the_load_test_says_the_load_of_a_plain_script() {
    let required = requirements("chat", 4, Some((40, Duration::from_secs(90))), NOTHING).unwrap();
    assert_eq!((required.max_vus, required.planned), (40, Duration::from_secs(90)));
    assert_eq!(required.plateaus, [Plateau { from: 0, to: 90_000 }]);
}

#[test]
fn a_script_may_say_its_load_itself() {
    let required = requirements("chat", 2, None, SHORT_FORM).unwrap();
    assert_eq!((required.max_vus, required.planned), (5, Duration::from_secs(10)));
    assert_eq!(required.longest, Duration::from_secs(40));
}

#[test]
fn ramps_are_no_plateaus() {
    let required = requirements("chat", 2, None, RAMP).unwrap();
    assert_eq!(required.plateaus, [Plateau { from: 10_000, to: 70_000 }]);
    assert_eq!(required.planned, Duration::from_secs(90));
}

#[test]
fn loads_that_cannot_be_are_refused_with_advice() {
    let load = Some((4, Duration::from_secs(9)));
    let text = |r: Result<Requirements, InspectionError>| r.unwrap_err().to_string();
    assert!(text(requirements("a", 1, load, RAMP)).contains("(ramp, steady)"));
    assert!(text(requirements("a", 1, None, NOTHING)).contains("write vus and duration"));
    assert!(text(requirements("a", 6, None, SHORT_FORM)).contains("lower parallelism to 5"));
    assert!(text(requirements("a", 1, None, "not json")).contains("failed to read"));
}

#[test]
fn thresholds_are_read_in_both_their_forms() {
    let text = SHORT_FORM.replace(
        "\"totalDuration\"",
        r#""thresholds": {"http_req_duration{name:Send}": ["p(95)<300", "p(95)<300"],
           "http_req_failed": [{"threshold": "rate<0.01", "abortOnFail": true, "delayAbortEval": "5s"}]},
           "totalDuration""#,
    );
    let found = requirements("a", 1, None, &text).unwrap().thresholds;
    let plain = ScriptThreshold {
        metric: "http_req_duration{name:Send}".to_owned(),
        expression: "p(95)<300".to_owned(),
        ..ScriptThreshold::default()
    };
    let aborts = ScriptThreshold {
        metric: "http_req_failed".to_owned(),
        expression: "rate<0.01".to_owned(),
        abort_on_fail: true,
        delay_abort_eval: Some("5s".to_owned()),
    };
    assert_eq!(found, [plain, aborts]);
}

#[test]
fn an_inspection_is_whole_when_its_document_is() {
    assert!(is_whole_inspection(RAMP) && is_whole_inspection(SHORT_FORM));
    assert!(!is_whole_inspection(&SHORT_FORM[..SHORT_FORM.len() - 1]));
    assert!(!is_whole_inspection("") && !is_whole_inspection("time=\"x\" level=error msg=\"no\""));
}
