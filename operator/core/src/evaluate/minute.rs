//! A minute of load as tests have it: the status of its run, its requests, and what is judged of them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultState, FaultStatus, LoadStatus, LoadTestStatus, Plateau, ScenarioStatus};

use crate::evaluate::{
    Evaluation, Step,
    fake::{Event, Fake},
    judgement::Judgement,
    windows::context::Settings,
};

/// The load starts here, and lasts a minute.
const START: i64 = 1_700_000_000;
pub const LENGTH: f64 = 60.0;

/// How long a request took, and whether it was answered; none where none was sent.
pub type Request = Option<(f64, bool)>;

pub const GOOD: Request = Some((0.1, true));
pub const REFUSED: Request = Some((0.001, false));
pub const SLOW: Request = Some((0.5, true));

/// So many seconds after the start, as Prometheus writes times.
pub fn at(second: f64) -> f64 {
    START as f64 + second
}

pub fn time(second: f64) -> Timestamp {
    Timestamp::from_millisecond(START * 1000 + (second * 1000.0).round() as i64).unwrap()
}

pub fn micro(second: f64) -> Option<MicroTime> {
    Some(MicroTime(time(second)))
}

pub fn settings() -> Settings {
    Settings { run_id: "4f1c".to_owned(), push: Duration::from_secs(1) }
}

/// The run while it goes on.
pub fn going(faults: Vec<FaultStatus>) -> LoadTestStatus {
    LoadTestStatus {
        accepted_at: micro(-20.0),
        load: Some(LoadStatus {
            start_intended_at: micro(-0.05),
            started_at: micro(0.0),
            planned_end_at: micro(LENGTH),
            ..LoadStatus::default()
        }),
        scenarios: vec![ScenarioStatus {
            name: "chat".to_owned(),
            plateaus: vec![Plateau { from: 0, to: 60_000 }],
            ..ScenarioStatus::default()
        }],
        faults,
        ..LoadTestStatus::default()
    }
}

/// The run with its load over.
pub fn over(faults: Vec<FaultStatus>) -> LoadTestStatus {
    let mut status = going(faults);
    status.load.get_or_insert_default().ended_at = micro(LENGTH + 0.4);
    status
}

/// A fault, and when its pods were replaced.
pub fn injected(name: &str, injected: f64, replaced: f64) -> FaultStatus {
    FaultStatus {
        name: name.to_owned(),
        state: FaultState::Injected,
        injected_at: micro(injected),
        replaced_at: micro(replaced),
        ..FaultStatus::default()
    }
}

/// 20 requests a second, by what comes of each.
pub fn requests(outcome: impl Fn(f64) -> Request) -> Vec<Event> {
    (0..1200)
        .filter_map(|n| {
            let second = f64::from(n) * 0.05 + 0.025;
            let (took, answered) = outcome(second)?;
            Some(Event { at: at(second), took, answered })
        })
        .collect()
}

/// The same from two runners that push at different times.
pub fn pushed(requests: &[Event]) -> Fake {
    let mut fake = Fake::default();
    for (runner, phase, odd) in [("chat-0", 0.3, 0), ("chat-1", 0.8, 1)] {
        let own = requests.iter().enumerate().filter(|(n, _)| n % 2 == odd).map(|(_, event)| *event);
        fake.push(runner, phase, &own.collect::<Vec<_>>());
    }
    fake
}

/// 20 requests a second, by what comes of each, as Prometheus has them.
pub fn load(outcome: impl Fn(f64) -> Request) -> Fake {
    pushed(&requests(outcome))
}

/// Asks until all is judged.
pub fn judge(mut evaluation: Evaluation, fake: &Fake) -> Judgement {
    let mut answers = Vec::new();
    loop {
        match evaluation.step(answers) {
            Step::Ask(requests) => answers = requests.iter().map(|r| (r.id, fake.answer(r))).collect(),
            Step::Done(judgement) => return *judgement,
        }
    }
}
