//! `kubectl loadtest`: starts runs, follows them, and prints their verdicts.
//!
//! [`args`] is the command line, [`commands`] does the work against the cluster, and [`render`] makes what is printed,
//! as pure functions.

mod args;
mod cluster;
mod commands;
mod error;
mod exit;
mod find;
mod manifest;
mod render;
mod screen;
mod signals;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version come this way too, and are no errors. A closed output leaves nobody to tell.
            let _ = message.print();
            return ExitCode::from(if message.use_stderr() { exit::USAGE } else { 0 });
        }
    };
    ExitCode::from(match commands::execute(cli).await {
        Ok(code) => code,
        Err(error) => report(&error),
    })
}

fn report(error: &Error) -> u8 {
    if !matches!(error, Error::OutputClosed) {
        screen::note(&format!("error: {error}"));
        if let Some(advice) = error.advice() {
            screen::note(&format!("       {advice}"));
        }
    }
    error.exit_code()
}
