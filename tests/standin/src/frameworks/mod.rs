//! The frameworks of a leading master, with their tasks and the offers that they hold.

mod accept;
mod agents;
mod calls;
mod offers;
mod subscription;
mod task;
pub(crate) mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use mesos_messages::scheduler::{Event, EventType, Update};
use mesos_messages::{CapabilityType, FrameworkInfo, Message, TaskStatus};

pub(crate) use agents::Removal;
pub(crate) use task::Task;

use crate::master::Master;
use crate::resources::{self, Form};
use crate::values::Resource;

/// Everything about frameworks that a master knows.
#[derive(Debug, Default)]
pub(crate) struct Frameworks {
    /// By id, connected or not.
    pub(crate) registered: BTreeMap<String, Framework>,
    /// The latest ones that are gone; they do not come back.
    pub(crate) completed: VecDeque<Framework>,
    /// The outstanding offers, by id.
    pub(crate) offers: BTreeMap<String, Offer>,
    next_framework: u64,
    next_offer: u64,
}

/// A framework.
#[derive(Debug)]
pub(crate) struct Framework {
    /// As it subscribed last; the id is in it.
    pub(crate) info: FrameworkInfo,
    /// Where its events go; none while it is not connected.
    pub(crate) stream: Option<Stream>,
    /// Known by agents that run its tasks only: it has not subscribed with this master.
    pub(crate) recovered: bool,
    pub(crate) registered_time: f64,
    pub(crate) reregistered_time: f64,
    pub(crate) unregistered_time: f64,
    pub(crate) disconnected: Option<Instant>,
    /// By id: those whose end its framework has not acknowledged yet are among them.
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) unreachable: BTreeMap<String, Task>,
    pub(crate) completed: VecDeque<Task>,
    pub(crate) suppressed: BTreeSet<String>,
    pub(crate) filters: Vec<Filter>,
    /// How often it was offered something, by role.
    pub(crate) granted: BTreeMap<String, u64>,
    pub(crate) counts: Counts,
}

/// For `/metrics/snapshot`.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) offers_sent: u64,
    pub(crate) offers_accepted: u64,
    pub(crate) offers_declined: u64,
    pub(crate) offers_rescinded: u64,
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) events: BTreeMap<&'static str, u64>,
}

/// The open answer to a SUBSCRIBE; dropped to end it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    /// Takes whole records.
    pub(crate) sender: Sender<Vec<u8>>,
    pub(crate) heartbeat: Instant,
}

/// An outstanding offer.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) framework_id: String,
    pub(crate) agent_id: String,
    /// The role that it counts for.
    pub(crate) role: String,
    pub(crate) resources: Vec<Resource>,
}

/// What a framework does not want to be offered for a while.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) agent_id: String,
    pub(crate) role: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) until: Instant,
}

const TICK: Duration = Duration::from_millis(100);

impl Master {
    /// Offers, heartbeats and failover timeouts, for ever.
    pub(crate) fn look_after_frameworks(&self) -> ! {
        let interval = self.flags.duration("allocation_interval");
        let mut allocated = Instant::now();
        loop {
            std::thread::sleep(TICK);
            let mut state = self.state();
            if !state.is_leading() {
                continue;
            }
            state.end_failovers();
            state.send_heartbeats();
            // An agent that was deactivated or is gone some other way.
            state.rescind_inactive();
            if allocated.elapsed() >= interval {
                allocated = Instant::now();
                state.allocate(self);
            }
        }
    }
}

impl Framework {
    fn new(info: FrameworkInfo) -> Framework {
        let now = crate::clock::seconds();
        Framework {
            info,
            stream: None,
            recovered: false,
            registered_time: now,
            reregistered_time: now,
            unregistered_time: 0.0,
            disconnected: None,
            tasks: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            completed: VecDeque::new(),
            suppressed: BTreeSet::new(),
            filters: Vec::new(),
            granted: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.info.id.as_ref().map_or("", |id| id.value.as_str())
    }

    /// Of a connected framework; there is no other way here to be inactive.
    pub(crate) fn is_active(&self) -> bool {
        self.stream.is_some()
    }

    pub(crate) fn can(&self, capability: CapabilityType) -> bool {
        self.info.capabilities.iter().any(|it| it.r#type() == capability)
    }

    pub(crate) fn roles(&self) -> Vec<String> {
        match self.can(CapabilityType::MultiRole) {
            true => self.info.roles.clone(),
            false => vec![self.info.role().to_owned()],
        }
    }

    /// How this framework is told of resources that it is offered for a role.
    fn described(&self, resource: &Resource, role: &str) -> mesos_messages::Resource {
        let form = match self.can(CapabilityType::ReservationRefinement) {
            true => Form::Refined,
            false => Form::Old,
        };
        let allocated = self.can(CapabilityType::MultiRole).then_some(role);
        resources::to_message(resource, form, allocated)
    }

    /// What its tasks use, in one role or in all.
    pub(crate) fn used(&self, role: Option<&str>) -> Vec<Resource> {
        let mut used = Vec::new();
        for task in self.tasks.values().filter(|task| !task.state.is_terminal()) {
            if role.is_none_or(|role| task.role == role) {
                resources::add(&mut used, &task.resources);
            }
        }
        used
    }

    /// Sends an event, if somebody listens.
    fn send(&mut self, kind: EventType, event: Event) {
        let Some(stream) = &self.stream else { return };
        let event = Event { r#type: Some(kind as i32), ..event };
        // Who is gone is noticed where the connection is served.
        let _ = stream.sender.send(record(&event.encode_to_vec()));
        *self.counts.events.entry(kind.name()).or_default() += 1;
    }

    fn send_update(&mut self, status: TaskStatus) {
        let update = Some(Update { status });
        self.send(EventType::Update, Event { update, ..Event::default() });
    }
}

impl Frameworks {
    /// What is offered of an agent or to a framework.
    pub(crate) fn offered(&self, of: impl Fn(&Offer) -> bool) -> Vec<Resource> {
        let mut offered = Vec::new();
        for offer in self.offers.values().filter(|offer| of(offer)) {
            resources::add(&mut offered, &offer.resources);
        }
        offered
    }

    /// The tasks on an agent that have not ended.
    pub(crate) fn tasks_on<'a>(&'a self, agent_id: &'a str) -> impl Iterator<Item = &'a Task> {
        let all = self.registered.values().flat_map(|framework| framework.tasks.values());
        all.filter(move |task| task.agent_id() == agent_id && !task.state.is_terminal())
    }

    /// What the tasks on an agent use.
    pub(crate) fn used_on(&self, agent_id: &str) -> Vec<Resource> {
        let mut used = Vec::new();
        for task in self.tasks_on(agent_id) {
            resources::add(&mut used, &task.resources);
        }
        used
    }
}

/// RecordIO: the length in decimal, a line feed, the bytes.
pub(crate) fn record(bytes: &[u8]) -> Vec<u8> {
    let mut record = format!("{}\n", bytes.len()).into_bytes();
    record.extend(bytes);
    record
}
