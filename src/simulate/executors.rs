//! Which executors Spark's coarse-grained scheduler would start, and where.
//!
//! Source: Spark `MesosCoarseGrainedSchedulerBackend` 2.0.2 to 3.5.9; each agent makes one offer of
//! all it has for the role.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Agent, sees};
use crate::inventory::Workload;
use crate::mesos::constraints::{Constraints, Match};
use crate::mesos::values::Value;
use crate::mesos::versions::Version;

/// `spark.mesos.executor.memoryOverhead` is at least this many MiB when not set.
const LEAST_OVERHEAD_MIB: u64 = 384;

/// Places one application alone on empty agents, offers in the order of `agents`.
///
/// # Errors
/// One sentence: the driver would stop at its start.
pub fn place(
    agents: &[Agent],
    workload: &Workload,
    settings: &Settings,
) -> Result<Placement, String> {
    let constraints = Constraints::parse(&workload.constraints)?;
    let memory_mib = executor_mib(workload, settings);
    let mut so_far = SoFar { cores_max: cores_max(workload, &settings.spark), cores: 0, gpus: 0 };
    let mut placement = Placement { memory_mib, ..Placement::default() };
    let mut offers = Vec::new();
    for agent in agents {
        match offer(agent, workload, settings, &constraints)? {
            Ok(offer) => offers.push(offer),
            Err(why) => {
                placement.left_out.insert(agent.name.clone(), why);
            }
        }
    }
    // One executor per offer and round, until a whole round starts nothing.
    loop {
        let before = placement.executors.len();
        for offer in &mut offers {
            launch(offer, workload, settings, &mut so_far, &mut placement);
        }
        if placement.executors.len() == before {
            break;
        }
    }
    for offer in offers.iter().filter(|offer| offer.executors == 0) {
        if let Err(why) = fits(offer, workload, settings, &so_far, &placement) {
            placement.left_out.insert(offer.agent.to_owned(), why);
        }
    }
    Ok(placement)
}

/// What Spark asks of an agent for one executor, in MiB: the heap and its overhead.
pub fn executor_mib(workload: &Workload, settings: &Settings) -> u64 {
    let heap = workload.memory_mib;
    let tenth = heap.saturating_mul(u64::from(settings.overhead_percent)) / 100;
    heap.saturating_add(workload.overhead_mib.unwrap_or(tenth.max(LEAST_OVERHEAD_MIB)))
}

/// What the inventory's workload does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Spark's version; before 2.2.0 `spark.cores.max` is not rounded to whole executors.
    pub spark: Version,
    /// `spark.executor.memoryOverheadFactor` in per cent.
    pub overhead_percent: u32,
    /// `spark.mesos.gpus.max`; 0: agents with gpus make no offers to it.
    pub gpus_max: u32,
    /// `spark.blockManager.port`, when set.
    pub block_manager_port: Option<u16>,
    /// Most executors (dynamic allocation), when set.
    pub executor_limit: Option<usize>,
}

impl Settings {
    /// Spark's defaults.
    pub fn new(spark: Version) -> Settings {
        Settings {
            spark,
            overhead_percent: 10,
            gpus_max: 0,
            block_manager_port: None,
            executor_limit: None,
        }
    }
}

/// Where executors would run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Placement {
    /// Executors in the order in which they start.
    pub executors: Vec<Executor>,
    /// Memory that each takes of its agent, in MiB.
    pub memory_mib: u64,
    /// Agents that get none, each with the reason.
    pub left_out: BTreeMap<String, String>,
}

/// One executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Executor {
    /// The agent it runs on.
    pub agent: String,
    /// Its cores.
    pub cores: u32,
    /// Its gpus.
    pub gpus: u32,
}

impl Placement {
    /// Cores of all executors.
    pub fn cores(&self) -> u64 {
        self.executors.iter().map(|executor| u64::from(executor.cores)).sum()
    }
}

/// What the application holds already.
struct SoFar {
    cores_max: u32,
    cores: u32,
    gpus: u32,
}

struct Offer<'a> {
    agent: &'a str,
    cpus_thousandths: i64,
    mem_thousandths: i64,
    gpus: u32,
    ports: Vec<(u64, u64)>,
    executors: usize,
}

/// The outer error stops the driver, the inner one leaves the agent out.
fn offer<'a>(
    agent: &'a Agent,
    workload: &Workload,
    settings: &Settings,
    constraints: &Constraints,
) -> Result<Result<Offer<'a>, String>, String> {
    let mut offer = Offer {
        agent: &agent.name,
        cpus_thousandths: 0,
        mem_thousandths: 0,
        gpus: 0,
        ports: Vec::new(),
        executors: 0,
    };
    let has_gpus = agent.resources.names().contains("gpus")
        && agent.resources.totals().get("gpus").is_some_and(|gpus| !gpus.is_empty());
    if has_gpus && settings.gpus_max == 0 {
        return Ok(Err("it has gpus and spark.mesos.gpus.max is 0".to_owned()));
    }
    for ((name, role), value) in &agent.resources.0 {
        if !sees(&workload.role, role) {
            continue;
        }
        match (name.as_str(), value) {
            ("cpus", Value::Scalar(n)) => offer.cpus_thousandths += n,
            ("mem", Value::Scalar(n)) => offer.mem_thousandths += n,
            ("gpus", Value::Scalar(n)) => offer.gpus += u32::try_from(n / 1000).unwrap_or(0),
            ("ports", Value::Ranges(ranges)) => offer.ports.extend(ranges),
            _ => {}
        }
    }
    match constraints.matches(&agent.attributes) {
        Match::Fits => Ok(Ok(offer)),
        Match::Declined(why) => Ok(Err(why)),
        Match::Throws(why) => Err(format!("{why} (agent {})", agent.name)),
    }
}

/// `spark.cores.max`; from 2.2.0 rounded down to whole executors.
fn cores_max(workload: &Workload, spark: &Version) -> u32 {
    let unit = workload.cores.unwrap_or(1).max(1);
    match workload.cores_max {
        None => i32::MAX.unsigned_abs(),
        Some(most) if spark.at_least(&[2, 2]) => most - most % unit,
        Some(most) => most,
    }
}

fn launch(
    offer: &mut Offer<'_>,
    workload: &Workload,
    settings: &Settings,
    so_far: &mut SoFar,
    placement: &mut Placement,
) {
    let Ok(cores) = fits(offer, workload, settings, so_far, placement) else {
        return;
    };
    let gpus = settings.gpus_max.saturating_sub(so_far.gpus).min(offer.gpus);
    so_far.cores += cores;
    so_far.gpus += gpus;
    offer.cpus_thousandths -= i64::from(cores) * 1000;
    offer.mem_thousandths -= thousandths(placement.memory_mib);
    offer.gpus -= gpus;
    if let Some(port) = settings.block_manager_port {
        offer.ports = take_port(&offer.ports, u64::from(port));
    }
    offer.executors += 1;
    placement.executors.push(Executor { agent: offer.agent.to_owned(), cores, gpus });
}

/// The cores of the next executor on this offer, or why there is none.
fn fits(
    offer: &Offer<'_>,
    workload: &Workload,
    settings: &Settings,
    so_far: &SoFar,
    placement: &Placement,
) -> Result<u32, String> {
    let cores_max = so_far.cores_max;
    let free = cores_max.saturating_sub(so_far.cores);
    // Cores of an offer are truncated to whole ones.
    let whole = u32::try_from(offer.cpus_thousandths / 1000).unwrap_or(0);
    let cores = workload.cores.unwrap_or_else(|| whole.min(free));
    if cores > free || free == 0 {
        return Err(format!("spark.cores.max of {cores_max} is used up elsewhere"));
    }
    if cores == 0 || cores > whole {
        return Err(format!("an executor needs {} cores, it offers {whole}", cores.max(1)));
    }
    if thousandths(placement.memory_mib) > offer.mem_thousandths {
        return Err(format!(
            "an executor needs {} MiB, it offers {}",
            placement.memory_mib,
            Value::Scalar(offer.mem_thousandths)
        ));
    }
    if settings.executor_limit.is_some_and(|limit| placement.executors.len() >= limit) {
        return Err("the limit of executors is reached elsewhere".to_owned());
    }
    if let Some(port) = settings.block_manager_port.map(u64::from)
        && !offer.ports.iter().any(|(begin, end)| (*begin..=*end).contains(&port))
    {
        return Err(format!("port {port} (spark.blockManager.port) is not among its ports"));
    }
    Ok(cores)
}

fn thousandths(mib: u64) -> i64 {
    i64::try_from(mib).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn take_port(ranges: &[(u64, u64)], port: u64) -> Vec<(u64, u64)> {
    let all = Value::ranges(ranges.to_vec());
    match all.minus(&Value::Ranges(vec![(port, port)])) {
        Some(Value::Ranges(rest)) => rest,
        _ => ranges.to_vec(),
    }
}
