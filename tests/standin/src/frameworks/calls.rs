//! The calls of a subscribed framework, but for ACCEPT.
//! Source: src/master/master.cpp at 1.11.0; texts as there.

use mesos_messages::scheduler::{Acknowledge, Decline, Kill, Reconcile, Roles};
use mesos_messages::{Reason, TaskState};

use super::task::by_master;
use super::{Framework, Offer};
use crate::log;
use crate::master::{Master, State};
use crate::orders::Order;

impl State {
    pub(super) fn framework(&mut self, id: &str) -> Option<&mut Framework> {
        self.frameworks.registered.get_mut(id)
    }

    pub(super) fn is_connected(&self, agent_id: &str) -> bool {
        self.agents.get(agent_id).is_some_and(|agent| agent.connection.is_some())
    }

    /// Takes an offer out of those that are outstanding, if this framework holds it.
    pub(super) fn take_offer(&mut self, framework_id: &str, offer_id: &str) -> Option<Offer> {
        let held = self.frameworks.offers.get(offer_id)?.framework_id == framework_id;
        if held { self.frameworks.offers.remove(offer_id) } else { None }
    }

    pub(crate) fn decline(&mut self, master: &Master, framework_id: &str, decline: &Decline) {
        for id in &decline.offer_ids {
            let Some(offer) = self.take_offer(framework_id, &id.value) else {
                log::warning(
                    "master.cpp:5460",
                    &format!("Ignoring decline of offer {} since it is no longer valid", id.value),
                );
                continue;
            };
            if let Some(framework) = self.framework(framework_id) {
                framework.counts.offers_declined += 1;
                let Offer { agent_id, role, resources, .. } = offer;
                framework.refuse(master, &agent_id, &role, resources, decline.filters);
            }
        }
    }

    pub(crate) fn revive(&mut self, master: &Master, framework_id: &str, revive: &Roles) {
        if let Some(framework) = self.framework(framework_id) {
            let named = named(framework, revive);
            framework.suppressed.retain(|role| !named.contains(role));
            framework.filters.retain(|filter| !named.contains(&filter.role));
        }
        self.allocate(master);
    }

    pub(crate) fn suppress(&mut self, framework_id: &str, suppress: &Roles) {
        if let Some(framework) = self.framework(framework_id) {
            let named = named(framework, suppress);
            framework.suppressed.extend(named);
        }
    }

    pub(crate) fn kill(&mut self, framework_id: &str, kill: &Kill) {
        let task_id = &kill.task_id.value;
        let Some(framework) = self.framework(framework_id) else { return };
        let Some(task) = framework.tasks.get(task_id) else {
            log::warning(
                "master.cpp:6090",
                &format!(
                    "Cannot kill task {task_id} of framework {framework_id} because it is unknown; performing reconciliation"
                ),
            );
            let agent_id = kill.agent_id.as_ref().map(|id| id.value.clone());
            return self.reconcile_one(framework_id, task_id, agent_id.as_deref());
        };
        let agent_id = task.agent_id().to_owned();
        if let Some(named) = kill.agent_id.as_ref().filter(|named| named.value != agent_id) {
            return log::warning(
                "master.cpp:6120",
                &format!(
                    "Cannot kill task {task_id} of agent {} because it belongs to different agent {agent_id}",
                    named.value
                ),
            );
        }
        if !self.is_connected(&agent_id) {
            return log::warning(
                "master.cpp:6140",
                &format!("Cannot kill task {task_id} because the agent {agent_id} is disconnected"),
            );
        }
        log::info("master.cpp:6130", &format!("Telling agent {agent_id} to kill task {task_id}"));
        let order = Order::Kill {
            framework_id: framework_id.to_owned(),
            task_id: task_id.clone(),
            grace: kill.kill_policy.and_then(|policy| policy.grace_period),
        };
        self.order(&agent_id, order);
    }

    pub(crate) fn acknowledge(&mut self, framework_id: &str, acknowledge: Acknowledge) {
        let (task_id, agent_id) = (acknowledge.task_id.value, acknowledge.agent_id.value);
        let Some(framework) = self.framework(framework_id) else { return };
        if let Some(task) = framework.tasks.get_mut(&task_id)
            && let Some(sent) = &task.unacknowledged
            && sent.uuid.as_ref() == Some(&acknowledge.uuid)
        {
            let ended = sent.state().is_terminal();
            task.unacknowledged = None;
            if ended {
                framework.complete(&task_id);
            }
        }
        if !self.is_connected(&agent_id) {
            return log::warning(
                "master.cpp:6330",
                &format!(
                    "Cannot send status update acknowledgement for task {task_id} of framework {framework_id} to agent {agent_id} because agent is not connected"
                ),
            );
        }
        let (framework_id, uuid) = (framework_id.to_owned(), acknowledge.uuid);
        self.order(&agent_id, Order::Acknowledge { framework_id, task_id, uuid });
    }

    pub(crate) fn reconcile(&mut self, framework_id: &str, reconcile: &Reconcile) {
        if reconcile.tasks.is_empty() {
            let Some(framework) = self.framework(framework_id) else { return };
            let tasks = framework.tasks.values().map(super::Task::latest);
            for status in tasks.collect::<Vec<_>>() {
                framework.send_update(status);
            }
            return;
        }
        for task in &reconcile.tasks {
            let agent_id = task.agent_id.as_ref().map(|id| id.value.as_str());
            self.reconcile_one(framework_id, &task.task_id.value, agent_id);
        }
    }

    fn reconcile_one(&mut self, framework_id: &str, task_id: &str, agent_id: Option<&str>) {
        let registered = agent_id.is_some_and(|id| self.agents.contains_key(id));
        let unreachable = agent_id.is_some_and(|id| self.registry.unreachable.contains_key(id));
        let gone = agent_id.is_some_and(|id| self.registry.gone.contains(id));
        let returning =
            |id: &str| self.registry.agents.contains_key(id) && !self.agents.contains_key(id);
        let in_transition = match agent_id {
            Some(id) => returning(id),
            None => self.registry.agents.keys().any(|id| returning(id)),
        };
        let Some(framework) = self.framework(framework_id) else { return };
        let answer = |state: TaskState, message: &str| {
            by_master(task_id, agent_id, state, Reason::Reconciliation, message)
        };
        let status = if let Some(task) = framework.tasks.get(task_id) {
            task.latest()
        } else if framework.unreachable.contains_key(task_id) || unreachable {
            let state = framework.lost(TaskState::Unreachable);
            answer(state, "Reconciliation: Task is unreachable")
        } else if registered {
            let state = framework.lost(TaskState::Gone);
            answer(state, "Reconciliation: Task is unknown to the agent")
        } else if in_transition {
            // It may still come back with its agent: nothing is known yet.
            return;
        } else if gone {
            let state = framework.lost(TaskState::GoneByOperator);
            answer(state, "Reconciliation: Task is gone")
        } else {
            let state = framework.lost(TaskState::Unknown);
            answer(state, "Reconciliation: Task is unknown")
        };
        framework.send_update(status);
    }
}

/// The roles that a call is about.
fn named(framework: &Framework, roles: &Roles) -> Vec<String> {
    if roles.roles.is_empty() { framework.roles() } else { roles.roles.clone() }
}
