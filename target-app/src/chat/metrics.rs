//! What chat measures beside its requests.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::http::metrics::{SecondsFamily, seconds_family};

/// Where a message came in.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Rest,
    Ws,
}

impl Source {
    const ALL: [Self; 2] = [Self::Rest, Self::Ws];

    pub fn label(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Ws => "ws",
        }
    }
}

/// What chat asks of dbman for its users.
const OPERATIONS: [&str; 6] = ["create_user", "user", "create_room", "create_message", "list", "search"];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Persist {
    source: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PersistSource {
    source: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Call {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FailedTry {
    operation: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone)]
pub struct ChatMetrics {
    persist: Family<Persist, Counter>,
    persist_seconds: SecondsFamily<PersistSource>,
    calls: Family<Call, Counter>,
    call_seconds: SecondsFamily<Operation>,
    failed_tries: Family<FailedTry, Counter>,
    pub ws_connections: Gauge,
    pub ws_lagging: Counter,
    pub published: Counter,
    pub publish_failures: Counter,
    pub delivered: Counter,
}

impl ChatMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            persist: Family::default(),
            persist_seconds: seconds_family(),
            calls: Family::default(),
            call_seconds: seconds_family(),
            failed_tries: Family::default(),
            ws_connections: Gauge::default(),
            ws_lagging: Counter::default(),
            published: Counter::default(),
            publish_failures: Counter::default(),
            delivered: Counter::default(),
        };
        // A series that first appears with its first failure has no value from before it: the difference that
        // a query takes would miss that failure.
        for source in Source::ALL.map(Source::label) {
            for status in ["ok", "failed"] {
                drop(metrics.persist.get_or_create(&Persist { source, status }));
            }
            drop(metrics.persist_seconds.get_or_create(&PersistSource { source }));
        }
        for operation in OPERATIONS {
            for outcome in ["ok", "declined", "failed"] {
                drop(metrics.calls.get_or_create(&Call { operation, outcome }));
            }
            for reason in ["connect", "timeout", "lost", "status", "answer"] {
                drop(metrics.failed_tries.get_or_create(&FailedTry { operation, reason }));
            }
        }
        let m = metrics.clone();
        registry.register("chat_message_persist", "Messages that were to be stored", m.persist);
        registry.register(
            "chat_message_persist_seconds",
            "Time to store a message, retries included",
            m.persist_seconds,
        );
        registry.register("chat_dbman_requests", "Calls of dbman, each with all its tries", m.calls);
        registry.register(
            "chat_dbman_request_seconds",
            "Time of a call of dbman with all its tries",
            m.call_seconds,
        );
        registry.register(
            "chat_dbman_request_failures",
            "Tries that failed, by what was wrong",
            m.failed_tries,
        );
        registry.register("chat_ws_connections", "Open WebSockets", m.ws_connections);
        registry.register("chat_ws_lagging", "WebSockets closed because they read too slowly", m.ws_lagging);
        registry.register("chat_fanout_published", "Messages published to Redis", m.published);
        registry.register(
            "chat_fanout_publish_failures",
            "Messages that could not be published",
            m.publish_failures,
        );
        registry.register(
            "chat_fanout_delivered",
            "Messages handed to WebSockets of this instance",
            m.delivered,
        );
        metrics
    }

    pub fn persisted(&self, source: Source, ok: bool, took: Duration) {
        let (source, status) = (source.label(), if ok { "ok" } else { "failed" });
        self.persist.get_or_create(&Persist { source, status }).inc();
        self.persist_seconds.get_or_create(&PersistSource { source }).observe(took.as_secs_f64());
    }

    pub fn called_dbman(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&Call { operation, outcome }).inc();
        self.call_seconds.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    pub fn try_failed(&self, operation: &'static str, reason: &'static str) {
        self.failed_tries.get_or_create(&FailedTry { operation, reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn persist_series_exist_before_the_first_message() {
        let mut registry = Registry::default();
        ChatMetrics::register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for source in ["rest", "ws"] {
            for status in ["ok", "failed"] {
                let line = format!("chat_message_persist_total{{source=\"{source}\",status=\"{status}\"}} 0");
                assert!(text.contains(&line), "{line} is not in\n{text}");
            }
        }
    }
}
