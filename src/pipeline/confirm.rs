//! What stands between a plan and its first action: findings that forbid it, and the user's word.

use std::io::{BufRead as _, IsTerminal as _};

use super::quit::Quit;
use crate::ground::{HostName, Problem, Severity};
use crate::plan::Plan;
use crate::plan::shown::{Look, Shown};
use crate::report::exit;
use crate::ui::out::Out;
use crate::ui::{self, line};

/// Asks for `yes`.
///
/// # Errors
/// One sentence naming the missing flag, without a terminal to ask on.
pub fn confirm(question: &str) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask on; say --yes".to_owned());
    }
    line(std::io::stderr().lock(), &format!("{question}\n  Only `yes` is accepted."));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.trim() == "yes")
}

/// How much of a plan is shown before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// All of it.
    Whole,
    /// Its last line.
    Summary,
}

/// Shows a plan and gets the user's word for it, unless it was given before. Of an empty one it says
/// `nothing`, where nothing was left undone either. Events alone are told without a `look`.
///
/// # Errors
/// [`Quit`] without the user's word; one sentence where nobody can be asked.
pub fn agree(
    plan: &Plan,
    given: bool,
    look: Option<(Show, Look)>,
    nothing: &str,
) -> anyhow::Result<()> {
    if plan.is_empty() {
        if look.is_some() && plan.blocked.is_empty() && plan.unreachable.is_empty() {
            line(Out, nothing);
        }
        return Ok(());
    }
    match look {
        Some((Show::Whole, look)) => ui::plan::show(&Shown::of(plan), look),
        Some((Show::Summary, _)) => {
            line(Out, &Shown::of(plan).summary());
        }
        None => {}
    }
    if given {
        return Ok(());
    }
    agreed("Do you want to make these changes?")
}

/// Gets the user's word.
///
/// # Errors
/// As [`agree`].
pub fn agreed(question: &str) -> anyhow::Result<()> {
    match confirm(question) {
        Ok(true) => Ok(()),
        Ok(false) => {
            line(std::io::stderr().lock(), "nothing was changed");
            Err(Quit(exit::USAGE).into())
        }
        Err(why) => anyhow::bail!("{why}; nothing was changed"),
    }
}

/// Refuses to go on when anything that was found is an error.
///
/// # Errors
/// One sentence; what was found was said before.
pub fn refuse_errors(found: &[(Option<HostName>, Problem)]) -> anyhow::Result<()> {
    anyhow::ensure!(
        !refuses(found),
        "preflight found what must be mended first; nothing was changed"
    );
    Ok(())
}

/// Whether anything that was found keeps an apply from being made.
pub fn refuses(found: &[(Option<HostName>, Problem)]) -> bool {
    found.iter().any(|(_, problem)| problem.severity == Severity::Error)
}
