//! The limits of the containers, as they were and as they became.

use super::*;

fn limited(pod: PodSeen, limits: &[(&str, &str)]) -> PodSeen {
    let limits = limits.iter().map(|(resource, limit)| ((*resource).to_owned(), (*limit).to_owned()));
    PodSeen { limits: [("dbman".to_owned(), limits.collect())].into(), ..pod }
}

const HALF: &[(&str, &str)] = &[("cpu", "500m"), ("memory", "64Mi")];
const WHOLE: &[(&str, &str)] = &[("cpu", "1"), ("memory", "64Mi")];

#[rstest]
#[case::none(vec![All(0, vec![limited(pod("a"), &[])])], &[], &["dbman: none"])]
#[case::two_alike(
    vec![All(0, vec![limited(pod("a"), HALF), limited(pod("b"), HALF)])], &[], &["dbman: cpu 500m, memory 64Mi"]
)]
#[case::rolled_out(
    vec![All(0, vec![limited(pod("a"), HALF)]), sees(5, limited(second_version("b", 5), WHOLE))],
    &[],
    &["dbman: cpu 500m, memory 64Mi", "dbman: cpu 1, memory 64Mi"]
)]
#[case::resized_in_place(
    vec![All(0, vec![limited(pod("a"), HALF)]), sees(5, limited(pod("a"), WHOLE))],
    &[],
    &["dbman: cpu 500m, memory 64Mi", "dbman: cpu 1, memory 64Mi"]
)]
#[case::after_a_restart_of_the_operator(
    vec![All(9, vec![limited(pod("a"), WHOLE)])],
    &["dbman: cpu 500m, memory 64Mi"],
    &["dbman: cpu 500m, memory 64Mi", "dbman: cpu 1, memory 64Mi"]
)]
fn limits_of_the_containers(#[case] steps: Vec<Step>, #[case] before: &[&str], #[case] expected: &[&str]) {
    let before = WatchedStatus {
        limits: before.iter().map(|limits| (*limits).to_owned()).collect(),
        ..WatchedStatus::default()
    };
    let plan = plan(Watched::default());
    let status = closed(course(before, steps), &[], &plan);
    assert_eq!(status.limits, expected);
}
