//! A cluster as a model: what its machines hold, what their probes print, what an action does to them.
//!
//! Answers are text in the shapes that real tools print (bodies from tests/fixtures/real), so that a
//! test goes through the same reading as a run does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use provision::health::{Check, leaders_agents};
use provision::inventory::load::{Lab, load_text};
use provision::inventory::{HostName, Inventory, ZooKeeper};
use provision::mesos::values::Value;
use provision::observe;
use provision::plan::{Action, Observed, Plan, Scope, Wave, plan};
use provision::resource::image::Origin;
use provision::resource::service::{Service, State};
use provision::resource::{Gap, Look, Resource, diff, read, sha256};
use provision::script::{Probe, Sections};
use provision::tasks::{self, Desired, Task, Wish, desire};
use provision::template::Templates;
use serde_json::{Value as Json, json};

mod machine;
#[expect(dead_code, reason = "only bodies are needed here")]
mod recording;

pub(crate) use machine::{Entry, Machine, Reach, Unit};

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
            "spark-mesos-3.5.1.tar",
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
        let answers: BTreeMap<HostName, Result<Sections, String>> =
            probes.iter().map(|(host, probe)| (host.clone(), self.answer(host, probe))).collect();
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
                "users" => {
                    machine.users.iter().map(|u| format!("{u}:x:999:999::/:/bin/sh\n")).collect()
                }
                "units" => machine.show(body),
                "images" => machine.images(),
                "weights" if machine.packages.contains_key("curl") => self.http(body, "\n@CODE\n"),
                "weights" => String::new(),
                "http" => self.http(body, "\n@@provision CODE\n"),
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
                self.weights.extend(weights.roles.clone());
            }
            Resource::Drain(_) => machine.drain(false, now),
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
    pub(crate) fn perform(
        &mut self,
        desired: &Desired,
        host: &HostName,
        action: &Action,
    ) -> Result<(), String> {
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

    /// Applies a plan; `gate` sees each wave before its services are stamped.
    pub(crate) fn apply(&mut self, view: &View, plan: &Plan, gate: fn(&World, Task, &Wave)) {
        for stage in &plan.stages {
            for wave in &stage.waves {
                for (host, actions) in &wave.hosts {
                    for action in actions {
                        self.perform(&view.desired, host, action).unwrap_or_else(|why| {
                            panic!("{host}: {}: {}: {why}", action.task, action.resource)
                        });
                    }
                }
                if let Some(task) = stage.task {
                    gate(self, task, wave);
                }
                let all =
                    wave.hosts.iter().flat_map(|(host, all)| all.iter().map(move |a| (host, a)));
                for (host, action) in all {
                    let wish = view.desired.find(host, action.task, &action.resource);
                    if let Some(Resource::Service(it)) = wish.map(|wish| &wish.resource)
                        && it.state == State::Running
                    {
                        self.stamp(host, it);
                    }
                }
            }
        }
    }

    /// Somebody restarts a unit without us.
    pub(crate) fn restart_by_hand(&mut self, host: &HostName, unit: &str) {
        self.now += 1;
        let now = self.now;
        let machine = self.machines.get_mut(host).expect("a machine");
        let unit = machine.units.entry(unit.to_owned()).or_default();
        *unit = Unit {
            active: true,
            invocation: now,
            started: now,
            wedged: false,
            crashing: false,
            masked: false,
            ..unit.clone()
        };
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

    fn http(&self, script: &str, mark: &str) -> String {
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
            let body = recording::body("masters/05-agents-idle/m1-metrics_snapshot.http");
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
                "id": format!("7c842204-3f73-4d59-a32a-eb195f81aaed-S{}", agent.id),
                "hostname": here.hostname,
                "port": 5051,
                "attributes": attributes,
                "pid": format!("slave(1)@{}:5051", here.address),
                "reserved_resources": by_role,
                "unreserved_resources": unreserved,
                "active": !agent.drained,
                "deactivated": agent.drained,
                "version": "1.11.0",
            });
            if agent.drained {
                listed["drain_info"] = json!({"state": "DRAINED"});
            }
            list.push(listed);
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
                    return recording::body("zookeeper/04-settled/m1-srvr.raw")
                        .replace("follower", "standalone");
                }
                if leader != *host {
                    return recording::body("zookeeper/04-settled/m1-srvr.raw");
                }
                let mntr = recording::body("zookeeper/04-settled/m3-mntr.raw").replace(
                    "zk_synced_followers\t2",
                    &format!("zk_synced_followers\t{}", alive - 1),
                );
                recording::body("zookeeper/04-settled/m3-srvr.raw") + &mntr
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
