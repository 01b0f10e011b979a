//! SASL between the servers of an ensemble: what is written, what the JVM reads of it, and how servers that serve go
//! over to it, back, and from one principal to another. At no moment is there one that another would refuse.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use proptest::prelude::*;
use provision::ground::{HostName, SecretRef};
use provision::inventory::{Inventory, Sasl};
use provision::plan::{Because, Plan, Scope, text};
use provision::resource::file::{Content, File};
use provision::resource::service::{Service, State};
use provision::resource::{Kind as _, Resource};
use provision::script::Step;
use provision::tasks::{Task, Wish, desire};

use super::support::room::{Room, me, said};
use super::support::world::{self, Reach, World, inventory};

const ON: &str = "zookeeper.quorum_auth={principal: zk, secret: {env: Q}}";
const BOTH: &str = "zookeeper.quorum_auth={principal: zk2, secret: {env: R}, former: {principal: zk, secret: {env: Q}}}";
const NEXT: &str = "zookeeper.quorum_auth={principal: zk2, secret: {env: R}}";

fn demo(sets: &[&str]) -> Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let files = [
        "mesos.package.deb=mesos_1.11.0_amd64.deb",
        "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
        "docker.images.0.archive=debian-bookworm-slim.tar",
    ];
    inventory(&fs::read_to_string(path).unwrap(), &[&files, sets].concat())
}

fn applied(sets: &[&str]) -> World {
    let mut world = World::fresh(demo(sets));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

fn planned(world: &World) -> Plan {
    world.plan(&Scope::default()).1
}

/// What servers that run do, by host.
fn servers(world: &World) -> BTreeMap<&HostName, Sasl> {
    let running = world.machines.iter().filter(|(_, machine)| machine.runs("zookeeper"));
    let told = |it: &Vec<String>| Sasl::read(&it.iter().map(String::as_str)).expect("told by us");
    running.map(|(host, machine)| (host, told(&machine.units["zookeeper"].told))).collect()
}

/// Every server is let in by every other that counts it or is to be counted, and can start again. What one does not
/// list it shows nothing to, and comes to it only if its own number is the larger one.
fn all_understand_each_other(world: &World) {
    let all = servers(world);
    let lists = |host: &HostName, other: &HostName| {
        let address = world.inventory.hosts[other].address;
        world.machines[host].units["zookeeper"].read.contains(&format!("={address}:2888"))
    };
    let alone = |host: &HostName| !lists(host, host);
    let number = |host: &HostName| {
        world.machines[host].text("/etc/zookeeper/conf/myid").trim().parse::<u8>().unwrap()
    };
    for (host, one) in all.iter().filter(|(host, _)| !alone(host)) {
        for (other, peer) in all.iter().filter(|(other, _)| *other != host) {
            let counted = all.keys().any(|it| it != other && lists(it, other));
            if lists(host, other) {
                assert!(peer.accepts(one.shows.as_deref()), "{host}: {one} | {other}: {peer}");
            } else if counted && number(host) > number(other) {
                assert!(peer.accepts(None), "{host} passes over {other}: {peer}");
            }
        }
        let there = &world.machines[*host].entries;
        assert!(!one.is_on() || there.contains_key(&one.file()), "{host} lacks {}", one.file());
    }
}

/// Does all that a plan says; `at` sees the world after each action.
fn done(world: &mut World, plan: &Plan, mut at: impl FnMut(&World, Task)) {
    for wave in plan.stages.iter().flat_map(|stage| &stage.waves) {
        for (host, actions) in &wave.hosts {
            for action in actions {
                world.perform(host, action).unwrap();
                all_understand_each_other(world);
                at(world, action.task);
                let service = action.resource.get::<Service>();
                if let Some(it) = service.filter(|it| it.state == State::Running) {
                    world.stamp(host, it);
                }
            }
        }
    }
}

/// From one inventory to another, cut after each action on a server and finished by the next run.
fn goes_over(world: &World, to: &[&str]) -> World {
    let mut world = world.clone();
    world.inventory = demo(to);
    let plan = planned(&world);
    assert!(plan.blocked.is_empty(), "{:?}", plan.blocked);
    done(&mut world, &plan, |world, task| {
        if task == Task::Zookeeper {
            let mut cut = world.clone();
            let rest = planned(&cut);
            done(&mut cut, &rest, |_, _| ());
            let left = planned(&cut);
            assert!(left.is_empty() && left.blocked.is_empty(), "{}", text::plan(&left));
        }
    });
    assert_eq!(text::plan(&planned(&world)), "No changes. The cluster matches the inventory.\n");
    let wanted = world.inventory.sasl();
    assert!(servers(&world).values().all(|it| *it == wanted), "{:?}", servers(&world));
    world
}

fn titles(plan: &Plan) -> Vec<&str> {
    plan.stages.iter().map(|stage| stage.title.as_str()).collect()
}

/// Files of secrets by host.
fn jaas(world: &World) -> Vec<String> {
    let all = world.machines.iter().flat_map(|(host, machine)| {
        let files = machine.entries.keys().filter(|path| path.ends_with(".jaas"));
        files.map(move |path| format!("{host}:{}", path.rsplit('/').next().unwrap()))
    });
    all.collect()
}

#[test]
fn on_is_three_rolls_of_one_apply() {
    let mut world = applied(&[]);
    world.inventory = demo(&[ON]);
    insta::assert_snapshot!(text::plan(&planned(&world)));
    let world = goes_over(&applied(&[]), &[ON]);
    let each = ["m1", "m2", "m3"].map(|host| format!("{host}:provision-quorum-zk.jaas"));
    assert_eq!(jaas(&world), each);
    // A fresh cluster has it from the start, and in one roll.
    let fresh = applied(&[ON]);
    assert!(servers(&fresh).values().all(|it| *it == fresh.inventory.sasl()));
    assert!(planned(&fresh).is_empty());
}

#[test]
fn off_is_three_rolls_and_leaves_no_secret() {
    let mut world = applied(&[ON]);
    world.inventory = demo(&[]);
    assert_eq!(
        titles(&planned(&world))[..3],
        [
            "ZooKeeper: servers let in who shows no principal too, and go on showing theirs",
            "ZooKeeper: servers show each other no principal any more",
            "ZooKeeper: servers go on without SASL between them",
        ]
    );
    // The secret is written nowhere any more, and asked for nowhere.
    assert!(planned(&world).actions().all(|(_, action)| action.resource.secrets().is_empty()));
    let world = goes_over(&world, &[]);
    assert_eq!(jaas(&world), [""; 0]);
}

#[test]
fn a_principal_is_replaced_with_the_old_one_under_former() {
    let both = goes_over(&applied(&[ON]), &[BOTH]);
    let after = goes_over(&both, &[NEXT]);
    assert_eq!(
        jaas(&after),
        ["m1", "m2", "m3"].map(|host| format!("{host}:provision-quorum-zk2.jaas"))
    );
    // And back, before the old one was taken out.
    goes_over(&both, &[]);
}

/// Nothing of the ensemble is changed, and why not is said.
#[track_caller]
fn stays(world: &World, scope: &Scope, why: &str) {
    let (_, plan) = world.plan(scope);
    let service = |action: &provision::plan::Action| {
        action.id().name == "zookeeper" && action.id().kind == "service"
    };
    let touched = plan.stages.iter().filter(|stage| stage.task == Some(Task::Zookeeper)).count();
    assert_eq!(touched, 0, "{}", text::plan(&plan));
    assert!(!plan.actions().any(|(_, action)| service(action)), "{}", text::plan(&plan));
    let said: Vec<String> = plan
        .blocked
        .iter()
        .filter(|it| matches!(it.because, Because::Admission { .. } | Because::Membership { .. }))
        .map(|it| it.because.to_string())
        .collect();
    assert!(!said.is_empty() && said.iter().all(|it| it.contains(why)), "{why}: {said:?}");
}

#[test]
fn what_would_tear_the_ensemble_apart_is_refused_with_the_cure() {
    let all = Scope::default();
    let mut world = applied(&[ON]);
    world.inventory = demo(&[NEXT]);
    stays(&world, &all, "write it under `zookeeper.quorum_auth.former`");
    let mut world = applied(&[]);
    world.inventory = demo(&[ON]);
    let some = Scope { hosts: Some([HostName::new("m1")].into()), tasks: None };
    stays(&world, &some, "put m2, m3 under --limit too");
    let mut lone = world.clone();
    lone.machines.get_mut(&HostName::new("m2")).unwrap().reach = Reach::NoSsh;
    stays(&lone, &all, "m2 could not be asked");
    // Another change of the ensemble.
    let mut other = world.clone();
    other.inventory = demo(&[ON, "zookeeper.servers={m1: 1, m2: 2, m3: 3, a1: 4, a2: 5}"]);
    stays(&other, &all, "apply one of them, then the other");
    // Lines of the user's own, and a file of theirs.
    let own = [
        "quorum.auth.enableSasl",
        "quorum.auth.learnerRequireSasl",
        "quorum.auth.serverRequireSasl",
    ]
    .map(|key| format!("zookeeper.config.{key}=true"));
    let option = "zookeeper.config.java_options=-Djava.security.auth.login.config=/etc/zk.jaas";
    let by_hand: Vec<&str> = own.iter().map(String::as_str).chain([option]).collect();
    let mut theirs = applied(&by_hand);
    assert!(planned(&theirs).is_empty());
    theirs.inventory = demo(&[ON]);
    stays(&theirs, &all, "take that off first");
    let mut ours = applied(&[ON]);
    ours.inventory = demo(&by_hand);
    stays(&ours, &all, "apply once without either");
}

#[test]
fn a_server_that_does_not_serve_is_mended_on_the_way_or_holds_it() {
    let mut world = applied(&[]);
    world.inventory = demo(&[ON]);
    let m2 = HostName::new("m2");
    world.machines.get_mut(&m2).unwrap().units.get_mut("zookeeper").unwrap().active = false;
    let plan = planned(&world);
    // It comes first.
    let first = plan.stages.iter().find(|it| it.task == Some(Task::Zookeeper)).unwrap();
    assert!(first.waves[0].hosts.contains_key(&m2), "{}", text::plan(&plan));
    done(&mut world, &plan, |_, _| ());
    assert!(planned(&world).is_empty());
    // On the way off its secret cannot be given to it.
    world.inventory = demo(&[]);
    let machine = world.machines.get_mut(&m2).unwrap();
    machine.units.get_mut("zookeeper").unwrap().active = false;
    let mut held = world.clone();
    held.machines
        .get_mut(&m2)
        .unwrap()
        .entries
        .remove("/etc/zookeeper/conf/provision-quorum-zk.jaas")
        .unwrap();
    stays(&held, &Scope::default(), "m2 does not serve and lacks");
    let plan = planned(&world);
    done(&mut world, &plan, |_, _| ());
    assert!(planned(&world).is_empty());
}

#[test]
fn members_join_and_leave_with_it() {
    const FIVE: &str = "zookeeper.servers={m1: 1, m2: 2, m3: 3, a1: 4, a2: 5}";
    const ONE: &str = "zookeeper.servers={m1: 1}";
    // One comes in below another's number, and one leaves below others'.
    const OTHER: &str = "zookeeper.servers={m1: 1, m2: 2, a1: 4}";
    const LAST: &str = "zookeeper.servers={m2: 2, m3: 3, a1: 4}";
    for (before, after) in [
        (&[][..], &[FIVE][..]),
        (&[FIVE], &[]),
        (&[ONE], &[]),
        (&[OTHER], &[]),
        (&[], &[OTHER]),
        (&[OTHER], &[LAST]),
    ] {
        let of = |sets: &[&'static str]| [&[ON], sets].concat();
        let mut world = applied(&of(before));
        world.inventory = demo(&of(after));
        let plan = planned(&world);
        assert!(plan.blocked.is_empty() && !plan.is_empty(), "{:?}", plan.blocked);
        done(&mut world, &plan, |_, _| ());
        let wanted = world.inventory.sasl();
        assert!(servers(&world).values().all(|it| *it == wanted));
        let left = planned(&world);
        assert!(left.is_empty() && left.blocked.is_empty(), "{}", text::plan(&left));
    }
    // Out of standing alone it is one change with the growth.
    let mut world = applied(&[ONE]);
    world.inventory = demo(&[ON]);
    let plan = planned(&world);
    assert!(plan.blocked.is_empty(), "{:?}", plan.blocked);
    done(&mut world, &plan, |_, _| ());
    assert!(planned(&world).is_empty());
    assert_eq!(servers(&world).len(), 3);
}

/// The file of a server's secrets.
fn file(sets: &[&str]) -> File {
    let inventory = demo(sets);
    let world = provision::tasks::World { inventory: &inventory, templates: world::templates() };
    let desired = desire(&world).unwrap();
    let host = HostName::new("m1");
    let mut files =
        desired.of(&host).filter_map(|(_, wish): (_, &Wish)| wish.resource.get::<File>());
    files.find(|file| file.path.ends_with(".jaas")).unwrap().clone()
}

#[test]
fn servers_are_told_in_three_files() {
    let inventory = demo(&[BOTH]);
    let world = provision::tasks::World { inventory: &inventory, templates: world::templates() };
    let desired = desire(&world).unwrap();
    let host = HostName::new("m1");
    let mut shown = String::new();
    for file in desired.of(&host).filter_map(|(_, wish): (_, &Wish)| wish.resource.get::<File>()) {
        let (text, which): (_, fn(&str) -> bool) = match &file.content {
            Content::Secret { template, .. } if file.path.ends_with(".jaas") => {
                (template, |_| true)
            }
            Content::Text(text) if file.path.ends_with("/zoo.cfg") => {
                (text, |it| it.starts_with("quorum."))
            }
            Content::Text(text) if file.path.ends_with("/zookeeper.service") => {
                (text, |it| it.starts_with("ExecStart"))
            }
            _ => continue,
        };
        let lines: Vec<&str> = text.lines().filter(|line| which(line)).collect();
        let File { path, owner, group, mode, .. } = file;
        shown.push_str(&format!("{path} {owner}:{group} {mode}\n{}\n\n", lines.join("\n")));
    }
    insta::assert_snapshot!(shown);
}

/// What a JVM reads from files that the real script has written with these secrets, by section and option.
fn read_back(secrets: &[(String, String)]) -> Vec<BTreeMap<(String, String), String>> {
    let room = Room::new(&["sh"]);
    let (owner, group) = me();
    let mut command = Command::new("java");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/core/support/Jaas.java"));
    for (number, (now, former)) in secrets.iter().enumerate() {
        let path = room.text(&format!("{number}.jaas"));
        let file = File {
            path: path.clone(),
            owner: owner.clone(),
            group: group.clone(),
            ..file(&[BOTH])
        };
        let steps = Resource::from(file).fix(&[]);
        let [Step::Run(fix)] = &steps[..] else { panic!("{steps:?}") };
        let script = fix.script(|secret| match secret {
            SecretRef::Env(name) if name == "R" => now.clone(),
            _ => former.clone(),
        });
        let output = room.run(&script);
        assert!(output.status.success(), "{}", said(&output));
        command.arg(path);
    }
    let output = command.output().expect("java; run: sh tests/assets/tools.sh");
    assert!(output.status.success(), "{}", said(&output));
    let unhex = |word: &str| {
        let digits = word.strip_prefix('.').unwrap();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        String::from_utf8((0..digits.len()).step_by(2).map(byte).collect()).unwrap()
    };
    let mut all = vec![BTreeMap::new(); secrets.len()];
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [file, section, module, key, value] = words[..] else { panic!("{line}") };
        assert_eq!(module, "org.apache.zookeeper.server.auth.DigestLoginModule");
        let file: usize = file.parse().unwrap();
        all[file].insert((section.to_owned(), unhex(key)), unhex(value));
    }
    all
}

/// A secret of what grammars trip over. `${` is refused when it is looked up.
fn secret() -> impl Strategy<Value = String> {
    let odd = [
        "\"",
        "\\",
        "\\\\",
        "\\\"",
        "\\n",
        "\\0",
        "\\101",
        "'",
        "''",
        "$",
        "$$",
        "{",
        "}",
        "$x",
        "{{",
        "//",
        "/*",
        "*/",
        ";",
        "};",
        "=",
        " ",
        "  ",
        "#",
        "`id`",
        "$(id)",
        "\t",
        "\n",
        "\r",
        "\u{1}",
        "\u{7f}",
        "é",
        "★",
        "😀",
        "a",
        "7",
        "@provision-secret-0@",
        "@provision-secret-jaas-1@",
        "%s",
    ];
    prop::collection::vec(prop::sample::select(odd.to_vec()), 1..8)
        .prop_map(|parts| parts.concat())
        .prop_filter("names a property", |secret| !secret.contains("${"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, ..ProptestConfig::default() })]

    #[test]
    fn secrets_are_read_back_by_the_jvm(secrets in prop::collection::vec((secret(), secret()), 40)) {
        for ((now, former), read) in secrets.iter().zip(read_back(&secrets)) {
            let value = |section: &str, key: &str| read[&(section.to_owned(), key.to_owned())].clone();
            prop_assert_eq!(&value("QuorumServer", "user_zk2"), now);
            prop_assert_eq!(&value("QuorumServer", "user_zk"), former);
            prop_assert_eq!(&value("QuorumLearner", "password"), now);
            prop_assert_eq!(&value("QuorumFormerLearner", "password"), former);
            prop_assert_eq!(value("QuorumLearner", "username"), "zk2");
            prop_assert_eq!(value("QuorumFormerLearner", "username"), "zk");
            prop_assert_eq!(read.len(), 6);
        }
    }
}

/// Why such a secret is refused.
#[test]
fn what_names_a_property_would_be_replaced() {
    let read = read_back(&[("a${user.name}b".to_owned(), "x".to_owned())]);
    let password = &read[0][&("QuorumLearner".to_owned(), "password".to_owned())];
    assert!(!password.contains("${"), "{password}");
}

#[test]
fn secrets_are_in_no_plan() {
    let mut world = applied(&[]);
    world.inventory = demo(&[ON]);
    let plan = planned(&world);
    let files: Vec<&File> =
        plan.actions().filter_map(|(_, action)| action.resource.get::<File>()).collect();
    let jaas: Vec<&&File> = files.iter().filter(|file| file.path.ends_with(".jaas")).collect();
    assert_eq!(jaas.len(), 3);
    for file in jaas {
        assert_eq!((file.owner.as_str(), file.mode), ("zookeeper", "600"), "{}", file.id());
        assert!(matches!(&file.content, Content::Secret { .. }));
    }
}
