//! `run`: creates the LoadTests of a manifest.

use std::io::Read;
use std::path::Path;

use kube::ResourceExt;

use super::follow;
use crate::args::{Connection, CreatedArgs, RunArgs};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::manifest::{self, Manifest, ManifestError};
use crate::screen;

pub async fn execute(connection: &Connection, args: &RunArgs) -> Result<u8, Error> {
    let bad = |source| Error::Manifest { path: args.filename.clone(), source };
    let manifests = manifest::parse(&read(&args.filename)?).map_err(bad)?;
    if args.name.is_some() && manifests.len() > 1 {
        return Err(bad(ManifestError::SeveralNames(manifests.len())));
    }
    let cluster = Cluster::connect(connection).await?;
    let places = places(&cluster, &manifests).map_err(bad)?;

    let mut created = Vec::new();
    for (manifest, cluster) in manifests.iter().zip(places) {
        let name = start(&cluster, manifest, args).await?;
        print_created(&name, &args.created)?;
        created.push((cluster, name));
    }
    // The weightiest code wins; all runs go on in the cluster while one of them is followed.
    let mut code = 0;
    if args.created.wait {
        for (cluster, name) in created {
            code = worse(code, follow(&cluster, &name).await?);
        }
    }
    Ok(code)
}

/// Reads the file, or standard input for `-`.
fn read(path: &Path) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// The namespace of each manifest: its own, else that of the flag or the context. Both must agree, as for kubectl.
fn places(cluster: &Cluster, manifests: &[Manifest]) -> Result<Vec<Cluster>, ManifestError> {
    manifests
        .iter()
        .map(|manifest| match manifest.namespace() {
            Some(found) if cluster.namespace_given && found != cluster.namespace => {
                Err(ManifestError::OtherNamespace {
                    name: manifest.name().or(manifest.generate_name()).unwrap_or_default().to_owned(),
                    found: found.to_owned(),
                    wanted: cluster.namespace.clone(),
                })
            }
            Some(found) => Ok(cluster.within(found)),
            None => Ok(cluster.clone()),
        })
        .collect()
}

async fn start(cluster: &Cluster, manifest: &Manifest, args: &RunArgs) -> Result<String, Error> {
    if args.generate {
        return create(cluster, &manifest.sibling(&cluster.namespace)).await;
    }
    let mut fresh = manifest.fresh(&cluster.namespace);
    if let Some(name) = &args.name {
        fresh = fresh.with_name(name);
    }
    match create(cluster, &fresh).await {
        Err(Error::Exists(name)) if args.name.is_none() => {
            let sibling = manifest.sibling(&cluster.namespace);
            let created = create(cluster, &sibling).await?;
            screen::note(&format!(
                "LoadTest {name} exists already and a run is never repeated: made its sibling {created}"
            ));
            Ok(created)
        }
        other => other,
    }
}

/// Creates the run and answers with its name.
pub async fn create(cluster: &Cluster, manifest: &Manifest) -> Result<String, Error> {
    let name = manifest.name().or(manifest.generate_name()).unwrap_or_default().to_owned();
    match cluster.create(manifest.to_json()).await {
        Ok(object) => Ok(object.name_any()),
        Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists" => {
            Err(Error::Exists(name))
        }
        Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let mut causes: Vec<String> = causes
                .map(|cause| match cause.field.as_str() {
                    "" | "<nil>" => plain(&cause.message),
                    field => format!("{field}: {}", plain(&cause.message)),
                })
                .collect();
            if causes.is_empty() {
                causes.push(plain(&status.message));
            }
            Err(Error::Refused { name: format!("LoadTest {name}"), causes })
        }
        Err(error) => Err(cluster.explain(error, format!("create LoadTest {name}"))),
    }
}

/// A cause without the API server's way of naming a whole object, which tells a person nothing.
fn plain(message: &str) -> String {
    let prefixes = [
        r#"Invalid value: "object": "#,
        r#"LoadTest in version "v1alpha1" cannot be handled as a LoadTest: strict decoding error: "#,
    ];
    let rest = prefixes.iter().find_map(|prefix| message.strip_prefix(prefix));
    rest.unwrap_or(message).to_owned()
}

/// Says what was created, as kubectl does.
pub fn print_created(name: &str, args: &CreatedArgs) -> Result<(), Error> {
    let suffix = if args.output.is_some() { "" } else { " created" };
    screen::print_line(&format!("loadtest.loadtest.dev/{name}{suffix}"))
}

/// Of the codes of several runs, the one to exit with: an interruption first, then the order of the verdicts.
fn worse(a: u8, b: u8) -> u8 {
    // Pass, Warn, Inconclusive, Fail, Aborted, Error, as in the verdicts' own order.
    const ORDER: [u8; 6] = [0, 2, 3, 1, 5, 4];
    let weight = |code: u8| ORDER.iter().position(|known| *known == code).unwrap_or(ORDER.len());
    if weight(a) >= weight(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_plainly() {
        assert_eq!(plain(r#"Invalid value: "object": write exactly one"#), "write exactly one");
        assert_eq!(plain(r#"Invalid value: "5": must be 6"#), r#"Invalid value: "5": must be 6"#);
    }

    #[test]
    fn of_several_verdicts_the_weightiest_decides() {
        assert_eq!(worse(0, 2), 2);
        assert_eq!(worse(1, 2), 1);
        assert_eq!(worse(4, 5), 4);
        assert_eq!(worse(130, 1), 130);
        assert_eq!(worse(0, 0), 0);
    }
}
