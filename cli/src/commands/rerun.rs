//! `rerun`: another run with the spec of one that exists.

use super::{follow, run};
use crate::args::RerunArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::find;
use crate::manifest::Manifest;

pub async fn execute(cluster: &Cluster, args: &RerunArgs) -> Result<u8, Error> {
    let name = find::bare(&args.name);
    let object = find::object(cluster, name).await?;
    let manifest =
        Manifest::of_object(&object).map_err(|error| Error::internal("read the LoadTest", error))?;
    let created = run::create(cluster, &manifest.sibling(&cluster.namespace)).await?;
    run::print_created(&created, &args.created)?;
    if args.created.wait { follow(cluster, &created).await } else { Ok(0) }
}
