//! Guardrails: what must never happen while the load runs.
//!
//! [`GuardrailPlan`] is one indicator with its limits, checked; a set gives several ([`sets`]), and a script's
//! threshold with abortOnFail one ([`crate::plan::threshold`]). What comes of them while the load runs is in
//! [`crate::watch::guardrail`].

pub mod sets;

use std::time::Duration;

use loadtest_crds::{Guardrail, GuardrailNoData, WindowKind, text::LimitText};
use promql_parser::parser::{self, value::ValueType};

use crate::{
    k6::store::store_of,
    numbers::{
        duration,
        limit::{Bound, Dimension, Limit},
    },
    plan::{error::GuardrailError, names::RunNames},
    prometheus::{
        expression::reach,
        template::{Name, Template, Values},
    },
};

/// More are not watched: each is a query a second and a part of the status.
pub const MOST: usize = 64;

/// One guardrail of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardrailPlan {
    pub name: String,
    /// Ready to be asked.
    pub query: String,
    pub check: Check,
    /// Beyond this, but within the limit, is a warning.
    pub warn: Option<Limit>,
    /// How long a value must be beyond a limit without a break.
    pub hold: Duration,
    pub suspend_in_faults: bool,
    pub suspend_in_recoveries: bool,
    pub on_no_data: GuardrailNoData,
    /// How far back one value of the query reaches.
    pub reach: Duration,
}

/// What is critical.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// A value beyond the bound.
    Bound(Bound),
    /// A value that is lower than usual by more than this share.
    Drop(Limit),
}

impl GuardrailPlan {
    /// Checks the guardrails of a LoadTest. One with the name of a set's indicator takes its place.
    ///
    /// # Errors
    /// [`GuardrailError`] says what to write instead.
    pub fn all(spec: &[Guardrail], names: &RunNames) -> Result<Vec<Self>, GuardrailError> {
        let own = |name: &str| spec.iter().any(|g| g.set.is_none() && g.name == name);
        let mut all: Vec<Self> = Vec::new();
        for guardrail in spec {
            match guardrail.set {
                Some(set) => {
                    let members = sets::members(set, guardrail);
                    for member in members.iter().filter(|member| !own(&member.name)) {
                        all.push(Self::of(member, names).map_err(|error| of_selector(error, guardrail))?);
                    }
                }
                None => all.push(Self::of(guardrail, names)?),
            }
        }
        if let Some((i, _)) = all.iter().enumerate().find(|(i, g)| all[..*i].iter().any(|b| b.name == g.name))
        {
            return Err(GuardrailError::Twice(all[i].name.clone()));
        }
        if all.len() > MOST { Err(GuardrailError::TooMany(all.len(), MOST)) } else { Ok(all) }
    }

    pub(crate) fn of(guardrail: &Guardrail, names: &RunNames) -> Result<Self, GuardrailError> {
        let name = &guardrail.name;
        let text = guardrail.query.as_deref().ok_or_else(|| GuardrailError::Source(name.clone()))?;
        let (check, below) = match (&guardrail.at_most, &guardrail.at_least, &guardrail.drop_at_most) {
            (Some(text), None, None) => (Check::Bound(Bound::AtMost(limit(name, "atMost", text)?)), false),
            (None, Some(text), None) => (Check::Bound(Bound::AtLeast(limit(name, "atLeast", text)?)), true),
            (None, None, Some(text)) => (Check::Drop(limit(name, "dropAtMost", text)?), false),
            _ => return Err(GuardrailError::Check(name.clone())),
        };
        if let Check::Drop(share) = &check
            && !(share.dimension() == Dimension::Share && (0.0..=1.0).contains(&share.base()))
        {
            return Err(GuardrailError::Share(name.clone()));
        }
        let (field, warn) =
            if below { ("warnBelow", &guardrail.warn_below) } else { ("warnAbove", &guardrail.warn_above) };
        let warn = warn.as_ref().map(|text| limit(name, field, text)).transpose()?;
        if let Some(warn) = &warn
            && !is_stricter(warn, &check)
        {
            let (warn, limit) = (warn.to_string(), check.limit().to_string());
            return Err(GuardrailError::Warn { guardrail: name.clone(), field, warn, limit });
        }
        let hold = duration::parse(guardrail.for_.as_str()).ok_or_else(|| GuardrailError::For {
            guardrail: name.clone(),
            text: guardrail.for_.to_string(),
        })?;
        let (query, reach) = query(name, text, names)?;
        let suspended = |kind| guardrail.suspend_during.contains(&kind);
        Ok(Self {
            name: name.clone(),
            query,
            check,
            warn,
            hold,
            suspend_in_faults: suspended(WindowKind::Fault),
            suspend_in_recoveries: suspended(WindowKind::Recovery),
            on_no_data: guardrail.on_no_data,
            reach,
        })
    }

    /// The limit in words: `at most 50%`.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.check {
            Check::Bound(bound) => bound.words(),
            Check::Drop(share) => format!("a drop of at most {share}"),
        }
    }
}

impl Check {
    #[must_use]
    pub fn limit(&self) -> &Limit {
        match self {
            Self::Bound(bound) => bound.limit(),
            Self::Drop(share) => share,
        }
    }
}

/// A set's own queries are right, so what is wrong with one came with the selector.
fn of_selector(error: GuardrailError, set: &Guardrail) -> GuardrailError {
    match (&set.selector, error) {
        (Some(selector), GuardrailError::Query { cause, .. }) => {
            GuardrailError::Selector { guardrail: set.name.clone(), selector: selector.clone(), cause }
        }
        (_, error) => error,
    }
}

fn is_stricter(warn: &Limit, check: &Check) -> bool {
    let limit = check.limit();
    let stricter = match check {
        Check::Bound(Bound::AtLeast(_)) => warn.base() > limit.base(),
        Check::Bound(Bound::AtMost(_)) | Check::Drop(_) => warn.base() < limit.base(),
    };
    stricter && warn.dimension() == limit.dimension()
}

fn limit(guardrail: &str, field: &'static str, text: &LimitText) -> Result<Limit, GuardrailError> {
    Limit::parse(text.as_str()).ok_or_else(|| GuardrailError::Limit {
        guardrail: guardrail.to_owned(),
        field,
        text: text.to_string(),
    })
}

/// The query with its places filled in, and how far back it reaches.
fn query(name: &str, text: &str, names: &RunNames) -> Result<(String, Duration), GuardrailError> {
    let guardrail = || name.to_owned();
    let refuse = |cause: String| GuardrailError::Template { guardrail: guardrail(), cause };
    let template = Template::parse(text).map_err(|error| refuse(error.to_string()))?;
    if let Some(name) = template.names().find(|name| !matches!(name, Name::Run | Name::Namespace)) {
        return Err(GuardrailError::TemplateName { guardrail: guardrail(), name });
    }
    let values = Values { run: names.uid.clone(), namespace: names.namespace.clone(), ..Values::example() };
    let query = template.render(&values).map_err(|error| refuse(error.to_string()))?.trim().to_owned();
    let parsed =
        parser::parse(&query).map_err(|cause| GuardrailError::Query { guardrail: guardrail(), cause })?;
    store_of(&query).map_err(|cause| GuardrailError::Stores { guardrail: guardrail(), cause })?;
    let gives = match parsed.value_type() {
        ValueType::Vector | ValueType::Scalar => return Ok((query, reach(&parsed))),
        ValueType::Matrix => "a range",
        ValueType::String => "a string",
    };
    Err(GuardrailError::QueryType { guardrail: guardrail(), gives })
}

#[cfg(test)]
mod tests;
