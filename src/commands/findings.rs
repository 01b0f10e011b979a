//! Problems as people and machines read them: snippets, lines, annotations, JSON, JUnit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::inventory::show::{Style, show};
use crate::inventory::{Place, Problem, Severity};
use crate::lints;

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
    Problem::error(place, "bad-template", message.trim_end_matches('.'))
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
                let _ = writeln!(out, "{}\n", show(problem, text, style).trim_end());
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
                out.push_str(&annotation(problem));
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

/// JUnit's XML: a test case for each problem, failed where it stops us; one that passes when there is
/// none, for some readers take an empty suite for a broken one.
pub fn junit(problems: &[Problem], file: &str, denied: Severity) -> String {
    let fails = |problem: &&Problem| problem.severity <= denied;
    let failures = problems.iter().filter(fails).count();
    let tests = problems.len().max(1);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head =
        format!("name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\"", xml(file));
    let _ = writeln!(out, "<testsuites {head}>\n  <testsuite {head}>");
    if problems.is_empty() {
        let _ = writeln!(out, "    <testcase classname=\"inventory\" name=\"{}\"/>", xml(file));
    }
    for problem in problems {
        let place = problem.place.as_ref().map(|at| format!("{at} ")).unwrap_or_default();
        let name = xml(&format!("{place}{}", problem.name));
        let (message, whole) = (xml(&problem.message), xml(&problem.to_string()));
        let _ = writeln!(out, "    <testcase classname=\"inventory\" name=\"{name}\">");
        if fails(&problem) {
            let kind = problem.name;
            let _ = writeln!(
                out,
                "      <failure type=\"{kind}\" message=\"{message}\">{whole}</failure>"
            );
        } else {
            let _ = writeln!(out, "      <system-out>{whole}</system-out>");
        }
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
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

/// Source: GitHub's documentation of workflow commands; `%`, CR and LF are escaped everywhere, `:` and
/// `,` in properties.
fn annotation(problem: &Problem) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let kind = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = problem.place.as_ref().map_or_else(String::new, |at| {
        format!(
            "file={},line={},col={},endColumn={},",
            property(&at.file),
            at.line,
            at.column,
            at.column.saturating_add(at.length)
        )
    });
    let help = problem.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
    let message = data(&format!("{}{help}", problem.message));
    format!("::{kind} {place}title={}::{message}", property(problem.name))
}

/// Text or attribute; what XML 1.0 cannot hold is replaced.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                out.push(c);
            }
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: Severity) -> Problem {
        let place = Place { file: "a:b.yaml".into(), line: 3, column: 5, length: 2 };
        let problem = match severity {
            Severity::Error => Problem::error(Some(place), "bad-flag", "100 % <wrong>\u{1}"),
            Severity::Warning => Problem::warning(Some(place), "bad-flag", "100 % <wrong>\u{1}"),
        };
        problem.help("do\nthis")
    }

    #[test]
    fn annotations_escape_what_would_end_them() {
        assert_eq!(
            annotation(&problem(Severity::Error)),
            "::error file=a%3Ab.yaml,line=3,col=5,endColumn=7,title=bad-flag::100 %25 <wrong>\u{1} (do%0Athis)"
        );
    }

    #[test]
    fn junit_fails_what_is_denied_only() {
        let problems = [problem(Severity::Error), problem(Severity::Warning)];
        let lenient = junit(&problems, "a&b", Severity::Error);
        assert!(lenient.contains("tests=\"2\" failures=\"1\"") && lenient.contains("a&amp;b"));
        assert!(lenient.contains("&lt;wrong&gt;\u{fffd}"));
        assert!(junit(&problems, "f", Severity::Warning).contains("failures=\"2\""));
        assert!(junit(&[], "f", Severity::Error).contains("tests=\"1\" failures=\"0\""));
    }
}
