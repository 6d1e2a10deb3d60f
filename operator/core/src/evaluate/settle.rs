//! Whether all figures of a run have arrived in Prometheus, so that they can be judged.
//!
//! Settled means that each runner has pushed once more after the load, as it does when it ends, that the requests
//! counted in the store are those that the runners counted themselves, where they could say, and that every series of the
//! system under test has a sample from after the load.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use loadtest_crds::LoadTestStatus;

use crate::{
    evaluate::{
        objective::scrapes::selectors,
        windows::{self, context::Settings},
    },
    k6::{
        queries::{HTTP_REQS, K6Metrics, K6Series, Split},
        question::{About, Asks, Request},
    },
    numbers::limit::{count, whole},
    plan::objective::ObjectivePlan,
    prometheus::{
        ask::{Answer, Answers, RequestKind},
        promql,
    },
};

/// How far the figures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    Yes,
    /// Not yet, and why: at the time-out the run is Inconclusive for it.
    NotYet(String),
}

/// The questions, and what their answers are compared with.
#[derive(Clone, Debug)]
pub struct Settling {
    requests: Vec<Request>,
    counted: usize,
    scraped: Vec<(usize, String)>,
    load_end: Option<Timestamp>,
    k6_requests: Option<i64>,
    /// How many runners have pushed since, and how many there were to the end.
    heard: Option<(usize, i64)>,
}

impl Settling {
    /// What to ask, at `now`, again and again until it is settled.
    #[must_use]
    pub fn new(
        objectives: &[ObjectivePlan],
        status: &LoadTestStatus,
        settings: &Settings,
        now: Timestamp,
    ) -> Self {
        let load = windows::load(status);
        let first = status.accepted_at.as_ref().map(|t| t.0).or(load.map(|l| l.from)).unwrap_or(now);
        let metrics = K6Metrics::new(&settings.run_id, now.duration_since(first).as_secs() + 60);
        let at = RequestKind::Instant { at: now };
        let mut asks = Asks::default();
        let counted = asks.ask(metrics.cumulative(K6Series::all(HTTP_REQS), Split::Whole), at);
        let selectors: BTreeSet<String> = objectives.iter().flat_map(|o| selectors(&o.figure)).collect();
        let scraped = selectors
            .into_iter()
            .map(|selector| (asks.ask(promql::last_written(&selector), at), selector))
            .collect();
        let runners = status.runners.as_ref().map_or(0, |r| i64::from(r.total - r.lost));
        let heard = load.filter(|_| runners > 0).map(|load| {
            let within = Duration::try_from(now.duration_since(load.to)).unwrap_or_default();
            (asks.ask(metrics.about(About::RunnersHeard { within }), at), runners)
        });
        Self {
            heard,
            requests: asks.into_requests(),
            counted,
            scraped,
            load_end: load.map(|l| l.to),
            k6_requests: status.load.as_ref().and_then(|l| l.k6_requests),
        }
    }

    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.clone()
    }

    /// What the answers say.
    #[must_use]
    pub fn judge(&self, answers: Vec<(usize, Answer)>) -> Settled {
        let mut all = Answers::default();
        all.add(answers);
        if let Some(end) = self.load_end {
            for (id, selector) in &self.scraped {
                match all.sum(*id) {
                    Err(why) => return Settled::NotYet(format!("{selector}: {why}")),
                    // A series that was never there will not come: its objective has no data.
                    Ok(None) => {}
                    Ok(Some(last)) if last > end.as_millisecond() as f64 / 1000.0 => {}
                    Ok(Some(_)) => {
                        return Settled::NotYet(format!("{selector} has no sample from after the load yet"));
                    }
                }
            }
        }
        if let Some((id, runners)) = self.heard {
            match all.sum(id) {
                Err(why) => return Settled::NotYet(why),
                Ok(heard) if whole(heard.unwrap_or(0.0)) >= runners => {}
                Ok(heard) => {
                    let heard = count(whole(heard.unwrap_or(0.0)));
                    let message = format!("the last figures of {heard} of {runners} runners have come");
                    return Settled::NotYet(message);
                }
            }
        }
        let Some(own) = self.k6_requests else { return Settled::Yes };
        let counted = match all.sum(self.counted) {
            Err(why) => return Settled::NotYet(why),
            Ok(counted) => whole(counted.unwrap_or(0.0)),
        };
        if counted >= own {
            return Settled::Yes;
        }
        let (own, counted) = (count(own), count(counted));
        Settled::NotYet(format!("the runners counted {own} requests and the load store has {counted}"))
    }
}

#[cfg(test)]
mod tests;
