//! Every refusal of a spec, with what to write instead.

use std::time::Duration;

use loadtest_crds::text::DurationText;

use crate::{
    k6::store::ReadsBoth,
    numbers::duration,
    plan::{size, syntax::is_object_name},
    prometheus::template::{Name, TemplateError},
};

/// The spec asks for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the object has no {0}: it must come from the API server")]
    Incomplete(&'static str),
    #[error("{field}: `{text}` is no length of time: write it as in 300ms, 90s or 1m30s")]
    Duration { field: String, text: String },
    #[error(
        "{field}: `{text}` is no name: write lower-case letters, digits, '-' and '.', and begin and end with a letter or \
         digit, as in chat"
    )]
    Name { field: String, text: String },
    #[error(
        "{place}: selector: `{text}` is no key of a label: write one as in app or app.kubernetes.io/name"
    )]
    LabelKey { place: String, text: String },
    #[error(
        "{place}: selector: `{text}` is no value of a label: write letters, digits, '-', '_' and '.', as in dbman, and each \
         label with a key of its own"
    )]
    LabelValue { place: String, text: String },
    #[error("fault {fault}: say what it does: podKill: {{}}")]
    NoAction { fault: String },
    #[error("fault {fault}: pick exactly one of count, percent or all")]
    NoPick { fault: String },
    #[error(
        "fault {fault}: {field}.of names {objective}, which is no share of k6's requests: name objectives over \
         http_req_failed, or with percentile or under"
    )]
    Witness { fault: String, field: &'static str, objective: String },
    #[error("fault {fault}: budget.worstSecond: `{text}` is no share: write it as in 50%")]
    WorstSecond { fault: String, text: String },
    #[error("baseline.maxRegression: `{0}` is no share: write it as in 10%")]
    Regression(String),
    #[error(transparent)]
    TooLarge(#[from] size::SpecTooLarge),
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    #[error(transparent)]
    Guardrail(#[from] GuardrailError),
}

/// A name that becomes part of a path at the API server.
pub(crate) fn name(field: &str, text: &str) -> Result<String, PlanError> {
    if is_object_name(text) {
        return Ok(text.to_owned());
    }
    Err(PlanError::Name { field: field.to_owned(), text: text.to_owned() })
}

pub(crate) fn time(field: &str, text: &DurationText) -> Result<Duration, PlanError> {
    duration::parse(text.as_str())
        .ok_or_else(|| PlanError::Duration { field: field.to_owned(), text: text.to_string() })
}

/// A guardrail that cannot be watched as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardrailError {
    #[error("guardrail {0}: write exactly one of query and set, as in set: Postgres")]
    Source(String),
    #[error("guardrail {0}: write exactly one of atMost, atLeast or dropAtMost")]
    Check(String),
    #[error(
        "guardrail {guardrail}: {field}: `{text}` is no limit: write a number with a unit, as in 300ms, 50% or 5000"
    )]
    Limit { guardrail: String, field: &'static str, text: String },
    #[error(
        "guardrail {guardrail}: {field} {warn} would never warn before {limit}: write a stricter value of its unit"
    )]
    Warn { guardrail: String, field: &'static str, warn: String, limit: String },
    #[error("guardrail {0}: a drop is a share: write it from 0% to 100%, as in dropAtMost: 50%")]
    Share(String),
    #[error("guardrail {guardrail}: for: `{text}` is no length of time: write it as in 10s or 1m30s")]
    For { guardrail: String, text: String },
    #[error("guardrail {guardrail}: the query is not PromQL: {cause}")]
    Query { guardrail: String, cause: String },
    #[error(
        "guardrail {guardrail}: the query gives {gives}, not a number: write one that gives one series, as in max(queue_depth)"
    )]
    QueryType { guardrail: String, gives: &'static str },
    #[error("guardrail {guardrail}: {cause}")]
    Template { guardrail: String, cause: String },
    #[error(
        "guardrail {guardrail}: {{{{{name}}}}} has no value while the load runs: a guardrail may use {{{{run}}}} and \
         {{{{namespace}}}}; write a range as in [30s]"
    )]
    TemplateName { guardrail: String, name: Name },
    #[error(
        "guardrail {guardrail}: the selector `{selector}` does not fit its set: write matchers as in namespace=\"chat\" ({cause})"
    )]
    Selector { guardrail: String, selector: String, cause: String },
    #[error("two guardrails are called {0}: rename one of them")]
    Twice(String),
    #[error("guardrail {guardrail}: {cause}")]
    Stores { guardrail: String, cause: ReadsBoth },
    #[error("there are {0} guardrails, with those of sets: watch at most {1}")]
    TooMany(usize, usize),
}

/// An objective that cannot be judged as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    #[error("objective {0}: write exactly one of k6, ratio, query or slope")]
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
        "objective {objective}: say which figure of {metric}: percentile: 95 or under: 300ms of a Trend, rate: true or \
         count: true of a Counter; only http_req_failed goes without (k6 sends the Rate of each runner without its \
         total, so Rates cannot be added up: count with two Counters in the script and write a ratio over them)"
    )]
    NoShare { objective: String, metric: String },
    #[error("objective {0}: write one of percentile, under, rate or count")]
    ManyFigures(String),
    #[error(
        "objective {objective}: the k6 metric {metric} is no Counter: rate and count take http_reqs, iterations or a \
         Counter of the script"
    )]
    NoCounter { objective: String, metric: String },
    #[error("objective {0}: a count or rate is judged by a plain number, as in atLeast: \"500\"")]
    PlainNumber(String),
    #[error(
        "objective {objective}: {field}: `{text}` is no length of time: write it as in 300ms, 90s or 1m30s"
    )]
    Duration { objective: String, field: &'static str, text: String },
    #[error("objective {0}: between.from lies before between.to, as in from: 30s with to: 90s")]
    Between(String),
    #[error("objective {0}: between stands for itself: judge Steady, Fault or Recovery in another objective")]
    BetweenBeside(String),
    #[error("objective {0}: say which stretch: between: {{from: 30s, to: 90s}}")]
    BetweenWhere(String),
    #[error("objective {objective}: the query: {cause}")]
    Template { objective: String, cause: TemplateError },
    #[error(
        "objective {objective}: {{{{{name}}}}} has a value in Fault and Recovery windows only: judge it in windows: \
         [Fault], or leave it out"
    )]
    TemplateWindow { objective: String, name: Name },
    #[error("objective {0}: a slope has no templates: its query is asked at many points of the window")]
    SlopeTemplate(String),
    #[error("objective {objective}: the tag {tag} is set by the operator: remove it")]
    Tag { objective: String, tag: String },
    #[error(
        "objective {objective}: ratio.{field} must be a plain selector of counters, as in \
         requests_total{{status=\"ok\"}}, not `{text}` ({cause}): for anything else use query"
    )]
    Selector { objective: String, field: &'static str, text: String, cause: String },
    #[error(
        "objective {objective}: the selector `{selector}` does not name one metric: write its name, as in \
         requests_total{{status=\"ok\"}}; for several metrics write a query that names each of them, as in sum(a) + sum(b)"
    )]
    Nameless { objective: String, selector: String },
    #[error("objective {objective}: the query is not PromQL: {cause}")]
    Query { objective: String, cause: String },
    #[error(
        "objective {objective}: the query gives {gives}, not a number: write an expression that gives one \
         series, as in max(queue_depth)"
    )]
    QueryType { objective: String, gives: &'static str },
    #[error("objective {objective}: {cause}")]
    Stores { objective: String, cause: ReadsBoth },
}
