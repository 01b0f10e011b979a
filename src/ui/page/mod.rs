//! A run as one page that needs nothing else: no script, no font, no image from elsewhere. It is made of the run's
//! events alone, and every text in it is escaped: much of it was said by hosts.

use std::io;
use std::path::{Path, PathBuf};

use super::{Render, line};
use crate::event::{Event, Stamped};
use crate::local::files::{self, Readers};
use crate::template::page as fill;

mod proofs;
mod read;
mod run;
mod timeline;

/// What is known of a run beside its events.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Name and text, as the page's facts show them.
    pub facts: Vec<(String, String)>,
    /// Why it may not be believed.
    pub doubts: Vec<String>,
    /// The plan in words.
    pub plan: String,
    /// What it is called where it has no events.
    pub title: String,
}

/// The page of a run, from its events as lines of JSON.
///
/// # Errors
/// The embedded template is broken, which a test excludes.
pub fn page<'a>(
    events: impl IntoIterator<Item = &'a str>,
    beside: &Beside,
) -> Result<String, String> {
    let shown = run::shown(&read::lines(events), beside);
    let context = serde_json::to_value(&shown).map_err(|error| error.to_string())?;
    fill("run.html", include_str!("../../../templates/page/run.html.tera"), &context)
}

/// Gathers a run's events, and writes their page when it is over.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    events: Vec<String>,
    /// How many of them are written.
    written: usize,
}

impl Page {
    /// Will write to this file.
    pub fn new(path: &Path) -> Page {
        Page { path: path.to_owned(), events: Vec::new(), written: 0 }
    }

    fn write(&mut self) {
        if self.written == self.events.len() {
            return;
        }
        self.written = self.events.len();
        let page = page(self.events.iter().map(String::as_str), &Beside::default());
        let written = page
            .map_err(io::Error::other)
            .and_then(|text| files::replace(&self.path, text, Readers::Us));
        if let Err(error) = written {
            let path = self.path.display();
            line(io::stderr().lock(), &format!("{path} cannot be written: {error}"));
        }
    }
}

impl Render for Page {
    fn draw(&mut self, event: &Stamped) {
        self.events.push(serde_json::to_string(event).unwrap_or_default());
        // After a second signal there is no other end.
        if matches!(event.event, Event::RunEnded { .. } | Event::Interrupted { .. }) {
            self.write();
        }
    }
}

/// Commands that end early say no `run_ended`.
impl Drop for Page {
    fn drop(&mut self) {
        self.write();
    }
}
