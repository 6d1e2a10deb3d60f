//! The LoadTest operator: effects only. What a run means and what comes next is decided in `loadtest-core`.
//!
//! `supervisor` watches LoadTests and starts one task per active run; `run` is that task, with its five
//! steps; `effects` is what a run does to the world, one file per kind.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, ValueEnum};

mod apart;
mod claims;
mod clients;
mod config;
mod context;
mod effects;
mod error;
mod events;
mod failpoint;
mod http;
mod k6_api;
mod leader;
mod metrics;
mod otlp;
mod prometheus;
mod room;
mod run;
mod stores;
mod supervisor;

use crate::{clients::OwnClient, config::Config, context::Context, metrics::Metrics};

/// Answers come and go by the megabyte, on several threads. This allocator gives their memory back within a second or
/// two, as `.cargo/config.toml` tells it; that of libc keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs LoadTests: k6 runners that start together, faults while the load runs, and a verdict.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// Configuration file: served namespaces, Prometheus endpoints, leader election.
    #[arg(long, env = "LOADTEST_CONFIG", default_value = "/etc/loadtest-operator/config.yaml")]
    config: PathBuf,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "LOADTEST_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,

    /// How log lines look.
    #[arg(long, env = "LOADTEST_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,

    /// This pod's name: the identity in leader election.
    #[arg(long, env = "POD_NAME", default_value = "loadtest-operator")]
    pod_name: String,

    /// This pod's namespace, where the Lease is kept.
    #[arg(long, env = "POD_NAMESPACE", default_value = "loadtest-system")]
    pod_namespace: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    init_logs(args.log_format);
    end_on_panic();
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn init_logs(format: LogFormat) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs.init(),
    }
}

/// A task that has panicked would be waited for, for ever. Runs go on from their records with the next process.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}");
        std::process::exit(101);
    }));
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    let metrics = Arc::new(Metrics::default());
    let health = http::Health::default();
    let http = tokio::spawn(http::serve(args.http_address, metrics.clone(), health.clone()));

    let own = OwnClient::infer().await?;
    // The one that stands by is as ready as the leader, or a rollout would wait for it for ever.
    health.set_ready();
    let election = config.leader_election.enabled;
    let lead = leader::lead(&own, election, &args.pod_namespace, &args.pod_name);
    let mut leadership = tokio::select! {
        leadership = lead => leadership?,
        ended = http_ended(http) => return ended,
        () = http::terminated() => return Ok(()),
    };
    let context = Arc::new(Context::new(own, config, metrics, args.pod_name)?);
    // Whichever ends first, the runs are let go with the supervisor before the Lease is.
    let ended = tokio::select! {
        ended = supervisor::supervise(context) => ended,
        () = leadership.lost() => anyhow::bail!("the Lease was lost: another operator may be acting, so this one ends"),
        () = http::terminated() => {
            tracing::info!("asked to end; runs go on with the next operator");
            Ok(())
        }
    };
    leadership.give_up().await;
    ended
}

async fn http_ended(task: tokio::task::JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    task.await?
}
