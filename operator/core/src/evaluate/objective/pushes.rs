//! Whether k6's pushes came in time at the ends of a window. What a late push brings counts when it comes, which may be
//! in another window than that in which it happened.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use loadtest_crds::Outcome;

use crate::{
    evaluate::{
        objective::{finding::Finding, standing::Against},
        windows::context::Context,
    },
    k6::question::{About, Asks},
    numbers::{
        confidence::share_holds,
        duration::human,
        interval::{Interval, seconds},
    },
    plan::{figure::Figure, objective::ObjectivePlan},
    prometheus::ask::{Answers, RequestKind},
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
    step: Duration,
    from: Timestamp,
    ends: Vec<Timestamp>,
    window: Duration,
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
        let ends: Vec<Timestamp> = ends.filter(|at| *at > load.from && *at < load.to).collect();
        // One more push than usual may be under way.
        let in_time = context.settings.push * 2 + SAMPLED;
        let scenario = objective.figure.samples().and_then(|samples| samples.scenario.clone());
        let late = context.metrics.about(About::PushesLate { scenario, in_time });
        let step = Duration::from_secs(load.length().as_secs().div_ceil(MOST_POINTS).max(1));
        let range = RequestKind::Range { from: load.from, to: load.to, step };
        let window = reads.iter().map(Interval::length).sum();
        Some(Self { late: asks.ask(late, range), step, from: load.from, ends, window })
    }

    /// The finding, unless it hangs on where the requests count that late pushes brought: as many as usually come in
    /// that time.
    #[must_use]
    pub fn or_else(&self, finding: Finding, objective: &ObjectivePlan, answers: &Answers) -> Finding {
        let is_good = matches!(finding.outcome, Outcome::Met | Outcome::Warn);
        if !is_good && !matches!(finding.outcome, Outcome::Missed | Outcome::Unclear) {
            return finding;
        }
        let late = match self.late(answers) {
            Ok(late) => late,
            Err(why) if is_good => {
                return Finding::no_data(format!("whether k6's pushes came in time is not known: {why}"));
            }
            Err(_) => return finding,
        };
        if late <= 0.0 || !hangs_on(&finding, objective, late, self.window.as_secs_f64()) {
            return finding;
        }
        Finding::no_data(format!(
            "{}; but at the ends of this window k6's pushes came {} late, so that requests may count on the wrong side, and \
             these decide: see whether the runners and Prometheus keep up",
            finding.message,
            human(Duration::from_millis((late * 1000.0).round() as u64))
        ))
    }

    /// How late they were at all ends together, in seconds.
    fn late(&self, answers: &Answers) -> Result<f64, String> {
        if self.ends.is_empty() {
            return Ok(0.0);
        }
        let points: BTreeMap<i64, f64> = answers
            .matrix(self.late)?
            .iter()
            .flat_map(|(_, points)| points)
            .map(|(at, late)| (self.place(at - seconds(self.from)), *late))
            .collect();
        // In the step up to each end.
        let at = |end: &Timestamp| self.place_before(seconds(*end) - seconds(self.from));
        Ok(self.ends.iter().filter_map(|end| points.get(&at(end))).sum())
    }

    fn place(&self, after: f64) -> i64 {
        (after / self.step.as_secs_f64()).round() as i64
    }

    fn place_before(&self, after: f64) -> i64 {
        (after / self.step.as_secs_f64() + 1e-6).floor() as i64
    }
}

/// Whether it would be judged otherwise with the requests that came in so many seconds of late pushes more, or less.
fn hangs_on(finding: &Finding, objective: &ObjectivePlan, late: f64, window: f64) -> bool {
    // What was counted came in the rest of the window.
    let rest = window - late;
    if rest <= 0.0 {
        return true;
    }
    let (more, less) = (late / rest, late / window);
    if matches!(objective.figure, Figure::K6Count { .. } | Figure::K6Rate { .. }) {
        return finding.figure.is_none_or(|value| {
            let holds = |value: f64| objective.bound.holds(value);
            // Where none was counted, any number may have come late.
            value == 0.0 || holds(value * (1.0 + more)) != holds(value * (1.0 - less))
        });
    }
    let (Some(total), Some(bad)) = (finding.samples, finding.bad) else { return true };
    let (total, bad) = (total as f64, bad as f64);
    let against = Against::of(objective);
    let bad = if against.good { total - bad } else { bad };
    let holds = |bad: f64, total: f64| share_holds(bad, total.max(bad), against.allowed);
    let (more, less) = (total * more, total * less);
    holds(bad + more, total + more) != holds((bad - less).max(0.0), total - less)
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
    fn late_pushes_put_requests_on_the_wrong_side(
        #[case] silent: (f64, f64),
        #[case] expected: [Outcome; 3],
    ) {
        assert_eq!(outcomes(silent, "1%", GOOD), expected);
    }

    /// At 31 s one of two runners is 4.95 s late, so what 2.475 s hold may be missing beside what 8.525 s held of the fault:
    /// 22.5% of all.
    #[rstest]
    #[case::good_all_the_same("24%", GOOD, Outcome::Met)]
    #[case::perhaps_good("22%", GOOD, Outcome::NoData)]
    #[case::bad_all_the_same("1%", REFUSED, Outcome::Missed)]
    #[case::bad_without_them("99%", REFUSED, Outcome::Missed)]
    fn what_does_not_hang_on_late_pushes_stands(
        #[case] limit: &str,
        #[case] request: Request,
        #[case] expected: Outcome,
    ) {
        let [_, _, fault] = outcomes((26.0, 32.0), limit, request);
        assert_eq!(fault, expected);
    }
}
