//! One master becomes several: its log cannot grow, so with the user's consent a new one begins. What the masters
//! remembered is there again in the end, wherever the run is cut short.

use provision::ground::HostName;
use provision::plan::{Because, Plan, Scope, text};
use provision::resource::service::{Service, State};

use super::support::runs::{Script, drive};
use super::support::world::{World, inventory};

const CONSENT: &str = "allow: { master-growth: \"a quiet hour\" }\n";

fn cluster(masters: &str, roles: &str, more: &str) -> provision::inventory::Inventory {
    let text = format!(
        "version: 1\ncluster: c\nhosts:\n  m[1:3]: {{ address: \"10.0.0.[1:3]\" }}\n\
         zookeeper: {{ servers: {{ m1: 1, m2: 2, m3: 3 }} }}\nmesos:\n  version: 1.11.0\n\
         \x20 package: {{ deb: mesos_1.11.0_amd64.deb }}\n  masters: {{ hosts: [{masters}] }}\n{roles}{more}"
    );
    inventory(&text, &[])
}

/// One master, whose registry has a weight that no inventory gives.
fn of_one() -> World {
    let mut world = World::fresh(cluster("m1", "  roles: { etl: { weight: 3 } }\n", ""));
    done(&mut world, |_| ());
    world.inventory = cluster("m1", "", "");
    assert!(planned(&world).is_empty());
    world
}

fn planned(world: &World) -> Plan {
    world.plan(&Scope::default()).1
}

/// Plans and does it; `at` sees the world after each action.
fn done(world: &mut World, mut at: impl FnMut(&World)) {
    let plan = planned(world);
    for wave in plan.stages.iter().flat_map(|stage| &stage.waves) {
        for (host, actions) in &wave.hosts {
            for action in actions {
                world.perform(host, action).unwrap();
                let service = action.resource.get::<Service>();
                if let Some(it) = service.filter(|it| it.state == State::Running) {
                    world.stamp(host, it);
                }
                at(world);
            }
        }
    }
}

fn refusal(world: &World) -> String {
    let plan = planned(world);
    let why = plan.blocked.iter().find_map(|it| match &it.because {
        Because::Membership { why } => Some(why.clone()),
        _ => None,
    });
    why.unwrap_or_else(|| panic!("{}", text::plan(&plan)))
}

fn weights(world: &World) -> Vec<(&str, f64)> {
    world.weights.iter().map(|(role, weight)| (role.as_str(), *weight)).collect()
}

#[test]
fn a_log_that_one_master_keeps_begins_anew_with_consent_only() {
    let mut world = of_one();
    world.inventory = cluster("\"m[1:3]\"", "", "");
    assert!(refusal(&world).contains("consent with `allow: { master-growth: REASON }`"));
    world.inventory = cluster("m2, m3", "", CONSENT);
    assert!(refusal(&world).contains("let it be one of the masters"));
    world.inventory = cluster("\"m[1:3]\"", "", CONSENT);
    let plan = planned(&world);
    let titles: Vec<&str> = plan.stages.iter().map(|stage| stage.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "prepare",
            "what m1 remembers for the masters is saved",
            "m1's log is set aside; no master serves until m1, m2, m3 do",
            "m1, m2, m3 begin a new log",
            "what was saved is restored",
        ]
    );
    // One that does not run can say nothing.
    world
        .machines
        .get_mut(&HostName::new("m1"))
        .unwrap()
        .units
        .get_mut("mesos-master")
        .unwrap()
        .active = false;
    assert!(
        refusal(&world)
            .contains("m1 keeps the masters' log alone, with quorum 1, and does not run")
    );
    // A replica of another log would keep a new one from beginning.
    let mut world = of_one();
    world.inventory = cluster("\"m[1:3]\"", "", CONSENT);
    for path in ["/etc/mesos-master/quorum", "/var/lib/mesos/replicated_log"] {
        world.edit(&HostName::new("m2"), path, "2\n");
    }
    let m2 = world.machines.get_mut(&HostName::new("m2")).unwrap();
    m2.entries.get_mut("/etc/mesos-master/quorum").unwrap().text = Some("2\n".to_owned());
    m2.note("/var/lib/provision/stamps/mesos-master.service", String::new(), 1);
    assert!(refusal(&world).contains("m2 holds a replica of some earlier log"));
}

#[test]
fn what_was_remembered_is_there_again_wherever_the_run_is_cut() {
    for roles in ["", "  roles: { etl: { weight: 5 } }\n"] {
        let expected = if roles.is_empty() { 3.0 } else { 5.0 };
        let mut world = of_one();
        world.inventory = cluster("\"m[1:3]\"", roles, CONSENT);
        done(&mut world, |world| {
            let mut cut = world.clone();
            done(&mut cut, |_| ());
            assert_eq!(weights(&cut), [("etl", expected)]);
            let left = planned(&cut);
            assert!(left.is_empty() && left.blocked.is_empty(), "{}", text::plan(&left));
        });
        assert_eq!(weights(&world), [("etl", expected)]);
        assert!(planned(&world).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_begins_a_new_log() {
    let mut world = of_one();
    world.inventory = cluster("\"m[1:3]\"", "", CONSENT);
    let (view, plan) = world.plan(&Scope::default());
    let ran = drive(world, view.desired, plan, Script::default()).await;
    assert_eq!(ran.report.exit(), 0, "{:#?} {:#?}", ran.report.failures, ran.blocked());
    assert_eq!(weights(&ran.world), [("etl", 3.0)]);
    let order = [
        "m1: masters/registry saved",
        "m1: masters/registry log",
        "m1: masters/service mesos-master",
        "m1: masters/registry restored",
    ];
    assert!(order.map(|call| ran.position(call)).is_sorted(), "{:#?}", ran.calls);
    assert!(planned(&ran.world).is_empty());
}
