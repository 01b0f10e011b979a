//! A cluster as a model: what its machines hold, what their probes print, what an action does to them.
//!
//! Answers are text in the shapes that real tools print (bodies from tests/fixtures/real), so that a
//! test goes through the same reading as a run does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use provision::ground::HostName;
use provision::ground::digest::sha256;
use provision::inventory::{Inventory, Retired};
use provision::lints::load::{Lab, load_text};
use provision::mesos::values::Value;
use provision::observe;
use provision::plan::{Action, Observed, Plan, Scope, Wave, plan};
use provision::resource::Kind as _;
use provision::resource::drain::NOTE;
use provision::resource::image::Origin;
use provision::resource::offers;
use provision::resource::registry::{PENDING, Turn};
use provision::resource::service::{RESTARTING, STAMPS, Service, State};
use provision::resource::{Gap, Look, Resource, diff, read};
use provision::script::{Probe, Sections};
use provision::tasks::{self, Desired, Task, desire};
use provision::template::Templates;
use serde_json::{Value as Json, json};

use super::chance::Set;
use super::ensemble::Says;
use super::quorums::Quorums;
use super::{machine, quorums, recording};

pub(crate) use machine::{Entry, Machine, Reach};

/// A cluster.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) inventory: Inventory,
    pub(crate) machines: BTreeMap<HostName, Machine>,
    /// Weights in the masters' registry.
    pub(crate) weights: BTreeMap<String, f64>,
    /// Who may write below the masters' path, once somebody was let in.
    writers: Option<String>,
    /// What the leading master answers to `/frameworks`; `@a1` stands for the id of the agent there.
    pub(crate) frameworks: String,
    /// What hosts say of jobs: a section, and its text.
    pub(crate) said: BTreeMap<&'static str, String>,
    /// What all ports of a host say instead of what they should.
    pub(crate) forged: BTreeMap<HostName, String>,
    /// Who was elected; stays so while it is alive.
    pub(crate) leaders: BTreeMap<&'static str, HostName>,
    /// Quorums that move by a clock; without them elections are over at once.
    pub(crate) quorums: Option<Quorums>,
    now: u64,
}

/// What the ids of agents begin with.
const ID: &str = "7c842204-3f73-4d59-a32a-eb195f81aaed-S";

/// What was seen at one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

/// What others say, as a host passes it on.
pub(crate) fn foreign(said: &str) -> String {
    let bytes: String = said.bytes().map(|byte| format!(" {byte:02x}")).collect();
    format!("{bytes}\n=\n")
}

/// The built-in templates, compiled once.
pub(crate) fn templates() -> &'static Templates {
    static TEMPLATES: OnceLock<Templates> = OnceLock::new();
    TEMPLATES.get_or_init(|| Templates::new(&BTreeMap::new()).expect("built-in templates"))
}

/// What is in a file that an inventory names.
pub(crate) fn bytes_of(name: &str) -> &[u8] {
    match name {
        "mesos_1.10.0_amd64.deb" => {
            include_bytes!("../../fixtures/packages/mesos_1.10.0_amd64.deb")
        }
        "mesos_1.11.1_amd64.deb" => {
            include_bytes!("../../fixtures/packages/mesos_1.11.1_amd64.deb")
        }
        "mesos.deb" | "mesos_1.11.0_amd64.deb" => {
            include_bytes!("../../fixtures/packages/mesos_1.11.0_amd64.deb")
        }
        other => other.as_bytes(),
    }
}

/// An inventory from text; the files that it names are there.
pub(crate) fn inventory(text: &str, sets: &[&str]) -> Inventory {
    static FILES: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FILES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "mesos_1.10.0_amd64.deb",
            "mesos_1.11.0_amd64.deb",
            "mesos_1.11.1_amd64.deb",
            "spark-3.5.1-bin-hadoop3.tgz",
            "debian-bookworm-slim.tar",
            "spark-mesos-3.5.1.tar",
        ] {
            std::fs::write(folder.path().join(name), bytes_of(name)).expect("a file");
        }
        folder
    });
    let mut sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    // Another version is in another file.
    let other = sets.iter().find_map(|set| set.strip_prefix("mesos.version="));
    sets.extend(other.map(|version| format!("mesos.package.deb=mesos_{version}_amd64.deb")));
    match load_text("inventory.yaml", text.as_bytes(), folder.path(), &sets, Lab::No) {
        Ok(loaded) => loaded.inventory,
        Err(refused) => panic!("{:#?}\n{text}", refused.problems),
    }
}

impl World {
    /// Machines with nothing on them.
    pub(crate) fn fresh(inventory: Inventory) -> World {
        let machines =
            inventory.hosts.keys().map(|host| (host.clone(), Machine::default())).collect();
        let (weights, leaders) = (BTreeMap::new(), BTreeMap::new());
        let (frameworks, said) = (r#"{"frameworks":[]}"#.to_owned(), BTreeMap::new());
        let forged = BTreeMap::new();
        let (writers, quorums, now) = (None, None, 1000);
        World {
            writers,
            inventory,
            machines,
            weights,
            frameworks,
            said,
            forged,
            leaders,
            quorums,
            now,
        }
    }

    /// What a run would see and plan.
    pub(crate) fn plan(&self, scope: &Scope) -> (View, Plan) {
        let view = self.look();
        let inventory = Arc::new(self.inventory.clone());
        let plan = plan(&inventory, templates(), &view.desired, &view.observed, scope);
        (view, plan)
    }

    /// Observes as a command does: what agents announce is judged once.
    pub(crate) fn look(&self) -> View {
        let world = tasks::World { inventory: &self.inventory, templates: templates() };
        let desired = desire(&world).expect("templates render");
        let probes = observe::probes(&self.inventory, &desired);
        let gone = |host: &HostName| self.inventory.retired.get(host) == Some(&Retired::Gone);
        let asked = probes.iter().filter(|(host, _)| !gone(host));
        let answers: BTreeMap<HostName, Result<Sections, String>> =
            asked.map(|(host, probe)| (host.clone(), self.answer(host, probe))).collect();
        let observed = observe::observed(&Arc::new(self.inventory.clone()), &desired, answers);
        View { desired, observed }
    }

    /// What a host answers to a probe.
    pub(crate) fn answer(&self, host: &HostName, probe: &Probe) -> Result<Sections, String> {
        Ok(probe.read("NONCE", &self.said(host, probe)?)?)
    }

    /// The same, as it comes over the wire.
    pub(crate) fn said(&self, host: &HostName, probe: &Probe) -> Result<String, String> {
        let machine = &self.machines[host];
        if machine.reach != Reach::Whole {
            return Err("it does not answer on port 22".to_owned());
        }
        let script = probe.script("NONCE");
        let mut said = String::new();
        for part in script.split("printf '\\n%s %s\\n' NONCE ").skip(1) {
            let (name, body) = part.split_once('\n').expect("a name");
            let text = match name {
                "packages" => machine.dpkg(),
                "contents" => {
                    machine.built.iter().map(|(name, sum)| format!("{name} {sum}  -\n")).collect()
                }
                // Nothing here was started by anybody else.
                name if name.starts_with("process.") => "00\n=\n=\n".to_owned(),
                "stat" => machine.stat(),
                "sha256" => machine.sha256(),
                "texts" => machine.texts(),
                "strays" => machine.strays(),
                "users" => {
                    machine.users.iter().map(|u| format!("{u}:x:999:999::/:/bin/sh\n")).collect()
                }
                "units" => machine.show(body),
                "images" => machine.images(),
                "weights" if machine.packages.contains_key("curl") => {
                    self.http(body, |code, page| foreign(&format!("{page}\n{code}")))
                }
                "weights" => String::new(),
                "znodes" => self.znodes(),
                "left-masters" if !machine.stamped("mesos-master") => String::new(),
                "http" | "masters" | "left-masters" => {
                    self.http(body, |code, page| format!("{page}\n{code}\n\nNONCE +\n"))
                }
                "zookeeper" => body
                    .lines()
                    .filter(|line| line.starts_with("timeout"))
                    .map(|_| foreign(&self.four_letters(host)))
                    .collect(),
                "ensemble" if body.contains("if [ -e /var") && !machine.stamped("zookeeper") => {
                    String::new()
                }
                "ensemble" => machine.files(),
                "log" if body.contains("if [ -e /var") && !machine.stamped("mesos-master") => {
                    String::new()
                }
                "log" if machine.text(machine::QUORUM).is_empty() => String::new(),
                "log" => {
                    let log = if machine.entries.contains_key(machine::LOG) { "log\n" } else { "" };
                    let runs = if machine.runs("mesos-master") { "runs\n" } else { "" };
                    format!("quorum={}\n{log}{runs}", machine.text(machine::QUORUM).trim())
                }
                "left-zookeeper" if !machine.stamped("zookeeper") => String::new(),
                "left-zookeeper" => foreign(&self.four_letters(host)),
                "lead" if body.contains("/metrics/snapshot") => {
                    let address = self.inventory.hosts[host].address.to_string();
                    self.page(&address, "5050", "metrics/snapshot").1
                }
                "lead" => self.four_letters(host),
                "leftovers" => machine.secrets(),
                "clock" => format!("{}\n", self.now),
                "stderr" | "stdout" | "image" | "driver" | "refusal" => {
                    self.said.get(name).cloned().unwrap_or_default()
                }
                "journal" => "it said something\n".to_owned(),
                other => panic!("nobody answers {other}"),
            };
            let _ = write!(said, "\nNONCE {name}\n{text}");
        }
        Ok(said + "\nNONCE .\n")
    }

    /// Does what an action does, without the stamp that follows a healthy gate.
    pub(crate) fn act(
        &mut self,
        host: &HostName,
        resource: &Resource,
        gaps: &[Gap],
    ) -> Result<(), String> {
        self.now += 1;
        let now = self.now;
        let wanted = self.inventory.agent(host).cloned();
        let leads = self.leader("mesos-master").is_some();
        let machine = self.machines.get_mut(host).expect("a machine");
        match resource {
            Resource::Packages(set) => {
                for (name, version) in &set.packages {
                    machine.install(name, version.as_deref(), &set.quiet, now);
                }
                machine.built.extend(set.contents.clone());
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
                    machine.note(&service.stamp, format!("inputs={RESTARTING}\n"), now);
                }
                machine.turn(service, restarts, now);
                if service.unit == "mesos-slave" && service.state == State::Running && restarts {
                    let wanted = wanted.expect("an agent");
                    let between = service.between.as_deref().unwrap_or_default();
                    machine.announce(wanted.attributes, wanted.resources, between, now);
                }
                if restarts {
                    self.lead_no_more(host, &service.unit);
                }
            }
            Resource::Weights(weights) => {
                if !leads {
                    return Err("no leading master answered".to_owned());
                }
                // Of whatever else it held the weight goes back to 1.
                self.weights.clone_from(&weights.roles);
            }
            Resource::Znodes(it) => self.writers = Some(it.want()["writers"].clone()),
            Resource::Lead(lead) if self.quorums.is_some() => machine.restart(lead.unit, now),
            Resource::Lead(lead) => self.lead_no_more(host, lead.unit),
            Resource::Drain(_) => machine.drain(false, now),
            Resource::Offers(offers) => {
                machine.drain(offers.state == offers::State::Drained, now);
                // By hand, so without a note of ours.
                machine.entries.remove(NOTE);
            }
            Resource::Registry(it) => match &it.turn {
                Turn::Saved => machine.saved = Some(json!(self.weights)),
                Turn::Aside(_) => {
                    machine.entries.remove(machine::LOG);
                    machine.units.get_mut("mesos-master").expect("a master").active = false;
                    let saved = machine.saved.take().expect("it was saved").to_string();
                    machine.note(&format!("{PENDING}/weights"), saved, now);
                    self.weights.clear();
                }
                Turn::Stale(_) => {
                    machine.entries.remove(machine::LOG);
                    if let Some(quorums) = &mut self.quorums {
                        quorums.log.set_aside(quorums::number(host).expect("a number"));
                    }
                }
                Turn::Restored => {
                    if !leads {
                        return Err("no leading master answered".to_owned());
                    }
                    machine.entries.remove(&format!("{PENDING}/weights"));
                    let seen = gaps.iter().find_map(|gap| gap.seen.as_deref()).expect("a gap");
                    let saved: Json = serde_json::from_str(seen).expect("JSON");
                    self.weights =
                        serde_json::from_value(saved["weights"].clone()).expect("weights");
                }
            },
            Resource::Leftovers(it) => {
                for name in gaps.iter().filter_map(|gap| gap.seen.as_deref()).flat_map(str::lines) {
                    machine.entries.remove(&format!("{}/{name}", it.directory));
                }
            }
            Resource::Removed(it) => {
                let stamp = format!("{STAMPS}/{}.{}", it.of.name, it.of.kind);
                let inside = format!("{}/", it.of.name);
                match it.of.kind {
                    "service" | "proof" => drop(machine.entries.remove(&stamp)),
                    "unpacked" => machine.entries.retain(|path, _| !path.starts_with(&inside)),
                    // What others have put into it stays, and it with that.
                    "directory" if machine.entries.keys().any(|it| it.starts_with(&inside)) => {}
                    _ => drop(machine.entries.remove(&it.of.name)),
                }
            }
            Resource::Reboot(_) => {
                machine.boot(now);
                for unit in ["zookeeper", "mesos-master"] {
                    self.lead_no_more(host, unit);
                }
            }
            Resource::Proof(proof) => {
                machine.note(&proof.stamp, format!("{}\n", proof.digest), now);
            }
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
    pub(crate) fn perform(&mut self, host: &HostName, action: &Action) -> Result<(), String> {
        let resource = &*action.resource;
        let gaps = match action.later {
            None => action.gaps.clone(),
            Some(_) => {
                let probe = provision::resource::probe(&[resource]);
                match read(resource, &self.answer(host, &probe)?) {
                    Look::Facts(facts) => diff(&resource.want(), &facts),
                    other => return Err(format!("{}: {other:?}", action.id())),
                }
            }
        };
        if gaps.is_empty() { Ok(()) } else { self.act(host, resource, &gaps) }
    }

    /// Applies a plan; `gate` sees each wave before its services are stamped.
    pub(crate) fn apply(&mut self, plan: &Plan, gate: fn(&World, Task, &Wave)) {
        for stage in &plan.stages {
            for wave in &stage.waves {
                for (host, actions) in &wave.hosts {
                    for action in actions {
                        self.perform(host, action).unwrap_or_else(|why| {
                            panic!("{host}: {}: {}: {why}", action.task, action.id())
                        });
                    }
                }
                if let Some(task) = stage.task {
                    gate(self, task, wave);
                }
                let all =
                    wave.hosts.iter().flat_map(|(host, all)| all.iter().map(move |a| (host, a)));
                for (host, action) in all {
                    let service = action.resource.get::<Service>();
                    if let Some(it) = service.filter(|it| it.state == State::Running) {
                        self.stamp(host, it);
                    }
                }
            }
        }
    }

    /// What the leading master does to an agent by an operator's word.
    pub(crate) fn tell_agent(&mut self, host: &HostName, verb: &str) {
        let machine = self.machines.get_mut(host).expect("a machine");
        match verb {
            "drain" => machine.drain(true, 0),
            "deactivate" => machine.hold(0),
            "reactivate" => machine.drain(false, 0),
            "mark-gone" => machine.agent = None,
            other => panic!("nobody {other}s an agent"),
        }
    }

    /// What happens to its quorums until then, in milliseconds.
    pub(crate) fn advance(&mut self, until: u64) {
        if let Some(quorums) = &mut self.quorums {
            quorums.advance(&mut self.machines, &mut self.now, until);
        }
    }

    /// Servers and masters that run, or will: their lists, their quorums.
    pub(crate) fn standing(&self) -> (BTreeMap<usize, Set>, BTreeMap<usize, usize>) {
        self.quorums.as_ref().expect("quorums that move").standing(&self.machines)
    }

    /// A machine whose power failed is there again.
    pub(crate) fn boot(&mut self, host: &HostName) {
        self.now += 1;
        let machine = self.machines.get_mut(host).expect("a machine");
        machine.reach = Reach::Whole;
        machine.boot(self.now);
    }

    /// Somebody restarts a unit without us.
    pub(crate) fn restart_by_hand(&mut self, host: &HostName, unit: &str) {
        self.now += 1;
        let now = self.now;
        let machine = self.machines.get_mut(host).expect("a machine");
        machine.restart(unit, now);
    }

    /// Somebody puts a file, or changes one.
    pub(crate) fn edit(&mut self, host: &HostName, path: &str, text: &str) {
        self.now += 1;
        let now = self.now;
        let machine = self.machines.get_mut(host).expect("a machine");
        if !machine.entries.contains_key(path) {
            machine.touch_parent(path, now);
        }
        let entry = machine.entries.entry(path.to_owned());
        let entry = entry.or_insert_with(|| Entry::new("regular file", "root:root", "644", now));
        entry.sha = sha256(text);
        entry.changed = now;
        if entry.text.is_some() {
            entry.text = Some(text.to_owned());
        }
    }

    /// Who leads the members that run a unit; `None` without a quorum.
    pub(crate) fn leader(&self, unit: &'static str) -> Option<HostName> {
        if let Some(quorums) = &self.quorums {
            let leader = match unit {
                "zookeeper" => quorums.ensemble.leader(),
                _ => quorums.log.leader().filter(|_| quorums.log.serves()),
            };
            return leader.map(quorums::name);
        }
        let alive = self.alive(unit);
        let enough = match unit {
            "zookeeper" => self.list().len() / 2 + 1,
            _ if self.leader("zookeeper").is_none() => return None,
            _ => alive.iter().map(|host| self.quorum(host)).max().unwrap_or(1),
        };
        if alive.len() < enough {
            return None;
        }
        let before = self.leaders.get(unit).filter(|host| alive.contains(host));
        before.or(alive.last().copied()).cloned()
    }

    /// Members that serve. A master that somebody started where none was ever given knows no other.
    fn alive(&self, unit: &str) -> Vec<&HostName> {
        let list = self.list();
        let member = |host: &HostName, machine: &Machine| match unit {
            "zookeeper" => list.contains(host),
            _ => self.inventory.mesos.masters.contains(host) || machine.stamped(unit),
        };
        let serves = self.machines.iter().filter(|(_, machine)| machine.serves(unit));
        serves.filter(|(host, machine)| member(host, machine)).map(|(host, _)| host).collect()
    }

    /// The longest list that a server runs with.
    fn list(&self) -> BTreeSet<HostName> {
        let running = self.machines.iter().filter(|(_, machine)| machine.serves("zookeeper"));
        let lists = running.map(|(host, machine)| {
            let read = &machine.units["zookeeper"].read;
            let servers = self
                .inventory
                .hosts
                .iter()
                .filter(|(_, it)| read.contains(&format!("={}:2888", it.address)));
            let mut list: BTreeSet<HostName> = servers.map(|(name, _)| name.clone()).collect();
            list.insert(host.clone());
            list
        });
        lists.max_by_key(BTreeSet::len).unwrap_or_default()
    }

    /// What ZooKeeper answers about who may write: two znodes alike, in hexadecimal.
    fn znodes(&self) -> String {
        if self.leader("zookeeper").is_none() {
            return String::new();
        }
        let text = |it: &str| [&(it.len() as u32).to_be_bytes(), it.as_bytes()].concat();
        let frame = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
        let mut acl = [&[0; 12][..], &0_u32.to_be_bytes()].concat();
        let names: Vec<&str> =
            self.writers.as_deref().map_or(Vec::new(), |names| names.split(", ").collect());
        let everybody = if names.is_empty() { 31_u32 } else { 1 };
        acl.extend((names.len() as u32 + 1).to_be_bytes());
        acl.extend(everybody.to_be_bytes());
        acl.extend([text("world"), text("anyone")].concat());
        for name in names {
            acl.extend(31_u32.to_be_bytes());
            acl.extend([text("digest"), text(&format!("{name}:x"))].concat());
        }
        let bytes = [frame(&[0; 37]), frame(&acl), frame(&acl), frame(&[0; 16])].concat();
        bytes.iter().map(|byte| format!(" {byte:02x}")).collect()
    }

    fn quorum(&self, host: &HostName) -> usize {
        self.machines[host].units["mesos-master"].read.trim().parse().unwrap_or(1)
    }

    fn lead_no_more(&mut self, host: &HostName, unit: &str) {
        for quorum in ["zookeeper", "mesos-master"] {
            if unit != quorum || self.leaders.get(quorum).is_some_and(|leader| leader != host) {
                continue;
            }
            let next = self.alive(quorum).into_iter().find(|member| *member != host).cloned();
            if let Some(next) = next {
                self.leaders.insert(quorum, next);
            }
        }
    }

    fn http(&self, script: &str, says: impl Fn(&str, &str) -> String) -> String {
        let mut text = String::new();
        let curl = script.lines().filter(|line| line.starts_with("curl "));
        for word in curl.flat_map(str::split_whitespace).filter(|word| word.starts_with("http://"))
        {
            let rest = word.strip_prefix("http://").expect("http");
            let (at, path) = rest.split_once('/').expect("a path");
            let (address, port) = at.rsplit_once(':').expect("a port");
            let (code, body) = self.page(address, port, path);
            text.push_str(&says(code, &body));
        }
        text
    }

    fn page(&self, address: &str, port: &str, path: &str) -> (&'static str, String) {
        let nobody = ("000", String::new());
        let found = self.inventory.hosts.iter().find(|(_, h)| h.address.to_string() == address);
        let Some((name, _)) = found else { return nobody };
        let machine = &self.machines[name];
        if let Some(page) = self.forged.get(name) {
            return ("200", page.clone());
        }
        if machine.reach == Reach::Dead {
            return nobody;
        }
        if port == "5050" {
            if !machine.runs("mesos-master") {
                return nobody;
            }
            let leader = self.leader("mesos-master");
            let leads = leader.as_ref() == Some(name);
            let moving = self.quorums.as_ref().zip(quorums::number(name));
            let says = moving.map(|(quorums, number)| quorums.log.says(number, quorums.at));
            let seen = self.quorums.as_ref().map_or(0, |quorums| quorums.log.seen());
            return match path {
                _ if says.is_some_and(|says| says.is_none()) => nobody,
                "metrics/snapshot" if says.is_some() => {
                    let says = says.flatten().expect("a master");
                    let mut metrics = json!({
                        "master/elected": f64::from(u8::from(says.elected)),
                        "registrar/log/recovered": f64::from(u8::from(says.recovered)),
                        "registrar/log/ensemble_size": seen as f64,
                    });
                    if says.fetched {
                        metrics["registrar/registry_size_bytes"] = json!(1.0);
                    }
                    ("200", metrics.to_string())
                }
                "flags" => {
                    let unit = &machine.units["mesos-master"];
                    let mut flags = json!(unit.admits);
                    flags["quorum"] = json!(unit.read.trim());
                    ("200", json!({ "flags": flags }).to_string())
                }
                "metrics/snapshot" => {
                    let recovered = leader.is_some() && machine.serves("mesos-master");
                    ("200", self.metrics(leads, recovered))
                }
                "slaves" if leads => ("200", self.slaves()),
                "frameworks" if leads => ("200", self.frameworks()),
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
            let body = recording::body("masters/05-agents-idle/m1-metrics_snapshot.http");
            serde_json::from_str(&body).expect("JSON")
        });
        let mut metrics = real.clone();
        let replicas = self.machines.values().filter(|it| it.serves("mesos-master")).count();
        metrics["registrar/log/ensemble_size"] = json!(replicas as f64);
        metrics["master/elected"] = json!(f64::from(u8::from(leads)));
        metrics["registrar/log/recovered"] = json!(f64::from(u8::from(recovered)));
        metrics.to_string()
    }

    pub(crate) fn frameworks(&self) -> String {
        let agents = self.machines.iter().filter_map(|(host, at)| Some((host, at.agent.as_ref()?)));
        agents.fold(self.frameworks.clone(), |text, (host, agent)| {
            text.replace(&format!("\"@{host}\""), &format!("\"{ID}{}-{host}\"", agent.id))
        })
    }

    fn slaves(&self) -> String {
        let mut list = Vec::new();
        for (host, machine) in &self.machines {
            let Some(agent) = machine.agent.as_ref().filter(|_| machine.serves("mesos-slave"))
            else {
                continue;
            };
            let here = &self.inventory.hosts[host];
            let mut by_role: BTreeMap<&str, serde_json::Map<String, Json>> = BTreeMap::new();
            for ((name, role), value) in &agent.resources.0 {
                by_role.entry(role).or_default().insert(name.clone(), number(value));
            }
            let unreserved = by_role.remove("*").unwrap_or_default();
            let attributes: serde_json::Map<String, Json> = agent
                .attributes
                .0
                .iter()
                .map(|(name, value)| (name.clone(), number(value)))
                .collect();
            let mut listed = json!({
                "id": format!("{ID}{}-{host}", agent.id),
                "hostname": here.hostname,
                "port": 5051,
                "attributes": attributes,
                "pid": format!("slave(1)@{}:5051", here.address),
                "reserved_resources": by_role,
                "unreserved_resources": unreserved,
                "active": !agent.drained && !agent.deactivated,
                "deactivated": agent.drained || agent.deactivated,
                "version": "1.11.0",
            });
            if agent.drained {
                let on = agent.until.is_some_and(|until| tokio::time::Instant::now() < until);
                listed["drain_info"] = json!({"state": if on { "DRAINING" } else { "DRAINED" }});
            }
            list.push(listed);
        }
        json!({"slaves": list, "recovered_slaves": []}).to_string()
    }

    fn four_letters(&self, host: &HostName) -> String {
        let machine = &self.machines[host];
        if let Some(said) = self.forged.get(host) {
            return said.clone();
        }
        if !machine.runs("zookeeper") {
            return String::new();
        }
        let conf = format!("membership: \n{}version=0", machine.units["zookeeper"].read);
        let moving = self.quorums.as_ref().zip(quorums::number(host));
        if let Some((quorums, number)) = moving {
            let mode = |mode: &str| format!("Zookeeper version: 3.8.0\nMode: {mode}\n");
            return match quorums.ensemble.says(number, quorums.at) {
                Says::Nothing => String::new(),
                Says::NotServing => {
                    "This ZooKeeper instance is not currently serving requests\n".to_owned()
                }
                Says::Follower => mode("follower") + &conf,
                Says::Standalone => mode("standalone") + &conf,
                Says::Leader(synced) => {
                    mode("leader") + &format!("zk_synced_followers\t{synced}\n") + &conf
                }
            };
        }
        let (list, alive) = (self.list(), self.alive("zookeeper").len());
        match self.leader("zookeeper") {
            Some(leader) if machine.serves("zookeeper") => {
                if list.len() == 1 {
                    return recording::body("zookeeper/04-settled/m1-srvr.raw")
                        .replace("follower", "standalone");
                }
                if leader != *host {
                    return recording::body("zookeeper/04-settled/m1-srvr.raw") + &conf;
                }
                let mntr = recording::body("zookeeper/04-settled/m3-mntr.raw").replace(
                    "zk_synced_followers\t2",
                    &format!("zk_synced_followers\t{}", alive - 1),
                );
                recording::body("zookeeper/04-settled/m3-srvr.raw") + &mntr + &conf
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
