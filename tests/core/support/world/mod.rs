//! A cluster as a model: what its machines hold, what their probes print, what an action does to them.
//!
//! Answers are text in the shapes that real tools print (bodies from tests/fixtures/real), so that a
//! test goes through the same reading as a run does.

mod acts;
mod says;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use provision::ground::HostName;
use provision::ground::digest::sha256;
use provision::inventory::{Inventory, Retired};
use provision::lints::load::{Lab, load_text};
use provision::observe;
use provision::plan::{Action, Observed, Plan, Scope, Wave, plan};
use provision::resource::service::{Service, State};
use provision::resource::{Look, diff, read};
use provision::script::Sections;
use provision::tasks::{self, Desired, Task, desire};
use provision::template::Templates;

use super::chance::Set;
use super::quorums::Quorums;
use super::{machine, quorums};

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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(said.len() * 3 + 3);
    for byte in said.bytes() {
        text.push(' ');
        text.extend([byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)])));
    }
    text.push_str("\n=\n");
    text
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
            include_bytes!("../../../fixtures/packages/mesos_1.10.0_amd64.deb")
        }
        "mesos_1.11.1_amd64.deb" => {
            include_bytes!("../../../fixtures/packages/mesos_1.11.1_amd64.deb")
        }
        "mesos.deb" | "mesos_1.11.0_amd64.deb" => {
            include_bytes!("../../../fixtures/packages/mesos_1.11.0_amd64.deb")
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

    fn quorum(&self, host: &HostName) -> usize {
        self.machines[host].units["mesos-master"].read.trim().parse().unwrap_or(1)
    }
}
