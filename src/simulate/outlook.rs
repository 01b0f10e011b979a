//! The whole picture of an inventory: executors of each application, and how roles would share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Serialize, Serializer};

use super::drf::{
    Amounts, Appetite, Client, Framework, Quota, Role, Rules, Share, cycle, fill, totals,
};
use super::executors::{Settings, executor_mib, place};
use super::{Agent, sees};
use crate::inventory::{Inventory, Workload};
use crate::mesos::constraints::{Constraints, Match};
use crate::mesos::values::Value;

/// The picture; `order` is that in which Mesos would go through the agents.
pub fn outlook(inventory: &Inventory, applications: &[Plan<'_>], order: Order) -> Outlook {
    let mut agents = agents(inventory);
    if let Order::Seed(seed) = order {
        shuffle(&mut agents, seed);
    }
    Outlook {
        v: VERSION,
        cluster: inventory.cluster.clone(),
        agents: agents.len(),
        totals: totals(&agents),
        executors: applications.iter().map(|plan| placed(&agents, plan)).collect(),
        sharing: sharing(inventory, &agents, applications),
    }
}

/// An application to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What people call it.
    pub name: &'a str,
    /// What it asks for.
    pub workload: &'a Workload,
    /// What else decides where it runs.
    pub settings: &'a Settings,
}

/// In which order Mesos goes through the agents; the real master shuffles them in every cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That of the inventory.
    Inventory,
    /// Shuffled, the same way for the same number.
    Seed(u64),
}

/// Version of the picture as JSON: a field may be added, none changes its meaning within one.
pub const VERSION: u32 = 2;

/// The schema of the picture as JSON.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Outlook>();
    schema.insert("title".to_owned(), "What provision simulate --json prints".into());
    schema.to_value()
}

/// The whole picture. As JSON its amounts are in the units that Mesos' resources have: cpus, and MiB of mem and
/// disk; here, as Mesos reckons, in thousandths of these.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outlook {
    /// Version of this picture, 2.
    pub v: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// How many agents there are.
    pub agents: usize,
    /// Scalars of all agents: cpus, and MiB of mem and disk.
    #[serde(serialize_with = "in_units")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub totals: Amounts,
    /// Each application alone on empty agents.
    pub executors: Vec<Placed>,
    /// All of them at once.
    pub sharing: Sharing,
}

/// Where the executors of one application would run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Placed {
    /// The application.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Why its driver would stop at the start.
    pub error: Option<String>,
    /// Cores of one executor; `None`: all that an offer holds.
    pub executor_cores: Option<u32>,
    /// Memory that one takes of its agent, its overhead included, in MiB.
    pub executor_mib: u64,
    /// Executors in all.
    pub executors: usize,
    /// Cores in all.
    pub cores: u64,
    /// `spark.cores.max`.
    pub cores_max: Option<u32>,
    /// Agent → cores of each executor on it.
    pub by_agent: BTreeMap<String, Vec<u32>>,
    /// What keeps one more executor from an agent → on how many agents.
    pub binds: BTreeMap<Bind, usize>,
    /// Why agents get none → how many.
    pub left_out: BTreeMap<String, usize>,
    /// Agent → what it offers the application's role, before any of its executors runs there.
    #[serde(skip)]
    pub rooms: BTreeMap<String, Room>,
}

/// What an agent offers a role, in thousandths; `mem` in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room {
    /// Cores.
    pub cpus: i64,
    /// Memory.
    pub mem: i64,
}

impl Room {
    fn of(agent: &Agent, to: &str) -> Room {
        let offered = |name: &str| -> i64 {
            let mine = agent.resources.0.iter();
            mine.filter(|((known, role), _)| known == name && sees(to, role))
                .map(|(_, value)| if let Value::Scalar(n) = value { *n } else { 0 })
                .sum()
        };
        Room { cpus: offered("cpus"), mem: offered("mem") }
    }
}

/// What keeps one more executor from an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// The application has all the cores that it may have.
    CoresMax,
    /// The agent's cpus.
    Cpus,
    /// The agent's memory.
    Mem,
    /// The constraint does not match.
    Constraint,
    /// Something else: gpus, ports, the limit of executors.
    Other,
}

impl Bind {
    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Bind::CoresMax => "cores.max",
            Bind::Cpus => "cpus",
            Bind::Mem => "mem",
            Bind::Constraint => "constraint",
            Bind::Other => "other",
        }
    }
}

/// How roles would share when every application wants all it can get.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Sharing {
    /// By role, in the order of names.
    pub roles: Vec<RoleShare>,
    /// What no application is offered, as `totals`.
    #[serde(serialize_with = "in_units")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub idle: Amounts,
    /// What the textbook's tasks leave, as `totals`.
    #[serde(serialize_with = "in_units")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub textbook_left: Amounts,
}

/// One role's share.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RoleShare {
    /// Name.
    pub role: String,
    /// Weight.
    pub weight: f64,
    /// Dominant share of what Mesos offers it, from 0 to 1.
    pub share: f64,
    /// The same over its weight, which Mesos makes equal as far as whole agents allow.
    pub weighted: f64,
    /// What it is offered, as `totals`.
    #[serde(serialize_with = "in_units")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub amounts: Amounts,
    /// Its applications.
    pub frameworks: Vec<FrameworkShare>,
}

/// One application's share.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FrameworkShare {
    /// Name.
    pub name: String,
    /// Agents (or parts of them) that it is offered.
    pub offers: usize,
    /// Dominant share of these, from 0 to 1.
    pub share: f64,
    /// What it is offered, as `totals`.
    #[serde(serialize_with = "in_units")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub amounts: Amounts,
    /// Executors that textbook DRF, task by task on one big machine, gives it.
    pub textbook_executors: u64,
    /// Dominant share of these, from 0 to 1.
    pub textbook_share: f64,
}

/// The agents of an inventory, on paper.
pub fn agents(inventory: &Inventory) -> Vec<Agent> {
    inventory
        .agents()
        .map(|(_, host, agent)| Agent {
            name: host.to_string(),
            resources: agent.resources.clone(),
            attributes: agent.attributes.clone(),
        })
        .collect()
}

fn placed(agents: &[Agent], plan: &Plan<'_>) -> Placed {
    let workload = plan.workload;
    let mut placed = Placed {
        name: plan.name.to_owned(),
        role: workload.role.clone(),
        error: None,
        executor_cores: workload.cores,
        executor_mib: executor_mib(workload, plan.settings),
        executors: 0,
        cores: 0,
        cores_max: workload.cores_max,
        by_agent: BTreeMap::new(),
        binds: BTreeMap::new(),
        left_out: BTreeMap::new(),
        rooms: BTreeMap::new(),
    };
    let placement = match place(agents, workload, plan.settings) {
        Ok(placement) => placement,
        Err(why) => {
            placed.error = Some(why);
            return placed;
        }
    };
    placed.executors = placement.executors.len();
    placed.cores = placement.cores();
    for executor in &placement.executors {
        placed.by_agent.entry(executor.agent.clone()).or_default().push(executor.cores);
    }
    for why in placement.left_out.values() {
        *placed.left_out.entry(why.clone()).or_default() += 1;
    }
    let constraints = Constraints::parse(&workload.constraints).unwrap_or_default();
    for agent in agents {
        placed.rooms.insert(agent.name.clone(), Room::of(agent, &workload.role));
        let bind = bind(agent, &constraints, &placed, workload);
        *placed.binds.entry(bind).or_default() += 1;
    }
    placed
}

fn bind(agent: &Agent, constraints: &Constraints, placed: &Placed, workload: &Workload) -> Bind {
    if constraints.matches(&agent.attributes) != Match::Fits {
        return Bind::Constraint;
    }
    let offered = Room::of(agent, &workload.role);
    let here = placed.by_agent.get(&agent.name).map_or(&[][..], Vec::as_slice);
    let used: i64 = here.iter().map(|cores| i64::from(*cores)).sum();
    let memory = i64::try_from(placed.executor_mib).unwrap_or(i64::MAX);
    let mem_used = memory.saturating_mul(i64::try_from(here.len()).unwrap_or(i64::MAX));
    let wanted = u64::from(workload.cores.unwrap_or(1));
    if workload.cores_max.is_some_and(|most| placed.cores + wanted > u64::from(most)) {
        Bind::CoresMax
    } else if offered.cpus / 1000 - used < i64::try_from(wanted).unwrap_or(i64::MAX) {
        Bind::Cpus
    } else if offered.mem / 1000 - mem_used < memory {
        Bind::Mem
    } else {
        Bind::Other
    }
}

fn sharing(inventory: &Inventory, agents: &[Agent], plans: &[Plan<'_>]) -> Sharing {
    let mut members: BTreeMap<&str, Vec<&Plan<'_>>> = BTreeMap::new();
    for plan in plans {
        members.entry(&plan.workload.role).or_default().push(plan);
    }
    let weight = |role: &str| inventory.mesos.roles.get(role).map_or(1.0, |role| role.weight);
    let roles: Vec<Role> = members
        .iter()
        .map(|(name, plans)| Role {
            name: (*name).to_owned(),
            weight: weight(name),
            frameworks: plans
                .iter()
                .map(|plan| Framework { name: plan.name.to_owned(), appetite: Appetite::All })
                .collect(),
            quota: Quota::default(),
        })
        .chain(parents(inventory, &members))
        .collect();
    let excluded = inventory.mesos.master_flags.get("fair_sharing_excluded_resource_names");
    let rules = Rules {
        mesos: inventory.mesos.version.clone(),
        excluded: excluded
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    };
    let allocation = cycle(agents, &roles, &rules);
    let mut total = totals(agents);
    // The applications of a role share its weight.
    let clients: Vec<Client> = members
        .iter()
        .flat_map(|(role, plans)| {
            let each = weight(role) / plans.len() as f64;
            plans.iter().map(move |p| Client::of(p.name, each, p.workload, p.settings))
        })
        .collect();
    let filling = fill(&total, &clients);
    total.retain(|name, _| !rules.excluded.contains(name));
    let mut offered: BTreeMap<(&str, &str), (usize, Amounts)> = BTreeMap::new();
    for grant in &allocation.grants {
        let entry = offered.entry((&grant.role, &grant.framework)).or_default();
        entry.0 += 1;
        add(&mut entry.1, &grant.amounts);
    }
    let framework = |role: &str, plan: &Plan<'_>| {
        let (offers, amounts) = offered.get(&(role, plan.name)).cloned().unwrap_or_default();
        let tasks = filling.tasks.get(plan.name).copied().unwrap_or(0);
        let demand = Client::of(plan.name, 1.0, plan.workload, plan.settings).demand;
        let times = i64::try_from(tasks).unwrap_or(i64::MAX);
        let taken = demand.iter().map(|(n, a)| (n.clone(), a.saturating_mul(times))).collect();
        FrameworkShare {
            name: plan.name.to_owned(),
            offers,
            share: dominant(&amounts, &total),
            amounts,
            textbook_executors: tasks,
            textbook_share: dominant(&taken, &total),
        }
    };
    let roles = members
        .iter()
        .map(|(role, plans)| {
            let frameworks: Vec<FrameworkShare> =
                plans.iter().map(|plan| framework(role, plan)).collect();
            let mut amounts = Amounts::new();
            frameworks.iter().for_each(|framework| add(&mut amounts, &framework.amounts));
            RoleShare {
                role: (*role).to_owned(),
                weight: weight(role),
                share: dominant(&amounts, &total),
                weighted: allocation.shares.get(*role).map_or(0.0, |share| share.as_f64()),
                amounts,
                frameworks,
            }
        })
        .collect();
    Sharing { roles, idle: allocation.idle, textbook_left: filling.left }
}

/// Declared roles without applications whose weight counts all the same, for roles below them have some.
fn parents(inventory: &Inventory, members: &BTreeMap<&str, Vec<&Plan<'_>>>) -> Vec<Role> {
    let above = |name: &str| {
        let below = format!("{name}/");
        !members.contains_key(name) && members.keys().any(|member| member.starts_with(&below))
    };
    let declared = inventory.mesos.roles.iter().filter(|(name, _)| above(name));
    declared
        .map(|(name, role)| Role {
            name: name.clone(),
            weight: role.weight,
            frameworks: Vec::new(),
            quota: Quota::default(),
        })
        .collect()
}

/// Thousandths as numbers, whole ones as such.
fn in_units<S: Serializer>(amounts: &Amounts, to: S) -> Result<S::Ok, S::Error> {
    let number = |amount: i64| match amount % 1000 {
        0 => serde_json::Value::from(amount / 1000),
        _ => serde_json::Value::from(amount as f64 / 1000.0),
    };
    to.collect_map(amounts.iter().map(|(name, amount)| (name, number(*amount))))
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *sum.entry(name.clone()).or_default() += amount;
    }
}

fn dominant(amounts: &Amounts, total: &Amounts) -> f64 {
    let shares = amounts.iter().filter_map(|(name, amount)| {
        let total = u128::try_from(*total.get(name)?).ok().filter(|total| *total > 0)?;
        Some(Share::new(u128::try_from(*amount).ok()?, total))
    });
    shares.max().map_or(0.0, Share::as_f64)
}

/// Fisher-Yates over splitmix64, so that a seed gives the same order everywhere.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
fn shuffle(agents: &mut [Agent], seed: u64) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    for last in (1..agents.len()).rev() {
        let index = (next() % (last as u64 + 1)) as usize;
        agents.swap(last, index);
    }
}
