//! Log lines as glog writes them, on standard error and in `--log_dir`.

use std::fs::File;
use std::io::Write;
use std::process::exit;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::clock;

/// Ends the process with status 1, saying why in the real daemons' form; scripts grep for it.
pub(crate) fn exit_with(place: &str, message: &str) -> ! {
    line('E', place, &format!("EXIT with status 1: {message}"));
    leave(1)
}

/// Ends the process with status 0: what an agent does when its master tells it to.
#[expect(clippy::exit, reason = "a daemon's threads end it from where the reason is known")]
pub(crate) fn leave(status: i32) -> ! {
    exit(status)
}

/// A failed check: SIGABRT, as glog's `LOG(FATAL)` does.
pub(crate) fn abort(place: &str, message: &str) -> ! {
    line('F', place, message);
    raw("*** Check failure stack trace: ***");
    std::process::abort()
}

/// An `I` line.
pub(crate) fn info(place: &str, message: &str) {
    line('I', place, message);
}

/// A `W` line.
pub(crate) fn warning(place: &str, message: &str) {
    line('W', place, message);
}

/// Opens the log file; a directory that cannot be written stops the daemon, as with glog.
pub(crate) fn start(log_dir: Option<&str>, program: &str) {
    if let Some(dir) = log_dir {
        let path = format!("{dir}/{program}.INFO");
        let opened = std::fs::create_dir_all(dir)
            .and_then(|()| File::options().create(true).append(true).open(&path));
        match opened {
            Ok(file) => {
                // Set once: `start` is called once, from main.
                let _ = FILE.set(Mutex::new(file));
            }
            Err(error) => {
                exit_with("logging.cpp:447", &format!("Could not open '{path}': {error}"))
            }
        }
    }
    info("logging.cpp:461", "INFO level logging started!");
}

static FILE: OnceLock<Mutex<File>> = OnceLock::new();

fn line(level: char, place: &str, message: &str) {
    let stamp = clock::log_stamp();
    raw(&format!("{level}{stamp} {:>5} {place}] {message}", std::process::id()));
}

fn raw(text: &str) {
    let text = format!("{text}\n");
    // A log that cannot be written is no reason for a daemon to stop.
    let _ = std::io::stderr().write_all(text.as_bytes());
    if let Some(file) = FILE.get() {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(text.as_bytes());
    }
}
