//! What an agent and its master say to each other: registration, orders, updates. Orders are asked
//! for over the connection that registered; updates go over one of their own, so that none waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::Agent;
use super::detector::Detector;
use super::tasks::note;
use crate::auth::Credential;
use crate::group::Leader;
use crate::http::Client;
use crate::info::AgentInfo;
use crate::operator::AGENT_PATH;
use crate::orders::{Order, pack};
use crate::{docker, log, recovery, version};

/// A registration that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The master's address.
    pub(super) address: String,
    /// What the master calls this registration.
    pub(super) session: u64,
    /// The master's host name.
    pub(super) hostname: String,
}

const POLL: Duration = Duration::from_millis(300);
/// How often runs are looked after and updates sent.
const TICK: Duration = Duration::from_millis(50);

impl Agent {
    /// Looks for the leading master, for ever.
    pub(super) fn follow_masters(&self, mut detector: Detector) -> ! {
        loop {
            let known = self.state().leader.clone();
            if let Ok(leader) = detector.look(known.as_ref())
                && leader != known
            {
                match &leader {
                    Some(leader) => {
                        let pid = leader.pid();
                        log::info("slave.cpp:1475", &format!("New master detected at {pid}"));
                    }
                    None => log::info("slave.cpp:1468", "Lost leading master"),
                }
                let mut state = self.state();
                state.leader = leader;
                state.link = None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Registers with whoever leads, and does what it is told.
    pub(super) fn serve_masters(self: &Arc<Agent>, credential: Option<&Credential>) -> ! {
        loop {
            let leader = self.state().leader.clone();
            if let Some(leader) = leader
                && let Some(client) = self.register(&leader, credential)
            {
                self.take_orders(client, &leader);
            }
            std::thread::sleep(POLL);
        }
    }

    fn register(&self, leader: &Leader, credential: Option<&Credential>) -> Option<Client> {
        let (info, running) = {
            let state = self.state();
            (state.info.clone(), self.running(&state.tasks))
        };
        let again = info.id.is_some();
        let mut message = json!({
            "kind": "register",
            "info": info.to_json(),
            "pid": self.pid(),
            "version": version::mesos(),
            "frameworks": running,
        });
        if let Some(credential) = credential {
            message["credential"] = json!(credential);
        }
        let pid = leader.pid();
        let address = pid.trim_start_matches("master@").to_owned();
        let mut client = Client::open(&address)?;
        let (status, answer) = client.post(AGENT_PATH, &message)?;
        if status != 200 {
            return None;
        }
        if answer["refused"] == true {
            log::info("slave.cpp:1680", &format!("Master {pid} refused authentication"));
            log::info("slave.cpp:1003", "Master refused authentication; shutting down");
            super::terminate();
        }
        if let Some(reason) = answer["shutdown"].as_str() {
            self.shut_down(reason, pid);
        }
        let id = answer["id"].as_str()?.to_owned();
        let session = answer["session"].as_u64()?;
        let info = AgentInfo { id: Some(id.clone()), ..info };
        if let Err(error) = recovery::save(&self.flags, &info) {
            log::abort("slave.cpp:1720", &format!("Failed to checkpoint agent info: {error}"));
        }
        let text = match again {
            true => format!("Re-registered with master {pid}"),
            false => format!("Registered with master {pid}; given agent ID {id}"),
        };
        log::info(if again { "slave.cpp:1832" } else { "slave.cpp:1722" }, &text);
        let hostname = leader.info["hostname"].as_str().unwrap_or_default().to_owned();
        let mut state = self.state();
        state.info = info;
        state.link = Some(Link { address, session, hostname });
        state.tasks.forget_sent();
        Some(client)
    }

    /// Asks for orders until this registration is over.
    fn take_orders(self: &Arc<Agent>, mut client: Client, leader: &Leader) {
        loop {
            let tasks = self.state().tasks.all().count();
            let answer = client.post(AGENT_PATH, &json!({ "kind": "orders", "tasks": tasks }));
            if self.state().leader.as_ref() != Some(leader) {
                return;
            }
            let answer = match answer {
                Some((200, answer)) if answer["unknown"] != true => answer,
                _ => {
                    log::warning(
                        "slave.cpp:6723",
                        "Master disconnected! Waiting for a new master to be elected",
                    );
                    self.state().link = None;
                    return;
                }
            };
            if let Some(reason) = answer["shutdown"].as_str() {
                self.shut_down(reason, leader.pid());
            }
            for order in answer["orders"].as_array().into_iter().flatten() {
                match Order::of_json(order) {
                    Some(order) => self.carry_out_order(order),
                    None => log::warning("slave.cpp:900", &format!("Ignoring order {order}")),
                }
            }
        }
    }

    /// Looks after the runs and sends what is owed, for ever.
    pub(super) fn look_after_tasks(self: &Arc<Agent>) -> ! {
        let mut client: Option<(Link, Client)> = None;
        let delay = self.flags.duration("docker_remove_delay");
        loop {
            std::thread::sleep(TICK);
            let (link, due, leftover) = {
                let mut state = self.state();
                let (id, ip) =
                    (state.info.id.clone().unwrap_or_default(), self.place.ip.to_string());
                state.tasks.watch(&id, &ip);
                let link = state.link.clone();
                let due = if link.is_some() { state.tasks.due() } else { Vec::new() };
                (link, due, state.tasks.removable(delay))
            };
            for name in leftover {
                let agent = Arc::clone(self);
                std::thread::spawn(move || docker::remove(&agent.flags, &name, "0"));
            }
            let Some(link) = link else { continue };
            for (framework, status) in due {
                note("slave.cpp:6538", "Forwarding the update", &framework, &status);
                let message = json!({
                    "kind": "update",
                    "session": link.session,
                    "agent_id": self.state().info.id,
                    "framework_id": framework,
                    "status": pack(&status),
                });
                // The master ends connections that say nothing for a while: a second try is a new
                // one. An update that is lost all the same is sent again later.
                for _ in 0..2 {
                    if client.as_ref().is_none_or(|(of, _)| *of != link) {
                        client = Client::open(&link.address).map(|client| (link.clone(), client));
                    }
                    let sent = client.as_mut().and_then(|(_, it)| it.post(AGENT_PATH, &message));
                    if sent.is_some_and(|(status, _)| status == 200) {
                        break;
                    }
                    client = None;
                }
            }
        }
    }

    /// Ends every task and then the agent, as the master says.
    fn shut_down(&self, reason: &str, pid: &str) -> ! {
        let text = format!("Agent asked to shut down by {pid} because '{reason}'");
        log::info("slave.cpp:1041", &text);
        let ids: Vec<String> = self.state().tasks.frameworks.keys().cloned().collect();
        for id in ids {
            self.shut_down_framework(&id);
        }
        let patience = self.flags.duration("executor_shutdown_grace_period") + SHUTDOWN_MARGIN;
        let begun = Instant::now();
        while begun.elapsed() < patience && !self.state().tasks.frameworks.is_empty() {
            std::thread::sleep(TICK);
        }
        super::terminate()
    }

    /// The frameworks that have something here, each with its tasks and their statuses.
    fn running(&self, tasks: &super::tasks::Tasks) -> Json {
        let frameworks = tasks.frameworks.values().filter(|framework| !framework.terminating);
        frameworks
            .map(|framework| {
                let tasks = framework.executors.values().map(|executor| {
                    let statuses = executor.statuses.iter().map(pack);
                    json!({
                        "task": pack(&executor.task),
                        "statuses": statuses.collect::<Vec<_>>(),
                    })
                });
                json!({ "framework": pack(&framework.info), "tasks": tasks.collect::<Vec<_>>() })
            })
            .collect()
    }
}

/// What Docker needs on top of the grace period to end a container.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);
