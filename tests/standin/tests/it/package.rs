//! The package: what lies where, what it claims, and that equal inputs give equal bytes.

use std::path::Path;
use std::process::Command;

use crate::common::{Scratch, libmesos, note};

fn build(out: &Path, version: &str) {
    let status = Command::new("sh")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/build-deb.sh"))
        .arg(out)
        .env("STANDIN_BINARY", env!("CARGO_BIN_EXE_mesos-standin"))
        .env("STANDIN_LIBRARY", libmesos())
        .env("STANDIN_VERSION", version)
        .env("SOURCE_DATE_EPOCH", "1000000000")
        .status();
    assert!(status.expect("sh starts").success());
}

fn dpkg_deb(arguments: &[&str]) -> String {
    let output = Command::new("dpkg-deb").args(arguments).output().expect("dpkg-deb starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_package_has_the_layout_of_old_and_its_version() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        note("SKIPPED: dpkg-deb is absent");
        return;
    }
    let scratch = Scratch::new();
    let (deb, again) = (scratch.path("a.deb"), scratch.path("b.deb"));
    build(&deb, "1.10.0+standin");
    build(&again, "1.10.0+standin");
    let bytes = |path: &Path| std::fs::read(path).expect("the package was built");
    assert!(bytes(&deb) == bytes(&again), "two builds differ");

    let deb = deb.display().to_string();
    assert_eq!(
        dpkg_deb(&["-f", &deb, "Package", "Version"]),
        "Package: mesos\nVersion: 1.10.0+standin\n"
    );
    let listed = dpkg_deb(&["-c", &deb]);
    for path in [
        "./usr/sbin/mesos-master",
        "./usr/sbin/mesos-agent",
        "./usr/sbin/mesos-slave",
        "./usr/bin/mesos-execute",
        "./usr/bin/mesos-init-wrapper",
        "./lib/systemd/system/mesos-master.service",
        "./lib/systemd/system/mesos-slave.service",
    ] {
        assert!(listed.contains(path), "{path} is not in\n{listed}");
    }
    assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
    for library in
        ["./usr/lib/libmesos-1.10.0.so\n", "./usr/lib/libmesos.so -> libmesos-1.10.0.so\n"]
    {
        assert!(listed.contains(library), "{library} is not in\n{listed}");
    }

    let root = scratch.path("root").display().to_string();
    dpkg_deb(&["-R", &deb, &root]);
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("a file");
    let mut conffiles: Vec<String> = read("DEBIAN/conffiles").lines().map(str::to_owned).collect();
    conffiles.sort();
    assert_eq!(
        conffiles,
        [
            "/etc/default/mesos",
            "/etc/default/mesos-master",
            "/etc/default/mesos-slave",
            "/etc/mesos-master/quorum",
            "/etc/mesos-master/work_dir",
            "/etc/mesos-slave/work_dir",
            "/etc/mesos/zk",
        ]
    );
    assert_eq!(read("etc/mesos/zk"), "zk://localhost:2181/mesos\n");

    // The installed binary claims the package's version, and knows that version's flags.
    let run = |flag: &str| {
        Command::new(format!("{root}/usr/sbin/mesos-master")).arg(flag).output().expect("it starts")
    };
    assert_eq!(run("--version").stdout, b"mesos 1.10.0\n");
    let refused = run("--allocator_recovery_timeout=5mins");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.starts_with("Failed to load unknown flag 'allocator_recovery_timeout'"), "{text}");
}
