//! Saved plans: what is in them, and when they are refused.

use std::collections::BTreeSet;

use provision::inventory::HostName;
use provision::plan::Scope;
use provision::plan::saved::{Asked, FORMAT, Made, Saved, Where, parse};

#[path = "support/world.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod world;
use world::{Reach, World, inventory};

const INVENTORY: &str = "\
version: 1
cluster: c
hosts:
  m[1:3]: { address: \"10.0.0.1[1:3]\" }
  a[1:2]: { address: \"10.0.1.[1:2]\" }
zookeeper:
  servers: { m1: 1, m2: 2, m3: 3 }
mesos:
  version: 1.11.0
  package: { preinstalled: true }
  masters: { hosts: [m1, m2, m3] }
  agents:
    compute:
      hosts: [a1, a2]
      resources: { cpus: 8, mem: 16GB, disk: 100GB, ports: \"[31000-32000]\" }
  credentials:
    agent: { principal: agent, secret: { env: CANARY } }
";

fn fresh() -> World {
    World::fresh(inventory(INVENTORY, &[]))
}

fn save(world: &World, scope: &Scope) -> Saved {
    let (view, plan) = world.plan(scope);
    let asked = Asked {
        cluster: "c".to_owned(),
        inventory: "inventory.yaml".into(),
        digest: world.inventory.digest.clone(),
        sets: Vec::new(),
        hosts: Where::Inventory,
        limit: None,
        tasks: Vec::new(),
    };
    let made = Made { run: "r1".to_owned(), at: "now".to_owned(), version: "1".to_owned() };
    Saved::of(&plan, &view.desired, &view.observed, scope, asked, made)
}

fn all() -> Scope {
    Scope::default()
}

#[test]
fn a_saved_plan_comes_back_whole_and_an_unmoved_world_lets_it_pass() {
    let world = fresh();
    let saved = save(&world, &all());
    let text = serde_json::to_string_pretty(&saved).unwrap();
    assert_eq!(parse(&text).unwrap().unwrap(), saved);
    assert_eq!(saved.moved(&save(&world, &all())), [""; 0]);
}

#[test]
fn a_file_that_changed_on_a_host_is_named_with_the_host() {
    let mut world = fresh();
    let saved = save(&world, &all());
    world.edit(&HostName::new("m2"), "/etc/zookeeper/conf/zoo.cfg", "tickTime=1\n");
    let moved = saved.moved(&save(&world, &all()));
    assert_eq!(moved.len(), 1, "{moved:?}");
    let wanted = "m2: file /etc/zookeeper/conf/zoo.cfg has changed since the plan was made: \
         then missing, now other content";
    assert_eq!(moved, [wanted]);
}

#[test]
fn what_is_outside_the_limit_may_move() {
    let mut world = fresh();
    let only = Scope { hosts: Some(BTreeSet::from([HostName::new("m1")])), tasks: None };
    let saved = save(&world, &only);
    world.edit(&HostName::new("m2"), "/etc/zookeeper/conf/zoo.cfg", "tickTime=1\n");
    assert_eq!(saved.moved(&save(&world, &only)), [""; 0]);
}

#[test]
fn a_host_that_comes_or_goes_is_named() {
    let (mut without, with) = (fresh(), fresh());
    without.machines.get_mut(&HostName::new("a2")).unwrap().reach = Reach::NoSsh;
    let gone = save(&with, &all()).moved(&save(&without, &all()));
    assert!(gone[0].starts_with("a2: it answered when the plan was made, and now"), "{gone:?}");
    let back = save(&without, &all()).moved(&save(&with, &all()));
    assert!(back[0].starts_with("a2: it answers, and did not"), "{back:?}");
}

#[test]
fn another_inventory_and_another_way_to_do_it_are_refused() {
    let world = fresh();
    let saved = save(&world, &all());
    let mut other = save(&world, &all());
    other.asked.digest = "another".to_owned();
    let moved = saved.moved(&other);
    assert_eq!(moved, ["the inventory inventory.yaml has changed since the plan was made"]);
    // The hosts are as they were; a template, say, is not.
    let mut other = save(&world, &all());
    let step = other.texts.values_mut().next().unwrap();
    step.push_str("true\n");
    let moved = saved.moved(&other);
    assert!(moved.iter().all(|what| what.ends_with("would now be done otherwise")), "{moved:?}");
    assert!(!moved.is_empty());
}

#[test]
fn who_leads_may_change_for_that_is_decided_last() {
    let world = fresh();
    let saved = save(&world, &all());
    let mut other = save(&world, &all());
    for stage in &mut other.stages {
        stage.waves.reverse();
    }
    assert_eq!(saved.moved(&other), [""; 0]);
}

#[test]
fn no_secret_and_no_digest_of_one_is_in_it() {
    let canary = "hunter2-canary";
    let text = serde_json::to_string(&save(&fresh(), &all())).unwrap();
    assert!(text.contains("@provision-secret-0@"), "a credential is to be written");
    assert!(!text.contains(canary));
    assert!(!text.contains(&provision::resource::sha256(canary)));
}

#[test]
fn an_inventory_is_no_plan_and_a_strange_plan_is_refused() {
    assert_eq!(parse("version: 1\n"), None);
    assert_eq!(parse("{\"version\": 1}"), None);
    assert_eq!(parse("{ cluster: c }"), None);
    let strange = format!("{{\"provision_plan\": {}}}", FORMAT + 1);
    assert!(parse(&strange).unwrap().unwrap_err().contains("make a new plan"));
    let cut = format!("{{\"provision_plan\": {FORMAT}}}");
    assert!(parse(&cut).unwrap().unwrap_err().contains("make a new plan"));
}
