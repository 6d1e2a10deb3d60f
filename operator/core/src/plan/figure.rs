//! Figures, checked: of k6, a ratio, a query or a slope.

use std::time::Duration;

use loadtest_crds::{K6Figure, Objective, text::DurationText};
use promql_parser::parser::{self, Expr, value::ValueType};

use crate::{
    k6::{
        metrics::{Kind, built_in},
        queries::{self, K6Samples},
        store::store_of,
    },
    numbers::{
        duration,
        limit::{Bound, Dimension, Limit},
    },
    plan::error::ObjectiveError,
    prometheus::{
        expression,
        template::{Template, Values},
    },
};

/// Reads the one figure that an objective has.
pub fn parse(objective: &Objective, bound: &Bound) -> Result<Figure, ObjectiveError> {
    let name = &objective.name;
    match (&objective.k6, &objective.ratio, &objective.query, &objective.slope) {
        (Some(k6), None, None, None) => of_k6(name, k6, bound),
        (None, Some(ratio), None, None) => {
            share(name, bound)?;
            Ok(Figure::Ratio {
                good: selector(name, "good", &ratio.good)?,
                total: selector(name, "total", &ratio.total)?,
            })
        }
        (None, None, Some(query), None) => {
            let template = Template::parse(query.trim())
                .map_err(|cause| ObjectiveError::Template { objective: name.clone(), cause })?;
            let rendered = template
                .render(&Values::example())
                .map_err(|cause| ObjectiveError::Template { objective: name.clone(), cause })?;
            let plain = expression(name, &rendered)?;
            Ok(if template.is_plain() { Figure::Query(plain) } else { Figure::Template(template) })
        }
        (None, None, None, Some(slope)) => {
            if Template::parse(&slope.query).map_or(true, |template| !template.is_plain()) {
                return Err(ObjectiveError::SlopeTemplate(name.clone()));
            }
            Ok(Figure::Slope {
                query: expression(name, &slope.query)?,
                per: time(name, "slope.per", &slope.per)?,
                per_text: slope.per.to_string(),
            })
        }
        _ => Err(ObjectiveError::Figure(name.clone())),
    }
}

/// Tags by which the operator tells the runs and the outcomes apart.
const RESERVED_TAGS: [&str; 4] = [queries::TEST_ID, queries::RUN, queries::SCENARIO, "__name__"];

fn of_k6(name: &str, k6: &K6Figure, bound: &Bound) -> Result<Figure, ObjectiveError> {
    if let Some(tag) = k6.tags.keys().find(|tag| RESERVED_TAGS.contains(&tag.as_str())) {
        return Err(ObjectiveError::Tag { objective: name.to_owned(), tag: tag.clone() });
    }
    let samples = K6Samples { tags: k6.tags.clone(), scenario: k6.scenario.clone() };
    let (objective, metric) = (name.to_owned(), k6.metric.clone());
    let says = |flag: Option<bool>| flag == Some(true);
    match (k6.percentile, &k6.under, says(k6.rate), says(k6.count)) {
        (None, None, false, false) if metric == "http_req_failed" => {
            share(name, bound)?;
            Ok(Figure::K6Failed { samples })
        }
        (None, None, false, false) => Err(ObjectiveError::NoShare { objective, metric }),
        (Some(percentile), None, false, false) => {
            is_trend(name, &metric)?;
            if !(percentile > 0.0 && percentile < 100.0) {
                return Err(ObjectiveError::Percentile(objective));
            }
            match bound {
                Bound::AtMost(limit) if limit.dimension() == Dimension::Time => {
                    Ok(Figure::K6Percentile { metric, percentile, samples })
                }
                _ => Err(ObjectiveError::PercentileLimit(objective)),
            }
        }
        (None, Some(under), false, false) => {
            is_trend(name, &metric)?;
            share(name, bound)?;
            Ok(Figure::K6Under { metric, under: time_limit(name, under)?, samples })
        }
        (None, None, rate, count) if rate != count => {
            if matches!(built_in(&metric), Some(Kind::Share | Kind::Gauge | Kind::Time)) {
                return Err(ObjectiveError::NoCounter { objective, metric });
            }
            if bound.limit().dimension() != Dimension::Number {
                return Err(ObjectiveError::PlainNumber(objective));
            }
            Ok(if rate { Figure::K6Rate { metric, samples } } else { Figure::K6Count { metric, samples } })
        }
        _ => Err(ObjectiveError::ManyFigures(objective)),
    }
}

fn is_trend(objective: &str, metric: &str) -> Result<(), ObjectiveError> {
    if matches!(built_in(metric), Some(Kind::Share | Kind::Counter | Kind::Gauge)) {
        Err(ObjectiveError::NoTrend { objective: objective.to_owned(), metric: metric.to_owned() })
    } else {
        Ok(())
    }
}

/// A length of time as a limit. Limits have one unit: `1m30s` becomes `90000ms`.
fn time_limit(objective: &str, text: &DurationText) -> Result<Limit, ObjectiveError> {
    let length = time(objective, "k6.under", text)?;
    let written = Limit::parse(text.as_str()).or_else(|| Limit::parse(&format!("{}ms", length.as_millis())));
    written.ok_or_else(|| ObjectiveError::Duration {
        objective: objective.to_owned(),
        field: "k6.under",
        text: text.to_string(),
    })
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
    named(objective, text)?;
    // The second look refuses what only parses alone, as a selector with a comment behind it.
    if plain && matches!(parser::parse(&format!("{text}[1m]")), Ok(Expr::MatrixSelector(_))) {
        Ok(text.to_owned())
    } else {
        Err(refuse("functions, operators, ranges, offset, @ and comments have no place here".to_owned()))
    }
}

/// How far a series is written, and how often, is asked without its name: series of two names would be one.
fn named(objective: &str, query: &str) -> Result<(), ObjectiveError> {
    match expression::selectors(query).into_iter().find(|selector| !expression::is_named(selector)) {
        None => Ok(()),
        Some(selector) => {
            Err(ObjectiveError::Nameless { objective: objective.to_owned(), selector: selector.to_string() })
        }
    }
}

fn expression(objective: &str, text: &str) -> Result<String, ObjectiveError> {
    let name = || objective.to_owned();
    let parsed = parser::parse(text).map_err(|cause| ObjectiveError::Query { objective: name(), cause })?;
    named(objective, text)?;
    store_of(text).map_err(|cause| ObjectiveError::Stores { objective: name(), cause })?;
    let gives = match parsed.value_type() {
        ValueType::Vector | ValueType::Scalar => return Ok(text.trim().to_owned()),
        ValueType::Matrix => "a range",
        ValueType::String => "a string",
    };
    Err(ObjectiveError::QueryType { objective: name(), gives })
}

/// What is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// The share of k6's requests that failed.
    K6Failed { samples: K6Samples },
    /// The share of a k6 Trend's samples that failed or lie above the limit, `percentile` in percent.
    K6Percentile { metric: String, percentile: f64, samples: K6Samples },
    /// The share of a k6 Trend's samples that were answered within a time.
    K6Under { metric: String, under: Limit, samples: K6Samples },
    /// The events of a k6 Counter.
    K6Count { metric: String, samples: K6Samples },
    /// The events of a k6 Counter a second.
    K6Rate { metric: String, samples: K6Samples },
    /// The share of good events, from the raw samples of two plain selectors.
    Ratio { good: String, total: String },
    /// A PromQL expression that gives one series.
    Query(String),
    /// The same with places to fill in, asked once for a window.
    Template(Template),
    /// What a PromQL expression grows by within a time.
    Slope { query: String, per: Duration, per_text: String },
}

impl Figure {
    /// A share of k6's requests or samples: measured by the runners, so that it sees what a dying server cannot
    /// tell, and at any moment some of them are good and some are bad.
    #[must_use]
    pub fn is_client_side(&self) -> bool {
        matches!(self, Self::K6Failed { .. } | Self::K6Percentile { .. } | Self::K6Under { .. })
    }

    /// Which samples of k6 it stands on; `None` for figures of the system under test.
    #[must_use]
    pub fn samples(&self) -> Option<&K6Samples> {
        match self {
            Self::K6Failed { samples }
            | Self::K6Percentile { samples, .. }
            | Self::K6Under { samples, .. }
            | Self::K6Count { samples, .. }
            | Self::K6Rate { samples, .. } => Some(samples),
            Self::Ratio { .. } | Self::Query(_) | Self::Template(_) | Self::Slope { .. } => None,
        }
    }

    /// About k6's HTTP requests, which say whether they failed, unlike the samples of the script's own Trends.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        match self {
            Self::K6Failed { .. } => true,
            Self::K6Percentile { metric, .. } | Self::K6Under { metric, .. } => {
                metric.starts_with("http_req_")
            }
            _ => false,
        }
    }
}

pub(crate) fn share(objective: &str, bound: &Bound) -> Result<(), ObjectiveError> {
    let limit = bound.limit();
    if limit.dimension() == Dimension::Share && (0.0..=1.0).contains(&limit.base()) {
        Ok(())
    } else {
        Err(ObjectiveError::Share(objective.to_owned()))
    }
}

pub(crate) fn time(
    objective: &str,
    field: &'static str,
    text: &DurationText,
) -> Result<Duration, ObjectiveError> {
    duration::parse(text.as_str()).ok_or_else(|| ObjectiveError::Duration {
        objective: objective.to_owned(),
        field,
        text: text.to_string(),
    })
}
