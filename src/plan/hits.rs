//! Whom a plan hits: which running work ends when an agent, or the engine under it, is restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use super::Plan;
use crate::health::Listed;
use crate::inventory::HostName;
use crate::mesos::change::Change;
use crate::resource::drain::GRACE_SECS;
use crate::tasks::{Desired, Task, World, agents};

/// What happens to an agent that serves now, and to what runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// What happens.
    pub way: Way,
    /// Whether it can be emptied before.
    pub first: First,
    /// What runs there now and will end; `None` when the leading master did not say.
    pub ends: Option<Vec<Job>>,
}

/// What happens to an agent that serves now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It must come back under a new id, for Mesos recovers no agent that announces other things.
    NewId {
        /// What changes.
        reason: String,
    },
    /// It restarts and recovers; only frameworks that checkpoint keep their tasks.
    InPlace,
    /// Its Docker engine restarts, whatever else does.
    Engine,
}

/// What can come before an agent loses its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// The master drains it.
    Drained,
    /// Nothing: this Mesos cannot drain.
    Nothing,
}

/// Work that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The framework's name.
    pub framework: String,
    /// Its id.
    pub id: String,
    /// How many of its tasks run on the agent.
    pub tasks: usize,
}

/// Hosts on which a plan restarts an agent, or the engine that its tasks run in.
pub fn restarts(plan: &Plan, desired: &Desired) -> BTreeMap<HostName, BTreeSet<Task>> {
    let mut restarts: BTreeMap<HostName, BTreeSet<Task>> = BTreeMap::new();
    for (host, action) in plan.actions() {
        if !matches!(action.task, Task::Agents | Task::Docker) {
            continue;
        }
        let service = desired
            .find(host, action.task, &action.resource)
            .and_then(|wish| wish.resource.as_service())
            .filter(|service| service.disturbs(&action.gaps));
        if service.is_some() {
            restarts.entry(host.clone()).or_default().insert(action.task);
        }
    }
    restarts
}

/// Whom the plan hits. `listed` are the leading master's agents by address, `frameworks` its answer to
/// `/frameworks`.
pub fn hits(
    world: &World<'_>,
    restarts: &BTreeMap<HostName, BTreeSet<Task>>,
    listed: &BTreeMap<String, Listed>,
    frameworks: Option<&Json>,
) -> BTreeMap<HostName, Hit> {
    let first = if world.inventory.mesos.version.at_least(&agents::DRAINS_SINCE) {
        First::Drained
    } else {
        First::Nothing
    };
    restarts
        .iter()
        .filter_map(|(host, tasks)| {
            let machine = world.inventory.hosts.get(host)?;
            // An agent that is not registered runs nothing that anybody waits for. One that is being
            // drained is listed as not active, and may still run what it ran.
            let now = listed
                .get(&machine.address.to_string())
                .filter(|agent| agent.active || agent.deactivated)?;
            let agent = world.inventory.agent(host).filter(|_| tasks.contains(&Task::Agents));
            let way = match agent.and_then(|agent| agents::change(world, machine, agent)) {
                Some(Change::NewAgentId { reason }) => Way::NewId { reason },
                Some(Change::Additive) => Way::NewId {
                    reason: "what it offers grows, and its flag reconfiguration_policy is not `additive`".to_owned(),
                },
                _ if tasks.contains(&Task::Docker) => Way::Engine,
                _ => Way::InPlace,
            };
            let ends = frameworks.map(|all| ends(all, &now.info.id, &way));
            Some((host.clone(), Hit { way, first, ends }))
        })
        .collect()
}

fn ends(frameworks: &Json, agent: &str, way: &Way) -> Vec<Job> {
    let list = frameworks.get("frameworks").and_then(Json::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|framework| {
            let text = |key: &str| framework.get(key).and_then(Json::as_str).unwrap_or("?");
            let checkpoints = framework.get("checkpoint").and_then(Json::as_bool) == Some(true);
            let tasks = framework.get("tasks").and_then(Json::as_array).into_iter().flatten();
            let tasks = tasks
                .filter(|task| task.get("slave_id").and_then(Json::as_str) == Some(agent))
                .count();
            let survives = *way == Way::InPlace && checkpoints;
            (tasks > 0 && !survives).then(|| Job {
                framework: text("name").to_owned(),
                id: text("id").to_owned(),
                tasks,
            })
        })
        .collect()
}

impl Hit {
    /// Whether the agent is drained before a task restarts its part: where what runs there would not
    /// survive that, or where nobody could say.
    pub fn drains(&self, task: Task) -> bool {
        let ends = self.ends.as_ref().is_none_or(|jobs| !jobs.is_empty());
        let anew = matches!(self.way, Way::NewId { .. }) && task == Task::Agents;
        self.first == First::Drained && (ends || anew)
    }
}

/// All framework names of some hits, for one line.
pub fn frameworks(hits: &BTreeMap<HostName, Hit>) -> BTreeSet<&str> {
    let jobs = hits.values().filter_map(|hit| hit.ends.as_ref()).flatten();
    jobs.map(|job| job.framework.as_str()).collect()
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::NewId { reason } => write!(f, "the agent gets a new id ({reason})")?,
            Way::InPlace => f.write_str("the agent restarts in place")?,
            Way::Engine => f.write_str("the Docker engine under the agent restarts")?,
        }
        let anew = matches!(self.way, Way::NewId { .. });
        let ends = self.ends.as_ref().is_none_or(|jobs| !jobs.is_empty());
        match self.first {
            First::Drained if anew => {
                write!(f, "; it is drained first, for at most {GRACE_SECS} s")?;
            }
            First::Drained if ends => {
                write!(
                    f,
                    "; it is drained first, for at most {GRACE_SECS} s, and given back after"
                )?;
            }
            First::Nothing if anew || ends => {
                f.write_str("; this Mesos cannot drain it first (1.9 can)")?;
            }
            _ => {}
        }
        match &self.ends {
            None => f.write_str("; what runs there could not be asked"),
            Some(jobs) if jobs.is_empty() => f.write_str("; nothing that runs there ends"),
            Some(jobs) => {
                let jobs: Vec<String> = jobs
                    .iter()
                    .map(|job| {
                        let s = if job.tasks == 1 { "" } else { "s" };
                        format!("{} task{s} of {} ({})", job.tasks, job.framework, job.id)
                    })
                    .collect();
                write!(f, "; ends {}", jobs.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMEWORKS: &str =
        include_str!("../../tests/fixtures/real/masters/07-sparkpi-running/m1-frameworks.http");

    fn recorded() -> Json {
        let body = FRAMEWORKS.find('{').map(|at| &FRAMEWORKS[at..]).unwrap();
        serde_json::from_str(body).unwrap()
    }

    const AGENT: &str = "7c842204-3f73-4d59-a32a-eb195f81aaed-S1";

    #[test]
    fn a_job_that_does_not_checkpoint_ends_whatever_the_way() {
        for way in [Way::InPlace, Way::Engine] {
            let ends = ends(&recorded(), AGENT, &way);
            assert_eq!((ends.len(), ends[0].framework.as_str(), ends[0].tasks), (1, "PythonPi", 1));
        }
        assert_eq!(ends(&recorded(), "another", &Way::Engine), []);
    }

    #[test]
    fn a_job_that_checkpoints_survives_a_restart_in_place_only() {
        let mut all = recorded();
        all["frameworks"][0]["checkpoint"] = true.into();
        assert_eq!(ends(&all, AGENT, &Way::InPlace), []);
        assert_eq!(ends(&all, AGENT, &Way::Engine).len(), 1);
    }

    #[test]
    fn a_hit_says_what_ends() {
        let way = Way::NewId { reason: "rack changes".to_owned() };
        let first = First::Drained;
        let hit = Hit { ends: Some(ends(&recorded(), AGENT, &way)), way, first };
        assert_eq!(
            hit.to_string(),
            "the agent gets a new id (rack changes); it is drained first, for at most 60 s; \
             ends 1 task of PythonPi (7c842204-3f73-4d59-a32a-eb195f81aaed-0000)"
        );
        let unknown = Hit { way: Way::InPlace, first, ends: None };
        assert!(unknown.to_string().ends_with("could not be asked"));
    }

    #[test]
    fn an_agent_is_drained_where_its_tasks_would_not_survive() {
        let hit = |way, ends| Hit { way, first: First::Drained, ends };
        let job = || Job { framework: "f".to_owned(), id: "i".to_owned(), tasks: 1 };
        let anew = || Way::NewId { reason: "rack changes".to_owned() };
        let (agents, docker) = (Task::Agents, Task::Docker);
        assert!(!hit(Way::InPlace, Some(vec![])).drains(agents));
        assert!(hit(Way::InPlace, Some(vec![job()])).drains(agents));
        assert!(hit(Way::InPlace, None).drains(agents));
        assert!(!hit(Way::Engine, Some(vec![])).drains(docker));
        assert!(hit(Way::Engine, Some(vec![job()])).drains(docker));
        assert!(hit(anew(), Some(vec![])).drains(agents));
        assert!(!hit(anew(), Some(vec![])).drains(docker));
        let old = Hit { first: First::Nothing, ..hit(anew(), None) };
        assert!(!old.drains(agents) && old.to_string().contains("cannot drain it first"));
    }
}
