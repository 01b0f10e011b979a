//! Who of a quorum goes when: from what its members are like at that moment.

use provision::event::Event;
use provision::plan::{Scope, text};

use super::super::support::fake::Hook;
use super::super::support::runs::{Script, apply, converged, drive, host, left, unstamp};
use super::super::support::world::{self, World, inventory};

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

/// One that leads has a majority in sync, so that too few answers are not of one moment: whoever is on its way is
/// not restarted at once for that the quorum were lost, and not waited for for ever.
#[tokio::test(start_paused = true)]
async fn a_quorum_that_leads_is_not_taken_for_a_lost_one() {
    let mut world = converged();
    unstamp(&mut world, "zookeeper", &["m2", "m3"]);
    let leads = "Zookeeper version: 3.8.0\nMode: leader\nzk_synced_followers\t0\n";
    let begins = "This ZooKeeper instance is not currently serving requests\n";
    for (name, said) in [("m1", leads), ("m2", begins), ("m3", begins)] {
        world.forged.insert(host(name), said.to_owned());
    }
    let (view, plan) = world.plan(&Scope::default());
    let ran = drive(world, view.desired, plan, Script::default()).await;
    let why = "m1 leads, so a majority must be in sync, yet m2: This ZooKeeper instance";
    let at = |is: &dyn Fn(&Event) -> bool| ran.events.iter().position(is);
    let waits = at(
        &|event| matches!(event, Event::GateWaiting { waiting_for, .. } if waiting_for.starts_with(why)),
    );
    let begins = at(&|event| matches!(event, Event::WaveStarted { .. }));
    assert!(waits.is_some() && waits < begins, "{:#?}", ran.events);
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
