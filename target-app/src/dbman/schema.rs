//! The tables, made when dbman starts.

use tokio_postgres::{Client, Error};

/// Any number will do, as long as all instances of dbman take the same.
const LOCK: i64 = 0x6368_6174;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS users (
    name          text PRIMARY KEY,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS rooms (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    tenant     text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
-- The sender is no reference to users: accounts of load tests need no row there.
CREATE TABLE IF NOT EXISTS messages (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room            uuid NOT NULL REFERENCES rooms,
    sender          text NOT NULL,
    body            text NOT NULL,
    idempotency_key text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT messages_once UNIQUE (sender, idempotency_key)
);
CREATE INDEX IF NOT EXISTS messages_newest ON messages (room, id DESC);
";

/// Makes what is missing. IF NOT EXISTS alone lets two instances that start together collide in the catalogue, so
/// they take turns by an advisory lock, which ends with the transaction.
pub async fn create(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    // Patient, for another instance may be at it; and silent about what is there already.
    transaction
        .batch_execute("SET LOCAL statement_timeout = '30s'; SET LOCAL client_min_messages = warning")
        .await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    transaction.batch_execute(SCHEMA).await?;
    transaction.commit().await
}
