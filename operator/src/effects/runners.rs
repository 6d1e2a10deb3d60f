//! The runners through k6's REST API: barrier, setup(), start, progress, teardown(), counts.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use hyper::body::Bytes;
use jiff::Timestamp;
use loadtest_core::{
    k6::{self, RunnerStatus, log},
    machine::{
        fact::Fact,
        pods::PodState,
        world::{Promptness, RunnerStart},
    },
    plan::names::RunnerId,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, timeout},
};

use super::{Shared, logs};
use crate::{
    failpoint,
    k6_api::{Gate, K6Error, STAGING},
};

/// k6 has no watch: between the container's start and the barrier it is asked this often.
const BARRIER_POLL: Duration = Duration::from_millis(50);
/// All runners together are asked no more often than this: while they start, the CPU is what they wait for.
const BARRIER_POLL_OF_ALL: Duration = Duration::from_millis(5);
/// After the last runner was ready, the cluster is still busy with it (kubelet, API server): for each runner it is
/// given this long, so that those who start have the CPU.
const SETTLE_OF_EACH: Duration = Duration::from_millis(2);
const SETTLE_MOST: Duration = Duration::from_millis(500);
/// While the load runs.
const FOLLOW_POLL: Duration = Duration::from_millis(500);
/// An answer that takes longer is late. k6 answers within a millisecond or two, on a busy machine too; one that has
/// used up its CPU limit takes a good part of the kernel's period of 100 ms (tried with a limit of 20m).
const LATE: Duration = Duration::from_millis(25);
/// Where the operator itself is later than this, it measures itself.
const OWN_DELAY: Duration = Duration::from_millis(5);
/// A load must end at once: a runner that does not answer so soon is ended with its pod.
const STOP_ANSWER: Duration = Duration::from_millis(700);
/// k6 itself limits setup() and teardown() to a minute unless the script says otherwise; this is for scripts
/// that do.
const SETUP_LIMIT: Duration = Duration::from_secs(600);
/// A push takes no longer.
const PUSHED: Duration = Duration::from_millis(200);
/// So many runners are given setup()'s data at once, and fewer where that would be more bytes: each answers with it.
const SETUP_PARALLEL: usize = 64;
const SETUP_BYTES: usize = 16 << 20;
const SETUP_TRIES: usize = 3;

/// Asks until the runner waits at the barrier or its pod is gone.
pub async fn await_barrier(s: Arc<Shared>, runner: RunnerId) {
    let of_all =
        BARRIER_POLL_OF_ALL.saturating_mul(u32::try_from(s.plan.runners().count()).unwrap_or(u32::MAX));
    let mut poll = tokio::time::interval(BARRIER_POLL.max(of_all));
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        match s.runner_state(&runner) {
            Some(PodState::Running { ip }) => {
                if let Ok(status) = s.context.k6.status(&ip).await
                    && status.status >= k6::ExecutionStatus::PAUSED_BEFORE_RUN
                {
                    let now = Timestamp::now();
                    return s.tell(Fact::AtBarrier { runner, at: now });
                }
            }
            Some(PodState::Ended { .. }) => return,
            _ => {}
        }
    }
}

/// Runs setup() on the first runner and hands what it returned to the others.
pub async fn set_up(s: Arc<Shared>, scenario: String) {
    failpoint::hit("setup-intended");
    let result = try_set_up(&s, &scenario).await;
    s.tell(Fact::SetUp { scenario, result });
}

async fn try_set_up(s: &Shared, scenario: &str) -> Result<(), String> {
    let mut runners = s.plan.runners().filter(|id| id.scenario == scenario);
    let first = runners.next().ok_or("the scenario has no runner")?;
    let ip = s.runner_ip(&first).ok_or_else(|| format!("runner {first} is gone"))?;
    let data = match s.context.k6.run_setup(&ip, SETUP_LIMIT).await {
        Ok(data) => data,
        Err(error @ K6Error::Refused { .. }) => return Err(thrown(s, &first, &error, "setup").await),
        Err(error @ K6Error::TooLarge(_)) => {
            return Err(format!("{error}: let it return less, and each runner load the rest by itself"));
        }
        Err(error) => return Err(error.to_string()),
    };
    let at_once = (SETUP_BYTES / data.len().max(1)).clamp(1, SETUP_PARALLEL);
    stream::iter(runners)
        .map(|id| {
            let data = data.clone();
            async move {
                let ip = s.runner_ip(&id).ok_or_else(|| format!("runner {id} is gone"))?;
                hand_on(s, &ip, data).await.map_err(|e| format!("runner {id} did not take its data: {e}"))
            }
        })
        .buffered(at_once)
        .try_collect()
        .await
}

/// The log has the error of a setup() or teardown() on one line, with the place.
async fn thrown(s: &Shared, runner: &RunnerId, error: &K6Error, step: &str) -> String {
    match logs::last_words(s, runner).await {
        Ok(log) => log::error_of_step(&log, step).unwrap_or_else(|| error.to_string()),
        Err(why) => format!("{error}; its log could not be read: {why}"),
    }
}

/// Gives a runner setup()'s data, which it may be given twice: one that was busy is asked again.
async fn hand_on(s: &Shared, ip: &str, data: Bytes) -> Result<(), K6Error> {
    for _ in 1..SETUP_TRIES {
        match s.context.k6.put_setup(ip, data.clone()).await {
            Err(K6Error::Unreachable(_) | K6Error::BrokenOff(_) | K6Error::Silent(_)) => {}
            answer => return answer,
        }
    }
    s.context.k6.put_setup(ip, data).await
}

/// Resumes all runners at once: when every k6 waits for nothing but the body of its request, all bodies go out. One
/// that already runs, after a restart of the operator, was started between its intent and now.
pub async fn start(s: Arc<Shared>, runners: Vec<RunnerId>, intended: Option<Timestamp>) {
    failpoint::hit("start-intended");
    let addressed: Vec<(RunnerId, Option<String>)> =
        runners.into_iter().map(|id| (id.clone(), s.runner_ip(&id))).collect();
    let count = u32::try_from(addressed.len()).unwrap_or(u32::MAX);
    let (staged, mut all_staged) = mpsc::channel(1);
    let (open, opened) = watch::channel(false);
    let starts: Vec<_> = addressed
        .into_iter()
        .map(|(runner, ip)| {
            let (s, gate) = (s.clone(), Gate { staged: staged.clone(), open: opened.clone() });
            // A task each: on one task they would go out one after the other.
            tokio::spawn(async move { start_one(&s, runner, ip, intended, gate).await })
        })
        .collect();
    drop(staged);
    // One that cannot be reached must not hold up the others.
    let _ = timeout(STAGING / 2, async { while all_staged.recv().await.is_some() {} }).await;
    tokio::time::sleep(SETTLE_OF_EACH.saturating_mul(count).min(SETTLE_MOST)).await;
    open.send_replace(true);
    let starts: Vec<RunnerStart> = join_all(starts).await.into_iter().filter_map(Result::ok).collect();
    failpoint::hit("started");
    s.tell(Fact::Started(starts));
}

async fn start_one(
    s: &Shared,
    runner: RunnerId,
    ip: Option<String>,
    intended: Option<Timestamp>,
    gate: Gate,
) -> RunnerStart {
    let Some(ip) = ip else {
        let acknowledged = Err("its pod is not running".to_owned());
        return RunnerStart { runner, sent: Timestamp::now(), acknowledged };
    };
    let (sent, resumed) = s.context.k6.resume(&ip, gate).await;
    match resumed {
        Ok(_) => RunnerStart { runner, sent, acknowledged: Ok(Timestamp::now()) },
        // A second resume is refused, and a lost answer says nothing: ask how it stands.
        Err(error) => match s.context.k6.status(&ip).await {
            Ok(status) if !status.paused => {
                RunnerStart { runner, sent: intended.unwrap_or(sent), acknowledged: Ok(Timestamp::now()) }
            }
            _ => RunnerStart { runner, sent, acknowledged: Err(error.to_string()) },
        },
    }
}

/// Asks how far the runner is until it is through or its pod has ended. Only an end wakes the run; with it goes how
/// promptly the runner has answered.
pub async fn follow(s: Arc<Shared>, runner: RunnerId) {
    let mut promptness = Promptness::default();
    let last = follow_to_end(&s, &runner, &mut promptness).await;
    s.tell(Fact::Followed { runner, promptness, last });
}

/// `None` where its pod has ended before it.
async fn follow_to_end(s: &Shared, runner: &RunnerId, promptness: &mut Promptness) -> Option<RunnerStatus> {
    let mut poll = tokio::time::interval_at(Instant::now() + turn(s, runner), FOLLOW_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = poll.tick().await;
        match s.runner_state(runner) {
            Some(PodState::Running { ip }) => {
                let sent = Instant::now();
                let answer = s.context.k6.status(&ip).await;
                if sent.duration_since(due) < OWN_DELAY {
                    promptness.answers += 1;
                    promptness.late += i64::from(sent.elapsed() > LATE);
                }
                if let Ok(status) = answer
                    && status.status.has_ended()
                {
                    return Some(status);
                }
            }
            Some(PodState::Ended { .. }) | None => return None,
            Some(PodState::Waiting { .. }) => {}
        }
    }
}

/// Each runner is asked at a time of its own: all at once they would be late for no other reason than that.
fn turn(s: &Shared, runner: &RunnerId) -> Duration {
    let runners: Vec<RunnerId> = s.plan.runners().collect();
    let position = runners.iter().position(|id| id == runner).unwrap_or_default();
    FOLLOW_POLL.mul_f64((position + 1) as f64 / runners.len().max(1) as f64)
}

/// Ends the load of all runners at once. k6 stays, for teardown() and its counts.
pub async fn stop_load(s: Arc<Shared>, runners: Vec<RunnerId>) {
    let stops = runners.into_iter().filter_map(|id| Some((s.runner_ip(&id)?, id)));
    let unstopped: Vec<RunnerId> = join_all(stops.map(|(ip, id)| {
        let s = &s;
        async move {
            let stopped = timeout(STOP_ANSWER, s.context.k6.stop(&ip)).await;
            if matches!(stopped, Ok(Ok(()))) {
                return None;
            }
            tracing::warn!(runner = %id, "the load was not stopped through k6's API");
            Some(id)
        }
    }))
    .await
    .into_iter()
    .flatten()
    .collect();
    s.tell(Fact::LoadStopped { unstopped });
}

pub async fn tear_down(s: Arc<Shared>, scenario: String, runner: RunnerId) {
    // A sample has the time of its push: what teardown() does must not come with the last of the load.
    tokio::time::sleep(s.context.config.load_store.push_interval + PUSHED).await;
    let result = match s.runner_ip(&runner) {
        None => Err(format!("runner {runner} is gone")),
        Some(ip) => match s.context.k6.run_teardown(&ip, SETUP_LIMIT).await {
            Err(error @ K6Error::Refused { .. }) => Err(thrown(&s, &runner, &error, "teardown").await),
            other => other.map_err(|error| error.to_string()),
        },
    };
    if let Err(error) = &result {
        tracing::warn!(%error, scenario, "teardown() failed");
    }
    s.tell(Fact::TornDown { scenario, result });
}

/// The sum of the runners' own counts, if every one of them can tell.
pub async fn count_requests(s: Arc<Shared>, runners: Vec<RunnerId>) {
    let counts = stream::iter(runners)
        .map(|runner| {
            let s = &s;
            async move { s.context.k6.requests(&s.runner_ip(&runner)?).await.ok() }
        })
        .buffer_unordered(64)
        .collect::<Vec<Option<i64>>>()
        .await;
    let sum = counts.into_iter().sum::<Option<i64>>();
    s.tell(Fact::Counted(sum));
}
