//! The system under test: a chat system as people run them, small enough to read in an hour.
//!
//! Users talk to `chat`, which keeps nothing itself: it calls `dbman` over HTTP for what must last, and Redis to tell
//! the other chat instances of new messages. `dbman` alone talks to PostgreSQL. Both run in several instances, and
//! any one may die: chat repeats what went unanswered, and dbman stores a repeated message once, by its idempotency
//! key.

mod chat;
mod config;
mod dbman;
mod http;
mod logging;
mod wire;

use clap::Parser;

use config::{Cli, Role};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().role {
        Role::Chat(config) => {
            let _guard = logging::init(&config.server.log_filter)?;
            chat::run(config).await
        }
        Role::Dbman(config) => {
            let _guard = logging::init(&config.server.log_filter)?;
            dbman::run(config).await
        }
    }
}
