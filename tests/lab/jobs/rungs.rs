//! Rungs of `diagnose`, broken on purpose under a user's job, are found and named.

use serde_json::Value as Json;

use super::super::support::lab::{Lab, step};
use super::super::support::twin::until;
use super::super::support::user::{AT, Job, broken, broken_rung};
use super::smoke;

/// A job that hangs: its name, what it is submitted with, the rung, and what must be said.
type Hangs = (&'static str, &'static [&'static str], &'static str, &'static [&'static str]);

const HANGING: [Hangs; 3] = [
    (
        "nowhere",
        &["spark.mesos.constraints=rack:r7"],
        "constraints",
        &["no agent matches `rack:r7`", "rack is r", "as its driver says"],
    ),
    ("huge", &["spark.executor.memory=8g"], "room", &["1 cores and 9011 MiB", "it offers 4096"]),
    (
        "addressless",
        &["spark.driver.host=c1"],
        "address",
        &["executors cannot reach their driver at c1:", "Name or service not known"],
    ),
];

pub(super) fn of_jobs_that_hang(lab: &Lab) {
    step("what keeps a user's job from its executors is found and named");
    let jobs = HANGING.map(|(name, properties, ..)| Job::submit(lab, name, properties));
    // Beside them one without the credentials of our files.
    lab.on(
        AT,
        "grep -v -e principal -e secret /opt/spark/conf/spark-defaults.conf > /run/jobs/own.conf",
    );
    let stranger = Job::submit_with(lab, "stranger", "--properties-file /run/jobs/own.conf");

    until("the master refuses a stranger", || stranger.status().is_some());
    assert_ne!(stranger.status().as_deref(), Some("0"));
    assert!(stranger.stderr().contains("Master refused authentication"), "{}", stranger.stderr());
    let (rung, words) = broken_rung(lab, stranger.name);
    assert_eq!(rung, "authentication", "{words}");
    assert!(words.contains("Refusing subscription of framework 'stranger'"), "{words}");

    for (job, (name, _, rung, said)) in jobs.iter().zip(HANGING) {
        job.asks();
        if rung == "address" {
            until(&format!("{name} has lost executors"), || job.lost() >= 2);
        }
        let (broken, words) = broken_rung(lab, name);
        assert_eq!(broken, rung, "{name}: {words}");
        for part in said {
            assert!(words.contains(part), "{name}: {part} in {words}");
        }
    }
    for job in jobs {
        job.give_up();
    }
}

pub(super) fn of_masters_without_a_leader(lab: &Lab) {
    step("masters without a leader are found and named, by the smoke test in both modes");
    let leader = lab.leader();
    let alone = ["m1", "m2"].into_iter().find(|master| *master != leader).unwrap();
    for master in ["m1", "m2", "m3"].into_iter().filter(|master| *master != alone) {
        lab.on(master, "systemctl stop mesos-master");
    }
    // The one that is left is elected for as long as it waits for the logs of others, then ends and begins anew.
    until("no other leads", || lab.leads().is_none_or(|leader| leader == alone));
    let said = lab.run("diagnose", &["--json"]);
    assert_eq!(said.code, 3, "{said:?}");
    let said: Json = serde_json::from_str(&said.out).unwrap();
    let (rung, words) = broken(&said["jobs"][0]);
    assert_eq!(rung, "leader", "{words}");
    let elected =
        format!("{alone} is elected and cannot lead: it leads with 1 of the 2 log replicas");
    let told = |words: &str| words.contains(&elected) || words.contains("no master leads: ");
    assert!(told(&words), "{words}");
    let smoke = lab.run("smoke", &["-l", AT, "-e", "smoke.timeout=15secs"]);
    assert_eq!(smoke.code, 5, "{smoke:?}");
    for proof in ["pi-through-mesos", "pi-in-cluster-mode"] {
        let line = smoke::failed(&smoke, proof);
        assert!(told(line), "{line}");
    }
}
