//! The systems that hosts may run: bare hosts with Debian 11 and with Debian 13 are made what they should be, and a
//! second apply has nothing to do. Debian 12 is what all other tests are about. Containers have the kernel of this
//! machine; everything else is the release's own.

use super::support::lab::{Lab, spark, step};

/// One machine of each kind.
const INVENTORY: &str = "hosts: { m1: { address: 10.77.0.1 }, a1: { address: 10.77.0.2 } }
zookeeper: { servers: { m1: 1 } }
mesos:
  version: 1.11.0
  package: { deb: ./mesos.deb }
  roles: { etl: { weight: 2 } }
  masters: { hosts: [m1] }
  agents:
    workers: { hosts: [a1], resources: { cpus: 2, mem: 2GB, disk: 5GB, ports: \"[31000-32000]\" } }
allow: { open-ports: \"the twin's network ends at this machine\" }
";

/// Spark on the master's host, and its image on the agent.
const SPARK: [&str; 4] = [
    "spark.version=3.5.1",
    "spark.clients.hosts=[m1]",
    "spark.image.tag=spark-mesos",
    "spark.defaults={spark.cores.max: 1, spark.executor.memory: 512m}",
];

#[test]
fn lab_debian_11_is_a_host() {
    let archive = spark();
    let more = [&SPARK[..], &[archive.as_str(), "spark.image.base=debian:bullseye-slim"]].concat();
    let lab = Lab::of_debian("lab-debian-11", "11", INVENTORY, &more);
    is_told_apart(&lab, "11", "13");
    step("apply makes it, Spark with its Java 17 included, and proves it");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    for proof in ["pi-in-image a1: passed: ", "pi-through-mesos m1: passed (stand-in): "] {
        assert!(apply.err.contains(&format!("smoke {proof}Pi is roughly 3.1")), "{}", apply.err);
    }
    is_installed(&lab, "3.4.13", "20.10.5");
    let said = lab.on("m1", "/opt/spark/bin/spark-submit --version 2>&1");
    assert!(said.contains("OpenJDK 64-Bit Server VM, 17."), "{said}");
}

#[test]
fn lab_debian_13_is_a_host_and_has_no_java_for_spark() {
    let lab = Lab::of_debian("lab-debian-13", "13", INVENTORY, &[]);
    is_told_apart(&lab, "13", "12");
    step("Spark is refused before anything is changed");
    let before = ["m1", "a1"].map(|host| tree(&lab, host));
    let archive = spark();
    let all = SPARK.iter().copied().chain([archive.as_str()]);
    let sets: Vec<&str> = all.flat_map(|set| ["-e", set]).collect();
    let refused = lab.run("apply", &[&["-y"], &sets[..]].concat());
    assert_eq!(refused.code, 1, "{refused:?}");
    let why = "Debian 13 has no Java 17 (`openjdk-17-jre-headless`): it has 21 and 25, and Spark 3.5.1 runs on 8, 11 or 17";
    assert!(refused.err.contains(why), "{refused:?}");
    assert!(refused.err.contains("hosts with Debian 11 or 12"), "{refused:?}");
    assert_eq!(["m1", "a1"].map(|host| tree(&lab, host)), before);
    step("apply makes the rest");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    is_installed(&lab, "3.9.3", "26.1.5");
}

/// The twin says what it runs, and is not taken for one of another release.
fn is_told_apart(lab: &Lab, debian: &str, other: &str) {
    step("the twin is told from one of another release");
    for host in ["m1", "a1"] {
        assert_eq!(
            lab.on(host, ". /etc/os-release; echo $ID $VERSION_ID").trim(),
            format!("debian {debian}")
        );
    }
    let refused = lab.command("lab", &["up"], &["--debian", other]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains(&format!("runs Debian {debian}, and Debian {other} is asked for")),
        "{refused:?}"
    );
    let status = lab.command("lab", &["status"], &[]);
    assert_eq!(status.out.matches(&format!("Debian {debian}")).count(), 2, "{status:?}");
    let again = lab.command("lab", &["up"], &[]);
    assert_eq!(again.code, 0, "{again:?}");
}

/// Gates found it healthy; nothing is left to do, and the versions are the release's own.
fn is_installed(lab: &Lab, zookeeper: &str, docker: &str) {
    step("the second apply has nothing to do");
    let again = lab.run("apply", &[]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.starts_with("No changes."), "{}", again.out);
    let status = lab.run("status", &[]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.out.contains("provision_host:a1"), "{}", status.out);
    let srvr = "exec 3<>/dev/tcp/127.0.0.1/2181; printf srvr >&3; cat <&3";
    let said = lab.docker(&["exec", &lab.container("m1"), "bash", "-c", srvr]);
    assert!(said.starts_with(&format!("Zookeeper version: {zookeeper}")), "{said}");
    assert!(said.contains("Mode: standalone"), "{said}");
    let versions =
        lab.on("a1", "docker version --format '{{.Client.Version}} {{.Server.Version}}'");
    assert_eq!(versions.matches(docker).count(), 2, "{versions}");
    step("a restart by hand is seen for what it is");
    lab.on("m1", "sleep 1; systemctl restart zookeeper");
    lab.settle();
    let again = lab.run("plan", &["--detailed-exitcode"]);
    assert_eq!(again.code, 0, "{again:?}");
}

/// What is on a host, but for what looking writes.
fn tree(lab: &Lab, host: &str) -> String {
    lab.on(
        host,
        "find /etc /opt /usr /var /root /home -xdev -not -path '/var/log/*' -not -path '/var/lib/sudo/*' \
         -not -path '/var/lib/systemd/*' -type f -printf '%p %s %C@\\n' 2>/dev/null | sort",
    )
}
