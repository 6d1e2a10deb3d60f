//! The logs of the run's pods: read while the pods are there, and kept where the user can read them.

use std::{collections::BTreeMap, sync::Arc};

use futures::{AsyncBufReadExt, StreamExt, stream};
use kube::api::{LogParams, Patch, PatchParams};
use loadtest_core::{
    build, k6,
    machine::{LogSummary, PodState},
    names::RunnerId,
};

use super::{Shared, persist};
use crate::run::observe;

/// A ConfigMap holds 1 MiB; this much of it is shared by the runners.
const KEPT_BYTES: usize = 900_000;
/// So much of one log is read. k6 logs little unless every iteration fails.
const READ_BYTES: i64 = 4 << 20;

/// What the inspection of a script prints, as soon as it is complete. One that fails is left to
/// [`read_inspection`], which knows its end.
pub async fn follow_inspection(s: Arc<Shared>, scenario: String) {
    let params = LogParams { follow: true, limit_bytes: Some(READ_BYTES), ..LogParams::default() };
    let mut lines = match s.pods().log_stream(&s.plan.names.inspect_pod(&scenario), &params).await {
        Ok(stream) => stream.lines(),
        Err(error) => return tracing::debug!(%error, scenario, "failed to follow an inspection"),
    };
    let mut printed = String::new();
    while let Some(Ok(line)) = lines.next().await {
        printed.push_str(&line);
        printed.push('\n');
        if line == "}" && k6::is_whole_inspection(&printed) {
            tracing::debug!(scenario, "inspected");
            return s.tell(move |facts| {
                facts.inspections.entry(scenario).or_insert(Ok(printed));
            });
        }
    }
}

/// What the inspection of a script printed, or its log if it failed.
pub async fn read_inspection(s: Arc<Shared>, scenario: String) {
    let pod = s.plan.names.inspect_pod(&scenario);
    let key = kube::runtime::reflector::ObjectRef::new(&pod).within(&s.plan.names.namespace);
    let state = s.store.get(&key).and_then(|pod| observe::view(&pod)).map(|view| view.state);
    let log = tail(&s, &pod).await;
    let result = match state {
        Some(PodState::Ended { exit_code: Some(0), .. }) => Ok(log),
        _ => Err(log),
    };
    s.tell(move |facts| {
        facts.inspections.entry(scenario).or_insert(result);
    });
}

pub async fn read_last_words(s: Arc<Shared>, runner: RunnerId) {
    let log = tail(&s, &s.plan.names.runner_pod(&runner)).await;
    s.tell(move |facts| drop(facts.last_words.insert(runner, log)));
}

/// A pod's log, or nothing if there is none to read.
pub async fn tail(s: &Shared, pod: &str) -> String {
    let params = LogParams { limit_bytes: Some(READ_BYTES), ..LogParams::default() };
    let mut log = String::new();
    // The kubelet may not have the log of a container that has only just ended.
    for _ in 0..5 {
        match s.pods().logs(pod, &params).await {
            Ok(text) if !text.is_empty() => return text,
            Ok(text) => log = text,
            Err(error) => tracing::debug!(%error, pod, "failed to read a log"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    log
}

/// Reads the logs of all runners, counts what they report, and keeps their ends in a ConfigMap.
pub async fn keep(s: Arc<Shared>) {
    let runners: Vec<RunnerId> = s.plan.runners().filter(|id| s.runner_state(id).is_some()).collect();
    let share = KEPT_BYTES / runners.len().max(1);
    let logs: Vec<(RunnerId, String)> = stream::iter(runners)
        .map(|runner| {
            let s = &s;
            async move {
                let log = tail(s, &s.plan.names.runner_pod(&runner)).await;
                (runner, log)
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;

    let mut summary = LogSummary::default();
    let mut kept = BTreeMap::new();
    for (runner, log) in logs {
        for line in log.lines() {
            if k6::is_push_error(line) {
                summary.push_errors += 1;
            } else if k6::is_exception(line) {
                summary.script_errors += 1;
            }
        }
        kept.insert(runner.to_string(), end_of(&log, share));
    }
    let map = build::build_logs(&s.plan.names, kept);
    let name = s.plan.names.logs_config_map();
    let params = PatchParams::apply("loadtest-operator").force();
    let api = s.config_maps();
    persist("keep the runners' logs", || async {
        match api.patch(&name, &params, &Patch::Apply(&map)).await {
            // Not worth a run: the verdict does not depend on it.
            Err(kube::Error::Api(refusal)) => {
                tracing::warn!(%refusal, "the runners' logs cannot be kept");
                Ok(())
            }
            other => other.map(drop),
        }
    })
    .await;
    s.tell(move |facts| facts.logs = Some(summary));
}

/// The end of a log, from a whole line on.
fn end_of(log: &str, bytes: usize) -> String {
    if log.len() <= bytes {
        return log.to_owned();
    }
    let mut from = log.len() - bytes;
    while !log.is_char_boundary(from) {
        from += 1;
    }
    let tail = &log[from..];
    let whole = tail.find('\n').map_or(tail, |at| &tail[at + 1..]);
    format!("… {} bytes before this are left out\n{whole}", log.len() - whole.len())
}
