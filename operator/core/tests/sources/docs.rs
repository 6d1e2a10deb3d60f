//! Docs name only files that exist.

use std::{fs, path::PathBuf};

use crate::files::{root, sources};

const DOCS: [&str; 4] = ["architecture.md", "verdicts.md", "guardrails.md", "records.md"];

#[test]
fn docs_name_only_files_that_exist() {
    let root = root();
    let folders = ["operator", "cli/src", "crds/src", "tests"];
    let sources: Vec<PathBuf> = folders.iter().flat_map(|folder| sources(&root.join(folder))).collect();
    let exists = |name: &str| root.join(name).exists() || sources.iter().any(|source| source.ends_with(name));
    let mut missing = Vec::new();
    for doc in DOCS {
        let text = fs::read_to_string(root.join("docs").join(doc)).unwrap();
        // What is between backticks, outside blocks of code.
        let prose = text.split("```").step_by(2);
        let names = prose.flat_map(|part| part.split('`').skip(1).step_by(2));
        missing.extend(
            names.filter(|name| name.ends_with(".rs") && !exists(name)).map(|n| format!("{doc}: {n}")),
        );
    }
    assert_eq!(missing, [""; 0]);
}
