use jiff::Timestamp;
use rstest::rstest;

use super::*;
use crate::prometheus::histogram::Histogram;

const INSTANT: RequestKind = RequestKind::Instant { at: Timestamp::UNIX_EPOCH };

fn range() -> RequestKind {
    let at = Timestamp::UNIX_EPOCH;
    RequestKind::Range { from: at, to: at, step: std::time::Duration::from_secs(1) }
}

fn labels(number: usize) -> Labels {
    [("__name__".to_owned(), "up".to_owned()), ("pod".to_owned(), format!("pod-{number}"))].into()
}

fn matrix(series: usize, points: usize) -> Answer {
    Answer::Matrix((0..series).map(|n| (labels(n), vec![(0.0, 1.0); points])).collect())
}

fn failed(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Failed(why) => Some(why),
        _ => None,
    }
}

#[rstest]
#[case::one(1, None)]
#[case::by_outcome(3, None)]
#[case::not_aggregated(201, Some("it gives more than 200 series: wrap it in sum()"))]
fn points_of_many_series_are_not_read(#[case] series: usize, #[case] expected: Option<&str>) {
    let mut room = Room::whole();
    let kept = room.keep(range(), matrix(series, 60));
    assert_eq!(failed(&kept).map(|why| &why[..expected.map_or(0, str::len)]), expected);
    assert_eq!(room.taken() > 0, expected.is_none());
}

/// Raw samples of all pods are what a ratio is counted from.
#[test]
fn raw_samples_have_as_many_series_as_there_is_room_for() {
    let mut room = Room::whole();
    assert_eq!(failed(&room.keep(INSTANT, matrix(1000, 100))), None);
}

#[test]
fn all_answers_together_have_an_end_and_small_ones_have_room_after_it() {
    let mut room = Room::whole();
    let kept = (0..50).map(|_| room.keep(INSTANT, matrix(200, 400)));
    let kept: Vec<Answer> = kept.filter(|answer| failed(answer).is_none()).collect();
    let bytes: usize = kept.iter().map(Answer::bytes).sum();
    assert!((28 << 20..30 << 20).contains(&bytes), "{bytes}");
    let next = room.keep(INSTANT, matrix(200, 400));
    assert!(failed(&next).unwrap().starts_with("the answers of a run may take 32 MiB together"), "{next:?}");
    for _ in 0..100 {
        assert_eq!(failed(&room.keep(range(), matrix(3, 100))), None);
    }
    assert!(room.taken() <= MOST_BYTES);
    assert!(!room.is_too_little(), "there is no more");
}

#[test]
fn a_run_that_needs_more_than_little_room_is_told() {
    let mut room = Room::little();
    for _ in 0..2 {
        assert_eq!(failed(&room.keep(INSTANT, matrix(200, 400))), None);
        assert!(!room.is_too_little());
    }
    let _ = room.keep(range(), matrix(201, 400));
    assert!(!room.is_too_little(), "more room would not help");
    let _ = room.keep(INSTANT, matrix(200, 400));
    assert!(room.is_too_little());
}

#[test]
fn a_failure_and_rules_take_next_to_nothing() {
    let mut room = Room::whole();
    assert_eq!(failed(&room.keep(INSTANT, Answer::Failed("503".to_owned()))), Some("503"));
    let _ = room.keep(INSTANT, Answer::Rules(Vec::new()));
    assert!(room.taken() < 100);
}

/// Counted on paper for 64-bit machines: a bucket has three numbers, a point two, and a label two texts.
#[test]
fn what_answers_take() {
    let buckets = vec![Bucket::default(); 100];
    let point = (0.0, Histogram { buckets, ..Histogram::default() });
    let histograms = Answer::Histograms(vec![(labels(1), vec![point; 10])]).bytes();
    assert!((24_000..27_000).contains(&histograms), "{histograms}");
    let bare = Answer::Matrix(vec![(Labels::new(), vec![(0.0, 1.0); 1000])]).bytes();
    assert!((16_000..16_100).contains(&bare), "{bare}");
    let one = Answer::Vector(vec![(labels(1), 0.0, 1.0)]).bytes();
    assert!((600..800).contains(&one), "{one}");
}
