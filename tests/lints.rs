//! Every lint fires, can be allowed, keeps secrets to itself; the tutorial's values are all found out.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use provision::commands::findings::{Format, Texts, junit, write};
use provision::inventory::load::{Lab, load_text};
use provision::inventory::show::Style;
use provision::inventory::{Inventory, Problem, Severity};
use provision::lints;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn problems(name: &str, text: &str) -> Vec<Problem> {
    let folder = root().join("tests/inventories-bad");
    let sets: Vec<String> =
        text.lines().filter_map(|l| l.strip_prefix("# -e ")).map(str::to_owned).collect();
    match load_text(name, text.as_bytes(), &folder, &sets, Lab::No) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    }
}

/// Every case that is text.
fn cases() -> Vec<(String, String)> {
    let mut cases: Vec<(String, String)> = fs::read_dir(root().join("tests/inventories-bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, fs::read_to_string(&path).ok()?))
        })
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_lint_has_a_case_and_can_be_allowed() {
    let mut silent: BTreeSet<&str> = lints::all().map(|lint| lint.name).collect();
    for (name, text) in cases() {
        let names: BTreeSet<&str> = problems(&name, &text).iter().map(|p| p.name).collect();
        for lint in names.iter().filter(|name| lints::all().any(|lint| lint.name == **name)) {
            // An allow beside an allow would be one key twice.
            if !silent.remove(lint) || text.contains("\nallow:") {
                continue;
            }
            let allowed = format!("{text}\nallow: {{ {lint}: \"a test\" }}\n");
            let still: Vec<&str> = problems(&name, &allowed).iter().map(|p| p.name).collect();
            assert!(!still.contains(lint), "{name}: {lint} cannot be allowed");
            assert!(!still.contains(&"unknown-lint"), "{name}: {lint} is not known");
        }
    }
    // These compare two inventories; see below.
    for between in ["master-growth", "quorum-jump", "renumbered-server"] {
        assert!(silent.remove(between));
    }
    // This looks at the mode of a file, of which git keeps little; see tests/inventory.rs.
    assert!(silent.remove("readable-secret"));
    assert_eq!(silent, BTreeSet::new(), "lints without a case in tests/inventories-bad");
}

#[test]
fn no_format_shows_a_secret() {
    let mut seen = 0;
    for (name, text) in cases() {
        if !text.contains("hunter2") {
            continue;
        }
        seen += 1;
        let problems = problems(&name, &text);
        assert!(!problems.is_empty());
        let templates = Default::default();
        let texts = Texts { inventory: &text, templates: &templates };
        for format in [Format::Human, Format::Lines, Format::Json, Format::Github] {
            let shown = write(&problems, texts, format, Style::Plain);
            assert!(!shown.contains("hunter2"), "{name}, {format:?}: {shown}");
        }
        assert!(!junit(&problems, &name, Severity::Warning).contains("hunter2"), "{name}");
    }
    assert!(seen >= 2, "only {seen} cases hold a secret");
}

/// `BLESS=1` writes what is missing.
#[test]
fn the_tutorials_own_values_are_found_out() {
    let text = fs::read_to_string(root().join("inventories/tutorial.yaml")).unwrap();
    let problems = problems("inventories/tutorial.yaml", &text);
    let got: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let expected = root().join("tests/tutorial.expected");
    if std::env::var_os("BLESS").is_some() && !expected.exists() {
        fs::write(&expected, &got).unwrap();
    }
    assert_eq!(got, fs::read_to_string(&expected).unwrap_or_default());
    // The rows of the tutorial's pitfalls that an inventory can express, each by what finds it.
    let found: BTreeSet<&str> = problems.iter().map(|p| p.name).collect();
    for (row, lint) in [
        (1, "old-base-image"),
        (2, "no-such-package"),
        (5, "retired-download-host"),
        (5, "plain-http-download"),
        (6, "native-library"),
        (9, "bad-flag-value"),
        (11, "docker-on-mesos"),
        (12, "owned-flag"),
        (13, "unpinned-resources"),
        (13, "nothing-unreserved"),
        (14, "constraint-crashes-spark"),
        (14, "constraint-by-number"),
        (18, "fixed-master"),
        (19, "cores-max-unset"),
        (19, "spark-home"),
        (22, "jobs-as-root"),
        (24, "spark-on-mesos"),
    ] {
        assert!(found.contains(lint), "row {row} is not found by {lint}: {found:?}");
    }
}

#[test]
fn dangerous_changes_are_named() {
    let inventory = |masters: &str, servers: &str, more: &str| {
        let text = format!(
            "version: 1\ncluster: c\nhosts:\n  m[1:7]: {{ address: \"10.0.0.[1:7]\" }}\n\
             zookeeper: {{ servers: {servers} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
             \x20 masters: {{ hosts: [{masters}] }}\n  agents: {{ p: {{ hosts: [m7] }} }}\n{more}"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).unwrap().inventory
    };
    let names = |before: &Inventory, after: &Inventory| -> Vec<&str> {
        lints::changes(before, after).into_iter().map(|problem| problem.name).collect()
    };
    let one = inventory("m1", "{ m1: 1 }", "");
    let three = inventory("m1, m2, m3", "{ m1: 1 }", "");
    assert_eq!(names(&one, &three), ["master-growth"]);
    assert_eq!(names(&three, &one), Vec::<&str>::new());
    let seven = inventory("\"m[1:7]\"", "{ m1: 1 }", "");
    assert_eq!(names(&three, &seven), ["quorum-jump"]);
    assert_eq!(names(&three, &inventory("m1, m2, m3", "{ m1: 2 }", "")), ["renumbered-server"]);
    let allowed = inventory("m1, m2, m3", "{ m1: 1 }", "allow: { master-growth: new }");
    assert_eq!(names(&one, &allowed), Vec::<&str>::new());
}
