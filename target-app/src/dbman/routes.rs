//! dbman's HTTP interface. Everything that writes may be repeated without effect.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use uuid::Uuid;

use super::store::{Audit, Store, StoreError};
use crate::http::error::ApiError;
use crate::wire::{ListQuery, Messages, NewMessage, Room, SearchQuery, Stored, User, page_size};

type Answer<T> = Result<Json<T>, ApiError>;

pub fn router(store: Store) -> Router {
    Router::new()
        .route("/v1/users", post(create_user))
        .route("/v1/users/{name}", get(user))
        .route("/v1/rooms", post(create_room))
        .route("/v1/rooms/{id}/messages", post(create_message))
        .route("/v1/rooms/{id}/messages/list", post(list))
        .route("/v1/rooms/{id}/messages/search", post(search))
        .route("/debug/messages", get(audit))
        .with_state(store)
}

async fn create_user(State(store): State<Store>, Json(user): Json<User>) -> Result<StatusCode, ApiError> {
    store.create_user(&user).await?;
    Ok(StatusCode::CREATED)
}

async fn user(State(store): State<Store>, Path(name): Path<String>) -> Answer<User> {
    Ok(Json(store.user(&name).await?))
}

async fn create_room(State(store): State<Store>, Json(room): Json<Room>) -> Result<StatusCode, ApiError> {
    store.create_room(&room).await?;
    Ok(StatusCode::CREATED)
}

async fn create_message(
    State(store): State<Store>,
    Path(room): Path<Uuid>,
    Json(new): Json<NewMessage>,
) -> Answer<Stored> {
    Ok(Json(store.create_message(room, &new).await?))
}

async fn list(
    State(store): State<Store>,
    Path(room): Path<Uuid>,
    Json(query): Json<ListQuery>,
) -> Answer<Messages> {
    let messages = store.list(room, query.before, page_size(query.limit)).await?;
    Ok(Json(Messages { messages }))
}

async fn search(
    State(store): State<Store>,
    Path(room): Path<Uuid>,
    Json(query): Json<SearchQuery>,
) -> Answer<Messages> {
    let messages = store.search(room, &query.query, page_size(query.limit)).await?;
    Ok(Json(Messages { messages }))
}

#[derive(Deserialize)]
struct AuditQuery {
    #[serde(default)]
    prefix: String,
}

async fn audit(State(store): State<Store>, Query(query): Query<AuditQuery>) -> Answer<Audit> {
    Ok(Json(store.audit(&query.prefix).await?))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound => Self::new(StatusCode::NOT_FOUND, "not found"),
            StoreError::Conflict(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            _ if error.is_missing_reference() => Self::new(StatusCode::NOT_FOUND, "there is no such room"),
            // Whatever else PostgreSQL says may be gone at the next try.
            _ => {
                tracing::warn!(event = "store_error", %error);
                Self::unavailable(error.to_string())
            }
        }
    }
}
