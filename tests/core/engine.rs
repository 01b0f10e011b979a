//! The engine, on hosts that are a model and a clock that does not tick.

use std::sync::Arc;

use provision::apply::{Engine, Stop};
use provision::event::{Event, Outcome, SmokeOutcome};
use provision::ground::HostName;
use provision::plan::{Plan, Scope, disruption, preflight, text};
use provision::report::{Report, exit};

use super::support::world::{self, Machine, Reach, World, inventory};

use super::support::fake::{Fake, Heard, Hook, Trouble, lock};

const DEMO: [&str; 3] = [
    "mesos.package.deb=mesos_1.11.0_amd64.deb",
    "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
    "docker.images.0.archive=debian-bookworm-slim.tar",
];

pub(super) fn fresh() -> World {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    World::fresh(inventory(&std::fs::read_to_string(path).unwrap(), &DEMO))
}

pub(super) fn converged() -> World {
    let mut world = fresh();
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

pub(super) fn host(name: &str) -> HostName {
    HostName::new(name)
}

/// What is to happen in a run.
#[derive(Default)]
pub(super) struct Script {
    pub(super) troubles: Vec<(&'static str, Trouble)>,
    pub(super) after: Option<Hook>,
    pub(super) max_failed: Option<usize>,
    pub(super) stop: Arc<Stop>,
}

/// What came of it.
pub(super) struct Ran {
    pub(super) world: World,
    pub(super) calls: Vec<String>,
    pub(super) events: Vec<Event>,
    pub(super) report: Report,
    pub(super) plan: Plan,
}

async fn apply(world: World, script: Script) -> Ran {
    let (view, plan) = world.plan(&Scope::default());
    drive(world, view.desired, plan, script).await
}

pub(super) async fn drive(
    world: World,
    desired: provision::tasks::Desired,
    plan: Plan,
    script: Script,
) -> Ran {
    let inventory = Arc::new(world.inventory.clone());
    let mut fake = Fake::new(world, desired);
    fake.plan = plan.clone();
    fake.troubles = script.troubles;
    if let Some(after) = script.after {
        fake.after = after;
    }
    let (fake, heard) = (Arc::new(fake), Arc::new(Heard::default()));
    let sink: Arc<dyn provision::event::Sink> = heard.clone();
    let engine = Engine::new(inventory, Arc::clone(&fake), sink, script.stop, 8, script.max_failed);
    engine.apply(&plan).await;
    let world = lock(&fake.world).clone();
    let calls = lock(&fake.calls).clone();
    let events = lock(&heard.0).clone();
    Ran { world, calls, events, report: heard.report(), plan }
}

impl Ran {
    /// Stages and waves in the order in which they began.
    pub(super) fn waves(&self) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::WaveStarted { stage, hosts, .. } => {
                    let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
                    Some(format!("{stage}: {}", names.join(" ")))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn called(&self, what: &str) -> bool {
        self.calls.iter().any(|call| call.starts_with(what))
    }

    pub(super) fn position(&self, what: &str) -> usize {
        self.calls
            .iter()
            .position(|call| call == what)
            .unwrap_or_else(|| panic!("{what} was not called"))
    }

    /// `host: task/resource` of actions that ended in some way.
    pub(super) fn ended(&self, how: fn(&Outcome) -> bool) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::ActionEnded { host, task, resource, outcome, .. } if how(outcome) => {
                    Some(format!("{host}: {task}/{resource}"))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn blocked(&self) -> Vec<String> {
        self.report
            .blocked
            .iter()
            .map(|(host, task, why)| format!("{host}: {task}: {why}"))
            .collect()
    }

    fn seconds_of_shut_gates(&self) -> Vec<f64> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::GateEnded { open: false, seconds, .. } => Some(*seconds),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn left(world: &World) -> String {
    text::plan(&world.plan(&Scope::default()).1)
}

#[tokio::test(start_paused = true)]
async fn a_fresh_cluster_is_set_up_in_order_and_nothing_is_left() {
    let ran = apply(fresh(), Script::default()).await;
    assert_eq!(
        ran.waves(),
        [
            "prepare: a1 a2 c1 m1 m2 m3",
            "ZooKeeper: m1 m2 m3",
            "Mesos masters: m1 m2 m3",
            "weights of roles: m1",
            "Mesos agents: a1 a2",
            "Spark: c1",
            "Spark dispatcher: c1",
            "smoke test: a1 a2",
            "smoke test: c1",
        ]
    );
    assert_eq!(ran.report.failures, []);
    assert_eq!(ran.report.exit(), exit::OK);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
    // A stamp says "found healthy", which no member of a quorum is before the others have started.
    for member in ["m1", "m2", "m3"] {
        let last = ["m1", "m2", "m3"]
            .map(|m| ran.position(&format!("{m}: zookeeper/service zookeeper")))
            .into_iter()
            .max();
        assert!(Some(ran.position(&format!("{member}: stamp zookeeper"))) > last);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_to_do_touches_nothing() {
    let ran = apply(converged(), Script::default()).await;
    assert!(ran.plan.is_empty());
    assert_eq!(ran.calls, Vec::<String>::new());
    assert_eq!(ran.report.exit(), exit::OK);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_ends_its_host_and_no_other() {
    let ran = apply(
        fresh(),
        Script {
            troubles: vec![(
                "a1: docker/packages docker",
                Trouble::Status(100, "E: no such package\n"),
            )],
            max_failed: Some(1),
            ..Script::default()
        },
    )
    .await;
    assert_eq!(ran.ended(|o| matches!(o, Outcome::Failed { .. })), ["a1: docker/packages docker"]);
    let after = ran.position("a1: docker/packages docker");
    assert!(
        ran.calls[after + 1..].iter().all(|call| !call.starts_with("a1: ")),
        "{:#?}",
        ran.calls
    );
    assert!(ran.ended(|o| *o == Outcome::Skipped).iter().all(|call| call.starts_with("a1: ")));
    assert!(ran.called("a2: stamp mesos-slave"));
    assert_eq!(ran.report.failures[0].cause, "E: no such package");
    assert_eq!(ran.report.exit(), exit::FAILED);
}

#[tokio::test(start_paused = true)]
async fn past_the_budget_later_stages_are_not_begun() {
    let ran = apply(
        fresh(),
        Script {
            troubles: vec![("m2: zookeeper/service zookeeper", Trouble::Status(1, "no java"))],
            ..Script::default()
        },
    )
    .await;
    assert_eq!(ran.waves(), ["prepare: a1 a2 c1 m1 m2 m3", "ZooKeeper: m1 m2 m3"]);
    let blocked = ran.blocked();
    for (name, task) in [("m1", "masters"), ("a1", "agents"), ("c1", "smoke")] {
        assert!(
            blocked.iter().any(|b| b.starts_with(&format!("{name}: {task}: "))),
            "{blocked:#?}"
        );
    }
    // Two of three are a quorum, found healthy, and will not be started again.
    assert!(ran.called("m1: stamp zookeeper") && !ran.called("m2: stamp"));
    assert_eq!(ran.report.exit(), exit::FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_stays_shut_fails_who_does_not_serve_and_stamps_nobody_else() {
    let mut world = converged();
    for name in ["m1", "m2"] {
        world.edit(&host(name), "/etc/mesos-master/quorum", "1\n");
    }
    world.leaders.insert("mesos-master", host("m3"));
    let wedge: Hook = Box::new(|call, world| {
        if call == "m1: masters/service mesos-master" {
            let machine = world.machines.get_mut(&host("m1")).unwrap();
            machine.units.get_mut("mesos-master").unwrap().wedged = true;
        }
    });
    for name in ["m1", "m2"] {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.entries.remove("/var/lib/provision/stamps/mesos-master.service");
    }
    let ran = apply(world, Script { after: Some(wedge), ..Script::default() }).await;
    assert_eq!(ran.waves(), ["Mesos masters: m1"]);
    assert!(ran.seconds_of_shut_gates()[0] >= 180.0, "{:?}", ran.seconds_of_shut_gates());
    assert!(!ran.called("m1: stamp") && !ran.called("m2: "), "{:#?}", ran.calls);
    assert!(ran.blocked().iter().any(|b| b.starts_with("m2: masters: ")), "{:#?}", ran.blocked());
    let failure = &ran.report.failures[0];
    assert_eq!((failure.host.as_str(), failure.action.as_str()), ("m1", "gate"));
    assert_eq!(failure.cause, "its replicated log is not recovered");
    assert_eq!(ran.report.exit(), exit::FAILED);
    // The next run sees that it was never found healthy.
    assert!(left(&ran.world).contains("m1: service mesos-master"), "{}", left(&ran.world));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_dies_at_every_start_is_not_waited_for_to_the_end() {
    let mut world = converged();
    world.machines.get_mut(&host("a1")).unwrap().units.get_mut("mesos-slave").unwrap().active =
        false;
    let crash: Hook = Box::new(|call, world| {
        if call == "a1: agents/service mesos-slave" {
            let machine = world.machines.get_mut(&host("a1")).unwrap();
            machine.units.get_mut("mesos-slave").unwrap().crashing = true;
        }
    });
    let ran = apply(world, Script { after: Some(crash), ..Script::default() }).await;
    let seconds = ran.seconds_of_shut_gates();
    assert!(seconds.len() == 1 && seconds[0] < 60.0, "{seconds:?}");
    assert_eq!(ran.report.exit(), exit::FAILED);
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_now_goes_last() {
    let mut world = converged();
    world.leaders.insert("mesos-master", host("m3"));
    for name in ["m1", "m2", "m3"] {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.entries.remove("/var/lib/provision/stamps/mesos-master.service");
    }
    let (view, plan) = world.plan(&Scope::default());
    let planned: Vec<_> = plan.stages[0].waves.iter().flat_map(|w| w.hosts.keys()).collect();
    assert_eq!(planned, [&host("m1"), &host("m2"), &host("m3")]);
    // Between the plan and its application another was elected.
    world.leaders.insert("mesos-master", host("m1"));
    let ran = drive(world, view.desired, plan, Script::default()).await;
    assert_eq!(ran.waves(), ["Mesos masters: m2", "Mesos masters: m3", "Mesos masters: m1"]);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_sick_on_the_way_keeps_the_others_from_their_turn() {
    let mut world = converged();
    world.leaders.insert("zookeeper", host("m3"));
    for name in ["m1", "m2", "m3"] {
        world.edit(&host(name), "/etc/zookeeper/conf/log4j.properties", "x\n");
        world.restart_by_hand(&host(name), "zookeeper");
    }
    let wedge: Hook = Box::new(|call, world| {
        if call == "m1: stamp zookeeper" {
            let machine = world.machines.get_mut(&host("m1")).unwrap();
            machine.units.get_mut("zookeeper").unwrap().wedged = true;
        }
    });
    let ran = apply(world, Script { after: Some(wedge), ..Script::default() }).await;
    assert_eq!(ran.waves(), ["ZooKeeper: m1"]);
    for name in ["m2", "m3"] {
        let why = format!("{name}: zookeeper: its peer m1 is sick");
        assert!(ran.blocked().iter().any(|b| b.starts_with(&why)), "{:#?}", ran.blocked());
    }
}

/// A member that was well when the roll began may be about to elect with its peers: it is waited for. Once a
/// majority has had a leader without it for a minute, restarting it takes nothing away.
#[tokio::test(start_paused = true)]
async fn whoever_served_when_the_roll_began_is_mended_once_the_others_lead_without_it() {
    let mut world = converged();
    world.leaders.insert("zookeeper", host("m3"));
    unstamp(&mut world, "zookeeper", &["m1", "m2", "m3"]);
    let wedge: Hook = Box::new(|call, world| {
        if call == "m1: stamp zookeeper" {
            let machine = world.machines.get_mut(&host("m2")).unwrap();
            machine.units.get_mut("zookeeper").unwrap().wedged = true;
        }
    });
    let ran = apply(world, Script { after: Some(wedge), ..Script::default() }).await;
    assert_eq!(ran.waves()[..3], ["ZooKeeper: m1", "ZooKeeper: m2", "ZooKeeper: m3"]);
    let why = "m2 served when this began and no longer does";
    let waits = |event: &Event| matches!(event, Event::GateWaiting { waiting_for, .. } if waiting_for.starts_with(why));
    assert!(ran.events.iter().any(waits), "{:#?}", ran.events);
    assert_eq!(ran.report.failures, []);
}

fn wedge(world: &mut World, unit: &str, hosts: &[&str], wedged: bool) {
    for name in hosts {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.units.get_mut(unit).unwrap().wedged = wedged;
    }
}

/// Planned while nobody led, all of them go together; confirmed when all serve, they must not.
#[tokio::test(start_paused = true)]
async fn a_wave_planned_in_an_election_is_split_once_all_serve() {
    let mut world = converged();
    world.leaders.insert("zookeeper", host("m1"));
    unstamp(&mut world, "zookeeper", &["m1", "m2", "m3"]);
    wedge(&mut world, "zookeeper", &["m1", "m2", "m3"], true);
    let (view, plan) = world.plan(&Scope::default());
    assert_eq!(plan.stages[0].waves.len(), 1, "{}", text::plan(&plan));
    wedge(&mut world, "zookeeper", &["m1", "m2", "m3"], false);
    let ran = drive(world, view.desired, plan, Script::default()).await;
    assert_eq!(ran.waves()[..3], ["ZooKeeper: m2", "ZooKeeper: m3", "ZooKeeper: m1"]);
    assert_eq!(ran.report.failures, []);
}

fn five() -> World {
    let text = "version: 1\ncluster: c\nhosts:\n  m[1:5]: { address: \"10.0.0.1[1:5]\" }\n  a1: { address: 10.0.1.1 }\n\
                zookeeper: { servers: { m1: 1, m2: 2, m3: 3, m4: 4, m5: 5 } }\nmesos:\n  version: 1.11.0\n\
                \x20 package: { preinstalled: true }\n  masters: { hosts: [m1, m2, m3, m4, m5] }\n\
                \x20 agents: { p: { hosts: [a1], resources: { cpus: 1, mem: 1GB } } }\n";
    let mut world = World::fresh(inventory(text, &[]));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

#[tokio::test(start_paused = true)]
async fn the_sick_of_a_plan_go_one_at_a_time_once_they_serve() {
    let mut world = five();
    world.leaders.insert("zookeeper", host("m3"));
    unstamp(&mut world, "zookeeper", &["m1", "m2", "m3", "m4", "m5"]);
    wedge(&mut world, "zookeeper", &["m4", "m5"], true);
    let (view, plan) = world.plan(&Scope::default());
    let first: Vec<_> = plan.stages[0].waves[0].hosts.keys().collect();
    assert_eq!(first, [&host("m4"), &host("m5")]);
    let all = drive(world.clone(), view.desired.clone(), plan.clone(), Script::default()).await;
    assert_eq!(all.waves()[0], "ZooKeeper: m4 m5", "both are still sick");
    wedge(&mut world, "zookeeper", &["m4", "m5"], false);
    let ran = drive(world, view.desired, plan, Script::default()).await;
    let one = |m| format!("ZooKeeper: {m}");
    assert_eq!(ran.waves()[..5], ["m4", "m5", "m1", "m2", "m3"].map(one));
}

/// A wave of three that nobody serves in: whoever cannot be asked may hold what the others do not.
#[tokio::test(start_paused = true)]
async fn a_lost_quorum_is_not_started_without_a_member_that_was_to_go_along() {
    let mut world = converged();
    for name in ["m1", "m2", "m3"] {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.units.get_mut("zookeeper").unwrap().active = false;
    }
    let (view, plan) = world.plan(&Scope::default());
    assert_eq!(plan.stages[0].waves.len(), 1);
    world.machines.get_mut(&host("m1")).unwrap().reach = world::Reach::Dead;
    let ran = drive(world, view.desired, plan, Script::default()).await;
    assert_eq!(ran.calls, Vec::<String>::new());
    assert!(ran.blocked()[0].contains("m1: its host could not be asked"), "{:#?}", ran.blocked());
}

/// The plan's three single steps, begun while nobody leads: the election is waited for.
#[tokio::test(start_paused = true)]
async fn whoever_served_when_the_plan_was_made_is_not_restarted_in_an_election() {
    let mut world = converged();
    unstamp(&mut world, "zookeeper", &["m1", "m2", "m3"]);
    let (view, plan) = world.plan(&Scope::default());
    wedge(&mut world, "zookeeper", &["m1", "m2", "m3"], true);
    let ran = drive(world, view.desired, plan, Script::default()).await;
    assert_eq!(ran.calls, Vec::<String>::new());
    assert!(ran.blocked().iter().all(|b| b.contains("served when this began")));
}

/// Silent is sick, whether we touched it or not, and whether it led or not.
#[tokio::test(start_paused = true)]
async fn a_member_whose_host_falls_silent_stops_the_roll() {
    for (gone, leads) in [("m3", "m3"), ("m3", "m2"), ("m1", "m2")] {
        let mut world = converged();
        world.leaders.insert("zookeeper", host(leads));
        unstamp(&mut world, "zookeeper", &["m1", "m2", "m3"]);
        let dies: Hook = Box::new(move |call, world| {
            if call == "m1: stamp zookeeper" {
                world.machines.get_mut(&host(gone)).unwrap().reach = world::Reach::Dead;
            }
        });
        let ran = apply(world, Script { after: Some(dies), ..Script::default() }).await;
        assert_eq!(ran.waves(), ["ZooKeeper: m1"], "{gone} {leads}");
        assert!(ran.blocked()[0].contains("its host could not be asked"), "{:#?}", ran.blocked());
    }
    // Nothing was touched before.
    let mut world = converged();
    world.leaders.insert("zookeeper", host("m3"));
    unstamp(&mut world, "zookeeper", &["m1"]);
    let (view, plan) = world.plan(&Scope::default());
    world.machines.get_mut(&host("m2")).unwrap().reach = world::Reach::NoSsh;
    let ran = drive(world, view.desired, plan, Script::default()).await;
    assert_eq!(ran.calls, Vec::<String>::new());
}

/// One member is to be restarted; what another is like was seen long ago.
#[tokio::test(start_paused = true)]
async fn a_lone_wave_asks_its_peers_again_too_and_waits_for_a_sick_one() {
    let lone = |sick: bool| {
        let mut world = converged();
        world.leaders.insert("mesos-master", host("m3"));
        unstamp(&mut world, "mesos-master", &["m1"]);
        let (view, plan) = world.plan(&Scope::default());
        let machine = world.machines.get_mut(&host("m2")).unwrap();
        machine.units.get_mut("mesos-master").unwrap().wedged = sick;
        drive(world, view.desired, plan, Script::default())
    };
    let ran = lone(true).await;
    assert!(!ran.called("m1: masters/service"), "{:#?}", ran.calls);
    assert!(ran.blocked()[0].contains("its peer m2 is sick"), "{:#?}", ran.blocked());
    let waits = |event: &Event| matches!(event, Event::GateWaiting { hosts, .. } if hosts[0].as_str() == "m2");
    assert!(ran.events.iter().any(waits));
    let ran = lone(false).await;
    assert!(ran.called("m1: masters/service") && ran.blocked().is_empty());
}

/// Its leader may be on a host that cannot be asked: that must not keep a mended member's gate shut.
#[tokio::test(start_paused = true)]
async fn a_member_is_mended_while_the_leaders_host_does_not_answer() {
    let mut world = converged();
    world.leaders.insert("mesos-master", host("m3"));
    world.machines.get_mut(&host("m3")).unwrap().reach = world::Reach::NoSsh;
    let machine = world.machines.get_mut(&host("m1")).unwrap();
    machine.units.get_mut("mesos-master").unwrap().active = false;
    let ran = apply(world, Script::default()).await;
    assert!(ran.called("m1: stamp mesos-master"), "{:#?}", ran.events);
    assert_eq!(ran.report.failures, []);
}

#[tokio::test(start_paused = true)]
async fn a_lost_host_is_neither_done_nor_failed() {
    let mut world = converged();
    for name in ["a1", "a2"] {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.entries.remove("/etc/mesos-slave/containerizers");
        machine.entries.remove("/var/lib/provision/stamps/mesos-slave.service");
    }
    let ran = apply(
        world,
        Script { troubles: vec![("a1: agents/service", Trouble::Lost)], ..Script::default() },
    )
    .await;
    assert_eq!(ran.ended(|o| matches!(o, Outcome::Lost(_))), ["a1: agents/service mesos-slave"]);
    assert!(ran.report.unreachable.contains_key(&host("a1")));
    // One of two agents is past the budget.
    assert!(!ran.called("a2: "), "{:#?}", ran.calls);
    assert_eq!(ran.report.exit(), exit::UNREACHABLE);
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_stop_gets_no_new_action() {
    let stop = Arc::new(Stop::default());
    let asked = Arc::clone(&stop);
    let after: Hook = Box::new(move |call, _| {
        if call == "m1: zookeeper/file /etc/zookeeper/conf/zoo.cfg" {
            asked.ask();
        }
    });
    let ran = apply(fresh(), Script { after: Some(after), stop, ..Script::default() }).await;
    assert!(!ran.called("m1: zookeeper/service"), "{:#?}", ran.calls);
    assert!(!ran.called("m1: masters/file") && !ran.called("a1: agents/file"));
    assert!(ran.blocked().iter().any(|b| b.ends_with("the run was interrupted")));
    assert!(ran.report.skipped > 0);
    // What was left is found and done by the next run.
    let again = apply(ran.world, Script::default()).await;
    assert_eq!(again.report.failures, []);
    assert_eq!(left(&again.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_here_is_said_and_not_waited_for() {
    let ran = apply(
        fresh(),
        Script {
            troubles: vec![
                (
                    "c1: dispatcher/service",
                    Trouble::Status(70, "none of /usr/lib/libmesos.so is there\n"),
                ),
                (
                    "c1: smoke/proof pi-through-mesos",
                    Trouble::Status(70, "no libmesos on this host\n"),
                ),
            ],
            ..Script::default()
        },
    )
    .await;
    assert_eq!(
        ran.ended(|o| matches!(o, Outcome::NotRun(_))),
        ["c1: dispatcher/service spark-dispatcher", "c1: smoke/proof pi-through-mesos"]
    );
    assert!(!ran.called("c1: stamp spark-dispatcher"));
    assert_eq!(ran.seconds_of_shut_gates(), Vec::<f64>::new());
    assert_eq!(ran.report.exit(), exit::OK);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_looked_at_is_looked_at_in_its_turn() {
    let mut world = converged();
    for name in ["a1", "a2"] {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        machine.units.get_mut("docker").unwrap().active = false;
    }
    world.machines.get_mut(&host("a2")).unwrap().images.remove("spark-mesos");
    let ran = apply(world, Script::default()).await;
    let unchanged = ran.ended(|o| *o == Outcome::Unchanged);
    assert!(unchanged.contains(&"a1: image/image spark-mesos".to_owned()), "{unchanged:?}");
    assert!(!ran.called("a1: image/") && ran.called("a2: image/image spark-mesos"));
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_fails_does_not_keep_the_next_from_running() {
    let ran = apply(
        fresh(),
        Script {
            troubles: vec![("c1: smoke/proof pi-on-a1", Trouble::Status(1, "Exception\n"))],
            ..Script::default()
        },
    )
    .await;
    assert!(ran.called("c1: smoke/proof pi-on-a2"));
    assert_eq!(ran.report.exit(), exit::SMOKE);
    assert!(left(&ran.world).contains("proof pi-on-a1"));
}

/// The smoke names what `diagnose` would: the broken rung, and a time-out by its name.
#[tokio::test(start_paused = true)]
async fn the_cause_of_a_failed_proof_is_the_broken_rung_of_its_ladder() {
    let mut world = fresh();
    world.frameworks = serde_json::json!({"completed_frameworks": [
        {"id": "f1", "name": "PythonPi", "role": "etl", "completed_tasks": [{
            "id": "0", "state": "TASK_FAILED", "slave_id": "@a1",
        }]},
        {"id": "f2", "name": "PythonPi", "role": "etl"},
    ], "frameworks": [{"id": "d", "name": "Spark Cluster", "completed_tasks": [{
        "id": "driver-1", "state": "TASK_FAILED", "slave_id": "@a1",
    }]}]})
    .to_string();
    let died =
        "Caused by: java.net.UnknownHostException: c1\nI1122 18:30:33.2 9 executor.cpp:1] Bye\n";
    world.said.insert("stderr", died.to_owned());
    let smoke = |name, says| (name, Trouble::Status(1, says));
    let troubles = vec![
        smoke(
            "c1: smoke/proof pi-through-mesos",
            "framework none\nERROR Refused: Master refused authentication\n",
        ),
        smoke("c1: smoke/proof pi-on-a1", "framework f1\nstopped after 9 s\n"),
        smoke("c1: smoke/proof pi-on-a2", "framework f2\nspark-submit ended with status 1\n"),
        smoke(
            "c1: smoke/proof pi-in-cluster-mode",
            "driver driver-1\nmessage: \"Container exited\"\ndriver driver-1 did not end with TASK_FINISHED\n",
        ),
    ];
    let ran = apply(world, Script { troubles, ..Script::default() }).await;
    let causes: Vec<String> = ran
        .report
        .smoke
        .iter()
        .filter(|smoke| format!("{smoke:?}").contains("Failed"))
        .map(|smoke| format!("{smoke:?}"))
        .collect();
    insta::assert_snapshot!(causes.join("\n"));
}

/// The dispatcher forgets a driver that it has queued once the proof gives it up.
#[tokio::test(start_paused = true)]
async fn a_driver_that_was_queued_until_it_was_given_up_had_no_room() {
    let says = "driver driver-9\nstate QUEUED\nstopped after 9 s\n";
    let troubles = vec![("c1: smoke/proof pi-in-cluster-mode", Trouble::Status(1, says))];
    let ran = apply(fresh(), Script { troubles, ..Script::default() }).await;
    let queued = "timed out after 9 s; the dispatcher has driver-9 QUEUED: no agent had room for the driver itself";
    assert!(
        ran.report.smoke.iter().any(|(.., why)| why.starts_with(queued)),
        "{:#?}",
        ran.report.smoke
    );
}

/// Without a leader every driver waits or dies, and knows nothing of why. Where masters cannot be asked nobody
/// knows, and what a driver died of by itself counts.
#[tokio::test(start_paused = true)]
async fn a_proof_while_nobody_leads_is_told_so() {
    let stops = |master: &mut Machine| master.units.get_mut("mesos-master").unwrap().active = false;
    told_of_proofs(
        stops,
        [
            ("pi-through-mesos", "timed out after 9 s; no master leads: m1: "),
            ("pi-on-a1", "no master leads: m1: "),
            ("pi-in-cluster-mode", "timed out after 9 s; no master leads: m1: "),
        ],
    )
    .await;
    let silent = "timed out after 9 s; no master that could be asked leads: m1: its host ";
    told_of_proofs(
        |master| master.reach = Reach::Dead,
        [
            ("pi-through-mesos", silent),
            ("pi-on-a1", "the driver on c1 died before it registered: Exception: ouch"),
            ("pi-in-cluster-mode", silent),
        ],
    )
    .await;
}

/// Two of three masters fall before the proofs of the client, which are then told so.
async fn told_of_proofs(fall: fn(&mut Machine), causes: [(&str, &str); 3]) {
    let troubles = [
        ("c1: smoke/proof pi-through-mesos", "framework none\nstopped after 9 s\n"),
        (
            "c1: smoke/proof pi-on-a1",
            "framework none\nException: ouch\nspark-submit ended with status 1\n",
        ),
        (
            "c1: smoke/proof pi-in-cluster-mode",
            "driver driver-9\nstate QUEUED\nstopped after 9 s\n",
        ),
    ];
    let troubles = troubles.map(|(proof, says)| (proof, Trouble::Status(1, says))).to_vec();
    let after: Hook = Box::new(move |call, world| {
        if call == "a2: smoke/proof pi-in-image" {
            for name in ["m1", "m2"] {
                fall(world.machines.get_mut(&host(name)).unwrap());
            }
        }
    });
    let script = Script { troubles, after: Some(after), ..Script::default() };
    let ran = apply(fresh(), script).await;
    let failed: Vec<_> =
        ran.report.smoke.iter().filter(|it| it.2 == SmokeOutcome::Failed).collect();
    for (proof, why) in causes {
        let told = failed.iter().any(|it| it.0 == proof && it.3.starts_with(why));
        assert!(told, "{proof}: {why} in {failed:#?}");
    }
}

/// Services that were never found healthy, so that each must be restarted.
fn unstamp(world: &mut World, unit: &str, hosts: &[&str]) {
    for name in hosts {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        let stamp = format!("/var/lib/provision/stamps/{unit}.service");
        machine.entries.remove(&stamp).unwrap();
    }
}

/// What the leading master answers while these run one task each: framework, agent, whether it
/// checkpoints.
fn running(world: &mut World, jobs: &[(&str, &str, bool)]) {
    let job = |(id, agent, checkpoint): &(&str, &str, bool)| {
        serde_json::json!({"id": id, "name": "etl", "checkpoint": checkpoint, "tasks": [
            {"id": "0", "state": "TASK_RUNNING", "slave_id": format!("@{agent}")},
        ]})
    };
    let frameworks: Vec<_> = jobs.iter().map(job).collect();
    world.frameworks = serde_json::json!({"frameworks": frameworks}).to_string();
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_drained_and_given_back_only_where_its_tasks_would_not_survive() {
    let mut world = converged();
    unstamp(&mut world, "mesos-slave", &["a1", "a2"]);
    running(&mut world, &[("f1", "a1", false), ("f2", "a2", true)]);
    let ran = apply(world, Script::default()).await;
    let calls = ["drain", "agents/service", "reactivate"].map(|what| {
        ran.calls.iter().position(|call| call.starts_with(&format!("a1: {what}"))).unwrap()
    });
    assert!(calls.is_sorted(), "{:#?}", ran.calls);
    assert!(!ran.called("a2: drain"), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn the_engine_under_running_tasks_is_not_restarted_before_they_have_ended() {
    let mut world = converged();
    unstamp(&mut world, "docker", &["a1"]);
    running(&mut world, &[("f1", "a1", true)]);
    let ran = apply(world, Script::default()).await;
    let restart = ran.position("a1: docker/service docker");
    assert!(ran.position("a1: drain mesos-slave") < restart);
    assert!(ran.position("a1: reactivate mesos-slave") > restart);
}

/// When the plan was made nothing ran on a2; at its turn what a1 lost does.
#[tokio::test(start_paused = true)]
async fn who_is_drained_is_decided_at_its_turn() {
    for moves in [true, false] {
        let mut world = converged();
        unstamp(&mut world, "docker", &["a1", "a2"]);
        running(&mut world, &[("f1", "a1", false)]);
        let moved: Hook = Box::new(move |call, world| {
            if call == "a1: drain mesos-slave" {
                running(world, if moves { &[("f1", "a2", false)] } else { &[] });
            }
        });
        let ran = apply(world, Script { after: Some(moved), ..Script::default() }).await;
        assert_eq!(ran.called("a2: drain mesos-slave"), moves, "{:#?}", ran.calls);
        assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
    }
}

/// What is moved would be moved again by the next turn.
#[tokio::test(start_paused = true)]
async fn agents_whose_turn_is_to_come_get_no_offers_while_one_is_emptied() {
    let mut world = converged();
    unstamp(&mut world, "docker", &["a1", "a2"]);
    running(&mut world, &[("f1", "a1", false)]);
    let gone: Hook = Box::new(|call, world| {
        if call == "a1: drain mesos-slave" {
            running(world, &[]);
        }
    });
    let ran = apply(world, Script { after: Some(gone), ..Script::default() }).await;
    let order = [
        "a2: deactivate mesos-slave",
        "a1: drain mesos-slave",
        "a1: docker/service docker",
        "a1: reactivate mesos-slave",
        "a2: docker/service docker",
        "a2: reactivate mesos-slave",
    ];
    let at = order.map(|call| ran.position(call));
    assert!(at.is_sorted(), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
    // Where nothing ends, nobody is kept from its offers.
    let mut world = converged();
    unstamp(&mut world, "docker", &["a1", "a2"]);
    let ran = apply(world, Script::default()).await;
    assert!(!ran.called("a2: deactivate"), "{:#?}", ran.calls);
}

/// The turn of another may come with a later stage.
#[tokio::test(start_paused = true)]
async fn agents_whose_turn_comes_with_a_later_stage_get_no_offers_either() {
    let mut world = converged();
    unstamp(&mut world, "docker", &["a1"]);
    unstamp(&mut world, "mesos-slave", &["a2"]);
    running(&mut world, &[("f1", "a1", false)]);
    let gone: Hook = Box::new(|call, world| {
        if call == "a1: drain mesos-slave" {
            running(world, &[]);
        }
    });
    let ran = apply(world, Script { after: Some(gone), ..Script::default() }).await;
    let order = [
        "a2: deactivate mesos-slave",
        "a1: drain mesos-slave",
        "a1: docker/service docker",
        "a1: reactivate mesos-slave",
        "a2: agents/service mesos-slave",
        "a2: reactivate mesos-slave",
    ];
    assert!(order.map(|call| ran.position(call)).is_sorted(), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

/// However the run ends, whoever was only held back gets offers again; what was hit half does not.
#[tokio::test(start_paused = true)]
async fn who_was_held_back_is_given_back_on_every_way_out() {
    let held = || {
        let mut world = converged();
        unstamp(&mut world, "docker", &["a1", "a2"]);
        running(&mut world, &[("f1", "a1", false)]);
        world
    };
    let deactivated =
        |world: &World, name| world.machines[&host(name)].agent.as_ref().unwrap().deactivated;
    let troubles = vec![("a1: docker/service", Trouble::Status(1, "no engine"))];
    let ran = apply(held(), Script { troubles, ..Script::default() }).await;
    assert!(ran.called("a2: deactivate mesos-slave") && !ran.called("a2: docker/service"));
    assert!(!deactivated(&ran.world, "a2") && deactivated(&ran.world, "a1"), "{:#?}", ran.calls);

    for last in ["a1: drain mesos-slave", "a1: docker/service docker", "a2: deactivate mesos-slave"]
    {
        let stop = Arc::new(Stop::default());
        let asked = Arc::clone(&stop);
        let after: Hook = Box::new(move |call, _| {
            if call == last {
                asked.ask();
            }
        });
        let ran = apply(held(), Script { after: Some(after), stop, ..Script::default() }).await;
        assert!(!ran.called("a2: docker/service"), "{last}: {:#?}", ran.calls);
        assert!(!deactivated(&ran.world, "a2") && !deactivated(&ran.world, "a1"), "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_lasts_says_what_it_waits_for() {
    let mut world = converged();
    unstamp(&mut world, "docker", &["a1"]);
    running(&mut world, &[("f1", "a1", false)]);
    let lasts: Hook = Box::new(|call, world| {
        if call == "a1: drain mesos-slave" {
            let agent = world.machines.get_mut(&host("a1")).unwrap().agent.as_mut().unwrap();
            agent.until = Some(tokio::time::Instant::now() + std::time::Duration::from_secs(25));
        }
    });
    let ran = apply(world, Script { after: Some(lasts), ..Script::default() }).await;
    let said: Vec<&str> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::GateWaiting { waiting_for, .. } => Some(waiting_for.as_str()),
            _ => None,
        })
        .filter(|said| said.contains("drained"))
        .collect();
    let line = |secs| format!("a1 is being drained: 1 task of etl (f1) ({secs} s of at most 60)");
    assert_eq!(said, [line(0), line(10), line(20)]);
    assert!(ran.position("a1: docker/service docker") > ran.position("a1: drain mesos-slave"));
}

/// It used to be stopped under its jobs, which no plan named.
#[tokio::test(start_paused = true)]
async fn an_agent_that_is_retired_is_named_with_its_jobs_drained_stopped_and_gone() {
    let mut world = converged();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("hosts: [\"a[1:2]\"]", "hosts: [a1]") + "\nretired: [a2]\n";
    world.inventory = inventory(&text, &DEMO);
    running(&mut world, &[("f1", "a2", true)]);
    let (view, plan) = world.plan(&Scope::default());
    let hits = disruption::of_plan(&plan);
    let listed = view.observed.judged.agents.clone().unwrap();
    let frameworks = serde_json::from_str(&world.frameworks()).unwrap();
    let named = disruption::disruptions(&world.inventory, &hits, &listed, Some(&frameworks));
    assert_eq!(
        named[&host("a2")].to_string(),
        "the agent leaves; it is drained first, for at most 60 s; ends 1 task of etl (f1), \
         and whatever has moved there by then"
    );
    let ran = drive(world, view.desired, plan, Script::default()).await;
    let order =
        ["a2: drain mesos-slave", "a2: retired/service mesos-slave", "a2: mark-gone mesos-slave"];
    assert!(order.map(|call| ran.position(call)).is_sorted(), "{:#?}", ran.calls);
    assert!(!ran.called("a2: reactivate") && !ran.called("a1: drain"), "{:#?}", ran.calls);
}

fn demo(more: &str) -> provision::inventory::Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("  masters:\n", &format!("{more}  masters:\n"));
    inventory(&text, &DEMO)
}

const CREDENTIALS: &str = "  credentials: { agent: { principal: agent, secret: { env: A } }, \
                           framework: { principal: spark, secret: { env: B } } }\n";

/// Each of them ended at the masters' change, and no plan said so.
#[test]
fn frameworks_that_will_be_refused_are_named() {
    let named = |world: &World, frameworks: &str| -> Vec<String> {
        let (_, plan) = world.plan(&Scope::default());
        let frameworks = serde_json::from_str(frameworks).unwrap();
        let found = preflight::refused(&world.inventory, &plan, &frameworks);
        found.into_iter().map(|problem| problem.message).collect()
    };
    let all = r#"{"frameworks": [{"id": "f1", "name": "etl", "active": true},
        {"id": "f2", "name": "own", "active": true, "principal": "spark"},
        {"id": "f3", "name": "gone", "active": false},
        {"id": "f4", "name": "other", "active": true, "principal": "old"}]}"#;
    let mut world = converged();
    assert_eq!(named(&world, all), [""; 0], "masters do not change");
    world.inventory = demo(CREDENTIALS);
    let ends = "it ends, and its tasks with it";
    let other = format!("other (f4) runs as `old`, whom the masters will not know: {ends}");
    let on = "etl (f1) runs without a principal, and the masters will ask for one";
    assert_eq!(named(&world, all), [format!("{on}: {ends}"), other.clone()]);
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(named(&world, all), [""; 0], "nothing is left to change");
    world.inventory = demo("");
    let own = format!("own (f2) runs as `spark`, whom the masters will not know: {ends}");
    assert_eq!(named(&world, all), [own, other]);
}

/// What nobody has written any more cannot be known by masters that are to know something new.
#[test]
fn a_principal_is_not_dropped_under_agents_that_use_it() {
    let mut world = World::fresh(demo(CREDENTIALS));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    let found = |world: &World| -> Vec<String> {
        let (view, plan) = world.plan(&Scope::default());
        let found = preflight::check(&world.inventory, &plan, &view.observed, &Default::default());
        let of = found.into_iter().filter(|(_, problem)| problem.name == "principal-dropped");
        of.map(|(host, problem)| format!("{}: {}", host.unwrap(), problem.help.unwrap())).collect()
    };
    assert_eq!(found(&world), [""; 0]);
    world.inventory = demo(&CREDENTIALS.replace("principal: agent", "principal: agent-2"));
    let cure = "keep the old principal under `mesos.credentials.former`; apply, take it out there, apply again";
    assert_eq!(found(&world), [format!("a1: {cure}"), format!("a2: {cure}")]);
}

/// Masters would refuse who has not gone over.
#[tokio::test(start_paused = true)]
async fn masters_ask_for_nothing_that_an_agent_failed_to_get() {
    let mut world = converged();
    world.inventory = demo(CREDENTIALS);
    let troubles = vec![("a2: agents/service mesos-slave", Trouble::Status(1, "no"))];
    let ran = apply(world, Script { troubles, max_failed: Some(1), ..Script::default() }).await;
    let waves = ran.waves();
    assert!(waves.iter().any(|wave| wave == "Spark: a1 a2 c1"), "{waves:#?}");
    assert!(!waves.iter().any(|wave| wave.starts_with("masters ask")), "{waves:#?}");
    let why = "a2 comes first, and failed before";
    assert!(ran.blocked().iter().any(|it| it.starts_with("m1: masters: ") && it.contains(why)));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_run_is_not_waited_for_to_be_drained() {
    let mut world = converged();
    running(&mut world, &[("f1", "a1", false)]);
    let machine = world.machines.get_mut(&host("a1")).unwrap();
    machine.units.get_mut("mesos-slave").unwrap().active = false;
    let ran = apply(world, Script::default()).await;
    assert!(!ran.called("a1: drain"), "{:#?}", ran.calls);
}

/// Cut short while it drains, the run has left the agent without offers, and so it would stay.
#[tokio::test(start_paused = true)]
async fn a_drain_that_a_run_left_is_ended_by_the_next() {
    let mut world = converged();
    world.machines.get_mut(&host("a1")).unwrap().drain(true, 1);
    let plan = left(&world);
    let gap = "~ a1: drain mesos-slave: left by a run that was cut short, to be ended";
    assert!(plan.contains(gap), "{plan}");
    let ran = apply(world, Script::default()).await;
    assert_eq!(ran.report.failures, []);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

/// Such an agent is listed as not active, like one that is not there.
#[tokio::test(start_paused = true)]
async fn an_agent_that_is_being_drained_already_is_waited_for() {
    let mut world = converged();
    unstamp(&mut world, "mesos-slave", &["a1"]);
    world.machines.get_mut(&host("a1")).unwrap().drain(true, 1);
    running(&mut world, &[("f1", "a1", false)]);
    let ran = apply(world, Script::default()).await;
    assert!(ran.called("a1: drain mesos-slave"), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_has_drained_stays_so() {
    let mut world = converged();
    let machine = world.machines.get_mut(&host("a1")).unwrap();
    machine.agent.as_mut().unwrap().drained = true;
    let ran = apply(world, Script::default()).await;
    assert_eq!(ran.calls, Vec::<String>::new());
    let why = "it is drained or deactivated; no offers are made of it";
    assert!(ran.blocked()[0].contains(why), "{:#?}", ran.blocked());
    assert_eq!(ran.report.exit(), exit::UNREACHABLE);
}
