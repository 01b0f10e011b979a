//! What stops the daemons at their start: the very words of recorded real daemons.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use crate::common::{Scratch, command, output_of};

#[test]
fn a_master_refuses_with_the_recorded_words() {
    let scratch = Scratch::new();
    let work_dir = format!("--work_dir={}", scratch.path("work").display());
    let zk = "--zk=zk://127.0.0.1:1/mesos";
    for (case, recorded, flags) in [
        (
            "duplicate-port",
            include_str!("../recorded/master/duplicate-port.txt"),
            &["--port=5050", "--port=5051"][..],
        ),
        (
            "quorum-bak",
            include_str!("../recorded/master/quorum-bak.txt"),
            &["--quorum.bak=2", "--quorum=2"],
        ),
        ("quorum-text", include_str!("../recorded/master/quorum-text.txt"), &["--quorum=two"]),
        (
            "quorum-absent",
            include_str!("../recorded/master/quorum-absent.txt"),
            &["--ip=127.0.0.1", "--port=0"],
        ),
        (
            "weight-zero",
            include_str!("../recorded/master/weight-zero.txt"),
            &["--ip=127.0.0.1", "--port=0", "--quorum=1", "--weights=etl=0"],
        ),
    ] {
        let output = output_of(command("mesos-master").args([zk, &work_dir]).args(flags));
        assert_eq!(output.status.code(), Some(1), "{case}");
        says(case, &output, recorded);
    }
    let flags = [zk, &work_dir, "--quorum=2", "--ip=9.9.9.9"];
    let output = output_of(command("mesos-master").args(flags));
    assert_eq!(output.status.signal(), Some(6));
    says("wrong-ip", &output, include_str!("../recorded/master/wrong-ip.txt"));
}

#[test]
fn a_master_needs_a_work_dir_and_a_path_in_zookeeper() {
    let run = |flags: &[&str]| {
        output_of(command("mesos-master").args(["--ip=127.0.0.1", "--port=0"]).args(flags))
    };
    says(
        "work_dir",
        &run(&["--zk=zk://h:1/m"]),
        "EXIT with status 1: --work_dir needed for replicated log based registry\n",
    );
    says(
        "path",
        &run(&["--zk=zk://h:1/", "--work_dir=/nowhere", "--quorum=1"]),
        "Expecting a (chroot) path for ZooKeeper ('/' is not supported)\n",
    );
}

#[test]
fn an_agent_refuses_with_the_recorded_words() {
    for (case, recorded, flags) in [
        (
            "bad-duration",
            include_str!("../recorded/agent/bad-duration.txt"),
            &["--executor_registration_timeout=5 mins"][..],
        ),
        (
            "duplicate-flag",
            include_str!("../recorded/agent/duplicate-flag.txt"),
            &["--log_dir=/a", "--log_dir=/b"],
        ),
        ("stray-file", include_str!("../recorded/agent/stray-file.txt"), &["--hostname.bak=a2"]),
        ("unknown-flag", include_str!("../recorded/agent/unknown-flag.txt"), &["--no_such_flag=1"]),
        (
            "bad-resources",
            include_str!("../recorded/agent/bad-resources.txt"),
            &["--resources=cpus=2;mem:4096"],
        ),
        (
            "bad-resources-text",
            include_str!("../recorded/agent/bad-resources-text.txt"),
            &["--resources=cpus:two;mem:4096"],
        ),
        (
            "containerizers-space",
            include_str!("../recorded/agent/containerizers-space.txt"),
            &["--containerizers=docker, mesos"],
        ),
    ] {
        let output = agent(flags, None);
        assert_eq!(output.status.code(), Some(1), "{case}");
        says(case, &output, recorded);
    }
    for (case, recorded, flags) in [
        (
            "set-attribute",
            include_str!("../recorded/agent/set-attribute.txt"),
            ["--attributes=rack:{a,b}"],
        ),
        (
            "bad-attribute",
            include_str!("../recorded/agent/bad-attribute.txt"),
            ["--attributes=rack"],
        ),
    ] {
        let output = agent(&flags, None);
        assert_eq!(output.status.signal(), Some(6), "{case}");
        says(case, &output, recorded);
    }
}

#[test]
fn every_mistake_in_the_flags_is_followed_by_the_hint() {
    let output = agent(&["--no_such_flag=1"], None);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.ends_with("\n\nSee `mesos-agent --help` for a list of supported flags.\n"),
        "{text}"
    );
    let output = output_of(command("mesos-slave").arg("--work_dir=/nowhere"));
    assert_eq!(output.status.code(), Some(1));
    says("master", &output, "Missing required option `--master` or `--master_detector`.\n");
}

#[test]
fn docker_is_asked_before_an_agent_serves() {
    let scratch = Scratch::new();
    let none = scratch.path("none").display().to_string();
    let output = agent(&["--containerizers=docker,mesos"], Some(&none));
    assert_eq!(output.status.code(), Some(1));
    if !has_cpu_hierarchy() {
        return says(
            "cgroups",
            &output,
            "EXIT with status 1: Failed to create a containerizer: Could not create DockerContainerizer: Failed to create docker: Failed to find a mounted cgroups hierarchy for the 'cpu' subsystem; you probably need to mount cgroups manually\n",
        );
    }
    says("docker-missing", &output, include_str!("../recorded/agent/docker-missing.txt"));

    let stopped = "#!/bin/sh\ncase $3 in --version) echo 'Docker version 20.10.24+dfsg1, build 297e128'; exit 0;; esac\n\
                   echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2\nexit 1\n";
    let path = scratch.write("bin/docker", stopped);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("the mode is set");
    let bin = scratch.path("bin").display().to_string();
    let output = agent(&["--containerizers=docker,mesos"], Some(&bin));
    assert_eq!(output.status.code(), Some(1));
    says("docker-stopped", &output, include_str!("../recorded/agent/docker-stopped.txt"));
    says("advice", &output, "rm -f ");
}

#[test]
fn versions_are_told() {
    for name in ["mesos-master", "mesos-slave", "mesos-agent"] {
        let output = output_of(command(name).arg("--version"));
        assert_eq!(output.stdout, b"mesos 1.11.0\n");
        assert!(output.status.success());
    }
}

/// An agent that must end by itself, on a work directory of its own.
fn agent(flags: &[&str], path: Option<&str>) -> Output {
    let scratch = Scratch::new();
    let mut command = command("mesos-slave");
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let work_dir = format!("--work_dir={}", scratch.path("work").display());
    let command = command
        .args(["--master=zk://127.0.0.1:1/mesos", "--ip=127.0.0.1", "--port=0", &work_dir])
        .args(["--no-systemd_enable_support", "--launcher=posix"])
        .args(flags);
    output_of(command)
}

/// The first recorded line is in what it said (the recordings have no times).
fn says(case: &str, output: &Output, recorded: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    let wanted = recorded.lines().next().expect("a recorded line");
    let said = text.lines().any(|line| {
        line == wanted || line.ends_with(&format!("] {wanted}")) || line.contains(wanted)
    });
    assert!(said, "{case}: {wanted:?} is not in\n{text}");
}

fn has_cpu_hierarchy() -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        fields[2] == "cgroup" && fields[3].split(',').any(|option| option == "cpu")
    })
}
