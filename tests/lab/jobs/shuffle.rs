//! The shuffle service under a job whose executors come and go.

use super::super::support::lab::{Lab, step};
use super::super::support::twin::until;
use super::super::support::user::{AT, Job, SHUFFLES};

const AGENTS: [&str; 3] = ["a1", "a2", "a3"];

/// Executors that go as soon as they have nothing to do, of a job whose end is noticed soon.
const FLEETING: [&str; 7] = [
    "spark.dynamicAllocation.enabled=true",
    "spark.dynamicAllocation.minExecutors=0",
    "spark.dynamicAllocation.executorIdleTimeout=2s",
    "spark.executor.cores=1",
    "spark.executor.heartbeatInterval=3s",
    "spark.network.timeoutInterval=3s",
    "spark.storage.blockManagerHeartbeatTimeoutMs=12s",
];

pub(super) fn what_executors_wrote_outlives_them(lab: &Lab) {
    step("a shuffle service comes to every agent");
    lab.keep(&[
        "spark.shuffle_service.memory=512MB",
        "spark.defaults.spark.shuffle.cleaner.interval=2s",
    ]);
    let tasks = ["-y", "-t", "shuffle,spark,dispatcher,retired"];
    let apply = lab.run("apply", &tasks);
    assert_eq!(apply.code, 0, "{apply:?}");

    step("executors go, and what they have written for others stays until their job ends");
    let job = Job::submit_script(lab, "shuffles", SHUFFLES, &FLEETING);
    job.works();
    until("its executors have gone", || job.is_registered() && job.tasks().is_empty());
    let over = |job: &Job<'_>| {
        let framework = job.framework().unwrap();
        framework["completed_tasks"].as_array().unwrap().len()
    };
    let before = over(&job);
    assert!(before > 0);
    assert!(files(lab) > 0, "nothing of {before} executors is left");
    // Executors that come now read what those wrote who are no more: nothing is mapped again.
    job.ends_well();
    let said = lab.on(AT, "cat /run/jobs/shuffles.out");
    assert!(said.contains("ends well: 499500, mapped: 1000\n"), "{said}");
    until("what it shuffled is removed", || files(lab) == 0);
    for agent in AGENTS {
        let left = lab.on(agent, "ls -A /var/lib/spark-shuffle");
        assert_eq!(left, "", "{agent}");
        // Who is not its owner puts things there, and lists nothing.
        let mode = lab.on(agent, "stat -c '%a %U' /var/lib/spark-shuffle");
        assert_eq!(mode, "1733 spark\n", "{agent}");
    }

    step(
        "it is started anew under a job: the plan names the job, its executors end before, the job goes on",
    );
    let job = Job::submit_script(lab, "outlives", SHUFFLES, &["spark.cores.max=1"]);
    job.works();
    lab.forget("spark.shuffle_service");
    lab.keep(&["spark.shuffle_service.memory=600MB"]);
    let plan = lab.run("plan", &tasks[1..]);
    assert!(plan.out.contains("service spark-shuffle: restart: spark-env.sh changed"), "{plan:?}");
    let id = job.framework().unwrap()["id"].as_str().unwrap().to_owned();
    let named = plan.out.lines().filter(|line| line.contains(&id));
    let restarts = "the shuffle service of its executors restarts, and knows none of them then; it is drained first";
    assert!(
        named.clone().count() > 0 && named.clone().all(|line| line.contains(restarts)),
        "{}",
        plan.out
    );
    let apply = lab.run("apply", &tasks);
    assert_eq!(apply.code, 0, "{apply:?}");
    job.ends_well();

    step(
        "where it does not run a job is given up at its first executor and hangs; status and the next apply know why",
    );
    for agent in AGENTS {
        lab.on(agent, "systemctl stop spark-shuffle");
    }
    let job = Job::submit_script(lab, "unserved", SHUFFLES, &FLEETING);
    until("it is given up", || job.stderr().contains("DRIVER_ABORTED"));
    assert!(job.stderr().contains(":7337"), "{}", job.stderr());
    until("the masters have heard of it", || job.framework().is_none());
    let status = lab.run("status", &[]);
    assert_eq!(status.code, 3, "{status:?}");
    assert!(status.out.contains("nothing answers on its port"), "{status:?}");
    assert_eq!(job.status(), None);
    job.give_up();
    let apply = lab.run("apply", &tasks);
    assert_eq!(apply.code, 0, "{apply:?}");
    assert_eq!(lab.run("status", &[]).code, 0);
    // The service that was started anew did not hear of that job's end; no executor is there, so it was nobody's.
    assert_eq!(files(lab), 0);

    step("it is given up after its clients have forgotten it");
    lab.forget("spark.shuffle_service");
    lab.forget("spark.defaults.spark.shuffle");
    let apply = lab.run("apply", &tasks);
    assert_eq!(apply.code, 0, "{apply:?}");
    lab.on(AT, "! grep shuffle /opt/spark/conf/spark-defaults.conf");
    for agent in AGENTS {
        lab.on(agent, "! systemctl is-active -q spark-shuffle");
    }
}

/// How many files the agents keep of what jobs shuffle.
fn files(lab: &Lab) -> usize {
    let count = "find /var/lib/spark-shuffle -name 'shuffle_*.data' | wc -l";
    AGENTS.iter().map(|agent| lab.on(agent, count).trim().parse::<usize>().unwrap()).sum()
}
