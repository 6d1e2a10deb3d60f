//! Calls of dbman that outlive the death of one of its instances.
//!
//! dbman stands behind one address, and a connection to it stays with the instance it was opened to. So a call may
//! meet a refused connection (the instance is gone and the Service does not know yet), a reset one, silence, or a
//! 5xx answer. Each try is short, and a failed one is repeated after a pause; since dbman takes every call any
//! number of times with the effect of one, it does not matter whether the failed try got through.
//!
//! A connection that went silent or was cut has siblings in the pool that lead to the same dead instance. They are
//! all discarded with it, so that the next try opens a new connection and meets a living one. And as a busy connection
//! is never idle, all are given up at a certain age: else the replacement of a dead instance would stay without work.

use std::sync::{PoisonError, RwLock};

use axum::http::StatusCode;
use backon::{ExponentialBuilder, Retryable};
use reqwest::{Client, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::metrics::ChatMetrics;
use crate::config::DbmanClientConfig;
use crate::http::{self, error::ApiError};
use crate::wire::{ListQuery, Messages, NewMessage, Room, SearchQuery, Stored, User};

pub struct DbmanClient {
    config: DbmanClientConfig,
    metrics: ChatMetrics,
    current: RwLock<Generation>,
}

/// A client with a pool of its own. Of many callers that want a new one at once, the first gets it made.
#[derive(Clone)]
struct Generation {
    number: u64,
    client: Client,
    since: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// dbman understood and declined. Repeating would not help.
    #[error("dbman declined with {status}: {body}")]
    Declined { status: StatusCode, body: String },
    #[error("failed to connect to dbman")]
    Connect,
    #[error("dbman did not answer in time")]
    Timeout,
    #[error("the connection to dbman was lost")]
    Lost,
    #[error("dbman answered {0}")]
    Status(StatusCode),
    #[error("dbman's answer makes no sense: {0}")]
    Answer(String),
}

impl CallError {
    /// The labels that it can take are listed in [`super::metrics`].
    fn reason(&self) -> &'static str {
        match self {
            Self::Declined { .. } => "declined",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Status(_) => "status",
            Self::Answer(_) => "answer",
        }
    }

    fn is_worth_a_retry(&self) -> bool {
        !matches!(self, Self::Declined { .. } | Self::Answer(_))
    }

    /// True when the instance at the other end may be gone.
    fn casts_doubt_on_the_pool(&self) -> bool {
        matches!(self, Self::Timeout | Self::Lost)
    }
}

impl DbmanClient {
    pub fn new(config: DbmanClientConfig, metrics: ChatMetrics) -> anyhow::Result<Self> {
        let current = RwLock::new(Generation { number: 0, client: build(&config)?, since: Instant::now() });
        Ok(Self { config, metrics, current })
    }

    pub async fn create_user(&self, user: &User) -> Result<(), CallError> {
        self.call_empty("create_user", "/v1/users", user).await
    }

    pub async fn user(&self, name: &str) -> Result<User, CallError> {
        // Names have no characters that a path would take for its own: see `check_name`.
        self.call("user", Method::GET, &format!("/v1/users/{name}"), &()).await
    }

    pub async fn create_room(&self, room: &Room) -> Result<(), CallError> {
        self.call_empty("create_room", "/v1/rooms", room).await
    }

    pub async fn create_message(&self, room: Uuid, new: &NewMessage) -> Result<Stored, CallError> {
        self.call("create_message", Method::POST, &format!("/v1/rooms/{room}/messages"), new).await
    }

    pub async fn list(&self, room: Uuid, query: &ListQuery) -> Result<Messages, CallError> {
        self.call("list", Method::POST, &format!("/v1/rooms/{room}/messages/list"), query).await
    }

    pub async fn search(&self, room: Uuid, query: &SearchQuery) -> Result<Messages, CallError> {
        self.call("search", Method::POST, &format!("/v1/rooms/{room}/messages/search"), query).await
    }

    /// One try, for the check of readiness.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.attempt("ping", Method::GET, "/readyz", Vec::new()).await.map(|_| ())
    }

    async fn call_empty(
        &self,
        operation: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), CallError> {
        self.with_retries(operation, Method::POST, path, body).await.map(|_| ())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let answer = self.with_retries(operation, method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| CallError::Answer(error.to_string()))
    }

    async fn with_retries(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Vec<u8>, CallError> {
        let started = Instant::now();
        let body = serde_json::to_vec(body).map_err(|error| CallError::Answer(error.to_string()))?;
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.config.dbman_backoff)
            .with_max_delay(self.config.dbman_backoff_max)
            .with_max_times(self.config.dbman_retries)
            .with_jitter();
        let tries = (|| self.attempt(operation, method.clone(), path, body.clone()))
            .retry(backoff)
            .when(CallError::is_worth_a_retry);
        let result = match tokio::time::timeout(self.config.dbman_deadline, tries).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout),
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(CallError::Declined { .. }) => "declined",
            Err(_) => "failed",
        };
        self.metrics.called_dbman(operation, outcome, started.elapsed());
        result
    }

    async fn attempt(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let generation = self.generation();
        let result = send(&generation.client, method, format!("{}{path}", self.config.dbman_url), body).await;
        if let Err(error) = &result
            && !matches!(error, CallError::Declined { .. })
        {
            self.metrics.try_failed(operation, error.reason());
            tracing::debug!(event = "dbman_try_failed", operation, reason = error.reason(), %error);
            if error.casts_doubt_on_the_pool() {
                self.discard(generation.number);
            }
        }
        result
    }

    /// The client to use, which is not older than connections may become.
    fn generation(&self) -> Generation {
        let current = || self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let generation = current();
        if generation.since.elapsed() < self.config.dbman_connection_lifetime {
            return generation;
        }
        self.discard(generation.number);
        current()
    }

    /// Puts a client without connections in the place of the given one, unless that has happened already. Requests
    /// under way keep their connections until they are done.
    fn discard(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number != number {
            return;
        }
        match build(&self.config) {
            Ok(client) => *current = Generation { number: number + 1, client, since: Instant::now() },
            Err(error) => tracing::error!(%error, "failed to renew the client of dbman"),
        }
    }
}

fn build(config: &DbmanClientConfig) -> reqwest::Result<Client> {
    http::client()
        .connect_timeout(config.dbman_connect_timeout)
        .timeout(config.dbman_timeout)
        .tcp_user_timeout(config.dbman_tcp_user_timeout)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(config.dbman_max_idle)
        .build()
}

async fn send(client: &Client, method: Method, url: String, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let request = client.request(method, url).header("content-type", "application/json").body(body);
    let response = request.send().await.map_err(classify)?;
    let status = response.status();
    let body = response.bytes().await.map_err(classify)?;
    if status.is_success() {
        Ok(body.into())
    } else if status.is_server_error() {
        Err(CallError::Status(status))
    } else {
        Err(CallError::Declined { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

fn classify(error: reqwest::Error) -> CallError {
    // The time-out of a connection is both; what it says about the pool is what a failed connection says.
    if error.is_connect() {
        CallError::Connect
    } else if error.is_timeout() {
        CallError::Timeout
    } else {
        CallError::Lost
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Declined { status, body } => {
                let says = serde_json::from_str::<serde_json::Value>(&body).ok();
                let message = says.as_ref().and_then(|says| says["error"].as_str()).unwrap_or(&body);
                Self::new(status, message)
            }
            CallError::Answer(_) => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use wiremock::matchers::{body_partial_json, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn client(url: &str, retries: usize) -> DbmanClient {
        let ms = Duration::from_millis;
        let config = DbmanClientConfig {
            dbman_url: url.to_owned(),
            dbman_connect_timeout: ms(250),
            dbman_timeout: ms(200),
            dbman_tcp_user_timeout: ms(200),
            dbman_retries: retries,
            dbman_backoff: ms(1),
            dbman_backoff_max: ms(2),
            dbman_deadline: Duration::from_secs(5),
            dbman_max_idle: 8,
            dbman_connection_lifetime: Duration::from_secs(60),
        };
        DbmanClient::new(config, ChatMetrics::register(&mut Registry::default())).unwrap()
    }

    fn new_message() -> NewMessage {
        NewMessage { sender: "ann".into(), body: "hi".into(), idempotency_key: "key-1".into() }
    }

    fn stored() -> serde_json::Value {
        serde_json::json!({
            "message": {"id": 1, "room": Uuid::nil(), "sender": "ann", "body": "hi", "created_at_ms": 1},
            "created": true,
        })
    }

    #[tokio::test]
    async fn repeats_a_5xx_under_the_same_key() {
        let dbman = MockServer::start().await;
        let key = body_partial_json(serde_json::json!({"idempotency_key": "key-1"}));
        let unavailable = Mock::given(method("POST")).respond_with(ResponseTemplate::new(503));
        unavailable.up_to_n_times(2).expect(2).mount(&dbman).await;
        let answer = ResponseTemplate::new(200).set_body_json(stored());
        Mock::given(key).respond_with(answer).expect(1).mount(&dbman).await;

        let stored = client(&dbman.uri(), 2).create_message(Uuid::nil(), &new_message()).await.unwrap();
        assert!(stored.created);
    }

    #[tokio::test]
    async fn gives_up_after_its_retries_and_at_once_without_any() {
        for (retries, tries) in [(0, 1), (3, 4)] {
            let dbman = MockServer::start().await;
            let unavailable = Mock::given(method("POST")).respond_with(ResponseTemplate::new(500));
            unavailable.expect(tries).mount(&dbman).await;
            let error =
                client(&dbman.uri(), retries).create_message(Uuid::nil(), &new_message()).await.unwrap_err();
            assert!(matches!(error, CallError::Status(status) if status == 500), "{error}");
            assert_eq!(ApiError::from(error).status, StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[tokio::test]
    async fn does_not_repeat_what_dbman_declines() {
        let dbman = MockServer::start().await;
        let declined = ResponseTemplate::new(404).set_body_json(serde_json::json!({"error": "not found"}));
        Mock::given(path("/v1/users/ann")).respond_with(declined).expect(1).mount(&dbman).await;
        let error = ApiError::from(client(&dbman.uri(), 5).user("ann").await.unwrap_err());
        assert_eq!((error.status, error.message.as_str()), (StatusCode::NOT_FOUND, "not found"));
    }

    #[tokio::test]
    async fn says_that_nobody_listens() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = client(&format!("http://{free}"), 1).user("ann").await.unwrap_err();
        assert!(matches!(error, CallError::Connect), "{error}");
    }

    /// Reads one request to its end: its body is short and comes with its head.
    async fn read_request(stream: &mut TcpStream) {
        let mut seen = Vec::new();
        while !seen.windows(2).any(|pair| pair == b"}}" || pair == b"\"}") {
            let mut part = [0; 1024];
            let length = stream.read(&mut part).await.unwrap();
            assert_ne!(length, 0, "the client closed early");
            seen.extend_from_slice(&part[..length]);
        }
    }

    async fn answer(stream: &mut TcpStream) {
        let body = stored().to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    }

    /// One address with a dying instance behind it: its connection serves one request and then goes silent, or is
    /// cut. A new connection meets a living one.
    async fn failover(cut: bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&format!("http://{}", listener.local_addr().unwrap()), 1);
        let service = tokio::spawn(async move {
            let (mut dying, _) = listener.accept().await.unwrap();
            read_request(&mut dying).await;
            answer(&mut dying).await;
            read_request(&mut dying).await;
            let kept_open = if cut { None } else { Some(dying) };
            let (mut living, _) = listener.accept().await.unwrap();
            read_request(&mut living).await;
            answer(&mut living).await;
            drop(kept_open);
        });
        client.create_message(Uuid::nil(), &new_message()).await.unwrap();
        client.create_message(Uuid::nil(), &new_message()).await.unwrap();
        assert_eq!(client.current.read().unwrap().number, 1, "the pool was not discarded");
        service.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_goes_silent_is_left_for_a_new_one() {
        failover(false).await;
    }

    #[tokio::test]
    async fn a_connection_that_is_cut_is_left_for_a_new_one() {
        failover(true).await;
    }

    #[tokio::test]
    async fn connections_are_given_up_at_their_age() {
        let mut client = client("http://127.0.0.1:1", 0);
        assert_eq!(client.generation().number, 0);
        client.config.dbman_connection_lifetime = Duration::ZERO;
        assert_eq!(client.generation().number, 1);
        assert_eq!(client.generation().number, 2);
    }

    #[tokio::test]
    async fn many_tries_that_fail_together_discard_one_pool() {
        let client = client("http://127.0.0.1:1", 0);
        client.discard(0);
        client.discard(0);
        assert_eq!(client.current.read().unwrap().number, 1);
    }
}
