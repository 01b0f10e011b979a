//! Who gets how much: weights, reservations, and an agent that is full.

use serde_json::{Value as Json, json};

use super::super::support::lab::{Lab, step};
use super::super::support::twin::until;
use super::super::support::user::{AT, Job, broken};
use super::PATIENT;

const AGENTS: [&str; 3] = ["a1", "a2", "a3"];

/// As much as there is, in executors of one core.
const HUNGRY: [&str; 2] = ["spark.cores.max=100", "spark.executor.cores=1"];

pub(super) fn weights_share_as_simulate_said(lab: &Lab) {
    step("etl with weight 2 gets twice what adhoc gets, as simulate said");
    let more = [
        "--json",
        "-e",
        "workloads.nightly.cores_max=100",
        "-e",
        "workloads.notebook.cores_max=100",
    ];
    let simulated = lab.run("simulate", &more);
    let simulated: Json = serde_json::from_str(&simulated.out).unwrap();
    let share = |role: &str| {
        let mut roles = simulated["sharing"]["roles"].as_array().unwrap().iter();
        roles.find(|of| of["role"] == role).unwrap()["amounts"]["cpus"].as_f64().unwrap()
    };
    assert_eq!((share("etl"), share("adhoc")), (4.0, 2.0), "{simulated:#}");

    // Both are hungry before there is anything to be had, for an operator has drained every agent.
    let ids = AGENTS.map(|agent| lab.listed(agent)["id"].clone());
    for id in &ids {
        operate(lab, &json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": id}}}));
    }
    let etl = Job::submit(lab, "etl-job", &HUNGRY);
    let adhoc = Job::submit(lab, "adhoc-job", &[&HUNGRY[..], &["spark.mesos.role=adhoc"]].concat());
    until("both are registered", || etl.is_registered() && adhoc.is_registered());
    // Without a name all that have nothing are judged.
    let said = lab.run("diagnose", &["--json"]);
    assert_eq!(said.code, 3, "{said:?}");
    let said: Json = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said["jobs"].as_array().unwrap().len(), 2, "{said:#}");
    for judged in said["jobs"].as_array().unwrap() {
        let (rung, words) = broken(judged);
        assert_eq!(rung, "agents", "{words}");
        assert!(words.contains("a1 is drained; a2 is drained; a3 is drained"), "{words}");
    }
    for id in &ids {
        operate(
            lab,
            &json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": {"value": id}}}),
        );
    }
    until("all is taken", || etl.cpus() + adhoc.cpus() == 6.0);
    assert_eq!((etl.cpus(), adhoc.cpus()), (share("etl"), share("adhoc")));
    etl.works();
    adhoc.works();
    etl.ends_well();
    adhoc.ends_well();
}

pub(super) fn a_reservation_is_kept_and_a_full_agent_is_no_failure(lab: &Lab) {
    step("a reservation is kept for its role, and a full agent is `no_room`, not a failure");
    let adhoc = Job::submit(lab, "greedy", &[&HUNGRY[..], &["spark.mesos.role=adhoc"]].concat());
    until("adhoc has all that is not reserved", || adhoc.cpus() == 3.0);
    let status = lab.run("status", &["-v"]);
    for agent in AGENTS {
        let mut rows = status.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let free = |row: &Vec<&str>| row.starts_with(&[agent, "etl", "1"]);
        assert!(rows.any(|row| free(&row)), "{agent} in {}", status.out);
    }
    let etl = Job::submit(lab, "reserved", &HUNGRY);
    until("etl has what is reserved for it", || etl.cpus() == 3.0);
    assert_eq!(adhoc.cpus(), 3.0);
    let full = lab.run("smoke", &["-l", AT, "-e", "smoke.each_agent=true", "-e", PATIENT]);
    assert_eq!(full.code, 5, "{full:?}");
    for agent in AGENTS {
        let said = format!("smoke pi-on-{agent} {agent}: no_room (stand-in): {agent} has 0 cpus");
        assert!(full.err.contains(&said), "{said} in {}", full.err);
    }
    assert!(!full.err.contains("FAILED c1: proof pi-on-"), "{}", full.err);
    assert!(full.err.contains("no agent had room for the driver itself"), "{}", full.err);
    let said = "timed out after 60 s; nothing big enough is free";
    assert!(full.err.contains(said), "{said} in {}", full.err);
    etl.works();
    adhoc.works();
    etl.ends_well();
    adhoc.ends_well();
}

/// A call to the leading master, as an operator makes it.
pub(super) fn operate(lab: &Lab, call: &Json) {
    let leader = lab.leader();
    let answer = lab.on(
        &leader,
        &format!(
            "curl -s -w '%{{http_code}}' -H 'Content-Type: application/json' \
             -d '{call}' http://$(cat /etc/mesos-master/ip):5050/api/v1"
        ),
    );
    assert!(answer.ends_with("200") || answer.ends_with("202"), "{call}: {answer}");
}
