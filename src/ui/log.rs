//! Every event as NDJSON into a file, beside whatever is drawn.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Render, line};
use crate::event::Stamped;
use crate::local::files;

/// A file that events can be appended to: opened, so that nothing is begun when it cannot be.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<File>,
}

/// Appends events to a file.
#[derive(Debug)]
pub struct Log {
    to: LogFile,
    broken: Option<std::io::Error>,
}

impl LogFile {
    /// Opens it, ours alone to read: events name hosts and show what they printed.
    ///
    /// # Errors
    /// One sentence.
    pub fn open(path: &str) -> Result<LogFile, String> {
        let path = PathBuf::from(path);
        let file =
            files::append(&path).map_err(|error| format!("it cannot be written: {error}"))?;
        Ok(LogFile { path, file: Arc::new(file) })
    }
}

impl Log {
    /// A renderer into an opened file.
    pub fn new(to: LogFile) -> Log {
        Log { to, broken: None }
    }
}

impl Render for Log {
    fn draw(&mut self, event: &Stamped) {
        if self.broken.is_some() {
            return;
        }
        let written = serde_json::to_string(event).map_err(std::io::Error::from).and_then(|text| {
            let mut file = &*self.to.file;
            file.write_all(format!("{text}\n").as_bytes())
        });
        // A full disk here is no reason to stop halfway on the hosts.
        if let Err(error) = written {
            let path = self.to.path.display();
            line(std::io::stderr().lock(), &format!("the log {path} is incomplete: {error}"));
            self.broken = Some(error);
        }
    }
}
