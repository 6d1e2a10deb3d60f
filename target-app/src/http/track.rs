//! What happens around every request of a server's own routes: it is measured, entered in the ledger, and made to
//! fail when a test has asked for that. Probes, `/metrics` and `/debug` are not tracked.

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::error::ApiError;
use super::faults::Faults;
use super::health::Health;
use super::ledger::{Key, Ledger, Outcome};
use super::metrics::HttpMetrics;

/// The header by which a client names its request in the ledger.
const NAME_HEADER: &str = "x-request-name";
const MAX_NAME: usize = 64;

#[derive(Clone)]
pub struct Tracker {
    pub metrics: HttpMetrics,
    pub ledger: Ledger,
    pub faults: Faults,
    pub health: Health,
}

pub async fn track(
    State(tracker): State<Tracker>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let key = Key {
        method: request.method().to_string(),
        // The path itself would make a series for each one that a client can think of.
        route: path.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned()),
        name: name_of(&request),
    };
    let mut entry = Entry { tracker: &tracker, key: Some(key.clone()) };
    let started = Instant::now();

    let mut response = if tracker.faults.inject(&key.route).await {
        ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "a fault was asked for").into_response()
    } else {
        next.run(request).await
    };

    entry.finish(&response);
    tracker.metrics.record(&key.route, &key.method, response.status(), started.elapsed());
    if tracker.health.is_draining() && response.status().as_u16() >= 200 {
        // Makes the client open its next connection elsewhere, before this server closes.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn name_of(request: &Request) -> String {
    let name = request.headers().get(NAME_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    name.chars().take(MAX_NAME).collect()
}

/// Enters the request in the ledger as aborted when it is dropped unfinished: so the server learns that a client
/// has gone away.
struct Entry<'a> {
    tracker: &'a Tracker,
    key: Option<Key>,
}

impl Entry<'_> {
    fn finish(&mut self, response: &Response) {
        let failed = response.status().is_client_error() || response.status().is_server_error();
        if let Some(key) = self.key.take() {
            self.tracker.ledger.record(key, if failed { Outcome::Failed } else { Outcome::Ok });
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.tracker.ledger.record(key, Outcome::Aborted);
        }
    }
}
