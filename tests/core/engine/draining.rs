//! Agents with running tasks: who is drained, who gets no offers, who is given back.

use std::sync::Arc;

use provision::apply::Stop;
use provision::event::Event;
use provision::inventory::Inventory;
use provision::plan::{Scope, disruption};
use provision::report::exit;

use super::super::support::fake::{Hook, Trouble};
use super::super::support::runs::{DEMO, Script, apply, converged, drive, host, left, unstamp};
use super::super::support::world::{World, inventory};

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

/// The demo cluster with the shuffle service, applied.
fn served() -> World {
    let mut world = converged();
    world.inventory = with_shuffle(&[]);
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

fn with_shuffle(sets: &[&str]) -> Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    inventory(&text, &[&DEMO, &["spark.shuffle_service={}"][..], sets].concat())
}

/// What a plan of this world disrupts on a1, in words.
fn disrupted(world: &World) -> String {
    let (view, plan) = world.plan(&Scope::default());
    let hits = disruption::of_plan(&plan);
    let listed = view.observed.judged.agents.clone().unwrap();
    let frameworks = serde_json::from_str(&world.frameworks()).unwrap();
    let named = disruption::disruptions(&world.inventory, &hits, &listed, Some(&frameworks));
    named.get(&host("a1")).map(ToString::to_string).unwrap_or_default()
}

/// Executors that run on would be strangers to it, and their jobs fail on that; so they end first.
#[tokio::test(start_paused = true)]
async fn a_shuffle_service_is_not_started_anew_under_its_executors() {
    let mut world = served();
    world.inventory = with_shuffle(&["spark.shuffle_service.memory=2GB"]);
    running(&mut world, &[("f1", "a1", true)]);
    assert_eq!(
        disrupted(&world),
        "the shuffle service of its executors restarts, and knows none of them then; it is drained first, for at \
         most 60 s, and given back after; ends 1 task of etl (f1), and whatever has moved there by then"
    );
    let ran = apply(world, Script::default()).await;
    let order = [
        "a1: drain mesos-slave",
        "a1: shuffle/service spark-shuffle",
        "a1: reactivate mesos-slave",
    ];
    assert!(order.map(|call| ran.position(call)).is_sorted(), "{:#?}", ran.calls);
    assert!(!ran.called("a2: drain"), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

/// No agent is emptied for it: whoever was started with it would look for it on the next agent too.
#[tokio::test(start_paused = true)]
async fn a_shuffle_service_that_is_given_up_is_named_with_who_uses_it() {
    let mut world = served();
    world.inventory = inventory(
        &std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml"))
            .unwrap(),
        &DEMO,
    );
    assert_eq!(
        disrupted(&world),
        "the shuffle service of its executors stops; nothing runs there now"
    );
    running(&mut world, &[("f1", "a1", false)]);
    assert_eq!(
        disrupted(&world),
        "the shuffle service of its executors stops; whoever was started with it fails then, so let 1 task \
         of etl (f1) end first"
    );
    let ran = apply(world, Script::default()).await;
    assert!(ran.called("a1: retired/service spark-shuffle"), "{:#?}", ran.calls);
    assert!(!ran.called("a1: drain"), "{:#?}", ran.calls);
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
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
