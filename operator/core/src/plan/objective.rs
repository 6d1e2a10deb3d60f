//! Objectives, checked: which figure, which limit, in which windows.

use std::collections::BTreeMap;

use loadtest_crds::{K6Figure, NoDataPolicy, Objective, VerdictPolicy, WindowKind, text::LimitText};
use promql_parser::parser::{self, Expr, value::ValueType};

use crate::limit::{Dimension, Limit};

/// One objective of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectivePlan {
    pub name: String,
    pub figure: Figure,
    pub bound: Bound,
    /// Within the bound, but beyond this, the figure is in its warning band.
    pub warn: Option<Limit>,
    /// A miss alone fails the run.
    pub key: bool,
    pub on_no_data: NoDataPolicy,
    /// In this order, each once, never empty.
    pub windows: Vec<WindowKind>,
}

/// What is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// The share of k6's requests that failed.
    K6Failed { samples: K6Samples },
    /// The share of a k6 Trend's samples that failed or lie above the limit, `percentile` in percent.
    K6Percentile { metric: String, percentile: f64, samples: K6Samples },
    /// The share of good events, from the raw samples of two plain selectors.
    Ratio { good: String, total: String },
    /// A PromQL expression that gives one series.
    Query(String),
}

/// Which of the run's k6 samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct K6Samples {
    pub tags: BTreeMap<String, String>,
    pub scenario: Option<String>,
}

/// The limit and the side on which a figure must stay.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    AtMost(Limit),
    AtLeast(Limit),
}

/// An objective that cannot be judged as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    #[error("objective {0}: write exactly one of k6, ratio or query")]
    Figure(String),
    #[error("objective {0}: write exactly one of atMost or atLeast")]
    Bound(String),
    #[error(
        "objective {objective}: {field}: `{text}` is no limit: write a number with one of the units %, ms, s, m, \
         h, k, M, G, Ki, Mi, Gi, Ti or none, as in 300ms, 99.9% or 5000"
    )]
    Limit { objective: String, field: &'static str, text: String },
    #[error("objective {objective}: {field} takes the unit of {beside}: write it as {beside} is written")]
    WarnUnit { objective: String, field: &'static str, beside: String },
    #[error(
        "objective {objective}: {field} {warn} would never warn before the limit of {limit} is missed: \
         write a stricter value"
    )]
    WarnSide { objective: String, field: &'static str, warn: String, limit: String },
    #[error(
        "objective {objective}: warnAbove goes with atMost, warnBelow with atLeast: write {write} instead"
    )]
    WarnField { objective: String, write: &'static str },
    #[error("objective {0}: this figure is a share: write its limit in percent from 0% to 100%, as in 99.9%")]
    Share(String),
    #[error("objective {0}: a percentile takes atMost with a time, as in atMost: 300ms")]
    PercentileLimit(String),
    #[error("objective {0}: a percentile lies above 0 and below 100, as in percentile: 95")]
    Percentile(String),
    #[error(
        "objective {objective}: the k6 metric {metric} has no percentiles: use http_req_duration or a Trend of \
         the script"
    )]
    NoTrend { objective: String, metric: String },
    #[error(
        "objective {objective}: without a percentile only http_req_failed can be judged, not {metric}: say \
         which percentile, or count with two Counters in the script and write a ratio over them (k6 sends the \
         Rate of each runner without its total, so Rates cannot be added up)"
    )]
    NoShare { objective: String, metric: String },
    #[error("objective {objective}: the tag {tag} is set by the operator: remove it")]
    Tag { objective: String, tag: String },
    #[error(
        "objective {objective}: ratio.{field} must be a plain selector of counters, as in \
         requests_total{{status=\"ok\"}}, not `{text}` ({cause}): for anything else use query"
    )]
    Selector { objective: String, field: &'static str, text: String, cause: String },
    #[error("objective {objective}: the query is not PromQL: {cause}")]
    Query { objective: String, cause: String },
    #[error(
        "objective {objective}: the query gives {gives}, not a number: write an expression that gives one \
         series, as in max(queue_depth)"
    )]
    QueryType { objective: String, gives: &'static str },
}

impl ObjectivePlan {
    /// Checks an objective.
    ///
    /// # Errors
    /// [`ObjectiveError`] says what to write instead.
    pub fn parse(objective: &Objective, policy: &VerdictPolicy) -> Result<Self, ObjectiveError> {
        let name = &objective.name;
        let bound = match (&objective.at_most, &objective.at_least) {
            (Some(text), None) => Bound::AtMost(limit(name, "atMost", text)?),
            (None, Some(text)) => Bound::AtLeast(limit(name, "atLeast", text)?),
            _ => return Err(ObjectiveError::Bound(name.clone())),
        };
        let figure = match (&objective.k6, &objective.ratio, &objective.query) {
            (Some(k6), None, None) => k6_figure(name, k6, &bound)?,
            (None, Some(ratio), None) => {
                share(name, &bound)?;
                Figure::Ratio {
                    good: selector(name, "good", &ratio.good)?,
                    total: selector(name, "total", &ratio.total)?,
                }
            }
            (None, None, Some(query)) => Figure::Query(expression(name, query)?),
            _ => return Err(ObjectiveError::Figure(name.clone())),
        };
        let mut windows = objective.windows.clone();
        windows.sort_unstable();
        windows.dedup();
        if windows.is_empty() {
            windows.push(WindowKind::Run);
        }
        Ok(Self {
            warn: warn(objective, &bound)?,
            name: name.clone(),
            figure,
            bound,
            key: objective.key,
            on_no_data: objective.on_no_data.unwrap_or(policy.on_no_data),
            windows,
        })
    }

    /// True when the value, in its base unit, is within the bound but in the warning band.
    #[must_use]
    pub fn warns(&self, value: f64) -> bool {
        self.warn.as_ref().is_some_and(|warn| match self.bound {
            Bound::AtMost(_) => value > warn.base(),
            Bound::AtLeast(_) => value < warn.base(),
        })
    }
}

impl Figure {
    /// Measured by the runners, so that it sees what a dying server cannot tell.
    #[must_use]
    pub fn is_client_side(&self) -> bool {
        matches!(self, Self::K6Failed { .. } | Self::K6Percentile { .. })
    }

    /// About k6's HTTP requests, which say whether they failed, unlike the samples of the script's own Trends.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        match self {
            Self::K6Failed { .. } => true,
            Self::K6Percentile { metric, .. } => metric.starts_with("http_req_"),
            Self::Ratio { .. } | Self::Query(_) => false,
        }
    }
}

impl Bound {
    #[must_use]
    pub fn limit(&self) -> &Limit {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    /// True when a value in the base unit keeps the bound. A value that differs by rounding alone keeps it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        let limit = self.limit().base();
        let slack = limit.abs() * 1e-9;
        match self {
            Self::AtMost(_) => value <= limit + slack,
            Self::AtLeast(_) => value >= limit - slack,
        }
    }

    /// The bound in words: `at most 300ms`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {limit}"),
            Self::AtLeast(limit) => format!("at least {limit}"),
        }
    }
}

/// The Trends of k6 that measure time. They arrive in seconds, under a name that ends so.
const TIME_TRENDS: [&str; 20] = [
    "http_req_duration",
    "http_req_blocked",
    "http_req_connecting",
    "http_req_tls_handshaking",
    "http_req_sending",
    "http_req_waiting",
    "http_req_receiving",
    "iteration_duration",
    "group_duration",
    "ws_connecting",
    "ws_session_duration",
    "ws_ping",
    "grpc_req_duration",
    "browser_http_req_duration",
    "browser_web_vital_fcp",
    "browser_web_vital_fid",
    "browser_web_vital_inp",
    "browser_web_vital_lcp",
    "browser_web_vital_ttfb",
    "browser_dom_content_loaded",
];

const NO_TRENDS: [&str; 14] = [
    "http_req_failed",
    "checks",
    "http_reqs",
    "iterations",
    "dropped_iterations",
    "vus",
    "vus_max",
    "data_sent",
    "data_received",
    "ws_sessions",
    "ws_msgs_sent",
    "ws_msgs_received",
    "grpc_streams",
    "grpc_streams_msgs_sent",
];

/// True when the metric is a time that k6 measures by itself, and false for a Trend of the script, whose unit
/// only its samples tell.
#[must_use]
pub fn is_built_in_trend(metric: &str) -> bool {
    TIME_TRENDS.contains(&metric)
}

/// Tags by which the operator tells the runs and the outcomes apart.
const RESERVED_TAGS: [&str; 3] = ["testid", "loadtest_scenario", "__name__"];

fn k6_figure(name: &str, k6: &K6Figure, bound: &Bound) -> Result<Figure, ObjectiveError> {
    if let Some(tag) = k6.tags.keys().find(|tag| RESERVED_TAGS.contains(&tag.as_str())) {
        return Err(ObjectiveError::Tag { objective: name.to_owned(), tag: tag.clone() });
    }
    let samples = K6Samples { tags: k6.tags.clone(), scenario: k6.scenario.clone() };
    let (objective, metric) = (name.to_owned(), k6.metric.clone());
    match k6.percentile {
        None if metric == "http_req_failed" => {
            share(name, bound)?;
            Ok(Figure::K6Failed { samples })
        }
        None => Err(ObjectiveError::NoShare { objective, metric }),
        Some(_) if NO_TRENDS.contains(&metric.as_str()) => Err(ObjectiveError::NoTrend { objective, metric }),
        Some(percentile) if percentile > 0.0 && percentile < 100.0 => match bound {
            Bound::AtMost(limit) if limit.dimension() == Dimension::Time => {
                Ok(Figure::K6Percentile { metric, percentile, samples })
            }
            _ => Err(ObjectiveError::PercentileLimit(objective)),
        },
        Some(_) => Err(ObjectiveError::Percentile(objective)),
    }
}

fn limit(objective: &str, field: &'static str, text: &LimitText) -> Result<Limit, ObjectiveError> {
    Limit::parse(text.as_str()).ok_or_else(|| ObjectiveError::Limit {
        objective: objective.to_owned(),
        field,
        text: text.to_string(),
    })
}

fn share(objective: &str, bound: &Bound) -> Result<(), ObjectiveError> {
    let limit = bound.limit();
    if limit.dimension() == Dimension::Share && (0.0..=1.0).contains(&limit.base()) {
        Ok(())
    } else {
        Err(ObjectiveError::Share(objective.to_owned()))
    }
}

fn warn(objective: &Objective, bound: &Bound) -> Result<Option<Limit>, ObjectiveError> {
    let name = objective.name.clone();
    let (field, text, beside, other) = match bound {
        Bound::AtMost(_) => ("warnAbove", &objective.warn_above, "atMost", &objective.warn_below),
        Bound::AtLeast(_) => ("warnBelow", &objective.warn_below, "atLeast", &objective.warn_above),
    };
    if other.is_some() {
        return Err(ObjectiveError::WarnField { objective: name, write: field });
    }
    let Some(text) = text else { return Ok(None) };
    let warn = limit(&objective.name, field, text)?;
    let limit = bound.limit();
    if warn.dimension() != limit.dimension() {
        return Err(ObjectiveError::WarnUnit { objective: name, field, beside: beside.to_owned() });
    }
    let stricter = match bound {
        Bound::AtMost(_) => warn.base() < limit.base(),
        Bound::AtLeast(_) => warn.base() > limit.base(),
    };
    if !stricter {
        let (warn, limit) = (warn.to_string(), limit.to_string());
        return Err(ObjectiveError::WarnSide { objective: name, field, warn, limit });
    }
    Ok(Some(warn))
}

/// A selector that can be followed by a range: the raw samples of counters are read through it.
fn selector(objective: &str, field: &'static str, text: &str) -> Result<String, ObjectiveError> {
    let text = text.trim();
    let refuse = |cause: String| ObjectiveError::Selector {
        objective: objective.to_owned(),
        field,
        text: text.to_owned(),
        cause,
    };
    let plain = match parser::parse(text) {
        Ok(Expr::VectorSelector(selector)) => selector.at.is_none() && selector.offset.is_none(),
        Ok(_) => false,
        Err(cause) => return Err(refuse(cause)),
    };
    // The second look refuses what only parses alone, as a selector with a comment behind it.
    if plain && matches!(parser::parse(&format!("{text}[1m]")), Ok(Expr::MatrixSelector(_))) {
        Ok(text.to_owned())
    } else {
        Err(refuse("functions, operators, ranges, offset, @ and comments have no place here".to_owned()))
    }
}

fn expression(objective: &str, text: &str) -> Result<String, ObjectiveError> {
    let name = || objective.to_owned();
    let parsed = parser::parse(text).map_err(|cause| ObjectiveError::Query { objective: name(), cause })?;
    let gives = match parsed.value_type() {
        ValueType::Vector | ValueType::Scalar => return Ok(text.trim().to_owned()),
        ValueType::Matrix => "a range",
        ValueType::String => "a string",
    };
    Err(ObjectiveError::QueryType { objective: name(), gives })
}

#[cfg(test)]
mod tests;
