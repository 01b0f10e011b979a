//! What a shell offers where a name is to be written: hosts and pools of the inventory, tasks, units, runs.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::inventory::names::named;
use crate::records;
use crate::tasks;

/// Larger than any inventory; a shell does not wait for more.
const MOST_BYTES: u64 = 4 << 20;

/// One host.
pub fn host() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, "", inventory().0))
}

/// Hosts as `-l` takes them: after each comma, with `!`, and pools.
pub fn hosts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let text = current.to_string_lossy();
        let at = text.rfind([',', ':', '&', '!']).map_or(0, |at| at + 1);
        let (before, last) = text.split_at(at);
        let (hosts, pools) = inventory();
        let pools = pools.into_iter().map(|pool| format!("@{pool}"));
        matching(OsStr::new(last), before, hosts.into_iter().chain(pools))
    })
}

/// Tasks.
pub fn task() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        matching(current, "", tasks::ALL.iter().map(|task| task.name().to_owned()))
    })
}

/// Units of ours.
pub fn unit() -> ArgValueCompleter {
    const UNITS: [&str; 6] =
        ["zookeeper", "docker", "mesos-master", "mesos-slave", "mesos-agent", "spark-dispatcher"];
    ArgValueCompleter::new(|current: &OsStr| matching(current, "", UNITS.map(str::to_owned)))
}

/// Runs that this machine remembers.
pub fn run() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, "", records::runs_here()))
}

fn matching(
    current: &OsStr,
    before: &str,
    all: impl IntoIterator<Item = String>,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let good = all.into_iter().filter(|name| name.starts_with(&*current));
    good.map(|name| CompletionCandidate::new(format!("{before}{name}"))).collect()
}

/// The names in the inventory that the line so far means.
fn inventory() -> (Vec<String>, Vec<String>) {
    let words: Vec<OsString> =
        std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let path = meant(&words)
        .or_else(|| std::env::var_os("PROVISION_INVENTORY").map(PathBuf::from))
        .unwrap_or_else(|| "inventory.yaml".into());
    // Only what is a file: a pipe would be waited for.
    let small = std::fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= MOST_BYTES);
    let text = small.then(|| std::fs::read(&path).ok()).flatten();
    text.map(|text| named(&text)).unwrap_or_default()
}

fn meant(words: &[OsString]) -> Option<PathBuf> {
    let named = words.windows(2).find(|pair| pair[0] == "-i" || pair[0] == "--in");
    if let Some([_, path]) = named {
        return Some(path.into());
    }
    let is_yaml = |word: &&OsString| {
        Path::new(word).extension().is_some_and(|end| end == "yaml" || end == "yml")
    };
    words.iter().rev().find(is_yaml).map(PathBuf::from)
}
