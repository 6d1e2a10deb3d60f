//! Every statement that dbman sends to PostgreSQL.

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

use super::schema;
use crate::config::DbmanConfig;
use crate::wire::{Message, NewMessage, Room, Stored, User};

/// A search looks at this many of a room's newest messages, so that its cost does not grow with the room.
const SEARCHED: i64 = 10_000;

const MESSAGE: &str =
    "id, room, sender, body, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no connection to PostgreSQL: {0}")]
    Pool(#[from] PoolError),
    #[error("a statement failed: {0}")]
    Statement(#[from] tokio_postgres::Error),
    #[error("not found")]
    NotFound,
    #[error("{0}")]
    Conflict(&'static str),
}

#[derive(Clone)]
pub struct Store {
    pool: Pool,
}

/// What is stored under idempotency keys with a common beginning.
#[derive(Debug, Serialize)]
pub struct Audit {
    pub rows: i64,
    /// Pairs of sender and key. The database itself keeps them apart, so this is `rows` as long as it works.
    pub distinct_keys: i64,
    /// Pairs of sender and body. For clients that never send the same text twice, fewer than `rows` means that a
    /// message was stored under two keys.
    pub distinct_bodies: i64,
    /// `rows` less the smaller of the two.
    pub duplicates: i64,
}

impl Store {
    pub fn new(config: &DbmanConfig) -> anyhow::Result<Self> {
        let mut postgres: tokio_postgres::Config = config.database_url.parse()?;
        if let Some(password) = &config.database_password {
            postgres.password(password);
        }
        postgres
            .application_name("dbman")
            .connect_timeout(config.pool_wait)
            .tcp_user_timeout(config.statement_timeout)
            .options(format!("-c statement_timeout={}", config.statement_timeout.as_millis()));
        let manager =
            Manager::from_config(postgres, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .wait_timeout(Some(config.pool_wait))
            .create_timeout(Some(config.pool_wait))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool })
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.pool.get().await?)
    }

    pub async fn create_schema(&self) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        Ok(schema::create(&mut client).await?)
    }

    /// Opens all connections that the pool may have. Each costs a handshake made slow on purpose, which must not fall
    /// due when this instance has to take over the load of another.
    pub async fn warm_up(&self) -> Result<(), StoreError> {
        let mut clients = Vec::new();
        for _ in 0..self.pool.status().max_size {
            clients.push(self.client().await?);
        }
        Ok(())
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        self.client().await?.simple_query("SELECT 1").await?;
        Ok(())
    }

    /// Meets the same user again without complaint: a retry carries the same hash.
    pub async fn create_user(&self, user: &User) -> Result<(), StoreError> {
        let client = self.client().await?;
        let insert = client
            .prepare_cached("INSERT INTO users (name, password_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .await?;
        if client.execute(&insert, &[&user.name, &user.password_hash]).await? == 1 {
            return Ok(());
        }
        let stored = self.user(&user.name).await?;
        if stored.password_hash == user.password_hash {
            Ok(())
        } else {
            Err(StoreError::Conflict("the name is taken already"))
        }
    }

    pub async fn user(&self, name: &str) -> Result<User, StoreError> {
        let row = self
            .one("SELECT name, password_hash FROM users WHERE name = $1", &[&name])
            .await?
            .ok_or(StoreError::NotFound)?;
        Ok(User { name: row.try_get(0)?, password_hash: row.try_get(1)? })
    }

    pub async fn create_room(&self, room: &Room) -> Result<(), StoreError> {
        let client = self.client().await?;
        let insert = client
            .prepare_cached(
                "INSERT INTO rooms (id, name, tenant, created_by) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .await?;
        client.execute(&insert, &[&room.id, &room.name, &room.tenant, &room.created_by]).await?;
        Ok(())
    }

    /// Stores a message once: a second one of the same sender and key finds the first.
    pub async fn create_message(&self, room: Uuid, new: &NewMessage) -> Result<Stored, StoreError> {
        let insert = format!(
            "INSERT INTO messages (room, sender, body, idempotency_key) VALUES ($1, $2, $3, $4)
             ON CONFLICT ON CONSTRAINT messages_once DO NOTHING RETURNING {MESSAGE}"
        );
        if let Some(row) = self.one(&insert, &[&room, &new.sender, &new.body, &new.idempotency_key]).await? {
            return Ok(Stored { message: message(&row)?, created: true });
        }
        // A statement of its own: the first one's snapshot would not show a row committed meanwhile.
        let select = format!("SELECT {MESSAGE} FROM messages WHERE sender = $1 AND idempotency_key = $2");
        let row =
            self.one(&select, &[&new.sender, &new.idempotency_key]).await?.ok_or(StoreError::NotFound)?;
        let message = message(&row)?;
        if message.room == room && message.body == new.body {
            Ok(Stored { message, created: false })
        } else {
            Err(StoreError::Conflict("the idempotency key belongs to another message"))
        }
    }

    /// The newest messages first.
    pub async fn list(
        &self,
        room: Uuid,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Message>, StoreError> {
        let select =
            format!("SELECT {MESSAGE} FROM messages WHERE room = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
        self.messages(&select, &[&room, &before.unwrap_or(i64::MAX), &limit]).await
    }

    /// The newest messages whose body contains `text`, whatever the case of its letters.
    pub async fn search(&self, room: Uuid, text: &str, limit: i64) -> Result<Vec<Message>, StoreError> {
        let select = format!(
            "SELECT {MESSAGE} FROM
                 (SELECT * FROM messages WHERE room = $1 ORDER BY id DESC LIMIT {SEARCHED}) AS newest
             WHERE position(lower($2) IN lower(body)) > 0 ORDER BY id DESC LIMIT $3"
        );
        self.messages(&select, &[&room, &text, &limit]).await
    }

    pub async fn audit(&self, prefix: &str) -> Result<Audit, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        // It reads the whole table, for which a user would not have the time.
        transaction.batch_execute("SET LOCAL statement_timeout = '30s'").await?;
        let row = transaction
            .query_one(
                "SELECT count(*), count(DISTINCT (sender, idempotency_key)), count(DISTINCT (sender, body))
                 FROM messages WHERE starts_with(idempotency_key, $1)",
                &[&prefix],
            )
            .await?;
        let (rows, distinct_keys, distinct_bodies): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let duplicates = rows - distinct_keys.min(distinct_bodies);
        Ok(Audit { rows, distinct_keys, distinct_bodies, duplicates })
    }

    async fn one(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query_opt(&statement, values).await?)
    }

    async fn messages(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Message>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        client.query(&statement, values).await?.iter().map(message).collect()
    }
}

fn message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: row.try_get("id")?,
        room: row.try_get("room")?,
        sender: row.try_get("sender")?,
        body: row.try_get("body")?,
        created_at_ms: row.try_get("created_at_ms")?,
    })
}

impl StoreError {
    /// True for a row that refers to a room which is not there.
    pub fn is_missing_reference(&self) -> bool {
        matches!(self, Self::Statement(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION))
    }
}
