//! Mesos agents, as the leading master sees them.

use std::collections::BTreeMap;

use super::{Answers, Check, Health, Masters, Member, Question, Replies, reply};
use crate::ground::HostName;
use crate::inventory::{Host, Inventory, Part};
use crate::mesos::live::Detail;
use crate::mesos::master::{self, Listed};
use crate::mesos::values::{Attributes, Resources};

/// The agents.
#[derive(Debug)]
pub struct Agents;

impl Check for Agents {
    fn name(&self) -> &'static str {
        "agents"
    }

    fn members(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.hosts_of(Part::Agent).cloned().collect()
    }

    fn witnesses(&self, inventory: &Inventory) -> Vec<HostName> {
        Masters.members(inventory)
    }

    /// A quorum of masters serves and no leader is among those that answer, so it is one that does not.
    fn silent_judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Option<HostName> {
        let masters = Masters.judge(inventory, answers);
        if masters.leader.is_some() || masters.is_lost() {
            return None;
        }
        let mut silent = masters.members.iter().filter(|(_, member)| **member == Member::Silent);
        silent.next().map(|(host, _)| host.clone())
    }

    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question> {
        // Before 0.22 there was no /slaves; the whole state holds the same list.
        let since = inventory.mesos.version.at_least(&[0, 22]);
        let path = if since { "/slaves" } else { "/state.json" };
        Some(Question::Master(inventory.master_url(host) + path))
    }

    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health {
        let mut health = Health::default();
        for (_, host, wanted) in inventory.agents() {
            let member = match answers.agents() {
                None => Member::Sick("no leading master could be asked about it".to_owned()),
                Some(seen) => {
                    let address = inventory.hosts.get(host).map(|h| h.address.to_string());
                    match address.and_then(|address| seen.get(&address)) {
                        None => {
                            Member::Sick("it is not registered at the leading master".to_owned())
                        }
                        Some(agent) => judge_agent(agent, &wanted.attributes, &wanted.resources),
                    }
                }
            };
            health.members.insert(host.clone(), member);
        }
        health
    }
}

/// The leading master's agents by address; `None` when no leader answered.
pub fn leaders_agents(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Replies>,
) -> Option<BTreeMap<String, Listed>> {
    let agents = inventory.hosts_of(Part::Master).find_map(|host| {
        // Only the leader answers 200; before Mesos 1.0 the answer says whether it leads.
        let reply = reply(&Agents, inventory, host, answers)?;
        (reply.status == 200).then(|| master::agents(&reply.body)).flatten()
    })?;
    Some(agents.into_iter().map(|agent| (agent.address.clone(), agent)).collect())
}

fn judge_agent(agent: &Listed, attributes: &Attributes, resources: &Resources) -> Member {
    // Such an agent is listed as not active too (recorded: `masters/12-drain`).
    if agent.deactivated {
        return Member::Sick("it is drained or deactivated; no offers are made of it".to_owned());
    }
    if !agent.active {
        return Member::Sick("the leading master lists it as not active".to_owned());
    }
    if agent.info.attributes != *attributes {
        return Member::Sick(format!(
            "it is registered with attributes {} instead of {attributes}",
            agent.info.attributes
        ));
    }
    // What was not asked for is detected by Mesos itself and differs from host to host.
    let differing: Vec<String> = resources
        .0
        .iter()
        .filter(|(key, value)| agent.info.resources.0.get(*key) != Some(value))
        .map(|((name, role), _)| format!("{name}({role})"))
        .collect();
    if !differing.is_empty() && agent.info.detail == Detail::ByRole {
        return Member::Sick(format!(
            "it is registered with resources {} instead of {resources} (differing: {})",
            agent.info.resources,
            differing.join(", ")
        ));
    }
    Member::Serving
}
