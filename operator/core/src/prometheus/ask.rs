//! What Prometheus is asked for, one time or several, and its answers, as values: somebody else asks.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    numbers::interval::seconds,
    prometheus::{
        histogram::Histogram,
        series::{Labels, Series},
        wire,
    },
};

/// One series of histograms, in order of time.
pub type HistogramSeries = (Labels, Vec<(f64, Histogram)>);

/// For which time, or times, something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RequestKind {
    Instant { at: Timestamp },
    Range { from: Timestamp, to: Timestamp, step: Duration },
}

impl RequestKind {
    /// In seconds since the epoch.
    pub fn times(self) -> impl Iterator<Item = f64> {
        let (from, to, step) = match self {
            Self::Instant { at } => (at, at, 1.0),
            Self::Range { from, to, step } => (from, to, step.as_secs_f64()),
        };
        let steps = (seconds(to) - seconds(from)) / step;
        (0..=(steps + 1e-6).max(0.0) as u64).map(move |n| (n as f64).mul_add(step, seconds(from)))
    }
}

/// What Prometheus said. It can be written down and read again without loss, NaN and infinities included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Labels, time in seconds since the epoch, value. A scalar is a vector of one without labels.
    #[serde(with = "wire::vector")]
    Vector(Vec<(Labels, f64, f64)>),
    /// Labels, and times with values in order.
    #[serde(with = "wire::matrix")]
    Matrix(Vec<Series>),
    /// Native histograms: one time each for an instant query, and the times in order for a range query.
    Histograms(Vec<HistogramSeries>),
    /// Alerting rules.
    Rules(Vec<AlertRule>),
    /// The query failed, and why: in Prometheus's words, or those of the connection to it.
    Failed(String),
}

/// An alerting rule: for how long its condition must hold, and how often it is looked at, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRule {
    #[serde(with = "wire::number")]
    pub holds_for: f64,
    #[serde(with = "wire::number")]
    pub every: f64,
}

/// Everything answered so far.
#[derive(Clone, Debug, Default)]
pub struct Answers(BTreeMap<usize, Answer>);

impl Answers {
    pub fn add(&mut self, answers: Vec<(usize, Answer)>) {
        self.0.extend(answers);
    }

    /// Takes one answer out.
    pub fn take(&mut self, id: usize) -> Option<Answer> {
        self.0.remove(&id)
    }

    /// The series of an instant query.
    ///
    /// # Errors
    /// Why there are none, in words for the user.
    pub fn vector(&self, id: usize) -> Result<&[(Labels, f64, f64)], String> {
        match self.0.get(&id) {
            Some(Answer::Vector(series)) => Ok(series),
            other => Err(no_answer(other)),
        }
    }

    /// The series of a range query, or raw samples.
    ///
    /// # Errors
    /// Why there are none, in words for the user.
    pub fn matrix(&self, id: usize) -> Result<&[Series], String> {
        match self.0.get(&id) {
            Some(Answer::Matrix(series)) => Ok(series),
            // Without any series Prometheus may call the empty result either way.
            Some(Answer::Vector(series)) if series.is_empty() => Ok(&[]),
            other => Err(no_answer(other)),
        }
    }

    /// The histograms of an instant or a range query.
    ///
    /// # Errors
    /// Why there are none, in words for the user.
    pub fn histograms(&self, id: usize) -> Result<&[HistogramSeries], String> {
        match self.0.get(&id) {
            Some(Answer::Histograms(series)) => Ok(series),
            Some(Answer::Vector(series)) if series.is_empty() => Ok(&[]),
            Some(Answer::Matrix(series)) if series.is_empty() => Ok(&[]),
            other => Err(no_answer(other)),
        }
    }

    /// The alerting rules that were asked for.
    ///
    /// # Errors
    /// Why there is no answer, in words for the user.
    pub fn rules(&self, id: usize) -> Result<&[AlertRule], String> {
        match self.0.get(&id) {
            Some(Answer::Rules(rules)) => Ok(rules),
            other => Err(no_answer(other)),
        }
    }

    /// The sum of an instant query's values; `None` without any series.
    ///
    /// # Errors
    /// Why there is no answer, in words for the user.
    pub fn sum(&self, id: usize) -> Result<Option<f64>, String> {
        let series = self.vector(id)?;
        Ok((!series.is_empty()).then(|| series.iter().map(|(.., value)| value).sum()))
    }
}

fn no_answer(answer: Option<&Answer>) -> String {
    match answer {
        Some(Answer::Failed(why)) => format!("the query failed: {}", short(why)),
        Some(_) => "Prometheus answered with another kind of value than was asked for".to_owned(),
        None => "Prometheus gave no answer".to_owned(),
    }
}

/// What another program says, as one line of bounded length: it goes into the status.
#[must_use]
pub fn short(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(300) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::prometheus::histogram::Bucket;

    fn labels() -> Labels {
        [("expected_response".to_owned(), "true".to_owned())].into()
    }

    #[rstest]
    #[case::vector(Answer::Vector(vec![(labels(), 1.5, 0.1), (Labels::new(), 2.0, f64::INFINITY)]))]
    #[case::matrix(Answer::Matrix(vec![(labels(), vec![(1.0, 0.1), (2.0, f64::NEG_INFINITY)])]))]
    #[case::histograms(Answer::Histograms(vec![(
        labels(),
        vec![(1.0, Histogram { count: 3.0, sum: 0.7, buckets: vec![Bucket { lower: 0.2, upper: 0.25, count: 3.0 }] })],
    )]))]
    #[case::rules(Answer::Rules(vec![AlertRule { holds_for: 30.0, every: 15.0 }]))]
    #[case::failed(Answer::Failed("no".to_owned()))]
    fn an_answer_comes_back_as_it_was_written(#[case] answer: Answer) {
        let written = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&written).unwrap(), answer, "{written}");
    }

    #[test]
    fn so_does_a_number_that_is_none() {
        let written = serde_json::to_string(&Answer::Vector(vec![(Labels::new(), 1.0, f64::NAN)])).unwrap();
        let Answer::Vector(read) = serde_json::from_str(&written).unwrap() else { panic!("{written}") };
        assert!(read[0].2.is_nan());
    }

    #[test]
    fn numbers_are_no_histograms() {
        let mut answers = Answers::default();
        let numbers = Answer::Vector(vec![(Labels::new(), 1.0, 2.0)]);
        answers.add(vec![(0, numbers), (1, Answer::Vector(vec![])), (2, Answer::Histograms(vec![]))]);
        assert!(answers.histograms(0).is_err());
        assert!(answers.histograms(1).unwrap().is_empty() && answers.histograms(2).unwrap().is_empty());
        assert!(answers.histograms(3).is_err() && answers.vector(2).is_err());
    }
}
