//! Runs of the engine on the tests' world: what is to happen, and what came of it.

use std::sync::Arc;

use provision::apply::{Between, Engine, Nobody, Stop};
use provision::event::{Event, Outcome};
use provision::ground::HostName;
use provision::plan::{Plan, Scope, text};
use provision::report::Report;

use super::fake::{Fake, Heard, Hook, Trouble, lock};
use super::world::{World, inventory};

pub(crate) const DEMO: [&str; 3] = [
    "mesos.package.deb=mesos_1.11.0_amd64.deb",
    "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
    "docker.images.0.archive=debian-bookworm-slim.tar",
];

pub(crate) fn fresh() -> World {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    World::fresh(inventory(&std::fs::read_to_string(path).unwrap(), &DEMO))
}

pub(crate) fn converged() -> World {
    let mut world = fresh();
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

pub(crate) fn host(name: &str) -> HostName {
    HostName::new(name)
}

/// What is to happen in a run.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) troubles: Vec<(&'static str, Trouble)>,
    pub(crate) after: Option<Hook>,
    pub(crate) max_failed: Option<usize>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) between: Option<Arc<dyn Between>>,
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) world: World,
    pub(crate) calls: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) report: Report,
    pub(crate) plan: Plan,
}

pub(crate) async fn apply(world: World, script: Script) -> Ran {
    let (view, plan) = world.plan(&Scope::default());
    drive(world, view.desired, plan, script).await
}

pub(crate) async fn drive(
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
    let between = script.between.as_deref().unwrap_or(&Nobody);
    engine.apply(&plan, between).await;
    let world = lock(&fake.world).clone();
    let calls = lock(&fake.calls).clone();
    let events = lock(&heard.0).clone();
    Ran { world, calls, events, report: heard.report(), plan }
}

impl Ran {
    /// Stages and waves in the order in which they began.
    pub(crate) fn waves(&self) -> Vec<String> {
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

    pub(crate) fn called(&self, what: &str) -> bool {
        self.calls.iter().any(|call| call.starts_with(what))
    }

    pub(crate) fn position(&self, what: &str) -> usize {
        self.calls
            .iter()
            .position(|call| call == what)
            .unwrap_or_else(|| panic!("{what} was not called"))
    }

    /// `host: task/resource` of actions that ended in some way.
    pub(crate) fn ended(&self, how: fn(&Outcome) -> bool) -> Vec<String> {
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

    pub(crate) fn blocked(&self) -> Vec<String> {
        self.report
            .blocked
            .iter()
            .map(|(host, task, why)| format!("{host}: {task}: {why}"))
            .collect()
    }

    pub(crate) fn seconds_of_shut_gates(&self) -> Vec<f64> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::GateEnded { open: false, seconds, .. } => Some(*seconds),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn left(world: &World) -> String {
    text::plan(&world.plan(&Scope::default()).1)
}

/// Services that were never found healthy, so that each must be restarted.
pub(crate) fn unstamp(world: &mut World, unit: &str, hosts: &[&str]) {
    for name in hosts {
        let machine = world.machines.get_mut(&host(name)).unwrap();
        let stamp = format!("/var/lib/provision/stamps/{unit}.service");
        machine.entries.remove(&stamp).unwrap();
    }
}
