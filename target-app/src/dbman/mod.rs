//! dbman: the only one that talks to PostgreSQL. `routes` answers chat, `store` holds the statements, `schema` the
//! tables. It serves from the start and turns ready once PostgreSQL answers and the tables are there.

mod routes;
mod schema;
mod store;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::config::DbmanConfig;
use crate::http::Server;
use crate::http::health::Health;
use store::Store;

const POSTGRES: &str = "postgres";
const PING_EVERY: Duration = Duration::from_secs(1);

pub async fn run(config: DbmanConfig) -> anyhow::Result<()> {
    let store = Store::new(&config)?;
    let mut server = Server::new(config.server.clone(), &[POSTGRES]);
    let pool = PoolMetrics::register(&mut server.registry);
    tokio::spawn(watch_postgres(store.clone(), server.health.clone(), pool));
    server.run(config.listen, routes::router(store)).await
}

/// Makes the tables as soon as PostgreSQL lets it, then keeps readiness and the pool's gauges up to date.
async fn watch_postgres(store: Store, health: Health, pool: PoolMetrics) {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_millis(500))
        .without_max_times();
    let created = (|| store.create_schema())
        .retry(backoff)
        .notify(|error, pause| tracing::warn!(event = "waiting_for_postgres", %error, ?pause))
        .await;
    if let Err(error) = created {
        tracing::error!(event = "schema_failed", %error);
        return;
    }
    if let Err(error) = store.warm_up().await {
        tracing::warn!(event = "pool_not_full", %error);
    }
    tracing::info!(event = "schema_ready");
    let mut ticks = tokio::time::interval(PING_EVERY);
    loop {
        ticks.tick().await;
        match store.ping().await {
            Ok(()) => health.answered(POSTGRES),
            Err(error) => tracing::warn!(event = "postgres_silent", %error),
        }
        pool.update(&store);
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PoolState {
    state: &'static str,
}

struct PoolMetrics {
    connections: Family<PoolState, Gauge>,
    waiting: Gauge,
}

impl PoolMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self { connections: Family::default(), waiting: Gauge::default() };
        registry.register(
            "dbman_pool_connections",
            "Connections to PostgreSQL: busy, idle, and the most there may be",
            metrics.connections.clone(),
        );
        registry.register(
            "dbman_pool_waiting",
            "Requests that wait for a connection to PostgreSQL",
            metrics.waiting.clone(),
        );
        metrics
    }

    fn update(&self, store: &Store) {
        let status = store.pool().status();
        let set = |state, value: usize| {
            self.connections.get_or_create(&PoolState { state }).set(value as i64);
        };
        set("busy", status.size.saturating_sub(status.available));
        set("idle", status.available);
        set("max", status.max_size);
        self.waiting.set(status.waiting as i64);
    }
}
