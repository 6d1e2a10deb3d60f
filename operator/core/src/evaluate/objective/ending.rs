//! Whether the data of a query or a ratio went on to the end of its window. An exporter that dies in mid-window leaves
//! figures behind that say nothing about the rest of it.

use loadtest_crds::Outcome;

use crate::{
    evaluate::{
        objective::{
            finding::Finding,
            scrapes::{Scrapes, step},
        },
        windows::Window,
    },
    numbers::{
        interval::{Interval, seconds},
        limit::count,
    },
    prometheus::ask::Answers,
};

/// So many seconds at the end of a stretch may always be without data: a pod that is new is found and scraped only
/// after a while.
const GRACE: f64 = 10.0;
/// So many times in a row data may fail to come.
const MISSED: f64 = 3.0;

/// Seconds without data that are more than a few that did not come, where so many lie between two of them.
pub fn hole(every: f64) -> f64 {
    (every * MISSED).max(GRACE)
}

/// The stretches whose data has to go on to their ends; none where it may stop.
#[derive(Clone, Debug, Default)]
pub struct Ending(Vec<Interval>);

impl Ending {
    /// In a fault the data of its pods stops by itself.
    pub fn of(window: &Window, goes_on: bool) -> Self {
        if goes_on && !window.kind.is_of_fault() {
            Self(window.stretches().to_vec())
        } else {
            Self::default()
        }
    }

    /// True where anything has to go on.
    pub fn is_watched(&self) -> bool {
        !self.0.is_empty()
    }

    /// The same for the times of the newest samples of one selector in each stretch.
    pub fn of_newest(
        &self,
        finding: Finding,
        newest: &[Option<f64>],
        scrapes: &Scrapes,
        answers: &Answers,
        holes: &[Interval],
    ) -> Finding {
        let within = |(stretch, at): (&Interval, &Option<f64>)| at.filter(|at| *at > seconds(stretch.from));
        let last: Vec<Option<f64>> = self.0.iter().zip(newest).map(within).collect();
        self.of_last(finding, &last, scrapes, answers, holes)
    }

    /// The same where data last came at these times in each stretch, as often as its series are scraped.
    pub fn of_last(
        &self,
        finding: Finding,
        last: &[Option<f64>],
        scrapes: &Scrapes,
        answers: &Answers,
        holes: &[Interval],
    ) -> Finding {
        let held = self.0.iter().zip(last).map(|(stretch, last)| {
            last.map_or(stretch.length().as_secs_f64(), |at| at - seconds(stretch.from))
        });
        let steps = self.0.iter().map(|stretch| step(stretch.length()).as_secs_f64());
        let every = steps.fold(scrapes.every(&held.collect::<Vec<_>>(), answers), f64::max);
        self.or_else(finding, last, every, holes)
    }

    /// The finding, unless it would be a good one and the data stopped. `last` is when it last came in each stretch,
    /// `every` how many seconds lie between. Before the first of it nothing has stopped: series are born with the
    /// load. What lies in `holes`, the faults with what they left behind, does not count.
    pub fn or_else(&self, finding: Finding, last: &[Option<f64>], every: f64, holes: &[Interval]) -> Finding {
        if !matches!(finding.outcome, Outcome::Met | Outcome::Warn | Outcome::Unclear) {
            return finding;
        }
        let allowed = hole(every);
        let stretches = self.0.iter().zip(last).skip_while(|(_, last)| last.is_none());
        let missing = stretches
            .map(|(stretch, last)| {
                let (from, to) = (last.unwrap_or(seconds(stretch.from)), seconds(stretch.to));
                let in_hole =
                    |hole: &Interval| (seconds(hole.to).min(to) - seconds(hole.from).max(from)).max(0.0);
                to - from - holes.iter().map(in_hole).sum::<f64>()
            })
            .fold(0.0, f64::max);
        if missing <= allowed {
            return finding;
        }
        let missing = count(missing.round() as i64);
        Finding::unmeasurable(format!(
            "the data stopped: none for the last {missing}s of this window or of a stretch of it: check that what exports \
             it lives, and is scraped"
        ))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use loadtest_crds::{Objective, VerdictPolicy, WindowKind};
    use rstest::rstest;

    use super::*;
    use crate::{
        evaluate::{
            Evaluation,
            minute::{self, GOOD, at, over, pushed, requests, settings},
            windows::Extent,
        },
        plan::objective::ObjectivePlan,
        prometheus::expression::goes_on,
    };

    fn interval((from, to): (i64, i64)) -> Interval {
        let at = |second| Timestamp::from_second(second).unwrap();
        Interval { from: at(from), to: at(to) }
    }

    fn ending(kind: WindowKind, stretches: &[(i64, i64)]) -> Ending {
        let extent = Extent::Stretches(stretches.iter().copied().map(interval).collect());
        Ending::of(&Window { kind, fault: None, extent }, true)
    }

    fn met() -> Finding {
        Finding { outcome: Outcome::Met, ..Finding::no_data("as it was") }
    }

    const TWO: [(i64, i64); 2] = [(0, 20), (40, 60)];

    #[rstest]
    #[case::to_the_end(&[(0, 60)], &[Some(60.0)], 1.0, None)]
    #[case::beyond_it(&[(0, 60)], &[Some(75.0)], 15.0, None)]
    #[case::a_while_before(&[(0, 60)], &[Some(50.0)], 1.0, None)]
    #[case::longer(&[(0, 60)], &[Some(49.0)], 1.0, Some("11s"))]
    #[case::three_scrapes(&[(0, 60)], &[Some(15.0)], 15.0, None)]
    #[case::four_scrapes(&[(0, 60)], &[Some(0.0)], 15.0, Some("60s"))]
    #[case::too_short_to_tell(&[(0, 9)], &[Some(1.0)], 1.0, None)]
    #[case::never_there(&[(0, 60)], &[None], 1.0, None)]
    #[case::born_in_the_second_stretch(&TWO, &[None, Some(60.0)], 1.0, None)]
    #[case::gone_with_the_fault(&TWO, &[Some(20.0), None], 1.0, Some("20s"))]
    #[case::gone_in_the_first(&TWO, &[Some(5.0), Some(60.0)], 1.0, Some("15s"))]
    fn data_goes_on_to_the_end(
        #[case] stretches: &[(i64, i64)],
        #[case] last: &[Option<f64>],
        #[case] every: f64,
        #[case] missing: Option<&str>,
    ) {
        let found = ending(WindowKind::Steady, stretches).or_else(met(), last, every, &[]);
        let Some(missing) = missing else { return assert_eq!(found, met()) };
        assert_eq!(found.outcome, Outcome::Unmeasurable);
        assert!(
            found.message.starts_with(&format!("the data stopped: none for the last {missing} ")),
            "{found:?}"
        );
    }

    #[test]
    fn what_a_fault_took_is_not_missing() {
        let run = ending(WindowKind::Run, &[(0, 60)]);
        let judged = |holes: &[Interval]| run.or_else(met(), &[Some(40.0)], 1.0, holes).outcome;
        assert_eq!(judged(&[interval((41, 55))]), Outcome::Met);
        assert_eq!(judged(&[interval((41, 45))]), Outcome::Unmeasurable);
        // In its own windows there is only the fault.
        let fault = ending(WindowKind::Fault, &[(0, 60)]);
        assert_eq!(fault.or_else(met(), &[Some(5.0)], 1.0, &[]), met());
    }

    /// A template is asked once, at the end: what it counted may be of the first half only.
    #[rstest]
    #[case::to_the_end(70, "max(count_over_time(rss[{{window}}]))", Outcome::Met)]
    #[case::to_the_half(30, "max(count_over_time(rss[{{window}}]))", Outcome::Unmeasurable)]
    // Another may stand in.
    #[case::or_another(30, "max(count_over_time(rss[{{window}}])) or max(size)", Outcome::Met)]
    fn a_template_over_data_that_stops(#[case] to: i32, #[case] query: &str, #[case] expected: Outcome) {
        let mut fake = pushed(&requests(|_| GOOD));
        fake.add("rss", &[("pod", "a")], (-60..to).map(|second| (at(f64::from(second)), 1.0)));
        let objective = Objective {
            name: "scrapes".to_owned(),
            query: Some(query.to_owned()),
            at_most: Some("100".into()),
            ..Objective::default()
        };
        let objective = ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap();
        let judged = minute::judge(Evaluation::new(&[objective], vec![], &over(vec![]), settings()), &fake);
        let window = &judged.objectives[0].windows[0];
        assert_eq!(window.outcome, expected, "{:?}", window.message);
    }

    #[rstest]
    #[case(Outcome::Missed)]
    #[case(Outcome::NoData)]
    #[case(Outcome::TooFew)]
    fn only_what_would_be_good_is_taken_back(#[case] outcome: Outcome) {
        let finding = Finding { outcome, ..met() };
        let run = ending(WindowKind::Run, &[(0, 60)]);
        assert_eq!(run.or_else(finding.clone(), &[Some(5.0)], 1.0, &[]), finding);
    }

    #[rstest]
    #[case("max(queue_depth)", true)]
    #[case("sum(rate(a[1m])) / sum(rate(b[1m])) or vector(0)", true)]
    #[case("sum(a > bool 3)", true)]
    #[case("histogram_quantile(0.95, sum by (le) (rate(a_bucket[30s]))) > 0", false)]
    #[case("count(a == 1)", false)]
    #[case("a and b", false)]
    #[case("max(a unless b)", false)]
    #[case("absent(a)", false)]
    #[case("max(k6_vus{loadtest_run=\"a\"})", false)]
    #[case("count(ALERTS{alertstate=\"firing\"})", false)]
    #[case("no promql", false)]
    fn queries_that_may_end_with_their_data_there(#[case] query: &str, #[case] expected: bool) {
        assert_eq!(goes_on(query), expected);
    }
}
