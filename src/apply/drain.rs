//! Emptying an agent before it, or the engine under it, is restarted in a way that its tasks do not
//! survive: the leading master takes it out of its offers and ends its tasks, each with a grace period.
//! Afterwards it is given back, unless it came back as another agent.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

use super::Run;
use crate::health::{Check, leaders_agents};
use crate::inventory::HostName;
use crate::remote::Change;
use crate::resource::drain::{By, Drain, GRACE_SECS, SLACK_SECS};
use crate::resource::{Resource, ResourceId};
use crate::script::{Fix, Step};
use crate::tasks::Task;

/// How often the master is asked whether it is done.
const POLL: Duration = Duration::from_secs(1);

/// Drains an agent and waits until it is empty.
///
/// # Errors
/// One sentence. The agent may then be left drained; the next apply goes on with it.
pub(super) async fn drain<Hosts: Change>(run: &Run<Hosts>, host: &HostName) -> Result<(), String> {
    let Some(drain) = wanted(run, host) else { return Ok(()) };
    let address = run.inventory.hosts.get(host).map(|host| host.address.to_string());
    let address = address.ok_or("it is not in the inventory")?;
    let listed = leaders_agents(&run.inventory, &run.replies(Check::Agents).await);
    let listed =
        listed.ok_or("it cannot be drained: the leading master did not list its agents")?;
    // Whoever is not there runs nothing. One that is drained already is listed as not active too.
    let Some(agent) = listed.get(&address).filter(|it| it.active || it.deactivated) else {
        return Ok(());
    };
    let by = if agent.deactivated { By::Operator } else { By::Us };
    let id = &agent.info.id;
    ran(run, host, &format!("drain {UNIT}"), &drain.begin(id, by))
        .await
        .map_err(|why| format!("it cannot be drained: {why}"))?;
    let began = Instant::now();
    let limit = Duration::from_secs(GRACE_SECS + SLACK_SECS);
    loop {
        let replies = run.replies(Check::Agents).await;
        let bodies = replies.values().flat_map(|replies| replies.values());
        let states: Vec<Option<String>> = bodies
            .filter(|reply| reply.status == 200)
            .filter_map(|reply| serde_json::from_str::<Json>(&reply.body).ok())
            .map(|body| state(&body, id))
            .collect();
        if states.iter().any(|state| state.as_deref() == Some("DRAINED")) {
            return Ok(());
        }
        if began.elapsed() > limit {
            return Err(format!("it is not drained after {} s", limit.as_secs()));
        }
        if run.stop.asked() {
            return Err("it is being drained, and the run was interrupted".to_owned());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Gives an agent back that [`drain`] has emptied, if it still is the same one.
///
/// # Errors
/// One sentence. The agent is then left drained; the next apply goes on with it.
pub(super) async fn give_back<Hosts: Change>(
    run: &Run<Hosts>,
    host: &HostName,
) -> Result<(), String> {
    let Some(drain) = wanted(run, host) else { return Ok(()) };
    for step in drain.fix() {
        if let Step::Run(fix) = step {
            let name = format!("reactivate {UNIT}");
            let left = |why| format!("it was drained, and does not get offers again: {why}");
            ran(run, host, &name, &fix).await.map_err(left)?;
        }
    }
    Ok(())
}

const UNIT: &str = "mesos-slave";

/// `None` where this Mesos cannot drain.
fn wanted<'a, Hosts: Change>(run: &'a Run<Hosts>, host: &HostName) -> Option<&'a Drain> {
    let id = ResourceId { kind: "drain", name: UNIT.to_owned() };
    match &run.desired.find(host, Task::Agents, &id)?.resource {
        Resource::Drain(drain) => Some(drain),
        _ => None,
    }
}

async fn ran<Hosts: Change>(
    run: &Run<Hosts>,
    host: &HostName,
    name: &str,
    fix: &Fix,
) -> Result<(), String> {
    let ended = run.hosts.run(host, name, fix).await?;
    let said = ended.output_tail.lines().rev().map(str::trim).find(|line| !line.is_empty());
    if ended.status == 0 { Ok(()) } else { Err(said.unwrap_or("no answer").to_owned()) }
}

/// How far draining is, by the answer of `/slaves`.
fn state(body: &Json, id: &str) -> Option<String> {
    let agents = body.get("slaves")?.as_array()?;
    let agent = agents.iter().find(|agent| agent.get("id").and_then(Json::as_str) == Some(id))?;
    Some(agent.get("drain_info")?.get("state")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Json {
        serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap()
    }

    #[test]
    fn the_recorded_drain_is_seen_to_go_on_and_to_end() {
        let draining =
            include_str!("../../tests/fixtures/real/masters/12-drain/04-slaves-draining.http");
        let drained =
            include_str!("../../tests/fixtures/real/masters/12-drain/05-slaves-drained.http");
        let states = |text: &str| -> Vec<String> {
            let body = body(text);
            let ids = body["slaves"].as_array().unwrap().iter();
            ids.filter_map(|agent| state(&body, agent["id"].as_str().unwrap())).collect()
        };
        assert_eq!(states(draining), ["DRAINING"]);
        assert_eq!(states(drained), ["DRAINED"]);
        assert_eq!(state(&body(drained), "another"), None);
    }
}
