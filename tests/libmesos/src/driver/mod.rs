//! The scheduler driver, without any Java: what a scheduler asks for goes out as calls, the events
//! of the subscription come back as callbacks.
//!
//! Four threads serve a running driver: the *detector* follows who leads (only with ZooKeeper), the
//! *subscription* holds the stream of events and opens it again when it breaks, *callbacks* are
//! delivered one at a time, and *calls* are posted in their order. What a scheduler asks for never
//! waits for the network, except [`Driver::stop`], which must not lose what was asked before.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use mesos_messages::scheduler::CallType;
use mesos_messages::{Credential, FrameworkId, Status};
use prost::Message as _;

use crate::detector::Masters;
use crate::log;
mod calls;
mod subscription;

use crate::messages::{Call, FrameworkInfo, Opaque};

/// What a driver is made with.
#[derive(Clone, Default)]
pub struct Config {
    /// `zk://…` or `host:port`.
    pub master: String,
    /// The scheduler's `FrameworkInfo`.
    pub framework: Opaque,
    /// Its `Credential`.
    pub credential: Option<Opaque>,
    /// Whether a status update is acknowledged as soon as its callback returned.
    pub implicit_acknowledgements: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret stays out of every print.
        write!(f, "Config({})", self.master)
    }
}

/// What is told to a scheduler: the methods of Java's `Scheduler`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the arguments of Java's methods")]
pub enum Callback {
    /// `registered`
    Registered { framework_id: Opaque, master_info: Opaque },
    /// `reregistered`
    Reregistered { master_info: Opaque },
    /// `disconnected`
    Disconnected,
    /// `resourceOffers`
    ResourceOffers(Vec<Opaque>),
    /// `offerRescinded`
    OfferRescinded(Opaque),
    /// `statusUpdate`
    StatusUpdate(Opaque),
    /// `frameworkMessage`
    FrameworkMessage { executor_id: Opaque, agent_id: Opaque, data: Vec<u8> },
    /// `slaveLost`
    SlaveLost(Opaque),
    /// `executorLost`
    ExecutorLost { executor_id: Opaque, agent_id: Opaque, status: i32 },
    /// `error`
    Error(String),
}

/// The scheduler: called for one callback at a time. An error (in Java: an exception) aborts the
/// driver.
pub type Scheduler = Box<dyn FnMut(Callback) -> Result<(), String> + Send>;

/// One scheduler driver.
pub struct Driver {
    shared: Arc<Shared>,
    /// Until its thread has it.
    scheduler: Mutex<Option<Scheduler>>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({:?}, {})", self.shared.config, self.status().name())
    }
}

struct Shared {
    config: Config,
    authorization: Option<String>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    status: Status,
    /// `host:port` of the master that leads.
    leader: Option<String>,
    /// The connection that holds the subscription, or is about to.
    stream: Option<TcpStream>,
    /// Present while subscribed.
    subscription: Option<Subscription>,
    /// The framework's id once a master gave it, or as the scheduler had it.
    framework_id: Option<Opaque>,
    suppressed: bool,
    calls: VecDeque<Call>,
    /// Every call that will be posted has been.
    flushed: bool,
}

/// What a call needs to be accepted.
#[derive(Clone)]
struct Subscription {
    address: String,
    stream_id: String,
}

/// How long [`Driver::stop`] waits for the calls before it to be posted.
const FLUSH: Duration = Duration::from_secs(5);

impl Driver {
    /// A driver that has not been started.
    pub fn new(config: Config, scheduler: Scheduler) -> Driver {
        let credential = config.credential.as_deref().map(Credential::decode);
        let authorization = credential.and_then(Result::ok).map(|credential| {
            let Credential { principal, secret } = credential;
            let pair = format!("{principal}:{}", secret.unwrap_or_default());
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        let info = FrameworkInfo::decode(&*config.framework).unwrap_or_default();
        let state = State {
            status: Status::DriverNotStarted,
            leader: None,
            stream: None,
            subscription: None,
            framework_id: info
                .id
                .filter(|id| FrameworkId::decode(&**id).is_ok_and(|id| !id.value.is_empty())),
            suppressed: false,
            calls: VecDeque::new(),
            flushed: true,
        };
        let changed = Condvar::new();
        let shared = Arc::new(Shared { config, authorization, state: Mutex::new(state), changed });
        Driver { shared, scheduler: Mutex::new(Some(scheduler)) }
    }

    /// Starts it, once.
    pub fn start(&self) -> Status {
        let mut scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.shared.lock();
        if state.status != Status::DriverNotStarted {
            return state.status;
        }
        let Some(scheduler) = scheduler.take() else { return state.status };
        let (sender, receiver) = channel();
        let shared = &self.shared;
        match Masters::parse(&shared.config.master) {
            Ok(masters) => {
                state.status = Status::DriverRunning;
                state.flushed = false;
                match masters {
                    Masters::Fixed(address) => state.leader = Some(address),
                    Masters::ZooKeeper(url) => {
                        spawn(shared, "mesos-detector", move |shared| shared.detect(&url));
                    }
                }
                let lost = sender.clone();
                spawn(shared, "mesos-calls", move |shared| shared.post_calls(&lost));
                spawn(shared, "mesos-events", move |shared| shared.subscribe(&sender));
            }
            Err(why) => {
                state.status = Status::DriverAborted;
                let master = &shared.config.master;
                let text = format!("Failed to create a master detector for '{master}': {why}");
                // The receiver is in this very function.
                let _ = sender.send(Callback::Error(text));
            }
        }
        spawn(shared, "mesos-callbacks", move |shared| shared.deliver(&receiver, scheduler));
        state.status
    }

    /// Stops it. Without `failover` the framework is torn down: its tasks are killed.
    pub fn stop(&self, failover: bool) -> Status {
        log("Asked to stop the driver");
        let mut state = self.shared.lock();
        let before = state.status;
        if !matches!(before, Status::DriverRunning | Status::DriverAborted) {
            return before;
        }
        state.status = Status::DriverStopped;
        if before == Status::DriverAborted {
            return Status::DriverAborted;
        }
        if !failover && state.subscription.is_some() {
            state.calls.push_back(Call::of(CallType::Teardown));
        }
        self.shared.changed.notify_all();
        // The process may end as soon as this returns.
        let wait = self.shared.changed.wait_timeout_while(state, FLUSH, |state| !state.flushed);
        if wait.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            log("The master has not answered in time; stopping all the same");
        }
        Status::DriverStopped
    }

    /// Aborts it: no callback comes any more, no call goes out. The master sees its scheduler
    /// disconnect.
    pub fn abort(&self) -> Status {
        self.shared.abort()
    }

    /// Waits until it runs no more.
    pub fn join(&self) -> Status {
        let state = self.shared.lock();
        let waited =
            self.shared.changed.wait_while(state, |state| state.status == Status::DriverRunning);
        waited.unwrap_or_else(PoisonError::into_inner).status
    }

    /// Posts a call in its turn, if the driver runs.
    pub fn send(&self, call: Call) -> Status {
        let mut state = self.shared.lock();
        if state.status == Status::DriverRunning {
            match call.r#type() {
                CallType::Suppress => state.suppressed = true,
                CallType::Revive => state.suppressed = false,
                _ => {}
            }
            state.calls.push_back(call);
            self.shared.changed.notify_all();
        }
        state.status
    }

    /// Its present status.
    pub fn status(&self) -> Status {
        self.shared.lock().status
    }

    /// Whether updates are acknowledged without being asked.
    pub fn acknowledges_implicitly(&self) -> bool {
        self.shared.config.implicit_acknowledgements
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole when a panic could come.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self) -> bool {
        self.lock().status == Status::DriverRunning
    }

    fn abort(&self) -> Status {
        let mut state = self.lock();
        if state.status != Status::DriverRunning {
            return state.status;
        }
        log("Asked to abort the driver");
        state.status = Status::DriverAborted;
        state.calls.clear();
        state.hang_up();
        self.changed.notify_all();
        Status::DriverAborted
    }

    fn deliver(&self, callbacks: &Receiver<Callback>, mut scheduler: Scheduler) {
        for callback in callbacks {
            // The error is told after the driver was aborted because of it.
            if !self.is_running() && !matches!(callback, Callback::Error(_)) {
                continue;
            }
            let acknowledgement = match &callback {
                Callback::StatusUpdate(status) if self.config.implicit_acknowledgements => {
                    Call::acknowledge(status)
                }
                _ => None,
            };
            if let Err(why) = scheduler(callback) {
                log(&format!("The scheduler failed in a callback: {why}"));
                self.abort();
            }
            let mut state = self.lock();
            if state.status == Status::DriverRunning {
                state.calls.extend(acknowledgement);
                self.changed.notify_all();
            }
        }
    }
}

impl State {
    /// Ends the subscription's connection; its thread sees that and does the rest.
    fn hang_up(&mut self) {
        if let Some(stream) = &self.stream {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Runs `body` on a thread of its own; a panic there aborts the driver instead of leaving it lame.
fn spawn(shared: &Arc<Shared>, name: &str, body: impl FnOnce(&Shared) + Send + 'static) {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(move || {
        if catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
            shared.abort();
        }
    });
    if let Err(error) = started {
        log(&format!("No thread could be started: {error}"));
    }
}
