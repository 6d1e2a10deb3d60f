//! One side: a LoadTest, from its creation to the first request of its last runner.

use anyhow::bail;
use jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use loadtest_crds::{LoadTestStatus, Phase};
use tokio::time::{Duration, Instant, sleep};

use crate::{
    machine::{CpuTimes, busy},
    place::Place,
    start::LIMIT,
    witness::Witness,
};

/// Longer than any measurement: the LoadTest is deleted before.
pub const LOAD: &str = "5m";
/// The run is looked at this often, to learn of its failure.
const LOOK: Duration = Duration::from_millis(500);

/// One measurement.
#[derive(Clone, Debug)]
pub struct Ours {
    /// From the creation to the first request of the last runner.
    pub last: Duration,
    /// From the first runner's first request to the last's.
    pub spread_seen: Duration,
    /// The share of the CPUs that was in use meanwhile.
    pub busy: f64,
    /// From the first resume sent to the last sent, as the status has it.
    pub spread_sent: Duration,
    /// From the first resume sent to the last acknowledged, as the status has it.
    pub spread_recorded: Duration,
    /// Seconds from the creation to each step that the status records.
    pub steps: [Option<f64>; 5],
}

pub async fn measure(place: &Place, witness: &Witness, name: &str, runners: u32) -> anyhow::Result<Ours> {
    let api = place.load_tests();
    let test = place.load_test(name, runners, LOAD)?;
    let prefix = format!("{name}-first-");

    let created_at = Timestamp::now();
    let created = Instant::now();
    api.create(&PostParams::default(), &test).await?;
    let failed = async {
        loop {
            sleep(LOOK).await;
            let status = api.get_status(name).await?.status.unwrap_or_default();
            if status.phase == Phase::Finished {
                let message = status.message.unwrap_or_default();
                anyhow::bail!("{name} ended before its first requests: {message}");
            }
            if created.elapsed() > LIMIT {
                let seen = witness.seen(&prefix).len();
                let message = status.message.unwrap_or_default();
                bail!("{name}: {seen} of {runners} runners sent a request within {LIMIT:?} ({message})");
            }
        }
    };
    let begun = async {
        witness.first_requests(&prefix, 1).await;
        let before = CpuTimes::now();
        let firsts = witness.first_requests(&prefix, runners as usize).await;
        (firsts, busy(before, CpuTimes::now()))
    };
    let (firsts, busy) = tokio::select! {
        begun = begun => begun,
        failed = failed => match failed {
            Ok(never) => never,
            Err(error) => return Err(error),
        },
    };
    let (Some(first), Some(last)) = (firsts.iter().min(), firsts.iter().max()) else { bail!("no runner") };

    let status = recorded(place, name, created).await?;
    let load = status.load.clone().unwrap_or_default();
    let time = |millis: Option<i64>| Duration::from_millis(millis.unwrap_or_default().unsigned_abs());
    api.delete(name, &DeleteParams::background()).await?;
    while api.get_opt(name).await?.is_some() {
        if created.elapsed() > LIMIT {
            bail!("{name} was still there {LIMIT:?} after its creation, though deleted");
        }
        sleep(LOOK / 5).await;
    }
    place.await_no_pods(&format!("{}={name}", loadtest_core::plan::names::RUN_LABEL)).await?;
    Ok(Ours {
        last: last.duration_since(created),
        spread_seen: last.duration_since(*first),
        busy,
        spread_sent: time(load.start_sent_within_milliseconds),
        spread_recorded: time(load.start_spread_milliseconds),
        steps: steps(&status, created_at),
    })
}

/// The status once the start is in it, which is recorded after the runners were told.
async fn recorded(place: &Place, name: &str, created: Instant) -> anyhow::Result<LoadTestStatus> {
    loop {
        let status = place.load_tests().get_status(name).await?.status.unwrap_or_default();
        if status.load.as_ref().is_some_and(|l| l.started_at.is_some()) {
            return Ok(status);
        }
        if created.elapsed() > LIMIT {
            bail!("{name}: the start was not recorded");
        }
        sleep(LOOK / 10).await;
    }
}

/// Names of the steps, in their order.
pub const STEPS: [&str; 5] = ["accepted", "pods asked", "at barrier", "start", "started"];

fn steps(status: &LoadTestStatus, created: Timestamp) -> [Option<f64>; 5] {
    let runners = status.runners.as_ref();
    let load = status.load.as_ref();
    [
        status.accepted_at.as_ref(),
        runners.and_then(|r| r.created_at.as_ref()),
        runners.and_then(|r| r.ready_at.as_ref()),
        load.and_then(|l| l.start_intended_at.as_ref()),
        load.and_then(|l| l.started_at.as_ref()),
    ]
    .map(|at| at.map(|at| at.0.duration_since(created).as_secs_f64()))
}
