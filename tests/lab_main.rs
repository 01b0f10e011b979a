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

#[path = "support/lab.rs"]
mod lab;

#[path = "support/quorum.rs"]
mod quorum;

use lab::{Lab, step};
use quorum::Client;

#[test]
fn lab_an_inventory_becomes_a_cluster_and_stays_one() {
    let mut lab = Lab::up("lab-main");

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
    // A leader that stops makes its peers look sick for a moment.
    let follower = lab.follower();
    let stopped = format!("~ {follower}: service zookeeper: inactive → active");
    let stopped =
        Drift { host: follower, make: "systemctl stop zookeeper", gaps: &[stopped.as_str()] };
    for drift in std::iter::once(&stopped).chain(DRIFTS) {
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

    step("an interrupted drain is gone on with, or taken back, by the next apply");
    let set = ["-e", "mesos.agents.workers.attributes.zone=z1"];
    tasks_take_their_time(&lab, "touch");
    let mut cut = lab.start("apply", &[&set[..], &["-y"]].concat());
    let draining = || lab.listed("a1")["drain_info"]["state"] == "DRAINING";
    until("a1 is drained", draining);
    cut.kill().unwrap();
    cut.wait().unwrap();
    assert!(draining());
    let plan = lab.run("plan", &[]);
    let gap = "~ a1: drain mesos-slave: left by a run that was cut short, to be ended";
    assert!(plan.out.contains(gap), "{}", plan.out);
    tasks_take_their_time(&lab, "rm -f");
    let back = lab.run("apply", &["-y"]);
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(lab.listed("a1")["deactivated"], false);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);

    step("a secret that changed under the same principal is refused by name");
    let file = "/etc/mesos-secrets/agent-agent.json";
    assert_eq!(lab.on("a1", &format!("stat -c '%a %U' {file}")), "600 root\n");
    lab.on("a1", &format!("sed -i s/twin-of/of-twin/ {file}"));
    let refused = lab.run("apply", &["-y"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains(&format!("a1: error[secret-changed]: {file}")), "{refused:?}");
    lab.on("a1", &format!("sed -i s/of-twin/twin-of/ {file}"));

    step("changed settings roll one by one, the leader last, and nobody is left without a quorum");
    let leader = lab.leader();
    let agents = ["a1", "a2"].map(|agent| lab.listed(agent)["id"].clone());
    // At once: another principal for the agents, which must not be dropped before they have it.
    lab.keep(&["zookeeper.config.snapCount=50000", "mesos.credentials.agent.principal=agent-2"]);
    let refused = lab.run("apply", &["-y"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("a2: error[principal-dropped]"), "{refused:?}");
    let former = [
        "-e",
        "mesos.credentials.former.0.principal=agent",
        "-e",
        "mesos.credentials.former.0.secret.env=NOT_READ",
    ];
    let plan = lab.run("plan", &former);
    assert!(plan.out.contains(&format!("wave 3 of 3: {leader}")), "{}", plan.out);
    let client = Client::start(&["m1", "m2", "m3"].map(|host| lab.address(host)));
    let apply = lab.run("apply", &[&former[..], &["-y"]].concat());
    let seen = client.end();
    assert_eq!(apply.code, 0, "{apply:?}");
    // Each member was down at its turn, and never two; the leader's restart is the one election.
    assert_eq!(seen.zookeeper.ever_down.len(), 3, "{seen:?}");
    for quorum in [&seen.zookeeper, &seen.masters] {
        assert_eq!(quorum.most_down, 1, "{seen:?}");
        assert_eq!(quorum.leaders.len(), 2, "{seen:?}");
        assert!(quorum.gaps <= 1, "{seen:?}");
    }
    assert!(!seen.written.acknowledged.is_empty());
    assert_eq!((&seen.written.lost[..], seen.written.expired), (&[][..], 0), "{seen:?}");
    assert_eq!(lab.run("plan", &[&former[..], &["--detailed-exitcode"]].concat()).code, 0);

    step("the old principal is dropped, and no agent was lost on the way");
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);
    assert_eq!(["a1", "a2"].map(|agent| lab.listed(agent)["id"].clone()), agents);
    for agent in ["a1", "a2"] {
        assert_eq!(lab.on(agent, "systemctl show -p NRestarts --value mesos-slave"), "0\n");
        let refused = "journalctl -u mesos-slave --no-pager | grep -c 'refused auth' || true";
        assert_eq!(lab.on(agent, refused), "0\n");
    }

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

/// Makes drains go on, as if tasks used their grace period: `touch`, or `rm -f` to let them end.
fn tasks_take_their_time(lab: &Lab, how: &str) {
    for master in ["m1", "m2", "m3"] {
        lab.on(master, &format!("{how} /run/mesos-standin.busy"));
    }
}

/// Polls until something is true; the count only ends what hangs.
fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    panic!("it did not come true: {what}");
}

/// Something that goes wrong on a host, and the lines that the plan must have because of it.
struct Drift<'a> {
    host: &'a str,
    make: &'a str,
    gaps: &'a [&'a str],
}

const DRIFTS: &[Drift<'static>] = &[
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
