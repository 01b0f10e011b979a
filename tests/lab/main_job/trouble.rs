//! A host that is down is named and the rest goes on; bad input touches nothing.

use super::super::support::lab::{Lab, step};

pub(super) fn a_host_that_is_down_is_named(lab: &Lab) {
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
}

pub(super) fn bad_input_touches_nothing(lab: &Lab) {
    step("bad input touches nothing");
    let bad = lab.run("apply", &["-y", "-e", "mesos.quorom=2"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("quorom"), "{}", bad.err);
}
