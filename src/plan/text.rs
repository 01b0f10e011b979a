//! A plan in words.

use std::fmt::Write as _;

use super::{Action, Plan};
use crate::resource::{Gap, ResourceId};

/// The whole plan for people. Symbols are Terraform's: `+` to add, `~` to change, `?` to look at
/// later, `!` left undone.
pub fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for stage in &plan.stages {
        let _ = writeln!(text, "{}", stage.title);
        let several = stage.waves.len() > 1;
        for (index, wave) in stage.waves.iter().enumerate() {
            if several {
                let names: Vec<&str> = wave.hosts.keys().map(|host| host.as_str()).collect();
                let _ = writeln!(
                    text,
                    "  wave {} of {}: {}",
                    index + 1,
                    stage.waves.len(),
                    names.join(", ")
                );
            }
            for (host, actions) in &wave.hosts {
                for action in actions {
                    let _ = writeln!(
                        text,
                        "  {} {host}: {}: {}",
                        symbol(action),
                        action.resource,
                        action.why()
                    );
                }
            }
        }
    }
    if !plan.hits.is_empty() {
        let _ = writeln!(text, "Running work");
    }
    for (host, hit) in &plan.hits {
        let _ = writeln!(text, "  {host}: {hit}");
    }
    for blocked in &plan.blocked {
        let _ =
            writeln!(text, "  ! {}: {}: blocked: {}", blocked.host, blocked.task, blocked.because);
    }
    for (host, why) in &plan.unreachable {
        let _ = writeln!(text, "  ! {host}: unreachable: {why}");
    }
    let _ = writeln!(text, "{}", summary(plan));
    text
}

/// The last line.
pub fn summary(plan: &Plan) -> String {
    if plan.is_empty() && plan.blocked.is_empty() && plan.unreachable.is_empty() {
        return "No changes. The cluster matches the inventory.".to_owned();
    }
    let adds = plan.actions().filter(|(_, action)| symbol(action) == '+').count();
    let changes = plan.changes() - adds;
    let mut line = if plan.is_empty() {
        "No changes that could be made".to_owned()
    } else {
        format!(
            "Plan: {adds} to add, {changes} to change, on {}",
            counted(plan.hosts().len(), "host")
        )
    };
    if !plan.blocked.is_empty() {
        let _ = write!(line, "; {} blocked", plan.blocked.len());
    }
    if !plan.unreachable.is_empty() {
        let _ = write!(line, "; {} unreachable", counted(plan.unreachable.len(), "host"));
    }
    line.push('.');
    line
}

/// `1 host`, `2 hosts`.
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Nothing of it is there: add. Something is, and differs: change.
pub fn symbol(action: &Action) -> char {
    let there = |gap: &Gap| match (action.resource.kind, gap.fact) {
        // A list of what is missing, among which may be a version to be replaced.
        ("packages", _) => gap.seen.as_deref().is_some_and(|seen| seen.contains("(there is")),
        _ => gap.seen.is_some(),
    };
    match (action.later, action.gaps.iter().any(there)) {
        (Some(_), _) => '?',
        (None, true) => '~',
        (None, false) => '+',
    }
}

/// The gaps of one resource in one line.
pub fn gaps(resource: &ResourceId, gaps: &[Gap]) -> String {
    let parts: Vec<String> = gaps.iter().map(|gap| one(resource, gap)).collect();
    // What is not there at all needs one word, not a list of its wanted facts.
    if gaps.iter().all(|gap| gap.seen.is_none()) {
        match resource.kind {
            "file" | "directory" | "link" | "unpacked" | "user" | "image" => {
                return "missing".to_owned();
            }
            "proof" => return "not proven yet".to_owned(),
            _ => {}
        }
    }
    let mut parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.dedup();
    if parts.is_empty() && resource.kind == "service" {
        return "not yet found healthy since its start".to_owned();
    }
    parts.join(", ")
}

fn one(resource: &ResourceId, gap: &Gap) -> String {
    let seen = gap.seen.as_deref().unwrap_or("nothing");
    match (resource.kind, gap.fact) {
        ("packages", "missing") => format!("install {seen}"),
        ("file", "sha256") => "content differs".to_owned(),
        ("directory", "strays") => {
            let names: Vec<&str> = seen.split('\n').collect();
            format!("stray {}, to be moved into the backup", names.join(", "))
        }
        ("image", "inputs") => "built from other inputs".to_owned(),
        ("image", "archive") => "loaded from another archive".to_owned(),
        ("unpacked", "archive") => "unpacked from another archive".to_owned(),
        ("proof", _) => "something it proved has changed".to_owned(),
        ("drain", _) => "left by a run that was cut short, to be ended".to_owned(),
        ("service", "enabled") if gap.seen.is_none() => String::new(),
        ("service", "active" | "enabled") => {
            format!("{} → {}", if gap.seen.is_some() { seen } else { "missing" }, gap.want)
        }
        ("service", "load") if gap.seen.is_none() => "to be masked".to_owned(),
        ("service", "inputs") if gap.seen.is_some() => "started with other inputs".to_owned(),
        // A process that does not run has no age; "inactive → active" says all.
        ("service", "inputs" | "process") if gap.seen.is_none() => String::new(),
        ("service", "process") => format!("process is {seen}"),
        (_, fact) => format!("{fact}: {seen} → {}", gap.want),
    }
}
