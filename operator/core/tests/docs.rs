//! Docs name only files that exist.

use std::{fs, path::Path};

const DOCS: [&str; 4] = ["architecture.md", "verdicts.md", "guardrails.md", "records.md"];

#[test]
fn docs_name_only_files_that_exist() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = core.join("../..");
    let mut sources = Vec::new();
    for folder in ["operator", "cli/src", "crds/src", "tests"] {
        collect(&root.join(folder), &mut sources);
    }
    let exists = |name: &str| {
        root.join(name).exists() || sources.iter().any(|source| Path::new(source).ends_with(name))
    };
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

fn collect(folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path.to_string_lossy().into_owned());
        }
    }
}
