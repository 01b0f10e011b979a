//! What comes back from a shell on a host, and why nothing does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::sentence::printable;

/// What a shell tells at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Changes when the host reboots.
    pub boot_id: String,
    /// When its first process started; also changes when a container restarts.
    pub init: String,
    /// Effective user; 0 is root.
    pub uid: u32,
    /// The last action of the newest run that did anything here, if it can be read.
    pub last: Option<LastAction>,
    /// Answer to the script that came along.
    pub reply: Reply,
}

/// How the last action on a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAction {
    /// Run it belonged to.
    pub run: String,
    /// Its name.
    pub name: String,
    /// Its log, on the host.
    pub log: PathBuf,
    /// `None`: it never ended, or for a looker, it may still run.
    pub status: Option<i32>,
}

/// Why a key was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotEntered {
    /// Another run holds the lock: its `run= step= pid= by= from= since=` line, as the host has it.
    Locked(String),
    /// The host cannot be changed: one sentence.
    Refused(String),
    /// The connection is gone.
    Lost(Lost),
}

/// Answer to a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// All of the script's stdout, or its first [`REPLY_BYTES`].
    pub stdout: Vec<u8>,
    /// Whether there was more.
    pub extent: Extent,
    /// Its exit status.
    pub status: i32,
    /// The end of its stderr, fit to be shown.
    pub complaint: String,
}

/// Whether all of an output was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// Its beginning; the rest was dropped.
    Cut,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit status; 74 when it could not even be recorded as started.
    pub status: i32,
    /// The last 64 KiB of its output, fit to be shown.
    pub output_tail: String,
    /// All of its output, on the host.
    pub log: PathBuf,
}

/// What became of an action whose connection was lost, seen with the lock in hand: nothing of it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostAction {
    /// It never began: not all of it had arrived.
    NotBegun,
    /// It ended by itself.
    Ended(Ended),
    /// It began and was cut short, by a reboot or by somebody who killed it.
    CutShort {
        /// What it printed until then, on the host.
        log: PathBuf,
    },
}

/// The shell is of no use any more. What it was running may run on, under the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The connection ended.
    Gone {
        /// What we were doing.
        during: String,
        /// The last that was heard on stderr.
        said: String,
    },
    /// No answer in time.
    Timeout {
        /// What we were doing.
        during: String,
        /// How long we waited.
        after: Duration,
    },
    /// It was given up earlier: a request was abandoned half-way, or the request cannot be sent.
    Unusable {
        /// Why.
        why: String,
    },
}

/// Most of a reply that is kept.
pub const REPLY_BYTES: usize = 16 << 20;

/// What a host tells of itself: `key=value` lines.
pub(super) struct Facts(BTreeMap<String, String>);

impl Facts {
    pub(super) fn parse(stdout: &[u8]) -> Facts {
        let text = printable(stdout);
        let pair = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        Facts(text.lines().filter_map(pair).collect())
    }

    pub(super) fn refusal(&self) -> Result<(), NotEntered> {
        match (self.0.get("locked"), self.0.get("error")) {
            (Some(holder), _) => Err(NotEntered::Locked(holder.clone())),
            (_, Some(error)) => Err(NotEntered::Refused(error.clone())),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn entered(mut self, reply: Reply) -> Entered {
        let mut take = |key: &str| self.0.remove(key).unwrap_or_default();
        let (run, name, log) = (take("last_run"), take("last_action"), take("last_log"));
        let status = take("last_status").parse().ok();
        let last = LastAction { run, name, log: PathBuf::from(log), status };
        Entered {
            boot_id: take("boot"),
            init: take("init"),
            uid: take("uid").parse().unwrap_or(u32::MAX),
            last: Some(last).filter(|last| !last.run.is_empty()),
            reply,
        }
    }
}

impl From<Lost> for NotEntered {
    fn from(lost: Lost) -> NotEntered {
        NotEntered::Lost(lost)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Gone { during, said } if said.is_empty() => {
                write!(f, "connection lost during {during}; it may still run")
            }
            Lost::Gone { during, said } => {
                let last = said.lines().next_back().unwrap_or_default();
                write!(f, "connection lost during {during}; it may still run ({last})")
            }
            Lost::Timeout { during, after } => {
                write!(
                    f,
                    "no answer within {} s during {during}; it may still run",
                    after.as_secs()
                )
            }
            Lost::Unusable { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for Lost {}
