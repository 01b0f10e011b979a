//! A task as the master knows it.

use mesos_messages::{AgentId, CapabilityType, Reason, Source, TaskInfo, TaskState, TaskStatus};

use super::Framework;
use crate::values::Resource;
use crate::{clock, log, resources};

/// A task.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// As it was launched.
    pub(crate) info: TaskInfo,
    /// The role that its resources count for.
    pub(crate) role: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) state: TaskState,
    /// The latest of each state, in the order in which the states came.
    pub(crate) statuses: Vec<TaskStatus>,
    /// The update that was sent to the framework and waits for its word.
    pub(super) unacknowledged: Option<TaskStatus>,
}

impl Task {
    pub(super) fn new(info: TaskInfo, role: &str) -> Task {
        let mut sum = Vec::new();
        for resource in info.resources.iter().filter_map(resources::of_message) {
            resources::add(&mut sum, &[resource]);
        }
        Task {
            info,
            role: role.to_owned(),
            resources: sum,
            state: TaskState::Staging,
            statuses: Vec::new(),
            unacknowledged: None,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.info.task_id.value
    }

    pub(crate) fn agent_id(&self) -> &str {
        &self.info.agent_id.value
    }

    /// Takes an update in. What has ended does not change any more.
    pub(super) fn take(&mut self, status: &TaskStatus) {
        if self.state.is_terminal() {
            return;
        }
        self.state = status.state();
        if self.statuses.last().is_some_and(|last| last.state == status.state) {
            self.statuses.pop();
        }
        self.statuses.push(TaskStatus { data: None, ..status.clone() });
    }

    /// What is told without any news from the agent.
    pub(super) fn latest(&self) -> TaskStatus {
        let last = self.statuses.last();
        TaskStatus {
            healthy: last.and_then(|status| status.healthy),
            container_status: last.and_then(|status| status.container_status.clone()),
            ..by_master(
                self.id(),
                Some(self.agent_id()),
                self.state,
                Reason::Reconciliation,
                "Reconciliation: Latest task state",
            )
        }
    }
}

/// A status that the master gives itself; it needs no acknowledgement.
pub(super) fn by_master(
    task_id: &str,
    agent_id: Option<&str>,
    state: TaskState,
    reason: Reason,
    message: &str,
) -> TaskStatus {
    TaskStatus {
        task_id: task_id.into(),
        state: state as i32,
        message: Some(message.to_owned()),
        agent_id: agent_id.map(AgentId::from),
        timestamp: Some(clock::seconds()),
        source: Some(Source::Master as i32),
        reason: Some(reason as i32),
        ..TaskStatus::default()
    }
}

/// How many ended tasks of a framework are kept.
/// Source: src/master/constants.hpp at 1.11.0, DEFAULT_MAX_COMPLETED_TASKS_PER_FRAMEWORK.
const MAX_COMPLETED: usize = 1000;

impl Framework {
    /// Puts a task among the completed ones.
    pub(super) fn complete(&mut self, task_id: &str) {
        let Some(task) = self.tasks.remove(task_id) else { return };
        log::info(
            "master.cpp:11730",
            &format!(
                "Removing task {task_id} with resources {} of framework {} on agent {}",
                resources::print(&task.resources, &task.role),
                self.id(),
                task.agent_id()
            ),
        );
        self.completed.push_back(task);
        if self.completed.len() > MAX_COMPLETED {
            self.completed.pop_front();
        }
    }

    /// Ends a task by the master's word.
    pub(super) fn end(&mut self, task_id: &str, state: TaskState, reason: Reason, message: &str) {
        let Some(task) = self.tasks.get_mut(task_id) else { return };
        let agent_id = task.agent_id().to_owned();
        let status = by_master(task_id, Some(&agent_id), state, reason, message);
        task.take(&status);
        self.send_update(status);
        self.complete(task_id);
    }

    /// TASK_LOST, or what it became for frameworks that know of partitions.
    pub(super) fn lost(&self, partition_aware: TaskState) -> TaskState {
        match self.can(CapabilityType::PartitionAware) {
            true => partition_aware,
            false => TaskState::Lost,
        }
    }
}
