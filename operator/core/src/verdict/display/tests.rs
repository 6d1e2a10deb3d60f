use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultStatus, K6Figure, LoadStatus, Objective, Ratio, RecoveryStatus, VerdictPolicy};
use rstest::rstest;

use super::*;

fn at(second: i64) -> Option<MicroTime> {
    Some(MicroTime(Timestamp::from_second(1_700_000_000 + second).unwrap()))
}

fn plans() -> Vec<ObjectivePlan> {
    let p95 = Objective {
        name: "save-p95".to_owned(),
        k6: Some(K6Figure {
            metric: "http_req_duration".to_owned(),
            percentile: Some(95.0),
            ..K6Figure::default()
        }),
        at_most: Some("300ms".into()),
        ..Objective::default()
    };
    let saved = Objective {
        name: "saved".to_owned(),
        ratio: Some(Ratio { good: "a".to_owned(), total: "b".to_owned() }),
        at_least: Some("99.9%".into()),
        ..Objective::default()
    };
    [p95, saved].iter().map(|o| ObjectivePlan::parse(o, &VerdictPolicy::default()).unwrap()).collect()
}

fn status(results: &[(&str, WindowKind, Outcome, Option<&str>)]) -> LoadTestStatus {
    let objectives = plans()
        .iter()
        .map(|plan| ObjectiveStatus {
            name: plan.name.clone(),
            windows: results
                .iter()
                .filter(|r| r.0 == plan.name)
                .map(|(_, window, outcome, value)| WindowResult {
                    window: *window,
                    outcome: *outcome,
                    value: value.map(str::to_owned),
                    ..WindowResult::default()
                })
                .collect(),
            ..ObjectiveStatus::default()
        })
        .collect();
    LoadTestStatus { objectives, ..LoadTestStatus::default() }
}

use Outcome::{Met, Missed, NoData, TooFew, Unclear, Warn};
use WindowKind::{Fault, Recovery, Run};
use loadtest_crds::WindowKind;

#[rstest]
#[case::closest_to_its_limit(
    &[("save-p95", Run, Met, Some("100ms")), ("save-p95", Fault, Met, Some("212ms")), ("saved", Run, Met, Some("100%"))],
    "save-p95 Fault 212ms ≤ 300ms"
)]
// 99.92% has used up four fifths of what may go wrong.
#[case::budget_of_a_share(
    &[("save-p95", Run, Met, Some("212ms")), ("saved", Run, Met, Some("99.92%"))],
    "saved Run 99.92% ≥ 99.9%"
)]
#[case::a_warning_before_a_pass(
    &[("save-p95", Run, Warn, Some("260ms")), ("saved", Run, Met, Some("99.9%"))],
    "save-p95 Run 260ms ≤ 300ms"
)]
#[case::a_miss_before_all(
    &[("save-p95", Run, NoData, None), ("saved", Run, Missed, Some("98%"))],
    "saved Run 98% < 99.9%"
)]
#[case::an_outage_is_beyond_any_value(
    &[("save-p95", Run, Missed, Some("900ms")), ("save-p95", Fault, Missed, Some("over 5% failed"))],
    "save-p95 Fault over 5% failed, limit 300ms"
)]
#[case::unclear(&[("saved", Run, Unclear, Some("99.95%"))], "saved Run 99.95%, limit 99.9%: unclear")]
#[case::too_few(&[("saved", Run, TooFew, Some("100%"))], "saved Run 100%, limit 99.9%: too few")]
#[case::no_data(&[("save-p95", Run, NoData, None), ("saved", Run, Met, Some("100%"))], "save-p95 Run no data")]
#[case::an_empty_window_is_not_the_worst(
    &[("save-p95", Recovery, Met, None), ("saved", Run, Met, Some("100%"))],
    "saved Run 100% ≥ 99.9%"
)]
fn the_worst_result(#[case] results: &[(&str, WindowKind, Outcome, Option<&str>)], #[case] shown: &str) {
    assert_eq!(display(&status(results), &plans()).worst.as_deref(), Some(shown));
}

#[rstest]
#[case(Some(40), Some(73_080), Some("40 VUs, 812/s"))]
#[case(Some(1200), Some(450), Some("1,200 VUs, 5.0/s"))]
#[case(Some(40), None, Some("40 VUs"))]
#[case(None, None, None)]
fn the_load(#[case] asked: Option<i64>, #[case] requests: Option<i64>, #[case] shown: Option<&str>) {
    let load = LoadStatus {
        asked_vus: asked,
        requests,
        started_at: at(0),
        ended_at: at(90),
        start_spread_milliseconds: Some(12),
        ..LoadStatus::default()
    };
    let display = display(&LoadTestStatus { load: Some(load), ..LoadTestStatus::default() }, &[]);
    assert_eq!(display.load.as_deref(), shown);
    assert_eq!(display.spread.as_deref(), Some("12ms"));
}

fn recovered(milliseconds: Option<i64>) -> FaultStatus {
    FaultStatus {
        state: FaultState::Injected,
        injected_at: at(48),
        recovery: Some(RecoveryStatus {
            outcome: if milliseconds.is_some() { Met } else { Missed },
            effect: if milliseconds.is_some() { FaultEffect::Recovered } else { FaultEffect::NotBack },
            recover_milliseconds: milliseconds,
            ..RecoveryStatus::default()
        }),
        ..FaultStatus::default()
    }
}

#[rstest]
#[case::none(vec![], None, None)]
#[case::the_slowest(vec![recovered(Some(2000)), recovered(Some(3200))], Some("2/2"), Some("3.2s"))]
#[case::never(vec![recovered(Some(2000)), recovered(None)], Some("2/2"), Some("> 42s"))]
#[case::not_injected(
    vec![recovered(Some(2000)), FaultStatus::default()],
    Some("1/2"),
    Some("2s")
)]
fn faults_and_recoveries(
    #[case] faults: Vec<FaultStatus>,
    #[case] injected: Option<&str>,
    #[case] recovery: Option<&str>,
) {
    let load = LoadStatus { started_at: at(0), ended_at: at(90), ..LoadStatus::default() };
    let display = display(&LoadTestStatus { faults, load: Some(load), ..LoadTestStatus::default() }, &[]);
    assert_eq!((display.faults.as_deref(), display.recovery.as_deref()), (injected, recovery));
}
