//! When the load ended. The operator sees that within a second or two, and much later where it was away: what is left of
//! the time after the load would then count as load without requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::LoadTestStatus;

use super::Context;
use crate::{
    ask::{Answers, Asks, RequestKind},
    promql,
};

/// Later than this the end was not seen when it came.
const SEEN: SignedDuration = SignedDuration::from_secs(5);
/// Between two looks; Prometheus looks back further than that.
const EVERY: Duration = Duration::from_secs(240);

/// The question when a runner was heard of last.
#[derive(Debug)]
pub(super) struct LoadEnd {
    asked: usize,
    planned: Timestamp,
    seen: Timestamp,
}

impl LoadEnd {
    /// Asks where the end was seen well after it was planned: only then can nothing else be meant.
    pub(super) fn ask(status: &LoadTestStatus, context: &Context, asks: &mut Asks) -> Option<Self> {
        let load = status.load.as_ref()?;
        let (planned, seen) = (load.planned_end_at.as_ref()?.0, load.ended_at.as_ref()?.0);
        let after = seen.duration_since(planned);
        if after <= SEEN {
            return None;
        }
        let looks = i64::try_from(after.as_secs().unsigned_abs().div_ceil(EVERY.as_secs())).ok()?;
        let from = seen
            .checked_sub(SignedDuration::try_from(EVERY).ok()?.checked_mul(looks.try_into().ok()?)?)
            .ok()?;
        let range = RequestKind::Range { from, to: seen, step: EVERY };
        Some(Self { asked: asks.ask(promql::last_pushed(&context.metrics), range), planned, seen })
    }

    /// When it ended, where that was well before it was seen. k6 says once a second how many virtual users it has.
    pub(super) fn read(&self, answers: &Answers) -> Option<Timestamp> {
        let points = answers.matrix(self.asked).ok()?.iter().flat_map(|(_, points)| points);
        let last = points.map(|(_, last)| *last).filter(|last| last.is_finite()).max_by(f64::total_cmp)?;
        let heard = Timestamp::from_millisecond((last * 1000.0).round() as i64 + 1000).ok()?;
        let ended = heard.max(self.planned);
        (self.seen.duration_since(ended) > SEEN).then_some(ended)
    }
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{K6Figure, Objective, Outcome, VerdictPolicy};
    use rstest::rstest;

    use super::super::{
        Evaluation,
        minute::{self, GOOD, at, micro, over, pushed, requests, settings},
    };

    use crate::plan::ObjectivePlan;

    /// 1,200 requests in a minute that was planned, and the last word of k6.
    #[rstest]
    #[case::as_it_came(60.4, 60.0, None, "19.9")]
    #[case::iterations_that_took_long(75.4, 75.0, None, "15.9")]
    #[case::away_for_a_while(100.0, 60.0, Some(61.0), "19.7")]
    #[case::away_with_long_iterations(100.0, 75.0, Some(76.0), "15.8")]
    #[case::away_for_long(4000.0, 60.0, Some(61.0), "19.7")]
    // That is for others to say; it says nothing of the end.
    #[case::pushes_that_were_lost(100.0, 40.0, Some(60.0), "20")]
    #[case::nothing_is_known(100.0, -1.0, None, "12")]
    fn the_load_ends_with_its_last_word(
        #[case] seen: f64,
        #[case] last: f64,
        #[case] ended: Option<f64>,
        #[case] rate: &str,
    ) {
        let mut fake = pushed(&requests(|_| GOOD));
        let users = (0..=75).map(f64::from).filter(|second| *second <= last).map(|second| (at(second), 5.0));
        fake.add("k6_vus", &[("testid", "4f1c"), ("runner", "chat-0")], users);
        let mut status = over(vec![]);
        status.load.as_mut().unwrap().ended_at = micro(seen);
        let objective = Objective {
            name: "rate".to_owned(),
            k6: Some(K6Figure { metric: "http_reqs".to_owned(), rate: Some(true), ..K6Figure::default() }),
            at_least: Some("10".into()),
            ..Objective::default()
        };
        let objective = ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap();
        let judged = minute::judge(Evaluation::new(&[objective], vec![], &status, settings()), &fake);
        let window = &judged.objectives[0].windows[0];
        assert_eq!((window.outcome, window.value.as_deref()), (Outcome::Met, Some(rate)));
        judged.write_into(&mut status);
        assert_eq!(status.load.unwrap().ended_at, micro(ended.unwrap_or(seen)));
    }
}
