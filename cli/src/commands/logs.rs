//! `logs`: what the k6 runners wrote, from their pods while they are there and from the kept logs afterwards.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};

use crate::args::LogsArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::{find, screen};

const RUN_LABEL: &str = "loadtest.dev/run";

pub async fn execute(cluster: &Cluster, args: &LogsArgs) -> Result<u8, Error> {
    let name = find::bare(&args.name);
    find::get(cluster, name).await?;
    let wanted = args.runner.as_deref();
    let mut logs = kept(cluster, name).await?;
    let pods = pods(cluster, name).await?;
    let mut known: Vec<String> = logs.keys().chain(pods.keys()).cloned().collect();
    known.sort();
    known.dedup();

    logs.retain(|runner, _| is_wanted(runner, wanted));
    for (runner, pod) in pods {
        // A kept log is whole; a pod's may have been cut by the kubelet.
        if is_wanted(&runner, wanted) && !logs.contains_key(&runner) {
            logs.insert(runner, pod_log(cluster, &pod).await?);
        }
    }
    if logs.is_empty() {
        return Err(nothing(cluster, name, wanted, &known));
    }
    let several = logs.len() > 1;
    for (runner, log) in &logs {
        if several {
            screen::print_line(&format!("==> {runner} <=="))?;
        }
        screen::print(log)?;
        if !log.ends_with('\n') {
            screen::print_line("")?;
        }
    }
    Ok(0)
}

/// The logs that the operator kept when the runners had ended, by runner.
async fn kept(cluster: &Cluster, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<ConfigMap> = cluster.api();
    let map = api.get_opt(&format!("{name}-logs")).await;
    let map = map.map_err(|error| cluster.explain(error, format!("get ConfigMap {name}-logs")))?;
    let data = map.and_then(|map| map.data).unwrap_or_default();
    Ok(data.into_iter().map(|(key, log)| (key.trim_end_matches(".log").to_owned(), log)).collect())
}

/// The pods of the run that have begun to write, by runner.
async fn pods(cluster: &Cluster, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<Pod> = cluster.api();
    let pods = api.list(&ListParams::default().labels(&format!("{RUN_LABEL}={name}"))).await;
    let pods = pods.map_err(|error| cluster.explain(error, format!("list the pods of LoadTest {name}")))?;
    let prefix = format!("{name}-");
    Ok(pods
        .items
        .iter()
        .filter(|pod| has_started(pod))
        .map(|pod| {
            let name = pod.name_any();
            (name.strip_prefix(&prefix).unwrap_or(&name).to_owned(), name)
        })
        .collect())
}

fn has_started(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().any(|container| {
        container.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

async fn pod_log(cluster: &Cluster, pod: &str) -> Result<String, Error> {
    let api: Api<Pod> = cluster.api();
    let log = api.logs(pod, &LogParams::default()).await;
    log.map_err(|error| cluster.explain(error, format!("read the log of pod {pod}")))
}

/// `chat-0` is one runner, `chat` all of the scenario.
fn is_wanted(runner: &str, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| {
        runner == wanted
            || runner.rsplit_once('-').is_some_and(|(scenario, part)| {
                scenario == wanted && (part == "inspect" || part.chars().all(|c| c.is_ascii_digit()))
            })
    })
}

fn nothing(cluster: &Cluster, name: &str, wanted: Option<&str>, known: &[String]) -> Error {
    if known.is_empty() {
        return Error::NoLogs {
            message: format!("LoadTest {name} has no logs"),
            advice: format!(
                "its runners may not have started: {}",
                cluster.command(&format!("status {name}"))
            ),
        };
    }
    Error::NoLogs {
        message: format!("LoadTest {name} has no runner {}", wanted.unwrap_or_default()),
        advice: format!("it has {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_stands_for_its_runners() {
        assert!(is_wanted("chat-0", None));
        assert!(is_wanted("chat-0", Some("chat-0")));
        assert!(is_wanted("chat-10", Some("chat")));
        assert!(is_wanted("chat-inspect", Some("chat")));
        assert!(!is_wanted("chat-1", Some("chat-10")));
        assert!(!is_wanted("chat-room-0", Some("chat")));
    }
}
