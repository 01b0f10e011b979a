//! Which renderer draws: decided from what was asked for, the terminal and the environment.

use super::Render;
use super::colour::{Colour, Stream};
use super::json::Json;
use super::letters::Letters;
use super::plain::{Plain, Verbosity};
use super::spinner::Spinner;

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

/// How a run was asked to be shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Events as JSON, whatever else.
    pub json: bool,
    /// How much is said.
    pub verbosity: Verbosity,
    /// Whether what went wrong is annotated; where nothing was asked for, a GitHub workflow decides.
    pub annotations: Option<Annotations>,
}

/// Whether annotations for GitHub are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotations {
    /// Beside results, on standard output.
    Written,
    /// Nowhere.
    Omitted,
}

/// The renderer of a run.
pub fn renderer(options: Options, stderr: Stderr, variable: Variable<'_>) -> Box<dyn Render> {
    let colour = Colour::on(Stream::Stderr);
    let plain = |verbose| Box::new(Plain { verbose, colour, ..Plain::default() });
    match screen(options, stderr, variable) {
        Screen::Json => Box::new(Json),
        Screen::Plain(verbose) => plain(verbose),
        Screen::Moving(letters) => match Spinner::on_stderr(colour, letters) {
            Some(spinner) => Box::new(spinner),
            None => plain(Verbosity::Normal),
        },
    }
}

/// What draws. What moves is for people: not for a CI's log, not where every event is asked for.
pub fn screen(options: Options, stderr: Stderr, variable: Variable<'_>) -> Screen {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let yes = |name: &str| set(name).is_some_and(|value| value != "0" && value != "false");
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    if options.json {
        Screen::Json
    } else if options.verbosity == Verbosity::Verbose {
        Screen::Plain(Verbosity::Verbose)
    } else if stderr == Stderr::Other || dumb || yes("CI") || yes("GITHUB_ACTIONS") {
        Screen::Plain(Verbosity::Normal)
    } else {
        Screen::Moving(Letters::of(variable))
    }
}

/// Whether what went wrong is annotated, on standard output.
pub fn annotations(options: Options, variable: Variable<'_>) -> Annotations {
    match options.annotations {
        _ if options.json => Annotations::Omitted,
        Some(wanted) => wanted,
        None if variable("GITHUB_ACTIONS").as_deref() == Some("true") => Annotations::Written,
        None => Annotations::Omitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: Options, stderr: Stderr, set: &[(&str, &str)]) -> Screen {
        let variable = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        screen(options, stderr, &variable)
    }

    #[test]
    fn only_a_terminal_of_a_person_moves() {
        let normal = Options::default();
        let plain = Screen::Plain(Verbosity::Normal);
        let term = ("TERM", "xterm");
        assert_eq!(of(normal, Stderr::Terminal, &[term]), Screen::Moving(Letters::Ascii));
        assert_eq!(
            of(normal, Stderr::Terminal, &[term, ("LANG", "C.utf8")]),
            Screen::Moving(Letters::Unicode)
        );
        let over = [term, ("LC_ALL", "C"), ("LANG", "C.UTF-8")];
        assert_eq!(of(normal, Stderr::Terminal, &over), Screen::Moving(Letters::Ascii));
        assert_eq!(of(normal, Stderr::Other, &[term]), plain);
        assert_eq!(of(normal, Stderr::Terminal, &[]), plain);
        assert_eq!(of(normal, Stderr::Terminal, &[("TERM", "dumb")]), plain);
        assert_eq!(of(normal, Stderr::Terminal, &[term, ("CI", "true")]), plain);
        assert_eq!(
            of(normal, Stderr::Terminal, &[term, ("CI", "")]),
            Screen::Moving(Letters::Ascii)
        );
        let verbose = Options { verbosity: Verbosity::Verbose, ..Options::default() };
        assert_eq!(of(verbose, Stderr::Terminal, &[term]), Screen::Plain(Verbosity::Verbose));
        let json = Options { json: true, verbosity: Verbosity::Verbose, ..Options::default() };
        assert_eq!(of(json, Stderr::Terminal, &[term]), Screen::Json);
    }

    #[test]
    fn a_github_workflow_gets_annotations_unless_events_are_asked_for() {
        let github = |name: &str| (name == "GITHUB_ACTIONS").then(|| "true".to_owned());
        let asked = |annotations| Options { annotations, ..Options::default() };
        assert_eq!(annotations(asked(None), &github), Annotations::Written);
        assert_eq!(annotations(asked(Some(Annotations::Omitted)), &github), Annotations::Omitted);
        assert_eq!(annotations(asked(None), &|_| None), Annotations::Omitted);
        let json = Options { json: true, ..Options::default() };
        assert_eq!(annotations(json, &github), Annotations::Omitted);
    }
}
