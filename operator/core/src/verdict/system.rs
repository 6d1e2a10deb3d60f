//! What happened to the system under test while it was measured.
//!
//! A rollout makes the run Inconclusive: its figures are those of two versions. A restart, an out-of-memory kill,
//! an eviction or a deletion makes it a Warn: the figures are of the system as it is, with a failure in them that
//! was not asked for. Scaling is what systems do under load, and is listed. Asserts and scaling that were asked for
//! and did not hold are a Fail.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::{Happening, HappeningKind, LoadTestStatus, Outcome, Verdict};

use crate::{
    numbers::duration::human,
    verdict::ground::{Ground, Reason},
};

pub(super) fn of_system(status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    let started = status.load_started();
    // A lost runner takes its load with it, and what was not loaded need not scale.
    let unscaled = match status.lost_runners() {
        0 => (Verdict::Fail, Reason::ScalingMissed),
        _ => (Verdict::Inconclusive, Reason::RunnerLost),
    };
    for part in &status.system {
        let name = &part.name;
        let said = |message: &Option<String>| {
            message.clone().unwrap_or_else(|| "it was not watched to the end of the load".to_owned())
        };
        // Without a message nothing was asked.
        if part.outcome != Outcome::Met || part.message.is_some() {
            let words = format!("{name}: {}", said(&part.message));
            grounds.push(Ground::of(part.outcome, (Verdict::Fail, Reason::AssertFailed), &words));
        }
        if let Some(scaling) = &part.scaling {
            let words = format!("scaling of {name}: {}", said(&scaling.message));
            grounds.push(Ground::of(scaling.outcome, unscaled, &words));
        }
        grounds.extend(part.happenings.iter().map(|happening| of_happening(name, happening, started)));
        if part.more_happenings > 0 {
            let text = format!("warning: {name}: {} more things happened to it", part.more_happenings);
            grounds.push(Ground::new(Verdict::Warn, Reason::Confounded, text));
        }
        for gap in &part.gaps {
            let changed =
                if gap.pods_changed { "pods came or went in it" } else { "the pods stayed the same" };
            grounds.push(Ground::told(format!("{name} was not watched from {}: {changed}", gap.words())));
        }
    }
}

fn of_happening(part: &str, happening: &Happening, started: Option<Timestamp>) -> Ground {
    let since = happening.at.as_ref().zip(started).map(|(at, started)| {
        let into = Duration::try_from(at.0.duration_since(started)).unwrap_or_default();
        format!(
            " ({}, {} into the load)",
            at.0.strftime("%H:%M:%S"),
            human(Duration::from_secs(into.as_secs()))
        )
    });
    let words = format!("{part}: {}{}", happening.message, since.unwrap_or_default());
    match happening.kind {
        HappeningKind::Rollout => Ground::new(
            Verdict::Inconclusive,
            Reason::Rollout,
            format!("rollout in mid-run, so the figures are of two versions: {words}"),
        ),
        HappeningKind::Scaled => Ground::told(words),
        HappeningKind::Restart
        | HappeningKind::OutOfMemory
        | HappeningKind::Eviction
        | HappeningKind::Deletion
        | HappeningKind::Node => Ground::new(Verdict::Warn, Reason::Confounded, format!("warning: {words}")),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use loadtest_crds::{LoadStatus, RunnersStatus, ScalingStatus, WatchGap, WatchedStatus};
    use rstest::rstest;

    use super::*;

    fn at(second: i64) -> Option<MicroTime> {
        Some(MicroTime(Timestamp::from_second(1_700_000_000 + second).unwrap()))
    }

    fn part() -> WatchedStatus {
        WatchedStatus { name: "dbman".to_owned(), outcome: Outcome::Met, ..WatchedStatus::default() }
    }

    fn grounds(part: WatchedStatus, lost: i32) -> Vec<(Verdict, Reason, String)> {
        let status = LoadTestStatus {
            system: vec![part],
            load: Some(LoadStatus { started_at: at(0), ..LoadStatus::default() }),
            runners: Some(RunnersStatus { lost, ..RunnersStatus::default() }),
            ..LoadTestStatus::default()
        };
        let mut grounds = Vec::new();
        of_system(&status, &mut grounds);
        grounds.into_iter().map(|g| (g.verdict, g.reason, g.text)).collect()
    }

    #[rstest]
    #[case(
        HappeningKind::Restart,
        Verdict::Warn,
        Reason::Confounded,
        "warning: dbman: it fell (22:14:23, 1m3s into the load)"
    )]
    #[case(HappeningKind::OutOfMemory, Verdict::Warn, Reason::Confounded, "warning: dbman: it fell")]
    #[case(HappeningKind::Eviction, Verdict::Warn, Reason::Confounded, "warning: ")]
    #[case(HappeningKind::Deletion, Verdict::Warn, Reason::Confounded, "warning: ")]
    #[case(HappeningKind::Node, Verdict::Warn, Reason::Confounded, "warning: ")]
    #[case(HappeningKind::Scaled, Verdict::Pass, Reason::AllObjectivesMet, "dbman: it fell")]
    #[case(
        HappeningKind::Rollout,
        Verdict::Inconclusive,
        Reason::Rollout,
        "rollout in mid-run, so the figures are of two versions: dbman: it fell"
    )]
    fn happenings(
        #[case] kind: HappeningKind,
        #[case] verdict: Verdict,
        #[case] reason: Reason,
        #[case] text: &str,
    ) {
        let happening = Happening { at: at(63), kind, message: "it fell".to_owned(), ..Happening::default() };
        let found = grounds(WatchedStatus { happenings: vec![happening], ..part() }, 0);
        assert_eq!((found.len(), found[0].0, found[0].1), (1, verdict, reason));
        assert!(found[0].2.starts_with(text), "{}", found[0].2);
    }

    #[rstest]
    #[case::kept(Outcome::Met, Verdict::Pass, Reason::AllObjectivesMet, "met: dbman: why")]
    #[case::broken(Outcome::Missed, Verdict::Fail, Reason::AssertFailed, "not met: dbman: why")]
    #[case::unseen(Outcome::NoData, Verdict::Inconclusive, Reason::NoData, "no data: dbman: why")]
    fn asserts(
        #[case] outcome: Outcome,
        #[case] verdict: Verdict,
        #[case] reason: Reason,
        #[case] text: &str,
    ) {
        let found = grounds(WatchedStatus { outcome, message: Some("why".to_owned()), ..part() }, 0);
        assert_eq!(found, [(verdict, reason, text.to_owned())]);
    }

    #[rstest]
    #[case::reached(Outcome::Met, 0, Verdict::Pass, Reason::AllObjectivesMet)]
    #[case::missed(Outcome::Missed, 0, Verdict::Fail, Reason::ScalingMissed)]
    #[case::missed_with_less_load(Outcome::Missed, 1, Verdict::Inconclusive, Reason::RunnerLost)]
    #[case::unseen(Outcome::NoData, 0, Verdict::Inconclusive, Reason::NoData)]
    fn scaling(
        #[case] outcome: Outcome,
        #[case] lost: i32,
        #[case] verdict: Verdict,
        #[case] reason: Reason,
    ) {
        let scaling = ScalingStatus { outcome, message: Some("why".to_owned()), ..ScalingStatus::default() };
        let found = grounds(WatchedStatus { scaling: Some(scaling), ..part() }, lost);
        assert_eq!((found.len(), found[0].0, found[0].1), (1, verdict, reason));
        assert!(found[0].2.ends_with("scaling of dbman: why"), "{}", found[0].2);
    }

    #[test]
    fn a_part_to_which_nothing_happened_is_no_ground() {
        assert_eq!(grounds(part(), 0), []);
    }

    #[test]
    fn a_part_that_was_never_judged_is_no_pass() {
        let found = grounds(WatchedStatus { outcome: Outcome::NoData, ..part() }, 0);
        assert_eq!((found[0].0, found[0].1), (Verdict::Inconclusive, Reason::NoData));
    }

    #[test]
    fn gaps_and_what_is_not_listed_are_said() {
        let gap = WatchGap { from: at(10), to: at(14), pods_changed: true };
        let found = grounds(WatchedStatus { gaps: vec![gap], more_happenings: 3, ..part() }, 0);
        assert_eq!(found[0].2, "warning: dbman: 3 more things happened to it");
        assert_eq!(found[1].2, "dbman was not watched from 22:13:30 to 22:13:34: pods came or went in it");
        assert_eq!(found[1].0, Verdict::Pass);
    }
}
