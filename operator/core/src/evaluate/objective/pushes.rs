//! Whether k6's pushes came in time at the ends of a window. What a late push brings counts when it comes, which may be
//! in another window than that in which it happened: then the figure is not known.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::Outcome;

use crate::{
    evaluate::{
        objective::finding::Finding,
        windows::{context::Context, grid::Grid},
    },
    k6::question::{About, Asks},
    numbers::{
        duration::human,
        interval::{Interval, seconds},
    },
    plan::objective::ObjectivePlan,
    prometheus::ask::Answers,
};

/// k6 samples its number of virtual users once a second, and sends the last one.
const SAMPLED: Duration = Duration::from_secs(1);

/// More points than Prometheus gives are never asked for.
const MOST_POINTS: u64 = 10_000;

/// How late pushes were at the ends of a window that lie within the load. At the end of the load itself all of them are
/// waited for. Asked once for all windows, so that other windows can be asked of a record.
#[derive(Debug)]
pub struct Pushes {
    late: usize,
    grid: Grid,
    ends: Vec<Timestamp>,
}

impl Pushes {
    /// `None` without a load.
    #[must_use]
    pub fn ask(
        reads: &[Interval],
        objective: &ObjectivePlan,
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        let load = context.load?;
        let ends = reads.iter().flat_map(|read| [read.from, read.to]);
        let ends = ends.filter(|at| *at > load.from && *at < load.to).collect();
        // One more push than usual may be under way.
        let in_time = context.settings.push * 2 + SAMPLED;
        let scenario = objective.figure.samples().and_then(|samples| samples.scenario.as_deref());
        let question =
            context.metrics.about(About::PushesLate { scenario: scenario.map(str::to_owned), in_time });
        let step = Duration::from_secs(load.length().as_secs().div_ceil(MOST_POINTS).max(1));
        let grid = Grid::new(load.from, load.length(), step);
        Some(Self { late: asks.ask(question, grid.range()), grid, ends })
    }

    /// The finding, unless one of its ends fell into a late push.
    #[must_use]
    pub fn or_else(&self, finding: Finding, answers: &Answers) -> Finding {
        if finding.outcome == Outcome::NoData || self.ends.is_empty() {
            return finding;
        }
        let doubt = match self.late(answers) {
            Ok(None) => return finding,
            Ok(Some(late)) => {
                let late = Duration::from_millis((late * 1000.0).round() as u64);
                format!("at an end of this window {}", came_late(late))
            }
            Err(why) => unknown(&why),
        };
        Finding::no_data(format!("{}; but {doubt}", finding.message))
    }

    /// How late they were at the ends, in seconds.
    fn late(&self, answers: &Answers) -> Result<Option<f64>, String> {
        // In the step up to each end.
        let place =
            |at: f64| ((at - seconds(self.grid.from)) / self.grid.step.as_secs_f64() + 1e-6).floor() as i64;
        let ends: Vec<i64> = self.ends.iter().map(|end| place(seconds(*end))).collect();
        let points = answers.matrix(self.late)?.iter().flat_map(|(_, points)| points);
        Ok(points.filter(|(at, _)| ends.contains(&place(*at))).map(|(_, late)| *late).reduce(f64::max))
    }
}

/// What is said of late pushes.
pub(crate) fn came_late(late: Duration) -> String {
    format!("k6's pushes came late ({}): see whether the runners and Prometheus keep up", human(late))
}

/// What is said where that is not known.
pub(crate) fn unknown(why: &str) -> String {
    format!("whether k6's pushes came in time is not known: {why}")
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{K6Figure, Objective, Outcome, TooFewPolicy, VerdictPolicy, WindowKind};
    use rstest::rstest;

    use crate::{
        evaluate::{
            Evaluation,
            minute::{self, GOOD, REFUSED, Request, at, injected, over, pushed, requests, settings},
        },
        plan::{fault::FaultLimits, objective::ObjectivePlan},
    };

    const KINDS: [WindowKind; 3] = [WindowKind::Run, WindowKind::Steady, WindowKind::Fault];

    fn success(limit: &str) -> ObjectivePlan {
        let objective = Objective {
            name: "success".to_owned(),
            k6: Some(K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() }),
            at_most: Some(limit.into()),
            windows: KINDS.to_vec(),
            ..Objective::default()
        };
        let policy = VerdictPolicy { on_too_few: TooFewPolicy::Judge, ..VerdictPolicy::default() };
        ObjectivePlan::parse(&objective, &policy).unwrap()
    }

    /// A fault from 20 s to 30 s, which is read up to a push later, and two runners: one that sends each second, and one
    /// that sends nothing between two times.
    fn outcomes(silent: (f64, f64), limit: &str, request: Request) -> [Outcome; 3] {
        let mut fake = pushed(&requests(|_| request));
        let each_second = || (0..=60).map(|second| (at(f64::from(second)), 5.0));
        fake.add("k6_vus", &[("loadtest_run", "4f1c"), ("loadtest_runner", "chat-0")], each_second());
        let heard = each_second().filter(|(time, _)| *time <= at(silent.0) || *time > at(silent.1));
        fake.add("k6_vus", &[("loadtest_run", "4f1c"), ("loadtest_runner", "chat-1")], heard);
        let faults = vec![injected("kill", 20.0, 30.0)];
        let limits = vec![("kill".to_owned(), FaultLimits { recovery: None, budget: None })];
        let evaluation = Evaluation::new(&[success(limit)], limits, &over(faults), settings());
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
    fn what_ends_in_a_late_push_is_not_known(#[case] silent: (f64, f64), #[case] expected: [Outcome; 3]) {
        assert_eq!(outcomes(silent, "1%", GOOD), expected);
    }

    /// What was refused may be of another window, too.
    #[test]
    fn a_miss_is_not_known_either() {
        let in_time = outcomes((90.0, 90.0), "1%", REFUSED);
        let late = outcomes((26.0, 32.0), "1%", REFUSED);
        assert_eq!(in_time, [Outcome::Missed; 3]);
        assert_eq!(late, [Outcome::Missed, Outcome::NoData, Outcome::NoData]);
    }
}
