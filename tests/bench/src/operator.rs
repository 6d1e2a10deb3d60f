//! An operator of our own, on this machine, that serves the namespace of the measurement alone.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use test_support::install::WRITE_PATH;
use tokio::process::{Child, Command};

/// How many lines of its log are worth showing.
const LAST_LINES: usize = 15;

/// The process. It ends with this value.
pub struct Operator {
    child: Child,
    folder: PathBuf,
}

impl Operator {
    pub fn start(binary: &Path, namespace: &str, store: &str) -> anyhow::Result<Self> {
        ensure!(binary.is_file(), "there is no operator at {}", binary.display());
        let folder = std::env::temp_dir().join(namespace);
        std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        let config = json!({
            "namespaces": [namespace],
            "loadStore": {"queryURL": store, "writeURL": format!("{store}{WRITE_PATH}")},
            "leaderElection": {"enabled": false},
        });
        let config_file = folder.join("config.yaml");
        // JSON is YAML.
        std::fs::write(&config_file, config.to_string())?;
        let mut command = Command::from(test_support::operator::guarded(binary));
        command.arg("--config").arg(&config_file).args([
            "--http-address",
            "127.0.0.1:0",
            "--log-format",
            "text",
        ]);
        if let Some(kubeconfig) = test_support::cluster::kubeconfig() {
            command.env("KUBECONFIG", kubeconfig);
        }
        let child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log"))?)
            // Ctrl-C is for the bench alone, which needs the operator for its clean-up.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        match child {
            Ok(child) => Ok(Self { child, folder }),
            Err(error) => {
                std::fs::remove_dir_all(&folder).ok();
                Err(error).with_context(|| format!("failed to start {}", binary.display()))
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    pub async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            eprintln!("failed to end the operator: {error}");
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
