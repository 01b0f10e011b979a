//! What hosts say, made harmless: no character of theirs may steer the terminal, the CI or the reader.

use crate::event::{Event, Outcome};
use crate::ground::Problem;
use crate::health::Member;

/// An event whose every text is harmless. Texts that are one sentence become one line.
pub fn event(event: Event) -> Event {
    let mut event = event;
    match &mut event {
        Event::RunStarted { command, cluster, inventory, version, versions, .. } => {
            all([command, cluster, inventory, version]);
            all(versions.values_mut());
        }
        Event::HostUnreachable { reason, .. } | Event::Blocked { reason, .. } => all([reason]),
        Event::StageStarted { stage, .. } | Event::WaveStarted { stage, .. } => all([stage]),
        Event::ActionStarted { resource, why, .. } | Event::Pending { resource, why, .. } => {
            all([resource, why]);
        }
        Event::ActionOutput { resource, text: said, .. } => {
            all([resource]);
            *said = text(said);
        }
        Event::ActionEnded { resource, outcome, .. } => {
            all([resource]);
            match outcome {
                Outcome::NotRun(why) | Outcome::Lost(why) => all([why]),
                Outcome::Failed { reason, .. } => all([reason]),
                Outcome::Changed | Outcome::Unchanged | Outcome::Skipped => {}
            }
        }
        Event::GateWaiting { waiting_for, .. } => all([waiting_for]),
        Event::GateEnded { members, .. } => {
            for (_, member) in members {
                match member {
                    Member::Sick(why) => all([why]),
                    Member::Serving | Member::Silent => {}
                }
            }
        }
        Event::SmokeResult { check, detail, engine, submit, .. } => {
            all([check, detail]);
            all(engine.iter_mut().chain(submit.iter_mut()));
        }
        Event::Problem { problem, .. } => sentences(problem),
        Event::Interrupted { signal, running } => {
            all([signal]);
            all(running);
        }
        Event::HostConnected { .. }
        | Event::Observed { .. }
        | Event::Planned { .. }
        | Event::RunEnded { .. } => {}
    }
    event
}

/// A text over several lines: controls and direction marks as `\u001b`, which in JSON means the same
/// character, so that a JSON text stays what it was.
///
/// What a CI's runner takes for a command is broken in the same way. GitHub's takes one from any line that
/// begins with `::` after blanks, and its older form `##[` from anywhere in a line (actions/runner,
/// ActionCommand.cs); Azure Pipelines' takes `##vso[` and `##[` (microsoft/azure-pipelines-agent,
/// src/Microsoft.VisualStudio.Services.Agent/CommandString.cs: from anywhere in a line); TeamCity's
/// `##teamcity[` (its documentation, "Service Messages"). GitLab's sections begin with a control character
/// or stand at the beginning of a line (`section_start:`; GitLab's documentation, "Custom collapsible
/// sections"); Buildkite's groups are lines that begin with `---`, `+++`, `~~~` or `^^^ +++` (its
/// documentation, "Managing log output"): those fold lines and do nothing, and are left.
pub fn text(said: &str) -> String {
    let mut shown = String::with_capacity(said.len());
    let mut at_start = true;
    let mut rest = said;
    while let Some(c) = rest.chars().next() {
        if at_start && rest.starts_with("::") {
            shown.push_str("\\u003a");
        } else if rest.starts_with("##") && commands(rest) {
            shown.push_str("\\u0023");
        } else if c == '\n' || c == '\t' || !steers(c) {
            shown.push(c);
        } else {
            shown.push_str(&escape(c));
        }
        at_start = c == '\n' || (at_start && c.is_whitespace());
        rest = &rest[c.len_utf8()..];
    }
    shown
}

/// Whether `##` begins a command of whatever runner: a word may stand before the bracket, in either case.
fn commands(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.trim_start_matches('#').trim_start_matches(word).starts_with('[')
}

/// A text as one line: line ends are made visible too.
pub fn sentence(said: &str) -> String {
    let one = said.trim_end().replace('\n', "\\n").replace('\t', " ");
    text(&one)
}

fn sentences(problem: &mut Problem) {
    all([&mut problem.message]);
    if let Some(help) = &mut problem.help {
        all([help]);
    }
}

fn all<'a>(texts: impl IntoIterator<Item = &'a mut String>) {
    for text in texts {
        *text = sentence(text);
    }
}

/// Whether a character moves the cursor, ends a line or turns the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(c: char) -> String {
    format!("\\u{:04x}", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_made_visible_and_the_rest_is_left_alone() {
        assert_eq!(text("größe\tok\n日本"), "größe\tok\n日本");
        assert_eq!(text("a\u{1b}]0;x\u{7}b\rc\u{9b}2J"), "a\\u001b]0;x\\u0007b\\u000dc\\u009b2J");
        assert_eq!(text("a\u{202e}b\u{2028}"), "a\\u202eb\\u2028");
        assert_eq!(sentence("one\ntwo\n"), "one\\ntwo");
    }

    #[test]
    fn no_line_is_a_command_to_github() {
        assert_eq!(
            text("::error::x\n  ::stop-commands::y\na::b"),
            "\\u003a:error::x\n  \\u003a:stop-commands::y\na::b"
        );
        assert_eq!(text("so ##[error]x ##"), "so \\u0023#[error]x ##");
        assert_eq!(sentence("a\n::error::x"), "a\\n::error::x");
    }

    #[test]
    fn no_line_is_a_command_to_any_other_runner() {
        for (said, shown) in [
            (
                "x ##vso[task.setvariable variable=a]b",
                "x \\u0023#vso[task.setvariable variable=a]b",
            ),
            ("##teamcity[buildStop]", "\\u0023#teamcity[buildStop]"),
            ("###TeamCity[x", "\\u0023\\u0023#TeamCity[x"),
            ("## 1. heading [a](b)", "## 1. heading [a](b)"),
            ("a ##b c[", "a ##b c["),
        ] {
            assert_eq!(text(said), shown);
            assert_eq!(sentence(said), shown);
        }
    }

    #[test]
    fn a_json_text_means_the_same_afterwards() {
        let value = serde_json::json!({"a": "x\u{7f}\u{9b}\u{202e}##[y\n::z ##vso[a"});
        let shown = text(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!shown.chars().any(|c| c != '\n' && steers(c)));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
