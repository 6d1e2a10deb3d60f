//! Thresholds of the scripts: judged here, over all runners of their scenario together. k6 would judge each
//! runner's part for itself.
//!
//! Most become objectives with `key: true` ([`objectives`]); those with abortOnFail are watched as guardrails too
//! ([`guardrails`]). Rates other than http_req_failed have no totals that could be added up, but what all of them
//! together are lies between the lowest and the highest of them: that is often enough ([`crate::evaluate::objective::rate::rates`]). The rest cannot
//! be judged, is named, and makes the run a Warn at best ([`unjudged`]).

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::{
    GuardrailNoData, K6Figure, LoadTestStatus, Objective, ScenarioStatus, ScriptThreshold, TooFewPolicy,
    VerdictPolicy,
};

use crate::{
    k6::{
        metrics::{Kind, built_in},
        queries::{HTTP_REQS, K6Metrics, K6Samples, Metric, OUTCOME, Split},
        question::About,
    },
    numbers::{
        duration,
        limit::{Bound, Limit},
    },
    plan::{
        guardrail::{Check, GuardrailPlan},
        objective::ObjectivePlan,
    },
    prometheus::promql,
};

/// For how long a threshold with abortOnFail must be missed where the script does not say.
const DELAY: Duration = Duration::from_secs(10);

/// A threshold, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) metric: String,
    pub(crate) samples: K6Samples,
    aggregate: Aggregate,
    pub(crate) is: Is,
    pub(crate) limit: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Aggregate {
    Percentile(f64),
    Rate,
    Count,
    /// `avg`, `min`, `max`, `value`: no figure of many runners.
    Other(String),
}

/// How a figure must stand to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// What becomes of a threshold.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    Objective(Box<ObjectivePlan>),
    /// Bounded by the lowest and the highest of the runners' rates.
    Rate(Parsed),
    Unjudged(String),
}

/// Those that can be judged by figures of their own.
#[must_use]
pub fn objectives(status: &LoadTestStatus) -> Vec<ObjectivePlan> {
    let plans = meanings(status).filter_map(|(_, meaning)| match meaning {
        Meaning::Objective(plan) => Some(*plan),
        Meaning::Rate(_) | Meaning::Unjudged(_) => None,
    });
    plans.collect()
}

/// Those that cannot be judged, and why.
#[must_use]
pub fn unjudged(status: &LoadTestStatus) -> Vec<(String, String)> {
    let whys = meanings(status).filter_map(|(name, meaning)| match meaning {
        Meaning::Unjudged(why) => Some((name, why)),
        Meaning::Objective(_) | Meaning::Rate(_) => None,
    });
    whys.collect()
}

fn meanings(status: &LoadTestStatus) -> impl Iterator<Item = (String, Meaning)> {
    each(status).map(|(name, scenario, threshold)| {
        let meaning = meaning(&name, scenario, threshold);
        (name, meaning)
    })
}

/// Those with abortOnFail, over the run so far.
#[must_use]
pub fn guardrails(status: &LoadTestStatus, run_id: &str) -> Vec<GuardrailPlan> {
    let seconds = i64::try_from(status.planned_length().as_secs()).unwrap_or(i64::MAX);
    let metrics = K6Metrics::new(run_id, seconds.saturating_add(600));
    each(status)
        .filter(|(_, _, threshold)| threshold.abort_on_fail)
        .filter_map(|(name, scenario, threshold)| {
            let parsed = Parsed::of(&scenario.name, threshold).ok()?;
            let delay = threshold.delay_abort_eval.as_deref().and_then(duration::parse);
            Some(GuardrailPlan {
                name,
                query: parsed.so_far(&metrics)?,
                check: Check::Bound(parsed.bound()?),
                warn: None,
                hold: delay.unwrap_or(DELAY),
                suspend_in_faults: false,
                suspend_in_recoveries: false,
                // Its objective says what missing data means.
                on_no_data: GuardrailNoData::Ignore,
                reach: Duration::ZERO,
            })
        })
        .collect()
}

/// All thresholds with their scenarios and names: `threshold: http_req_failed rate<0.01`, with the scenario where
/// there are several.
pub(crate) fn each(
    status: &LoadTestStatus,
) -> impl Iterator<Item = (String, &ScenarioStatus, &ScriptThreshold)> {
    let several = status.scenarios.len() > 1;
    status.scenarios.iter().flat_map(move |scenario| {
        scenario.thresholds.iter().map(move |threshold| {
            let of = if several { format!(" {}", scenario.name) } else { String::new() };
            (format!("threshold{of}: {} {}", threshold.metric, threshold.expression), scenario, threshold)
        })
    })
}

pub(crate) fn meaning(name: &str, scenario: &ScenarioStatus, threshold: &ScriptThreshold) -> Meaning {
    let parsed = match Parsed::of(&scenario.name, threshold) {
        Ok(parsed) => parsed,
        Err(why) => return Meaning::Unjudged(why),
    };
    if parsed.is_rate_of_runners() {
        return Meaning::Rate(parsed);
    }
    let Some(objective) = parsed.objective(name) else {
        return Meaning::Unjudged(parsed.why_not());
    };
    // As k6 does, however few samples there are.
    let policy = VerdictPolicy { on_too_few: TooFewPolicy::Judge, ..VerdictPolicy::default() };
    match ObjectivePlan::parse(&objective, &policy) {
        Ok(plan) => Meaning::Objective(Box::new(plan)),
        Err(error) => Meaning::Unjudged(error.to_string()),
    }
}

impl Parsed {
    /// # Errors
    /// Why it cannot be read.
    fn of(scenario: &str, threshold: &ScriptThreshold) -> Result<Self, String> {
        let (metric, tags) = metric(&threshold.metric);
        let text = threshold.expression.trim();
        let unread =
            || format!("`{text}` is none of p(95), med, rate and count with <, <=, > or >= and a number");
        let at = text.find(['<', '>', '=', '!']).ok_or_else(unread)?;
        let end = text[at..].find(|c| !matches!(c, '<' | '>' | '=' | '!')).ok_or_else(unread)? + at;
        let limit: f64 = text[end..].trim().parse().map_err(|_| unread())?;
        let aggregate = match text[..at].trim() {
            "med" => Aggregate::Percentile(50.0),
            "rate" => Aggregate::Rate,
            "count" => Aggregate::Count,
            other => match other.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')')) {
                Some(number) => Aggregate::Percentile(number.trim().parse().map_err(|_| unread())?),
                None => Aggregate::Other(other.to_owned()),
            },
        };
        let is = match (&text[at..end], &aggregate) {
            ("<", _) => Is::Below,
            ("<=", _) => Is::AtMost,
            (">", _) => Is::Above,
            (">=", _) => Is::AtLeast,
            // The ends of a share and of a count.
            ("==" | "===", Aggregate::Rate | Aggregate::Count) if limit == 0.0 => Is::AtMost,
            ("==" | "===", Aggregate::Rate) if limit == 1.0 => Is::AtLeast,
            _ => return Err(unread()),
        };
        let samples = K6Samples { tags, scenario: Some(scenario.to_owned()) };
        Ok(Self { metric, samples, aggregate, is, limit })
    }

    /// k6 has sent each runner's share, and not of how many. A Rate is told from a Counter by its limit: a share
    /// is at most 1.
    fn is_rate_of_runners(&self) -> bool {
        self.aggregate == Aggregate::Rate
            && self.metric != "http_req_failed"
            && built_in(&self.metric) != Some(Kind::Counter)
            && self.limit <= 1.0
    }

    fn is_upper(&self) -> bool {
        matches!(self.is, Is::Below | Is::AtMost)
    }

    /// The limit as our objectives write it.
    fn text(&self) -> String {
        let number = |n: f64| format!("{}", (n * 1e9).round() / 1e9);
        match (&self.aggregate, self.is) {
            (Aggregate::Percentile(_), _) => format!("{}ms", number(self.limit)),
            (Aggregate::Rate, _) if self.metric == "http_req_failed" || self.is_rate_of_runners() => {
                format!("{}%", number(self.limit * 100.0))
            }
            // A count is a whole number: one more, or one less, than the limit is the first that will do.
            (Aggregate::Count, Is::Above) => number(self.limit.floor() + 1.0),
            (Aggregate::Count, Is::Below) => number(self.limit.ceil() - 1.0),
            _ => number(self.limit),
        }
    }

    pub(crate) fn bound(&self) -> Option<Bound> {
        let limit = Limit::parse(&self.text())?;
        Some(if self.is_upper() { Bound::AtMost(limit) } else { Bound::AtLeast(limit) })
    }

    fn objective(&self, name: &str) -> Option<Objective> {
        if built_in(&self.metric) == Some(Kind::Gauge) {
            return None;
        }
        let mut k6 = K6Figure {
            metric: self.metric.clone(),
            tags: self.samples.tags.clone(),
            scenario: self.samples.scenario.clone(),
            ..K6Figure::default()
        };
        match self.aggregate {
            Aggregate::Percentile(percentile) if self.is_upper() => k6.percentile = Some(percentile),
            Aggregate::Rate if self.metric == "http_req_failed" => {}
            Aggregate::Rate => k6.rate = Some(true),
            Aggregate::Count => k6.count = Some(true),
            Aggregate::Percentile(_) | Aggregate::Other(_) => return None,
        }
        let limit = Some(self.text().as_str().into());
        let (at_most, at_least) = if self.is_upper() { (limit, None) } else { (None, limit) };
        Some(Objective {
            name: name.to_owned(),
            k6: Some(k6),
            at_most,
            at_least,
            key: true,
            ..Objective::default()
        })
    }

    fn why_not(&self) -> String {
        match &self.aggregate {
            Aggregate::Other(aggregate) => format!(
                "`{aggregate}` is no figure of several runners together: judge a percentile, a share or a count"
            ),
            Aggregate::Percentile(_) => "a percentile is judged against the most that it may be".to_owned(),
            Aggregate::Rate | Aggregate::Count => {
                format!("{} is a Gauge, of which each runner knows its own only", self.metric)
            }
        }
    }

    /// The figure over the run so far.
    fn so_far(&self, metrics: &K6Metrics) -> Option<String> {
        let sum = |metric: Metric, samples: &K6Samples| {
            metrics.cumulative(samples.of(metric), Split::Whole).to_string()
        };
        let name = || self.metric.clone().into();
        Some(match self.aggregate {
            Aggregate::Percentile(percentile) => {
                let of = |metric| promql::histogram_quantile(percentile / 100.0, &sum(metric, &self.samples));
                // Where the script did not say that it is a time, its name has no unit.
                format!("({} or {}) / 1000", of(Metric::Times(name())), of(Metric::Trend(name())))
            }
            Aggregate::Rate if self.metric == "http_req_failed" => {
                let mut failed = self.samples.clone();
                failed.tags.insert(OUTCOME.to_owned(), "false".to_owned());
                let failed = sum(HTTP_REQS, &failed);
                let all = sum(HTTP_REQS, &self.samples);
                format!("({failed} or 0 * {all}) / {all}")
            }
            Aggregate::Rate if self.is_rate_of_runners() => {
                // All of them beyond the limit, and so certainly what they are together.
                let of = self.samples.of(Metric::Rate(name()));
                let all = metrics.about(About::LastValues { of, at: None });
                if self.is_upper() { format!("min({all})") } else { format!("max({all})") }
            }
            Aggregate::Count => sum(Metric::Counter(name()), &self.samples),
            // So far a rate is still rising.
            Aggregate::Rate | Aggregate::Other(_) => return None,
        })
    }
}

/// `http_req_duration{name:SendMessage, status:200}`
fn metric(text: &str) -> (String, BTreeMap<String, String>) {
    let Some((metric, rest)) = text.trim().split_once('{') else {
        return (text.trim().to_owned(), BTreeMap::new());
    };
    let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let tags = rest.trim_end_matches('}').split(',').filter_map(|tag| tag.split_once(':'));
    (metric.trim().to_owned(), tags.map(|(tag, value)| (plain(tag), plain(value))).collect())
}

#[cfg(test)]
mod tests;
