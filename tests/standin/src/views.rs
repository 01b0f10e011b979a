//! The JSON that a master answers, in the shape that was recorded from a real one: the same keys in
//! the same order.

use mesos_messages::TaskState;
use serde_json::{Value as Json, json};

use crate::frameworks::Framework;
use crate::frameworks::views::{COUNTED, full, sums};
use crate::info::{AGENT_CAPABILITIES, AgentInfo, ResourceViews};
use crate::master::{Agent, CAPABILITIES, Master, State};
use crate::values::Resource;
use crate::{clock, resources, version};

/// `/version`.
pub(crate) fn version() -> Json {
    json!({
        "build_date": "1970-01-01 00:00:00 UTC",
        "build_time": 0.0,
        "build_user": "standin",
        "version": version::mesos(),
    })
}

/// `/state` of a leading master.
pub(crate) fn state(master: &Master, state: &State) -> Json {
    let active = state.agents.iter().filter(|(id, agent)| state.is_active(id, agent)).count();
    let mut view = json!({
        "version": version::mesos(),
        "build_date": "1970-01-01 00:00:00 UTC",
        "build_time": 0.0,
        "build_user": "standin",
        "start_time": master.start_time,
    });
    if let Some(elected) = state.elected_time {
        view["elected_time"] = elected.into();
    }
    view["id"] = master.id.as_str().into();
    view["pid"] = master.pid().into();
    view["hostname"] = master.place.hostname.as_str().into();
    view["capabilities"] = json!(CAPABILITIES);
    view["activated_slaves"] = json!(active as f64);
    view["deactivated_slaves"] = json!((state.agents.len() - active) as f64);
    view["unreachable_slaves"] = json!(state.registry.unreachable.len() as f64);
    if let Some(leader) = &state.leader {
        view["leader"] = leader.pid().into();
        let of = |name: &str| leader.info[name].clone();
        view["leader_info"] = json!({
            "id": of("id"), "pid": of("pid"), "port": of("port"), "hostname": of("hostname"),
        });
    }
    put_cluster(&mut view, master);
    if let Some(dir) = master.flags.text("log_dir") {
        view["log_dir"] = dir.into();
    }
    view["flags"] = master.flags.to_json();
    view["slaves"] = each_agent(state, agent);
    view["recovered_slaves"] = recovered(state);
    state.frameworks.put(&mut view);
    view["orphan_tasks"] = json!([]);
    view["unregistered_frameworks"] = json!([]);
    view
}

/// `/slaves`, or the one agent that a query names.
pub(crate) fn slaves(state: &State, query: Option<&str>) -> Json {
    let whole = |state: &State, id: &str, of: &Agent| {
        let mut view = agent(state, id, of);
        let ResourceViews { reserved_full, unreserved_full, .. } = of.info.resource_views();
        view["reserved_resources_full"] = reserved_full;
        view["unreserved_resources_full"] = unreserved_full;
        let used = state.frameworks.tasks_on(id);
        view["used_resources_full"] =
            full(used.map(|task| (task.role.as_str(), task.resources.clone())));
        let offers = state.frameworks.offers.values().filter(|offer| offer.agent_id == id);
        view["offered_resources_full"] =
            full(offers.map(|offer| (offer.role.as_str(), offer.resources.clone())));
        view
    };
    let mut slaves = each_agent(state, whole);
    let one = query.and_then(|query| query.strip_prefix("slave_id="));
    if let (Some(id), Some(list)) = (one, slaves.as_array_mut()) {
        list.retain(|view| view["id"] == id);
    }
    json!({ "slaves": slaves, "recovered_slaves": recovered(state) })
}

/// `/state-summary`.
pub(crate) fn summary(master: &Master, state: &State) -> Json {
    let with_tasks = |state: &State, id: &str, of: &Agent| {
        let mut view = agent(state, id, of);
        state.frameworks.put_agent_summary(&mut view, id);
        view
    };
    let mut view = json!({ "hostname": master.place.hostname });
    put_cluster(&mut view, master);
    view["slaves"] = each_agent(state, with_tasks);
    view["frameworks"] = state.frameworks.summaries();
    view
}

/// `/frameworks`.
pub(crate) fn frameworks(state: &State) -> Json {
    let mut view = json!({});
    state.frameworks.put(&mut view);
    view["unregistered_frameworks"] = json!([]);
    view
}

/// `/roles`: those with a framework, a weight or a reservation.
pub(crate) fn roles(state: &State) -> Json {
    let view = |name: &String| {
        let frameworks = state.frameworks.registered.values();
        let members = frameworks.filter(|framework| framework.roles().contains(name));
        let mut allocated = Vec::new();
        for framework in state.frameworks.registered.values() {
            resources::add(&mut allocated, &framework.used(Some(name)));
        }
        let offered = state.frameworks.offered(|offer| offer.role == *name);
        let mut all = allocated.clone();
        resources::add(&mut all, &offered);
        let reserved = reserved(state, name);
        // A reservation counts, used or not; of the rest only what is used or offered.
        let mut consumed = reserved.clone();
        consumed.extend(all.iter().filter(|resource| resource.role.is_none()).cloned());
        json!({
            "name": name,
            "weight": weight(state, name),
            "quota": { "role": name, "guarantee": {}, "limit": {}, "consumed": scalars(&consumed) },
            "resources": scalars(&all),
            "allocated": scalars(&allocated),
            "offered": scalars(&offered),
            "reserved": scalars(&reserved),
            "frameworks": members.map(Framework::id).collect::<Vec<_>>(),
        })
    };
    json!({ "roles": role_names(state).iter().map(view).collect::<Vec<_>>() })
}

/// GET_ROLES.
pub(crate) fn roles_v1(state: &State) -> Json {
    let view = |name: &String| json!({ "name": name, "weight": weight(state, name) });
    json!({ "roles": role_names(state).iter().map(view).collect::<Vec<_>>() })
}

/// GET_AGENTS.
pub(crate) fn agents_v1(state: &State) -> Json {
    let nanoseconds = |seconds: f64| json!({ "nanoseconds": (seconds * 1e9) as i64 });
    let view = |state: &State, id: &str, agent: &Agent| {
        let mut view = json!({
            "agent_info": agent.info.to_json(),
            "active": state.is_active(id, agent),
            "deactivated": state.registry.deactivated.contains(id),
            "version": agent.version,
            "pid": agent.pid,
            "registered_time": nanoseconds(agent.registered_time),
        });
        if let Some(time) = agent.reregistered_time {
            view["reregistered_time"] = nanoseconds(time);
        }
        let total = agent.info.resources.iter().map(Resource::to_full_json);
        view["total_resources"] = total.collect();
        view["capabilities"] =
            AGENT_CAPABILITIES.iter().map(|name| json!({ "type": name })).collect();
        if let Some(drain) = state.registry.draining.get(id) {
            view["drain_info"] = json!({ "state": drain.state(), "config": drain.config });
            // Whole seconds, as recorded.
            view["estimated_drain_start_time"] = nanoseconds(drain.started.trunc());
        }
        view
    };
    let recovered: Vec<&Json> = not_back(state).map(|(_, info)| info).collect();
    json!({ "agents": each_agent(state, view), "recovered_agents": recovered })
}

/// GET_MASTER.
pub(crate) fn master_v1(master: &Master, state: &State) -> Json {
    let mut view = json!({ "master_info": master.info(), "start_time": master.start_time });
    if let Some(elected) = state.elected_time {
        view["elected_time"] = elected.into();
    }
    view
}

/// `/metrics/snapshot`.
pub(crate) fn metrics(master: &Master, state: &State) -> Json {
    let agents = &state.agents;
    let sum = |name: &str| agents.values().map(|agent| agent.info.scalar(name)).sum::<f64>();
    let count = |number: usize| number as f64;
    let active = agents.iter().filter(|(id, agent)| state.is_active(id, agent)).count();
    let connected = agents.values().filter(|agent| agent.connection.is_some()).count();
    let elected = if state.is_elected() { 1.0 } else { 0.0 };
    let voting = if state.log.is_some() { 1.0 } else { 0.0 };
    let mut view = json!({ "master/elected": elected });
    for name in ["cpus", "disk", "gpus", "mem"] {
        view[format!("master/{name}_total")] = json!(sum(name));
        let used = agents.keys().map(|id| resources::scalar(&state.frameworks.used_on(id), name));
        let used = used.sum::<f64>();
        view[format!("master/{name}_used")] = json!(used);
        let percent = if used > 0.0 { used / sum(name) } else { 0.0 };
        view[format!("master/{name}_percent")] = json!(percent);
    }
    let frameworks = &state.frameworks.registered;
    let served = frameworks.values().filter(|framework| framework.is_active()).count();
    view["master/frameworks_active"] = json!(count(served));
    view["master/frameworks_connected"] = json!(count(served));
    view["master/frameworks_disconnected"] = json!(count(frameworks.len() - served));
    view["master/frameworks_inactive"] = json!(count(frameworks.len() - served));
    view["master/outstanding_offers"] = json!(count(state.frameworks.offers.len()));
    view["master/slave_registrations"] = json!(state.counts.registrations as f64);
    view["master/slave_removals"] = json!(state.counts.removals as f64);
    view["master/slave_reregistrations"] = json!(state.counts.reregistrations as f64);
    view["master/slaves_active"] = json!(count(active));
    view["master/slaves_connected"] = json!(count(connected));
    view["master/slaves_disconnected"] = json!(count(agents.len() - connected));
    view["master/slaves_inactive"] = json!(count(agents.len() - active));
    view["master/slaves_unreachable"] = json!(count(state.registry.unreachable.len()));
    for name in COUNTED {
        let counted = TaskState::of_name(name).map_or(0, |it| state.frameworks.count(it));
        let name = name.to_lowercase().replace("task_", "tasks_");
        view[format!("master/{name}")] = json!(count(counted));
    }
    for framework in frameworks.values().chain(&state.frameworks.completed) {
        framework.put_metrics(&mut view);
    }
    view["master/uptime_secs"] = json!(clock::seconds() - master.start_time);
    // At least this master's own replica, as recorded without any ZooKeeper.
    view["registrar/log/ensemble_size"] = json!(count(state.replicas.max(1)));
    view["registrar/log/recovered"] = json!(voting);
    view["registrar/queued_operations"] = json!(0.0);
    if state.is_leading() {
        view["registrar/registry_size_bytes"] = json!(count(state.registry.to_bytes().len()));
    }
    view
}

fn put_cluster(view: &mut Json, master: &Master) {
    if let Some(cluster) = master.flags.text("cluster") {
        view["cluster"] = cluster.into();
    }
}

fn each_agent(state: &State, view: impl Fn(&State, &str, &Agent) -> Json) -> Json {
    state.agents.iter().map(|(id, agent)| view(state, id, agent)).collect()
}

/// What `/state`, `/slaves` and `/state-summary` have in common.
fn agent(state: &State, id: &str, agent: &Agent) -> Json {
    let ResourceViews { total, reserved, unreserved, .. } = agent.info.resource_views();
    let mut view = json!({
        "id": id,
        "hostname": agent.info.hostname,
        "port": agent.info.port,
        "attributes": agent.info.attributes_json(),
        "pid": agent.pid,
        "registered_time": agent.registered_time,
    });
    if let Some(time) = agent.reregistered_time {
        view["reregistered_time"] = time.into();
    }
    view["resources"] = total;
    view["used_resources"] = sums(&state.frameworks.used_on(id));
    view["offered_resources"] = sums(&state.frameworks.offered(|offer| offer.agent_id == id));
    view["reserved_resources"] = reserved;
    view["unreserved_resources"] = unreserved;
    view["active"] = state.is_active(id, agent).into();
    view["deactivated"] = state.registry.deactivated.contains(id).into();
    view["version"] = agent.version.as_str().into();
    view["capabilities"] = json!(AGENT_CAPABILITIES);
    if let Some(drain) = state.registry.draining.get(id) {
        view["drain_info"] = json!({ "state": drain.state(), "config": drain.config });
        view["estimated_drain_start_time_seconds"] = drain.started.into();
    }
    view
}

/// Agents that a former leader knew and that are not back yet.
fn not_back(state: &State) -> impl Iterator<Item = (&String, &Json)> {
    state.registry.agents.iter().filter(|(id, _)| !state.agents.contains_key(*id))
}

fn recovered(state: &State) -> Json {
    let known = not_back(state).filter_map(|(id, info)| Some((id, AgentInfo::of_json(info)?)));
    let view = |(id, info): (&String, AgentInfo)| {
        json!({
            "id": id,
            "hostname": info.hostname,
            "port": info.port,
            "attributes": info.attributes_json(),
        })
    };
    known.map(view).collect()
}

fn role_names(state: &State) -> Vec<String> {
    let reserved = state.agents.values().flat_map(|agent| &agent.info.resources);
    let reserved = reserved.filter_map(|resource| resource.role.clone());
    let members = state.frameworks.registered.values().flat_map(Framework::roles);
    let named = reserved.chain(members).chain(state.registry.weights.keys().cloned());
    let mut names: Vec<String> = named.collect();
    names.sort();
    names.dedup();
    names
}

fn weight(state: &State, role: &str) -> f64 {
    state.registry.weights.get(role).copied().unwrap_or(1.0)
}

/// What is reserved for a role on all agents.
fn reserved(state: &State, role: &str) -> Vec<Resource> {
    let all = state.agents.values().flat_map(|agent| &agent.info.resources);
    all.filter(|resource| resource.role.as_deref() == Some(role)).cloned().collect()
}

/// The sums of scalars; what is zero is left out.
fn scalars(resources: &[Resource]) -> Json {
    let mut names: Vec<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let sums = names.into_iter().map(|name| (name, resources::scalar(resources, name)));
    Json::Object(
        sums.filter(|(_, sum)| *sum > 0.0).map(|(n, sum)| (n.into(), sum.into())).collect(),
    )
}
