//! The commands. Each does its work against the cluster and answers with an exit code; what it prints is made in
//! [`crate::render`].

mod judge;
mod list;
mod logs;
mod rerun;
mod run;
mod status;
mod stop;
mod watch;

use jiff::Timestamp;
use loadtest_crds::LoadTest;

use crate::args::{Cli, Command};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::exit;
use crate::render::{self, verdict_of};
use crate::screen::{self, Screen};
use crate::view::Closing;

pub async fn execute(cli: Cli) -> Result<u8, Error> {
    // A bad file is told before a missing cluster.
    if let Command::Run(args) = &cli.command {
        return run::execute(&cli.connection, args).await;
    }
    // A record in a file is judged without a cluster.
    if let Command::Judge(args) = &cli.command {
        return judge::execute(&cli.connection, args).await;
    }
    let cluster = Cluster::connect(&cli.connection).await?;
    match &cli.command {
        Command::Run(_) | Command::Judge(_) => Ok(exit::USAGE),
        Command::Watch(args) => watch::execute(&cluster, args).await,
        Command::Status(args) => status::execute(&cluster, args).await,
        Command::List(args) => list::execute(&cluster, args).await,
        Command::Rerun(args) => rerun::execute(&cluster, args).await,
        Command::Stop(args) => stop::execute(&cluster, args).await,
        Command::Logs(args) => logs::execute(&cluster, args).await,
    }
}

/// Follows a run that was just created, prints its status, and answers with its verdict.
async fn follow(cluster: &Cluster, name: &str) -> Result<u8, Error> {
    match watch::until_finished(cluster, name, Closing::Clear).await? {
        watch::Ended::Finished(test) => {
            print_status(&test)?;
            Ok(exit::of_verdict(verdict_of(&test)))
        }
        watch::Ended::Interrupted(code) => Ok(code),
    }
}

fn print_status(test: &LoadTest) -> Result<(), Error> {
    screen::print(&render::status::render(test, Timestamp::now(), Screen::of_stdout().page()))
}
