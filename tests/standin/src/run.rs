//! One run of a task: its directories, what its executor is told, and what the executor tells.
//!
//! The real agent and its executors speak over sockets, and the agent writes down what it must not
//! forget. Here the writing is the talk: an executor reads `run.json`, appends its updates to
//! `updates`, and looks whether there is a file `kill`. So it goes on while no agent is there, and
//! an agent that comes back reads what it missed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{clock, net};

/// What an executor is told, in `run.json` of the run's directory under `meta`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) agent_id: String,
    pub(crate) hostname: String,
    pub(crate) task_id: String,
    /// The FrameworkInfo and the TaskInfo, for an agent that recovers: packed as in orders.
    pub(crate) framework: Json,
    pub(crate) task: Json,
    /// The container's id, a UUID.
    pub(crate) container: String,
    /// Whether the task may outlive its agent.
    pub(crate) checkpoint: bool,
    /// Whether the framework wants to hear of TASK_KILLING.
    pub(crate) tells_killing: bool,
    pub(crate) sandbox: PathBuf,
    /// `meta/slaves/latest`: when it names another agent, nobody will ask for this task again.
    pub(crate) latest: PathBuf,
    /// What is started, in the sandbox.
    pub(crate) argv: Vec<String>,
    /// All of its environment.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) user: Option<User>,
    /// How Docker is asked, `docker -H unix://...`; none for a task that is a plain process.
    pub(crate) docker: Option<Vec<String>>,
    /// Between SIGTERM and SIGKILL where a kill does not say it.
    pub(crate) grace: Duration,
}

/// Whom a process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// One line of `updates`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Update {
    /// The name of a TaskState.
    pub(crate) state: String,
    pub(crate) uuid: String,
    /// Seconds since 1970.
    pub(crate) timestamp: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// The name of a Reason; only an agent that speaks in the executor's stead has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What `docker inspect` printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    /// The container's own address, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ip: Option<String>,
}

impl Update {
    pub(crate) fn now(state: &str) -> Update {
        Update {
            state: state.to_owned(),
            uuid: net::uuid(),
            timestamp: clock::seconds(),
            message: None,
            reason: None,
            data: None,
            ip: None,
        }
    }
}

/// The directories of a run, under the work directory or under `meta` in it.
/// Source: docs/sandbox.md at 1.11.0.
pub(crate) fn directory(
    root: &Path,
    agent: &str,
    framework: &str,
    executor: &str,
    container: &str,
) -> PathBuf {
    let frameworks = root.join("slaves").join(agent).join("frameworks");
    frameworks.join(framework).join("executors").join(executor).join("runs").join(container)
}

const RUN: &str = "run.json";
const UPDATES: &str = "updates";
const KILL: &str = "kill";
const ACKNOWLEDGED: &str = "acknowledged";
const PID: &str = "forked.pid";

impl Run {
    pub(crate) fn read(directory: &Path) -> Option<Run> {
        serde_json::from_slice(&std::fs::read(directory.join(RUN)).ok()?).ok()
    }

    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        put(directory, RUN, &serde_json::to_vec(self)?)
    }

    /// `mesos-UUID`.
    pub(crate) fn container_name(&self) -> String {
        container_name(&self.container)
    }
}

/// The name under which Docker knows a container of ours.
pub(crate) fn container_name(container: &str) -> String {
    format!("mesos-{container}")
}

/// Appends one update, whole.
pub(crate) fn tell(directory: &Path, update: &Update) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(update)?;
    line.push(b'\n');
    let path = directory.join(UPDATES);
    File::options().create(true).append(true).open(path)?.write_all(&line)
}

/// The updates from a place in the file on, and the place behind them.
pub(crate) fn told(directory: &Path, offset: u64) -> (Vec<Update>, u64) {
    let mut bytes = Vec::new();
    let read = File::open(directory.join(UPDATES)).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut bytes)
    });
    // A line that is just being written is read when it is whole.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    if read.is_err() || whole == 0 {
        return (Vec::new(), offset);
    }
    let lines = bytes[..whole].split(|byte| *byte == b'\n');
    let updates = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    (updates, offset + whole as u64)
}

/// Asks the executor to end the task; the first to ask decides about the grace period.
pub(crate) fn ask_to_kill(directory: &Path, grace: Duration) -> std::io::Result<()> {
    if kill_asked(directory).is_some() {
        return Ok(());
    }
    put(directory, KILL, grace.as_nanos().to_string().as_bytes())
}

/// The grace period with which the task is to end, once somebody asked.
pub(crate) fn kill_asked(directory: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(directory.join(KILL)).ok()?;
    text.trim().parse().ok().map(Duration::from_nanos)
}

/// How many updates the framework has acknowledged.
pub(crate) fn acknowledged(directory: &Path) -> usize {
    let text = std::fs::read_to_string(directory.join(ACKNOWLEDGED)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

pub(crate) fn acknowledge(directory: &Path, count: usize) -> std::io::Result<()> {
    put(directory, ACKNOWLEDGED, count.to_string().as_bytes())
}

/// Which process the executor is: its id, and when it began, for ids come again.
pub(crate) fn write_pid(directory: &Path, pid: u32) -> std::io::Result<()> {
    let begun = began(pid).unwrap_or_default();
    put(directory, PID, format!("{pid} {begun}").as_bytes())
}

/// Whether the executor is still there.
pub(crate) fn is_alive(directory: &Path) -> bool {
    let text = std::fs::read_to_string(directory.join(PID)).unwrap_or_default();
    let Some((pid, begun)) = text.trim().split_once(' ') else { return false };
    pid.parse().is_ok_and(|pid| began(pid).is_some_and(|now| now == begun))
}

/// The start time of a process in clock ticks since the boot; none for one that is gone or a zombie.
fn began(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold blanks and brackets.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    (fields.next()? != "Z").then(|| fields.nth(18).map(str::to_owned)).flatten()
}

fn put(directory: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = directory.join(format!(".{name}"));
    std::fs::write(&fresh, bytes)?;
    std::fs::rename(fresh, directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            let path = std::env::temp_dir().join(format!("standin-run-{}", net::uuid()));
            std::fs::create_dir_all(&path).expect("a directory for the test");
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // What cannot be removed is only untidy.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn updates_are_read_once_and_only_whole() {
        let scratch = Scratch::new();
        assert_eq!(told(&scratch.0, 0), (Vec::new(), 0));
        let first = Update::now("TASK_STARTING");
        tell(&scratch.0, &first).expect("written");
        let (read, offset) = told(&scratch.0, 0);
        assert_eq!(read, [first]);
        let path = scratch.0.join(UPDATES);
        let mut file = File::options().append(true).open(path).expect("it is there");
        file.write_all(b"{\"state\":\"TASK_RU").expect("half a line");
        assert_eq!(told(&scratch.0, offset), (Vec::new(), offset));
        file.write_all(b"NNING\",\"uuid\":\"u\",\"timestamp\":1.0}\n").expect("the other half");
        assert_eq!(told(&scratch.0, offset).0[0].state, "TASK_RUNNING");
    }

    #[test]
    fn the_first_to_kill_decides() {
        let scratch = Scratch::new();
        assert_eq!(kill_asked(&scratch.0), None);
        ask_to_kill(&scratch.0, Duration::from_secs(30)).expect("written");
        ask_to_kill(&scratch.0, Duration::from_secs(1)).expect("written");
        assert_eq!(kill_asked(&scratch.0), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_process_is_known_by_its_beginning() {
        let scratch = Scratch::new();
        assert!(!is_alive(&scratch.0));
        write_pid(&scratch.0, std::process::id()).expect("written");
        assert!(is_alive(&scratch.0));
        put(&scratch.0, PID, format!("{} 1", std::process::id()).as_bytes()).expect("written");
        assert!(!is_alive(&scratch.0), "another process has this id now");
    }
}
