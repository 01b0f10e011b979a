//! A twin's host is what the rest of the program takes it for: a fresh machine behind SSH.
//!
//! Needs a Docker engine: `tests/assets/engine.sh` makes one answer.

use std::process::{Command, Output, Stdio};

use provision::ground::{Debian, HostName};
use provision::lab::{self, Engine, Twin, TwinHost, TwinSpec};

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_is_reached_by_ssh_with_strict_host_keys_and_leaves_nothing() {
    let cluster = format!("lab-test-{}", std::process::id());
    let spec = TwinSpec {
        cluster: cluster.clone(),
        hosts: [("m1", Engine::None), ("a1", Engine::Nested)]
            .map(|(name, engine)| TwinHost { name: HostName::new(name), engine })
            .into(),
        debian: None,
        image: None,
        spark_base: Debian::default(),
    };
    let mut said = Vec::new();
    let twin = match lab::up(&spec, &mut |line| said.push(line.to_owned())).await {
        Ok(twin) => twin,
        Err(error) => {
            let _ = lab::down(&cluster, &mut |_| ()).await;
            panic!(
                "no twin (without an engine run tests/assets/engine.sh first): {error:#}\n{said:#?}"
            );
        }
    };
    // Taken down whatever the checks say, then judged.
    let checks = tokio::spawn(check(spec, twin.clone())).await;
    lab::down(&cluster, &mut |_| ()).await.unwrap();
    if let Err(error) = checks {
        std::panic::resume_unwind(error.into_panic());
    }
    assert!(said.iter().any(|line| line.contains("as good as root")), "{said:?}");
    assert_eq!(lab::find(&cluster).await.unwrap(), None);
    assert!(!twin.identity.exists(), "the key outlived its twin");
}

#[tokio::test]
async fn an_image_of_ones_own_is_built_on_that_of_bare_hosts() {
    let spec = |image: &str| TwinSpec {
        cluster: format!("lab-own-{}", std::process::id()),
        hosts: Vec::new(),
        debian: None,
        image: Some(image.to_owned()),
        spark_base: Debian::default(),
    };
    let build = |tag: &str, dockerfile: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
        let built = Command::new("docker").args(["build", "-qt", tag]).arg(folder.path()).output();
        assert!(built.unwrap().status.success());
    };
    let bare = lab::image(&spec(""), &mut |_| ()).await.unwrap();
    let [ours, others] = ["ours", "others"].map(|it| format!("provision-own/{it}"));
    build(&ours, &format!("FROM {bare}\nLABEL with=more\n"));
    build(&others, "FROM scratch\nLABEL from=nothing\n");
    let up =
        async |image: &str| lab::up(&spec(image), &mut |_| ()).await.map_err(|it| it.to_string());
    let (ours_up, others_up, none_up) =
        (up(&ours).await, up(&others).await, up("provision-own/none").await);
    lab::down(&spec("").cluster, &mut |_| ()).await.unwrap();
    let gone = Command::new("docker").args(["rmi", &ours, &others]).output().unwrap();
    assert!(gone.status.success());
    assert!(ours_up.is_ok(), "{ours_up:?}");
    let refused =
        format!("{others} was not built on the hosts' image as it is now: build it FROM {bare}");
    assert_eq!(others_up, Err(refused));
    assert_eq!(none_up, Err("no image provision-own/none here".to_owned()));
}

async fn check(spec: TwinSpec, twin: Twin) {
    for host in twin.addresses.keys() {
        let name = host.as_str();
        assert_eq!(ssh(&twin, name, "hostname"), format!("{name}\n"));
        assert_eq!(ssh(&twin, name, "sudo -n id -u"), "0\n");
        let state = ssh(&twin, name, "systemctl is-system-running || :");
        assert!(matches!(state.trim(), "running" | "degraded"), "{state}");
        // What apply will lean on: units in their own cgroup, with the file system kept from them.
        let unit = "sudo -n systemd-run -q --wait -p PrivateTmp=yes -p ProtectSystem=full true";
        ssh(&twin, name, unit);
        assert_eq!(ssh(&twin, name, "command -v curl docker java || :"), "", "{name} is not fresh");
    }
    let ids: Vec<String> = ["m1", "a1"].map(|h| ssh(&twin, h, "cat /etc/machine-id")).into();
    assert_ne!(ids[0], ids[1], "two hosts, one machine id");

    ssh(&twin, "m1", "sudo -n apt-get update -q && sudo -n apt-get install -y -q netcat-openbsd");
    assert_eq!(ssh(&twin, "m1", "command -v nc"), "/usr/bin/nc\n");

    nested_engine_works(&twin, "a1");

    // A second `up` finds everything and changes nothing.
    let before = ssh(&twin, "m1", "cut -d' ' -f22 /proc/1/stat");
    let again = lab::up(&spec, &mut |_| ()).await.unwrap();
    assert_eq!(again, twin);
    assert_eq!(ssh(&twin, "m1", "cut -d' ' -f22 /proc/1/stat"), before);
    assert_eq!(lab::find(&spec.cluster).await.unwrap(), Some(twin.clone()));
    let rows = lab::status(&spec.cluster).await.unwrap();
    let rows: Vec<String> = rows.iter().map(|row| format!("{} {}", row.name, row.state)).collect();
    assert_eq!(rows, ["a1 running", "m1 running"]);

    // A host key that is not the one on record is refused: the file is what makes it strict.
    std::fs::write(&twin.known_hosts, "").unwrap();
    let refused = ssh_raw(&twin, "m1", "true");
    assert!(!refused.status.success(), "an unknown host key was accepted");
}

/// An agent builds its Spark image and runs executors in an engine of its own.
fn nested_engine_works(twin: &Twin, host: &str) {
    ssh(
        twin,
        host,
        "sudo -n apt-get update -q && sudo -n apt-get install -y -q --no-install-recommends docker.io",
    );
    let archive = std::fs::File::open(&twin.base_archive).unwrap();
    let loaded = ssh_command(twin, host, "sudo -n docker load -q").stdin(archive).output().unwrap();
    let loaded = String::from_utf8_lossy(&loaded.stdout).into_owned();
    assert_eq!(loaded, "Loaded image: debian:bookworm-slim\n");
    let build = "printf 'FROM debian:bookworm-slim\nRUN apt-get update && touch /built\n' \
                 | sudo -n docker build -t built -";
    ssh(twin, host, build);
    assert_eq!(ssh(twin, host, "sudo -n docker run --rm -m 64m built ls /built"), "/built\n");
    let driver = ssh(twin, host, "sudo -n docker info --format '{{.Driver}}'");
    assert_eq!(driver, "overlay2\n", "images would be copied, not layered");
}

fn ssh(twin: &Twin, host: &str, command: &str) -> String {
    let output = ssh_raw(twin, host, command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{host}: {command}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn ssh_raw(twin: &Twin, host: &str, command: &str) -> Output {
    ssh_command(twin, host, command).stdin(Stdio::null()).output().unwrap()
}

fn ssh_command(twin: &Twin, host: &str, command: &str) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "IdentitiesOnly=yes", "-o", "GlobalKnownHostsFile=none", "-i"])
        .arg(&twin.identity)
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", twin.known_hosts.display()))
        .arg(format!("{}@{}", lab::USER, twin.addresses[&HostName::new(host)]))
        .arg(command);
    ssh
}
