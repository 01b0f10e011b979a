//! The executor of one task: a process of its own, so that a task can outlive its agent.
//! Source: src/docker/executor.cpp and src/launcher/executor.cpp at 1.11.0; log lines as recorded.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::run::{self, Run, Update};
use crate::{log, version};

/// Runs the task of the run whose directory is given; returns when the task has ended.
pub(crate) fn run(directory: &Path) -> ExitCode {
    let Some(run) = Run::read(directory) else {
        return crate::refuse("an executor is started by its agent, with the directory of a run");
    };
    let agent_left = watch_agent();
    let kind = if run.docker.is_some() { "docker" } else { "command" };
    log::info("exec.cpp:164", &format!("Version: {}", version::mesos()));
    let agent = &run.agent_id;
    log::info("exec.cpp:237", &format!("Executor registered on agent {agent}"));
    log::info("executor.cpp:130", &format!("Registered {kind} executor on {}", run.hostname));
    log::info("executor.cpp:186", &format!("Starting task {}", run.task_id));
    let mut executor =
        Executor { directory: directory.to_owned(), run, agent_left, running: false, kill: None };
    executor.tell(&Update::now("TASK_STARTING"));
    let message = match executor.start() {
        Ok(child) => executor.follow(child),
        Err(error) => {
            let program = executor.run.argv.first().cloned().unwrap_or_default();
            let message = format!("Failed to run '{program}': {error}");
            executor.tell(&Update { message: Some(message.clone()), ..Update::now("TASK_FAILED") });
            message
        }
    };
    log::info("executor.cpp:754", &message);
    ExitCode::SUCCESS
}

struct Executor {
    directory: PathBuf,
    run: Run,
    agent_left: Arc<AtomicBool>,
    /// Whether TASK_RUNNING was told.
    running: bool,
    kill: Option<Kill>,
}

/// A kill that goes on.
struct Kill {
    deadline: Instant,
    /// `docker stop`, while it runs.
    stop: Option<Child>,
    escalated: bool,
}

const POLL: Duration = Duration::from_millis(50);
const INSPECT_DELAY: Duration = Duration::from_millis(500);
/// How long Docker is still asked about a container that ended before it was seen to run.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After which a `docker stop` that failed is tried again.
const KILL_RETRY: Duration = Duration::from_secs(5);

impl Executor {
    fn tell(&self, update: &Update) {
        if let Err(error) = run::tell(&self.directory, update) {
            // The task goes on: an agent that forgot this run has taken its directory away.
            log::warning("executor.cpp:801", &format!("Failed to tell {update:?}: {error}"));
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let run = &self.run;
        let (program, arguments) =
            run.argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&run.environment);
        command.current_dir(&run.sandbox).stdin(Stdio::null()).process_group(0);
        if let Some(user) = run.user {
            command.gid(user.gid).uid(user.uid);
        }
        command.spawn()
    }

    /// Waits for the end and tells it; the last word about the task.
    fn follow(&mut self, mut child: Child) -> String {
        let pid = child.id();
        if self.run.docker.is_none() {
            log::info("executor.cpp:736", &format!("Forked command at {pid}"));
            self.running = true;
            self.tell(&Update::now("TASK_RUNNING"));
        }
        let mut asked = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            if !self.running && asked.elapsed() > INSPECT_DELAY {
                self.look_whether_it_runs();
                asked = Instant::now();
            }
            self.see_about_kills(pid);
            std::thread::sleep(POLL);
        };
        let ended = Instant::now();
        while !self.running && self.kill.is_none() && ended.elapsed() < INSPECT_TIMEOUT {
            self.look_whether_it_runs();
            if !self.running {
                std::thread::sleep(INSPECT_DELAY);
            }
        }
        self.end(status, pid)
    }

    fn end(&self, status: std::io::Result<ExitStatus>, pid: u32) -> String {
        let what = if self.run.docker.is_some() { "Container" } else { "Command" };
        let state = match &status {
            Ok(status) if status.success() => "TASK_FINISHED",
            Ok(_) if self.kill.is_some() => "TASK_KILLED",
            _ => "TASK_FAILED",
        };
        let message = match status {
            Ok(status) => format!("{what} {}", describe(status)),
            Err(error) => format!("Failed to get exit status of {what}: {error}"),
        };
        self.tell(&Update { message: Some(message.clone()), ..Update::now(state) });
        match self.run.docker {
            Some(_) => message,
            None => format!("{message} (pid: {pid})"),
        }
    }

    /// Tells TASK_RUNNING as soon as Docker says that the container was started.
    fn look_whether_it_runs(&mut self) {
        let Some(docker) = &self.run.docker else { return };
        let name = self.run.container_name();
        let asked =
            tool(docker, &["inspect", "--type=container", &name]).stdout(Stdio::piped()).output();
        let Ok(output) = asked else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let container: Json = serde_json::from_str(&text).unwrap_or_default();
        let started = container[0]["State"]["StartedAt"].as_str().unwrap_or(NEVER);
        if !output.status.success() || started == NEVER {
            return;
        }
        self.running = true;
        let ip = address(&container[0]);
        self.tell(&Update { data: Some(text), ip, ..Update::now("TASK_RUNNING") });
    }

    fn see_about_kills(&mut self, pid: u32) {
        match &mut self.kill {
            None => {
                // Docker may not know yet of a container that it has not been seen to run.
                let wanted = self.wanted_kill().filter(|_| self.running);
                if let Some(grace) = wanted {
                    self.begin_kill(pid, grace);
                }
            }
            Some(kill) => match (&mut kill.stop, &self.run.docker) {
                (Some(stop), Some(docker)) => {
                    let failed =
                        stop.try_wait().is_ok_and(|end| end.is_some_and(|it| !it.success()));
                    if failed && Instant::now() > kill.deadline + KILL_RETRY {
                        let name = self.run.container_name();
                        log::warning(
                            "executor.cpp:640",
                            &format!("Failed to stop container '{name}'; trying again"),
                        );
                        kill.stop = tool(docker, &["stop", "-t", "0", &name]).spawn().ok();
                        kill.deadline = Instant::now();
                    }
                }
                _ if !kill.escalated && Instant::now() > kill.deadline => {
                    kill.escalated = true;
                    log::info(
                        "executor.cpp:1004",
                        &format!("Process {pid} did not terminate, sending SIGKILL to its group"),
                    );
                    signal("KILL", pid);
                }
                _ => {}
            },
        }
    }

    /// The grace period of a kill that is due.
    fn wanted_kill(&self) -> Option<Duration> {
        if let Some(grace) = run::kill_asked(&self.directory) {
            return Some(grace);
        }
        if !self.agent_left.load(Ordering::Relaxed) {
            return None;
        }
        // Without a checkpoint nobody would know the task again; and an agent under another id
        // never asks for it.
        let latest = std::fs::read_link(&self.run.latest).ok();
        let other = latest.is_some_and(|it| it.file_name() != Some(self.run.agent_id.as_ref()));
        (!self.run.checkpoint || other).then_some(self.run.grace)
    }

    fn begin_kill(&mut self, pid: u32, grace: Duration) {
        log::info("executor.cpp:560", &format!("Received kill for task {}", self.run.task_id));
        if self.run.tells_killing {
            self.tell(&Update::now("TASK_KILLING"));
        }
        let stop = match &self.run.docker {
            Some(docker) => {
                let seconds = grace.as_secs().to_string();
                tool(docker, &["stop", "-t", &seconds, &self.run.container_name()]).spawn().ok()
            }
            None => {
                log::info("executor.cpp:978", &format!("Sending SIGTERM to process group {pid}"));
                signal("TERM", pid);
                None
            }
        };
        self.kill = Some(Kill { deadline: Instant::now() + grace, stop, escalated: false });
    }
}

/// Docker's word for the time of what did not happen.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The agent holds the other end of our standard input for as long as it lives.
fn watch_agent() -> Arc<AtomicBool> {
    let left = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&left);
    std::thread::spawn(move || {
        let mut nothing = Vec::new();
        // An end with an error is an end too.
        let _ = std::io::stdin().read_to_end(&mut nothing);
        flag.store(true, Ordering::Relaxed);
    });
    left
}

/// Docker's client with more words, not heard.
fn tool(docker: &[String], more: &[&str]) -> Command {
    let (program, first) = docker.split_first().map_or(("docker", &[][..]), |(p, f)| (p, f));
    let mut command = Command::new(program);
    command.args(first).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// To the whole group; that it is gone already is no failure.
fn signal(name: &str, group: u32) {
    let _ = Command::new("/bin/sh")
        .args(["-c", &format!("kill -s {name} -- -{group}")])
        .stderr(Stdio::null())
        .status();
}

/// As stout's WSTRINGIFY writes it.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => {
            let core = if status.core_dumped() { " (core dumped)" } else { "" };
            format!("terminated with signal {}{core}", signal_name(number))
        }
        (None, None) => "wait status unknown".to_owned(),
    }
}

/// strsignal(3) of the common ones.
fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        11 => "Segmentation fault",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        other => return format!("Unknown signal {other}"),
    };
    name.to_owned()
}

/// The address of a container in a network of its own.
fn address(container: &Json) -> Option<String> {
    let network = &container["NetworkSettings"];
    let networks = network["Networks"].as_object();
    let named = networks.and_then(|all| all.values().find_map(|one| one["IPAddress"].as_str()));
    let found = network["IPAddress"].as_str().filter(|ip| !ip.is_empty()).or(named);
    found.filter(|ip| !ip.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_worded_as_the_real_ones() {
        assert_eq!(describe(ExitStatus::from_raw(1 << 8)), "exited with status 1");
        assert_eq!(describe(ExitStatus::from_raw(9)), "terminated with signal Killed");
        assert_eq!(
            describe(ExitStatus::from_raw(11 | 0x80)),
            "terminated with signal Segmentation fault (core dumped)"
        );
    }

    #[test]
    fn a_container_has_an_address_in_its_own_network_only() {
        let host = serde_json::json!({ "NetworkSettings": { "IPAddress": "",
            "Networks": { "host": { "IPAddress": "" } } } });
        let bridge = serde_json::json!({ "NetworkSettings": { "IPAddress": "172.17.0.2" } });
        assert_eq!((address(&host), address(&bridge).as_deref()), (None, Some("172.17.0.2")));
    }
}
