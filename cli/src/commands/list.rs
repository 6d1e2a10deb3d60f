//! `list`: the runs of a namespace.

use jiff::Timestamp;
use loadtest_crds::{LoadTest, SERIES_LABEL};

use crate::args::ListArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::screen::{self, Screen};
use crate::{find, render};

pub async fn execute(cluster: &Cluster, args: &ListArgs) -> Result<u8, Error> {
    let api = if args.all_namespaces { cluster.everywhere() } else { cluster.api() };
    let mut runs = find::list(cluster, &api).await?;
    if let Some(series) = &args.series {
        runs.retain(|run| series_of(run) == Some(series));
    }
    if runs.is_empty() {
        let place =
            if args.all_namespaces { "any namespace" } else { &format!("namespace {}", cluster.namespace) };
        screen::note(&format!("there are no LoadTests in {place}"));
        return Ok(0);
    }
    screen::print(&render::list::render(
        &runs,
        args.all_namespaces,
        Timestamp::now(),
        Screen::of_stdout().page_of_lines(),
    ))?;
    Ok(0)
}

fn series_of(run: &LoadTest) -> Option<&String> {
    let labelled = run.metadata.labels.as_ref().and_then(|labels| labels.get(SERIES_LABEL));
    labelled.or_else(|| run.status.as_ref()?.series.as_ref())
}
