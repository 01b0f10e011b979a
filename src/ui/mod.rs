//! Events, drawn. The engine knows nothing of this room.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use self::letters::Letters;
use crate::event::{Event, Sink, Stamped, VERSION};
use crate::local::clock;
use crate::report::Report;

pub mod colour;
pub mod diagnosis;
pub mod github;
pub mod held;
pub mod json;
pub mod junit;
pub mod letters;
pub mod log;
pub mod out;
pub mod page;
pub mod plain;
pub mod plan;
pub mod problems;
pub mod screen;
pub mod spinner;
pub mod step_summary;
pub mod summary;
pub mod visible;

/// Draws events, one at a time.
pub trait Render: Send + std::fmt::Debug {
    /// Draws one event.
    fn draw(&mut self, event: &Stamped);

    /// Whether it draws for people, who are told of some things otherwise.
    fn is_for_people(&self) -> bool {
        false
    }
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

    /// Says something to programs alone: people have been told already, in more words.
    pub fn tell(&self, event: Event) {
        self.draw(event, |renderer| !renderer.is_for_people());
    }

    fn draw(&self, event: Event, who: impl Fn(&dyn Render) -> bool) {
        let stamped = Stamped {
            v: VERSION,
            ts: clock::rfc3339(clock::now()),
            run: self.run.clone(),
            // Once, for all who draw it and for the sum: nobody can forget.
            event: visible::event(event),
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.add(&stamped.event);
        for renderer in inner.1.iter_mut().filter(|renderer| who(&***renderer)) {
            renderer.draw(&stamped);
        }
    }

    /// How long the run has taken.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl Sink for Recorder {
    fn emit(&self, event: Event) {
        self.draw(event, |_| true);
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
    let text = Letters::here().fit(text);
    // In one write, so that lines of several writers do not mix.
    let _ = to.write_all(format!("{text}\n").as_bytes());
    let _ = to.flush();
}
