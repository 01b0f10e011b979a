//! The sum of a run's events: counts, the exit code, what failed. Nothing else writes to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::event::{Event, Outcome, SmokeOutcome};
use crate::ground::HostName;
use crate::tasks::Task;

/// The sum of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Actions that changed something, by host.
    pub changed: BTreeMap<HostName, usize>,
    /// What did not work.
    pub failures: Vec<Failure>,
    /// Actions not started because something before them failed.
    pub skipped: usize,
    /// Hosts that did not answer or were lost.
    pub unreachable: BTreeMap<HostName, String>,
    /// What is left undone on purpose.
    pub blocked: Vec<(HostName, Task, String)>,
    /// What the smoke test said: check, host, how it ended, one sentence.
    pub smoke: Vec<(String, Option<HostName>, SmokeOutcome, String)>,
    /// The commands that proved it, by check, as a user would give them.
    pub submitted: BTreeMap<String, String>,
    /// Whether somebody asked to stop.
    pub interrupted: Option<String>,
}

/// Something that did not work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// On which host.
    pub host: HostName,
    /// In which task.
    pub task: Task,
    /// What was done, or which gate was waited for.
    pub action: String,
    /// One sentence.
    pub cause: String,
    /// Last lines of its output.
    pub output: String,
}

/// Exit codes: a public format (README.md lists them).
pub mod exit {
    /// Done, or nothing to do.
    pub const OK: u8 = 0;
    /// Usage, inventory, local or preflight finding: nothing was changed.
    pub const USAGE: u8 = 1;
    /// Changes are pending (`plan --detailed-exitcode`).
    pub const PENDING: u8 = 2;
    /// An action or a gate failed; for `status`, something is sick; for `diagnose`, a rung is broken; for
    /// `exec`, the command's exit code was not 0 somewhere.
    pub const FAILED: u8 = 3;
    /// Hosts unreachable or blocked, none failed.
    pub const UNREACHABLE: u8 = 4;
    /// Converged, but the smoke test failed.
    pub const SMOKE: u8 = 5;
    /// Another run holds a lock.
    pub const LOCKED: u8 = 75;
    /// Interrupted by Ctrl-C; 129 and 143 for the other signals.
    pub const INTERRUPTED: u8 = 130;
}

impl Report {
    /// Adds one event.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::ActionEnded { host, task, resource, outcome, .. } => match outcome {
                Outcome::Changed => *self.changed.entry(host.clone()).or_default() += 1,
                Outcome::Unchanged | Outcome::NotRun(_) => {}
                Outcome::Failed { reason, .. } => {
                    self.failures.push(Failure {
                        host: host.clone(),
                        task: *task,
                        action: resource.clone(),
                        cause: reason.clone(),
                        output: String::new(),
                    });
                }
                Outcome::Lost(reason) => {
                    self.unreachable.insert(host.clone(), reason.clone());
                }
                Outcome::Skipped => self.skipped += 1,
            },
            // It comes right after the action that it belongs to ended.
            Event::ActionOutput { host, resource, text, .. } => {
                if let Some(failure) = self
                    .failures
                    .iter_mut()
                    .rev()
                    .find(|failure| failure.host == *host && failure.action == *resource)
                {
                    failure.output.clone_from(text);
                }
            }
            Event::HostUnreachable { host, reason } => {
                self.unreachable.insert(host.clone(), reason.clone());
            }
            Event::Blocked { host, task, reason } => {
                self.blocked.push((host.clone(), *task, reason.clone()));
            }
            Event::GateEnded { task, members, open: false, .. } => {
                for (host, member) in members {
                    let cause = match member {
                        crate::health::Member::Serving => continue,
                        crate::health::Member::Sick(why) => why.clone(),
                        crate::health::Member::Silent => "its host could not be asked".to_owned(),
                    };
                    self.failures.push(Failure {
                        host: host.clone(),
                        task: *task,
                        action: "gate".to_owned(),
                        cause,
                        output: String::new(),
                    });
                }
            }
            Event::SmokeResult { check, host, result, detail, submit, .. } => {
                if let Some(submit) = submit {
                    self.submitted.insert(check.clone(), submit.clone());
                }
                self.smoke.push((check.clone(), host.clone(), *result, detail.clone()));
            }
            Event::Interrupted { signal, .. } => self.interrupted = Some(signal.clone()),
            _ => {}
        }
    }

    /// The exit code: 3 beats 5, 5 beats 4.
    pub fn exit(&self) -> u8 {
        // What found no room is not proven, though nothing is wrong.
        let unproven = [SmokeOutcome::Failed, SmokeOutcome::NoRoom];
        let smoke_failed = self.smoke.iter().any(|(_, _, result, _)| unproven.contains(result));
        if let Some(signal) = &self.interrupted {
            match signal.as_str() {
                "SIGHUP" => 129,
                "SIGTERM" => 143,
                _ => exit::INTERRUPTED,
            }
        } else if self.failures.iter().any(|failure| failure.task != Task::Smoke) {
            exit::FAILED
        } else if smoke_failed || !self.failures.is_empty() {
            exit::SMOKE
        } else if !self.unreachable.is_empty() || !self.blocked.is_empty() {
            exit::UNREACHABLE
        } else {
            exit::OK
        }
    }

    /// Hosts on which something failed.
    pub fn failed_hosts(&self) -> BTreeSet<&HostName> {
        self.failures.iter().map(|failure| &failure.host).collect()
    }

    /// How many actions changed something.
    pub fn changes(&self) -> usize {
        self.changed.values().sum()
    }
}
