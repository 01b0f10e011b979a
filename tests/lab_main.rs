//! The main job on the twin: bare hosts become a proven cluster, a second apply changes nothing, every
//! kind of drift is seen as exactly that gap and repaired, looking leaves no trace, a host that is down
//! is named and the rest goes on.
//!
//! One test, in steps, because each step begins where the last one ended. It needs a Docker engine
//! (`make engine`) and builds the rest itself.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a helper that panics fails its test; minutes of silence would worry whoever waits"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

const CLUSTER: &str = "lab-main";

#[test]
fn lab_an_inventory_becomes_a_cluster_and_stays_one() {
    let lab = Lab::up();

    step("a plan shows everything, changes nothing, and says so by its exit code");
    let plan = lab.run("plan", &["--detailed-exitcode"]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.out.contains("+ m1: packages zookeeper: install zookeeper"), "{}", plan.out);

    step("apply makes it and proves it");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    for agent in ["a1", "a2"] {
        assert!(
            apply.err.contains(&format!("smoke pi-in-image {agent}: passed: Pi is roughly 3.1"))
        );
        assert!(apply.err.contains(&format!("smoke pi-on-{agent} {agent}: not_run: no libmesos")));
    }
    assert!(apply.out.contains("not run (never counted as passed): pi-through-mesos"));
    for check in
        ["zookeeper: passed: 3 serve", "masters: passed: 3 serve", "agents: passed: 2 serve"]
    {
        assert!(apply.err.contains(&format!("smoke {check}")), "{}", apply.err);
    }

    step("the second apply has nothing to do and asks nobody");
    let second = lab.run("apply", &[]);
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.out.starts_with("No changes."), "{}", second.out);

    step("status tells what is there");
    let status = lab.run("status", &[]);
    assert_eq!(status.code, 0, "{status:?}");
    for word in ["leading", "provision_host:a1;rack:r1", "cpus(etl):1", "etl weight 2", "sha256:"] {
        assert!(status.out.contains(word), "{word} in {}", status.out);
    }

    step("looking leaves no trace");
    let before = lab.trees();
    assert_eq!(lab.run("plan", &[]).code, 0);
    assert_eq!(lab.run("status", &[]).code, 0);
    let after = lab.trees();
    for (before, after) in before.iter().zip(&after) {
        similar(before, after);
    }

    step("each drift is seen as exactly that gap, repaired, and gone");
    for drift in DRIFTS {
        lab.on(drift.host, drift.make);
        let plan = lab.run("plan", &["--detailed-exitcode"]);
        let gaps: Vec<&str> = plan
            .out
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(['+', '~', '!']))
            .collect();
        assert_eq!(gaps, drift.gaps, "after {}: {}", drift.make, plan.out);
        assert_eq!(plan.code, 2);
        let apply = lab.run("apply", &["-y"]);
        assert_eq!(apply.code, 0, "repairing {}: {apply:?}", drift.make);
        let again = lab.run("plan", &["--detailed-exitcode"]);
        assert_eq!(again.code, 0, "after the repair of {}: {}", drift.make, again.out);
    }

    step("the leading master, stopped, is started again");
    let leader = lab.leader();
    lab.on(&leader, "systemctl stop mesos-master");
    let plan = lab.run("plan", &[]);
    let wanted = format!("~ {leader}: service mesos-master: inactive → active");
    assert!(plan.out.contains(&wanted), "{}", plan.out);
    assert!(plan.out.contains("Plan: 0 to add, 1 to change, on 1 host"), "{}", plan.out);
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);

    step("a stopped engine is not started by looking");
    lab.on("a1", "systemctl stop docker.socket docker.service; systemctl start docker.socket");
    lab.run("plan", &[]);
    assert_eq!(lab.on("a1", "systemctl is-active docker.service || true").trim(), "inactive");
    assert_eq!(lab.run("apply", &["-y"]).code, 0);

    step("a changed setting rolls, one agent at a time, and attributes change with a new agent id");
    let set = ["-e", "mesos.agents.workers.attributes.zone=z1"];
    let plan = lab.run("plan", &set);
    assert!(plan.out.contains("wave 1 of 2: a1"), "{}", plan.out);
    let apply = lab.run("apply", &[&set[..], &["-y"]].concat());
    assert_eq!(apply.code, 0, "{apply:?}");
    let status = lab.run("status", &set);
    assert!(status.out.contains("provision_host:a2;rack:r2;zone:z1"), "{}", status.out);
    // The way back is an ordinary apply of the earlier inventory.
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);

    step("a changed master setting rolls one by one, the leader last");
    let leader = lab.leader();
    let set = ["-e", "mesos.masters.flags.offer_timeout=30secs"];
    let plan = lab.run("plan", &set);
    assert!(plan.out.contains(&format!("wave 3 of 3: {leader}")), "{}", plan.out);
    assert_eq!(lab.run("apply", &[&set[..], &["-y"]].concat()).code, 0);
    assert_eq!(lab.run("plan", &[&set[..], &["--detailed-exitcode"]].concat()).code, 0);
    assert_eq!(lab.run("apply", &["-y"]).code, 0);

    step("a host that is down is named, the rest goes on, and it is never treated as empty");
    lab.docker(&["stop", "-t", "5", &lab.container("a2")]);
    lab.on("a1", "rm /etc/mesos-slave/containerizers");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 4, "{apply:?}");
    assert!(apply.out.contains("unreachable: a2: no answer on port 22"), "{}", apply.out);
    assert_eq!(lab.on("a1", "cat /etc/mesos-slave/containerizers"), "docker,mesos\n");
    lab.docker(&["start", &lab.container("a2")]);
    lab.settle();
    let back = lab.run("apply", &["-y"]);
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);

    step("bad input touches nothing");
    let bad = lab.run("apply", &["-y", "-e", "mesos.quorom=2"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("quorom"), "{}", bad.err);
}

/// Something that goes wrong on a host, and the lines that the plan must have because of it.
struct Drift {
    host: &'static str,
    make: &'static str,
    gaps: &'static [&'static str],
}

const DRIFTS: &[Drift] = &[
    Drift {
        host: "m2",
        make: "systemctl stop zookeeper",
        gaps: &["~ m2: service zookeeper: inactive → active"],
    },
    Drift {
        host: "a1",
        make: "rm /etc/mesos-slave/executor_registration_timeout",
        gaps: &["+ a1: file /etc/mesos-slave/executor_registration_timeout: missing"],
    },
    Drift {
        host: "a2",
        make: "echo 7mins > /etc/mesos-slave/executor_registration_timeout; systemctl restart mesos-slave",
        gaps: &[
            "~ a2: file /etc/mesos-slave/executor_registration_timeout: content differs",
            "~ a2: service mesos-slave: process is older than its files",
        ],
    },
    Drift {
        host: "m3",
        make: "cp /etc/mesos-master/quorum /etc/mesos-master/quorum.bak",
        gaps: &["~ m3: directory /etc/mesos-master: stray quorum.bak, to be moved into the backup"],
    },
    Drift {
        host: "a1",
        make: "systemctl stop docker.socket docker.service",
        gaps: &["~ a1: service docker: inactive → active"],
    },
    Drift {
        host: "a2",
        make: "docker rmi -f spark-mesos >/dev/null",
        gaps: &["+ a2: image spark-mesos: missing"],
    },
];

/// Two listings of one tree, but for what sshd, sudo and journald write.
fn similar(before: &str, after: &str) {
    let before: Vec<&str> = before.lines().collect();
    let strangers: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert!(strangers.is_empty(), "looking wrote: {strangers:#?}");
}

/// A twin of inventories/demo.yaml under another name; gone when dropped.
struct Lab {
    root: PathBuf,
    sets: Vec<String>,
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Lab {
    fn up() -> Lab {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
        let cache = root.join(".cache");
        std::fs::create_dir_all(&cache).unwrap();
        step("assets: a Spark archive, the stand-in for Mesos");
        let spark = sh(&root, &format!("sh tests/assets/spark.sh {}", cache.display()));
        let deb = cache.join("mesos-standin.deb");
        sh(&root, &format!("sh tests/standin/build-deb.sh {}", deb.display()));
        let version = sh(&root, &format!("dpkg-deb -f {} Version", deb.display()));
        let sets = vec![
            format!("cluster={CLUSTER}"),
            format!("mesos.version={}", version.trim()),
            format!("mesos.package.deb={}", deb.display()),
            format!("spark.archive.path={}", spark.lines().last().unwrap().trim()),
        ];
        let lab = Lab { root, sets };
        step("six bare hosts");
        let up = lab.command("lab", &["reset"], &[]);
        assert_eq!(up.code, 0, "{up:?}");
        lab
    }

    fn run(&self, command: &str, more: &[&str]) -> Ran {
        self.command(command, &[], &[&["--lab"], more].concat())
    }

    fn command(&self, command: &str, sub: &[&str], more: &[&str]) -> Ran {
        let began = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_provision"));
        process.arg(command).args(sub).arg("inventories/demo.yaml").current_dir(&self.root);
        for set in &self.sets {
            process.args(["-e", set]);
        }
        let output = process.args(more).output().unwrap();
        println!("   {command} {} ({:.1} s)", more.join(" "), began.elapsed().as_secs_f64());
        ran(&output)
    }

    fn container(&self, host: &str) -> String {
        format!("provision-lab-{CLUSTER}-{host}")
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker").args(arguments).output().unwrap();
        let ran = ran(&output);
        assert_eq!(ran.code, 0, "docker {arguments:?}: {ran:?}");
        ran.out
    }

    fn on(&self, host: &str, script: &str) -> String {
        self.docker(&["exec", &self.container(host), "sh", "-c", script])
    }

    /// The master that leads, by its own metrics.
    fn leader(&self) -> String {
        let masters = ["m1", "m2", "m3"];
        let leads = "curl -s http://$(cat /etc/mesos-master/ip):5050/metrics/snapshot | grep -c '\"master/elected\":1' || true";
        let found = masters.iter().find(|host| self.on(host, leads).trim() == "1");
        (*found.expect("a master leads")).to_owned()
    }

    /// Every file of the directories that anything of ours could write to, with its time and size.
    fn trees(&self) -> Vec<String> {
        let list = "find /etc /opt /usr/local /var /root /home /run/provision -xdev \
             -not -path '/var/log/journal/*' -not -path '/var/log/*tmp*' -not -path '/var/log/lastlog' \
             -not -path '/var/log/mesos/*' -not -path '/var/lib/mesos/*' -not -path '/var/lib/zookeeper/*' \
             -not -path '/var/lib/docker/*' -not -path '/var/lib/containerd/*' -not -path '/var/lib/systemd/*' \
             -not -path '/var/lib/sudo/*' -not -path '/var/cache/*' -type f -printf '%p %s %C@\\n' 2>/dev/null | sort";
        ["m1", "a1", "c1"].map(|host| self.on(host, list)).to_vec()
    }

    /// Waits until a container that was started again answers, and all that runs on it serves.
    fn settle(&self) {
        for _ in 0..60 {
            if self.run("status", &[]).code == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        panic!("the cluster did not come back");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A failed test's twin is worth a look.
        if std::thread::panicking() {
            eprintln!("the twin `{CLUSTER}` is left as it is");
            return;
        }
        let _ = self.command("lab", &["down"], &[]);
    }
}

fn sh(root: &Path, script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).current_dir(root).output().unwrap();
    let ran = ran(&output);
    assert_eq!(ran.code, 0, "{script}: {ran:?}");
    ran.out
}

fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn step(what: &str) {
    println!("== {what}");
}
