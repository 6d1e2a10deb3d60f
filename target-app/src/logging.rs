//! JSON lines on standard output, written by a thread of their own: a slow reader of the log must not slow down
//! requests. When 128,000 lines wait, further ones are dropped.

use anyhow::Context;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// The log is complete when the guard has been dropped.
pub fn init(filter: &str) -> anyhow::Result<WorkerGuard> {
    let filter =
        EnvFilter::try_new(filter).with_context(|| format!("the log filter {filter:?} does not parse"))?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stdout());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .init();
    Ok(guard)
}
