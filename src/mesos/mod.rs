//! What Mesos accepts and how it prints it back: pure, no host, no file.

use std::fmt;

use crate::ground::{Place, Problem, Severity};

pub mod acls;
pub mod asking;
pub mod change;
pub mod compatibility;
pub mod constraints;
pub mod flags;
pub mod frameworks;
mod grammar;
pub mod image;
mod lexer;
pub mod live;
pub mod master;
pub mod process;
pub mod properties;
pub mod roles;
pub mod tls;
pub mod units;
pub mod values;
pub mod versions;

/// The masters' TCP port; `/etc/default/mesos-master` holds it.
pub const MASTER_PORT: u16 = 5050;
/// The agents' TCP port.
pub const AGENT_PORT: u16 = 5051;

/// One thing that is wrong or doubtful about a value or a pair of versions, without a place: whoever
/// knows the place makes a `Problem` of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it stops us.
    pub severity: Severity,
    /// One clear sentence: lower case, no final period.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Finding {
    /// One that stops us.
    pub fn error(message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, message: message.into(), help: None }
    }

    /// One that is said, and gone on.
    pub fn warning(message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, message: message.into(), help: None }
    }

    /// The problem that it is at a place.
    pub fn problem(self, place: Place, name: &'static str) -> Problem {
        let Finding { severity, message, help } = self;
        Problem { place: Some(place), severity, name, message, help }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.help {
            Some(help) => write!(f, "{} ({help})", self.message),
            None => f.write_str(&self.message),
        }
    }
}
