//! A part of the system as the status has it: what was there, what happened, and whether what was asked held.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{
    FaultStatus, Happening, HappeningKind, Outcome, ReadyStep, ScalingStatus, WatchGap, WatchedStatus,
};

use crate::{
    numbers::duration::human,
    plan::system::{ScalingPlan, WatchPlan},
    watch::system::{
        course::{Course, MOST_TEMPLATES, members},
        happenings::unexplained,
        ready::{push_step, thin},
    },
};

const MOST_HAPPENINGS: usize = 20;
const MOST_GAPS: usize = 10;
/// Steps of the replica line that a message names.
const STEPS_IN_WORDS: usize = 10;

/// When the load ran.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
}

/// Writes one part down, with what happened until `now`. `None` as long as nothing was seen of it and there is
/// hope.
#[must_use]
pub fn record(
    plan: &WatchPlan,
    course: &Course,
    faults: &[FaultStatus],
    load: Span,
    now: Timestamp,
) -> Option<WatchedStatus> {
    let before = &course.before;
    let Some(begun) = &course.begun else {
        let why = course.closed.as_ref()?.as_ref().err()?;
        let mut status = before.clone();
        status.name.clone_from(&plan.name);
        let message = format!("its pods could not be watched: {why}");
        status.scaling = plan.scaling.as_ref().map(|_| no_data(message.clone()));
        if status.outcome != Outcome::Missed {
            status.outcome = Outcome::NoData;
            status.message = Some(message);
        }
        return Some(status);
    };
    let found = unexplained(course, faults, load.ended, now);
    let (happenings, more) = {
        let mut all = before.happenings.clone();
        all.extend(found.happenings);
        let more = all.len().saturating_sub(MOST_HAPPENINGS);
        // A rollout decides the verdict: it is never the one that is left out.
        while all.len() > MOST_HAPPENINGS {
            let last = all.iter().rposition(|h| h.kind != HappeningKind::Rollout);
            all.remove(last.unwrap_or(all.len() - 1));
        }
        (all, before.more_happenings + i32::try_from(more).unwrap_or(i32::MAX / 2))
    };
    let within =
        |at: &Option<MicroTime>| at.as_ref().is_some_and(|at| load.ended.is_none_or(|end| at.0 <= end));
    let mut ready = Vec::new();
    for (index, step) in before.ready.iter().chain(&course.ready).enumerate() {
        // The first look may come after the end, where the operator was away.
        if index == 0 || within(&step.at) {
            push_step(&mut ready, step.clone());
        }
    }
    let gaps: Vec<WatchGap> = before.gaps.iter().chain(&course.gaps).take(MOST_GAPS).cloned().collect();
    let seen_until = course.trouble.as_ref().map_or(now, |(since, _)| *since);
    let mut status = WatchedStatus {
        name: plan.name.clone(),
        outcome: Outcome::NoData,
        pods: before.pods.or(Some(begun.pods)),
        images: course.images.iter().take(MOST_TEMPLATES).cloned().collect(),
        limits: course.limits.iter().take(MOST_TEMPLATES).cloned().collect(),
        revisions: course.revisions.iter().take(MOST_TEMPLATES).cloned().collect(),
        ready,
        restarts: before.restarts + found.restarts,
        out_of_memory: before.out_of_memory + found.out_of_memory,
        happenings,
        more_happenings: more,
        scaling: None,
        until: Some(MicroTime(load.ended.map_or(seen_until, |end| end.min(seen_until)))),
        members: Some(members(&course.pods)),
        gaps,
        message: None,
    };
    status.scaling = scaling(plan, course, &status, load, now);
    (status.outcome, status.message) = asserted(plan, course, &status);
    Some(status)
}

/// What is told of one part is not told again of a part that a fault adds.
pub fn drop_repeated(parts: &mut [WatchedStatus], plans: &[WatchPlan]) {
    let mut told: BTreeSet<(String, HappeningKind, String)> = BTreeSet::new();
    for (part, plan) in parts.iter_mut().zip(plans) {
        let key = |h: &Happening| h.pod.clone().map(|pod| (plan.namespace.clone(), h.kind, pod));
        if !plan.named {
            part.happenings.retain(|h| key(h).is_none_or(|key| !told.contains(&key)));
        }
        told.extend(part.happenings.iter().filter_map(key));
    }
}

/// Whether the asserts held. Without any, whether it was watched to the end.
fn asserted(plan: &WatchPlan, course: &Course, status: &WatchedStatus) -> (Outcome, Option<String>) {
    let restarts = (plan.assert_no_restarts && status.restarts > 0).then(|| {
        counted(status.restarts, "restart that no fault explains", "restarts that no fault explains")
    });
    let killed = (plan.assert_no_oom && status.out_of_memory > 0).then(|| {
        counted(
            status.out_of_memory,
            "container killed for lack of memory",
            "containers killed for lack of memory",
        )
    });
    let broken: Vec<String> = restarts.into_iter().chain(killed).collect();
    if !broken.is_empty() {
        let first = status.happenings.iter().find(|h| {
            matches!(h.kind, HappeningKind::OutOfMemory)
                || h.kind == HappeningKind::Restart && plan.assert_no_restarts
        });
        let first = first.map(|h| format!(": {}", h.message)).unwrap_or_default();
        return (Outcome::Missed, Some(format!("{}, none allowed{first}", broken.join(" and "))));
    }
    match &course.closed {
        None => (Outcome::NoData, None),
        Some(Err(why)) => {
            (Outcome::NoData, Some(format!("its pods could not be watched to the end of the load: {why}")))
        }
        Some(Ok(())) if !plan.asserts() => (Outcome::Met, None),
        Some(Ok(())) => match status.gaps.iter().find(|gap| gap.pods_changed) {
            Some(gap) => {
                let message = format!(
                    "pods came or went while nobody watched ({}), so what became of them is not known",
                    gap.words()
                );
                (Outcome::NoData, Some(message))
            }
            None => (Outcome::Met, Some(kept(plan, status))),
        },
    }
}

/// `no restart and no container killed for lack of memory in 2 pods`
fn kept(plan: &WatchPlan, status: &WatchedStatus) -> String {
    let asked = [
        (plan.assert_no_restarts, "no restart"),
        (plan.assert_no_oom, "no container killed for lack of memory"),
    ];
    let kept: Vec<&str> = asked.iter().filter(|(asked, _)| *asked).map(|(_, what)| *what).collect();
    let pods = status.pods.unwrap_or_default();
    format!("{} in {}, apart from what faults explain", kept.join(" and "), counted(pods, "pod", "pods"))
}

fn scaling(
    plan: &WatchPlan,
    course: &Course,
    status: &WatchedStatus,
    load: Span,
    now: Timestamp,
) -> Option<ScalingStatus> {
    let ScalingPlan { reaches, within } = *plan.scaling.as_ref()?;
    let limit = format!("at least {reaches} within {}", human(within));
    let first = status.ready.first().map_or(0, |step| step.pods);
    if first >= reaches {
        return Some(no_data(format!(
            "{first} pods were ready from the start, so nothing had to be scaled: begin with fewer than {reaches}"
        )));
    }
    let after_start = |at: Timestamp| Duration::try_from(at.duration_since(load.started)).unwrap_or_default();
    let recorded = course.before.scaling.as_ref().and_then(|s| s.reached_milliseconds);
    let inside = |at: Timestamp| load.ended.is_none_or(|end| at <= end);
    let reached = recorded.map(|ms| Duration::from_millis(ms.unsigned_abs())).or_else(|| {
        let peak = course.peaks.iter().find(|(at, ready)| *ready >= reaches && inside(*at));
        peak.map(|(at, _)| after_start(*at))
    });
    // In a gap in the time allowed so many pods may have been ready.
    let from = |gap: &WatchGap| gap.from.as_ref().map_or(Duration::ZERO, |from| after_start(from.0));
    let unseen = status.gaps.iter().find(|gap| from(gap) < within);
    let (outcome, message) = match (reached, unseen) {
        (Some(after), _) if after <= within => {
            (Outcome::Met, format!("{reaches} pods were ready after {}, asked for {limit}", human(after)))
        }
        (_, Some(gap)) => {
            let gap = gap.words();
            (
                Outcome::NoData,
                format!("nobody watched from {gap}: how many pods were ready then is not known"),
            )
        }
        (Some(after), None) => (
            Outcome::Missed,
            format!("{reaches} pods were ready only after {}, asked for {limit}", human(after)),
        ),
        (None, None) if after_start(load.ended.unwrap_or(now)) > within => {
            let most = counted(status.ready.iter().map(|step| step.pods).max().unwrap_or(0), "pod", "pods");
            (Outcome::Missed, format!("no more than {most} ready, asked for {limit}"))
        }
        (None, None) => match (&course.closed, load.ended) {
            (Some(Err(why)), _) => (Outcome::NoData, format!("its pods could not be watched: {why}")),
            (Some(Ok(())), Some(_)) => {
                (Outcome::NoData, format!("the load ended before {} were over", human(within)))
            }
            _ => return Some(ScalingStatus { outcome: Outcome::NoData, ..ScalingStatus::default() }),
        },
    };
    Some(ScalingStatus {
        outcome,
        reached_milliseconds: reached.and_then(|after| i64::try_from(after.as_millis()).ok()),
        message: Some(format!("{message} (ready: {})", replica_line(&status.ready, load.started))),
    })
}

fn no_data(message: String) -> ScalingStatus {
    ScalingStatus { outcome: Outcome::NoData, message: Some(message), ..ScalingStatus::default() }
}

/// `2 at the start, 3 at 31s, 6 at 48s`
fn replica_line(steps: &[ReadyStep], started: Timestamp) -> String {
    let mut short = steps.to_vec();
    thin(&mut short, STEPS_IN_WORDS);
    let words = short.iter().map(|step| {
        let at = step.at.as_ref().map_or(started, |t| t.0).max(started);
        let since = Duration::try_from(at.duration_since(started)).unwrap_or_default();
        let since = Duration::from_secs(since.as_secs());
        if since.is_zero() {
            return format!("{} at the start", step.pods);
        }
        format!("{} at {}", step.pods, human(since))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn counted(n: i32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
