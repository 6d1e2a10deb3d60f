//! Readiness from how recently each dependency has answered. A dependency that fails now and then, or one of whose
//! instances is gone, leaves the server ready; one that has been silent for the whole window does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::Instant;

#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    window: Duration,
    draining: AtomicBool,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: &'static str,
    last_answer: std::sync::Mutex<Option<Instant>>,
}

impl Health {
    pub fn new(window: Duration, dependencies: &[&'static str]) -> Self {
        let dependencies =
            dependencies.iter().map(|name| Dependency { name, last_answer: Default::default() }).collect();
        Self(Arc::new(Inner { window, draining: AtomicBool::new(false), dependencies }))
    }

    /// Notes that a dependency has answered just now. A name that was not announced is ignored.
    pub fn answered(&self, name: &str) {
        for dependency in self.0.dependencies.iter().filter(|d| d.name == name) {
            *lock(&dependency.last_answer) = Some(Instant::now());
        }
    }

    pub fn start_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// The dependencies that have not answered within the window.
    pub fn silent(&self) -> Vec<&'static str> {
        let fresh = |d: &&Dependency| lock(&d.last_answer).is_some_and(|at| at.elapsed() <= self.0.window);
        self.0.dependencies.iter().filter(|d| !fresh(d)).map(|d| d.name).collect()
    }

    /// `/livez` says that the process serves, and nothing of others: a restart would not mend them.
    /// `/readyz` says whether to send requests here.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/livez", get(|| async { "ok" }))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
    }
}

async fn readyz(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let (draining, silent) = (health.is_draining(), health.silent());
    let ready = !draining && silent.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "draining": draining, "silent": silent})))
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_while_every_dependency_answers() {
        let health = Health::new(Duration::from_secs(60), &["redis", "dbman"]);
        assert_eq!(health.silent(), ["redis", "dbman"]);
        health.answered("redis");
        health.answered("unknown");
        assert_eq!(health.silent(), ["dbman"]);
        health.answered("dbman");
        assert!(health.silent().is_empty());
    }

    #[test]
    fn an_answer_counts_only_for_the_window() {
        let health = Health::new(Duration::ZERO, &["redis"]);
        health.answered("redis");
        let asked = Instant::now();
        while asked.elapsed().is_zero() {}
        assert_eq!(health.silent(), ["redis"]);
    }
}
