//! What a master answers: its agents (`/slaves`, before 0.22 `/state.json`), its roles (`/roles`), what is in
//! maintenance (`/maintenance/status`) and its numbers (`/metrics/snapshot`); frameworks have a file of their
//! own. Every reader is total: of what is no such answer it says `None`, and an entry that cannot be understood
//! is left out.
//!
//! Source: answers of a real cluster, in tests/fixtures/real/masters.

use std::collections::BTreeSet;
use std::iter;

use serde_json::Value as Json;

use super::live::AgentInfo;
use super::values::{Resources, UNRESERVED, Value};
use crate::ground::Endpoint;

/// One agent of a master's list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What it announced.
    pub info: AgentInfo,
    /// The address that it is reached at, without brackets.
    pub address: String,
    /// Whether the master holds it for alive.
    pub active: bool,
    /// Whether an operator has deactivated or drained it.
    pub deactivated: bool,
    /// How far its draining is, `DRAINING` or `DRAINED`, from 1.9.0.
    pub drain: Option<String>,
    /// Its Mesos version, where the master says it.
    pub version: Option<String>,
    /// What no task has, by name and role; `None` where the master does not say what is used.
    pub free: Option<Resources>,
}

/// The agents that a leading master lists.
pub fn agents(body: &str) -> Option<Vec<Listed>> {
    let body: Json = serde_json::from_str(body).ok()?;
    // Before Mesos 1.0 every master answers; then the whole state says who leads.
    if let (Some(leader), Some(own)) = (body.get("leader"), body.get("pid"))
        && leader != own
    {
        return None;
    }
    Some(body.get("slaves")?.as_array()?.iter().filter_map(listed).collect())
}

fn listed(agent: &Json) -> Option<Listed> {
    let flag = |name: &str| agent.get(name).and_then(Json::as_bool);
    // `slave(1)@10.0.0.1:5051`
    let (_, at) = agent.get("pid")?.as_str()?.split_once('@')?;
    let info = AgentInfo::from_json(agent).ok()?;
    Some(Listed {
        free: free(agent, &info.resources),
        info,
        address: Endpoint::parse(at)?.host,
        // The field is there from 0.22.
        active: flag("active").unwrap_or(true),
        deactivated: flag("deactivated").unwrap_or(false),
        drain: agent.pointer("/drain_info/state").and_then(Json::as_str).map(str::to_owned),
        version: agent.get("version").and_then(Json::as_str).map(str::to_owned),
    })
}

/// What no task has. Masters show amounts by role from 0.28; before, only their sum, of which the unreserved
/// part is taken to be used first.
fn free(agent: &Json, announced: &Resources) -> Option<Resources> {
    if let (Some(unreserved), Some(used)) =
        (agent.get("unreserved_resources_full"), agent.get("used_resources_full"))
    {
        let reserved = agent.get("reserved_resources_full").and_then(Json::as_object);
        let mut free = Resources::default();
        let lists = iter::once(unreserved).chain(reserved.into_iter().flat_map(|of| of.values()));
        for (key, value) in lists.flat_map(amounts) {
            let sum = free.0.get(&key).map_or(Some(value.clone()), |already| already.plus(&value));
            free.0.extend(sum.map(|sum| (key, sum)));
        }
        for (key, value) in amounts(used) {
            let rest = free.0.get(&key).and_then(|all| all.minus(&value));
            match rest {
                Some(rest) => free.0.insert(key, rest),
                None => free.0.remove(&key),
            };
        }
        return Some(free);
    }
    let mut free = announced.clone();
    for (name, used) in agent.get("used_resources")?.as_object()? {
        let Some(Value::Scalar(mut left)) = used.as_f64().and_then(Value::scalar) else { continue };
        // `*` orders before every name of a role.
        for ((_, _), value) in free.0.iter_mut().filter(|((of, _), _)| of == name) {
            if let Value::Scalar(has) = value {
                let taken = left.min(*has);
                *has -= taken;
                left -= taken;
            }
        }
    }
    Some(free)
}

/// The scalars and ranges of a `*_full` list as they stand now, dynamic reservations included.
fn amounts(list: &Json) -> Vec<((String, String), Value)> {
    let entry = |entry: &Json| {
        let text = |of: &Json, key: &str| of.get(key).and_then(Json::as_str).map(str::to_owned);
        let last = entry.get("reservations").and_then(Json::as_array).and_then(|all| all.last());
        let role = last.and_then(|one| text(one, "role")).or_else(|| text(entry, "role"));
        let value = match entry.pointer("/scalar/value") {
            Some(number) => number.as_f64().and_then(Value::scalar)?,
            None => {
                let ranges = entry.pointer("/ranges/range")?.as_array()?.iter();
                let bound = |range: &Json, key: &str| range.get(key).and_then(Json::as_u64);
                let both = |range| Some((bound(range, "begin")?, bound(range, "end")?));
                Value::ranges(ranges.filter_map(both).filter(|(from, to)| from <= to).collect())
            }
        };
        Some(((text(entry, "name")?, role.unwrap_or_else(|| UNRESERVED.to_owned())), value))
    };
    list.as_array().into_iter().flatten().filter_map(entry).collect()
}

/// A role that somebody is in or that has a weight, a quota or a reservation.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: f64,
    /// Names of what its quota limits and that it has all of.
    pub exhausted: Vec<String>,
}

/// The roles that a leading master lists.
pub fn roles(body: &str) -> Option<Vec<Role>> {
    let body: Json = serde_json::from_str(body).ok()?;
    let role = |role: &Json| {
        let limits = role.pointer("/quota/limit").and_then(Json::as_object);
        let consumed = |name: &str| role.get("quota")?.get("consumed")?.get(name)?.as_f64();
        let spent = |(name, limit): (&String, &Json)| {
            (consumed(name)? >= limit.as_f64()?).then(|| name.clone())
        };
        Some(Role {
            name: role.get("name")?.as_str()?.to_owned(),
            weight: role.get("weight").and_then(Json::as_f64).unwrap_or(1.0),
            exhausted: limits.into_iter().flatten().filter_map(spent).collect(),
        })
    };
    Some(body.get("roles")?.as_array()?.iter().filter_map(role).collect())
}

/// Addresses of machines that `/maintenance/status` shows as going down or down; none where the master
/// knows no maintenance (before 0.25).
pub fn in_maintenance(body: &str) -> BTreeSet<String> {
    let body: Json = serde_json::from_str(body).unwrap_or_default();
    let machines = |key: &str| body.get(key).and_then(Json::as_array).cloned().unwrap_or_default();
    let all = machines("draining_machines").into_iter().chain(machines("down_machines"));
    let address = |machine: Json| {
        let id = machine.get("id").unwrap_or(&machine);
        id.get("ip").and_then(Json::as_str).map(str::to_owned)
    };
    all.filter_map(address).collect()
}

/// A daemon's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(Json);

impl Metrics {
    /// Reads `/metrics/snapshot`.
    pub fn read(body: &str) -> Option<Metrics> {
        serde_json::from_str(body).ok().map(Metrics)
    }

    /// One of them by its whole name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    /// The first whose name ends so: names of frameworks' numbers hold the framework's name.
    pub fn ending(&self, end: &str) -> Option<f64> {
        self.0.as_object()?.iter().find(|(name, _)| name.ends_with(end))?.1.as_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &'static str) -> &'static str {
        answer.split_once("\r\n\r\n").unwrap().1
    }

    #[test]
    fn the_recorded_agents_are_read() {
        let idle = include_str!("../../tests/fixtures/real/masters/05-agents-idle/m1-slaves.http");
        let agents = agents(body(idle)).unwrap();
        let seen: Vec<_> = agents
            .iter()
            .map(|agent| (agent.info.hostname.as_str(), agent.active, free(agent)))
            .collect();
        let all = "cpus:2;cpus(etl):1;mem:4096;mem(etl):1024;disk:8192;ports:[31000-32000]";
        assert_eq!(seen, [("a2", true, all.to_owned()), ("a1", true, all.to_owned())]);
        assert!(agents.iter().all(|agent| agent.drain.is_none() && !agent.deactivated));
        assert!(agents.iter().all(|agent| agent.address.parse::<std::net::IpAddr>().is_ok()));
    }

    fn free(agent: &Listed) -> String {
        agent.free.as_ref().unwrap().to_string()
    }

    #[test]
    fn what_a_role_has_taken_is_not_free_for_it() {
        let etl = include_str!("../../tests/fixtures/real/spark/pi-role-etl/slaves-during.http");
        let seen = agents(body(etl)).unwrap();
        // The executor took its memory of the reservation first, then of nothing else.
        let rest = "cpus:0;cpus(etl):0;mem:4096;mem(etl):128;disk:8192;ports:[31000-32000]";
        assert!(seen.iter().all(|agent| free(agent) == rest), "{seen:?}");
        let roles = roles(body(include_str!(
            "../../tests/fixtures/real/spark/pi-role-etl/roles-during.http"
        )));
        let etl = Role { name: "etl".to_owned(), weight: 1.0, exhausted: Vec::new() };
        assert_eq!(roles, Some(vec![etl]));
    }

    #[test]
    fn an_old_master_says_only_the_sum_of_what_is_used() {
        let agent = r#"{"slaves":[{"id":"S1","hostname":"a","pid":"slave(1)@1.2.3.4:5051","attributes":{},
            "resources":{"cpus":4,"mem":1024},"unreserved_resources":{"cpus":1,"mem":1024},
            "reserved_resources":{"etl":{"cpus":3}},"used_resources":{"cpus":2,"mem":1000}}]}"#;
        let free: Vec<String> = agents(agent).unwrap().iter().map(free).collect();
        assert_eq!(free, ["cpus:0;cpus(etl):2;mem:24"]);
    }

    #[test]
    fn a_quota_that_is_used_up_is_seen() {
        let body = r#"{"roles":[{"name":"etl","weight":2.0,"quota":{"limit":{"cpus":4.0,"mem":9.0},"consumed":{"cpus":4.0,"mem":1.0}}}]}"#;
        assert_eq!(roles(body).unwrap()[0].exhausted, ["cpus"]);
    }

    #[test]
    fn machines_in_maintenance_are_seen_going_down_and_down() {
        let going = include_str!("../../tests/fixtures/real/masters/13-maintenance/04-status.http");
        let down =
            include_str!("../../tests/fixtures/real/masters/13-maintenance/09-status-down.http");
        for answer in [going, down] {
            assert_eq!(in_maintenance(body(answer)), ["172.31.7.21".to_owned()].into());
        }
        assert!(in_maintenance("No leader elected").is_empty());
    }

    #[test]
    fn the_recorded_drain_is_seen_to_go_on_and_to_end() {
        let states = |answer| -> Vec<String> {
            agents(body(answer)).unwrap().into_iter().filter_map(|agent| agent.drain).collect()
        };
        let draining =
            include_str!("../../tests/fixtures/real/masters/12-drain/04-slaves-draining.http");
        let drained =
            include_str!("../../tests/fixtures/real/masters/12-drain/05-slaves-drained.http");
        assert_eq!(states(draining), ["DRAINING"]);
        assert_eq!(states(drained), ["DRAINED"]);
    }

    #[test]
    fn the_recorded_numbers_tell_who_leads() {
        let leader = include_str!(
            "../../tests/fixtures/real/masters/05-agents-idle/m1-metrics_snapshot.http"
        );
        let metrics = Metrics::read(body(leader)).unwrap();
        assert_eq!(metrics.get("master/elected"), Some(1.0));
        assert_eq!(metrics.ending("/elected"), Some(1.0));
        assert_eq!(metrics.get("elected"), None);
    }

    #[test]
    fn an_agent_at_an_ipv6_address_is_read_and_a_master_that_does_not_lead_is_not() {
        let agent = r#"{"id":"S1","hostname":"a","pid":"slave(1)@[fd00::1]:5051","attributes":{},"resources":{}}"#;
        let state = |leader: &str| {
            format!(r#"{{"leader":"{leader}","pid":"master@1.2.3.4:5050","slaves":[{agent}]}}"#)
        };
        assert_eq!(agents(&state("master@1.2.3.4:5050")).unwrap()[0].address, "fd00::1");
        assert_eq!(agents(&state("master@1.2.3.5:5050")), None);
        for no_answer in ["", "[]", "{}", "No leader elected", "{\"slaves\":1}"] {
            assert!(agents(no_answer).is_none() && roles(no_answer).is_none(), "{no_answer}");
        }
    }
}
