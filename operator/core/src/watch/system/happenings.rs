//! What happened in a part and is not explained by a fault of the run.
//!
//! A fault explains what happens to the pods that it picked, from its injection on; the pods that come in their
//! place; and restarts of those until as many pods as before are ready again. A pod takes the place of one of the
//! same workload that has left before it came.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultStatus, Happening, HappeningKind};

use crate::watch::system::course::{Course, End, Event, What};

/// Within this time a pod that left is replaced, where it is replaced at all; later it counts as taken away.
const REPLACED_WITHIN: SignedDuration = SignedDuration::from_secs(10);
/// Times of the API server and of the nodes count in seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What no fault explains.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unexplained {
    /// In order of time.
    pub happenings: Vec<Happening>,
    pub restarts: i32,
    pub out_of_memory: i32,
}

/// What happened until `end` that no fault explains, as far as can be told at `now`.
pub(super) fn unexplained(
    course: &Course,
    faults: &[FaultStatus],
    end: Option<Timestamp>,
    now: Timestamp,
) -> Unexplained {
    let events: Vec<&Event> =
        course.events.iter().filter(|event| end.is_none_or(|end| event.at <= end)).collect();
    let places = Places::of(course, faults, &events);
    let mut found = Unexplained::default();

    let mut containers: BTreeMap<(&str, &str), Vec<(&Event, &End)>> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::Ended(_) | What::Disrupted { .. } if places.explain(faults, event) => {}
            What::Ended(end) => {
                found.restarts += end.restarts;
                found.out_of_memory += i32::from(end.out_of_memory);
                containers.entry((&event.uid, &end.container)).or_default().push((event, end));
            }
            What::Disrupted { kind, why } => {
                let what =
                    if *kind == HappeningKind::Node { "taken away because of its node" } else { "evicted" };
                found.happenings.push(of_pod(event, *kind, format!("pod {} was {what}: {why}", event.pod)));
            }
            What::Rollout(message) => {
                found.happenings.push(happening(event.at, HappeningKind::Rollout, message.clone()));
            }
            What::Came | What::Left { .. } => {}
        }
    }
    found.happenings.extend(containers.values().filter_map(|ends| of_container(ends)));
    found.happenings.extend(places.deleted.iter().map(|gone| {
        let message = format!("pod {} was deleted and replaced, and not by a fault of this run", gone.pod);
        of_pod(gone, HappeningKind::Deletion, message)
    }));
    found.happenings.extend(scaled(course, &places, end.unwrap_or(now)));
    found.happenings.sort_by(|a, b| a.at.cmp(&b.at).then(a.kind.cmp(&b.kind)));
    found
}

/// Which pods left, and which came in their places.
struct Places<'a> {
    /// By the uid of a pod that came: the fault whose target it replaces.
    replacements: BTreeMap<&'a str, &'a FaultStatus>,
    /// Replaced, and neither by a fault nor by the cluster nor by a rollout.
    deleted: Vec<&'a Event>,
    /// Pods more (+1) or fewer (−1), for which nothing else is the reason.
    steps: Vec<(Timestamp, i32)>,
}

impl<'a> Places<'a> {
    fn of(course: &'a Course, faults: &'a [FaultStatus], events: &[&'a Event]) -> Self {
        let all = course.events.iter();
        let rolled: BTreeSet<&str> =
            all.clone().filter(|e| matches!(e.what, What::Rollout(_))).map(|e| e.workload.as_str()).collect();
        let disrupted: BTreeSet<&str> =
            all.filter(|e| matches!(e.what, What::Disrupted { .. })).map(|e| e.uid.as_str()).collect();
        // Targets that were gone before this process looked: nobody saw which pods they were replaced by.
        let mut unseen = course.begun.as_ref().map_or(Vec::new(), |begun| {
            targets(faults).filter(|(_, uid)| !begun.uids.contains(*uid)).map(|(fault, _)| fault).collect()
        });
        unseen.retain(|_| course.before.pods.is_some());
        let mut places = Self { replacements: BTreeMap::new(), deleted: Vec::new(), steps: Vec::new() };
        let mut left: Vec<(&Event, Option<&FaultStatus>)> = Vec::new();
        for turn in events {
            match turn.what {
                What::Left { .. } => {
                    left.push((turn, hit_by(faults, &turn.uid, turn.at)));
                    continue;
                }
                What::Came => {}
                _ => continue,
            }
            let place = |of_fault: bool| {
                let free = |(old, fault): &(&Event, Option<&FaultStatus>)| {
                    old.workload == turn.workload && fault.is_some() == of_fault
                };
                left.iter().position(free)
            };
            match place(true).or_else(|| place(false)).map(|index| left.remove(index)) {
                Some((_, Some(fault))) => {
                    places.replacements.insert(&turn.uid, fault);
                }
                Some((old, None)) => {
                    let known =
                        disrupted.contains(old.uid.as_str()) || rolled.contains(old.workload.as_str());
                    if !known && matches!(old.what, What::Left { over: false }) {
                        places.deleted.push(old);
                    }
                }
                None if rolled.contains(turn.workload.as_str()) => {}
                None => match unseen.pop() {
                    Some(fault) => {
                        places.replacements.insert(&turn.uid, fault);
                    }
                    None => places.steps.push((turn.at, 1)),
                },
            }
        }
        let away = left.iter().filter(|(old, fault)| {
            fault.is_none()
                && !disrupted.contains(old.uid.as_str())
                && !rolled.contains(old.workload.as_str())
        });
        places.steps.extend(away.map(|(old, _)| (old.at, -1)));
        places.steps.sort_unstable_by_key(|(at, _)| *at);
        places
    }

    fn explain(&self, faults: &[FaultStatus], event: &Event) -> bool {
        let (uid, at) = (event.uid.as_str(), event.at);
        let until = |fault: &FaultStatus| fault.replaced().is_none_or(|replaced| at <= replaced);
        hit_by(faults, uid, at).is_some() || self.replacements.get(uid).is_some_and(|fault| until(fault))
    }
}

/// The targets of faults that were injected, or may have been.
fn targets(faults: &[FaultStatus]) -> impl Iterator<Item = (&FaultStatus, &String)> {
    let begun = faults.iter().filter(|fault| fault.begun().is_some());
    begun.flat_map(|fault| fault.hit().map(move |target| (fault, &target.uid)))
}

/// The fault that had picked this pod and was injected by then.
fn hit_by<'a>(faults: &'a [FaultStatus], uid: &str, at: Timestamp) -> Option<&'a FaultStatus> {
    let by_then =
        |f: &FaultStatus| f.begun().is_some_and(|from| at.saturating_add(SECOND).unwrap_or(at) >= from);
    targets(faults).find(|(fault, target)| target.as_str() == uid && by_then(fault)).map(|(fault, _)| fault)
}

fn happening(at: Timestamp, kind: HappeningKind, message: String) -> Happening {
    Happening { at: Some(MicroTime(at)), kind, message, ..Happening::default() }
}

fn of_pod(event: &Event, kind: HappeningKind, message: String) -> Happening {
    Happening { pod: Some(event.pod.clone()), ..happening(event.at, kind, message) }
}

/// All ends of one container in one line.
fn of_container(ends: &[(&Event, &End)]) -> Option<Happening> {
    let ((first, _), (_, last)) = (ends.first()?, ends.last()?);
    let restarts: i32 = ends.iter().map(|(_, end)| end.restarts).sum();
    let killed = ends.iter().filter(|(_, end)| end.out_of_memory).count();
    let times = |n: usize| if n == 1 { String::new() } else { format!(" {n} times") };
    let restarted = match restarts {
        0 => "was not started again".to_owned(),
        n => format!("restarted{}", times(usize::try_from(n).unwrap_or_default())),
    };
    let (kind, what) = if killed > 0 {
        (HappeningKind::OutOfMemory, format!("was killed for lack of memory{}, {restarted}", times(killed)))
    } else {
        let end = last.seen.last_end.as_ref();
        let how = end.map_or_else(
            || "it is not known how it ended".to_owned(),
            |end| {
                let last = if restarts > 1 { "the last time with " } else { "" };
                let reason = if end.reason.is_empty() { String::new() } else { format!(" ({})", end.reason) };
                format!("{last}exit code {}{reason}", end.exit_code)
            },
        );
        (HappeningKind::Restart, format!("{restarted}, {how}"))
    };
    let message = format!("container {} of pod {} {what}", last.container, first.pod);
    Some(Happening {
        container: Some(last.container.clone()),
        restart_count: Some(last.seen.restarts),
        ..of_pod(first, kind, message)
    })
}

/// Pods added or taken away, in one line: `2 → 6 pods`, with the extremes where these lie beyond.
fn scaled(course: &Course, places: &Places, now: Timestamp) -> Option<Happening> {
    let settled = |at: Timestamp, step: i32| {
        step > 0 || at.saturating_add(REPLACED_WITHIN).unwrap_or(at) <= now || course.closed.is_some()
    };
    let steps: Vec<(Timestamp, i32)> =
        places.steps.iter().filter(|(at, step)| settled(*at, *step)).copied().collect();
    let (first, _) = steps.first()?;
    let from = course.begun.as_ref()?.pods;
    let (mut to, mut most, mut least) = (from, from, from);
    for (_, step) in &steps {
        to += step;
        most = most.max(to);
        least = least.min(to);
    }
    let mut message = format!("scaled from {from} to {to} pods");
    if most > from.max(to) {
        message.push_str(&format!(", up to {most} in between"));
    }
    if least < from.min(to) {
        message.push_str(&format!(", down to {least} in between"));
    }
    Some(happening(*first, HappeningKind::Scaled, message))
}
