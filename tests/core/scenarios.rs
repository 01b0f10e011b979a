//! What people meet, and the plan that they are shown: exactly the gap.

use provision::ground::HostName;
use provision::health::Member;
use provision::plan::{Scope, text};
use provision::resource::file::{Content, File};
use provision::tasks::{Task, Wish};

use super::support::world::{Reach, World, inventory};

const DEMO: [&str; 3] = [
    "mesos.package.deb=mesos_1.11.0_amd64.deb",
    "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
    "docker.images.0.archive=debian-bookworm-slim.tar",
];

fn fresh(sets: &[&str]) -> World {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let demo = std::fs::read_to_string(path).unwrap();
    World::fresh(inventory(&demo, &[&DEMO, sets].concat()))
}

/// The demo cluster, applied.
fn converged() -> World {
    let mut world = fresh(&[]);
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

fn shown(world: &World) -> String {
    text::plan(&world.plan(&Scope::default()).1)
}

/// After one apply nothing is left, whatever happened.
fn mended(mut world: World) {
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(shown(&world), "No changes. The cluster matches the inventory.\n");
}

fn host(name: &str) -> HostName {
    HostName::new(name)
}

fn stop(world: &mut World, name: &str, unit: &str) {
    let machine = world.machines.get_mut(&host(name)).unwrap();
    machine.units.get_mut(unit).unwrap().active = false;
}

fn remove(world: &mut World, name: &str, path: &str) {
    world.machines.get_mut(&host(name)).unwrap().entries.remove(path).unwrap();
}

#[test]
fn a_fresh_cluster() {
    insta::assert_snapshot!(shown(&fresh(&[])));
}

#[test]
fn a_converged_cluster() {
    assert_eq!(shown(&converged()), "No changes. The cluster matches the inventory.\n");
}

#[test]
fn the_leading_master_stopped() {
    let mut world = converged();
    let leader = world.leader("mesos-master").unwrap();
    stop(&mut world, leader.as_str(), "mesos-master");
    insta::assert_snapshot!(shown(&world), @r"
    Mesos masters
      ~ m1: service mesos-master: inactive → active
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn a_zookeeper_follower_stopped() {
    let mut world = converged();
    stop(&mut world, "m1", "zookeeper");
    insta::assert_snapshot!(shown(&world), @r"
    ZooKeeper
      ~ m1: service zookeeper: inactive → active
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn a_file_deleted_under_etc_mesos_slave() {
    let mut world = converged();
    remove(&mut world, "a1", "/etc/mesos-slave/containerizers");
    insta::assert_snapshot!(shown(&world), @r"
    Mesos agents
      + a1: file /etc/mesos-slave/containerizers: missing
    Plan: 1 to add, 0 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn a_file_edited_and_the_agent_restarted_by_hand() {
    let mut world = converged();
    world.edit(&host("a2"), "/etc/mesos-slave/executor_registration_timeout", "1mins\n");
    world.restart_by_hand(&host("a2"), "mesos-slave");
    insta::assert_snapshot!(shown(&world), @r"
    Mesos agents
      ~ a2: file /etc/mesos-slave/executor_registration_timeout: content differs
      ~ a2: service mesos-slave: restart: executor_registration_timeout changed
    Plan: 0 to add, 2 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn an_agent_only_restarted_by_hand_is_right() {
    let mut world = converged();
    world.restart_by_hand(&host("a2"), "mesos-slave");
    assert_eq!(shown(&world), "No changes. The cluster matches the inventory.\n");
}

#[test]
fn a_stray_file_that_would_be_a_flag() {
    let mut world = converged();
    world.edit(&host("m2"), "/etc/mesos-master/quorum.bak", "2\n");
    insta::assert_snapshot!(shown(&world), @r"
    Mesos masters
      ~ m2: directory /etc/mesos-master: stray quorum.bak, to be moved into the backup
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    mended(world);
}

/// A daemon that somebody restarted runs with whatever lies in its directory.
#[test]
fn a_stray_flag_and_the_agent_restarted_by_hand() {
    let mut world = converged();
    world.edit(&host("a1"), "/etc/mesos-slave/gc_delay", "1days\n");
    world.restart_by_hand(&host("a1"), "mesos-slave");
    insta::assert_snapshot!(shown(&world), @r"
    Mesos agents
      ~ a1: directory /etc/mesos-slave: stray gc_delay, to be moved into the backup
      ~ a1: service mesos-slave: restart: gc_delay changed
    Plan: 0 to add, 2 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn docker_stopped() {
    let mut world = converged();
    stop(&mut world, "a1", "docker");
    insta::assert_snapshot!(shown(&world), @r"
    prepare
      ~ a1: service docker: inactive → active
      ? a1: image 208f0b0a9f3a6fca-debian-bookworm-slim.tar: looked at once the Docker engine runs
      ? a1: image spark-mesos: looked at once the Docker engine runs
    Plan: 0 to add, 1 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn the_image_removed() {
    let mut world = converged();
    world.machines.get_mut(&host("a1")).unwrap().images.remove("spark-mesos");
    insta::assert_snapshot!(shown(&world), @r"
    prepare
      + a1: image spark-mesos: missing
    Plan: 1 to add, 0 to change, on 1 host.
    ");
    mended(world);
}

#[test]
fn a_master_down_while_another_has_a_gap() {
    let mut world = converged();
    world.machines.get_mut(&host("m3")).unwrap().reach = Reach::Dead;
    world.edit(&host("m1"), "/etc/mesos-master/quorum", "1\n");
    insta::assert_snapshot!(shown(&world), @r"
      ! m1: masters: blocked: its peer m3 is sick: its host could not be asked
      ! m3: unreachable: it does not answer on port 22
    No changes that could be made; 1 blocked; 1 host unreachable.
    ");
}

/// Its services run, and it leads: the others must not be restarted together, as if the quorum were
/// lost.
#[test]
fn the_leaders_host_does_not_answer_while_both_others_have_a_gap() {
    let mut world = converged();
    for unit in ["zookeeper", "mesos-master"] {
        world.leaders.insert(unit, host("m3"));
    }
    world.machines.get_mut(&host("m3")).unwrap().reach = Reach::NoSsh;
    for name in ["m1", "m2"] {
        world.edit(&host(name), "/etc/mesos-master/quorum", "1\n");
        world.edit(&host(name), "/etc/zookeeper/conf/zoo.cfg", "tickTime=1\n");
    }
    insta::assert_snapshot!(shown(&world), @r"
      ! m1: zookeeper: blocked: its peer m3 is sick: its host could not be asked
      ! m1: masters: blocked: its peer m3 is sick: its host could not be asked
      ! m2: zookeeper: blocked: its peer m3 is sick: its host could not be asked
      ! m2: masters: blocked: its peer m3 is sick: its host could not be asked
      ! m3: unreachable: it does not answer on port 22
    No changes that could be made; 4 blocked; 1 host unreachable.
    ");
}

/// Only the leading master can say whether an agent is back.
#[test]
fn the_leaders_host_does_not_answer_while_an_agent_has_a_gap() {
    let mut world = converged();
    world.leaders.insert("mesos-master", host("m3"));
    world.machines.get_mut(&host("m3")).unwrap().reach = Reach::NoSsh;
    stop(&mut world, "a1", "mesos-slave");
    insta::assert_snapshot!(shown(&world), @r"
      ! a1: agents: blocked: the leading master, on m3 it seems, could not be asked about it
      ! m3: unreachable: it does not answer on port 22
    No changes that could be made; 1 blocked; 1 host unreachable.
    ");
}

#[test]
fn an_agent_down() {
    let mut world = converged();
    world.machines.get_mut(&host("a2")).unwrap().reach = Reach::Dead;
    insta::assert_snapshot!(shown(&world), @r"
      ! a2: unreachable: it does not answer on port 22
    No changes that could be made; 1 host unreachable.
    ");
}

/// Mesos refuses to recover an agent whose attributes have changed: it needs a new id.
#[test]
fn a_changed_attribute() {
    let mut world = converged();
    let edited = fresh(&["hosts.a2.vars.rack=r9"]);
    world.inventory = edited.inventory;
    insta::assert_snapshot!(shown(&world), @r"
    Mesos agents
      ~ a2: file /etc/mesos-slave/attributes: content differs
      ~ a2: service mesos-slave: restart: attributes changed
    smoke test
      ~ c1: proof pi-through-mesos: something it proved has changed
      ~ c1: proof pi-on-a2: something it proved has changed
    Plan: 0 to add, 4 to change, on 2 hosts.
    ");
    let ids = |world: &World| {
        ["a1", "a2"].map(|name| world.machines[&host(name)].agent.as_ref().unwrap().id)
    };
    assert_eq!(ids(&world), [0, 0]);
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(ids(&world), [0, 1]);
    mended(world);
}

#[test]
fn an_upgrade_of_mesos() {
    let mut world = converged();
    world.inventory = fresh(&["mesos.version=1.11.1"]).inventory;
    insta::assert_snapshot!(shown(&world));
    mended(world);
}

#[test]
fn a_member_that_runs_and_does_not_serve() {
    let mut world = converged();
    let machine = world.machines.get_mut(&host("m1")).unwrap();
    machine.units.get_mut("zookeeper").unwrap().wedged = true;
    insta::assert_snapshot!(shown(&world), @r"
      ! m1: zookeeper: blocked: rightly configured but does not serve: This ZooKeeper instance is not currently serving requests; see its journal
    No changes that could be made; 1 blocked.
    ");
    world.edit(&host("m2"), "/etc/zookeeper/conf/zoo.cfg", "tickTime=1\n");
    insta::assert_snapshot!(shown(&world), @r"
      ! m2: zookeeper: blocked: its peer m1 is sick: This ZooKeeper instance is not currently serving requests
    No changes that could be made; 1 blocked.
    ");
}

#[test]
fn limits_restrict_what_is_changed() {
    let mut world = converged();
    for name in ["a1", "a2"] {
        remove(&mut world, name, "/etc/mesos-slave/containerizers");
    }
    let hosts = Some([host("a1")].into());
    let (_, plan) = world.plan(&Scope { hosts, tasks: None });
    insta::assert_snapshot!(text::plan(&plan), @r"
    Mesos agents
      + a1: file /etc/mesos-slave/containerizers: missing
    Plan: 1 to add, 0 to change, on 1 host.
    ");
}

/// Three machines of the quorum and two that are free.
const MEMBERS: &str = "version: 1\ncluster: c\nhosts:\n  m[1:5]: { address: \"10.0.0.[1:5]\" }\n  a1: { address: 10.0.1.1 }\n\
     zookeeper: { servers: SERVERS }\nmesos:\n  version: 1.11.0\n  package: { deb: ./mesos_1.11.0_amd64.deb }\n\
     \x20 masters: { hosts: MASTERS }\n  agents:\n    p:\n      hosts: [a1]\n      resources: { cpus: 4, mem: 8GB, disk: 10GB, ports: \"[31000-32000]\" }\n\
     retired: RETIRED\n";

fn members(servers: &str, masters: &str, retired: &str) -> provision::inventory::Inventory {
    let text = MEMBERS.replace("SERVERS", servers).replace("MASTERS", masters);
    inventory(&text.replace("RETIRED", retired), &[])
}

fn of_three() -> World {
    let mut world = World::fresh(members("{m1: 1, m2: 2, m3: 3}", "[m1, m2, m3]", "[]"));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

/// Titles of stages and who goes in their waves.
fn outline(world: &World) -> String {
    use std::fmt::Write as _;
    let (_, plan) = world.plan(&Scope::default());
    let mut text = String::new();
    for stage in &plan.stages {
        let waves = stage
            .waves
            .iter()
            .map(|wave| wave.hosts.keys().map(HostName::as_str).collect::<Vec<_>>().join("+"));
        let _ = writeln!(text, "{}: {}", stage.title, waves.collect::<Vec<_>>().join(", "));
    }
    for blocked in &plan.blocked {
        let _ = writeln!(text, "! {} {}: {}", blocked.host, blocked.task, blocked.because);
    }
    text
}

#[test]
fn a_machine_of_the_quorum_is_replaced() {
    let mut world = of_three();
    world.inventory = members("{m1: 1, m2: 2, m4: 4}", "[m1, m2, m4]", "[m3]");
    for unit in ["zookeeper", "mesos-master"] {
        world.leaders.insert(unit, host("m3"));
    }
    insta::assert_snapshot!(outline(&world));
    insta::assert_snapshot!(shown(&world));
    mended(world);
}

#[test]
fn three_become_five_and_five_become_three() {
    let mut world = of_three();
    let five = "{m1: 1, m2: 2, m3: 3, m4: 4, m5: 5}";
    world.inventory = members(five, "[m1, m2, m3, m4, m5]", "[]");
    world.leaders.insert("zookeeper", host("m1"));
    insta::assert_snapshot!(outline(&world));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(outline(&world), "");
    world.inventory = members("{m1: 1, m2: 2, m3: 3}", "[m1, m2, m3]", "[]");
    world.leaders.insert("mesos-master", host("m5"));
    insta::assert_snapshot!(outline(&world));
    mended(world);
}

#[test]
fn one_server_becomes_three_and_three_become_one() {
    let mut world = World::fresh(members("{m1: 1}", "[m1, m2, m3]", "[]"));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world.inventory = members("{m1: 1, m2: 2, m3: 3}", "[m1, m2, m3]", "[]");
    insta::assert_snapshot!(outline(&world));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(outline(&world), "");
    world.inventory = members("{m1: 1}", "[m1]", "[]");
    insta::assert_snapshot!(outline(&world));
    mended(world);
}

/// A host that will never answer leaves on paper; until somebody says so it is a sick peer.
#[test]
fn a_member_whose_host_died_is_replaced() {
    let mut world = of_three();
    world.machines.get_mut(&host("m3")).unwrap().reach = Reach::Dead;
    world.inventory = members("{m1: 1, m2: 2, m4: 4}", "[m1, m2, m4]", "[m3]");
    insta::assert_snapshot!(outline(&world));
    world.inventory = members("{m1: 1, m2: 2, m4: 4}", "[m1, m2, m4]", "{m3: gone}");
    insta::assert_snapshot!(outline(&world));
    mended(world);
}

#[test]
fn what_has_no_safe_way_is_refused() {
    let mut world = of_three();
    world.inventory = members("{m1: 1, m2: 2, m3: 4}", "[m1, m2, m3]", "[]");
    insta::assert_snapshot!(outline(&world));
    world.inventory = members("{m1: 1, m2: 2, m4: 3}", "[m1, m2, m3]", "[]");
    insta::assert_snapshot!(outline(&world));
    world.inventory = members("{m1: 1, m2: 2, m4: 4}", "[m1, m2, m4]", "[m3]");
    stop(&mut world, "m1", "zookeeper");
    stop(&mut world, "m1", "mesos-master");
    insta::assert_snapshot!(outline(&world));
    let mut world = World::fresh(members("{m1: 1, m2: 2, m3: 3}", "[m1]", "[]"));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world.inventory = members("{m1: 1, m2: 2, m3: 3}", "[m1, m2, m3]", "[]");
    insta::assert_snapshot!(outline(&world));
    let mut world = of_three();
    let five = "{m1: 1, m2: 2, m3: 3, m4: 4, m5: 5}";
    world.inventory = members(five, "[m1, m2, m3, m4, m5]", "[]");
    let hosts = Some([host("m4"), host("m5")].into());
    let (_, plan) = world.plan(&Scope { hosts, tasks: None });
    insta::assert_snapshot!(text::plan(&plan));
}

/// One that does not serve and of which nothing differs would not be helped by a step; no step follows.
#[test]
fn a_member_that_runs_and_does_not_serve_holds_the_membership() {
    let mut world = of_three();
    world.machines.get_mut(&host("m2")).unwrap().units.get_mut("zookeeper").unwrap().wedged = true;
    world.inventory = members("{m1: 1, m2: 2, m4: 4}", "[m1, m2, m3]", "[]");
    insta::assert_snapshot!(outline(&world));
}

/// Whoever is in the ensemble and on no host of the inventory is named, and holds its membership.
#[test]
fn a_server_whose_host_left_the_inventory_is_named() {
    let mut world = of_three();
    let text = MEMBERS
        .replace(
            "m[1:5]: { address: \"10.0.0.[1:5]\" }",
            "m[1:2]: { address: \"10.0.0.[1:2]\" }\n  m4: { address: 10.0.0.4 }",
        )
        .replace("SERVERS", "{m1: 1, m2: 2, m4: 4}")
        .replace("MASTERS", "[m1, m2, m4]")
        .replace("RETIRED", "[]");
    world.inventory = inventory(&text, &[]);
    let observed = world.look().observed;
    let found = provision::plan::preflight::strangers(&world.inventory, &observed);
    let said: Vec<String> = found.into_iter().map(|problem| problem.message).collect();
    assert_eq!(
        said,
        [
            "server 3 at 10.0.0.3 is in the ensemble's list and is no host of this inventory",
            "the masters' log has 3 replicas, and 2 of them are on hosts of this inventory"
        ]
    );
    insta::assert_snapshot!(outline(&world));
}

/// The history server is a part like others: it comes, is asked, moves and goes.
#[test]
fn a_history_server_comes_moves_and_goes() {
    let allow = "allow.event-logs=jobs run in client mode";
    let mut world = converged();
    let with = |hosts: &str| fresh(&[&format!("spark.history.hosts.0={hosts}"), allow]).inventory;
    world.inventory = with("c1");
    insta::assert_snapshot!(shown(&world));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    let (view, plan) = world.plan(&Scope::default());
    assert_eq!(text::plan(&plan), "No changes. The cluster matches the inventory.\n");
    let health = &view.observed.judged.health[&Task::History];
    assert_eq!(health.members.values().collect::<Vec<_>>(), [&Member::Serving]);

    stop(&mut world, "c1", "spark-history");
    assert!(shown(&world).contains("service spark-history"), "{}", shown(&world));
    mended(world.clone());

    world.inventory = with("m1");
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(shown(&world), "No changes. The cluster matches the inventory.\n");
    let runs = |name: &str| world.machines[&host(name)].serves("spark-history");
    assert!(runs("m1") && !runs("c1"));
}

/// The shuffle service is on every agent, comes before clients are told of it and goes after they forget it; what it
/// does not read starts it anew nowhere.
#[test]
fn a_shuffle_service_comes_before_its_jobs_and_goes_after_them() {
    let mut world = converged();
    let with = |sets: &[&str]| fresh(&[&["spark.shuffle_service={}"], sets].concat()).inventory;
    world.inventory = with(&[]);
    insta::assert_snapshot!(shown(&world));
    let (_, plan) = world.plan(&Scope::default());
    let tasks: Vec<_> = plan.stages.iter().filter_map(|stage| stage.task).collect();
    let at = |task| tasks.iter().position(|it| *it == task).unwrap();
    assert!(at(Task::Shuffle) < at(Task::Spark), "{tasks:?}");
    world.apply(&plan, |_, _, _| ());
    let (view, plan) = world.plan(&Scope::default());
    assert_eq!(text::plan(&plan), "No changes. The cluster matches the inventory.\n");
    let health = &view.observed.judged.health[&Task::Shuffle];
    assert_eq!(health.members.values().collect::<Vec<_>>(), [&Member::Serving; 2]);

    world.inventory = with(&["spark.defaults.spark.cores.max=3", "spark.env={A: b}"]);
    let plan = shown(&world);
    assert!(plan.contains("spark-defaults.conf") && !plan.contains("spark-shuffle"), "{plan}");
    world.inventory = with(&["spark.defaults.spark.shuffle.io.serverThreads=4"]);
    let plan = shown(&world);
    assert!(plan.contains("service spark-shuffle: restart: spark-defaults.conf changed"), "{plan}");
    world.inventory = with(&[]);

    stop(&mut world, "a1", "spark-shuffle");
    assert!(shown(&world).contains("a1: service spark-shuffle: inactive → active"));
    mended(world.clone());

    world.inventory = fresh(&[]).inventory;
    let (_, plan) = world.plan(&Scope::default());
    let tasks: Vec<_> = plan.stages.iter().filter_map(|stage| stage.task).collect();
    let at = |task| tasks.iter().position(|it| *it == task).unwrap();
    assert!(at(Task::Spark) < at(Task::Retired), "{tasks:?}");
    world.apply(&plan, |_, _, _| ());
    assert_eq!(shown(&world), "No changes. The cluster matches the inventory.\n");
    assert!(["a1", "a2"].iter().all(|name| !world.machines[&host(name)].serves("spark-shuffle")));
}

/// Executors write where the service of their agent reads, under one path, beside what else they are given.
#[test]
fn executors_and_the_shuffle_service_see_one_directory() {
    let sets = [
        "spark.shuffle_service={directory: /data/spark-shuffle, port: 7447, memory: 2GB}",
        "spark.defaults.spark.mesos.executor.docker.volumes=/a:/a:ro",
        "spark.defaults.spark.shuffle.cleaner.interval=5s",
        "spark.env={JAVA_HOME: /opt/java, SPARK_DAEMON_MEMORY: 7g}",
    ];
    let view = fresh(&sets).look();
    let files: Vec<(HostName, File)> = view
        .desired
        .tasks
        .values()
        .flatten()
        .flat_map(|(host, all)| all.iter().map(move |wish| (host, wish)))
        .filter_map(|(host, wish)| Some((host.clone(), wish.resource.get::<File>()?.clone())))
        .collect();
    let text = |name: &str, end: &str| {
        let mine = |(on, file): &&(HostName, File)| on == &host(name) && file.path.ends_with(end);
        let (_, file) = files.iter().find(mine).unwrap_or_else(|| panic!("{name} has no {end}"));
        match &file.content {
            Content::Text(text) => text.clone(),
            Content::Secret { .. } => panic!("{end} is secret"),
        }
    };
    let jobs = text("c1", "/conf/spark-defaults.conf");
    for line in [
        "spark.shuffle.service.enabled true",
        "spark.shuffle.service.port 7447",
        "spark.executorEnv.SPARK_LOCAL_DIRS /data/spark-shuffle",
        "spark.mesos.executor.docker.volumes /a:/a:ro,/data/spark-shuffle:/data/spark-shuffle:rw",
    ] {
        assert!(jobs.lines().any(|it| it == line), "{line} in {jobs}");
    }
    let own = text("a1", "/etc/spark-shuffle/spark-defaults.conf");
    let lines: Vec<&str> = own.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "spark.shuffle.cleaner.interval 5s",
            "spark.shuffle.service.enabled true",
            "spark.shuffle.service.port 7447"
        ]
    );
    let environment = text("a1", "/etc/spark-shuffle/spark-env.sh");
    assert!(
        environment.contains("JAVA_HOME=/opt/java\nexport SPARK_DAEMON_MEMORY=2048m"),
        "{environment}"
    );
    assert!(text("a1", "spark-shuffle.service").contains("ReadWritePaths=/data/spark-shuffle\n"));
}

/// Whoever writes an event log finds the directory, in the container of a driver too; what is elsewhere is not made.
#[test]
fn event_logs_have_a_place_wherever_they_are_written() {
    let allow = "allow.event-logs=jobs run in client mode";
    let of = |sets: &[&str]| {
        let world = fresh(sets);
        let view = world.look();
        let tasks = view.desired.tasks.values().flatten();
        let wishes = tasks.flat_map(|(host, all)| all.iter().map(move |wish| (host, wish)));
        let text =
            |(host, wish): (&HostName, &Wish)| (host.to_string(), format!("{:?}", wish.resource));
        wishes.map(text).collect::<Vec<_>>()
    };
    let local = of(&["spark.history.hosts.0=c1", allow]);
    let makes = |all: &[(String, String)]| {
        let made = all.iter().filter(|(_, it)| it.contains("/var/log/spark-events\", owner"));
        made.map(|(host, _)| host.clone()).collect::<Vec<_>>()
    };
    assert_eq!(makes(&local), ["a1", "a2", "c1"], "{local:#?}");
    assert!(
        local.iter().any(|(_, it)| it.contains("/var/log/spark-events:/var/log/spark-events:rw"))
    );
    let shared =
        of(&["spark.history.hosts.0=c1", "spark.history.directory=hdfs://nn1:8020/events"]);
    assert_eq!(makes(&shared), Vec::<String>::new());
    assert!(shared.iter().any(|(_, it)| it.contains("spark.eventLog.dir hdfs://nn1:8020/events")));
    assert!(!shared.iter().any(|(_, it)| it.contains("spark-events:rw")));
}
