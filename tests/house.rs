//! The import law: what each room of the house may reach. Clippy's `disallowed_methods` cannot tell
//! rooms apart, so this reads the sources.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms in which nothing can reach the outside.
const PURE: [&str; 13] = [
    "inventory",
    "mesos",
    "simulate",
    "script",
    "template",
    "resource",
    "health",
    "tasks",
    "plan",
    "event",
    "report",
    "preflight",
    "observe",
];

/// The only reader of inventory files.
const IMPURE: [&str; 1] = ["inventory/load.rs"];

/// What leads to the outside.
const OUTSIDE: [&str; 14] = [
    "tokio",
    "openssh",
    "indicatif",
    "anstream",
    "rpassword",
    "tempfile",
    "which",
    "std::fs",
    "std::env",
    "std::io",
    "std::process",
    "std::thread",
    "std::time::{Instant",
    "std::time::Instant",
];

/// Names that are reached through longer paths or groups of imports.
const OUTSIDE_NAMES: [&str; 9] = [
    "SystemTime",
    "Instant::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "File::open",
    "env!(",
    "Command::new",
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The code of a file: no comments, no tests.
fn code(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("")))
        .collect()
}

fn mentions(line: &str, name: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        // A crate is reached by its path; a word of prose in a string is not an import.
        let after = &line[at + name.len()..];
        boundary(before)
            && (name.contains(['(', '{', ':'])
                || after.starts_with("::")
                || boundary(after.chars().next()) && !name.chars().all(char::is_lowercase))
    })
}

fn is_in(name: &str, room: &str) -> bool {
    name == format!("{room}.rs") || name.starts_with(&format!("{room}/"))
}

fn violations(text: &str, names: &[&str]) -> Vec<String> {
    code(text)
        .into_iter()
        .flat_map(|(number, line)| {
            names
                .iter()
                .filter(move |name| mentions(line, name))
                .map(move |name| format!("{number}: {name}"))
        })
        .collect()
}

#[test]
fn pure_rooms_reach_nothing_outside() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, text) in sources() {
        let lints = name == "lints.rs" || is_in(&name, "lints");
        if !lints && !PURE.iter().any(|room| is_in(&name, room)) || IMPURE.contains(&name.as_str())
        {
            continue;
        }
        seen += 1;
        let names = [&OUTSIDE[..], &OUTSIDE_NAMES[..]].concat();
        wrong
            .extend(violations(&text, &names).into_iter().map(|what| format!("src/{name}:{what}")));
    }
    assert!(seen > 40, "only {seen} files were read");
    assert!(wrong.is_empty(), "pure rooms reach outside:\n{}", wrong.join("\n"));
}

#[test]
fn one_room_each_holds_the_ssh_client_and_the_spinner() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (import, home) in [("openssh", "remote/ssh.rs"), ("indicatif", "ui/spinner.rs")] {
            if name != home {
                wrong.extend(
                    violations(&text, &[import]).into_iter().map(|w| format!("src/{name}:{w}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Who can only look must not be able to act: `plan`, `check` and `status` never name the key that
/// changes.
#[test]
fn commands_that_look_do_not_hold_the_key_that_changes() {
    for (name, text) in sources() {
        let file = name.as_str();
        if !matches!(file, "commands/plan.rs" | "commands/status.rs" | "commands/check.rs") {
            continue;
        }
        let found =
            violations(&text, &["Change", "Changer", "Run::new", "fleet::change", "change("]);
        assert!(found.is_empty(), "src/{name} could change a host: {found:?}");
    }
}

#[test]
fn the_law_can_be_broken() {
    assert_eq!(violations("use tokio::fs;\n", &OUTSIDE), ["1: tokio"]);
    assert_eq!(
        violations("use std::time::{Duration, SystemTime};", &OUTSIDE_NAMES),
        ["1: SystemTime"]
    );
    assert_eq!(
        violations("let t = std::time::Instant::now();", &OUTSIDE_NAMES),
        ["1: Instant::now"]
    );
    assert!(
        violations("// use tokio\n\"which of them\"\nuse std::time::Duration;", &OUTSIDE)
            .is_empty()
    );
    assert!(violations("#[cfg(test)]\nuse std::fs;", &OUTSIDE).is_empty());
}
