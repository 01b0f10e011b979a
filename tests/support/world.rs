//! A cluster as a model: what its machines hold, what their probes print, what an action does to them.
//!
//! Answers are text in the shapes that real tools print (bodies from tests/fixtures/real), so that a
//! test goes through the same reading as a run does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use provision::health::{Check, leaders_agents};
use provision::inventory::load::{Lab, load_text};
use provision::inventory::{HostName, Inventory, ZooKeeper};
use provision::mesos::values::{Attributes, Resources, Value};
use provision::observe;
use provision::plan::{Action, Observed, Plan, Scope, plan};
use provision::resource::file::{Content, File};
use provision::resource::image::Origin;
use provision::resource::service::{Service, State};
use provision::resource::{Gap, Look, Resource, ResourceId, diff, read, sha256};
use provision::script::{Probe, Sections};
use provision::tasks::{self, Desired, Task, Wish, desire};
use provision::template::Templates;
use serde_json::{Value as Json, json};

/// A cluster.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) inventory: Inventory,
    pub(crate) machines: BTreeMap<HostName, Machine>,
    /// Weights in the masters' registry.
    weights: BTreeMap<String, f64>,
    /// Who was elected; stays so while it is alive.
    pub(crate) leaders: BTreeMap<&'static str, HostName>,
    now: u64,
}

/// One machine of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    pub(crate) reach: Reach,
    pub(crate) packages: BTreeMap<String, String>,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) units: BTreeMap<String, Unit>,
    pub(crate) images: BTreeMap<String, String>,
    /// What its agent announced.
    pub(crate) agent: Option<Announced>,
    users: BTreeSet<String>,
    /// What its agent was last started to announce.
    noted: Option<String>,
}

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
    masked: bool,
    /// It runs and does not serve.
    pub(crate) wedged: bool,
    /// It dies at every start.
    crashing: bool,
    invocation: u64,
    started: u64,
}

/// What an agent told the masters.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(crate) id: u32,
    pub(crate) attributes: Attributes,
    pub(crate) resources: Resources,
}

/// What was seen at one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

/// The built-in templates, compiled once.
pub(crate) fn templates() -> &'static Templates {
    static TEMPLATES: OnceLock<Templates> = OnceLock::new();
    TEMPLATES.get_or_init(|| Templates::new(&BTreeMap::new()).expect("built-in templates"))
}

/// An inventory from text; the files that it names are there.
pub(crate) fn inventory(text: &str, sets: &[&str]) -> Inventory {
    static FILES: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FILES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "mesos_1.11.0_amd64.deb",
            "spark-3.5.1-bin-hadoop3.tgz",
            "debian-bookworm-slim.tar",
        ] {
            std::fs::write(folder.path().join(name), name).expect("a file");
        }
        folder
    });
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    match load_text("inventory.yaml", text.as_bytes(), folder.path(), &sets, Lab::No) {
        Ok(loaded) => loaded.inventory,
        Err(refused) => panic!("{:#?}\n{text}", refused.problems),
    }
}

fn fixture(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real");
    let text = std::fs::read_to_string(root.join(path)).expect(path);
    match text.split_once("\r\n\r\n") {
        Some((_, body)) => body.to_owned(),
        None => text,
    }
}

impl World {
    /// Machines with nothing on them.
    pub(crate) fn fresh(inventory: Inventory) -> World {
        let machines =
            inventory.hosts.keys().map(|host| (host.clone(), Machine::default())).collect();
        let (weights, leaders) = (BTreeMap::new(), BTreeMap::new());
        World { inventory, machines, weights, leaders, now: 1000 }
    }

    /// What a run would see and plan.
    pub(crate) fn plan(&self, scope: &Scope) -> (View, Plan) {
        let view = self.look();
        let plan = plan(&self.inventory, &view.desired, &view.observed, scope);
        (view, plan)
    }

    /// Observes as a command does: what agents announce bends what is desired of them.
    pub(crate) fn look(&self) -> View {
        let at = |live| tasks::World { inventory: &self.inventory, templates: templates(), live };
        let desired = desire(&at(None)).expect("templates render");
        let probes = observe::probes(&self.inventory, &desired);
        let answers: BTreeMap<HostName, Result<Sections, String>> = probes
            .iter()
            .map(|(host, probe)| (host.clone(), self.answer(host, probe)))
            .collect();
        let first = observe::observed(&self.inventory, &desired, answers.clone());
        let live = leaders_agents(&self.inventory, &first.replies())
            .map(|all| all.into_iter().map(|(at, listed)| (at, listed.info)).collect());
        let desired = desire(&at(live.as_ref())).expect("templates render");
        let observed = observe::observed(&self.inventory, &desired, answers);
        View { desired, observed }
    }

    /// What a host answers to a probe.
    pub(crate) fn answer(&self, host: &HostName, probe: &Probe) -> Result<Sections, String> {
        let machine = &self.machines[host];
        if machine.reach != Reach::Whole {
            return Err("it does not answer on port 22".to_owned());
        }
        let script = probe.script("NONCE");
        let mut sections = Sections::new();
        for part in script.split("printf '\\n%s %s\\n' NONCE ").skip(1) {
            let (name, body) = part.split_once('\n').expect("a name");
            let text = match name {
                "packages" => machine.dpkg(),
                "stat" => machine.stat(),
                "sha256" => machine.sha256(),
                "texts" => machine.texts(),
                "strays" => machine.strays(),
                "users" => machine.users.iter().map(|u| format!("{u}:x:999:999::/:/bin/sh\n")).collect(),
                "units" => machine.show(body),
                "images" => machine.images(),
                "weights" => self.http(host, body, "\n@CODE\n"),
                "http" => self.http(host, body, "\n@@provision CODE\n"),
                "zookeeper" => body
                    .lines()
                    .filter(|line| line.starts_with("timeout"))
                    .map(|_| format!("{}\n@@provision 200\n", self.four_letters(host)))
                    .collect(),
                "journal" => "it said something\n".to_owned(),
                other => panic!("nobody answers {other}"),
            };
            sections.insert(name.to_owned(), text);
        }
        Ok(sections)
    }

    /// Does what an action does, without the stamp that follows a healthy gate.
    pub(crate) fn act(&mut self, host: &HostName, wish: &Wish, gaps: &[Gap]) -> Result<(), String> {
        self.now += 1;
        let now = self.now;
        let wanted = self.inventory.agent(host).cloned();
        let leads = self.leader("mesos-master").is_some();
        let machine = self.machines.get_mut(host).expect("a machine");
        match &wish.resource {
            Resource::Packages(set) => {
                for (name, version) in &set.packages {
                    machine.install(name, version.as_deref(), &set.quiet, now);
                }
            }
            Resource::File(file) => machine.write(file, now),
            Resource::Directory(directory) => {
                let owner = format!("{}:{}", directory.owner, directory.group);
                let entry = Entry::new("directory", &owner, directory.mode, now);
                machine.entries.insert(directory.path.clone(), entry);
                for gap in gaps.iter().filter(|gap| gap.fact == "strays") {
                    for stray in gap.seen.iter().flat_map(|names| names.split('\n')) {
                        machine.entries.remove(&format!("{}/{stray}", directory.path));
                    }
                }
            }
            Resource::Link(link) => {
                let mut entry = Entry::new("symbolic link", "root:root", "777", now);
                entry.sha.clone_from(&link.target);
                machine.entries.insert(link.path.clone(), entry);
            }
            Resource::User(user) => {
                machine.users.insert(user.name.clone());
            }
            Resource::Unpacked(it) => {
                // The old directory goes with everything in it.
                let inside = format!("{}/", it.directory);
                machine.entries.retain(|path, _| !path.starts_with(&inside));
                machine.note(&it.marker, format!("{}\n", it.archive.digest.hex()), now);
            }
            Resource::Image(image) => {
                if !machine.runs("docker") {
                    return Err("Cannot connect to the Docker daemon".to_owned());
                }
                match &image.origin {
                    Origin::Build(build) => {
                        machine.images.insert(image.name.clone(), build.digest());
                    }
                    Origin::Load { archive, stamp } => {
                        machine.images.insert("base:1".to_owned(), String::new());
                        let text = format!("{}\nbase:1\n", archive.digest.hex());
                        machine.note(stamp, text, now);
                    }
                    Origin::Pull => {
                        machine.images.insert(image.name.clone(), String::new());
                    }
                }
            }
            Resource::Service(service) => {
                let restarts = gaps.iter().any(|gap| gap.fact != "enabled");
                if service.state == State::Running && restarts {
                    machine.entries.remove(&service.stamp);
                }
                machine.turn(service, restarts, now);
                if service.unit == "mesos-slave" && service.state == State::Running && restarts {
                    let wanted = wanted.expect("an agent");
                    let between = service.between.as_deref().unwrap_or_default();
                    machine.announce(wanted.attributes, wanted.resources, between);
                }
                if restarts {
                    self.lead_no_more(host, &service.unit);
                }
            }
            Resource::Weights(weights) => {
                if !leads {
                    return Err("no leading master answered".to_owned());
                }
                self.weights.extend(weights.roles.clone());
            }
            Resource::Proof(proof) => machine.note(&proof.stamp, format!("{}\n", proof.digest), now),
        }
        Ok(())
    }

    /// Writes the stamp of a service, as after a healthy gate.
    pub(crate) fn stamp(&mut self, host: &HostName, service: &Service) {
        self.now += 1;
        let machine = self.machines.get_mut(host).expect("a machine");
        let invocation = machine.units[&service.unit].invocation;
        let text = format!("inputs={}\ninvocation=i{invocation}\n", service.digest);
        machine.note(&service.stamp, text, self.now);
    }

    /// One action as the engine does it: looks first where it could not be looked before.
    pub(crate) fn perform(&mut self, desired: &Desired, host: &HostName, action: &Action) -> Result<(), String> {
        let wish = desired.find(host, action.task, &action.resource).expect("a wish").clone();
        let gaps = match action.later {
            None => action.gaps.clone(),
            Some(_) => {
                let probe = provision::resource::probe(&[&wish.resource]);
                match read(&wish.resource, &self.answer(host, &probe)?) {
                    Look::Facts(facts) => diff(&wish.resource.want(), &facts),
                    other => return Err(format!("{}: {other:?}", action.resource)),
                }
            }
        };
        if gaps.is_empty() { Ok(()) } else { self.act(host, &wish, &gaps) }
    }

    /// Somebody restarts a unit without us.
    pub(crate) fn restart_by_hand(&mut self, host: &HostName, unit: &str) {
        self.now += 1;
        let now = self.now;
        let machine = self.machines.get_mut(host).expect("a machine");
        let unit = machine.units.entry(unit.to_owned()).or_default();
        *unit = Unit { active: true, invocation: now, started: now, wedged: false, crashing: false, masked: false, ..unit.clone() };
    }

    /// Somebody puts a file, or changes one.
    pub(crate) fn edit(&mut self, host: &HostName, path: &str, text: &str) {
        self.now += 1;
        let entry = self.machines.get_mut(host).expect("a machine").entries.entry(path.to_owned());
        let now = self.now;
        let entry = entry.or_insert_with(|| Entry::new("regular file", "root:root", "644", now));
        entry.sha = sha256(text);
        entry.changed = now;
        if entry.text.is_some() {
            entry.text = Some(text.to_owned());
        }
    }

    /// Who leads the members that run a unit; `None` without a quorum.
    pub(crate) fn leader(&self, unit: &'static str) -> Option<HostName> {
        if unit == "mesos-master" && self.leader("zookeeper").is_none() {
            return None;
        }
        let check = if unit == "zookeeper" { Check::ZooKeeper } else { Check::Masters };
        let members = check.members(&self.inventory);
        let alive: Vec<&HostName> =
            members.iter().filter(|host| self.machines[*host].serves(unit)).collect();
        if alive.len() <= members.len() / 2 {
            return None;
        }
        let before = self.leaders.get(unit).filter(|host| alive.contains(host));
        before.or(alive.last().copied()).cloned()
    }

    fn lead_no_more(&mut self, host: &HostName, unit: &str) {
        for quorum in ["zookeeper", "mesos-master"] {
            if unit != quorum || self.leaders.get(quorum).is_some_and(|leader| leader != host) {
                continue;
            }
            let check = if quorum == "zookeeper" { Check::ZooKeeper } else { Check::Masters };
            let members = check.members(&self.inventory);
            let next = members.iter().find(|m| *m != host && self.machines[*m].serves(quorum));
            if let Some(next) = next {
                self.leaders.insert(quorum, next.clone());
            }
        }
    }

    fn http(&self, host: &HostName, script: &str, mark: &str) -> String {
        if !self.machines[host].packages.contains_key("curl") {
            return String::new();
        }
        let mut text = String::new();
        for word in script.split_whitespace().filter(|word| word.starts_with("http://")) {
            let rest = word.strip_prefix("http://").expect("http");
            let (at, path) = rest.split_once('/').expect("a path");
            let (address, port) = at.rsplit_once(':').expect("a port");
            let (code, body) = self.page(address, port, path);
            let _ = write!(text, "{body}{}", mark.replace("CODE", code));
        }
        text
    }

    fn page(&self, address: &str, port: &str, path: &str) -> (&'static str, String) {
        let nobody = ("000", String::new());
        let found = self.inventory.hosts.iter().find(|(_, h)| h.address.to_string() == address);
        let Some((name, _)) = found else { return nobody };
        let machine = &self.machines[name];
        if machine.reach == Reach::Dead {
            return nobody;
        }
        if port == "5050" {
            if !machine.runs("mesos-master") {
                return nobody;
            }
            let leader = self.leader("mesos-master");
            let leads = leader.as_ref() == Some(name);
            return match path {
                "metrics/snapshot" => {
                    let recovered = leader.is_some() && machine.serves("mesos-master");
                    ("200", self.metrics(leads, recovered))
                }
                "slaves" if leads => ("200", self.slaves()),
                "weights" if leads => {
                    let all: Vec<Json> = self
                        .weights
                        .iter()
                        .map(|(role, weight)| json!({"role": role, "weight": weight}))
                        .collect();
                    ("200", Json::from(all).to_string())
                }
                _ => ("307", String::new()),
            };
        }
        if machine.serves("spark-dispatcher") {
            return ("200", "{\n  \"serverSparkVersion\" : \"3.5.1\"\n}".to_owned());
        }
        nobody
    }

    fn metrics(&self, leads: bool, recovered: bool) -> String {
        static REAL: OnceLock<Json> = OnceLock::new();
        let real = REAL.get_or_init(|| {
            let body = fixture("masters/05-agents-idle/m1-metrics_snapshot.http");
            serde_json::from_str(&body).expect("JSON")
        });
        let mut metrics = real.clone();
        metrics["master/elected"] = json!(f64::from(u8::from(leads)));
        metrics["registrar/log/recovered"] = json!(f64::from(u8::from(recovered)));
        metrics.to_string()
    }

    fn slaves(&self) -> String {
        let mut list = Vec::new();
        for (host, machine) in &self.machines {
            let Some(agent) = machine.agent.as_ref().filter(|_| machine.serves("mesos-slave")) else {
                continue;
            };
            let here = &self.inventory.hosts[host];
            let mut by_role: BTreeMap<&str, serde_json::Map<String, Json>> = BTreeMap::new();
            for ((name, role), value) in &agent.resources.0 {
                by_role.entry(role).or_default().insert(name.clone(), number(value));
            }
            let unreserved = by_role.remove("*").unwrap_or_default();
            let attributes: serde_json::Map<String, Json> =
                agent.attributes.0.iter().map(|(name, value)| (name.clone(), number(value))).collect();
            list.push(json!({
                "id": format!("7c842204-3f73-4d59-a32a-eb195f81aaed-S{}", agent.id),
                "hostname": here.hostname,
                "port": 5051,
                "attributes": attributes,
                "pid": format!("slave(1)@{}:5051", here.address),
                "reserved_resources": by_role,
                "unreserved_resources": unreserved,
                "active": true,
                "deactivated": false,
                "version": "1.11.0",
            }));
        }
        json!({"slaves": list, "recovered_slaves": []}).to_string()
    }

    fn four_letters(&self, host: &HostName) -> String {
        let machine = &self.machines[host];
        if !machine.runs("zookeeper") {
            return String::new();
        }
        let ZooKeeper::Managed { servers, .. } = &self.inventory.zookeeper else {
            return String::new();
        };
        let alive = servers.keys().filter(|host| self.machines[*host].serves("zookeeper")).count();
        match self.leader("zookeeper") {
            Some(leader) if machine.serves("zookeeper") => {
                if servers.len() == 1 {
                    return fixture("zookeeper/04-settled/m1-srvr.raw").replace("follower", "standalone");
                }
                if leader != *host {
                    return fixture("zookeeper/04-settled/m1-srvr.raw");
                }
                let mntr = fixture("zookeeper/04-settled/m3-mntr.raw")
                    .replace("zk_synced_followers\t2", &format!("zk_synced_followers\t{}", alive - 1));
                fixture("zookeeper/04-settled/m3-srvr.raw") + &mntr
            }
            _ => "This ZooKeeper instance is not currently serving requests\n".to_owned(),
        }
    }
}

fn number(value: &Value) -> Json {
    match value {
        Value::Scalar(thousandths) => {
            json!(value.to_string().parse::<f64>().unwrap_or(*thousandths as f64 / 1000.0))
        }
        other => json!(other.to_string()),
    }
}

impl Machine {
    /// Whether a unit's process is there.
    pub(crate) fn runs(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.active)
    }

    /// Whether a unit's process does its work.
    pub(crate) fn serves(&self, unit: &str) -> bool {
        self.reach != Reach::Dead
            && self.units.get(unit).is_some_and(|unit| unit.active && !unit.wedged && !unit.crashing)
    }

    fn install(&mut self, name: &str, version: Option<&str>, quiet: &[String], now: u64) {
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
                unit.enabled = true;
                if !quiet.iter().any(|quiet| quiet == name) {
                    *unit = Unit { active: true, invocation: now, started: now, ..unit.clone() };
                }
            }
        }
    }

    fn write(&mut self, file: &File, now: u64) {
        let owner = format!("{}:{}", file.owner, file.group);
        let mut entry = Entry::new("regular file", &owner, file.mode, now);
        if let Content::Text(text) = &file.content {
            entry.sha = sha256(text);
        }
        self.entries.insert(file.path.clone(), entry);
    }

    /// A small file whose text is asked for.
    fn note(&mut self, path: &str, text: String, now: u64) {
        let mut entry = Entry::new("regular file", "root:root", "600", now);
        entry.text = Some(text);
        self.entries.insert(path.to_owned(), entry);
    }

    fn turn(&mut self, service: &Service, restarts: bool, now: u64) {
        let unit = self.units.entry(service.unit.clone()).or_default();
        match service.state {
            State::Masked => *unit = Unit { masked: true, ..Unit::default() },
            State::Stopped => *unit = Unit::default(),
            State::Running => {
                unit.enabled = true;
                if restarts {
                    *unit = Unit { active: true, enabled: true, invocation: now, started: now, ..Unit::default() };
                }
            }
        }
    }

    /// An agent starts: with its old id it recovers only what has not changed.
    fn announce(&mut self, attributes: Attributes, resources: Resources, between: &str) {
        // The script between stop and start forgets the old id, always or unless a note agrees.
        let note = between.split_whitespace().rev().nth(2).unwrap_or_default();
        let anew = between.starts_with("rm -f ")
            || between.starts_with("[ ") && self.noted.as_deref() != Some(note);
        self.noted = Some(note.to_owned());
        let recovers = self
            .agent
            .as_ref()
            .is_none_or(|old| old.attributes == attributes && old.resources == resources);
        if !recovers && !anew {
            self.units.entry("mesos-slave".to_owned()).or_default().crashing = true;
            return;
        }
        let id = self.agent.as_ref().map_or(0, |old| old.id + u32::from(!recovers));
        self.agent = Some(Announced { id, attributes, resources });
    }

    fn dpkg(&self) -> String {
        let mut text = "dpkg installed 1.21.22 amd64\n".to_owned();
        for (name, version) in &self.packages {
            let _ = writeln!(text, "{name} installed {version} amd64");
        }
        text
    }

    fn stat(&self) -> String {
        let mut text = String::new();
        for (path, it) in &self.entries {
            let arrow = if it.kind == "symbolic link" { format!(" -> '{}'", it.sha) } else { String::new() };
            let _ = writeln!(
                text,
                "{}|{}|{}|7|{}|{path}|'{path}'{arrow}",
                it.kind, it.owner, it.mode, it.changed
            );
        }
        text
    }

    fn sha256(&self) -> String {
        let files = self.entries.iter().filter(|(_, it)| it.kind == "regular file");
        files.map(|(path, it)| format!("{}  {path}\n", it.sha)).collect()
    }

    fn texts(&self) -> String {
        let all = self.entries.iter().filter_map(|(path, it)| Some((path, it.text.as_ref()?)));
        let all: Vec<String> = all.map(|(path, text)| format!("==> {path} <==\n{text}")).collect();
        all.join("\n")
    }

    fn strays(&self) -> String {
        let all = self.entries.keys().filter_map(|path| path.rsplit_once('/'));
        all.map(|(parent, name)| format!("{parent}|{name}\n")).collect()
    }

    fn show(&self, script: &str) -> String {
        let mut text = String::new();
        for id in script.split_whitespace().filter(|word| word.ends_with(".service")) {
            let name = id.trim_end_matches(".service");
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

    fn images(&self) -> String {
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
            let _ = writeln!(text, "tag {tag}\nid sha256:{} {label}", sha256(name));
        }
        text
    }
}

impl Entry {
    fn new(kind: &'static str, owner: &str, mode: &str, changed: u64) -> Entry {
        let (owner, mode) = (owner.to_owned(), mode.to_owned());
        Entry { kind, owner, mode, sha: String::new(), text: None, changed }
    }
}

/// The running services that a task wants of a host.
pub(crate) fn daemons<'a>(desired: &'a Desired, host: &'a HostName, task: Task) -> Vec<&'a Service> {
    let wishes = desired.tasks.get(&task).and_then(|wishes| wishes.get(host));
    let services = wishes.into_iter().flatten().filter_map(|wish| wish.resource.as_service());
    services.filter(|service| service.state == State::Running).collect()
}

/// What a task's own daemon is named by.
pub(crate) fn is_daemon(id: &ResourceId) -> bool {
    id.kind == "service"
}
