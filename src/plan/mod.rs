//! The plan: everything that will be done, decided. Pure, total and deterministic; whoever applies it
//! has no meaningful choice left but who goes next in a quorum, and that has a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::health::{Health, Member, Replies};
use crate::inventory::{HostName, Inventory};
use crate::resource::service::{InputsGap, State, settle};
use crate::resource::{Gap, Look, Resource, ResourceId, diff};
use crate::script::Sections;
use crate::tasks::{Desired, Rollout, Task, When, Wish};

pub mod hits;
pub mod saved;
pub mod text;
mod waves;

/// Everything that will be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// In order; the first is "prepare" when anything can be prepared.
    pub stages: Vec<Stage>,
    /// What is left undone on purpose.
    pub blocked: Vec<Blocked>,
    /// Hosts that did not answer, with the reason. Never treated as absent, deleted or done.
    pub unreachable: BTreeMap<HostName, String>,
    /// Agents in service that are restarted, and what ends with that; filled in by whoever has asked
    /// the leading master.
    pub hits: BTreeMap<HostName, hits::Hit>,
}

/// All of one task, or the preparation of all tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// The task; `None` for the preparation.
    pub task: Option<Task>,
    /// What people call it.
    pub title: String,
    /// In order.
    pub waves: Vec<Wave>,
}

/// Hosts that go together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Wave {
    /// What is done on each, in order.
    pub hosts: BTreeMap<HostName, Vec<Action>>,
}

/// One resource on one host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// Its task.
    pub task: Task,
    /// The resource.
    pub resource: ResourceId,
    /// What is not as wanted; empty when it can only be looked at later.
    pub gaps: Vec<Gap>,
    /// It could not be looked at: it will be once this is so, and made right if need be.
    pub later: Option<&'static str>,
}

/// Something left undone on purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blocked {
    /// The host.
    pub host: HostName,
    /// The task.
    pub task: Task,
    /// Why.
    pub because: Because,
}

/// Why something is left undone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// A peer of its quorum does not serve and cannot be mended by us.
    PeerSick {
        /// Who.
        peer: HostName,
        /// Why it does not serve.
        why: String,
    },
    /// Only the leading master can say whether it serves, and that one's host does not answer.
    LeaderSilent {
        /// Who seems to lead.
        leader: HostName,
    },
    /// The probe of one of its resources gave no usable answer.
    CouldNotLook {
        /// Which.
        resource: ResourceId,
        /// What it said.
        why: String,
    },
    /// It does not serve though nothing about it is not as wanted.
    SickButRight {
        /// What is wrong with it.
        why: String,
    },
    /// Something before it failed.
    Earlier {
        /// What.
        what: String,
    },
}

/// What was seen of all hosts.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// By host; every host of the inventory that was asked.
    pub hosts: BTreeMap<HostName, Seen>,
}

/// What was seen of one host.
#[derive(Debug, Clone)]
pub enum Seen {
    /// It answered, whole.
    Answered(Answer),
    /// It did not; one sentence.
    Unreachable(String),
}

/// A host's answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What was learnt of each resource.
    pub looks: BTreeMap<ResourceId, Look>,
    /// What its components answered.
    pub replies: Replies,
    /// The sections as they came, for facts about the host itself.
    pub sections: Sections,
}

/// What may be changed. Observing is never restricted by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these hosts; `None` for all.
    pub hosts: Option<BTreeSet<HostName>>,
    /// Only these tasks; `None` for all.
    pub tasks: Option<BTreeSet<Task>>,
}

/// Makes the plan.
pub fn plan(inventory: &Inventory, desired: &Desired, observed: &Observed, scope: &Scope) -> Plan {
    let answers = observed.replies();
    let mut plan = Plan { unreachable: observed.unreachable(), ..Plan::default() };
    let mut prepare = Wave::default();
    let mut rolls = Vec::new();
    for (task, wishes) in &desired.tasks {
        let mut roll: BTreeMap<HostName, Vec<Action>> = BTreeMap::new();
        for (host, wishes) in wishes {
            let Some(Seen::Answered(answer)) = observed.hosts.get(host) else { continue };
            if !scope.allows(host, *task) {
                continue;
            }
            let work = work(*task, wishes, answer);
            plan.blocked.extend(work.blind.into_iter().map(|because| Blocked {
                host: host.clone(),
                task: *task,
                because,
            }));
            if !work.prepare.is_empty() {
                prepare.hosts.entry(host.clone()).or_default().extend(work.prepare);
            }
            if !work.roll.is_empty() {
                roll.insert(host.clone(), work.roll);
            }
        }
        let health = task.health(inventory, &answers);
        // One sick component makes those that build on it look sick, and what is about to be done may
        // be just what they wait for: only the first is named, and only when nothing is to be done.
        let quiet = prepare.hosts.is_empty() && rolls.is_empty() && roll.is_empty();
        if let (Some(health), true, true) = (&health, quiet, plan.blocked.is_empty()) {
            plan.blocked.extend(sick_but_right(*task, health, scope, observed));
        }
        // A gate that nobody could open would fail whoever waits for it.
        if let Some(judge) = task.card().check.and_then(|it| it.silent_judge(inventory, &answers)) {
            plan.blocked.extend(std::mem::take(&mut roll).into_keys().map(|host| {
                let because = Because::LeaderSilent { leader: judge.clone() };
                Blocked { host, task: *task, because }
            }));
        }
        if !roll.is_empty() {
            let rollout = (task.card().rollout)(inventory);
            let idle = idle(desired, *task, &roll, observed);
            let (waves, blocked) = waves::waves(*task, roll, &rollout, health.as_ref(), &idle);
            plan.blocked.extend(blocked);
            if !waves.is_empty() {
                rolls.push(Stage { task: Some(*task), title: task.card().title.to_owned(), waves });
            }
        }
    }
    if !prepare.hosts.is_empty() {
        plan.stages.push(Stage { task: None, title: "prepare".to_owned(), waves: vec![prepare] });
    }
    plan.stages.extend(rolls);
    plan.blocked.sort();
    plan
}

/// What is to be done for one task on one host.
#[derive(Debug, Default)]
struct Work {
    prepare: Vec<Action>,
    roll: Vec<Action>,
    blind: Vec<Because>,
}

fn work(task: Task, wishes: &[Wish], answer: &Answer) -> Work {
    let mut work = Work::default();
    let mut dirty: BTreeSet<&str> = BTreeSet::new();
    for wish in wishes {
        let id = wish.resource.id();
        let (gaps, later) = match answer.looks.get(&id) {
            Some(Look::Facts(facts)) => {
                let mut facts = facts.clone();
                if let Resource::Service(service) = &wish.resource {
                    let dirty = service.inputs.iter().any(|path| dirty.contains(path.as_str()));
                    settle(&mut facts, if dirty { InputsGap::Some } else { InputsGap::None });
                }
                (diff(&wish.resource.want(), &facts), None)
            }
            Some(Look::Later(when)) => (Vec::new(), Some(*when)),
            Some(Look::Failed(why)) => {
                work.blind.push(Because::CouldNotLook { resource: id, why: why.clone() });
                continue;
            }
            None => {
                let why = "it was not asked about".to_owned();
                work.blind.push(Because::CouldNotLook { resource: id, why });
                continue;
            }
        };
        if gaps.is_empty() && later.is_none() {
            continue;
        }
        match &wish.resource {
            Resource::File(it) => dirty.insert(&it.path),
            Resource::Directory(it) => dirty.insert(&it.path),
            _ => false,
        };
        let early = match wish.when {
            When::Prepare => true,
            When::Roll => false,
            When::PrepareUnless(units) => !units.iter().any(|unit| runs(unit, answer)),
        };
        let action = Action { task, resource: id, gaps, later };
        if early { work.prepare.push(action) } else { work.roll.push(action) }
    }
    work
}

/// Whether a unit runs, or tries to.
fn runs(unit: &str, answer: &Answer) -> bool {
    answer
        .sections
        .get("units")
        .and_then(|text| crate::resource::service::unit(unit, text))
        .is_some_and(|unit| matches!(unit.active, "active" | "activating" | "reloading"))
}

/// Hosts of a task whose own service does not run: nothing on them can be disturbed.
fn idle(
    desired: &Desired,
    task: Task,
    roll: &BTreeMap<HostName, Vec<Action>>,
    observed: &Observed,
) -> BTreeSet<HostName> {
    roll.keys()
        .filter(|host| {
            let Some(Seen::Answered(answer)) = observed.hosts.get(*host) else { return false };
            let wishes = desired.tasks.get(&task).and_then(|wishes| wishes.get(*host));
            let mut services = wishes.into_iter().flatten().filter_map(|wish| {
                wish.resource.as_service().filter(|service| service.state == State::Running)
            });
            services.all(|service| !runs(&service.unit, answer))
        })
        .cloned()
        .collect()
}

/// Members that answer, do not serve, and have nothing that we could make right.
fn sick_but_right(task: Task, health: &Health, scope: &Scope, observed: &Observed) -> Vec<Blocked> {
    health
        .members
        .iter()
        .filter_map(|(host, member)| match member {
            Member::Sick(why) => Some((host, why)),
            Member::Serving | Member::Silent => None,
        })
        .filter(|(host, _)| scope.allows(host, task))
        .filter(|(host, _)| matches!(observed.hosts.get(*host), Some(Seen::Answered(_))))
        // Where the service may rightly not run (nothing it needs is there), nothing is sick.
        .filter(|(host, _)| match observed.hosts.get(*host) {
            Some(Seen::Answered(answer)) => task.card().check.is_none_or(|check| {
                check != crate::health::Check::Dispatcher || runs("spark-dispatcher", answer)
            }),
            _ => true,
        })
        .map(|(host, why)| Blocked {
            host: host.clone(),
            task,
            because: Because::SickButRight { why: why.clone() },
        })
        .collect()
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes() == 0
    }

    /// How many actions would change something.
    pub fn changes(&self) -> usize {
        self.actions().filter(|(_, action)| action.later.is_none()).count()
    }

    /// All actions with their hosts, in order.
    pub fn actions(&self) -> impl Iterator<Item = (&HostName, &Action)> {
        self.stages.iter().flat_map(|stage| &stage.waves).flat_map(|wave| {
            wave.hosts.iter().flat_map(|(host, actions)| actions.iter().map(move |a| (host, a)))
        })
    }

    /// Leaves a task undone on a host, and what builds on it there.
    pub fn hold(&mut self, host: &HostName, task: Task, why: &str) {
        for stage in self.take_out(host, |stage| stage.task >= Some(task)) {
            self.blocked.push(Blocked {
                host: host.clone(),
                task: stage.unwrap_or(task),
                because: Because::Earlier { what: why.to_owned() },
            });
        }
    }

    /// Leaves out a host that no longer answers: it is as unreachable as one that never did.
    pub fn lose(&mut self, host: &HostName, why: String) {
        self.take_out(host, |_| true);
        self.unreachable.insert(host.clone(), why);
    }

    /// Takes a host's actions out of some stages; the tasks of those that had any.
    fn take_out(
        &mut self,
        host: &HostName,
        concerns: impl Fn(&Stage) -> bool,
    ) -> Vec<Option<Task>> {
        let mut tasks = Vec::new();
        for stage in self.stages.iter_mut().filter(|stage| concerns(stage)) {
            for wave in &mut stage.waves {
                if wave.hosts.remove(host).is_some() {
                    tasks.push(stage.task);
                }
            }
            stage.waves.retain(|wave| !wave.hosts.is_empty());
        }
        self.stages.retain(|stage| !stage.waves.is_empty());
        tasks
    }

    /// Hosts on which anything would change.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        self.actions().filter(|(_, a)| a.later.is_none()).map(|(host, _)| host).collect()
    }
}

impl Observed {
    /// What components answered, of every host that could be asked.
    pub fn replies(&self) -> BTreeMap<HostName, Replies> {
        self.answered().map(|(host, answer)| (host.clone(), answer.replies.clone())).collect()
    }

    /// Hosts that answered.
    pub fn answered(&self) -> impl Iterator<Item = (&HostName, &Answer)> {
        self.hosts.iter().filter_map(|(host, seen)| match seen {
            Seen::Answered(answer) => Some((host, answer)),
            Seen::Unreachable(_) => None,
        })
    }

    /// Hosts that did not, with the reason.
    pub fn unreachable(&self) -> BTreeMap<HostName, String> {
        self.hosts
            .iter()
            .filter_map(|(host, seen)| match seen {
                Seen::Answered(_) => None,
                Seen::Unreachable(why) => Some((host.clone(), why.clone())),
            })
            .collect()
    }
}

impl Scope {
    /// Whether a task may change a host.
    pub fn allows(&self, host: &HostName, task: Task) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
            && self.tasks.as_ref().is_none_or(|tasks| tasks.contains(&task))
    }
}

impl Rollout {
    /// How many failed or unreachable hosts of `total` are borne before later waves stay undone.
    pub fn budget(&self, total: usize) -> usize {
        match self {
            Rollout::Quorum => 0,
            Rollout::Batches(..) => total / 10,
            Rollout::Together | Rollout::Last(_) => total,
        }
    }
}

impl Action {
    /// What is not as wanted, in one line.
    pub fn why(&self) -> String {
        match self.later {
            Some(when) => format!("looked at once {when}"),
            None => text::gaps(&self.resource, &self.gaps),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::PeerSick { peer, why } => write!(f, "its peer {peer} is sick: {why}"),
            Because::LeaderSilent { leader } => {
                write!(f, "the leading master, on {leader} it seems, could not be asked about it")
            }
            Because::CouldNotLook { resource, why } => write!(f, "{resource}: {why}"),
            Because::SickButRight { why } => {
                write!(f, "rightly configured but does not serve: {why}; see its journal")
            }
            Because::Earlier { what } => f.write_str(what),
        }
    }
}
