//! One container of our own per test, as a machine that only waits for its roles: everything that has
//! to be downloaded is in its image, so that an apply is made of configuration and restarts.
//!
//! Needs a Docker engine: `tests/assets/engine.sh` makes one answer.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

mod image;
mod operator;
mod process;

use image::{NETWORK, docker, image};
pub(crate) use operator::{Operator, inventory, keygen};
pub(crate) use process::{Ran, Running, run, until};

/// A machine, and the operator who looks after it: a home with a key, known hosts and an inventory.
pub(crate) struct Host {
    container: String,
    pub(crate) address: String,
    pub(crate) operator: Operator,
}

/// Reads a public key, lets it in, prints the host key without its comment.
const LET_IN: &str = r#"set -eu
IFS= read -r key
for user in root ops; do
    home=$(getent passwd "$user" | cut -d: -f6)
    umask 077
    printf '%s\n' "$key" >"$home/.ssh/authorized_keys"
    chown "$user:" "$home/.ssh/authorized_keys"
done
cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub"#;

impl Host {
    /// A machine that runs.
    pub(crate) fn start() -> Host {
        Host::start_with(&[])
    }

    /// With more words for `docker run`.
    pub(crate) fn start_with(more: &[&str]) -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (image, number) = (image(), COUNT.fetch_add(1, Ordering::SeqCst));
        let id = std::process::id();
        // An address of its own that outlives a restart, unlike one that the engine hands out.
        let address = format!("10.214.{}.{}", id % 250 + 1, number % 250 + 2);
        let container = format!("provision-fault-{id}-{number}");
        let mut words = vec!["run", "--detach", "--name", &container, "--hostname", "h1"];
        words.extend(["--network", NETWORK, "--ip", &address, "--label", "provision.test=faults"]);
        words.extend(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--cgroupns", "host"]);
        words.extend(["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
        words.extend(more);
        words.push(image);
        docker(&words);
        let host = Host { container, address, operator: Operator::new() };
        host.boot();
        let key = host.operator.key();
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        let machine = host.sh_with(LET_IN, &public);
        let known = format!("{} {machine}", host.address);
        fs::write(host.operator.path("known_hosts"), known).unwrap();
        fs::write(host.operator.path("ssh_config"), "").unwrap();
        host.operator.write_archive();
        fs::write(host.operator.inventory(), inventory(&host.address)).unwrap();
        host
    }

    /// So many machines of one inventory, `h1` and on: each a member of the ensemble, a master and an
    /// agent. The first one's operator looks after all of them.
    pub(crate) fn start_cluster(number: usize) -> Vec<Host> {
        let hosts: Vec<Host> = thread::scope(|scope| {
            let starting: Vec<_> = (0..number).map(|_| scope.spawn(Host::start)).collect();
            starting.into_iter().map(|host| host.join().unwrap()).collect()
        });
        let (first, others) = hosts.split_first().unwrap();
        let (mut names, mut servers) = ("h1".to_owned(), "h1: 1".to_owned());
        let mut lines = String::new();
        let mut known = fs::read_to_string(first.operator.path("known_hosts")).unwrap();
        let public = fs::read_to_string(first.operator.key().with_extension("pub")).unwrap();
        for (n, host) in (2..).zip(others) {
            names.push_str(&format!(", h{n}"));
            servers.push_str(&format!(", h{n}: {n}"));
            lines.push_str(&format!("\n  h{n}: {{ address: {} }}", host.address));
            known.push_str(&format!("{} {}", host.address, host.sh_with(LET_IN, &public)));
        }
        fs::write(first.operator.path("known_hosts"), known).unwrap();
        let own = format!("h1: {{ address: {} }}", first.address);
        first.operator.edit(&own, &format!("{own}{lines}"));
        first.operator.edit("h1: 1", &servers);
        for task in ["masters: {", "workers: {"] {
            let hosts = format!("{task} hosts: [");
            first.operator.edit(&format!("{hosts}h1]"), &format!("{hosts}{names}]"));
        }
        hosts
    }

    /// Lets a key in, and says its own.
    pub(crate) fn let_in(&self, public: &str) -> String {
        self.sh_with(LET_IN, public)
    }

    /// Waits until it has booted.
    pub(crate) fn boot(&self) {
        let words =
            "systemctl is-system-running; test -e /run/nologin || ss -Hltn | grep -q ':22 '";
        self.until(&format!("{words} && case $(systemctl is-system-running) in running|degraded) ;; *) false ;; esac"));
    }

    /// Runs a script as root; it must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.sh_with(script, "")
    }

    /// Puts a program before the one of this name: `REAL` in it is the path of that one.
    pub(crate) fn wrap(&self, program: &str, script: &str) {
        let real = self.sh(&format!("command -v {program}"));
        let text = script.replace("REAL", real.trim());
        let path = format!("/usr/local/sbin/{program}");
        self.sh_with(&format!("cat >{path}; chmod 755 {path}"), &format!("#!/bin/sh\n{text}\n"));
    }

    /// With something on its standard input.
    pub(crate) fn sh_with(&self, script: &str, input: &str) -> String {
        let ran = self.try_sh(script, input);
        assert_eq!(ran.code, 0, "{script}: {ran:?}");
        ran.out
    }

    /// Runs a script as root, whatever becomes of it.
    pub(crate) fn try_sh(&self, script: &str, input: &str) -> Ran {
        run(Command::new("docker").args(["exec", "-i", &self.container, "sh", "-c", script]), input)
    }

    /// Polls until a script succeeds.
    pub(crate) fn until(&self, script: &str) {
        until(script, || self.try_sh(script, "").code == 0);
    }

    /// Does something to the container.
    pub(crate) fn docker(&self, words: &[&str]) {
        docker(&[words, &[self.container.as_str()]].concat());
    }

    /// Runs `provision COMMAND inventory.yaml …`.
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Ran {
        self.operator.run(command, more)
    }

    /// Makes the tasks' configuration true, for tests that begin with a managed host.
    pub(crate) fn applied(&self, tasks: &str) {
        let ran = self.run("apply", &["-y", "-t", tasks]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Nothing is lost: the next apply succeeds, and the one after it has nothing to do.
    pub(crate) fn converges(&self, tasks: &str) {
        let ran = self.run("apply", &["-y", "-t", tasks]);
        assert_eq!(ran.code, 0, "the next apply does not mend it: {ran:?}");
        self.is_converged(tasks);
    }

    /// An apply has nothing to do, asks nobody, and no temporary file is left behind.
    pub(crate) fn is_converged(&self, tasks: &str) {
        let ran = self.run("apply", &["-t", tasks]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.starts_with("No changes"), "{ran:?}");
        let left = self.sh("find /etc /opt /var/lib/provision -xdev -name '.provision.??????'");
        assert_eq!(left, "", "temporaries are left");
    }

    /// Path, owner, mode and digest of every file that the tasks manage.
    pub(crate) fn managed(&self) -> String {
        self.sh(
            "find /opt /etc/zookeeper/conf /etc/mesos /etc/mesos-master /etc/mesos-slave /etc/default/mesos* \
             /etc/systemd/system -xdev ! -path '*.wants*' -printf '%p %U:%G %m %y %l\\n' 2>/dev/null | sort; \
             find /opt /etc/zookeeper/conf/ /etc/mesos /etc/mesos-master /etc/mesos-slave /etc/default/mesos* \
             /etc/systemd/system -xdev -type f ! -path '*.wants*' -exec sha256sum {} + 2>/dev/null | sort",
        )
    }

    /// Digests of everything that an installer could touch: a refusal changes nothing.
    pub(crate) fn tree(&self) -> String {
        self.sh(
            "find /etc /opt /usr /var/lib/provision /root /home -xdev -type f ! -path '/etc/ssh/*' \
                 -printf '%p %s %T@ %m %U:%G\\n' 2>/dev/null | sort | sha256sum",
        )
    }

    /// Daemon settings of sshd, over the image's.
    pub(crate) fn sshd(&self, settings: &str) {
        // It starts itself anew, and until then is as it was.
        let listened = "journalctl -q -o cat -u ssh | grep -c '^Server listening' || :";
        let before = self.sh(listened);
        self.sh_with(
            "cat >/etc/ssh/sshd_config.d/00-test.conf; sshd -t && systemctl reload ssh",
            settings,
        );
        until("sshd listens again", || self.sh(listened) != before);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.operator.disconnect();
        if std::thread::panicking() && std::env::var_os("FAULTS_KEEP").is_some() {
            let _ = writeln!(
                std::io::stderr(),
                "{} is left as it is, and so is {:?}",
                self.container,
                self.operator.home.path()
            );
            return;
        }
        let words = ["rm", "--force", "--volumes", &self.container];
        let _ =
            Command::new("docker").args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
