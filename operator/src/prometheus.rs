//! Prometheus's HTTP API, as much of it as a verdict needs.
//!
//! Not by a library: the window of a fault has ends in milliseconds, and the ones there are take whole
//! seconds. See <https://prometheus.io/docs/prometheus/latest/querying/api/> for the shapes.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Context as _;
use loadtest_core::ask::{Answer, Request, RequestKind};
use serde::Deserialize;

use crate::config::PrometheusEndpoint;

/// One Prometheus.
#[derive(Clone)]
pub struct Prometheus {
    http: reqwest::Client,
    base: String,
    token_file: Option<PathBuf>,
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
struct Envelope {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

type Labels = BTreeMap<String, String>;
/// Time in seconds, and the value as text, which may be NaN or +Inf.
type Point = (f64, String);

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Single>),
    Matrix(Vec<Series>),
    Scalar(Point),
    String(Point),
}

#[derive(Deserialize)]
struct Single {
    metric: Labels,
    /// Missing for a native histogram, which we never ask for bare.
    value: Option<Point>,
}

#[derive(Deserialize)]
struct Series {
    metric: Labels,
    #[serde(default)]
    values: Vec<Point>,
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
        Ok(Self { http, base, token_file: endpoint.bearer_token_file.clone() })
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
        }
    }

    async fn ask(&self, path: &str, form: &[(&str, String)]) -> Result<Answer, QueryError> {
        let unreachable = |error: reqwest::Error| QueryError::Unreachable(chain(&error));
        let mut request = self.http.post(format!("{}/api/v1/{path}", self.base)).form(form);
        if let Some(file) = &self.token_file {
            // Read each time: it may be rotated.
            let token = std::fs::read_to_string(file).map_err(|e| {
                QueryError::Unreachable(format!("failed to read the token {}: {e}", file.display()))
            })?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.map_err(unreachable)?;
        let code = response.status();
        let text = response.text().await.map_err(unreachable)?;
        let body: Envelope = serde_json::from_str(&text)
            .map_err(|_| QueryError::Unreachable(format!("it answered {code} and not as Prometheus does")))?;
        match body {
            Envelope { data: Some(data), .. } if body.status == "success" => Ok(answer(data)),
            Envelope { error, .. } if code.is_client_error() => {
                Err(QueryError::Refused(error.unwrap_or_default()))
            }
            Envelope { error, .. } => Err(QueryError::Unreachable(error.unwrap_or_else(|| code.to_string()))),
        }
    }
}

fn answer(data: Data) -> Answer {
    match data {
        Data::Vector(all) => Answer::Vector(
            all.into_iter().filter_map(|one| one.value.map(|(at, v)| (one.metric, at, number(&v)))).collect(),
        ),
        Data::Matrix(all) => Answer::Matrix(
            all.into_iter()
                .map(|one| (one.metric, one.values.iter().map(|(at, v)| (*at, number(v))).collect()))
                .collect(),
        ),
        Data::Scalar((at, v)) | Data::String((at, v)) => {
            Answer::Vector(vec![(Labels::new(), at, number(&v))])
        }
    }
}

/// Prometheus writes +Inf, -Inf and NaN, all of which Rust reads.
fn number(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

fn seconds(at: jiff::Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

/// reqwest hides the cause one level down.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
