use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::LoadTestStatus;
use rstest::rstest;

use super::*;
use crate::{
    evaluate::{
        fake::{Event, Fake},
        names::{MOST_NAMES, OTHER_NAMES},
        windows::context::Settings,
    },
    k6::queries::{K6Metrics, K6Samples, Split},
    numbers::interval::Interval,
    prometheus::promql,
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

fn recount(fake: &Fake) -> Recount {
    let status: LoadTestStatus = serde_json::from_value(serde_json::json!({
        "acceptedAt": at(-5).to_string(),
        "load": {
            "startIntendedAt": at(0).to_string(), "startedAt": at(0).to_string(), "endedAt": at(60).to_string()
        },
    }))
    .unwrap();
    let settings = Settings { run_id: "4f1c".to_owned(), push: Duration::from_secs(1) };
    let mut reader = Reader::new(&status, &settings, Vec::new()).unwrap();
    while let Some(request) = reader.next() {
        reader.take(fake.answer(&request)).unwrap();
    }
    Recount::of(&reader.finish().unwrap(), "4f1c")
}

fn metrics() -> K6Metrics {
    K6Metrics::new("4f1c", 120)
}

fn save() -> K6Samples {
    K6Samples { tags: [("name".to_owned(), "save".to_owned())].into(), scenario: None }
}

fn interval(from: i64, to: i64) -> Interval {
    Interval { from: at(from), to: at(to) }
}

/// Numbers by outcome.
fn counts(answer: Answer) -> Vec<(Option<String>, f64)> {
    let of = |labels: &Labels| labels.get(queries::OUTCOME).cloned();
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
    let recount = recount(&fake);
    for metric in [queries::HTTP_REQS, queries::HTTP_REQ_DURATION] {
        for split in [Split::Outcome, Split::Whole] {
            let query = metrics().increase(&metrics().selector(metric, &save()), split, stretches);
            let request = Request { id: 0, query, kind: RequestKind::Instant { at: at(60) } };
            assert_eq!(
                counts(recount.answer(&request).unwrap()),
                counts(fake.answer(&request)),
                "{}",
                request.query
            );
        }
    }
}

#[test]
fn quantiles_and_shares_of_a_stretch() {
    let recount = recount(&fake());
    let answered = queries::answered(&metrics().selector(queries::HTTP_REQ_DURATION, &save()));
    let ask = |query: String| {
        recount.answer(&Request { id: 0, query, kind: RequestKind::Instant { at: at(60) } }).unwrap()
    };
    let slow = metrics().increase(&answered, Split::Whole, &[interval(30, 60)]);
    let Answer::Vector(median) = ask(promql::histogram_quantile(0.5, &slow)) else { panic!("no number") };
    assert!((0.18..0.22).contains(&median[0].2), "{median:?}");
    let both = metrics().increase(&answered, Split::Whole, &[interval(0, 60)]);
    let Answer::Histograms(both) = ask(both) else { panic!("no histogram") };
    let histogram = &both[0].1[0].1;
    // 1,080 of 1,200 were answered, half of them fast.
    assert_eq!((histogram.count, histogram.up_to(0.15).likely), (1080.0, 540.0));
}

#[test]
fn at_each_step_of_a_range() {
    let fake = fake();
    let query = metrics().cumulative(&metrics().selector(queries::HTTP_REQS, &save()), Split::Outcome, None);
    let kind = RequestKind::Range { from: at(5), to: at(50), step: Duration::from_secs(5) };
    let request = Request { id: 0, query, kind };
    let (Some(Answer::Matrix(mut own)), Answer::Matrix(mut theirs)) =
        (recount(&fake).answer(&request), fake.answer(&request))
    else {
        panic!("no matrix")
    };
    own.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(own, theirs);
}

#[rstest]
#[case::another_metric("sum(last_over_time(k6_iterations_total{loadtest_run=\"4f1c\"}[120s]))")]
#[case::a_tag_that_cells_do_not_tell(
    "sum(last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\",room=\"7\"}[120s]))"
)]
#[case::of_the_servers("sum(rate(http_requests_total[1m]))")]
#[case::another_function("sum(increase(k6_http_reqs_total{loadtest_run=\"4f1c\"}[120s]))")]
#[case::a_label_that_cells_do_not_tell(
    "sum by (status) (last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\"}[120s]))"
)]
#[case::series_that_cells_do_not_tell(
    "sum(last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\"}[120s]) - last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\"}[120s]))"
)]
#[case::raw_samples("http_requests_total[60s] @ 1700000030.000")]
#[case::no_promql("sum(")]
fn what_cells_cannot_tell_has_no_answer(#[case] query: &str) {
    let request = Request { id: 0, query: query.to_owned(), kind: RequestKind::Instant { at: at(60) } };
    assert_eq!(recount(&fake()).answer(&request), None);
}

#[test]
fn another_run_is_not_counted() {
    let query = metrics().cumulative(
        &K6Metrics::new("other", 120).selector(queries::HTTP_REQS, &save()),
        Split::Whole,
        None,
    );
    let request = Request { id: 0, query, kind: RequestKind::Instant { at: at(60) } };
    assert_eq!(recount(&fake()).answer(&request), Some(Answer::Vector(vec![])));
}

/// Ten requests of each of so many names, the first of them twenty.
fn many_names(names: usize) -> Fake {
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
    let recount = recount(&fake);
    let ask = |selector: String, split| {
        let query = metrics().increase(&selector, split, &[interval(0, 60)]);
        Request { id: 0, query, kind: RequestKind::Instant { at: at(60) } }
    };
    let named =
        |name: &str| K6Samples { tags: [(queries::NAME.to_owned(), name.to_owned())].into(), scenario: None };
    for metric in [queries::HTTP_REQS, queries::HTTP_REQ_DURATION] {
        for samples in [K6Samples::default(), named("http://chat/0")] {
            let request = ask(metrics().selector(metric, &samples), Split::Outcome);
            assert_eq!(
                counts(recount.answer(&request).unwrap()),
                counts(fake.answer(&request)),
                "{}",
                request.query
            );
        }
    }
    for name in ["http://chat/99", "never", OTHER_NAMES] {
        let request = ask(metrics().selector(queries::HTTP_REQS, &named(name)), Split::Whole);
        let Some(Answer::Failed(why)) = recount.answer(&request) else { panic!("{name} has an answer") };
        assert!(why.contains(&format!("does not tell {name} from others: of 250 request names")), "{why}");
    }
    let by_name = "sum by (name) (last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\"}[120s]))";
    let request = Request { id: 0, query: by_name.to_owned(), kind: RequestKind::Instant { at: at(60) } };
    assert_eq!(recount.answer(&request), None);
}
