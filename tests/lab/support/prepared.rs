//! The image of hosts that have everything installed that any task of inventories/demo.yaml installs, Spark and its
//! image included, and nothing that it configures. The program itself installs them, once: whatever it finds to be
//! otherwise on hosts that are made from it, it installs there as on any host.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::lab::{Lab, step};

/// Packages first: they are the same wherever they are installed.
const PACKAGES: &str = "RUN apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \\
        curl docker.io e2fsprogs iptables openjdk-17-jre-headless python3 zookeeper \\
 && rm -rf /var/lib/apt/lists/*
COPY mesos.deb /root/mesos.deb
RUN dpkg -i /root/mesos.deb \\
 && systemctl disable -q mesos-master mesos-slave docker.service docker.socket containerd.service
";

/// Then what was made on hosts that have them. The engine's own directory is a volume, which no image fills.
const FILES: &str = "ADD opt.tar /\nCOPY engine.tar /var/lib/twin/engine.tar\n";

/// A client's Spark, without what is configured.
const OPT: &str = "tar -C / --exclude 'opt/spark-*/conf/*' -c opt";

/// An agent's engine, and our stamps of what was loaded into it.
const ENGINE: &str = "systemctl stop docker.socket docker.service containerd.service
tar -C / --xattrs --xattrs-include='*' -c var/lib/docker var/lib/provision/stamps";

/// The image for hosts of a lab's inventory, made where it is missing. Tests that run beside each other wait for it.
pub(super) fn image(lab: &Lab) -> String {
    let cache = lab.root().join(".cache");
    let lock = File::create(cache.join("prepared.lock")).unwrap();
    lock.lock().unwrap();
    let told = lab.command("lab", &["image"], &[]);
    assert_eq!(told.code, 0, "{told:?} (without an engine run tests/assets/engine.sh first)");
    let bare = told.out.trim();
    let deb = cache.join("mesos-standin.deb");
    let mut hash = DefaultHasher::new();
    (bare, PACKAGES, FILES, OPT, ENGINE, super::lab::spark()).hash(&mut hash);
    for name in ["Dockerfile.tera", "spark-submit"] {
        let file = lab.root().join("Dockerfiles/spark-mesos").join(name);
        fs::read(file).unwrap().hash(&mut hash);
    }
    fs::read(&deb).unwrap().hash(&mut hash);
    let tag = format!("provision-prepared/host:{:016x}", hash.finish());
    if Command::new("docker").args(["image", "inspect", &tag]).output().unwrap().status.success() {
        return tag;
    }
    step("hosts that have everything installed");
    let context = TempDir::new_in(&cache).unwrap();
    fs::copy(&deb, context.path().join("mesos.deb")).unwrap();
    let packages = format!("{tag}-packages");
    build(lab, &packages, &format!("FROM {bare}\n{PACKAGES}"), context.path());
    let maker = Lab::demo("lab-prepared", &[]).bare(&["--image", &packages]);
    let apply = maker.run("apply", &["-y", "-l", "a1,c1", "-t", "base,docker,image,spark"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    save(&maker, "c1", OPT, &context.path().join("opt.tar"));
    save(&maker, "a1", ENGINE, &context.path().join("engine.tar"));
    drop(maker);
    build(lab, &tag, &format!("FROM {packages}\n{FILES}"), context.path());
    tag
}

/// Gives their engines to hosts that can have one.
pub(super) fn fill(lab: &Lab) {
    let fill = "! mountpoint -q /var/lib/docker || tar -C / --xattrs --xattrs-include='*' -xf /var/lib/twin/engine.tar";
    thread::scope(|scope| {
        for host in lab.hosts() {
            scope.spawn(move || lab.on(&host, fill));
        }
    });
}

fn build(lab: &Lab, tag: &str, dockerfile: &str, context: &Path) {
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    lab.docker(&["build", "-q", "-t", tag, context.to_str().unwrap()]);
}

fn save(lab: &Lab, host: &str, script: &str, to: &Path) {
    let mut exec = Command::new("docker");
    exec.args(["exec", &lab.container(host), "sh", "-ec", script]);
    let saved = exec.stdin(Stdio::null()).stdout(File::create(to).unwrap()).status().unwrap();
    assert!(saved.success(), "{host}: {script}");
}
