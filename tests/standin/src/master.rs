//! The master: election, the registry's recovery, and who is a registered agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::auth::Credentials;
use crate::flags::Flags;
use crate::frameworks::{Frameworks, Removal};
use crate::group::{self, Leader};
use crate::info::AgentInfo;
use crate::net::{self, Place};
use crate::operator;
use crate::orders::Order;
use crate::registry::Registry;
use crate::zk::{Address, Failure, NO_NODE, Node, Zk};
use crate::{clock, http, log, replica, version, weights};

/// Starts the master; returns only when it could not start.
pub(crate) fn run(flags: Flags) -> ExitCode {
    log::info("main.cpp:244", &format!("Version: {}", version::mesos()));
    let (listener, place) = net::bind(&flags);
    log::info("main.cpp:345", "Using 'hierarchical' allocator");
    let Some(work_dir) = flags.text("work_dir").map(PathBuf::from) else {
        log::exit_with("main.cpp:353", "--work_dir needed for replicated log based registry");
    };
    let address = flags.text("zk").map(|url| {
        Address::parse(url).unwrap_or_else(|error| {
            log::exit_with("main.cpp:396", &format!("Failed to create a master contender: {error}"))
        })
    });
    let quorum = match (flags.number("quorum"), &address) {
        (None, Some(_)) => log::exit_with(
            "main.cpp:374",
            "Need to specify --quorum for replicated log based registry when using ZooKeeper",
        ),
        (quorum, _) => quorum.unwrap_or(1).max(1) as usize,
    };
    let log_dir = work_dir.join("replicated_log");
    if let Err(error) = std::fs::create_dir_all(&log_dir) {
        let text = format!("Failed to create work directory '{}': {error}", work_dir.display());
        log::exit_with("main.cpp:359", &text);
    }
    let id = net::uuid();
    let Place { ip, port, hostname } = &place;
    log::info("master.cpp:448", &format!("Master {id} ({hostname}) started on {ip}:{port}"));
    log::info("master.cpp:451", &format!("Flags at startup: {}", flags.at_startup()));
    check_limits(&flags);
    let credentials = Credentials::of_master(&flags);
    let weights_flag = weights::of_flag(&flags);
    let state = State { log: replica::of(&log_dir), ..State::default() };
    let timeout = flags.duration("zk_session_timeout");
    let zk = address.as_ref().map(|address| Mutex::new(Zk::new(address.clone(), timeout)));
    let start_time = clock::seconds();
    let master = Arc::new(Master {
        flags,
        id,
        place,
        start_time,
        quorum,
        log_dir,
        credentials,
        weights_flag,
        zk,
        state: Mutex::new(state),
    });
    let serving = Arc::clone(&master);
    http::serve(listener, move || operator::Connection::new(Arc::clone(&serving)));
    let allocating = Arc::clone(&master);
    std::thread::spawn(move || allocating.look_after_frameworks());
    match address {
        Some(address) => master.campaign(&address, timeout),
        None => master.lead_alone(),
    }
}

/// One master process.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) flags: Flags,
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) start_time: f64,
    pub(crate) credentials: Credentials,
    quorum: usize,
    log_dir: PathBuf,
    weights_flag: BTreeMap<String, f64>,
    /// Never taken by who holds `state` and waits for something else; `state` may be held while
    /// this is taken, not the other way round.
    zk: Option<Mutex<Zk>>,
    state: Mutex<State>,
}

/// What changes while it runs.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) leader: Option<Leader>,
    pub(crate) phase: Phase,
    pub(crate) elected_time: Option<f64>,
    pub(crate) replicas: usize,
    /// The log that this master's replica is of: once it may vote, it may after every restart.
    pub(crate) log: Option<String>,
    /// Empty until recovered.
    pub(crate) registry: Registry,
    pub(crate) agents: BTreeMap<String, Agent>,
    /// What agents are to do, by agent.
    pub(crate) orders: BTreeMap<String, Vec<Order>>,
    /// Agents told to shut down, with the reason.
    pub(crate) farewells: BTreeMap<String, String>,
    pub(crate) next_agent: u64,
    pub(crate) next_connection: u64,
    pub(crate) counts: Counts,
    pub(crate) frameworks: Frameworks,
    own_node: Option<String>,
}

/// How far this master is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Following,
    /// Elected, but the registry's quorum is not there: it answers, with an empty cluster.
    Recovering(Instant),
    Leading(Instant),
}

/// Counters for `/metrics/snapshot`.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) registrations: u64,
    pub(crate) reregistrations: u64,
    pub(crate) removals: u64,
}

/// A registered agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) info: AgentInfo,
    pub(crate) pid: String,
    pub(crate) version: String,
    pub(crate) registered_time: f64,
    pub(crate) reregistered_time: Option<f64>,
    /// The connection it speaks over; none while it is disconnected.
    pub(crate) connection: Option<u64>,
    pub(crate) last_seen: Instant,
    /// How many tasks it said it has, and how many it was given since.
    pub(crate) tasks: usize,
}

impl Agent {
    /// The address in its pid, `slave(1)@IP:PORT`.
    pub(crate) fn ip(&self) -> &str {
        let address = self.pid.rsplit('@').next().unwrap_or_default();
        address.split(':').next().unwrap_or_default()
    }
}

impl State {
    pub(crate) fn is_leading(&self) -> bool {
        matches!(self.phase, Phase::Leading(_))
    }

    /// Elected, whether the registry is recovered or not.
    pub(crate) fn is_elected(&self) -> bool {
        self.phase != Phase::Following
    }

    /// Whether it gets offers.
    pub(crate) fn is_active(&self, id: &str, agent: &Agent) -> bool {
        agent.connection.is_some() && !self.registry.deactivated.contains(id)
    }
}

const REGISTRY: &str = "standin_registry";
const POLL: Duration = Duration::from_millis(300);

impl Master {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `master@IP:PORT`.
    pub(crate) fn pid(&self) -> String {
        format!("master@{}:{}", self.place.ip, self.place.port)
    }

    /// MasterInfo as in the znode.
    pub(crate) fn info(&self) -> Json {
        let Place { ip, port, hostname } = &self.place;
        json!({
            "address": { "hostname": hostname, "ip": ip.to_string(), "port": port },
            "capabilities": CAPABILITIES.map(|name| json!({ "type": name })),
            "hostname": hostname,
            "id": self.id,
            // Packed in network order, read as the machine's own.
            "ip": u32::from_ne_bytes(ip.octets()),
            "pid": self.pid(),
            "port": port,
            "version": version::mesos(),
        })
    }

    /// Changes the registry: first where it is kept, then here.
    pub(crate) fn change(
        &self,
        state: &mut State,
        edit: impl FnOnce(&mut Registry),
    ) -> Result<(), String> {
        let mut registry = state.registry.clone();
        edit(&mut registry);
        self.store(&registry)?;
        state.registry = registry;
        Ok(())
    }

    fn store(&self, registry: &Registry) -> Result<(), String> {
        let Some(zk) = &self.zk else {
            let path = self.log_dir.join(REGISTRY);
            return std::fs::write(path, registry.to_bytes()).map_err(|error| error.to_string());
        };
        let mut zk = zk.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("{}/{REGISTRY}", zk.path());
        let mut written = Err(Failure::Lost);
        // A write that is repeated is the same write.
        for _ in 0..3 {
            written = zk.set(&path, &registry.to_bytes());
            if written != Err(Failure::Lost) {
                break;
            }
        }
        written.map_err(|failure| format!("Failed to update registry: {failure:?}"))
    }

    /// An empty replica that can becomes one of a log. Nobody waits for the others' answers.
    fn begin(&self, replicas: &[SocketAddr]) {
        if replicas.len() < self.quorum || self.state().log.is_some() {
            return;
        }
        let Some(log) = replica::begin(self.place.socket(), replicas) else { return };
        if replica::persist(&self.log_dir, &log).is_ok() {
            log::info("replica.cpp:322", "Persisted replica status to VOTING");
            self.state().log = Some(log);
        }
    }

    /// What the log remembers: nothing where the registry is that of another one.
    fn fetch(&self, log: &str) -> Result<Registry, Failure> {
        let registry = self.stored()?;
        match registry.log == log {
            true => Ok(registry),
            false => Ok(Registry { log: log.to_owned(), ..Registry::default() }),
        }
    }

    fn stored(&self) -> Result<Registry, Failure> {
        let parse = |bytes: &[u8]| {
            serde_json::from_slice(bytes).unwrap_or_else(|error| {
                log::abort(
                    "master.cpp:1659",
                    &format!("Recovery failed: Failed to recover registrar: {error}"),
                )
            })
        };
        let Some(zk) = &self.zk else {
            let read = std::fs::read(self.log_dir.join(REGISTRY)).ok();
            return Ok(read.as_deref().map(parse).unwrap_or_default());
        };
        let mut zk = zk.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("{}/{REGISTRY}", zk.path());
        match zk.data(&path) {
            Ok((bytes, _)) => Ok(parse(&bytes)),
            Err(NO_NODE) => {
                zk.create(&path, &Registry::default().to_bytes(), Node::Persistent)?;
                Ok(Registry::default())
            }
            Err(failure) => Err(failure),
        }
    }

    fn lead_alone(&self) -> ! {
        let leader = Leader { node: String::new(), info: self.info() };
        self.state().own_node = Some(String::new());
        loop {
            self.follow(Some(leader.clone()), &[self.place.socket()]);
            self.watch_agents();
            std::thread::sleep(POLL);
        }
    }

    fn campaign(&self, address: &Address, timeout: Duration) -> ! {
        let mut connected = true;
        loop {
            match self.look() {
                Ok((leader, replicas)) => {
                    connected = true;
                    self.follow(leader, &replicas);
                }
                Err(Failure::Expired) => {
                    self.expired();
                    if let Some(zk) = &self.zk {
                        let mut zk = zk.lock().unwrap_or_else(PoisonError::into_inner);
                        *zk = Zk::new(address.clone(), timeout);
                    }
                }
                Err(_) => {
                    if connected {
                        let text = "Lost connection to ZooKeeper, attempting to reconnect ...";
                        log::info("group.cpp:452", text);
                    }
                    connected = false;
                }
            }
            self.watch_agents();
            std::thread::sleep(POLL);
        }
    }

    /// Joins where this session has not yet, then reads who leads and how many replicas there are.
    fn look(&self) -> Result<(Option<Leader>, Vec<SocketAddr>), Failure> {
        let (joined, known) = {
            let state = self.state();
            (state.own_node.is_some(), state.leader.clone())
        };
        let Some(zk) = &self.zk else { return Err(Failure::Lost) };
        let mut zk = zk.lock().unwrap_or_else(PoisonError::into_inner);
        if !joined {
            group::announce_replica(
                &mut zk,
                &format!("log-replica(1)@{}:{}", self.place.ip, self.place.port),
            )?;
            let node = group::contend(&mut zk, &self.info())?;
            drop(zk);
            log::info(
                "contender.cpp:268",
                &format!("New candidate ({node}) has entered the contest for leadership"),
            );
            self.state().own_node = Some(node);
            return self.look();
        }
        let leader = group::leader(&mut zk, known.as_ref())?;
        Ok((leader, group::replicas(&mut zk)?))
    }

    fn follow(&self, leader: Option<Leader>, replicas: &[SocketAddr]) {
        self.begin(replicas);
        let mut state = self.state();
        state.replicas = replicas.len();
        let known = state.leader.as_ref().map(|leader| &leader.node);
        if known != leader.as_ref().map(|leader| &leader.node) {
            match &leader {
                Some(leader) => {
                    let (id, pid) = (leader.sequence(), leader.pid());
                    log::info("detector.cpp:152", &format!("Detected a new leader: (id='{id}')"));
                    log::info(
                        "zookeeper.cpp:262",
                        &format!("A new leading master (UPID={pid}) is detected"),
                    );
                }
                None => log::info("detector.cpp:152", "Detected a new leader: None"),
            }
        }
        let own = leader.is_some()
            && leader.as_ref().map(|leader| &leader.node) == state.own_node.as_ref();
        state.leader = leader;
        match (state.phase, own) {
            (Phase::Following, true) => {
                log::info("master.cpp:2174", "Elected as the leading master!");
                log::info("master.cpp:1670", "Recovering from registrar");
                state.elected_time = Some(clock::seconds());
                state.phase = Phase::Recovering(Instant::now());
                drop(state);
                self.recover();
            }
            (Phase::Recovering(_), true) => {
                drop(state);
                self.recover();
            }
            (Phase::Recovering(_) | Phase::Leading(_), false) => {
                log::exit_with("master.cpp:2182", "Lost leadership... committing suicide!")
            }
            (Phase::Leading(_), true) | (Phase::Following, false) => {}
        }
    }

    fn recover(&self) {
        let (replicas, phase, log) = {
            let state = self.state();
            (state.replicas, state.phase, state.log.clone())
        };
        let Phase::Recovering(since) = phase else { return };
        let patience = self.flags.duration("registry_fetch_timeout");
        if replicas < self.quorum {
            if since.elapsed() > patience {
                let patience = crate::units::print_duration(patience);
                log::abort(
                    "master.cpp:1659",
                    &format!(
                        "Recovery failed: Failed to recover registrar: Failed to perform fetch within {patience}"
                    ),
                );
            }
            return;
        }
        let Some(log) = log else { return };
        // A failure is asked again at the next poll, until the time above is over.
        let Ok(registry) = self.fetch(&log) else { return };
        let mut state = self.state();
        let (agents, size) = (registry.agents.len(), registry.to_bytes().len());
        let stored = !registry.weights.is_empty();
        state.registry = registry;
        log::info("registrar.cpp:416", "Successfully recovered registrar");
        match (stored, self.weights_flag.is_empty()) {
            (true, false) => {
                let written = self.flags.text("weights").unwrap_or_default();
                log::warning(
                    "master.cpp:1795",
                    &format!(
                        "Ignoring --weights flag '{written}' and recovering the weights from registry"
                    ),
                );
            }
            (false, false) => {
                let weights = self.weights_flag.clone();
                if self.change(&mut state, |registry| registry.weights = weights).is_err() {
                    return;
                }
            }
            (_, true) => {}
        }
        let patience = self.flags.text("agent_reregister_timeout").unwrap_or_default();
        log::info(
            "master.cpp:1823",
            &format!(
                "Recovered {agents} agents from the registry ({size}B); allowing {patience} for agents to reregister"
            ),
        );
        state.phase = Phase::Leading(Instant::now());
    }

    fn expired(&self) {
        log::info("group.cpp:511", "ZooKeeper session expired");
        let mut state = self.state();
        if state.is_elected() {
            log::exit_with("master.cpp:2148", "Lost candidacy as a leader... committing suicide!");
        }
        if state.leader.is_some() {
            log::info("detector.cpp:152", "Detected a new leader: None");
        }
        state.leader = None;
        state.own_node = None;
    }

    /// Gives up agents that were silent for too long.
    fn watch_agents(&self) {
        let mut state = self.state();
        let Phase::Leading(since) = state.phase else { return };
        let ping = self.flags.duration("agent_ping_timeout");
        let pings = u32::try_from(self.flags.number("max_agent_ping_timeouts").unwrap_or(5));
        let patience = ping.saturating_mul(pings.unwrap_or(5));
        let silent = state.agents.iter().filter(|(_, agent)| agent.last_seen.elapsed() > patience);
        let mut lost: Vec<String> = silent.map(|(id, _)| id.clone()).collect();
        if since.elapsed() > self.flags.duration("agent_reregister_timeout") {
            let known = state.registry.agents.keys();
            lost.extend(known.filter(|id| !state.agents.contains_key(*id)).cloned());
        }
        for id in lost {
            let marked = self.change(&mut state, |registry| {
                if let Some(info) = registry.agents.remove(&id) {
                    registry.unreachable.insert(id.clone(), info);
                }
            });
            if marked.is_ok() {
                let host = state.agents.get(&id).map_or("", |agent| &agent.info.hostname);
                log::info(
                    "master.cpp:9035",
                    &format!("Marked agent {id} ({host}) unreachable: health check timed out"),
                );
                state.remove_agent(&id, Removal::Unreachable("health check timed out"));
            }
        }
    }
}

/// The capabilities of a master of 1.11.0, as recorded.
pub(crate) const CAPABILITIES: [&str; 3] = ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"];

/// Refusals that the real master makes after it has started.
fn check_limits(flags: &Flags) {
    if flags.duration("agent_reregister_timeout") < Duration::from_secs(600) {
        let written = flags.text("agent_reregister_timeout").unwrap_or_default();
        log::exit_with(
            "master.cpp:567",
            &format!(
                "Invalid value '{written}' for --agent_reregister_timeout: Must be at least 10mins"
            ),
        );
    }
    let limit = flags.text("recovery_agent_removal_limit").unwrap_or("100%");
    let percent = limit.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    if percent.is_none_or(|percent| !(0.0..=100.0).contains(&percent)) {
        log::exit_with(
            "master.cpp:581",
            &format!(
                "Invalid value '{limit}' for --recovery_agent_removal_limit: Must be within [0%-100%]"
            ),
        );
    }
    if let Some(rate) = flags.text("agent_removal_rate_limit") {
        let good = rate.split_once('/').is_some_and(|(permits, period)| {
            permits.parse::<u32>().is_ok() && crate::units::duration(period).is_ok()
        });
        if !good {
            log::exit_with(
                "master.cpp:592",
                &format!(
                    "Invalid agent_removal_rate_limit: {rate}. Format is <Number of agents>/<Duration>"
                ),
            );
        }
    }
    if flags.text("roles").is_some() {
        log::warning(
            "master.cpp:700",
            "The '--roles' flag is deprecated. This flag will be removed in the future. See the Mesos 0.27 upgrade notes for more information",
        );
    }
}
