//! The systems that hosts may run: bare hosts with Debian 11 and with Debian 13 are made what they should be, and a
//! second apply has nothing to do. Debian 12 is what all other tests are about. Containers have the kernel of this
//! machine; everything else is the release's own.

use std::collections::BTreeSet;

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
    let own = [
        archive.as_str(),
        "spark.image.base=debian:bullseye-slim",
        "spark.image.build=once",
        "hosts.a2.address=10.77.0.3",
        "mesos.agents.workers.hosts=[a1, a2]",
        "seed=host",
    ];
    let more = [&SPARK[..], &own].concat();
    let lab = Lab::of_debian("lab-debian-11", "11", INVENTORY, &more);
    is_told_apart(&lab, ["11", "13"], 3);
    step("apply makes it, Spark with its Java 17 included, and proves it");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    for proof in [
        "pi-in-image a1: passed: ",
        "pi-in-image a2: passed: ",
        "pi-through-mesos m1: passed (stand-in): ",
    ] {
        assert!(apply.err.contains(&format!("smoke {proof}Pi is roughly 3.1")), "{}", apply.err);
    }
    step("what hosts need left this machine once, and one image is on both agents");
    assert!(!apply.err.contains("comes from here"), "{}", apply.err);
    files_went_from_host_to_host(&lab, &["m1", "a1", "a2"]);
    let [one, other] = ["a1", "a2"].map(|host| {
        lab.on(host, "docker image inspect -f '{{.Id}}' spark-mesos").trim().to_owned()
    });
    assert!(one.starts_with("sha256:") && one == other, "{one} {other}");
    is_installed(&lab, "3.4.13", "20.10.5");
    let said = lab.on("m1", "/opt/spark/bin/spark-submit --version 2>&1");
    assert!(said.contains("OpenJDK 64-Bit Server VM, 17."), "{said}");
}

#[test]
fn lab_debian_13_is_a_host_and_has_no_java_for_spark() {
    let lab = Lab::of_debian("lab-debian-13", "13", INVENTORY, &["seed=host"]);
    is_told_apart(&lab, ["13", "12"], 2);
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
    assert!(!apply.err.contains("comes from here"), "{}", apply.err);
    files_went_from_host_to_host(&lab, &["m1", "a1"]);
    is_installed(&lab, "3.9.3", "26.1.5");
}

/// Of those who have a file all but one fetched it from another, and nothing is left of how.
fn files_went_from_host_to_host(lab: &Lab, hosts: &[&str]) {
    let on = |script: &str| hosts.iter().map(|host| lab.on(host, script)).collect::<Vec<_>>();
    let kept = on("ls /var/lib/provision/cache");
    let began = on("cat /var/lib/provision/runs/*/a*.start");
    let names: BTreeSet<&str> = kept.iter().flat_map(|kept| kept.lines()).collect();
    let of_many = names.into_iter().filter_map(|name| {
        let have = kept.iter().filter(|kept| kept.lines().any(|it| it == name)).count();
        (have > 1).then_some((name, have))
    });
    let of_many: Vec<(&str, usize)> = of_many.collect();
    assert!(!of_many.is_empty(), "{kept:?}");
    for (name, have) in of_many {
        let fetched = began.iter().filter(|began| began.contains(&format!("fetch_{name}_from_")));
        assert_eq!(fetched.count(), have - 1, "{name}: {began:?}");
    }
    let left = "ls -d /run/provision/seed /run/provision/fetch 2>/dev/null
        systemctl is-active provision-seed; ss -ltn | grep ':7022 ' || true";
    for left in on(left) {
        assert_eq!(left.trim(), "inactive");
    }
}

/// The twin says what it runs, and is not taken for one of another release.
fn is_told_apart(lab: &Lab, [debian, other]: [&str; 2], hosts: usize) {
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
    assert_eq!(status.out.matches(&format!("Debian {debian}")).count(), hosts, "{status:?}");
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
