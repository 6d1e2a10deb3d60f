//! How long from the creation of a LoadTest to the first request of its last runner, and how far apart do the
//! runners start?
//!
//! Each measurement has a partner: the same pods without an operator, created in one burst until all are Ready. The
//! pairs are interleaved, so that a slow minute of the machine is in both. First requests are taken by a witness in
//! this process, by the clock that also took the time of the creation.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser;

use crate::{
    Common, bare, machine, ours,
    place::Place,
    table::{self, Pair, Size},
    witness::Witness,
};

/// No single measurement may take longer.
pub const LIMIT: Duration = Duration::from_secs(180);

/// How fast runners start, beside bare k6 pods.
#[derive(Parser)]
pub struct Args {
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

    /// How many seconds to wait before each measurement for other work on this machine to end. Of that measured
    /// last, the kubelet still removes volumes and cgroups after the pods are gone.
    #[arg(long, default_value_t = 20)]
    patience: u64,

    #[command(flatten)]
    common: Common,
}

pub async fn bench(args: Args) -> anyhow::Result<()> {
    let witness = args.common.witness().await?;
    let operator = args.operator.as_deref();
    let place = Place::make(&args.common.image, operator, &args.namespace, &witness.url()).await?;
    print!("{}", table::header("Start of runners", &place.describe().await, operator));

    let mut sizes = Vec::new();
    let result = place.watched(measure(&args, &place, &witness, &mut sizes)).await;
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
