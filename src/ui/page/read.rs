//! What a page takes of a run's events: of their public form (docs/events.md), so that a run that has just ended and one
//! of last month are told alike.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::event::{Outcome, SmokeOutcome};
use crate::ground::{HostName, Place, Severity};
use crate::health::Member;
use crate::tasks::Task;

/// An event and what every event carries.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Line {
    /// When, RFC 3339.
    pub ts: String,
    /// The run's id.
    pub run: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Said,
}

/// What happened; what a page does not show is `Other`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Said {
    /// A command began.
    RunStarted {
        /// Its name.
        command: String,
        /// The cluster.
        cluster: String,
        /// Digest of the inventory.
        inventory: String,
        /// How many hosts there are.
        hosts: usize,
        /// Of this program; earlier runs did not say it.
        #[serde(default)]
        version: String,
        /// What is to run; earlier runs did not say it.
        #[serde(default)]
        versions: BTreeMap<String, String>,
    },
    /// A host did not answer, or was lost.
    HostUnreachable {
        /// The host.
        host: HostName,
        /// Why.
        reason: String,
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
    },
    /// An action began.
    ActionStarted {
        /// The host.
        host: HostName,
        /// The resource.
        resource: String,
        /// What is not as wanted.
        why: String,
    },
    /// What an action printed.
    ActionOutput {
        /// The host.
        host: HostName,
        /// The resource.
        resource: String,
        /// Its last lines.
        text: String,
    },
    /// An action ended.
    ActionEnded {
        /// The host.
        host: HostName,
        /// The resource.
        resource: String,
        /// How.
        outcome: Outcome,
        /// How long it took.
        seconds: f64,
    },
    /// A gate is waited for.
    GateWaiting {
        /// The task.
        task: Task,
        /// What is missing.
        waiting_for: String,
    },
    /// A gate opened or did not.
    GateEnded {
        /// The task.
        task: Task,
        /// Who had to serve.
        hosts: Vec<HostName>,
        /// How each serves.
        members: Vec<(HostName, Member)>,
        /// Whether it opened.
        open: bool,
        /// How long it took.
        seconds: f64,
    },
    /// A proof.
    SmokeResult {
        /// What was tried.
        check: String,
        /// For which host.
        host: Option<HostName>,
        /// How it ended.
        result: SmokeOutcome,
        /// One sentence.
        detail: String,
        /// How long it took.
        seconds: f64,
        /// What played Mesos.
        engine: Option<String>,
        /// The command.
        submit: Option<String>,
    },
    /// A problem.
    Problem {
        /// What it is.
        problem: Problem,
        /// On which host.
        host: Option<HostName>,
    },
    /// Somebody asked to stop.
    Interrupted {
        /// Which signal.
        signal: String,
    },
    /// The command is over.
    RunEnded {
        /// Actions that changed something.
        changed: usize,
        /// The exit code.
        exit: u8,
        /// How long it took.
        seconds: f64,
    },
    /// What is not shown.
    #[serde(other)]
    Other,
}

/// A problem as an event has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Problem {
    /// Where it stands.
    pub place: Option<Place>,
    /// Whether it stops us.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// The events of a log, a line each; what is none is passed over, as the last line of a run that was cut short may be.
pub(super) fn lines<'a>(log: impl IntoIterator<Item = &'a str>) -> Vec<Line> {
    log.into_iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
