//! What holds of every plan, in whatever state the cluster is. `PROPTEST_CASES` raises the number of
//! worlds that are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use proptest::sample::Index;
use provision::ground::HostName;
use provision::health::{Check as _, Member};
use provision::plan::{Because, Plan, Scope, Seen, Wave};
use provision::resource::service::{FOREIGN, Service, State};
use provision::resource::{Look, Resource, diff};
use provision::tasks::{Desired, Rollout, Task};

use super::support::world::{self, Reach, View, World, inventory};

/// A cluster to be made up.
/// Worlds that are known.
mod known;

#[derive(Debug, Clone)]
struct Shape {
    quorum: usize,
    pools: Vec<usize>,
    batch: &'static str,
    dispatcher: bool,
    /// The first agents share their machines with masters.
    shared: bool,
    /// What the inventory says otherwise since the cluster was set up.
    news: Vec<&'static str>,
}

/// Changes that concern every member, every agent, every engine.
const NEWS: [&str; 6] = [
    "mesos.version=1.11.1",
    "mesos.masters.flags.offer_timeout=30secs",
    "zookeeper.config.tickTime=3000",
    "docker.daemon.log-driver=local",
    "mesos.agents.p0.attributes.rack=r9",
    "spark.defaults.spark.cores.max=3",
];

/// Something that has happened to a machine.
#[derive(Debug, Clone)]
enum Damage {
    Lost(Index),
    Changed(Index),
    NotOwned(Index),
    Stray(bool),
    Uninstalled(Index),
    OldVersion(Index),
    Stopped(Index),
    Disabled(Index),
    ByHand(Index),
    Intruder(bool),
    Wedged(Index),
    NoImages,
    OtherAgent,
    Wiped,
    Unreachable,
    Dead,
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        prop::sample::select(vec![1, 3, 3, 5]),
        prop::sample::select(vec![vec![], vec![1], vec![3], vec![11], vec![2, 5], vec![6, 5]]),
        prop::sample::select(vec!["1", "2", "20%", "50%"]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::subsequence(NEWS.to_vec(), 0..=3),
    )
        .prop_map(|(quorum, pools, batch, dispatcher, shared, news)| Shape {
            quorum,
            // Without a single agent nothing is to be proven, and the inventory is refused.
            pools: if pools.is_empty() && !shared { vec![1] } else { pools },
            batch,
            dispatcher,
            shared,
            news,
        })
}

/// Damage that an apply can mend.
fn mendable() -> impl Strategy<Value = Damage> {
    let index = || any::<Index>();
    prop_oneof![
        4 => index().prop_map(Damage::Lost),
        4 => index().prop_map(Damage::Changed),
        1 => index().prop_map(Damage::NotOwned),
        1 => any::<bool>().prop_map(Damage::Stray),
        1 => index().prop_map(Damage::Uninstalled),
        1 => index().prop_map(Damage::OldVersion),
        4 => index().prop_map(Damage::Stopped),
        1 => index().prop_map(Damage::Disabled),
        2 => index().prop_map(Damage::ByHand),
        1 => any::<bool>().prop_map(Damage::Intruder),
        1 => Just(Damage::NoImages),
        1 => Just(Damage::OtherAgent),
        1 => Just(Damage::Wiped),
    ]
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        6 => mendable(),
        1 => any::<Index>().prop_map(Damage::Wedged),
        1 => Just(Damage::Unreachable),
        1 => Just(Damage::Dead),
    ]
}

type Hits<D> = Vec<(Index, D)>;

fn hits<D: Strategy<Value = Damage>>(damage: D) -> impl Strategy<Value = Hits<Damage>> {
    prop::collection::vec((any::<Index>(), damage), 0..9)
}

fn yaml(shape: &Shape) -> String {
    let masters: Vec<String> = (1..=shape.quorum).map(|n| format!("m{n}")).collect();
    let mut hosts: Vec<String> =
        (1..=shape.quorum).map(|n| format!("  m{n}: {{ address: 10.0.0.{n} }}")).collect();
    let mut pools = Vec::new();
    let mut number = 0;
    let shares = if shape.shared { vec![masters[0].clone()] } else { Vec::new() };
    let sizes = if shape.pools.is_empty() { vec![0] } else { shape.pools.clone() };
    for (index, size) in sizes.into_iter().enumerate() {
        let mut names = if index == 0 { shares.clone() } else { Vec::new() };
        for _ in 0..size {
            number += 1;
            names.push(format!("a{number:02}"));
            hosts.push(format!("  a{number:02}: {{ address: 10.0.1.{number} }}"));
        }
        pools.push(format!(
            "    p{index}:\n      hosts: [{}]\n      attributes: {{ rack: r{index} }}\n      resources: {{ cpus: 4, mem: 8GB, disk: 10GB, ports: \"[31000-32000]\" }}\n      batch: {}\n",
            names.join(", "),
            shape.batch
        ));
    }
    let servers: Vec<String> = (1..=shape.quorum).map(|n| format!("m{n}: {n}")).collect();
    format!(
        "version: 1\ncluster: c\nhosts:\n{}\nzookeeper: {{ servers: {{ {} }} }}\n\
         mesos:\n  version: 1.11.0\n  package: {{ deb: ./mesos_1.11.0_amd64.deb }}\n  roles: {{ etl: {{ weight: 2 }} }}\n\
         \x20 masters: {{ hosts: [{}] }}\n  agents:\n{}\
         docker: {{ images: [ {{ archive: ./debian-bookworm-slim.tar }} ] }}\n\
         spark:\n  version: 3.5.1\n  archive: {{ path: ./spark-3.5.1-bin-hadoop3.tgz }}\n  defaults: {{ spark.cores.max: 2 }}\n\
         \x20 clients: {{ hosts: [m1] }}\n{}",
        hosts.join("\n"),
        servers.join(", "),
        masters.join(", "),
        pools.join(""),
        if shape.dispatcher { "  dispatcher: { hosts: [m1] }\n" } else { "" },
    )
}

/// A cluster that was set up and then suffered.
fn cluster(shape: &Shape, leader: &Index, hits: &Hits<Damage>) -> World {
    let mut world = whole(shape);
    world.inventory = inventory(&yaml(shape), &shape.news);
    let names: Vec<HostName> = world.machines.keys().cloned().collect();
    for quorum in ["zookeeper", "mesos-master"] {
        let members = provision::health::Masters.members(&world.inventory);
        world.leaders.insert(quorum, leader.get(&members).clone());
    }
    for (at, damage) in hits {
        suffer(&mut world, at.get(&names), damage);
    }
    world
}

/// A cluster that was set up, made once for each shape.
fn whole(shape: &Shape) -> World {
    static MADE: Mutex<BTreeMap<String, World>> = Mutex::new(BTreeMap::new());
    let text = yaml(shape);
    if let Some(made) = MADE.lock().unwrap_or_else(PoisonError::into_inner).get(&text) {
        return made.clone();
    }
    let mut world = World::fresh(inventory(&text, &[]));
    converge(&mut world, 1);
    MADE.lock().unwrap_or_else(PoisonError::into_inner).insert(text, world.clone());
    world
}

fn suffer(world: &mut World, host: &HostName, damage: &Damage) {
    let machine = world.machines.get_mut(host).expect("a machine");
    let paths: Vec<String> = machine.entries.keys().cloned().collect();
    let units: Vec<String> = machine
        .units
        .iter()
        .filter(|(_, unit)| unit.active)
        .map(|(name, _)| name.clone())
        .collect();
    let packages: Vec<String> = machine.packages.keys().cloned().collect();
    let pick = |index: &Index, from: &[String]| (!from.is_empty()).then(|| index.get(from).clone());
    match damage {
        Damage::Lost(index) => {
            if let Some(path) = pick(index, &paths) {
                machine.entries.remove(&path);
            }
        }
        Damage::Changed(index) => {
            if let Some(path) = pick(index, &paths) {
                world.edit(host, &path, "something else\n");
            }
        }
        Damage::NotOwned(index) => {
            if let Some(path) = pick(index, &paths) {
                machine.entries.get_mut(&path).expect("an entry").owner =
                    "daemon:daemon".to_owned();
            }
        }
        Damage::Stray(agents) => {
            let directory = if *agents { "/etc/mesos-slave" } else { "/etc/mesos-master" };
            if machine.entries.contains_key(directory) {
                world.edit(host, &format!("{directory}/quorum.bak"), "2\n");
            }
        }
        Damage::Uninstalled(index) => {
            // Taking a package away stops what it brought.
            if let Some(name) = pick(index, &packages) {
                machine.packages.remove(&name);
                for unit in brought(&name) {
                    machine.units.remove(*unit);
                }
            }
        }
        Damage::OldVersion(index) => {
            if let Some(name) = pick(index, &packages) {
                machine.packages.insert(name, "0.1-1".to_owned());
            }
        }
        Damage::Stopped(index) => {
            if let Some(unit) = pick(index, &units) {
                machine.units.get_mut(&unit).expect("a unit").active = false;
            }
        }
        Damage::Disabled(index) => {
            if let Some(unit) = pick(index, &units) {
                machine.units.get_mut(&unit).expect("a unit").enabled = false;
            }
        }
        Damage::ByHand(index) => {
            if let Some(unit) = pick(index, &units) {
                world.restart_by_hand(host, &unit);
            }
        }
        Damage::Intruder(agent) => {
            // Both daemons come with the package; somebody starts the one that does not belong here.
            if machine.packages.contains_key("mesos") {
                world.restart_by_hand(host, if *agent { "mesos-slave" } else { "mesos-master" });
            }
        }
        Damage::Wedged(index) => {
            if let Some(unit) = pick(index, &units) {
                machine.units.get_mut(&unit).expect("a unit").wedged = true;
            }
        }
        Damage::NoImages => machine.images.clear(),
        Damage::OtherAgent => {
            if let Some(agent) = &mut machine.agent {
                agent.attributes.0.clear();
                world.edit(host, "/etc/mesos-slave/attributes", "rack:other\n");
                world.restart_by_hand(host, "mesos-slave");
            }
        }
        Damage::Wiped => *machine = world::Machine::default(),
        Damage::Unreachable => machine.reach = Reach::NoSsh,
        Damage::Dead => machine.reach = Reach::Dead,
    }
}

fn brought(package: &str) -> &'static [&'static str] {
    match package {
        "mesos" => &["mesos-master", "mesos-slave"],
        "docker.io" => &["docker"],
        "zookeeper" => &["zookeeper"],
        _ => &[],
    }
}

/// Applies until nothing is left; every gate opens on the way.
fn converge(world: &mut World, rounds: usize) {
    for round in 0.. {
        let (_, plan) = world.plan(&Scope::default());
        if plan.is_empty() {
            assert_eq!(
                provision::plan::text::summary(&plan),
                "No changes. The cluster matches the inventory."
            );
            return;
        }
        assert!(
            round < rounds,
            "after {rounds} rounds there is still:\n{}",
            provision::plan::text::plan(&plan)
        );
        world.apply(&plan, gate);
    }
}

fn gate(world: &World, task: Task, wave: &Wave) {
    let Some(check) = task.card().check else { return };
    let judged = world.look().observed.judged;
    let health = &judged.health[&task];
    // Nobody waits for masters that somebody else started.
    let waited =
        |host: &&HostName| task != Task::Masters || world.inventory.mesos.masters.contains(*host);
    let waited: Vec<&HostName> = wave.hosts.keys().filter(waited).collect();
    if waited.is_empty() {
        return;
    }
    for host in waited {
        assert_eq!(health.members.get(host), Some(&Member::Serving), "{task}: the gate of {host}");
    }
    assert!(!check.elects() || health.leader.is_some(), "{task}: nobody leads");
}

/// The running services that a task wants of a host.
fn daemons<'a>(desired: &'a Desired, host: &'a HostName, task: Task) -> Vec<&'a Service> {
    let wishes = desired.tasks.get(&task).and_then(|wishes| wishes.get(host));
    let services = wishes.into_iter().flatten().filter_map(|wish| wish.resource.get::<Service>());
    services.filter(|service| service.state == State::Running).collect()
}

/// Everything that holds of one plan of one world.
fn hold(world: &World, view: &View, plan: &Plan, scope: &Scope) {
    let (_, again) = world.plan(scope);
    assert_eq!(*plan, again, "the same world gave another plan");
    let mut done: BTreeMap<(&HostName, Task, String), usize> = BTreeMap::new();
    for (host, action) in plan.actions() {
        assert_eq!(world.machines[host].reach, Reach::Whole, "{host} does not answer");
        assert!(scope.allows(host, action.task), "{host}: {} is out of scope", action.task);
        assert!(action.later.is_some() || !action.gaps.is_empty(), "{action:?} changes nothing");
        *done.entry((host, action.task, action.id().to_string())).or_default() += 1;
    }
    let leader = world.leader("mesos-master");
    let judged = leader.is_none_or(|leader| world.machines[&leader].reach == Reach::Whole);
    for (index, stage) in plan.stages.iter().enumerate() {
        assert!(judged || stage.task != Some(Task::Agents), "nobody could open the agents' gate");
        assert!(!stage.waves.is_empty() && stage.waves.iter().all(|wave| !wave.hosts.is_empty()));
        assert_eq!(stage.task.is_none(), stage.title == "prepare");
        assert!(stage.task.is_some() || index == 0, "prepare comes first");
        let all: Vec<&HostName> = stage.waves.iter().flat_map(|wave| wave.hosts.keys()).collect();
        assert_eq!(
            all.len(),
            all.iter().collect::<BTreeSet<_>>().len(),
            "a host goes in two waves"
        );
        match stage.task {
            None => disturbs_nothing(world, view, &stage.waves[0]),
            Some(task) => match (task.card().rollout)(&world.inventory) {
                Rollout::Quorum => quorum_holds(world, task, &stage.waves),
                Rollout::Batches(pools, sizes) => {
                    for wave in &stage.waves {
                        keeps_size(world, view, task, wave, &pools, &sizes);
                    }
                }
                Rollout::Together | Rollout::Last(_) => {}
            },
        }
    }
    let order: Vec<Option<Task>> = plan.stages.iter().map(|stage| stage.task).collect();
    assert!(order.is_sorted(), "{order:?}");
    nobody_is_forgotten(world, view, plan, scope, &done);
}

/// Whoever has a gap is in the plan once, or blocked with a reason, or unreachable.
fn nobody_is_forgotten(
    world: &World,
    view: &View,
    plan: &Plan,
    scope: &Scope,
    done: &BTreeMap<(&HostName, Task, String), usize>,
) {
    for (task, hosts) in &view.desired.tasks {
        for (host, wishes) in hosts {
            let Some(Seen::Answered(answer)) = view.observed.hosts.get(host) else {
                assert!(plan.unreachable.contains_key(host), "{host} is forgotten");
                continue;
            };
            if !scope.allows(host, *task) {
                continue;
            }
            let blocked = plan.blocked.iter().any(|b| b.host == *host && b.task == *task);
            for wish in wishes {
                let wrong = match &answer.looks[&wish.resource.id()] {
                    Look::Facts(facts) => {
                        let mut want = wish.resource.want();
                        if facts.get("process").is_some_and(|process| process == FOREIGN) {
                            want.remove("process");
                        }
                        !diff(&want, facts).is_empty()
                    }
                    Look::Later(_) => true,
                    Look::Failed(why) => panic!("{host}: {}: {why}", wish.resource.id()),
                };
                let times =
                    done.get(&(host, *task, wish.resource.id().to_string())).copied().unwrap_or(0);
                assert!(times <= 1, "{host}: {} is done twice", wish.resource.id());
                assert!(
                    !wrong || times == 1 || blocked,
                    "{host}: {} is forgotten",
                    wish.resource.id()
                );
            }
        }
    }
    for blocked in &plan.blocked {
        let words = blocked.because.to_string();
        assert!(!words.is_empty() && scope.allows(&blocked.host, blocked.task));
        // Blocked means that nothing of it is done now.
        if matches!(blocked.because, Because::PeerSick { .. }) {
            let stages = plan.stages.iter().filter(|stage| stage.task == Some(blocked.task));
            assert!(stages.flat_map(|s| &s.waves).all(|w| !w.hosts.contains_key(&blocked.host)));
            assert_ne!(world.inventory.hosts.get(&blocked.host), None);
        }
    }
}

/// A quorum that serves stays one whatever happens on its way.
fn quorum_holds(world: &World, task: Task, waves: &[Wave]) {
    let unit = if task == Task::Zookeeper { "zookeeper" } else { "mesos-master" };
    let check = task.card().check.expect("a check");
    let members = check.members(&world.inventory);
    let serves = |host: &HostName| world.machines[host].serves(unit);
    let Some(leader) = world.leader(unit) else {
        // But for empty servers, which must not be a majority without one that holds the data.
        let empty = members.iter().filter(|host| !world.machines[*host].data).count();
        let data = task != Task::Zookeeper || empty <= members.len() / 2;
        if data && members.iter().all(|host| world.machines[host].reach == Reach::Whole) {
            assert_eq!(waves.len(), 1, "a lost {task} quorum is started together");
        }
        return;
    };
    let touched: BTreeSet<&HostName> = waves.iter().flat_map(|wave| wave.hosts.keys()).collect();
    if task == Task::Masters && touched.is_disjoint(&members.iter().collect()) {
        // Masters that somebody else started stop before anything else.
        let all = touched.iter().all(|host| world.machines[*host].runs(unit));
        assert!(all, "{touched:?} run no master");
        return;
    }
    let mended: BTreeSet<&HostName> =
        touched.iter().copied().filter(|host| !serves(host)).collect();
    for (index, wave) in waves.iter().enumerate() {
        let disturbed: Vec<&HostName> = wave.hosts.keys().filter(|host| serves(host)).collect();
        assert!(disturbed.len() <= 1, "{task}: {disturbed:?} at once");
        if disturbed.is_empty() {
            assert_eq!(index, 0, "{task}: the sick go first");
        } else {
            assert_eq!(wave.hosts.len(), 1, "{task}: a healthy member goes with sick ones");
            assert!(index > 0 || mended.is_empty(), "{task}: the sick go first");
        }
        if wave.hosts.contains_key(&leader) {
            assert_eq!(index + 1, waves.len(), "{task}: the leader goes last");
        }
    }
    let unmended = members.iter().find(|host| {
        let silent = world.machines[*host].reach != Reach::Whole;
        silent || !serves(host) && !touched.contains(host)
    });
    if let Some(peer) = unmended {
        let healthy: Vec<&&HostName> = touched.iter().filter(|host| serves(host)).collect();
        assert!(healthy.is_empty(), "{task}: {healthy:?} are touched while {peer} does not serve");
    }
}

fn keeps_size(
    world: &World,
    view: &View,
    task: Task,
    wave: &Wave,
    pools: &BTreeMap<HostName, String>,
    sizes: &BTreeMap<String, usize>,
) {
    let mut disturbed: BTreeMap<&str, usize> = BTreeMap::new();
    for host in wave.hosts.keys() {
        if daemons(&view.desired, host, task).iter().any(|s| world.machines[host].runs(&s.unit)) {
            *disturbed.entry(&pools[host]).or_default() += 1;
        }
    }
    for (pool, count) in disturbed {
        assert!(count <= sizes[pool], "{task}: {count} of pool {pool} at once");
    }
}

/// What is prepared touches no file, package or unit of a process that runs.
fn disturbs_nothing(world: &World, view: &View, wave: &Wave) {
    for (host, actions) in &wave.hosts {
        let machine = &world.machines[host];
        let running: Vec<_> = view
            .desired
            .of(host)
            .filter_map(|(_, wish)| wish.resource.get::<Service>())
            .filter(|service| machine.runs(&service.unit))
            .collect();
        for action in actions {
            match &*action.resource {
                Resource::Service(service) => assert!(
                    !machine.runs(&service.unit),
                    "{host}: {} runs and is turned in prepare",
                    service.unit
                ),
                Resource::File(file) => assert!(
                    running.iter().all(|service| !service.inputs.contains(&file.path)),
                    "{host}: a running process reads {}",
                    file.path
                ),
                Resource::Packages(set) => {
                    let units = set.packages.iter().flat_map(|(name, _)| brought(name));
                    for unit in units {
                        let ours = running.iter().any(|service| service.unit == *unit);
                        assert!(
                            !ours,
                            "{host}: {unit} runs and its package is installed in prepare"
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_safe_and_forgets_nobody(
        shape in shape(),
        leader in any::<Index>(),
        hits in hits(any_damage()),
    ) {
        let world = cluster(&shape, &leader, &hits);
        let (view, plan) = world.plan(&Scope::default());
        hold(&world, &view, &plan, &Scope::default());
    }

    #[test]
    fn a_plan_keeps_to_its_scope(
        shape in shape(),
        leader in any::<Index>(),
        hits in hits(any_damage()),
        some in prop::collection::vec(any::<Index>(), 0..4),
        tasks in prop::option::of(prop::collection::btree_set(prop::sample::select(provision::tasks::ALL.to_vec()), 1..4)),
    ) {
        let world = cluster(&shape, &leader, &hits);
        let names: Vec<HostName> = world.machines.keys().cloned().collect();
        let hosts = (!some.is_empty()).then(|| some.iter().map(|at| at.get(&names).clone()).collect());
        let scope = Scope { hosts, tasks };
        let (view, plan) = world.plan(&scope);
        hold(&world, &view, &plan, &scope);
    }

    #[test]
    fn a_fresh_cluster_of_any_shape_is_planned_safely(shape in shape(), down in prop::option::of(any::<Index>())) {
        let mut world = World::fresh(inventory(&yaml(&shape), &[]));
        if let Some(down) = down {
            let names: Vec<HostName> = world.machines.keys().cloned().collect();
            suffer(&mut world, down.get(&names), &Damage::Dead);
        }
        let (view, plan) = world.plan(&Scope::default());
        hold(&world, &view, &plan, &Scope::default());
    }

    #[test]
    fn applying_ends_with_nothing_left_and_every_gate_opens(
        shape in shape(),
        leader in any::<Index>(),
        hits in hits(mendable()),
    ) {
        let mut world = cluster(&shape, &leader, &hits);
        converge(&mut world, 3);
    }
}
