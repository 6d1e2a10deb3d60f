//! What the operator's speed and size are, on this machine and its cluster. Nothing is judged: the goals stand beside
//! the figures.

mod active;
mod bare;
mod machine;
mod operator;
mod ours;
mod place;
mod start;
mod table;
mod witness;

use std::{
    net::{IpAddr, UdpSocket},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;

use crate::witness::Witness;

/// Measures the operator. The goals are printed, not enforced.
#[derive(Parser)]
#[command(name = "bench")]
enum Command {
    Start(start::Args),
    Active(active::Args),
}

/// What every measurement can be told.
#[derive(clap::Args)]
struct Common {
    /// The k6 image of the runners.
    #[arg(long, default_value_t = loadtest_crds::Runner::default().image)]
    image: String,

    /// This machine's address, as the pods reach it. Default: the one from which the API server is reached.
    #[arg(long)]
    address: Option<IpAddr>,
}

impl Common {
    async fn witness(&self) -> anyhow::Result<Witness> {
        let address = match self.address {
            Some(address) => address,
            None => {
                let url = test_support::config().await.cluster_url;
                address_towards(&url).context("give this machine's address with --address")?
            }
        };
        Witness::listen(address)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Start(args) => start::bench(args).await,
        Command::Active(args) => active::bench(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The address of this machine on the way to the API server: also the pods' way, unless the cluster is far away.
fn address_towards(url: &impl ToString) -> anyhow::Result<IpAddr> {
    let url = url.to_string();
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let target = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:443") };
    // Connecting a datagram socket sends nothing: it only chooses the route.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(&target).with_context(|| format!("failed to find the way to {target}"))?;
    Ok(socket.local_addr()?.ip())
}
