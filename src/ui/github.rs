//! Annotations of a GitHub workflow: what went wrong, as commands to its runner on standard output.

use super::out::Out;
use super::{Render, styled};
use crate::event::{Event, Outcome, SmokeOutcome, Stamped};
use crate::ground::{Place, Problem, Severity};
use crate::health::Member;

/// Prints an annotation for whatever went wrong.
#[derive(Debug, Default)]
pub struct Github;

impl Render for Github {
    fn draw(&mut self, event: &Stamped) {
        for text in annotations(&event.event) {
            styled(Out, &text);
        }
    }
}

/// What of an event is worth an annotation.
pub fn annotations(event: &Event) -> Vec<String> {
    let error =
        |title: String, message: &str| vec![annotation(Severity::Error, None, &title, message)];
    match event {
        Event::HostUnreachable { host, reason } => error(format!("{host} unreachable"), reason),
        Event::ActionEnded { host, task, resource, outcome, .. } => match outcome {
            Outcome::Failed { reason, .. } => {
                error(format!("{resource} failed on {host} at {task}"), reason)
            }
            Outcome::Lost(reason) => error(format!("{host} lost at {task}"), reason),
            Outcome::Changed | Outcome::Unchanged | Outcome::NotRun(_) | Outcome::Skipped => {
                Vec::new()
            }
        },
        Event::GateEnded { task, members, open: false, .. } => members
            .iter()
            .filter_map(|(host, member)| {
                let why = match member {
                    Member::Serving => return None,
                    Member::Sick(why) => why.as_str(),
                    Member::Silent => "its host could not be asked",
                };
                Some(annotation(
                    Severity::Error,
                    None,
                    &format!("{task} on {host} does not serve"),
                    why,
                ))
            })
            .collect(),
        Event::SmokeResult { check, host, result: SmokeOutcome::Failed, detail, .. } => {
            let host = host.as_ref().map_or(String::new(), |host| format!(" on {host}"));
            error(format!("smoke {check} failed{host}"), detail)
        }
        Event::SmokeResult { check, host, result: SmokeOutcome::NoRoom, detail, .. } => {
            let host = host.as_ref().map_or(String::new(), |host| format!(" on {host}"));
            let title = format!("smoke {check} found no room{host}");
            vec![annotation(Severity::Warning, None, &title, detail)]
        }
        Event::Blocked { host, task, reason } => {
            vec![annotation(Severity::Warning, None, &format!("{task} on {host} blocked"), reason)]
        }
        Event::Problem { problem, .. } => vec![of_problem(problem)],
        _ => Vec::new(),
    }
}

/// A problem where it stands.
pub fn of_problem(problem: &Problem) -> String {
    let mut message = problem.message.clone();
    if let Some(help) = &problem.help {
        message.push_str(&format!(" ({help})"));
    }
    annotation(problem.severity, problem.place.as_ref(), problem.name, &message)
}

/// One annotation, one line, whatever is in the texts.
/// Source: docs.github.com, workflow commands; actions/toolkit, command.ts for the escapes.
pub fn annotation(severity: Severity, place: Option<&Place>, title: &str, message: &str) -> String {
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut properties = Vec::new();
    // An override has no file that a reviewer could look at.
    if let Some(place) = place.filter(|place| !place.file.starts_with("-e ")) {
        properties.push(format!("file={}", property(&place.file)));
        properties.push(format!("line={}", place.line));
        properties.push(format!("col={}", place.column));
        properties.push(format!("endColumn={}", place.column.saturating_add(place.length)));
    }
    properties.push(format!("title={}", property(title)));
    format!("::{level} {}::{}", properties.join(","), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_one_line_and_its_parts_cannot_leak() {
        let place = Place { file: "a,b:c.yaml".into(), line: 14, column: 9, length: 1 };
        let text = annotation(Severity::Error, Some(&place), "50%, so", "one\r\n::error::two 100%");
        assert_eq!(
            text,
            "::error file=a%2Cb%3Ac.yaml,line=14,col=9,endColumn=10,title=50%25%2C so::one%0D%0A::error::two 100%25"
        );
    }

    #[test]
    fn an_override_has_no_file() {
        let place = Place { file: "-e mesos.version".into(), line: 1, column: 1, length: 1 };
        let text = annotation(Severity::Warning, Some(&place), "t", "m");
        assert_eq!(text, "::warning title=t::m");
    }
}
