//! What `status` shows, as data: the text and the JSON are made of the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use crate::ground::{Endpoint, HostName};
use crate::health::{Health, Member};
use crate::inventory::{DISPATCHER_PAGE, Inventory};
use crate::plan::{Observed, Seen};
use crate::report::exit;
use crate::resource::{Look, ResourceId, package, service};
use crate::tasks::Task;

/// Version of the format. Keys are added, and none changes its meaning, while it stays.
pub(super) const VERSION: u32 = 1;

/// How a cluster is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// Version of the format.
    pub(crate) v: u32,
    /// The cluster.
    pub(crate) cluster: String,
    /// The exit code: 0 all serve, 3 something is sick, 4 hosts did not answer and nothing is sick.
    pub(crate) exit: u8,
    /// Component → how its members serve, and who leads.
    #[schemars(with = "BTreeMap<String, ComponentHealth>")]
    pub(crate) health: BTreeMap<&'static str, Health>,
    /// Components whose unit rightly runs nowhere, with the reason.
    pub(crate) not_run: BTreeMap<&'static str, &'static str>,
    /// Component → host → installed version of its package.
    pub(crate) versions: BTreeMap<&'static str, BTreeMap<HostName, String>>,
    /// Agents as the leading master lists them; null where none could be asked.
    pub(crate) agents: Option<BTreeMap<HostName, Agent>>,
    /// Role → weight, as the leading master has them; null where they are not known.
    pub(crate) roles: Option<BTreeMap<String, f64>>,
    /// Spark's image on the agents; null without Spark.
    pub(crate) image: Option<Image>,
    /// Where pages are: leading master, dispatcher.
    pub(crate) addresses: BTreeMap<&'static str, String>,
    /// Hosts that did not answer, with the reason.
    pub(crate) unreachable: BTreeMap<HostName, String>,
    /// With `-v`: frameworks and free room, from the leading master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mesos: Option<serde_json::Value>,
}

/// What stands under a component of `health`.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "it says what `Health` becomes as JSON")]
struct ComponentHealth {
    /// Member → `serving`, `silent`, or `{"sick": why}`.
    members: BTreeMap<String, serde_json::Value>,
    /// Who leads, where one does.
    leader: Option<String>,
}

/// An agent, as the leading master lists it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Agent {
    /// Its id.
    pub(crate) id: String,
    /// Its attributes, as Mesos writes them.
    pub(crate) attributes: String,
    /// Its resources, as Mesos writes them.
    pub(crate) resources: String,
}

/// Spark's image.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Image {
    /// Its name.
    pub(crate) name: String,
    /// Agent → `there` with its id, `missing`, `unknown` with the reason, `unreachable`.
    pub(crate) agents: BTreeMap<HostName, OnAgent>,
}

/// An image on one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnAgent {
    /// It has this id.
    There(String),
    /// It is not there: nothing can start here.
    Missing,
    /// It could not be looked at, and why.
    Unknown(String),
    /// The host did not answer.
    Unreachable,
}

/// The schema of what it is as JSON.
pub(crate) fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Status>();
    schema.insert("title".to_owned(), "The status of a cluster, by provision".into());
    schema.to_value()
}

impl Status {
    /// Of what was seen.
    pub(crate) fn of(
        inventory: &Inventory,
        observed: &Observed,
        mesos: Option<serde_json::Value>,
    ) -> Status {
        let unreachable = observed.unreachable();
        let mut judged = observed.judged.health.clone();
        judged.retain(|_, health| !health.members.is_empty());
        // Of whoever cannot be asked nobody knows whether it is sick.
        for (host, member) in judged.values_mut().flat_map(|health| &mut health.members) {
            if unreachable.contains_key(host) && matches!(member, Member::Sick(_)) {
                *member = Member::Silent;
            }
        }
        let all = || judged.iter();
        let resting = all().filter(|(task, _)| rests(**task, observed));
        let not_run: BTreeMap<_, _> =
            resting.map(|(task, _)| (task.name(), "there is no libmesos")).collect();
        let image = image(inventory, observed);
        let sick = all().any(|(task, health)| {
            let sick = |member: &Member| matches!(member, Member::Sick(_));
            !not_run.contains_key(task.name()) && health.members.values().any(sick)
        });
        let missing =
            image.iter().flat_map(|it| it.agents.values()).any(|it| *it == OnAgent::Missing);
        let exit = match (sick || missing, unreachable.is_empty()) {
            (true, _) => exit::FAILED,
            (false, false) => exit::UNREACHABLE,
            (false, true) => exit::OK,
        };
        let versions = all().map(|(task, health)| {
            let hosts = health.members.keys();
            let hosts =
                hosts.filter_map(|host| Some((host.clone(), version(observed, host, *task)?)));
            (task.name(), hosts.collect())
        });
        Status {
            v: VERSION,
            cluster: inventory.cluster.clone(),
            exit,
            health: all().map(|(task, health)| (task.name(), health.clone())).collect(),
            versions: versions.filter(|(_, it): &(_, BTreeMap<_, _>)| !it.is_empty()).collect(),
            agents: agents(inventory, observed),
            roles: weights(observed),
            image,
            addresses: addresses(inventory, observed, &not_run),
            not_run,
            unreachable,
            mesos,
        }
    }
}

/// Whether a task's unit rightly runs nowhere (the dispatcher's, where there is no libmesos).
fn rests(task: Task, observed: &Observed) -> bool {
    let Some(name) = task.card().check.and_then(|check| check.may_rest()) else { return false };
    let units = observed.answered().filter_map(|(_, answer)| answer.sections.get("units"));
    !units
        .filter_map(|units| service::unit(name, units))
        .any(|unit| unit.file == "enabled" || unit.active == "active")
}

fn agents(inventory: &Inventory, observed: &Observed) -> Option<BTreeMap<HostName, Agent>> {
    let listed = observed.judged.agents.as_ref()?;
    let all = inventory.agents().filter_map(|(_, host, _)| {
        let listed = listed.get(&inventory.hosts.get(host)?.address.to_string())?;
        let agent = Agent {
            id: listed.info.id.clone(),
            attributes: listed.info.attributes.to_string(),
            resources: listed.info.resources.to_string(),
        };
        Some((host.clone(), agent))
    });
    Some(all.collect())
}

fn weights(observed: &Observed) -> Option<BTreeMap<String, f64>> {
    let text = observed.answered().find_map(|(_, answer)| {
        let look = answer.looks.iter().find(|(id, _)| id.kind == "weights")?.1;
        match look {
            Look::Facts(facts) => facts.get("weights").cloned(),
            Look::Later(_) | Look::Failed(_) => None,
        }
    })?;
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    Some(pairs.filter_map(|(role, weight)| Some((role.to_owned(), weight.parse().ok()?))).collect())
}

fn image(inventory: &Inventory, observed: &Observed) -> Option<Image> {
    let name = inventory.spark.as_ref()?.image.name().to_owned();
    let id = ResourceId { kind: "image", name: name.clone() };
    let agents = inventory.agents().map(|(_, host, _)| {
        let on = match observed.hosts.get(host) {
            Some(Seen::Answered(answer)) => match answer.looks.get(&id) {
                Some(Look::Facts(facts)) => {
                    facts.get("id").cloned().map_or(OnAgent::Missing, OnAgent::There)
                }
                Some(Look::Later(when)) => OnAgent::Unknown(format!("until {when}")),
                Some(Look::Failed(why)) => OnAgent::Unknown(why.clone()),
                None => OnAgent::Unknown("it was not asked about".to_owned()),
            },
            _ => OnAgent::Unreachable,
        };
        (host.clone(), on)
    });
    Some(Image { name, agents: agents.collect() })
}

/// The installed version of a task's package.
fn version(observed: &Observed, host: &HostName, task: Task) -> Option<String> {
    let package = match task {
        Task::Zookeeper => "zookeeper",
        Task::Masters | Task::Agents => "mesos",
        _ => return None,
    };
    let Some(Seen::Answered(answer)) = observed.hosts.get(host) else { return None };
    package::installed(answer.sections.get("packages")?, package).map(str::to_owned)
}

fn addresses(
    inventory: &Inventory,
    observed: &Observed,
    not_run: &BTreeMap<&str, &str>,
) -> BTreeMap<&'static str, String> {
    let at = |host: &HostName, port| {
        inventory.hosts.get(host).map(|it| Endpoint::new(it.address, port).http())
    };
    let mut addresses = BTreeMap::new();
    let leader = observed.judged.leader.as_ref();
    let leader = leader.and_then(|host| inventory.hosts.get(host));
    addresses.extend(leader.map(|host| ("mesos", inventory.master_page(host))));
    let dispatcher = inventory.spark.as_ref().and_then(|spark| spark.dispatcher.as_ref());
    let runs = !not_run.contains_key(Task::Dispatcher.name());
    if let Some(dispatcher) = dispatcher.filter(|_| runs) {
        let host = dispatcher.hosts.first();
        let page = host.and_then(|host| at(host, DISPATCHER_PAGE));
        addresses.extend(page.map(|page| ("dispatcher", page)));
    }
    if let Some(history) = inventory.spark.as_ref().and_then(|spark| spark.history.as_ref()) {
        let page = history.hosts.first().and_then(|host| at(host, history.port));
        addresses.extend(page.map(|page| ("history", page)));
    }
    addresses
}
