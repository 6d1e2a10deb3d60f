//! Guardrails while the load runs: each is asked every second, and what it says is told to the run.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use jiff::Timestamp;
use loadtest_core::{
    machine::{
        fact::Fact,
        world::{Problem, WatchedQuery},
    },
    prometheus::ask::Answer,
    watch::guardrail::Reading,
};
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, timeout},
};

use super::Shared;
use crate::{prometheus::QueryError, stores::Stores};

/// How often each guardrail is asked.
const POLL: Duration = Duration::from_secs(1);
/// A query that is not answered within this time has no value.
const ANSWER: Duration = Duration::from_secs(3);
/// Queries under way at once: Prometheus itself takes 20.
const PARALLEL: usize = 16;

/// Asks until the run ends. A query that hangs delays no other: it is not asked again before it has an end.
pub async fn watch(s: Arc<Shared>, queries: Vec<WatchedQuery>) {
    let stores = s.stores();
    let room = Semaphore::new(PARALLEL);
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = FuturesUnordered::new();
    let mut under_way: BTreeSet<usize> = BTreeSet::new();
    loop {
        tokio::select! {
            _ = poll.tick() => {
                for (index, query) in queries.iter().enumerate() {
                    if under_way.insert(index) {
                        asked.push(look(&stores, &room, index, query));
                    }
                }
            }
            Some((index, reading)) = asked.next(), if !asked.is_empty() => {
                under_way.remove(&index);
                let mut readings = vec![reading];
                // What has come meanwhile goes with it: each telling is a pass of the run.
                while let Some(Some((index, reading))) = asked.next().now_or_never() {
                    under_way.remove(&index);
                    readings.push(reading);
                }
                s.tell(Fact::Read(readings));
            }
        }
    }
}

async fn look(stores: &Stores, room: &Semaphore, index: usize, watched: &WatchedQuery) -> (usize, Reading) {
    let _permit = room.acquire().await;
    let at = Timestamp::now();
    let value = match timeout(ANSWER, stores.query(&watched.query)).await {
        Ok(Ok(answer)) => one_value(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("Prometheus gave no answer within {} s", ANSWER.as_secs())),
    };
    (index, Reading { guardrail: watched.guardrail.clone(), at, value })
}

fn one_value(answer: &Answer) -> Result<f64, String> {
    match answer {
        Answer::Vector(series) => match series.as_slice() {
            [(_, _, value)] => Ok(*value),
            [] => Err("the query gives nothing".to_owned()),
            several => Err(format!("the query gives {} series, and must give one", several.len())),
        },
        Answer::Failed(why) => Err(why.clone()),
        Answer::Matrix(_) | Answer::Histograms(_) | Answer::Rules(_) => {
            Err("the query gives no number".to_owned())
        }
    }
}

/// What can be said of the guardrails before the start: each is asked once. One without data may get some when
/// there is load.
pub async fn check(s: &Shared) -> Vec<Problem> {
    let stores = &s.stores();
    let checks = s.plan.guardrails.iter().map(|guardrail| async move {
        let why = match stores.query(&guardrail.query).await {
            Ok(Answer::Vector(series)) if series.len() < 2 => return None,
            Ok(Answer::Vector(series)) => format!(
                "the query gives {} series: write one that gives one, as in max({})",
                series.len(),
                guardrail.query
            ),
            Ok(_) => "the query gives no number: write one that gives one series".to_owned(),
            Err(QueryError::Refused(why)) => format!("Prometheus refuses the query: {why}"),
            // That Prometheus does not answer is told once.
            Err(_) => return None,
        };
        let message = format!("guardrail {}: {why}", guardrail.name);
        Some(Problem { reason: "GuardrailInvalid", message })
    });
    join_all(checks).await.into_iter().flatten().collect()
}
