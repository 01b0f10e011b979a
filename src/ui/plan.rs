//! Plans, drawn on standard output.

use super::colour::{Colour, Stream};
use super::out::Out;
use super::{styled, visible};
use crate::plan::shown::{Look, Shown};

/// Shows a plan.
pub fn show(shown: &Shown, look: Look) {
    let text = text(shown, look, Colour::on(Stream::Stdout));
    styled(Out, text.trim_end());
}

/// A plan as a terminal gets it.
pub fn text(shown: &Shown, look: Look, colour: Colour) -> String {
    let safe = |text: &str| visible::text(&text.replace('\n', "\\n"));
    let lines = shown.lines(look).into_iter().map(|line| {
        let head = colour.paint(line.tone, &safe(&line.head));
        format!("{}{head}{}\n", line.indent, safe(&line.rest))
    });
    lines.collect()
}
