//! Hosts that are a model: the engine asks and changes them as it would real ones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use provision::event::{Event, Sink};
use provision::ground::HostName;
use provision::ground::digest::sha256;
use provision::plan::Plan;
use provision::remote::{Ask, Change, Ended};
use provision::report::Report;
use provision::resource::service::Service;
use provision::resource::{Look, diff, probe, read};
use provision::script::{Fix, Probe, Push, Sections};
use provision::tasks::{Desired, Task};

use super::world::World;

/// The model behind both keys.
pub(crate) struct Fake {
    pub(crate) world: Mutex<World>,
    pub(crate) desired: Arc<Desired>,
    /// What a verb does, which the desired state does not tell.
    pub(crate) plan: Plan,
    /// What was run: `host: task/resource`.
    pub(crate) calls: Mutex<Vec<String>>,
    /// What goes wrong: a call's beginning, and how it ends instead.
    pub(crate) troubles: Vec<(&'static str, Trouble)>,
    /// Sees each call once it was done.
    pub(crate) after: Hook,
}

pub(crate) type Hook = Box<dyn Fn(&str, &mut World) + Send + Sync>;

/// How a call ends that does not do its work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Status(i32, &'static str),
    Lost,
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Event>>);

impl Fake {
    pub(crate) fn new(world: World, desired: Desired) -> Fake {
        let (world, desired) = (Mutex::new(world), Arc::new(desired));
        let after: Hook = Box::new(|_, _| ());
        let plan = Plan::default();
        Fake { world, desired, plan, calls: Mutex::default(), troubles: Vec::new(), after }
    }

    fn work(&self, host: &HostName, name: &str) -> Result<Ended, String> {
        // What is said to the leading master is about a host, and told of that one.
        let about = name
            .rsplit_once(" of ")
            .filter(|(what, _)| what.contains('/') || what.ends_with("mesos-slave"));
        let about = about.map(|(what, of)| (what, HostName::new(of)));
        let (name, host) = about.as_ref().map_or((name, host), |(what, of)| (*what, of));
        if name == "note mesos-slave" {
            return Ok(ended(0, ""));
        }
        let call = format!("{host}: {name}");
        lock(&self.calls).push(call.clone());
        let trouble = self.troubles.iter().find(|(what, _)| call.starts_with(what));
        match trouble {
            Some((_, Trouble::Lost)) => return Err("the connection was lost".to_owned()),
            Some((_, Trouble::Status(status, says))) => return Ok(ended(*status, says)),
            None => {}
        }
        // What goes from host to host, and is no action of the plan.
        if let Some(digest) = name.starts_with("hand-over ").then(|| sha256(name)) {
            return Ok(ended(0, &format!("{digest}\n")));
        }
        let between = ["fetch ", "serve ", "forget "];
        if between.iter().any(|what| name.starts_with(what)) {
            return Ok(ended(0, ""));
        }
        let mut world = lock(&self.world);
        let agent = name.strip_suffix(" mesos-slave").filter(|verb| !verb.contains('/'));
        let done = match (name.strip_prefix("stamp "), name.split_once('/')) {
            (Some(unit), _) => {
                let wishes =
                    self.desired.of(host).filter_map(|(_, wish)| wish.resource.get::<Service>());
                let service = wishes.into_iter().find(|service| service.unit == unit);
                world.stamp(host, service.expect("a service"));
                Ok(())
            }
            _ if agent.is_some() => {
                world.tell_agent(host, agent.expect("a call"));
                Ok(())
            }
            (None, Some((task, resource))) => self.act(&mut world, host, task, resource),
            (None, None) => Err(format!("nobody asked for {name}")),
        };
        (self.after)(&call, &mut world);
        Ok(match done {
            Ok(()) => ended(0, ""),
            Err(why) => ended(1, &why),
        })
    }

    fn act(
        &self,
        world: &mut World,
        host: &HostName,
        task: &str,
        resource: &str,
    ) -> Result<(), String> {
        let task = Task::parse(task).ok_or("no such task")?;
        let mut planned = self.plan.actions();
        let planned = planned.find(|(at, action)| {
            *at == host && action.task == task && action.id().to_string() == resource
        });
        if let Some((_, action)) = planned.filter(|(_, action)| action.later.is_none()) {
            return world.act(host, &action.resource, &action.gaps);
        }
        let wish = self
            .desired
            .of(host)
            .find(|(of, w)| *of == task && w.resource.id().to_string() == resource);
        let resource = wish.map(|(_, wish)| &wish.resource);
        let resource = resource.or_else(|| planned.map(|(_, action)| &action.resource));
        let resource = resource.ok_or("no such resource")?;
        let gaps = match read(resource, &world.answer(host, &probe(&[resource]))?) {
            Look::Facts(facts) => diff(&resource.want(), &facts),
            other => return Err(format!("{other:?}")),
        };
        world.act(host, resource, &gaps)
    }
}

fn ended(status: i32, says: &str) -> Ended {
    Ended { status, output_tail: says.to_owned(), log: std::path::PathBuf::new() }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ask for Fake {
    async fn ask(&self, host: &HostName, probe: &Probe, _: Duration) -> Result<Sections, String> {
        lock(&self.world).answer(host, probe)
    }
}

impl Change for Fake {
    async fn run(&self, host: &HostName, name: &str, _: &Fix) -> Result<Ended, String> {
        self.work(host, name)
    }

    async fn reboot(&self, host: &HostName, name: &str, _: &Fix) -> Result<Ended, String> {
        self.work(host, name)
    }

    async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        lock(&self.calls).push(format!("{host}: push {}", push.name));
        Ok(ended(0, ""))
    }
}

impl Sink for Heard {
    fn emit(&self, event: Event) {
        lock(&self.0).push(event);
    }
}

impl Heard {
    /// The sum of it.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        lock(&self.0).iter().for_each(|event| report.add(event));
        report
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").field("troubles", &self.troubles).finish_non_exhaustive()
    }
}
