//! How tasks come to their end: by order, with their framework, or because the agent is drained.

use std::time::Duration;

use mesos_messages::{DurationInfo, Reason, TaskState};

use super::Agent;
use super::tasks::{Drain, Executor, Phase};
use crate::orders::Order;
use crate::{log, run};

impl Agent {
    pub(super) fn carry_out_order(self: &std::sync::Arc<Agent>, order: Order) {
        match order {
            Order::Launch { framework, task } => self.launch(*framework, *task),
            Order::Kill { framework_id, task_id, grace } => {
                self.kill(&framework_id, &task_id, grace);
            }
            Order::ShutdownFramework { framework_id } => self.shut_down_framework(&framework_id),
            Order::Acknowledge { framework_id, task_id, uuid } => {
                self.state().tasks.acknowledge(&framework_id, &task_id, &uuid);
            }
            Order::Drain { grace, mark_gone } => self.drain(Drain { grace, mark_gone }),
            Order::EndDrain => self.state().tasks.drain = None,
        }
    }

    fn kill(&self, framework: &str, task: &str, grace: Option<DurationInfo>) {
        log::info(
            "slave.cpp:3990",
            &format!("Asked to kill task '{task}' of framework {framework}"),
        );
        let default = self.flags.duration("executor_shutdown_grace_period");
        match self.state().tasks.executor(framework, task) {
            Some(executor) => end(executor, grace, default),
            None => log::warning(
                "slave.cpp:4010",
                &format!(
                    "Cannot kill task {task} of framework {framework} because no such task is running"
                ),
            ),
        }
    }

    /// Ends all tasks of a framework, of which nobody wants to hear any more.
    pub(super) fn shut_down_framework(&self, id: &str) {
        log::info("slave.cpp:4300", &format!("Asked to shut down framework {id}"));
        let default = self.flags.duration("executor_shutdown_grace_period");
        if let Some(framework) = self.state().tasks.frameworks.get_mut(id) {
            framework.terminating = true;
            for executor in framework.executors.values_mut() {
                end(executor, None, default);
            }
        }
    }

    fn drain(&self, drain: Drain) {
        let default = self.flags.duration("executor_shutdown_grace_period");
        let mut state = self.state();
        if state.tasks.drain.replace(drain).is_some() {
            return;
        }
        log::info("slave.cpp:1080", "Initiating drain of all tasks");
        for framework in state.tasks.frameworks.values_mut() {
            for executor in framework.executors.values_mut() {
                end(executor, drain.grace, default);
            }
        }
    }
}

/// Ends one task. One that is not started yet never will be.
fn end(executor: &mut Executor, grace: Option<DurationInfo>, default: Duration) {
    if executor.is_terminal() {
        return;
    }
    if matches!(executor.phase, Phase::Launching) {
        executor.phase = Phase::Ended;
        executor.tell(
            TaskState::Killed,
            Reason::TaskKilledDuringLaunch,
            "Killed before delivery to the executor",
        );
        return;
    }
    let own = executor.task.kill_policy.and_then(|policy| policy.grace_period);
    let grace = grace.or(own);
    let grace = grace.map_or(default, |it| Duration::from_nanos(it.nanoseconds.unsigned_abs()));
    if let Err(error) = run::ask_to_kill(&executor.meta, grace) {
        let task = &executor.task.task_id.value;
        log::warning("slave.cpp:4050", &format!("Failed to kill task '{task}': {error}"));
    }
}
