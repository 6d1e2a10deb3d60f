//! The command line. Every option can be given by an environment variable, so a Deployment needs no arguments
//! besides the role.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A chat system to put under load: `chat` serves users, `dbman` is the only one that talks to PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "target-app", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub role: Role,
}

#[derive(Debug, Subcommand)]
pub enum Role {
    /// Serve users: accounts, rooms, messages and WebSockets. Needs dbman and Redis.
    Chat(ChatConfig),
    /// Keep users, rooms and messages in PostgreSQL, for chat alone. Needs PostgreSQL.
    Dbman(DbmanConfig),
}

/// What both roles have.
#[derive(Clone, Debug, Args)]
pub struct ServerConfig {
    /// Filter of the log, in the syntax of tracing's EnvFilter. Example: info,target_app=debug
    #[arg(long, env = "LOG_FILTER", default_value = "info", value_name = "FILTER")]
    pub log_filter: String,

    /// How long to go on serving after SIGTERM, until the Service has stopped sending connections here.
    /// During it each answer asks the client to close its connection.
    #[arg(long, env = "DRAIN_DELAY", default_value = "1s", value_parser = parse_duration, value_name = "TIME")]
    pub drain_delay: Duration,

    /// How long to wait after the drain for requests that are still being served.
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub shutdown_timeout: Duration,

    /// Ready while each dependency has answered within this time.
    #[arg(long, env = "READY_WINDOW", default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub ready_window: Duration,

    /// Serve POST /debug/fail, which makes routes fail or answer late. For tests alone.
    #[arg(long, env = "DEBUG_FAULTS")]
    pub debug_faults: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ChatConfig {
    /// Address to serve on.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDR")]
    pub listen: SocketAddr,

    /// Redis, for the fan-out of messages to the WebSockets of all instances.
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", value_name = "URL")]
    pub redis_url: String,

    /// Key that signs bearer tokens, the same for all instances; at least 16 bytes.
    #[arg(long, env = "TOKEN_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub token_secret: String,

    /// How long a bearer token is valid.
    #[arg(long, env = "TOKEN_TTL", default_value = "24h", value_parser = parse_duration, value_name = "TIME")]
    pub token_ttl: Duration,

    /// Password of all users whose name starts with "load-test-user-". Unset: any password will do for them.
    #[arg(long, env = "LOAD_TEST_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub load_test_password: Option<String>,

    #[command(flatten)]
    pub dbman: DbmanClientConfig,

    #[command(flatten)]
    pub server: ServerConfig,
}

/// How chat calls dbman.
#[derive(Clone, Debug, Args)]
pub struct DbmanClientConfig {
    /// Base URL of dbman.
    #[arg(long, env = "DBMAN_URL", default_value = "http://127.0.0.1:8081", value_name = "URL")]
    pub dbman_url: String,

    /// Limit for opening a connection to dbman.
    #[arg(long, env = "DBMAN_CONNECT_TIMEOUT", default_value = "250ms", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_connect_timeout: Duration,

    /// Limit for one try, from the connection to the end of the answer.
    #[arg(long, env = "DBMAN_TIMEOUT", default_value = "1s", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_timeout: Duration,

    /// How long sent data may go without TCP acknowledgement before the connection counts as dead. It finds an
    /// instance that is gone without a word sooner than the limit of a try, and never one that is only slow.
    #[arg(long, env = "DBMAN_TCP_USER_TIMEOUT", default_value = "300ms", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_tcp_user_timeout: Duration,

    /// Further tries after a refused or lost connection, a time-out or a 5xx answer. 0 turns retries off.
    #[arg(long, env = "DBMAN_RETRIES", default_value_t = 5, value_name = "N")]
    pub dbman_retries: usize,

    /// Pause before the first retry. Each further one is twice as long, with jitter.
    #[arg(long, env = "DBMAN_BACKOFF", default_value = "20ms", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_backoff: Duration,

    /// Longest pause between two tries.
    #[arg(long, env = "DBMAN_BACKOFF_MAX", default_value = "320ms", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_backoff_max: Duration,

    /// Limit for a whole call with all its tries and pauses.
    #[arg(long, env = "DBMAN_DEADLINE", default_value = "4s", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_deadline: Duration,

    /// Age at which connections to dbman are given up for new ones, so that all instances get their share again
    /// after one was replaced.
    #[arg(long, env = "DBMAN_CONNECTION_LIFETIME", default_value = "5s", value_parser = parse_duration, value_name = "TIME")]
    pub dbman_connection_lifetime: Duration,

    /// Idle connections to dbman that are kept.
    #[arg(long, env = "DBMAN_MAX_IDLE", default_value_t = 64, value_name = "N")]
    pub dbman_max_idle: usize,
}

#[derive(Clone, Debug, Args)]
pub struct DbmanConfig {
    /// Address to serve on.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8081", value_name = "ADDR")]
    pub listen: SocketAddr,

    /// PostgreSQL: host, port, user and database. Example: postgres://chat@postgres:5432/chat
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "postgres://chat@127.0.0.1:5432/chat",
        value_name = "URL"
    )]
    pub database_url: String,

    /// Password for PostgreSQL, where the URL has none.
    #[arg(long, env = "DATABASE_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub database_password: Option<String>,

    /// Largest number of connections to PostgreSQL.
    #[arg(long, env = "POOL_SIZE", default_value_t = 10, value_name = "N")]
    pub pool_size: usize,

    /// How long a request waits for a free connection before it fails.
    #[arg(long, env = "POOL_WAIT", default_value = "500ms", value_parser = parse_duration, value_name = "TIME")]
    pub pool_wait: Duration,

    /// PostgreSQL's own limit for one statement.
    #[arg(long, env = "STATEMENT_TIMEOUT", default_value = "800ms", value_parser = parse_duration, value_name = "TIME")]
    pub statement_timeout: Duration,

    #[command(flatten)]
    pub server: ServerConfig,
}

/// Reads `250ms`, `1s`, `2m` or `24h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is no time; write for example 250ms, 1s, 2m or 24h"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err(format!("{text:?} has no unit of time: ms, s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_carry_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "250", "ms", "1.5s", "-1s", "1 s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?} was taken");
        }
    }
}
