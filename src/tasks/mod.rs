//! Tasks: all we know about one component, on one card. The match on tasks exists once, here.
//!
//! To add a component: one file with a card, one variant in [`Task`] at its place in the order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::health::{Check, Health};
use crate::inventory::{HostName, Inventory};
use crate::mesos::live::AgentInfo;
use crate::resource::{Resource, ResourceId};
use crate::template::Templates;

pub(crate) mod agents;
mod base;
mod dispatcher;
mod docker;
mod image;
mod masters;
pub mod mesos;
mod retired;
mod smoke;
mod spark;
mod weights;
mod zookeeper;

/// The components, in the order in which they are rolled.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// What every host needs.
    Base,
    /// Hosts taken out of everything.
    Retired,
    /// The ensemble.
    Zookeeper,
    /// The engine of the agents.
    Docker,
    /// The image of Spark's executors.
    Image,
    /// Mesos masters.
    Masters,
    /// Weights of roles.
    Weights,
    /// Mesos agents.
    Agents,
    /// Spark on clients.
    Spark,
    /// The MesosClusterDispatcher.
    Dispatcher,
    /// The proof that it works.
    Smoke,
}

/// All tasks in order.
pub const ALL: [Task; 11] = [
    Task::Base,
    Task::Retired,
    Task::Zookeeper,
    Task::Docker,
    Task::Image,
    Task::Masters,
    Task::Weights,
    Task::Agents,
    Task::Spark,
    Task::Dispatcher,
    Task::Smoke,
];

/// All we know about one component.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// What people call it.
    pub title: &'static str,
    /// What should be true on each of its hosts, in the order in which it is made so.
    pub desire: fn(&World<'_>) -> Result<Wishes, String>,
    /// How its members' health is asked.
    pub check: Option<Check>,
    /// Who goes together.
    pub rollout: fn(&Inventory) -> Rollout,
    /// How long a gate waits.
    pub gate_secs: u64,
}

/// What a task's card may look at.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What the user asked for.
    pub inventory: &'a Inventory,
    /// The templates.
    pub templates: &'a Templates,
    /// Live agents by address, when a leading master was asked: how an agent must be restarted
    /// depends on what it announces now.
    pub live: Option<&'a BTreeMap<String, AgentInfo>>,
}

/// What should be true, by host, in order.
pub type Wishes = BTreeMap<HostName, Vec<Wish>>;

/// One resource and when it may be made right.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The resource.
    pub resource: Resource,
    /// When.
    pub when: When,
}

/// When a resource may be made right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// On all hosts at once, before anything rolls: it disturbs nothing that runs.
    Prepare,
    /// In its task's wave.
    Roll,
    /// Before anything rolls where none of these units runs, else in its task's wave.
    PrepareUnless(&'static [&'static str]),
}

/// Who goes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// All at once.
    Together,
    /// A quorum: sick members first, then one at a time, the leader last.
    Quorum,
    /// By pools: host → pool, pool → how many of it at a time.
    Batches(BTreeMap<HostName, String>, BTreeMap<String, usize>),
    /// All at once, but these after the others.
    Last(BTreeSet<HostName>),
}

/// Everything that should be true, by task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// What each task asks of each host.
    pub tasks: BTreeMap<Task, Wishes>,
}

/// What should be true on each host; nothing is read from the world but the live agents.
///
/// # Errors
/// A template that does not render: its name, line and what is undefined.
pub fn desire(world: &World<'_>) -> Result<Desired, String> {
    desire_of(world, &ALL)
}

/// The same of some tasks, in their order.
///
/// # Errors
/// As [`desire`].
pub fn desire_of(world: &World<'_>, tasks: &[Task]) -> Result<Desired, String> {
    let mut desired = Desired::default();
    // What two tasks want of one host in the same way (the Mesos package, say) belongs to the first.
    let mut seen: BTreeMap<HostName, BTreeSet<ResourceId>> = BTreeMap::new();
    for &task in tasks {
        let mut wishes = (task.card().desire)(world)?;
        for (host, wishes) in &mut wishes {
            let seen = seen.entry(host.clone()).or_default();
            wishes.retain(|wish| seen.insert(wish.resource.id()));
        }
        wishes.retain(|_, wishes| !wishes.is_empty());
        desired.tasks.insert(task, wishes);
    }
    Ok(desired)
}

impl Task {
    /// Its card.
    pub fn card(self) -> Card {
        match self {
            Task::Base => base::CARD,
            Task::Retired => retired::CARD,
            Task::Zookeeper => zookeeper::CARD,
            Task::Docker => docker::CARD,
            Task::Image => image::CARD,
            Task::Masters => masters::CARD,
            Task::Weights => weights::CARD,
            Task::Agents => agents::CARD,
            Task::Spark => spark::CARD,
            Task::Dispatcher => dispatcher::CARD,
            Task::Smoke => smoke::CARD,
        }
    }

    /// Its name as `-t` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Task::Base => "base",
            Task::Retired => "retired",
            Task::Zookeeper => "zookeeper",
            Task::Docker => "docker",
            Task::Image => "image",
            Task::Masters => "masters",
            Task::Weights => "weights",
            Task::Agents => "agents",
            Task::Spark => "spark",
            Task::Dispatcher => "dispatcher",
            Task::Smoke => "smoke",
        }
    }

    /// The task of a name.
    pub fn parse(name: &str) -> Option<Task> {
        ALL.into_iter().find(|task| task.name() == name)
    }

    /// How its members serve.
    pub fn health(
        self,
        inventory: &Inventory,
        answers: &BTreeMap<HostName, crate::health::Replies>,
    ) -> Option<Health> {
        self.card().check.map(|check| check.judge(inventory, answers))
    }
}

impl Desired {
    /// All resources of one host, in the order of tasks.
    pub fn of<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = (Task, &'a Wish)> {
        self.tasks.iter().flat_map(move |(task, wishes)| {
            wishes.get(host).into_iter().flatten().map(move |wish| (*task, wish))
        })
    }

    /// One resource of one host.
    pub fn find(&self, host: &HostName, task: Task, id: &ResourceId) -> Option<&Wish> {
        self.tasks.get(&task)?.get(host)?.iter().find(|wish| wish.resource.id() == *id)
    }
}

impl Wish {
    /// Something to be made right before anything rolls.
    pub fn prepare(resource: Resource) -> Wish {
        Wish { resource, when: When::Prepare }
    }

    /// Something to be made right in its task's wave.
    pub fn roll(resource: Resource) -> Wish {
        Wish { resource, when: When::Roll }
    }

    /// Something that may be made right early only where none of these units runs.
    pub fn unless(units: &'static [&'static str], resource: Resource) -> Wish {
        Wish { resource, when: When::PrepareUnless(units) }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn together(_: &Inventory) -> Rollout {
    Rollout::Together
}
