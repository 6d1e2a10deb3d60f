use jiff::SignedDuration;
use rstest::rstest;

use super::*;
use crate::prometheus::{ask::Answer, series::Labels};

const INJECTED: f64 = 1_700_000_100.0;

fn at(second: f64) -> Timestamp {
    Timestamp::from_millisecond(((INJECTED + second) * 1000.0) as i64).unwrap()
}

fn alert() -> AlertPlan {
    AlertPlan { name: "DbmanDown".to_owned(), namespace: "msg-server".to_owned() }
}

/// Samples of one alert in seconds from the injection, for each of its label sets.
fn detected(firing_before: bool, samples: &[Vec<f64>], rules: Answer) -> Detected {
    let mut asks = Asks::default();
    let probe = DetectProbe::ask(&alert(), at(0.0), at(60.0), &mut asks);
    let before = if firing_before { vec![(Labels::new(), INJECTED, 1.0)] } else { vec![] };
    let matrix = samples
        .iter()
        .enumerate()
        .map(|(n, times)| {
            let labels = [("pod".to_owned(), n.to_string())].into();
            (labels, times.iter().map(|t| (INJECTED + t, 1.0)).collect())
        })
        .collect();
    let mut answers = Answers::default();
    answers.add(vec![
        (probe.before, Answer::Vector(before)),
        (probe.firing, Answer::Matrix(matrix)),
        (probe.rules, rules),
    ]);
    probe.read(&answers)
}

fn rule(holds_for: f64, every: f64) -> Answer {
    Answer::Rules(vec![AlertRule { holds_for, every }])
}

fn unknown() -> Answer {
    Answer::Failed("404".to_owned())
}

#[rstest]
#[case::rule_known(&[vec![12.0, 17.0, 22.0]], rule(10.0, 5.0), Some(12_000), Some(5000), Some(15_000),
    "DbmanDown fired 12s after the fault, measured to 5s, at the soonest 15s")]
#[case::rule_unknown(&[vec![12.0, 27.0, 42.0]], unknown(), Some(12_000), Some(15_000), None,
    "DbmanDown fired 12s after the fault, measured to 15s")]
#[case::one_sample(&[vec![12.0]], unknown(), Some(12_000), None, None, "DbmanDown fired 12s after the fault")]
#[case::the_first_of_several(&[vec![40.0], vec![9.0, 14.0]], rule(0.0, 5.0), Some(9000), Some(5000), Some(5000),
    "DbmanDown fired 9s after the fault, measured to 5s, at the soonest 5s")]
#[case::samples_of_an_earlier_time(&[vec![-300.0, 12.0]], rule(0.0, 5.0), Some(12_000), Some(5000), Some(5000),
    "DbmanDown fired 12s after")]
#[case::never(&[], rule(60.0, 15.0), None, None, Some(75_000), "DbmanDown had not fired after 1m (load ended)")]
#[case::no_such_alert(&[], Answer::Rules(vec![]), None, None, None, "Prometheus has no alert DbmanDown")]
fn alerts(
    #[case] samples: &[Vec<f64>],
    #[case] rules: Answer,
    #[case] after: Option<u64>,
    #[case] resolution: Option<u64>,
    #[case] floor: Option<u64>,
    #[case] message: &str,
) {
    let found = detected(false, samples, rules);
    let ms = |length: Option<Duration>| length.map(|l| u64::try_from(l.as_millis()).unwrap());
    assert_eq!(
        (ms(found.after), ms(found.resolution), ms(found.floor)),
        (after, resolution, floor),
        "{}",
        found.message
    );
    assert!(found.message.starts_with(message), "{}", found.message);
}

#[test]
fn an_alert_that_fired_before_shows_nothing() {
    let found = detected(true, &[vec![5.0, 10.0]], rule(0.0, 5.0));
    assert_eq!(found.after, None);
    assert!(found.message.starts_with("DbmanDown was firing already"), "{}", found.message);
}

#[test]
fn without_an_answer_nothing_is_known() {
    let mut asks = Asks::default();
    let probe = DetectProbe::ask(&alert(), at(0.0), at(60.0), &mut asks);
    let found = probe.read(&Answers::default());
    assert_eq!((found.after, found.floor), (None, None));
    assert!(found.message.starts_with("whether DbmanDown fired is not known"), "{}", found.message);
}

#[test]
fn it_reads_from_the_injection_to_the_end_of_the_load() {
    let mut asks = Asks::default();
    let _ = DetectProbe::ask(&alert(), at(0.0), at(0.0) + SignedDuration::from_millis(59_400), &mut asks);
    let queries: Vec<String> = asks.into_requests().into_iter().map(|r| r.question.to_string()).collect();
    let firing = r#"ALERTS{alertname="DbmanDown",alertstate="firing",namespace=~"|msg-server"}"#;
    assert_eq!(
        queries,
        [firing.to_owned(), format!("{firing}[60s] @ 1700000159.400"), "DbmanDown".to_owned()]
    );
}
