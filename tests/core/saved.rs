//! Saved plans: what is in them, and when they are refused.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use provision::ground::HostName;
use provision::plan::Scope;
use provision::plan::saved::{Asked, FORMAT, Made, Saved, Where, parse};
use provision::plan::verbs::{Consent, Verb};
use serde_json::{Value as Json, json};

use super::support::world::{Reach, World, inventory};

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
        verb: None,
    };
    let made = Made { run: "r1".to_owned(), at: "now".to_owned(), version: "1".to_owned() };
    Saved::of(&plan, &view.observed, scope, asked, made)
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

/// Whoever applies it must plan the same thing.
#[test]
fn a_plan_of_a_verb_says_which() {
    let mut saved = save(&fresh(), &all());
    let text = serde_json::to_string(&saved).unwrap();
    assert!(!text.contains("\"verb\""), "plans of before had none");
    for verb in [Verb::Restart, Verb::Stop { quorum: Consent::Given }, Verb::Drain] {
        saved.asked.verb = Some(verb);
        let text = serde_json::to_string(&saved).unwrap();
        assert_eq!(parse(&text).unwrap().unwrap(), saved);
    }
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

/// Nothing on any host has changed: the ensemble elects, or a member no longer serves.
#[test]
fn a_quorum_that_no_longer_serves_as_it_did_refuses_the_plan() {
    let mut world = fresh();
    let (_, plan) = world.plan(&all());
    world.apply(&plan, |_, _, _| ());
    for name in ["m1", "m2", "m3"] {
        let machine = world.machines.get_mut(&HostName::new(name)).unwrap();
        machine.entries.remove("/var/lib/provision/stamps/zookeeper.service").unwrap();
    }
    let saved = save(&world, &all());
    assert_eq!(saved.stages[0].waves.len(), 3);
    let wedge = |world: &mut World, names: &[&str]| {
        for name in names {
            let machine = world.machines.get_mut(&HostName::new(name)).unwrap();
            machine.units.get_mut("zookeeper").unwrap().wedged = true;
        }
    };
    let mut one = world.clone();
    wedge(&mut one, &["m2"]);
    let moved = saved.moved(&save(&one, &all()));
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert!(moved[0].starts_with("m2: zookeeper: it served when the plan was made, and now: "));
    let back = save(&one, &all()).moved(&saved);
    assert_eq!(back, ["m2: zookeeper: it serves, and did not when the plan was made"]);
    wedge(&mut world, &["m1", "m2", "m3"]);
    assert_eq!(saved.moved(&save(&world, &all())).len(), 3);
}

#[test]
fn who_goes_together_is_compared_too() {
    let world = fresh();
    let saved = save(&world, &all());
    let mut other = saved.clone();
    let stage = other.stages.iter_mut().find(|stage| stage.title == "ZooKeeper").unwrap();
    assert_eq!(stage.waves.len(), 1);
    stage.waves = stage.waves[0].iter().map(|host| vec![host.clone()]).collect();
    let moved = saved.moved(&other);
    let wanted =
        "ZooKeeper: others would now go together: then m1 and m2 and m3; now m1, then m2, then m3";
    assert_eq!(moved, [wanted]);
}

#[test]
fn no_secret_and_no_digest_of_one_is_in_it() {
    let canary = "hunter2-canary";
    let text = serde_json::to_string(&save(&fresh(), &all())).unwrap();
    assert!(text.contains("@provision-secret-0@"), "a credential is to be written");
    assert!(!text.contains(canary));
    assert!(!text.contains(&provision::ground::digest::sha256(canary)));
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

/// Every place of a JSON value, as a pointer.
fn places(value: &Json, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), all);
            }
        }
        Json::Object(items) => {
            for (name, item) in items {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(item, &format!("{at}/{name}"), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// What is done is what is planned now; a file can only decide whether.
    #[test]
    fn a_plan_changed_anywhere_is_refused_or_does_the_same(
        index in any::<Index>(),
        other in select(vec![
            json!(null), json!(""), json!("x"), json!("rm -rf /"), json!(7), json!([]), json!({}),
            json!(["ssh.config_file=/tmp/x"]), json!([["m1"]]), json!({"x": "y"}),
        ]),
        remove in any::<bool>(),
    ) {
        let world = fresh();
        let saved = save(&world, &all());
        let mut value = serde_json::to_value(&saved).unwrap();
        let mut everywhere = Vec::new();
        places(&value, "", &mut everywhere);
        let at = index.get(&everywhere);
        match at.rsplit_once('/').filter(|_| remove) {
            Some((parent, name)) => match value.pointer_mut(parent).unwrap() {
                Json::Array(items) => { items.remove(name.parse().unwrap()); }
                Json::Object(items) => {
                    items.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
                _ => unreachable!(),
            },
            None => *value.pointer_mut(at).unwrap() = other,
        }
        let Some(Ok(read)) = parse(&value.to_string()) else { return Ok(()) };
        let moved = read.moved(&save(&world, &all()));
        // What does not tell what is done may differ.
        let idle = [
            "/made/run", "/made/at", "/asked", "/running", "/health", "/seen", "/unreachable",
        ];
        let same = read == saved || idle.iter().any(|it| at.starts_with(it)) || is_order(at);
        prop_assert!(same || !moved.is_empty(), "{at}: {value}");
    }
}

/// Titles, and who goes together: decided anew by whoever applies it.
fn is_order(at: &str) -> bool {
    let field = at.strip_prefix("/stages").map(|rest| rest.split('/').nth(2));
    matches!(field, Some(Some("title" | "waves" | "task")))
}
