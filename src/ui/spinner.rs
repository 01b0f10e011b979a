//! A terminal that moves: bars of the whole run and of its stage, what a gate waits for, a line for each host that
//! works; everything else is printed above them as [`super::plain::Plain`] prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::colour::Colour;
use super::held::Held;
use super::letters::Letters;
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
    head: Head,
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

/// What stands above the hosts, in this order.
#[derive(Debug, Default)]
struct Head {
    /// Hosts still to be reached, then all that is to be done.
    whole: Option<ProgressBar>,
    stage: Option<ProgressBar>,
    gate: Option<ProgressBar>,
}

#[derive(Debug, Default)]
struct Stage {
    title: String,
    done: usize,
    actions: usize,
    since: Option<Instant>,
    waiting: String,
    connecting: usize,
    reached: BTreeSet<HostName>,
    /// Of the whole run, which is longer than a stage.
    whole: Whole,
}

#[derive(Debug, Default, Clone, Copy)]
struct Whole {
    done: usize,
    actions: usize,
    since: Option<Instant>,
}

/// A row, by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row<'a> {
    /// A sentence at the top: what is done before there is a plan.
    Words,
    /// A bar: of the whole run, or of a stage.
    Bar(usize),
    /// What a gate waits for, below so many bars.
    Gate(usize),
    /// A host.
    Host(&'a HostName),
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

    fn is_for_people(&self) -> bool {
        true
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
            head: Head::default(),
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
        for bar in self.head.bars().chain(self.hosts.values().filter_map(|work| work.row.as_ref()))
        {
            bar.tick();
        }
    }

    fn advance(&mut self, event: &Event) {
        match event {
            Event::RunStarted { hosts, .. } => {
                self.stage.connecting = *hosts;
                self.stage.whole.since = Some(Instant::now());
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
            Event::Planned { actions, .. } => {
                let whole = Whole { actions: *actions, ..self.stage.whole };
                self.stage = Stage { whole, ..Stage::default() };
                self.clear();
            }
            Event::RunEnded { .. } => {
                self.stage = Stage::default();
                self.clear();
            }
            Event::StageStarted { stage, actions, .. } => {
                self.clear();
                self.stage = Stage {
                    title: stage.clone(),
                    actions: *actions,
                    since: Some(Instant::now()),
                    whole: self.stage.whole,
                    ..Stage::default()
                };
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
                self.stage.whole.done += 1;
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
        let (screen, letters) = (&self.screen, self.letters);
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.elapsed());
        if stage.connecting > 0 {
            let text = format!("connecting: {} of {} hosts", stage.reached.len(), stage.connecting);
            let new = || row(screen, letters, Row::Words, since(stage.whole.since));
            self.head.whole.get_or_insert_with(new).set_message(text);
            return;
        }
        if stage.title.is_empty() {
            return;
        }
        let bar = |place: &mut Option<ProgressBar>, at, from, title: &str, done: usize, all| {
            let bar = place.get_or_insert_with(|| row(screen, letters, Row::Bar(at), since(from)));
            bar.set_prefix(format!("{title:<16}"));
            bar.set_length(all as u64);
            bar.set_position(done.min(all) as u64);
            bar.clone()
        };
        let mut bars = 0;
        // Of a single stage both would say the same.
        if stage.whole.actions > stage.actions {
            let Whole { done, actions, since } = stage.whole;
            bar(&mut self.head.whole, bars, since, "all", done, actions);
            bars += 1;
        }
        let own =
            bar(&mut self.head.stage, bars, stage.since, &stage.title, stage.done, stage.actions);
        bars += 1;
        let hidden = self.hosts.values().filter(|work| work.row.is_none()).count();
        own.set_message(match hidden {
            0 => String::new(),
            n => format!("(and {n} more hosts at work)"),
        });
        if stage.waiting.is_empty() {
            if let Some(gate) = self.head.gate.take() {
                gate.finish_and_clear();
                screen.remove(&gate);
            }
            return;
        }
        let new = || row(screen, letters, Row::Gate(bars), Duration::ZERO);
        let gate = self.head.gate.get_or_insert_with(new);
        gate.set_message(letters.fit(&format!("waiting: {}", stage.waiting)).into_owned());
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
                let bar = row(screen, letters, Row::Host(host), work.since.elapsed());
                bar.set_message(letters.fit(&work.what).into_owned());
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
        for bar in rows.chain(self.head.take()) {
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

impl Head {
    fn bars(&self) -> impl Iterator<Item = &ProgressBar> {
        self.whole.iter().chain(&self.stage).chain(&self.gate)
    }

    fn take(&mut self) -> impl Iterator<Item = ProgressBar> + use<> {
        let Head { whole, stage, gate } = std::mem::take(self);
        whole.into_iter().chain(stage).chain(gate)
    }
}

fn row(screen: &MultiProgress, letters: Letters, place: Row<'_>, elapsed: Duration) -> ProgressBar {
    let template = match place {
        Row::Words => "{spinner} {wide_msg} {elapsed:>4}",
        Row::Bar(_) => "{spinner} {prefix} {bar:20} {pos}/{len} {wide_msg} {elapsed:>4}",
        Row::Gate(_) => "  {wide_msg}",
        Row::Host(_) => "  {spinner} {prefix} {wide_msg} {elapsed:>4}",
    };
    let (ticks, parts) = match letters {
        Letters::Ascii => ("-\\|/ ", "#>-"),
        Letters::Unicode => ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ", "█▌░"),
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars(ticks)
        .progress_chars(parts);
    // Nothing is set on it that draws before it is one of the screen's: a bar alone draws to a terminal of
    // its own, and what it leaves there nobody clears (seen on a terminal of 80 columns).
    let prefix = match place {
        Row::Host(host) => format!("{host:<10}"),
        Row::Words | Row::Bar(_) | Row::Gate(_) => String::new(),
    };
    let bar =
        ProgressBar::new_spinner().with_style(style).with_elapsed(elapsed).with_prefix(prefix);
    match place {
        Row::Host(_) => screen.add(bar),
        // What is added later stands below it.
        Row::Words => screen.insert(0, bar),
        Row::Bar(at) | Row::Gate(at) => screen.insert(at, bar),
    }
}
