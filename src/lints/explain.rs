//! Lints in words: one of them for `provision explain`, all of them as a page. What an example says is found by
//! running it, so that severity and cure stand once, where the lint finds them.

use std::fmt::Write as _;
use std::path::Path;

use super::load::{Lab, load_text};
use super::{Found, Lint, all};
use crate::ground::{Problem, Severity};
use crate::inventory::Inventory;
use crate::mesos::flags::did_you_mean;

/// The inventory that the examples are overrides of; without one no lint speaks.
pub const INVENTORY: &str = include_str!("example.yaml");

/// What a lint finds in an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What the inventory said before, for lints that compare two; overrides, a line each.
    pub before: &'static str,
    /// What it says now: overrides, a line each. Empty where only a file's mode or a host shows it.
    pub example: &'static str,
    /// Whether it stops us.
    pub severity: Severity,
    /// What is found.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

/// The lint of this name.
pub fn find(name: &str) -> Option<&'static Lint> {
    all().find(|lint| lint.name == name)
}

/// Its examples.
#[cfg(test)]
pub fn examples(lint: &Lint) -> &'static [&'static str] {
    lint.examples
}

/// What it finds in each of its examples.
pub fn said(lint: &Lint) -> Vec<Said> {
    if let Found::Asking { severity, says, cure } = lint.found {
        let (message, cure) = (says.to_owned(), cure.to_owned());
        return vec![Said { before: "", example: "", severity, message, cure }];
    }
    let before = match lint.found {
        Found::Comparing { before } => before,
        _ => "",
    };
    let found = |example: &&'static str| {
        let problem = match lint.found {
            Found::Comparing { before } => super::changes(&loaded(before)?, &loaded(example)?)
                .into_iter()
                .find(|problem| problem.name == lint.name),
            _ => problems(example).into_iter().find(|problem| problem.name == lint.name),
        };
        let Problem { severity, message, help, .. } = problem?;
        Some(Said { before, example, severity, message, cure: help.unwrap_or_default() })
    };
    lint.examples.iter().filter_map(found).collect()
}

fn read(example: &str) -> Result<super::load::Loaded, super::load::Refused> {
    let sets: Vec<String> = example.lines().map(str::to_owned).collect();
    load_text("example.yaml", INVENTORY.as_bytes(), Path::new("/"), &sets, Lab::No)
}

fn loaded(example: &str) -> Option<Inventory> {
    read(example).ok().map(|loaded| loaded.inventory)
}

fn problems(example: &str) -> Vec<Problem> {
    match read(example) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    }
}

/// One lint in words.
pub fn explain(lint: &Lint) -> String {
    let mut text = format!("{}: {}\n\nWhy: {}.\n", lint.name, lint.title, lint.reason);
    for said in said(lint) {
        text.push('\n');
        let mut line = |what: &str, value: &str| _ = writeln!(text, "  {what:<8}  {value}");
        said.before.lines().for_each(|set| line("before", set));
        said.example.lines().for_each(|set| line("example", set));
        if said.example.is_empty() && !said.before.is_empty() {
            line("example", "(the line is deleted)");
        }
        line(severity(said.severity), &said.message);
        line("cure", &said.cure);
    }
    let _ = write!(text, "\nWhere it is meant so: {}\n", allowed(lint));
    text
}

/// Every lint in a line.
pub fn list() -> String {
    let mut text = String::new();
    for lint in all() {
        let _ = writeln!(text, "{}: {}\n    {}", lint.name, lint.title, lint.reason);
    }
    text
}

/// Every lint as a page of Markdown.
pub fn reference() -> String {
    let mut page = "# Lints\n\n\
        What is well written and will still not work, or not as meant. Made by `provision explain lints \
        --markdown`\nfrom the lints themselves: what an example says, and its cure, are what `check` answered. \
        An error stops every\ncommand, a warning is said (`check --deny warnings` makes it an error), and \
        either is allowed by its name with a\nreason. `provision explain LINT` says the same of one lint.\n\n\
        An example is what you would give `-e`, here with this inventory, in which no lint finds anything:\n\n\
        ```yaml\n"
        .to_owned();
    page.push_str(INVENTORY);
    page.push_str("```\n");
    let mut lints: Vec<&Lint> = all().collect();
    lints.sort_by_key(|lint| lint.name);
    for lint in lints {
        let _ = write!(page, "\n## {}\n\n{}: {}.\n", lint.name, lint.title, lint.reason);
        for said in said(lint) {
            page.push('\n');
            let code = |sets: &str| {
                let each: Vec<String> = sets.lines().map(|set| format!("`{set}`")).collect();
                each.join(", ")
            };
            match (said.before, said.example) {
                ("", "") => page.push_str("- found where it is asked: a file's mode, or a host\n"),
                ("", example) => _ = writeln!(page, "- example: {}", code(example)),
                (before, "") => {
                    let _ = writeln!(page, "- example: {}, and then no such line", code(before));
                }
                (before, now) => {
                    _ = writeln!(page, "- example: {}, and then {}", code(before), code(now));
                }
            }
            let _ = writeln!(page, "- {}: {}", severity(said.severity), said.message);
            let _ = writeln!(page, "- cure: {}", said.cure);
        }
        let _ = write!(page, "\nWhere it is meant so: `{}`\n", allowed(lint));
    }
    page
}

fn allowed(lint: &Lint) -> String {
    format!("allow: {{ {}: \"REASON\" }}", lint.name)
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The lint that a name is most like.
pub fn nearest(name: &str) -> Option<&'static str> {
    did_you_mean(name, all().map(|lint| lint.name))
}
