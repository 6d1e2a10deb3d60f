//! The signals by which a person or a cluster ends this program.

use crate::error::Error;

/// Waits for the first of them and answers with the exit code that shells expect. SIGTERM is taken up as well: as the
/// first process of a container, a program that does not take it up would never be ended by it.
#[cfg(unix)]
pub async fn interrupted() -> Result<u8, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::internal("listen for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(130),
        _ = terminate.recv() => Ok(143),
    }
}

#[cfg(not(unix))]
pub async fn interrupted() -> Result<u8, Error> {
    tokio::signal::ctrl_c().await.map_err(|error| Error::internal("listen for signals", error))?;
    Ok(130)
}
