//! The command line: the tree of commands, and what each leads to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::CompleteEnv;

use crate::config::{self, Config, Setting};
use crate::ground::Problem;
use crate::report::exit;
use crate::ui::colour::{Colour, Stream};
use crate::ui::{line, out};
use crate::{commands, pipeline};

/// The program: parses its arguments, does what they say, answers the exit code.
pub async fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(Refused::Config(problems)) => {
            let mut err = std::io::stderr().lock();
            problems.iter().for_each(|problem| line(&mut err, &problem.to_string()));
            return ExitCode::from(exit::USAGE);
        }
        Err(Refused::Words(error)) => {
            let usage = error.use_stderr();
            match usage {
                true => _ = error.print(),
                false => out::bytes(match Colour::on(Stream::Stdout) {
                    Colour::Yes => error.render().ansi().to_string(),
                    Colour::No => error.render().to_string(),
                }),
            }
            if !usage && let Some(code) = not_said() {
                return code;
            }
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
        Command::Completions(args) => commands::completions::run(args),
        Command::Man(args) => commands::man::run(args, Cli::command()),
    };
    let code = match result {
        Ok(code) => code,
        Err(error) => pipeline::quit::exit_code(&error),
    };
    match not_said() {
        // What failed besides is worse.
        Some(not_said) if matches!(code, exit::OK | exit::PENDING) => not_said,
        _ => ExitCode::from(code),
    }
}

/// Answers a shell that asks what may follow on its line; `None` where none does.
pub fn completed() -> Option<ExitCode> {
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(Cli::command).try_complete(std::env::args_os(), here.as_deref())
    {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => {
            let _ = error.print();
            Some(ExitCode::FAILURE)
        }
    }
}

/// Why a line is not followed.
enum Refused {
    /// A file with defaults is wrong.
    Config(Vec<Problem>),
    /// The line is.
    Words(clap::Error),
}

/// The line, and where it leaves something open the variables, then the file beside the inventory, then the user's.
fn parse() -> Result<Cli, Refused> {
    let user = config::user().map_err(Refused::Config)?;
    let command = with_config(Cli::command(), &user)?;
    let mut matches = command.clone().try_get_matches().map_err(Refused::Words)?;
    if let Some(inventory) = inventory_of(&matches) {
        let beside = config::beside(&inventory).map_err(Refused::Config)?;
        if beside != Config::default() {
            let command = with_config(command, &beside)?;
            matches = command.try_get_matches().map_err(Refused::Words)?;
        }
    }
    Cli::from_arg_matches(&matches).map_err(Refused::Words)
}

/// The inventory that a line means, where it is a file.
fn inventory_of(matches: &ArgMatches) -> Option<PathBuf> {
    let (_, inner) = matches.subcommand()?;
    let own = |name| inner.try_get_one::<PathBuf>(name).ok().flatten().cloned();
    let path = own("inventory").or_else(|| inventory_of(inner))?;
    (path != Path::new("-")).then_some(path)
}

fn with_config(command: clap::Command, config: &Config) -> Result<clap::Command, Refused> {
    let wrong: Vec<Problem> =
        config.options.iter().filter_map(|setting| wrong(&command, setting)).collect();
    if !wrong.is_empty() {
        return Err(Refused::Config(wrong));
    }
    Ok(with_defaults(command, &config.options))
}

/// What an option itself says of a value.
fn wrong(command: &clap::Command, setting: &Setting) -> Option<Problem> {
    let Setting { name, value, place } = setting;
    let refused = |message: String, help: &str| {
        Some(Problem::error(Some(place.clone()), "wrong-value", message).help(help))
    };
    if *name == INVENTORY {
        return match Path::new(value).is_absolute() {
            true => None,
            false => refused(format!("`{value}` is no whole path"), "begin it with /"),
        };
    }
    let words = ["provision".to_owned(), "apply".to_owned(), format!("--{name}={value}")];
    let said = command.clone().try_get_matches_from(words).err()?.to_string();
    // Whatever else is wrong is no matter of this value.
    said.contains(&format!("--{name}")).then_some(())?;
    let words = said.lines().take_while(|line| !line.trim().is_empty());
    let words: Vec<&str> = words.map(|line| line.trim().trim_start_matches("error: ")).collect();
    refused(words.join(" "), &format!("write what may stand after --{name}"))
}

/// What the argument of an inventory is called in messages.
const INVENTORY: &str = "inventory";

/// The same commands, whose options have these values where nothing else is given.
fn with_defaults(command: clap::Command, settings: &[Setting]) -> clap::Command {
    let mut command = command;
    for Setting { name, value, .. } in settings {
        let means = |arg: &&clap::Arg| match *name {
            // By place in most commands, `-i` in others.
            INVENTORY => {
                let names = arg.get_value_names().unwrap_or_default();
                let other = arg.get_default_values().is_empty();
                !other && names.iter().any(|name| name.as_str() == "INVENTORY")
            }
            name => arg.get_long() == Some(name),
        };
        let ids: Vec<clap::Id> =
            command.get_arguments().filter(means).map(|arg| arg.get_id().clone()).collect();
        for id in ids {
            command = command.mut_arg(id, |arg| arg.default_value(value.clone()));
        }
    }
    let names: Vec<String> =
        command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |inner| with_defaults(inner, settings));
    }
    command
}

/// A result that nobody could be told is none: a full disk, say.
fn not_said() -> Option<ExitCode> {
    let why = out::lost()?;
    line(std::io::stderr().lock(), &format!("error: standard output cannot be written: {why}"));
    Some(ExitCode::from(exit::USAGE))
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

const EXIT_CODES: &str = "Exit codes: 0 done or nothing to do; 1 usage, inventory or preflight finding, nothing was changed; \
2 changes pending (plan --detailed-exitcode); 3 an action or gate failed; 4 hosts unreachable or blocked, none failed; \
5 converged, smoke test failed; 75 another run holds a lock; 129/130/143 interrupted";

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
    /// Say what a setting of the inventory takes and is for, or what a lint finds
    Explain(commands::explain::Args),
    /// Print the JSON Schema of inventories, for editors
    Schema(commands::schema::Args),
    /// Print a shell's completions
    #[command(visible_alias = "completion")]
    Completions(commands::completions::Args),
    /// Print the manual page, or write all of them
    Man(commands::man::Args),
}
