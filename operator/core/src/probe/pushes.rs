//! Whether k6's pushes came in time at the ends of a window. What a late push brings counts when it comes, which may be
//! in another window than that in which it happened.

use std::time::Duration;

use crate::{
    ask::{Answers, Asks, RequestKind},
    duration::human,
    evaluate::Context,
    judge::Finding,
    promql,
    windows::Interval,
};

/// k6 samples its number of virtual users once a second, and sends the last one.
const SAMPLED: Duration = Duration::from_secs(1);

/// How old the pushes were at the ends of a window that lie within the load. At the end of the load itself all of them
/// are waited for.
#[derive(Debug, Default)]
pub struct Pushes {
    ends: Vec<usize>,
    /// Up to which age none was left out.
    in_time: Duration,
}

impl Pushes {
    #[must_use]
    pub fn ask(reads: &[Interval], context: &Context, asks: &mut Asks) -> Self {
        let Some(load) = context.load else { return Self::default() };
        let ends = reads.iter().flat_map(|read| [read.from, read.to]);
        let within = ends.filter(|at| *at > load.from && *at < load.to);
        Self {
            ends: within
                .map(|at| asks.ask(promql::push_age(&context.metrics), RequestKind::Instant { at }))
                .collect(),
            in_time: context.settings.push * 2 + SAMPLED,
        }
    }

    /// The finding, unless a push was left out at an end of the window.
    #[must_use]
    pub fn or_else(&self, finding: Finding, answers: &Answers) -> Finding {
        let ages = self.ends.iter().filter_map(|id| answers.sum(*id).ok().flatten());
        let oldest = ages.fold(0.0, f64::max);
        if oldest <= self.in_time.as_secs_f64() {
            return finding;
        }
        Finding::no_data(format!(
            "at an end of this window the last push of a runner was {} old, so some requests may count on the wrong side of \
             it: see whether the runners and Prometheus keep up",
            human(Duration::from_millis((oldest * 1000.0).round() as u64))
        ))
    }
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{K6Figure, Objective, Outcome, TooFewPolicy, VerdictPolicy, WindowKind};
    use rstest::rstest;

    use crate::{
        evaluate::{
            Evaluation,
            minute::{self, GOOD, at, injected, over, pushed, requests, settings},
        },
        plan::{FaultLimits, ObjectivePlan},
    };

    const KINDS: [WindowKind; 3] = [WindowKind::Run, WindowKind::Steady, WindowKind::Fault];

    fn success() -> ObjectivePlan {
        let objective = Objective {
            name: "success".to_owned(),
            k6: Some(K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() }),
            at_most: Some("1%".into()),
            windows: KINDS.to_vec(),
            ..Objective::default()
        };
        let policy = VerdictPolicy { on_too_few: TooFewPolicy::Judge, ..VerdictPolicy::default() };
        ObjectivePlan::parse(&objective, &policy).unwrap()
    }

    /// A fault from 20 s to 30 s, which is read up to a push later, and two runners: one that sends each second, and one
    /// that sends nothing between two times.
    fn outcomes(silent: (f64, f64)) -> [Outcome; 3] {
        let mut fake = pushed(&requests(|_| Some(GOOD.unwrap())));
        let each_second = || (0..=60).map(|second| (at(f64::from(second)), 5.0));
        fake.add("k6_vus", &[("testid", "4f1c"), ("runner", "chat-0")], each_second());
        let heard = each_second().filter(|(time, _)| *time <= at(silent.0) || *time > at(silent.1));
        fake.add("k6_vus", &[("testid", "4f1c"), ("runner", "chat-1")], heard);
        let faults = vec![injected("kill", 20.0, 30.0)];
        let limits = vec![("kill".to_owned(), FaultLimits { recovery: None, budget: None })];
        let evaluation = Evaluation::new(&[success()], limits, &over(faults), settings());
        let judged = minute::judge(evaluation, &fake);
        let of = |kind| judged.objectives[0].windows.iter().find(|w| w.window == kind).unwrap().outcome;
        KINDS.map(of)
    }

    #[rstest]
    #[case::never((90.0, 90.0), [Outcome::Met; 3])]
    // One push is left out: at 31 s the last one is of 28 s.
    #[case::for_one_push((28.0, 32.0), [Outcome::Met; 3])]
    #[case::for_longer((27.0, 32.0), [Outcome::Met, Outcome::NoData, Outcome::NoData])]
    #[case::where_a_window_begins((15.0, 22.0), [Outcome::Met, Outcome::NoData, Outcome::NoData])]
    #[case::amid_a_window((40.0, 50.0), [Outcome::Met; 3])]
    // It was through, and has nothing to send.
    #[case::for_good((15.0, 61.0), [Outcome::Met; 3])]
    fn late_pushes_put_requests_on_the_wrong_side(
        #[case] silent: (f64, f64),
        #[case] expected: [Outcome; 3],
    ) {
        assert_eq!(outcomes(silent), expected);
    }
}
