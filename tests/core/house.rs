//! The import law: which room of the house may name which, what reaches the outside, and who can come by
//! the key that changes. Clippy's `disallowed_methods` cannot tell rooms apart, so this reads the sources.

use std::collections::{BTreeMap, BTreeSet};

use super::support::sources::{Source, sources};

/// Every room with the rooms that its code names. Each names only rooms above its own line, so there is no
/// way round in a circle; a name that nobody uses any more is to be taken out.
const HOUSE: &[(&str, &[&str])] = &[
    ("ground", &[]),
    ("local", &[]),
    ("config", &["ground", "local"]),
    ("script", &["ground"]),
    ("mesos", &["ground", "script"]),
    ("inventory", &["ground", "local", "mesos", "script"]),
    ("simulate", &["inventory", "mesos"]),
    ("lints", &["ground", "inventory", "mesos", "simulate"]),
    ("template", &["script"]),
    ("resource", &["ground", "inventory", "mesos", "script"]),
    ("health", &["ground", "inventory", "mesos", "script"]),
    (
        "tasks",
        &["ground", "health", "inventory", "mesos", "resource", "script", "simulate", "template"],
    ),
    ("event", &["ground", "health", "tasks"]),
    ("report", &["event", "ground", "health", "tasks"]),
    (
        "plan",
        &[
            "ground",
            "health",
            "inventory",
            "lints",
            "mesos",
            "resource",
            "script",
            "tasks",
            "template",
        ],
    ),
    ("observe", &["ground", "health", "inventory", "plan", "resource", "script", "tasks"]),
    ("remote", &["event", "ground", "inventory", "local", "script"]),
    ("diagnose", &["ground", "health", "inventory", "mesos", "remote", "script", "simulate"]),
    ("adopt", &["ground", "health", "inventory", "mesos", "script"]),
    (
        "apply",
        &[
            "diagnose",
            "event",
            "ground",
            "health",
            "inventory",
            "mesos",
            "plan",
            "remote",
            "resource",
            "script",
            "tasks",
        ],
    ),
    (
        "ui",
        &[
            "diagnose",
            "event",
            "ground",
            "health",
            "inventory",
            "lints",
            "local",
            "mesos",
            "plan",
            "report",
            "tasks",
            "template",
        ],
    ),
    ("records", &["event", "ground", "local", "script", "ui"]),
    ("lab", &["ground", "inventory", "local", "mesos"]),
    (
        "pipeline",
        &[
            "apply",
            "config",
            "event",
            "ground",
            "health",
            "inventory",
            "lab",
            "lints",
            "local",
            "mesos",
            "observe",
            "plan",
            "records",
            "remote",
            "report",
            "resource",
            "script",
            "tasks",
            "template",
            "ui",
        ],
    ),
    (
        "commands",
        &[
            "adopt",
            "diagnose",
            "event",
            "ground",
            "health",
            "inventory",
            "lab",
            "lints",
            "local",
            "mesos",
            "observe",
            "pipeline",
            "plan",
            "records",
            "remote",
            "report",
            "resource",
            "script",
            "simulate",
            "tasks",
            "template",
            "ui",
        ],
    ),
    ("cli", &["commands", "config", "ground", "pipeline", "report", "ui"]),
];

/// Files in which nothing can reach the outside: whole rooms, or single files of others.
const PURE: &[&str] = &[
    "adopt",
    "diagnose",
    "ground",
    "script",
    "mesos",
    "inventory",
    "simulate",
    "lints",
    "template",
    "resource",
    "health",
    "tasks",
    "event",
    "report",
    "plan",
    "observe",
];

/// The exceptions in them, each with its reason.
const IMPURE: &[(&str, &str)] = &[
    ("inventory/load.rs", "the only reader of inventory files"),
    ("diagnose/ask.rs", "asks hosts what a diagnosis needs, with the key that looks"),
];

/// What leads to the outside.
const OUTSIDE: &[&str] = &[
    "anstream",
    "indicatif",
    "jiff::Timestamp::now",
    "openssh",
    "rpassword",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tempfile",
    "tokio",
    "which",
];

/// What writes a local file; `local` does it for all, whole or not at all.
const WRITES: &[&str] = &[
    "std::fs::File::create",
    "std::fs::OpenOptions",
    "std::fs::create_dir",
    "std::fs::create_dir_all",
    "std::fs::remove_file",
    "std::fs::rename",
    "std::fs::write",
    "tempfile",
];

/// Crates that one file each may name.
const HOMES: &[(&str, &str)] = &[("openssh", "remote/ssh.rs"), ("indicatif", "ui/spinner.rs")];

/// Names that only who may change a host can need.
const KEY_THAT_CHANGES: &[&str] = &["Change", "Changer", "change"];

/// Commands that look and never change a host.
const LOOKING: &[&str] = &[
    "commands/adopt.rs",
    "commands/check.rs",
    "commands/diagnose.rs",
    "commands/explain.rs",
    "commands/history.rs",
    "commands/inventory.rs",
    "commands/plan.rs",
    "commands/preflight.rs",
    "commands/render.rs",
    "commands/status/mod.rs",
];

#[test]
fn rooms_name_only_what_the_table_allows() {
    let sources = sources();
    let named = rooms_named(&sources);
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for (room, allowed) in HOUSE {
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        for above in allowed.difference(&known) {
            wrong.push(format!("{room} may name {above}, which does not stand above it"));
        }
        known.insert(room);
        let Some(used) = named.get(*room) else {
            wrong.push(format!("there is no room {room}"));
            continue;
        };
        for (other, by) in used {
            if !allowed.contains(other.as_str()) {
                wrong.push(format!("{} names {other}, which {room} may not", by.join(", ")));
            }
        }
        for unused in allowed.iter().filter(|other| !used.contains_key(**other)) {
            wrong.push(format!("{room} no longer names {unused}"));
        }
    }
    wrong.extend(named.keys().filter(|room| !known.contains(room.as_str())).map(|room| {
        let used: Vec<&str> = named[room].keys().map(String::as_str).collect();
        format!("the room {room} is not in the table; it names {used:?}")
    }));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_reach_nothing_outside() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources() {
        let pure = PURE.iter().any(|place| source.is_in(place));
        if !pure || IMPURE.iter().any(|(file, _)| source.file == *file) {
            continue;
        }
        seen += 1;
        wrong.extend(outside(&source));
    }
    assert!(seen > 40, "only {seen} files were read");
    assert!(wrong.is_empty(), "pure rooms reach outside:\n{}", wrong.join("\n"));
}

#[test]
fn one_file_each_holds_the_ssh_client_and_the_spinner() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, home) in HOMES {
            if source.file != *home && source.paths.iter().any(|path| path[0] == *name) {
                wrong.push(format!("src/{}: {name}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_room_writes_local_files() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room() != "local") {
        wrong.extend(leading(source, WRITES));
    }
    assert!(wrong.is_empty(), "files are written by hand:\n{}", wrong.join("\n"));
}

/// What cannot be written there is an error, whoever wrote it; the others ask whether it is a terminal, and how wide.
#[test]
fn one_file_writes_standard_output() {
    const ASK: [&str; 3] = ["ui/out.rs", "ui/colour.rs", "commands/simulate/mod.rs"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !ASK.contains(&source.file.as_str())) {
        wrong.extend(leading(source, &["std::io::stdout", "std::io::Stdout"]));
    }
    assert!(wrong.is_empty(), "results are written by hand:\n{}", wrong.join("\n"));
}

/// What two commands need stands in `pipeline`.
#[test]
fn a_command_names_no_other() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room() == "commands") {
        let own = source.module().get(1).cloned();
        let others = source.own_paths().into_iter();
        let others = others.filter(|path| path[0] == "commands" && path.get(1) != own.as_ref());
        wrong.extend(others.map(|path| format!("src/{}: {}", source.file, path.join("::"))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Who can only look must not be able to act, nor name anybody who can.
#[test]
fn commands_that_look_cannot_come_by_the_key_that_changes() {
    let sources = sources();
    let files = by_module(&sources);
    for command in LOOKING {
        let mut way = BTreeMap::from([((*command).to_owned(), String::new())]);
        let mut todo = vec![(*command).to_owned()];
        assert!(sources.iter().any(|source| source.file == *command), "there is no {command}");
        while let Some(file) = todo.pop() {
            let Some(source) = sources.iter().find(|source| source.file == file) else { continue };
            let chain = format!("{}{file}", way[&file]);
            let key = source.paths.iter().find(|path| is_key(path));
            assert!(key.is_none(), "src/{chain} names the key that changes: {key:?}");
            for path in source.own_paths() {
                let Some(next) = file_of(&path, &files) else { continue };
                // What the keys' own room does with them is its business.
                if !next.starts_with("remote/") && !way.contains_key(next) {
                    way.insert(next.to_owned(), format!("{chain} → "));
                    todo.push(next.to_owned());
                }
            }
        }
    }
}

/// A path into `remote` that ends in one of the names of the key.
fn is_key(path: &[String]) -> bool {
    path.iter().any(|part| part == "remote")
        && path.last().is_some_and(|last| KEY_THAT_CHANGES.contains(&last.as_str()))
}

fn outside(source: &Source) -> Vec<String> {
    let mut found = leading(source, OUTSIDE);
    if source.macros.contains("env") {
        found.push(format!("src/{}: env!", source.file));
    }
    found
}

/// Which of its paths lead to one of these names; imports are followed to where they are used.
fn leading(source: &Source, names: &[&str]) -> Vec<String> {
    source
        .full_paths()
        .into_iter()
        .map(|path| path.join("::"))
        .filter(|path| {
            names.iter().any(|name| path == name || path.starts_with(&format!("{name}::")))
        })
        .map(|path| format!("src/{}: {path}", source.file))
        .collect()
}

/// By room: which others it names, and where.
fn rooms_named(sources: &[Source]) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let rooms: BTreeSet<String> = sources.iter().map(Source::room).collect();
    let mut named: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for source in sources {
        let room = source.room();
        let used = named.entry(room.clone()).or_default();
        for path in source.own_paths() {
            let Some(other) = path.first().filter(|first| rooms.contains(*first)) else { continue };
            if *other != room {
                let by = used.entry(other.clone()).or_default();
                let file = format!("src/{}", source.file);
                if !by.contains(&file) {
                    by.push(file);
                }
            }
        }
    }
    for outside in ["lib", "main"] {
        named.remove(outside);
    }
    named
}

fn by_module(sources: &[Source]) -> BTreeMap<Vec<String>, String> {
    sources.iter().map(|source| (source.module(), source.file.clone())).collect()
}

/// The file that holds what a path of the crate names: that of its longest module.
fn file_of<'a>(path: &[String], files: &'a BTreeMap<Vec<String>, String>) -> Option<&'a str> {
    (1..=path.len()).rev().find_map(|length| files.get(&path[..length])).map(String::as_str)
}

#[test]
fn the_law_can_be_broken() {
    let source = |text: &str| Source::new("plan/mod.rs", text);
    let found = |text: &str| outside(&source(text)).len();
    assert_eq!(found("use tokio::fs;"), 1);
    assert_eq!(found("use std::{fs, time::{Duration, SystemTime}};"), 2);
    assert_eq!(found("let t = std::time::Instant::now();"), 1);
    assert_eq!(found("let v = env!(\"HOME\");"), 1);
    assert_eq!(found("// use tokio::fs\nlet s = \"std::fs::read\"; use std::time::Duration;"), 0);
    assert_eq!(found("let u = \"http://h\"; std::fs::read(u);"), 1, "a URL is no comment");
    assert_eq!(found("let u = 'a'; let v: &'static str = r#\"\"\"#; std::fs::read(u);"), 1);
    assert_eq!(found("#[cfg(test)]\nmod tests { use std::fs; }"), 0);
    let own = |file: &str, text: &str| -> Vec<String> {
        Source::new(file, text).own_paths().into_iter().map(|path| path.join("::")).collect()
    };
    assert_eq!(own("plan/mod.rs", "use crate::{a::b, c::{d, self}};"), ["a::b", "c::d", "c"]);
    assert_eq!(own("plan/waves.rs", "use super::{Plan, super::tasks::Task};").len(), 2);
    assert_eq!(own("plan/waves.rs", "super::super::tasks::ALL"), ["tasks::ALL"]);
    assert_eq!(own("plan.rs", "use super::tasks::Task; pub(crate) fn f() {}"), ["tasks::Task"]);
    assert!(is_key(&["crate", "remote", "Change"].map(str::to_owned)));
    assert!(!is_key(&["crate", "mesos", "change", "Change"].map(str::to_owned)));
}
