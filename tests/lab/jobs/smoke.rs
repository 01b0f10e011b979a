//! Rungs broken on purpose under the whole cluster or its client: a user's job and the smoke test, which run into
//! the same, are both told of it. (What a job breaks by its own properties is in rungs.rs.)

use serde_json::{Value as Json, json};

use super::super::support::lab::{Lab, Ran, step};
use super::super::support::twin::until;
use super::super::support::user::{AT, Job, broken_rung};
use super::PATIENT;
use super::sharing::operate;

const AGENTS: [&str; 3] = ["a1", "a2", "a3"];

/// Who waits for a driver that never registers waits no longer than that.
const BRIEF: &str = "smoke.timeout=15secs";

pub(super) fn of_agents_that_offer_nothing(lab: &Lab) {
    step("agents that are drained, in maintenance and away are named");
    let drained = lab.listed("a1")["id"].clone();
    let machine = json!([{"hostname": lab.listed("a2")["hostname"], "ip": lab.address("a2")}]);
    operate(lab, &json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": drained}}}));
    let window = json!({"machine_ids": machine, "unavailability": {"start": {"nanoseconds": 0}}});
    maintain(lab, "maintenance/schedule", &json!({"windows": [window]}));
    maintain(lab, "machine/down", &machine);
    lab.on("a3", "systemctl stop mesos-slave");
    until("a3 is missed", || lab.listed("a3")["active"] != true);

    let job = Job::submit(lab, "withheld", &[]);
    let smoke = smoke(lab, &[PATIENT]);
    let said = ["a1 is drained", "a2 is down for maintenance", "; a3 "];
    tells(&smoke, "pi-through-mesos", &said);
    hangs(lab, job, "agents", &said);

    maintain(lab, "machine/up", &machine);
    maintain(lab, "maintenance/schedule", &json!({}));
    operate(
        lab,
        &json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": {"value": drained}}}),
    );
    for agent in ["a2", "a3"] {
        lab.on(agent, "systemctl restart mesos-slave");
    }
    all_are_back(lab);
}

pub(super) fn of_a_role_that_has_no_share(lab: &Lab) {
    step("a role whose every share is another's is named");
    let reserved = "cpus(adhoc):2;mem(adhoc):3072;disk(adhoc):10240;ports:[31000-32000]";
    for agent in AGENTS {
        announces(lab, agent, &format!("printf %s '{reserved}' > resources"));
    }
    all_are_back(lab);

    let job = Job::submit(lab, "shareless", &[]);
    let smoke = smoke(lab, &[PATIENT]);
    let said = ["all cpus of all agents are reserved for adhoc, not for role etl"];
    tells(&smoke, "pi-through-mesos", &said);
    hangs(lab, job, "role", &said);

    for agent in AGENTS {
        announces_as_before(lab, agent);
    }
    all_are_back(lab);
}

pub(super) fn of_single_agents(lab: &Lab) {
    step(
        "an attribute that is gone, an image that is missing and executors that die are told of their agents",
    );
    let conf = "/opt/spark/conf/spark-defaults.conf";
    let image = lab.on(AT, &format!("awk '$1 ~ /docker.image$/ {{print $2}}' {conf}"));
    let image = image.trim();
    announces(lab, "a1", "printf %s 'provision_host:elsewhere;rack:r1' > attributes");
    lab.on("a2", &format!("docker tag {image} kept && docker rmi {image}"));
    let dies = "#!/bin/sh\\necho \"Error: nothing here knows the way\" >&2\\nexit 7\\n";
    lab.on(
        "a3",
        &format!(
            "set -e; docker tag {image} kept; printf '{dies}' > /run/class; chmod 755 /run/class; \
             id=$(docker create {image} true); docker cp /run/class $id:/opt/spark/bin/spark-class; \
             docker commit $id {image}; docker rm $id"
        ),
    );
    all_are_back(lab);

    let pinned = |name, agent| {
        let constraint = format!("spark.mesos.constraints=provision_host:{agent}");
        Job::submit(lab, name, &[&constraint])
    };
    let jobs = [pinned("renamed", "a1"), pinned("imageless", "a2"), pinned("dying", "a3")];
    let smoke = smoke(lab, &[PATIENT, "smoke.each_agent=true"]);
    let [renamed, imageless, dying] = jobs;
    let missing = format!("image {image} is missing on a2");
    let cases: [(_, _, _, &[&str]); 3] = [
        (
            "pi-on-a1",
            renamed,
            "constraints",
            &["no agent matches `provision_host:a1`", "provision_host is elsewhere"],
        ),
        ("pi-on-a2", imageless, "image", &[&missing]),
        ("pi-on-a3", dying, "executors", &["TASK_FAILED on a3: Error: nothing here knows the way"]),
    ];
    for (proof, job, rung, said) in cases {
        tells(&smoke, proof, said);
        if rung != "constraints" {
            until(&format!("{} has lost executors", job.name), || job.lost() >= 2);
        }
        hangs(lab, job, rung, said);
    }

    announces_as_before(lab, "a1");
    for agent in ["a2", "a3"] {
        lab.on(agent, &format!("docker tag kept {image} && docker rmi kept"));
    }
    all_are_back(lab);
}

pub(super) fn of_a_client(lab: &Lab) {
    let defaults = "spark-defaults.conf";

    step("cores that no executor may have are named");
    let cores = ["spark.cores.max=1", "spark.executor.cores=2"];
    let lines = cores.map(|line| line.replace('=', " ")).join("\\n");
    edit(lab, defaults, &format!("printf '{lines}\\n' >> {defaults}"));
    let job = Job::submit(lab, "coreless", &[]);
    let sets = cores.map(|set| format!("spark.defaults.{set}"));
    let smoke_ = smoke(lab, &[PATIENT, &sets[0], &sets[1]]);
    let said = ["spark.cores.max is 1, and one executor takes 2 cores: every offer is declined"];
    tells(&smoke_, "pi-through-mesos", &said);
    hangs(lab, job, "room", &said);
    restore(lab, defaults);

    step("a driver that registers nowhere is named");
    edit(lab, defaults, &format!("sed -i '/^spark.master /s,/mesos$,/elsewhere,' {defaults}"));
    let job = Job::submit(lab, "lost", &[]);
    let smoke_ = smoke(lab, &[BRIEF]);
    tells(
        &smoke_,
        "pi-through-mesos",
        &["the driver on c1 did not register with the leading master"],
    );
    let (rung, words) = broken_rung(lab, job.name);
    assert_eq!(rung, "registration", "{words}");
    assert!(words.contains("is called lost"), "{words}");
    job.give_up();
    restore(lab, defaults);

    step("a secret that is not the principal's is named");
    let wrong =
        "install -o spark -m 600 /dev/null /run/jobs/wrong; printf %s wrong > /run/jobs/wrong";
    edit(
        lab,
        defaults,
        &format!("{wrong}; echo 'spark.mesos.secret.file /run/jobs/wrong' >> {defaults}"),
    );
    let job = Job::submit(lab, "liar", &[]);
    until("the master refuses a liar", || job.status().is_some());
    let (rung, words) = broken_rung(lab, job.name);
    assert_eq!(rung, "authentication", "{words}");
    assert!(words.contains("the master refused credentials"), "{words}");
    tells(&smoke(lab, &[]), "pi-through-mesos", &["the master refused credentials"]);
    restore(lab, defaults);

    step("an address that agents do not know is named");
    let env = "spark-env.sh";
    edit(lab, env, &format!("echo export SPARK_LOCAL_HOSTNAME=c1 >> {env}"));
    let job = Job::submit(lab, "addressless", &[]);
    until("it has lost executors", || job.lost() >= 2);
    hangs(lab, job, "address", &["executors cannot reach their driver at c1:"]);
    tells(
        &smoke(lab, &[]),
        "pi-through-mesos",
        &["an executor ended with TASK_FAILED on a", "java.net.UnknownHostException: c1"],
    );
    restore(lab, env);
}

/// The smoke test of the client's own submits, which is to fail.
fn smoke(lab: &Lab, sets: &[&str]) -> Ran {
    let sets = sets.iter().flat_map(|set| ["-e", set]);
    let ran = lab.run("smoke", &["-l", AT].into_iter().chain(sets).collect::<Vec<_>>());
    assert_eq!(ran.code, 5, "{ran:?}");
    ran
}

/// The line of a proof that failed.
pub(super) fn failed<'a>(ran: &'a Ran, proof: &str) -> &'a str {
    let mark = format!("smoke {proof} {AT}: FAILED");
    let pinned = format!("smoke {proof} {}: FAILED", proof.trim_start_matches("pi-on-"));
    let mut lines = ran.err.lines();
    lines
        .find(|line| line.contains(&mark) || line.contains(&pinned))
        .unwrap_or_else(|| panic!("{proof} did not fail in {}", ran.err))
}

/// It says all of this of a proof that failed.
fn tells(ran: &Ran, proof: &str, said: &[&str]) {
    let line = failed(ran, proof);
    for part in said {
        assert!(line.contains(part), "{proof}: {part} in {line}");
    }
}

/// A user's job that hangs at a rung, of which all of this is said; then it is given up.
fn hangs(lab: &Lab, job: Job<'_>, rung: &str, said: &[&str]) {
    job.asks();
    let (broken, words) = broken_rung(lab, job.name);
    assert_eq!(broken, rung, "{}: {words}", job.name);
    for part in said {
        assert!(words.contains(part), "{}: {part} in {words}", job.name);
    }
    job.give_up();
}

/// An agent announces other things, as after an operator's edit by hand.
fn announces(lab: &Lab, agent: &str, change: &str) {
    lab.on(
        agent,
        &format!(
            "set -e; cd /etc/mesos-slave; mkdir -p /run/kept; cp -p attributes resources /run/kept; {change}"
        ),
    );
    comes_anew(lab, agent);
}

fn announces_as_before(lab: &Lab, agent: &str) {
    lab.on(agent, "cp -p /run/kept/* /etc/mesos-slave/");
    comes_anew(lab, agent);
}

/// Mesos recovers no agent that announces other things.
fn comes_anew(lab: &Lab, agent: &str) {
    lab.on(
        agent,
        "systemctl stop mesos-slave; rm -f /var/lib/mesos/meta/slaves/latest; systemctl start mesos-slave",
    );
}

/// Changes a file of Spark's on the client, by hand.
fn edit(lab: &Lab, file: &str, change: &str) {
    lab.on(
        AT,
        &format!("set -e; cd /opt/spark/conf; cp -p {file} /run/jobs/{file}.kept; {change}"),
    );
}

fn restore(lab: &Lab, file: &str) {
    lab.on(AT, &format!("cp -p /run/jobs/{file}.kept /opt/spark/conf/{file}"));
}

fn all_are_back(lab: &Lab) {
    until("all agents serve", || {
        let serves = |listed: Json| listed["active"] == true && listed["deactivated"] != true;
        AGENTS.into_iter().all(|agent| serves(lab.listed(agent)))
    });
}

/// A call of the maintenance primitives.
fn maintain(lab: &Lab, path: &str, body: &Json) {
    let ask = format!(
        "curl -s -w '%{{http_code}}' -H 'Content-Type: application/json' \
         -d '{body}' http://$(cat /etc/mesos-master/ip):5050/{path}"
    );
    let answer = lab.on(&lab.leader(), &ask);
    assert!(answer.ends_with("200"), "{path} {body}: {answer}");
}
