//! Judging a recorded run again, with the limits that it had or with others.
//!
//! It goes through the same functions as the run did: [`Evaluation`] asks, the record answers, and
//! [`verdict::conclude`] decides. What the record holds no answer to is counted from its cells ([`recount`]); what they
//! cannot tell has no data, and so is no pass.

mod recount;

use std::{cell::LazyCell, collections::HashMap};

use loadtest_crds::{LoadTest, LoadTestStatus, Phase, text::LimitText};

use crate::{
    evaluate::{Evaluation, Step},
    k6::question::{Asked, Question},
    plan::{Plan, error::PlanError},
    prometheus::ask::{Answer, RequestKind},
    record::{Evidence, Record, replay::recount::Recount},
    verdict::{self, display},
};

/// Another limit for an objective, or for the recovery from a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLimit {
    pub of: String,
    pub limit: String,
}

/// Why a record cannot be judged so.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "there is no objective {name}, and no fault of that name with a recovery; there {}", listed(.known)
    )]
    Unknown { name: String, known: Vec<String> },
    #[error("{text}: write NAME=LIMIT, as in save-p95=250ms")]
    NotALimit { text: String },
    #[error(transparent)]
    Plan(#[from] PlanError),
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "are none".to_owned(),
        [one] => format!("is {one}"),
        many => format!("are {}", many.join(", ")),
    }
}

impl std::str::FromStr for OtherLimit {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        match text.split_once('=') {
            Some((of, limit)) if !of.trim().is_empty() && !limit.trim().is_empty() => {
                Ok(Self { of: of.trim().to_owned(), limit: limit.trim().to_owned() })
            }
            _ => Err(ReplayError::NotALimit { text: text.to_owned() }),
        }
    }
}

/// A run that was judged again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// With its status as it was judged.
    pub test: LoadTest,
    /// How many questions the run had not asked, and were counted from its cells.
    pub recounted: usize,
}

/// The run, judged again from its record.
///
/// # Errors
/// When the spec, with these limits, cannot be judged.
pub fn judge(record: &Record, limits: &[OtherLimit]) -> Result<Replayed, ReplayError> {
    let mut test = record.test.clone();
    for limit in limits {
        apply(limit, &mut test)?;
    }
    let plan = Plan::of(&test)?;
    let before = test.status.clone().unwrap_or_default();
    let Evidence { settings, asked, .. } = &*record.evidence;
    let asked = asked.iter().map(|Asked { question, kind, answer }| ((question, *kind), answer));
    let answers: HashMap<(&Question, RequestKind), &Answer> = asked.collect();
    let recount = LazyCell::new(|| record.cells.as_ref().map(|cells| Recount::of(cells, &settings.run_id)));
    let mut recounted = 0;
    let mut evaluation = Evaluation::of(&plan, &before, settings.clone());
    let mut answered = Vec::new();
    let judgement = loop {
        match evaluation.step(std::mem::take(&mut answered)) {
            Step::Done(judgement) => break judgement,
            Step::Ask(requests) => {
                answered = requests
                    .into_iter()
                    .map(|request| {
                        let recorded = answers.get(&(&request.question, request.kind));
                        if let Some(answer) = recorded {
                            return (request.id, (*answer).clone());
                        }
                        let counted = recount.as_ref().and_then(|cells| cells.answer(&request));
                        recounted +=
                            usize::from(counted.as_ref().is_some_and(|a| !matches!(a, Answer::Failed(_))));
                        (request.id, counted.unwrap_or_else(not_recorded))
                    })
                    .collect();
            }
        }
    };
    let mut status = verdict::conclude(&plan, &before, &judgement, &record.facts);
    over(&mut status, &plan, record);
    test.status = Some(status);
    Ok(Replayed { test, recounted })
}

/// What the run records with its verdict.
fn over(status: &mut LoadTestStatus, plan: &Plan, record: &Record) {
    status.phase = Phase::Finished;
    status.finished_at.clone_from(&record.judged.finished_at);
    status.report.clone_from(&record.judged.report);
    status.display = Some(display::display(status, &plan.judged(status)));
}

fn not_recorded() -> Answer {
    Answer::Failed("the run did not ask it, so its record has no answer".to_owned())
}

fn apply(other: &OtherLimit, test: &mut LoadTest) -> Result<(), ReplayError> {
    let limit = LimitText::from(other.limit.as_str());
    if let Some(n) = test.spec.objectives.iter().position(|o| o.name == other.of) {
        let objective = &mut test.spec.objectives[n];
        let of = if objective.at_least.is_some() { &mut objective.at_least } else { &mut objective.at_most };
        *of = Some(limit);
        if Plan::of(test).is_err() {
            // A warning limit that the new limit has overtaken never warns, and makes the spec invalid.
            let objective = &mut test.spec.objectives[n];
            (objective.warn_above, objective.warn_below) = (None, None);
        }
        return Ok(());
    }
    let recovery = test.spec.faults.iter_mut().find(|f| f.name == other.of).and_then(|f| f.recovery.as_mut());
    if let Some(recovery) = recovery {
        recovery.within = other.limit.as_str().into();
        return Ok(());
    }
    let objectives = test.spec.objectives.iter().map(|o| o.name.clone());
    let faults = test.spec.faults.iter().filter(|f| f.recovery.is_some()).map(|f| f.name.clone());
    Err(ReplayError::Unknown { name: other.of.clone(), known: objectives.chain(faults).collect() })
}

#[cfg(test)]
mod tests;
