//! Applications on paper: each workload, and what a plain `spark-submit` would be by the defaults.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::executors::{Settings, executor_mib};
use super::sees;
use crate::inventory::{Inventory, Workload};
use crate::mesos::properties::parse_mib;
use crate::mesos::values::{Resources, Value};
use crate::mesos::versions::Version;

/// What would be submitted, the defaults first; nothing without Spark.
pub fn applications(inventory: &Inventory) -> Vec<Application> {
    let Some(spark) = &inventory.spark else { return Vec::new() };
    let by_default = Application::of(None, &spark.defaults, &spark.version);
    let settings = by_default.settings.clone();
    let mut all = vec![by_default];
    all.extend(inventory.workloads.iter().map(|(name, workload)| Application {
        name: Some(name.clone()),
        workload: workload.clone(),
        settings: settings.clone(),
    }));
    all
}

/// `spark.executor.memory` when not set.
const DEFAULT_MEMORY_MIB: u64 = 1024;

/// An application.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its workload; `None` for what the defaults alone make.
    pub name: Option<String>,
    /// What it asks for.
    pub workload: Workload,
    /// What else decides where it runs.
    pub settings: Settings,
}

impl Application {
    /// What a driver with these properties asks for.
    pub fn of(
        name: Option<String>,
        properties: &BTreeMap<String, String>,
        spark: &Version,
    ) -> Application {
        let memory = properties.get("spark.executor.memory").and_then(|text| parse_mib(text));
        let role = properties.get("spark.mesos.role").filter(|role| !role.is_empty());
        let workload = Workload {
            role: role.cloned().unwrap_or_else(|| "*".to_owned()),
            cores: read(properties, "spark.executor.cores"),
            memory_mib: memory.unwrap_or(DEFAULT_MEMORY_MIB),
            overhead_mib: read(properties, "spark.mesos.executor.memoryOverhead"),
            cores_max: read(properties, "spark.cores.max"),
            constraints: properties.get("spark.mesos.constraints").cloned().unwrap_or_default(),
        };
        Application { name, workload, settings: settings(properties, spark) }
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("spark.defaults")
    }

    /// Where one of its settings stands: the workload's key, or the property.
    pub(crate) fn path(&self, key: &str, property: &str) -> String {
        match &self.name {
            Some(name) => format!("workloads.{name}.{key}"),
            None => format!("spark.defaults.{property}"),
        }
    }

    /// Whether one executor fits on an empty agent; what the inventory does not pin counts as enough.
    pub(crate) fn fits(&self, resources: &Resources) -> Result<(), String> {
        let cores = self.workload.cores.unwrap_or(1).max(1);
        let memory = executor_mib(&self.workload, &self.settings);
        let enough = |name: &str, wanted: i64| {
            let pinned = resources.0.keys().any(|(known, _)| known == name);
            let role = self.workload.role.as_str();
            let offered: i64 = resources
                .0
                .iter()
                .filter(|((known, owner), _)| known == name && sees(role, owner))
                .map(|(_, value)| if let Value::Scalar(n) = value { *n } else { 0 })
                .sum();
            if !pinned || offered >= wanted { Ok(()) } else { Err(Value::Scalar(offered)) }
        };
        let cpus = i64::from(cores) * 1000;
        enough("cpus", cpus).map_err(|has| format!("{cores} cpus, and it is offered {has}"))?;
        let wanted = i64::try_from(memory).unwrap_or(i64::MAX).saturating_mul(1000);
        enough("mem", wanted).map_err(|has| format!("{memory} MiB, and it is offered {has}"))
    }
}

fn settings(defaults: &BTreeMap<String, String>, spark: &Version) -> Settings {
    let mut settings = Settings::new(spark.clone());
    if let Some(gpus) = read(defaults, "spark.mesos.gpus.max") {
        settings.gpus_max = gpus;
    }
    let port = read::<u16>(defaults, "spark.blockManager.port");
    settings.block_manager_port = port.filter(|port| *port > 0);
    if spark.at_least(&[3, 3])
        && let Some(factor) = read::<f64>(defaults, "spark.executor.memoryOverheadFactor")
    {
        // Per cent between nothing and a hundred times the heap; `as` saturates.
        settings.overhead_percent = (factor * 100.0).round().clamp(0.0, 10_000.0) as u32;
    }
    if defaults
        .get("spark.dynamicAllocation.enabled")
        .is_some_and(|on| on.eq_ignore_ascii_case("true"))
    {
        settings.executor_limit = read(defaults, "spark.dynamicAllocation.maxExecutors");
    }
    settings
}

/// A number; nothing where it cannot be read, which the check of properties says.
fn read<T: FromStr>(defaults: &BTreeMap<String, String>, key: &str) -> Option<T> {
    defaults.get(key)?.trim().parse().ok()
}
