//! Guardrails: what must never happen while the load runs.
//!
//! [`GuardrailPlan`] is one indicator with its limits, checked; a set gives several ([`sets`]), and a script's
//! threshold with abortOnFail one ([`crate::plan::threshold`]). What comes of them while the load runs is in
//! [`crate::watch::guardrail`].

pub mod sets;

use std::time::Duration;

use loadtest_crds::{Guardrail, GuardrailNoData, WindowKind};

use crate::{
    numbers::limit::{Bound, Limit},
    plan::{
        error::{PlanError, Refusal},
        names::RunNames,
        read,
    },
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
    /// [`PlanError`] says what to write instead.
    pub fn all(spec: &[Guardrail], names: &RunNames) -> Result<Vec<Self>, PlanError> {
        let own = |name: &str| spec.iter().any(|g| g.set.is_none() && g.name == name);
        let mut all: Vec<Self> = Vec::new();
        for guardrail in spec {
            let refused = |refusal: Refusal| Refusal::of("guardrail", &guardrail.name)(refusal);
            match guardrail.set {
                Some(set) => {
                    for member in sets::members(set, guardrail).iter().filter(|member| !own(&member.name)) {
                        let of_set = |refusal| refused(of_selector(refusal, guardrail));
                        all.push(Self::of(member, names).map_err(of_set)?);
                    }
                }
                None => all.push(Self::of(guardrail, names).map_err(refused)?),
            }
        }
        if let Some(twice) = all.iter().enumerate().find(|(i, g)| all[..*i].iter().any(|b| b.name == g.name))
        {
            return Err(Refusal::of("guardrail", &twice.1.name)(Refusal::Twice));
        }
        if all.len() > MOST { Err(Refusal::TooMany(all.len(), MOST).into()) } else { Ok(all) }
    }

    fn of(guardrail: &Guardrail, names: &RunNames) -> Result<Self, Refusal> {
        let text = guardrail.query.as_deref().ok_or(Refusal::Source)?;
        let check = match (&guardrail.at_most, &guardrail.at_least, &guardrail.drop_at_most) {
            (Some(text), None, None) => Check::Bound(Bound::AtMost(read::limit("atMost", text)?)),
            (None, Some(text), None) => Check::Bound(Bound::AtLeast(read::limit("atLeast", text)?)),
            (None, None, Some(text)) => Check::Drop(read::limit("dropAtMost", text)?),
            _ => return Err(Refusal::Check),
        };
        if matches!(&check, Check::Drop(share) if !read::is_share(share)) {
            return Err(Refusal::Drop);
        }
        let warn = if matches!(check, Check::Bound(Bound::AtLeast(_))) {
            read::warn("warnBelow", guardrail.warn_below.as_ref(), check.limit(), true)?
        } else {
            read::warn("warnAbove", guardrail.warn_above.as_ref(), check.limit(), false)?
        };
        let hold = read::time("for", &guardrail.for_)?;
        let (query, reach) = query(text, names)?;
        let suspended = |kind| guardrail.suspend_during.contains(&kind);
        Ok(Self {
            name: guardrail.name.clone(),
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
fn of_selector(refusal: Refusal, set: &Guardrail) -> Refusal {
    match (&set.selector, refusal) {
        (Some(selector), Refusal::Query(cause)) => Refusal::SetSelector { selector: selector.clone(), cause },
        (_, refusal) => refusal,
    }
}

/// The query with its places filled in, and how far back it reaches.
fn query(text: &str, names: &RunNames) -> Result<(String, Duration), Refusal> {
    let template = Template::parse(text)?;
    if let Some(name) = template.names().find(|name| !matches!(name, Name::Run | Name::Namespace)) {
        return Err(Refusal::TemplateName(name));
    }
    let values = Values { run: names.uid.clone(), namespace: names.namespace.clone(), ..Values::example() };
    let query = template.render(&values)?.trim().to_owned();
    let reach = reach(&read::promql(&query)?);
    Ok((query, reach))
}

#[cfg(test)]
mod tests;
