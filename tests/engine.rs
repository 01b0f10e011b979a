//! The engine, on hosts that are a model and a clock that does not tick.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::sync::Arc;

use provision::apply::{Run, Stop};
use provision::event::{Event, Outcome};
use provision::inventory::HostName;
use provision::plan::hits::{First, Hit, Job, Way};
use provision::plan::{Plan, Scope, text};
use provision::report::{Report, exit};

#[path = "support/world.rs"]
mod world;

#[path = "support/fake.rs"]
mod fake;

use fake::{Fake, Heard, Hook, Trouble, lock};
use world::{World, inventory};

const DEMO: [&str; 3] = [
    "mesos.package.deb=mesos_1.11.0_amd64.deb",
    "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
    "docker.images.0.archive=debian-bookworm-slim.tar",
];

fn fresh() -> World {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    World::fresh(inventory(&std::fs::read_to_string(path).unwrap(), &DEMO))
}

fn converged() -> World {
    let mut world = fresh();
    let (view, plan) = world.plan(&Scope::default());
    world.apply(&view, &plan, |_, _, _| ());
    world
}

fn host(name: &str) -> HostName {
    HostName::new(name)
}

/// What is to happen in a run.
#[derive(Default)]
struct Script {
    troubles: Vec<(&'static str, Trouble)>,
    after: Option<Hook>,
    max_failed: Option<usize>,
    stop: Arc<Stop>,
}

/// What came of it.
struct Ran {
    world: World,
    calls: Vec<String>,
    events: Vec<Event>,
    report: Report,
    plan: Plan,
}

async fn apply(world: World, script: Script) -> Ran {
    let (view, plan) = world.plan(&Scope::default());
    drive(world, view.desired, plan, script).await
}

async fn drive(
    world: World,
    desired: provision::tasks::Desired,
    plan: Plan,
    script: Script,
) -> Ran {
    let inventory = Arc::new(world.inventory.clone());
    let mut fake = Fake::new(world, desired);
    fake.troubles = script.troubles;
    if let Some(after) = script.after {
        fake.after = after;
    }
    let (fake, heard) = (Arc::new(fake), Arc::new(Heard::default()));
    let desired = Arc::clone(&fake.desired);
    let sink: Arc<dyn provision::event::Sink> = heard.clone();
    let run =
        Run::new(inventory, desired, Arc::clone(&fake), sink, script.stop, 8, script.max_failed);
    run.apply(&plan).await;
    let world = lock(&fake.world).clone();
    let calls = lock(&fake.calls).clone();
    let events = lock(&heard.0).clone();
    Ran { world, calls, events, report: heard.report(), plan }
}

impl Ran {
    /// Stages and waves in the order in which they began.
    fn waves(&self) -> Vec<String> {
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

    fn called(&self, what: &str) -> bool {
        self.calls.iter().any(|call| call.starts_with(what))
    }

    fn position(&self, what: &str) -> usize {
        self.calls
            .iter()
            .position(|call| call == what)
            .unwrap_or_else(|| panic!("{what} was not called"))
    }

    /// `host: task/resource` of actions that ended in some way.
    fn ended(&self, how: fn(&Outcome) -> bool) -> Vec<String> {
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

    fn blocked(&self) -> Vec<String> {
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

fn left(world: &World) -> String {
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
        world.edit(&host(name), "/etc/zookeeper/conf/zoo.cfg", "tickTime=1\n");
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

/// While its peers elect, a member that was well when the roll began is not one to be mended.
#[tokio::test(start_paused = true)]
async fn whoever_served_when_the_roll_began_is_not_restarted_once_it_does_not() {
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
    assert_eq!(ran.waves(), ["ZooKeeper: m1"]);
    assert!(!ran.called("m2: zookeeper/service"), "{:#?}", ran.calls);
    let why = "m2 served when this began and no longer does";
    assert!(ran.blocked().iter().all(|b| b.contains(why)), "{:#?}", ran.blocked());
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

/// Services that were never found healthy, so that each must be restarted.
fn unstamp(world: &mut World, unit: &str, hosts: &[&str]) {
    for name in hosts {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        let stamp = format!("/var/lib/provision/stamps/{unit}.service");
        machine.entries.remove(&stamp).unwrap();
    }
}

fn hit(way: Way, jobs: usize) -> Hit {
    let job = || Job { framework: "etl".to_owned(), id: "f1".to_owned(), tasks: 1 };
    Hit { way, first: First::Drained, ends: Some((0..jobs).map(|_| job()).collect()) }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_drained_and_given_back_only_where_its_tasks_would_not_survive() {
    let mut world = converged();
    unstamp(&mut world, "mesos-slave", &["a1", "a2"]);
    let (view, mut plan) = world.plan(&Scope::default());
    plan.hits.insert(host("a1"), hit(Way::InPlace, 1));
    plan.hits.insert(host("a2"), hit(Way::InPlace, 0));
    let ran = drive(world, view.desired, plan, Script::default()).await;
    let calls = ["drain", "agents/service", "reactivate"].map(|what| {
        ran.calls.iter().position(|call| call.starts_with(&format!("a1: {what}"))).unwrap()
    });
    assert!(calls.is_sorted(), "{:#?}", ran.calls);
    assert!(!ran.called("a2: drain") && !ran.called("a2: reactivate"), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn the_engine_under_running_tasks_is_not_restarted_before_they_have_ended() {
    let mut world = converged();
    unstamp(&mut world, "docker", &["a1"]);
    let (view, mut plan) = world.plan(&Scope::default());
    plan.hits.insert(host("a1"), hit(Way::Engine, 1));
    let ran = drive(world, view.desired, plan, Script::default()).await;
    let restart = ran.position("a1: docker/service docker");
    assert!(ran.position("a1: drain mesos-slave") < restart);
    assert!(ran.position("a1: reactivate mesos-slave") > restart);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_run_is_not_waited_for_to_be_drained() {
    let mut world = converged();
    let machine = world.machines.get_mut(&host("a1")).unwrap();
    machine.units.get_mut("mesos-slave").unwrap().active = false;
    let (view, mut plan) = world.plan(&Scope::default());
    let way = Way::NewId { reason: "rack changes".to_owned() };
    plan.hits.insert(host("a1"), hit(way, 1));
    let ran = drive(world, view.desired, plan, Script::default()).await;
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
    let (view, mut plan) = world.plan(&Scope::default());
    plan.hits.insert(host("a1"), hit(Way::InPlace, 1));
    let ran = drive(world, view.desired, plan, Script::default()).await;
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
