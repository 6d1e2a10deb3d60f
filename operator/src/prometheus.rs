//! Prometheus's HTTP API, as much of it as a verdict needs.
//!
//! Not by a library: the window of a fault has ends in milliseconds, and the ones there are take whole
//! seconds. See <https://prometheus.io/docs/prometheus/latest/querying/api/> for the shapes.

use std::{fmt, fs, io, marker::PhantomData, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use loadtest_core::{
    k6::question::{Question, Request},
    prometheus::{
        ask::{AlertRule, Answer, RequestKind, short},
        histogram::{Bucket, Histogram},
        room,
        series::Labels,
    },
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use tokio::{sync::SemaphorePermit, time::timeout};

use crate::{apart::apart, error::chain, room::Rooms};

/// A larger answer is refused. The operator has 128 MiB, and reads one large answer at a time.
const MOST_BYTES: usize = 12 << 20;
const LARGE_BYTES: usize = 256 << 10;
/// Of the answers that are usually short, a larger one waits for its turn, and one that is large is refused.
const BRIEF_BYTES: usize = 16 << 10;
/// So long an answer waits for its turn; then it is asked again.
const TURN: Duration = Duration::from_secs(20);
/// A body that has no length grows by so much.
const GROWTH: usize = 1 << 20;

/// One Prometheus.
#[derive(Clone)]
pub struct Prometheus {
    http: reqwest::Client,
    base: String,
    token_file: Option<PathBuf>,
    rooms: Arc<Rooms>,
}

/// What an answer is for, and so how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One figure, asked beside the judgement: it must come soon, and is short.
    Look,
    /// A figure of a run that has room for it. Points of many series are none.
    Figure,
    /// All series of k6, a part of the run at a time.
    Cells,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// As all but the last, asking again may help.
    #[error("failed to reach Prometheus: {}", chain(.0))]
    Unreachable(#[from] reqwest::Error),
    #[error("failed to reach Prometheus: failed to read the token {}: {}", .0.display(), .1)]
    NoToken(PathBuf, io::Error),
    #[error("failed to reach Prometheus: it answered {0} and not as Prometheus does")]
    Foreign(StatusCode),
    /// In its own words.
    #[error("failed to reach Prometheus: {0}")]
    Unwell(String),
    /// It was not this answer's turn to be read: asking again helps.
    #[error("other large answers are still being read")]
    Busy,
    /// Prometheus refused the query: asking again will not help.
    #[error("{0}")]
    Refused(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
}

/// A number as text: Prometheus writes +Inf, -Inf and NaN, all of which Rust reads. Read at once, since there may be
/// a million of them.
#[derive(Clone, Copy)]
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.parse().unwrap_or(f64::NAN)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Time in seconds, and the value.
type Point = (f64, Number);
type HistogramPoint = (f64, NativeHistogram);

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data<const MOST: usize> {
    Vector(Bounded<Single, MOST>),
    Matrix(Bounded<Series, MOST>),
    Scalar(Point),
    String(Point),
}

/// A list of at most so many series, as far as it takes no more memory than one answer may.
enum Bounded<T, const MOST: usize> {
    All(Vec<T>),
    TooMany,
    /// With so many of them.
    TooLarge(usize),
}

/// How much memory it takes.
trait Bytes {
    fn bytes(&self) -> usize;
}

impl Bytes for Single {
    fn bytes(&self) -> usize {
        let buckets = self.histogram.as_ref().map_or(0, |(_, h)| room::bytes_of_buckets(h.buckets.len()));
        room::bytes_of_series(&self.metric, 1) + buckets
    }
}

impl Bytes for Series {
    fn bytes(&self) -> usize {
        let buckets: usize =
            self.histograms.iter().map(|(_, h)| room::bytes_of_buckets(h.buckets.len())).sum();
        room::bytes_of_series(&self.metric, self.values.len()) + buckets
    }
}

impl<'de, T: Deserialize<'de> + Bytes, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Bytes, const MOST: usize> Visitor<'de> for List<T, MOST> {
            type Value = Bounded<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of series")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let (mut all, mut bytes) = (Vec::new(), 0);
                while let Some(one) = list.next_element::<T>()? {
                    bytes += one.bytes();
                    all.push(one);
                    if all.len() <= MOST && bytes <= room::MOST_OF_ONE {
                        continue;
                    }
                    let mut count = all.len();
                    drop(all);
                    while list.next_element::<IgnoredAny>()?.is_some() {
                        count += 1;
                    }
                    return Ok(if count > MOST { Bounded::TooMany } else { Bounded::TooLarge(count) });
                }
                Ok(Bounded::All(all))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// Either has a value or a histogram.
#[derive(Deserialize)]
struct Single {
    metric: Labels,
    value: Option<Point>,
    histogram: Option<HistogramPoint>,
}

/// May have both, at different times.
#[derive(Deserialize)]
struct Series {
    metric: Labels,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<HistogramPoint>,
}

#[derive(Deserialize)]
struct NativeHistogram {
    count: Number,
    sum: Number,
    /// Which of its bounds belong to a bucket, its bounds, and its samples.
    #[serde(default)]
    buckets: Vec<(u8, Number, Number, Number)>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    interval: f64,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
    /// Of an alerting rule: its `for`, in seconds.
    #[serde(default)]
    duration: f64,
}

impl Groups {
    /// The alerting rules of that name: a Prometheus that does not know the filter sends all rules.
    fn of(&self, alert: &str) -> Answer {
        let rules = self.groups.iter().flat_map(|group| {
            let named = group.rules.iter().filter(|rule| rule.name == alert);
            named.map(|rule| AlertRule { holds_for: rule.duration, every: group.interval })
        });
        Answer::Rules(rules.collect())
    }
}

impl Prometheus {
    pub fn new(url: &str, token_file: Option<PathBuf>, rooms: Arc<Rooms>) -> anyhow::Result<Self> {
        // reqwest brings no cryptography of its own: it takes what kube's client has. Whoever comes first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .context("failed to make an HTTP client")?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), token_file, rooms })
    }

    /// Its address.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Answers if Prometheus does.
    pub async fn check(&self) -> Result<(), QueryError> {
        self.query("vector(1)").await.map(drop)
    }

    /// Asks for now.
    pub async fn query(&self, query: &str) -> Result<Answer, QueryError> {
        self.ask::<{ usize::MAX }>("query", &[("query", query.to_owned())], Purpose::Look).await
    }

    pub async fn answer(&self, request: &Request, purpose: Purpose) -> Result<Answer, QueryError> {
        if let Question::AlertRules(alert) = &request.question {
            return self.rules(alert).await;
        }
        let query = ("query", request.question.to_string());
        match request.kind {
            RequestKind::Instant { at } => {
                self.ask::<{ usize::MAX }>("query", &[query, ("time", seconds(at))], purpose).await
            }
            RequestKind::Range { from, to, step } => {
                let (from, to) = (("start", seconds(from)), ("end", seconds(to)));
                let step = ("step", step.as_secs_f64().to_string());
                if purpose == Purpose::Cells {
                    return self
                        .ask::<{ usize::MAX }>("query_range", &[query, from, to, step], purpose)
                        .await;
                }
                // One more than is read tells that there are too many. Before version 3 all of them come.
                let limit = ("limit", (room::MOST_SERIES + 1).to_string());
                let form = [query, from, to, step, limit];
                self.ask::<{ room::MOST_SERIES }>("query_range", &form, purpose).await
            }
        }
    }

    async fn rules(&self, alert: &str) -> Result<Answer, QueryError> {
        let asked = [("type", "alert"), ("rule_name[]", alert)];
        let alert = alert.to_owned();
        let request = self.http.get(format!("{}/api/v1/rules", self.base)).query(&asked);
        self.send(request, Purpose::Figure, move |groups: Groups| groups.of(&alert)).await
    }

    async fn ask<const MOST: usize>(
        &self,
        path: &str,
        form: &[(&str, String)],
        purpose: Purpose,
    ) -> Result<Answer, QueryError> {
        let request = self.http.post(format!("{}/api/v1/{path}", self.base)).form(form);
        self.send(request, purpose, answer::<MOST>).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        mut request: RequestBuilder,
        purpose: Purpose,
        answer: impl FnOnce(T) -> Answer + Send + 'static,
    ) -> Result<Answer, QueryError> {
        if let Some(file) = &self.token_file {
            // Read each time: it may be rotated.
            let token = fs::read_to_string(file).map_err(|error| QueryError::NoToken(file.clone(), error))?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await?;
        let code = response.status();
        // Held until it is parsed.
        let mut turn = None;
        let text = self.read(response, purpose, &mut turn).await?;
        let large = text.len() > LARGE_BYTES;
        let read = move || parse(&text, code, answer);
        if large { apart(read).await } else { read() }
    }

    /// The body, as far as there is room for it.
    async fn read<'a>(
        &'a self,
        mut response: Response,
        purpose: Purpose,
        turn: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<Vec<u8>, QueryError> {
        let (freely, most) = match purpose {
            Purpose::Look => (BRIEF_BYTES, LARGE_BYTES),
            Purpose::Figure | Purpose::Cells => (LARGE_BYTES, MOST_BYTES),
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            let length = body.len() + chunk.len();
            if length > most {
                return Err(QueryError::Refused(format!(
                    "its answer is larger than {} KiB: aggregate the query, as in sum(…), or narrow its selectors",
                    most >> 10
                )));
            }
            if length > freely && turn.is_none() {
                let permit = async {
                    if purpose == Purpose::Look { self.rooms.brief().await } else { self.rooms.large().await }
                };
                let waited = timeout(TURN, permit).await;
                *turn = Some(waited.ok().flatten().ok_or(QueryError::Busy)?);
            }
            if length > LARGE_BYTES && length > body.capacity() {
                body.reserve_exact(GROWTH.max(chunk.len()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn parse<T: DeserializeOwned>(
    text: &[u8],
    code: StatusCode,
    answer: impl FnOnce(T) -> Answer,
) -> Result<Answer, QueryError> {
    let body: Envelope<T> = serde_json::from_slice(text).map_err(|_| QueryError::Foreign(code))?;
    match body {
        Envelope { data: Some(data), .. } if body.status == "success" => Ok(answer(data)),
        Envelope { error, .. } if code.is_client_error() => {
            Err(QueryError::Refused(short(&error.unwrap_or_default())))
        }
        Envelope { error, .. } => {
            Err(QueryError::Unwell(error.map_or_else(|| code.to_string(), |error| short(&error))))
        }
    }
}

fn answer<const MOST: usize>(data: Data<MOST>) -> Answer {
    match data {
        Data::Vector(Bounded::TooMany) | Data::Matrix(Bounded::TooMany) => Answer::Failed(room::too_many()),
        Data::Vector(Bounded::TooLarge(series)) | Data::Matrix(Bounded::TooLarge(series)) => {
            Answer::Failed(room::too_large(series))
        }
        Data::Vector(Bounded::All(all)) => of_vector(all),
        Data::Matrix(Bounded::All(all)) => of_matrix(all),
        Data::Scalar((at, Number(v))) | Data::String((at, Number(v))) => {
            Answer::Vector(vec![(Labels::new(), at, v)])
        }
    }
}

fn of_vector(all: Vec<Single>) -> Answer {
    let (numbers, histograms): (Vec<Single>, Vec<Single>) =
        all.into_iter().partition(|one| one.value.is_some());
    if histograms.is_empty() {
        let value = |(at, Number(v)): Point| (at, v);
        return Answer::Vector(
            numbers
                .into_iter()
                .filter_map(|one| one.value.map(value).map(|(at, value)| (one.metric, at, value)))
                .collect(),
        );
    }
    if !numbers.is_empty() {
        return mixed();
    }
    let points = |one: Single| (one.metric, one.histogram.into_iter().map(histogram).collect());
    Answer::Histograms(histograms.into_iter().map(points).collect())
}

fn of_matrix(all: Vec<Series>) -> Answer {
    if all.iter().all(|one| one.histograms.is_empty()) {
        let points = |one: Series| (one.metric, one.values.iter().map(|(at, Number(v))| (*at, *v)).collect());
        return Answer::Matrix(all.into_iter().map(points).collect());
    }
    if all.iter().all(|one| one.values.is_empty()) {
        let points = |one: Series| (one.metric, one.histograms.into_iter().map(histogram).collect());
        return Answer::Histograms(all.into_iter().map(points).collect());
    }
    mixed()
}

fn mixed() -> Answer {
    Answer::Failed("the answer mixes numbers with histograms".to_owned())
}

fn histogram((at, raw): HistogramPoint) -> (f64, Histogram) {
    let bucket = |(_, lower, upper, count): &(u8, Number, Number, Number)| Bucket {
        lower: lower.0,
        upper: upper.0,
        count: count.0,
    };
    let buckets = raw.buckets.iter().map(bucket).collect();
    (at, Histogram { count: raw.count.0, sum: raw.sum.0, buckets })
}

fn seconds(at: jiff::Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

#[cfg(test)]
mod tests;
