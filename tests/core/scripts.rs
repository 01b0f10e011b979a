//! Every script that a host is sent, of one small cluster: a snapshot for each kind of resource (its probe,
//! and each of its fixes that differs in more than its values), one for each component (what it is asked)
//! and one for what comes before every fix. To see every command, read `snapshots/*__scripts__*`; to write
//! them anew, run this test with `INSTA_UPDATE=always`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use provision::ground::HostName;
use provision::health;
use provision::resource::drain::{By, Drain};
use provision::resource::file::File;
use provision::resource::lead::{Asks, Lead};
use provision::resource::offers::{Offers, State};
use provision::resource::reboot::Reboot;
use provision::resource::registry::{Registry, Stale, Turn};
use provision::resource::removed::{Removed, Way};
use provision::resource::{Gap, Resource, ResourceId, probe};
use provision::script::{Fix, Handed, Step};
use provision::tasks::{self, World, desire};

use super::support::world;

/// Small, and with everything in it that there is a kind of script for.
const CLUSTER: &str = r#"
version: 1
cluster: small
ssh: { become: true }
proxy: { http: "http://proxy:3128" }
hosts:
  m1: { address: 10.0.0.1 }
  a1: { address: 10.0.0.2 }
  c1: { address: 10.0.0.3 }
  old1: { address: 10.0.0.4 }
base: { cgroup_v1: true }
zookeeper: { servers: { m1: 1 }, credentials: { principal: zk, secret: { env: ZK_SECRET } } }
mesos:
  version: 1.11.0
  package: { deb: ./mesos_1.11.0_amd64.deb }
  roles: { etl: { weight: 2 } }
  masters: { hosts: [m1] }
  agents: { compute: { hosts: [a1], attributes: { rack: r1 }, resources: { cpus: 8, mem: 16GB } } }
  credentials:
    agent: { principal: agent, secret: { env: AGENT_SECRET } }
    operator: { principal: op, secret: { env: OP_SECRET } }
docker: { package: docker.io, images: [ { archive: ./debian-bookworm-slim.tar } ] }
spark:
  version: 3.5.1
  archive:
    url: https://files.example/spark-3.5.1-bin-hadoop3.tgz
    sha512: 00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
  java: openjdk-17-jre-headless
  user: spark
  image: { tag: spark-mesos, base: "debian:bookworm-slim" }
  clients: { hosts: [c1] }
  dispatcher: { hosts: [c1] }
smoke: { each_agent: true }
retired: { old1: stop }
"#;

/// Nothing of it is there, and where nothing else may be lies a stranger.
fn gaps(resource: &Resource) -> Vec<Gap> {
    let gap = |(fact, want)| {
        let seen = match fact {
            "strays" => Some("a stray file".to_owned()),
            "drain" => Some("of ID".to_owned()),
            _ if resource.id().kind == "leftovers" => Some("a stray file".to_owned()),
            _ => None,
        };
        Gap { fact, seen, want }
    };
    resource.want().into_iter().map(gap).collect()
}

/// What no desired state asks for, and verbs do.
pub(super) fn by_verbs() -> Vec<Resource> {
    let drain =
        Drain { address: "10.0.1.1".to_owned(), agent: provision::inventory::AgentUnit::Slave };
    let masters = vec!["http://10.0.0.1:5050".to_owned()];
    let registry = |turn| Registry { masters: masters.clone(), turn }.into();
    let offers = |state| Offers { agent: "ID".to_owned(), drain: drain.clone(), state };
    vec![
        offers(State::Drained).into(),
        offers(State::Made).into(),
        Reboot { host: HostName::new("a1") }.into(),
        registry(Turn::Saved),
        registry(Turn::Aside("/var/lib/mesos".to_owned())),
        registry(Turn::Stale(Stale {
            unit: "zookeeper",
            paths: vec!["/var/lib/zookeeper/version-2".to_owned(), "/a b/version-2".to_owned()],
        })),
        Lead { unit: "zookeeper", asks: Asks::Server("10.0.0.1".to_owned(), 2181) }.into(),
        Removed {
            of: ResourceId { kind: "data", name: "/var/lib/mesos/meta".to_owned() },
            way: Way::Deleted(vec!["/var/lib/mesos/meta".to_owned(), "/a b/slaves".to_owned()]),
        }
        .into(),
    ]
}

fn show(text: &mut String, title: &str, script: &str) {
    let _ = writeln!(text, "#### {title}\n{}\n", script.trim_end());
}

fn step(step: &Step) -> String {
    match step {
        Step::Run(fix) | Step::Lead(fix) | Step::Reboot(fix) => fix.text().to_owned(),
        Step::Push(push) => {
            let from = push.from.file_name().unwrap_or_default().to_string_lossy();
            format!("(sends {from} to {}/{})", push.directory, push.name)
        }
        Step::Fetch(Handed { from, make, directory, name }) => {
            format!("(fetches {directory}/{name} from {from}, which makes it by)\n{}", make.text())
        }
    }
}

#[test]
fn every_script_of_every_kind() {
    let inventory = world::inventory(CLUSTER, &[]);
    let world = World { inventory: &inventory, templates: world::templates() };
    let desired = desire(&world).unwrap();
    let mut kinds: BTreeMap<&str, String> = BTreeMap::new();
    let mut shown = BTreeSet::new();
    for host in inventory.hosts.keys() {
        let mut here: BTreeMap<&str, Vec<&Resource>> = BTreeMap::new();
        for (_, wish) in desired.of(host) {
            here.entry(wish.resource.id().kind).or_default().push(&wish.resource);
        }
        for (kind, resources) in here {
            let text = kinds.entry(kind).or_default();
            show(text, &format!("{host}: probe"), &probe(&resources).script("NONCE"));
            for resource in resources {
                let id = resource.id();
                // Of many files one is shown for each way of writing it: the others differ in what is in
                // them, which the snapshots of rendered files show.
                let all = resource.fix(&gaps(resource));
                let secret = !resource.secrets().is_empty();
                let way = match kind {
                    "file" => format!("{secret}"),
                    "service" => format!("{} {}", id.name, resource.runs().is_some()),
                    _ => id.name.clone(),
                };
                if !shown.insert((kind, way)) {
                    continue;
                }
                for (n, one) in all.iter().enumerate() {
                    show(text, &format!("{host}: {id}: fix, step {}", n + 1), &step(one));
                }
                if let Some(undo) = resource.undo() {
                    show(text, &format!("{host}: {id}: undo"), &undo);
                }
                if let Some(stamp) = resource.stamp() {
                    show(text, &format!("{host}: {id}: stamp"), stamp.text());
                }
                if let Some(comparison) = resource.get::<File>().and_then(File::holds) {
                    show(text, &format!("{host}: {id}: comparison"), comparison.text());
                }
                if let Some(drain) = resource.get::<Drain>() {
                    for (verb, steps) in [
                        ("begin", drain.begin("ID", By::Us)),
                        ("hold", drain.hold("ID")),
                        ("gone", drain.gone("ID")),
                    ] {
                        for (n, one) in steps.iter().enumerate() {
                            let title = format!("{host}: {id}: {verb}, step {}", n + 1);
                            show(text, &title, &step(one));
                        }
                    }
                }
            }
        }
    }
    for resource in by_verbs() {
        let id = resource.id();
        let text = kinds.entry(id.kind).or_default();
        for (n, one) in resource.fix(&gaps(&resource)).iter().enumerate() {
            show(text, &format!("a1: {id}: fix, step {}", n + 1), &step(one));
        }
    }
    let expected = [
        "agent",
        "data",
        "directory",
        "drain",
        "file",
        "image",
        "lead",
        "leftovers",
        "link",
        "packages",
        "proof",
        "reboot",
        "registry",
        "service",
        "unpacked",
        "user",
        "weights",
        "znodes",
    ];
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), expected);
    for (kind, text) in kinds {
        insta::assert_snapshot!(format!("kind_{kind}"), text);
    }
}

#[test]
fn every_script_between_hosts() {
    let mut text = String::new();
    for (script, of) in super::shellcheck::between_hosts() {
        show(&mut text, of, &script);
    }
    insta::assert_snapshot!("between_hosts", text);
}

#[test]
fn every_question_to_every_component() {
    let inventory = world::inventory(CLUSTER, &[]);
    for task in tasks::ALL {
        let Some(check) = task.card().check else { continue };
        let mut text = String::new();
        for host in check.witnesses(&inventory) {
            let question = check.question(&inventory, &inventory.hosts[&host]);
            let questions: Vec<_> = question.into_iter().collect();
            show(&mut text, &format!("{host}: probe"), &health::probe(&questions).script("NONCE"));
        }
        insta::assert_snapshot!(format!("component_{task}"), text);
    }
}

/// What a member of both quorums is asked about its membership, and what every other host is.
#[test]
fn every_question_about_membership() {
    let inventory = world::inventory(CLUSTER, &[]);
    let mut text = String::new();
    for host in ["m1", "a1"] {
        let machine = &inventory.hosts[&HostName::new(host)];
        let probe = health::running::probe(&inventory, machine);
        show(&mut text, &format!("{host}: probe"), &probe.script("NONCE"));
    }
    let lead = Lead { unit: "zookeeper", asks: Asks::Server("10.0.0.1".to_owned(), 2181) }.into();
    show(&mut text, "m1: probe of its lead", &probe(&[&lead]).script("NONCE"));
    insta::assert_snapshot!("component_membership", text);
}

#[test]
fn what_comes_before_every_fix() {
    insta::assert_snapshot!("before_every_fix", Fix::new(":").script(|_| String::new()));
}
