//! Objectives whose queries nobody aggregated: each gives a series for every pod, path and code there is. What they
//! bring back does not fit into the operator, and other runs must not notice.

use std::time::Duration;

use loadtest_crds::{FaultState, LoadTest, LoadTestStatus, Outcome, Phase, Verdict};
use serde_json::{Value, json};
use test_support::{
    audit,
    runs::{expect, fault, objective},
    stage::{BREAKER, Setup},
};

use crate::{
    heavy::beside_an_innocent_run,
    spec::{few_failures, load, load_with_fault, with},
};

const SERIES: usize = 2064;

/// Users who measure something with a tag that has thousands of values.
fn crowd() -> String {
    format!(
        "import http from 'k6/http';
         import exec from 'k6/execution';
         import {{ sleep }} from 'k6';
         import {{ Gauge }} from 'k6/metrics';
         const crowd = new Gauge('crowd');
         export default function () {{
           if (exec.scenario.iterationInTest === 0) {{
             for (let n = 0; n < {SERIES}; n++) crowd.add(1, {{ member: `member-${{n}}-of-{SERIES}` }});
           }}
           http.get('http://prometheus.monitoring:9090/-/ready', {{ tags: {{ name: 'Ready' }} }});
           sleep(0.2);
         }}"
    )
}

/// One objective that is aggregated, and 63 that are not: points over the load, and values at its end.
fn objectives() -> Value {
    let number = |n: usize| match n % 2 {
        0 => format!("k6_crowd >= bool {n}"),
        _ => format!("k6_crowd{{testid=\"{{{{run}}}}\"}} * {n}"),
    };
    let unaggregated =
        (1..64).map(|n| json!({"name": format!("crowd-{n}"), "query": number(n), "atMost": "1000"}));
    std::iter::once(few_failures()).chain(unaggregated).collect()
}

#[tokio::test]
async fn sixty_four_unaggregated_objectives_are_no_harm() {
    Setup::new("unaggregated")
        .room(4)
        .play(async |stage| {
            let scenarios =
                json!([{"name": "a", "script": {"inline": crowd()}, "parallelism": 1, "vus": 2, "duration": "10s"}]);
            let heavy = with(
                load("", "10s"),
                json!({"scenarios": scenarios, "objectives": objectives(), "runner": {"limits": {"memory": "512Mi"}}}),
            );
            assert_no_data(&beside_an_innocent_run(stage, heavy, 10).await);
            assert_eq!(audit::deletions_by(&stage.targets, &stage.user(BREAKER)).len(), 2);
        })
        .await;
}

/// Each says what to do, and none of them is a pass; what is small has been judged.
fn assert_no_data(status: &LoadTestStatus) {
    expect(status, Verdict::Inconclusive, "NoData", &["series"]);
    assert_eq!(objective(status, "few-failures").outcome, Outcome::Met);
    for unaggregated in status.objectives.iter().filter(|objective| objective.name.starts_with("crowd-")) {
        assert_eq!(unaggregated.outcome, Outcome::NoData, "{unaggregated:#?}");
        let said = unaggregated.windows[0].message.clone().unwrap_or_default();
        let known = ["gives more than 200 series", "series and must give one", "has no room any more"];
        assert!(known.iter().any(|words| said.contains(words)), "{said}");
    }
}

/// What was done to the system stays told, and nothing is left of the run.
#[tokio::test]
async fn a_run_that_takes_the_operator_down_twice_is_not_judged_again() {
    Setup::new("judging")
        .room(2)
        .failpoint_of_each("judging")
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let run = stage.run("judging", load_with_fault(stage, "10s", "3s")).await;
            stage.operator_ended().await;
            stage.start_operator();
            let twice = |t: &LoadTest| t.status.as_ref().is_some_and(|s| s.resume.judged_by.len() == 2);
            let status = run.until("judged by two operators", Duration::from_secs(90), twice).await;
            assert_eq!((status.phase, status.verdict), (Phase::Evaluating, None));
            stage.operator_ended().await;
            stage.start_operator();
            let status = run.finished().await;
            expect(
                &status,
                Verdict::Error,
                "NotJudged",
                &["the operator ended 2 times while it judged this run"],
            );
            assert_eq!(fault(&status, "kill").state, FaultState::Injected);
            assert_eq!(status.resume.judged_by.len(), 2);
        })
        .await;
}
