//! A mistake of the user's: what is wrong, where, and what to do.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One mistake (or doubtful thing) in an inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
pub struct Problem {
    /// Where it stands; `None` when it has no place (a missing file, say).
    pub place: Option<Place>,
    /// Whether it stops us.
    pub severity: Severity,
    /// Stable name in kebab-case, such as `unknown-key`.
    pub name: &'static str,
    /// One sentence without a final period: what is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Whether a problem stops us.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is done before it is mended.
    Error,
    /// Said, and gone on.
    Warning,
}

/// A stretch of text in a file (or in a `-e` override).
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Place {
    /// The file as the user named it, `<stdin>`, or `-e path` for an override.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Length in characters; at least 1.
    pub length: u32,
}

impl Problem {
    /// An error at a place.
    pub fn error(place: Option<Place>, name: &'static str, message: impl Into<String>) -> Problem {
        Problem { place, severity: Severity::Error, name, message: message.into(), help: None }
    }

    /// A warning at a place.
    pub fn warning(
        place: Option<Place>,
        name: &'static str,
        message: impl Into<String>,
    ) -> Problem {
        Problem { place, severity: Severity::Warning, name, message: message.into(), help: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// `file:line:col: error[name]: message`, the form that editors and CI read.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.name, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
