//! k6's REST API in a runner pod.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::stream;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Frame},
    header,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use loadtest_core::{
    k6::{ExecutionStatus, RunnerStatus},
    numbers::duration::human,
    objects::pod::K6_API_PORT,
    prometheus::ask::short,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::error::chain;

/// Client of all runners; it keeps their connections warm.
#[derive(Clone)]
pub struct K6Api {
    http: Client<HttpConnector, Body>,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a runner's API did not give us.
#[derive(Debug, thiserror::Error)]
pub enum K6Error {
    #[error("failed to reach k6: {}", chain(.0))]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("k6's answer broke off: {}", chain(&**.0))]
    BrokenOff(Box<dyn std::error::Error + Send + Sync>),
    #[error("k6's answer is larger than {} KiB", .0 >> 10)]
    TooLarge(usize),
    #[error("k6 gave no answer within {}", human(*.0))]
    Silent(Duration),
    #[error("failed to write a request: {0}")]
    Unwritable(#[from] hyper::http::Error),
    #[error("k6 answered {status}: {detail}")]
    Refused { status: u16, detail: String },
    #[error("failed to read k6's answer: {0}")]
    Unreadable(&'static str),
}

const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(3);
/// The runner's image is the user's, so its answers have a bound. They are some hundred bytes.
const MOST_BYTES: usize = 64 << 10;
/// What setup() returns is the user's too, and goes to each runner. The operator has 128 MiB.
const MOST_SETUP_BYTES: usize = 8 << 20;
/// So long a request may wait for its body.
pub const STAGING: Duration = Duration::from_secs(3);
const RESUME: &str = r#"{"data":{"type":"status","id":"default","attributes":{"paused":false}}}"#;

/// Where a request waits before its body.
pub struct Gate {
    /// Dropped when the other side waits for the body, or never will.
    pub staged: mpsc::Sender<()>,
    /// Dropped without having been opened, the request fails.
    pub open: watch::Receiver<bool>,
}

/// A body that is sent when the gate opens.
fn held_back(body: &'static str, mut open: watch::Receiver<bool>, sent: Arc<OnceLock<Timestamp>>) -> Body {
    let whole = async move {
        open.wait_for(|open| *open).await.map_err(io::Error::other)?;
        // The first is the one that counts.
        let _ = sent.set(Timestamp::now());
        Ok(Frame::data(Bytes::from_static(body.as_bytes())))
    };
    StreamBody::new(stream::once(whole)).boxed_unsync()
}

impl K6Api {
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        Self { http: Client::builder(TokioExecutor::new()).build(connector) }
    }

    pub async fn status(&self, ip: &str) -> Result<RunnerStatus, K6Error> {
        read_status(&self.ask(Method::GET, ip, "status", String::new(), ANSWER).await?)
    }

    /// Lets a paused runner go when the gate opens. The head of the request goes out before, and k6 says that it
    /// waits for the body (`100 Continue`), so that it has nothing else to do. Gives the time at which the body
    /// was sent.
    pub async fn resume(&self, ip: &str, gate: Gate) -> (Timestamp, Result<RunnerStatus, K6Error>) {
        let sent = Arc::new(OnceLock::new());
        let result = self.try_resume(ip, gate, sent.clone()).await;
        (sent.get().copied().unwrap_or_else(Timestamp::now), result)
    }

    async fn try_resume(
        &self,
        ip: &str,
        gate: Gate,
        sent: Arc<OnceLock<Timestamp>>,
    ) -> Result<RunnerStatus, K6Error> {
        let staged = Staged::new(gate.staged);
        let mut request = request(Method::PATCH, ip, "status")
            .header(header::EXPECT, "100-continue")
            .header(header::CONTENT_LENGTH, RESUME.len())
            .body(held_back(RESUME, gate.open, sent))?;
        let waiting = staged.clone();
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                waiting.tell();
            }
        });
        let answer = self.answer(request, STAGING + ANSWER).await;
        staged.tell();
        read_status(&answer?)
    }

    /// Ends the load; k6 itself stays. One that has ended already says so too.
    pub async fn stop(&self, ip: &str) -> Result<(), K6Error> {
        let body = json!({"data": {"type": "status", "id": "default", "attributes": {"stopped": true}}});
        self.ask(Method::PATCH, ip, "status", body.to_string(), ANSWER).await.map(drop)
    }

    /// Runs setup(). k6 cancels it when the client goes away, and runs it again for a second request. Gives what it
    /// returned as k6 wrote it, or nothing.
    pub async fn run_setup(&self, ip: &str, limit: Duration) -> Result<Bytes, K6Error> {
        let request = request(Method::POST, ip, "setup").body(whole(Bytes::new()))?;
        let answer = self.read(request, limit, MOST_SETUP_BYTES).await?;
        // Without a setup() the answer has no data at all.
        let data = serde_json::from_slice::<SetupAnswer<'_>>(&answer).ok().and_then(SetupAnswer::data);
        Ok(data.map(|data| answer.slice_ref(data.as_bytes())).unwrap_or_default())
    }

    pub async fn put_setup(&self, ip: &str, data: Bytes) -> Result<(), K6Error> {
        let request = request(Method::PUT, ip, "setup").body(whole(data))?;
        // It answers with the data that it was given.
        self.read(request, ANSWER, MOST_SETUP_BYTES).await.map(drop)
    }

    pub async fn run_teardown(&self, ip: &str, limit: Duration) -> Result<(), K6Error> {
        self.ask(Method::POST, ip, "teardown", String::new(), limit).await.map(drop)
    }

    /// The runner's own count of HTTP requests; none where the script sent no request.
    pub async fn requests(&self, ip: &str) -> Result<i64, K6Error> {
        match self.ask(Method::GET, ip, "metrics/http_reqs", String::new(), ANSWER).await {
            Err(K6Error::Refused { status: 404, .. }) => Ok(0),
            Err(error) => Err(error),
            Ok(body) => body
                .pointer("/data/attributes/sample/count")
                .and_then(Value::as_f64)
                .map(|count| count.round() as i64)
                .ok_or(K6Error::Unreadable("no sample count")),
        }
    }

    async fn ask(
        &self,
        method: Method,
        ip: &str,
        path: &str,
        body: String,
        limit: Duration,
    ) -> Result<Value, K6Error> {
        self.answer(request(method, ip, path).body(whole(Bytes::from(body)))?, limit).await
    }

    async fn answer(&self, request: Request<Body>, limit: Duration) -> Result<Value, K6Error> {
        let answer = self.read(request, limit, MOST_BYTES).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// An answer of success, of so many bytes at most.
    async fn read(&self, request: Request<Body>, limit: Duration, most: usize) -> Result<Bytes, K6Error> {
        let answered = async {
            let response = self.http.request(request).await?;
            let status = response.status();
            let most = if status.is_success() { most } else { MOST_BYTES };
            let body = Limited::new(response.into_body(), most).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    K6Error::TooLarge(most)
                } else {
                    K6Error::BrokenOff(error)
                }
            })?;
            Ok::<_, K6Error>((status, body.to_bytes()))
        };
        let (status, body) = timeout(limit, answered).await.map_err(|_| K6Error::Silent(limit))??;
        if status.is_success() {
            return Ok(body);
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let error = body.pointer("/errors/0").cloned().unwrap_or(Value::Null);
        let part = |name: &str| short(error.get(name).and_then(Value::as_str).unwrap_or_default());
        Err(K6Error::Refused {
            status: status.as_u16(),
            detail: format!("{} {}", part("title"), part("detail")),
        })
    }
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The answer to setup(), as far as we read it: its data stays as it is written.
#[derive(Deserialize)]
struct SetupAnswer<'a> {
    #[serde(borrow)]
    data: Option<SetupData<'a>>,
}

#[derive(Deserialize)]
struct SetupData<'a> {
    #[serde(borrow)]
    attributes: Option<SetupAttributes<'a>>,
}

#[derive(Deserialize)]
struct SetupAttributes<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> SetupAnswer<'a> {
    fn data(self) -> Option<&'a str> {
        self.data?.attributes?.data.map(RawValue::get)
    }
}

/// Says once that a request is staged.
#[derive(Clone)]
struct Staged(Arc<Mutex<Option<mpsc::Sender<()>>>>);

impl Staged {
    fn new(staged: mpsc::Sender<()>) -> Self {
        Self(Arc::new(Mutex::new(Some(staged))))
    }

    fn tell(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn request(method: Method, ip: &str, path: &str) -> hyper::http::request::Builder {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    Request::builder()
        .method(method)
        .uri(format!("http://{host}:{K6_API_PORT}/v1/{path}"))
        .header(header::CONTENT_TYPE, "application/json")
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Reads until what came ends so.
    async fn read_until(stream: &mut TcpStream, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "ended after {read:?}");
        }
        String::from_utf8(read).unwrap()
    }

    #[tokio::test]
    async fn a_start_waits_for_the_gate_with_its_body() {
        let runner = TcpListener::bind(("127.0.0.1", K6_API_PORT)).await.unwrap();
        let (staged, mut all_staged) = mpsc::channel(1);
        let (open, opened) = watch::channel(false);
        let resumed =
            tokio::spawn(
                async move { K6Api::new().resume("127.0.0.1", Gate { staged, open: opened }).await },
            );
        let (mut stream, _) = runner.accept().await.unwrap();

        let head = read_until(&mut stream, "\r\n\r\n").await.to_lowercase();
        assert!(head.starts_with("patch /v1/status "), "{head}");
        assert!(head.contains("expect: 100-continue"), "{head}");
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        assert_eq!(all_staged.recv().await, None, "staged is told by its end");
        let early = stream.try_read(&mut [0]).map_err(|e| e.kind());
        assert_eq!(early, Err(io::ErrorKind::WouldBlock), "nothing of the body comes before the gate opens");

        let opened_at = Timestamp::now();
        open.send_replace(true);
        assert_eq!(read_until(&mut stream, "}}}").await, RESUME);
        let status = r#"{"data":{"attributes":{"status":7,"paused":false,"vus":3}}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{status}", status.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (sent, status) = resumed.await.unwrap();
        assert!(sent >= opened_at, "sent {sent}, opened {opened_at}");
        assert_eq!(status.unwrap().vus, 3);
    }

    /// A runner at this address that answers one request so, and goes on with so many MiB of blanks.
    async fn runner(address: &'static str, begin: String, more: usize) {
        let runner = TcpListener::bind((address, K6_API_PORT)).await.unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = runner.accept().await.unwrap();
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            for _ in 0..more {
                if stream.write_all(&vec![b' '; 1 << 20]).await.is_err() {
                    return;
                }
            }
        });
    }

    const ENDLESS: &str = "HTTP/1.1 200 OK\r\n\r\n";

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_it() {
        runner("127.0.0.2", ENDLESS.to_owned(), 200).await;
        let error = K6Api::new().status("127.0.0.2").await.unwrap_err();
        assert_eq!(error.to_string(), "k6's answer is larger than 64 KiB");
        runner("127.0.0.3", ENDLESS.to_owned(), 200).await;
        let error = K6Api::new().run_setup("127.0.0.3", ANSWER).await.unwrap_err();
        assert!(matches!(error, K6Error::TooLarge(MOST_SETUP_BYTES)), "{error}");
    }

    #[tokio::test]
    async fn what_setup_returned_is_given_as_it_was_written() {
        for (address, data, expected) in [
            (
                "127.0.0.4",
                r#"{"big": 12345678901234567890.10, "a": [ 1 ]}"#,
                r#"{"big": 12345678901234567890.10, "a": [ 1 ]}"#,
            ),
            ("127.0.0.5", "null", ""),
        ] {
            let body =
                format!(r#"{{"data":{{"type":"setupData","id":"default","attributes":{{"data":{data}}}}}}}"#);
            runner(address, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()), 0)
                .await;
            assert_eq!(K6Api::new().run_setup(address, ANSWER).await.unwrap(), expected);
        }
        runner("127.0.0.6", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), 0).await;
        assert_eq!(K6Api::new().run_setup("127.0.0.6", ANSWER).await.unwrap(), "");
    }
}
