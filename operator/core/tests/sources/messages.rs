//! What people read is written for people: no message holds Rust's own notation of a value, as `Some("x")`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::files::{root, sources};

/// What tests print is for those who write them.
fn is_of_tests(path: &Path) -> bool {
    let named = ["tests.rs", "fake.rs", "planted.rs"];
    path.components().any(|part| part.as_os_str() == "tests") || named.iter().any(|name| path.ends_with(name))
}

#[test]
fn no_message_shows_a_value_as_rust_writes_it() {
    let folders = ["operator/src", "operator/core/src", "cli/src", "crds/src"];
    let found = folders.iter().flat_map(|folder| sources(&root().join(folder)));
    let found: Vec<PathBuf> = found.filter(|path| !is_of_tests(path)).collect();
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
