//! The action and the workflow for GitHub, as far as that can be seen without GitHub: their commands are ones that the program
//! takes, and the step's own script gives on what it was given.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn read(path: &str) -> Json {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn steps(of: &Json) -> Vec<&Json> {
    of.as_array().into_iter().flatten().collect()
}

#[test]
fn the_workflow_gives_commands_that_there_are() {
    let workflow = read(".github/workflows/lab.yml");
    let mut commands = Vec::new();
    for step in steps(&workflow["jobs"]["lab"]["steps"]) {
        if step["uses"] == "./.github/actions/provision" {
            commands.push(step["with"]["command"].as_str().unwrap());
            let inventory = step["with"]["inventory"].as_str().unwrap();
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(inventory).exists(), "{inventory}");
        }
    }
    assert_eq!(commands.len(), 3, "{commands:?}");
    assert!(commands[2].starts_with("apply --lab --prove "), "{commands:?}");
    for command in commands {
        let words = command.split(' ').chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_provision")).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
    }
}

#[test]
fn the_action_gives_on_every_word_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_, ran) = step(
        dir.path(),
        "0",
        "apply --lab",
        "my inventory.yaml",
        "-e\na=$(id) `id` 'x'\n\n-l\n*\n",
    );
    let words = fs::read_to_string(dir.path().join("words")).unwrap();
    assert_eq!(words, "apply\n--lab\nmy inventory.yaml\n-e\na=$(id) `id` 'x'\n-l\n*\n");
    assert_eq!(ran, "exit=0\n");
}

#[test]
fn pending_changes_are_told_and_fail_no_step() {
    for (code, fails) in [("0", 0), ("2", 0), ("3", 3), ("1", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let (output, told) = step(dir.path(), code, "plan", "i.yaml", "");
        assert_eq!(output.status.code(), Some(fails), "{code}");
        assert_eq!(told, format!("exit={code}\n"));
    }
}

/// Runs the step that runs the program, with one that notes its words: how it ended, and what it told.
fn step(
    dir: &Path,
    code: &str,
    command: &str,
    inventory: &str,
    arguments: &str,
) -> (Output, String) {
    let action = read(".github/actions/provision/action.yml");
    let steps = steps(&action["runs"]["steps"]);
    let script = steps.iter().find(|step| step["id"] == "run").unwrap()["run"].as_str().unwrap();
    // What is put in by the runner would be a way in.
    assert!(!script.contains("${{"), "{script}");
    let program = dir.join("provision");
    let text =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >'{}/words'\nexit {code}\n", dir.display());
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let told = dir.join("told");
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    // As the runner calls it.
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
        .env("PATH", path)
        .env("GITHUB_OUTPUT", &told)
        .env("COMMAND", command)
        .env("INVENTORY", inventory)
        .env("ARGUMENTS", arguments)
        .output()
        .unwrap();
    (output, fs::read_to_string(told).unwrap_or_default())
}
