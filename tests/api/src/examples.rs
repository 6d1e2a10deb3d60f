//! Every LoadTest in `examples/` is one that the API server takes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use test_support::cluster::ROOT;

use crate::server::Server;

#[tokio::test]
async fn every_example_is_accepted() {
    let server = Server::new().await;
    let mut tried = 0;
    for file in files(&Path::new(ROOT).join("examples")) {
        let text = fs::read_to_string(&file).unwrap();
        for document in text.split("\n---\n").filter(|document| document.contains("\nkind: LoadTest\n")) {
            let mut object: Value = serde_saphyr::from_str(document)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            object["metadata"].as_object_mut().unwrap().remove("namespace");
            let answer = server.try_object(object).await;
            answer.unwrap_or_else(|status| panic!("{}: {}", file.display(), status.message));
            tried += 1;
        }
    }
    assert!(tried > 0, "no LoadTest in examples/");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect()
}
