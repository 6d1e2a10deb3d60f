use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::LoadTestStatus;
use rstest::rstest;

use super::*;
use crate::{
    evaluate::{
        fake::{Event, Fake},
        names::{Counted, MOST_NAMES},
        windows::context::Settings,
    },
    k6::queries::{ITERATIONS, K6Metrics, K6Samples},
    numbers::interval::Interval,
    record::cells::Reader,
};

const START: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// A minute of 20 requests a second: those of the first half take 100 ms, those of the second 200 ms, and every
/// tenth fails.
fn fake() -> Fake {
    let events: Vec<Event> = (0..1200)
        .map(|n| Event {
            at: START as f64 + f64::from(n) * 0.05 + 0.025,
            took: if n < 600 { 0.1 } else { 0.2 },
            answered: n % 10 != 0,
        })
        .collect();
    let mut fake = Fake::default();
    // Pushed on the second, as the cells end.
    fake.push("chat-0", 0.0, &events);
    fake
}

fn cells(fake: &Fake) -> Cells {
    let status: LoadTestStatus = serde_json::from_value(serde_json::json!({
        "acceptedAt": at(-5).to_string(),
        "load": {
            "startIntendedAt": at(0).to_string(), "startedAt": at(0).to_string(), "endedAt": at(60).to_string()
        },
    }))
    .unwrap();
    let settings = Settings { run_id: "4f1c".to_owned(), push: Duration::from_secs(1) };
    let kind = RequestKind::Instant { at: at(60) };
    let names = Request { id: 0, question: metrics().about(About::RequestNames), kind };
    let Answer::Vector(names) = fake.answer(&names) else { panic!("no number") };
    let mut reader = Reader::new(&status, &settings, Counted::of(&names)).unwrap();
    while let Some(request) = reader.next() {
        reader.take(fake.answer(&request)).unwrap();
    }
    reader.finish()
}

fn answer(cells: &Cells, request: &Request) -> Option<Answer> {
    Recount::of(cells, "4f1c").answer(request)
}

fn metrics() -> K6Metrics {
    K6Metrics::new("4f1c", 120)
}

fn tagged(tag: &str, value: &str) -> K6Samples {
    K6Samples { tags: [(tag.to_owned(), value.to_owned())].into(), scenario: None }
}

fn save() -> K6Samples {
    tagged(NAME, "save")
}

fn instant(question: Question) -> Request {
    Request { id: 0, question, kind: RequestKind::Instant { at: at(60) } }
}

fn interval(from: i64, to: i64) -> Interval {
    Interval { from: at(from), to: at(to) }
}

/// Numbers by outcome.
fn counts(answer: Answer) -> Vec<(Option<String>, f64)> {
    let of = |labels: &Labels| labels.get(OUTCOME).cloned();
    let mut counts: Vec<_> = match answer {
        Answer::Vector(all) => all.iter().map(|(labels, _, value)| (of(labels), value.round())).collect(),
        Answer::Histograms(all) => {
            all.iter().map(|(labels, points)| (of(labels), points[0].1.count.round())).collect()
        }
        other => panic!("{other:?}"),
    };
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    counts
}

#[rstest]
#[case::all(&[interval(0, 60)])]
#[case::a_part(&[interval(10, 20)])]
#[case::from_before_the_load(&[interval(-3, 20)])]
#[case::two_stretches(&[interval(10, 20), interval(40, 55)])]
fn counts_are_those_that_prometheus_would_give(#[case] stretches: &[Interval]) {
    let fake = fake();
    let cells = cells(&fake);
    for metric in [HTTP_REQS, HTTP_REQ_DURATION] {
        for split in [Split::Outcome, Split::Whole] {
            let request = instant(metrics().increase(save().of(metric.clone()), split, stretches));
            assert_eq!(
                counts(answer(&cells, &request).unwrap()),
                counts(fake.answer(&request)),
                "{}",
                request.question
            );
        }
    }
}

#[test]
fn how_long_the_answered_requests_of_a_stretch_took() {
    let cells = cells(&fake());
    let took = |stretch| {
        let answered = save().of(HTTP_REQ_DURATION).answered();
        let request = instant(metrics().increase(answered, Split::Whole, &[stretch]));
        let Some(Answer::Histograms(took)) = answer(&cells, &request) else { panic!("no histogram") };
        took[0].1[0].1.clone()
    };
    let median = took(interval(30, 60)).quantile(0.5).unwrap();
    assert!((180.0..220.0).contains(&median), "{median:?}");
    let histogram = took(interval(0, 60));
    // 1,080 of 1,200 were answered, half of them fast.
    assert_eq!((histogram.count, histogram.up_to(150.0).likely), (1080.0, 540.0));
}

#[test]
fn at_each_step_of_a_range() {
    let fake = fake();
    let question = metrics().cumulative(save().of(HTTP_REQS), Split::Outcome);
    let kind = RequestKind::Range { from: at(5), to: at(50), step: Duration::from_secs(5) };
    let request = Request { id: 0, question, kind };
    let (Some(Answer::Matrix(mut own)), Answer::Matrix(mut theirs)) =
        (answer(&cells(&fake), &request), fake.answer(&request))
    else {
        panic!("no matrix")
    };
    own.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(own, theirs);
}

#[rstest]
#[case::another_metric(metrics().cumulative(save().of(ITERATIONS), Split::Whole))]
#[case::a_tag_that_cells_do_not_tell(metrics().cumulative(tagged("room", "7").of(HTTP_REQS), Split::Whole))]
#[case::names_apart(metrics().cumulative(save().of(HTTP_REQS), Split::Named))]
#[case::parts_apart(metrics().cumulative(save().of(HTTP_REQS), Split::Part))]
#[case::each_series(metrics().about(About::LastValues { of: save().of(HTTP_REQS), at: None }))]
#[case::another_run(K6Metrics::new("other", 120).cumulative(save().of(HTTP_REQS), Split::Whole))]
#[case::promql("sum(last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\"}[120s]))".to_owned().into())]
fn what_cells_cannot_tell_has_no_answer(#[case] question: Question) {
    assert_eq!(answer(&cells(&fake()), &instant(question)), None);
}

/// Ten requests of each of so many names, the first of them twenty.
fn many_names(names: u64) -> Fake {
    let mut fake = Fake::default();
    for n in 0..names {
        let requests = if n == 0 { 20 } else { 10 };
        let events: Vec<Event> = (0..requests)
            .map(|m| Event { at: START as f64 + f64::from(m) * 2.0 + 1.5, took: 0.1, answered: m > 0 })
            .collect();
        fake.push_as(&format!("http://chat/{n}"), "chat-0", 0.0, &events);
    }
    fake
}

#[test]
fn names_that_the_cells_count_together_are_in_no_answer_but_the_whole() {
    let fake = many_names(MOST_NAMES + 50);
    let cells = cells(&fake);
    for metric in [HTTP_REQS, HTTP_REQ_DURATION] {
        let all = K6Series::all(metric);
        let request = instant(metrics().increase(all, Split::Outcome, &[interval(0, 60)]));
        assert_eq!(counts(answer(&cells, &request).unwrap()), counts(fake.answer(&request)));
    }
    for name in ["http://chat/99", "never"] {
        let request = instant(metrics().cumulative(tagged(NAME, name).of(HTTP_REQS), Split::Whole));
        let Some(Answer::Failed(why)) = answer(&cells, &request) else { panic!("{name} has an answer") };
        assert!(
            why.contains(&format!("does not tell {name} from other request names: there were 250")),
            "{why}"
        );
    }
}
