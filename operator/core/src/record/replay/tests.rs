use std::{ops::Range, sync::Arc, time::Duration};

use loadtest_crds::{LoadTestStatus, Outcome, Plateau, ScenarioStatus, Verdict, WindowKind};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::{
    evaluate::{
        fake::{Event, Fake},
        windows::context::Settings,
    },
    record::{Draft, Evidence, MOST_BYTES, RecordError, VERSION, as_written, cells::Reader},
    verdict::{baseline::History, drift, ground::Facts},
};

const START: i64 = 1_700_000_000;

/// A minute of 20 requests a second, 100 ms each; one in `failing` fails.
fn load(failing: i32) -> Fake {
    let events: Vec<Event> = (0..1200)
        .map(|n| Event {
            at: START as f64 + f64::from(n) * 0.05 + 0.025,
            took: 0.1,
            answered: n % failing != 0,
        })
        .collect();
    let mut fake = Fake::default();
    fake.push("chat-0", 0.3, &events);
    let depth = (0..=70).map(|second| ((START + second) as f64, f64::from(second as i32 % 7)));
    fake.add("queue_depth", &[], depth);
    fake
}

fn test(objectives: serde_json::Value) -> LoadTest {
    let at = |second: i64| format!("2023-11-14T22:13:{second:02}.000000Z");
    serde_json::from_value(json!({
        "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
        "metadata": {"name": "chat-7", "namespace": "loadtests", "uid": "4f1c", "annotations": {"by": "me"}},
        "spec": {
            "scenarios": [{"name": "chat", "script": {"inline": "x"}, "vus": 4, "duration": "60s"}],
            "objectives": objectives,
        },
        "status": {
            "phase": "Evaluating",
            "acceptedAt": at(0),
            "load": {
                "startIntendedAt": at(20), "startedAt": at(20),
                "plannedEndAt": "2023-11-14T22:14:20.000000Z", "endedAt": "2023-11-14T22:14:20.400000Z",
                "scriptErrors": 0
            },
            "runners": {"total": 1, "ready": 1, "ended": 1},
        },
    }))
    .unwrap()
}

fn objectives() -> serde_json::Value {
    json!([
        {"name": "success", "k6": {"metric": "http_req_failed"}, "atMost": "5%", "warnAbove": "4%"},
        {"name": "depth", "query": "max(queue_depth)", "atMost": "10"},
    ])
}

/// What the operator does: ask, conclude, write down.
fn run(test: LoadTest, fake: &Fake) -> Record {
    run_after(test, fake, History::default())
}

fn run_after(test: LoadTest, fake: &Fake, history: History) -> Record {
    let status = test.status.clone().unwrap();
    let plan = Plan::of(&test).unwrap();
    let settings = Settings { run_id: "4f1c".to_owned(), push: Duration::from_secs(1) };
    let mut evaluation = Evaluation::of(&plan, &status, settings.clone());
    let mut answers = Vec::new();
    let judgement = loop {
        match evaluation.step(answers) {
            Step::Ask(requests) => answers = requests.iter().map(|r| (r.id, fake.answer(r))).collect(),
            Step::Done(judgement) => break judgement,
        }
    };
    let asked = evaluation.into_asked();
    let facts = Facts {
        planned: Duration::from_secs(60),
        matched: drift::matched(&plan, &status, &asked),
        history,
        ..Facts::default()
    };
    let judged = verdict::conclude(&plan, &status, &judgement, &facts);
    let mut reader = Reader::new(&status, &settings, judgement.request_names).unwrap();
    while let Some(request) = reader.next() {
        reader.take(fake.answer(&request)).unwrap();
    }
    let evidence = Arc::new(Evidence { settings, asked, cells: Ok(reader.finish()) });
    let record = Record::new(&test, &Draft { status, facts, evidence, judged });
    Record::read(&record.write(MOST_BYTES).unwrap()).unwrap()
}

fn assert_same(record: &Record) {
    let mut replayed = again(record, &[]);
    // What the machine sets beside the verdict, when it writes it.
    assert!(replayed.display.is_some());
    replayed.display = None;
    replayed.phase = record.judged.phase;
    assert_eq!(as_written(&replayed), record.judged);
}

fn again(record: &Record, limits: &[&str]) -> LoadTestStatus {
    let limits: Vec<OtherLimit> = limits.iter().map(|text| text.parse().unwrap()).collect();
    judge(record, &limits).unwrap().test.status.unwrap()
}

fn outcome(status: &LoadTestStatus, objective: &str) -> Outcome {
    status.objectives.iter().find(|o| o.name == objective).unwrap().outcome
}

#[rstest]
#[case::a_pass(50, Verdict::Pass)]
#[case::a_warning(24, Verdict::Warn)]
#[case::a_miss(10, Verdict::Warn)]
fn with_its_own_limits_a_run_is_judged_the_same(#[case] failing: i32, #[case] verdict: Verdict) {
    let record = run(test(objectives()), &load(failing));
    assert_eq!(record.judged.verdict, Some(verdict));
    assert_same(&record);
}

/// Five runs before it. Of an earlier version's record the rest is not read.
#[rstest]
#[case::slower(json!({"figure": "0.08"}), Outcome::Warn)]
#[case::a_bucket_slower(json!({"figure": "0.095"}), Outcome::Met)]
#[case::as_an_earlier_version_wrote_it(json!({"figure": "0.08", "value": "80ms", "mean": "0.1"}), Outcome::Warn)]
#[case::without_a_figure(json!({}), Outcome::NoData)]
fn what_it_was_compared_with_is_in_the_record(#[case] told: serde_json::Value, #[case] expected: Outcome) {
    let mut figure = json!({"objective": "p95", "window": "Run", "outcome": "Met"});
    figure.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
    let earlier = json!({
        "name": "chat-6", "verdict": "Pass", "finishedAt": "2023-11-13T22:13:20Z", "fingerprint": "f", "figures": [figure],
    });
    let history = serde_json::from_value(json!({"runs": vec![earlier; 5]})).unwrap();
    let mut test = test(json!([
        {"name": "p95", "k6": {"metric": "http_req_duration", "percentile": 95}, "atMost": "300ms"},
    ]));
    test.spec.baseline = serde_json::from_value(json!({"runs": 5, "maxRegression": "10%"})).unwrap();
    test.status.as_mut().unwrap().fingerprint = Some("f".to_owned());
    // 100 ms each.
    let record = run_after(test, &load(i32::MAX), history);
    assert_eq!(record.judged.baseline[0].outcome, expected, "{:?}", record.judged.baseline);
    assert_same(&record);
}

// 24 of 1,200 failed: 2%. The queue was at most 6 long.
#[rstest]
#[case::the_same("success=5%", Outcome::Met, Verdict::Pass)]
#[case::just_met("success=3%", Outcome::Met, Verdict::Pass)]
#[case::perhaps_met("success=2%", Outcome::Unclear, Verdict::Warn)]
#[case::stricter("success=1%", Outcome::Missed, Verdict::Warn)]
#[case::of_a_query("depth=5", Outcome::Missed, Verdict::Warn)]
#[case::of_a_query_just_met("depth=6", Outcome::Met, Verdict::Pass)]
fn other_limits(#[case] limit: &str, #[case] expected: Outcome, #[case] verdict: Verdict) {
    let status = again(&run(test(objectives()), &load(50)), &[limit]);
    let (name, _) = limit.split_once('=').unwrap();
    assert_eq!((outcome(&status, name), status.verdict), (expected, Some(verdict)), "{:?}", status.message);
}

#[test]
fn what_the_queries_matched_is_counted_from_the_answers() {
    let with_ratio = json!([
        {"name": "depth", "query": "max(queue_depth)", "atMost": "10"},
        {"name": "gone", "query": "max(queue_length)", "atMost": "10"},
        {"name": "ratio", "ratio": {"good": "good_total{a=\"b\"}", "total": "all_total"}, "atLeast": "90%"},
    ]);
    let mut fake = load(50);
    for pod in ["1", "2"] {
        fake.add("all_total", &[("pod", pod)], (0..70).map(|s| ((START + s) as f64, f64::from(s as i32))));
    }
    let matched = run(test(with_ratio), &fake).facts.matched;
    let expected = [
        ("the query max(queue_depth)", 1),
        ("the query max(queue_length)", 0),
        ("the selector all_total", 2),
        ("the selector good_total{a=\"b\"}", 0),
    ];
    assert_eq!(matched, expected.map(|(what, count)| (what.to_owned(), count)).into());
}

/// Raw samples are read from five minutes before the load on: a metric that was renamed within these is there no more.
#[rstest]
#[case::ended_before(-100..0, 0)]
#[case::up_to_the_start(-100..1, 1)]
#[case::born_in_it(59..60, 1)]
fn what_ended_before_the_load_matches_nothing_in_it(#[case] seconds: Range<i64>, #[case] expected: i64) {
    let ratio = json!([
        {"name": "ratio", "ratio": {"good": "good_total", "total": "all_total"}, "atLeast": "90%"},
    ]);
    let mut fake = load(50);
    fake.add("good_total", &[], seconds.map(|s| ((START + s) as f64, 1.0)));
    let matched = run(test(ratio), &fake).facts.matched;
    assert_eq!(matched.get("the selector good_total"), Some(&expected), "{matched:?}");
}

/// As when a recovery takes longer with a stricter limit, and Steady ends elsewhere.
#[test]
fn a_window_that_was_not_asked_for_is_counted_from_the_cells() {
    let mut record = run(test(objectives()), &load(50));
    record.test.spec.objectives[0].windows = vec![WindowKind::Steady];
    let status = record.test.status.as_mut().unwrap();
    status.scenarios = vec![ScenarioStatus {
        name: "chat".to_owned(),
        plateaus: vec![Plateau { from: 10_000, to: 50_000 }],
        ..ScenarioStatus::default()
    }];
    let replayed = judge(&record, &[]).unwrap();
    assert!(replayed.recounted > 0);
    let status = replayed.test.status.unwrap();
    let steady = &status.objectives[0].windows[0];
    // 40 s of 20 requests, less the push after the ramp, and up to a cell more or less; one in 50 failed.
    let (samples, bad) = (steady.samples.unwrap(), steady.bad.unwrap());
    assert!((760..=800).contains(&samples), "{steady:#?}");
    assert!((14..=17).contains(&bad), "{steady:#?}");
    assert_eq!(steady.outcome, Outcome::Met);
    // Without cells there is nothing to count.
    record.cells = None;
    let replayed = judge(&record, &[]).unwrap();
    assert_eq!((replayed.recounted, replayed.test.status.unwrap().verdict), (0, Some(Verdict::Inconclusive)));
}

#[test]
fn two_other_limits_at_once() {
    let status = again(&run(test(objectives()), &load(50)), &["success=1%", "depth=5"]);
    assert_eq!((status.verdict, status.reason.as_deref()), (Some(Verdict::Fail), Some("ObjectivesMissed")));
}

#[test]
fn a_question_that_was_not_asked_has_no_data() {
    let mut record = run(test(objectives()), &load(50));
    record.test.spec.objectives[1].query = Some("min(queue_depth)".to_owned());
    let status = again(&record, &[]);
    assert_eq!(outcome(&status, "depth"), Outcome::NoData);
    assert_eq!(status.verdict, Some(Verdict::Inconclusive));
    assert!(status.message.as_deref().unwrap().contains("its record has no answer"), "{:?}", status.message);
}

#[rstest]
#[case("sucess=1%", "there are success, depth")]
#[case("success=5 percent", "is no limit")]
#[case("success=300ms", "write its limit in percent")]
fn a_limit_that_cannot_be_is_refused_with_what_to_write(#[case] limit: &str, #[case] words: &str) {
    let record = run(test(objectives()), &load(50));
    let error = judge(&record, &[limit.parse().unwrap()]).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[rstest]
#[case("success")]
#[case("=5%")]
#[case("success=")]
fn a_limit_has_a_name_and_a_value(#[case] text: &str) {
    let error = text.parse::<OtherLimit>().unwrap_err().to_string();
    assert!(error.contains("save-p95=250ms"), "{error}");
}

#[test]
fn a_record_of_another_version_is_not_guessed_at() {
    let mut record = run(test(objectives()), &load(50));
    assert_eq!(record.test.metadata.annotations, None);
    record.version = VERSION + 1;
    let error = Record::read(&record.write(MOST_BYTES).unwrap()).unwrap_err();
    assert!(matches!(error, RecordError::Version(found) if found == VERSION + 1), "{error}");
    let error = Record::read(b"{}").unwrap_err();
    assert!(matches!(error, RecordError::Unreadable(_)), "{error}");
    assert!(matches!(Record::read(&[0x1f, 0x8b, 0, 1]).unwrap_err(), RecordError::Unreadable(_)));
}

/// A minute of requests of which each has a name of its own.
#[test]
fn a_run_of_many_request_names_is_judged_again_and_says_what_its_record_does_not_tell() {
    let mut fake = Fake::default();
    for n in 0..300 {
        let event = Event { at: START as f64 + f64::from(n) * 0.2 + 0.1, took: 0.1, answered: n % 50 != 0 };
        fake.push_as(&format!("http://chat/rooms/{n}"), "chat-0", 0.3, &[event]);
    }
    let objectives = json!([
        {"name": "success", "k6": {"metric": "http_req_failed"}, "atMost": "10%"},
        {"name": "room", "k6": {"metric": "http_req_failed", "tags": {"name": "http://chat/rooms/299"}}, "atMost": "0%"},
    ]);
    let record = run(test(objectives), &fake);
    assert_same(&record);
    assert_eq!(record.judged.load.as_ref().and_then(|load| load.request_names), Some(300));
    let told =
        record.judged.grounds.iter().filter(|ground| ground.starts_with("300 different request names"));
    assert_eq!(told.count(), 1, "{:#?}", record.judged.grounds);
    assert_eq!(record.left_out, ["request names: there were 300, and it does not tell them apart"]);
    let cells = record.cells.as_ref().unwrap();
    let requests: u64 =
        cells.series.iter().flat_map(|s| s.cells.values()).flat_map(|cell| cell.values()).sum();
    assert_eq!(requests, 300);
    // In a shorter window the whole is counted from the cells, and one name is not.
    let mut other = record.clone();
    other.test.spec.objectives.iter_mut().for_each(|o| o.windows = vec![WindowKind::Steady]);
    other.test.status.as_mut().unwrap().scenarios = vec![ScenarioStatus {
        name: "chat".to_owned(),
        plateaus: vec![Plateau { from: 10_000, to: 50_000 }],
        ..ScenarioStatus::default()
    }];
    let status = again(&other, &[]);
    assert_eq!([outcome(&status, "success"), outcome(&status, "room")], [Outcome::Met, Outcome::NoData]);
    assert_ne!(status.verdict, Some(Verdict::Pass));
}
