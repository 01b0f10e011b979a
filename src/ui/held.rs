//! Hosts that do not answer: said once. A command that shows its plan says them there, by reason; what is said
//! before is held back until it is known that there will be one.

use super::colour::Colour;
use super::plain::{Verbosity, lines, paint};
use crate::event::Event;
use crate::ground::HostName;
use crate::plan::shown::{Hosts, Tone, grouped};

/// Draws lines of events, and holds some back.
#[derive(Debug, Default)]
pub struct Held {
    /// Whether a plan is to come that will say it.
    waits: bool,
    hosts: Vec<(HostName, String)>,
}

/// Commands that show a plan which names who did not answer.
const SHOWING: [&str; 9] =
    ["plan", "apply", "restart", "stop", "start", "drain", "undrain", "reboot", "destroy"];

impl Held {
    /// The lines of an event, as a terminal gets them.
    pub fn lines(&mut self, event: &Event, verbose: Verbosity, colour: Colour) -> Vec<String> {
        let mut said = Vec::new();
        match event {
            Event::RunStarted { command, .. } => self.waits = SHOWING.contains(&command.as_str()),
            Event::HostUnreachable { host, reason } if self.waits => {
                self.hosts.push((host.clone(), reason.clone()));
                return said;
            }
            Event::Planned { .. } => {
                self.waits = false;
                self.hosts.clear();
            }
            // There was none.
            Event::RunEnded { .. } | Event::Interrupted { .. } => {
                let groups = grouped(&std::mem::take(&mut self.hosts), Hosts::Folded);
                said.extend(groups.into_iter().map(|(hosts, reason)| {
                    colour.paint(Tone::Unreachable, &format!("! {hosts}: unreachable: {reason}"))
                }));
            }
            _ => {}
        }
        said.extend(lines(event, verbose).iter().map(|text| paint(event, text, colour)));
        said
    }
}
