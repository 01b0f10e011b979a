//! Which renderer draws: decided from what was asked for, the terminal and the environment.

use super::json::Json;
use super::plain::{Plain, Verbosity};
use super::spinner::{Letters, Spinner};
use super::{Render, colour};
use crate::cli::{Format, RunOutput};

/// Reads an environment variable.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What draws a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// NDJSON on standard output.
    Json,
    /// Lines.
    Plain(Verbosity),
    /// Lines above what moves.
    Moving(Letters),
}

/// What standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stderr {
    /// A terminal.
    Terminal,
    /// A pipe, a file, nothing.
    Other,
}

/// The renderer of a run.
pub fn renderer(output: &RunOutput, stderr: Stderr, variable: Variable<'_>) -> Box<dyn Render> {
    let colour = colour();
    let plain = |verbose| Box::new(Plain { verbose, colour });
    match screen(output, stderr, variable) {
        Screen::Json => Box::new(Json),
        Screen::Plain(verbose) => plain(verbose),
        Screen::Moving(letters) => match Spinner::on_stderr(colour, letters) {
            Some(spinner) => Box::new(spinner),
            None => plain(Verbosity::Normal),
        },
    }
}

/// What draws. What moves is for people: not for a CI's log, not where every event is asked for.
pub fn screen(output: &RunOutput, stderr: Stderr, variable: Variable<'_>) -> Screen {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let yes = |name: &str| set(name).is_some_and(|value| value != "0" && value != "false");
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    if output.json {
        Screen::Json
    } else if output.verbose {
        Screen::Plain(Verbosity::Verbose)
    } else if stderr == Stderr::Other || dumb || yes("CI") || yes("GITHUB_ACTIONS") {
        Screen::Plain(Verbosity::Normal)
    } else {
        // The first that is set decides. Source: POSIX, 8.2 Internationalization Variables.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_uppercase().replace('-', "");
        Screen::Moving(if locale.contains("UTF8") { Letters::Unicode } else { Letters::Ascii })
    }
}

/// What is written to standard output beside results.
pub fn format(output: &RunOutput, variable: Variable<'_>) -> Format {
    match output.format {
        _ if output.json => Format::Text,
        Some(format) => format,
        None if variable("GITHUB_ACTIONS").as_deref() == Some("true") => Format::Github,
        None => Format::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(output: &RunOutput, stderr: Stderr, set: &[(&str, &str)]) -> Screen {
        let variable = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        screen(output, stderr, &variable)
    }

    #[test]
    fn only_a_terminal_of_a_person_moves() {
        let normal = RunOutput::default();
        let plain = Screen::Plain(Verbosity::Normal);
        let term = ("TERM", "xterm");
        assert_eq!(of(&normal, Stderr::Terminal, &[term]), Screen::Moving(Letters::Ascii));
        assert_eq!(
            of(&normal, Stderr::Terminal, &[term, ("LANG", "C.utf8")]),
            Screen::Moving(Letters::Unicode)
        );
        let over = [term, ("LC_ALL", "C"), ("LANG", "C.UTF-8")];
        assert_eq!(of(&normal, Stderr::Terminal, &over), Screen::Moving(Letters::Ascii));
        assert_eq!(of(&normal, Stderr::Other, &[term]), plain);
        assert_eq!(of(&normal, Stderr::Terminal, &[]), plain);
        assert_eq!(of(&normal, Stderr::Terminal, &[("TERM", "dumb")]), plain);
        assert_eq!(of(&normal, Stderr::Terminal, &[term, ("CI", "true")]), plain);
        assert_eq!(
            of(&normal, Stderr::Terminal, &[term, ("CI", "")]),
            Screen::Moving(Letters::Ascii)
        );
        let verbose = RunOutput { verbose: true, ..RunOutput::default() };
        assert_eq!(of(&verbose, Stderr::Terminal, &[term]), Screen::Plain(Verbosity::Verbose));
        let json = RunOutput { json: true, verbose: true, ..RunOutput::default() };
        assert_eq!(of(&json, Stderr::Terminal, &[term]), Screen::Json);
    }

    #[test]
    fn a_github_workflow_gets_annotations_unless_events_are_asked_for() {
        let github = |name: &str| (name == "GITHUB_ACTIONS").then(|| "true".to_owned());
        let asked = |format| RunOutput { format, ..RunOutput::default() };
        assert_eq!(format(&asked(None), &github), Format::Github);
        assert_eq!(format(&asked(Some(Format::Text)), &github), Format::Text);
        assert_eq!(format(&asked(None), &|_| None), Format::Text);
        let json = RunOutput { json: true, ..RunOutput::default() };
        assert_eq!(format(&json, &github), Format::Text);
    }
}
