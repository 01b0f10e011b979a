//! What an agent finds of the agent before it: tasks that live on are its own again, the rest is
//! cleared away.
//! Source: src/slave/slave.cpp and containerizer/docker.cpp at 1.11.0, recovery.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mesos_messages::{FrameworkInfo, TaskInfo};

use super::Agent;
use super::tasks::{Executor, is_checkpointed};
use crate::orders::unpack;
use crate::run::{self, Run};
use crate::{docker, log};

impl Agent {
    /// Takes in the runs of this agent's identity. Frameworks without a checkpoint have none: their
    /// executors ended themselves when the agent left.
    pub(super) fn revive(&self, id: &str) {
        let frameworks = self.work_dir().join("meta/slaves").join(id).join("frameworks");
        let mut state = self.state();
        for framework in entries(&frameworks) {
            log::info("slave.cpp:8485", &format!("Recovering framework {}", name(&framework)));
            for executor in entries(&framework.join("executors")) {
                for meta in entries(&executor.join("runs")) {
                    if !is_checkpointed(&meta) || !self.take_in(&mut state.tasks, &meta) {
                        // A run that is no more has nothing to tell.
                        let _ = std::fs::remove_dir_all(&meta);
                    }
                }
            }
        }
    }

    fn take_in(&self, tasks: &mut super::tasks::Tasks, meta: &Path) -> bool {
        let Some(run) = Run::read(meta) else { return false };
        let (Some(framework), Some(task)) =
            (unpack::<FrameworkInfo>(&run.framework), unpack::<TaskInfo>(&run.task))
        else {
            return false;
        };
        log::info("slave.cpp:10509", &format!("Recovering executor '{}'", run.task_id));
        let executor = Executor::new(task, run.container, run.sandbox, meta.to_owned());
        tasks.adopt(framework, executor);
        true
    }

    /// Removes the containers of Mesos that are nobody's: with `docker_kill_orphans` those of every
    /// agent that shares the engine, as the real one does.
    pub(super) fn remove_orphans(&self, containers: &[String]) {
        if !self.flags.is_set("docker_kill_orphans") {
            return;
        }
        let known: BTreeSet<String> = {
            let state = self.state();
            let all = state.tasks.all();
            all.map(|(_, _, executor)| run::container_name(&executor.container)).collect()
        };
        let seconds = self.flags.duration("docker_stop_timeout").as_secs().to_string();
        for name in containers {
            if name.starts_with("mesos-") && !known.contains(name) {
                log::info("docker.cpp:1063", &format!("Stopping orphaned container '{name}'"));
                docker::remove(&self.flags, name, &seconds);
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory);
    let listed = listed.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    listed.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
