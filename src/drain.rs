//! Emptying an agent before it gets a new id: the leading master takes it out of its offers and ends its
//! tasks, each with a grace period.
//!
//! Nothing needs to be reactivated afterwards: the drained id never comes back.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::apply::Run;
use crate::health::{Check, MASTER_PORT, leaders_agents};
use crate::inventory::HostName;
use crate::plan::hits::DRAIN_GRACE_SECS;
use crate::remote::Change;
use crate::script::{Fix, quote};

/// How often the master is asked whether it is done.
const POLL: Duration = Duration::from_secs(1);
/// What draining may take beyond the grace period: killing, and status updates on their way.
const SLACK: Duration = Duration::from_secs(60);

/// Drains an agent and waits until it is empty.
///
/// # Errors
/// One sentence. The agent may then be left drained; the next apply goes on with it.
pub(crate) async fn drain<Hosts: Change>(run: &Run<Hosts>, host: &HostName) -> Result<(), String> {
    let address = run.inventory.hosts.get(host).map(|host| host.address.to_string());
    let address = address.ok_or("it is not in the inventory")?;
    let leader = run.health(Check::Masters).await.leader;
    let leader = leader.ok_or("it cannot be drained: no master leads")?;
    let replies = run.replies(Check::Agents).await;
    let listed = leaders_agents(&run.inventory, &replies);
    let listed =
        listed.ok_or("it cannot be drained: the leading master did not list its agents")?;
    // Whoever is not there runs nothing.
    let Some(agent) = listed.get(&address).filter(|agent| agent.active) else { return Ok(()) };
    let id = agent.info.id.clone();
    let ended = run
        .hosts
        .run(&leader, &format!("drain {host}"), &call(run, &leader, &id))
        .await
        .map_err(|why| format!("it cannot be drained: {leader}: {why}"))?;
    if ended.status != 0 {
        let said = ended.output_tail.lines().rev().find(|line| !line.trim().is_empty());
        return Err(format!(
            "the leading master does not drain it: {}",
            said.unwrap_or("no answer")
        ));
    }
    let began = Instant::now();
    let limit = Duration::from_secs(DRAIN_GRACE_SECS) + SLACK;
    loop {
        let replies = run.replies(Check::Agents).await;
        let bodies = replies.values().flat_map(|replies| replies.values());
        let states: Vec<Option<String>> = bodies
            .filter(|reply| reply.status == 200)
            .filter_map(|reply| serde_json::from_str::<Json>(&reply.body).ok())
            .map(|body| state(&body, &id))
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

/// The call, made on the leader itself. `max_grace_period` must be an object: the text form that Mesos'
/// own page shows cannot be parsed (recorded: `masters/12-drain/01-drain-bad-string.http`).
fn call<Hosts>(run: &Run<Hosts>, leader: &HostName, id: &str) -> Fix {
    let address = run.inventory.hosts.get(leader).map(|host| match host.address {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    });
    let body = json!({
        "type": "DRAIN_AGENT",
        "drain_agent": {
            "agent_id": {"value": id},
            "max_grace_period": {"seconds": DRAIN_GRACE_SECS},
            "mark_gone": false,
        },
    });
    Fix::new(format!(
        "out=$(curl -sS -g -m 20 --noproxy '*' -w '\\n%{{http_code}}' -H 'Content-Type: application/json' \
         -d {} {} 2>&1) || die \"$out\"\n\
         case $out in *200) ;; *) say \"$out\" | head -n 1; exit 1 ;; esac",
        quote(&body.to_string()),
        quote(&format!("http://{}:{MASTER_PORT}/api/v1", address.unwrap_or_default())),
    ))
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
            include_str!("../tests/fixtures/real/masters/12-drain/04-slaves-draining.http");
        let drained =
            include_str!("../tests/fixtures/real/masters/12-drain/05-slaves-drained.http");
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
