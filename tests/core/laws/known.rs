//! Worlds that once came to a wrong plan, each told by itself.

use super::*;

/// So many members of both quorums, and an agent.
fn members(quorum: usize) -> Shape {
    let (pools, batch, news) = (vec![1], "1", Vec::new());
    Shape { quorum, pools, batch, dispatcher: false, shared: false, news }
}

/// With one of three masters stopped and one wiped nobody leads, and what somebody started on an agent may be the
/// replica that the only other one sees beside itself.
#[test]
fn a_master_that_nobody_knows_stops_before_anything_of_the_masters_changes() {
    let shape =
        Shape { dispatcher: true, news: vec!["mesos.agents.p0.attributes.rack=r9"], ..members(3) };
    let mut world = whole(&shape);
    world.inventory = inventory(&yaml(&shape), &shape.news);
    suffer(&mut world, &HostName::new("a01"), &Damage::Intruder(false));
    suffer(&mut world, &HostName::new("m2"), &Damage::Wiped);
    let m1 = world.machines.get_mut(&HostName::new("m1")).expect("a machine");
    m1.units.get_mut("mesos-master").expect("a unit").active = false;
    let (view, plan) = world.plan(&Scope::default());
    hold(&world, &view, &plan, &Scope::default());
    let text = provision::plan::text::plan(&plan);
    let stops =
        "\na master that the inventory does not name stops\n  ~ a01: service mesos-master: ";
    assert!(text.contains(stops), "{text}");
    let why = "the masters' log has 2 replicas, of which m3 is known; a01 runs one that the inventory does not name, which this apply stops: apply again after it";
    assert!(text.contains(&format!("  ! m1: masters: blocked: {why}\n")), "{text}");
    // Nobody leads before that, so whatever is told to a leader, or found well by one, waits.
    for waits in ["m1: weights", "a01: agents"] {
        let line = format!(
            "  ! {waits}: blocked: no master leads, and they are left as they are: {why}\n"
        );
        assert!(text.contains(&line), "{waits}: {text}");
    }
    world.apply(&plan, gate);
    converge(&mut world, 1);
}

/// They may serve, or hold the data and serve no more: with one of them empty too, the empty would be a majority.
#[test]
fn empty_servers_do_not_begin_while_nobody_serves_of_those_that_answer() {
    let mut world = whole(&members(5));
    for host in ["m1", "m2", "m3"] {
        suffer(&mut world, &HostName::new(host), &Damage::Unreachable);
    }
    for host in ["m4", "m5"] {
        suffer(&mut world, &HostName::new(host), &Damage::Wiped);
    }
    let (_, plan) = world.plan(&Scope::default());
    let text = provision::plan::text::plan(&plan);
    let why = "all servers that could be started are empty, and m1, which may hold the data, is not among them";
    assert!(text.contains(&format!("  ! m4: zookeeper: blocked: {why}")), "{text}");
    assert!(!text.contains("service zookeeper"), "{text}");
    // One that serves shows that the others need not be asked.
    world.machines.get_mut(&HostName::new("m1")).expect("a machine").reach = Reach::Whole;
    let (_, plan) = world.plan(&Scope::default());
    let text = provision::plan::text::plan(&plan);
    assert!(text.contains("  + m4: service zookeeper: missing → active\n"), "{text}");
}
