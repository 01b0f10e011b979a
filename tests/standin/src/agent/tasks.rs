//! The tasks that an agent has, and what it tells about them: updates go to the master one after
//! the other, each again and again until its framework has acknowledged it.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use mesos_messages::{
    AgentId, CapabilityType, ContainerId, ContainerStatus, ContainerType, DurationInfo, ExecutorId,
    FrameworkInfo, IpAddress, IpProtocol, NetworkInfo, Reason, Source, TaskInfo, TaskState,
    TaskStatus,
};

use crate::log;
use crate::run::{self, Update};

/// Everything that runs and ran, by framework.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) frameworks: BTreeMap<String, Framework>,
    pub(super) completed: VecDeque<Framework>,
    pub(super) drain: Option<Drain>,
    /// Containers that ended, and when: they stay for a while for who wants to look at them.
    leftovers: Vec<(Instant, String)>,
    /// Containers whose executor died: nobody would end them.
    abandoned: Vec<String>,
    /// How many of those that are gone ended how.
    pub(super) ended: BTreeMap<TaskState, usize>,
}

/// A framework that has something here.
#[derive(Debug)]
pub(super) struct Framework {
    pub(super) info: FrameworkInfo,
    /// By task: each has an executor of its own, under its own name.
    pub(super) executors: BTreeMap<String, Executor>,
    pub(super) completed: VecDeque<Executor>,
    /// It was shut down: nobody waits for its updates any more.
    pub(super) terminating: bool,
}

/// A task with what runs it.
#[derive(Debug)]
pub(super) struct Executor {
    pub(super) task: TaskInfo,
    pub(super) container: String,
    pub(super) sandbox: PathBuf,
    /// The run's directory under `meta`.
    pub(super) meta: PathBuf,
    pub(super) phase: Phase,
    /// What was told by the executor or about it, in order; those from `acknowledged` on are owed
    /// to the framework.
    pub(super) statuses: Vec<TaskStatus>,
    pub(super) acknowledged: usize,
    /// When the update that is due was sent to the master of now.
    sent: Option<Instant>,
    /// How far `updates` is read.
    offset: u64,
}

/// How far a run is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Fetched, pulled, being started.
    Launching,
    /// Its process; none where it was found by an agent that came back.
    Started(Option<Child>),
    /// Nothing runs any more.
    Ended,
}

/// What DRAIN_AGENT asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drain {
    pub(super) grace: Option<DurationInfo>,
    pub(super) mark_gone: bool,
}

/// After which an update that nobody acknowledged is sent again.
/// Source: src/slave/constants.hpp at 1.11.0, STATUS_UPDATE_RETRY_INTERVAL_MIN.
const RETRY: Duration = Duration::from_secs(10);
/// Source: src/slave/constants.hpp, MAX_COMPLETED_FRAMEWORKS and the flag
/// `max_completed_executors_per_framework`.
const COMPLETED_FRAMEWORKS: usize = 50;
const COMPLETED_EXECUTORS: usize = 150;

impl Executor {
    pub(super) fn new(task: TaskInfo, container: String, sandbox: PathBuf, meta: PathBuf) -> Self {
        let phase = Phase::Launching;
        Executor {
            task,
            container,
            sandbox,
            meta,
            phase,
            statuses: Vec::new(),
            acknowledged: 0,
            sent: None,
            offset: 0,
        }
    }

    /// The state that was told last.
    pub(super) fn state(&self) -> TaskState {
        self.statuses.last().map_or(TaskState::Staging, TaskStatus::state)
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.state().is_terminal()
    }

    pub(super) fn in_docker(&self) -> bool {
        let container = self.task.container.as_ref();
        container.is_some_and(|container| container.r#type() == ContainerType::Docker)
    }

    /// Takes in what its executor has told since.
    fn listen(&mut self, place: Place<'_>) -> Vec<TaskStatus> {
        let (updates, offset) = run::told(&self.meta, self.offset);
        self.offset = offset;
        let before = self.statuses.len();
        for update in updates {
            if !self.is_terminal() {
                self.statuses.push(status(place, self, &update));
            }
        }
        self.statuses[before..].to_vec()
    }

    /// Sees whether its process is gone.
    fn reap(&mut self) {
        let gone = match &mut self.phase {
            Phase::Started(Some(child)) => !matches!(child.try_wait(), Ok(None)),
            Phase::Started(None) => !run::is_alive(&self.meta),
            Phase::Launching | Phase::Ended => false,
        };
        if gone {
            self.phase = Phase::Ended;
        }
    }

    /// Tells about the task in the executor's stead.
    pub(super) fn tell(&self, state: TaskState, reason: Reason, message: &str) {
        let update = Update {
            message: Some(message.to_owned()),
            reason: Some(reason.name().to_owned()),
            ..Update::now(state.name())
        };
        if let Err(error) = run::tell(&self.meta, &update) {
            log::warning("slave.cpp:6100", &format!("Failed to note {update:?}: {error}"));
        }
    }
}

impl Framework {
    pub(super) fn new(info: FrameworkInfo) -> Framework {
        Framework {
            info,
            executors: BTreeMap::new(),
            completed: VecDeque::new(),
            terminating: false,
        }
    }

    pub(super) fn can(&self, wanted: CapabilityType) -> bool {
        can(&self.info, wanted)
    }
}

/// Whether a framework knows of a capability.
pub(super) fn can(framework: &FrameworkInfo, wanted: CapabilityType) -> bool {
    framework.capabilities.iter().any(|capability| capability.r#type() == wanted)
}

/// Whose tasks they are, for their statuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) agent_id: &'a str,
    /// The agent's address: that of every container without a network of its own.
    pub(super) ip: &'a str,
    pub(super) drain: Option<Drain>,
    pub(super) partition_aware: bool,
}

fn status(place: Place<'_>, executor: &Executor, update: &Update) -> TaskStatus {
    let by_agent = update.reason.is_some();
    let mut state = TaskState::of_name(&update.state).unwrap_or(TaskState::Unknown);
    let mut reason = update.reason.as_deref().and_then(Reason::of_name);
    // Source: src/slave/slave.cpp at 1.11.0, Slave::statusUpdate.
    if let Some(drain) = place.drain
        && matches!(state, TaskState::Killing | TaskState::Killed)
    {
        reason = Some(Reason::AgentDraining);
        if drain.mark_gone && place.partition_aware && state == TaskState::Killed {
            state = TaskState::GoneByOperator;
        }
    }
    let ip = update.ip.as_deref().unwrap_or(place.ip);
    let container = ContainerStatus {
        network_infos: vec![NetworkInfo {
            ip_addresses: vec![IpAddress {
                protocol: Some(IpProtocol::Ipv4 as i32),
                ip_address: Some(ip.to_owned()),
            }],
            ..NetworkInfo::default()
        }],
        executor_pid: None,
        container_id: Some(ContainerId::from(executor.container.as_str())),
    };
    let source = if by_agent { Source::Agent } else { Source::Executor };
    TaskStatus {
        task_id: executor.task.task_id.clone(),
        state: state as i32,
        data: update.data.as_ref().map(|data| data.clone().into_bytes()),
        message: update.message.clone(),
        agent_id: Some(AgentId::from(place.agent_id)),
        timestamp: Some(update.timestamp),
        executor_id: Some(ExecutorId::from(executor.task.task_id.value.as_str())),
        source: Some(source as i32),
        reason: reason.map(|reason| reason as i32),
        uuid: Some(uuid_bytes(&update.uuid)),
        container_status: (!by_agent).then_some(container),
        ..TaskStatus::default()
    }
}

fn uuid_bytes(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    (0..digits.len() / 2)
        .filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// The text form of 16 bytes.
pub(super) fn uuid_text(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

impl Tasks {
    pub(super) fn executor(&mut self, framework: &str, task: &str) -> Option<&mut Executor> {
        self.frameworks.get_mut(framework)?.executors.get_mut(task)
    }

    /// All that is here now, with their framework.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Framework, &Executor)> {
        self.frameworks.iter().flat_map(|(id, framework)| {
            framework.executors.values().map(move |executor| (id.as_str(), framework, executor))
        })
    }

    /// One look at every run: what was told, what ended, what nobody needs any more.
    pub(super) fn watch(&mut self, agent_id: &str, ip: &str) {
        let drain = self.drain;
        for (id, framework) in &mut self.frameworks {
            let partition_aware = framework.can(CapabilityType::PartitionAware);
            for executor in framework.executors.values_mut() {
                executor.reap();
                let place = Place { agent_id, ip, drain, partition_aware };
                for status in executor.listen(place) {
                    note("slave.cpp:5992", "Handling status update", id, &status);
                }
                let ended = matches!(executor.phase, Phase::Ended);
                if ended && !executor.is_terminal() {
                    if executor.in_docker() {
                        self.abandoned.push(run::container_name(&executor.container));
                    }
                    // Its last word would be here by now: it died without one.
                    executor.tell(
                        TaskState::Failed,
                        Reason::ExecutorTerminated,
                        "Abnormal executor termination: unknown container",
                    );
                }
                if executor.is_terminal() && matches!(executor.phase, Phase::Launching) {
                    executor.phase = Phase::Ended;
                }
            }
        }
        self.clean_up();
    }

    fn clean_up(&mut self) {
        for (id, framework) in &mut self.frameworks {
            let owed = !framework.terminating;
            let done = framework.executors.extract_if(.., |_, executor| {
                let told = !owed || executor.acknowledged >= executor.statuses.len();
                matches!(executor.phase, Phase::Ended) && executor.is_terminal() && told
            });
            for (name, executor) in done {
                log::info(
                    "slave.cpp:7229",
                    &format!("Cleaning up executor '{name}' of framework {id}"),
                );
                if executor.in_docker() {
                    let name = run::container_name(&executor.container);
                    self.leftovers.push((Instant::now(), name));
                }
                *self.ended.entry(executor.state()).or_default() += 1;
                // The sandbox stays; what the executor was told is nobody's business any more.
                let _ = std::fs::remove_dir_all(&executor.meta);
                keep(&mut framework.completed, executor, COMPLETED_EXECUTORS);
            }
        }
        let idle = self.frameworks.extract_if(.., |_, framework| framework.executors.is_empty());
        for (id, framework) in idle {
            log::info("slave.cpp:7358", &format!("Cleaning up framework {id}"));
            keep(&mut self.completed, framework, COMPLETED_FRAMEWORKS);
        }
    }

    /// The updates to send now: of each task the first that is not acknowledged, unless it was
    /// sent a short while ago.
    pub(super) fn due(&mut self) -> Vec<(String, TaskStatus)> {
        let mut due = Vec::new();
        for (id, framework) in &mut self.frameworks {
            if framework.terminating {
                continue;
            }
            for executor in framework.executors.values_mut() {
                let waits = executor.sent.is_some_and(|sent| sent.elapsed() < RETRY);
                if let Some(status) = executor.statuses.get(executor.acknowledged)
                    && !waits
                {
                    executor.sent = Some(Instant::now());
                    due.push((id.clone(), status.clone()));
                }
            }
        }
        due
    }

    /// The containers to be removed: those that ended longer ago than that, and the abandoned.
    pub(super) fn removable(&mut self, delay: Duration) -> Vec<String> {
        let old = self.leftovers.extract_if(.., |(ended, _)| ended.elapsed() > delay);
        self.abandoned.drain(..).chain(old.map(|(_, name)| name)).collect()
    }

    /// A new master has seen none of what is owed.
    pub(super) fn forget_sent(&mut self) {
        for framework in self.frameworks.values_mut() {
            for executor in framework.executors.values_mut() {
                executor.sent = None;
            }
        }
    }

    pub(super) fn acknowledge(&mut self, framework: &str, task: &str, uuid: &[u8]) {
        let Some(executor) = self.executor(framework, task) else { return };
        let Some(status) = executor.statuses.get(executor.acknowledged) else { return };
        // Of an update that was sent twice the second acknowledgement says nothing new.
        if status.uuid.as_deref() != Some(uuid) {
            return;
        }
        executor.acknowledged += 1;
        executor.sent = None;
        log::info(
            "task_status_update_manager.cpp:401",
            &format!(
                "Received task status update acknowledgement (UUID: {}) for task {task} of framework {framework}",
                uuid_text(uuid)
            ),
        );
        if let Err(error) = run::acknowledge(&executor.meta, executor.acknowledged) {
            let meta = executor.meta.display();
            log::warning("slave.cpp:6450", &format!("Failed to checkpoint in '{meta}': {error}"));
        }
    }

    /// Takes in a run that an agent before this one had started.
    pub(super) fn adopt(&mut self, framework: FrameworkInfo, mut executor: Executor) {
        let id = framework.id.clone().unwrap_or_default().value;
        executor.phase = Phase::Started(None);
        executor.acknowledged = run::acknowledged(&executor.meta);
        let entry = self.frameworks.entry(id).or_insert_with(|| Framework::new(framework));
        entry.executors.insert(executor.task.task_id.value.clone(), executor);
    }
}

fn keep<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    list.push_back(item);
    if list.len() > most {
        list.pop_front();
    }
}

/// `TEXT TASK_X (Status UUID: ..) for task .. of framework ..`.
pub(super) fn note(place: &str, text: &str, framework: &str, status: &TaskStatus) {
    let uuid = uuid_text(status.uuid.as_deref().unwrap_or_default());
    let (state, task) = (status.state().name(), &status.task_id.value);
    let text =
        format!("{text} {state} (Status UUID: {uuid}) for task {task} of framework {framework}");
    log::info(place, &text);
}

/// Whether the directory of a run is that of a task which may live on without its agent.
pub(super) fn is_checkpointed(meta: &Path) -> bool {
    run::Run::read(meta).is_some_and(|run| run.checkpoint)
}
