//! What listens where: the table, the rules for nftables, and what the real `nft` makes of them.

use std::collections::BTreeSet;
use std::process::Command;

use provision::inventory::Inventory;
use provision::inventory::ports::{Binds, Ports, nftables, open, table};

use super::support::world;

fn inventory(name: &str, sets: &[&str]) -> Inventory {
    let path = format!("{}/inventories/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![
        "mesos.package.deb=mesos_1.11.0_amd64.deb",
        "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
    ];
    all.extend(sets);
    world::inventory(&std::fs::read_to_string(path).unwrap(), &all)
}

/// Whatever may be written opens what it says, at once.
const OPEN: [&str; 10] = [
    "hosts.a2.ssh={port: 2222}",
    "zookeeper.config={clientPort: 2182, secureClientPort: 2281, \
     admin.enableServer: true, quorumListenOnAllIPs: true}",
    "docker.daemon={hosts: ['tcp://0.0.0.0:2375'], metrics-addr: '127.0.0.1:9323'}",
    "spark.defaults.spark.driver.port=35000",
    "spark.defaults.spark.blockManager.port=31500",
    "spark.defaults.spark.port.maxRetries=4",
    "spark.defaults.spark.ui.enabled=false",
    "spark.defaults.spark.authenticate=true",
    "spark.defaults.spark.shuffle.service.enabled=true",
    "spark.env={LIBPROCESS_PORT: 36000}",
];

fn shown(inventory: &Inventory) -> String {
    let open = open(inventory);
    format!("{}\n{}", table(&open), nftables(inventory, &open))
}

#[test]
fn production() {
    insta::assert_snapshot!(shown(&inventory("production", &[])));
}

#[test]
fn demo() {
    insta::assert_snapshot!(shown(&inventory("demo", &[])));
}

/// Ours is on every address of every agent; that of somebody else is said too, and that it is not ours.
#[test]
fn a_shuffle_service_is_reached_by_drivers_and_executors() {
    let said = |sets: &[&str]| {
        let shown = table(&open(&inventory("demo", sets)));
        let line = shown.lines().find(|line| line.contains("shuffle")).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let ours = said(&["spark.shuffle_service.port=7447"]);
    assert_eq!(
        ours,
        "shuffle: a[1:2] Spark's shuffle service 7447 every address agents, clients none"
    );
    let others = said(&[
        "spark.defaults.spark.shuffle.service.enabled=true",
        "spark.defaults.spark.shuffle.service.port=7447",
    ]);
    assert!(others.contains("7447 not ours agents, clients"), "{others}");
}

#[test]
fn everything_open() {
    insta::assert_snapshot!(table(&open(&inventory("demo", &OPEN))));
}

/// `nft` in a network namespace of its own: whoever runs the test needs no rights, and no rule of this
/// machine is touched, for the rules are loaded for good there, twice as a second apply of them would.
#[test]
fn nft_takes_the_rules() {
    let mut cases: Vec<(String, Inventory)> = ["demo", "production", "single-host", "air-gapped"]
        .map(|name| (name.to_owned(), inventory(name, &[])))
        .into();
    cases.push(("open".to_owned(), inventory("demo", &OPEN)));
    let mut both = inventory("demo", &[]);
    let hosts: Vec<_> = both.hosts.keys().step_by(2).cloned().collect();
    for (n, host) in hosts.iter().enumerate() {
        both.override_address(host, format!("fd00::{n:x}a").parse().unwrap());
    }
    cases.push(("both families".to_owned(), both));
    for (name, inventory) in cases {
        let text = nftables(&inventory, &open(&inventory));
        assert_eq!(nft(&text), "", "{name}:\n{text}");
    }
    assert!(!nft("table inet provision { chain input { tcp dport 65536 drop; } }\n").is_empty());
}

/// What `nft` complains of.
fn nft(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.nft");
    std::fs::write(&file, text).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", "nft -c -f \"$1\" && nft -f \"$1\" && nft -f \"$1\"", "sh"])
        .arg(&file)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("not found"), "there is no nft here; run: sh tests/assets/tools.sh");
    if output.status.success() { said } else { format!("{} {said}", output.status) }
}

/// Each port of ours is closed by some rule, and opened for each who must reach it.
#[test]
fn every_port_is_closed_but_to_its_peers() {
    for inventory in [inventory("production", &[]), inventory("demo", &OPEN)] {
        let all = open(&inventory);
        let text = nftables(&inventory, &all);
        let lines: BTreeSet<&str> = text.lines().map(str::trim).collect();
        let drops: Vec<usize> = text
            .lines()
            .enumerate()
            .filter(|(_, l)| l.ends_with(" drop"))
            .map(|(n, _)| n)
            .collect();
        let accepts = text.lines().enumerate().filter(|(_, l)| l.contains(" accept"));
        assert!(accepts.map(|(n, _)| n).max() < drops.iter().copied().min(), "{text}");
        for one in &all {
            let Some(on) = one.on.map(|part| part.group()) else {
                assert!(
                    lines
                        .iter()
                        .any(|line| line.starts_with(&format!("tcp dport {} accept", one.ports)))
                );
                continue;
            };
            let to = format!("ip daddr @{on}");
            let everywhere = one.binds != Binds::Own;
            let closed = format!("tcp dport {} drop", one.ports);
            let closed = if everywhere { closed } else { format!("{to} {closed}") };
            assert!(lines.contains(closed.as_str()), "{one:?}\n{text}");
            for peer in &one.from {
                let rule = format!("{to} ip saddr @{peer} tcp dport {} accept", one.ports);
                assert!(lines.contains(rule.as_str()), "{one:?}\n{text}");
            }
        }
    }
}

/// What the inventory says otherwise is in the table; what is not there has no line.
#[test]
fn what_an_inventory_moves_moves() {
    let ports = |sets: &[&str], component: &str| -> Vec<Ports> {
        let all = open(&inventory("demo", sets));
        all.iter().filter(|one| one.component == component).map(|one| one.ports).collect()
    };
    assert_eq!(ports(&[], "ZooKeeper"), [Ports::Known(2181, 2181)]);
    assert_eq!(
        ports(&["zookeeper.config={clientPort: 2191}"], "ZooKeeper"),
        [Ports::Known(2191, 2191)]
    );
    let external = "zookeeper={external: 'zk1:2181/mesos'}";
    assert_eq!(ports(&[external], "ZooKeeper"), []);
    assert_eq!(ports(&["zookeeper.servers={m1: 1}"], "ZooKeeper's leader"), []);
    assert_eq!(
        ports(&["spark.dispatcher={hosts: [c1], port: 7177}"], "Spark dispatcher"),
        [Ports::Known(7177, 7193)]
    );
    assert_eq!(ports(&[], "Spark driver"), [Ports::Picked; 2]);
    assert_eq!(ports(&["ssh.port=2200"], "sshd"), [Ports::Known(2200, 2200)]);
    assert_eq!(ports(&["docker.daemon={hosts: ['unix:///run/d.sock']}"], "Docker's API"), []);
}

/// Whatever would collide with another service on its host has its line.
#[test]
fn what_may_collide_is_in_the_table() {
    let config = "zookeeper.config={observerMasterPort: 2191, secureClientPort: 2281, \
                  admin.enableServer: TRUE, metricsProvider.httpPort: 7070}";
    let mut seen = 0;
    for sets in [&[][..], &OPEN[..], &[config][..]] {
        let inventory = inventory("demo", sets);
        let all = open(&inventory);
        for host in inventory.hosts.keys() {
            for listener in inventory.listeners(host) {
                let there = all
                    .iter()
                    .any(|one| one.hosts.contains(host) && one.ports.bounds().0 == listener.port);
                assert!(there, "{host}: {listener:?}: {all:#?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "only {seen}");
}
