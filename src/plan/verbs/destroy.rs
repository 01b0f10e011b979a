//! What was made, taken away again; data only where that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Consent, Ground, asked};
use crate::ground::HostName;
use crate::inventory::Inventory;
use crate::plan::{Action, Plan, Scope, Seen, Stage, Wave};
use crate::resource::removed::{Removed, THERE, Way};
use crate::resource::service::Service;
use crate::resource::{Look, Resource, ResourceId};
use crate::tasks::{Task, Wish};

impl Ground<'_> {
    /// Ends services and takes away what was made for them, task by task, what others build on last. Packages,
    /// images and accounts stay, what a task that stays needs too, and an engine that is not named.
    pub(super) fn destroy(&self, data_of: Option<&str>) -> Result<Plan, String> {
        let cluster = &self.inventory.cluster;
        if let Some(name) = data_of.filter(|name| name != cluster) {
            return Err(format!("this cluster is `{cluster}`, and --delete-data names `{name}`"));
        }
        // All of it means its quorums.
        let quorum = if self.scope.hosts.is_none() { Consent::Given } else { Consent::Withheld };
        let all = |task: &Task| match &self.scope.tasks {
            None => !matches!(task, Task::Base | Task::Docker),
            Some(named) => named.contains(task),
        };
        let tasks: BTreeSet<Task> = crate::tasks::ALL.into_iter().filter(all).collect();
        let scope = Scope { tasks: Some(tasks.clone()), ..self.scope.clone() };
        let ground = Ground { scope: &scope, ..*self };
        let all: Vec<Task> = tasks.iter().copied().collect();
        let mut plan = ground.stop_of(&all, quorum)?;
        for task in tasks.iter().rev() {
            let mut hosts: BTreeMap<HostName, Vec<Action>> = BTreeMap::new();
            for (host, wishes) in self.desired.tasks.get(task).into_iter().flatten() {
                let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { continue };
                if !self.scope.hosts.as_ref().is_none_or(|all| all.contains(host)) {
                    continue;
                }
                let needed: BTreeSet<&str> = self
                    .desired
                    .of(host)
                    .filter(|(of, _)| !tasks.contains(of))
                    .filter_map(|(_, wish)| wish.resource.get::<Service>())
                    .flat_map(|service| service.inputs.iter().map(String::as_str))
                    .collect();
                let there = |wish: &&Wish| match answer.looks.get(&wish.resource.id()) {
                    Some(Look::Facts(facts)) => !facts.is_empty(),
                    _ => false,
                };
                let spare = |wish: &&Wish| {
                    !wish.resource.touches().is_some_and(|path| needed.contains(path))
                };
                let mut actions: Vec<Action> = wishes
                    .iter()
                    .rev()
                    .filter(there)
                    .filter(spare)
                    .filter_map(|wish| {
                        Some(removed(*task, wish.resource.id(), Way::Undone(wish.resource.undo()?)))
                    })
                    .collect();
                let paths = data(self.inventory, *task, host);
                if let (Some(_), false) = (data_of, paths.is_empty()) {
                    let id = ResourceId { kind: "data", name: paths.join(" ") };
                    actions.push(removed(*task, id, Way::Deleted(paths)));
                }
                if !actions.is_empty() {
                    hosts.insert(host.clone(), actions);
                }
            }
            if !hosts.is_empty() {
                let title = format!("{}: removed", task.card().title);
                let waves = vec![Wave { hosts }];
                // A proof's failure would be told as the smoke test's: here is none.
                plan.stages.push(Stage::new(self.inventory, None, title, waves, BTreeMap::new()));
            }
        }
        Ok(plan)
    }
}

fn removed(task: Task, of: ResourceId, way: Way) -> Action {
    let resource = Arc::new(Resource::from(Removed { of, way }));
    Action::new(task, resource, vec![asked(THERE, "yes", "no")])
}

/// Where a task keeps what nobody could make again: znodes, the masters' registry, what agents know of
/// their tasks, and volumes. Only what Mesos and ZooKeeper name themselves, never a whole directory that
/// somebody else may use too. Source: `version-2` in ZooKeeper's dataDir and dataLogDir; `slave/paths.cpp`
/// and `master/constants.hpp` of Mesos 1.11.
fn data(inventory: &Inventory, task: Task, host: &HostName) -> Vec<String> {
    let within = |directory: Option<&String>, default: &str, names: &[&str]| -> Vec<String> {
        let directory = directory.map_or(default, String::as_str);
        names.iter().map(|name| format!("{}/{name}", directory.trim_end_matches('/'))).collect()
    };
    match task {
        Task::Zookeeper => {
            if !inventory.ensemble().is_some_and(|servers| servers.contains_key(host)) {
                return Vec::new();
            }
            let directories = inventory.ensemble_directories();
            directories.into_iter().map(|path| format!("{path}/version-2")).collect()
        }
        Task::Masters => {
            let directory = inventory.mesos.master_flags.get("work_dir");
            within(directory, "/var/lib/mesos", &["replicated_log"])
        }
        Task::Agents => {
            let agent = inventory.agent(host);
            let directory = agent.and_then(|agent| agent.flags.get("work_dir"));
            let names = ["meta", "slaves", "provisioner", "volumes"];
            within(directory, "/var/lib/mesos", &names)
        }
        _ => Vec::new(),
    }
}
