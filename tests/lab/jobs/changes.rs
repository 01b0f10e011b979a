//! Jobs go on while the cluster under them changes.

use super::super::support::lab::{Lab, step};
use super::super::support::twin::until;
use super::super::support::user::{AT, Job};
use super::plain::Submits;

pub(super) fn an_incompatible_change_drains_and_the_job_goes_on(lab: &mut Lab) {
    step(
        "an agent's incompatible change drains it, the plan names the job, the job goes on elsewhere",
    );
    let job = Job::submit(lab, "moves", &["spark.cores.max=1"]);
    job.works();
    let before = job.tasks();
    let agent = lab.agent(before.values().next().unwrap());
    let set = format!("hosts.{agent}.vars.rack=r9");
    let tasks = ["-e", &set, "-t", "agents"];
    let plan = lab.run("plan", &tasks);
    let id = job.framework().unwrap()["id"].as_str().unwrap().to_owned();
    let named = format!("ends 1 task of moves ({id})");
    assert!(plan.out.contains("it is drained first") && plan.out.contains(&named), "{}", plan.out);
    assert_eq!(plan.out.matches("it is drained first").count(), 1, "{}", plan.out);
    let apply = lab.run("apply", &[&tasks[..], &["-y"]].concat());
    assert_eq!(apply.code, 0, "{apply:?}");
    until("it has another executor", || !job.tasks().is_empty());
    let after = job.tasks();
    assert!(before.keys().all(|task| !after.contains_key(task)), "{before:?} {after:?}");
    assert_ne!(lab.agent(after.values().next().unwrap()), agent);
    job.ends_well();
    lab.keep(&[&set]);
}

pub(super) fn an_additive_change_kills_no_driver(lab: &mut Lab, submits: &Submits) {
    step(
        "an additive change kills nothing: a driver of the dispatcher, which checkpoints, goes on",
    );
    // It waits for executors that no agent may have: those would end with their agent, for no job of Spark's
    // checkpoints them.
    let (driver, rest) = submits.hand_in(lab, "spark.mesos.constraints=rack:r7");
    let running = || {
        let all = lab.asked("/tasks");
        let mut tasks = all["tasks"].as_array().cloned().unwrap_or_default().into_iter();
        let mine = tasks.find(|task| task["id"] == driver && task["state"] == "TASK_RUNNING");
        mine.map(|task| task["slave_id"].clone())
    };
    until("it runs", || running().is_some());
    let ids = ["a1", "a2", "a3"].map(|agent| lab.listed(agent)["id"].clone());
    let before = running();
    let grown = [
        "mesos.agents.workers.flags.reconfiguration_policy=additive",
        "mesos.agents.workers.attributes.zone=z1",
        "mesos.agents.workers.resources.mem=4GB",
    ];
    let sets: Vec<&str> = grown.iter().flat_map(|set| ["-e", set]).collect();
    let tasks = [&sets[..], &["-t", "agents"]].concat();
    let plan = lab.run("plan", &tasks);
    let kept = "a[1:3] (3 hosts): the agent restarts in place; nothing that runs there now ends";
    assert_eq!(plan.out.matches(kept).count(), 1, "{}", plan.out);
    let apply = lab.run("apply", &[&tasks[..], &["-y"]].concat());
    assert_eq!(apply.code, 0, "{apply:?}");
    assert_eq!(running(), before);
    assert_eq!(["a1", "a2", "a3"].map(|agent| lab.listed(agent)["id"].clone()), ids);
    assert_eq!(lab.listed("a1")["attributes"]["zone"], "z1");
    lab.on(AT, &format!("curl -s -X POST http://{rest}/v1/submissions/kill/{driver}"));
    until("it is over", || running().is_none());
    lab.keep(&grown);
}

pub(super) fn a_leader_that_is_killed_disturbs_no_job(lab: &Lab) {
    step("a leader that is killed under a job disturbs it not");
    let job = Job::submit(lab, "stays", &["spark.cores.max=3", "spark.executor.cores=1"]);
    job.works();
    until("it has all that it may have", || job.tasks().len() == 3);
    let before = job.tasks();
    let leader = lab.leader();
    lab.on(&leader, "systemctl kill -s KILL mesos-master");
    until("another leads and knows it", || {
        lab.leads().is_some_and(|now| now != leader) && job.is_registered()
    });
    until("its tasks are known", || job.tasks().len() == before.len());
    assert_eq!(job.tasks(), before);
    job.ends_well();
}
