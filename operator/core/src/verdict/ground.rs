//! What a verdict is made of: facts, and grounds with their reasons.

use std::{collections::BTreeMap, fmt, time::Duration};

use loadtest_crds::{Outcome, Verdict};
use serde::{Deserialize, Serialize};

use crate::verdict::baseline::History;

/// What the figures do not say. Recorded with them, so that a run can be judged again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// How long the load was to last.
    pub planned: Duration,
    /// Runners that their own script ended, by `test.abort()` or abortOnFail.
    pub interrupted_runners: usize,
    /// Runners whose script marked the run as failed, by `exec.test.fail()`; their load ran through.
    pub failed_runners: usize,
    /// What the script said as it did so.
    pub marked_failed: Option<String>,
    /// Why the figures never settled.
    pub not_settled: Option<String>,
    /// How many pods and series the selectors and queries of the run matched.
    pub matched: BTreeMap<String, i64>,
    /// Earlier runs of the series.
    pub history: History,
}

/// What decided, in one word. In order of weight within one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    FaultFailed,
    ScriptFailed,
    GuardrailBreached,
    KeyObjectiveMissed,
    ObjectivesMissed,
    MissedAgain,
    ObjectiveMissed,
    RecoveryTooSlow,
    BudgetExceeded,
    GuardrailWithoutData,
    AssertFailed,
    ScalingMissed,
    NotSettled,
    FiguresIncomplete,
    RunnerLost,
    RunnerInterrupted,
    LoadNotDelivered,
    Rollout,
    FaultUnconfirmed,
    NotSteady,
    FaultNotInjected,
    NotExercised,
    Drift,
    NoData,
    Unmeasurable,
    TooFew,
    NoObjectives,
    NotReplaced,
    ScriptErrors,
    Confounded,
    GuardrailWarned,
    ThresholdNotJudged,
    InWarningBand,
    Regression,
    Unclear,
    Unstable,
    AllObjectivesMet,
}

/// The word itself.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Something that speaks for a verdict.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

impl Ground {
    pub(crate) fn new(verdict: Verdict, reason: Reason, text: impl Into<String>) -> Self {
        Self { verdict, reason, text: text.into() }
    }

    /// What is told and decides nothing.
    pub(crate) fn told(text: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, Reason::AllObjectivesMet, text)
    }

    /// Something that was asked of the run, and what a miss of it means.
    pub(crate) fn of(outcome: Outcome, missed: (Verdict, Reason), words: &str) -> Self {
        let (verdict, reason) = standing(outcome, missed);
        Self::new(verdict, reason, format!("{}: {words}", mark(outcome)))
    }
}

/// What an outcome means for the verdict, where nothing else is said.
pub(crate) fn standing(outcome: Outcome, missed: (Verdict, Reason)) -> (Verdict, Reason) {
    match outcome {
        Outcome::Met => (Verdict::Pass, Reason::AllObjectivesMet),
        Outcome::Warn => (Verdict::Warn, Reason::InWarningBand),
        // As a single miss that is not key: perhaps it is one.
        Outcome::Unclear => (Verdict::Warn, Reason::Unclear),
        Outcome::TooFew => (Verdict::Inconclusive, Reason::TooFew),
        Outcome::Unmeasurable => (Verdict::Inconclusive, Reason::Unmeasurable),
        Outcome::NoData => (Verdict::Inconclusive, Reason::NoData),
        Outcome::Missed => missed,
    }
}

/// How a ground begins.
pub(crate) fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::Warn => "warning",
        Outcome::Unclear => "unclear",
        Outcome::TooFew => "too few",
        Outcome::Unmeasurable => "unmeasurable",
        Outcome::NoData => "no data",
        Outcome::Missed => "not met",
    }
}
