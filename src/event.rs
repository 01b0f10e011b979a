//! What happens in a run, as data. The engine emits events; renderers draw them; the report is their
//! sum. The names are a public format: scripts read them (`--json`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ground::{HostName, Problem};
use crate::health::Member;
use crate::tasks::Task;

pub mod schema;

/// Version of the event format.
pub const VERSION: u32 = 1;

/// One event with what every event carries.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Stamped {
    /// Version of the event format.
    pub v: u32,
    /// When, RFC 3339 in UTC.
    pub ts: String,
    /// The run's id.
    pub run: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happens in a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A command began.
    RunStarted {
        /// `plan`, `apply`, `smoke`, …
        command: String,
        /// The cluster.
        cluster: String,
        /// Digest of the inventory.
        inventory: String,
        /// How many hosts will be asked.
        hosts: usize,
        /// Version of this program.
        version: String,
        /// What is to run, by name: `Mesos`, `Spark`, …, with its version as the inventory has it.
        versions: BTreeMap<String, String>,
    },
    /// A host has been reached and its shell is open.
    HostConnected {
        /// The host.
        host: HostName,
        /// How long it took.
        seconds: f64,
    },
    /// A host could not be reached, or was lost.
    HostUnreachable {
        /// The host.
        host: HostName,
        /// One sentence: why, and what to do.
        reason: String,
    },
    /// A host's probe was answered.
    Observed {
        /// The host.
        host: HostName,
        /// How long it took, from when hosts began to be opened.
        seconds: f64,
        /// How many of its resources are not as wanted.
        gaps: usize,
    },
    /// The plan is made.
    Planned {
        /// Actions.
        actions: usize,
        /// Hosts with actions.
        hosts: usize,
        /// What is left undone on purpose.
        blocked: usize,
        /// Hosts that did not answer.
        unreachable: usize,
    },
    /// A plan that is only shown would change this.
    Pending {
        /// The host.
        host: HostName,
        /// The task.
        task: Task,
        /// The resource.
        resource: String,
        /// What is not as wanted.
        why: String,
    },
    /// Something is left undone on purpose.
    Blocked {
        /// The host.
        host: HostName,
        /// The task.
        task: Task,
        /// Why.
        reason: String,
    },
    /// A stage began.
    StageStarted {
        /// Its title.
        stage: String,
        /// Hosts in it.
        hosts: usize,
        /// Actions in it.
        actions: usize,
    },
    /// A wave began.
    WaveStarted {
        /// Its stage's title.
        stage: String,
        /// From 1.
        wave: usize,
        /// How many waves the stage has.
        waves: usize,
        /// Who goes together.
        hosts: Vec<HostName>,
    },
    /// An action began.
    ActionStarted {
        /// The host.
        host: HostName,
        /// The task.
        task: Task,
        /// The resource.
        resource: String,
        /// What is not as wanted.
        why: String,
    },
    /// What an action printed, its last lines.
    ActionOutput {
        /// The host.
        host: HostName,
        /// The task.
        task: Task,
        /// The resource.
        resource: String,
        /// Control characters made visible.
        text: String,
    },
    /// An action ended.
    ActionEnded {
        /// The host.
        host: HostName,
        /// The task.
        task: Task,
        /// The resource.
        resource: String,
        /// How.
        outcome: Outcome,
        /// How long it took.
        seconds: f64,
    },
    /// A gate is being waited for.
    GateWaiting {
        /// The task.
        task: Task,
        /// Who must serve.
        hosts: Vec<HostName>,
        /// What is still missing, if known.
        waiting_for: String,
    },
    /// A gate opened or did not.
    GateEnded {
        /// The task.
        task: Task,
        /// Who had to serve.
        hosts: Vec<HostName>,
        /// How each of them serves.
        members: Vec<(HostName, Member)>,
        /// Whether it opened.
        open: bool,
        /// How long it took.
        seconds: f64,
    },
    /// One result of the smoke test.
    SmokeResult {
        /// What was tried, such as `pi-through-mesos`.
        check: String,
        /// On or for which host, when it is about one.
        host: Option<HostName>,
        /// `passed`, `failed`, `not_run`, `no_room`.
        result: SmokeOutcome,
        /// One sentence, and for a failure the broken rung.
        detail: String,
        /// How long it took.
        seconds: f64,
        /// What played Mesos, where it was not Mesos: `stand-in`.
        #[serde(skip_serializing_if = "Option::is_none")]
        engine: Option<String>,
        /// The command that a user would give for the same, where it was proven by one.
        #[serde(skip_serializing_if = "Option::is_none")]
        submit: Option<String>,
    },
    /// A problem in the inventory, or found before the first change.
    Problem {
        /// The problem.
        problem: Problem,
        /// The host it was found on, if on one.
        host: Option<HostName>,
    },
    /// Somebody asked to stop.
    Interrupted {
        /// Which signal.
        signal: String,
        /// Actions still running on hosts.
        running: Vec<String>,
    },
    /// The command is over.
    RunEnded {
        /// Actions that changed something.
        changed: usize,
        /// Actions that failed.
        failed: usize,
        /// Actions not started because of a failure.
        skipped: usize,
        /// Hosts that did not answer.
        unreachable: usize,
        /// What is left undone on purpose.
        blocked: usize,
        /// The exit code.
        exit: u8,
        /// How long all of it took.
        seconds: f64,
    },
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It made its resource right.
    Changed,
    /// Looked at again, its resource was right already.
    Unchanged,
    /// It cannot be done here, and why.
    NotRun(String),
    /// It did not work: exit status and last lines.
    Failed {
        /// Exit status of the script.
        status: i32,
        /// One sentence.
        reason: String,
    },
    /// The connection was lost while it ran; it may still run.
    Lost(String),
    /// Not started, because something before it failed.
    Skipped,
}

/// How a smoke check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmokeOutcome {
    /// Proven.
    Passed,
    /// Not proven.
    Failed,
    /// Cannot be run here.
    NotRun,
    /// Nothing fits at the moment.
    NoRoom,
}

/// Where events go. The engine knows nothing else of the outside.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Takes one event.
    fn emit(&self, event: Event);
}
