//! chat: what users talk to. It keeps nothing itself, so any instance can serve any request.
//!
//! `routes` and `ws` take requests; `persist` stores a message through `dbman_client` and tells the other instances
//! by `fanout`; `auth` says who is asking.

pub mod auth;
mod dbman_client;
mod fanout;
mod metrics;
mod persist;
mod routes;
mod ws;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ChatConfig;
use crate::http::Server;
use crate::http::faults::Faults;
use crate::http::health::Health;
use auth::Tokens;
use dbman_client::DbmanClient;
use fanout::Fanout;
use metrics::ChatMetrics;

const DBMAN: &str = "dbman";
const REDIS: &str = "redis";
const PING_EVERY: Duration = Duration::from_secs(1);

pub type Chat = Arc<ChatState>;

/// What all requests share.
pub struct ChatState {
    tokens: Tokens,
    load_test_password: Option<String>,
    dbman: DbmanClient,
    fanout: Fanout,
    metrics: ChatMetrics,
    faults: Faults,
    health: Health,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

pub async fn run(config: ChatConfig) -> anyhow::Result<()> {
    let mut server = Server::new(config.server, &[DBMAN, REDIS]);
    let metrics = ChatMetrics::register(&mut server.registry);
    let chat = Arc::new(ChatState {
        tokens: Tokens::new(&config.token_secret, config.token_ttl)?,
        load_test_password: config.load_test_password,
        dbman: DbmanClient::new(config.dbman, metrics.clone())?,
        fanout: Fanout::start(&config.redis_url, metrics.clone())?,
        metrics,
        faults: server.faults.clone(),
        health: server.health.clone(),
        stopping: server.stopping.clone(),
        tasks: server.tasks.clone(),
    });
    tokio::spawn(watch_dependencies(chat.clone()));
    let served = server.run(config.listen, routes::router(chat.clone())).await;
    chat.fanout.flush().await;
    served
}

/// Asks both dependencies every second. For dbman any one instance will do.
async fn watch_dependencies(chat: Chat) {
    let mut ticks = tokio::time::interval(PING_EVERY);
    loop {
        ticks.tick().await;
        let (dbman, redis) = tokio::join!(chat.dbman.ping(), chat.fanout.ping());
        match dbman {
            Ok(()) => chat.health.answered(DBMAN),
            Err(error) => tracing::warn!(event = "dbman_silent", %error),
        }
        match redis {
            Ok(()) => chat.health.answered(REDIS),
            Err(error) => tracing::warn!(event = "redis_silent", %error),
        }
    }
}
