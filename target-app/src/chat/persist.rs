//! Storing a message, the same for REST and WebSocket: measured, logged, told to the others.

use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::Chat;
use super::metrics::Source;
use crate::http::error::ApiError;
use crate::wire::{Message, NewMessage, Stored};

/// What the WebSockets of a room receive of a new message.
#[derive(Serialize)]
struct Event<'a> {
    op: &'static str,
    #[serde(flatten)]
    message: &'a Message,
    /// What the sender's WebSocket named it; absent for REST.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// A message to store.
pub struct Incoming {
    pub source: Source,
    pub room: Uuid,
    pub new: NewMessage,
    pub nonce: Option<String>,
}

/// In a task of its own, so that a message is stored, counted and published as one, even when its sender hangs up
/// in the middle.
pub async fn persist(chat: &Chat, incoming: Incoming) -> Result<Stored, ApiError> {
    check_body(&incoming.new.body)?;
    let task = chat.tasks.spawn(persist_all(chat.clone(), incoming));
    task.await.unwrap_or_else(|error| Err(ApiError::unavailable(error.to_string())))
}

async fn persist_all(chat: Chat, incoming: Incoming) -> Result<Stored, ApiError> {
    let started = Instant::now();
    let Incoming { source, room, new, nonce } = incoming;
    let result = if chat.faults.inject("persist").await {
        Err(ApiError::unavailable("a fault was asked for"))
    } else {
        chat.dbman.create_message(room, &new).await.map_err(ApiError::from)
    };
    let took = started.elapsed();
    let latency_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
    let source_label = source.label();
    match &result {
        Ok(stored) => {
            chat.metrics.persisted(source, true, took);
            let id = stored.message.id;
            tracing::info!(event = "chat_message_persist", source = source_label, status = "ok", latency_ms, %room, id);
            let event = Event { op: "message", message: &stored.message, nonce: nonce.as_deref() };
            match serde_json::to_string(&event) {
                Ok(event) => chat.fanout.publish(room, event),
                Err(error) => tracing::error!(%error, "failed to write an event"),
            }
        }
        // A message for a room that is not there is the sender's mistake, and says nothing of the storing.
        Err(error) if error.status.is_client_error() => {}
        Err(error) => {
            chat.metrics.persisted(source, false, took);
            tracing::warn!(
                event = "chat_message_persist", source = source_label, status = "failed", latency_ms, %room, %error
            );
        }
    }
    result
}

fn check_body(body: &str) -> Result<(), ApiError> {
    if body.is_empty() || body.len() > 4096 {
        return Err(ApiError::bad_request("a message has 1 to 4096 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_message_with_its_op() {
        let message =
            Message { id: 7, room: Uuid::nil(), sender: "ann".into(), body: "hi".into(), created_at_ms: 1 };
        let event = Event { op: "message", message: &message, nonce: Some("n") };
        let expected = serde_json::json!({
            "op": "message", "id": 7, "room": Uuid::nil(), "sender": "ann", "body": "hi", "created_at_ms": 1,
            "nonce": "n",
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
    }

    #[test]
    fn a_message_is_neither_empty_nor_long() {
        assert!(check_body("hi").is_ok());
        assert!(check_body("").is_err());
        assert!(check_body(&"x".repeat(4097)).is_err());
    }
}
