//! Thresholds of the scripts: judged here, over all runners of their scenario together. k6 would judge each
//! runner's part for itself.
//!
//! They become objectives with `key: true` ([`objectives`]); those with abortOnFail are watched as guardrails too
//! ([`guardrails`]). The rest cannot be judged, is named, and makes the run a Warn at best ([`unjudged`]).

use std::{collections::BTreeMap, time::Duration};

use loadtest_crds::{
    GuardrailNoData, K6Figure, LoadTestStatus, Objective, ScenarioStatus, ScriptThreshold, Stat,
    TooFewPolicy, VerdictPolicy,
};

use crate::{
    k6::{
        metrics::{Kind, built_in},
        queries::{CONDITION, HTTP_REQS, K6Metrics, K6Samples, Metric, OUTCOME, Split},
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
struct Parsed {
    metric: String,
    samples: K6Samples,
    aggregate: Aggregate,
    is: Is,
    limit: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Aggregate {
    Percentile(f64),
    Rate,
    Count,
    Stat(Stat),
    /// `value`: no figure of many runners.
    Other(String),
}

/// How a figure must stand to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Those that can be judged.
#[must_use]
pub fn objectives(status: &LoadTestStatus) -> Vec<ObjectivePlan> {
    each(status)
        .filter_map(|(name, scenario, threshold)| objective(&name, scenario, threshold).ok())
        .collect()
}

/// Those that cannot be judged, and why.
#[must_use]
pub fn unjudged(status: &LoadTestStatus) -> Vec<(String, String)> {
    each(status)
        .filter_map(|(name, scenario, threshold)| {
            objective(&name, scenario, threshold).err().map(|why| (name, why))
        })
        .collect()
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
fn each(status: &LoadTestStatus) -> impl Iterator<Item = (String, &ScenarioStatus, &ScriptThreshold)> {
    let several = status.scenarios.len() > 1;
    status.scenarios.iter().flat_map(move |scenario| {
        scenario.thresholds.iter().map(move |threshold| {
            let of = if several { format!(" {}", scenario.name) } else { String::new() };
            (format!("threshold{of}: {} {}", threshold.metric, threshold.expression), scenario, threshold)
        })
    })
}

/// # Errors
/// Why it cannot be judged.
fn objective(
    name: &str,
    scenario: &ScenarioStatus,
    threshold: &ScriptThreshold,
) -> Result<ObjectivePlan, String> {
    let parsed = Parsed::of(&scenario.name, threshold)?;
    let objective = parsed.objective(name).ok_or_else(|| parsed.why_not())?;
    // As k6 does, however few samples there are.
    let policy = VerdictPolicy { on_too_few: TooFewPolicy::Judge, ..VerdictPolicy::default() };
    let plan = ObjectivePlan::parse(&objective, &policy).map_err(|error| error.to_string())?;
    // Of a tag that no sample had it is not known whether the store has it under this name.
    let declared = parsed.samples.tags.is_empty();
    Ok(ObjectivePlan { declared, ..plan })
}

impl Parsed {
    /// # Errors
    /// Why it cannot be read.
    fn of(scenario: &str, threshold: &ScriptThreshold) -> Result<Self, String> {
        let (metric, tags) = metric(&threshold.metric);
        let text = threshold.expression.trim();
        let unread = || {
            format!(
                "`{text}` is none of p(95), med, avg, min, max, rate and count with <, <=, > or >= and a number"
            )
        };
        let at = text.find(['<', '>', '=', '!']).ok_or_else(unread)?;
        let end = text[at..].find(|c| !matches!(c, '<' | '>' | '=' | '!')).ok_or_else(unread)? + at;
        let limit: f64 = text[end..].trim().parse().map_err(|_| unread())?;
        let aggregate = match text[..at].trim() {
            "med" => Aggregate::Percentile(50.0),
            "rate" => Aggregate::Rate,
            "count" => Aggregate::Count,
            "avg" => Aggregate::Stat(Stat::Avg),
            "min" => Aggregate::Stat(Stat::Min),
            "max" => Aggregate::Stat(Stat::Max),
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

    /// A Rate is told from a Counter by its limit: a share is at most 1.
    fn is_share(&self) -> bool {
        self.aggregate == Aggregate::Rate
            && built_in(&self.metric) != Some(Kind::Counter)
            && self.limit <= 1.0
    }

    fn is_open_end(&self) -> bool {
        self.is == Is::Above && self.limit <= 0.0 || self.is == Is::Below && self.limit >= 1.0
    }

    fn is_upper(&self) -> bool {
        matches!(self.is, Is::Below | Is::AtMost)
    }

    /// The limit as our objectives write it.
    fn text(&self) -> String {
        let number = |n: f64| format!("{}", (n * 1e9).round() / 1e9);
        match (&self.aggregate, self.is) {
            (Aggregate::Percentile(_) | Aggregate::Stat(_), _) => format!("{}ms", number(self.limit)),
            (Aggregate::Rate, _) if self.is_share() => {
                format!("{}%", number(self.limit * 100.0))
            }
            // A count is a whole number: one more, or one less, than the limit is the first that will do.
            (Aggregate::Count, Is::Above) => number(self.limit.floor() + 1.0),
            (Aggregate::Count, Is::Below) => number(self.limit.ceil() - 1.0),
            _ => number(self.limit),
        }
    }

    fn bound(&self) -> Option<Bound> {
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
            // More than none, or less than all: no share that a sample could tell.
            Aggregate::Rate if self.is_share() && self.is_open_end() => return None,
            Aggregate::Rate if self.is_share() => {}
            Aggregate::Rate => k6.rate = Some(true),
            Aggregate::Count => k6.count = Some(true),
            Aggregate::Stat(stat) => k6.stat = Some(stat),
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
                "`{aggregate}` is no figure of several runners together: judge a percentile, avg, min, max, a share or a count"
            ),
            Aggregate::Percentile(_) => "a percentile is judged against the most that it may be".to_owned(),
            Aggregate::Rate if self.is_open_end() => {
                "a share is judged against the most or the least that it may be, as in rate>=0.01".to_owned()
            }
            Aggregate::Rate | Aggregate::Count | Aggregate::Stat(_) => {
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
            Aggregate::Rate if self.is_share() => {
                // A Counter of this name has no condition, and gives nothing.
                let [fulfilled, others] = ["nonzero", "zero"].map(|condition| {
                    let mut samples = self.samples.clone();
                    samples.tags.insert(CONDITION.to_owned(), condition.to_owned());
                    sum(Metric::Rate(name()), &samples)
                });
                let (fulfilled, others) =
                    (format!("({fulfilled} or 0 * {others})"), format!("({others} or 0 * {fulfilled})"));
                format!("{fulfilled} / ({fulfilled} + {others})")
            }
            Aggregate::Count => sum(Metric::Counter(name()), &self.samples),
            // So far a rate is still rising, and an average moving.
            Aggregate::Rate | Aggregate::Stat(_) | Aggregate::Other(_) => return None,
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
