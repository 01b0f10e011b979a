//! docs/guides.md, followed: its commands that need no host, in their order, in one directory.

use std::path::Path;
use std::process::Command;

/// Those that go to hosts; the lab does what they do.
const HOSTS: [&str; 7] = ["preflight", "plan", "apply", "reboot", "status", "logs", "history"];

#[test]
fn the_guides_commands_that_need_no_host_do_what_the_guide_says() {
    let folder = tempfile::tempdir().unwrap();
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let commands = guide.lines().filter_map(|line| line.strip_prefix("$ provision "));
    let mut done = Vec::new();
    for command in commands.filter(|command| !HOSTS.iter().any(|name| command.starts_with(name))) {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let output = Command::new(env!("CARGO_BIN_EXE_provision"))
            .args(&arguments)
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "provision {command}: {output:?}");
        assert!(!output.stdout.is_empty(), "provision {command} says nothing");
        if command.starts_with("init ") {
            std::fs::copy(folder.path().join("inventory.yaml"), folder.path().join("before.yaml"))
                .unwrap();
        }
        done.push(arguments[0]);
    }
    assert_eq!(done, ["init", "check", "simulate", "render", "check", "render", "check"]);
}
