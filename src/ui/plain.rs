//! Plain lines on standard error, for logs and for terminals without tricks.

use super::colour::Colour;
use super::held::Held;
use super::{Render, styled};
use crate::event::{Event, Outcome, SmokeOutcome, Stamped};
use crate::ground::Severity;
use crate::plan::shown::Tone;
use crate::plan::text::counted;
use crate::tasks::Task;

/// Prints one line for whatever a person wants to know.
#[derive(Debug, Default)]
pub struct Plain {
    /// Says more: connections, starts of actions.
    pub verbose: Verbosity,
    /// Whether colours are written.
    pub colour: Colour,
    /// What is said once only.
    pub held: Held,
}

/// How much is said.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// What changes and what goes wrong.
    #[default]
    Normal,
    /// Every event.
    Verbose,
}

impl Render for Plain {
    fn draw(&mut self, event: &Stamped) {
        for text in self.held.lines(&event.event, self.verbose, self.colour) {
            styled(std::io::stderr().lock(), &text);
        }
    }

    fn is_for_people(&self) -> bool {
        true
    }
}

/// A line of an event, its first word or two in their colour: red is wrong, yellow was changed, green is
/// proven.
pub fn paint(event: &Event, text: &str, colour: Colour) -> String {
    let tone = match event {
        Event::HostUnreachable { .. }
        | Event::Interrupted { .. }
        | Event::ActionEnded { outcome: Outcome::Failed { .. } | Outcome::Lost(_), .. }
        | Event::GateEnded { open: false, .. }
        | Event::SmokeResult { result: SmokeOutcome::Failed, .. } => Tone::Unreachable,
        Event::Problem { problem, .. } if problem.severity == Severity::Error => Tone::Unreachable,
        Event::ActionEnded { outcome: Outcome::Changed, .. }
        | Event::SmokeResult { result: SmokeOutcome::NoRoom, .. }
        | Event::Problem { .. } => Tone::Change,
        Event::Blocked { .. } => Tone::Blocked,
        Event::GateEnded { open: true, .. }
        | Event::SmokeResult { result: SmokeOutcome::Passed, .. } => Tone::Add,
        Event::StageStarted { .. } => return colour.paint(Tone::Title, text),
        _ => return text.to_owned(),
    };
    let begins = text.len() - text.trim_start().len();
    // What went wrong is read whole.
    let ends = match tone {
        Tone::Unreachable => text.len(),
        _ => text[begins..].find([' ', ':']).map_or(text.len(), |at| begins + at),
    };
    let (indent, rest) = text.split_at(begins);
    let (head, rest) = rest.split_at(ends - begins);
    format!("{indent}{}{rest}", colour.paint(tone, head))
}

/// An event in words; nothing for what people need not know.
pub fn lines(event: &Event, verbose: Verbosity) -> Vec<String> {
    let verbose = verbose == Verbosity::Verbose;
    let one = match event {
        Event::HostConnected { host, seconds } if verbose => {
            format!("{host}: connected ({})", took(*seconds))
        }
        Event::HostUnreachable { host, reason } => format!("! {host}: unreachable: {reason}"),
        Event::Blocked { host, task, reason } => format!("! {host}: {task}: blocked: {reason}"),
        Event::StageStarted { stage, hosts, actions } => {
            format!("==> {stage}: {} on {}", counted(*actions, "action"), counted(*hosts, "host"))
        }
        Event::WaveStarted { wave, waves, hosts, .. } if *waves > 1 => {
            let names: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
            format!("  wave {wave} of {waves}: {}", names.join(", "))
        }
        Event::ActionStarted { host, resource, why, .. } if verbose => {
            format!("  {host}: {resource}: {why} …")
        }
        Event::ActionOutput { text, .. } => {
            return text.lines().map(|line| format!("      | {line}")).collect();
        }
        // What it came to is its result's line.
        Event::ActionEnded { task: Task::Smoke, outcome: Outcome::Changed, .. } if !verbose => {
            return Vec::new();
        }
        Event::ActionEnded { task, host, resource, outcome, seconds } => {
            let (word, more) = match outcome {
                Outcome::Changed => ("changed", String::new()),
                Outcome::Unchanged => ("ok", String::new()),
                Outcome::NotRun(why) => ("not_run", format!(": {why}")),
                Outcome::Failed { status, reason } => {
                    ("FAILED", format!(": {}", failed(reason, *status)))
                }
                Outcome::Lost(why) => ("LOST", format!(": {why}")),
                Outcome::Skipped => ("skipped", String::new()),
            };
            let more = if *task == Task::Smoke { String::new() } else { more };
            format!("  {word} {host}: {resource}{more} ({})", took(*seconds))
        }
        Event::GateWaiting { waiting_for, .. } => format!("  waiting: {waiting_for}"),
        Event::GateEnded { task, open, seconds, hosts, .. } => {
            let names: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
            let word = if *open { "serving" } else { "NOT serving" };
            format!("  {task}: {} {word} ({})", names.join(", "), took(*seconds))
        }
        Event::SmokeResult { check, host, result, detail, seconds, engine, .. } => {
            let word = match result {
                SmokeOutcome::Passed => "passed",
                SmokeOutcome::Failed => "FAILED",
                SmokeOutcome::NotRun => "not_run",
                SmokeOutcome::NoRoom => "no_room",
            };
            let host = host.as_ref().map_or(String::new(), |host| format!(" {host}"));
            let engine = engine.as_ref().map_or(String::new(), |engine| format!(" ({engine})"));
            format!("  smoke {check}{host}: {word}{engine}: {detail} ({})", took(*seconds))
        }
        Event::Problem { problem, host } => match host {
            Some(host) => format!("! {host}: {problem}"),
            None => format!("! {problem}"),
        },
        Event::Interrupted { signal, running } => {
            let mut text = format!("{signal}: finishing what runs; press again to leave at once");
            if !running.is_empty() {
                text.push_str(&format!(" (running: {})", running.join(", ")));
            }
            text
        }
        _ => return Vec::new(),
    };
    vec![one]
}

/// Why something failed, with its exit status where that tells more.
pub fn failed(reason: &str, status: i32) -> String {
    match status {
        // It was not a command that failed.
        0 => reason.to_owned(),
        // Source: timeout(1), and a shell's 128 + SIGKILL.
        124 => format!("{reason} (timed out)"),
        137 => format!("{reason} (it was killed)"),
        status => format!("{reason} (status {status})"),
    }
}

/// A duration for people.
pub fn took(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{}m {:02}s", whole / 60, whole % 60)
    }
}
