//! WebSockets: a user joins rooms, writes messages, and receives what is written in the rooms joined.
//!
//! | client sends | server answers |
//! |---|---|
//! | `{"op":"join","room":…}` | `{"op":"joined","room":…}` once messages of the room arrive |
//! | `{"op":"leave","room":…}` | `{"op":"left","room":…}` |
//! | `{"op":"message","room":…,"body":…,"nonce":…}` | `{"op":"ack","nonce":…,"id":…,"created_at_ms":…}` once it is stored |
//!
//! What fails is answered with `{"op":"error","message":…,"nonce":…}`. Messages of the joined rooms, one's own
//! included, arrive as `{"op":"message","room":…,"id":…,"sender":…,"body":…,"created_at_ms":…,"nonce":…}`.
//! The nonce is the idempotency key of the message: repeating one that went unanswered stores it once.

use std::collections::HashSet;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::response::Response;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Chat;
use super::fanout::Member;
use super::metrics::Source;
use super::persist::{Incoming, persist};
use crate::http::error::ApiError;
use crate::wire::NewMessage;

/// What may wait for a slow reader before it is disconnected.
const QUEUE: usize = 256;
const MAX_FRAME: usize = 64 * 1024;
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client answers pings, so one that is silent for longer is gone.
const MAX_SILENCE: Duration = Duration::from_secs(45);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
pub struct Access {
    token: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Request {
    Join { room: Uuid },
    Leave { room: Uuid },
    Message { room: Uuid, body: String, nonce: String },
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Reply {
    Joined {
        room: Uuid,
    },
    Left {
        room: Uuid,
    },
    Ack {
        nonce: String,
        id: i64,
        created_at_ms: i64,
    },
    Error {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
    },
}

pub async fn upgrade(
    State(chat): State<Chat>,
    Query(access): Query<Access>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let name = chat
        .tokens
        .verify(&access.token)
        .ok_or_else(|| ApiError::unauthorized("the token is not valid, or has expired"))?;
    if chat.health.is_draining() {
        return Err(ApiError::unavailable("this instance is shutting down"));
    }
    let tasks = chat.tasks.clone();
    Ok(upgrade
        .max_message_size(MAX_FRAME)
        .on_upgrade(move |socket| tasks.track_future(async move { serve(chat, name, socket).await })))
}

async fn serve(chat: Chat, name: String, socket: WebSocket) {
    chat.metrics.ws_connections.inc();
    let (sink, stream) = socket.split();
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let lagging = CancellationToken::new();
    let (end, ended) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(write(sink, outgoing, lagging.clone(), ended));

    let member = Member { id: Uuid::new_v4(), queue, lagging: lagging.clone() };
    let mut connection = Connection { chat: chat.clone(), name, member, rooms: HashSet::new() };
    let close = connection.read(stream).await;
    connection.leave_all().await;
    if lagging.is_cancelled() {
        chat.metrics.ws_lagging.inc();
    }
    // The writer may have ended before, when the client hung up. It first sends what is queued.
    let _ = end.send(close);
    drop(connection);
    let _ = writer.await;
    chat.metrics.ws_connections.dec();
}

struct Connection {
    chat: Chat,
    name: String,
    member: Member,
    rooms: HashSet<Uuid>,
}

impl Connection {
    /// Serves requests one after the other until the connection shall end, and returns why.
    async fn read(&mut self, mut stream: SplitStream<WebSocket>) -> Option<CloseFrame> {
        let stopping = self.chat.stopping.clone();
        loop {
            let frame = tokio::select! {
                frame = timeout(MAX_SILENCE, stream.next()) => frame,
                () = stopping.cancelled() => return closing(close_code::AWAY, "this instance is shutting down"),
                () = self.member.lagging.cancelled() => return closing(close_code::POLICY, "reading too slowly"),
            };
            let text = match frame {
                Err(_) => return closing(close_code::AWAY, "no answer to pings"),
                Ok(None | Some(Err(_)) | Some(Ok(Frame::Close(_)))) => return None,
                Ok(Some(Ok(Frame::Text(text)))) => text,
                Ok(Some(Ok(_))) => continue,
            };
            let reply = match serde_json::from_str(&text) {
                Ok(request) => self.obey(request).await,
                Err(error) => Reply::Error { message: error.to_string(), nonce: None },
            };
            if !self.reply(&reply).await {
                return None;
            }
        }
    }

    async fn obey(&mut self, request: Request) -> Reply {
        match request {
            Request::Join { room } => {
                if self.rooms.contains(&room) || self.chat.fanout.join(room, self.member.clone()).await {
                    self.rooms.insert(room);
                    Reply::Joined { room }
                } else {
                    Reply::Error { message: "Redis is not there: try again".to_owned(), nonce: None }
                }
            }
            Request::Leave { room } => {
                if self.rooms.remove(&room) {
                    self.chat.fanout.leave(room, self.member.id).await;
                }
                Reply::Left { room }
            }
            Request::Message { room, body, nonce } => self.store(room, body, nonce).await,
        }
    }

    async fn store(&self, room: Uuid, body: String, nonce: String) -> Reply {
        if nonce.is_empty() || nonce.len() > 128 {
            return Reply::Error { message: "a nonce has 1 to 128 bytes".to_owned(), nonce: Some(nonce) };
        }
        let new = NewMessage { sender: self.name.clone(), body, idempotency_key: nonce.clone() };
        let incoming = Incoming { source: Source::Ws, room, new, nonce: Some(nonce.clone()) };
        match persist(&self.chat, incoming).await {
            Ok(stored) => {
                Reply::Ack { nonce, id: stored.message.id, created_at_ms: stored.message.created_at_ms }
            }
            Err(error) => Reply::Error { message: error.message, nonce: Some(nonce) },
        }
    }

    /// False when the writer has ended.
    async fn reply(&self, reply: &Reply) -> bool {
        match serde_json::to_string(reply) {
            Ok(text) => self.member.queue.send(text.into()).await.is_ok(),
            Err(_) => false,
        }
    }

    async fn leave_all(&mut self) {
        for room in self.rooms.drain() {
            self.chat.fanout.leave(room, self.member.id).await;
        }
    }
}

fn closing(code: u16, reason: &'static str) -> Option<CloseFrame> {
    Some(CloseFrame { code, reason: reason.into() })
}

/// Sends what is queued, and pings. Ends with what is still queued and a close frame, or with the connection.
async fn write(
    mut sink: SplitSink<WebSocket, Frame>,
    mut outgoing: mpsc::Receiver<Utf8Bytes>,
    lagging: CancellationToken,
    mut ended: tokio::sync::oneshot::Receiver<Option<CloseFrame>>,
) {
    let mut pings = tokio::time::interval(PING_EVERY);
    let close = loop {
        let frame = tokio::select! {
            biased;
            text = outgoing.recv() => match text {
                Some(text) => Frame::Text(text),
                None => break ended.await.ok().flatten(),
            },
            close = &mut ended => break close.ok().flatten(),
            _ = pings.tick() => Frame::Ping(Default::default()),
        };
        let sent = tokio::select! {
            sent = timeout(WRITE_TIMEOUT, sink.send(frame)) => sent,
            () = lagging.cancelled() => break closing(close_code::POLICY, "reading too slowly"),
        };
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    };
    // The client may be gone: then there is nobody to say goodbye to.
    let _ = timeout(Duration::from_secs(1), sink.send(Frame::Close(close))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_by_their_op() {
        let room = Uuid::nil();
        let text = format!(r#"{{"op":"message","room":"{room}","body":"hi","nonce":"n1"}}"#);
        assert_eq!(
            serde_json::from_str::<Request>(&text).unwrap(),
            Request::Message { room, body: "hi".into(), nonce: "n1".into() }
        );
        let text = format!(r#"{{"op":"join","room":"{room}"}}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), Request::Join { room });
        assert!(serde_json::from_str::<Request>(r#"{"op":"dance"}"#).is_err());
    }

    #[test]
    fn replies_carry_their_op() {
        let reply = Reply::Error { message: "no".into(), nonce: None };
        assert_eq!(serde_json::to_string(&reply).unwrap(), r#"{"op":"error","message":"no"}"#);
    }
}
