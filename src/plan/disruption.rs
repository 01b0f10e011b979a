//! What a plan disrupts: which running work ends when an agent, or the engine under it, is restarted or
//! leaves. Asked when the plan is made, for its words, and at each agent's turn, for what is done then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use super::{Action, Plan};
use crate::ground::HostName;
use crate::inventory::Inventory;
use crate::mesos::change::Change;
use crate::mesos::master::Listed;
use crate::resource::drain::GRACE_SECS;
use crate::resource::service::State;
use crate::resource::{Gap, Resource, offers};
use crate::tasks::{Task, agents, shuffle};

/// What happens to an agent that serves now, and to what runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disruption {
    /// What happens.
    #[serde(rename = "way")]
    pub restart: Restart,
    /// Whether it can be emptied before.
    #[serde(rename = "first")]
    pub before: Before,
    /// What runs there now and will end; `None` when the leading master did not say.
    pub ends: Option<Vec<Job>>,
}

/// What happens to an agent that serves now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// It must come back under a new id, for Mesos recovers no agent that announces other things.
    NewId {
        /// What changes.
        reason: String,
    },
    /// It restarts and recovers; only frameworks that checkpoint keep their tasks.
    InPlace,
    /// Its Docker engine restarts, whatever else does.
    Engine,
    /// The shuffle service of its executors restarts: it will not know them, nor what they have written.
    Shuffle,
    /// The shuffle service of its executors stops, and jobs that were started with it find it nowhere.
    Unserved,
    /// It stops.
    Stops,
    /// Its host boots.
    Boots,
    /// Nothing but that it is drained.
    Drained,
    /// It is stopped, and does not come back.
    Leaves,
}

/// What can come before an agent loses its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
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

/// What an action does to the agent of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hit {
    /// It restarts the agent.
    Agent,
    /// It restarts the engine that the agent's tasks run in.
    Engine,
    /// It restarts the shuffle service of the agent's executors.
    Shuffle,
    /// It stops the shuffle service of the agent's executors.
    Unserved,
    /// It stops the agent.
    Stops,
    /// It stops the agent for good.
    Leaves,
    /// It boots the host.
    Boots,
    /// It drains the agent, and no more.
    Drains,
}

/// What closing these gaps of an action does to the agent that runs on its host.
pub fn hit(action: &Action, gaps: &[Gap]) -> Option<Hit> {
    let hit = match &*action.resource {
        Resource::Offers(offers) => {
            return (offers.state == offers::State::Drained).then_some(Hit::Drains);
        }
        Resource::Reboot(_) => Hit::Boots,
        Resource::Service(service) => match (service.unit.as_str(), service.state) {
            ("docker", _) => Hit::Engine,
            (shuffle::UNIT, State::Running) => Hit::Shuffle,
            (shuffle::UNIT, _) => Hit::Unserved,
            ("mesos-slave" | "mesos-agent", State::Running) => Hit::Agent,
            // By hand: it comes back.
            ("mesos-slave" | "mesos-agent", State::Stopped) if action.task == Task::Agents => {
                Hit::Stops
            }
            ("mesos-slave" | "mesos-agent", State::Stopped | State::Left | State::Masked) => {
                Hit::Leaves
            }
            _ => return None,
        },
        _ => return None,
    };
    action.resource.interrupts(gaps).then_some(hit)
}

/// Hosts on which actions hit an agent, and how.
pub fn hits<'a>(
    actions: impl Iterator<Item = (&'a HostName, &'a Action)>,
) -> BTreeMap<HostName, BTreeSet<Hit>> {
    let mut hits: BTreeMap<HostName, BTreeSet<Hit>> = BTreeMap::new();
    for (host, action) in actions {
        if let Some(hit) = hit(action, &action.gaps) {
            hits.entry(host.clone()).or_default().insert(hit);
        }
    }
    hits
}

/// The same of a whole plan.
pub fn of_plan(plan: &Plan) -> BTreeMap<HostName, BTreeSet<Hit>> {
    hits(plan.actions())
}

/// What hits disrupt, by host. `listed` are the leading master's agents by address, `frameworks` its answer to
/// `/frameworks`.
pub fn disruptions(
    inventory: &Inventory,
    hits: &BTreeMap<HostName, BTreeSet<Hit>>,
    listed: &BTreeMap<String, Listed>,
    frameworks: Option<&Json>,
) -> BTreeMap<HostName, Disruption> {
    let before = match agents::drains(inventory) {
        true => Before::Drained,
        false => Before::Nothing,
    };
    hits.iter()
        .filter_map(|(host, hits)| {
            let machine = inventory.hosts.get(host)?;
            // An agent that is not registered runs nothing that anybody waits for. One that is being
            // drained is listed as not active, and may still run what it ran.
            let now = listed
                .get(&machine.address.to_string())
                .filter(|agent| agent.active || agent.deactivated)?;
            let agent = inventory.agent(host).filter(|_| hits.contains(&Hit::Agent));
            let restart = match agent.map(|agent| agents::change(inventory, machine, agent, now)) {
                Some(Change::NewAgentId { reason }) => Restart::NewId { reason },
                Some(Change::Additive) => Restart::NewId {
                    reason: "what it offers grows, and its flag reconfiguration_policy is not `additive`".to_owned(),
                },
                _ if hits.contains(&Hit::Leaves) => Restart::Leaves,
                _ if hits.contains(&Hit::Boots) => Restart::Boots,
                _ if hits.contains(&Hit::Stops) => Restart::Stops,
                _ if hits.contains(&Hit::Drains) => Restart::Drained,
                _ if hits.contains(&Hit::Engine) => Restart::Engine,
                _ if hits.contains(&Hit::Shuffle) => Restart::Shuffle,
                _ if hits.contains(&Hit::Unserved) && !hits.contains(&Hit::Agent) => {
                    Restart::Unserved
                }
                _ => Restart::InPlace,
            };
            let ends = frameworks.map(|all| ends(all, &now.info.id, &restart));
            Some((host.clone(), Disruption { restart, before, ends }))
        })
        .collect()
}

/// What runs on an agent, by the leading master's answer to `/frameworks`.
pub fn jobs(frameworks: &Json, agent: &str) -> Vec<Job> {
    ends(frameworks, agent, &Restart::Leaves)
}

fn ends(frameworks: &Json, agent: &str, restart: &Restart) -> Vec<Job> {
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
            let survives = *restart == Restart::InPlace && checkpoints;
            (tasks > 0 && !survives).then(|| Job {
                framework: text("name").to_owned(),
                id: text("id").to_owned(),
                tasks,
            })
        })
        .collect()
}

impl Disruption {
    /// Whether the agent is drained before it is hit: where what runs there would not survive that, or
    /// where nobody could say.
    pub fn drains(&self, hit: Hit) -> bool {
        let ends = self.ends.as_ref().is_none_or(|jobs| !jobs.is_empty());
        // A job that looks for a service that is gone is not helped by starting its executors elsewhere.
        let helps = self.restart != Restart::Unserved;
        self.before == Before::Drained && helps && (ends || self.comes_anew(hit))
    }

    /// Whether the agent that is there now ends for good, so that nothing new may come to it.
    fn comes_anew(&self, hit: Hit) -> bool {
        match &self.restart {
            Restart::NewId { .. } => hit == Hit::Agent,
            Restart::Leaves => true,
            _ => false,
        }
    }
}

impl Disruption {
    fn unserved(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shuffle service of its executors stops")?;
        match &self.ends {
            None => f.write_str("; what runs there could not be asked"),
            Some(jobs) if jobs.is_empty() => f.write_str("; nothing runs there now"),
            Some(jobs) => {
                let jobs: Vec<String> = jobs.iter().map(Job::to_string).collect();
                let jobs = jobs.join(", ");
                write!(f, "; whoever was started with it fails then, so let {jobs} end first")
            }
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tasks == 1 { "" } else { "s" };
        write!(f, "{} task{s} of {} ({})", self.tasks, self.framework, self.id)
    }
}

impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.restart {
            Restart::NewId { reason } => write!(f, "the agent gets a new id ({reason})")?,
            Restart::InPlace => f.write_str("the agent restarts in place")?,
            Restart::Engine => f.write_str("the Docker engine under the agent restarts")?,
            Restart::Shuffle => {
                f.write_str(
                    "the shuffle service of its executors restarts, and knows none of them then",
                )?;
            }
            Restart::Unserved => return self.unserved(f),
            Restart::Stops => f.write_str("the agent stops")?,
            Restart::Boots => f.write_str("its host boots")?,
            Restart::Drained => write!(f, "what runs on the agent gets {GRACE_SECS} s to end")?,
            Restart::Leaves => f.write_str("the agent leaves")?,
        }
        let anew = matches!(self.restart, Restart::NewId { .. } | Restart::Leaves);
        let ends = self.ends.as_ref().is_none_or(|jobs| !jobs.is_empty());
        match self.before {
            _ if self.restart == Restart::Drained => {}
            Before::Drained if anew => {
                write!(f, "; it is drained first, for at most {GRACE_SECS} s")?;
            }
            Before::Drained if ends => {
                write!(
                    f,
                    "; it is drained first, for at most {GRACE_SECS} s, and given back after"
                )?;
            }
            Before::Nothing if anew || ends => {
                f.write_str("; this Mesos cannot drain it first (1.9 can)")?;
            }
            _ => {}
        }
        // Who is drained is decided at the agent's turn, from what runs there then.
        let moved = match self.restart {
            Restart::InPlace => "whatever has moved there by then and does not checkpoint",
            _ => "whatever has moved there by then",
        };
        match &self.ends {
            None => f.write_str("; what runs there could not be asked"),
            Some(jobs) if jobs.is_empty() => {
                write!(f, "; nothing that runs there now ends, only {moved}")
            }
            Some(jobs) => {
                let jobs: Vec<String> = jobs.iter().map(Job::to_string).collect();
                write!(f, "; ends {}, and {moved}", jobs.join(", "))
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
        for way in [Restart::InPlace, Restart::Engine] {
            let ends = ends(&recorded(), AGENT, &way);
            assert_eq!((ends.len(), ends[0].framework.as_str(), ends[0].tasks), (1, "PythonPi", 1));
        }
        assert_eq!(ends(&recorded(), "another", &Restart::Engine), []);
    }

    #[test]
    fn a_job_that_checkpoints_survives_a_restart_in_place_only() {
        let mut all = recorded();
        all["frameworks"][0]["checkpoint"] = true.into();
        assert_eq!(ends(&all, AGENT, &Restart::InPlace), []);
        assert_eq!(ends(&all, AGENT, &Restart::Engine).len(), 1);
    }

    #[test]
    fn a_disruption_says_what_ends() {
        let restart = Restart::NewId { reason: "rack changes".to_owned() };
        let before = Before::Drained;
        let it = Disruption { ends: Some(ends(&recorded(), AGENT, &restart)), restart, before };
        assert_eq!(
            it.to_string(),
            "the agent gets a new id (rack changes); it is drained first, for at most 60 s; \
             ends 1 task of PythonPi (7c842204-3f73-4d59-a32a-eb195f81aaed-0000), \
             and whatever has moved there by then"
        );
        let recovers = Disruption { restart: Restart::InPlace, before, ends: Some(vec![]) };
        assert_eq!(
            recovers.to_string(),
            "the agent restarts in place; nothing that runs there now ends, \
             only whatever has moved there by then and does not checkpoint"
        );
        let unknown = Disruption { restart: Restart::InPlace, before, ends: None };
        assert!(unknown.to_string().ends_with("could not be asked"));
    }

    #[test]
    fn an_agent_is_drained_where_its_tasks_would_not_survive() {
        let of = |restart, ends| Disruption { restart, before: Before::Drained, ends };
        let job = || Job { framework: "f".to_owned(), id: "i".to_owned(), tasks: 1 };
        let anew = || Restart::NewId { reason: "rack changes".to_owned() };
        assert!(!of(Restart::InPlace, Some(vec![])).drains(Hit::Agent));
        assert!(of(Restart::InPlace, Some(vec![job()])).drains(Hit::Agent));
        assert!(of(Restart::InPlace, None).drains(Hit::Agent));
        assert!(!of(Restart::Engine, Some(vec![])).drains(Hit::Engine));
        assert!(of(Restart::Engine, Some(vec![job()])).drains(Hit::Engine));
        assert!(of(anew(), Some(vec![])).drains(Hit::Agent));
        assert!(!of(anew(), Some(vec![])).drains(Hit::Engine));
        assert!(of(Restart::Leaves, Some(vec![])).drains(Hit::Leaves));
        let old = Disruption { before: Before::Nothing, ..of(anew(), None) };
        assert!(!old.drains(Hit::Agent) && old.to_string().contains("cannot drain it first"));
    }
}
