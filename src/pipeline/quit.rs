//! How a command ends that did not do what it was asked to.

use std::fmt;

use crate::ground::{HostName, Problem};
use crate::report::exit;
use crate::ui::line;

/// A command ends early with this exit code: what there is to say was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quit(pub u8);

/// A command was refused: people were told why, and whoever reads events is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The exit code.
    pub exit: u8,
    /// Why, and on which host.
    pub found: Vec<(Option<HostName>, Problem)>,
}

impl Refused {
    /// For what is wrong with an inventory or a template.
    pub fn of(problems: Vec<Problem>) -> Refused {
        let found = problems.into_iter().map(|problem| (None, problem)).collect();
        Refused { exit: exit::USAGE, found }
    }
}

/// Why a command did not do what it was asked to, for whoever reads events.
pub fn reasons(error: &anyhow::Error) -> Vec<(Option<HostName>, Problem)> {
    match error.downcast_ref::<Refused>() {
        Some(refused) => refused.found.clone(),
        // What it was is told already.
        None if error.is::<Quit>() => Vec::new(),
        None => vec![(None, Problem::error(None, "refused", format!("{error:#}")))],
    }
}

/// Says why a command did not do what it was asked to, unless that was said.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(quit) = error.downcast_ref::<Quit>() {
        return quit.0;
    }
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return refused.exit;
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

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.exit)
    }
}

impl std::error::Error for Refused {}
