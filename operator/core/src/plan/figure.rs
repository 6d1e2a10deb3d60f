//! Figures, checked: of k6, a ratio, a query or a slope.

use std::time::Duration;

use loadtest_crds::{K6Figure, Objective, Stat, text::DurationText};
use promql_parser::parser::{self, Expr};

use crate::{
    k6::{
        metrics::{Kind, built_in},
        queries::{self, K6Samples},
    },
    numbers::limit::{Bound, Dimension, Limit},
    plan::{error::Refusal, read},
    prometheus::{
        expression,
        template::{Template, Values},
    },
};

/// Reads the one figure that an objective has.
pub fn parse(objective: &Objective, bound: &Bound) -> Result<Figure, Refusal> {
    match (&objective.k6, &objective.ratio, &objective.query, &objective.slope) {
        (Some(k6), None, None, None) => of_k6(k6, bound),
        (None, Some(ratio), None, None) => {
            share(bound)?;
            Ok(Figure::Ratio {
                good: selector("ratio.good", &ratio.good)?,
                total: selector("ratio.total", &ratio.total)?,
            })
        }
        (None, None, Some(query), None) => {
            let template = Template::parse(query.trim())?;
            let plain = expression(&template.render(&Values::example())?)?;
            Ok(if template.is_plain() { Figure::Query(plain) } else { Figure::Template(template) })
        }
        (None, None, None, Some(slope)) => {
            if Template::parse(&slope.query).map_or(true, |template| !template.is_plain()) {
                return Err(Refusal::SlopeTemplate);
            }
            Ok(Figure::Slope {
                query: expression(&slope.query)?,
                per: read::time("slope.per", &slope.per)?,
                per_text: slope.per.to_string(),
            })
        }
        _ => Err(Refusal::Figure),
    }
}

/// Tags by which the operator tells the runs and the outcomes apart.
const RESERVED_TAGS: [&str; 4] = [queries::TEST_ID, queries::RUN, queries::SCENARIO, "__name__"];

fn of_k6(k6: &K6Figure, bound: &Bound) -> Result<Figure, Refusal> {
    if let Some(tag) = k6.tags.keys().find(|tag| RESERVED_TAGS.contains(&tag.as_str())) {
        return Err(Refusal::Tag(tag.clone()));
    }
    let samples = K6Samples { tags: k6.tags.clone(), scenario: k6.scenario.clone() };
    let metric = k6.metric.clone();
    let says = |flag: Option<bool>| flag == Some(true);
    if let Some(stat) = k6.stat {
        is_trend(&metric)?;
        if k6.percentile.is_some() || k6.under.is_some() || says(k6.rate) || says(k6.count) {
            return Err(Refusal::ManyFigures);
        }
        if bound.limit().dimension() != Dimension::Time {
            return Err(Refusal::StatLimit);
        }
        return Ok(Figure::K6Stat { metric, stat, samples });
    }
    match (k6.percentile, &k6.under, says(k6.rate), says(k6.count)) {
        (None, None, false, false) if metric == "http_req_failed" => {
            share(bound)?;
            Ok(Figure::K6Failed { samples })
        }
        (None, None, false, false) if matches!(built_in(&metric), None | Some(Kind::Share)) => {
            share(bound)?;
            Ok(Figure::K6Share { metric, samples })
        }
        (None, None, false, false) => Err(Refusal::NoShare(metric)),
        (Some(percentile), None, false, false) => {
            is_trend(&metric)?;
            if !(percentile > 0.0 && percentile < 100.0) {
                return Err(Refusal::Percentile);
            }
            match bound {
                Bound::AtMost(limit) if limit.dimension() == Dimension::Time => {
                    Ok(Figure::K6Percentile { metric, percentile, samples })
                }
                _ => Err(Refusal::PercentileLimit),
            }
        }
        (None, Some(under), false, false) => {
            is_trend(&metric)?;
            share(bound)?;
            Ok(Figure::K6Under { metric, under: time_limit(under)?, samples })
        }
        (None, None, rate, count) if rate != count => {
            if matches!(built_in(&metric), Some(Kind::Share | Kind::Gauge | Kind::Time)) {
                return Err(Refusal::NoCounter(metric));
            }
            if bound.limit().dimension() != Dimension::Number {
                return Err(Refusal::PlainNumber);
            }
            Ok(if rate { Figure::K6Rate { metric, samples } } else { Figure::K6Count { metric, samples } })
        }
        _ => Err(Refusal::ManyFigures),
    }
}

fn is_trend(metric: &str) -> Result<(), Refusal> {
    match built_in(metric) {
        Some(Kind::Share | Kind::Counter | Kind::Gauge) => Err(Refusal::NoTrend(metric.to_owned())),
        _ => Ok(()),
    }
}

fn share(bound: &Bound) -> Result<(), Refusal> {
    if read::is_share(bound.limit()) { Ok(()) } else { Err(Refusal::ShareLimit) }
}

/// A length of time as a limit. Limits have one unit: `1m30s` becomes `90000ms`.
fn time_limit(text: &DurationText) -> Result<Limit, Refusal> {
    let length = read::time("k6.under", text)?;
    let written = Limit::parse(text.as_str()).or_else(|| Limit::parse(&format!("{}ms", length.as_millis())));
    written.ok_or_else(|| Refusal::Time { field: "k6.under", text: text.to_string() })
}

/// A selector that can be followed by a range: the raw samples of counters are read through it.
fn selector(field: &'static str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let refuse = |cause: String| Refusal::Selector { field, text: text.to_owned(), cause };
    let plain = match parser::parse(text) {
        Ok(Expr::VectorSelector(selector)) => selector.at.is_none() && selector.offset.is_none(),
        Ok(_) => false,
        Err(cause) => return Err(refuse(cause)),
    };
    named(text)?;
    // The second look refuses what only parses alone, as a selector with a comment behind it.
    if plain && matches!(parser::parse(&format!("{text}[1m]")), Ok(Expr::MatrixSelector(_))) {
        Ok(text.to_owned())
    } else {
        Err(refuse("functions, operators, ranges, offset, @ and comments have no place here".to_owned()))
    }
}

/// How far a series is written, and how often, is asked without its name: series of two names would be one.
fn named(query: &str) -> Result<(), Refusal> {
    match expression::selectors(query).into_iter().find(|selector| !expression::is_named(selector)) {
        None => Ok(()),
        Some(selector) => Err(Refusal::Nameless(selector.to_string())),
    }
}

fn expression(text: &str) -> Result<String, Refusal> {
    let parsed = read::promql(text);
    if !matches!(parsed, Err(Refusal::Query(_))) {
        named(text)?;
    }
    parsed.map(|_| text.trim().to_owned())
}

/// What is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// The share of k6's requests that failed.
    K6Failed { samples: K6Samples },
    /// The share of a k6 Rate's samples that were true.
    K6Share { metric: String, samples: K6Samples },
    /// The share of a k6 Trend's samples that failed or lie above the limit, `percentile` in percent.
    K6Percentile { metric: String, percentile: f64, samples: K6Samples },
    /// The share of a k6 Trend's samples that were answered within a time.
    K6Under { metric: String, under: Limit, samples: K6Samples },
    /// The average, least or most of a k6 Trend.
    K6Stat { metric: String, stat: Stat, samples: K6Samples },
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
            | Self::K6Share { samples, .. }
            | Self::K6Percentile { samples, .. }
            | Self::K6Under { samples, .. }
            | Self::K6Stat { samples, .. }
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
