//! What a proof needs beside running a script: whether there is room for it at all, and the cause when one
//! that goes through Mesos hangs or fails.
//!
//! Spark says the same line ("Initial job has not accepted any resources") for an impossible
//! constraint, too large an executor and a missing image; the reason is at the master and in the
//! agent's journal only (docs/facts.md, "One sentence for three causes").

use super::Engine;
use crate::diagnose::{Job, Said, Verdict, Wanted, ask, broken, cause_of_death, ladder};
use crate::event::{Event, SmokeOutcome};
use crate::ground::HostName;
use crate::remote::Change;
use crate::resource::proof::Proof;
use crate::tasks;

/// Why there is no room for a pinned proof on its agent, when that is certain.
pub(super) async fn no_room<Hosts: Change>(
    engine: &Engine<Hosts>,
    proof: &Proof,
) -> Option<String> {
    let pinned = proof.pinned.as_ref()?;
    let agent = &pinned.agent;
    let cluster = ask::cluster(&engine.hosts, &engine.inventory).await;
    let there = cluster.agents.iter().find(|one| one.host.as_ref() == Some(agent))?;
    there.listed.as_ref()?.free.as_ref()?;
    let role = Wanted::by_default(&engine.inventory, Said::Proof)?.workload.role;
    let (cpus, mem) = there.room_for(&role);
    (cpus < pinned.cpus || mem < pinned.memory_mib).then(|| {
        format!(
            "{agent} has {cpus} cpus and {mem} MiB free, an executor needs {} and {}",
            pinned.cpus, pinned.memory_mib
        )
    })
}

/// The cluster's own checks, each a result of its own: does every component serve?
pub(super) async fn cluster<Hosts: Change>(engine: &Engine<Hosts>) {
    let checks = tasks::ALL.iter().filter_map(|task| task.card().check);
    // What may rightly not run proves nothing by running.
    for check in checks.filter(|check| check.may_rest().is_none()) {
        let began = tokio::time::Instant::now();
        let health = engine.health(check, &engine.inventory).await;
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
        engine.sink.emit(Event::SmokeResult {
            check: check.name().to_owned(),
            host: None,
            result,
            detail,
            seconds: began.elapsed().as_secs_f64(),
            engine: None,
            submit: None,
        });
    }
}

/// What the leading master did not see of a run that says it succeeded; `None` when it saw the
/// framework's tasks, on the agent they were pinned to.
pub(super) async fn unseen<Hosts: Change>(
    engine: &Engine<Hosts>,
    proof: &Proof,
    output: &str,
) -> Option<String> {
    let framework = said(output, "framework ")?;
    let cluster = ask::cluster(&engine.hosts, &engine.inventory).await;
    let (leader, known) = (cluster.leader.as_ref()?, cluster.frameworks.as_ref()?);
    let Some(mine) = known.iter().find(|one| one.id == framework) else {
        return Some(format!("the leading master {leader} knows no framework {framework}"));
    };
    if mine.tasks.is_empty() {
        return Some(format!("the leading master {leader} saw no task of framework {framework}"));
    }
    let agent = &proof.pinned.as_ref()?.agent;
    let listed = cluster.agents.iter().find(|one| one.host.as_ref() == Some(agent))?;
    let id = &listed.listed.as_ref()?.info.id;
    let elsewhere = mine.tasks.iter().any(|task| task.agent != *id);
    elsewhere.then(|| format!("tasks of framework {framework} ran elsewhere than on {agent}"))
}

/// Why a proof failed or hung: that its time was over, and for one that goes through Mesos the broken rung of its
/// ladder. `None` where neither is so.
pub(super) async fn cause<Hosts: Change>(
    engine: &Engine<Hosts>,
    client: &HostName,
    proof: &Proof,
    output: &str,
) -> Option<String> {
    let words = match proof.name.as_str() {
        "pi-in-image" => None,
        _ => broken_rung(engine, client, proof, output).await,
    };
    // However far it came: it was given up for the time that it took.
    match (said(output, "stopped after "), words) {
        (Some(limit), Some(words)) => Some(format!("timed out after {limit}; {words}")),
        (Some(limit), None) => Some(format!("timed out after {limit}")),
        (None, words) => words,
    }
}

async fn broken_rung<Hosts: Change>(
    engine: &Engine<Hosts>,
    client: &HostName,
    proof: &Proof,
    output: &str,
) -> Option<String> {
    let (hosts, inventory) = (&engine.hosts, &engine.inventory);
    let cluster = ask::cluster(hosts, inventory).await;
    // Without a leader nothing else is known of a driver, and all that it complains of comes from there.
    if let [leader] = ladder(&cluster, &Job::default()).as_slice() {
        let certain = leader.verdict == Verdict::Broken;
        let own = died(client, output).filter(|_| !certain);
        return own.or_else(|| Some(leader.words.clone()));
    }
    let driver = said(output, "driver ").and_then(|rest| rest.split(' ').next());
    let id = driver.or(said(output, "framework ").filter(|id| *id != "none"));
    let Some(id) = id else {
        // Source: Mesos src/sched/sched.cpp and src/master/master.cpp at 1.11.0.
        let refuses = ["refused authentication", "is not authenticated"];
        let refused = output.lines().find(|line| refuses.iter().any(|words| line.contains(words)));
        let refusal = refused.map(|line| line.trim().to_owned());
        let job = Job { called: client.as_str(), refusal, ..Job::default() };
        let rungs = ladder(&cluster, &job);
        // What broke by itself counts before what only a driver can tell of: that it never registered.
        let told = broken(&rungs).filter(|rung| rung.name != "registration");
        return told.map(|rung| rung.words.clone()).or_else(|| unregistered(client, output));
    };
    let mut wanted = Wanted::by_default(inventory, Said::Proof);
    if let (Some(wanted), Some(pinned)) = (&mut wanted, &proof.pinned) {
        wanted.workload.constraints = format!("provision_host:{}", pinned.agent);
    }
    let framework = ask::meant(&cluster, id).first().copied();
    let mut job = ask::job(hosts, inventory, &cluster, id, framework, wanted).await;
    // As it was before the proof gave it up.
    if let Some(state) = said(output, "state ") {
        job.submission = Some(state.to_owned());
    }
    if let Some(rung) = broken(&ladder(&cluster, &job)) {
        return Some(rung.words.clone());
    }
    let framework = framework?;
    if framework.tasks.is_empty() {
        return Some(format!("framework {id} registered and started no executor"));
    }
    let lines: Vec<String> = output.lines().map(str::to_owned).collect();
    Some(match said(output, "stopped after ") {
        Some(_) => format!(
            "executors of framework {id} ran, and no result came back; the agents may not reach the driver"
        ),
        None => format!("executors ran, and the driver ended: {}", cause_of_death(&lines)?),
    })
}

/// Why a driver has no framework.
fn unregistered(client: &HostName, output: &str) -> Option<String> {
    died(client, output).or_else(|| {
        // Nothing was ever submitted: then the script's own last words tell why.
        said(output, "framework ")?;
        Some(format!(
            "the driver on {client} did not register with the leading master; \
             masters must be able to reach the driver's address and ports"
        ))
    })
}

/// What a driver died of by itself.
fn died(client: &HostName, output: &str) -> Option<String> {
    said(output, "spark-submit ended")?;
    // The last of them is the cause of the others.
    let died = output.lines().rev().find(|l| l.contains("Error") || l.contains("Exception"));
    died.map(|why| format!("the driver on {client} died before it registered: {}", why.trim()))
}

/// What a proof's script said after a mark at the start of a line.
fn said<'a>(output: &'a str, mark: &str) -> Option<&'a str> {
    output.lines().find_map(|line| line.trim().strip_prefix(mark))
}
