//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use loadtest_core::record::replay::OtherLimit;

const EXIT_CODES: &str = "\
Exit codes of run --wait, rerun --wait, watch, status and judge, by verdict:
  0 Pass   1 Fail   2 Warn   3 Inconclusive   4 Error   5 Aborted
  75 the run is not finished yet (status)
Exit codes of all commands when they cannot do what was asked:
  64 wrong usage   65 the manifest was refused   66 no such run or file
  69 no cluster, or LoadTest not installed in it   70 other failures
  77 not allowed   130 ended by Ctrl-C   143 ended by SIGTERM";

/// Run load tests on Kubernetes and read their verdicts.
#[derive(Debug, Parser)]
#[command(name = "kubectl-loadtest", bin_name = "kubectl loadtest", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub connection: Connection,

    #[command(subcommand)]
    pub command: Command,
}

/// How to reach the cluster; the same flags as kubectl's.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct Connection {
    /// Namespace of the run. Default: that of the kubeconfig's context.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Context of the kubeconfig to use. Default: its current context.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,

    /// Path of the kubeconfig. Default: $KUBECONFIG, then ~/.kube/config, then the pod's own service account.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the LoadTests of a manifest.
    Run(RunArgs),
    /// Follow a run until it is finished. Ctrl-C ends the watching, not the run.
    #[command(after_help = EXIT_CODES)]
    Watch(WatchArgs),
    /// Show a run: its verdict, objectives, faults and load.
    #[command(after_help = EXIT_CODES)]
    Status(StatusArgs),
    /// List the runs of a namespace, the latest first.
    List(ListArgs),
    /// Run again what a finished or running LoadTest ran.
    Rerun(RerunArgs),
    /// End a run: its load stops and its verdict is Aborted.
    Stop(StopArgs),
    /// Print what the k6 runners wrote.
    Logs(LogsArgs),
    /// Judge a finished run again from its record, with its own limits or with others.
    #[command(after_help = JUDGE_HELP)]
    Judge(JudgeArgs),
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct RunArgs {
    /// The manifest: YAML or JSON, one or more LoadTests. `-` reads from standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: PathBuf,

    /// Name of the run, in place of the manifest's.
    #[arg(long, value_name = "NAME", conflicts_with = "generate")]
    pub name: Option<String>,

    /// Take the manifest's name as a prefix and let the cluster complete it. This also happens without the flag when
    /// a run of that name exists already.
    #[arg(long)]
    pub generate: bool,

    #[command(flatten)]
    pub created: CreatedArgs,
}

/// What happens once a run was created.
#[derive(Args, Debug)]
pub struct CreatedArgs {
    /// Follow the run until it is finished, print its status, and exit by its verdict.
    #[arg(short, long)]
    pub wait: bool,

    /// `name` prints nothing but the name of what was created, as in loadtest.loadtest.dev/chat-failover.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<NameOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NameOutput {
    Name,
}

#[derive(Args, Debug)]
pub struct WatchArgs {
    /// Name of the run. Default: the latest of the namespace.
    pub name: Option<String>,
}

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Name of the run. Default: the latest of the namespace.
    pub name: Option<String>,

    /// How to print it. json and yaml print the whole object.
    #[arg(short, long, value_enum, default_value_t = StatusOutput::Text, value_name = "FORMAT")]
    pub output: StatusOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusOutput {
    Text,
    Json,
    Yaml,
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only the runs of this series.
    #[arg(long, value_name = "NAME")]
    pub series: Option<String>,

    /// The runs of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct RerunArgs {
    /// Name of the run to repeat.
    pub name: String,

    #[command(flatten)]
    pub created: CreatedArgs,
}

#[derive(Args, Debug)]
pub struct StopArgs {
    /// Name of the run.
    pub name: String,

    /// Return only when the run has ended. The exit code is 0 then, whatever the verdict.
    #[arg(short, long)]
    pub wait: bool,
}

#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Name of the run.
    pub name: String,

    /// One runner, as in chat-0, or one scenario, as in chat. Default: all.
    pub runner: Option<String>,
}

const JUDGE_HELP: &str = "\
Examples:
  kubectl loadtest judge chat-failover-x7k2p --limit save-p95=250ms
  kubectl loadtest judge chat-failover-x7k2p --save chat.json.gz
  kubectl loadtest judge ./chat.json.gz --limit save-p95=250ms --limit kill-dbman=10s

Exit codes, by the verdict that comes out:
  0 Pass   1 Fail   2 Warn   3 Inconclusive   4 Error   5 Aborted
  64 wrong usage   65 it is no record, or cannot be judged so   66 no such run, record or file";

#[derive(Args, Debug)]
pub struct JudgeArgs {
    /// A finished run of the cluster by its name, or a file with a record. A file needs no cluster.
    pub record: String,

    /// Another limit for an objective, or for the recovery from a fault: NAME=LIMIT, as in save-p95=250ms. May be
    /// repeated.
    #[arg(long = "limit", value_name = "NAME=LIMIT")]
    pub limits: Vec<OtherLimit>,

    /// Also write the record to a file.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,

    /// How to print it. json and yaml print the whole object as it was judged.
    #[arg(short, long, value_enum, default_value_t = StatusOutput::Text, value_name = "FORMAT")]
    pub output: StatusOutput,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn cluster_flags_are_taken_before_and_after_the_command() {
        for line in [
            ["kubectl-loadtest", "-n", "loadtests", "status", "chat"],
            ["kubectl-loadtest", "status", "chat", "-n", "loadtests"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.connection.namespace.as_deref(), Some("loadtests"));
        }
    }
}
