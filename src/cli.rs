//! The command line: the tree of commands, and what each leads to.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::report::exit;
use crate::{commands, pipeline};

/// The program: parses its arguments, does what they say, answers the exit code.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            let _ = error.print();
            // clap's 2 means "changes pending" here.
            return ExitCode::from(if usage { exit::USAGE } else { exit::OK });
        }
    };
    set_colours(cli.color);
    let result = match &cli.command {
        Command::Init(args) => commands::init::run(args),
        Command::Check(args) => commands::check::run(args).await,
        Command::Render(args) => commands::render::run(args).await,
        Command::Simulate(args) => commands::simulate::run(args).await,
        Command::Plan(args) => commands::plan::run(args).await,
        Command::Adopt(args) => commands::adopt::run(args).await,
        Command::Show(args) => commands::show::run(args),
        Command::Apply(args) => commands::apply::run(args).await,
        Command::Restart(args) => commands::restart::run(args).await,
        Command::Stop(args) => commands::stop::run(args).await,
        Command::Start(args) => commands::start::run(args).await,
        Command::Drain(args) => commands::drain::run(args).await,
        Command::Undrain(args) => commands::undrain::run(args).await,
        Command::Reboot(args) => commands::reboot::run(args).await,
        Command::Destroy(args) => commands::destroy::run(args).await,
        Command::Exec(args) => commands::exec::run(args).await,
        Command::Preflight(args) => commands::preflight::run(args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::History(args) => commands::history::run(args).await,
        Command::Unlock(args) => commands::unlock::run(args).await,
        Command::Smoke(args) => commands::smoke::run(args).await,
        Command::Diagnose(args) => commands::diagnose::run(args).await,
        Command::Logs(args) => commands::logs::run(args).await,
        Command::Ssh(args) => commands::ssh::run(args).await,
        Command::Inventory(args) => commands::inventory::run(args).await,
        Command::Lab(args) => commands::lab::run(args).await,
        Command::Explain(args) => commands::explain::run(args),
        Command::Schema(args) => commands::schema::run(args),
        Command::Completions(args) => commands::completions::run(args, Cli::command()),
        Command::Man(args) => commands::man::run(args, Cli::command()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(pipeline::quit::exit_code(&error)),
    }
}

/// What anstream decides by itself, but for FORCE_COLOR, which it does not know.
fn set_colours(wanted: Color) {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let choice = match wanted {
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
        Color::Auto
            if set("NO_COLOR").is_none() && set("FORCE_COLOR").is_some_and(|it| it != "0") =>
        {
            anstream::ColorChoice::Always
        }
        Color::Auto => return,
    };
    choice.write_global();
}

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
    /// Write an inventory of a cluster that somebody else set up; changes nothing
    Adopt(commands::adopt::Args),
    /// Show a saved plan; touches no host
    Show(commands::show::Args),
    /// Ask all hosts what speaks against an apply; changes nothing
    Preflight(commands::preflight::Args),
    /// Make the hosts as the inventory says, and prove it
    Apply(commands::apply::Args),
    /// Restart services, quorums one by one and agents emptied first
    Restart(commands::restart::Args),
    /// Stop services; data stays
    Stop(commands::stop::Args),
    /// Start services that do not run
    Start(commands::start::Args),
    /// Move all work from an agent and keep new work away
    Drain(commands::drain::Args),
    /// Let an agent get work again
    Undrain(commands::undrain::Args),
    /// Boot hosts one after the other, each emptied before and serving again after
    Reboot(commands::reboot::Args),
    /// Take the cluster down, or a task of it; data stays unless it is named
    Destroy(commands::destroy::Args),
    /// Run a command on many hosts, its output grouped
    Exec(commands::exec::Args),
    /// Show how the cluster is: ensemble, leader, agents, roles, images, versions
    Status(commands::status::Args),
    /// Find out why a job hangs: who has no offers, room, image or way to its driver, and where
    Diagnose(commands::diagnose::Args),
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
    /// Say what a setting of the inventory takes and is for
    Explain(commands::explain::Args),
    /// Print the JSON Schema of inventories, for editors
    Schema(commands::schema::Args),
    /// Print a shell's completions
    #[command(visible_alias = "completion")]
    Completions(commands::completions::Args),
    /// Print the manual page, or write all of them
    Man(commands::man::Args),
}
