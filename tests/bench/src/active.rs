//! How large is the operator with many tests under way, and how near to its time does each fault come?
//!
//! Each test has one runner and a Deployment of its own, whose only pod it kills twice. They begin a few at a time, as
//! many containers that start at once take the whole machine. The first fault comes when all of them run; then there is
//! one after the other.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ServiceAccount, rbac::v1};
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};
use kube::{
    Api, Resource,
    api::{ListParams, PostParams},
};
use loadtest_crds::{FaultState, LoadTest, LoadTestStatus, Phase};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{Common, machine, place::Place, table};

/// As whom the pods are killed.
const ACCOUNT: &str = "breaker";
/// Requests under way at once while all is set up.
const PARALLEL: usize = 16;
/// How long the operator is left alone before its size at rest is read.
const REST: Duration = Duration::from_secs(15);
/// So many tests begin together.
const TOGETHER: usize = 4;
/// How long all pods may take to come up, for each test: its inspection, its runner, and what it kills. Each container
/// that starts costs two cores a second or two.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often all tests are looked at, which is work for the API server too.
const LOOK: Duration = Duration::from_secs(3);
/// From the last of the first faults to the first of the second ones.
const APART: Duration = Duration::from_secs(30);
/// Between the faults of two tests. Two cores start no more pods than that; with all killed at once it would be the API
/// server's delay that is measured.
const EACH: Duration = Duration::from_millis(1500);

/// How large the operator is with many active tests, and how late their faults are.
#[derive(Parser)]
pub struct Args {
    /// So many tests at once, with two faults each.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    tests: u32,

    /// The operator's binary, which is started for the measurement in a namespace of its own.
    #[arg(long)]
    operator: PathBuf,

    /// The image of the pods to kill, which needs only to wait.
    #[arg(long)]
    victim: String,

    #[command(flatten)]
    common: Common,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Figures {
    pub tests: u32,
    /// Resident memory in MiB: without any test, then each second with all of them running, and the most ever.
    pub rest: f64,
    pub active: Vec<f64>,
    pub peak: f64,
    /// The share of one core that the operator used while all ran.
    pub cpu: f64,
    /// For each fault that was injected, how long after its time it was sent, in milliseconds.
    pub late: Vec<f64>,
    /// How many of each verdict, and of each state of a fault.
    pub verdicts: BTreeMap<String, usize>,
    pub faults: BTreeMap<String, usize>,
}

pub async fn bench(args: Args) -> anyhow::Result<()> {
    let witness = args.common.witness().await?;
    let place = Place::make(&args.common.image, Some(&args.operator), "", &witness.url()).await?;
    print!("{}", table::header("Many active tests", &place.describe().await, Some(&args.operator)));
    let mut figures = Figures { tests: args.tests, ..Figures::default() };
    let result = place.watched(measure(&args, &place, &mut figures)).await;
    if result.is_ok() {
        print!("{}", table::active(&figures));
    }
    place.clean().await;
    result
}

async fn measure(args: &Args, place: &Place, figures: &mut Figures) -> anyhow::Result<()> {
    let id = place.operator().and_then(|operator| operator.id()).context("the operator has ended")?;
    sleep(REST).await;
    figures.rest = machine::memory(id)?.now;

    progress("creating what is killed");
    let patience = PATIENCE * args.tests + Duration::from_secs(60);
    make_account(place).await?;
    each(args.tests, async |n| create(place, &victim(place, n, &args.victim)?).await).await?;
    until("every pod that is to be killed is Ready", patience, async || {
        let all = Api::<Deployment>::namespaced(place.client.clone(), &place.namespace);
        let all = all.list(&ListParams::default()).await?.items;
        Ok(all.iter().all(|d| d.status.as_ref().is_some_and(|s| s.ready_replicas == Some(1))))
    })
    .await?;

    progress("creating the tests");
    // The first faults come when the last test runs.
    let first = Instant::now() + patience;
    for begun in (0..args.tests).step_by(TOGETHER) {
        let wave = begun..args.tests.min(begun + TOGETHER as u32);
        for n in wave.clone() {
            let left = first.saturating_duration_since(Instant::now());
            create(place, &test(place, n, args.tests, left)?).await?;
        }
        until("every test so far runs", patience, async || {
            Ok(count(&statuses(place).await?, Phase::Running) == wave.end)
        })
        .await?;
    }

    progress("all tests are active");
    let (begun, used) = (Instant::now(), machine::cpu_seconds(id)?);
    let mut shown = 0;
    loop {
        sleep(LOOK).await;
        let seen = statuses(place).await?;
        let left = count(&seen, Phase::Running);
        if left < args.tests {
            break;
        }
        figures.active.push(machine::memory(id)?.now);
        figures.cpu = (machine::cpu_seconds(id)? - used) / begun.elapsed().as_secs_f64();
        let sent = seen.iter().flat_map(|s| &s.faults).filter(|f| f.injected_at.is_some()).count();
        if sent / 50 > shown {
            shown = sent / 50;
            progress(&format!("{sent} faults injected"));
        }
    }
    until("every test has its verdict", patience + 2 * (APART + EACH * args.tests), async || {
        Ok(count(&statuses(place).await?, Phase::Finished) == args.tests)
    })
    .await?;
    figures.peak = machine::memory(id)?.peak;
    for status in statuses(place).await? {
        let verdict = status.verdict.map_or("none".to_owned(), |verdict| format!("{verdict:?}"));
        *figures.verdicts.entry(verdict).or_default() += 1;
        for fault in &status.faults {
            *figures.faults.entry(format!("{:?}", fault.state)).or_default() += 1;
            if fault.state == FaultState::Injected {
                figures.late.extend(fault.timing_error_milliseconds.map(|ms| ms as f64));
            }
        }
    }
    Ok(())
}

fn progress(what: &str) {
    eprintln!("{what}");
}

async fn statuses(place: &Place) -> anyhow::Result<Vec<LoadTestStatus>> {
    let tests = place.load_tests().list(&ListParams::default()).await?;
    Ok(tests.into_iter().map(|test| test.status.unwrap_or_default()).collect())
}

fn count(statuses: &[LoadTestStatus], phase: Phase) -> u32 {
    statuses.iter().map(|status| u32::from(status.phase == phase)).sum()
}

/// The test number `n`, which kills the pod of its own.
fn test(place: &Place, n: u32, of: u32, first: Duration) -> anyhow::Result<LoadTest> {
    let kill = |name: &str, at: Duration| {
        json!({
            "name": name,
            "at": format!("{}ms", at.as_millis()),
            "target": {
                "namespace": place.namespace,
                "selector": {"matchLabels": {"victim": n.to_string()}},
                "allowNoReady": true,
            },
            "podKill": {},
        })
    };
    let second = EACH * of + APART;
    let length = first + second + EACH * of + APART;
    let mut test = place.load_test(&format!("active-{n}"), 1, &format!("{}s", length.as_secs()))?;
    test.spec.service_account_name = Some(ACCOUNT.to_owned());
    test.spec.runner.start_timeout = format!("{}s", first.as_secs()).as_str().into();
    test.spec.faults = serde_json::from_value(json!([
        kill("one", first + EACH * n),
        kill("two", first + second + EACH * n)
    ]))?;
    test.spec.objectives = serde_json::from_value(json!([
        {"name": "failed", "k6": {"metric": "http_req_failed"}, "atMost": "50%", "windows": ["Run", "Steady"]},
    ]))?;
    Ok(test)
}

fn victim(place: &Place, n: u32, image: &str) -> anyhow::Result<Deployment> {
    let labels = json!({"victim": n.to_string()});
    Ok(serde_json::from_value(json!({
        "metadata": {"name": format!("victim-{n}"), "namespace": place.namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": "victim",
                        "image": image,
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                        },
                        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                    }],
                },
            },
        },
    }))?)
}

/// An account that may kill the pods of the measurement's namespace, and what the operator asks about them.
async fn make_account(place: &Place) -> anyhow::Result<()> {
    let metadata = json!({"name": ACCOUNT, "namespace": place.namespace});
    let role = json!({"metadata": metadata, "rules": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets", "statefulsets"], "verbs": ["get", "list", "watch"]},
    ]});
    let binding = json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": place.namespace}],
    });
    create(place, &serde_json::from_value::<ServiceAccount>(json!({"metadata": metadata}))?).await?;
    create(place, &serde_json::from_value::<v1::Role>(role)?).await?;
    create(place, &serde_json::from_value::<v1::RoleBinding>(binding)?).await
}

async fn create<T>(place: &Place, object: &T) -> anyhow::Result<()>
where
    T: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<T> = Api::namespaced(place.client.clone(), &place.namespace);
    api.create(&PostParams::default(), object).await?;
    Ok(())
}

async fn each(tests: u32, create: impl AsyncFn(u32) -> anyhow::Result<()>) -> anyhow::Result<()> {
    stream::iter(0..tests).map(|n| create(n)).buffer_unordered(PARALLEL).try_collect().await
}

async fn until(
    what: &str,
    patience: Duration,
    done: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while !done().await? {
        if Instant::now() > end {
            bail!("not within {patience:?}: {what}");
        }
        sleep(LOOK).await;
    }
    Ok(())
}
