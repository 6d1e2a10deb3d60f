//! The logs of the run's pods: read while the pods are there, and kept where the user can read them.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{LogParams, Patch, PatchParams},
};
use loadtest_core::{
    k6::{inspect, log::Log},
    machine::{fact::Fact, pods::PodState, world::LogSummary},
    objects,
    plan::names::RunnerId,
    prometheus::ask::short,
};
use tokio::time::{sleep, timeout};

use super::{
    Shared,
    objects::{Whose, whose},
    persist::{DISPENSABLE, No, persist_until},
};
use crate::{error::said, run::observe};

const KEEP: &str = "keep the runners' logs";
/// A ConfigMap holds 1 MiB; this much of it is shared by the runners.
const KEPT_BYTES: usize = 900_000;
/// So many logs are read at once: each is on its way through the API server and the operator.
const PARALLEL: usize = 16;
/// What is read of an inspection, or of a runner that died early: their errors are at the end. The options of a
/// script are some kilobytes.
const READ_BYTES: usize = 1 << 20;
/// A log that cannot be read is tried again for so long. A kubelet that restarts, or an API server, is back by then.
const PATIENCE: Duration = Duration::from_secs(40);
/// Where nothing but a message hangs on it.
const LITTLE_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries; it doubles, up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The kubelet may not have the log of a container that has only just ended: one that stays empty for so long is.
const EMPTY: Duration = Duration::from_millis(500);
/// A log that has ended comes without pauses.
const STALLED: Duration = Duration::from_secs(10);

/// What the inspection of a script prints, as soon as it is complete. One that fails is left to
/// [`read_inspection`], which knows its end.
pub async fn follow_inspection(s: Arc<Shared>, scenario: String) {
    let limit_bytes = i64::try_from(READ_BYTES).ok();
    let params = LogParams { follow: true, limit_bytes, ..LogParams::default() };
    let mut lines = match s.pods().log_stream(&s.plan.names.inspect_pod(&scenario), &params).await {
        Ok(stream) => stream.lines(),
        Err(error) => return tracing::debug!(%error, scenario, "failed to follow an inspection"),
    };
    let mut printed = String::new();
    while let Some(Ok(line)) = lines.next().await {
        printed.push_str(&line);
        printed.push('\n');
        if line == "}" && inspect::is_whole_inspection(&printed) {
            tracing::debug!(scenario, "inspected");
            return s.tell(Fact::Inspected { scenario, result: Ok(printed) });
        }
    }
}

/// What the inspection of a script printed, or its log if it failed. What cannot be read is tried again until the
/// start is given up.
pub async fn read_inspection(s: Arc<Shared>, scenario: String) {
    let begun = Instant::now();
    while begun.elapsed() < s.plan.start_timeout {
        match try_read_inspection(&s, &scenario).await {
            Ok(result) => {
                return s.tell(Fact::Inspected { scenario, result });
            }
            Err(why) => {
                tracing::warn!(scenario, %why, "failed to read what an inspection printed");
                s.tell(Fact::InspectionUnread { scenario: scenario.clone(), why: why.to_string() });
            }
        }
        sleep(LONGEST_PAUSE).await;
    }
}

async fn try_read_inspection(s: &Shared, scenario: &str) -> Result<Result<String, String>, Unread> {
    let pod = s.plan.names.inspect_pod(scenario);
    let log = read(&s.pods(), &pod, READ_BYTES, LITTLE_PATIENCE).await?;
    match observe::state_of(&s.store, &s.plan.names, &pod) {
        None => Err(Unread::Gone),
        // k6 inspect has printed its document, or it had failed.
        Some(PodState::Ended { exit_code: Some(0), .. }) if log.is_empty() => Err(Unread::Empty),
        Some(PodState::Ended { exit_code: Some(0), .. }) => Ok(Ok(log.into_end())),
        Some(_) => Ok(Err(log.into_end())),
    }
}

pub async fn read_last_words(s: Arc<Shared>, runner: RunnerId) {
    let log = last_words(&s, &runner).await.map_err(|why| why.to_string());
    s.tell(Fact::LastWords { runner, log });
}

/// What a runner has logged so far.
pub async fn last_words(s: &Shared, runner: &RunnerId) -> Result<String, Unread> {
    let pod = s.plan.names.runner_pod(runner);
    read(&s.pods(), &pod, READ_BYTES, LITTLE_PATIENCE).await.map(Log::into_end)
}

/// Reads the logs of all runners, counts what they report, and keeps their ends in a ConfigMap.
/// Of a load that never started, nothing hangs on them.
pub async fn keep(s: Arc<Shared>, started: bool) {
    let runners: Vec<RunnerId> = s.plan.runners().collect();
    let patience = if started { PATIENCE } else { LITTLE_PATIENCE };
    let share = KEPT_BYTES / runners.len().max(1);
    let logs: Vec<(RunnerId, Result<Log, Unread>)> = stream::iter(runners)
        .map(|runner| {
            let s = &s;
            async move {
                let log = read(&s.pods(), &s.plan.names.runner_pod(&runner), share, patience).await;
                (runner, log)
            }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;

    let mut summary = LogSummary::default();
    let mut kept = BTreeMap::new();
    for (runner, log) in logs {
        let end = match log {
            Ok(log) => {
                summary.script_errors += log.script_errors;
                summary.marked_failed = summary.marked_failed.or_else(|| log.marked_failed.clone());
                log.into_end()
            }
            Err(why) => {
                tracing::warn!(%runner, %why, "a runner's log was not read");
                let end = format!("this log could not be read: {why}\n");
                summary.unread.insert(runner.clone(), why.to_string());
                end
            }
        };
        kept.insert(runner.to_string(), end);
    }
    let map = objects::build_logs(&s.plan.names, kept);
    let name = s.plan.names.logs_config_map();
    let params = PatchParams::apply("loadtest-operator").force();
    let api = s.config_maps();
    let kept = persist_until(KEEP, sleep(DISPENSABLE), || async {
        let whose = whose(&api, &name, &s.plan.names.uid).await?;
        if whose != Whose::Others {
            api.patch(&name, &params, &Patch::Apply(&map)).await?;
        }
        Ok(whose)
    });
    // Not worth a run: the verdict does not depend on it.
    match kept.await {
        Ok(Whose::Others) => {
            tracing::warn!(name, "failed to {KEEP}: a ConfigMap of that name is not of this run");
        }
        Ok(Whose::Ours | Whose::Nobodys) => {}
        Err(No::Gone) => tracing::warn!("failed to {KEEP}: the namespace is gone"),
        Err(No::Refused(refused)) => s.refused(KEEP, &refused),
    }
    s.tell(Fact::LogsKept(summary));
}

/// Why a log was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("{}", short(&said(.0)))]
    Refused(#[from] kube::Error),
    #[error("it broke off: {}", short(&.0.to_string()))]
    BrokenOff(#[from] std::io::Error),
    #[error("nothing of it came for {} s", STALLED.as_secs())]
    Stalled,
    #[error("it was not read to its end within {} s", .0.as_secs())]
    Late(Duration),
    #[error("its pod is gone")]
    Gone,
    #[error("it is empty")]
    Empty,
    #[error("{}", short(.0))]
    Kubelet(String),
}

/// Reads a whole log and keeps the end of it; tries again for as long as the patience lasts. Else, why not.
async fn read(pods: &Api<Pod>, pod: &str, keeps: usize, patience: Duration) -> Result<Log, Unread> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut empty_since: Option<Instant> = None;
    let mut why = Unread::Late(patience);
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        match timeout(left, read_once(pods, pod, keeps)).await {
            Ok(Ok(log)) if !log.is_empty() => return Ok(log),
            Ok(Ok(log)) => {
                if empty_since.get_or_insert_with(Instant::now).elapsed() > EMPTY {
                    return Ok(log);
                }
            }
            // A kubelet that has just started does not know its pods yet either.
            Ok(Err(Unread::Refused(kube::Error::Api(refusal))))
                if refusal.code == 404 && matches!(pods.get_opt(pod).await, Ok(None)) =>
            {
                return Err(Unread::Gone);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, pod, "failed to read a log");
                why = error;
            }
            Err(_) => return Err(why),
        }
        if begun.elapsed() + pause > patience {
            return Err(why);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn read_once(pods: &Api<Pod>, pod: &str, keeps: usize) -> Result<Log, Unread> {
    let mut stream = pin!(pods.log_stream(pod, &LogParams::default()).await?);
    let mut log = Log::keeping(keeps);
    loop {
        let bytes = timeout(STALLED, stream.fill_buf()).await.map_err(|_| Unread::Stalled)??;
        if bytes.is_empty() {
            return log.finish().map_err(Unread::Kubelet);
        }
        log.take(bytes);
        let taken = bytes.len();
        stream.consume_unpin(taken);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::{Client, Config};
    use wiremock::{
        Mock, MockServer, Request, ResponseTemplate,
        matchers::{any, path},
    };

    use super::*;

    const LOG: &str = "/api/v1/namespaces/loadtests/pods/chat-a-0/log";
    const THROWN: &str = "level=error msg=\"Error: boom\" source=stacktrace";

    /// Answers the first ones so, and all others with the last.
    async fn serve(answers: Vec<ResponseTemplate>) -> (MockServer, Api<Pod>) {
        let server = MockServer::start().await;
        let asked = AtomicUsize::new(0);
        let answer = move |_: &Request| {
            let nth = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
            answers[nth].clone()
        };
        Mock::given(path(LOG)).respond_with(answer).mount(&server).await;
        Mock::given(any()).respond_with(not_found()).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        (server, Api::namespaced(client, "loadtests"))
    }

    fn not_found() -> ResponseTemplate {
        ResponseTemplate::new(404).set_body_json(serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "pods \"chat-a-0\" not found",
        }))
    }

    fn text(text: impl Into<String>) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_string(text)
    }

    #[tokio::test]
    async fn a_log_is_read_to_its_last_line_as_soon_as_it_can_be() {
        let line = format!("{}\n", "x".repeat(1023));
        let whole = format!("{}{THROWN}\n", line.repeat(5 * 1024));
        let kubelet = text("unable to retrieve container logs for containerd://b91ca08d");
        let answers =
            vec![ResponseTemplate::new(500), ResponseTemplate::new(500), kubelet, text(""), text(whole)];
        let (_server, pods) = serve(answers).await;
        let log = read(&pods, "chat-a-0", 2000, PATIENCE).await.unwrap();
        assert_eq!(log.script_errors, 1);
        let end = log.into_end();
        assert!(end.len() < 2100 && end.ends_with(&format!("{line}{THROWN}\n")), "{end}");
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_is_not_an_empty_one() {
        let (_server, pods) = serve(vec![ResponseTemplate::new(500).set_body_string("no luck")]).await;
        let why = read(&pods, "chat-a-0", 100, Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(why.contains("no luck"), "{why}");
        let kubelet = "failed to open log file \"/var/log/pods/x\": no such file or directory";
        let (_server, pods) = serve(vec![text(kubelet)]).await;
        let why = read(&pods, "chat-a-0", 100, Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(why.contains("no such file"), "{why}");
    }

    #[tokio::test]
    async fn a_pod_that_is_gone_is_not_waited_for() {
        let (_server, pods) = serve(vec![not_found()]).await;
        assert_eq!(read(&pods, "chat-a-0", 100, PATIENCE).await.unwrap_err().to_string(), "its pod is gone");
    }

    #[tokio::test]
    async fn a_log_that_stays_empty_is_empty() {
        let (_server, pods) = serve(vec![text("")]).await;
        assert!(read(&pods, "chat-a-0", 100, PATIENCE).await.unwrap().is_empty());
    }
}
