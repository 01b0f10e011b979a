//! What an agent does with containers: through a client of the test's own that stands in for
//! Docker's, and through a real engine where there is one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use mesos_messages::{Reason, Source, TaskState};
use serde_json::{Value as Json, json};

use crate::common::{Scratch, get, note, wait_for};
use crate::pair::{Pair, framework, in_docker, message};

/// A client of Docker as far as an agent needs one. Containers are processes of the test, their
/// state is in files beside it, and `run`'s words are noted.
const CLIENT: &str = r#"#!/bin/bash
here=$(dirname "$0")
[ "$1" = --version ] && { echo 'Docker version 20.10.24+dfsg1, build x'; exit; }
shift 2
word=$1; shift
case $word in
  --version) echo 'Docker version 20.10.24+dfsg1, build x';;
  ps) echo 'CONTAINER ID IMAGE NAMES'; for c in "$here"/c/*; do [ -e "$c" ] && echo "x y $(basename "$c")"; done; true;;
  inspect)
    for name; do :; done
    case $1 in
      --type=image) [ "$name" = have:latest ];;
      *) [ -e "$here/c/$name" ] && echo '[{"State":{"StartedAt":"2026-01-01T00:00:00Z"},"NetworkSettings":{"IPAddress":"172.17.0.9"}}]';;
    esac;;
  pull) echo "Error response from daemon: no such host" >&2; exit 1;;
  run)
    printf '%s\n' "$@" >"$here/run.words"
    while [ "$1" != --name ]; do shift; done
    name=$2; mkdir -p "$here/c"; shift 3
    echo $$ >"$here/c/$name"
    [ "$1" = -c ] && set -- /bin/sh "$@"
    trap 'kill $child; wait $child; exit 143' TERM
    "$@" & child=$!
    wait $child;;
  stop) echo "$@" >>"$here/stops"; [ -e "$here/c/$3" ] && kill "$(cat "$here/c/$3")" 2>/dev/null; true;;
  rm) for name; do :; done; rm -f "$here/c/$name";;
  *) exit 125;;
esac
"#;

/// Whether an agent starts here with the Docker containerizer, or why not.
fn can_have_docker() -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let v1 = mounts.lines().any(|line| {
        line.split(' ').nth(2) == Some("cgroup")
            && line.split(' ').nth(3).is_some_and(|it| it.split(',').any(|option| option == "cpu"))
    });
    if !v1 {
        note("SKIPPED: an agent with Docker needs a cgroup v1 hierarchy of 'cpu'");
    }
    v1
}

fn with_docker(more: &[&str]) -> Option<Pair> {
    if !can_have_docker() {
        return None;
    }
    let scratch = Scratch::new();
    let client = scratch.write("bin/docker", CLIENT);
    std::fs::set_permissions(&client, Permissions::from_mode(0o755)).expect("it is ours");
    let flag = format!("--docker={client}");
    let mut flags = vec!["--containerizers=docker,mesos", flag.as_str()];
    flags.extend(more);
    Some(Pair::in_scratch(scratch, &flags))
}

#[test]
fn a_container_is_run_and_told_about() {
    let Some(pair) = with_docker(&[]) else { return };
    pair.master.launch(&framework(false), &in_docker("t", "have", "echo in a box; sleep 1"));
    let running = pair.master.until("t", TaskState::Running);
    let data = String::from_utf8(running.data.clone().unwrap_or_default()).expect("text");
    assert!(data.contains("StartedAt"), "{data}");
    let container = running.container_status.expect("a container");
    let address = container.network_infos[0].ip_addresses[0].ip_address();
    assert_eq!(address, "172.17.0.9");
    let id = container.container_id.expect("an id").value;
    let view = get(&pair.place, "/containers").expect("an answer").json();
    assert_eq!(view[0]["container_id"], id.as_str());
    let states = [TaskState::Starting, TaskState::Running, TaskState::Finished];
    assert_eq!(pair.master.states("t"), states);
    assert_eq!(message(&pair.master.end("t")), "Container exited with status 0");
    assert_eq!(pair.file("t", "stdout"), "in a box\n");
    let words = std::fs::read_to_string(pair.scratch.path("bin/run.words")).expect("it ran");
    let sandbox = pair.sandbox("t");
    let mount = format!("-v\n{}:/mnt/mesos/sandbox\n", sandbox.display());
    assert!(words.contains(&mount), "{words}");
    assert!(words.contains(&format!("--name\nmesos-{id}\nhave\n-c\n")), "{words}");
    assert!(sandbox.ends_with(&id), "the run is called like its container");
}

#[test]
fn an_image_that_is_nowhere_fails_with_the_engine_s_words() {
    let Some(pair) = with_docker(&[]) else { return };
    pair.master.launch(&framework(false), &in_docker("t", "nope", "true"));
    let end = pair.master.end("t");
    assert_eq!(pair.master.states("t"), [TaskState::Failed]);
    assert_eq!((end.source(), end.reason()), (Source::Agent, Reason::ContainerLaunchFailed));
    assert_eq!(end.container_status, None);
    let client = pair.scratch.path("bin/docker");
    let expected = format!(
        "Failed to launch container: Failed to run '{} -H unix:///var/run/docker.sock pull \
         nope:latest': exited with status 1; stderr='Error response from daemon: no such host\n'",
        client.display()
    );
    assert_eq!(message(&end), expected);
    assert_eq!(pair.file("t", "stderr"), "", "as recorded: the reason is not in the sandbox");
}

#[test]
fn a_container_is_stopped_with_the_grace_period() {
    let Some(pair) = with_docker(&["--docker_remove_delay=0secs"]) else { return };
    pair.master.launch(&framework(false), &in_docker("t", "have", "sleep 60"));
    let running = pair.master.until("t", TaskState::Running);
    pair.master.kill("f", "t", Some(Duration::from_secs(30)));
    let end = pair.master.end("t");
    assert_eq!(
        (end.state(), message(&end)),
        (TaskState::Killed, "Container exited with status 143")
    );
    let id = running.container_status.and_then(|it| it.container_id).expect("an id").value;
    let stops = std::fs::read_to_string(pair.scratch.path("bin/stops")).expect("it was stopped");
    assert!(stops.starts_with(&format!("-t 30 mesos-{id}\n")), "{stops}");
    let container = pair.scratch.path(&format!("bin/c/mesos-{id}"));
    wait_for("the container's removal", || (!container.exists()).then_some(()));
}

#[test]
fn orphans_are_removed_where_that_is_wanted_and_a_task_s_container_is_none() {
    let Some(mut pair) = with_docker(&[]) else { return };
    pair.master.launch(&framework(true), &in_docker("t", "have", "sleep 60"));
    pair.master.until("t", TaskState::Running);
    pair.agent.as_mut().expect("it was started").kill();
    let orphan = pair.scratch.path("bin/c/mesos-of-another");
    std::fs::write(&orphan, "").expect("the directory is ours");
    let other = pair.scratch.path("bin/c/somebody-else-s");
    std::fs::write(&other, "").expect("the directory is ours");
    pair.flags.push("--docker_kill_orphans=false".to_owned());
    pair.start();
    assert!(orphan.exists());
    pair.flags.pop();
    pair.agent.as_mut().expect("it was started").kill();
    pair.start();
    wait_for("the orphan's removal", || (!orphan.exists()).then_some(()));
    assert!(other.exists());
    // What the agent took back can be killed as ever.
    pair.master.kill("f", "t", None);
    assert_eq!(pair.master.end("t").state(), TaskState::Killed);
}

/// A shell and three tools with their libraries, as an archive that `docker import` takes.
const IMAGE: &str = r#"set -e
cd "$1"
for tool in sh sleep cat env; do
  file=$(readlink -f "$(command -v $tool)")
  mkdir -p root/bin
  cp "$file" root/bin/$tool
  for library in $(ldd "$file" | grep -o '/[^ ]*'); do cp --parents -L "$library" root; done
done
tar -C root -cf image.tar .
docker -H "unix://$2" import image.tar "$3" >imported
"#;

#[test]
fn a_real_engine_runs_a_container_as_recorded() {
    let socket = std::env::var("STANDIN_DOCKER_SOCKET");
    let socket = socket.unwrap_or_else(|_| "/var/run/docker.sock".to_owned());
    if std::os::unix::net::UnixStream::connect(&socket).is_err() {
        note(&format!("SKIPPED: no engine of Docker listens at {socket}; STANDIN_DOCKER_SOCKET"));
        return;
    }
    if !can_have_docker() {
        return;
    }
    let docker = |words: &[&str]| {
        let host = format!("unix://{socket}");
        let asked = Command::new("docker").args(["-H", &host]).args(words).output();
        let output = asked.expect("there is a client of Docker");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let scratch = Scratch::new();
    let (image, directory) = ("standin-test:tools", scratch.path(""));
    let made = Command::new("sh")
        .args(["-c", IMAGE, "sh"])
        .arg(&directory)
        .args([&socket, image])
        .status();
    assert!(made.expect("there is a shell").success(), "the image");
    let flag = format!("--docker_socket={socket}");
    let flags = [
        "--containerizers=docker,mesos",
        &flag,
        "--docker_kill_orphans=false",
        "--docker_remove_delay=0secs",
    ];
    let pair = Pair::in_scratch(scratch, &flags);
    let command = "echo $WORD; env; while ! [ -e $MESOS_SANDBOX/stop ]; do sleep 0.1; done; exit 3";
    pair.master.launch(&framework(false), &in_docker("t", image, command));
    let running = pair.master.until("t", TaskState::Running);
    let status = running.container_status.expect("a container");
    let name = format!("mesos-{}", status.container_id.expect("an id").value);
    let seen: Json = serde_json::from_str(&docker(&["inspect", &name])).expect("JSON");
    let host = &seen[0]["HostConfig"];
    assert_eq!((&host["CpuShares"], &host["Memory"]), (&json!(1536), &json!(100 << 20)));
    assert_eq!(host["NetworkMode"], "host");
    assert_eq!(seen[0]["Path"], "/bin/sh");
    assert_eq!(seen[0]["Args"], json!(["-c", command]));
    let sandbox = pair.sandbox("t");
    assert_eq!(host["Binds"], json!([format!("{}:/mnt/mesos/sandbox", sandbox.display())]));
    std::fs::write(sandbox.join("stop"), "").expect("the sandbox is ours");
    let end = pair.master.end("t");
    assert_eq!((end.state(), message(&end)), (TaskState::Failed, "Container exited with status 3"));
    let stdout = pair.file("t", "stdout");
    assert!(stdout.starts_with("a b\n"), "{stdout}");
    for line in ["MESOS_ALLOCATION_ROLE=*", "MESOS_SANDBOX=/mnt/mesos/sandbox", "WORD=a b"] {
        assert!(stdout.lines().any(|it| it == line), "{line} in {stdout}");
    }
    let stderr = pair.file("t", "stderr");
    assert!(stderr.ends_with("] Container exited with status 3\n"), "{stderr}");

    pair.master.launch(&framework(false), &in_docker("u", image, "sleep 60"));
    pair.master.until("u", TaskState::Running);
    pair.master.kill("f", "u", Some(Duration::from_secs(1)));
    let end = pair.master.end("u");
    assert_eq!(
        (end.state(), message(&end)),
        (TaskState::Killed, "Container exited with status 137")
    );
    pair.master.launch(&framework(false), &in_docker("v", "standin-test-nope", "true"));
    let end = pair.master.end("v");
    let text = format!(
        "Failed to launch container: Failed to run 'docker -H unix://{socket} pull \
         standin-test-nope:latest': exited with status 1; stderr='"
    );
    assert!(message(&end).starts_with(&text), "{}", message(&end));
    wait_for("the containers' removal", || (!docker(&["ps", "-a"]).contains(&name)).then_some(()));
}
