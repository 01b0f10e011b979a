//! The agent: its checks at the start, its identity, its master, and its tasks.

mod detector;
mod files;
mod kill;
mod launch;
mod link;
mod machine;
mod revive;
mod tasks;
mod views;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::auth;
use crate::docker::{self, Docker};
use crate::flags::Flags;
use crate::group::Leader;
use crate::http::{self, Handler, Request, Response};
use crate::info::AgentInfo;
use crate::net::{self, Place};
use crate::{clock, log, recovery, systemd, version};
pub(crate) use detector::Detector;
use link::Link;
use tasks::Tasks;

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
    let mut info = machine::describe(&flags, &place);
    let start_time = clock::seconds();
    let agent =
        Arc::new(Agent { flags, place, start_time, state: Mutex::new(State::new(info.clone())) });
    let serving = Arc::clone(&agent);
    let credentials = Arc::new(auth::Credentials::of_agent(&agent.flags));
    http::serve(listener, move || Visitor(Arc::clone(&serving), Arc::clone(&credentials)));
    info.id = recovery::recover(&agent.flags, &info);
    let containers = match docker {
        Docker::Used => docker::list_containers(&agent.flags)
            .unwrap_or_else(|error| recovery::fail(&agent.flags, &error)),
        Docker::Unused => Vec::new(),
    };
    if let Some(id) = &info.id {
        agent.revive(id);
    }
    agent.remove_orphans(&containers);
    log::info("slave.cpp:8388", "Finished recovery");
    agent.state().info = info;
    let looking = Arc::clone(&agent);
    std::thread::spawn(move || looking.look_after_tasks());
    let following = Arc::clone(&agent);
    std::thread::spawn(move || following.follow_masters(detector));
    agent.serve_masters(credential.as_ref())
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
    /// The leading master, as far as it is known.
    leader: Option<Leader>,
    /// The registration with it.
    link: Option<Link>,
    tasks: Tasks,
}

impl State {
    fn new(info: AgentInfo) -> State {
        State { info, leader: None, link: None, tasks: Tasks::default() }
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

    fn work_dir(&self) -> PathBuf {
        PathBuf::from(self.flags.text("work_dir").unwrap_or_default())
    }
}

fn terminate() -> ! {
    log::info("slave.cpp:1004", "Agent terminating");
    log::leave(0)
}

struct Visitor(Arc<Agent>, Arc<auth::Credentials>);

impl Handler for Visitor {
    fn handle(&mut self, request: &Request) -> Response {
        let path = request.path.trim_end_matches('/');
        let path = path.strip_prefix("/slave(1)").unwrap_or(path).trim_start_matches('/');
        let agent = &self.0;
        if self.1.over_http(path, request.header("authorization")).is_err() {
            return Response::unauthorized("mesos-agent-readonly");
        }
        match path {
            "health" => Response::ok(),
            "version" => Response::json(&crate::views::version()),
            "flags" => Response::json(&json!({ "flags": agent.flags.to_json() })),
            "state" => Response::json(&agent.view()),
            "metrics/snapshot" => Response::json(&agent.metrics()),
            "containers" => Response::json(&agent.containers()),
            "monitor/statistics" => Response::json(&agent.statistics()),
            "files/browse" | "files/read" | "files/download" => agent.files(path, request),
            _ => Response::not_found(),
        }
    }
}
