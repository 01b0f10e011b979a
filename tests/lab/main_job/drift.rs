//! Every kind of drift is seen as exactly that gap, repaired, and gone.

use super::super::support::lab::{Lab, step};

pub(super) fn each_drift_is_seen_and_repaired(lab: &Lab) {
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
}

pub(super) fn a_stopped_leader_is_started_again(lab: &Lab) {
    step("the leading master, stopped, is started again");
    let leader = lab.leader();
    lab.on(&leader, "systemctl stop mesos-master");
    let plan = lab.run("plan", &[]);
    let wanted = format!("~ {leader}: service mesos-master: inactive → active");
    assert!(plan.out.contains(&wanted), "{}", plan.out);
    assert!(plan.out.contains("Plan: 0 to add, 1 to change, on 1 host"), "{}", plan.out);
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);
}

pub(super) fn a_stopped_engine_is_not_started_by_looking(lab: &Lab) {
    step("a stopped engine is not started by looking");
    lab.on("a1", "systemctl stop docker.socket docker.service; systemctl start docker.socket");
    lab.run("plan", &[]);
    assert_eq!(lab.on("a1", "systemctl is-active docker.service || true").trim(), "inactive");
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
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
            "~ a2: file /etc/mesos-slave/executor_registration_timeout: content: 7mins → 5mins",
            "~ a2: service mesos-slave: restart: executor_registration_timeout changed",
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
