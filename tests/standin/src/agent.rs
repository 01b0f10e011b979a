//! The agent: its checks at the start, its identity, and its master.

use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::auth::{self, Credential};
use crate::docker::{self, Docker};
use crate::flags::Flags;
use crate::group::{self, Leader};
use crate::http::{self, Client, Handler, Request, Response};
use crate::info::{AGENT_CAPABILITIES, AgentInfo, ResourceViews, totals};
use crate::net::{self, Place};
use crate::operator::AGENT_PATH;
use crate::values::{self, Resource, Value};
use crate::zk::{Address, Failure, Zk};
use crate::{clock, log, recovery, systemd, version};

/// Starts the agent; returns only when it could not start.
pub(crate) fn run(flags: Flags) -> ExitCode {
    let Some(master) = flags.text("master") else {
        let hint = crate::flags::Component::Agent.help_hint();
        return crate::refuse(&format!(
            "Missing required option `--master` or `--master_detector`.\n\n{hint}"
        ));
    };
    log::info("main.cpp:546", &format!("Version: {}", version::mesos()));
    let detector = Detector::of(master, flags.duration("zk_session_timeout"));
    let (listener, place) = net::bind(&flags);
    systemd::initialize(&flags);
    let docker = docker::check_containerizers(&flags).unwrap_or_else(|error| {
        log::exit_with("main.cpp:790", &format!("Failed to create a containerizer: {error}"))
    });
    log::info("slave.cpp:283", &format!("Mesos agent started on (1)@{}:{}", place.ip, place.port));
    log::info("slave.cpp:284", &format!("Flags at startup: {}", flags.at_startup()));
    let credential = auth::of_agent(&flags);
    let mut info = describe(&flags, &place);
    let start_time = clock::seconds();
    let agent = Arc::new(Agent {
        flags,
        place,
        start_time,
        state: Mutex::new(State { info: info.clone(), master: None }),
    });
    let serving = Arc::clone(&agent);
    http::serve(listener, move || Visitor(Arc::clone(&serving)));
    info.id = recovery::recover(&agent.flags, &info);
    if docker == Docker::Used
        && let Err(error) = docker::list_containers(&agent.flags)
    {
        recovery::fail(&agent.flags, &error);
    }
    log::info("slave.cpp:8388", "Finished recovery");
    agent.state().info = info;
    agent.serve_masters(detector, credential.as_ref())
}

/// One agent process.
#[derive(Debug)]
struct Agent {
    flags: Flags,
    place: Place,
    start_time: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    info: AgentInfo,
    /// The host name of the master that it is registered with.
    master: Option<String>,
}

/// How the leading master is found.
#[derive(Debug)]
enum Detector {
    ZooKeeper(Address, Box<Zk>, Duration),
    Fixed(Leader),
}

impl Detector {
    fn of(master: &str, timeout: Duration) -> Detector {
        let master = master.trim();
        if master.starts_with("zk://") {
            let address = Address::parse(master).unwrap_or_else(|error| {
                log::exit_with(
                    "main.cpp:590",
                    &format!("Failed to create a master detector: {error}"),
                )
            });
            return Detector::ZooKeeper(
                address.clone(),
                Box::new(Zk::new(address, timeout)),
                timeout,
            );
        }
        let address = master.strip_prefix("master@").unwrap_or(master);
        let (hostname, port) = address.split_once(':').unwrap_or((address, "5050"));
        let info = json!({ "pid": format!("master@{hostname}:{port}"), "hostname": hostname });
        Detector::Fixed(Leader { node: address.to_owned(), info })
    }

    /// `Err` when nothing can be known now: what was known stays.
    fn look(&mut self, known: Option<&Leader>) -> Result<Option<Leader>, Failure> {
        match self {
            Detector::Fixed(leader) => Ok(Some(leader.clone())),
            Detector::ZooKeeper(address, zk, timeout) => match group::leader(zk, known) {
                Err(Failure::Expired) => {
                    log::info("group.cpp:511", "ZooKeeper session expired");
                    **zk = Zk::new(address.clone(), *timeout);
                    Ok(None)
                }
                other => other,
            },
        }
    }
}

impl Agent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `slave(1)@IP:PORT`.
    fn pid(&self) -> String {
        format!("slave(1)@{}:{}", self.place.ip, self.place.port)
    }

    fn serve_masters(&self, mut detector: Detector, credential: Option<&Credential>) -> ! {
        let mut known: Option<Leader> = None;
        let mut client: Option<Client> = None;
        let mut last_word = Instant::now();
        loop {
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
                client = None;
                self.state().master = None;
                known = leader;
            }
            if let Some(leader) = &known {
                if client.is_none() {
                    client = self.register(leader, credential);
                    last_word = Instant::now();
                } else if last_word.elapsed() > HEARTBEAT {
                    last_word = Instant::now();
                    client = client.take().and_then(|client| self.heartbeat(client, leader));
                }
            }
            std::thread::sleep(POLL);
        }
    }

    fn register(&self, leader: &Leader, credential: Option<&Credential>) -> Option<Client> {
        let info = self.state().info.clone();
        let again = info.id.is_some();
        let mut message = json!({
            "kind": "register",
            "info": info.to_json(),
            "pid": self.pid(),
            "version": version::mesos(),
        });
        if let Some(credential) = credential {
            message["credential"] = json!(credential);
        }
        let mut client = Client::open(leader.pid().trim_start_matches("master@"))?;
        let (status, answer) = client.post(AGENT_PATH, &message)?;
        if status != 200 {
            return None;
        }
        if answer["refused"] == true {
            log::info("slave.cpp:1680", &format!("Master {} refused authentication", leader.pid()));
            log::info("slave.cpp:1003", "Master refused authentication; shutting down");
            terminate();
        }
        obey(&answer, leader);
        let id = answer["id"].as_str()?.to_owned();
        let info = AgentInfo { id: Some(id.clone()), ..info };
        if let Err(error) = recovery::save(&self.flags, &info) {
            log::abort("slave.cpp:1720", &format!("Failed to checkpoint agent info: {error}"));
        }
        let pid = leader.pid();
        let text = match again {
            true => format!("Re-registered with master {pid}"),
            false => format!("Registered with master {pid}; given agent ID {id}"),
        };
        log::info(if again { "slave.cpp:1832" } else { "slave.cpp:1722" }, &text);
        let mut state = self.state();
        state.info = info;
        state.master = Some(leader.info["hostname"].as_str().unwrap_or_default().to_owned());
        Some(client)
    }

    fn heartbeat(&self, mut client: Client, leader: &Leader) -> Option<Client> {
        let answer = client.post(AGENT_PATH, &json!({ "kind": "heartbeat" }));
        match answer {
            Some((200, answer)) if answer["unknown"] != true => {
                obey(&answer, leader);
                Some(client)
            }
            _ => {
                log::warning(
                    "slave.cpp:6723",
                    "Master disconnected! Waiting for a new master to be elected",
                );
                self.state().master = None;
                None
            }
        }
    }

    fn view(&self) -> Json {
        let state = self.state();
        let views = state.info.resource_views();
        let ResourceViews { total, reserved, unreserved, reserved_full, unreserved_full } = views;
        let mut view = json!({
            "version": version::mesos(),
            "build_date": "1970-01-01 00:00:00 UTC",
            "build_time": 0.0,
            "build_user": "standin",
            "start_time": self.start_time,
            "id": state.info.id.as_deref().unwrap_or_default(),
            "pid": self.pid(),
            "hostname": state.info.hostname,
            "capabilities": AGENT_CAPABILITIES,
            "resources": total,
            "reserved_resources": reserved,
            "unreserved_resources": unreserved,
            "reserved_resources_full": reserved_full,
            "unreserved_resources_full": unreserved_full,
            "reserved_resources_allocated": {},
            "unreserved_resources_allocated": totals(&[]),
            "resource_providers": [],
            "attributes": state.info.attributes_json(),
        });
        if let Some(hostname) = &state.master {
            view["master_hostname"] = hostname.as_str().into();
        }
        if let Some(dir) = self.flags.text("log_dir") {
            view["log_dir"] = dir.into();
        }
        view["flags"] = self.flags.to_json();
        view["frameworks"] = json!([]);
        view["completed_frameworks"] = json!([]);
        view
    }

    fn metrics(&self) -> Json {
        let state = self.state();
        let mut view = json!({});
        for name in ["cpus", "disk", "gpus", "mem"] {
            view[format!("slave/{name}_total")] = json!(state.info.scalar(name));
            view[format!("slave/{name}_used")] = json!(0.0);
            view[format!("slave/{name}_percent")] = json!(0.0);
        }
        for name in ["registering", "running", "terminated", "terminating"] {
            view[format!("slave/executors_{name}")] = json!(0.0);
        }
        view["slave/frameworks_active"] = json!(0.0);
        view["slave/recovery_errors"] = json!(0.0);
        view["slave/registered"] = json!(if state.master.is_some() { 1.0 } else { 0.0 });
        for name in ["failed", "finished", "killed", "lost", "running", "staging", "starting"] {
            view[format!("slave/tasks_{name}")] = json!(0.0);
        }
        view["slave/uptime_secs"] = json!(clock::seconds() - self.start_time);
        view
    }
}

const POLL: Duration = Duration::from_millis(300);
const HEARTBEAT: Duration = Duration::from_millis(900);

/// Ends as the master says.
fn obey(answer: &Json, leader: &Leader) {
    if let Some(reason) = answer["shutdown"].as_str() {
        let pid = leader.pid();
        log::info(
            "slave.cpp:1041",
            &format!("Agent asked to shut down by {pid} because '{reason}'"),
        );
        terminate();
    }
}

fn terminate() -> ! {
    log::info("slave.cpp:1004", "Agent terminating");
    log::leave(0)
}

struct Visitor(Arc<Agent>);

impl Handler for Visitor {
    fn handle(&mut self, request: &Request) -> Response {
        let path = request.path.trim_end_matches('/');
        let path = path.strip_prefix("/slave(1)").unwrap_or(path).trim_start_matches('/');
        let agent = &self.0;
        match path {
            "health" => Response::ok(),
            "version" => Response::json(&crate::views::version()),
            "flags" => Response::json(&json!({ "flags": agent.flags.to_json() })),
            "state" => Response::json(&agent.view()),
            "metrics/snapshot" => Response::json(&agent.metrics()),
            "containers" | "monitor/statistics" => Response::json(&json!([])),
            _ => Response::not_found(),
        }
    }
}

/// The agent as its flags and its machine say.
fn describe(flags: &Flags, place: &Place) -> AgentInfo {
    let default_role = flags.text("default_role").unwrap_or("*");
    let written = flags.text("resources").unwrap_or_default();
    let mut resources = values::resources(written, default_role).unwrap_or_else(|error| {
        log::exit_with("slave.cpp:493", &format!("Failed to determine agent resources: {error}"))
    });
    for (name, detect) in DETECTED {
        // A name given for one role alone counts as given.
        if !resources.iter().any(|resource| resource.name == *name) {
            let role = (default_role != "*").then(|| default_role.to_owned());
            resources.push(Resource { name: (*name).to_owned(), role, value: detect(flags) });
        }
    }
    let listed: Vec<Json> = resources.iter().map(Resource::to_json).collect();
    log::info("slave.cpp:631", &format!("Agent resources: {}", Json::from(listed)));
    let attributes = values::attributes(flags.text("attributes").unwrap_or_default());
    let attributes = attributes.unwrap_or_else(|error| {
        let (place, text) = error.line();
        log::abort(place, &text)
    });
    let printed: Vec<String> = attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.name, attribute.value.print()))
        .collect();
    log::info("slave.cpp:639", &format!("Agent attributes: [ {} ]", printed.join(", ")));
    let hostname = place.hostname.clone();
    log::info("slave.cpp:648", &format!("Agent hostname: {hostname}"));
    AgentInfo { id: None, hostname, port: place.port, resources, attributes }
}

type Detect = fn(&Flags) -> Value;

/// Source: src/slave/containerizer/containerizer.cpp at 1.11.0, `Containerizer::resources`.
const DETECTED: &[(&str, Detect)] =
    &[("cpus", cpus), ("mem", memory), ("disk", disk), ("ports", ports)];

fn cpus(_: &Flags) -> Value {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Value::Scalar(count as f64)
}

/// All but 1 GiB, or half of less than 2 GiB; in MB.
fn memory(_: &Flags) -> Value {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let total =
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024;
    Value::Scalar(if total >= 2048 { total - 1024 } else { total / 2 } as f64)
}

/// All but 5 GiB of the work directory's file system, or half of less than 10 GiB; in MB.
fn disk(flags: &Flags) -> Value {
    let directory = flags.text("work_dir").unwrap_or("/");
    // A directory that is not there cannot be measured; the real agent makes it too.
    let _ = std::fs::create_dir_all(directory);
    let output = Command::new("df").args(["-Pm", "--", directory]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let size =
        text.lines().nth(1).and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let size = size.unwrap_or(0);
    Value::Scalar(if size >= 10 << 10 { size - (5 << 10) } else { size / 2 } as f64)
}

fn ports(_: &Flags) -> Value {
    Value::Ranges(vec![(31000, 32000)])
}
