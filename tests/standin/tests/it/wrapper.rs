//! The init wrapper: how files become flags. It runs here with another root and a daemon that
//! prints what it was given.

use std::process::{Command, Output};

use crate::common::Scratch;

/// A root with the shipped files.
fn root() -> Scratch {
    let scratch = Scratch::new();
    let script = include_str!("../../deb/mesos-init-wrapper");
    let here = scratch.0.display().to_string();
    let moved = script
        .replace("/etc/", &format!("{here}/etc/"))
        .replace("/usr/sbin/", &format!("{here}/sbin/"));
    scratch.write("wrapper", &moved);
    scratch.write("etc/default/mesos", "LOGS=/var/log/mesos\nULIMIT=\"-n 512\"\n");
    scratch
        .write("etc/default/mesos-master", &format!("PORT=5050\nZK=`cat {here}/etc/mesos/zk`\n"));
    scratch.write("etc/default/mesos-slave", &format!("MASTER=`cat {here}/etc/mesos/zk`\n"));
    scratch.write("etc/mesos/zk", "zk://z:2181/mesos\n");
    scratch.write("etc/mesos-master/quorum", "2\n");
    scratch.write("etc/mesos-slave/work_dir", "/var/lib/mesos\n");
    for kind in ["master", "slave"] {
        let daemon = scratch.write(
            &format!("sbin/mesos-{kind}"),
            "#!/bin/sh\nfor word; do printf '[%s]\\n' \"$word\"; done\nprintf 'ulimit %s env %s\\n' \"$(ulimit -n)\" \"${MESOS_X-}\"\n",
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(daemon, mode).expect("the mode is set");
        scratch.write(&format!("etc/mesos-{kind}/?no-logger"), "");
    }
    scratch
}

fn run(root: &Scratch, kind: &str) -> Output {
    let output = Command::new("bash").arg(root.path("wrapper")).arg(kind).output();
    output.expect("bash starts")
}

fn flags(root: &Scratch, kind: &str) -> Vec<String> {
    let output = run(root, kind);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn shipped_files_become_the_shipped_flags() {
    let root = root();
    let printed = flags(&root, "master");
    assert_eq!(
        printed,
        [
            "[--zk=zk://z:2181/mesos]",
            "[--port=5050]",
            "[--log_dir=/var/log/mesos]",
            "[--quorum=2]",
            "ulimit 512 env "
        ]
    );
    assert_eq!(
        flags(&root, "slave")[..2],
        ["[--master=zk://z:2181/mesos]", "[--log_dir=/var/log/mesos]"]
    );
}

#[test]
fn every_file_is_a_flag_and_only_final_newlines_go() {
    let root = root();
    root.write("etc/mesos-master/cluster", "a  b\nc\n\n");
    root.write("etc/mesos-master/?no-hostname_lookup", "ignored");
    root.write("etc/mesos-master/quorum.bak", "\"1\" $HOME # no\n");
    root.write("etc/mesos-master/.hidden", "x");
    root.write("etc/mesos-master/empty", "");
    root.write("etc/mesos-master/directory/x", "x");
    let text = flags(&root, "master").join("\n");
    assert!(text.contains("[--cluster=a  b\nc]"), "{text}");
    assert!(text.contains("[--no-hostname_lookup]"), "{text}");
    assert!(text.contains("[--quorum.bak=\"1\" $HOME # no]"), "{text}");
    assert!(text.contains("[--empty=]"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("directory"), "{text}");
}

#[test]
fn variables_are_exported_and_a_file_repeats_their_flag() {
    let root = root();
    root.write("etc/default/mesos-master", "PORT=5050\nMESOS_X=seen\nIP=10.0.0.1\n");
    root.write("etc/mesos-master/port", "5051");
    let printed = flags(&root, "master");
    assert!(printed.contains(&"ulimit 512 env seen".to_owned()), "{printed:?}");
    assert!(printed.contains(&"[--ip=10.0.0.1]".to_owned()), "{printed:?}");
    let ports: Vec<_> = printed.iter().filter(|flag| flag.starts_with("[--port")).collect();
    assert_eq!(ports, ["[--port=5050]", "[--port=5051]"], "the daemon refuses that");
}

#[test]
fn attributes_and_resources_are_joined() {
    let root = root();
    root.write("etc/mesos-slave/attributes/rack", "r1\n");
    root.write("etc/mesos-slave/attributes/zone", "z1");
    root.write("etc/mesos-slave/attributes/nothing", "");
    root.write("etc/mesos-slave/resources/cpus(prod)", "4\n");
    let printed = flags(&root, "slave");
    assert!(printed.contains(&"[--attributes=rack:r1;zone:z1]".to_owned()), "{printed:?}");
    assert!(printed.contains(&"[--resources=cpus(prod):4]".to_owned()), "{printed:?}");
}

#[test]
fn a_directory_among_the_attributes_stops_it_as_recorded() {
    let root = root();
    root.write("etc/mesos-slave/attributes/sub/x", "x");
    let output = run(&root, "slave");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).replace(&root.0.display().to_string(), "");
    assert!(text.contains(include_str!("../recorded/agent/attributes-subdir.txt")), "{text}");
}

#[test]
fn without_any_file_one_empty_word_is_passed() {
    let root = root();
    for file in ["etc/default/mesos", "etc/default/mesos-master", "etc/mesos-master/quorum"] {
        std::fs::remove_file(root.path(file)).expect("the file was there");
    }
    assert_eq!(flags(&root, "master")[0], "[]");
}
