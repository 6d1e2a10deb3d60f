use loadtest_crds::FaultStatus;
use rstest::rstest;

use super::*;
use crate::evaluate::{
    fake::{Event, Fake},
    minute::{GOOD, Request as Came, at, going, micro, requests, settings, time},
};

fn plan() -> Plan {
    let test = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "chat", "namespace": "loadtests", "uid": "4f1c"},
        "spec": {
            "serviceAccountName": "faults",
            "scenarios": [{"name": "a", "script": {"inline": "x"}, "vus": 1, "duration": "60s"}],
            "faults": [{
                "name": "kill", "at": "30s", "podKill": {"gracePeriodSeconds": 0},
                "target": {"selector": {"matchLabels": {"app": "dbman"}}, "pick": {"count": 1}},
                "recovery": {"of": ["ok"], "within": "10s"},
                "budget": {"of": ["p95"], "badRequests": 5}
            }, {
                "name": "other", "at": "10s", "podKill": {"gracePeriodSeconds": 0},
                "target": {"selector": {"matchLabels": {"app": "redis"}}, "pick": {"count": 1}},
                "recovery": {"of": ["ok"], "within": "8s", "hold": "5s"}
            }],
            "objectives": [
                {"name": "ok", "k6": {"metric": "http_req_failed"}, "atMost": "1%"},
                {"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "300ms"},
                {"name": "not-asked", "k6": {"metric": "http_req_duration", "percentile": 50}, "atMost": "1ms"}
            ]
        }
    }))
    .unwrap();
    Plan::of(&test).unwrap()
}

/// The fault `kill` comes at 30 s; another had been injected before it where `other` says when.
fn steady(now: f64, other: Option<f64>) -> Option<Steady> {
    let injected = |name: &str, at: Option<f64>| FaultStatus {
        name: name.to_owned(),
        injected_at: at.and_then(micro),
        ..FaultStatus::default()
    };
    let mut status = going(vec![injected("kill", None), injected("other", other)]);
    // The start took no time, so that whole seconds have gone by since.
    status.load.as_mut().unwrap().start_intended_at = micro(0.0);
    Steady::ask(&plan(), "kill", &status, &settings(), time(now))
}

/// 20 requests a second for 28 s, by what comes of each.
fn health(now: f64, other: Option<f64>, outcome: impl Fn(f64) -> Came) -> Health {
    let so_far = at(28.0);
    let events: Vec<Event> = requests(outcome).into_iter().filter(|event| event.at < so_far).collect();
    let mut fake = Fake::default();
    fake.push("chat-0", 0.0, &events);
    let steady = steady(now, other).unwrap();
    steady.judge(steady.requests().iter().map(|r| (r.id, fake.answer(r))).collect())
}

#[rstest]
#[case::well(28.0, |_| GOOD, None)]
#[case::down(28.0, |s| if s > 20.0 { Some((0.001, false)) } else { GOOD }, Some("ok: in the 10s before, 80% of 200 requests failed"))]
#[case::slow(28.0, |s| if s > 20.0 { Some((0.5, true)) } else { GOOD }, Some("p95: in the 10s before, 80% of 200 requests failed or took over 300ms"))]
#[case::well_again(28.0, |s| if s < 18.0 { Some((0.001, false)) } else { GOOD }, None)]
// One request in a hundred and a bit: of 50 in this time.
#[case::one_bad_request(28.0, |s| if s < 25.5 { None } else if s < 25.54 { Some((0.001, false)) } else { GOOD }, None)]
#[case::no_request(28.0, |_| None, None)]
// The load has been there for 3 s.
#[case::shortly_after_the_start(3.0, |_| Some((0.001, false)), Some("ok: in the 3s before, 100% of 60 requests failed"))]
fn healths(#[case] now: f64, #[case] outcome: fn(f64) -> Came, #[case] message: Option<&str>) {
    match (health(now, None, outcome), message) {
        (Health::Held, None) => {}
        (Health::NotHeld(why), Some(message)) => assert!(why.starts_with(message), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_answer_is_no_reason_to_skip_the_fault() {
    let steady = steady(28.0, None).unwrap();
    let refused = |id| (id, Answer::Failed("connection refused".to_owned()));
    let answers = steady.requests().iter().map(|r| refused(r.id)).collect();
    assert_eq!(steady.judge(answers), Health::Unknown("connection refused".to_owned()));
}

#[test]
fn before_the_load_there_is_nothing_to_ask() {
    assert!(steady(-1.0, None).is_none());
}

/// The other fault was injected at 15 s and has until 23 s: what was bad until then is its own.
#[rstest]
#[case::back_in_time(28.0, 22.0, None)]
#[case::not_back(28.0, 28.0, Some("ok: in the 4s before, 100% of 80 requests failed"))]
fn an_earlier_fault_has_the_time_that_its_limit_gives(
    #[case] now: f64,
    #[case] bad_until: f64,
    #[case] message: Option<&str>,
) {
    let refused = |second| if second > 15.0 && second < bad_until { Some((0.001, false)) } else { GOOD };
    match (health(now, Some(15.0), refused), message) {
        (Health::Held, None) => {}
        (Health::NotHeld(why), Some(message)) => assert!(why.starts_with(message), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(steady(23.5, Some(15.0)).is_none(), "nothing is left to ask about");
}
