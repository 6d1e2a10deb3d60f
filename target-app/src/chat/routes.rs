//! chat's interface for users.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::auth::{Caller, hash_password, is_load_test_user, password_matches};
use super::metrics::Source;
use super::persist::{Incoming, persist};
use super::{Chat, ws};
use crate::http::error::ApiError;
use crate::wire::{ListQuery, Message, Messages, NewMessage, Room, SearchQuery, User};

type Answer<T> = Result<Json<T>, ApiError>;
type Created<T> = Result<(StatusCode, Json<T>), ApiError>;

const MAX_REQUEST: usize = 64 * 1024;

pub fn router(chat: Chat) -> Router {
    Router::new()
        .route("/api/v1/auth/register", post(register))
        .route("/api/v1/auth/login", post(login))
        .route("/api/v1/me", get(me))
        .route("/api/v1/rooms", post(create_room))
        .route("/api/v1/rooms/{id}/messages", post(create_message))
        .route("/api/v1/rooms/{id}/messages/list", post(list))
        .route("/api/v1/rooms/{id}/messages/search", post(search))
        .route("/ws", get(ws::upgrade))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(chat)
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

#[derive(Serialize)]
struct Session {
    name: String,
    token: String,
}

#[derive(Serialize)]
struct Me {
    name: String,
}

#[derive(Deserialize)]
struct NewRoom {
    name: String,
}

#[derive(Deserialize)]
struct NewBody {
    body: String,
}

async fn register(State(chat): State<Chat>, Json(credentials): Json<Credentials>) -> Created<Session> {
    check_name(&credentials.name)?;
    let password_hash = hash_password(&credentials.password).map_err(internal)?;
    chat.dbman.create_user(&User { name: credentials.name.clone(), password_hash }).await?;
    Ok((StatusCode::CREATED, Json(session(&chat, credentials.name)?)))
}

async fn login(State(chat): State<Chat>, Json(credentials): Json<Credentials>) -> Answer<Session> {
    check_name(&credentials.name)?;
    let granted = if is_load_test_user(&credentials.name) {
        chat.load_test_password.as_ref().is_none_or(|password| *password == credentials.password)
    } else {
        match chat.dbman.user(&credentials.name).await.map_err(ApiError::from) {
            Ok(user) => password_matches(&credentials.password, &user.password_hash),
            // The same answer as for a wrong password: who has an account is nobody's business.
            Err(error) if error.status == StatusCode::NOT_FOUND => false,
            Err(error) => return Err(error),
        }
    };
    if !granted {
        return Err(ApiError::unauthorized("the name or the password is wrong"));
    }
    Ok(Json(session(&chat, credentials.name)?))
}

fn session(chat: &Chat, name: String) -> Result<Session, ApiError> {
    let token = chat.tokens.issue(&name).map_err(internal)?;
    Ok(Session { name, token })
}

async fn me(State(chat): State<Chat>, Caller(name): Caller) -> Answer<Me> {
    if !is_load_test_user(&name) {
        chat.dbman.user(&name).await?;
    }
    Ok(Json(Me { name }))
}

async fn create_room(
    State(chat): State<Chat>,
    Caller(created_by): Caller,
    headers: HeaderMap,
    Json(new): Json<NewRoom>,
) -> Created<Room> {
    if new.name.is_empty() || new.name.len() > 200 {
        return Err(ApiError::bad_request("the name of a room has 1 to 200 bytes"));
    }
    let tenant = header(&headers, "x-tenant-id")?.unwrap_or_else(|| "default".to_owned());
    let room = Room { id: Uuid::new_v4(), name: new.name, tenant, created_by };
    chat.dbman.create_room(&room).await?;
    Ok((StatusCode::CREATED, Json(room)))
}

/// 201 for a new message, 200 when the idempotency key has named it before.
async fn create_message(
    State(chat): State<Chat>,
    Path(room): Path<Uuid>,
    Caller(sender): Caller,
    headers: HeaderMap,
    Json(NewBody { body }): Json<NewBody>,
) -> Created<Message> {
    let idempotency_key =
        header(&headers, "idempotency-key")?.unwrap_or_else(|| format!("chat-{}", Uuid::new_v4()));
    let new = NewMessage { sender, body, idempotency_key };
    let stored = persist(&chat, Incoming { source: Source::Rest, room, new, nonce: None }).await?;
    let status = if stored.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(stored.message)))
}

async fn list(
    State(chat): State<Chat>,
    Path(room): Path<Uuid>,
    _: Caller,
    Json(query): Json<ListQuery>,
) -> Answer<Messages> {
    Ok(Json(chat.dbman.list(room, &query).await?))
}

async fn search(
    State(chat): State<Chat>,
    Path(room): Path<Uuid>,
    _: Caller,
    Json(query): Json<SearchQuery>,
) -> Answer<Messages> {
    if query.query.is_empty() {
        return Err(ApiError::bad_request("the query is empty"));
    }
    Ok(Json(chat.dbman.search(room, &query).await?))
}

/// Names go into paths and log lines: no character in them needs an escape there.
fn check_name(name: &str) -> Result<(), ApiError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) || name.starts_with('.') {
        return Err(ApiError::bad_request("a name has 1 to 64 letters, digits, '-', '_', '.' or '@'"));
    }
    Ok(())
}

fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=128).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::bad_request(format!("the header {name} must have 1 to 128 printable characters"))),
    }
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        for good in ["ann", "load-test-user-1", "a.b@example.org"] {
            assert!(check_name(good).is_ok(), "{good:?} was refused");
        }
        let long = "x".repeat(65);
        for bad in ["", "a/b", "a b", "ä", "..", "a%2Fb", "a?b", &long] {
            assert!(check_name(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_header_is_absent_or_sensible() {
        let mut headers = HeaderMap::new();
        assert_eq!(header(&headers, "idempotency-key").unwrap(), None);
        headers.insert("idempotency-key", "abc".parse().unwrap());
        assert_eq!(header(&headers, "idempotency-key").unwrap().as_deref(), Some("abc"));
        headers.insert("idempotency-key", "".parse().unwrap());
        assert!(header(&headers, "idempotency-key").is_err());
        headers.insert("idempotency-key", "x".repeat(129).parse().unwrap());
        assert!(header(&headers, "idempotency-key").is_err());
    }
}
