//! `logs`: what the k6 runners wrote, from their pods while they are there and from the kept logs afterwards.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use loadtest_core::plan::names::owner_of;

use crate::{args::LogsArgs, cluster::Cluster, error::Error, find, screen};

const RUN_LABEL: &str = "loadtest.dev/run";

pub async fn execute(cluster: &Cluster, args: &LogsArgs) -> Result<u8, Error> {
    let name = find::bare(&args.name);
    let test = find::get(cluster, name).await?;
    let uid = test.metadata.uid.as_deref();
    let wanted = args.runner.as_deref();
    let Kept { mut logs, in_the_way } = kept(cluster, name, uid).await?;
    let pods = pods(cluster, name, uid).await?;
    if let Some(map) = in_the_way {
        if pods.is_empty() {
            return Err(not_kept(name, &map));
        }
        screen::note(&format!("ConfigMap {map} is not of this run, and is left out"));
    }
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
#[derive(Default)]
struct Kept {
    logs: BTreeMap<String, String>,
    /// The name of a ConfigMap of somebody else where they would be.
    in_the_way: Option<String>,
}

async fn kept(cluster: &Cluster, name: &str, uid: Option<&str>) -> Result<Kept, Error> {
    let api: Api<ConfigMap> = cluster.api();
    let map_name = format!("{name}-logs");
    let map = api.get_opt(&map_name).await;
    let map = map.map_err(|error| cluster.explain(error, format!("get ConfigMap {map_name}")))?;
    let Some(map) = map else { return Ok(Kept::default()) };
    if owner_of(&map.metadata) != uid {
        return Ok(Kept { in_the_way: Some(map_name), ..Kept::default() });
    }
    let data = map.data.unwrap_or_default().into_iter();
    let logs = data.map(|(key, log)| (key.trim_end_matches(".log").to_owned(), log)).collect();
    Ok(Kept { logs, in_the_way: None })
}

/// The pods of the run that have begun to write, by runner.
async fn pods(cluster: &Cluster, name: &str, uid: Option<&str>) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<Pod> = cluster.api();
    let pods = api.list(&ListParams::default().labels(&format!("{RUN_LABEL}={name}"))).await;
    let pods = pods.map_err(|error| cluster.explain(error, format!("list the pods of LoadTest {name}")))?;
    let prefix = format!("{name}-");
    Ok(pods
        .items
        .iter()
        .filter(|pod| owner_of(&pod.metadata) == uid && has_started(pod))
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

fn not_kept(name: &str, map: &str) -> Error {
    Error::NoLogs {
        message: format!(
            "ConfigMap {map} is not of this run, and the logs of LoadTest {name} were not kept for it"
        ),
        advice: format!(
            "delete or rename it before the next run: kubectl get configmap {map} -o yaml shows whose it is"
        ),
    }
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
