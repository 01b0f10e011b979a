//! Tasks: all we know about one component, on one card. The match on tasks exists once, here.
//!
//! To add a component: one file with a card, its `mod` line, one variant in [`Task`] at its place in the order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ground::HostName;
use crate::health::{Answers, Check, Health, Replies, Running};
use crate::inventory::{Inventory, Part};
use crate::mesos::master::Listed;
use crate::resource::{Resource, ResourceId};
use crate::template::Templates;

pub(crate) mod agents;
mod base;
mod dispatcher;
mod docker;
mod history;
pub(crate) mod image;
mod masters;
pub mod mesos;
mod retired;
pub(crate) mod shuffle;
mod smoke;
mod spark;
mod tls;
pub(crate) mod weights;
mod znodes;
pub(crate) mod zookeeper;

/// Declares the components: the enum, all of them in order, and the one match.
macro_rules! tasks {
    ($($(#[$doc:meta])* $Task:ident($module:ident),)*) => {
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
            $($(#[$doc])* $Task,)*
        }

        /// All tasks in order.
        pub const ALL: [Task; [$(stringify!($Task)),*].len()] = [$(Task::$Task),*];

        impl Task {
            /// Its name, as `-t` takes it, and its card.
            fn entry(self) -> (&'static str, Card) {
                match self {
                    $(Task::$Task => (stringify!($module), $module::CARD),)*
                }
            }
        }
    };
}

// In the order in which they are rolled.
tasks! {
    /// What every host needs.
    Base(base),
    /// The ensemble.
    Zookeeper(zookeeper),
    /// The engine of the agents.
    Docker(docker),
    /// The image of Spark's executors.
    Image(image),
    /// Mesos masters.
    Masters(masters),
    /// Who may write below the masters' path.
    Znodes(znodes),
    /// Weights of roles.
    Weights(weights),
    /// Spark's external shuffle service, before executors and whoever is told to use it.
    Shuffle(shuffle),
    /// Mesos agents.
    Agents(agents),
    /// Spark on clients.
    Spark(spark),
    /// The MesosClusterDispatcher.
    Dispatcher(dispatcher),
    /// Spark's history server.
    History(history),
    /// What nobody asks for any more.
    Retired(retired),
    /// The proof that it works.
    Smoke(smoke),
}

/// All we know about one component.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// What people call it.
    pub title: &'static str,
    /// What should be true on each of its hosts, in the order in which it is made so.
    pub desire: fn(&World<'_>) -> Result<Wishes, String>,
    /// What a host is that has it; `None` where it comes along with others.
    pub part: Option<Part>,
    /// The unit that its process runs as, without `.service`.
    pub unit: fn(&Inventory) -> Option<&'static str>,
    /// How its members' health is asked.
    pub check: Option<&'static dyn Check>,
    /// Who goes together.
    pub rollout: fn(&Inventory) -> Rollout,
    /// How long a gate waits.
    pub gate_secs: u64,
    /// Completes what is to be made right on a host by what its component announces now.
    pub settle: fn(&Inventory, &HostName, &Judged, &mut Arc<Resource>),
}

impl Card {
    /// A component that has no members to ask and rolls everywhere at once.
    const PLAIN: Card = Card {
        title: "",
        desire: |_| Ok(Wishes::new()),
        part: None,
        unit: |_| None,
        check: None,
        rollout: |_| Rollout::Together,
        gate_secs: 0,
        settle: |_, _, _, _| {},
    };
}

/// What a task's card may look at.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What the user asked for.
    pub inventory: &'a Inventory,
    /// The templates.
    pub templates: &'a Templates,
}

/// What should be true, by host, in order.
pub type Wishes = BTreeMap<HostName, Vec<Wish>>;

/// One resource and when it may be made right.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The resource. Actions that make it right share it.
    pub resource: Arc<Resource>,
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

/// What should be true on each host; nothing is read from the world.
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
        self.entry().1
    }

    /// The unit that its process runs as, without `.service`.
    pub fn unit(self, inventory: &Inventory) -> Option<&'static str> {
        (self.card().unit)(inventory)
    }

    /// Its name as `-t` takes it.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The task of a name.
    pub fn parse(name: &str) -> Option<Task> {
        ALL.into_iter().find(|task| task.name() == name)
    }
}

/// What components answered, judged once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// How the members of each task serve that has a check.
    pub health: BTreeMap<Task, Health>,
    /// Tasks whose members only one host could judge, which does not answer.
    pub silent: BTreeMap<Task, HostName>,
    /// The leading master's agents by address; `None` when no leader answered.
    pub agents: Option<BTreeMap<String, Listed>>,
    /// The leading master's host.
    pub leader: Option<HostName>,
    /// Where membership stands.
    pub running: Running,
}

impl Judged {
    /// Judges the replies of all hosts that could be asked; members that run and are no longer wanted count
    /// with the others.
    pub fn new(
        inventory: &Arc<Inventory>,
        replies: &BTreeMap<HostName, Replies>,
        running: Running,
    ) -> Judged {
        let inventory = &*running.beside(inventory);
        let answers = Answers::new(inventory, replies);
        let mut judged = Judged::default();
        for task in ALL {
            let Some(check) = task.card().check else { continue };
            judged.health.insert(task, check.judge(inventory, &answers));
            judged.silent.extend(check.silent_judge(inventory, &answers).map(|host| (task, host)));
        }
        judged.leader = judged.health.get(&Task::Masters).and_then(|it| it.leader.clone());
        judged.agents = answers.into_agents();
        judged.running = running;
        judged
    }
}

impl Desired {
    /// All resources of one host, in the order of tasks.
    pub fn of<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = (Task, &'a Wish)> {
        self.tasks.iter().flat_map(move |(task, wishes)| {
            wishes.get(host).into_iter().flatten().map(move |wish| (*task, wish))
        })
    }
}

impl Wish {
    /// Something to be made right before anything rolls.
    pub fn prepare(resource: impl Into<Resource>) -> Wish {
        Wish { resource: Arc::new(resource.into()), when: When::Prepare }
    }

    /// Something to be made right in its task's wave.
    pub fn roll(resource: impl Into<Resource>) -> Wish {
        Wish { resource: Arc::new(resource.into()), when: When::Roll }
    }

    /// Something that may be made right early only where none of these units runs.
    pub fn unless(units: &'static [&'static str], resource: impl Into<Resource>) -> Wish {
        Wish { resource: Arc::new(resource.into()), when: When::PrepareUnless(units) }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
