//! The command line: the tree of commands and what they share.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::ui::junit;
use crate::ui::log::LogFile;

/// From an inventory to a running, proven Spark-on-Mesos cluster.
#[derive(Debug, Parser)]
#[command(name = "provision", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// When to use colours: always, never, or auto, which heeds NO_COLOR, CLICOLOR_FORCE and the terminal
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Where they are welcome
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

const EXIT_CODES: &str = "Exit codes: 0 done or nothing to do · 1 usage, inventory or preflight finding, nothing was changed · \
2 changes pending (plan --detailed-exitcode) · 3 an action or gate failed · 4 hosts unreachable or blocked, none failed · \
5 converged, smoke test failed · 75 another run holds a lock · 129/130/143 interrupted";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented inventory that passes `check`
    Init(commands::init::Args),
    /// Report every problem and doubt of an inventory; touches no host
    Check(commands::check::Args),
    /// Show every file of every host as it would be written; touches no host
    Render(commands::render::Args),
    /// Show which executors fit where and how the cluster would be shared; touches no host
    Simulate(commands::simulate::Args),
    /// Show what would change and why; changes nothing
    Plan(commands::plan::Args),
    /// Make the hosts as the inventory says, and prove it
    Apply(commands::apply::Args),
    /// Show how the cluster is: ensemble, leader, agents, roles, images, versions
    Status(commands::status::Args),
    /// List the applies of a cluster, or show one: who, when, the plan, the inventory
    History(commands::history::Args),
    /// Show what works under hosts' locks and, confirmed, end what hangs there
    Unlock(commands::unlock::Args),
    /// Prove the cluster anew, whatever was proven before: a SparkPi on every agent
    Smoke(commands::smoke::Args),
    /// Print the journal of our units on a host
    Logs(commands::logs::Args),
    /// Open a shell on a host, or run a command there
    Ssh(commands::ssh::Args),
    /// Ansible's dynamic inventory: hosts, groups and how to reach them
    Inventory(commands::inventory::Args),
    /// The twin: the inventory's hosts as containers on this machine
    Lab(commands::lab::Args),
    /// Print the JSON Schema of inventories, for editors
    Schema(commands::schema::Args),
    /// Print a shell's completions
    #[command(visible_alias = "completion")]
    Completions(commands::completions::Args),
    /// Print the manual page, or write all of them
    Man(commands::man::Args),
}

/// Which inventory, and how it is read.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// The inventory; `-` reads standard input
    #[arg(value_name = "INVENTORY", env = "PROVISION_INVENTORY", default_value = "inventory.yaml")]
    pub inventory: PathBuf,
    /// Override one value: `path.to.key=value`; a bare name sets a variable
    #[arg(short = 'e', long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// Use the twin's containers instead of the real hosts
    #[arg(long)]
    pub lab: bool,
}

/// How hosts are reached.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    /// Login user, over the inventory's
    #[arg(short = 'u', long, env = "PROVISION_USER")]
    pub user: Option<String>,
    /// Private key file, over the inventory's
    #[arg(long, value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Ask for sudo's password
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// Read sudo's password from a file
    #[arg(long, value_name = "FILE", conflicts_with = "ask_become_pass")]
    pub become_password_file: Option<PathBuf>,
    /// Accept and remember keys of hosts that are not known yet; changed keys are refused always
    #[arg(long)]
    pub accept_new_host_keys: bool,
}

/// What may be changed.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Change only these hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS")]
    pub limit: Option<String>,
    /// Change only these tasks, comma separated
    #[arg(short = 't', long, value_name = "TASKS", value_delimiter = ',')]
    pub tasks: Vec<String>,
}

/// How results are shown.
#[derive(Debug, Default, Clone, Args)]
pub struct Output {
    /// Machine-readable output on standard output
    #[arg(long)]
    pub json: bool,
    /// Say more
    #[arg(short = 'v', long)]
    pub verbose: bool,
}

/// How a run is shown while it happens, and where else it is told.
#[derive(Debug, Default, Clone, Args)]
pub struct RunOutput {
    /// Machine-readable output: events, one a line; for `plan`, the plan as one object
    #[arg(long)]
    pub json: bool,
    /// Say more
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Write JUnit's XML when the run is over: a suite for each host
    #[arg(long, value_name = "FILE", value_parser = junit::path)]
    pub junit: Option<PathBuf>,
    /// Append every event as a line of JSON
    #[arg(long, value_name = "FILE", value_parser = LogFile::open)]
    pub log_file: Option<LogFile>,
    /// `github` annotates what went wrong, and is the default in a GitHub workflow; `text` does not
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    #[arg(hide_possible_values = true)]
    pub format: Option<Format>,
}

/// What is written to standard output beside results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Nothing
    Text,
    /// Annotations of what went wrong
    Github,
}

impl From<&Output> for RunOutput {
    fn from(output: &Output) -> RunOutput {
        // Whoever reads says the result as one object; events are progress.
        RunOutput { json: output.json, verbose: output.verbose, ..RunOutput::default() }
    }
}

impl From<&RunOutput> for RunOutput {
    fn from(output: &RunOutput) -> RunOutput {
        output.clone()
    }
}
