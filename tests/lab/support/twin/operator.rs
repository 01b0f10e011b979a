//! The operator: a home with a key, known hosts and an inventory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Ran, Running, run};

/// Whoever runs `provision`; every one has an own home and own connections.
pub(crate) struct Operator {
    pub(crate) home: TempDir,
    pub(crate) environment: Vec<(String, String)>,
}

impl Operator {
    /// Somebody new.
    pub(crate) fn new() -> Operator {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let environment = [
            ("HOME", path("")),
            ("XDG_RUNTIME_DIR", path("")),
            ("XDG_STATE_HOME", path("state")),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("USER", "alice".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        Operator { home, environment }
    }

    /// A second one with the same files, and connections of their own.
    pub(crate) fn colleague(&self) -> Operator {
        let other = Operator::new();
        for name in ["id", "known_hosts", "ssh_config", "spark.tgz", "inventory.yaml"] {
            fs::copy(self.path(name), other.path(name)).unwrap();
        }
        other
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn inventory(&self) -> PathBuf {
        self.path("inventory.yaml")
    }

    /// Replaces a part of the inventory, which must be there.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.inventory()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(self.inventory(), text.replace(from, to)).unwrap();
    }

    /// Agents that do without Docker, whose engine needs a lab of its own.
    pub(crate) fn with_agents(&self) {
        let flags = "containerizers: mesos, launcher: posix, systemd_enable_support: false";
        self.edit("workers: {", &format!("workers: {{ flags: {{ {flags} }},"));
        let reason = "no-docker-containerizer: \"only its configuration is meant\"";
        self.edit("hosts:\n", &format!("allow: {{ {reason} }}\nhosts:\n"));
    }

    /// The private key, made where it is missing.
    pub(crate) fn key(&self) -> PathBuf {
        let path = self.path("id");
        if !path.exists() {
            keygen(&path, "");
        }
        path
    }

    /// An archive as small as one can be that is still Spark to us.
    pub(crate) fn write_archive(&self) {
        let script = "mkdir -p spark-3.5.1/bin && printf '#!/bin/sh\\necho Spark\\n' >spark-3.5.1/bin/spark-submit \
             && chmod 755 spark-3.5.1/bin/spark-submit && head -c 200000 /dev/urandom >spark-3.5.1/jar \
             && tar -czf spark.tgz spark-3.5.1 && rm -r spark-3.5.1";
        let mut command = Command::new("sh");
        let ran = run(command.args(["-c", script]).current_dir(self.home.path()), "");
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// A command line of ours on the inventory.
    pub(crate) fn command(&self, command: &str, more: &[&str]) -> Command {
        let inventory = self.inventory();
        self.program(&[&[command, inventory.to_str().unwrap()], more].concat())
    }

    /// A command line of ours on anything.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_provision"));
        process.args(words).current_dir(self.home.path());
        process.env_remove("SSH_AUTH_SOCK");
        for (name, value) in &self.environment {
            process.env(name, value);
        }
        process
    }

    /// Runs `provision COMMAND inventory.yaml …` to its end.
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Ran {
        self.start(command, more).wait()
    }

    /// Starts it.
    pub(crate) fn start(&self, command: &str, more: &[&str]) -> Running {
        Running::start(&mut self.command(command, more))
    }

    /// Ends all connections that were left for the next run.
    pub(crate) fn disconnect(&self) {
        for socket in self.sockets() {
            let mut ssh = Command::new("ssh");
            ssh.arg("-S").arg(&socket).args(["-O", "exit", "x"]);
            let _ = ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    /// Control sockets of connections that live.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        use std::os::unix::fs::FileTypeExt as _;
        let Ok(entries) = fs::read_dir(self.path("provision")) else { return Vec::new() };
        let sockets = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_socket()));
        sockets.map(|entry| entry.path()).collect()
    }
}

/// A new key pair.
pub(crate) fn keygen(path: &Path, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f"]).arg(path);
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
}

/// One host that is everything. Its tasks are chosen with `-t`: `base,spark` is files only,
/// `zookeeper,masters` has services.
pub(crate) fn inventory(address: &str) -> String {
    format!(
        "version: 1
cluster: faults
ssh: {{ user: ops, become: true, port: 22, identity_file: ./id, known_hosts: ./known_hosts, config_file: ./ssh_config }}
hosts:
  h1: {{ address: {address} }}
zookeeper: {{ servers: {{ h1: 1 }} }}
mesos:
  version: 1.11.0
  package: {{ preinstalled: true }}
  masters: {{ hosts: [h1], flags: {{}} }}
  agents:
    workers: {{ hosts: [h1], resources: {{ cpus: 2, mem: 2GB, disk: 1GB, ports: \"[31000-32000]\" }} }}
spark:
  version: 3.5.1
  archive: {{ path: ./spark.tgz }}
  java: openjdk-17-jre-headless
  image: {{ tag: spark-mesos, base: \"debian:bookworm-slim\" }}
  defaults: {{ spark.cores.max: 2 }}
  clients: {{ hosts: [h1] }}
"
    )
}
