//! The summary of a step in a GitHub workflow: what a run or a check came to, as Markdown beside its log.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::screen::Variable;
use super::{Render, line, visible};
use crate::event::{Event, Outcome, SmokeOutcome, Stamped};
use crate::ground::{HostName, Problem, Severity};
use crate::health::Member;
use crate::local::files;
use crate::plan::text::counted;

/// Rows that are shown; GitHub takes 1 MiB of a step and shows none of more.
/// Source: docs.github.com, workflow commands, "Step isolation and limits".
const ROWS: usize = 200;

/// The file to which a step's summary is added, in a workflow.
pub fn file(variable: Variable<'_>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    set("GITHUB_ACTIONS").filter(|value| value == "true")?;
    set("GITHUB_STEP_SUMMARY").map(PathBuf::from)
}

/// Gathers what a run came to and adds it to the summary when it is over.
#[derive(Debug)]
pub struct StepSummary {
    path: PathBuf,
    cluster: String,
    command: String,
    pending: usize,
    rows: Vec<Row>,
}

/// What it is, where, of what, and why.
#[derive(Debug)]
struct Row {
    word: &'static str,
    place: String,
    what: String,
    why: String,
}

impl StepSummary {
    /// Where a workflow wants one.
    pub fn of_workflow(variable: Variable<'_>) -> Option<StepSummary> {
        let path = file(variable)?;
        let (cluster, command, rows) = (String::new(), "run".to_owned(), Vec::new());
        Some(StepSummary { path, cluster, command, pending: 0, rows })
    }

    fn row(&mut self, word: &'static str, place: &str, what: &str, why: &str) {
        let (place, what, why) = (place.to_owned(), what.to_owned(), why.to_owned());
        self.rows.push(Row { word, place, what, why });
    }

    /// The page, as far as it is known.
    fn page(&self, exit: u8, event: &Event) -> String {
        let mut counts = Vec::new();
        if let Event::RunEnded { changed, failed, unreachable, blocked, .. } = event {
            if self.pending > 0 {
                counts.push(format!("{} pending", counted(self.pending, "change")));
            }
            for (count, word) in [
                (changed, "changed"),
                (failed, "failed"),
                (unreachable, "unreachable"),
                (blocked, "blocked"),
            ] {
                if *count > 0 {
                    counts.push(format!("{count} {word}"));
                }
            }
        }
        let sum = if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") };
        let of =
            if self.cluster.is_empty() { String::new() } else { format!(": {}", self.cluster) };
        let title = format!("provision {}{of}", self.command);
        // What was refused did nothing, and says why below.
        let sum = if counts.is_empty() && exit != 0 { "refused".to_owned() } else { sum };
        page(&title, &format!("{sum} (exit {exit})"), &self.rows)
    }
}

impl Render for StepSummary {
    fn draw(&mut self, event: &Stamped) {
        match &event.event {
            Event::RunStarted { command, cluster, .. } => {
                self.command.clone_from(command);
                self.cluster.clone_from(cluster);
            }
            Event::Pending { host, task, resource, why } => {
                self.pending += 1;
                self.row("pending", host.as_str(), &format!("{task}: {resource}"), why);
            }
            Event::HostUnreachable { host, reason } => {
                self.row("unreachable", host.as_str(), "", reason);
            }
            Event::Blocked { host, task, reason } => {
                self.row("blocked", host.as_str(), task.name(), reason);
            }
            Event::ActionEnded { host, task, resource, outcome, .. } => {
                let (word, why) = match outcome {
                    Outcome::Failed { reason, .. } => ("failed", reason),
                    Outcome::Lost(why) => ("lost", why),
                    _ => return,
                };
                self.row(word, host.as_str(), &format!("{task}: {resource}"), why);
            }
            Event::GateEnded { task, members, open: false, .. } => {
                for (host, member) in members {
                    let why = match member {
                        Member::Serving => continue,
                        Member::Sick(why) => why.as_str(),
                        Member::Silent => "its host could not be asked",
                    };
                    self.row("not serving", host.as_str(), task.name(), why);
                }
            }
            Event::SmokeResult { check, host, result, detail, .. } => {
                let word = match result {
                    SmokeOutcome::Passed | SmokeOutcome::NotRun => return,
                    SmokeOutcome::Failed => "failed",
                    SmokeOutcome::NoRoom => "no room",
                };
                let place = host.as_ref().map_or("", HostName::as_str);
                self.row(word, place, &format!("smoke {check}"), detail);
            }
            Event::Problem { problem, host } => {
                self.rows.push(of_problem(problem, host.as_ref()));
            }
            ended @ Event::RunEnded { exit, .. } => {
                add(&self.path, &self.page(*exit, ended));
            }
            _ => {}
        }
    }
}

fn of_problem(problem: &Problem, host: Option<&HostName>) -> Row {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match (host, &problem.place) {
        (Some(host), _) => host.to_string(),
        (None, Some(place)) => place.to_string(),
        (None, None) => String::new(),
    };
    let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    let why = format!("{}{help}", problem.message);
    Row { word, place, what: problem.name.to_owned(), why }
}

/// Adds what a check of a file found to the summary of a workflow's step, if this is one.
pub fn of_check(variable: Variable<'_>, file_name: &str, sum: &str, problems: &[Problem]) {
    if let Some(path) = file(variable) {
        let rows: Vec<Row> = problems.iter().map(|problem| of_problem(problem, None)).collect();
        add(&path, &page(&format!("provision check: {file_name}"), sum, &rows));
    }
}

fn page(title: &str, sum: &str, rows: &[Row]) -> String {
    let mut page = format!("### {}\n\n{}\n\n", text(title), text(sum));
    if !rows.is_empty() {
        page.push_str("| | where | what | why |\n| --- | --- | --- | --- |\n");
    }
    for Row { word, place, what, why } in rows.iter().take(ROWS) {
        let _ = writeln!(page, "| {word} | {} | {} | {} |", text(place), text(what), text(why));
    }
    if let Some(more @ 1..) = rows.len().checked_sub(ROWS) {
        let _ = write!(page, "\nand {more} more\n");
    }
    page.push('\n');
    page
}

/// Text in a cell of a table, of which nothing is markup.
fn text(said: &str) -> String {
    let mut cell = String::with_capacity(said.len());
    for c in visible::sentence(said).chars() {
        match c {
            '&' => cell.push_str("&amp;"),
            '<' => cell.push_str("&lt;"),
            '>' => cell.push_str("&gt;"),
            c if c.is_ascii_punctuation() && "\\`*_{}[]()#+!|~@$".contains(c) => {
                cell.extend(['\\', c]);
            }
            c => cell.push(c),
        }
    }
    cell
}

/// A summary that cannot be written is said, and changes nothing.
fn add(path: &Path, page: &str) {
    if let Err(error) = files::add_to(path, page) {
        let text = format!("the step's summary {} cannot be written: {error}", path.display());
        line(io::stderr().lock(), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_alone_names_a_file() {
        let of = |set: &[(&str, &str)]| {
            let set = set.to_vec();
            file(&|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let (github, path) = (("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", "/s"));
        assert_eq!(of(&[github, path]), Some(PathBuf::from("/s")));
        assert_eq!(of(&[path]), None);
        assert_eq!(of(&[github]), None);
    }

    #[test]
    fn nothing_that_is_said_is_markup_and_no_page_is_endless() {
        assert_eq!(text("a | <b> `c`\n# d"), "a \\| &lt;b&gt; \\`c\\`\\\\n\\# d");
        let row = || Row {
            word: "pending",
            place: "a1".to_owned(),
            what: "x".to_owned(),
            why: "y".to_owned(),
        };
        let rows: Vec<Row> = std::iter::repeat_with(row).take(ROWS + 3).collect();
        let page = page("t", "s", &rows);
        assert_eq!(page.matches("| pending | a1 | x | y |").count(), ROWS);
        assert!(page.ends_with("\nand 3 more\n\n"), "{page}");
    }
}
