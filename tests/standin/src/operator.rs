//! The master's HTTP side: who answers what, and the operators' v1 API.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::auth::{Credential, Verdict};
use crate::http::{Handler, Request, Response};
use crate::info::AgentInfo;
use crate::master::{Agent, Master, State};
use crate::registry::Drain;
use crate::{clock, flags, log, maintenance, views, weights};

/// The path over which agents of this stand-in speak to their master.
pub(crate) const AGENT_PATH: &str = "/standin/agent";

/// One client's connection; an agent's is its sign of life.
#[derive(Debug)]
pub(crate) struct Connection {
    master: Arc<Master>,
    number: u64,
    agent: Option<String>,
}

impl Connection {
    pub(crate) fn new(master: Arc<Master>) -> Connection {
        let number = {
            let mut state = master.state();
            state.next_connection += 1;
            state.next_connection
        };
        Connection { master, number, agent: None }
    }
}

impl Handler for Connection {
    fn handle(&mut self, request: &Request) -> Response {
        if request.path == AGENT_PATH {
            return self.speak(request);
        }
        answer(&self.master, request)
    }

    fn closed(&mut self) {
        let Some(id) = self.agent.take() else { return };
        let mut state = self.master.state();
        if let Some(agent) = state.agents.get_mut(&id)
            && agent.connection == Some(self.number)
        {
            agent.connection = None;
            let hostname = &agent.info.hostname;
            log::info(
                "master.cpp:1394",
                &format!("Agent {id} at {} ({hostname}) disconnected", agent.pid),
            );
        }
    }
}

fn answer(master: &Master, request: &Request) -> Response {
    let path = request.path.trim_end_matches('/');
    let path = path.strip_prefix("/master").unwrap_or(path).trim_start_matches('/');
    // What every master answers itself.
    match path {
        // Where /redirect leads to; the real one's web interface.
        "" => return Response::html("<!DOCTYPE html><title>Mesos stand-in</title>see /state\n"),
        "health" => return Response::ok(),
        "version" => return Response::json(&views::version()),
        "flags" => return Response::json(&json!({ "flags": master.flags.to_json() })),
        "metrics/snapshot" => return Response::json(&views::metrics(master, &master.state())),
        "redirect" => return redirect_root(master),
        _ => {}
    }
    if !LEADER_PATHS.contains(&path) {
        return Response::not_found();
    }
    let mut state = master.state();
    if !state.is_elected() {
        return match &state.leader {
            Some(leader) => {
                let query = request.query.as_ref().map(|query| format!("?{query}"));
                let query = query.unwrap_or_default();
                Response::redirect(format!("//{}/master/{path}{query}", leader.advertised()))
            }
            None => no_leader(),
        };
    }
    let get = request.method == "GET" || request.method == "HEAD";
    match (path, get) {
        ("state", true) => Response::json(&views::state(master, &state)),
        ("slaves", true) => Response::json(&views::slaves(&state, request.query.as_deref())),
        ("state-summary", true) => Response::json(&views::summary(master, &state)),
        ("frameworks", true) => Response::json(&views::frameworks()),
        ("roles", true) => Response::json(&views::roles(&state)),
        ("tasks", true) => Response::json(&json!({ "tasks": [] })),
        ("quota", true) => Response::json(&json!({})),
        ("weights", true) => Response::json(&weights::to_json(&state.registry.weights)),
        ("maintenance/schedule", true) => Response::json(&maintenance::schedule(&state)),
        ("maintenance/status", true) => Response::json(&maintenance::status(&state)),
        (_, _) if !state.is_leading() => Response::text(503, "Master has not finished recovery"),
        ("weights", false) if request.method == "PUT" => {
            update(master, &mut state, weights::of_body(&request.body))
        }
        ("api/v1", false) => v1(master, &mut state, request),
        ("maintenance/schedule" | "machine/down" | "machine/up", false) => {
            maintenance::post(master, &mut state, path, &request.body)
        }
        _ => Response::text(405, &format!("Expecting another method than '{}'", request.method)),
    }
}

const LEADER_PATHS: [&str; 14] = [
    "state",
    "slaves",
    "state-summary",
    "frameworks",
    "roles",
    "tasks",
    "quota",
    "weights",
    "maintenance/schedule",
    "maintenance/status",
    "machine/down",
    "machine/up",
    "api/v1",
    "teardown",
];

fn redirect_root(master: &Master) -> Response {
    match &master.state().leader {
        Some(leader) => Response::redirect(format!("//{}", leader.advertised())),
        None => no_leader(),
    }
}

fn no_leader() -> Response {
    Response::text(503, "No leader elected")
}

fn v1(master: &Master, state: &mut State, request: &Request) -> Response {
    let kind = request.content_type.as_deref().unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Response::text(
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        );
    }
    let text = String::from_utf8_lossy(&request.body);
    let Ok(call) = serde_json::from_str::<Json>(&text) else {
        let error = flags::syntax_error(&text);
        return Response::bad_request(&format!("Failed to parse body into JSON: {error}"));
    };
    let answer = |name: &str, body: Json| {
        Response::json(&json!({ "type": name, name.to_lowercase(): body }))
    };
    match call["type"].as_str().unwrap_or_default() {
        name @ "GET_HEALTH" => answer(name, json!({ "healthy": true })),
        name @ "GET_VERSION" => answer(name, json!({ "version_info": views::version() })),
        name @ "GET_WEIGHTS" => {
            answer(name, json!({ "weight_infos": weights::to_v1(&state.registry.weights) }))
        }
        name @ "GET_ROLES" => answer(name, views::roles_v1(state)),
        name @ "GET_AGENTS" => answer(name, views::agents_v1(state)),
        name @ "GET_MASTER" => answer(name, views::master_v1(master, state)),
        name @ "GET_MAINTENANCE_STATUS" => {
            answer(name, json!({ "status": maintenance::status(state) }))
        }
        name @ "GET_MAINTENANCE_SCHEDULE" => {
            answer(name, json!({ "schedule": maintenance::schedule(state) }))
        }
        "UPDATE_WEIGHTS" => {
            update(master, state, weights::of_infos(&call["update_weights"]["weight_infos"]))
        }
        "DRAIN_AGENT" => drain(master, state, &call["drain_agent"]),
        "DEACTIVATE_AGENT" => deactivate(master, state, &call["deactivate_agent"]),
        "REACTIVATE_AGENT" => reactivate(master, state, &call["reactivate_agent"]),
        "MARK_AGENT_GONE" => mark_gone(master, state, &call["mark_agent_gone"]),
        other => Response::bad_request(&format!(
            "Failed to convert JSON into Call protobuf: Failed to find enum for '{other}'"
        )),
    }
}

/// 200 with an empty body, or why the registry could not be written.
pub(crate) fn stored(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => Response::ok(),
        Err(error) => Response::text(500, &error),
    }
}

fn update(
    master: &Master,
    state: &mut State,
    weights: Result<std::collections::BTreeMap<String, f64>, String>,
) -> Response {
    match weights {
        Ok(weights) => stored(master.change(state, |registry| registry.weights.extend(weights))),
        Err(error) => Response::bad_request(&error),
    }
}

/// The id in a call, if the agent is known.
fn known_agent(state: &State, call: &Json) -> Result<String, Response> {
    let id = call["agent_id"]["value"].as_str().unwrap_or_default().to_owned();
    let known =
        state.registry.agents.contains_key(&id) || state.registry.unreachable.contains_key(&id);
    if known { Ok(id) } else { Err(Response::bad_request("Unknown agent")) }
}

fn drain(master: &Master, state: &mut State, call: &Json) -> Response {
    let grace = &call["max_grace_period"];
    if grace.is_string() {
        return Response::bad_request(
            "Failed to convert JSON into Call protobuf: Not expecting a JSON string for field 'max_grace_period'",
        );
    }
    let id = match known_agent(state, call) {
        Ok(id) => id,
        Err(response) => return response,
    };
    if let Some(agent) = state.agents.get(&id) {
        let (hostname, ip) = (agent.info.hostname.as_str(), agent.ip());
        if maintenance::is_scheduled(state, hostname, ip) {
            return Response::bad_request(&format!(
                "Agent {id} is part of a maintenance schedule under Machine {hostname} ({ip})"
            ));
        }
    }
    let mark_gone = call["mark_gone"].as_bool().unwrap_or(false);
    let mut config = json!({});
    if grace.is_object() {
        let part = |name: &str| {
            grace[name].as_i64().or_else(|| grace[name].as_str()?.parse().ok()).unwrap_or(0)
        };
        let nanoseconds = part("seconds") * 1_000_000_000 + part("nanos");
        config["max_grace_period"] = json!({ "nanoseconds": nanoseconds });
    }
    config["mark_gone"] = mark_gone.into();
    let drain = Drain { config, started: clock::seconds() };
    let marked = master.change(state, |registry| {
        // A second call is accepted and changes nothing.
        registry.draining.entry(id.clone()).or_insert(drain);
        registry.deactivated.insert(id.clone());
    });
    match marked {
        Ok(()) if mark_gone => stored(make_gone(master, state, &id)),
        other => stored(other),
    }
}

fn deactivate(master: &Master, state: &mut State, call: &Json) -> Response {
    match known_agent(state, call) {
        Ok(id) => stored(master.change(state, |registry| {
            registry.deactivated.insert(id);
        })),
        Err(response) => response,
    }
}

fn reactivate(master: &Master, state: &mut State, call: &Json) -> Response {
    match known_agent(state, call) {
        Ok(id) if !state.registry.deactivated.contains(&id) => {
            Response::bad_request("Agent is not deactivated")
        }
        // As from MESOS-10096 on.
        Ok(id) if state.registry.draining.get(&id).is_some_and(|it| it.state() == "DRAINING") => {
            Response::bad_request("Agent is still in the DRAINING state")
        }
        Ok(id) => stored(master.change(state, |registry| {
            registry.deactivated.remove(&id);
            registry.draining.remove(&id);
        })),
        Err(response) => response,
    }
}

fn mark_gone(master: &Master, state: &mut State, call: &Json) -> Response {
    match known_agent(state, call) {
        Ok(id) => stored(make_gone(master, state, &id)),
        Err(_) => Response::text(404, "Agent not found"),
    }
}

fn make_gone(master: &Master, state: &mut State, id: &str) -> Result<(), String> {
    master.change(state, |registry| {
        registry.forget(id);
        registry.gone.insert(id.to_owned());
    })?;
    state.agents.remove(id);
    state.farewells.insert(id.to_owned(), "Agent has been marked gone".to_owned());
    state.counts.removals += 1;
    Ok(())
}

impl Connection {
    /// What an agent says, and what it is told.
    fn speak(&mut self, request: &Request) -> Response {
        let message: Json = serde_json::from_slice(&request.body).unwrap_or_default();
        let master = Arc::clone(&self.master);
        let mut state = master.state();
        if !state.is_leading() {
            return Response::text(503, "not a leading master whose registry is recovered");
        }
        match message["kind"].as_str() {
            Some("register") => Response::json(&self.register(&mut state, &message)),
            Some("heartbeat") => Response::json(&self.heartbeat(&mut state)),
            _ => Response::bad_request("unknown kind of message"),
        }
    }

    fn heartbeat(&self, state: &mut State) -> Json {
        let Some(id) = &self.agent else { return json!({ "unknown": true }) };
        if let Some(reason) = state.farewells.remove(id) {
            return json!({ "shutdown": reason });
        }
        match state.agents.get_mut(id) {
            Some(agent) if agent.connection == Some(self.number) => {
                agent.last_seen = Instant::now();
                json!({})
            }
            _ => json!({ "unknown": true }),
        }
    }

    fn register(&mut self, state: &mut State, message: &Json) -> Json {
        let Some(mut info) = AgentInfo::of_json(&message["info"]) else {
            return json!({ "ignored": true });
        };
        let pid = message["pid"].as_str().unwrap_or_default().to_owned();
        let hostname = info.hostname.clone();
        let credential: Option<Credential> =
            serde_json::from_value(message["credential"].clone()).ok();
        match self.master.credentials.judge(credential.as_ref()) {
            Verdict::Admitted => {}
            Verdict::Refused => {
                log::warning(
                    "master.cpp:10021",
                    &format!("Failed to authenticate {pid}: Refused authentication"),
                );
                return json!({ "refused": true });
            }
            Verdict::Ignored => {
                log::warning(
                    "master.cpp:6330",
                    &format!(
                        "Refusing registration of agent at {pid} because it is not authenticated"
                    ),
                );
                return json!({ "ignored": true });
            }
        }
        let again = info.id.is_some();
        let id = match info.id.clone() {
            Some(id) => id,
            None => {
                state.next_agent += 1;
                format!("{}-S{}", self.master.id, state.next_agent - 1)
            }
        };
        if state.registry.gone.contains(&id) {
            return json!({ "shutdown": "Agent has been marked gone" });
        }
        info.id = Some(id.clone());
        let now = clock::seconds();
        let before = state.agents.get(&id);
        let agent = Agent {
            registered_time: before.map_or(now, |agent| agent.registered_time),
            reregistered_time: again.then_some(now),
            version: message["version"].as_str().unwrap_or_default().to_owned(),
            connection: Some(self.number),
            last_seen: Instant::now(),
            pid,
            info,
        };
        if maintenance::is_down(state, &hostname, agent.ip()) {
            return json!({ "shutdown": "Machine is 'DOWN'" });
        }
        // A new id at the address of an old one: that one will not come back.
        let same_place =
            |(other, there): &(&String, &Agent)| **other != id && there.pid == agent.pid;
        let replaced = state.agents.iter().find(same_place).map(|(other, _)| other.clone());
        let admitted = self.master.change(state, |registry| {
            if let Some(old) = &replaced {
                registry.forget(old);
            }
            registry.unreachable.remove(&id);
            registry.agents.insert(id.clone(), agent.info.to_json());
        });
        if let Err(error) = admitted {
            log::warning("master.cpp:6400", &error);
            return json!({ "ignored": true });
        }
        if let Some(old) = replaced {
            state.agents.remove(&old);
            state.counts.removals += 1;
        }
        if again {
            state.counts.reregistrations += 1;
            log::info(
                "master.cpp:7185",
                &format!("Re-registered agent {id} at {} ({hostname})", agent.pid),
            );
        } else {
            state.counts.registrations += 1;
            log::info(
                "master.cpp:6510",
                &format!("Registered agent {id} at {} ({hostname})", agent.pid),
            );
        }
        state.farewells.remove(&id);
        state.agents.insert(id.clone(), agent);
        self.agent = Some(id.clone());
        json!({ "id": id })
    }
}
