//! Every refusal of a spec, with what to write instead.

use crate::{
    k6::store::ReadsBoth,
    plan::size,
    prometheus::template::{Name, TemplateError},
};

/// The spec asks for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the object has no {0}: it must come from the API server")]
    Incomplete(&'static str),
    #[error(transparent)]
    TooLarge(#[from] size::SpecTooLarge),
    /// Of the run as a whole.
    #[error(transparent)]
    Run(#[from] Refusal),
    /// Of a part of it, as in `objective save`.
    #[error("{part}: {refusal}")]
    Part { part: String, refusal: Refusal },
}

/// What is wrong with a part of the spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{field}: `{text}` is no length of time: write it as in 300ms, 90s or 1m30s")]
    Time { field: &'static str, text: String },
    #[error(
        "{field}: `{text}` is no name: write lower-case letters, digits, '-' and '.', and begin and end with a letter or \
         digit, as in chat"
    )]
    Name { field: &'static str, text: String },
    #[error(
        "{field}: `{text}` is no limit: write a number with one of the units %, ms, s, m, h, k, M, G, Ki, Mi, Gi, Ti or \
         none, as in 300ms, 99.9% or 5000"
    )]
    Limit { field: &'static str, text: String },
    #[error("{field}: `{text}` is no share: write it as in 50%")]
    Share { field: &'static str, text: String },
    #[error("selector: `{0}` is no key of a label: write one as in app or app.kubernetes.io/name")]
    LabelKey(String),
    #[error(
        "selector: `{0}` is no value of a label: write letters, digits, '-', '_' and '.', as in dbman, and each label with a \
         key of its own"
    )]
    LabelValue(String),
    #[error("{field} {warn} would never warn before {limit}: write a stricter value of its unit")]
    Warn { field: &'static str, warn: String, limit: String },
    #[error("the query: {0}")]
    Template(#[from] TemplateError),
    #[error("the query is not PromQL: {0}")]
    Query(String),
    #[error(
        "the query gives {0}, not a number: write an expression that gives one series, as in max(queue_depth)"
    )]
    QueryType(&'static str),

    #[error(transparent)]
    Stores(#[from] ReadsBoth),

    // Of faults.
    #[error("say what it does: podKill: {{}}")]
    NoAction,
    #[error("pick exactly one of count, percent or all")]
    NoPick,
    #[error(
        "{field}.of names {objective}, which is no share of k6's requests: name objectives over http_req_failed, or with \
         percentile or under"
    )]
    Witness { field: &'static str, objective: String },

    // Of guardrails.
    #[error("write exactly one of query and set, as in set: Postgres")]
    Source,
    #[error("write exactly one of atMost, atLeast or dropAtMost")]
    Check,
    #[error("a drop is a share: write it from 0% to 100%, as in dropAtMost: 50%")]
    Drop,
    #[error(
        "{{{{{0}}}}} has no value while the load runs: a guardrail may use {{{{run}}}} and {{{{namespace}}}}; write a range \
         as in [30s]"
    )]
    TemplateName(Name),
    #[error(
        "the selector `{selector}` does not fit its set: write matchers as in namespace=\"chat\" ({cause})"
    )]
    SetSelector { selector: String, cause: String },
    #[error("another guardrail is called so too: rename one of them")]
    Twice,
    #[error("there are {0} guardrails, with those of sets: watch at most {1}")]
    TooMany(usize, usize),

    // Of objectives.
    #[error("write exactly one of k6, ratio, query or slope")]
    Figure,
    #[error("write exactly one of atMost or atLeast")]
    Bound,
    #[error("warnAbove goes with atMost, warnBelow with atLeast: write {0} instead")]
    WarnField(&'static str),
    #[error("this figure is a share: write its limit in percent from 0% to 100%, as in 99.9%")]
    ShareLimit,
    #[error("a percentile takes atMost with a time, as in atMost: 300ms")]
    PercentileLimit,
    #[error("an average, least or most takes a time, as in atMost: 300ms")]
    StatLimit,
    #[error("a percentile lies above 0 and below 100, as in percentile: 95")]
    Percentile,
    #[error("the k6 metric {0} has no percentiles: use http_req_duration or a Trend of the script")]
    NoTrend(String),
    #[error(
        "say which figure of {0}: percentile: 95, under: 300ms or stat: Avg of a Trend, rate: true or count: true of a \
         Counter; only a Rate, as http_req_failed or checks, goes without"
    )]
    NoShare(String),
    #[error("write one of percentile, under, stat, rate or count")]
    ManyFigures,
    #[error(
        "the k6 metric {0} is no Counter: rate and count take http_reqs, iterations or a Counter of the script"
    )]
    NoCounter(String),
    #[error("a count or rate is judged by a plain number, as in atLeast: \"500\"")]
    PlainNumber,
    #[error("between.from lies before between.to, as in from: 30s with to: 90s")]
    Between,
    #[error("between stands for itself: judge Steady, Fault or Recovery in another objective")]
    BetweenBeside,
    #[error("say which stretch: between: {{from: 30s, to: 90s}}")]
    BetweenWhere,
    #[error(
        "{{{{{0}}}}} has a value in Fault and Recovery windows only: judge it in windows: [Fault], or leave it out"
    )]
    TemplateWindow(Name),
    #[error("a slope has no templates: its query is asked at many points of the window")]
    SlopeTemplate,
    #[error("the tag {0} is set by the operator: remove it")]
    Tag(String),
    #[error(
        "{field} must be a plain selector of counters, as in requests_total{{status=\"ok\"}}, not `{text}` ({cause}): for \
         anything else use query"
    )]
    Selector { field: &'static str, text: String, cause: String },
    #[error(
        "the selector `{0}` does not name one metric: write its name, as in requests_total{{status=\"ok\"}}; for several \
         metrics write a query that names each of them, as in sum(a) + sum(b)"
    )]
    Nameless(String),
}

impl Refusal {
    /// Says whose it is.
    pub(super) fn of(part: &str, name: &str) -> impl FnOnce(Self) -> PlanError {
        move |refusal| PlanError::Part { part: format!("{part} {name}"), refusal }
    }
}
