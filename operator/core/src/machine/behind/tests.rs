use loadtest_crds::{ServedService, TargetStatus};
use rstest::rstest;

use super::*;

/// Pod `a` was picked.
fn fault(ready_before: Option<i32>, services: &[(&str, i32)]) -> FaultStatus {
    let services = services
        .iter()
        .map(|(name, ready_before)| ServedService { name: (*name).to_owned(), ready_before: *ready_before });
    FaultStatus {
        ready_before,
        targets: vec![TargetStatus { uid: "a".to_owned(), ..TargetStatus::default() }],
        services: services.collect(),
        ..FaultStatus::default()
    }
}

/// Pods, a letter each: in upper case those that are not ready; the ready ones before the `|` serve `s`.
fn pods(text: &str) -> Vec<Candidate> {
    let (serving, others) = text.split_once('|').unwrap_or((text, ""));
    let pod = |serves: &'static str| {
        move |letter: char| Candidate {
            name: letter.to_ascii_lowercase().to_string(),
            uid: letter.to_ascii_lowercase().to_string(),
            node: None,
            ready: letter.is_ascii_lowercase(),
            serves: serves.chars().map(String::from).collect(),
        }
    };
    serving.chars().map(pod("s")).chain(others.chars().map(pod(""))).collect()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn behind(fault: &FaultStatus, seen: &[(i64, &str)]) -> Behind {
    let mut behind = Behind::of(fault);
    for (at, now) in seen {
        behind.tell(second(*at), &pods(now));
    }
    behind
}

/// Two were ready before, of which pod `a` was picked.
#[rstest]
#[case::not_replaced(2, "b", false)]
#[case::the_picked_one_lives_on(2, "ab", false)]
#[case::not_ready(2, "bC", false)]
#[case::ready_and_not_serving(2, "b|c", false)]
#[case::ready_and_serving(2, "bc", true)]
#[case::the_other_has_left_the_service(2, "c|b", false)]
#[case::served_less_before(1, "c|b", true)]
#[case::nothing(2, "", false)]
fn as_many_as_before(#[case] served: i32, #[case] now: &str, #[case] expected: bool) {
    let fault = fault(Some(2), &[("s", served)]);
    let found = behind(&fault, &[(1, now)]).there(second(0), &Count::before(&fault));
    assert_eq!(found.is_some(), expected);
}

/// Of several Services each has as many again; of none, readiness is all there is.
#[rstest]
#[case::both(&[("s", 2), ("t", 0)], "bc", true)]
#[case::one_of_two(&[("s", 2), ("t", 1)], "bc", false)]
#[case::none(&[], "|bc", true)]
#[case::none_and_not_ready(&[], "|bC", false)]
fn each_service_has_its_pods_again(
    #[case] services: &[(&str, i32)],
    #[case] now: &str,
    #[case] expected: bool,
) {
    let fault = fault(Some(2), services);
    let found = behind(&fault, &[(1, now)]).there(second(0), &Count::before(&fault));
    assert_eq!(found.is_some(), expected);
}

/// A record that says nothing of pods or Services, or holds what cannot be, never is there without a pod.
#[rstest]
#[case(None)]
#[case(Some(0))]
#[case(Some(-1))]
fn never_with_no_pod(#[case] ready_before: Option<i32>) {
    let wanted = Count::before(&fault(ready_before, &[]));
    let there = |now: &str| behind(&fault(None, &[]), &[(1, now)]).there(second(0), &wanted);
    assert_eq!((there(""), there("b")), (None, Some(second(1))));
}

/// Pod `a` of `a` and `b` is deleted at 10 s. What is known of the time before it, as ready pods, and when as many are
/// there again.
#[rstest]
#[case::undisturbed(&[(8, "ab"), (11, "bC"), (14, "bc")], Some(2), Some(14))]
#[case::one_becomes_ready_before(&[(8, "abC"), (9, "abc"), (11, "bcD"), (14, "bcd")], Some(3), Some(14))]
#[case::at_the_same_moment(&[(8, "abC"), (10, "abc"), (11, "bc"), (14, "bcd")], Some(3), Some(14))]
#[case::and_is_seen_a_moment_later(&[(8, "abC"), (11, "abc"), (12, "bc"), (14, "bcd")], Some(3), Some(14))]
#[case::first_seen_a_moment_later(&[(11, "abc"), (12, "bc"), (14, "bcd")], Some(3), Some(14))]
#[case::one_more_that_was_coming(&[(8, "abC"), (11, "bC"), (12, "bc"), (14, "bcd")], Some(2), Some(12))]
#[case::nobody_watched_before(&[(11, "b"), (14, "bc")], None, Some(14))]
#[case::it_lives_on(&[(8, "ab"), (11, "abc"), (14, "abcd")], Some(4), None)]
#[case::gone_by_itself_before(&[(8, "ab"), (9, "b"), (14, "bc")], Some(1), Some(14))]
#[case::never_replaced(&[(8, "ab"), (11, "b")], Some(2), None)]
#[case::not_seen_at_all(&[], None, None)]
fn what_is_seen_before_the_injection_ends_nothing(
    #[case] seen: &[(i64, &str)],
    #[case] before: Option<usize>,
    #[case] there: Option<i64>,
) {
    let fault = fault(Some(2), &[("s", 2)]);
    let behind = behind(&fault, seen);
    let found = behind.before(second(10));
    assert_eq!(found.map(|seen| seen.all.ready), before);
    let mut wanted = Count::before(&fault);
    if let Some(found) = found {
        wanted.raise(&found.all, usize::MAX);
    }
    assert_eq!(behind.there(second(10), &wanted), there.map(second));
}

#[rstest]
#[case::a_pod("b", "1 of 2 ready")]
#[case::none("", "0 of 2 ready")]
#[case::a_service("b|c", "2 of 2 ready, 1 of 2 behind Service s")]
#[case::nothing("bc", "2 of 2 ready")]
fn what_is_missing(#[case] now: &str, #[case] expected: &str) {
    let fault = fault(Some(2), &[("s", 2)]);
    let behind = behind(&fault, &[(1, now), (5, "bcde")]);
    assert_eq!(behind.at(second(0)), None);
    let seen = behind.at(second(4)).unwrap();
    assert_eq!(seen.others.against(&Count::before(&fault)), expected);
}

/// Pods that change for hours fill no memory.
#[test]
fn no_more_than_the_latest_changes_are_kept() {
    let mut behind = Behind::of(&fault(Some(2), &[]));
    for at in 0..5000 {
        behind.tell(second(at), &pods(if at % 4 < 2 { "ab" } else { "b" }));
    }
    assert_eq!(behind.seen.len(), MOST_SEEN);
    assert_eq!(behind.at(second(5000)).map(|seen| seen.others.ready), Some(1));
    assert_eq!(behind.ready(), &BTreeSet::from(["b".to_owned()]));
}
