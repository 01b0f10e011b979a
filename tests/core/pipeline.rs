//! The line: what a plan says is what is done, also where preflight takes something out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use provision::apply::{Engine, Stop};
use provision::event::{Event, Sink, Stamped};
use provision::ground::HostName;
use provision::inventory::Inventory;
use provision::pipeline::elections;
use provision::pipeline::load::Session;
use provision::pipeline::planning::{self, Aim};
use provision::plan::Scope;
use provision::plan::verbs::Consent;
use provision::remote::{Ask, Change, Ended};
use provision::script::{Fix, Probe, Push, Sections};
use provision::tasks::{Judged, Task};
use provision::template::Templates;
use provision::ui::{Recorder, Render};

use super::support::fake::{Fake, lock};
use super::support::world::{Reach, View, World, inventory};

const SETS: [&str; 4] = [
    "mesos.package.deb=mesos_1.11.0_amd64.deb",
    "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
    "docker.images.0.archive=debian-bookworm-slim.tar",
    "base.cgroup_v1=true",
];

/// A fleet of which one host is lost before preflight, and one waits for a reboot.
#[derive(Debug)]
struct Troubled {
    fake: Fake,
    lost: HostName,
    waits: HostName,
}

impl Ask for Troubled {
    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        // Only preflight asks for it.
        if !probe.script("N").contains("machine-id") {
            return self.fake.ask(host, probe, limit).await;
        }
        if *host == self.lost {
            return Err("the wire is cut".to_owned());
        }
        let cgroup = if *host == self.waits { "" } else { "cgroup /c cgroup rw,cpu 0 0" };
        let address = lock(&self.fake.world).inventory.hosts[host].address;
        let said = [
            ("os", "ID=debian\nVERSION_ID=\"12\"".to_owned()),
            ("machine-id", host.to_string()),
            ("architecture", "x86_64".to_owned()),
            ("systemd", "yes".to_owned()),
            ("mounts", cgroup.to_owned()),
            ("addresses", address.to_string()),
        ];
        Ok(said.into_iter().map(|(name, text)| (name.to_owned(), text)).collect())
    }
}

impl Change for Troubled {
    async fn run(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        self.fake.run(host, name, fix).await
    }

    async fn reboot(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        self.fake.reboot(host, name, fix).await
    }

    async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        self.fake.push(host, push).await
    }
}

#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Render for Heard {
    fn draw(&mut self, event: &Stamped) {
        lock(&self.0).push(event.event.clone());
    }
}

fn fresh() -> World {
    World::fresh(demo(&[]))
}

fn demo(sets: &[&str]) -> Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    inventory(&std::fs::read_to_string(path).unwrap(), &[&SETS[..], sets].concat())
}

fn session(world: &World, view: &View) -> Session {
    Session {
        inventory: Arc::new(world.inventory.clone()),
        desired: view.desired.clone(),
        templates: Templates::new(&BTreeMap::new()).unwrap(),
        text: "".into(),
    }
}

/// Hosts of which something is over after a while.
struct Moment {
    fake: Fake,
    over: Instant,
    ends: fn(&mut World),
}

impl Ask for Moment {
    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        if Instant::now() >= self.over {
            (self.ends)(&mut lock(&self.fake.world));
        }
        self.fake.ask(host, probe, limit).await
    }
}

const ELECTS: &str = "This ZooKeeper instance is not currently serving requests\n";

/// What is seen after an election that lasts so many seconds, how long that took, and who was said to elect.
async fn after_election(
    begins: fn(&mut World),
    seconds: u64,
    ends: fn(&mut World),
) -> (Judged, u64, Vec<(Task, usize)>) {
    let mut world = fresh();
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    begins(&mut world);
    let scope = Scope::default();
    let view = world.look();
    let session = session(&world, &view);
    let fake = Fake::new(world, view.desired);
    let began = Instant::now();
    let hosts = Arc::new(Moment { fake, over: began + Duration::from_secs(seconds), ends });
    let heard = Heard::default();
    let recorder = Recorder::new("r1", vec![Box::new(heard.clone())]);
    let observed = elections::ended(&session, &hosts, view.observed, Some(&scope), &recorder).await;
    let said = lock(&heard.0).clone();
    let waited = said.iter().filter_map(|event| match event {
        Event::GateWaiting { task, hosts, .. } => Some((*task, hosts.len())),
        _ => None,
    });
    (observed.judged, began.elapsed().as_secs(), waited.collect())
}

fn elects(world: &mut World) {
    for name in ["m1", "m2", "m3"] {
        world.forged.insert(HostName::new(name), ELECTS.to_owned());
    }
}

/// What members say in an election is true for seconds: a run that begins in one looks again when it is over.
#[tokio::test(start_paused = true)]
async fn an_election_is_waited_for_before_anything_is_decided() {
    let (judged, seconds, said) = after_election(elects, 5, |world| world.forged.clear()).await;
    assert_eq!(judged.health[&Task::Zookeeper].serving().len(), 3);
    assert_eq!((seconds, said), (5, vec![(Task::Zookeeper, 3)]));
    // One that never ends is judged as it stands.
    let (judged, seconds, said) = after_election(elects, 3600, |_| ()).await;
    assert_eq!(judged.health[&Task::Zookeeper].serving().len(), 0);
    assert_eq!((seconds, said.len()), (30, 1));
    // A silent host may lead, but not without those who elect; what was said of it stays.
    let silent = |world: &mut World| {
        elects(world);
        world.machines.get_mut(&HostName::new("m3")).unwrap().reach = Reach::Dead;
    };
    let (judged, seconds, said) = after_election(silent, 5, |world| world.forged.clear()).await;
    assert_eq!(judged.health[&Task::Zookeeper].serving().len(), 2);
    assert_eq!((seconds, said), (5, vec![(Task::Zookeeper, 2)]));
}

/// One member that has only begun would have a change of membership refused, with a cure for what is not ill.
#[tokio::test(start_paused = true)]
async fn a_member_that_has_just_begun_is_waited_for_where_membership_changes() {
    let sick: fn(&mut World) = |world| {
        world.forged.insert(HostName::new("m2"), ELECTS.to_owned());
    };
    let shrinks: fn(&mut World) = |world| {
        world.forged.insert(HostName::new("m2"), ELECTS.to_owned());
        world.inventory = demo(&["zookeeper.servers={m1: 1, m2: 2, c1: 4}"]);
    };
    let (judged, seconds, said) = after_election(shrinks, 5, |world| world.forged.clear()).await;
    assert_eq!(
        judged.health[&Task::Zookeeper].complaint(&HostName::new("m2")),
        None,
        "{:?}",
        judged.health
    );
    assert_eq!((seconds, said), (5, vec![(Task::Zookeeper, 1)]));
    // One that is sick stays so, and where nothing of membership changes keeps nobody waiting.
    let (_, seconds, said) = after_election(shrinks, 3600, |_| ()).await;
    assert_eq!((seconds, said.len()), (30, 1));
    let (_, seconds, said) = after_election(sick, 5, |world| world.forged.clear()).await;
    assert_eq!((seconds, said), (0, Vec::new()));
}

/// Where nobody can be elected nothing is waited for.
#[tokio::test(start_paused = true)]
async fn what_is_no_election_is_not_waited_for() {
    let stopped: fn(&mut World) = |world| {
        for name in ["m1", "m2", "m3"] {
            let machine = world.machines.get_mut(&HostName::new(name)).unwrap();
            for unit in ["zookeeper", "mesos-master"] {
                machine.units.get_mut(unit).unwrap().active = false;
            }
        }
    };
    // Two of three are stopped, and the third has no majority.
    let alone: fn(&mut World) = |world| {
        for name in ["m1", "m2"] {
            let machine = world.machines.get_mut(&HostName::new(name)).unwrap();
            machine.units.get_mut("zookeeper").unwrap().active = false;
        }
        world.forged.insert(HostName::new("m3"), ELECTS.to_owned());
    };
    for begins in [stopped, alone, |_| ()] {
        let (_, seconds, said) = after_election(begins, 5, |_| ()).await;
        assert_eq!((seconds, said), (0, Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_planned_counts_is_what_is_done_where_preflight_loses_and_holds_hosts() {
    let world = fresh();
    let view = world.look();
    let session = session(&world, &view);
    let (lost, waits) = (HostName::new("a1"), HostName::new("a2"));
    let fake = Fake::new(world, view.desired);
    let hosts = Arc::new(Troubled { fake, lost: lost.clone(), waits: waits.clone() });
    let heard = Heard::default();
    let recorder = Arc::new(Recorder::new("r1", vec![Box::new(heard.clone())]));
    let scope = Scope::default();
    let planned = planning::make(
        &session,
        &hosts,
        view.observed,
        Vec::new(),
        Aim::Inventory { downgrade: Consent::Withheld },
        &scope,
        &recorder,
    )
    .await
    .unwrap();
    let said = lock(&heard.0).clone();
    let Some(Event::Planned { actions, hosts: on, blocked, unreachable }) = said.last() else {
        panic!("`planned` is not last: {said:#?}");
    };
    assert!(
        said.iter()
            .any(|it| matches!(it, Event::Observed { host, gaps: 1.., .. } if *host == lost))
    );

    let sink: Arc<dyn Sink> = recorder.clone();
    let inventory = Arc::clone(&session.inventory);
    let engine = Engine::new(inventory, hosts, sink, Arc::new(Stop::default()), 8, None);
    engine.apply(&planned.plan, &provision::apply::Nobody).await;
    let done = lock(&heard.0).clone();
    let mut began = Vec::new();
    let mut left = 0;
    for event in &done {
        match event {
            Event::ActionStarted { host, why, .. } if !why.starts_with("looked at once") => {
                began.push(host);
            }
            Event::Blocked { .. } => left += 1,
            _ => {}
        }
    }
    assert_eq!(began.len(), *actions);
    assert_eq!(began.iter().collect::<BTreeSet<_>>().len(), *on);
    assert!(!began.contains(&&lost), "a host that preflight lost was changed");
    assert_eq!((left, *unreachable), (*blocked, 1));
    assert!(*blocked > 0, "{waits} waits for its reboot");
}
