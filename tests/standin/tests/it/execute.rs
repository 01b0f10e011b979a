//! `mesos-execute` through a master and an agent: the whole way of a task, and of a drain.

use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value as Json, json};

use crate::cluster::{Member, active};
use crate::common::{ask, command, output_of, wait_for};
use crate::scheduler::{SMALL, agent_of, json_of, lone_master};

fn execute(master: &Member, name: &str, line: &str) -> Command {
    let mut execute = command("mesos-execute");
    execute.arg(format!("--master={}", master.place)).arg(format!("--name={name}"));
    execute.arg(format!("--command={line}")).arg("--resources=cpus:0.5;mem:32");
    execute
}

fn start(master: &Member, name: &str, line: &str) -> Child {
    let mut execute = execute(master, name, line);
    execute.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn running(master: &Member, name: &str) {
    wait_for("a running task", || {
        let tasks = json_of(master, "/tasks")["tasks"].as_array().cloned()?;
        tasks.iter().any(|it| it["id"] == name && it["state"] == "TASK_RUNNING").then_some(())
    });
}

#[test]
fn a_command_runs_and_its_end_is_the_exit_status() {
    let master = lone_master(&[]);
    let agent = agent_of(&master, SMALL);
    active(&master.place, &agent);
    let well = output_of(&mut execute(&master, "well", "true"));
    assert!(well.status.success(), "{}", text(&well));
    let said = text(&well);
    for line in ["Submitted task 'well' to agent '", "Received status update TASK_FINISHED"] {
        assert!(said.contains(line), "{said}");
    }
    let badly = output_of(&mut execute(&master, "badly", "exit 4"));
    assert_eq!(badly.status.code(), Some(1));
    assert!(text(&badly).contains("message: 'Command exited with status 4'"), "{}", text(&badly));
    let unknown = output_of(execute(&master, "x", "true").arg("--nonsense=1"));
    assert!(text(&unknown).contains("Failed to load unknown flag 'nonsense'"));
    // The framework has gone with its task.
    let view = json_of(&master, "/frameworks");
    assert_eq!(view["frameworks"], json!([]));
    let done = view["completed_frameworks"].as_array().map(Vec::len);
    assert_eq!(done, Some(2), "{view}");
}

#[test]
fn a_drain_waits_for_the_task_and_marks_the_agent_gone_after_it() {
    let master = lone_master(&[]);
    let mut agent = agent_of(&master, SMALL);
    let id = active(&master.place, &agent)["id"].as_str().expect("an id").to_owned();
    let held = agent.scratch.path("held");
    std::fs::write(&held, "").expect("the directory is ours");
    let line = format!("trap '' TERM; while [ -e {} ]; do sleep 0.1; done; exit 5", held.display());
    let job = start(&master, "held", &line);
    running(&master, "held");
    // The trap is set by the time the shell sleeps.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let call = json!({ "type": "DRAIN_AGENT", "drain_agent": {
        "agent_id": { "value": id }, "max_grace_period": { "seconds": 600 }, "mark_gone": true,
    } });
    let answer = ask("POST", &master.place, "/api/v1", &call.to_string()).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let state = || json_of(&master, "/slaves")["slaves"][0]["drain_info"]["state"].clone();
    assert_eq!(state(), "DRAINING");
    // As long as the task goes on, so does the drain.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(state(), "DRAINING");
    assert_eq!(json_of(&master, "/slaves")["slaves"][0]["used_resources"]["cpus"], 0.5);
    std::fs::remove_file(&held).expect("it is ours");
    let output = job.wait_with_output().expect("it ends");
    let said = text(&output);
    assert!(said.contains("Received status update TASK_KILLED"), "{said}");
    // Gone agents are told to end.
    assert!(agent.daemon().ended().success());
    wait_for("an empty cluster", || {
        let slaves: Json = json_of(&master, "/slaves");
        (slaves["slaves"] == json!([])).then_some(())
    });
}
