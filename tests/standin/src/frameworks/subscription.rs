//! How frameworks come, come back, and go.
//! Source: src/master/master.cpp at 1.11.0; texts as there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos_messages::scheduler::{Error, Event, EventType, Subscribe, Subscribed};
use mesos_messages::{
    Address, CapabilityType, FrameworkInfo, MasterInfo, Message, Reason, TaskState,
};

use super::{Framework, Stream, record};
use crate::master::{Master, State};
use crate::orders::Order;
use crate::{clock, log, version, weights};

/// Source: src/master/constants.hpp at 1.11.0, DEFAULT_HEARTBEAT_INTERVAL.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

impl State {
    /// SUBSCRIBE: the first event on the stream is SUBSCRIBED, or an ERROR that ends it. The id of
    /// the framework, if it was taken.
    pub(crate) fn subscribe(
        &mut self,
        master: &Master,
        subscribe: Subscribe,
        stream: Stream,
    ) -> Option<String> {
        let mut info = subscribe.framework_info;
        let name = info.name.clone();
        log::info(
            "master.cpp:2974",
            &format!("Received subscription request for HTTP framework '{name}'"),
        );
        if let Some(error) = self.invalid(master, &info) {
            log::info(
                "master.cpp:2990",
                &format!("Refusing subscription of framework '{name}': {error}"),
            );
            refuse(&stream, &error);
            return None;
        }
        let id = match &info.id {
            Some(id) if !id.value.is_empty() => id.value.clone(),
            _ => {
                self.frameworks.next_framework += 1;
                format!("{}-{:04}", master.id, self.frameworks.next_framework - 1)
            }
        };
        info.id = Some(id.as_str().into());
        let checkpointing = if info.checkpoint() { "enabled" } else { "disabled" };
        log::info(
            "master.cpp:3056",
            &format!("Subscribing framework '{name}' with checkpointing {checkpointing}"),
        );
        let known = self.frameworks.registered.contains_key(&id);
        let framework = self
            .frameworks
            .registered
            .entry(id.clone())
            .or_insert_with(|| Framework::new(info.clone()));
        if known {
            // The user and whether it checkpoints do not change.
            let FrameworkInfo { user, checkpoint, .. } = framework.info.clone();
            framework.info = FrameworkInfo { user, checkpoint, ..info };
            framework.reregistered_time = clock::seconds();
            if framework.recovered {
                framework.registered_time = framework.reregistered_time;
            }
            framework.recovered = false;
            if let Some(old) = framework.stream.take() {
                refuse(&old, "Framework failed over");
            }
        }
        framework.stream = Some(stream);
        framework.disconnected = None;
        framework.filters.clear();
        framework.suppressed = subscribe.suppressed_roles.into_iter().collect();
        let subscribed = Some(Subscribed {
            framework_id: id.as_str().into(),
            heartbeat_interval_seconds: Some(HEARTBEAT.as_secs_f64()),
            master_info: Some(master_info(master)),
        });
        framework.send(EventType::Subscribed, Event { subscribed, ..Event::default() });
        let waiting = framework.tasks.values().filter_map(|task| task.unacknowledged.clone());
        for status in waiting.collect::<Vec<_>>() {
            framework.send_update(status);
        }
        // Whoever takes over knows nothing of the offers of its former self.
        self.frameworks.offers.retain(|_, offer| offer.framework_id != id);
        self.allocate(master);
        Some(id)
    }

    fn invalid(&self, master: &Master, info: &FrameworkInfo) -> Option<String> {
        let several = info.capabilities.iter().any(|it| it.r#type() == CapabilityType::MultiRole);
        let roles = if several { info.roles.clone() } else { vec![info.role().to_owned()] };
        if let Some(error) = roles.iter().find_map(|role| weights::invalid_role(role)) {
            return Some(error);
        }
        let whitelist = master.flags.text("roles").map(|list| list.split(',').collect::<Vec<_>>());
        let unlisted: BTreeSet<&str> = whitelist
            .iter()
            .flat_map(|list| {
                roles.iter().filter(|role| *role != "*" && !list.contains(&role.as_str()))
            })
            .map(String::as_str)
            .collect();
        if !unlisted.is_empty() {
            let unlisted = unlisted.into_iter().collect::<Vec<_>>().join(", ");
            return Some(format!("Roles {{ {unlisted} }} are not present in the master's --roles"));
        }
        if info.user == "root" && !master.flags.is_set("root_submissions") {
            let text =
                "User 'root' is not allowed to run frameworks without --root_submissions set";
            return Some(text.to_owned());
        }
        let id = info.id.as_ref().map_or("", |id| id.value.as_str());
        let removed =
            !id.is_empty() && self.frameworks.completed.iter().any(|gone| gone.id() == id);
        removed.then(|| "Framework has been removed".to_owned())
    }

    /// The connection with this stream is gone.
    pub(crate) fn framework_disconnected(&mut self, id: &str, stream_id: &str) {
        let Some(framework) = self.frameworks.registered.get_mut(id) else { return };
        if framework.stream.as_ref().is_none_or(|stream| stream.id != stream_id) {
            return;
        }
        let name = &framework.info.name;
        log::info("master.cpp:1530", &format!("Framework {id} ({name}) disconnected"));
        framework.stream = None;
        framework.filters.clear();
        framework.disconnected = Some(Instant::now());
        self.frameworks.offers.retain(|_, offer| offer.framework_id != id);
        self.end_failovers();
    }

    /// Removes those that did not come back in time.
    pub(crate) fn end_failovers(&mut self) {
        let late = self.frameworks.registered.values().filter(|framework| {
            let timeout = framework.info.failover_timeout().max(0.0);
            let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
            framework.disconnected.is_some_and(|since| since.elapsed() >= timeout)
        });
        let late: Vec<String> = late.map(|framework| framework.id().to_owned()).collect();
        for id in late {
            log::info(
                "master.cpp:9470",
                &format!("Framework failover timeout, removing framework {id}"),
            );
            self.remove_framework(&id);
        }
    }

    /// Heartbeats for those whose time has come.
    pub(crate) fn send_heartbeats(&mut self) {
        for framework in self.frameworks.registered.values_mut() {
            let Some(stream) = &mut framework.stream else { continue };
            if stream.heartbeat.elapsed() >= HEARTBEAT {
                stream.heartbeat = Instant::now();
                framework.send(EventType::Heartbeat, Event::default());
            }
        }
    }

    /// Ends a framework and all its tasks; whether there was one.
    pub(crate) fn remove_framework(&mut self, id: &str) -> bool {
        let Some(mut framework) = self.frameworks.registered.remove(id) else { return false };
        let name = framework.info.name.clone();
        log::info("master.cpp:10212", &format!("Removing framework {id} ({name})"));
        self.frameworks.offers.retain(|_, offer| offer.framework_id != id);
        let agents: Vec<String> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.order(&agent, Order::ShutdownFramework { framework_id: id.to_owned() });
        }
        framework.stream = None;
        let tasks: Vec<String> = framework.tasks.keys().cloned().collect();
        for task in tasks {
            let text = format!("Framework {id} removed");
            framework.end(&task, TaskState::Killed, Reason::FrameworkRemoved, &text);
        }
        framework.unregistered_time = clock::seconds();
        framework.recovered = false;
        self.frameworks.completed.push_back(framework);
        if self.frameworks.completed.len() > MAX_COMPLETED {
            self.frameworks.completed.pop_front();
        }
        true
    }
}

/// Source: src/master/constants.hpp at 1.11.0, DEFAULT_MAX_COMPLETED_FRAMEWORKS.
const MAX_COMPLETED: usize = 50;

/// Tells why, on a stream that ends with it.
fn refuse(stream: &Stream, message: &str) {
    let event = Event {
        r#type: Some(EventType::Error as i32),
        error: Some(Error { message: message.to_owned() }),
        ..Event::default()
    };
    // Who is gone needs no reason.
    let _ = stream.sender.send(record(&event.encode_to_vec()));
}

fn master_info(master: &Master) -> MasterInfo {
    let place = &master.place;
    MasterInfo {
        id: master.id.clone(),
        ip: u32::from_ne_bytes(place.ip.octets()),
        port: u32::from(place.port),
        pid: Some(master.pid()),
        hostname: Some(place.hostname.clone()),
        version: Some(version::mesos()),
        address: Some(Address {
            hostname: Some(place.hostname.clone()),
            ip: Some(place.ip.to_string()),
            port: i32::from(place.port),
        }),
    }
}
