//! Prometheus's HTTP API, as much of it as a verdict needs.
//!
//! Not by a library: the window of a fault has ends in milliseconds, and the ones there are take whole
//! seconds. See <https://prometheus.io/docs/prometheus/latest/querying/api/> for the shapes.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use loadtest_core::{
    ask::{AlertRule, Answer, Labels, Request, RequestKind},
    histogram::{Bucket, Histogram},
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{
    apart::apart,
    config::PrometheusEndpoint,
    error::{chain, short},
};

/// A larger answer is refused. The operator has 128 MiB; the largest that it asks for itself, the histograms of a
/// part of a run second by second, has 12 MiB at most.
const MOST_BYTES: usize = 16 << 20;
/// A larger answer waits for others of its kind: of these, no more are read at once.
const LARGE_BYTES: usize = 1 << 20;
const MOST_LARGE: usize = 2;
/// So long it waits; then it is asked again.
const ROOM: Duration = Duration::from_secs(20);

/// One Prometheus.
#[derive(Clone)]
pub struct Prometheus {
    http: reqwest::Client,
    base: String,
    token_file: Option<PathBuf>,
    large: Arc<Semaphore>,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Prometheus could not be asked: asking again may help.
    #[error("failed to reach Prometheus: {0}")]
    Unreachable(String),
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
enum Data {
    Vector(Vec<Single>),
    Matrix(Vec<Series>),
    Scalar(Point),
    String(Point),
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
    pub fn new(endpoint: &PrometheusEndpoint) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .context("failed to make an HTTP client")?;
        let base = endpoint.query_url.trim_end_matches('/').to_owned();
        let token_file = endpoint.bearer_token_file.clone();
        Ok(Self { http, base, token_file, large: Arc::new(Semaphore::new(MOST_LARGE)) })
    }

    /// Answers if Prometheus does.
    pub async fn check(&self) -> Result<(), QueryError> {
        self.query("vector(1)").await.map(drop)
    }

    /// Asks for now.
    pub async fn query(&self, query: &str) -> Result<Answer, QueryError> {
        self.ask("query", &[("query", query.to_owned())]).await
    }

    pub async fn answer(&self, request: &Request) -> Result<Answer, QueryError> {
        let query = ("query", request.query.clone());
        match &request.kind {
            RequestKind::Instant { at } => self.ask("query", &[query, ("time", seconds(*at))]).await,
            RequestKind::Range { from, to, step } => {
                let range = [
                    query,
                    ("start", seconds(*from)),
                    ("end", seconds(*to)),
                    ("step", step.as_secs_f64().to_string()),
                ];
                self.ask("query_range", &range).await
            }
            RequestKind::AlertRules => self.rules(&request.query).await,
        }
    }

    async fn rules(&self, alert: &str) -> Result<Answer, QueryError> {
        let asked = [("type", "alert"), ("rule_name[]", alert)];
        let alert = alert.to_owned();
        let request = self.http.get(format!("{}/api/v1/rules", self.base)).query(&asked);
        self.send(request, move |groups: Groups| groups.of(&alert)).await
    }

    async fn ask(&self, path: &str, form: &[(&str, String)]) -> Result<Answer, QueryError> {
        self.send(self.http.post(format!("{}/api/v1/{path}", self.base)).form(form), answer).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        mut request: RequestBuilder,
        answer: impl FnOnce(T) -> Answer + Send + 'static,
    ) -> Result<Answer, QueryError> {
        let unreachable = |error: reqwest::Error| QueryError::Unreachable(chain(&error));
        if let Some(file) = &self.token_file {
            // Read each time: it may be rotated.
            let token = std::fs::read_to_string(file).map_err(|e| {
                QueryError::Unreachable(format!("failed to read the token {}: {e}", file.display()))
            })?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.map_err(unreachable)?;
        let code = response.status();
        // Held until it is parsed.
        let mut room = None;
        let text = self.read(response, &mut room).await?;
        let read = move || parse(&text, code, answer);
        if room.is_some() { apart(read).await } else { read() }
    }

    /// The body, as far as there is room for it.
    async fn read<'a>(
        &'a self,
        mut response: Response,
        room: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<Vec<u8>, QueryError> {
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| QueryError::Unreachable(chain(&error)))?
        {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(QueryError::Refused(format!(
                    "its answer is larger than {} MiB: aggregate the query, as in sum(…)",
                    MOST_BYTES >> 20
                )));
            }
            if room.is_none() && body.len() + chunk.len() > LARGE_BYTES {
                let waited = timeout(ROOM, self.large.acquire()).await;
                let permit = waited.ok().and_then(Result::ok);
                let busy = || QueryError::Unreachable("other large answers are still being read".to_owned());
                *room = Some(permit.ok_or_else(busy)?);
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
    let body: Envelope<T> = serde_json::from_slice(text)
        .map_err(|_| QueryError::Unreachable(format!("it answered {code} and not as Prometheus does")))?;
    match body {
        Envelope { data: Some(data), .. } if body.status == "success" => Ok(answer(data)),
        Envelope { error, .. } if code.is_client_error() => {
            Err(QueryError::Refused(short(&error.unwrap_or_default())))
        }
        Envelope { error, .. } => {
            Err(QueryError::Unreachable(error.map_or_else(|| code.to_string(), |error| short(&error))))
        }
    }
}

fn answer(data: Data) -> Answer {
    match data {
        Data::Vector(all) => {
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
        Data::Matrix(all) if all.iter().all(|one| one.histograms.is_empty()) => Answer::Matrix(
            all.into_iter()
                .map(|one| (one.metric, one.values.iter().map(|(at, Number(v))| (*at, *v)).collect()))
                .collect(),
        ),
        Data::Matrix(all) if all.iter().all(|one| one.values.is_empty()) => {
            let points = |one: Series| (one.metric, one.histograms.into_iter().map(histogram).collect());
            Answer::Histograms(all.into_iter().map(points).collect())
        }
        Data::Matrix(_) => mixed(),
        Data::Scalar((at, Number(v))) | Data::String((at, Number(v))) => {
            Answer::Vector(vec![(Labels::new(), at, v)])
        }
    }
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
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn read(data: &str) -> Answer {
        answer(serde_json::from_str(data).unwrap())
    }

    #[test]
    fn histograms_of_an_instant_and_of_a_range() {
        let one = r#"[12.5, {"count": "3", "sum": "0.7", "buckets": [
            [0, "0.21022410381342865", "0.2292516654553594", "1"], [0, "0.25", "0.2726269331663144", "2"]]}]"#;
        let expected = Histogram {
            count: 3.0,
            sum: 0.7,
            buckets: vec![
                Bucket { lower: 0.210_224_103_813_428_65, upper: 0.229_251_665_455_359_4, count: 1.0 },
                Bucket { lower: 0.25, upper: 0.272_626_933_166_314_4, count: 2.0 },
            ],
        };
        let labels: Labels = [("runner".to_owned(), "a".to_owned())].into();
        let expected = Answer::Histograms(vec![(labels, vec![(12.5, expected)])]);
        let instant = format!(
            r#"{{"resultType": "vector", "result": [{{"metric": {{"runner": "a"}}, "histogram": {one}}}]}}"#
        );
        let range = format!(
            r#"{{"resultType": "matrix", "result": [{{"metric": {{"runner": "a"}}, "histograms": [{one}]}}]}}"#
        );
        assert_eq!(read(&instant), expected);
        assert_eq!(read(&range), expected);
    }

    /// A server that writes so many MiB, or as much of it as is read.
    async fn serve(mebibytes: usize) -> Prometheus {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await.unwrap();
            // Without a length: it ends with the connection.
            let begin = "HTTP/1.1 200 OK\r\n\r\n{\"status\": \"success\", \"data\": {\"resultType\": \"vector\", \"result\": [";
            stream.write_all(begin.as_bytes()).await.unwrap();
            let spaces = vec![b' '; 1 << 20];
            for _ in 0..mebibytes {
                if stream.write_all(&spaces).await.is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"]}}").await;
        });
        let endpoint = serde_json::json!({"queryURL": format!("http://{address}"), "remoteWriteURL": ""});
        Prometheus::new(&serde_json::from_value(endpoint).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_refused_with_advice() {
        let error = serve(200).await.query("{__name__=~\".+\"}").await.unwrap_err();
        let QueryError::Refused(why) = error else { panic!("{error}") };
        assert!(why.contains("larger than 16 MiB: aggregate the query"), "{why}");
    }

    #[tokio::test]
    async fn a_large_answer_is_read() {
        assert_eq!(serve(3).await.query("up").await.unwrap(), Answer::Vector(Vec::new()));
    }

    #[test]
    fn an_empty_histogram_has_no_buckets() {
        let data = r#"{"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {"count": "0", "sum": "0"}]}]}"#;
        let expected = Answer::Histograms(vec![(Labels::new(), vec![(1.0, Histogram::default())])]);
        assert_eq!(read(data), expected);
    }

    #[test]
    fn alerting_rules() {
        let data = r#"{"groups": [{"name": "chat", "file": "f", "interval": 15, "rules": [
            {"name": "DbmanDown", "type": "alerting", "duration": 30, "query": "up == 0", "alerts": []},
            {"name": "Other", "type": "alerting", "duration": 60, "query": "up == 0", "alerts": []}]}]}"#;
        let groups: Groups = serde_json::from_str(data).unwrap();
        let rule = AlertRule { holds_for: 30.0, every: 15.0 };
        assert_eq!(groups.of("DbmanDown"), Answer::Rules(vec![rule]));
        assert_eq!(groups.of("DbmanUp"), Answer::Rules(vec![]));
    }

    #[test]
    fn numbers_may_be_none_and_never_stand_beside_histograms() {
        let data = r#"{"resultType": "vector", "result": [{"metric": {}, "value": [1, "+Inf"]}]}"#;
        assert_eq!(read(data), Answer::Vector(vec![(Labels::new(), 1.0, f64::INFINITY)]));
        let mixed = r#"{"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"]],
            "histograms": [[2, {"count": "0", "sum": "0"}]]}]}"#;
        assert!(matches!(read(mixed), Answer::Failed(_)));
    }
}
