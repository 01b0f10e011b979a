//! How a plan is shown to people: hosts with the same gaps folded, contents before and after, versions,
//! and a saved plan as the one that was saved.

use std::collections::{BTreeMap, BTreeSet};

use provision::ground::HostName;
use provision::inventory::Inventory;
use provision::plan::saved::{Asked, Made, Saved, Where, parse};
use provision::plan::shown::{Contents, Hosts, Look, Shown};
use provision::plan::{Plan, Scope, content};
use provision::resource::file::{Content, File};
use provision::script::Sections;
use provision::ui::colour::Colour;
use provision::ui::plan::text;

use super::support::world::{Reach, World, foreign, inventory};

const CLUSTER: &str = "\
version: 1
cluster: big
hosts:
  m[1:3]: { address: \"10.0.0.[1:3]\" }
  a[001:COUNT]: { address: \"10.0.1.[1:COUNT]\" }
zookeeper: { servers: { m1: 1, m2: 2, m3: 3 } }
mesos:
  version: 1.11.0
  package: { preinstalled: true }
  masters: { hosts: [m1, m2, m3] }
  agents:
    all:
      hosts: [\"a[001:COUNT]\"]
      batch: 25%
      resources: { cpus: 8, mem: 16GB, disk: 100GB, ports: \"[31000-32000]\" }
  credentials:
    agent: { principal: agent, secret: { env: CANARY } }
";

fn big(agents: usize, sets: &[&str]) -> Inventory {
    // Names have three digits, numbers of addresses as many as they need.
    let text = CLUSTER.replace("[1:COUNT]", &format!("[1:{agents}]"));
    inventory(&text.replace("COUNT", &format!("{agents:03}")), sets)
}

const FOLDED: Look = Look { hosts: Hosts::Folded, contents: Contents::Named };
const DIFF: Look = Look { hosts: Hosts::Folded, contents: Contents::Shown };

fn drawn(plan: &Plan, look: Look) -> String {
    text(&Shown::of(plan), look, Colour::No)
}

fn planned(world: &World) -> Plan {
    world.plan(&Scope::default()).1
}

fn converged() -> World {
    let mut world = World::fresh(big(40, &[]));
    let plan = planned(&world);
    world.apply(&plan, |_, _, _| ());
    world
}

/// What hosts say when they are asked what the files hold that will hold something else: what an inventory
/// has made of them.
fn told(made: &World, plan: &mut Plan) {
    let (desired, mut answers) = (made.look().desired, BTreeMap::new());
    for host in made.machines.keys() {
        let held = |path: &str| {
            desired.of(host).find_map(|(_, wish)| match wish.resource.get::<File>() {
                Some(File { content: Content::Text(text), path: it, .. }) if it == path => {
                    Some(foreign(text))
                }
                _ => None,
            })
        };
        let script = content::probe(plan, host).script("N");
        let asked =
            script.lines().filter_map(|line| line.split("cat -- ").nth(1)?.split(' ').next());
        let said: String = asked.filter_map(held).collect();
        answers.insert(host.clone(), Sections::from([("contents".to_owned(), said)]));
    }
    content::learn(plan, &answers);
}

#[test]
fn a_fresh_cluster_of_two_hundred_agents_fits_a_screen() {
    let shown = drawn(&planned(&World::fresh(big(200, &[]))), FOLDED);
    insta::assert_snapshot!(shown);
    assert!(shown.lines().count() <= 40, "{shown}");
}

#[test]
fn what_differs_is_said_and_the_contents_only_when_asked_for() {
    let mut world = converged();
    world.inventory =
        big(40, &["mesos.agents.all.resources.cpus=4", "zookeeper.config.tickTime=3000"]);
    let mut plan = planned(&world);
    told(&converged(), &mut plan);
    insta::assert_snapshot!(drawn(&plan, FOLDED));
    insta::assert_snapshot!(drawn(&plan, DIFF));
    let whole = drawn(&plan, Look::WHOLE);
    assert!(whole.lines().count() > 80, "-v names every host");
    assert!(
        whole.contains("  ~ a017: service mesos-slave: restart: resources changed\n"),
        "{whole}"
    );
}

#[test]
fn hosts_that_do_not_answer_are_named_once_by_their_reason() {
    let mut world = converged();
    for number in 10..=35 {
        let host = HostName::new(&format!("a0{number}"));
        world.machines.get_mut(&host).unwrap().reach = Reach::Dead;
    }
    insta::assert_snapshot!(drawn(&planned(&world), FOLDED), @r"
      ! a[010:035] (26 hosts): unreachable: it does not answer on port 22
    No changes that could be made; 26 hosts unreachable.
    ");
}

#[test]
fn reasons_that_differ_in_the_host_are_one() {
    let mut plan = Plan::default();
    for (host, address) in [("a1", "10.0.0.1"), ("a2", "10.0.0.2"), ("b", "10.0.0.3")] {
        let why = format!("{host} ({address}): connection refused by {address}:22");
        plan.unreachable.insert(HostName::new(host), why);
    }
    insta::assert_snapshot!(drawn(&plan, FOLDED), @r"
      ! a[1:2], b (3 hosts): unreachable: HOST (ADDRESS): connection refused by ADDRESS
    No changes that could be made; 3 hosts unreachable.
    ");
}

/// Neither what it holds nor what it will: that of others neither.
#[test]
fn what_not_everybody_may_read_is_neither_asked_for_nor_shown() {
    let mut world = converged();
    let a1 = HostName::new("a001");
    let path = "/etc/mesos-slave/resources";
    let machine = world.machines.get_mut(&a1).unwrap();
    machine.entries.get_mut(path).unwrap().mode = "600".to_owned();
    world.edit(&a1, path, "hunter2\n");
    let machine = world.machines.get_mut(&a1).unwrap();
    machine.entries.get_mut(path).unwrap().mode = "600".to_owned();
    machine.entries.remove("/etc/mesos-secrets/agent-agent.json").unwrap();
    let mut plan = planned(&world);
    assert!(!content::probe(&plan, &a1).script("N").contains(path));
    told(&world, &mut plan);
    let shown = drawn(&plan, DIFF);
    assert!(shown.contains("resources") && shown.contains("agent-agent.json"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("principal"), "{shown}");
    assert!(!serde_json::to_string(&plan).unwrap().contains("hunter2"));
}

#[test]
fn a_saved_plan_is_shown_as_it_was() {
    let mut world = converged();
    world.inventory = big(40, &["mesos.agents.all.resources.cpus=4"]);
    world.machines.get_mut(&HostName::new("a007")).unwrap().reach = Reach::Dead;
    let (view, mut plan) = world.plan(&Scope::default());
    told(&converged(), &mut plan);
    let asked = Asked {
        cluster: "big".to_owned(),
        inventory: "inventory.yaml".into(),
        digest: world.inventory.digest.clone(),
        sets: Vec::new(),
        hosts: Where::Inventory,
        limit: None,
        tasks: Vec::new(),
        verb: None,
    };
    let made = Made { run: "r1".to_owned(), at: "now".to_owned(), version: "1".to_owned() };
    let saved = Saved::of(&plan, &view.observed, &Scope::default(), asked, made);
    let read = parse(&serde_json::to_string(&saved).unwrap()).unwrap().unwrap();
    for look in [FOLDED, DIFF, Look::WHOLE] {
        assert_eq!(text(&Shown::of_saved(&read), look, Colour::No), drawn(&plan, look));
    }
}

/// Every key of an object, of those in it too; hosts are data.
fn keys(value: &serde_json::Value, all: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, all)),
        serde_json::Value::Object(items) => {
            for (key, item) in items {
                if !key.starts_with(['a', 'm']) || !key.ends_with(|c: char| c.is_ascii_digit()) {
                    all.insert(key.clone());
                }
                keys(item, all);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_a_plan_as_json_is_documented() {
    let mut world = converged();
    world.inventory = big(40, &["mesos.agents.all.resources.cpus=4"]);
    world.machines.get_mut(&HostName::new("a007")).unwrap().reach = Reach::Dead;
    let mut plan = planned(&world);
    told(&converged(), &mut plan);
    let mut all = BTreeSet::new();
    keys(&serde_json::to_value(&plan).unwrap(), &mut all);
    let docs = include_str!("../../docs/plan.md");
    let missing: Vec<_> = all.iter().filter(|key| !docs.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty() && all.contains("content"), "{missing:?} of {all:?}");
}

#[test]
fn signs_are_coloured_and_what_hosts_say_steers_nothing() {
    let mut plan = Plan::default();
    plan.unreachable.insert(HostName::new("a1"), "gone\u{1b}[2J\nx".to_owned());
    let shown = text(&Shown::of(&plan), FOLDED, Colour::Yes);
    assert!(
        shown.contains("  \u{1b}[31m! \u{1b}[0ma1: unreachable: gone\\u001b[2J\\nx\n"),
        "{shown:?}"
    );
}
