//! The command line as people and CIs meet it: helps, exit codes, streams, and commands that touch no host.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

use super::sshd::Sshd;

/// A command that is added or changed changes a snapshot: `INSTA_UPDATE=always` takes it.
#[test]
fn every_command_explains_itself() {
    explain(&mut Vec::new());
}

fn explain(path: &mut Vec<String>) {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = provision(&arguments);
    assert_eq!(help.status.code(), Some(0), "{path:?}");
    let name = if path.is_empty() { "provision".to_owned() } else { path.join("-") };
    let help = text(&help.stdout);
    insta::assert_snapshot!(format!("help-{name}"), help);
    for (inner, about) in subcommands(&help) {
        assert!(!about.is_empty(), "`{name} {inner}` says nothing about itself");
        path.push(inner);
        explain(path);
        path.pop();
    }
}

/// The commands that a help lists, and what it says of each.
fn subcommands(help: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    rest.lines()
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .map(|line| line.trim().split_once(' ').unwrap_or((line.trim(), "")))
        .filter(|(name, _)| *name != "help")
        .map(|(name, about)| (name.to_owned(), about.trim().to_owned()))
        .collect()
}

#[test]
fn misuse_is_1_and_help_is_0() {
    assert_eq!(provision(&["--help"]).status.code(), Some(0));
    assert_eq!(provision(&["--version"]).status.code(), Some(0));
    assert_eq!(provision(&["aply"]).status.code(), Some(1));
    assert_eq!(provision(&["inventory"]).status.code(), Some(1));
    assert_eq!(provision(&["apply", "--json", "--format", "github"]).status.code(), Some(1));
    assert_eq!(provision(&["logs", "m1", "/nowhere.yaml"]).status.code(), Some(1));
    for command in ["history", "diagnose"] {
        let output = provision(&[command, "my clusters/c.yaml"]);
        assert_eq!(output.status.code(), Some(1));
        let cure = "named with -i here: -i 'my clusters/c.yaml'";
        assert!(text(&output.stderr).contains(cure), "{}", text(&output.stderr));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_anything_is_done() {
    let files = Files::new();
    let to = |flag: &str, path: &str| provision(&["plan", &files.inventory(), flag, path]);
    for (flag, path) in [
        ("--log-file", "/nowhere/at/all"),
        ("--junit", "/nowhere/at/all"),
        ("--junit", "/"),
        ("--report", "/nowhere/at/all"),
    ] {
        let output = to(flag, path);
        assert_eq!(output.status.code(), Some(1), "{flag} {path}");
        assert!(text(&output.stderr).contains(flag), "{}", text(&output.stderr));
    }
}

/// A shell's soft limit is there to be raised; where the hard one is too low nobody is called unreachable for it.
#[test]
fn so_many_files_as_the_hosts_take_are_asked_for_or_nothing_is_begun() {
    let files = Files::new();
    let plan = |limits: &str| {
        let program = assert_cmd::cargo::cargo_bin("provision");
        let script = format!("{limits}; exec {} plan {}", program.display(), files.inventory());
        std::process::Command::new("sh").args(["-c", &script]).output().unwrap()
    };
    let raised = plan("ulimit -S -n 20");
    assert_eq!(raised.status.code(), Some(4), "{}", text(&raised.stderr));
    assert!(!text(&raised.stdout).contains("Too many open files"), "{}", text(&raised.stdout));
    let refused = plan("ulimit -n 64");
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    let said = text(&refused.stderr);
    assert!(
        said.contains(
            "open files at once, and this process may have 64; raise the hard limit (`ulimit -Hn`"
        ),
        "{said}"
    );
    assert!(!text(&refused.stdout).contains("unreachable"), "{}", text(&refused.stdout));
}

#[test]
fn a_plan_of_hosts_that_are_not_there_is_told_in_every_form() {
    let files = Files::new();
    let (junit, log) = (files.path("j.xml"), files.path("run.log"));
    let report = files.path("run.html");
    let output = provision(&[
        "plan",
        &files.inventory(),
        "--junit",
        &junit,
        "--log-file",
        &log,
        "--report",
        &report,
        "--format",
        "github",
    ]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("! m1: unreachable: "), "{}", text(&output.stdout));
    assert!(!text(&output.stderr).contains("unreachable"), "said twice: {}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("::error title=m1 unreachable::"),
        "{}",
        text(&output.stdout)
    );
    let xml = fs::read_to_string(junit).unwrap();
    assert!(xml.contains("<testsuite name=\"m1\" tests="), "{xml}");
    assert!(xml.contains("errors=\"1\"") && xml.contains("<error message="), "{xml}");
    let page = fs::read_to_string(report).unwrap();
    assert!(page.contains("Exit 4: ") && page.contains("unreachable: m1"), "{page}");
    let events: Vec<Json> = fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "run_started");
    assert!(events.iter().any(|event| event["event"] == "host_unreachable"));
}

/// A bad inventory is told to whoever reads events, a report or a summary, and not only to people.
#[test]
fn a_bad_inventory_is_told_in_every_form() {
    let files = Files::new();
    let bad = files.path("bad.yaml");
    fs::write(&bad, "version: 1\ncluster: c\nhosts: 3\n").unwrap();
    for arguments in [
        &["apply", "-y", "--json"][..],
        &["plan"],
        &["restart", "-y", "--json"],
        &["smoke", "--json"],
    ] {
        let (junit, log, steps) =
            (files.path("j.xml"), files.path("run.log"), files.path("steps.md"));
        let _ = fs::remove_file(&log);
        fs::write(&steps, "before\n").unwrap();
        let output = command(arguments)
            .args([&bad, "--junit", &junit, "--log-file", &log])
            .envs([("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &steps)])
            .output()
            .unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        let events: Vec<Json> = fs::read_to_string(&log)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let at = |event: &&Json| event["problem"]["place"]["line"] == 3;
        assert!(events.iter().any(|event| event["event"] == "problem" && at(&event)), "{events:?}");
        assert_eq!(events.last().unwrap()["event"], "run_ended");
        let xml = fs::read_to_string(junit).unwrap();
        assert!(xml.contains("<failure message=") && xml.contains("bad.yaml:3:"), "{xml}");
        let page = fs::read_to_string(steps).unwrap();
        assert!(page.starts_with("before\n### provision") && page.contains("| error |"), "{page}");
        // Said once to people, as a snippet.
        assert_eq!(err.matches("error[wrong-type]").count(), 1, "{err}");
        match arguments.contains(&"--json") {
            true => assert_eq!(out.lines().count(), events.len(), "{out}"),
            false => assert!(out.contains("::error file="), "{out}"),
        }
    }
    let output = command(&["plan", "--json", &bad]).env("GITHUB_ACTIONS", "true").output().unwrap();
    let whole: Json = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!((&whole["exit"], &whole["plan"]), (&1.into(), &Json::Null));
    assert_eq!(whole["preflight"][0]["problem"]["severity"], "error", "{whole}");
}

/// In a workflow `check` annotates by itself, beside what people read, and adds to the step's summary.
#[test]
fn a_workflow_is_annotated_by_check() {
    let files = Files::new();
    let (bad, steps) = (files.path("bad.yaml"), files.path("steps.md"));
    fs::write(&bad, "version: 1\ncluster: c\nhosts: 3\n").unwrap();
    fs::write(&steps, "").unwrap();
    let check = |more: &[&str]| {
        let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &*steps)];
        let output = command(&[&["check", &bad], more].concat()).envs(github).output().unwrap();
        text(&output.stdout).to_owned()
    };
    let out = check(&[]);
    assert!(out.contains("::error file=") && out.contains("error[wrong-type]"), "{out}");
    assert!(!check(&["--format", "human"]).contains("::error"));
    let json: Json = serde_json::from_str(&check(&["--json"])).unwrap();
    assert!(json["errors"].as_u64().unwrap() > 0);
    let page = fs::read_to_string(steps).unwrap();
    assert_eq!(page.matches("### provision check: ").count(), 3, "{page}");
    assert!(page.contains("| error | "), "{page}");
}

#[test]
fn json_is_all_that_is_on_standard_output() {
    let files = Files::new();
    let output = provision(&["plan", &files.inventory(), "--json"]);
    let plan: Json = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!(plan["v"], 1);
    assert_eq!(plan["exit"], 4);
    assert!(plan["plan"]["unreachable"]["m1"].is_string(), "{plan}");
}

#[test]
fn nobody_reading_ends_nothing() {
    let files = Files::new();
    let mut child = command(&["plan", &files.inventory(), "--json", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn colours_are_as_asked_for() {
    let files = Files::new();
    let coloured = |arguments: &[&str], set: &[(&str, &str)]| {
        let inventory = files.inventory();
        let mut all = vec!["plan", &inventory];
        all.extend(arguments);
        let output = command(&all).envs(set.iter().copied()).output().unwrap();
        text(&output.stdout).contains("\x1b[31m! \x1b[0mm1")
    };
    assert!(!coloured(&[], &[]));
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(coloured(&[], &[("FORCE_COLOR", "1")]));
    assert!(!coloured(&[], &[("FORCE_COLOR", "0")]));
    assert!(!coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&[], &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn ansible_finds_hosts_groups_and_how_to_reach_them() {
    let files = Files::new();
    let list = object(&provision(&["inventory", &files.inventory(), "--list"]));
    assert_eq!(list["masters"], json!({"hosts": ["m1"]}));
    assert_eq!(list["agents"], json!({"children": ["pool_big_ones"]}));
    assert_eq!(list["pool_big_ones"], json!({"hosts": ["a2", "a10"]}));
    assert_eq!(
        list["all"]["children"],
        json!(["agents", "masters", "retired", "ungrouped", "zookeeper"])
    );
    assert_eq!(list["retired"], json!({"hosts": ["r1"]}));
    assert_eq!(list["ungrouped"], json!({"hosts": ["x1"]}));
    let vars = &list["_meta"]["hostvars"];
    assert_eq!(vars["m1"]["ansible_port"], files.port);
    assert_eq!(vars["m1"]["ansible_user"], "ops");
    assert_eq!(vars["m1"]["ansible_become"], true);
    assert_eq!(vars["m1"]["ansible_ssh_common_args"], "-F '/etc/my config' -J bastion");
    assert_eq!(vars["a2"]["provision_pool"], "big-ones");
    assert_eq!(vars["m1"]["provision_zookeeper_id"], 1);
    assert!(vars.get("gone1").is_none(), "{vars}");
    // One host's variables are those of the list.
    let host = object(&provision(&["inventory", &files.inventory(), "--host", "a2"]));
    assert_eq!(host, vars["a2"]);
    for (name, why) in [("nobody", "no host `nobody`"), ("gone1", "`gone1` is gone")] {
        let nobody = provision(&["inventory", &files.inventory(), "--host", name]);
        assert_eq!((nobody.status.code(), text(&nobody.stdout).as_str()), (Some(1), ""));
        assert!(text(&nobody.stderr).contains(why), "{}", text(&nobody.stderr));
    }
}

#[test]
fn the_graph_and_the_static_form_name_the_same_groups() {
    let files = Files::new();
    let graph = provision(&["inventory", &files.inventory(), "--graph"]);
    insta::assert_snapshot!("graph", text(&graph.stdout));
    let yaml = provision(&["inventory", &files.inventory(), "--list", "--yaml"]);
    let shown = text(&yaml.stdout).replace(&files.port.to_string(), "PORT");
    insta::assert_snapshot!("static", shown);
}

#[test]
fn completions_and_pages_know_every_command() {
    let commands = subcommands(&text(&provision(&["--help"]).stdout));
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = provision(&["completions", shell]);
        assert!(text(&script.stdout).contains("COMPLETE"), "{shell}: {}", text(&script.stdout));
    }
    // What any of these scripts asks.
    let offered = Command::new(env!("CARGO_BIN_EXE_provision"))
        .env("COMPLETE", "fish")
        .args(["--", "provision", ""])
        .output()
        .unwrap();
    let offered = text(&offered.stdout);
    for (command, _) in &commands {
        // Of a command with another name that is offered.
        let called = if command == "completions" { "completion" } else { command.as_str() };
        let is = |line: &str| line.split('\t').next() == Some(called);
        assert!(offered.lines().any(is), "{command}: {offered}");
    }
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("man1");
    assert_eq!(provision(&["man", to.to_str().unwrap()]).status.code(), Some(0));
    for (command, _) in &commands {
        let page = fs::read_to_string(to.join(format!("provision-{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{page}");
    }
    assert!(text(&provision(&["man"]).stdout).contains(".TH provision 1"));
}

#[test]
fn a_host_that_is_not_in_the_inventory_is_not_called() {
    let files = Files::new();
    for command in ["ssh", "logs"] {
        let output = provision(&[command, "nobody", &files.inventory()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("no host `nobody`"), "{}", text(&output.stderr));
        let gone = provision(&[command, "gone1", &files.inventory()]);
        assert_eq!(gone.status.code(), Some(1), "{}", text(&gone.stderr));
        let silent = provision(&[command, "a2", &files.inventory()]);
        assert_eq!(silent.status.code(), Some(4), "{}", text(&silent.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_through_the_connection_that_runs_use() {
    let Some(there) = There::new().await else { return };
    let hello = there.run(&["ssh", "m1", &there.inventory, "--", "echo", "$0;", "exit", "7"]);
    assert_eq!(hello.status.code(), Some(7), "{}", text(&hello.stderr));
    assert!(text(&hello.stdout).contains("sh"), "{}", text(&hello.stdout));
    let again = there.run(&["ssh", "m1", &there.inventory, "--", "cat"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(there.sshd.logins(), 1, "a second handshake");
    let killed = there.run(&["ssh", "m1", &there.inventory, "--", "kill", "-TERM", "$$"]);
    assert!(!killed.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_entries_is_no_error() {
    let Some(there) = There::new().await else { return };
    let unit = format!("provision-test-{}", std::process::id());
    let logs = there.run(&["logs", "m1", &there.inventory, "--unit", &unit]);
    assert!(!text(&logs.stderr).contains("error: "), "{}", text(&logs.stderr));
    assert_eq!(logs.status.code(), Some(0));
    assert_eq!(text(&logs.stdout), "");
}

/// This machine as a host behind an sshd of our own, with a journal that says what it is asked.
struct There {
    sshd: Sshd,
    inventory: String,
}

impl There {
    async fn new() -> Option<There> {
        let sshd = Sshd::start("").await?;
        let show = |name: &str| sshd.path(name).display().to_string();
        let inventory = sshd.path("inventory.yaml");
        let body = format!(
            "version: 1\ncluster: test\nssh: {{ user: root, become: false, port: {}, identity_file: {}, known_hosts: {}, config_file: {} }}\n\
             hosts:\n  m1: {{ address: 10.9.9.1, ssh: {{ host: 127.0.0.1 }} }}\n  a1: {{ address: 10.9.9.2 }}\n\
             zookeeper: {{ servers: {{ m1: 1 }} }}\n\
             mesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n  masters: {{ hosts: [m1] }}\n  agents: {{ p: {{ hosts: [a1] }} }}\n",
            sshd.port,
            show("user"),
            show("known_hosts"),
            show("ssh_config")
        );
        fs::write(&inventory, body).unwrap();
        fs::create_dir(sshd.path("r")).unwrap();
        Some(There { inventory: inventory.to_str().unwrap().to_owned(), sshd })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        // Its connections are its own.
        command.env("XDG_RUNTIME_DIR", self.sshd.path("r"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "CI",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "COLUMNS",
        "PROVISION_INVENTORY",
        "PROVISION_FORKS",
        "PROVISION_USER",
    ] {
        command.env_remove(name);
    }
    command
}

fn provision(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn object(output: &Output) -> Json {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An inventory whose hosts are a port of this machine where nobody listens.
struct Files {
    dir: tempfile::TempDir,
    port: u16,
}

impl Files {
    fn new() -> Files {
        let dir = tempfile::tempdir().unwrap();
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let port = TcpListener::bind(any).unwrap().local_addr().unwrap().port();
        let files = Files { dir, port };
        let mut file = fs::File::create(files.inventory()).unwrap();
        write!(
            file,
            r#"
version: 1
cluster: test
ssh: {{ user: ops, become: true, port: {port} }}
hosts:
  m1: {{ address: 10.9.9.1, ssh: {{ host: 127.0.0.1, proxy_jump: bastion, config_file: "/etc/my config" }} }}
  a2: {{ address: 10.9.9.2, ssh: {{ host: 127.0.0.1 }} }}
  a10: {{ address: 10.9.9.10, ssh: {{ host: 127.0.0.1 }} }}
  r1: {{ address: 10.9.9.11, ssh: {{ host: 127.0.0.1 }} }}
  x1: {{ address: 10.9.9.12, ssh: {{ host: 127.0.0.1 }} }}
  gone1: {{ address: 10.9.9.13, ssh: {{ host: 127.0.0.1 }} }}
zookeeper: {{ servers: {{ m1: 1 }} }}
mesos:
  version: 1.11.0
  package: {{ preinstalled: true }}
  masters: {{ hosts: [m1] }}
  agents:
    big-ones: {{ hosts: [a2, a10] }}
retired: {{ r1: stop, gone1: gone }}
"#
        )
        .unwrap();
        files
    }

    fn inventory(&self) -> String {
        self.path("inventory.yaml")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}
