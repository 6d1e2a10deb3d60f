//! Sequences of observations, worked out on paper. Seconds count from the start of the load; the part is `dbman`.

use HappeningKind::*;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, MicroTime};
use loadtest_crds::{
    FaultState, FaultStatus, HappeningKind, Outcome, Scaling, TargetState, TargetStatus, Watched,
    WatchedStatus,
};
use rstest::rstest;

use crate::{
    plan::system::{self, WatchPlan},
    watch::system::{
        course::Course,
        pod::{ContainerEnd, ContainerSeen, Disruption, PodSeen},
        record::{Span, drop_repeated, record},
    },
};

use Step::*;

mod limits;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn micro(second: i64) -> Option<MicroTime> {
    Some(MicroTime(at(second)))
}

/// A ready pod of the Deployment dbman, made long before the load.
fn pod(name: &str) -> PodSeen {
    PodSeen {
        uid: format!("uid-{name}"),
        name: name.to_owned(),
        workload: "dbman".to_owned(),
        revision: Some("r1".to_owned()),
        images: [("dbman".to_owned(), "dbman:1".to_owned())].into(),
        ready: true,
        created_at: Some(at(-1000)),
        containers: [("dbman".to_owned(), ContainerSeen::default())].into(),
        ..PodSeen::default()
    }
}

fn made(name: &str, second: i64) -> PodSeen {
    PodSeen { created_at: Some(at(second)), ..pod(name) }
}

fn unready(pod: PodSeen) -> PodSeen {
    PodSeen { ready: false, ..pod }
}

fn going(pod: PodSeen) -> PodSeen {
    PodSeen { going: true, ..pod }
}

/// Its container has restarted so often, the last time after an end at that second.
fn restarted(mut pod: PodSeen, restarts: i32, reason: &str, second: i64) -> PodSeen {
    let exit_code = if reason == "OOMKilled" { 137 } else { 1 };
    let end = ContainerEnd { exit_code, reason: reason.to_owned(), at: Some(at(second)) };
    let container = ContainerSeen { restarts, ended_now: false, last_end: Some(end) };
    pod.containers.insert("dbman".to_owned(), container);
    pod
}

/// Its container has ended and waits to be started again.
fn ended(pod: PodSeen, restarts: i32, reason: &str, second: i64) -> PodSeen {
    let mut pod = unready(restarted(pod, restarts, reason, second));
    if let Some(container) = pod.containers.get_mut("dbman") {
        container.ended_now = true;
    }
    pod
}

fn disrupted(pod: PodSeen, kind: HappeningKind, second: i64) -> PodSeen {
    let why = "why".to_owned();
    PodSeen { over: true, disruption: Some(Disruption { kind, why, at: Some(at(second)) }), ..pod }
}

fn second_version(name: &str, second: i64) -> PodSeen {
    PodSeen {
        revision: Some("r2".to_owned()),
        images: [("dbman".to_owned(), "dbman:2".to_owned())].into(),
        ..made(name, second)
    }
}

/// `kill` was injected at second 10 and took pod `a`; as many as before were ready at second 20.
fn fault() -> FaultStatus {
    let target =
        TargetStatus { uid: "uid-a".to_owned(), state: TargetState::Injected, ..TargetStatus::default() };
    FaultStatus {
        name: "kill".to_owned(),
        state: FaultState::Injected,
        due_at: micro(10),
        injected_at: micro(10),
        replaced_at: micro(20),
        targets: vec![target],
        ..FaultStatus::default()
    }
}

enum Step {
    All(i64, Vec<PodSeen>),
    Change(i64, Box<PodSeen>),
    Gone(i64, &'static str),
    Trouble(i64),
}

fn sees(second: i64, pod: PodSeen) -> Step {
    Change(second, Box::new(pod))
}

fn plan(fields: Watched) -> WatchPlan {
    let mut part = Watched { name: "dbman".to_owned(), ..fields };
    part.pods.selector = LabelSelector {
        match_labels: Some([("app".to_owned(), "dbman".to_owned())].into()),
        ..LabelSelector::default()
    };
    system::parts(&[part], &[], "shop").unwrap().remove(0)
}

fn strict() -> WatchPlan {
    plan(Watched { assert_no_restarts: true, assert_no_oom: true, ..Watched::default() })
}

/// Takes the steps in, from what was recorded before.
fn course(before: WatchedStatus, steps: Vec<Step>) -> Course {
    let mut course = Course::new(before, at(0));
    for step in steps {
        match step {
            All(s, pods) => course.all(at(s), pods),
            Change(s, pod) => course.changed(at(s), *pod),
            Gone(s, name) => course.gone(at(s), &format!("uid-{name}")),
            Trouble(s) => course.trouble(at(s), "connection refused".to_owned()),
        }
    }
    course
}

/// The part after a load of 60 s, looked at once more after 61 s with the pods as they were.
fn closed(mut course: Course, faults: &[FaultStatus], plan: &WatchPlan) -> WatchedStatus {
    let last = course.pods.values().cloned().collect();
    course.close(at(61), Ok(last));
    recorded(&course, faults, plan)
}

fn recorded(course: &Course, faults: &[FaultStatus], plan: &WatchPlan) -> WatchedStatus {
    let load = Span { started: at(0), ended: Some(at(60)) };
    record(plan, course, faults, load, at(62)).unwrap()
}

fn told(status: &WatchedStatus) -> Vec<(HappeningKind, i64, &str)> {
    let second = |h: &loadtest_crds::Happening| h.at.as_ref().unwrap().0.as_second() - 1_700_000_000;
    status.happenings.iter().map(|h| (h.kind, second(h), h.message.as_str())).collect()
}

#[rstest]
#[case::nothing(vec![sees(5, pod("a")), sees(6, unready(pod("a"))), sees(7, pod("a"))], &[])]
#[case::restart(
    vec![sees(5, ended(pod("a"), 0, "Error", 5)), sees(6, restarted(pod("a"), 1, "Error", 5))],
    &[(Restart, 6, "container dbman of pod a restarted, exit code 1 (Error)")]
)]
#[case::restarts_of_one_container_are_one_line(
    vec![sees(5, restarted(pod("a"), 1, "Error", 5)), sees(30, restarted(pod("a"), 3, "Error", 29))],
    &[(Restart, 5, "container dbman of pod a restarted 3 times, the last time with exit code 1 (Error)")]
)]
#[case::out_of_memory_is_told_once(
    vec![sees(5, ended(pod("a"), 0, "OOMKilled", 5)), sees(6, restarted(pod("a"), 1, "OOMKilled", 5))],
    &[(OutOfMemory, 5, "container dbman of pod a was killed for lack of memory, restarted")]
)]
#[case::out_of_memory_twice(
    vec![sees(5, restarted(pod("a"), 1, "OOMKilled", 5)), sees(9, restarted(pod("a"), 2, "OOMKilled", 9))],
    &[(OutOfMemory, 5, "container dbman of pod a was killed for lack of memory 2 times, restarted 2 times")]
)]
#[case::never_started_again(
    vec![sees(5, PodSeen { over: true, ..ended(pod("a"), 0, "OOMKilled", 5) })],
    &[(OutOfMemory, 5, "container dbman of pod a was killed for lack of memory, was not started again"),
      (Scaled, 5, "scaled from 2 to 1 pods")]
)]
#[case::an_end_on_the_way_out_is_no_restart(
    vec![sees(5, going(ended(pod("a"), 0, "Error", 5))), sees(6, made("c", 5)), Gone(7, "a")],
    &[(Deletion, 5, "pod a was deleted and replaced, and not by a fault of this run")]
)]
#[case::eviction(
    vec![sees(5, disrupted(ended(pod("a"), 0, "Error", 5), Eviction, 5)), sees(6, made("c", 5))],
    &[(Eviction, 5, "pod a was evicted: why")]
)]
#[case::node(
    vec![sees(5, disrupted(pod("a"), Node, 5)), sees(6, made("c", 5)), Gone(7, "a")],
    &[(Node, 5, "pod a was taken away because of its node: why")]
)]
#[case::deletion_without_grace(
    vec![Gone(5, "a"), sees(5, made("c", 5))],
    &[(Deletion, 5, "pod a was deleted and replaced, and not by a fault of this run")]
)]
#[case::scaled_up(
    vec![sees(5, unready(made("c", 5))), sees(8, made("c", 5)), sees(9, made("d", 9))],
    &[(Scaled, 5, "scaled from 2 to 4 pods")]
)]
#[case::scaled_up_and_down(
    vec![sees(5, made("c", 5)), sees(6, made("d", 6)), Gone(20, "c"), Gone(40, "d"), Gone(41, "b")],
    &[(Scaled, 5, "scaled from 2 to 1 pods, up to 4 in between")]
)]
#[case::rollout_with_a_surge(
    vec![sees(5, second_version("c", 5)), sees(8, going(pod("a"))), sees(8, second_version("d", 8)),
         Gone(9, "a"), sees(11, going(pod("b"))), Gone(12, "b")],
    &[(Rollout, 5, "dbman from r1 to r2: image dbman:1 → dbman:2")]
)]
#[case::rollout_that_recreates(
    vec![sees(5, going(pod("a"))), sees(5, going(pod("b"))), Gone(6, "a"), Gone(6, "b"),
         sees(7, second_version("c", 7)), sees(7, second_version("d", 7))],
    &[(Rollout, 7, "dbman from r1 to r2: image dbman:1 → dbman:2")]
)]
#[case::rollout_of_the_same_image(
    vec![sees(5, PodSeen { revision: Some("r2".to_owned()), ..made("c", 5) })],
    &[(Rollout, 5, "dbman from r1 to r2: the same images")]
)]
#[case::image_changed_in_place(
    vec![sees(5, PodSeen { images: second_version("a", 0).images, ..pod("a") })],
    &[(Rollout, 5, "pod a: image dbman:1 → dbman:2")]
)]
#[case::a_new_pod_that_restarts(
    vec![Gone(5, "a"), sees(5, unready(made("c", 5))), sees(9, restarted(made("c", 5), 1, "Error", 8))],
    &[(Deletion, 5, "pod a was deleted and replaced, and not by a fault of this run"),
      (Restart, 9, "container dbman of pod c restarted, exit code 1 (Error)")]
)]
#[case::an_old_pod_that_matches_only_now(
    vec![sees(5, restarted(pod("c"), 7, "Error", -50))],
    &[(Scaled, 5, "scaled from 2 to 3 pods")]
)]
#[case::after_the_load(vec![sees(61, restarted(pod("a"), 1, "Error", 61)), sees(61, second_version("c", 61))], &[])]
#[case::found_by_listing_again(
    vec![Trouble(5), All(9, vec![restarted(pod("a"), 1, "Error", 7), made("c", 8)])],
    &[(Deletion, 5, "pod b was deleted and replaced, and not by a fault of this run"),
      (Restart, 7, "container dbman of pod a restarted, exit code 1 (Error)")]
)]
fn without_a_fault(#[case] steps: Vec<Step>, #[case] expected: &[(HappeningKind, i64, &str)]) {
    let mut all = vec![All(0, vec![pod("a"), pod("b")])];
    all.extend(steps);
    let status = closed(course(WatchedStatus::default(), all), &[], &plan(Watched::default()));
    assert_eq!(told(&status), expected);
    assert_eq!((status.pods, status.outcome), (Some(2), Outcome::Met));
}

/// The fault takes `a` at second 10; `c` comes in its place and is ready at second 20.
#[rstest]
#[case::the_target_and_its_replacement(vec![Gone(10, "a"), sees(10, unready(made("c", 10))), sees(20, made("c", 10))], &[], 0)]
#[case::seen_before_it_is_acknowledged(vec![Gone(9, "a"), sees(9, unready(made("c", 9)))], &[], 0)]
#[case::a_replacement_that_struggles(
    vec![Gone(10, "a"), sees(10, unready(made("c", 10))), sees(15, restarted(unready(made("c", 10)), 2, "Error", 15))],
    &[], 0
)]
#[case::a_replacement_that_falls_later(
    vec![Gone(10, "a"), sees(10, unready(made("c", 10))), sees(30, restarted(made("c", 10), 1, "Error", 29))],
    &[(Restart, 30, "container dbman of pod c restarted, exit code 1 (Error)")], 1
)]
#[case::a_neighbour_that_falls(
    vec![Gone(10, "a"), sees(11, made("c", 10)), sees(12, restarted(pod("b"), 1, "Error", 12))],
    &[(Restart, 12, "container dbman of pod b restarted, exit code 1 (Error)")], 1
)]
#[case::the_target_before_its_time(
    vec![sees(5, restarted(pod("a"), 1, "Error", 5)), Gone(10, "a"), sees(11, made("c", 10))],
    &[(Restart, 5, "container dbman of pod a restarted, exit code 1 (Error)")], 1
)]
#[case::a_second_pod_that_goes(
    vec![Gone(10, "a"), Gone(11, "b"), sees(11, made("c", 10)), sees(12, made("d", 11))],
    &[(Deletion, 11, "pod b was deleted and replaced, and not by a fault of this run")], 0
)]
fn with_a_fault(
    #[case] steps: Vec<Step>,
    #[case] expected: &[(HappeningKind, i64, &str)],
    #[case] restarts: i32,
) {
    let mut all = vec![All(0, vec![pod("a"), pod("b")])];
    all.extend(steps);
    let status = closed(course(WatchedStatus::default(), all), &[fault()], &strict());
    assert_eq!(told(&status), expected);
    assert_eq!(status.restarts, restarts);
    assert_eq!(status.outcome, if restarts > 0 { Outcome::Missed } else { Outcome::Met });
}

#[rstest]
#[case::refused(FaultState::Failed, TargetState::Failed, 1)]
#[case::not_injected(FaultState::NotInjected, TargetState::Intended, 1)]
#[case::unconfirmed(FaultState::Unconfirmed, TargetState::Unconfirmed, 0)]
fn a_fault_that_did_not_happen_explains_nothing(
    #[case] state: FaultState,
    #[case] target: TargetState,
    #[case] deletions: usize,
) {
    let mut fault = FaultStatus { state, ..fault() };
    fault.targets[0].state = target;
    let steps = vec![All(0, vec![pod("a"), pod("b")]), Gone(10, "a"), sees(11, made("c", 11))];
    let status = closed(course(WatchedStatus::default(), steps), &[fault], &strict());
    assert_eq!(status.happenings.len(), deletions, "{:?}", status.happenings);
}

/// The operator dies after second 10 and its successor looks again at second 20.
#[rstest]
#[case::recorded_is_not_counted_twice(
    vec![sees(5, restarted(pod("a"), 1, "Error", 5))],
    vec![restarted(pod("a"), 1, "Error", 5), pod("b")],
    &[(Restart, 5)], 1, false
)]
#[case::restarted_again_unseen(
    vec![sees(5, restarted(pod("a"), 1, "Error", 5))],
    vec![restarted(pod("a"), 3, "Error", 15), pod("b")],
    &[(Restart, 5), (Restart, 15)], 3, false
)]
#[case::restarted_unseen(
    vec![],
    vec![restarted(pod("a"), 1, "Error", 15), pod("b")],
    &[(Restart, 15)], 1, false
)]
#[case::restarted_before_the_load(vec![], vec![restarted(pod("a"), 4, "Error", -5), pod("b")], &[], 0, false)]
#[case::rolled_out_unseen(vec![], vec![second_version("c", 12), second_version("d", 14)], &[(Rollout, 12)], 0, true)]
#[case::rolled_out_as_recorded(
    vec![sees(5, second_version("c", 5))],
    vec![pod("a"), pod("b"), second_version("c", 5)],
    &[(Rollout, 5)], 0, false
)]
#[case::replaced_unseen(vec![], vec![pod("b"), made("c", 12)], &[], 0, true)]
#[case::evicted_unseen(vec![], vec![disrupted(pod("a"), Eviction, 15), pod("b"), made("c", 15)], &[(Eviction, 15)], 0, true)]
#[case::evicted_long_ago(vec![], vec![pod("a"), pod("b"), disrupted(pod("z"), Eviction, -90)], &[], 0, false)]
fn after_a_restart_of_the_operator(
    #[case] first: Vec<Step>,
    #[case] then: Vec<PodSeen>,
    #[case] expected: &[(HappeningKind, i64)],
    #[case] restarts: i32,
    #[case] changed: bool,
) {
    let mut all = vec![All(0, vec![pod("a"), pod("b")])];
    all.extend(first);
    let load = Span { started: at(0), ended: None };
    let plan = strict();
    let before = record(&plan, &course(WatchedStatus::default(), all), &[], load, at(10)).unwrap();
    let status = closed(course(before, vec![All(20, then)]), &[], &plan);
    let kinds: Vec<_> = told(&status).iter().map(|(kind, second, _)| (*kind, *second)).collect();
    assert_eq!((kinds.as_slice(), status.restarts, status.pods), (expected, restarts, Some(2)));
    let gap = &status.gaps[0];
    assert_eq!((&gap.from, &gap.to, gap.pods_changed), (&micro(10), &micro(20), changed));
    // Restarts of pods that nobody can ask any more are not known to be none.
    let outcome = match (restarts, changed) {
        (0, true) => Outcome::NoData,
        (0, false) => Outcome::Met,
        _ => Outcome::Missed,
    };
    assert_eq!(status.outcome, outcome, "{:?}", status.message);
}

#[test]
fn a_target_that_went_unseen_explains_the_pod_that_comes() {
    let mut fault = fault();
    fault.replaced_at = None;
    let plan = strict();
    let load = Span { started: at(0), ended: None };
    let first = course(WatchedStatus::default(), vec![All(0, vec![pod("a"), pod("b")])]);
    let before = record(&plan, &first, &[], load, at(9)).unwrap();
    let status =
        closed(course(before, vec![All(12, vec![pod("b")]), sees(13, made("c", 13))]), &[fault], &plan);
    assert_eq!(told(&status), []);
}

#[test]
fn ready_pods_over_time() {
    let steps = vec![
        All(0, vec![pod("a"), unready(pod("b"))]),
        sees(3, pod("b")),
        sees(4, pod("b")),
        sees(5, going(pod("a"))),
        Gone(8, "a"),
        sees(9, made("c", 6)),
        sees(61, made("d", 61)),
    ];
    let status = closed(course(WatchedStatus::default(), steps), &[], &plan(Watched::default()));
    let line: Vec<_> = status.ready.iter().map(|s| (s.at.clone(), s.pods)).collect();
    assert_eq!(line, [(micro(0), 1), (micro(3), 2), (micro(5), 1), (micro(9), 2)]);
    assert_eq!(status.until, micro(60));
}

/// 150 steps that last a second or three: 100 stay, the first, the last and the peak among them.
#[test]
fn a_long_line_loses_its_shortest_steps() {
    let mut course = course(WatchedStatus::default(), vec![All(0, vec![pod("a"), pod("b")])]);
    course.changed(at(1), made("peak", 1));
    course.gone(at(2), "uid-peak");
    for i in 0..75 {
        course.changed(at(10 + 4 * i), unready(pod("b")));
        course.changed(at(13 + 4 * i), pod("b"));
    }
    let load = Span { started: at(0), ended: None };
    let status = record(&strict(), &course, &[], load, at(400)).unwrap();
    assert!(status.ready.len() <= 100 && status.ready.len() > 50, "{}", status.ready.len());
    assert_eq!((status.ready[0].pods, status.ready[1].pods), (2, 3));
    assert!(status.ready.windows(2).all(|w| w[0].pods != w[1].pods && w[0].at < w[1].at));
}

/// From one ready pod; asked for 3 within 30 s of a load of 60 s.
#[rstest]
#[case::in_time(vec![sees(10, made("b", 9)), sees(20, made("c", 9))], Outcome::Met, Some(20_000), "3 pods were ready after 20s, asked for at least 3 within 30s (ready: 1 at the start, 2 at 10s, 3 at 20s)")]
#[case::and_back_again(vec![sees(10, made("b", 9)), sees(20, made("c", 9)), Gone(21, "c")], Outcome::Met, Some(20_000), "3 pods were ready after 20s")]
#[case::at_the_limit(vec![sees(10, made("b", 9)), sees(30, made("c", 9))], Outcome::Met, Some(30_000), "after 30s")]
#[case::too_late(vec![sees(10, made("b", 9)), sees(40, made("c", 9))], Outcome::Missed, Some(40_000), "3 pods were ready only after 40s, asked for at least 3 within 30s")]
#[case::never(vec![sees(10, made("b", 9)), sees(12, unready(made("c", 9)))], Outcome::Missed, None, "no more than 2 pods ready")]
#[case::after_the_end(vec![sees(61, made("b", 9)), sees(61, made("c", 9))], Outcome::Missed, None, "no more than 1 pod ready")]
#[case::unseen(vec![Trouble(20), All(40, vec![pod("a"), made("b", 21), made("c", 22)])], Outcome::NoData, Some(40_000), "nobody watched from")]
fn scaling(
    #[case] steps: Vec<Step>,
    #[case] outcome: Outcome,
    #[case] reached: Option<i64>,
    #[case] words: &str,
) {
    let plan =
        plan(Watched { scaling: Some(Scaling { reaches: 3, within: "30s".into() }), ..Watched::default() });
    let mut all = vec![All(0, vec![pod("a")])];
    all.extend(steps);
    let scaling = closed(course(WatchedStatus::default(), all), &[], &plan).scaling.unwrap();
    assert_eq!((scaling.outcome, scaling.reached_milliseconds), (outcome, reached), "{scaling:?}");
    let message = scaling.message.unwrap();
    assert!(message.contains(words), "{message}");
}

#[test]
fn what_is_scaled_from_the_start_shows_nothing() {
    let plan =
        plan(Watched { scaling: Some(Scaling { reaches: 2, within: "30s".into() }), ..Watched::default() });
    let status = closed(course(WatchedStatus::default(), vec![All(0, vec![pod("a"), pod("b")])]), &[], &plan);
    let scaling = status.scaling.unwrap();
    assert_eq!(scaling.outcome, Outcome::NoData);
    assert!(scaling.message.unwrap().contains("begin with fewer than 2"));
}

#[test]
fn scaling_is_met_or_missed_as_soon_as_it_is_known() {
    let plan =
        plan(Watched { scaling: Some(Scaling { reaches: 2, within: "30s".into() }), ..Watched::default() });
    let load = Span { started: at(0), ended: None };
    let course = course(WatchedStatus::default(), vec![All(0, vec![pod("a")])]);
    let outcome = |now: i64| record(&plan, &course, &[], load, at(now)).unwrap().scaling.unwrap().outcome;
    assert_eq!((outcome(29), outcome(30), outcome(31)), (Outcome::NoData, Outcome::NoData, Outcome::Missed));
}

#[test]
fn a_part_that_cannot_be_watched_is_no_data() {
    let mut never = Course::new(WatchedStatus::default(), at(0));
    let load = Span { started: at(0), ended: Some(at(60)) };
    assert_eq!(record(&strict(), &never, &[], load, at(62)), None);
    never.close(at(61), Err("forbidden".to_owned()));
    let status = recorded(&never, &[], &strict());
    assert_eq!(status.outcome, Outcome::NoData);
    assert_eq!(status.message.as_deref(), Some("its pods could not be watched: forbidden"));

    let mut lost = course(WatchedStatus::default(), vec![All(0, vec![pod("a")]), Trouble(20)]);
    lost.close(at(61), Err("forbidden".to_owned()));
    let status = recorded(&lost, &[], &strict());
    assert_eq!((status.outcome, status.until), (Outcome::NoData, micro(20)));
    assert!(status.message.unwrap().contains("to the end of the load: forbidden"));
}

#[test]
fn a_rollout_is_never_left_out() {
    let mut steps = vec![All(0, vec![pod("a"), pod("b")])];
    for i in 0..30 {
        let name = format!("p{i}");
        steps.push(sees(1, restarted(made(&name, 1), 1, "Error", 1)));
    }
    steps.push(sees(50, second_version("c", 50)));
    let status = closed(course(WatchedStatus::default(), steps), &[], &strict());
    assert_eq!((status.happenings.len(), status.more_happenings, status.restarts), (20, 11, 30));
    assert!(status.happenings.iter().any(|h| h.kind == Rollout));
}

#[test]
fn what_a_named_part_tells_is_not_told_again() {
    let named = strict();
    let of_fault = WatchPlan { named: false, name: "target of kill".to_owned(), ..strict() };
    let steps = || vec![All(0, vec![pod("a")]), sees(5, restarted(pod("a"), 1, "Error", 5))];
    let part = || closed(course(WatchedStatus::default(), steps()), &[], &named);
    let mut parts = [part(), part()];
    drop_repeated(&mut parts, &[named.clone(), of_fault]);
    assert_eq!((parts[0].happenings.len(), parts[1].happenings.len()), (1, 0));
}
