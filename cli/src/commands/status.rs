//! `status`: one run on a page, or as the API server has it.

use loadtest_crds::LoadTest;

use super::print_status;
use crate::args::{StatusArgs, StatusOutput};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::render::verdict_of;
use crate::{exit, find, screen};

pub async fn execute(cluster: &Cluster, args: &StatusArgs) -> Result<u8, Error> {
    let name = find::name_or_latest(cluster, args.name.as_deref()).await?;
    let mut object = find::object(cluster, &name).await?;
    object.metadata.managed_fields = None;
    let value = serde_json::to_value(&object).map_err(|error| Error::internal("write JSON", error))?;
    match args.output {
        StatusOutput::Json => {
            let text = serde_json::to_string_pretty(&value);
            screen::print_line(&text.map_err(|error| Error::internal("write JSON", error))?)?;
        }
        StatusOutput::Yaml => {
            let text = serde_saphyr::to_string(&value);
            screen::print(&text.map_err(|error| Error::internal("write YAML", error))?)?;
        }
        StatusOutput::Text => {}
    }
    let test: LoadTest =
        serde_json::from_value(value).map_err(|error| Error::internal("read the LoadTest", error))?;
    if args.output == StatusOutput::Text {
        print_status(&test)?;
    }
    Ok(exit::of_verdict(verdict_of(&test)))
}
