//! What agents and their master say to each other, JSON over `POST /standin/agent`: an agent
//! registers, asks for orders over the same connection for as long as it lives, and sends what is
//! to be told about tasks over another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos_messages::{FrameworkInfo, TaskInfo, TaskStatus};
use serde_json::{Value as Json, json};

use crate::auth::{Credential, Verdict};
use crate::frameworks::Removal;
use crate::http::{Request, Response};
use crate::info::AgentInfo;
use crate::master::{Agent, Master, State};
use crate::operator::{Connection, make_gone};
use crate::orders::{Order, unpack};
use crate::{clock, http, log, maintenance};

/// For how long a request for orders is held when there are none: the sign of life of both ends.
const HOLD: Duration = Duration::from_millis(800);
const POLL: Duration = Duration::from_millis(20);

/// A framework that an agent has tasks of, as it says when it registers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) framework: FrameworkInfo,
    /// Each with all that was told about it, acknowledged or not.
    pub(crate) tasks: Vec<(TaskInfo, Vec<TaskStatus>)>,
}

impl Running {
    fn list_of_json(list: &Json) -> Vec<Running> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Running::of_json).collect()
    }

    fn of_json(object: &Json) -> Option<Running> {
        let tasks = object["tasks"].as_array().into_iter().flatten();
        let tasks = tasks.filter_map(|task| {
            let statuses = task["statuses"].as_array().into_iter().flatten();
            Some((unpack(&task["task"])?, statuses.filter_map(unpack).collect()))
        });
        Some(Running { framework: unpack(&object["framework"])?, tasks: tasks.collect() })
    }
}

impl State {
    /// Hands an agent an order; it takes those that wait in their order.
    pub(crate) fn order(&mut self, agent: &str, order: Order) {
        self.orders.entry(agent.to_owned()).or_default().push(order);
    }
}

impl Connection {
    /// What an agent says, and what it is told.
    pub(crate) fn speak(&mut self, request: &Request) -> Response {
        let message: Json = serde_json::from_slice(&request.body).unwrap_or_default();
        let master = Arc::clone(&self.master);
        if !master.state().is_leading() {
            return Response::text(503, "not a leading master whose registry is recovered");
        }
        match message["kind"].as_str() {
            Some("register") => Response::json(&self.register(&mut master.state(), &message)),
            Some("orders") => Response::json(&self.orders(&message)),
            Some("update") => Response::json(&self.update(&message)),
            _ => Response::bad_request("unknown kind of message"),
        }
    }

    /// The orders for the agent at the other end, once there are some.
    fn orders(&self, message: &Json) -> Json {
        let Some(id) = &self.agent else { return json!({ "unknown": true }) };
        let tasks = message["tasks"].as_u64().unwrap_or(0) as usize;
        let asked = Instant::now();
        let mut heard = false;
        loop {
            // The connection is closed with this answer, which nobody hears.
            if self.peer.as_ref().is_none_or(http::has_left) {
                return json!({ "unknown": true });
            }
            let mut state = self.master.state();
            if let Some(reason) = state.farewells.remove(id) {
                return json!({ "shutdown": reason });
            }
            let waiting = state.orders.get(id).is_some_and(|orders| !orders.is_empty());
            match state.agents.get_mut(id) {
                Some(agent) if agent.connection == Some(self.number) => {
                    agent.last_seen = Instant::now();
                    if !heard {
                        agent.tasks = tasks;
                    }
                }
                _ => return json!({ "unknown": true }),
            }
            heard = true;
            self.master.see_about_drain(&mut state, id);
            if waiting || asked.elapsed() > HOLD {
                let orders = state.orders.remove(id).unwrap_or_default();
                let launches = orders.iter().filter(|it| matches!(it, Order::Launch { .. }));
                let launches = launches.count();
                if let Some(agent) = state.agents.get_mut(id) {
                    agent.tasks += launches;
                }
                return json!({ "orders": orders.iter().map(Order::to_json).collect::<Vec<_>>() });
            }
            drop(state);
            std::thread::sleep(POLL);
        }
    }

    fn update(&self, message: &Json) -> Json {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        let (id, framework) = (text("agent_id"), text("framework_id"));
        {
            let state = self.master.state();
            let session = state.agents.get(id).and_then(|agent| agent.connection);
            if session.is_none() || session != message["session"].as_u64() {
                return json!({ "unknown": true });
            }
        }
        if let Some(status) = unpack::<TaskStatus>(&message["status"]) {
            self.master.state().status_update(id, framework, status);
        }
        json!({})
    }

    /// Admits an agent, which from then on speaks over this connection.
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
        let running = Running::list_of_json(&message["frameworks"]);
        let now = clock::seconds();
        let before = state.agents.get(&id);
        let agent = Agent {
            registered_time: before.map_or(now, |agent| agent.registered_time),
            reregistered_time: again.then_some(now),
            version: message["version"].as_str().unwrap_or_default().to_owned(),
            connection: Some(self.number),
            last_seen: Instant::now(),
            tasks: running.iter().map(|it| it.tasks.len()).sum(),
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
            const CAUSE: &str = "a new agent registered at the same address";
            state.remove_agent(&old, Removal::Removed(CAUSE));
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
        // Orders to the registration before are void: the agent has just said what it has.
        state.orders.remove(&id);
        if let Some(drain) = state.registry.draining.get(&id)
            && !drain.drained
        {
            let order = drain.order();
            state.order(&id, order);
        }
        state.agents.insert(id.clone(), agent);
        state.agent_registered(&self.master, &id, running);
        self.agent = Some(id.clone());
        json!({ "id": id, "session": self.number })
    }
}

impl Master {
    /// A drain is over when the agent has nothing left and no order on its way.
    pub(crate) fn see_about_drain(&self, state: &mut State, id: &str) {
        let goes_on = state.registry.draining.get(id).is_some_and(|drain| !drain.drained);
        let busy = state.agents.get(id).is_none_or(|agent| agent.tasks > 0)
            || state.orders.get(id).is_some_and(|orders| {
                orders.iter().any(|order| matches!(order, Order::Launch { .. }))
            });
        if !goes_on || busy {
            return;
        }
        let mut gone = false;
        let marked = self.change(state, |registry| {
            if let Some(drain) = registry.draining.get_mut(id) {
                drain.drained = true;
                gone = drain.config["mark_gone"] == true;
            }
        });
        match marked {
            Ok(()) => {
                log::info("master.cpp:6200", &format!("Agent {id} transitioned to DRAINED state"));
            }
            // It is asked again with the agent's next word.
            Err(error) => log::warning("master.cpp:6210", &error),
        }
        if gone && let Err(error) = make_gone(self, state, id) {
            log::warning("master.cpp:6220", &error);
        }
    }
}
