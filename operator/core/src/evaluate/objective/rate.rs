//! A Rate of many runners. k6 sends each runner's share without its total, for each set of tags; so what they are
//! together is not known, but it lies between the lowest and the highest of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{LoadTestStatus, ObjectiveStatus, Outcome, WindowKind, WindowResult};

use crate::{
    k6::{
        queries::{K6Metrics, Metric},
        question::{About, Asks},
    },
    numbers::{
        interval::Interval,
        limit::{count, decimal},
    },
    plan::threshold::{Meaning, Parsed, each, meaning},
    prometheus::ask::{Answers, RequestKind},
};

/// A threshold over a Rate, and what is asked for it.
#[derive(Clone, Debug)]
pub struct RateProbe {
    name: String,
    threshold: Parsed,
    asked: Option<(String, usize, Interval)>,
}

impl RateProbe {
    pub(crate) fn new(name: String, threshold: Parsed) -> Self {
        Self { name, threshold, asked: None }
    }

    /// Asks for the shares as the load ended.
    pub fn ask(&mut self, metrics: &K6Metrics, load: Option<Interval>, asks: &mut Asks) {
        let Some(load) = load else { return };
        let of = self.threshold.samples.of(Metric::Rate(self.threshold.metric.clone().into()));
        let question = metrics.about(About::LastValues { of, at: Some(load.to) });
        let query = question.to_string();
        self.asked = Some((query, asks.ask(question, RequestKind::Instant { at: load.to }), load));
    }

    /// Met or missed where all of the shares are, and unclear between.
    #[must_use]
    pub fn judge(&self, answers: &Answers) -> ObjectiveStatus {
        let bound = self.threshold.bound();
        let limit = bound.as_ref().map(crate::numbers::limit::Bound::words).unwrap_or_default();
        let shares: Result<Vec<f64>, String> = match &self.asked {
            None => Err("the load never ran".to_owned()),
            Some((_, id, _)) => answers.vector(*id).map(|all| all.iter().map(|(.., share)| *share).collect()),
        };
        let (outcome, value, figure, samples, message) = match (shares, &bound) {
            (Err(why), _) => (Outcome::NoData, None, None, None, why),
            (Ok(_), None) => (Outcome::NoData, None, None, None, "its limit is no share".to_owned()),
            (Ok(shares), Some(_)) if shares.is_empty() || shares.iter().any(|share| share.is_nan()) => {
                let why = format!("no values of the Rate {}", self.threshold.metric);
                (Outcome::NoData, None, None, Some(0), why)
            }
            (Ok(shares), Some(bound)) => {
                let low = shares.iter().copied().fold(f64::INFINITY, f64::min);
                let high = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let value = between(&bound.limit().show(low), &bound.limit().show(high));
                let parts = i64::try_from(shares.len()).unwrap_or(i64::MAX);
                let told = format!(
                    "{value} over {} shares of runners and tags, limit {}",
                    count(parts),
                    bound.limit()
                );
                let (outcome, message) = match (self.keeps(low), self.keeps(high)) {
                    (true, true) => (Outcome::Met, told),
                    (false, false) => (Outcome::Missed, told),
                    _ => (
                        Outcome::Unclear,
                        format!(
                            "{told}: k6 sends a Rate without its total, so what they are together is not known; count \
                             with two Counters and write a ratio over them"
                        ),
                    ),
                };
                (outcome, Some(value), (low == high).then_some(low), Some(parts), message)
            }
        };
        let window = WindowResult {
            window: WindowKind::Run,
            from: self.asked.as_ref().map(|(.., load)| MicroTime(load.from)),
            to: self.asked.as_ref().map(|(.., load)| MicroTime(load.to)),
            outcome,
            value,
            figure: figure.and_then(decimal),
            samples,
            query: self.asked.as_ref().map(|(query, ..)| query.clone()),
            message: Some(message),
            ..WindowResult::default()
        };
        ObjectiveStatus {
            name: self.name.clone(),
            outcome,
            key: true,
            limit,
            windows: vec![window],
            spikes: Vec::new(),
        }
    }

    fn keeps(&self, share: f64) -> bool {
        use crate::plan::threshold::Is::{Above, AtLeast, AtMost, Below};
        match self.threshold.is {
            Below => share < self.threshold.limit,
            AtMost => share <= self.threshold.limit,
            Above => share > self.threshold.limit,
            AtLeast => share >= self.threshold.limit,
        }
    }
}

fn between(low: &str, high: &str) -> String {
    if low == high { low.to_owned() } else { format!("{low} to {high}") }
}

/// Those over rates that are known by runner only.
#[must_use]
pub fn rates(status: &LoadTestStatus) -> Vec<RateProbe> {
    each(status)
        .filter_map(|(name, scenario, threshold)| match meaning(&name, scenario, threshold) {
            Meaning::Rate(parsed) => Some(RateProbe::new(name, parsed)),
            Meaning::Objective(_) | Meaning::Unjudged(_) => None,
        })
        .collect()
}
