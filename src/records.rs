//! What each apply leaves behind: a record on every master that can be reached, and a copy of its events
//! on this machine.
//!
//! A record read from a host is shown and nothing else: it is never executed, and no reference in it is
//! looked up here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::{Event, Stamped};
use crate::ground::HostName;
use crate::ground::digest::sha256;
use crate::local::directories;
use crate::local::files::{self, Readers};
use crate::script::{Fix, Probe, Sections, quote};
use crate::ui::Render;

/// One apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub v: u32,
    /// The run.
    pub run: String,
    /// What was run, such as `restart`; before this was noted only applies left records.
    #[serde(default = "apply")]
    pub command: String,
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

fn apply() -> String {
    "apply".to_owned()
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

/// Who holds a copy of a record; this machine comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// This machine.
    Here,
    /// A master.
    Master(HostName),
}

/// A run as its copies tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The copy that is believed, or if none is, one of those that most hold.
    pub record: Record,
    /// Whether it is ours, or a majority of the masters holds the same.
    pub standing: Standing,
    /// Who holds it.
    pub by: BTreeSet<Holder>,
    /// Who tells of the same run otherwise.
    pub otherwise: BTreeSet<Holder>,
}

/// Whether a record may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// This machine kept it, or a majority of all masters has it.
    Believed,
    /// Too few say so: one of them may have made it up.
    Doubtful,
}

/// Compares all copies of all runs. A master can lie, so a run is what this machine noted of it, or what a
/// majority of the cluster's masters tells alike.
pub fn told(
    copies: impl IntoIterator<Item = (Holder, Record)>,
    masters: usize,
) -> BTreeMap<String, Told> {
    let mut runs: BTreeMap<String, BTreeMap<Holder, Vec<Record>>> = BTreeMap::new();
    for (holder, record) in copies {
        let held = runs.entry(record.run.clone()).or_default().entry(holder).or_default();
        if !held.contains(&record) {
            held.push(record);
        }
    }
    runs.into_iter().filter_map(|(run, held)| Some((run, one(held, masters)?))).collect()
}

fn one(held: BTreeMap<Holder, Vec<Record>>, masters: usize) -> Option<Told> {
    // How a run ended is told last, and a master that was away then does not know.
    let begun = |record: &Record| Record { outcome: None, ..record.clone() };
    let mut versions: Vec<(Record, BTreeSet<Holder>, Vec<Outcome>)> = Vec::new();
    for (holder, records) in &held {
        // Of one that tells the same run in several ways none counts.
        let [record] = &records[..] else { continue };
        let outcome = record.outcome.clone();
        match versions.iter_mut().find(|(known, ..)| *known == begun(record)) {
            Some((_, by, outcomes)) => {
                by.insert(holder.clone());
                outcomes.extend(outcome);
            }
            None => {
                let by = BTreeSet::from([holder.clone()]);
                versions.push((begun(record), by, outcome.into_iter().collect()));
            }
        }
    }
    let weight = |by: &BTreeSet<Holder>| (by.contains(&Holder::Here), by.len());
    let best = versions.into_iter().max_by_key(|(_, by, _)| weight(by));
    let (mut record, by, outcomes) = match best {
        Some(best) => best,
        None => (held.values().flatten().next()?.clone(), BTreeSet::new(), Vec::new()),
    };
    let votes = |outcome: &Outcome| outcomes.iter().filter(|it| *it == outcome).count();
    // Holders come in order, so this machine's word is the first.
    record.outcome = match by.contains(&Holder::Here) {
        true => outcomes.first().cloned(),
        false => outcomes.iter().max_by_key(|outcome| votes(outcome)).cloned(),
    };
    let believed = by.contains(&Holder::Here) || by.len() * 2 > masters;
    let standing = if believed { Standing::Believed } else { Standing::Doubtful };
    let otherwise = held.into_keys().filter(|holder| !by.contains(holder)).collect();
    Some(Told { record, standing, by, otherwise })
}

impl Asked {
    /// Whether the text and the overrides are those that the digest was made of; `None` where that cannot
    /// be told, for a password was taken out of them.
    pub fn is_whole(&self) -> Option<bool> {
        let masked = |text: &String| text.contains(":***@");
        if masked(&self.text) || self.sets.iter().any(masked) {
            return None;
        }
        let mut whole = self.text.clone();
        for set in &self.sets {
            whole.push('\0');
            whole.push_str(set);
        }
        Some(sha256(whole) == self.digest)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Here => f.write_str("this machine"),
            Holder::Master(host) => write!(f, "{host}"),
        }
    }
}

pub fn kept_here(cluster: &str) -> Vec<Record> {
    let Ok(runs) = runs_path().and_then(std::fs::read_dir) else { return Vec::new() };
    let texts = runs.filter_map(|run| std::fs::read_to_string(run.ok()?.path().join(FILE)).ok());
    let records = texts.filter_map(|text| serde_json::from_str::<Record>(&text).ok());
    records.filter(|record| record.cluster == cluster).collect()
}

/// Runs that this machine remembers, the newest first.
pub fn runs_here() -> Vec<String> {
    let Ok(runs) = runs_path().and_then(std::fs::read_dir) else { return Vec::new() };
    let names = runs.filter_map(|run| run.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names
}

/// The events of a run as lines of JSON, where this machine has them.
pub fn events_here(run: &str) -> Option<String> {
    // It may be what a master says: a name of a run of ours is no path.
    let named = run.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    std::fs::read_to_string(runs_path().ok().filter(|_| named)?.join(run).join(EVENTS)).ok()
}

const FILE: &str = "record.json";
const EVENTS: &str = "events.ndjson";

/// Keeps a copy of a record on this machine.
///
/// # Errors
/// When the state directory cannot be written.
pub fn keep_here(record: &Record) -> io::Result<()> {
    let directory = run_directory(&record.run)?;
    let path = directory.join(FILE);
    files::replace(&path, record.line(), Readers::Us)
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
        let mut file = files::append(&run_directory(&self.run)?.join(EVENTS))?;
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

/// The run's directory on this machine; made where it is missing, and then the oldest go.
fn run_directory(run: &str) -> io::Result<PathBuf> {
    let runs = runs_path()?;
    let directory = runs.join(run);
    if !directory.is_dir() {
        files::private_directory(&runs)?;
        files::private_directory(&directory)?;
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
        files::remove_directory(old)?;
    }
    Ok(())
}

fn runs_path() -> io::Result<PathBuf> {
    Ok(directories::state()?.join("runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run: &str) -> Record {
        Record {
            v: VERSION,
            run: run.to_owned(),
            command: apply(),
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

    fn ended(run: &str) -> Record {
        let outcome = Outcome {
            ended: "later".to_owned(),
            changed: 3,
            failed: 1,
            unreachable: 0,
            blocked: 0,
            exit: 3,
        };
        Record { outcome: Some(outcome), ..record(run) }
    }

    fn forged(run: &str) -> Record {
        let mut forged = ended(run);
        forged.inventory.text = "secret: { command: rm -rf ~ }\n".to_owned();
        forged
    }

    fn master(name: &str) -> Holder {
        Holder::Master(HostName::new(name))
    }

    #[test]
    fn one_master_alone_is_not_believed() {
        let (m1, m2, m3) = (master("m1"), master("m2"), master("m3"));
        // One against two, in whatever order: they are believed, and it is named.
        let copies =
            [(m1.clone(), forged("r1")), (m2.clone(), record("r1")), (m3.clone(), ended("r1"))];
        let all = told(copies, 3);
        assert_eq!(all["r1"].record, ended("r1"));
        assert_eq!(all["r1"].standing, Standing::Believed);
        assert_eq!(all["r1"].otherwise, BTreeSet::from([m1.clone()]));
        // A run that one alone tells of, however often it says so.
        let copies = [(m1.clone(), forged("r1")), (m1.clone(), forged("r1"))];
        assert_eq!(told(copies, 3)["r1"].standing, Standing::Doubtful);
        // One that tells it in two ways counts for neither.
        let copies =
            [(m1.clone(), forged("r1")), (m1.clone(), record("r1")), (m2.clone(), record("r1"))];
        let all = told(copies, 3);
        assert_eq!(
            (all["r1"].standing, &all["r1"].otherwise),
            (Standing::Doubtful, &BTreeSet::from([m1.clone()]))
        );
        // What this machine noted stands against all.
        let copies = [
            (m1.clone(), forged("r1")),
            (m2.clone(), forged("r1")),
            (m3.clone(), forged("r1")),
            (Holder::Here, record("r1")),
        ];
        let all = told(copies, 3);
        assert_eq!((&all["r1"].record, all["r1"].standing), (&record("r1"), Standing::Believed));
        assert_eq!(all["r1"].otherwise.len(), 3);
        // A single master is all there is.
        assert_eq!(told([(m1, record("r1"))], 1)["r1"].standing, Standing::Believed);
    }

    #[test]
    fn a_text_that_is_not_what_its_digest_says_is_found_out() {
        let mut asked = record("r1").inventory;
        assert_eq!(asked.is_whole(), Some(false));
        asked.sets.push("dc=x".to_owned());
        asked.digest = sha256(format!("{}\0dc=x", asked.text));
        assert_eq!(asked.is_whole(), Some(true));
        asked.text.push_str("http://u:***@p\n");
        assert_eq!(asked.is_whole(), None);
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
