//! The master's HTTP side: who answers what, and the operators' v1 API.

use std::net::TcpStream;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::auth::Realm;
use crate::frameworks::Removal;
use crate::http::{Handler, Request, Response};
use crate::master::{Master, State};
use crate::orders::Order;
use crate::registry::Drain;
use crate::scheduler::{self, Subscription};
use crate::{clock, flags, log, maintenance, replica, views, weights};

/// The path over which agents of this stand-in speak to their master.
pub(crate) const AGENT_PATH: &str = "/standin/agent";

/// One client's connection; an agent's is its sign of life.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) master: Arc<Master>,
    pub(crate) number: u64,
    /// The agent that registered over it.
    pub(crate) agent: Option<String>,
    pub(crate) peer: Option<TcpStream>,
    /// The framework whose events go over it.
    pub(crate) subscription: Option<Subscription>,
}

impl Connection {
    pub(crate) fn new(master: Arc<Master>) -> Connection {
        let number = {
            let mut state = master.state();
            state.next_connection += 1;
            state.next_connection
        };
        Connection { master, number, agent: None, peer: None, subscription: None }
    }
}

impl Handler for Connection {
    fn handle(&mut self, request: &Request) -> Response {
        if request.path == AGENT_PATH {
            return self.speak(request);
        }
        if request.path == replica::PATH {
            return Response::text(200, self.master.state().log.as_deref().unwrap_or_default());
        }
        if leaf(&request.path) == scheduler::PATH {
            return self.call(request);
        }
        match admitted(&self.master, request) {
            Ok(()) => answer(&self.master, request),
            Err(refusal) => refusal,
        }
    }

    fn met(&mut self, peer: &TcpStream) {
        self.peer = peer.try_clone().ok();
    }

    fn closed(&mut self) {
        if let Some(Subscription { framework_id, stream_id }) = self.subscription.take() {
            self.master.state().framework_disconnected(&framework_id, &stream_id);
        }
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
            state.agent_disconnected(&id);
        }
    }
}

/// The path without the name of the process that may stand before it.
fn leaf(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_prefix("/master").unwrap_or(path).trim_start_matches('/')
}

/// Whether whoever asks may: who it is first, then, at the leader, what that one may do.
fn admitted(master: &Master, request: &Request) -> Result<(), Response> {
    let path = leaf(&request.path);
    let Ok(principal) = master.credentials.over_http(path, request.header("authorization")) else {
        let realm = match Realm::of(path) {
            Realm::ReadWrite => "mesos-master-readwrite",
            _ => "mesos-master-readonly",
        };
        return Err(Response::unauthorized(realm));
    };
    let state = master.state();
    if !state.is_elected() {
        return Ok(());
    }
    let of = |id: &str| state.frameworks.registered.get(id)?.info.principal.clone();
    let (who, method) = (principal.as_deref(), request.method.as_str());
    match master.credentials.acls().allow_request(who, path, method, &request.body, of) {
        true => Ok(()),
        false => Err(Response::text(403, "403 Forbidden.")),
    }
}

/// Where a master that is not elected sends people.
pub(crate) fn elsewhere(state: &State, path: &str, request: &Request) -> Option<Response> {
    if state.is_elected() {
        return None;
    }
    Some(match &state.leader {
        Some(leader) => {
            let query = request.query.as_ref().map(|query| format!("?{query}"));
            let query = query.unwrap_or_default();
            Response::redirect(format!("//{}/master/{path}{query}", leader.advertised()))
        }
        None => no_leader(),
    })
}

fn answer(master: &Master, request: &Request) -> Response {
    let path = leaf(&request.path);
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
    if let Some(response) = elsewhere(&state, path, request) {
        return response;
    }
    let get = request.method == "GET" || request.method == "HEAD";
    match (path, get) {
        ("state", true) => Response::json(&views::state(master, &state)),
        ("slaves", true) => Response::json(&views::slaves(&state, request.query.as_deref())),
        ("state-summary", true) => Response::json(&views::summary(master, &state)),
        ("frameworks", true) => Response::json(&views::frameworks(&state)),
        ("roles", true) => Response::json(&views::roles(&state)),
        ("tasks", true) => Response::json(&state.frameworks.tasks(request)),
        ("quota", true) => Response::json(&json!({})),
        ("weights", true) => Response::json(&weights::to_json(&state.registry.weights)),
        ("maintenance/schedule", true) => Response::json(&maintenance::schedule(&state)),
        ("maintenance/status", true) => Response::json(&maintenance::status(&state)),
        (_, _) if !state.is_leading() => not_recovered(),
        ("weights", false) if request.method == "PUT" => {
            update(master, &mut state, weights::of_body(&request.body))
        }
        ("api/v1", false) => v1(master, &mut state, request),
        ("teardown", false) => teardown(&mut state, &request.body),
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

pub(crate) fn not_recovered() -> Response {
    Response::text(503, "Master has not finished recovery")
}

/// Source: src/master/http.cpp at 1.11.0, `teardown`.
fn teardown(state: &mut State, body: &[u8]) -> Response {
    let body = String::from_utf8_lossy(body);
    let named = body.trim().split('&').find_map(|pair| pair.strip_prefix("frameworkId="));
    match named {
        None => Response::bad_request("Missing 'frameworkId' query parameter"),
        Some(id) if state.remove_framework(id) => Response::ok(),
        Some(_) => Response::bad_request("No framework found with specified ID"),
    }
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
        Ok(weights) => {
            let changed = master.change(state, |registry| registry.weights.extend(weights));
            if changed.is_ok() {
                // What is offered was divided by the old ones.
                state.rescind_offers(|_| true);
            }
            stored(changed)
        }
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
    let drain = Drain { config, started: clock::seconds(), drained: false };
    // A second call is accepted and changes nothing.
    let order = (!state.registry.draining.contains_key(&id)).then(|| drain.order());
    let marked = master.change(state, |registry| {
        registry.draining.entry(id.clone()).or_insert(drain);
        registry.deactivated.insert(id.clone());
    });
    state.rescind_inactive();
    if let Some(order) = order.filter(|_| marked.is_ok()) {
        state.order(&id, order);
        master.see_about_drain(state, &id);
    }
    stored(marked)
}

fn deactivate(master: &Master, state: &mut State, call: &Json) -> Response {
    match known_agent(state, call) {
        Ok(id) => {
            let marked = master.change(state, |registry| {
                registry.deactivated.insert(id);
            });
            state.rescind_inactive();
            stored(marked)
        }
        Err(response) => response,
    }
}

fn reactivate(master: &Master, state: &mut State, call: &Json) -> Response {
    match known_agent(state, call) {
        Ok(id) if !state.registry.deactivated.contains(&id) => {
            Response::bad_request("Agent is not deactivated")
        }
        // As from MESOS-10096 on.
        Ok(id) if state.registry.draining.get(&id).is_some_and(|it| !it.drained) => {
            Response::bad_request("Agent is still in the DRAINING state")
        }
        Ok(id) => {
            let done = master.change(state, |registry| {
                registry.deactivated.remove(&id);
                registry.draining.remove(&id);
            });
            state.order(&id, Order::EndDrain);
            stored(done)
        }
        Err(response) => response,
    }
}

fn mark_gone(master: &Master, state: &mut State, call: &Json) -> Response {
    match known_agent(state, call) {
        Ok(id) => stored(make_gone(master, state, &id)),
        Err(_) => Response::text(404, "Agent not found"),
    }
}

/// The agent will never come back.
pub(crate) fn make_gone(master: &Master, state: &mut State, id: &str) -> Result<(), String> {
    master.change(state, |registry| {
        registry.forget(id);
        registry.gone.insert(id.to_owned());
    })?;
    state.remove_agent(id, Removal::Gone);
    state.farewells.insert(id.to_owned(), "Agent has been marked gone".to_owned());
    Ok(())
}
