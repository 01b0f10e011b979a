//! A terminal that moves: a line for the stage and one for each host that works, everything else
//! printed above them as [`super::plain::Plain`] prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::colour::Colour;
use super::held::Held;
use super::plain::{Plain, Verbosity};
use super::{Render, styled};
use crate::event::{Event, Outcome, Stamped};
use crate::ground::HostName;

/// Draws what moves on a terminal.
#[derive(Debug)]
pub struct Spinner {
    inner: Arc<Mutex<Inner>>,
    /// Dropped with us, which ends the thread that ticks.
    _alive: Sender<()>,
}

/// Rows and lines are written under one lock, ours: indicatif's own ticking would draw between our
/// lines, and its `suspend`, made for that, panics when the terminal is gone.
/// Source: measured with a broken terminal, indicatif 0.18.6, multi.rs:505.
#[derive(Debug)]
struct Inner {
    screen: MultiProgress,
    paper: Box<dyn Paper>,
    colour: Colour,
    letters: Letters,
    /// Hosts still to be reached, then the stage.
    top: Option<ProgressBar>,
    stage: Stage,
    /// Hosts that work, with the row of those that have one.
    hosts: BTreeMap<HostName, Work>,
    /// Set once somebody asked to stop: from then on lines only.
    plain: Option<Plain>,
    /// What is said once only.
    held: Held,
}

/// Where lines are printed: what the rows' terminal is too.
pub trait Paper: Write + Send + Debug {}

impl<T: Write + Send + Debug> Paper for T {}

/// Which characters the terminal's locale has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// ASCII alone.
    Ascii,
    /// All of Unicode, as UTF-8.
    Unicode,
}

#[derive(Debug, Default)]
struct Stage {
    title: String,
    done: usize,
    actions: usize,
    waiting: String,
    connecting: usize,
    reached: BTreeSet<HostName>,
}

#[derive(Debug)]
struct Work {
    what: String,
    since: Instant,
    row: Option<ProgressBar>,
}

/// Rows of hosts; whoever works beyond is counted in the stage's line.
const ROWS: usize = 12;
const TICK: Duration = Duration::from_millis(250);

impl Render for Spinner {
    fn draw(&mut self, event: &Stamped) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).draw(event);
    }
}

/// Whether an event is shown by what moves and needs no line of its own.
fn moves(event: &Event) -> bool {
    matches!(
        event,
        Event::GateWaiting { .. }
            | Event::WaveStarted { .. }
            | Event::ActionStarted { .. }
            | Event::ActionEnded { outcome: Outcome::Unchanged | Outcome::Skipped, .. }
    )
}

impl Spinner {
    /// On a terminal that standard error is; `None` when it cannot move the cursor.
    pub fn on_stderr(colour: Colour, letters: Letters) -> Option<Spinner> {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        // What is hidden would show nobody at work.
        (!target.is_hidden())
            .then(|| Spinner::new(target, Box::new(std::io::stderr()), colour, letters))
    }

    /// On any target.
    pub fn new(
        target: ProgressDrawTarget,
        paper: Box<dyn Paper>,
        colour: Colour,
        letters: Letters,
    ) -> Spinner {
        let inner = Arc::new(Mutex::new(Inner {
            screen: MultiProgress::with_draw_target(target),
            paper,
            colour,
            letters,
            top: None,
            stage: Stage::default(),
            hosts: BTreeMap::new(),
            plain: None,
            held: Held::default(),
        }));
        let (_alive, end) = channel();
        let ticking = Arc::clone(&inner);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ticks until its sender is dropped, also where no runtime is"
        )]
        std::thread::spawn(move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                ticking.lock().unwrap_or_else(PoisonError::into_inner).tick();
            }
        });
        Spinner { inner, _alive }
    }
}

impl Inner {
    fn draw(&mut self, event: &Stamped) {
        if let Some(plain) = &mut self.plain {
            plain.draw(event);
            return;
        }
        let event = &event.event;
        if matches!(event, Event::Interrupted { .. }) {
            // The terminal has written `^C` among our rows; from now on nothing moves.
            self.clear();
            self.plain = Some(Plain { colour: self.colour, ..Plain::default() });
        }
        self.advance(event);
        if moves(event) {
            return;
        }
        let texts = self.held.lines(event, Verbosity::Normal, self.colour);
        if !texts.is_empty() {
            // Rows go, lines come, rows are drawn again below. Not through indicatif's `println`: it
            // ends lines by filling them with blanks, which copies badly.
            let _ = self.screen.clear();
            for text in texts {
                styled(&mut self.paper, &text);
            }
            self.tick();
        }
    }

    /// Draws all rows again.
    fn tick(&self) {
        for bar in self.top.iter().chain(self.hosts.values().filter_map(|work| work.row.as_ref())) {
            bar.tick();
        }
    }

    fn advance(&mut self, event: &Event) {
        match event {
            Event::RunStarted { hosts, .. } => {
                self.stage.connecting = *hosts;
                self.show_stage();
            }
            Event::HostConnected { host, .. } | Event::HostUnreachable { host, .. }
                if self.stage.connecting > 0 =>
            {
                self.stage.reached.insert(host.clone());
                if self.stage.reached.len() >= self.stage.connecting {
                    self.stage.connecting = 0;
                    self.clear();
                } else {
                    self.show_stage();
                }
            }
            // Questions and results are printed between this and the first stage.
            Event::Planned { .. } | Event::RunEnded { .. } => {
                self.stage = Stage::default();
                self.clear();
            }
            Event::StageStarted { stage, actions, .. } => {
                self.clear();
                self.stage = Stage { title: stage.clone(), actions: *actions, ..Stage::default() };
                self.show_stage();
            }
            Event::WaveStarted { .. } => {
                self.stage.waiting.clear();
                self.show_stage();
            }
            Event::ActionStarted { host, resource, why, .. } => {
                let what = format!("{resource}: {why}");
                self.end(host);
                self.hosts.insert(host.clone(), Work { what, since: Instant::now(), row: None });
                self.show_hosts();
                self.show_stage();
            }
            Event::ActionEnded { host, .. } => {
                self.stage.done += 1;
                self.end(host);
                self.show_hosts();
                self.show_stage();
            }
            Event::GateWaiting { waiting_for, .. } => {
                self.stage.waiting.clone_from(waiting_for);
                self.show_stage();
            }
            Event::GateEnded { .. } => {
                self.stage.waiting.clear();
                self.show_stage();
            }
            _ => {}
        }
    }

    fn show_stage(&mut self) {
        let stage = &self.stage;
        let mut text = if stage.connecting > 0 {
            format!("connecting: {} of {} hosts", stage.reached.len(), stage.connecting)
        } else if stage.title.is_empty() {
            return;
        } else {
            format!("{}: {} of {}", stage.title, stage.done.min(stage.actions), stage.actions)
        };
        if !stage.waiting.is_empty() {
            text.push_str(&format!(", waiting: {}", stage.waiting));
        }
        let hidden = self.hosts.values().filter(|work| work.row.is_none()).count();
        if hidden > 0 {
            text.push_str(&format!(" (and {hidden} more hosts at work)"));
        }
        let screen = &self.screen;
        let letters = self.letters;
        let bar = self.top.get_or_insert_with(|| row(screen, letters, None, Duration::ZERO));
        bar.set_message(text);
    }

    /// Gives a row to those that work, as long as there are any.
    fn show_hosts(&mut self) {
        let mut free = ROWS.saturating_sub(self.hosts.values().filter(|w| w.row.is_some()).count());
        let (screen, letters) = (&self.screen, self.letters);
        for (host, work) in &mut self.hosts {
            if free == 0 {
                break;
            }
            if work.row.is_none() {
                let bar = row(screen, letters, Some(host), work.since.elapsed());
                bar.set_message(work.what.clone());
                work.row = Some(bar);
                free -= 1;
            }
        }
    }

    fn end(&mut self, host: &HostName) {
        if let Some(bar) = self.hosts.remove(host).and_then(|work| work.row) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }

    fn clear(&mut self) {
        let rows = std::mem::take(&mut self.hosts).into_values().filter_map(|work| work.row);
        for bar in rows.chain(self.top.take()) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        let _ = self.screen.clear();
    }
}

/// Whatever ends us, the last thing on the terminal is not a row that stands still.
impl Drop for Spinner {
    fn drop(&mut self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn row(
    screen: &MultiProgress,
    letters: Letters,
    host: Option<&HostName>,
    elapsed: Duration,
) -> ProgressBar {
    let template = match host {
        Some(_) => "  {spinner} {prefix} {wide_msg} {elapsed:>4}",
        None => "{spinner} {wide_msg} {elapsed:>4}",
    };
    let ticks = match letters {
        Letters::Ascii => "-\\|/ ",
        Letters::Unicode => "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars(ticks);
    // Nothing is set on it that draws before it is one of the screen's: a bar alone draws to a terminal of
    // its own, and what it leaves there nobody clears (seen on a terminal of 80 columns).
    let prefix = host.map_or_else(String::new, |host| format!("{host:<10}"));
    let bar =
        ProgressBar::new_spinner().with_style(style).with_elapsed(elapsed).with_prefix(prefix);
    match host {
        Some(_) => screen.add(bar),
        // What is added later stands below it.
        None => screen.insert(0, bar),
    }
}
