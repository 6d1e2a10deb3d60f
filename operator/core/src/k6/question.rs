//! Questions as values: what is asked of k6's series, and of others, until it is sent or shown. Only then it becomes PromQL
//! ([`crate::k6::promql`]); a record keeps the question itself.
//!
//! k6's counters and native histograms start at zero with each run and carry its id, and k6 writes a sample
//! whenever something happened since its last push. So the last sample up to a time is the exact count up to
//! that time, less what the runner had not pushed yet, and a window's figure is the difference of two such
//! values. `rate()` and `increase()` would lose what happened before a series' first sample, which is the whole
//! of a short outage, and would extrapolate the rest.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    k6::queries::{K6Metrics, K6Series, Split},
    numbers::interval::Interval,
    prometheus::ask::{Answer, RequestKind},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Question {
    /// PromQL over the series of the system under test, as a user wrote it or as it follows from that.
    Promql(String),
    /// The alerting rules of this name.
    AlertRules(String),
    /// About the k6 metrics of a run.
    K6(K6Metrics, About),
}

/// What is asked about k6's metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// The value since the start of the run, summed over the runners.
    Cumulative { of: K6Series, by: Split },
    /// What was added in the stretches, together.
    Increase { of: K6Series, by: Split, stretches: Vec<Interval> },
    /// The 95th percentile of what was added in the time before.
    GainedP95 { of: K6Series, within: Duration },
    /// The last value of each series, up to a time.
    LastValues { of: K6Series, at: Option<Timestamp> },
    /// When the newest sample within a stretch was written, in seconds since 1970, found by looking at each step.
    Newest { of: K6Series, stretch: Interval, step: Duration },
    /// How many virtual users there are.
    VirtualUsers { by: Split },
    /// How many request names the run has had, and, labelled, how many series.
    RequestNames,
    /// How many runners have pushed in the time before.
    RunnersHeard { within: Duration },
    /// How old the last push is of the runner whose last push is the oldest, in seconds. k6 sends its number of virtual
    /// users with every push. A runner that sends nothing any more was through, and is not late.
    PushAge,
    /// How late the runners' last pushes are, in seconds, as if all runners of a scenario were equally late: of those
    /// whose last push is older than `in_time`, the ages together, divided by the number of runners. Of the worst
    /// scenario.
    PushesLate { scenario: Option<String>, in_time: Duration },
}

impl From<String> for Question {
    fn from(promql: String) -> Self {
        Self::Promql(promql)
    }
}

impl K6Metrics {
    #[must_use]
    pub fn about(&self, about: About) -> Question {
        Question::K6(self.clone(), about)
    }

    #[must_use]
    pub fn cumulative(&self, of: K6Series, by: Split) -> Question {
        self.about(About::Cumulative { of, by })
    }

    #[must_use]
    pub fn increase(&self, of: K6Series, by: Split, stretches: &[Interval]) -> Question {
        self.about(About::Increase { of, by, stretches: stretches.to_vec() })
    }
}

/// A question to be asked, of a time or of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub id: usize,
    pub question: Question,
    pub kind: RequestKind,
}

/// A question with what was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub question: Question,
    pub kind: RequestKind,
    pub answer: Answer,
}

/// Collects requests; the same question is asked once.
#[derive(Debug, Default)]
pub struct Asks {
    requests: Vec<Request>,
    first: usize,
}

impl Asks {
    /// Numbers requests from `first` on.
    #[must_use]
    pub fn from(first: usize) -> Self {
        Self { requests: Vec::new(), first }
    }

    pub fn ask(&mut self, question: impl Into<Question>, kind: RequestKind) -> usize {
        let question = question.into();
        if let Some(same) = self.requests.iter().find(|r| r.kind == kind && r.question == question) {
            return same.id;
        }
        let id = self.next_id();
        self.requests.push(Request { id, question, kind });
        id
    }

    #[must_use]
    pub fn next_id(&self) -> usize {
        self.first + self.requests.len()
    }

    #[must_use]
    pub fn into_requests(self) -> Vec<Request> {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::k6::queries::{HTTP_REQS, K6Samples, Metric};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    /// A record finds the answer by the question.
    #[rstest]
    #[case::promql(Question::Promql("up".to_owned()))]
    #[case::rules(Question::AlertRules("DbmanDown".to_owned()))]
    #[case::increase(K6Metrics::new("4f1c", 90).increase(
        K6Samples { tags: [("a".to_owned(), "b".to_owned())].into(), scenario: Some("chat".to_owned()) }
            .of(Metric::Trend("took".into()))
            .answered(),
        Split::Outcome,
        &[Interval { from: at(250), to: at(1250) }],
    ))]
    #[case::newest(K6Metrics::new("4f1c", 90).about(About::Newest {
        of: K6Series::all(HTTP_REQS),
        stretch: Interval { from: at(0), to: at(1) },
        step: Duration::from_millis(1500),
    }))]
    #[case::names(K6Metrics::new("4f1c", 90).about(About::RequestNames))]
    fn a_question_comes_back_as_it_was_written(#[case] question: Question) {
        let range = RequestKind::Range { from: at(1), to: at(3), step: Duration::from_millis(1500) };
        for kind in [RequestKind::Instant { at: at(250) }, range] {
            let asked = Asked { question: question.clone(), kind, answer: Answer::Vector(Vec::new()) };
            let written = serde_json::to_string(&asked).unwrap();
            assert_eq!(serde_json::from_str::<Asked>(&written).unwrap(), asked, "{written}");
        }
    }
}
