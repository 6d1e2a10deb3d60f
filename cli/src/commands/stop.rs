//! `stop`: ends a run by its spec.

use kube::Api;
use kube::api::{Patch, PatchParams};
use loadtest_crds::{LoadTest, Phase};
use serde_json::json;

use super::watch;
use crate::args::StopArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::render::{phase_of, verdict_of, verdict_word};
use crate::view::Closing;
use crate::{find, screen};

pub async fn execute(cluster: &Cluster, args: &StopArgs) -> Result<u8, Error> {
    let name = find::bare(&args.name);
    let test = find::get(cluster, name).await?;
    if phase_of(&test) == Phase::Finished {
        let verdict = verdict_of(&test).map(verdict_word).unwrap_or("none");
        screen::print_line(&format!("LoadTest {name} is finished already, with the verdict {verdict}"))?;
        return Ok(0);
    }
    if test.spec.stop {
        screen::print_line(&format!("LoadTest {name} is being stopped already"))?;
    } else {
        let api: Api<LoadTest> = cluster.api();
        let patch = Patch::Merge(json!({"spec": {"stop": true}}));
        let patched = api.patch(name, &PatchParams::default(), &patch).await;
        patched.map_err(|error| cluster.explain(error, format!("stop LoadTest {name}")))?;
        screen::print_line(&format!("loadtest.loadtest.dev/{name} told to stop"))?;
    }
    if args.wait
        && let watch::Ended::Interrupted(code) = watch::until_finished(cluster, name, Closing::Keep).await?
    {
        return Ok(code);
    }
    Ok(0)
}
