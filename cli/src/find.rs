//! Finding runs by name, or helping those who mistyped it.

use std::fmt::Debug;

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use loadtest_core::plan::syntax::is_object_name;
use loadtest_crds::LoadTest;
use serde::de::DeserializeOwned;

use crate::{cluster::Cluster, error::Error};

/// Names at least this alike are suggested (1 is equal, by Jaro and Winkler).
const ALIKE: f64 = 0.8;
const SUGGESTIONS: usize = 3;

/// A name as kubectl prints it may carry its kind: `loadtest.loadtest.dev/chat`, `lt/chat`.
pub fn bare(name: &str) -> &str {
    match name.split_once('/') {
        Some((kind, name))
            if ["lt", "loadtest", "loadtests"].contains(&kind.split('.').next().unwrap_or_default()) =>
        {
            name
        }
        _ => name,
    }
}

/// The run of that name.
pub async fn get(cluster: &Cluster, name: &str) -> Result<LoadTest, Error> {
    by_name(cluster, &cluster.api(), name).await
}

/// The same as the API server has it, with fields that this program does not know.
pub async fn object(cluster: &Cluster, name: &str) -> Result<DynamicObject, Error> {
    by_name(cluster, &cluster.objects(), name).await
}

async fn by_name<K>(cluster: &Cluster, api: &Api<K>, name: &str) -> Result<K, Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    // A name goes into the path as it is: what can be none would lead elsewhere.
    if !is_object_name(name) {
        return Err(not_found(cluster, name).await);
    }
    match api.get_opt(name).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(not_found(cluster, name).await),
        Err(error) => Err(cluster.explain(error, format!("get LoadTest {name}"))),
    }
}

/// The given name, or that of the run that was created last.
pub async fn name_or_latest(cluster: &Cluster, name: Option<&str>) -> Result<String, Error> {
    if let Some(name) = name {
        return Ok(bare(name).to_owned());
    }
    let runs = list(cluster, &cluster.api()).await?;
    let latest = runs.first().map(ResourceExt::name_any);
    latest.ok_or_else(|| Error::NoRuns { namespace: cluster.namespace.clone() })
}

/// The runs, the latest first.
pub async fn list(cluster: &Cluster, api: &Api<LoadTest>) -> Result<Vec<LoadTest>, Error> {
    let list = api.list(&ListParams::default()).await;
    let mut runs = list.map_err(|error| cluster.explain(error, "list LoadTests"))?.items;
    runs.sort_by_cached_key(|run| {
        (std::cmp::Reverse(run.metadata.creation_timestamp.as_ref().map(|time| time.0)), run.name_any())
    });
    Ok(runs)
}

/// The error for a missing run, with what the user may have meant.
pub async fn not_found(cluster: &Cluster, name: &str) -> Error {
    // Helping is worth a try; who may not list is told without.
    let here = list(cluster, &cluster.api()).await.unwrap_or_default();
    let similar = alike(name, here.iter().map(ResourceExt::name_any));
    let advice = if similar.is_empty() {
        let all = list(cluster, &cluster.everywhere()).await.unwrap_or_default();
        let elsewhere = all.iter().find(|run| run.name_any() == name).and_then(ResourceExt::namespace);
        match elsewhere {
            Some(namespace) => format!("there is one in namespace {namespace}: add -n {namespace}"),
            None => format!("{} shows those that exist", cluster.command("list")),
        }
    } else {
        format!("did you mean {}?", similar.join(" or "))
    };
    Error::NotFound { name: name.to_owned(), namespace: cluster.namespace.clone(), advice }
}

/// The names most like the one asked for, the most alike first.
fn alike(name: &str, candidates: impl Iterator<Item = String>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = candidates
        .map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().take(SUGGESTIONS).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_carry_their_kind() {
        for name in ["chat", "lt/chat", "loadtest/chat", "loadtests/chat", "loadtest.loadtest.dev/chat"] {
            assert_eq!(bare(name), "chat");
        }
        assert_eq!(bare("pod/chat"), "pod/chat");
    }

    #[test]
    fn typing_errors_find_the_name() {
        let runs = ["chat-failover", "chat-failover-x7k2p", "soak"];
        let found = alike("chat-fialover", runs.iter().map(|run| (*run).to_owned()));
        assert_eq!(found, ["chat-failover", "chat-failover-x7k2p"]);
        assert!(alike("payments", runs.iter().map(|run| (*run).to_owned())).is_empty());
    }
}
