//! What apply prints is what a user types, in both modes, where no member's name resolves.

use serde_json::Value as Json;

use super::super::support::lab::{Lab, Ran, step};
use super::super::support::twin::until;
use super::super::support::user::{AT, Job, broken_rung};

const HOSTS: [&str; 7] = ["m1", "m2", "m3", "a1", "a2", "a3", "c1"];

/// The two lines that apply prints.
pub(super) struct Submits {
    client: String,
    cluster: String,
}

pub(super) fn members_names_resolve_nowhere(lab: &Lab) {
    step("members' names resolve nowhere but at home");
    for host in HOSTS {
        for other in HOSTS.iter().filter(|other| **other != host) {
            let found = lab
                .on(host, &format!("getent ahosts {other} || grep -w {other} /etc/hosts || true"));
            assert_eq!(found, "", "{host} resolves {other}");
        }
    }
}

pub(super) fn apply_prints_what_it_has_proven(lab: &Lab) -> Submits {
    step("apply prints the two lines that it has proven");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    for mode in ["pi-through-mesos", "pi-in-cluster-mode"] {
        let passed = format!("smoke {mode} c1: passed (stand-in): ");
        assert!(apply.err.contains(&passed), "{passed} in {}", apply.err);
    }
    let line = |mark: &str| {
        let line = apply.out.lines().find_map(|line| line.trim().strip_prefix(mark));
        line.unwrap_or_else(|| panic!("{mark} in {}", apply.out)).trim().to_owned()
    };
    Submits {
        client: line("Submit:     on c1 as spark:"),
        cluster: line("or from there, in cluster mode:"),
    }
}

pub(super) fn what_is_printed_runs_where_constraints_say(lab: &Lab, submits: &Submits) {
    step(
        "the printed lines run in both modes, with constraints, and with the credentials of our files",
    );
    let constraint = "spark.mesos.constraints=rack:r2";
    let ran = typed(lab, &with(&submits.client, constraint));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("Pi is roughly 3.1"), "{ran:?}");
    let registered = ran.err.lines().find(|line| line.contains("registered with")).unwrap();
    let framework = registered.rsplit(' ').next().unwrap();
    assert_eq!(agents_of(lab, framework), ["a2"]);

    let (driver, said) = driven(lab, &with(&submits.cluster, constraint));
    assert!(said.contains("TASK_FINISHED"), "{said}");
    assert_eq!(agents_of(lab, &driver), ["a2"]);
    let sandbox = format!(
        "cat /var/lib/mesos/slaves/*/frameworks/*/executors/{driver}/runs/latest/stdout 2>/dev/null || true"
    );
    let said: String = ["a1", "a2", "a3"].map(|agent| lab.on(agent, &sandbox)).concat();
    assert!(said.contains("Pi is roughly 3.1"), "{said}");
    for framework in completed(lab).iter().filter(|of| of["name"] == "PythonPi") {
        assert_eq!(framework["principal"], "spark", "{framework:#}");
        // In cluster mode too, where a driver is root in its container.
        assert_eq!(framework["user"], "spark", "{framework:#}");
    }
}

pub(super) fn a_driver_that_fails_is_told_from_one_that_finished(lab: &Lab, submits: &Submits) {
    step("a driver that fails in cluster mode is told with its own last words");
    let line = submits.cluster.rsplit_once(' ').unwrap().0;
    let (driver, said) = driven(lab, &format!("{line} many"));
    assert!(said.contains("TASK_FAILED"), "{said}");
    let (rung, words) = broken_rung(lab, &driver);
    assert_eq!(rung, "registration", "{words}");
    assert!(words.contains("TASK_FAILED"), "{words}");
    assert!(
        words.contains("ValueError: invalid literal for int() with base 10: 'many'"),
        "{words}"
    );
}

/// What a user of the client types.
fn typed(lab: &Lab, line: &str) -> Ran {
    lab.try_on(
        AT,
        &format!("cd /; runuser -u spark -- env -i PATH=/usr/bin:/bin HOME=/run/jobs {line}"),
    )
}

impl Submits {
    /// Hands in a driver with a property more: its id, and where the dispatcher answers.
    pub(super) fn hand_in(&self, lab: &Lab, property: &str) -> (String, String) {
        handed_in(lab, &with(&self.cluster, property))
    }
}

/// The same line with a property more.
fn with(line: &str, property: &str) -> String {
    line.replacen("spark-submit ", &format!("spark-submit --conf {property} "), 1)
}

/// Hands in a driver: its id, and where the dispatcher answers.
fn handed_in(lab: &Lab, line: &str) -> (String, String) {
    let ran = typed(lab, line);
    assert_eq!(ran.code, 0, "{ran:?}");
    let said = ran.out + &ran.err;
    let id = said.split("\"submissionId\" : \"").nth(1).and_then(|rest| rest.split('"').next());
    let id = id.unwrap_or_else(|| panic!("no driver in {said}")).to_owned();
    let rest = line.split("mesos://").nth(1).and_then(|rest| rest.split(' ').next());
    (id, rest.unwrap().to_owned())
}

/// The same, and waits for its end; its id, and what the dispatcher says then.
fn driven(lab: &Lab, line: &str) -> (String, String) {
    let (id, rest) = handed_in(lab, line);
    let ask = format!("curl -s http://{rest}/v1/submissions/status/{id}");
    until(&format!("{id} is over"), || lab.on(AT, &ask).contains("\"FINISHED\""));
    let said = lab.on(AT, &ask);
    (id, said)
}

fn completed(lab: &Lab) -> Vec<Json> {
    let all = lab.asked("/frameworks");
    all["completed_frameworks"].as_array().unwrap().clone()
}

/// The agents that a framework had tasks on, by the end of its id.
fn agents_of(lab: &Lab, id: &str) -> Vec<String> {
    let all = completed(lab);
    let mine = all.iter().find(|of| of["id"].as_str().unwrap().ends_with(id));
    let tasks = mine.unwrap_or_else(|| panic!("no {id} in {all:#?}"))["completed_tasks"].as_array();
    let mut agents: Vec<String> =
        tasks.unwrap().iter().map(|task| lab.agent(task["slave_id"].as_str().unwrap())).collect();
    agents.sort();
    agents.dedup();
    agents
}

/// Event logs of jobs in client mode; the directory is made where Spark would stop without it.
pub(super) fn who_has_ended_is_in_the_history(lab: &Lab) {
    step("a history server comes, and shows a job that has ended");
    let sets = ["spark.history.hosts.0=c1", "allow.event-logs=client mode"];
    lab.keep(&sets);
    let apply = lab.run("apply", &["-y", "-t", "spark,dispatcher,history,retired"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    let job = Job::submit(lab, "remembered", &["spark.cores.max=1"]);
    job.works();
    job.ends_well();
    let page = format!("curl -sf http://{}:18080/api/v1/applications", lab.address(AT));
    until("the history server shows it", || {
        lab.on(AT, &page).contains("\"name\" : \"remembered\"")
    });
    lab.forget("spark.history");
    lab.forget("allow.event-logs");
    let apply = lab.run("apply", &["-y", "-t", "spark,dispatcher,history,retired"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    lab.on(AT, "! systemctl is-active -q spark-history");
}
