//! `judge`: a finished run again from its record, as the operator judged it.

use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use loadtest_core::{
    objects::keys,
    plan::names::owner_of,
    record::{
        Record,
        replay::{self, Replayed},
    },
};
use loadtest_crds::Phase;

use crate::{
    args::{Connection, JudgeArgs, StatusOutput},
    cluster::Cluster,
    error::Error,
    exit, find,
    render::{self, phase_of, verdict_of},
    screen::{self, Screen},
};

pub async fn execute(connection: &Connection, args: &JudgeArgs) -> Result<u8, Error> {
    let path = Path::new(&args.record);
    let bytes = if path.is_file() || args.record.starts_with(['.', '/']) {
        std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?
    } else {
        fetch(&Cluster::connect(connection).await?, find::bare(&args.record)).await?
    };
    let no_record = |source| Error::NoRecord { record: args.record.clone(), source };
    let recorded = Record::read(&bytes).map_err(no_record)?;
    if let Some(path) = &args.save {
        std::fs::write(path, &bytes).map_err(|source| Error::Save { path: path.clone(), source })?;
    }
    let not_judged = |source| Error::NotJudged { record: args.record.clone(), source };
    let judged = replay::judge(&recorded, &args.limits).map_err(not_judged)?;
    print(&recorded, &judged, args)?;
    Ok(exit::of_verdict(verdict_of(&judged.test)))
}

fn print(recorded: &Record, judged: &Replayed, args: &JudgeArgs) -> Result<(), Error> {
    match args.output {
        StatusOutput::Text => {
            let page = Screen::of_stdout().page();
            screen::print(&render::judged::render(
                recorded,
                judged,
                !args.limits.is_empty(),
                Timestamp::now(),
                page,
            ))
        }
        StatusOutput::Json => {
            let text = serde_json::to_string_pretty(&judged.test);
            screen::print_line(&text.map_err(|error| Error::internal("write JSON", error))?)
        }
        StatusOutput::Yaml => {
            let text = serde_saphyr::to_string(&judged.test);
            screen::print(&text.map_err(|error| Error::internal("write YAML", error))?)
        }
    }
}

/// The record that the operator keeps beside the run.
async fn fetch(cluster: &Cluster, name: &str) -> Result<Vec<u8>, Error> {
    let test = find::get(cluster, name).await?;
    let not_recorded = |why: &str| Error::NotRecorded { name: name.to_owned(), why: why.to_owned() };
    let report = test.status.as_ref().and_then(|status| status.report.clone());
    let Some(report) = report else {
        return Err(not_recorded(match phase_of(&test) {
            Phase::Finished => "it ended before its figures were judged, or its record could not be kept",
            _ => "it is not finished yet",
        }));
    };
    let maps: Api<ConfigMap> = cluster.api();
    let map = maps.get_opt(&report).await;
    let map = map.map_err(|error| cluster.explain(error, format!("get ConfigMap {report}")))?;
    if map.as_ref().is_some_and(|map| owner_of(&map.metadata) != test.metadata.uid.as_deref()) {
        return Err(not_recorded(&format!("ConfigMap {report} is not of this run")));
    }
    let found = map.and_then(|map| map.binary_data).and_then(|mut data| data.remove(keys::RECORD_KEY));
    let missing =
        || not_recorded(&format!("ConfigMap {report} is gone, or is without its key {}", keys::RECORD_KEY));
    found.map(|bytes| bytes.0).ok_or_else(missing)
}
