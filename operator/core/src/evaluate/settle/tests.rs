use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{K6Figure, LoadStatus, Objective, Ratio, RunnersStatus, VerdictPolicy};
use rstest::rstest;

use super::*;
use crate::prometheus::series::Labels;

const END: i64 = 1_700_000_060;

fn plan(objective: Objective) -> ObjectivePlan {
    let objective = Objective { name: "o".to_owned(), at_most: Some("50%".into()), ..objective };
    ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
}

fn of_k6() -> ObjectivePlan {
    plan(Objective {
        k6: Some(K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() }),
        ..Objective::default()
    })
}

fn of_ratio(good: &str, total: &str) -> ObjectivePlan {
    let ratio = Ratio { good: good.to_owned(), total: total.to_owned() };
    plan(Objective { ratio: Some(ratio), ..Objective::default() })
}

fn of_query(query: &str) -> ObjectivePlan {
    plan(Objective { query: Some(query.to_owned()), ..Objective::default() })
}

fn settling(objectives: &[ObjectivePlan], k6_requests: Option<i64>) -> Settling {
    let at = |second| Some(MicroTime(Timestamp::from_second(second).unwrap()));
    let status = LoadTestStatus {
        accepted_at: at(END - 90),
        load: Some(LoadStatus {
            started_at: at(END - 60),
            ended_at: at(END),
            k6_requests,
            ..LoadStatus::default()
        }),
        ..LoadTestStatus::default()
    };
    let settings = Settings { run_id: "4f1c".to_owned(), push: std::time::Duration::from_secs(1) };
    Settling::new(objectives, &status, &settings, Timestamp::from_second(END + 2).unwrap())
}

fn value(value: f64) -> Answer {
    Answer::Vector(vec![(Labels::new(), 0.0, value)])
}

#[test]
fn asks_for_the_runs_requests_and_for_each_scraped_series_once() {
    let settling = settling(
        &[
            of_k6(),
            of_ratio("saved_total{status=\"ok\"}", "saved_total"),
            of_query("max(a{b=~\"c.*\"} / d) or max_over_time(saved_total[10s])"),
            of_query("max(k6_vus)"),
            of_query("max(x offset 1m)"),
        ],
        None,
    );
    let queries: Vec<String> = settling.requests().into_iter().map(|r| r.question.to_string()).collect();
    assert_eq!(
        queries,
        [
            "sum(last_over_time(k6_http_reqs_total{loadtest_run=\"4f1c\"}[152s]))",
            "min(timestamp(a{b=~\"c.*\"}))",
            "min(timestamp(d))",
            "min(timestamp(saved_total))",
            "min(timestamp(saved_total{status=\"ok\"}))",
        ]
    );
}

#[rstest]
#[case::all_there(Some(5000), 5000.0, "Yes")]
#[case::teardown_added_some(Some(5000), 5003.0, "Yes")]
#[case::k6_could_not_say(None, 0.0, "Yes")]
#[case::not_all(
    Some(5000),
    4999.0,
    "NotYet: the runners counted 5,000 requests and the load store has 4,999"
)]
fn the_sums_agree(#[case] own: Option<i64>, #[case] counted: f64, #[case] expected: &str) {
    assert_eq!(show(&settling(&[of_k6()], own).judge(vec![(0, value(counted))])), expected);
}

#[rstest]
#[case::after_the_load(value(END as f64 + 0.5), "Yes")]
#[case::never_there(Answer::Vector(vec![]), "Yes")]
#[case::before_its_end(value(END as f64 - 0.5), "NotYet: saved_total has no sample from after the load yet")]
#[case::no_answer(
    Answer::Failed("connection refused".to_owned()),
    "NotYet: saved_total: the query failed: connection refused"
)]
fn scraped_series_go_past_the_end(#[case] last: Answer, #[case] expected: &str) {
    let settling = settling(&[of_ratio("saved_total", "saved_total")], Some(10));
    assert_eq!(show(&settling.judge(vec![(0, value(10.0)), (1, last)])), expected);
}

#[rstest]
#[case::both(value(END as f64 + 1.0), "Yes")]
#[case::the_good_ones_are_scraped_later(
    value(END as f64 - 5.0),
    "NotYet: good_total has no sample from after the load yet"
)]
#[case::nothing_good(Answer::Vector(vec![]), "Yes")]
fn both_counters_of_a_ratio_go_past_the_end(#[case] good: Answer, #[case] expected: &str) {
    let settling = settling(&[of_ratio("good_total", "saved_total")], None);
    // By name: the good ones first.
    let answers = vec![(0, value(10.0)), (1, good), (2, value(END as f64 + 1.0))];
    assert_eq!(show(&settling.judge(answers)), expected);
}

#[rstest]
#[case::all(Some(value(2.0)), "Yes")]
#[case::one(Some(value(1.0)), "NotYet: the last figures of 1 of 2 runners have come")]
#[case::none(Some(Answer::Vector(vec![])), "NotYet: the last figures of 0 of 2 runners have come")]
#[case::no_answer(None, "NotYet: Prometheus gave no answer")]
fn each_runner_but_the_lost_pushes_after_the_load(#[case] heard: Option<Answer>, #[case] expected: &str) {
    let mut status = LoadTestStatus { load: Some(LoadStatus::default()), ..LoadTestStatus::default() };
    let at = |second| Some(MicroTime(Timestamp::from_second(second).unwrap()));
    status.runners = Some(RunnersStatus { total: 3, lost: 1, ..RunnersStatus::default() });
    status.load = Some(LoadStatus { started_at: at(END - 60), ended_at: at(END), ..LoadStatus::default() });
    let settings = Settings { run_id: "4f1c".to_owned(), push: std::time::Duration::from_secs(1) };
    let settling = Settling::new(&[], &status, &settings, Timestamp::from_second(END + 5).unwrap());
    let query = settling.requests()[1].question.to_string();
    assert_eq!(
        query,
        "count(count by (loadtest_runner) (last_over_time(k6_vus{loadtest_run=\"4f1c\"}[5000ms])))"
    );
    let answers = heard.into_iter().map(|heard| (1, heard)).chain([(0, value(0.0))]);
    assert_eq!(show(&settling.judge(answers.collect())), expected);
}

#[test]
fn without_an_answer_nothing_is_settled() {
    assert_eq!(show(&settling(&[of_k6()], Some(10)).judge(vec![])), "NotYet: Prometheus gave no answer");
}

fn show(settled: &Settled) -> String {
    match settled {
        Settled::Yes => "Yes".to_owned(),
        Settled::NotYet(why) => format!("NotYet: {why}"),
    }
}
