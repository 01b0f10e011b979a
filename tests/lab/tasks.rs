//! Work that runs while the cluster under it changes: it is lost where the plan has named it, and nowhere else.
//! Engines under agents, an agent that leaves, credentials on and off.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use super::support::lab::{Lab, Ran, step};
use super::support::twin::until;
use super::support::user::{self, Job};

/// All but the proofs, which others test.
const TASKS: &str = "base,zookeeper,docker,image,masters,weights,agents,spark,dispatcher,retired";

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn lab_work_is_lost_where_a_plan_has_named_it() {
    let lab = Lab::with("lab-tasks", &[]);
    lab.forget("mesos.credentials");
    assert_eq!(applied(&lab, &[]).code, 0);
    user::moves_in(&lab);
    engines_restart_and_a_job_moves_once(&lab);
    an_agent_leaves_under_a_job(&lab);
    credentials_go_on_under_a_job(&lab);
    credentials_go_off_under_a_job(&lab);
}

fn applied(lab: &Lab, more: &[&str]) -> Ran {
    let apply = lab.run("apply", &[&["-y", "-t", TASKS], more].concat());
    assert_eq!(apply.code, 0, "{apply:?}");
    apply
}

fn nothing_is_left(lab: &Lab, more: &[&str]) {
    let plan = lab.run("plan", &[&["-t", TASKS, "--detailed-exitcode"], more].concat());
    assert_eq!(plan.code, 0, "{plan:?}");
}

fn planned(lab: &Lab, more: &[&str]) -> String {
    let plan = lab.run("plan", &[&["-t", TASKS], more].concat());
    assert_eq!(plan.code, 0, "{plan:?}");
    plan.out + &plan.err
}

/// How many tasks of a job a plan says will end.
fn named(plan: &str, job: &Job<'_>) -> usize {
    let id = job.framework().unwrap()["id"].as_str().unwrap().to_owned();
    let mine = |word: &str| format!(" {word} of {} ({id})", job.name);
    let [one, many] = ["task", "tasks"].map(mine);
    let lines = plan.lines().flat_map(|line| line.split([';', ',']));
    let counts = lines.filter_map(|part| {
        let part = part.strip_suffix(&one).or_else(|| part.strip_suffix(&many))?;
        part.rsplit(' ').next()?.parse::<usize>().ok()
    });
    counts.sum()
}

/// Does something, and answers every task that the job had meanwhile and has no more.
fn lost(job: &Job<'_>, does: impl FnOnce()) -> BTreeSet<String> {
    let over = AtomicBool::new(false);
    let mut seen: BTreeSet<String> = job.tasks().into_keys().collect();
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                seen.extend(job.tasks().into_keys());
                thread::sleep(Duration::from_millis(200));
            }
            seen
        });
        does();
        over.store(true, Ordering::SeqCst);
        seen.extend(watch.join().unwrap());
    });
    until("it has an executor", || !job.tasks().is_empty());
    let now = job.tasks();
    seen.into_iter().filter(|task| !now.contains_key(task)).collect()
}

fn engines_restart_and_a_job_moves_once(lab: &Lab) {
    step("the engines under two agents restart: the job moves once");
    let job = Job::submit(lab, "moves", &["spark.cores.max=1"]);
    job.works();
    let sets = ["docker.daemon.max-concurrent-downloads=2"];
    let more = ["-e", sets[0]];
    let plan = planned(lab, &more);
    assert_eq!(named(&plan, &job), 1, "{plan}");
    let engines =
        || ["a1", "a2"].map(|agent| lab.on(agent, "systemctl show -p InvocationID docker"));
    let before = engines();
    let lost = lost(&job, || drop(applied(lab, &more)));
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(before.iter().zip(engines()).all(|(before, after)| *before != after));
    job.ends_well();
    lab.keep(&sets);
    nothing_is_left(lab, &[]);
}

fn an_agent_leaves_under_a_job(lab: &Lab) {
    step("an agent leaves under a job");
    let job = Job::submit(lab, "stays", &["spark.cores.max=1"]);
    job.works();
    let agent = lab.agent(job.tasks().values().next().unwrap());
    let other = if agent == "a1" { "a2" } else { "a1" };
    let (retired, hosts) =
        (format!("retired=[{agent}]"), format!("mesos.agents.workers.hosts=[{other}]"));
    let more = ["-e", &retired, "-e", &hosts];
    let plan = planned(lab, &more);
    assert_eq!(named(&plan, &job), 1, "{plan}");
    assert!(plan.contains("the agent leaves; it is drained first"), "{plan}");
    let lost = lost(&job, || drop(applied(lab, &more)));
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lab.agent(job.tasks().values().next().unwrap()), other);
    assert_eq!(lab.listed(&agent), Json::default(), "it is not gone");
    lab.on(&agent, "! systemctl is-active -q mesos-slave");
    job.ends_well();
    nothing_is_left(lab, &more);
    applied(lab, &[]);
    assert_eq!(lab.listed(&agent)["active"], true);
}

const CREDENTIALS: [&str; 4] = [
    "mesos.credentials.agent.principal=agent",
    "mesos.credentials.agent.secret.env=NOT_READ",
    "mesos.credentials.framework.principal=spark",
    "mesos.credentials.framework.secret.env=NOT_READ",
];

/// Those of each agent: they must not come back as others, nor ever be refused.
fn agents(lab: &Lab) -> [Json; 2] {
    for agent in ["a1", "a2"] {
        assert_eq!(lab.listed(agent)["active"], true);
        let refused = "journalctl -u mesos-slave --no-pager | grep -c 'refused auth' || true";
        assert_eq!(lab.on(agent, refused), "0\n");
    }
    ["a1", "a2"].map(|agent| lab.listed(agent)["id"].clone())
}

/// The plan names the job with the reason why it will be refused. No agent is, nor comes back as another one.
fn is_applied_as_named(lab: &Lab, job: &Job<'_>, why: &str) {
    let plan = planned(lab, &[]);
    let id = job.framework().unwrap()["id"].as_str().unwrap().to_owned();
    assert!(plan.contains(&format!("{} ({id}) {why}", job.name)), "{plan}");
    let before = agents(lab);
    applied(lab, &[]);
    assert_eq!(agents(lab), before);
}

/// The job is refused. Spark gives up what it works at then; a driver that only waits goes on waiting, and is ended
/// here as its user would.
fn is_refused(lab: &Lab, job: &Job<'_>) {
    until("it is refused", || job.stderr().contains("refused authentication"));
    // Masters that know it only by what runs on agents never forget it, and nobody acknowledges its tasks' end.
    let id = job.framework().unwrap()["id"].as_str().unwrap().to_owned();
    job.ends();
    let at = lab.address(&lab.leader());
    let teardown = format!("curl -sf -X POST -d frameworkId={id} http://{at}:5050/teardown");
    lab.on(&lab.leader(), &teardown);
    until("nothing of it runs", || job.tasks().is_empty());
}

fn credentials_go_on_under_a_job(lab: &Lab) {
    step("credentials go on under a job");
    lab.keep(&CREDENTIALS);
    let job = Job::submit(lab, "nobody", &["spark.cores.max=1"]);
    job.works();
    is_applied_as_named(lab, &job, "runs without a principal, and the masters will ask for one");
    is_refused(lab, &job);
    nothing_is_left(lab, &[]);
    let job = Job::submit(lab, "somebody", &["spark.cores.max=1"]);
    job.works();
    assert_eq!(job.framework().unwrap()["principal"], "spark");
    job.ends_well();
}

fn credentials_go_off_under_a_job(lab: &Lab) {
    step("credentials go off under a job");
    let job = Job::submit(lab, "known", &["spark.cores.max=1"]);
    job.works();
    lab.forget("mesos.credentials");
    is_applied_as_named(lab, &job, "runs as `spark`, whom the masters will not know");
    nothing_is_left(lab, &[]);
    for host in ["m1", "m2", "m3", "a1", "a2", "c1"] {
        let left = "ls /etc/mesos-secrets /etc/spark-secrets 2>/dev/null | grep -v : || true";
        assert_eq!(lab.on(host, left).trim(), "", "{host} keeps a secret");
    }
    // Mesos' own library would be refused. Ours speaks HTTP, where a credential that nobody asks for is passed over.
    job.ends_well();
    let job = Job::submit(lab, "free", &["spark.cores.max=1"]);
    job.works();
    job.ends_well();
}
