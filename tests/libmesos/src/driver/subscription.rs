//! Who leads, and the stream of events that it sends.

use std::convert::Infallible;
use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mesos_messages::scheduler::{CallType, EventType};
use mesos_messages::{Credential, FrameworkId, MasterInfo, Status};
use prost::Message as _;

use super::{Callback, Shared, State, Subscription};
use crate::detector::{Group, POLL};
use crate::http::{self, Answer, Post};
use crate::log;
use crate::messages::{Call, Event, FrameworkInfo, Subscribe, Subscribed};

/// The documentation's "exponential backoff strategy (e.g., up to a maximum of 15s)".
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// "If a scheduler doesn't receive a bunch (e.g., 5) of these heartbeats … disconnect".
const MISSED_HEARTBEATS: f64 = 5.0;
/// How many masters may redirect before it is waited.
const REDIRECTS: u32 = 5;

/// Why a subscription ended.
enum Ended {
    /// Another master leads.
    Redirected(String),
    /// It will not be granted by asking again.
    Refused(String),
    /// Anything that another attempt may mend.
    Lost(String),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Ended::Lost("nothing came for too long, not even a heartbeat".to_owned())
            }
            io::ErrorKind::UnexpectedEof => Ended::Lost("the connection was closed".to_owned()),
            _ => Ended::Lost(error.to_string()),
        }
    }
}

impl Shared {
    pub(super) fn detect(&self, url: &str) {
        let Ok(mut group) = Group::new(url) else { return };
        while self.is_running() {
            let leader = group.leader();
            let mut state = self.lock();
            if leader != state.leader {
                match &leader {
                    Some(address) => log(&format!("New master detected at master@{address}")),
                    None => log("No master detected"),
                }
                state.leader = leader;
                state.hang_up();
                self.changed.notify_all();
            }
            let running = |state: &mut State| state.status == Status::DriverRunning;
            drop(self.changed.wait_timeout_while(state, POLL, running));
        }
    }

    pub(super) fn subscribe(&self, callbacks: &Sender<Callback>) {
        let mut registered = false;
        let mut backoff = BACKOFF.0;
        let mut redirects = 0;
        let mut redirected = None;
        let mut said = String::new();
        while let Some(leader) = self.wait_for_leader() {
            let address = redirected.take().unwrap_or_else(|| leader.clone());
            let Err(ended) = self.follow(&leader, &address, &mut registered, callbacks);
            if let Ended::Refused(why) = ended {
                log(&format!("Got error '{why}'"));
                self.abort();
                // The receiver ends with the driver.
                let _ = callbacks.send(Callback::Error(why));
                return;
            }
            if self.disconnect() {
                let _ = callbacks.send(Callback::Disconnected);
                (backoff, redirects) = (BACKOFF.0, 0);
                said.clear();
            }
            match ended {
                Ended::Redirected(to) if redirects < REDIRECTS => {
                    redirects += 1;
                    redirected = Some(to);
                    continue;
                }
                Ended::Redirected(to) => log(&format!("Redirected in a circle, to {to}")),
                Ended::Lost(why) if self.is_running() => {
                    let line = format!("Not subscribed with master@{address}: {why}");
                    if line != said {
                        log(&line);
                        said = line;
                    }
                }
                Ended::Lost(_) | Ended::Refused(_) => {}
            }
            redirects = 0;
            let state = self.lock();
            let same = |state: &mut State| {
                state.status == Status::DriverRunning && state.leader.as_ref() == Some(&leader)
            };
            match self.changed.wait_timeout_while(state, backoff, same) {
                Ok((_, waited)) if waited.timed_out() => backoff = (backoff * 2).min(BACKOFF.1),
                _ => backoff = BACKOFF.0,
            }
        }
    }

    /// The master that leads, as soon as one does; `None` when the driver runs no more.
    fn wait_for_leader(&self) -> Option<String> {
        let alone =
            |state: &mut State| state.status == Status::DriverRunning && state.leader.is_none();
        let state = self.changed.wait_while(self.lock(), alone);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.leader.clone().filter(|_| state.status == Status::DriverRunning)
    }

    /// Subscribes with the master at `address` and hands on its events until that ends.
    fn follow(
        &self,
        leader: &str,
        address: &str,
        registered: &mut bool,
        callbacks: &Sender<Callback>,
    ) -> Result<Infallible, Ended> {
        let mut stream = http::connect(address)?;
        let call = {
            let mut state = self.lock();
            if state.status != Status::DriverRunning || state.leader.as_deref() != Some(leader) {
                return Err(Ended::Lost("another master leads".to_owned()));
            }
            state.stream = Some(stream.try_clone()?);
            self.subscribe_call(&state)
        };
        let authorization = self.authorization.as_deref();
        let body = call.encode_to_vec();
        Post { host: address, authorization, stream_id: None, body: &body }.write(&mut stream)?;
        let timer = stream.try_clone()?;
        let mut answer = Answer::read(stream)?;
        match answer.status {
            200 => {}
            307 => {
                let to = answer.header("Location").and_then(http::location);
                return Err(match to {
                    Some(to) => Ended::Redirected(to),
                    None => Ended::Lost("redirected to nowhere".to_owned()),
                });
            }
            status @ 400..500 => {
                let text = answer.text();
                let because = if text.is_empty() { "" } else { ": " };
                let what = match status {
                    401 => "authentication".to_owned(),
                    _ => format!("the subscription with status {status}"),
                };
                return Err(Ended::Refused(format!("Master refused {what}{because}{text}")));
            }
            status => return Err(Ended::Lost(format!("{status} {}", answer.text()))),
        }
        let stream_id = answer.header(http::STREAM_ID).unwrap_or_default().to_owned();
        let subscription = Subscription { address: address.to_owned(), stream_id };
        loop {
            let Some(record) = answer.record()? else {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            };
            let event = Event::decode(&*record)
                .map_err(|error| Ended::Lost(format!("an event is not readable: {error}")))?;
            if let Some(subscribed) = event.subscribed.clone() {
                if let Some(seconds) = subscribed.heartbeat_interval_seconds {
                    timer.set_read_timeout(patience(seconds))?;
                }
                self.lock().subscription = Some(subscription.clone());
                let callback = self.subscribed(subscribed, address, *registered);
                *registered = true;
                let _ = callbacks.send(callback);
            } else if event.r#type() == EventType::Error {
                return Err(Ended::Refused(event.error.unwrap_or_default().message));
            } else if let Some(callback) = callback_of(event) {
                let _ = callbacks.send(callback);
            }
        }
    }

    fn subscribe_call(&self, state: &State) -> Call {
        let given = FrameworkInfo::decode(&*self.config.framework).unwrap_or_default();
        let credential = self.config.credential.as_deref().map(Credential::decode);
        let own = FrameworkInfo {
            id: state.framework_id.clone(),
            hostname: given.hostname.is_none_or(|name| name.is_empty()).then(host_name),
            principal: match given.principal {
                None => credential.and_then(Result::ok).map(|credential| credential.principal),
                Some(_) => None,
            },
            ..FrameworkInfo::default()
        };
        let roles = match given.roles.is_empty() {
            true => vec![given.role.unwrap_or_else(|| "*".to_owned())],
            false => given.roles,
        };
        let subscribe = Subscribe {
            // Of two encodings one after the other the later one's fields win.
            framework_info: [self.config.framework.clone(), own.encode_to_vec()].concat(),
            suppressed_roles: if state.suppressed { roles } else { Vec::new() },
        };
        Call {
            framework_id: state.framework_id.clone(),
            subscribe: Some(subscribe),
            ..Call::of(CallType::Subscribe)
        }
    }

    fn subscribed(&self, event: Subscribed, address: &str, again: bool) -> Callback {
        let Subscribed { framework_id, master_info, .. } = event;
        let id = FrameworkId::decode(&*framework_id).unwrap_or_default().value;
        log(&format!("Framework {} with {id}", if again { "re-registered" } else { "registered" }));
        self.lock().framework_id = Some(framework_id.clone());
        // Masters before 1.1 do not introduce themselves.
        let master_info = master_info.unwrap_or_else(|| master_info_of(address).encode_to_vec());
        match again {
            true => Callback::Reregistered { master_info },
            false => Callback::Registered { framework_id, master_info },
        }
    }

    /// Forgets the connection; whether it was subscribed.
    fn disconnect(&self) -> bool {
        let mut state = self.lock();
        state.hang_up();
        state.stream = None;
        state.subscription.take().is_some()
    }
}

fn callback_of(event: Event) -> Option<Callback> {
    Some(match event.r#type() {
        EventType::Offers => Callback::ResourceOffers(event.offers?.offers),
        EventType::Rescind => Callback::OfferRescinded(event.rescind?.offer_id),
        EventType::Update => Callback::StatusUpdate(event.update?.status),
        EventType::Message => {
            let message = event.message?;
            Callback::FrameworkMessage {
                executor_id: message.executor_id,
                agent_id: message.agent_id,
                data: message.data,
            }
        }
        EventType::Failure => {
            let failure = event.failure?;
            let agent_id = failure.agent_id?;
            match failure.executor_id {
                None => Callback::SlaveLost(agent_id),
                Some(executor_id) => {
                    let status = failure.status.unwrap_or_default();
                    Callback::ExecutorLost { executor_id, agent_id, status }
                }
            }
        }
        // Inverse offers, operations: a driver of this API has no callback for them.
        _ => return None,
    })
}

/// How long a stream with such heartbeats may be silent; `None` is for ever.
fn patience(interval: f64) -> Option<Duration> {
    let patience = Duration::try_from_secs_f64(interval * MISSED_HEARTBEATS).ok()?;
    // A timeout of nothing is none to the system.
    Some(patience.max(Duration::from_millis(1)))
}

fn master_info_of(address: &str) -> MasterInfo {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let ip = host.parse::<std::net::Ipv4Addr>().map(|ip| u32::from_ne_bytes(ip.octets()));
    MasterInfo {
        id: String::new(),
        ip: ip.unwrap_or_default(),
        port: port.parse().unwrap_or_default(),
        hostname: Some(host.to_owned()),
        ..MasterInfo::default()
    }
}

fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    read.trim().to_owned()
}
