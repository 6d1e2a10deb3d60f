//! The other side: the same runner pods without an operator, until the last is Ready.

use std::{collections::BTreeSet, pin::pin};

use anyhow::{Context as _, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::watcher::{self, Event},
};
use loadtest_core::{
    objects::{self, pod::Push},
    plan::{
        Plan,
        names::{MANAGED_BY_LABEL, ROLE_LABEL, RUN_LABEL},
    },
};
use tokio::time::{Duration, Instant, timeout};

use crate::{ours::LOAD, place::Place, start::LIMIT};

/// As the chart calls its load store.
const WRITE: &str = "http://loadtest-operator-load-store.loadtest-system:9090/api/v1/otlp/v1/metrics";

/// What all bare pods carry. Not the operator's own label: it would watch them.
pub const LABEL: &str = "app.kubernetes.io/managed-by=bench-start";
/// Requests under way at once, as many as the operator has.
const PARALLEL: usize = 64;

/// Seconds from the first creation to the last pod Ready.
pub async fn measure(place: &Place, name: &str, runners: u32) -> anyhow::Result<Duration> {
    let pods = build(place, name, runners)?;
    let expected = pods.len();
    let own = format!("{LABEL},{RUN_LABEL}={name}");
    let api = place.pods();

    let mut events = pin!(watcher::watcher(api.clone(), watcher::Config::default().labels(&own)));
    while !matches!(events.try_next().await?, Some(Event::InitDone)) {}

    let begun = Instant::now();
    let create = async {
        let created = stream::iter(pods).map(|pod| {
            let api = &api;
            async move { api.create(&PostParams::default(), &pod).await.map(drop) }
        });
        created
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await
            .context("failed to create a bare pod")
    };
    let ready = async {
        let mut ready = BTreeSet::new();
        while ready.len() < expected {
            if let Event::Apply(pod) | Event::InitApply(pod) =
                events.try_next().await?.context("the watch ended")?
                && is_ready(&pod)
            {
                ready.insert(pod.name_any());
            }
        }
        anyhow::Ok(begun.elapsed())
    };
    let result = match timeout(LIMIT, futures::future::try_join(create, ready)).await {
        Ok(result) => result.map(|(_, took)| took),
        Err(_) => bail!("{expected} bare pods were not Ready within {LIMIT:?}"),
    };
    let params = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
    api.delete_collection(&params, &ListParams::default().labels(&own)).await?;
    place.await_no_pods(&own).await?;
    result
}

/// The pods that the operator would create, without an owner and without the inspection.
fn build(place: &Place, name: &str, runners: u32) -> anyhow::Result<Vec<Pod>> {
    let mut test = place.load_test(name, runners, LOAD)?;
    test.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    let plan = Plan::of(&test)?;
    let push = Push::to(WRITE, Duration::from_secs(1)).context("the address is none")?;
    let mut pods = objects::build_run(&plan, &push).pods;
    pods.retain(|pod| pod.labels().get(ROLE_LABEL).is_some_and(|role| role == "runner"));
    for pod in &mut pods {
        pod.metadata.owner_references = None;
        if let Some((_, value)) = LABEL.split_once('=') {
            pod.labels_mut().insert(MANAGED_BY_LABEL.to_owned(), value.to_owned());
        }
    }
    Ok(pods)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}
