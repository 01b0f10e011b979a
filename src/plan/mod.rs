//! The plan: everything that will be done, decided. Pure, total and deterministic; whoever applies it
//! has no meaningful choice left but who goes next in a quorum, and that has a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::ground::HostName;
use crate::inventory::Inventory;
use crate::resource::{Gap, Look, Resource, ResourceId};
use crate::script::Sections;
use crate::tasks::{Judged, Rollout, Task};

pub mod content;
pub mod disruption;
pub mod membership;
mod planner;
pub mod preflight;
pub mod saved;
pub mod shown;
pub mod text;
pub mod verbs;
mod waves;
mod work;

pub use planner::plan;

use disruption::Disruption;

/// Everything that will be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// In order; the first is "prepare" when anything can be prepared.
    pub stages: Vec<Stage>,
    /// What is left undone on purpose.
    pub blocked: Vec<Blocked>,
    /// Hosts that did not answer, with the reason. Never treated as absent, deleted or done.
    pub unreachable: BTreeMap<HostName, String>,
    /// Agents in service that are restarted, and what ends with that, where the leading master could be
    /// asked.
    #[serde(rename = "hits")]
    pub disruptions: BTreeMap<HostName, Disruption>,
    /// Members of each task that served when it was made.
    #[serde(skip)]
    pub served: BTreeMap<Task, BTreeSet<HostName>>,
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
    /// Whose health is judged while it is done: what the user asked for, but where membership changes the
    /// old and the new members of this step together.
    #[serde(skip)]
    pub inventory: Arc<Inventory>,
    /// All members of the task once it is done, whether anything is to be done there or not, each with
    /// the unit that it runs. A host of a wave that is not among them leaves.
    #[serde(skip)]
    pub members: Members,
    /// Members of other tasks that go down and come back by the same actions.
    #[serde(skip)]
    pub also: BTreeMap<Task, Members>,
    /// What is meant to be gone after it.
    #[serde(skip)]
    pub ends: Ends,
    /// Hosts without which it is not begun: on each of them everything before it must have been done.
    #[serde(skip)]
    pub after: BTreeSet<HostName>,
}

/// Members of a task, each with the unit that it runs.
pub type Members = BTreeMap<HostName, Option<String>>;

/// What is meant to be gone after a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ends {
    /// Nothing: whoever it touches serves again.
    #[default]
    Nothing,
    /// Nothing, but whole hosts are gone for a while, with members of any task on them.
    Hosts,
    /// Those that it touches; of a quorum a majority is left.
    Members,
    /// A quorum, whole.
    Quorum,
}

/// Hosts that go together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Wave {
    /// What is done on each, in order.
    pub hosts: BTreeMap<HostName, Vec<Action>>,
}

/// One resource on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its task.
    pub task: Task,
    /// The resource itself; its name stands for it in a plan that is shown.
    pub resource: Arc<Resource>,
    /// What is not as wanted; empty when it can only be looked at later.
    pub gaps: Vec<Gap>,
    /// It could not be looked at: it will be once this is so, and made right if need be.
    pub later: Option<&'static str>,
    /// What changes of what a service was started with: that is why it is started anew.
    pub causes: Vec<String>,
    /// What a file holds that will hold something else, where it could be asked for.
    pub before: Option<String>,
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
    #[serde(rename = "sick_but_right")]
    NotServing {
        /// What is wrong with it.
        why: String,
    },
    /// What the inventory asks for is not there yet, and a process that starts now would not be right.
    Pending {
        /// Of how many resources.
        places: usize,
    },
    /// Whom masters or servers admit does not change, or what they would refuse: others must come first.
    Admission {
        /// Who, and what to do.
        why: String,
    },
    /// There is no safe way to the membership that is wanted, from where it stands.
    Membership {
        /// Why, and what to do.
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
    /// What their components answered, judged once.
    pub judged: Judged,
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

impl Stage {
    /// One whose members serve again when it is over.
    pub fn new(
        inventory: &Arc<Inventory>,
        task: Option<Task>,
        title: String,
        waves: Vec<Wave>,
        members: Members,
    ) -> Stage {
        let (inventory, also) = (Arc::clone(inventory), BTreeMap::new());
        let (ends, after) = (Ends::Nothing, BTreeSet::new());
        Stage { task, title, waves, inventory, members, also, ends, after }
    }

    /// Every task that has members which it touches, in order.
    pub fn tasks(&self) -> BTreeSet<Task> {
        self.also.keys().copied().chain(self.task).collect()
    }

    /// The members of one of its tasks.
    pub fn members_of(&self, task: Task) -> &Members {
        self.also.get(&task).unwrap_or(&self.members)
    }
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
        for stage in self.take_out(host, why, |stage| stage.task >= Some(task)) {
            self.blocked.push(Blocked {
                host: host.clone(),
                task: stage.unwrap_or(task),
                because: Because::Earlier { what: why.to_owned() },
            });
        }
    }

    /// Leaves out a host that no longer answers: it is as unreachable as one that never did.
    pub fn lose(&mut self, host: &HostName, why: String) {
        self.take_out(host, &why, |_| true);
        self.unreachable.insert(host.clone(), why);
    }

    /// Takes a host's actions out of some stages; the tasks of those that had any.
    fn take_out(
        &mut self,
        host: &HostName,
        why: &str,
        concerns: impl Fn(&Stage) -> bool,
    ) -> Vec<Option<Task>> {
        let mut tasks = Vec::new();
        let waits = |stage: &mut Stage| stage.after.contains(host);
        for stage in self.stages.extract_if(.., waits) {
            let hosts = stage.waves.into_iter().flat_map(|wave| wave.hosts.into_keys());
            self.blocked.extend(hosts.filter_map(|it| {
                let because = Because::Earlier { what: format!("{host}: {why}") };
                Some(Blocked { host: it, task: stage.task?, because })
            }));
        }
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

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            task: Task,
            resource: ResourceId,
            gaps: &'a [Gap],
            later: Option<&'a str>,
            does: String,
            why: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            content: Option<content::Change>,
        }
        let Action { task, gaps, later, .. } = self;
        let (does, why) = (text::symbol(self).word().to_owned(), self.why());
        let (resource, content) = (self.id(), content::change(self));
        Shown { task: *task, resource, gaps, later: *later, does, why, content }
            .serialize(serializer)
    }
}

impl Action {
    /// One whose gaps say all.
    pub fn new(task: Task, resource: Arc<Resource>, gaps: Vec<Gap>) -> Action {
        Action { task, resource, gaps, later: None, causes: Vec::new(), before: None }
    }

    /// One whose resource can only be looked at later.
    pub fn later(task: Task, resource: Arc<Resource>, when: &'static str) -> Action {
        Action { later: Some(when), ..Action::new(task, resource, Vec::new()) }
    }

    /// What names its resource on the host.
    pub fn id(&self) -> ResourceId {
        self.resource.id()
    }

    /// What is not as wanted, in one line.
    pub fn why(&self) -> String {
        match self.later {
            Some(when) => format!("looked at once {when}"),
            None => text::gaps(self),
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
            Because::NotServing { why } => {
                write!(f, "rightly configured but does not serve: {why}; see its journal")
            }
            Because::Pending { places } => {
                let places = text::counted(*places, "place");
                write!(
                    f,
                    "it is not as the inventory says in {places}; apply mends that, and starts it anew"
                )
            }
            Because::Membership { why } | Because::Admission { why } => f.write_str(why),
            Because::Earlier { what } => f.write_str(what),
        }
    }
}
