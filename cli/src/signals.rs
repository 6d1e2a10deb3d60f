//! The signals by which a person or a cluster ends this program.

use std::future::Future;

use crate::error::Error;

/// Takes the signals up from now on; the future waits for the first and answers with the exit code that shells expect.
/// SIGTERM is among them: as the first process of a container, a program that does not take it up is not ended by it.
#[cfg(unix)]
pub fn listen() -> Result<impl Future<Output = u8>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::internal("listen for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    })
}

#[cfg(windows)]
pub fn listen() -> Result<impl Future<Output = u8>, Error> {
    let mut interrupt =
        tokio::signal::windows::ctrl_c().map_err(|error| Error::internal("listen for signals", error))?;
    Ok(async move {
        interrupt.recv().await;
        130
    })
}
