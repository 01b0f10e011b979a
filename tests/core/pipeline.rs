//! The line: what a plan says is what is done, also where preflight takes something out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provision::apply::{Engine, Stop};
use provision::event::{Event, Sink, Stamped};
use provision::ground::HostName;
use provision::pipeline::load::Session;
use provision::pipeline::planning::{self, Aim};
use provision::plan::Scope;
use provision::plan::verbs::Consent;
use provision::remote::{Ask, Change, Ended};
use provision::script::{Fix, Probe, Push, Sections};
use provision::template::Templates;
use provision::ui::{Recorder, Render};

use super::support::fake::{Fake, lock};
use super::support::world::{World, inventory};

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

#[tokio::test(start_paused = true)]
async fn what_planned_counts_is_what_is_done_where_preflight_loses_and_holds_hosts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let world = World::fresh(inventory(&std::fs::read_to_string(path).unwrap(), &SETS));
    let view = world.look();
    let session = Session {
        inventory: Arc::new(world.inventory.clone()),
        desired: view.desired.clone(),
        templates: Templates::new(&BTreeMap::new()).unwrap(),
        text: "".into(),
    };
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
