//! Whole hosts: agents drained and given back, machines booted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Ground, asked, one_by_one};
use crate::ground::HostName;
use crate::health::{Health, Member};
use crate::plan::planner::members;
use crate::plan::work::runs;
use crate::plan::{Action, Because, Blocked, Ends, Plan, Seen, Stage, Wave, waves};
use crate::resource::Resource;
use crate::resource::offers::{Offers, State as OffersState};
use crate::resource::reboot::Reboot;
use crate::tasks::{Task, agents};

impl Ground<'_> {
    /// Drains agents or gives them back, as the leading master lists them.
    pub(super) fn offers(&self, state: OffersState) -> Result<Plan, String> {
        let inventory = self.inventory;
        if !agents::drains(inventory) {
            let version = &inventory.mesos.version;
            return Err(format!("Mesos {version} cannot drain agents; 1.9 and later can"));
        }
        let listed = self.observed.judged.agents.as_ref();
        let listed =
            listed.ok_or("no leading master lists its agents; look at `provision status`")?;
        let mut hosts = BTreeMap::new();
        let all = self.scope.hosts.iter().flatten();
        for host in
            all.filter(|host| matches!(self.observed.hosts.get(*host), Some(Seen::Answered(_))))
        {
            if inventory.agent(host).is_none() {
                return Err(format!(
                    "{host} is no agent; `provision inventory --graph` shows who is"
                ));
            }
            let address = inventory.hosts.get(host).map(|it| it.address.to_string());
            let agent = address.and_then(|address| listed.get(&address)).ok_or_else(|| {
                format!("the agent on {host} is not registered at the leading master; look at `provision diagnose`")
            })?;
            let right = match state {
                OffersState::Drained => agent.drain.as_deref() == Some("DRAINED"),
                OffersState::Made => !agent.deactivated,
            };
            if right {
                continue;
            }
            let seen = if agent.deactivated { OffersState::Drained } else { OffersState::Made };
            let Some(drain) = agents::drain(inventory, host) else { continue };
            let offers = Offers { agent: agent.info.id.clone(), drain, state };
            let gaps = vec![asked("offers", seen.word(), state.word())];
            let resource = Arc::new(Resource::from(offers));
            let action = Action::new(Task::Agents, resource, gaps);
            hosts.insert(host.clone(), vec![action]);
        }
        if hosts.is_empty() {
            return Ok(Plan::default());
        }
        // Whoever is drained is not one that serves.
        let ends = if state == OffersState::Drained { Ends::Members } else { Ends::Nothing };
        let stage = self.stage(Task::Agents, vec![Wave { hosts }]);
        Ok(Plan { stages: vec![Stage { ends, ..stage }], ..Plan::default() })
    }

    /// Boots hosts: agents and others in the batches of their pools, then members of a quorum one by one,
    /// whoever leads last. What served before serves again before the next goes.
    pub(super) fn reboot(&self) -> Plan {
        let mut plan = Plan::default();
        let up = self.observed.answered().map(|(host, _)| host);
        let meant: BTreeSet<&HostName> = up
            .filter(|host| self.scope.hosts.as_ref().is_none_or(|all| all.contains(*host)))
            .collect();
        let health = &self.observed.judged.health;
        let quorums: Vec<(Task, &Health)> = health
            .iter()
            .filter(|(task, _)| task.card().check.is_some_and(|check| check.elects()))
            .map(|(task, health)| (*task, health))
            .collect();
        let votes = |host: &HostName| quorums.iter().any(|(_, it)| it.members.contains_key(host));
        let (voters, others): (BTreeSet<_>, BTreeSet<_>) =
            meant.into_iter().partition(|host| votes(host));
        let action = |host: &HostName, task: Task| {
            let resource = Resource::from(Reboot { host: host.clone() });
            let gaps = vec![asked("boot", "this", "another")];
            Action::new(task, Arc::new(resource), gaps)
        };
        let work = |hosts: BTreeSet<&HostName>| -> BTreeMap<HostName, Vec<Action>> {
            let of = |host: &HostName| match self.inventory.agent(host) {
                Some(_) => Task::Agents,
                None => Task::Base,
            };
            hosts.into_iter().map(|host| (host.clone(), vec![action(host, of(host))])).collect()
        };
        let mut roll = work(others);
        // Only the leading master could say that an agent is back.
        if let Some(leader) = self.observed.judged.silent.get(&Task::Agents) {
            let held: Vec<HostName> = roll
                .extract_if(.., |host, _| self.inventory.agent(host).is_some())
                .map(|(host, _)| host)
                .collect();
            plan.blocked.extend(held.into_iter().map(|host| {
                let because = Because::LeaderSilent { leader: leader.clone() };
                Blocked { host, task: Task::Agents, because }
            }));
        }
        if !roll.is_empty() {
            let rollout = (Task::Agents.card().rollout)(self.inventory);
            let (waves, _) = waves::waves(Task::Agents, roll, &rollout, None, &BTreeSet::new());
            plan.stages.push(self.boots("reboot", waves));
        }
        let mut roll = work(voters);
        for (task, health) in &quorums {
            let hopeless = health
                .members
                .iter()
                .find(|(host, member)| **member != Member::Serving && !roll.contains_key(*host));
            let Some((peer, _)) = hopeless else { continue };
            let why = health.complaint(peer).unwrap_or_default();
            let held =
                roll.extract_if(.., |host, _| health.members.get(host) == Some(&Member::Serving));
            plan.blocked.extend(held.map(|(host, _)| {
                let because = Because::PeerSick { peer: peer.clone(), why: why.clone() };
                Blocked { host, task: *task, because }
            }));
        }
        if !roll.is_empty() {
            // Those that serve nowhere are mended first; whoever leads, the masters above all, goes last.
            let serves = |host: &HostName| {
                quorums.iter().any(|(_, it)| it.members.get(host) == Some(&Member::Serving))
            };
            let leads = |host: &HostName, task: Task| {
                health.get(&task).is_some_and(|it| it.leader.as_ref() == Some(host))
            };
            let waves = one_by_one(roll, |host| {
                (leads(host, Task::Masters), leads(host, Task::Zookeeper), serves(host))
            });
            plan.stages.push(self.boots("reboot of quorums", waves));
        }
        plan
    }

    /// A stage of hosts that boot, and all that must serve again on them: what runs of a quorum, and what
    /// else serves now.
    fn boots(&self, title: &str, waves: Vec<Wave>) -> Stage {
        let hosts: BTreeSet<&HostName> = waves.iter().flat_map(|wave| wave.hosts.keys()).collect();
        let mut also = BTreeMap::new();
        for (task, health) in &self.observed.judged.health {
            let elects = task.card().check.is_some_and(|check| check.elects());
            let Some(wishes) = self.desired.tasks.get(task) else { continue };
            let mut all = members(wishes);
            all.retain(|host, unit| {
                let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else {
                    return false;
                };
                let runs = unit.as_ref().is_some_and(|unit| runs(unit, answer));
                let serves = health.members.get(host) == Some(&Member::Serving);
                hosts.contains(host) && runs && (elects || serves)
            });
            if !all.is_empty() {
                also.insert(*task, all);
            }
        }
        let first = also.pop_first();
        let (task, members) =
            first.map_or((None, BTreeMap::new()), |(task, all)| (Some(task), all));
        let stage = Stage::new(self.inventory, task, title.to_owned(), waves, members);
        Stage { also, ends: Ends::Hosts, ..stage }
    }
}
