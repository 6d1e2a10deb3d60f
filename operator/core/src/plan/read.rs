//! Texts of the spec, read.

use std::time::Duration;

use loadtest_crds::text::{DurationText, LimitText};
use promql_parser::parser::{self, Expr, value::ValueType};

use crate::{
    k6::store::store_of,
    numbers::{
        duration,
        limit::{Dimension, Limit},
    },
    plan::{error::Refusal, syntax::is_object_name},
};

/// A name that becomes part of a path at the API server.
pub fn name(field: &'static str, text: &str) -> Result<String, Refusal> {
    if is_object_name(text) {
        Ok(text.to_owned())
    } else {
        Err(Refusal::Name { field, text: text.to_owned() })
    }
}

pub fn time(field: &'static str, text: &DurationText) -> Result<Duration, Refusal> {
    duration::parse(text.as_str()).ok_or_else(|| Refusal::Time { field, text: text.to_string() })
}

pub fn limit(field: &'static str, text: &LimitText) -> Result<Limit, Refusal> {
    Limit::parse(text.as_str()).ok_or_else(|| Refusal::Limit { field, text: text.to_string() })
}

pub fn share(field: &'static str, text: &LimitText) -> Result<Limit, Refusal> {
    let share = Limit::parse(text.as_str()).filter(|limit| limit.dimension() == Dimension::Share);
    share.ok_or_else(|| Refusal::Share { field, text: text.to_string() })
}

pub fn is_share(limit: &Limit) -> bool {
    limit.dimension() == Dimension::Share && (0.0..=1.0).contains(&limit.base())
}

/// A warning limit, on the stricter side of the limit.
pub fn warn(
    field: &'static str,
    text: Option<&LimitText>,
    of: &Limit,
    below: bool,
) -> Result<Option<Limit>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let warn = limit(field, text)?;
    let is_stricter = if below { warn.base() > of.base() } else { warn.base() < of.base() };
    if is_stricter && warn.dimension() == of.dimension() {
        return Ok(Some(warn));
    }
    Err(Refusal::Warn { field, warn: warn.to_string(), limit: of.to_string() })
}

/// PromQL that gives a number, and reads one store.
pub fn promql(text: &str) -> Result<Expr, Refusal> {
    let parsed = parser::parse(text).map_err(Refusal::Query)?;
    store_of(text)?;
    match parsed.value_type() {
        ValueType::Vector | ValueType::Scalar => Ok(parsed),
        ValueType::Matrix => Err(Refusal::QueryType("a range")),
        ValueType::String => Err(Refusal::QueryType("a string")),
    }
}
