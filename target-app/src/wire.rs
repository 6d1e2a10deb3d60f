//! What goes over the wire between chat and dbman, and in part on to users.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct User {
    pub name: String,
    /// As [`crate::chat::auth::hash_password`] makes it.
    pub password_hash: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Room {
    /// Chosen by chat, so that a repeated creation meets the room of the first.
    pub id: Uuid,
    pub name: String,
    pub tenant: String,
    pub created_by: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NewMessage {
    pub sender: String,
    pub body: String,
    /// Names the message among all of its sender, so that a retry stores it only once.
    pub idempotency_key: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Message {
    /// Grows with the time of storing.
    pub id: i64,
    pub room: Uuid,
    pub sender: String,
    pub body: String,
    pub created_at_ms: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stored {
    pub message: Message,
    /// False when the key was known already and `message` is the one that it names.
    pub created: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ListQuery {
    /// Only messages older than this id.
    pub before: Option<i64>,
    /// At most this many, newest first; 50 when not given, 200 at most.
    pub limit: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SearchQuery {
    /// Part of the body, in any case of letters.
    pub query: String,
    /// At most this many, newest first; 50 when not given, 200 at most.
    pub limit: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Messages {
    pub messages: Vec<Message>,
}

/// How many to return for a limit that a user may have given.
pub fn page_size(limit: Option<i64>) -> i64 {
    limit.unwrap_or(50).clamp(1, 200)
}
