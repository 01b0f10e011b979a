//! ACCEPT: tasks are launched in offers, or refused as the real master refuses them.
//! Source: src/master/master.cpp and validation.cpp at 1.11.0; texts as there.

use mesos_messages::scheduler::Accept;
use mesos_messages::{AllocationInfo, Operation, OperationType, Reason, TaskInfo, TaskState};

use super::task::by_master;
use super::{Offer, Task};
use crate::master::{Master, State};
use crate::orders::Order;
use crate::values::Resource;
use crate::{log, resources};

impl State {
    pub(crate) fn accept(&mut self, master: &Master, framework_id: &str, accept: Accept) {
        let checked = self.check_offers(framework_id, &accept);
        let offers: Vec<Offer> = accept
            .offer_ids
            .iter()
            .filter_map(|id| self.take_offer(framework_id, &id.value))
            .collect();
        let launches = accept.operations.into_iter().filter_map(launch).flatten();
        let agent_id = match checked {
            Ok(agent_id) => agent_id,
            Err(error) => {
                log::warning(
                    "master.cpp:4480",
                    &format!("ACCEPT call used invalid offers: {error}"),
                );
                let text = format!("Task launched with invalid offers: {error}");
                for task in launches {
                    self.refuse_task(
                        framework_id,
                        &task,
                        TaskState::Dropped,
                        Reason::InvalidOffers,
                        &text,
                    );
                }
                return;
            }
        };
        let Some(framework) = self.framework(framework_id) else { return };
        framework.counts.offers_accepted += offers.len() as u64;
        let role = offers.first().map_or("*", |offer| offer.role.as_str()).to_owned();
        let mut available = Vec::new();
        for offer in &offers {
            resources::add(&mut available, &offer.resources);
        }
        for task in launches {
            self.launch(framework_id, &agent_id, &role, &mut available, task);
        }
        if let Some(framework) = self.framework(framework_id) {
            framework.refuse(master, &agent_id, &role, available, accept.filters);
        }
    }

    /// The agent that all offers are of.
    fn check_offers(&self, framework_id: &str, accept: &Accept) -> Result<String, String> {
        let mut agent_id: Option<&str> = None;
        let ids: Vec<&str> = accept.offer_ids.iter().map(|id| id.value.as_str()).collect();
        for (place, id) in ids.iter().enumerate() {
            if ids[..place].contains(id) {
                return Err(format!("Duplicate offer {id} in offer list"));
            }
            let Some(offer) = self.frameworks.offers.get(*id) else {
                return Err(format!("Offer {id} is no longer valid"));
            };
            if offer.framework_id != framework_id {
                return Err(format!(
                    "Offer {id} has invalid framework {} while framework {framework_id} is expected",
                    offer.framework_id
                ));
            }
            let first = *agent_id.get_or_insert(&offer.agent_id);
            if first != offer.agent_id {
                return Err(format!(
                    "Aggregated offers must belong to one single agent. Offer {id} uses agent {} and agent {first}",
                    offer.agent_id
                ));
            }
        }
        agent_id.map(str::to_owned).ok_or_else(|| "No offers specified".to_owned())
    }

    fn launch(
        &mut self,
        framework_id: &str,
        agent_id: &str,
        role: &str,
        available: &mut Vec<Resource>,
        mut info: TaskInfo,
    ) {
        if !self.is_connected(agent_id) {
            return self.refuse_task(
                framework_id,
                &info,
                TaskState::Dropped,
                Reason::AgentDisconnected,
                "Agent disconnected",
            );
        }
        let Some(framework) = self.framework(framework_id) else { return };
        let known = framework.tasks.contains_key(&info.task_id.value);
        if let Err(error) = check_task(&info, known, agent_id, role, available) {
            return self.refuse_task(
                framework_id,
                &info,
                TaskState::Error,
                Reason::TaskInvalid,
                &error,
            );
        }
        // Frameworks that have one role do not name it.
        for resource in &mut info.resources {
            resource.allocation_info = Some(AllocationInfo { role: Some(role.to_owned()) });
        }
        let task = Task::new(info.clone(), role);
        if !resources::subtract(available, &task.resources) {
            return;
        }
        log::info(
            "master.cpp:5330",
            &format!(
                "Launching task {} of framework {framework_id} with resources {} on agent {agent_id}",
                task.id(),
                resources::print(&task.resources, role)
            ),
        );
        framework.tasks.insert(task.id().to_owned(), task);
        let order =
            Order::Launch { framework: Box::new(framework.info.clone()), task: Box::new(info) };
        self.order(agent_id, order);
    }

    /// Tells that a task was not launched; `state` is TASK_LOST for frameworks that do not know of
    /// partitions, but for TASK_ERROR.
    fn refuse_task(
        &mut self,
        framework_id: &str,
        task: &TaskInfo,
        state: TaskState,
        reason: Reason,
        text: &str,
    ) {
        let Some(framework) = self.framework(framework_id) else { return };
        let state = if state == TaskState::Error { state } else { framework.lost(state) };
        let task_id = &task.task_id.value;
        log::warning(
            "master.cpp:5210",
            &format!("{} for task {task_id} of framework {framework_id}: {text}", state.name()),
        );
        let status = by_master(task_id, Some(&task.agent_id.value), state, reason, text);
        framework.send_update(status);
    }
}

/// The tasks of a LAUNCH. What else there is changes reservations and volumes, which nobody here
/// needs; a group of tasks needs an executor that this stand-in has not.
fn launch(operation: Operation) -> Option<Vec<TaskInfo>> {
    if operation.r#type() == OperationType::Launch {
        return operation.launch.map(|launch| launch.task_infos);
    }
    log::warning(
        "master.cpp:5700",
        &format!("Dropping operation {}: not played by this stand-in", operation.r#type().name()),
    );
    None
}

fn check_task(
    task: &TaskInfo,
    known: bool,
    agent_id: &str,
    role: &str,
    available: &[Resource],
) -> Result<(), String> {
    let id = &task.task_id.value;
    if id.is_empty() {
        return Err("TaskID must not be empty".to_owned());
    }
    if id.contains('/') || id == "." || id == ".." {
        return Err(format!("TaskID '{id}' contains invalid characters"));
    }
    if known {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    if task.agent_id.value != agent_id {
        return Err(format!(
            "Task uses invalid agent {} while agent {agent_id} is expected",
            task.agent_id.value
        ));
    }
    if task.executor.is_some() == task.command.is_some() {
        let text =
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present";
        return Err(text.to_owned());
    }
    if task.executor.is_some() {
        return Err("Custom executors are not played by this stand-in".to_owned());
    }
    let mut wanted = Vec::new();
    for message in &task.resources {
        let Some(resource) = resources::of_message(message) else {
            return Err(format!("Task uses invalid resources: {}", message.name));
        };
        resources::add(&mut wanted, &[resource]);
    }
    if wanted.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    if !resources::contains(available, &wanted) {
        return Err(format!(
            "Total resources {} required by task and its executor is more than available {}",
            resources::print(&wanted, role),
            resources::print(available, role)
        ));
    }
    Ok(())
}
