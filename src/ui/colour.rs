//! Colours: whether there are any, and what means what. Nothing else decides either.
//!
//! Only what is short is coloured, a sign or a word, so that all can be read on light and on dark.

use std::io::{stderr, stdout};

use crate::plan::shown::Tone;

/// Whether colours are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    #[default]
    No,
    /// With escape sequences.
    Yes,
}

/// What is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Results.
    Stdout,
    /// Progress.
    Stderr,
}

impl Colour {
    /// Whether a stream gets colours (`--color`, NO_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM, then whether it is
    /// a terminal).
    pub fn on(stream: Stream) -> Colour {
        let choice = match stream {
            Stream::Stdout => anstream::AutoStream::choice(&stdout()),
            Stream::Stderr => anstream::AutoStream::choice(&stderr()),
        };
        match choice {
            anstream::ColorChoice::Never => Colour::No,
            _ => Colour::Yes,
        }
    }

    /// A text that is harmless already, in its colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if self == Colour::No || text.is_empty() => return text.to_owned(),
            Tone::Title => "1",
            Tone::Add => "32",
            Tone::Change => "33",
            Tone::Remove | Tone::Unreachable => "31",
            Tone::Blocked => "35",
            Tone::Faint => "36",
            Tone::Plain => return text.to_owned(),
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
