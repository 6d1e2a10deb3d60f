//! Questions to Prometheus and its answers, as values: the pure core says what to ask, and somebody else asks.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::series::Point;

pub type Labels = BTreeMap<String, String>;

/// One series with its points, in order of time.
pub type Series = (Labels, Vec<Point>);

/// One query to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub id: usize,
    pub query: String,
    pub kind: RequestKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Instant { at: Timestamp },
    Range { from: Timestamp, to: Timestamp, step: Duration },
}

/// What Prometheus said. Histograms never come back as such: every template turns them into numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Labels, time in seconds since the epoch, value. A scalar is a vector of one without labels.
    Vector(Vec<(Labels, f64, f64)>),
    /// Labels, and times with values in order.
    Matrix(Vec<Series>),
    /// The query failed, and why: in Prometheus's words, or those of the connection to it.
    Failed(String),
}

/// Collects requests; the same question is asked once.
#[derive(Debug, Default)]
pub struct Asks {
    requests: Vec<Request>,
    first: usize,
}

/// Everything answered so far.
#[derive(Clone, Debug, Default)]
pub struct Answers(BTreeMap<usize, Answer>);

impl Asks {
    /// Numbers requests from `first` on.
    #[must_use]
    pub fn from(first: usize) -> Self {
        Self { requests: Vec::new(), first }
    }

    pub fn ask(&mut self, query: String, kind: RequestKind) -> usize {
        if let Some(same) = self.requests.iter().find(|r| r.query == query && r.kind == kind) {
            return same.id;
        }
        let id = self.next_id();
        self.requests.push(Request { id, query, kind });
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

impl Answers {
    pub fn add(&mut self, answers: Vec<(usize, Answer)>) {
        self.0.extend(answers);
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

fn short(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(300) {
        line.truncate(cut);
        line.push('…');
    }
    line
}
