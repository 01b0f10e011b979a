//! `provision init`: an inventory to begin with, of machines that there are or are to be.

use std::fs;

use super::offline::provision;

#[test]
fn init_writes_what_passes_check_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (masters, agents) in [("1", "1"), ("3", "5"), ("5", "1"), ("7", "250")] {
        let name = format!("i-{masters}-{agents}.yaml");
        let made =
            provision(folder.path(), &["init", &name, "--masters", masters, "--agents", agents]);
        assert_eq!(made.0, 0, "{made:?}");
        let checked = provision(folder.path(), &["check", &name, "--deny", "warnings"]);
        assert_eq!(checked.0, 0, "{}", checked.1);
        assert_eq!(provision(folder.path(), &["simulate", &name]).0, 0);
        let before = fs::read(folder.path().join(&name)).unwrap();
        let again = provision(folder.path(), &["init", &name]);
        assert_eq!(again.0, 1);
        assert!(again.2.contains("exists already"), "{again:?}");
        assert_eq!(fs::read(folder.path().join(&name)).unwrap(), before);
    }
    assert_eq!(provision(folder.path(), &["init", "--masters", "2"]).0, 1);
    assert!(provision(folder.path(), &["init"]).1.starts_with("# yaml-language-server"));
}

#[test]
fn init_takes_the_machines_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let address = |n: usize| format!("192.0.2.{n}");
    let cases: &[(usize, &[&str], &[&str])] = &[
        (
            1,
            &["--colocate"],
            &["n1: { address: \"192.0.2.1\", vars", "servers: { n1: 1 }", "hosts: [n1]"],
        ),
        (
            3,
            &["--colocate"],
            &["servers: { n1: 1, n2: 2, n3: 3 }", "hosts: [\"n[1:3]\"]", "batch: 1 "],
        ),
        (4, &["--colocate", "--masters", "1"], &["servers: { n1: 1 }", "hosts: [\"n[1:4]\"]"]),
        (2, &[], &["m1: { address: \"192.0.2.1\" }", "a1: { address: \"192.0.2.2\", vars"]),
        (5, &[], &["servers: { m1: 1, m2: 2, m3: 3 }", "hosts: [\"a[1:2]\"]", "batch: 20%"]),
    ];
    for (hosts, extra, expected) in cases {
        let name = format!("{hosts}-{}.yaml", extra.len());
        let addresses: Vec<String> = (1..=*hosts).map(address).collect();
        let words = addresses.iter().map(String::as_str).chain([name.as_str()]);
        let arguments: Vec<&str> =
            ["init"].into_iter().chain(words).chain(extra.iter().copied()).collect();
        let made = provision(folder.path(), &arguments);
        assert_eq!(made.0, 0, "{made:?}");
        let text = fs::read_to_string(folder.path().join(&name)).unwrap();
        for expected in *expected {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let checked = provision(folder.path(), &["check", &name, "--deny", "warnings"]);
        assert_eq!(checked.0, 0, "{}", checked.1);
        assert_eq!(provision(folder.path(), &["simulate", &name]).0, 0);
    }
    for (arguments, expected) in [
        (&["a.yaml", "b.yaml"][..], "`b.yaml` is no address"),
        (&["192.0.2.1", "192.0.2.1"], "192.0.2.1 is there twice"),
        (&["192.0.2.1"], "no address is left for an agent"),
        (
            &["192.0.2.1", "192.0.2.2", "--masters", "3", "--colocate"],
            "3 masters need as many addresses, and 2 are given",
        ),
        (&["192.0.2.1", "192.0.2.2", "--agents", "2"], "leave --agents out"),
    ] {
        let arguments: Vec<&str> = ["init"].into_iter().chain(arguments.iter().copied()).collect();
        let (code, _, error) = provision(folder.path(), &arguments);
        assert_eq!(code, 1);
        assert!(error.contains(expected), "{error}");
    }
}
