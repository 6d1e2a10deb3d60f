//! How long from the creation of a LoadTest to the first request of its last runner, and how far apart do the
//! runners start?
//!
//! Each measurement has a partner: the same pods without an operator, created in one burst until all are Ready. The
//! pairs are interleaved, so that a slow minute of the machine is in both. First requests are taken by a witness in
//! this process, by the clock that also took the time of the creation. Nothing is judged: the goals stand beside the
//! figures.

mod bare;
mod machine;
mod operator;
mod ours;
mod place;
mod table;
mod witness;

use std::{
    net::{IpAddr, UdpSocket},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Parser;

use crate::{
    place::Place,
    table::{Pair, Size},
    witness::Witness,
};

/// No single measurement may take longer.
const LIMIT: Duration = Duration::from_secs(180);

/// Measures how fast runners start, beside bare k6 pods. The goals are printed, not enforced.
#[derive(Parser)]
#[command(name = "bench-start")]
struct Args {
    /// Numbers of runner pods to measure, as in 4,20,50.
    #[arg(long, value_delimiter = ',', default_value = "4,20,50", value_parser = clap::value_parser!(u32).range(1..=500))]
    runners: Vec<u32>,

    /// Pairs of measurements for each number of runners.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,

    /// Start this operator's binary for the measurement, in a namespace of its own. Without it the installed
    /// operator is measured.
    #[arg(long)]
    operator: Option<PathBuf>,

    /// A namespace that the installed operator serves.
    #[arg(long, default_value = "loadtests")]
    namespace: String,

    /// The k6 image of both sides.
    #[arg(long, default_value_t = loadtest_crds::Runner::default().image)]
    image: String,

    /// How many seconds to wait before each measurement for other work on this machine to end. Of that measured
    /// last, the kubelet still removes volumes and cgroups after the pods are gone.
    #[arg(long, default_value_t = 20)]
    patience: u64,

    /// This machine's address, as the pods reach it. Default: the one from which the API server is reached.
    #[arg(long)]
    address: Option<IpAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match bench(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(args: Args) -> anyhow::Result<()> {
    let config = test_support::config().await;
    let client = test_support::client().await;
    let address = match args.address {
        Some(address) => address,
        None => address_towards(&config.cluster_url).context("give this machine's address with --address")?,
    };
    let witness = Witness::listen(address).await?;
    let place = Place::make(client, &args, &witness.url()).await?;
    print!("{}", table::header(&place.describe().await, args.operator.as_deref()));

    let mut sizes = Vec::new();
    let result = tokio::select! {
        result = measure(&args, &place, &witness, &mut sizes) => result.inspect_err(|_| place.show_log()),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if sizes.iter().any(|size: &Size| !size.pairs.is_empty()) {
        print!("{}", table::summary(&sizes));
    }
    place.clean().await;
    result
}

async fn measure(args: &Args, place: &Place, witness: &Witness, sizes: &mut Vec<Size>) -> anyhow::Result<()> {
    // The first pods of a day read their image from the disk.
    let least = args.runners.iter().copied().min().unwrap_or(1);
    let patience = Duration::from_secs(args.patience);
    pair(place, witness, least, "warm", patience).await.context("the warm-up failed")?;
    print!("{}", table::pair_header());
    for &runners in &args.runners {
        sizes.push(Size { runners, pairs: Vec::new() });
        for index in 1..=args.pairs {
            let pair = pair(place, witness, runners, &index.to_string(), patience).await?;
            print!("{}", table::pair_line(runners, index, &pair));
            if let Some(size) = sizes.last_mut() {
                size.pairs.push(pair);
            }
        }
    }
    Ok(())
}

async fn pair(
    place: &Place,
    witness: &Witness,
    runners: u32,
    index: &str,
    patience: Duration,
) -> anyhow::Result<Pair> {
    let busy_before_ours = machine::await_quiet(patience).await;
    let ours = bounded(ours::measure(place, witness, &format!("start-{runners}-{index}"), runners)).await?;
    let busy_before_bare = machine::await_quiet(patience).await;
    let bare = bounded(bare::measure(place, &format!("bare-{runners}-{index}"), runners)).await?;
    Ok(Pair { ours, bare, busy: [busy_before_ours, busy_before_bare] })
}

/// A measurement with what is cleaned up after it. Its own steps are bounded too, and say better what was slow.
async fn bounded<T>(measurement: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let limit = 2 * LIMIT;
    match tokio::time::timeout(limit, measurement).await {
        Ok(result) => result,
        Err(_) => bail!("a measurement took longer than {limit:?}: does the API server answer?"),
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
