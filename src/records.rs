//! What each apply leaves behind: a record on every master that can be reached, and a copy of its events
//! on this machine.
//!
//! A record read from a host is shown and nothing else: it is never executed, and no reference in it is
//! looked up here.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::{Event, Stamped};
use crate::resource::sha256;
use crate::script::{Fix, Probe, Sections, quote};
use crate::ui::Render;

/// One apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub v: u32,
    /// The run.
    pub run: String,
    /// Who ran it.
    pub by: String,
    /// From which machine.
    pub from: String,
    /// When it began, RFC 3339, by that machine's clock.
    pub began: String,
    /// The cluster.
    pub cluster: String,
    /// What was asked for.
    pub inventory: Asked,
    /// The plan in words.
    pub plan: String,
    /// How it ended; `None` while it runs, and for ever when it was cut short.
    pub outcome: Option<Outcome>,
}

/// What was asked for: the inventory holds references to secrets, never secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The inventory's text, the passwords of URLs masked.
    pub text: String,
    /// Digest of it and the overrides.
    pub digest: String,
    /// Overrides, in order.
    pub sets: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When, RFC 3339.
    pub ended: String,
    /// Actions that changed something.
    pub changed: usize,
    /// What failed.
    pub failed: usize,
    /// Hosts that did not answer.
    pub unreachable: usize,
    /// What was left undone on purpose.
    pub blocked: usize,
    /// The exit code.
    pub exit: u8,
}

/// Version of a record's format.
pub const VERSION: u32 = 1;
/// Where records are, on masters.
pub const DIRECTORY: &str = "/var/lib/provision/records";
/// So many are kept there.
const KEPT_ON_MASTERS: usize = 100;
/// So many runs are kept on this machine.
const KEPT_HERE: usize = 50;

impl Record {
    /// What writes it on a master: whole or not at all, for root's eyes.
    pub fn write(&self) -> Fix {
        let text = self.line();
        let path = format!("{DIRECTORY}/{}.json", self.run);
        Fix::new(format!(
            "umask 077\nmkdir -p {DIRECTORY}\nchmod 700 {DIRECTORY}\nput {} root root 600 {} {}\n\
             ls -1 {DIRECTORY} | sort -r | tail -n +{} | while read -r f; do rm -f \"{DIRECTORY}/$f\"; done",
            quote(&path),
            sha256(&text),
            quote(&text),
            KEPT_ON_MASTERS + 1,
        ))
    }

    fn line(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Asks a master for all its records.
pub fn probe() -> Probe {
    Probe::new("records", format!("cat -- {DIRECTORY}/*.json 2>/dev/null"))
}

/// What a master answered to [`probe`]; lines that are no records are passed over.
pub fn read(sections: &Sections) -> Vec<Record> {
    let text = sections.get("records").map_or("", String::as_str);
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The copies that this machine kept of a cluster's records.
pub fn kept_here(cluster: &str) -> Vec<Record> {
    let Ok(runs) = runs_path().and_then(std::fs::read_dir) else { return Vec::new() };
    let texts = runs.filter_map(|run| std::fs::read_to_string(run.ok()?.path().join(FILE)).ok());
    let records = texts.filter_map(|text| serde_json::from_str::<Record>(&text).ok());
    records.filter(|record| record.cluster == cluster).collect()
}

const FILE: &str = "record.json";

/// Keeps a copy of a record on this machine.
///
/// # Errors
/// When the state directory cannot be written.
pub fn keep_here(record: &Record) -> io::Result<()> {
    let directory = run_directory(&record.run)?;
    let path = directory.join(FILE);
    let temporary = directory.join(format!(".{FILE}"));
    private(&temporary)?.write_all(record.line().as_bytes())?;
    std::fs::rename(temporary, path)
}

/// Writes a run's events to this machine's state directory, from when there is something to do on.
/// Failing, a full disk say, costs the copy and nothing else.
#[derive(Debug)]
pub struct EventLog {
    run: String,
    state: Log,
}

#[derive(Debug)]
enum Log {
    /// Nothing is to be changed so far.
    Waiting(Vec<String>),
    Open(File),
    Failed,
}

impl EventLog {
    /// For one run.
    pub fn new(run: &str) -> EventLog {
        EventLog { run: run.to_owned(), state: Log::Waiting(Vec::new()) }
    }

    fn open(&mut self) -> io::Result<()> {
        let Log::Waiting(lines) = &self.state else { return Ok(()) };
        let mut file = private(&run_directory(&self.run)?.join("events.ndjson"))?;
        file.write_all(lines.concat().as_bytes())?;
        self.state = Log::Open(file);
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) {
        self.state = Log::Failed;
        crate::ui::line(
            io::stderr().lock(),
            &format!("warning: no copy of this run's events is kept here: {error}"),
        );
    }
}

impl Render for EventLog {
    fn draw(&mut self, event: &Stamped) {
        let mut line = serde_json::to_string(event).unwrap_or_default();
        line.push('\n');
        let result = match &mut self.state {
            Log::Waiting(lines) => {
                lines.push(line);
                match &event.event {
                    Event::Planned { actions: 1.., .. } => self.open(),
                    _ => Ok(()),
                }
            }
            Log::Open(file) => file.write_all(line.as_bytes()),
            Log::Failed => Ok(()),
        };
        if let Err(error) = result {
            self.fail(&error);
        }
    }
}

/// A file for our eyes only, empty.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The run's directory on this machine; made where it is missing, and then the oldest go.
fn run_directory(run: &str) -> io::Result<PathBuf> {
    let runs = runs_path()?;
    let directory = runs.join(run);
    if !directory.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        std::fs::set_permissions(&runs, PermissionsExt::from_mode(0o700))?;
        prune(&runs)?;
    }
    Ok(directory)
}

fn prune(runs: &Path) -> io::Result<()> {
    // Their names begin with their time.
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(runs)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.sort();
    for old in names.iter().rev().skip(KEPT_HERE) {
        std::fs::remove_dir_all(old)?;
    }
    Ok(())
}

/// Source: the XDG base directory specification; a relative value is to be ignored.
fn runs_path() -> io::Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    let state = state.or_else(home).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "HOME is not set: set it or XDG_STATE_HOME")
    })?;
    Ok(state.join("provision/runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run: &str) -> Record {
        Record {
            v: VERSION,
            run: run.to_owned(),
            by: "alice".to_owned(),
            from: "laptop".to_owned(),
            began: "2026-01-01T00:00:00.000Z".to_owned(),
            cluster: "c".to_owned(),
            inventory: Asked {
                text: "version: 1\n# it's $HOME `here`\n".to_owned(),
                digest: "d".to_owned(),
                sets: Vec::new(),
            },
            plan: "Plan: 1 to add\n".to_owned(),
            outcome: None,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written_whatever_is_in_it() {
        let (first, second) = (record("r1"), record("r2"));
        let text = format!("{}garbage\n{{\"v\":1}}\n{}", first.line(), second.line());
        let sections = Sections::from([("records".to_owned(), text)]);
        assert_eq!(read(&sections), [first, second]);
    }

    #[test]
    fn only_the_newest_runs_stay_here() {
        let dir = tempfile::tempdir().unwrap();
        for run in 0..KEPT_HERE + 3 {
            std::fs::create_dir(dir.path().join(format!("run-{run:03}"))).unwrap();
        }
        prune(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), KEPT_HERE);
        assert!(!dir.path().join("run-002").exists());
        assert!(dir.path().join("run-003").exists());
    }
}
