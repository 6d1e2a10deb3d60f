//! Programs that people use beside the operator: kubectl, helm.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::cluster::kubeconfig;

/// A command with the cluster's kubeconfig. The program is searched on the PATH, then in the cache of
/// `make cluster-up`.
///
/// # Panics
/// When it is in neither.
#[must_use]
pub fn program(name: &str) -> Command {
    let mut command = Command::new(find(name));
    if let Some(kubeconfig) = kubeconfig() {
        command.env("KUBECONFIG", kubeconfig);
    }
    command
}

/// `kubectl ARGS`, run to its end.
///
/// # Panics
/// When there is no kubectl.
#[must_use]
pub fn kubectl(args: &[&str]) -> Output {
    run(program("kubectl").args(args))
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("failed to run {command:?}: {error}"))
}

/// Runs a command to its end with a text as its input.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run_with_input(command: &mut Command, input: &str) -> Output {
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.unwrap_or_else(|error| panic!("failed to run {command:?}: {error}"));
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early does not read it all: its output says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().unwrap_or_else(|error| panic!("failed to wait for {command:?}: {error}"))
}

/// What a command printed, both streams, for a message.
#[must_use]
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn find(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    on_path.or_else(|| in_cache(name)).unwrap_or_else(|| {
        panic!("{name} is neither on the PATH nor in the cache: `make cluster-up` builds it")
    })
}

fn in_cache(name: &str) -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    let folders = cache.join("loadtest-operator/bin").read_dir().ok()?;
    let mut found: Vec<_> =
        folders.flatten().map(|folder| folder.path().join(name)).filter(|file| file.is_file()).collect();
    found.sort();
    found.pop()
}
