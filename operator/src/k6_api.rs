//! k6's REST API in a runner pod.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use loadtest_core::{
    build::K6_API_PORT,
    k6::{ExecutionStatus, RunnerStatus},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// Client of all runners; it keeps their connections warm.
#[derive(Clone)]
pub struct K6Api {
    http: reqwest::Client,
}

/// What a runner's API did not give us.
#[derive(Debug, thiserror::Error)]
pub enum K6Error {
    #[error("failed to reach k6: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("k6 answered {status}: {detail}")]
    Refused { status: u16, detail: String },
    #[error("failed to read k6's answer: {0}")]
    Unreadable(&'static str),
}

const ANSWER: Duration = Duration::from_secs(3);
/// So long a request may wait for its last byte.
pub const STAGING: Duration = Duration::from_secs(3);
const RESUME: &str = r#"{"data":{"type":"status","id":"default","attributes":{"paused":false}}}"#;

/// Where a request waits for its last byte.
pub struct Gate {
    /// Dropped when all else of the request is on its way, or will never be.
    pub staged: mpsc::Sender<()>,
    /// Dropped without having been opened, the request fails.
    pub open: watch::Receiver<bool>,
}

/// A body of two parts, the second of them one byte, when the gate opens.
fn held_back(
    body: &'static str,
    gate: Gate,
    sent: Arc<OnceLock<Timestamp>>,
) -> impl futures::Stream<Item = io::Result<&'static str>> {
    let (most, last) = body.split_at(body.len() - 1);
    let last = async move {
        let Gate { staged, mut open } = gate;
        drop(staged);
        open.wait_for(|open| *open).await.map_err(io::Error::other)?;
        // The first is the one that counts.
        let _ = sent.set(Timestamp::now());
        Ok(last)
    };
    stream::once(async move { Ok(most) }).chain(stream::once(last))
}

impl K6Api {
    pub fn new(http: reqwest::Client) -> Self {
        Self { http }
    }

    pub async fn status(&self, ip: &str) -> Result<RunnerStatus, K6Error> {
        let body = answer(self.http.get(url(ip, "status")).timeout(ANSWER)).await?;
        read_status(&body)
    }

    /// Lets a paused runner go when the gate opens. All but the last byte of the request is sent before, so
    /// that k6 waits for nothing but that byte. Gives the time at which it was sent.
    pub async fn resume(&self, ip: &str, gate: Gate) -> (Timestamp, Result<RunnerStatus, K6Error>) {
        let sent = Arc::new(OnceLock::new());
        let request = self
            .http
            .patch(url(ip, "status"))
            .timeout(STAGING + ANSWER)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(reqwest::Body::wrap_stream(held_back(RESUME, gate, sent.clone())));
        let result = answer(request).await.and_then(|body| read_status(&body));
        (sent.get().copied().unwrap_or_else(Timestamp::now), result)
    }

    /// Ends the load; k6 itself stays. One that has ended already says so too.
    pub async fn stop(&self, ip: &str) -> Result<(), K6Error> {
        let body = json!({"data": {"type": "status", "id": "default", "attributes": {"stopped": true}}});
        answer(self.http.patch(url(ip, "status")).timeout(ANSWER).json(&body)).await.map(drop)
    }

    /// Runs setup(). k6 cancels it when the client goes away, and runs it again for a second request.
    pub async fn run_setup(&self, ip: &str, limit: Duration) -> Result<Option<Value>, K6Error> {
        let body = answer(self.http.post(url(ip, "setup")).timeout(limit)).await?;
        // Without a setup() the answer has no data at all.
        Ok(body.pointer("/data/attributes/data").filter(|d| !d.is_null()).cloned())
    }

    pub async fn put_setup(&self, ip: &str, data: Option<&Value>) -> Result<(), K6Error> {
        let body = data.map(ToString::to_string).unwrap_or_default();
        answer(self.http.put(url(ip, "setup")).timeout(ANSWER).body(body)).await.map(drop)
    }

    pub async fn run_teardown(&self, ip: &str, limit: Duration) -> Result<(), K6Error> {
        answer(self.http.post(url(ip, "teardown")).timeout(limit)).await.map(drop)
    }

    /// The runner's own count of HTTP requests; none where the script sent no request.
    pub async fn requests(&self, ip: &str) -> Result<i64, K6Error> {
        match answer(self.http.get(url(ip, "metrics/http_reqs")).timeout(ANSWER)).await {
            Err(K6Error::Refused { status: 404, .. }) => Ok(0),
            Err(error) => Err(error),
            Ok(body) => body
                .pointer("/data/attributes/sample/count")
                .and_then(Value::as_f64)
                .map(|count| count.round() as i64)
                .ok_or(K6Error::Unreadable("no sample count")),
        }
    }
}

fn url(ip: &str, path: &str) -> String {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    format!("http://{host}:{K6_API_PORT}/v1/{path}")
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, K6Error> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(body);
    }
    let error = body.pointer("/errors/0").cloned().unwrap_or(Value::Null);
    let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(K6Error::Refused { status: status.as_u16(), detail: format!("{} {}", part("title"), part("detail")) })
}

fn read_status(body: &Value) -> Result<RunnerStatus, K6Error> {
    let attributes = body.pointer("/data/attributes").ok_or(K6Error::Unreadable("no attributes"))?;
    let status = attributes.get("status").and_then(Value::as_u64).ok_or(K6Error::Unreadable("no status"))?;
    Ok(RunnerStatus {
        status: ExecutionStatus(u32::try_from(status).unwrap_or(u32::MAX)),
        paused: attributes.get("paused").and_then(Value::as_bool).unwrap_or(false),
        vus: attributes.get("vus").and_then(Value::as_i64).unwrap_or(0),
    })
}
