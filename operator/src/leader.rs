//! One operator acts at a time. The Lease only saves work: the fence is the resourceVersion of each record.

use anyhow::Context as _;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::sync::watch;

use crate::clients::OwnClient;

/// Short enough that a new leader is there before a fault is far overdue, long enough for a slow API server.
const LEASE_SECONDS: u64 = 6;
/// The holder renews this long before the end.
const GRACE_SECONDS: u64 = 3;

/// Held while this value lives.
pub struct Leadership(Option<watch::Receiver<bool>>);

impl Leadership {
    /// Ends when the Lease is not ours any more.
    pub async fn lost(mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(held) => {
                while *held.borrow_and_update() {
                    if held.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Waits until this process leads.
pub async fn lead(
    own: &OwnClient,
    enabled: bool,
    namespace: &str,
    identity: &str,
) -> anyhow::Result<Leadership> {
    if !enabled {
        return Ok(Leadership(None));
    }
    let manager = LeaseManagerBuilder::new(own.client.clone(), "loadtest-operator")
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(LEASE_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await
        .with_context(|| format!("failed to use the Lease loadtest-operator in namespace {namespace}"))?;
    let (mut held, _task) = manager.watch().await;
    tracing::info!(namespace, identity, "waiting for the Lease");
    while !*held.borrow_and_update() {
        held.changed().await.context("leader election ended")?;
    }
    tracing::info!("leading");
    Ok(Leadership(Some(held)))
}
