//! When the load ended. The operator sees that within a second or two, and much later where it was away: the time after
//! the load would then count as load without requests.
//!
//! A k6 that waits to be released goes on sending how many virtual users it has: none. The push that says so for the first
//! time also brings the last requests, so its time is at or after the end. A part of the load that is over between two
//! of k6's looks, once a second, after a pause without virtual users, shows in its requests and iterations alone: the
//! end is after the newest of these.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::LoadTestStatus;

use crate::{
    evaluate::windows::context::Context,
    k6::{
        queries::{HTTP_REQS, ITERATIONS, K6Series, Split},
        question::{About, Asks},
    },
    numbers::interval::Interval,
    prometheus::ask::{Answers, RequestKind},
};

/// Later than this the end was not seen when it came.
const SEEN: SignedDuration = SignedDuration::from_secs(5);
/// Points that are asked for.
const MOST_POINTS: u64 = 1000;

/// The question how many virtual users there were after the planned end.
#[derive(Debug)]
pub(crate) struct LoadEnd {
    users: usize,
    newest: [usize; 2],
    seen: Timestamp,
}

impl LoadEnd {
    /// Asks where the end was not seen when it was planned. That may be as it was: with iterations that took so long, or
    /// so many of them that were through before.
    pub(crate) fn ask(status: &LoadTestStatus, context: &Context, asks: &mut Asks) -> Option<Self> {
        let (planned, seen) = (status.load_planned_end()?, status.load_ended()?);
        let after = seen.duration_since(planned);
        if after.abs() <= SEEN {
            return None;
        }
        let from = if after > SEEN { planned } else { status.load_started()? };
        let stretch = Interval::new(from, seen)?;
        let length = stretch.length();
        let step = Duration::from_secs(length.as_secs().div_ceil(MOST_POINTS).max(1));
        let range = RequestKind::Range { from, to: seen, step };
        let users = asks.ask(context.metrics.about(About::VirtualUsers { by: Split::Whole }), range);
        let newest = [HTTP_REQS, ITERATIONS].map(|metric| {
            let newest = About::Newest { of: K6Series::all(metric), stretch, step };
            asks.ask(context.metrics.about(newest), RequestKind::Instant { at: seen })
        });
        Some(Self { users, newest, seen })
    }

    /// The first time after which there were none any more, where that is well before the end was seen. After some
    /// minutes pods that wait are gone, and nothing is said.
    pub(crate) fn read(&self, answers: &Answers) -> Option<Timestamp> {
        // Where that is not known the users alone say it.
        let newest = self.newest.map(|id| answers.sum(id).ok().flatten().unwrap_or(0.0));
        let newest = newest[0].max(newest[1]);
        let points = answers.matrix(self.users).ok()?.iter().flat_map(|(_, points)| points);
        let (mut ended, mut waits) = (None, false);
        for (at, users) in points {
            if *users > 0.0 || *at < newest {
                waits = false;
            } else if !waits {
                (ended, waits) = (Some(*at), true);
            }
        }
        let ended = ended.filter(|_| waits)?;
        let ended = Timestamp::from_millisecond((ended * 1000.0).round() as i64).ok()?;
        (self.seen.duration_since(ended) > SEEN).then_some(ended)
    }
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{K6Figure, Objective, Outcome, VerdictPolicy};
    use rstest::rstest;

    use crate::{
        evaluate::{
            Evaluation,
            minute::{self, GOOD, at, micro, over, pushed, requests, settings},
        },
        plan::objective::ObjectivePlan,
    };

    /// 20 requests a second, in a minute that was planned; k6 has virtual users to a time, and then says that it has none.
    #[rstest]
    #[case::as_it_came(1, 60.0, 360.0, 60.4, None, "19.9")]
    #[case::iterations_that_took_long(1, 75.0, 360.0, 75.4, None, "15.9")]
    #[case::through_before(1, 40.0, 360.0, 40.4, None, "19.8")]
    #[case::through_before_and_away(1, 40.0, 360.0, 50.0, Some(41.0), "19.5")]
    #[case::away_for_a_while(1, 60.0, 360.0, 100.0, Some(61.0), "19.7")]
    #[case::away_with_long_iterations(1, 75.0, 360.0, 100.0, Some(76.0), "15.8")]
    // Of a runner that is gone Prometheus keeps the last word for five minutes. Looked at each 4 s.
    #[case::away_for_long(1, 60.0, 360.0, 4000.0, Some(64.0), "18.7")]
    // The push of 75 s was not there yet.
    #[case::rare_pushes(30, 72.0, 360.0, 72.4, None, "16.6")]
    #[case::rare_pushes_and_away(30, 72.0, 360.0, 100.0, Some(75.0), "16")]
    // That is for others to say; it says nothing of the end.
    #[case::pushes_that_were_lost(1, 60.0, 40.0, 100.0, None, "12")]
    #[case::nothing_is_known(1, 60.0, -1.0, 100.0, None, "12")]
    fn the_load_ends_when_no_virtual_user_is_left(
        #[case] every: u32,
        #[case] users_to: f64,
        #[case] heard_to: f64,
        #[case] seen: f64,
        #[case] ended: Option<f64>,
        #[case] rate: &str,
    ) {
        let mut fake = pushed(&requests(|second| if second <= users_to { GOOD } else { None }));
        let times = (0..400).filter(|second| second % every == every / 2).map(f64::from);
        let users = times.filter(|second| *second <= heard_to);
        let users = users.map(|second| (at(second), if second <= users_to { 5.0 } else { 0.0 }));
        fake.add("k6_vus", &[("loadtest_run", "4f1c"), ("loadtest_runner", "chat-0")], users);
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
        judged.write_into(&mut status);
        assert_eq!(status.load.unwrap().ended_at, micro(ended.unwrap_or(seen)));
        assert_eq!((window.outcome, window.value.as_deref()), (Outcome::Met, Some(rate)));
    }

    /// Ten seconds after the others one iteration is over between two looks at the virtual users.
    #[test]
    fn a_last_part_that_no_look_shows_belongs_to_the_load() {
        let mut fake =
            pushed(&requests(
                |second| if second <= 40.0 || (50.0..50.3).contains(&second) { GOOD } else { None },
            ));
        let users = (0..90).map(|second| (at(f64::from(second)), if second <= 40 { 5.0 } else { 0.0 }));
        fake.add("k6_vus", &[("loadtest_run", "4f1c"), ("loadtest_runner", "chat-0")], users);
        let mut status = over(vec![]);
        let load = status.load.as_mut().unwrap();
        // It had ten minutes.
        (load.planned_end_at, load.ended_at) = (micro(650.0), micro(80.0));
        minute::judge(Evaluation::new(&[], vec![], &status, settings()), &fake).write_into(&mut status);
        assert_eq!(status.load.unwrap().ended_at, micro(51.0));
    }
}
