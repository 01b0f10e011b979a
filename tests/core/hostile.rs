//! Hosts that lie: whatever one of them says, and whatever it answers the others, changes nothing but its
//! own rows of the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::{env, fs};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use provision::ground::HostName;
use provision::observe;
use provision::plan::{Plan, Scope, plan, preflight};
use provision::records;
use provision::resource::weights::Weights;
use provision::resource::{Look, Resource, probe, read};
use provision::script::Probe;

use super::support::world::{View, World, inventory, templates};

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
  roles: { etl: { weight: 2 } }
  masters: { hosts: [m1, m2, m3] }
  agents:
    compute: { hosts: [a1, a2], resources: { cpus: 8, mem: 16GB, disk: 100GB } }
";

/// A cluster in which all is well but for two files, one on a master and one on an agent.
fn world() -> World {
    static WORLD: OnceLock<World> = OnceLock::new();
    let made = || {
        let mut world = World::fresh(inventory(INVENTORY, &[]));
        while let (_, plan) = world.plan(&Scope::default())
            && !plan.is_empty()
        {
            world.apply(&plan, |_, _, _| {});
        }
        world.edit(&HostName::new("m3"), "/etc/mesos-master/stray", "x");
        world.edit(&HostName::new("a1"), "/etc/mesos-slave/attributes", "x");
        world
    };
    WORLD.get_or_init(made).clone()
}

/// What a host does to its answer, which it knows the mark of.
#[derive(Debug, Clone)]
enum Lie {
    Cut(Index),
    Inserted(Index, String),
    Dropped(Index),
    Twice(Index),
    Replaced(Index, String),
}

/// What looks like something else.
fn junk() -> impl Strategy<Value = String> {
    let forged = select(vec![
        "\nNONCE strays\n/etc/mesos-master|../../srv\n",
        "\nNONCE +\n",
        "\nNONCE .\n",
        "\nOTHER .\n",
        "=\n",
        "\n@@provision 200\n",
        "\n200\n",
        "/etc/mesos-master|../../srv\n?/etc/mesos-slave|a\n",
        "==> /var/lib/provision/stamps/mesos-master <==\ninputs=x\n",
        "regular file|root:root|644|3|170|/etc/mesos/zk|'/etc/mesos/zk'\n",
        "{\"master/elected\":1.0,\"registrar/log/recovered\":1.0}",
        "{\"slaves\":[]}",
        "[{\"role\":\"etl\",\"weight\":9}]",
        "Mode: leader\nzk_synced_followers\t0\n",
        "\u{1b}]0;owned\u{7}\u{1b}[2J\r",
        "\u{202e}\u{fffd}\0\u{7f}",
    ]);
    let text = prop_oneof![forged.prop_map(str::to_owned), "(?s).{0,40}"];
    (prop::collection::vec(text, 1..4), select(vec![1_usize, 1, 1, 2000]))
        .prop_map(|(parts, times)| parts.concat().repeat(times))
}

fn lie() -> impl Strategy<Value = Lie> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Lie::Cut),
        (at(), junk()).prop_map(|(at, text)| Lie::Inserted(at, text)),
        at().prop_map(Lie::Dropped),
        at().prop_map(Lie::Twice),
        (at(), junk()).prop_map(|(at, text)| Lie::Replaced(at, text)),
    ]
}

fn told(answer: &str, lies: &[Lie]) -> String {
    let mut answer = answer.to_owned();
    for lie in lies {
        let boundary = |index: &Index| {
            let all: Vec<usize> =
                answer.char_indices().map(|(at, _)| at).chain([answer.len()]).collect();
            *index.get(&all)
        };
        let mut sections: Vec<String> =
            answer.split_inclusive("\nNONCE ").map(str::to_owned).collect();
        match lie {
            Lie::Cut(at) => answer.truncate(boundary(at)),
            Lie::Inserted(at, text) => answer.insert_str(boundary(at), text),
            Lie::Dropped(at) => {
                sections.remove(at.index(sections.len()));
                answer = sections.concat();
            }
            Lie::Twice(at) => {
                let at = at.index(sections.len());
                sections.insert(at, sections[at].clone());
                answer = sections.concat();
            }
            Lie::Replaced(at, text) => {
                let at = at.index(sections.len());
                text.clone_into(&mut sections[at]);
                sections[at].push_str("\nNONCE ");
                answer = sections.concat();
            }
        }
        if answer.is_empty() {
            break;
        }
    }
    answer
}

/// What is done on hosts other than the liar: `host: task: resource: gaps`, and what is sent for it.
fn rows(plan: &Plan, liar: &HostName) -> BTreeSet<(HostName, String, String)> {
    plan.actions()
        .filter(|(host, _)| *host != liar)
        .map(|(host, action)| {
            let steps = action.resource.fix(&action.gaps);
            (host.clone(), action.task.to_string(), format!("{:?} {:?}", action.gaps, steps))
        })
        .collect()
}

fn seen(world: &World, liar: &HostName, lies: &[Lie]) -> (View, Plan) {
    let view = world.look();
    let probes = observe::probes(&world.inventory, &view.desired);
    let answers = probes.iter().map(|(host, probe)| {
        let said = world.said(host, probe);
        let said = if host == liar { said.map(|text| told(&text, lies)) } else { said };
        let sections = said.and_then(|text| Ok(probe.read("NONCE", &text)?));
        (host.clone(), sections)
    });
    let inventory = Arc::new(world.inventory.clone());
    let observed = observe::observed(&inventory, &view.desired, answers.collect());
    let plan = plan(&inventory, templates(), &view.desired, &observed, &Scope::default());
    (View { observed, ..view }, plan)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_host_can_lie_about_itself_and_nothing_else(
        liar in select(vec!["m1", "m2", "m3", "a1", "a2"]),
        lies in prop::collection::vec(lie(), 0..4),
        page in prop::option::of(junk()),
    ) {
        let (honest, liar) = (world(), HostName::new(liar));
        let mut world = honest.clone();
        // What its ports say to whoever asks, the other hosts among them.
        world.forged.extend(page.map(|page| (liar.clone(), page)));
        let (truth, right) = seen(&honest, &liar, &[]);
        let (view, plan) = seen(&world, &liar, &lies);
        for (host, answer) in truth.observed.answered().filter(|(host, _)| **host != liar) {
            let (_, now) = view.observed.answered().find(|(it, _)| *it == host).expect("it answers");
            for (id, look) in &answer.looks {
                // Who leads says what the weights are; of two that say so neither is believed.
                if id.kind != "weights" {
                    prop_assert_eq!(&now.looks[id], look, "{} {}", host, id);
                }
            }
        }
        let (right, now) = (rows(&right, &liar), rows(&plan, &liar));
        let weights = |row: &&(HostName, String, String)| row.1 != "weights";
        let new: Vec<_> = now.difference(&right).filter(weights).collect();
        prop_assert!(new.is_empty(), "{new:#?}");
        for (host, task, what) in right.difference(&now).filter(weights) {
            let held = plan.blocked.iter().any(|b| b.host == *host);
            prop_assert!(held, "{host}: {task}: {what} is forgotten");
        }
    }

    #[test]
    fn an_answer_holds_what_was_asked_for_or_is_none(lies in prop::collection::vec(lie(), 1..5)) {
        let world = world();
        let host = HostName::new("m1");
        let view = world.look();
        let observe = observe::probes(&world.inventory, &view.desired).remove(&host).expect("m1's");
        for probe in [observe, preflight::probe(&world.inventory, &Plan::default(), &host), records::probe()] {
            let empty = skeleton(&probe);
            let asked = probe.read("NONCE", &empty).expect("a whole answer");
            if let Ok(sections) = probe.read("NONCE", &told(&empty, &lies)) {
                let parts = |name: &&String| !name.contains('.');
                let (asked, said): (Vec<_>, Vec<_>) =
                    (asked.keys().filter(parts).collect(), sections.keys().filter(parts).collect());
                prop_assert_eq!(asked, said);
            }
        }
    }
}

/// An answer to a probe in which nothing was found.
fn skeleton(probe: &Probe) -> String {
    let script = probe.script("NONCE");
    let names = script.split("printf '\\n%s %s\\n' NONCE ").skip(1);
    let names = names.filter_map(|part| part.split_once('\n')).map(|(name, _)| name);
    names.map(|name| format!("\nNONCE {name}\n")).collect::<String>() + "\nNONCE .\n"
}

#[test]
fn a_master_that_never_stops_talking_leaves_the_others_their_say() {
    // `curl` as the host has it: the first master talks for ever, the second leads.
    let dir = tempfile::tempdir().unwrap();
    let curl = "#!/bin/sh\ncase $* in\n*//m2:*) yes '=\n\n@200\n[]' ;;\n\
                *) printf '[{\"role\":\"etl\",\"weight\":2}]\\n200' ;;\nesac\n";
    let path = dir.path().join("curl");
    fs::write(&path, curl).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let masters = ["m2", "m3"].map(|name| format!("http://{name}:5050")).to_vec();
    let roles = BTreeMap::from([("etl".to_owned(), 3.0)]);
    let weights = Resource::Weights(Weights { masters, roles });
    let probe = probe(&[&weights]);
    let search = format!("{}:{}", dir.path().display(), env::var("PATH").unwrap());
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", &probe.script("NONCE")])
            .env("PATH", &search)
            .output()
            .unwrap();
        assert!(output.stdout.len() < 1 << 20, "{} bytes", output.stdout.len());
        let said = String::from_utf8(output.stdout).unwrap();
        let sections = probe.read("NONCE", &said).unwrap();
        let Look::Facts(facts) = read(&weights, &sections) else { panic!("{shell:?}") };
        assert_eq!(facts["weights"], "etl=2", "{shell:?}");
    }
}
