//! Whether offers come that the job takes: its role, its constraints, and agents with room.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Agent, Cluster, Job, Wanted};
use super::offers;
use super::rung::{Rung, list};
use crate::inventory::Workload;
use crate::mesos::constraints::{Constraints, Match};
use crate::mesos::frameworks::{Framework, Standing, Task};
use crate::mesos::values::{UNRESERVED, Value};
use crate::simulate::executors::{executor_mib, place};
use crate::simulate::sees;

pub(super) fn role(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "role";
    let framework = job.framework?;
    if has_begun(framework) {
        return None;
    }
    let mine = role_of(job)?;
    let known = cluster.roles.iter().find(|role| role.name == mine);
    if let Some(spent) = known.map(|role| &role.exhausted).filter(|spent| !spent.is_empty()) {
        return Some(Rung::broken(
            name,
            format!("role {mine} has all of {} that its quota allows", spent.join(" and ")),
            "wait until its other frameworks end, or raise the quota",
        ));
    }
    let whole: Vec<_> = cluster.agents.iter().filter_map(Agent::whole).collect();
    let cpus = |of: &dyn Fn(&str) -> bool| -> i64 {
        let all = whole.iter().flat_map(|agent| &agent.resources.0);
        let cpus = all.filter(|((name, owner), _)| name == "cpus" && of(owner));
        cpus.map(|(_, value)| if let Value::Scalar(amount) = value { *amount } else { 0 }).sum()
    };
    let owners: BTreeSet<&str> = whole
        .iter()
        .flat_map(|agent| agent.resources.0.keys())
        .filter(|(_, owner)| owner != UNRESERVED && !sees(&mine, owner))
        .map(|(_, owner)| owner.as_str())
        .collect();
    if cpus(&|_| true) > 0 && cpus(&|owner| sees(&mine, owner)) == 0 {
        return Some(Rung::broken(
            name,
            format!(
                "all cpus of all agents are reserved for {}, not for role {mine}",
                list(owners)
            ),
            "submit with --conf spark.mesos.role=ROLE, or leave a part of the agents unreserved",
        ));
    }
    let weight = cluster.weight(&mine);
    let beside = if owners.is_empty() {
        String::new()
    } else {
        format!("; a part is reserved for {}", list(owners))
    };
    Some(Rung::holds(name, format!("role {mine}, weight {weight}{beside}")))
}

pub(super) fn constraints(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "constraints";
    let framework = job.framework?;
    if has_begun(framework) {
        return None;
    }
    let Some(wanted) = &job.wanted else {
        return Some(Rung::unknown(name, "nobody could say what it asks for"));
    };
    let text = &wanted.workload.constraints;
    if text.is_empty() {
        return Some(Rung::holds(name, format!("none, {}", wanted.said.words())));
    }
    let next = "submit with another spark.mesos.constraints, or give agents the attribute \
                (mesos.agents.POOL.attributes)";
    let parsed = match Constraints::parse(text) {
        Ok(parsed) => parsed,
        Err(why) => return Some(Rung::broken(name, format!("`{text}`: {why}"), next)),
    };
    let mut declined = Vec::new();
    let mut fitting = Vec::new();
    let (there, away): (Vec<&Agent>, Vec<&Agent>) =
        cluster.agents.iter().partition(|agent| agent.listed.is_some());
    for agent in there {
        match matched(agent, &parsed) {
            Match::Fits => fitting.push(agent.name.as_str()),
            Match::Declined(why) => declined.push(format!("{}: {why}", agent.name)),
            Match::Throws(why) => {
                let words = format!("`{text}` stops the driver at {}: {why}", agent.name);
                return Some(Rung::broken(name, words, next));
            }
        }
    }
    // Nobody says what those have that are not registered; it may be just that.
    declined.extend(away.iter().filter_map(|a| Some(format!("{} {}", a.name, a.withheld()?))));
    Some(match fitting.is_empty() {
        false => Rung::holds(
            name,
            format!("`{text}` matches {}, {}", list(fitting), wanted.said.words()),
        ),
        true => Rung::broken(
            name,
            format!("no agent matches `{text}` ({}): {}", wanted.said.words(), list(declined)),
            next,
        ),
    })
}

pub(super) fn agents(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "agents";
    let framework = job.framework?;
    if has_begun(framework) {
        return None;
    }
    let candidates = candidates(cluster, job);
    let withheld: Vec<_> = candidates
        .iter()
        .filter_map(|agent| Some(format!("{} {}", agent.name, agent.withheld()?)))
        .collect();
    let offering = candidates.len() - withheld.len();
    if candidates.is_empty() {
        let next = "provision status, then provision apply";
        return Some(Rung::broken(name, "no agent is registered at the leading master", next));
    }
    if offering == 0 {
        return Some(Rung::broken(
            name,
            format!("no agent that it could use is offered: {}", list(withheld)),
            "provision apply gives back what a run of ours drained; what an operator drained or put into \
             maintenance is the operator's to give back",
        ));
    }
    let but = if withheld.is_empty() { String::new() } else { format!("; {}", list(withheld)) };
    Some(Rung::holds(name, format!("{offering} of {} are offered{but}", candidates.len())))
}

pub(super) fn room(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "room";
    let framework = job.framework?;
    if has_begun(framework) {
        let living = framework.living().count();
        let (cpus, mem) = framework.holds();
        return (living > 0).then(|| {
            Rung::holds(name, format!("it has {cpus} cpus and {mem} MiB (tasks: {living})"))
        });
    }
    let Some(wanted) = &job.wanted else {
        return Some(Rung::unknown(name, "nobody could say what it asks for"));
    };
    let settings = &wanted.settings;
    let workload = &Workload { role: role_of(job)?, ..wanted.workload.clone() };
    let cores = workload.cores.unwrap_or(1).max(1);
    let needs = format!("{cores} cores and {} MiB", executor_mib(workload, settings));
    if let Some(most) = workload.cores_max.filter(|most| *most < cores) {
        return Some(Rung::broken(
            name,
            format!(
                "spark.cores.max is {most}, and one executor takes {cores} cores: every offer is declined"
            ),
            "raise spark.cores.max, or lower spark.executor.cores",
        ));
    }
    let usable: Vec<&Agent> = candidates(cluster, job)
        .into_iter()
        .filter(|agent| agent.listed.is_some() && agent.withheld().is_none())
        .collect();
    let free: Vec<_> = usable.iter().filter_map(|agent| agent.free()).collect();
    if free.len() < usable.len() {
        return Some(Rung::unknown(name, "the leading master does not say what is free"));
    }
    let placement = match place(&free, workload, settings) {
        Ok(placement) => placement,
        Err(why) => return Some(Rung::broken(name, why, "change what the driver dies on")),
    };
    if !placement.executors.is_empty() {
        let words = format!(
            "{} executors of {needs} have room now{}",
            placement.executors.len(),
            offers(cluster, framework)
        );
        return Some(Rung::holds(name, words));
    }
    let whole: Vec<_> = usable.iter().filter_map(|agent| agent.whole()).collect();
    let ever = place(&whole, workload, settings).is_ok_and(|alone| !alone.executors.is_empty());
    let why = |of: &BTreeMap<String, String>| {
        list(of.iter().map(|(agent, why)| format!("{agent}: {why}")))
    };
    if ever {
        let holders = cluster.holders(&framework.id);
        let by = holders.iter().map(|of| {
            format!("{} (role {}) has {} cpus and {} MiB", of.name, of.role, of.cpus, of.mem)
        });
        let by = list(by);
        let by = if by.is_empty() { String::new() } else { format!("; {by}") };
        return Some(Rung::broken(
            name,
            format!(
                "nothing big enough is free, {}: {}{by}",
                wanted.said.words(),
                why(&placement.left_out)
            ),
            "wait until others end, ask for less, or give its role a weight or a reservation \
             (`provision simulate` shows who gets what)",
        ));
    }
    let left_out =
        place(&whole, workload, settings).map(|alone| alone.left_out).unwrap_or_default();
    Some(Rung::broken(
        name,
        format!(
            "no agent is big enough for an executor of {needs}, even when it is empty ({}): {}",
            wanted.said.words(),
            why(&left_out)
        ),
        "lower spark.executor.memory or spark.executor.cores, or give agents more (mesos.agents.POOL.resources)",
    ))
}

/// Whether executors were launched and something became of them: then nothing kept offers from it.
fn has_begun(framework: &Framework) -> bool {
    framework.standing == Standing::Ended && !framework.tasks.is_empty()
        || framework.living().next().is_some()
        || framework.tasks.iter().any(Task::has_failed)
}

/// The role that its executors would run in.
fn role_of(job: &Job<'_>) -> Option<String> {
    job.framework?.roles.first().cloned()
}

/// Agents that its constraints match; all where nobody could say.
fn candidates<'a>(cluster: &'a Cluster, job: &Job<'_>) -> Vec<&'a Agent> {
    let text = job.wanted.as_ref().map_or("", |wanted: &Wanted| &wanted.workload.constraints);
    let parsed = Constraints::parse(text).unwrap_or_default();
    let fits = |agent: &&Agent| agent.listed.is_none() || matched(agent, &parsed) == Match::Fits;
    let all: Vec<&Agent> = cluster.agents.iter().filter(fits).collect();
    // Whoever is not registered says nothing of its attributes, and is no agent that a job waits for where
    // others match.
    if all.iter().any(|agent| agent.listed.is_some()) && !text.is_empty() {
        return all.into_iter().filter(|agent| agent.listed.is_some()).collect();
    }
    all
}

fn matched(agent: &Agent, constraints: &Constraints) -> Match {
    match &agent.listed {
        Some(listed) => constraints.matches(&listed.info.attributes),
        None => Match::Declined("it is not registered".to_owned()),
    }
}
