//! The engine, on hosts that are a model and a clock that does not tick.

mod credentials;
mod draining;
mod proofs;
mod quorums;
mod seeds;

use std::sync::Arc;

use provision::apply::Stop;
use provision::event::Outcome;
use provision::report::exit;

use super::support::fake::{Hook, Trouble};
use super::support::runs::{Script, apply, converged, fresh, host, left};

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
