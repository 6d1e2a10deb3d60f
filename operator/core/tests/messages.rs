//! What people read is written for people: no message holds Rust's own notation of a value, as `Some("x")`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What tests print is for those who write them.
fn is_of_tests(path: &Path) -> bool {
    let named = ["tests.rs", "fake.rs", "planted.rs"];
    path.components().any(|part| part.as_os_str() == "tests") || named.iter().any(|name| path.ends_with(name))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") && !is_of_tests(&path) {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn no_message_shows_a_value_as_rust_writes_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["operator/src", "operator/core/src", "cli/src", "crds/src"] {
        sources(&root.join(folder), &mut found).unwrap();
    }
    assert!(found.len() > 100, "only {} files", found.len());
    let mut wrong = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let told = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (line, text) in
            told.lines().enumerate().filter(|(_, line)| line.contains(":?}") || line.contains(":#?}"))
        {
            wrong.push(format!("{}:{}: {}", path.display(), line + 1, text.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
