//! What both roles serve with: tracking of requests, probes, metrics, the ledger, and a shutdown that loses no
//! request.
//!
//! On SIGTERM the server turns unready and goes on serving for the drain delay, asking clients to close their
//! connections. Then it stops accepting, cancels [`Server::stopping`] for what runs beside requests (WebSockets),
//! and waits for requests and tasks up to the shutdown time-out.

pub mod error;
pub mod faults;
pub mod health;
pub mod ledger;
pub mod metrics;
mod track;

use std::net::SocketAddr;

use anyhow::Context;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ServerConfig;
use error::ApiError;
use faults::Faults;
use health::Health;
use ledger::Ledger;
use metrics::HttpMetrics;
use track::Tracker;

/// A client of other roles. reqwest comes without cryptography, and wants some though it is not used.
pub fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// What a role shares with the server that carries it.
pub struct Server {
    config: ServerConfig,
    pub health: Health,
    pub faults: Faults,
    pub registry: Registry,
    /// Cancelled when the server stops accepting.
    pub stopping: CancellationToken,
    /// Work that the shutdown waits for.
    pub tasks: TaskTracker,
}

impl Server {
    pub fn new(config: ServerConfig, dependencies: &[&'static str]) -> Self {
        Self {
            health: Health::new(config.ready_window, dependencies),
            config,
            faults: Faults::default(),
            registry: Registry::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Serves `routes` and the operational endpoints until SIGTERM or SIGINT, then shuts down.
    pub async fn run(mut self, listen: SocketAddr, routes: Router) -> anyhow::Result<()> {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("failed to listen on {listen}"))?;
        tracing::info!(event = "listening", address = %listener.local_addr()?);
        let app = self.app(routes);

        let drained = CancellationToken::new();
        let serve = axum::serve(listener.tap_io(no_delay), app)
            .with_graceful_shutdown(drained.clone().cancelled_owned());
        let mut serving = tokio::spawn(serve.into_future());

        tokio::select! {
            ended = &mut serving => return ended?.context("the server ended by itself"),
            asked = asked_to_stop() => asked?,
        }
        tracing::info!(event = "draining");
        self.health.start_draining();
        tokio::time::sleep(self.config.drain_delay).await;

        tracing::info!(event = "stopping");
        drained.cancel();
        self.stopping.cancel();
        self.tasks.close();
        let finished = async {
            let served = serving.await;
            self.tasks.wait().await;
            served
        };
        match tokio::time::timeout(self.config.shutdown_timeout, finished).await {
            Ok(served) => served?.context("failed to finish serving")?,
            Err(_) => tracing::warn!(event = "shutdown_timeout", "requests were still being served"),
        }
        tracing::info!(event = "stopped");
        Ok(())
    }

    fn app(&mut self, routes: Router) -> Router {
        let mut registry = std::mem::take(&mut self.registry);
        let tracker = Tracker {
            metrics: HttpMetrics::register(&mut registry),
            ledger: Ledger::new(),
            faults: self.faults.clone(),
            health: self.health.clone(),
        };
        let mut app = routes
            // One of our own, for without it requests that match nothing would go by the tracker.
            .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "there is no such route") })
            .layer(middleware::from_fn_with_state(tracker.clone(), track::track))
            .merge(self.health.router())
            .merge(metrics::router(registry))
            .merge(tracker.ledger.router());
        if self.config.debug_faults {
            app = app.merge(self.faults.router());
        }
        app
    }
}

fn no_delay(stream: &mut tokio::net::TcpStream) {
    // Answers are small and written at once: waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
}

async fn asked_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::routing::{get, post};
    use serde_json::{Value, json};

    use super::*;

    struct Running {
        base: String,
        client: reqwest::Client,
        health: Health,
    }

    /// A server with a route that answers, one that fails, and one that never answers.
    async fn start(debug_faults: bool) -> Running {
        let config = ServerConfig {
            log_filter: String::new(),
            drain_delay: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(1),
            ready_window: Duration::from_secs(60),
            debug_faults,
        };
        let mut server = Server::new(config, &["database"]);
        let routes = Router::new()
            .route("/things/{id}", get(|| async { "here" }))
            .route("/fails", post(|| async { ApiError::unavailable("no") }))
            .route("/never", get(std::future::pending::<&str>));
        let app = server.app(routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        Running { base, client: super::client().build().unwrap(), health: server.health }
    }

    impl Running {
        async fn get(&self, path: &str) -> reqwest::Response {
            self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
        }

        async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
            let request = self.client.post(format!("{}{path}", self.base));
            let body = body.to_string();
            request.header("content-type", "application/json").body(body).send().await.unwrap()
        }

        async fn ledger(&self) -> Value {
            let text = self.get(&format!("/debug/ledger?from=0&to={}", u32::MAX as u64 * 1000)).await;
            serde_json::from_str::<Value>(&text.text().await.unwrap()).unwrap()["routes"].take()
        }
    }

    #[tokio::test]
    async fn ledger_and_metrics_count_the_same_requests() {
        let server = start(false).await;
        let named =
            server.client.get(format!("{}/things/1", server.base)).header("X-Request-Name", "ReadThing");
        named.send().await.unwrap();
        server.get("/things/2").await;
        server.get("/things/3").await;
        assert_eq!(server.post("/fails", &json!({})).await.status(), 503);
        assert_eq!(server.get("/no/such/thing").await.status(), 404);

        let line = |method: &str, route: &str, name: &str, ok: u64, failed: u64| json!({"method": method, "route": route, "name": name, "ok": ok, "failed": failed, "aborted": 0});
        let expected = json!([
            line("POST", "/fails", "", 0, 1),
            line("GET", "/things/{id}", "", 2, 0),
            line("GET", "/things/{id}", "ReadThing", 1, 0),
            line("GET", "unmatched", "", 0, 1),
        ]);
        assert_eq!(server.ledger().await, expected);

        let metrics = server.get("/metrics").await.text().await.unwrap();
        for line in [
            r#"http_requests_total{route="/things/{id}",method="GET",status="200"} 3"#,
            r#"http_requests_total{route="/fails",method="POST",status="503"} 1"#,
            r#"http_requests_total{route="unmatched",method="GET",status="404"} 1"#,
            r#"http_request_duration_seconds_count{route="/things/{id}"} 3"#,
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_is_entered_as_aborted() {
        let server = start(false).await;
        let impatient =
            server.client.get(format!("{}/never", server.base)).timeout(Duration::from_millis(50));
        assert!(impatient.send().await.unwrap_err().is_timeout());
        let aborted = async {
            while server.ledger().await
                != json!([
                    {"method": "GET", "route": "/never", "name": "", "ok": 0, "failed": 0, "aborted": 1}
                ])
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), aborted).await.unwrap();
    }

    #[tokio::test]
    async fn ready_by_its_dependencies_and_not_while_draining() {
        let server = start(false).await;
        assert_eq!(server.get("/livez").await.status(), 200);
        assert_eq!(server.get("/readyz").await.status(), 503);
        server.health.answered("database");
        assert_eq!(server.get("/readyz").await.status(), 200);
        assert_eq!(server.get("/things/1").await.headers().get("connection"), None);

        server.health.start_draining();
        assert_eq!(server.get("/readyz").await.status(), 503);
        let answer = server.get("/things/1").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["connection"]),
            (200, &"close".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn faults_are_there_only_when_asked_for() {
        let fault = json!({"route": "/things/{id}", "ratio": 1.0});
        let server = start(false).await;
        assert_eq!(server.post("/debug/fail", &fault).await.status(), 404);

        let server = start(true).await;
        assert_eq!(server.post("/debug/fail", &json!({"route": "/", "ratio": 2.0})).await.status(), 400);
        assert_eq!(server.post("/debug/fail", &fault).await.status(), 200);
        assert_eq!(server.get("/things/1").await.status(), 500);
        assert_eq!(server.ledger().await[0]["failed"], 1);
        assert_eq!(server.post("/debug/fail", &json!({"route": "/things/{id}"})).await.status(), 200);
        assert_eq!(server.get("/things/1").await.status(), 200);
    }
}
