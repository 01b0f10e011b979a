//! The cluster as its leading master shows it.

use std::collections::BTreeMap;

use crate::ground::HostName;
use crate::mesos::frameworks::{Framework, Standing};
use crate::mesos::master::{Listed, Metrics, Role};
use crate::mesos::values::{Resources, Value};
use crate::simulate;

/// The cluster as its leading master shows it.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Who leads; all else is what it says.
    pub leader: Option<HostName>,
    /// Whether a master that could not be asked may lead.
    pub may_be_led: bool,
    /// Masters that do not serve, and why.
    pub complaints: BTreeMap<HostName, String>,
    /// Every framework, those that ended among them; `None` when the leader was not heard.
    pub frameworks: Option<Vec<Framework>>,
    /// The inventory's agents, then strangers.
    pub agents: Vec<Agent>,
    /// The leader's numbers.
    pub metrics: Option<Metrics>,
    /// Roles that somebody is in or that have a weight.
    pub roles: Vec<Role>,
    /// The leader's clock, in seconds since 1970.
    pub now: Option<f64>,
}

/// An agent that should be there or is.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its host in the inventory, or what it announced.
    pub name: String,
    /// Its host in the inventory.
    pub host: Option<HostName>,
    /// What the leading master says of it; `None` when it is not registered there.
    pub listed: Option<Listed>,
    /// Whether an operator has it in maintenance.
    pub in_maintenance: bool,
}

/// Who holds a part of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// The framework's name.
    pub name: String,
    /// Its first role.
    pub role: String,
    /// Cpus of its tasks.
    pub cpus: f64,
    /// Memory of its tasks, in MiB.
    pub mem: f64,
}

impl Cluster {
    /// Frameworks that are not over.
    pub fn there(&self) -> impl Iterator<Item = &Framework> {
        let all = self.frameworks.iter().flatten();
        all.filter(|framework| framework.standing != Standing::Ended)
    }

    /// The agent with an id.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        let is = |agent: &&Agent| agent.listed.as_ref().is_some_and(|listed| listed.info.id == id);
        self.agents.iter().find(is)
    }

    /// What people call the agent with an id.
    pub fn agent_name<'a>(&'a self, id: &'a str) -> &'a str {
        self.agent(id).map_or(id, |agent| &agent.name)
    }

    /// The weight of a role; 1 unless one was given.
    pub fn weight(&self, role: &str) -> f64 {
        self.roles.iter().find(|known| known.name == role).map_or(1.0, |known| known.weight)
    }

    /// Frameworks other than this one that hold something, who holds most first.
    pub fn holders(&self, but: &str) -> Vec<Holder> {
        let others = self.there().filter(|framework| framework.id != but);
        let mut holders: Vec<Holder> = others
            .map(|framework| {
                let (cpus, mem) = framework.holds();
                let role = framework.roles.first().cloned().unwrap_or_default();
                Holder { name: framework.name.clone(), role, cpus, mem }
            })
            .filter(|holder| holder.cpus > 0.0 || holder.mem > 0.0)
            .collect();
        holders.sort_by(|a, b| b.cpus.total_cmp(&a.cpus).then_with(|| a.name.cmp(&b.name)));
        holders
    }
}

impl Agent {
    /// Why its resources are not offered to anybody; `None` when they are.
    pub fn withheld(&self) -> Option<&'static str> {
        let Some(listed) = &self.listed else {
            return Some(match self.in_maintenance {
                true => "is down for maintenance",
                false => "is not registered at the leading master",
            });
        };
        match listed.drain.as_deref() {
            Some("DRAINED") => return Some("is drained"),
            Some(_) => return Some("is being drained"),
            None => {}
        }
        if listed.deactivated {
            Some("is deactivated")
        } else if !listed.active && self.in_maintenance {
            Some("is down for maintenance")
        } else if !listed.active {
            Some("has lost its connection to the leading master")
        } else {
            None
        }
    }

    /// The same agent for `simulate`, with all that it has.
    pub fn whole(&self) -> Option<simulate::Agent> {
        let listed = self.listed.as_ref()?;
        Some(self.on_paper(listed, listed.info.resources.clone()))
    }

    /// The same agent for `simulate`, with what no task has now.
    pub fn free(&self) -> Option<simulate::Agent> {
        let listed = self.listed.as_ref()?;
        Some(self.on_paper(listed, listed.free.clone()?))
    }

    fn on_paper(&self, listed: &Listed, resources: Resources) -> simulate::Agent {
        let attributes = listed.info.attributes.clone();
        simulate::Agent { name: self.name.clone(), resources, attributes }
    }

    /// Free cpus and MiB that a framework of a role is offered.
    pub fn room_for(&self, role: &str) -> (f64, f64) {
        let seen = self.room().into_iter().filter(|(owner, _)| simulate::sees(role, owner));
        let sum = seen.fold((0, 0), |sum: (i64, i64), (_, of)| (sum.0 + of.0, sum.1 + of.1));
        (sum.0 as f64 / 1000.0, sum.1 as f64 / 1000.0)
    }

    /// Free cpus and MiB by role, in thousandths; the unreserved rest is `*`.
    pub fn room(&self) -> BTreeMap<String, (i64, i64)> {
        let mut room: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let free = self.listed.as_ref().and_then(|listed| listed.free.as_ref());
        for ((name, role), value) in free.into_iter().flat_map(|free| &free.0) {
            if let ("cpus" | "mem", Value::Scalar(amount)) = (name.as_str(), value) {
                let of_role = room.entry(role.clone()).or_default();
                match name.as_str() {
                    "cpus" => of_role.0 += amount,
                    _ => of_role.1 += amount,
                }
            }
        }
        room
    }
}
