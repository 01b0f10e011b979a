//! What the smoke test needs beside running a script: whether there is room for it at all, and when a
//! run through Mesos hangs or fails, the ladder that finds the broken rung.
//!
//! Spark says the same line ("Initial job has not accepted any resources") for an impossible
//! constraint, too large an executor and a missing image; the reason is at the master and in the
//! agent's journal only (facts: Spark on Mesos §10).

use std::time::Duration;

use serde_json::Value as Json;

use super::Run;
use crate::event::{Event, SmokeOutcome};
use crate::health::{self, Check, MASTER_PORT, Question};
use crate::inventory::HostName;
use crate::remote::Change;
use crate::resource::proof::Proof;
use crate::script::{Probe, quote};

/// Cores of one of the smoke test's executors.
const CORES: f64 = 1.0;
/// Memory of one: 512 MiB of heap and Spark's least overhead of 384 MiB.
const MEMORY_MIB: f64 = 896.0;

const ASK_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no room for a pinned proof on its agent, when that is certain.
pub(super) async fn no_room<Hosts: Change>(run: &Run<Hosts>, proof: &Proof) -> Option<String> {
    let agent = proof.agent.as_ref()?;
    let address = run.inventory.hosts.get(agent)?.address.to_string();
    let replies = run.replies(Check::Agents).await;
    let list = replies.values().flat_map(|r| r.values()).find_map(|reply| {
        (reply.status == 200).then(|| serde_json::from_str::<Json>(&reply.body).ok()).flatten()
    })?;
    let agents = list.get("slaves")?.as_array()?;
    let mine = agents.iter().find(|one| {
        let pid = one.get("pid").and_then(Json::as_str).unwrap_or("");
        pid.split('@').nth(1).and_then(|at| at.rsplit_once(':')).is_some_and(|(a, _)| a == address)
    })?;
    let free = |name: &str| {
        let of = |key: &str| mine.get(key)?.get(name)?.as_f64();
        Some(of("resources")? - of("used_resources").unwrap_or(0.0))
    };
    let (cpus, mem) = (free("cpus")?, free("mem")?);
    (cpus < CORES || mem < MEMORY_MIB).then(|| {
        format!(
            "{agent} has {cpus} cpus and {mem} MiB free, an executor needs {CORES} and {MEMORY_MIB}"
        )
    })
}

/// The cluster's own checks, each a result of its own: does every component serve?
pub(super) async fn cluster<Hosts: Change>(run: &Run<Hosts>) {
    for check in [Check::ZooKeeper, Check::Masters, Check::Agents] {
        let began = tokio::time::Instant::now();
        let health = run.health(check).await;
        if health.members.is_empty() {
            continue;
        }
        let sick: Vec<String> = health
            .members
            .keys()
            .filter_map(|host| Some(format!("{host}: {}", health.complaint(host)?)))
            .collect();
        let leader = health.leader.as_ref().map_or(String::new(), |l| format!(", {l} leads"));
        let (result, detail) = if sick.is_empty() && !(check.elects() && health.is_leaderless()) {
            (SmokeOutcome::Passed, format!("{} serve{leader}", health.members.len()))
        } else if sick.is_empty() {
            (SmokeOutcome::Failed, "nobody leads".to_owned())
        } else {
            (SmokeOutcome::Failed, sick.join("; "))
        };
        run.sink.emit(Event::SmokeResult {
            check: check.name().to_owned(),
            host: None,
            result,
            detail,
            seconds: began.elapsed().as_secs_f64(),
        });
    }
}

/// What the leading master did not see of a run that says it succeeded; `None` when it saw the
/// framework's tasks, on the agent they were pinned to.
pub(super) async fn unseen<Hosts: Change>(
    run: &Run<Hosts>,
    proof: &Proof,
    output: &str,
) -> Option<String> {
    let framework = output.lines().find_map(|line| line.trim().strip_prefix("framework "))?;
    let leader = run.health(Check::Masters).await.leader?;
    let Some(mine) = framework_of(&master(run, &leader, "/frameworks").await?, framework) else {
        return Some(format!("the leading master {leader} knows no framework {framework}"));
    };
    let tasks = tasks_of(&mine);
    if tasks.is_empty() {
        return Some(format!("the leading master {leader} saw no task of framework {framework}"));
    }
    let agent = proof.agent.as_ref()?;
    let address = run.inventory.hosts.get(agent)?.address.to_string();
    let listed = master(run, &leader, "/slaves").await?;
    let id = listed.get("slaves")?.as_array()?.iter().find_map(|one| {
        let at = one.get("pid")?.as_str()?.split('@').nth(1)?.rsplit_once(':')?.0;
        (at == address).then(|| one.get("id")?.as_str())?
    })?;
    let elsewhere =
        tasks.iter().any(|task| task.get("slave_id").and_then(Json::as_str) != Some(id));
    elsewhere.then(|| format!("tasks of framework {framework} ran elsewhere than on {agent}"))
}

fn framework_of(body: &Json, id: &str) -> Option<Json> {
    ["frameworks", "completed_frameworks"]
        .iter()
        .filter_map(|key| body.get(*key)?.as_array())
        .flatten()
        .find(|one| one.get("id").and_then(Json::as_str) == Some(id))
        .cloned()
}

fn tasks_of(framework: &Json) -> Vec<&Json> {
    ["tasks", "completed_tasks", "unreachable_tasks"]
        .iter()
        .filter_map(|key| framework.get(*key)?.as_array())
        .flatten()
        .collect()
}

/// The broken rung of a run through Mesos that failed or hung; `None` for other proofs, and when all
/// rungs hold.
pub(super) async fn ladder<Hosts: Change>(
    run: &Run<Hosts>,
    client: &HostName,
    proof: &Proof,
    output: &str,
) -> Option<String> {
    if proof.name == "pi-in-image" {
        return None;
    }
    let masters = run.health(Check::Masters).await;
    let Some(leader) = masters.leader else {
        return Some("no Mesos master leads; see `provision status`".to_owned());
    };
    let line = |mark: &str| output.lines().find(|line| line.contains(mark)).map(str::trim);
    if line("refused authentication").is_some() {
        return Some(
            "the master refused the driver's credentials; check mesos.credentials".to_owned(),
        );
    }
    let framework = output
        .lines()
        .find_map(|line| line.trim().strip_prefix("framework "))
        .filter(|id| *id != "none");
    if proof.name == "pi-in-cluster-mode" {
        return line("message").map(|message| format!("the driver did not finish: {message}"));
    }
    let Some(framework) = framework else {
        // The last of them is the cause of the others.
        let died = output.lines().rev().find(|l| l.contains("Error") || l.contains("Exception"));
        if let (Some(_), Some(died)) = (line("spark-submit ended"), died.map(str::trim)) {
            return Some(format!("the driver on {client} died before it registered: {died}"));
        }
        return Some(format!(
            "the driver on {client} did not register with the leading master {leader}; \
             masters must be able to reach the driver's address and ports"
        ));
    };
    let body = master(run, &leader, "/frameworks").await?;
    let mine = framework_of(&body, framework)?;
    let role = mine.get("role").and_then(Json::as_str).unwrap_or("*");
    let tasks = tasks_of(&mine);
    let bad = tasks.iter().find(|task| {
        let state = task.get("state").and_then(Json::as_str).unwrap_or("");
        matches!(state, "TASK_FAILED" | "TASK_LOST" | "TASK_ERROR" | "TASK_GONE")
    });
    if let Some(bad) = bad {
        return Some(executor(run, &leader, bad, framework).await);
    }
    if tasks.is_empty() {
        let metrics = master(run, &leader, "/metrics/snapshot").await.unwrap_or(Json::Null);
        let count = |what: &str| {
            let end = format!("{framework}/offers/{what}");
            metrics
                .as_object()
                .and_then(|all| all.iter().find(|(key, _)| key.ends_with(&end)))
                .and_then(|(_, value)| value.as_f64())
        };
        return Some(match (count("sent"), count("declined")) {
            (Some(0.0), _) => format!(
                "framework {framework} registered in role {role} and was made no offer; everything may be reserved for or held by others"
            ),
            (Some(sent), Some(declined)) => format!(
                "framework {framework} was made {sent} offers and declined {declined}: no agent has room for its executors or matches its constraints"
            ),
            _ => format!("framework {framework} registered in role {role} and started no executor"),
        });
    }
    Some(format!(
        "executors of framework {framework} ran, and no result came back; the agents may not reach the driver on {client}"
    ))
}

/// What the agent says of a task that did not start or died.
async fn executor<Hosts: Change>(
    run: &Run<Hosts>,
    leader: &HostName,
    task: &Json,
    framework: &str,
) -> String {
    let text = |key: &str| task.get(key).and_then(Json::as_str).unwrap_or("?");
    let (state, agent_id) = (text("state"), text("slave_id"));
    let listed = master(run, leader, "/slaves").await;
    let host = listed
        .as_ref()
        .and_then(|body| body.get("slaves")?.as_array())
        .into_iter()
        .flatten()
        .find(|one| one.get("id").and_then(Json::as_str) == Some(agent_id))
        .and_then(|one| {
            let at = one.get("pid")?.as_str()?.split('@').nth(1)?.rsplit_once(':')?.0.to_owned();
            run.inventory.hosts.values().find(|host| host.address.to_string() == at)
        });
    let Some(host) = host else {
        return format!("an executor ended with {state} on agent {agent_id}");
    };
    let script = format!(
        "journalctl -u mesos-slave -n 4000 -o cat --no-pager 2>/dev/null | grep -F {id} | grep -E 'failed to start|Failed to run|did not register' | tail -n 1\n\
         f=$(find /var/lib/mesos/slaves -path '*'{id}'*' -name stderr -size +0 2>/dev/null | head -n 1); [ -z \"$f\" ] || tail -n 3 \"$f\"",
        id = quote(framework)
    );
    let said = match run.hosts.ask(&host.name, &Probe::new("executor", script), ASK_LIMIT).await {
        Ok(sections) => sections.get("executor").cloned().unwrap_or_default(),
        Err(_) => String::new(),
    };
    let said = said.lines().map(str::trim).find(|line| !line.is_empty());
    match said {
        Some(said) => format!("an executor ended with {state} on {}: {said}", host.name),
        None => format!(
            "an executor ended with {state} on {}; its image may be missing there (see its journal: provision logs {})",
            host.name, host.name
        ),
    }
}

async fn master<Hosts: Change>(run: &Run<Hosts>, leader: &HostName, path: &str) -> Option<Json> {
    let address = run.inventory.hosts.get(leader)?.address;
    let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let question = Question::Http(format!("http://{host}:{MASTER_PORT}{path}"));
    let questions = [question.clone()];
    let sections = run.hosts.ask(leader, &health::probe(&questions), ASK_LIMIT).await.ok()?;
    let replies = health::replies(&questions, &sections);
    serde_json::from_str(&replies.get(&question)?.body).ok()
}
