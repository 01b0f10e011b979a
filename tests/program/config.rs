//! Files that set what is not said each time, and what a shell offers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A home with a file of the user's, and an inventory of hosts that nobody answers for.
struct Room(tempfile::TempDir);

impl Room {
    fn new(own: &str) -> Room {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("config/provision")).unwrap();
        fs::create_dir(dir.path().join("clusters")).unwrap();
        let inventory = "version: 1\ncluster: c\nssh: { user: ops, become: true, port: 1 }\nhosts:\n  \
            m1: { address: 10.99.0.1, ssh: { host: 127.0.0.1 } }\n  \
            a1: { address: 10.99.0.2, ssh: { host: 127.0.0.2 } }\n  \
            a2: { address: 10.99.0.3, ssh: { host: 127.0.0.3 } }\nzookeeper: { servers: { m1: 1 } }\n\
            mesos:\n  version: 1.11.0\n  package: { preinstalled: true }\n  masters: { hosts: [m1] }\n  \
            agents: { compute: { hosts: [\"a[1:2]\"], resources: { cpus: 4, mem: 8GB, disk: 10GB, ports: \"[31000-32000]\" } } }\n";
        let room = Room(dir);
        fs::write(room.path("clusters/inventory.yaml"), inventory).unwrap();
        fs::write(room.path("config/provision/config.toml"), own).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path("clusters"))
            .env("HOME", self.0.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("PROVISION_INVENTORY")
            .env_remove("PROVISION_FORKS")
            .env_remove("PROVISION_USER")
            .env_remove("GITHUB_ACTIONS");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_provision")).args(arguments).output().unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_nearer_beats_what_is_farther() {
    let room = Room::new("format = 'text'\n");
    let annotated = |arguments: &[&str]| out(&room.run(arguments)).contains("::error ");
    assert!(!annotated(&["plan"]));
    fs::write(room.path("clusters/provision.toml"), "format = 'github'\n").unwrap();
    assert!(annotated(&["plan"]), "the file beside the inventory is nearer");
    assert!(!annotated(&["plan", "--format", "text"]), "a flag is nearest");
    // It is that of the inventory, wherever we stand.
    let elsewhere = room
        .command(env!("CARGO_BIN_EXE_provision"))
        .current_dir("/")
        .arg("plan")
        .arg(room.path("clusters/inventory.yaml"))
        .output()
        .unwrap();
    assert!(out(&elsewhere).contains("::error "), "{}", out(&elsewhere));
}

#[test]
fn an_inventory_of_ones_own_is_meant_where_none_is_named() {
    let room = Room::new("");
    let path = room.path("clusters/inventory.yaml");
    let text = format!("inventory = '{}'\n", path.display());
    fs::write(room.path("config/provision/config.toml"), text).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = room.command(env!("CARGO_BIN_EXE_provision"));
        command.current_dir("/").args(arguments).output().unwrap()
    };
    let check = run(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{}", err(&check));
    let said = format!("{}{}", out(&check), err(&check));
    assert!(
        said.contains("clusters/inventory.yaml:") || said.contains("ok: c (3 hosts)"),
        "{said}"
    );
    let history = run(&["history"]);
    assert!(err(&history).contains("no master answers"), "{}", err(&history));
    assert_eq!(run(&["check", "/nowhere.yaml"]).status.code(), Some(1));
}

#[test]
fn a_mistake_is_said_with_its_place_and_nothing_is_begun() {
    let config = "config/provision/config.toml";
    let room = Room::new("forks = 2\nforks-at-once = 3\n");
    let said = |arguments: &[&str], part: &str| {
        let output = room.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert!(err(&output).contains(part), "{part} is missing in {}", err(&output));
        assert_eq!(out(&output), "");
    };
    said(&["plan"], "config.toml:2:1: error[unknown-key]: there is no key `forks-at-once`");
    fs::write(room.path(config), "\nforks = 'many'\n").unwrap();
    said(&["plan"], "config.toml:2:9: error[wrong-value]: invalid value 'many' for '--forks");
    fs::write(room.path(config), "color = 'pink'\n").unwrap();
    said(&["check"], "[possible values: auto, always, never]");
    fs::write(room.path(config), "inventory = 'a.yaml'\n").unwrap();
    said(&["check"], "begin it with /");
    fs::write(room.path(config), "").unwrap();
    fs::write(room.path("clusters/provision.toml"), "[hooks]\nbefore = ['id']\n").unwrap();
    said(&["plan"], "provision.toml:1:2: error[not-here]: hooks is not taken");
    fs::remove_file(room.path("clusters/provision.toml")).unwrap();
    fs::set_permissions(room.path(config), fs::Permissions::from_mode(0o664)).unwrap();
    said(&["check"], "chmod go-w ");
}

#[test]
fn a_shell_is_offered_the_names_that_are_meant() {
    let room = Room::new("");
    fs::create_dir_all(room.path("state/provision/runs/20260102T030405Z-abc")).unwrap();
    for (line, offered) in [
        ("provision logs a", "a1 a2"),
        ("provision ssh ", "a1 a2 m1"),
        ("provision apply -l a1,", "a1,@compute a1,a1 a1,a2 a1,m1"),
        ("provision apply -l '!@", "!@compute"),
        ("provision apply -t base,ag", "base,agents"),
        ("provision logs a1 --unit zoo", "zookeeper"),
        ("provision history 2026", "20260102T030405Z-abc"),
        ("provision inventory --host m", "m1"),
    ] {
        assert_eq!(offered_by_bash(&room, line), offered, "{line}");
    }
    // Another inventory on the line is the one that is meant.
    fs::write(room.path("clusters/b.yaml"), "hosts: { x1: {}, x2: {} }\n").unwrap();
    assert_eq!(offered_by_bash(&room, "provision history -i b.yaml 2"), "20260102T030405Z-abc");
    assert_eq!(offered_by_bash(&room, "provision apply b.yaml -l "), "x1 x2");
}

/// What a real bash offers at the end of a line.
fn offered_by_bash(room: &Room, line: &str) -> String {
    let words: Vec<String> =
        line.split(' ').map(|word| format!("'{}'", word.trim_matches('\''))).collect();
    let script = format!(
        "source <(provision completions bash); COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}
         cur=${{COMP_WORDS[COMP_CWORD]}}; _clap_complete_provision provision \"$cur\" ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1,
    );
    let program = Path::new(env!("CARGO_BIN_EXE_provision")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output =
        room.command("bash").env("PATH", path).args(["--norc", "-c", &script]).output().unwrap();
    let mut all: Vec<String> = out(&output).lines().map(|line| line.trim().to_owned()).collect();
    // Options are offered beside names everywhere.
    all.retain(|word| !word.is_empty() && !word.starts_with('-'));
    all.sort();
    assert!(!all.is_empty(), "{line}: {}", err(&output));
    all.join(" ")
}
