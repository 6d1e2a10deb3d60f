//! What every server measures about its requests, and the registry that `GET /metrics` shows.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http::StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Bounds in seconds. The limits that service levels are usually written with (50, 100, 200, 300, 400, 500, 800 ms
/// and 1 s) are bounds themselves, so the share of requests within such a limit is exact.
const SECONDS: [f64; 22] = [
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0,
    1.5, 2.5, 5.0, 10.0,
];

pub fn seconds_histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// Histograms of seconds, one for each label set.
pub type SecondsFamily<L> = Family<L, Histogram, fn() -> Histogram>;

pub fn seconds_family<L: Clone + std::hash::Hash + Eq>() -> SecondsFamily<L> {
    Family::new_with_constructor(seconds_histogram)
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Route {
    route: String,
}

#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Request, Counter>,
    duration: SecondsFamily<Route>,
}

impl HttpMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { requests: Family::default(), duration: seconds_family() };
        registry.register("http_requests", "Answered requests", metrics.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from a request to its answer",
            metrics.duration.clone(),
        );
        metrics
    }

    pub fn record(&self, route: &str, method: &str, status: StatusCode, took: Duration) {
        let request = Request { route: route.to_owned(), method: method.to_owned(), status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
        self.duration.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }
}

/// `GET /metrics` in Prometheus' text format.
pub fn router(registry: Registry) -> Router {
    Router::new().route("/metrics", get(show)).with_state(Arc::new(registry))
}

async fn show(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        metrics.record("/r/{id}", "POST", StatusCode::CREATED, Duration::from_millis(250));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(
            text.contains(r#"http_requests_total{route="/r/{id}",method="POST",status="201"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"http_request_duration_seconds_bucket{le="0.25",route="/r/{id}"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"http_request_duration_seconds_bucket{le="0.2",route="/r/{id}"} 0"#),
            "{text}"
        );
    }
}
