//! Membership of the ensemble and of the masters, changed one step at a time.
//!
//! A step is an inventory: the user's with another membership in it. What is wanted of hosts, whose health is
//! judged and who goes when follow from it as from any other. Each run reads where the cluster stands
//! ([`Running`]) and plans the rest, so every state between two steps is one that this understands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Scope;
use crate::ground::HostName;
use crate::health::{Health, Member, Running};
use crate::inventory::{Inventory, Retired, ZooKeeper};
use crate::mesos::master::Listed;
use crate::tasks::Task;

pub mod masters;
pub mod zookeeper;

/// Who is a member of what: the part of an inventory that a step changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Servers of the ensemble and their numbers.
    Servers(BTreeMap<HostName, u8>),
    /// Masters, and how many of them must agree.
    Masters(BTreeSet<HostName>, usize),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What people read: `m4 joins the ensemble`.
    pub title: String,
    /// Whose files and services are made so.
    pub wants: Members,
    /// Whose health is judged meanwhile: the old and the new ones, without hosts that are gone.
    pub judged: Members,
    /// Servers that let in who shows no principal: some others do not list them, and show them none. Nobody without
    /// `zookeeper.quorum_auth`.
    pub open: BTreeSet<HostName>,
    /// What is done.
    pub does: Does,
}

impl Step {
    /// The inventory as this step wants it.
    pub fn within(&self, inventory: &Inventory) -> Arc<Inventory> {
        let mut inventory = Arc::unwrap_or_clone(self.wants.within(inventory));
        if let ZooKeeper::Managed { auth: Some(auth), .. } = &mut inventory.zookeeper {
            auth.open.clone_from(&self.open);
        }
        Arc::new(inventory)
    }
}

/// What a step does, and on whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// These are made as the step wants them: who does not serve first, then one at a time, the leader last.
    Roll(BTreeSet<HostName>),
    /// These at once: none of them can serve without the others.
    Together(BTreeSet<HostName>),
    /// Whoever of these leads when its turn comes restarts, so that another leads.
    GiveLead(BTreeSet<HostName>),
    /// This one is stopped for good, and the others must serve.
    Stop(HostName),
    /// This one is stopped for good; the others serve once the next step is done.
    StopUngated(HostName),
    /// What the masters remember is saved on this one.
    Save(HostName),
    /// This one stops, and its log is set aside.
    SetAside(HostName),
    /// What this one holds of earlier is set aside before it joins.
    SetAsideOld(HostName),
    /// What was saved on this one is restored.
    Restore(HostName),
}

/// Why membership is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One sentence, and what to do.
    pub why: String,
}

/// All steps of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// At the component's place.
    pub first: Vec<Step>,
    /// Once all that uses it follows the new membership.
    pub last: Vec<Step>,
    /// Who does not serve, and may again once the first step has changed something there. Where it has nothing to
    /// change, nothing follows it.
    pub mends: BTreeSet<HostName>,
}

/// What may be known of a component when its steps are made.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// How its members serve, those who leave among them.
    pub health: &'a Health,
    /// What may be changed.
    pub scope: &'a Scope,
    /// The leading master's agents by address.
    pub agents: Option<&'a BTreeMap<String, Listed>>,
    /// Hosts on which a master runs that nobody knows, and stops first.
    pub strangers: &'a BTreeSet<HostName>,
}

/// The steps from what runs to what is wanted; none where only the wanted ones run as wanted.
///
/// # Errors
/// Why there is no safe one.
pub fn steps(
    task: Task,
    running: &Running,
    wanted: &Inventory,
    state: State<'_>,
) -> Result<Steps, Refusal> {
    let gone: BTreeSet<HostName> = wanted
        .retired
        .iter()
        .filter(|(_, how)| **how == Retired::Gone)
        .map(|(host, _)| host.clone())
        .collect();
    match task {
        Task::Zookeeper => zookeeper::steps(running, wanted, &gone, state),
        Task::Masters => masters::steps(running, wanted, state),
        _ => Ok(Steps::default()),
    }
}

impl Members {
    /// The inventory with these members.
    pub fn within(&self, inventory: &Inventory) -> Arc<Inventory> {
        let mut inventory = inventory.clone();
        match self {
            Members::Servers(all) => {
                if let ZooKeeper::Managed { servers, .. } = &mut inventory.zookeeper {
                    servers.clone_from(all);
                }
            }
            Members::Masters(all, quorum) => {
                inventory.mesos.masters.clone_from(all);
                inventory.mesos.quorum = Some(*quorum);
            }
        }
        Arc::new(inventory)
    }

    /// Their hosts.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        match self {
            Members::Servers(all) => all.keys().collect(),
            Members::Masters(all, _) => all.iter().collect(),
        }
    }
}

impl Does {
    /// Everybody on whom something is done.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        match self {
            Does::Roll(hosts) | Does::Together(hosts) | Does::GiveLead(hosts) => {
                hosts.iter().collect()
            }
            Does::Stop(host) | Does::StopUngated(host) => [host].into(),
            Does::Save(host)
            | Does::SetAside(host)
            | Does::SetAsideOld(host)
            | Does::Restore(host) => [host].into(),
        }
    }
}

impl Steps {
    /// All of them in order.
    pub fn all(&self) -> impl Iterator<Item = &Step> {
        self.first.iter().chain(&self.last)
    }

    /// Refuses what would be left half done: whoever a step touches must be among those that may be changed.
    ///
    /// # Errors
    /// Who must come along.
    fn within_scope(self, task: Task, scope: &Scope) -> Result<Steps, Refusal> {
        let touched: BTreeSet<&HostName> = self.all().flat_map(|step| step.does.hosts()).collect();
        let out: Vec<&HostName> =
            touched.iter().copied().filter(|host| !scope.allows(host, task)).collect();
        if out.is_empty() || out.len() == touched.len() {
            return Ok(self);
        }
        let title = self.all().next().map_or("", |step| step.title.as_str());
        Err(Refusal::new(format!(
            "{title:?} would be left half done without {}; put {} under --limit too, or leave it out",
            named(out.iter().copied()),
            if out.len() == 1 { "it" } else { "them" },
        )))
    }
}

impl Refusal {
    /// Nothing of a member differs, and it does not serve.
    pub fn sick(task: Task, host: &HostName, health: &Health) -> Refusal {
        let what = match task {
            Task::Zookeeper => "the ensemble's membership",
            _ => "the masters' membership",
        };
        all_serve([host], what, health)
            .err()
            .unwrap_or_else(|| Refusal::new(format!("{host} does not serve")))
    }

    fn new(why: impl Into<String>) -> Refusal {
        Refusal { why: why.into() }
    }
}

/// Refuses while one of these does not serve: a change of membership takes a member away for a while.
fn all_serve<'a>(
    members: impl IntoIterator<Item = &'a HostName>,
    what: &str,
    health: &Health,
) -> Result<(), Refusal> {
    for host in members {
        if health.members.get(host) == Some(&Member::Serving) {
            continue;
        }
        let silent = matches!(health.members.get(host), Some(Member::Silent) | None);
        let why = health.complaint(host).unwrap_or_else(|| "it does not run".to_owned());
        let cure = match silent {
            true => format!(
                "bring it back, or take it out and write `retired: {{{host}: gone}}` if it never will"
            ),
            false => format!("mend it first: `provision logs {host}` says more"),
        };
        return Err(Refusal::new(format!(
            "{what} changes only while all of it serves, and {host} does not ({why}); {cure}"
        )));
    }
    if health.is_leaderless() {
        return Err(Refusal::new(format!(
            "{what} changes only under a leader, and nobody leads; wait for one, or mend it first"
        )));
    }
    Ok(())
}

/// `m1, m2, m3`.
fn named<'a>(hosts: impl IntoIterator<Item = &'a HostName>) -> String {
    hosts.into_iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

/// `m4 joins`, `m4, m5 join`.
fn joins<'a>(hosts: impl IntoIterator<Item = &'a HostName>) -> String {
    let hosts: Vec<&HostName> = hosts.into_iter().collect();
    format!("{} {}", named(hosts.iter().copied()), if hosts.len() == 1 { "joins" } else { "join" })
}
