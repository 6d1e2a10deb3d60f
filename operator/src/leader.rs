//! One operator acts at a time. The Lease only saves work: the fence is the resourceVersion of each record.

use std::time::Duration;

use anyhow::Context as _;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::{sync::watch, task::JoinHandle};

use crate::clients::OwnClient;

/// Short enough that a new leader is there before a fault is far overdue, long enough for a slow API server.
const LEASE_SECONDS: u64 = 6;
/// The holder renews this long before the end.
const GRACE_SECONDS: u64 = 3;

/// The Lease, held; or nothing, where the administrator has switched the election off.
pub struct Leadership(Option<Lease>);

struct Lease {
    held: watch::Receiver<bool>,
    renewing: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
}

impl Leadership {
    /// Ends when the Lease is not ours any more.
    pub async fn lost(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(lease) => {
                while *lease.held.borrow_and_update() {
                    if lease.held.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Gives the Lease up, so that the next operator need not wait until it expires. Only when all runs have
    /// been let go.
    pub async fn give_up(self) {
        if let Some(Lease { held, renewing }) = self.0 {
            drop(held);
            match tokio::time::timeout(Duration::from_secs(GRACE_SECONDS), renewing).await {
                Ok(Ok(Ok(_))) => tracing::info!("gave the Lease up"),
                _ => tracing::warn!("failed to give the Lease up; it expires by itself"),
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
    let (mut held, renewing) = manager.watch().await;
    tracing::info!(namespace, identity, "waiting for the Lease");
    while !*held.borrow_and_update() {
        held.changed().await.context("leader election ended")?;
    }
    tracing::info!("leading");
    Ok(Leadership(Some(Lease { held, renewing })))
}
