//! One machine of the modelled cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use provision::ground::digest::sha256;
use provision::mesos::values::{Attributes, Resources};
use provision::resource::drain::NOTE;
use provision::resource::file::{Content, File};
use provision::resource::service::{Service, State};

/// What is on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    pub(crate) reach: Reach,
    pub(crate) packages: BTreeMap<String, String>,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) units: BTreeMap<String, Unit>,
    /// The labels of each by its name: of its inputs and, where it is one for all, of its build.
    pub(crate) images: BTreeMap<String, String>,
    /// What it says is the key of its server of files, where that is no key.
    pub(crate) served_as: Option<String>,
    /// Its server has written data.
    pub(crate) data: bool,
    /// What it keeps of the masters' registry.
    pub(crate) saved: Option<serde_json::Value>,
    /// What its agent announced.
    pub(crate) agent: Option<Announced>,
    /// Digests of what dpkg keeps of the files of packages, by its path.
    pub(super) built: BTreeMap<String, String>,
    pub(super) users: BTreeSet<String>,
    /// What its agent was last started to announce.
    pub(super) noted: Option<(String, u64)>,
}

/// The files of members that are read as text.
pub(super) const CONFIG: &str = "/etc/zookeeper/conf/zoo.cfg";
pub(super) const UNIT: &str = "/etc/systemd/system/zookeeper.service";
pub(super) const MYID: &str = "/etc/zookeeper/conf/myid";
pub(super) const QUORUM: &str = "/etc/mesos-master/quorum";
pub(super) const LOG: &str = "/var/lib/mesos/replicated_log";

/// Whether a machine can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    #[default]
    Whole,
    /// Its services run, and its sshd does not answer.
    NoSsh,
    /// Nothing of it answers.
    Dead,
}

/// Something in a file system.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) owner: String,
    pub(crate) mode: String,
    pub(crate) sha: String,
    pub(crate) text: Option<String>,
    pub(crate) changed: u64,
}

/// A systemd unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unit {
    pub(crate) active: bool,
    pub(crate) enabled: bool,
    pub(super) masked: bool,
    /// It runs and does not serve.
    pub(crate) wedged: bool,
    /// It dies at every start.
    pub(crate) crashing: bool,
    pub(super) invocation: u64,
    pub(super) started: u64,
    /// What its process has read of its own file: a server's list, a master's quorum.
    pub(crate) read: String,
    /// What a daemon of Mesos has read about credentials: its flags of that kind, each with its value.
    pub(crate) admits: BTreeMap<String, String>,
    /// What a server's JVM was told, and a line of its own for SASL in its zoo.cfg.
    pub(crate) told: Vec<String>,
}

impl Unit {
    /// Which run of it this is.
    pub(crate) fn invocation(&self) -> u64 {
        self.invocation
    }
}

/// What an agent told the masters.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(crate) id: u32,
    pub(crate) attributes: Attributes,
    pub(crate) resources: Resources,
    /// Drained: it gets no offers, and its tasks have ended.
    pub(crate) drained: bool,
    /// It gets no offers.
    pub(crate) deactivated: bool,
    /// Its tasks end by then.
    pub(crate) until: Option<tokio::time::Instant>,
}

impl Machine {
    /// Whether a unit's process is there.
    pub(crate) fn runs(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.active)
    }

    /// Whether a unit's process does its work.
    pub(crate) fn serves(&self, unit: &str) -> bool {
        self.reach != Reach::Dead
            && self
                .units
                .get(unit)
                .is_some_and(|unit| unit.active && !unit.wedged && !unit.crashing)
    }

    pub(super) fn install(
        &mut self,
        name: &str,
        version: Option<&str>,
        quiet: &[String],
        now: u64,
    ) {
        let version = version.map_or("1:2.3-4".to_owned(), |v| format!("{v}-2.0.1"));
        self.packages.insert(name.to_owned(), version);
        let list = Entry::new("regular file", "root:root", "644", now);
        self.entries.insert(format!("/var/lib/dpkg/info/{name}.list"), list.clone());
        let units: &[&str] = match name {
            "mesos" => {
                self.entries.insert("/usr/lib/libmesos.so".to_owned(), list);
                &["mesos-master", "mesos-slave"]
            }
            "docker.io" => &["docker"],
            _ => &[],
        };
        // What a package brings starts at once, unless it is masked.
        for name in units {
            let unit = self.units.entry((*name).to_owned()).or_default();
            if !unit.masked && !unit.active {
                // Whoever installs it quietly leaves it as it was.
                if !quiet.iter().any(|quiet| quiet == name) {
                    unit.enabled = true;
                    *unit = Unit { active: true, invocation: now, started: now, ..unit.clone() };
                }
            }
        }
    }

    pub(super) fn write(&mut self, file: &File, now: u64) {
        let owner = format!("{}:{}", file.owner, file.group);
        let mut entry = Entry::new("regular file", &owner, file.mode, now);
        if let Content::Text(text) = &file.content {
            entry.sha = sha256(text);
            let shown = ["/etc/mesos-master/credentials", "/etc/mesos-slave/credential"];
            if [CONFIG, UNIT, MYID, QUORUM].iter().chain(&shown).any(|path| *path == file.path) {
                entry.text = Some(text.clone());
            }
        }
        self.entries.insert(file.path.clone(), entry);
        self.touch_parent(&file.path, now);
    }

    /// A name that comes or goes changes its directory.
    pub(super) fn touch_parent(&mut self, path: &str, now: u64) {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if let Some(directory) = self.entries.get_mut(parent) {
            directory.changed = now;
        }
    }

    /// A small file whose text is asked for.
    pub(crate) fn note(&mut self, path: &str, text: String, now: u64) {
        let mut entry = Entry::new("regular file", "root:root", "600", now);
        entry.text = Some(text);
        self.entries.insert(path.to_owned(), entry);
    }

    /// What a process that starts now reads.
    pub(super) fn reads(&self, unit: &str) -> String {
        let path = if unit == "zookeeper" { CONFIG } else { QUORUM };
        self.text(path).to_owned()
    }

    /// Flags of a daemon of Mesos about credentials, as one that starts now reads them.
    fn admits(&self, unit: &str) -> BTreeMap<String, String> {
        let directory = format!("/etc/{unit}/");
        let all = self.entries.iter().filter_map(|(path, entry)| {
            let name = path.strip_prefix(&directory)?;
            let concerns = name.starts_with("credential") || name.starts_with("authenticate");
            let text = entry.text.as_deref().unwrap_or("true").trim();
            concerns.then(|| (name.to_owned(), text.trim_start_matches("file://").to_owned()))
        });
        all.collect()
    }

    /// What a server that starts now is told.
    fn told(&self, unit: &str) -> Vec<String> {
        let words = self.text(UNIT).split_whitespace().filter(|word| word.starts_with("-D"));
        if unit == "zookeeper" { words.map(str::to_owned).collect() } else { Vec::new() }
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        self.entries.get(path).and_then(|entry| entry.text.as_deref()).unwrap_or("")
    }

    /// Whether a process that starts now ends at once: a server of an ensemble that has no number.
    /// Source: `QuorumPeerConfig.setupMyId` of apache/zookeeper release-3.8.0.
    fn crashes(&self, unit: &str) -> bool {
        unit == "zookeeper"
            && self.text(CONFIG).contains("\nserver.")
            && self.text(MYID).trim().is_empty()
    }

    pub(super) fn turn(&mut self, service: &Service, restarts: bool, now: u64) {
        let (read, admits) = (self.reads(&service.unit), self.admits(&service.unit));
        let told = self.told(&service.unit);
        let crashing = self.crashes(&service.unit);
        let unit = self.units.entry(service.unit.clone()).or_default();
        match service.state {
            State::Masked => *unit = Unit { masked: true, ..Unit::default() },
            State::Stopped | State::Left => *unit = Unit::default(),
            State::Running => {
                unit.enabled = true;
                if restarts {
                    *unit = Unit {
                        active: true,
                        enabled: true,
                        invocation: now,
                        started: now,
                        read,
                        admits,
                        told,
                        crashing,
                        ..Unit::default()
                    };
                    self.data |= service.unit == "zookeeper";
                    if service.unit == "mesos-master" {
                        let log = Entry::new("directory", "root:root", "755", now);
                        self.entries.insert(LOG.to_owned(), log);
                    }
                }
            }
        }
    }

    /// A unit starts anew without us, from the files as they are.
    pub(super) fn restart(&mut self, unit: &str, now: u64) {
        let (read, crashing) = (self.reads(unit), self.crashes(unit));
        let told = self.told(unit);
        let unit = self.units.entry(unit.to_owned()).or_default();
        *unit = Unit {
            active: true,
            read,
            told,
            invocation: now,
            started: now,
            wedged: false,
            crashing,
            masked: false,
            ..unit.clone()
        };
    }

    /// Its power fails.
    pub(super) fn fall(&mut self) {
        self.reach = Reach::Dead;
        self.units.values_mut().for_each(|unit| unit.active = false);
    }

    /// What is enabled starts anew, and nothing else runs.
    pub(super) fn boot(&mut self, now: u64) {
        let reads = |unit: &String| (self.reads(unit), self.told(unit), self.crashes(unit));
        let reads: Vec<(String, Vec<String>, bool)> = self.units.keys().map(reads).collect();
        for (unit, (read, told, crashing)) in self.units.values_mut().zip(reads) {
            let (enabled, masked) = (unit.enabled, unit.masked);
            let fresh = Unit { enabled, masked, read, told, ..Unit::default() };
            *unit = match enabled && !masked {
                true => Unit { active: true, crashing, invocation: now, started: now, ..fresh },
                false => fresh,
            };
        }
    }

    /// An agent starts: with its old id it recovers only what has not changed.
    pub(super) fn announce(
        &mut self,
        attributes: Attributes,
        resources: Resources,
        between: &str,
        now: u64,
    ) {
        // The script between stop and start forgets the old id, always or unless a note agrees.
        let note = between.split_whitespace().rev().nth(2).unwrap_or_default();
        let anew =
            between.starts_with("rm -f ") || between.starts_with("if ") && !self.believes(note);
        self.noted = Some((note.to_owned(), now));
        let recovers = self
            .agent
            .as_ref()
            .is_none_or(|old| old.attributes == attributes && old.resources == resources);
        if !recovers && !anew {
            self.units.entry("mesos-slave".to_owned()).or_default().crashing = true;
            return;
        }
        let id = self.agent.as_ref().map_or(0, |old| old.id + u32::from(anew));
        // The registry remembers, by the id.
        let before = self.agent.take().filter(|_| !anew);
        let (drained, deactivated) =
            before.map_or((false, false), |old| (old.drained, old.deactivated));
        if anew {
            self.entries.remove(NOTE);
        }
        self.agent =
            Some(Announced { id, attributes, resources, drained, deactivated, until: None });
    }

    /// The master drains the agent, or gives it back.
    pub(crate) fn drain(&mut self, drained: bool, now: u64) {
        match drained {
            true => self.note(NOTE, "id\n".to_owned(), now),
            false => drop(self.entries.remove(NOTE)),
        }
        let agent = self.agent.as_mut().expect("an agent");
        agent.drained = drained;
        agent.deactivated = drained;
    }

    /// Somebody takes the agent out of the offers, with a note.
    pub(crate) fn hold(&mut self, now: u64) {
        self.note(NOTE, "id\n".to_owned(), now);
        self.agent.as_mut().expect("an agent").deactivated = true;
    }

    pub(super) fn believes(&self, note: &str) -> bool {
        let newer = |name: &str, than: u64| {
            let entry = self.entries.get(&format!("/etc/mesos-slave/{name}"));
            entry.is_some_and(|entry| entry.changed > than)
        };
        self.noted.as_ref().is_some_and(|(text, at)| {
            text == note && !["attributes", "hostname", "resources"].iter().any(|n| newer(n, *at))
        })
    }

    pub(super) fn dpkg(&self) -> String {
        let mut text = "dpkg installed 1.21.22 amd64\n".to_owned();
        for (name, version) in &self.packages {
            let _ = writeln!(text, "{name} installed {version} amd64");
        }
        text
    }

    pub(super) fn stat(&self) -> String {
        let mut text = String::new();
        for (path, it) in &self.entries {
            let arrow = if it.kind == "symbolic link" {
                format!(" -> '{}'", it.sha)
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "{}|{}|{}|7|{}|{path}|'{path}'{arrow}",
                it.kind, it.owner, it.mode, it.changed
            );
        }
        text
    }

    pub(super) fn sha256(&self) -> String {
        let files = self.entries.iter().filter(|(_, it)| it.kind == "regular file");
        let files = files.map(|(path, it)| (path, &it.sha)).chain(&self.built);
        files.map(|(path, sum)| format!("{sum}  {path}\n")).collect()
    }

    pub(super) fn texts(&self) -> String {
        let all = self.entries.iter().filter_map(|(path, it)| Some((path, it.text.as_ref()?)));
        let all: Vec<String> = all.map(|(path, text)| format!("==> {path} <==\n{text}")).collect();
        all.join("\n")
    }

    pub(super) fn strays(&self) -> String {
        let all = self.entries.keys().filter_map(|path| path.rsplit_once('/'));
        all.map(|(parent, name)| format!("{parent}|{name}\n")).collect()
    }

    pub(super) fn secrets(&self) -> String {
        let secret = |path: &&String| path.contains("-secrets/") || path.ends_with(".jaas");
        self.entries.keys().filter(secret).map(|path| format!("{path}\n")).collect()
    }

    pub(super) fn show(&self, script: &str) -> String {
        let mut text = String::new();
        for line in script.lines().filter(|line| line.contains("set -- \"$@\" ")) {
            let ids = line.split(|c: char| c.is_whitespace() || c == ';');
            let Some(id) = ids.rev().find(|word| word.ends_with(".service")) else { continue };
            let name = id.trim_end_matches(".service");
            if line.starts_with("[ ! -e ") && !self.stamped(name) {
                continue;
            }
            let known = match name {
                "docker" => self.packages.contains_key("docker.io"),
                "mesos-master" | "mesos-slave" => self.packages.contains_key("mesos"),
                other => self.entries.contains_key(&format!("/etc/systemd/system/{other}.service")),
            };
            let unit = self.units.get(name).cloned().unwrap_or_default();
            let load = match (unit.masked, known || unit.active) {
                (true, _) => "masked",
                (false, true) => "loaded",
                (false, false) => "not-found",
            };
            let (active, sub) = match (unit.active, unit.crashing) {
                (true, false) => ("active", "running"),
                (_, true) => ("activating", "auto-restart"),
                (false, false) => ("inactive", "dead"),
            };
            let file = match (unit.masked, unit.enabled, known) {
                (true, ..) => "masked",
                (_, true, _) => "enabled",
                (_, false, true) => "disabled",
                (_, false, false) => "",
            };
            let _ = write!(
                text,
                "Id={id}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nUnitFileState={file}\nInvocationID=i{}\nExecMainStartTimestamp=@{}\nActiveEnterTimestamp=@{}\nNRestarts=0\nResult=success\n\n",
                unit.invocation, unit.started, unit.started
            );
        }
        text
    }

    /// What the files of a server say.
    pub(super) fn files(&self) -> String {
        let servers: String = self
            .text(CONFIG)
            .lines()
            .filter(|line| line.starts_with("server."))
            .map(|line| format!("{line}\n"))
            .collect();
        let sasl = match self.text(CONFIG).contains("\nquorum.auth.enableSasl=true") {
            true => "sasl\n",
            false => "",
        };
        let unit = self.units.get("zookeeper").filter(|unit| unit.active);
        let told =
            unit.map_or(String::new(), |unit| format!("process\n{}\n", unit.told.join("\n")));
        let data = if self.data { "data\n" } else { "" };
        let runs = self.says_of("zookeeper");
        format!("here\n{servers}{sasl}{told}serverId={}\n{data}{runs}", self.text(MYID).trim())
    }

    /// What is told of the unit of a part beside its files.
    pub(super) fn says_of(&self, unit: &str) -> &'static str {
        match self.units.get(unit) {
            _ if self.runs(unit) => "runs\n",
            Some(unit) if !unit.enabled => "left\n",
            _ => "",
        }
    }

    /// Whether we have once found a unit of it healthy.
    pub(super) fn stamped(&self, unit: &str) -> bool {
        self.entries.contains_key(&format!("/var/lib/provision/stamps/{unit}.service"))
    }

    pub(super) fn images(&self) -> String {
        if !self.packages.contains_key("docker.io") {
            return "engine absent\n".to_owned();
        }
        if !self.runs("docker") {
            return "engine stopped\n".to_owned();
        }
        let mut text = String::new();
        for (path, it) in &self.entries {
            if let (true, Some(lines)) = (path.ends_with(".image"), &it.text) {
                let mut lines = lines.lines();
                let _ = writeln!(text, "stamp {path} {}", lines.next().unwrap_or(""));
                lines.for_each(|line| text.push_str(&format!("holds {path} {line}\n")));
            }
        }
        text.push_str("engine running\n");
        for (name, label) in &self.images {
            let tag = if name.contains(':') { name.clone() } else { format!("{name}:latest") };
            // The label of its inputs and, where it is one for all, that of its build.
            let (inputs, build) = label.split_once(' ').unzip();
            let build = build.map(|build| format!("\nbuild {build}")).unwrap_or_default();
            let inputs = inputs.unwrap_or(label);
            let _ = writeln!(text, "tag {tag}{build}\nid sha256:{} {inputs}", sha256(name));
        }
        text
    }
}

impl Entry {
    pub(super) fn new(kind: &'static str, owner: &str, mode: &str, changed: u64) -> Entry {
        let (owner, mode) = (owner.to_owned(), mode.to_owned());
        Entry { kind, owner, mode, sha: String::new(), text: None, changed }
    }
}
