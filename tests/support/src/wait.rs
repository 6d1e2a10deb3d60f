//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_millis(50);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within the time; the message names what was waited for.
pub async fn eventually<T, F>(what: &str, within: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited {within:?} for {what}");
        sleep(INTERVAL).await;
    }
}
