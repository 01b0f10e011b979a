//! One health check per task. It serves four masters: order (the leader goes last), safety (no healthy
//! member is touched while a peer is sick), gates (may the next wave start) and `status`.
//!
//! A check is data: questions that a host asks of its own components over the network, and a judgement
//! of all answers together. The component is asked, never the init system: `systemctl start` returned 0
//! in every broken set-up that was tried (docs/facts.md).

use crate::mesos::master::Listed;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::ground::HostName;
use crate::inventory::{Host, Inventory};

mod agents;
mod ask;
mod dispatcher;
mod history;
mod masters;
pub mod running;
mod shuffle;
mod zookeeper;

pub use agents::{Agents, leaders_agents};
pub use ask::{Question, Replies, Reply, answers_shuffle, probe, replies};
pub use dispatcher::Dispatcher;
pub use history::History;
pub use masters::Masters;
pub use running::{Data, Kept, Running, Server};
pub use shuffle::{Shuffle, shuffle};
pub use zookeeper::ZooKeeper;

/// How the members of one component are asked, and what their answers say.
pub trait Check: fmt::Debug + Sync {
    /// What the smoke test calls it.
    fn name(&self) -> &'static str;

    /// Who is a member.
    fn members(&self, inventory: &Inventory) -> Vec<HostName>;

    /// What each of its [witnesses](Check::witnesses) asks on its own host.
    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question>;

    /// Judges all answers.
    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health;

    /// Whether its members elect a leader among themselves.
    fn elects(&self) -> bool {
        false
    }

    /// Whether nobody leads for long without a majority, so that a leader among fewer members that serve
    /// shows answers of different moments.
    fn leads_with_majority(&self) -> bool {
        false
    }

    /// Hosts that must answer for the judgement.
    fn witnesses(&self, inventory: &Inventory) -> Vec<HostName> {
        self.members(inventory)
    }

    /// Who alone could judge its members and cannot be asked.
    fn silent_judge(&self, _: &Inventory, _: &Answers<'_>) -> Option<HostName> {
        None
    }

    /// Its unit, where that may rightly not run (nothing that it needs is there).
    fn may_rest(&self) -> Option<&'static str> {
        None
    }
}

/// What all hosts that could be asked answered; the leading master's list of agents is read once.
#[derive(Debug)]
pub struct Answers<'a> {
    replies: &'a BTreeMap<HostName, Replies>,
    agents: Option<BTreeMap<String, Listed>>,
}

impl<'a> Answers<'a> {
    /// Of these replies. A host that is missing could not be asked.
    pub fn new(inventory: &Inventory, replies: &'a BTreeMap<HostName, Replies>) -> Answers<'a> {
        Answers { replies, agents: leaders_agents(inventory, replies) }
    }

    /// The leading master's agents by address; `None` when no leader answered.
    pub fn agents(&self) -> Option<&BTreeMap<String, Listed>> {
        self.agents.as_ref()
    }

    /// The same, for whoever keeps them.
    pub fn into_agents(self) -> Option<BTreeMap<String, Listed>> {
        self.agents
    }

    /// What a host was answered; `None` when it could not be asked.
    fn reply(
        &self,
        check: &dyn Check,
        inventory: &Inventory,
        host: &HostName,
    ) -> Option<&'a Reply> {
        reply(check, inventory, host, self.replies)
    }

    /// Each member by what it answered itself.
    fn each(
        &self,
        check: &dyn Check,
        inventory: &Inventory,
        mut judge: impl FnMut(&HostName, &Reply) -> Member,
    ) -> Health {
        let members = check.members(inventory).into_iter().map(|host| {
            let reply = self.reply(check, inventory, &host);
            let member = reply.map_or(Member::Silent, |reply| judge(&host, reply));
            (host, member)
        });
        Health { members: members.collect(), leader: None }
    }
}

/// Nobody answered, or the question was not put.
static NOBODY: Reply = Reply { status: 0, body: String::new() };

fn reply<'a>(
    check: &dyn Check,
    inventory: &Inventory,
    host: &HostName,
    answers: &'a BTreeMap<HostName, Replies>,
) -> Option<&'a Reply> {
    let replies = answers.get(host)?;
    let question = check.question(inventory, inventory.hosts.get(host)?)?;
    Some(replies.get(&question).unwrap_or(&NOBODY))
}

/// How one member serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Member {
    /// It serves.
    Serving,
    /// It answers wrongly or not at all, and why.
    Sick(String),
    /// Its host could not be asked.
    Silent,
}

/// How the members of one task serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Every member.
    pub members: BTreeMap<HostName, Member>,
    /// Who leads, for a quorum.
    pub leader: Option<HostName>,
}

impl Health {
    /// Members that serve.
    pub fn serving(&self) -> BTreeSet<&HostName> {
        self.members.iter().filter(|(_, m)| **m == Member::Serving).map(|(host, _)| host).collect()
    }

    /// Whether it is certain that no majority serves under a leader. A member whose host cannot be
    /// asked may well serve, and may be the leader.
    pub fn is_lost(&self) -> bool {
        let silent = self.members.values().filter(|m| **m == Member::Silent).count();
        let led = self.leader.is_some() || silent > 0;
        !led || self.serving().len() + silent <= self.members.len() / 2
    }

    /// Whether it is certain that nobody leads.
    pub fn is_leaderless(&self) -> bool {
        self.leader.is_none() && self.members.values().all(|member| *member != Member::Silent)
    }

    /// Why a member does not serve; `None` when it does.
    pub fn complaint(&self, host: &HostName) -> Option<String> {
        match self.members.get(host) {
            Some(Member::Serving) | None => None,
            Some(Member::Sick(why)) => Some(why.clone()),
            Some(Member::Silent) => Some("its host could not be asked".to_owned()),
        }
    }
}
