//! What agents tell about tasks, and what becomes of tasks when their agent goes or comes back.
//! Source: src/master/master.cpp at 1.11.0; texts as there.

use mesos_messages::scheduler::{Event, EventType, Failure};
use mesos_messages::{CapabilityType, Reason, TaskInfo, TaskState, TaskStatus, TimeInfo};

use super::{Framework, Task};
use crate::channel::Running;
use crate::master::{Master, State};
use crate::orders::Order;
use crate::{clock, log};

/// Why an agent is no longer among the registered ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal<'a> {
    /// It was silent for too long and may come back.
    Unreachable(&'a str),
    /// It will not come back with this id.
    Removed(&'a str),
    /// The operator says that it is gone.
    Gone,
}

impl State {
    /// An update from an agent, which sends it again until the framework has acknowledged it.
    pub(crate) fn status_update(&mut self, agent_id: &str, framework_id: &str, status: TaskStatus) {
        let (task_id, state) = (status.task_id.value.clone(), status.state().name());
        let Some(framework) = self.frameworks.registered.get_mut(framework_id) else {
            return log::warning(
                "master.cpp:8730",
                &format!(
                    "Ignoring status update {state} for task {task_id} of framework {framework_id} because the framework is unknown"
                ),
            );
        };
        log::info(
            "master.cpp:8750",
            &format!(
                "Status update {state} for task {task_id} of framework {framework_id} from agent {agent_id}"
            ),
        );
        match framework.tasks.get_mut(&task_id) {
            Some(task) => {
                task.take(&status);
                task.unacknowledged = status.uuid.is_some().then(|| status.clone());
            }
            None => log::warning(
                "master.cpp:8790",
                &format!("Could not lookup task for status update {state} of {task_id}"),
            ),
        }
        framework.send_update(status);
    }

    /// An agent came, or came back, with these frameworks. Those that nobody knows any more live on
    /// as recovered ones; tasks that it does not know any more are lost.
    pub(crate) fn agent_registered(
        &mut self,
        master: &Master,
        agent_id: &str,
        running: Vec<Running>,
    ) {
        let mut unwanted = Vec::new();
        let mut there = Vec::new();
        for Running { framework: info, tasks } in running {
            let id = info.id.clone().unwrap_or_default().value;
            there.extend(tasks.iter().map(|(task, _)| (id.clone(), task.task_id.value.clone())));
            if self.frameworks.completed.iter().any(|gone| gone.id() == id) {
                unwanted.push(id);
                continue;
            }
            let framework = self.frameworks.registered.entry(id.clone()).or_insert_with(|| {
                log::info("master.cpp:7890", &format!("Recovering framework {id}"));
                Framework { recovered: true, ..Framework::new(info) }
            });
            for (task, statuses) in tasks {
                if !framework.bring_back(task, &statuses) && !unwanted.contains(&id) {
                    unwanted.push(id.clone());
                }
            }
        }
        for framework in self.frameworks.registered.values_mut() {
            let id = framework.id().to_owned();
            let missing = framework.tasks.values().filter(|task| {
                let known = there.iter().any(|(of, task_id)| *of == id && task_id == task.id());
                task.agent_id() == agent_id && !task.state.is_terminal() && !known
            });
            let missing: Vec<String> = missing.map(|task| task.id().to_owned()).collect();
            for task in missing {
                let state = framework.lost(TaskState::Dropped);
                let text = "Task is unknown to the agent";
                framework.end(&task, state, Reason::Reconciliation, text);
            }
        }
        for framework_id in unwanted {
            self.order(agent_id, Order::ShutdownFramework { framework_id });
        }
        self.allocate(master);
    }

    /// The connection of an agent is gone: what cannot outlive it is lost at once.
    pub(crate) fn agent_disconnected(&mut self, agent_id: &str) {
        self.rescind_offers(|offer| offer.agent_id == agent_id);
        let hostname = self.agents.get(agent_id).map(|agent| agent.info.hostname.clone());
        let text = format!("Agent {} disconnected", hostname.unwrap_or_default());
        for framework in self.frameworks.registered.values_mut() {
            if !framework.info.checkpoint() {
                for task in framework.tasks_on(agent_id) {
                    framework.end(&task, TaskState::Lost, Reason::AgentDisconnected, &text);
                }
            }
        }
    }

    /// Takes an agent out of the registered ones, with all that it ran.
    ///
    /// Source of states, reasons and words: src/master/master.cpp, `removeFramework(Slave*, Framework*)`,
    /// `_removeSlave`, `__removeSlave`, `_markUnreachable` and `markGone`, at the head after 1.11.0.
    pub(crate) fn remove_agent(&mut self, agent_id: &str, removal: Removal<'_>) {
        self.rescind_offers(|offer| offer.agent_id == agent_id);
        self.counts.removals += 1;
        let Some(agent) = self.agents.remove(agent_id) else { return };
        let text = match removal {
            Removal::Unreachable(cause) => cause.to_owned(),
            Removal::Removed(cause) => format!("Agent {} removed: {cause}", agent.info.hostname),
            Removal::Gone => "Agent has been marked gone".to_owned(),
        };
        for framework in self.frameworks.registered.values_mut() {
            let told = match removal {
                Removal::Unreachable(_) => framework.lost(TaskState::Unreachable),
                Removal::Removed(_) => TaskState::Lost,
                Removal::Gone => framework.lost(TaskState::GoneByOperator),
            };
            let reason = match told {
                TaskState::GoneByOperator => Reason::AgentRemovedByOperator,
                _ => Reason::AgentRemoved,
            };
            for id in framework.tasks_on(agent_id) {
                match removal {
                    Removal::Unreachable(_) => framework.cannot_reach(&id, told, &text),
                    Removal::Removed(_) | Removal::Gone => framework.end(&id, told, reason, &text),
                }
            }
            let failure = Failure { agent_id: Some(agent_id.into()), ..Failure::default() };
            let event = Event { failure: Some(failure), ..Event::default() };
            framework.send(EventType::Failure, event);
        }
    }
}

impl Framework {
    /// The tasks on an agent that have not ended.
    fn tasks_on(&self, agent_id: &str) -> Vec<String> {
        let on = self
            .tasks
            .values()
            .filter(|task| task.agent_id() == agent_id && !task.state.is_terminal());
        on.map(|task| task.id().to_owned()).collect()
    }

    /// The agent of a task is silent.
    fn cannot_reach(&mut self, task_id: &str, told: TaskState, text: &str) {
        let Some(mut task) = self.tasks.remove(task_id) else { return };
        let reason = Reason::AgentRemoved;
        let mut status = super::task::by_master(task_id, Some(task.agent_id()), told, reason, text);
        status.unreachable_time = Some(TimeInfo { nanoseconds: clock::nanoseconds() });
        task.take(&status);
        task.unacknowledged = None;
        self.send_update(status);
        self.unreachable.insert(task_id.to_owned(), task);
    }

    /// Takes in a task that its agent reports; whether it may go on there. A framework that does not
    /// know of partitions was told that the task is lost, so it must not.
    fn bring_back(&mut self, info: TaskInfo, statuses: &[TaskStatus]) -> bool {
        let id = info.task_id.value.clone();
        let was_unreachable = self.unreachable.contains_key(&id);
        if was_unreachable && !self.can(CapabilityType::PartitionAware) {
            return false;
        }
        self.unreachable.remove(&id);
        let ended = statuses.last().is_some_and(|status| status.state().is_terminal());
        if let Some(place) = self.completed.iter().position(|task| task.id() == id) {
            // Its end was acknowledged, only the agent has not heard that yet.
            if ended {
                return true;
            }
            // It was given up too early.
            self.completed.remove(place);
        }
        let role = match info.resources.iter().find_map(|it| it.allocation_info.as_ref()) {
            Some(allocation) => allocation.role.clone().unwrap_or_else(|| "*".to_owned()),
            None => self.roles().into_iter().next().unwrap_or_else(|| "*".to_owned()),
        };
        let task = self.tasks.entry(id).or_insert_with(|| Task::new(info, &role));
        for status in statuses {
            task.take(status);
        }
        true
    }
}
