//! A rung: what must hold, whether it does, and the words for it.

use serde::Serialize;

use super::super::job::{is_frame, is_own};

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Its name, one word.
    pub name: &'static str,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was seen, in a sentence without a period.
    pub words: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The last lines of whoever broke it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// Whether a rung holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does not.
    Broken,
    /// Nobody could tell.
    Unknown,
}

/// So many agents or holders are named; the others are counted.
const NAMED: usize = 6;
/// So many lines of a program's stderr are shown.
const LINES: usize = 12;

impl Rung {
    fn new(name: &'static str, verdict: Verdict, words: impl Into<String>) -> Rung {
        Rung { name, verdict, words: words.into(), next: None, lines: Vec::new() }
    }

    pub(super) fn holds(name: &'static str, words: impl Into<String>) -> Rung {
        Rung::new(name, Verdict::Holds, words)
    }

    pub(super) fn unknown(name: &'static str, words: impl Into<String>) -> Rung {
        Rung::new(name, Verdict::Unknown, words)
    }

    pub(super) fn broken(
        name: &'static str,
        words: impl Into<String>,
        next: impl Into<String>,
    ) -> Rung {
        Rung { next: Some(next.into()), ..Rung::new(name, Verdict::Broken, words) }
    }

    /// With the last that a program said itself, without the frames of its traces.
    pub(super) fn lines(mut self, lines: &[String]) -> Rung {
        let told: Vec<&String> =
            lines.iter().filter(|line| is_own(line) && !is_frame(line)).collect();
        self.lines = told[told.len().saturating_sub(LINES)..].iter().copied().cloned().collect();
        self
    }
}

/// Some of them in words, the others counted.
pub(super) fn list<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<T> = all.into_iter().collect();
    let mut named: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = all.len().saturating_sub(NAMED);
    let rest = format!("{more} more");
    if more > 0 {
        named.push(&rest);
    }
    let separator = if named.iter().any(|one| one.contains(' ')) { "; " } else { ", " };
    named.join(separator)
}
