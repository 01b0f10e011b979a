//! How a command ends that did not do what it was asked to.

use std::fmt;

use crate::report::exit;
use crate::ui::line;

/// A command ends early with this exit code: what there is to say was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quit(pub u8);

/// Says why a command did not do what it was asked to, unless that was said.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(quit) = error.downcast_ref::<Quit>() {
        return quit.0;
    }
    line(std::io::stderr().lock(), &format!("error: {error:#}"));
    exit::USAGE
}

impl fmt::Display for Quit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended with {}", self.0)
    }
}

impl std::error::Error for Quit {}
