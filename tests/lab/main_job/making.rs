//! Bare hosts become a proven cluster; a second apply and a look change nothing.

use super::super::support::lab::{Lab, step};

pub(super) fn a_plan_shows_everything_and_changes_nothing(lab: &Lab) {
    step("a plan shows everything, changes nothing, and says so by its exit code");
    let plan = lab.run("plan", &["--detailed-exitcode"]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(
        plan.out.contains("+ m[1:3] (3 hosts): packages zookeeper: install zookeeper"),
        "{}",
        plan.out
    );
}

pub(super) fn apply_makes_it_and_proves_it(lab: &Lab) {
    step("apply makes it and proves it");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    for agent in ["a1", "a2"] {
        for passed in ["pi-in-image {}: passed: ", "pi-on-{} {}: passed (stand-in): "] {
            let passed = format!("smoke {}Pi is roughly 3.1", passed.replace("{}", agent));
            assert!(apply.err.contains(&passed), "{passed} in {}", apply.err);
        }
    }
    for check in [
        "zookeeper: passed: 3 serve",
        "masters: passed: 3 serve",
        "agents: passed: 2 serve",
        "pi-through-mesos c1: passed (stand-in): Pi is roughly 3.1",
        "pi-in-cluster-mode c1: passed (stand-in): driver ",
    ] {
        assert!(apply.err.contains(&format!("smoke {check}")), "{}", apply.err);
    }
}

pub(super) fn a_second_apply_has_nothing_to_do(lab: &Lab) {
    step("the second apply has nothing to do and asks nobody");
    let second = lab.run("apply", &[]);
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.out.starts_with("No changes."), "{}", second.out);
}

pub(super) fn status_tells_what_is_there(lab: &Lab) {
    step("status tells what is there");
    let status = lab.run("status", &[]);
    assert_eq!(status.code, 0, "{status:?}");
    for word in ["leading", "provision_host:a1;rack:r1", "cpus(etl):1", "etl weight 2", "sha256:"] {
        assert!(status.out.contains(word), "{word} in {}", status.out);
    }
}

pub(super) fn looking_leaves_no_trace(lab: &Lab) {
    step("looking leaves no trace");
    let before = lab.trees();
    assert_eq!(lab.run("plan", &[]).code, 0);
    assert_eq!(lab.run("status", &[]).code, 0);
    let after = lab.trees();
    for (before, after) in before.iter().zip(&after) {
        similar(before, after);
    }
}

/// Two listings of one tree, but for what sshd, sudo and journald write.
fn similar(before: &str, after: &str) {
    let before: Vec<&str> = before.lines().collect();
    let strangers: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert!(strangers.is_empty(), "looking wrote: {strangers:#?}");
}
