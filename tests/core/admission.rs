//! Credentials on and off, in one apply, under agents that run: at no moment is one at masters that would refuse
//! it, wherever the run is cut short.

use std::collections::BTreeSet;

use provision::ground::HostName;
use provision::plan::{Because, Plan, Scope, preflight};
use provision::resource::service::{Service, State};
use provision::tasks::Task;

use super::support::world::{Reach, World, inventory};

const AGENT: &str = "agent: { principal: agent, secret: { env: A } }";
const SPARK: &str = "framework: { principal: spark, secret: { env: B } }";

fn demo(credentials: &[&str]) -> provision::inventory::Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let own = format!("  credentials: {{ {} }}\n  masters:\n", credentials.join(", "));
    let text = text.replace("  masters:\n", &own);
    inventory(
        &text,
        &[
            "mesos.package.deb=mesos_1.11.0_amd64.deb",
            "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
            "docker.images.0.archive=debian-bookworm-slim.tar",
        ],
    )
}

fn applied(credentials: &[&str]) -> World {
    let mut world = World::fresh(demo(credentials));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

fn planned(world: &World) -> Plan {
    world.plan(&Scope::default()).1
}

fn titles(plan: &Plan) -> Vec<&str> {
    plan.stages.iter().map(|stage| stage.title.as_str()).collect()
}

/// Every agent that runs is admitted by every master that does: any of them may lead next.
fn all_are_admitted(world: &World) {
    let of = |unit: &'static str| {
        let runs = world.machines.iter().filter(move |(_, machine)| machine.runs(unit));
        runs.map(move |(host, machine)| (host, &machine.units[unit].admits))
    };
    for (master, flags) in of("mesos-master") {
        let known = flags.get("credentials").map(|file| {
            assert!(
                world.machines[master].entries.contains_key(file),
                "{master} cannot start again"
            );
            let names = file.trim_start_matches("/etc/mesos-secrets/master-");
            names.trim_end_matches(".json").split(',').collect::<BTreeSet<_>>()
        });
        for (agent, own) in of("mesos-slave") {
            match own.get("credential") {
                None => {
                    assert!(!flags.contains_key("authenticate_agents"), "{master} refuses {agent}");
                }
                Some(file) => {
                    assert!(
                        world.machines[agent].entries.contains_key(file),
                        "{agent} cannot start"
                    );
                    let name = file.trim_start_matches("/etc/mesos-secrets/agent-");
                    let name = name.trim_end_matches(".json");
                    let known = known.as_ref().is_some_and(|known| known.contains(name));
                    assert!(known, "{master} does not know {agent}'s {name}");
                }
            }
        }
    }
}

/// Does all that a plan says; `at` sees the world after each action.
fn done(world: &mut World, plan: &Plan, mut at: impl FnMut(&World, Task)) {
    for wave in plan.stages.iter().flat_map(|stage| &stage.waves) {
        for (host, actions) in &wave.hosts {
            for action in actions {
                world.perform(host, action).unwrap();
                all_are_admitted(world);
                at(world, action.task);
                let service = action.resource.get::<Service>();
                if let Some(it) = service.filter(|it| it.state == State::Running) {
                    world.stamp(host, it);
                }
            }
        }
    }
}

/// Nobody is told that he must be left out.
fn nobody_is_dropped(world: &World) -> Plan {
    let (view, plan) = world.plan(&Scope::default());
    let found = preflight::check(&world.inventory, &plan, &view.observed, &Default::default());
    assert!(found.iter().all(|(_, it)| it.name != "principal-dropped"), "{found:?}");
    plan
}

/// From one set of credentials to another, cut after each action of a daemon and finished by the next run.
fn goes_over(world: &World, to: &[&str]) -> World {
    let mut world = world.clone();
    all_are_admitted(&world);
    world.inventory = demo(to);
    let plan = nobody_is_dropped(&world);
    done(&mut world, &plan, |world, task| {
        if ![Task::Masters, Task::Agents].contains(&task) {
            return;
        }
        let mut cut = world.clone();
        let rest = nobody_is_dropped(&cut);
        done(&mut cut, &rest, |_, _| ());
        let left = planned(&cut);
        assert!(left.is_empty() && left.blocked.is_empty(), "{left:?}");
    });
    assert!(planned(&world).is_empty());
    world
}

#[test]
fn on_masters_know_them_first_and_ask_for_them_last() {
    let mut world = applied(&[]);
    world.inventory = demo(&[AGENT, SPARK]);
    assert_eq!(
        titles(&planned(&world)),
        [
            "masters learn the credentials, and ask for none of the new ones yet",
            "Mesos agents",
            "Spark",
            "Spark dispatcher",
            "masters ask for the credentials that are written, and know no others",
            "smoke test",
        ]
    );
    goes_over(&applied(&[]), &[AGENT, SPARK]);
    goes_over(&applied(&[AGENT]), &[AGENT, SPARK]);
}

#[test]
fn off_masters_ask_no_more_first_and_forget_them_last() {
    let mut world = applied(&[AGENT, SPARK]);
    world.inventory = demo(&[]);
    assert_eq!(
        titles(&planned(&world)),
        [
            "masters ask for no more than what is written, and forget no credential yet",
            "Mesos agents",
            "Spark",
            "Spark dispatcher",
            "masters forget the credentials that nobody uses any more",
            "smoke test",
        ]
    );
    let world = applied(&[AGENT, SPARK]);
    goes_over(&world, &[]);
    goes_over(&world, &[AGENT]);
}

#[test]
fn a_principal_is_replaced_with_the_old_one_under_former() {
    let new = "agent: { principal: agent-2, secret: { env: C } }";
    let former = "former: [{ principal: agent, secret: { env: A } }]";
    let world = goes_over(&applied(&[AGENT, SPARK]), &[new, SPARK, former]);
    goes_over(&world, &[new, SPARK]);
    // Nobody has gone over yet when the old one is dropped.
    let both = applied(&[AGENT, SPARK, "former: [{ principal: agent-2, secret: { env: C } }]"]);
    goes_over(&both, &[new, SPARK]);
}

#[test]
fn old_secrets_are_deleted_with_their_last_user() {
    let mut world = applied(&[AGENT, SPARK]);
    let secrets = |world: &World| -> Vec<String> {
        let all = world.machines.iter().flat_map(|(host, machine)| {
            let secret = machine.entries.keys().filter(|path| path.contains("-secrets/"));
            secret.map(move |path| format!("{host}:{path}"))
        });
        all.collect()
    };
    assert!(secrets(&world).contains(&"m1:/etc/mesos-secrets/master-agent,spark.json".to_owned()));
    assert!(secrets(&world).contains(&"c1:/etc/spark-secrets/spark".to_owned()));
    world.inventory = demo(&[]);
    let plan = planned(&world);
    done(&mut world, &plan, |_, _| ());
    assert_eq!(secrets(&world), [""; 0]);
}

#[test]
fn who_cannot_go_over_keeps_the_masters_from_asking() {
    let mut world = applied(&[]);
    world.inventory = demo(&[AGENT, SPARK]);
    let a2 = HostName::new("a2");
    world.machines.get_mut(&a2).unwrap().reach = Reach::NoSsh;
    let plan = planned(&world);
    assert!(!titles(&plan).iter().any(|title| title.starts_with("masters ask")));
    let waits = |plan: &Plan, of: &str| -> BTreeSet<String> {
        let mine = plan
            .blocked
            .iter()
            .filter(|it| matches!(&it.because, Because::Admission { why } if why.contains(of)));
        mine.map(|it| it.host.to_string()).collect()
    };
    assert_eq!(
        waits(&plan, "until a2 has gone over"),
        ["m1", "m2", "m3"].map(str::to_owned).into()
    );
    done(&mut world, &plan, |_, _| ());
    world.machines.get_mut(&a2).unwrap().reach = Reach::Whole;
    let rest = planned(&world);
    done(&mut world, &rest, |_, _| ());
    assert!(planned(&world).is_empty());
    // It falls silent between plan and apply.
    let mut world = applied(&[]);
    world.inventory = demo(&[AGENT, SPARK]);
    let mut plan = planned(&world);
    plan.lose(&a2, "it is silent".to_owned());
    assert!(!titles(&plan).iter().any(|title| title.starts_with("masters ask")));
    // Agents alone: masters would refuse them.
    let hosts = Some([HostName::new("a1"), a2].into());
    let (_, plan) = world.plan(&Scope { hosts, tasks: None });
    assert_eq!(waits(&plan, "m1, m2, m3 would refuse"), ["a1", "a2"].map(str::to_owned).into());
    assert!(plan.is_empty());
    // Masters alone learn them.
    let hosts = Some(["m1", "m2", "m3"].map(HostName::new).into());
    let (_, plan) = world.plan(&Scope { hosts, tasks: None });
    assert_eq!(
        titles(&plan),
        ["masters learn the credentials, and ask for none of the new ones yet"]
    );
    assert_eq!(waits(&plan, "until a1, a2, c1 have gone over").len(), 3);
}
