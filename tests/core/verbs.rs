//! The verbs of day 2: the plan that people are shown, and what the engine makes of it on hosts that are a
//! model and a clock that does not tick.

use std::sync::Arc;

use provision::event::Outcome;
use provision::ground::HostName;
use provision::plan::verbs::{Consent, Verb, plan};
use provision::plan::{Plan, Scope, preflight, text};
use provision::report::exit;
use provision::script::Sections;
use provision::tasks::Task;

use super::support::runs::{Ran, Script, converged, drive, host, left};
use super::support::world::{Reach, World, inventory};

const DESTROY: Verb = Verb::Destroy { data_of: None };
const STOP: Verb = Verb::Stop { quorum: Consent::Withheld };
const NOTHING_LEFT: &str = "No changes. The cluster matches the inventory.\n";

fn scope(hosts: &[&str], tasks: &[Task]) -> Scope {
    let hosts = (!hosts.is_empty()).then(|| hosts.iter().map(|name| host(name)).collect());
    let tasks = (!tasks.is_empty()).then(|| tasks.iter().copied().collect());
    Scope { hosts, tasks }
}

fn planned(world: &World, verb: &Verb, scope: &Scope) -> Result<Plan, String> {
    let view = world.look();
    plan(verb, &Arc::new(world.inventory.clone()), &view.desired, &view.observed, scope)
}

fn shown(world: &World, verb: &Verb, scope: &Scope) -> String {
    match planned(world, verb, scope) {
        Ok(plan) => text::plan(&plan),
        Err(why) => format!("error: {why}\n"),
    }
}

async fn done(world: World, verb: &Verb, scope: &Scope, script: Script) -> Ran {
    let plan = planned(&world, verb, scope).expect("a plan");
    let desired = world.look().desired;
    drive(world, desired, plan, script).await
}

fn led(zookeeper: &str, masters: &str) -> World {
    let mut world = converged();
    world.leaders.insert("zookeeper", host(zookeeper));
    world.leaders.insert("mesos-master", host(masters));
    world
}

fn runs(world: &World, name: &str, unit: &str) -> bool {
    world.machines[&host(name)].runs(unit)
}

#[test]
fn masters_restart_one_by_one_and_the_leader_last() {
    insta::assert_snapshot!(shown(&led("m1", "m2"), &Verb::Restart, &scope(&[], &[Task::Masters])), @r"
    Mesos masters
      wave 1 of 3: m1
      ~ m1: service mesos-master: to be restarted, as asked
      wave 2 of 3: m3
      ~ m3: service mesos-master: to be restarted, as asked
      wave 3 of 3: m2
      ~ m2: service mesos-master: to be restarted, as asked
    Plan: 0 to add, 3 to change, on 3 hosts.
    ");
}

#[test]
fn all_services_restart_but_for_the_engine() {
    insta::assert_snapshot!(shown(&led("m3", "m3"), &Verb::Restart, &scope(&[], &[])), @r"
    ZooKeeper
      wave 1 of 3: m1
      ~ m1: service zookeeper: to be restarted, as asked
      wave 2 of 3: m2
      ~ m2: service zookeeper: to be restarted, as asked
      wave 3 of 3: m3
      ~ m3: service zookeeper: to be restarted, as asked
    Mesos masters
      wave 1 of 3: m1
      ~ m1: service mesos-master: to be restarted, as asked
      wave 2 of 3: m2
      ~ m2: service mesos-master: to be restarted, as asked
      wave 3 of 3: m3
      ~ m3: service mesos-master: to be restarted, as asked
    Mesos agents
      wave 1 of 2: a1
      ~ a1: service mesos-slave: to be restarted, as asked
      wave 2 of 2: a2
      ~ a2: service mesos-slave: to be restarted, as asked
    Spark dispatcher
      ~ c1: service spark-dispatcher: to be restarted, as asked
    Plan: 0 to add, 9 to change, on 6 hosts.
    ");
}

#[test]
fn an_engine_restarts_where_it_is_named() {
    let named = scope(&["a1"], &[Task::Docker]);
    insta::assert_snapshot!(shown(&converged(), &Verb::Restart, &named), @r"
    Docker
      ~ a1: service docker: to be restarted, as asked
    Plan: 0 to add, 1 to change, on 1 host.
    ");
}

#[test]
fn a_task_without_a_service_cannot_be_restarted() {
    insta::assert_snapshot!(shown(&converged(), &Verb::Restart, &scope(&[], &[Task::Spark])), @"error: `spark` runs no service here; these tasks do: zookeeper, docker, masters, agents, dispatcher");
}

#[test]
fn what_is_to_be_changed_yet_is_not_restarted_into() {
    let mut world = converged();
    world.edit(&host("m2"), "/etc/mesos-master/quorum", "1\n");
    insta::assert_snapshot!(shown(&world, &Verb::Restart, &scope(&["m2"], &[Task::Masters])), @r"
      ! m2: masters: blocked: it is not as the inventory says in 1 place; apply mends that, and starts it anew
    No changes that could be made; 1 blocked.
    ");
}

#[test]
fn a_healthy_member_is_not_restarted_beside_a_sick_one() {
    let mut world = led("m3", "m3");
    world.machines.get_mut(&host("m1")).unwrap().units.get_mut("zookeeper").unwrap().wedged = true;
    let some = scope(&["m2"], &[Task::Zookeeper]);
    insta::assert_snapshot!(shown(&world, &Verb::Restart, &some), @r"
      ! m2: zookeeper: blocked: its peer m1 is sick: This ZooKeeper instance is not currently serving requests
    No changes that could be made; 1 blocked.
    ");
    // The sick one is what a restart is for.
    let some = scope(&["m1", "m2"], &[Task::Zookeeper]);
    insta::assert_snapshot!(shown(&world, &Verb::Restart, &some), @r"
    ZooKeeper
      wave 1 of 2: m1
      ~ m1: service zookeeper: to be restarted, as asked
      wave 2 of 2: m2
      ~ m2: service zookeeper: to be restarted, as asked
    Plan: 0 to add, 2 to change, on 2 hosts.
    ");
}

#[test]
fn a_quorum_is_stopped_whole_only_when_that_is_said() {
    let world = led("m3", "m3");
    let masters = scope(&[], &[Task::Masters]);
    insta::assert_snapshot!(shown(&world, &STOP, &masters), @"error: this ends the quorum of Mesos masters: 0 of its 3 members would serve, and 2 must; name fewer hosts, or say --lose-quorum if that is meant");
    insta::assert_snapshot!(shown(&world, &STOP, &scope(&["m1", "m3"], &[Task::Masters])), @"error: this ends the quorum of Mesos masters: 1 of its 3 members would serve, and 2 must; name fewer hosts, or say --lose-quorum if that is meant");
    insta::assert_snapshot!(shown(&world, &STOP, &scope(&["m3"], &[Task::Masters])), @r"
    Mesos masters
      ~ m3: service mesos-master: active → inactive, enabled → disabled
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    let meant = Verb::Stop { quorum: Consent::Given };
    insta::assert_snapshot!(shown(&world, &meant, &scope(&[], &[])), @r"
    Spark dispatcher
      ~ c1: service spark-dispatcher: active → inactive, enabled → disabled
    Mesos agents
      ~ a1: service mesos-slave: active → inactive, enabled → disabled
      ~ a2: service mesos-slave: active → inactive, enabled → disabled
    Mesos masters: their quorum ends
      ~ m1: service mesos-master: active → inactive, enabled → disabled
      ~ m2: service mesos-master: active → inactive, enabled → disabled
      ~ m3: service mesos-master: active → inactive, enabled → disabled
    ZooKeeper: their quorum ends
      ~ m1: service zookeeper: active → inactive, enabled → disabled
      ~ m2: service zookeeper: active → inactive, enabled → disabled
      ~ m3: service zookeeper: active → inactive, enabled → disabled
    Plan: 0 to add, 9 to change, on 6 hosts.
    ");
}

#[test]
fn stopping_one_of_three_beside_a_sick_one_would_end_the_quorum() {
    let mut world = led("m3", "m3");
    world.machines.get_mut(&host("m1")).unwrap().reach = Reach::Dead;
    insta::assert_snapshot!(shown(&world, &STOP, &scope(&["m2"], &[Task::Masters])), @"error: this ends the quorum of Mesos masters: 1 of its 3 members would serve, and 2 must; name fewer hosts, or say --lose-quorum if that is meant");
}

#[test]
fn agents_are_drained_and_given_back_by_name() {
    let mut world = converged();
    insta::assert_snapshot!(shown(&world, &Verb::Drain, &scope(&["a1"], &[])), @r"
    Mesos agents
      ~ a1: agent 7c842204-3f73-4d59-a32a-eb195f81aaed-S0-a1: offers: made → none (drained)
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    insta::assert_snapshot!(shown(&world, &Verb::Undrain, &scope(&["a1"], &[])), @"No changes. The cluster matches the inventory.");
    insta::assert_snapshot!(shown(&world, &Verb::Drain, &scope(&["c1"], &[])), @"error: c1 is no agent; `provision inventory --graph` shows who is");
    world.machines.get_mut(&host("a1")).unwrap().agent.as_mut().unwrap().drained = true;
    insta::assert_snapshot!(shown(&world, &Verb::Undrain, &scope(&["a1"], &[])), @r"
    Mesos agents
      ~ a1: agent 7c842204-3f73-4d59-a32a-eb195f81aaed-S0-a1: offers: none (drained) → made
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    world.machines.get_mut(&host("a2")).unwrap().units.get_mut("mesos-slave").unwrap().active =
        false;
    insta::assert_snapshot!(shown(&world, &Verb::Drain, &scope(&["a2"], &[])), @"error: the agent on a2 is not registered at the leading master; look at `provision diagnose`");
}

#[test]
fn hosts_boot_in_batches_and_then_quorums_one_by_one() {
    insta::assert_snapshot!(shown(&led("m1", "m2"), &Verb::Reboot, &scope(&[], &[])), @r"
    reboot
      wave 1 of 2: a1, c1
      ~ a1: reboot a1: to boot, as asked
      ~ c1: reboot c1: to boot, as asked
      wave 2 of 2: a2
      ~ a2: reboot a2: to boot, as asked
    reboot of quorums
      wave 1 of 3: m3
      ~ m3: reboot m3: to boot, as asked
      wave 2 of 3: m1
      ~ m1: reboot m1: to boot, as asked
      wave 3 of 3: m2
      ~ m2: reboot m2: to boot, as asked
    Plan: 0 to add, 6 to change, on 6 hosts.
    ");
}

#[test]
fn no_healthy_voter_boots_beside_a_sick_one() {
    let mut world = led("m3", "m3");
    world.machines.get_mut(&host("m1")).unwrap().reach = Reach::Dead;
    insta::assert_snapshot!(shown(&world, &Verb::Reboot, &scope(&["m2"], &[])), @r"
      ! m2: zookeeper: blocked: its peer m1 is sick: its host could not be asked
    No changes that could be made; 1 blocked.
    ");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_through_gates_and_leaves_nothing_to_do() {
    let mut world = led("m1", "m1");
    world.frameworks = JOB.to_owned();
    let ran = done(world, &Verb::Restart, &scope(&[], &[]), Script::default()).await;
    assert_eq!(
        ran.waves(),
        [
            "ZooKeeper: m2",
            "ZooKeeper: m3",
            "ZooKeeper: m1",
            "Mesos masters: m2",
            "Mesos masters: m3",
            "Mesos masters: m1",
            "Mesos agents: a1",
            "Mesos agents: a2",
            "Spark dispatcher: c1",
        ]
    );
    assert_eq!((ran.report.exit(), ran.report.changes()), (exit::OK, 9));
    assert!(
        ran.position("m2: stamp mesos-master") < ran.position("m3: masters/service mesos-master")
    );
    assert_eq!(left(&ran.world), NOTHING_LEFT);
}

const JOB: &str =
    r#"{"frameworks":[{"name":"pi","id":"f1","checkpoint":false,"tasks":[{"slave_id":"@a1"}]}]}"#;

#[tokio::test(start_paused = true)]
async fn whoever_leads_when_its_turn_comes_is_restarted_last() {
    let world = led("m1", "m3");
    let plan = planned(&world, &Verb::Restart, &scope(&[], &[Task::Masters])).unwrap();
    let mut world = world;
    world.leaders.insert("mesos-master", host("m1"));
    let desired = world.look().desired;
    let ran = drive(world, desired, plan, Script::default()).await;
    assert_eq!(ran.waves(), ["Mesos masters: m2", "Mesos masters: m3", "Mesos masters: m1"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_stays_so_until_it_is_started() {
    let meant = Verb::Stop { quorum: Consent::Given };
    let ran = done(led("m3", "m3"), &meant, &scope(&[], &[]), Script::default()).await;
    assert_eq!(
        ran.waves(),
        [
            "Spark dispatcher: c1",
            "Mesos agents: a1 a2",
            "Mesos masters: their quorum ends: m1 m2 m3",
            "ZooKeeper: their quorum ends: m1 m2 m3"
        ]
    );
    assert_eq!((ran.report.exit(), &ran.report.failures[..]), (exit::OK, &[][..]));
    for (name, unit) in [("m1", "zookeeper"), ("m2", "mesos-master"), ("a1", "mesos-slave")] {
        assert!(!runs(&ran.world, name, unit), "{unit} on {name}");
    }
    assert!(runs(&ran.world, "a1", "docker"));
    let ran = done(ran.world, &Verb::Start, &scope(&[], &[]), Script::default()).await;
    assert_eq!(
        ran.waves(),
        [
            "ZooKeeper: m1 m2 m3",
            "Mesos masters: m1 m2 m3",
            "Mesos agents: a1 a2",
            "Spark dispatcher: c1"
        ]
    );
    assert_eq!(ran.report.exit(), exit::OK);
    assert_eq!(left(&ran.world), NOTHING_LEFT);
    let again = planned(&ran.world, &Verb::Start, &scope(&[], &[])).unwrap();
    assert!(again.is_empty());
}

/// Between the plan and the turn of the wave another member was lost.
#[tokio::test(start_paused = true)]
async fn a_member_is_not_stopped_once_its_peers_would_not_be_a_quorum() {
    let world = led("m3", "m3");
    let plan = planned(&world, &STOP, &scope(&["m1"], &[Task::Zookeeper])).unwrap();
    let mut world = world;
    let wedged = |world: &mut World, name: &str| {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.units.get_mut("zookeeper").unwrap().wedged = true;
    };
    wedged(&mut world, "m2");
    let desired = world.look().desired;
    let ran = drive(world, desired, plan, Script::default()).await;
    assert!(!ran.called("m1: "), "{:#?}", ran.calls);
    assert!(
        ran.blocked()[0].contains("without m1 1 would serve, and 2 must"),
        "{:#?}",
        ran.blocked()
    );
    assert_eq!(ran.report.exit(), exit::UNREACHABLE);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_is_not_waited_for_and_the_others_are() {
    let ran = done(led("m3", "m3"), &STOP, &scope(&["m3"], &[]), Script::default()).await;
    assert_eq!(ran.waves(), ["Mesos masters: m3", "ZooKeeper: m3"]);
    assert_eq!((ran.report.exit(), &ran.report.failures[..]), (exit::OK, &[][..]));
    let waited: Vec<Vec<HostName>> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            provision::event::Event::GateEnded { hosts, open: true, .. } => Some(hosts.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(waited, [["m1", "m2"].map(host), ["m1", "m2"].map(host)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_drained_by_hand_stays_so_over_a_restart_and_an_apply() {
    let some = scope(&["a1"], &[]);
    let ran = done(converged(), &Verb::Drain, &some, Script::default()).await;
    assert_eq!((ran.report.exit(), ran.report.changes()), (exit::OK, 1));
    let drained = |world: &World| world.machines[&host("a1")].agent.as_ref().unwrap().drained;
    assert!(drained(&ran.world));
    assert!(left(&ran.world).contains("it is drained or deactivated"), "{}", left(&ran.world));
    let ran = done(ran.world, &Verb::Undrain, &some, Script::default()).await;
    assert_eq!(ran.report.exit(), exit::OK);
    assert!(!drained(&ran.world));
    assert_eq!(left(&ran.world), NOTHING_LEFT);
}

#[tokio::test(start_paused = true)]
async fn hosts_boot_behind_gates_and_serve_again() {
    let ran = done(led("m1", "m2"), &Verb::Reboot, &scope(&[], &[]), Script::default()).await;
    assert_eq!(
        ran.waves(),
        [
            "reboot: a1 c1",
            "reboot: a2",
            "reboot of quorums: m3",
            "reboot of quorums: m1",
            "reboot of quorums: m2"
        ]
    );
    assert_eq!((ran.report.exit(), &ran.report.failures[..]), (exit::OK, &[][..]));
    assert_eq!(left(&ran.world), NOTHING_LEFT);
}

/// m1 is in two quorums; the next host waits for both.
#[tokio::test(start_paused = true)]
async fn a_master_that_does_not_come_back_with_its_host_keeps_the_next_from_booting() {
    let wedge = |call: &str, world: &mut World| {
        if call == "m1: base/reboot m1" {
            let machine = world.machines.get_mut(&host("m1")).unwrap();
            machine.units.get_mut("mesos-master").unwrap().wedged = true;
        }
    };
    let script = Script { after: Some(Box::new(wedge)), ..Script::default() };
    let ran = done(led("m3", "m3"), &Verb::Reboot, &scope(&["m1", "m2", "m3"], &[]), script).await;
    assert_eq!(ran.waves(), ["reboot of quorums: m1"]);
    assert_eq!(ran.report.exit(), exit::FAILED);
    assert!(ran.ended(|it| *it == Outcome::Changed).contains(&"m1: base/reboot m1".to_owned()));
}

#[test]
fn a_task_is_destroyed_and_leaves_what_others_need() {
    let shown = shown(&led("m3", "m3"), &DESTROY, &scope(&[], &[Task::Dispatcher]));
    insta::assert_snapshot!("destroy_of_the_dispatcher", shown);
}

#[test]
fn a_cluster_is_destroyed_with_its_data_only_by_its_name() {
    let world = led("m3", "m3");
    let with = |name: &str| {
        shown(&world, &Verb::Destroy { data_of: Some(name.to_owned()) }, &scope(&[], &[]))
    };
    insta::assert_snapshot!("destroy_with_data", with("demo"));
    assert_eq!(with("dem"), "error: this cluster is `demo`, and --delete-data names `dem`\n");
    let kept = shown(&world, &DESTROY, &scope(&[], &[]));
    assert!(!kept.contains("data"), "{kept}");
    assert!(!kept.contains("service docker") && !kept.contains("packages"), "{kept}");
}

#[test]
fn a_member_is_not_destroyed_where_the_rest_would_be_no_quorum() {
    let mut world = led("m3", "m3");
    world.machines.get_mut(&host("m1")).unwrap().reach = Reach::Dead;
    let shown = shown(&world, &DESTROY, &scope(&["m2"], &[]));
    assert!(shown.starts_with("error: this ends the quorum of "), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn what_was_destroyed_is_made_anew() {
    let ran = done(led("m3", "m3"), &DESTROY, &scope(&[], &[]), Script::default()).await;
    assert_eq!((ran.report.exit(), &ran.report.failures[..]), (exit::OK, &[][..]));
    // A proof that is removed proves nothing.
    assert_eq!(ran.report.smoke, []);
    let first = ["Spark dispatcher: c1", "Mesos agents: a1 a2"];
    assert_eq!(ran.waves()[..2], first);
    let mut world = ran.world;
    for path in ["/etc/mesos-master/quorum", "/etc/zookeeper/conf/zoo.cfg", "/etc/mesos/zk"] {
        assert!(!world.machines[&host("m1")].entries.contains_key(path), "{path}");
    }
    let (_, plan) = world.plan(&Scope::default());
    assert!(text::plan(&plan).contains("+ m1: file /etc/mesos/zk: missing"));
    world.apply(&plan, |_, _, _| ());
    assert_eq!(left(&world), NOTHING_LEFT);
}

#[test]
fn going_back_to_an_older_mesos_is_an_error_of_each_host() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let sets = |version: &'static str| {
        [
            version,
            "mesos.package.deb=mesos_1.11.0_amd64.deb",
            "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
            "docker.images.0.archive=debian-bookworm-slim.tar",
        ]
    };
    let found = |version: &'static str| -> Vec<String> {
        let mut world = converged();
        world.inventory = inventory(&std::fs::read_to_string(path).unwrap(), &sets(version));
        let (view, plan) = world.plan(&Scope::default());
        let answers = plan.hosts().into_iter().map(|host| (host.clone(), Sections::new()));
        let found = preflight::check(&world.inventory, &plan, &view.observed, &answers.collect());
        let found = found.into_iter().filter(|(_, problem)| problem.name == preflight::DOWNGRADE);
        found
            .filter_map(|(host, problem)| Some(format!("{}: {}", host?, problem.message)))
            .collect()
    };
    let back = found("mesos.version=1.10.0");
    let hosts: Vec<&str> = back.iter().filter_map(|it| it.split(':').next()).collect();
    assert_eq!(hosts, ["a1", "a2", "c1", "m1", "m2", "m3"], "{back:#?}");
    assert_eq!(back[0], "a1: mesos would go back from 1.11.0-2.0.1 to 1.10.0");
    assert_eq!(found("mesos.version=1.11.1"), Vec::<String>::new());
}
