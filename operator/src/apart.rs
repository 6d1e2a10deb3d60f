//! Work that takes long, as a run's figures, its record and large answers: it is done apart from the few threads that
//! serve everything else, so that liveness, the Lease and due faults never wait for it.

use std::{num::NonZero, panic::resume_unwind, sync::LazyLock, thread::available_parallelism};

use tokio::{sync::Semaphore, task::spawn_blocking};
use tracing::Span;

/// One CPU is left for everything else, where there are several; the others wait for their turn.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cpus = available_parallelism().map_or(1, NonZero::get);
    Semaphore::new((cpus - 1).max(1))
});

/// Does a piece of work and gives what comes of it.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let place = PLACES.acquire().await;
    let span = Span::current();
    let done = spawn_blocking(move || {
        // To the end of the work, also where nobody waits for it any more.
        let _place = place;
        span.in_scope(work)
    });
    match done.await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The process is ending.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_one_thread_goes_on_meanwhile() {
        let (go_on, told) = mpsc::channel();
        let work = apart(move || told.recv().is_ok());
        let (heard, ()) = tokio::join!(work, async move { go_on.send(()).unwrap() });
        assert!(heard);
    }
}
