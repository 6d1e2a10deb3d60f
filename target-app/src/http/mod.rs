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
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ServerConfig;
use faults::Faults;
use health::Health;
use ledger::Ledger;
use metrics::HttpMetrics;
use track::Tracker;

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
