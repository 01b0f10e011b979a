//! Problems as people and machines read them: snippets, lines, annotations, JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::colour::{Colour, Stream};
use super::{line, styled};
use crate::ground::{Place, Problem, Severity};
use crate::inventory::show::{Style, show};
use crate::lints;
use crate::ui::github;

/// How problems are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The line with a caret under the mistake, the reason and the cure
    Human,
    /// One line each: `file:line:col: error[name]: message (cure)`
    Lines,
    /// One JSON object
    Json,
    /// Workflow commands that GitHub shows beside the line
    Github,
}

/// The texts that problems point into.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// The inventory as it was read.
    pub inventory: &'a str,
    /// The user's templates by name.
    pub templates: &'a BTreeMap<String, String>,
}

/// A template's mistake at its line, from the text that the template engine makes of it.
pub fn template_problem(text: &str) -> Problem {
    let first = text.lines().next().unwrap_or(text);
    let message = first.strip_prefix("error: ").unwrap_or(first).replace(". ", "; ");
    let at = text.lines().find_map(|line| line.trim().strip_prefix("--> "));
    let place = at.and_then(|at| {
        let mut parts = at.rsplitn(3, ':');
        let (column, line, name) = (parts.next()?, parts.next()?, parts.next()?);
        let file = format!("templates/{name}.tera").into();
        let (line, column) = (line.parse().ok()?, column.parse().ok()?);
        Some(Place { file, line, column, length: 1 })
    });
    let problem = Problem::error(place, "bad-template", message.trim_end_matches('.'));
    match text.lines().find_map(|line| line.strip_prefix("help: ")) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Prints problems to standard error: as snippets where people read, as lines elsewhere.
pub fn print(problems: &[Problem], text: &str) {
    for problem in problems {
        let shown = |style| show(problem, lints::reason(problem.name), text, style);
        let to = std::io::stderr().lock();
        match Colour::on(Stream::Stderr) {
            Colour::No => line(to, shown(Style::Plain).trim_end()),
            Colour::Yes => styled(to, shown(Style::Coloured).trim_end()),
        }
    }
}

/// All problems.
pub fn write(problems: &[Problem], texts: Texts<'_>, format: Format, style: Style) -> String {
    let mut out = String::new();
    match format {
        Format::Human => {
            // Finding a line begins at the top each time; the few that people read are quick.
            const READ: usize = 200;
            for problem in problems.iter().take(READ) {
                let file = problem.place.as_ref().map_or("", |place| &*place.file);
                let name = file.strip_prefix("templates/").and_then(|f| f.strip_suffix(".tera"));
                let template = name.and_then(|name| texts.templates.get(name));
                let text = template.map_or(texts.inventory, String::as_str);
                let _ = writeln!(
                    out,
                    "{}\n",
                    show(problem, lints::reason(problem.name), text, style).trim_end()
                );
            }
            if problems.len() > READ {
                let _ =
                    writeln!(out, "… and {} more; --format lines shows all", problems.len() - READ);
            }
        }
        Format::Lines => {
            for problem in problems {
                let _ = writeln!(out, "{problem}");
            }
        }
        Format::Github => {
            for problem in problems {
                out.push_str(&github::of_problem(problem));
                out.push('\n');
            }
        }
        Format::Json => {
            let list: Vec<Value> = problems.iter().map(object).collect();
            let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
            let whole = json!({
                "errors": count(Severity::Error),
                "warnings": count(Severity::Warning),
                "problems": list,
            });
            let _ = writeln!(out, "{whole:#}");
        }
    }
    out
}

/// One problem as JSON.
fn object(problem: &Problem) -> Value {
    json!({
        "name": problem.name,
        "severity": problem.severity,
        "message": problem.message,
        "help": problem.help,
        "reason": lints::reason(problem.name),
        "place": problem.place,
    })
}
