//! What an agent does with tasks that are plain processes.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use mesos_messages::{
    ContainerInfo, ContainerType, DockerInfo, FrameworkInfo, Image, ImageType, MesosInfo, Reason,
    Source, TaskInfo, TaskState, TaskStatus, Uri,
};
use serde_json::json;

use crate::common::{get, wait_for};
use crate::master::{duration, pack};
use crate::pair::{Pair, framework, message, task};

#[test]
fn a_process_runs_and_its_agent_tells_everything_in_order() {
    let mut pair = Pair::new(&[]);
    let command = "echo $WORD in $PWD as $MESOS_EXECUTOR_ID; echo aside >&2; sleep 0.3";
    pair.master.launch(&framework(false), &task("t", command));
    pair.master.until("t", TaskState::Running);
    let running = pair.state();
    let executor = &running["frameworks"][0]["executors"][0];
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING", "{running}");
    assert_eq!(
        executor["resources"],
        json!({ "disk": 0.0, "mem": 132.0, "gpus": 0.0, "cpus": 1.6 })
    );
    assert_eq!(running["unreserved_resources_allocated"], executor["resources"]);
    let states = [TaskState::Starting, TaskState::Running, TaskState::Finished];
    assert_eq!(pair.master.states("t"), states);
    let end = pair.master.end("t");
    assert_eq!(message(&end), "Command exited with status 0");
    assert_eq!((end.source(), end.reason), (Source::Executor, None));
    let sandbox = pair.sandbox("t");
    assert_eq!(pair.file("t", "stdout"), format!("a b in {} as t\n", sandbox.display()));
    let stderr = pair.file("t", "stderr");
    assert!(stderr.contains("Starting task t") && stderr.contains("\naside\n"), "{stderr}");
    assert!(stderr.contains("] Command exited with status 0"), "{stderr}");
    let mode = std::fs::metadata(&sandbox).expect("a directory").mode();
    assert_eq!(mode & 0o777, 0o750);

    // It is remembered, and its sandbox can be read.
    let after = wait_for("the framework's end", || {
        let state = pair.state();
        (!state["completed_frameworks"].as_array()?.is_empty()).then_some(state)
    });
    let done = &after["completed_frameworks"][0]["completed_executors"][0];
    assert_eq!(done["completed_tasks"][0]["state"], "TASK_FINISHED");
    assert_eq!(after["frameworks"], json!([]));
    let directory = done["directory"].as_str().expect("a directory");
    let read = |query: &str| get(&pair.place, &format!("/files/{query}")).expect("an answer");
    let whole = read(&format!("read?path={directory}/stdout&offset=0"));
    assert_eq!(whole.json()["data"], pair.file("t", "stdout"));
    let size = read(&format!("read?path={directory}/stdout&offset=-1")).json();
    assert_eq!(size, json!({ "data": "", "offset": pair.file("t", "stdout").len() }));
    let listed = read(&format!("browse?path={directory}")).json();
    assert_eq!(listed[0]["path"], format!("{directory}/stderr"));
    assert_eq!(read("read?path=/etc/passwd&offset=0").status, 404);
    assert_eq!(read(&format!("read?path={directory}/../../../../../../..&offset=0")).status, 404);
    let metrics = get(&pair.place, "/metrics/snapshot").expect("an answer").json();
    assert_eq!(metrics["slave/tasks_finished"], 1.0);
    assert!(pair.agent.as_mut().expect("it was started").is_running());
}

#[test]
fn an_update_waits_for_the_acknowledgement_of_the_one_before() {
    let pair = Pair::new(&[]);
    pair.master.talk().silent = true;
    pair.master.launch(&framework(false), &task("t", "exit 3"));
    pair.master.until("t", TaskState::Starting);
    // The task is over long before anybody hears of more than its start.
    wait_for("the end of the task", || {
        let state = pair.state();
        let executor = &state["frameworks"][0]["executors"][0];
        (executor["completed_tasks"][0]["state"] == "TASK_FAILED").then_some(())
    });
    assert_eq!(pair.master.told("t").len(), 1);
    let starting = pair.master.told("t").remove(0);
    pair.master.talk().silent = false;
    pair.master.order(json!({
        "order": "acknowledge", "framework_id": "f", "task_id": "t",
        "uuid": pack_bytes(&starting),
    }));
    let states = [TaskState::Starting, TaskState::Running, TaskState::Failed];
    assert_eq!(pair.master.states("t"), states);
    assert_eq!(message(&pair.master.end("t")), "Command exited with status 3");
}

fn pack_bytes(status: &TaskStatus) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(status.uuid.as_ref().expect("a UUID"))
}

#[test]
fn what_is_killed_gets_its_grace_period_and_no_more() {
    let pair = Pair::new(&["--executor_shutdown_grace_period=300ms"]);
    let mild = "trap 'echo bye; exit 7' TERM; while :; do sleep 0.1; done";
    let stubborn = "trap '' TERM; while :; do sleep 0.1; done";
    pair.master.launch(&framework(false), &task("mild", mild));
    pair.master.launch(&framework(false), &task("stubborn", stubborn));
    for id in ["mild", "stubborn"] {
        pair.master.until(id, TaskState::Running);
    }
    // The traps are set by the time something was written.
    std::thread::sleep(Duration::from_millis(300));
    pair.master.kill("f", "mild", Some(Duration::from_secs(60)));
    pair.master.kill("f", "stubborn", None);
    let (mild, stubborn) = (pair.master.end("mild"), pair.master.end("stubborn"));
    assert_eq!((mild.state(), message(&mild)), (TaskState::Killed, "Command exited with status 7"));
    assert_eq!(pair.file("mild", "stdout"), "bye\n");
    assert_eq!(stubborn.state(), TaskState::Killed);
    assert_eq!(message(&stubborn), "Command terminated with signal Killed");
}

#[test]
fn a_drain_kills_and_says_so() {
    let pair = Pair::new(&[]);
    pair.master.launch(&framework(false), &task("t", "sleep 60"));
    pair.master.until("t", TaskState::Running);
    let grace = pack(&duration(Duration::from_secs(5)));
    pair.master.order(json!({ "order": "drain", "grace": grace, "mark_gone": false }));
    let end = pair.master.end("t");
    assert_eq!((end.state(), end.reason()), (TaskState::Killed, Reason::AgentDraining));
    wait_for("an agent without tasks", || (pair.master.talk().tasks == Some(0)).then_some(()));
}

#[test]
fn uris_are_fetched_before_the_task_starts() {
    let pair = Pair::new(&[]);
    pair.scratch.write("in/tool", "#!/bin/sh\necho made by a tool\n");
    pair.scratch.write("in/inner", "packed\n");
    let directory = pair.scratch.path("in");
    let packed = Command::new("tar")
        .args(["-czf", "x.tgz", "inner"])
        .current_dir(&directory)
        .status()
        .expect("tar is there");
    assert!(packed.success());
    let at = |name: &str| directory.join(name).display().to_string();
    let uri = |value: String| Uri { value, cache: Some(true), ..Uri::default() };
    let mut with = task("t", "./tool; cat inner other; ls x.tgz");
    with.command.as_mut().expect("a command").uris = vec![
        Uri { executable: Some(true), ..uri(format!("file://{}", at("tool"))) },
        uri(at("x.tgz")),
        // The agent itself serves HTTP, and its version as well as any file.
        Uri {
            output_file: Some("other".to_owned()),
            ..uri(format!("http://{}/version", pair.place))
        },
    ];
    pair.master.launch(&framework(false), &with);
    assert_eq!(pair.master.end("t").state(), TaskState::Finished, "{}", pair.file("t", "stderr"));
    let stdout = pair.file("t", "stdout");
    assert!(stdout.starts_with("made by a tool\npacked\n{\"build_date\""), "{stdout}");
    assert!(stdout.ends_with("x.tgz\n"), "the archive itself stays: {stdout}");

    let mut without = task("u", "true");
    let missing = at("missing");
    without.command.as_mut().expect("a command").uris = vec![uri(missing.clone())];
    pair.master.launch(&framework(false), &without);
    let end = pair.master.end("u");
    assert_eq!((end.state(), end.reason()), (TaskState::Failed, Reason::ContainerLaunchFailed));
    let text = message(&end);
    assert!(text.starts_with("Failed to launch container: Failed to fetch all URIs"), "{text}");
    let stderr = pair.file("u", "stderr");
    assert!(stderr.contains(&format!("Failed to fetch '{missing}'")), "{stderr}");
}

#[test]
fn what_cannot_be_run_is_refused_with_a_sentence() {
    let pair = Pair::new(&[]);
    let in_container = |id: &str, container: ContainerInfo| TaskInfo {
        container: Some(container),
        ..task(id, "true")
    };
    let docker = ContainerInfo {
        r#type: ContainerType::Docker as i32,
        docker: Some(DockerInfo { image: "x".to_owned(), ..DockerInfo::default() }),
        ..ContainerInfo::default()
    };
    let image = Image { r#type: ImageType::Docker as i32, ..Image::default() };
    let with_image = ContainerInfo {
        r#type: ContainerType::Mesos as i32,
        mesos: Some(MesosInfo { image: Some(image) }),
        ..ContainerInfo::default()
    };
    let plain = ContainerInfo { r#type: ContainerType::Mesos as i32, ..ContainerInfo::default() };
    pair.master.launch(&framework(false), &in_container("docker", docker));
    pair.master.launch(&framework(false), &in_container("image", with_image));
    pair.master.launch(&framework(false), &in_container("plain", plain));
    let stranger = FrameworkInfo { user: "nobody-of-that-name".to_owned(), ..framework(false) };
    pair.master.launch(&stranger, &task("user", "true"));
    assert_eq!(
        message(&pair.master.end("docker")),
        "Failed to launch container: None of the enabled containerizers (mesos) could create a \
         container for the provided TaskInfo/ExecutorInfo message"
    );
    assert_eq!(
        message(&pair.master.end("image")),
        "Failed to launch container: the stand-in has no images but those of Docker: use a \
         container of the type DOCKER"
    );
    assert_eq!(pair.master.end("plain").state(), TaskState::Finished);
    let lost = pair.master.end("user");
    assert_eq!((lost.state(), lost.source()), (TaskState::Lost, Source::Agent));
    assert_eq!(lost.reason(), Reason::ExecutorTerminated);
    let text = message(&lost);
    let why = "Failed to chown directory to 'nobody-of-that-name': No such user";
    assert!(
        text.starts_with("Failed to create executor directory") && text.contains(why),
        "{text}"
    );
}

#[test]
fn a_task_outlives_its_agent_where_its_framework_wants_that() {
    let mut pair = Pair::new(&[]);
    let command = "while ! [ -e stop ]; do sleep 0.05; done; echo done";
    let other = FrameworkInfo { id: Some("g".into()), ..framework(false) };
    pair.master.launch(&framework(true), &task("lives", command));
    pair.master
        .launch(&other, &task("dies", "trap 'touch died; exit' TERM; while :; do sleep 0.1; done"));
    for id in ["lives", "dies"] {
        pair.master.until(id, TaskState::Running);
    }
    let dies = pair.scratch.path("work/slaves/m-S0/frameworks/g/executors/dies/runs/latest");
    pair.agent.as_mut().expect("it was started").kill();
    wait_for("the end of the other task", || dies.join("died").exists().then_some(()));
    pair.start();
    let registration = pair.master.talk().registration.clone().expect("it registered");
    let frameworks = registration["frameworks"].as_array().expect("a list");
    assert_eq!(frameworks.len(), 1, "{registration}");
    std::fs::write(pair.sandbox("lives").join("stop"), "").expect("the sandbox is ours");
    let states = [TaskState::Starting, TaskState::Running, TaskState::Finished];
    assert_eq!(pair.master.states("lives"), states);
    assert_eq!(pair.file("lives", "stdout"), "done\n");
    assert!(pair.master.told("dies").iter().all(|status| !status.state().is_terminal()));
}
