//! Events, drawn. The engine knows nothing of this room.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::event::{Event, Sink, Stamped, VERSION};
use crate::report::Report;

pub mod github;
pub mod json;
pub mod junit;
pub mod log;
pub mod plain;
pub mod schema;
pub mod screen;
pub mod spinner;
pub mod summary;
pub mod visible;

/// Draws events, one at a time.
pub trait Render: Send + std::fmt::Debug {
    /// Draws one event.
    fn draw(&mut self, event: &Stamped);
}

/// Takes events, stamps them, sums them up and hands them to every renderer.
#[derive(Debug)]
pub struct Recorder {
    run: String,
    began: Instant,
    inner: Mutex<(Report, Vec<Box<dyn Render>>)>,
}

impl Recorder {
    /// A recorder for one run.
    pub fn new(run: &str, renderers: Vec<Box<dyn Render>>) -> Recorder {
        Recorder {
            run: run.to_owned(),
            began: Instant::now(),
            inner: Mutex::new((Report::default(), renderers)),
        }
    }

    /// Adds a renderer; it draws what happens from now on.
    pub fn add(&self, renderer: Box<dyn Render>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.push(renderer);
    }

    /// The sum so far.
    pub fn report(&self) -> Report {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The command is over: the last event, and the exit code.
    pub fn end(&self, exit: u8) -> u8 {
        let report = self.report();
        self.emit(Event::RunEnded {
            changed: report.changes(),
            failed: report.failures.len(),
            skipped: report.skipped,
            unreachable: report.unreachable.len(),
            blocked: report.blocked.len(),
            exit,
            seconds: self.seconds(),
        });
        exit
    }

    /// How long the run has taken.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl Sink for Recorder {
    fn emit(&self, event: Event) {
        let stamped = Stamped {
            v: VERSION,
            ts: rfc3339(SystemTime::now()),
            run: self.run.clone(),
            // Once, for all who draw it and for the sum: nobody can forget.
            event: visible::event(event),
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.add(&stamped.event);
        for renderer in &mut inner.1 {
            renderer.draw(&stamped);
        }
    }
}

/// Writes a text and ends its line, whoever listens: a closed pipe must not end an apply. Whatever in
/// it could steer a terminal or a CI is made visible; see [`styled`] for our own colours.
pub fn line(to: impl Write, text: &str) {
    styled(to, &visible::text(text));
}

/// The same for a text whose escape sequences are ours: what hosts said must be in it already made
/// harmless.
pub fn styled(mut to: impl Write, text: &str) {
    // In one write, so that lines of several writers do not mix.
    let _ = to.write_all(format!("{text}\n").as_bytes());
    let _ = to.flush();
}

/// Whether colours are written to standard error (`--color`, NO_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM,
/// then whether it is a terminal).
pub fn colour() -> Colour {
    match anstream::AutoStream::choice(&std::io::stderr()) {
        anstream::ColorChoice::Never => Colour::No,
        _ => Colour::Yes,
    }
}

/// Whether colours are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    #[default]
    No,
    /// With escape sequences.
    Yes,
}

/// A time as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3600,
        rest % 3600 / 60,
        rest % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a number of days since 1970-01-01, by counting eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_read_as_rfc_3339() {
        let at = |secs| rfc3339(UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_371_444), "2026-11-22T18:17:24.000Z");
    }
}
