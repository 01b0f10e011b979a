//! What a user says about a run, whichever command it is: the inventory, how hosts are reached, what may be
//! changed, how it is shown.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::ground::HostName;
use crate::inventory::Inventory;
use crate::inventory::select::select;
use crate::inventory::show::without_passwords;
use crate::local::files::writable_path;
use crate::plan::Scope;
use crate::plan::shown::{Contents, Hosts, Look};
use crate::script::quote_all;
use crate::tasks::{self, Task};
use crate::ui::log::LogFile;
use crate::ui::plain::Verbosity;
use crate::ui::screen::{self, Annotations};
use crate::ui::summary::Next;

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

/// Which inventory, and how its hosts are reached.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Which inventory.
    #[command(flatten)]
    pub source: Source,
    /// How its hosts are reached.
    #[command(flatten)]
    pub reach: Reach,
}

/// The same for a command whose argument by place is what is asked about.
#[derive(Debug, Clone, Args)]
pub struct TargetByOption {
    /// The inventory that names the masters
    #[arg(
        short = 'i',
        long = "in",
        value_name = "INVENTORY",
        env = "PROVISION_INVENTORY",
        default_value = "inventory.yaml"
    )]
    inventory: PathBuf,
    /// Override one value: `path.to.key=value`; a bare name sets a variable
    #[arg(short = 'e', long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Use the twin's containers instead of the real hosts
    #[arg(long)]
    lab: bool,
    #[command(flatten)]
    reach: Reach,
}

impl From<&TargetByOption> for Target {
    fn from(by_option: &TargetByOption) -> Target {
        let TargetByOption { inventory, sets, lab, reach } = by_option.clone();
        Target { source: Source { inventory, sets, lab }, reach }
    }
}

/// A word where other commands take the inventory, refused if it is meant for one.
///
/// # Errors
/// One sentence, with what to write.
pub fn no_inventory(word: &str) -> Result<String, String> {
    if word.ends_with(".yaml") || word.ends_with(".yml") {
        return Err(format!("an inventory is named with -i here: -i {}", quote_all([word])));
    }
    Ok(word.to_owned())
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
#[derive(Debug, Clone, Default, Args)]
pub struct Limits {
    /// Change only these hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS", add = super::complete::hosts())]
    pub limit: Option<String>,
    /// Change only these tasks, comma separated
    #[arg(short = 't', long, value_name = "TASKS", value_delimiter = ',', add = super::complete::task())]
    pub tasks: Vec<String>,
}

impl Limits {
    /// To hosts, as `-l` takes them.
    pub fn to(hosts: &str) -> Limits {
        Limits { limit: Some(hosts.to_owned()), tasks: Vec::new() }
    }
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
    #[arg(long, value_name = "FILE", value_parser = writable_path)]
    pub junit: Option<PathBuf>,
    /// Write a page when the run is over, to open in a browser: who did what when, gates, proofs
    #[arg(long, value_name = "FILE", value_parser = writable_path)]
    pub report: Option<PathBuf>,
    /// Append every event as a line of JSON
    #[arg(long, value_name = "FILE", value_parser = LogFile::open)]
    pub log_file: Option<LogFile>,
    /// `github` annotates what went wrong, and is the default in a GitHub workflow; `text` does not
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    #[arg(hide_possible_values = true)]
    pub format: Option<Format>,
}

/// How a plan is shown.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct Difference {
    /// Show what files hold now and will hold; never those that not everybody may read
    #[arg(short = 'D', long = "diff")]
    pub contents: bool,
}

impl Difference {
    /// How a plan is shown by somebody who says so much.
    pub fn look(self, output: &RunOutput) -> Look {
        Look {
            hosts: if output.verbose { Hosts::Each } else { Hosts::Folded },
            contents: if self.contents { Contents::Shown } else { Contents::Named },
        }
    }
}

/// What is written to standard output beside results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Nothing
    Text,
    /// Annotations of what went wrong
    Github,
}

impl Limits {
    /// What may be changed.
    ///
    /// # Errors
    /// One sentence when a name matches nothing.
    pub fn scope(&self, inventory: &Inventory) -> anyhow::Result<Scope> {
        let hosts: Option<BTreeSet<HostName>> = match &self.limit {
            None => None,
            Some(text) => Some(select(inventory, text).map_err(anyhow::Error::msg)?),
        };
        let mut tasks = BTreeSet::new();
        for name in &self.tasks {
            let Some(task) = Task::parse(name) else {
                let all: Vec<&str> = tasks::ALL.iter().map(|task| task.name()).collect();
                anyhow::bail!("there is no task `{name}`; tasks are {}", all.join(", "));
            };
            tasks.insert(task);
        }
        let tasks = (!tasks.is_empty()).then_some(tasks);
        Ok(Scope { hosts, tasks })
    }
}

/// What may be typed after a run.
pub fn next(command: &str, source: &Source, limits: &Limits) -> Next {
    let words = named(source);
    let words = without_passwords(&quote_all(words.iter().map(String::as_str)));
    Next { again: again(command, source, limits), source: words }
}

/// The words that name an inventory and what is said with it.
fn named(source: &Source) -> Vec<String> {
    let mut words = vec![source.inventory.to_string_lossy().into_owned()];
    words.extend(source.lab.then(|| "--lab".to_owned()));
    words.extend(source.sets.iter().flat_map(|set| ["-e".to_owned(), set.clone()]));
    words
}

/// The words that ask for the same again.
pub fn again(command: &str, source: &Source, limits: &Limits) -> String {
    let tasks = limits.tasks.join(",");
    let named = named(source);
    let mut words = vec!["provision"];
    words.extend(command.split(' ').chain(named.iter().map(String::as_str)));
    words.extend(limits.limit.iter().flat_map(|limit| ["-l", limit]));
    if !tasks.is_empty() {
        words.extend(["-t", &*tasks]);
    }
    without_passwords(&quote_all(words))
}

impl RunOutput {
    /// How a plan is shown to people; `None` where events alone are told.
    pub fn look(&self) -> Option<Look> {
        (!self.json).then(|| Difference::default().look(self))
    }

    /// What of it decides how a run is drawn.
    pub fn screen(&self) -> screen::Options {
        screen::Options {
            json: self.json,
            verbosity: if self.verbose { Verbosity::Verbose } else { Verbosity::Normal },
            annotations: self.format.map(|format| match format {
                Format::Text => Annotations::Omitted,
                Format::Github => Annotations::Written,
            }),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_asks_for_the_same() {
        let source = Source {
            inventory: "my inventory.yaml".into(),
            sets: vec!["proxy.http=http://u:secret@p".to_owned()],
            lab: true,
        };
        let limits = Limits {
            limit: Some("a*".to_owned()),
            tasks: vec!["base".to_owned(), "agents".to_owned()],
        };
        let words = again("apply", &source, &limits);
        assert!(words.starts_with("provision apply 'my inventory.yaml' --lab -e proxy.http="));
        assert!(words.ends_with(" -l 'a*' -t base,agents"), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
}
