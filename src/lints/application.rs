//! Applications on paper: each workload, and what a plain `spark-submit` would be by the defaults.

use std::collections::BTreeMap;

use crate::inventory::{Inventory, Workload};
use crate::mesos::values::{Resources, Value};
use crate::simulate;
use crate::simulate::executors::{Settings, executor_mib};

/// What would be submitted, the defaults first; nothing without Spark.
pub fn applications(inventory: &Inventory) -> Vec<Application> {
    let Some(spark) = &inventory.spark else { return Vec::new() };
    let defaults = &spark.defaults;
    let (settings, mut unreadable) = settings(inventory);
    let mut number = |key: &'static str| read::<u32>(defaults, key, &mut unreadable);
    let cores = number("spark.executor.cores");
    let cores_max = number("spark.cores.max");
    let overhead = number("spark.mesos.executor.memoryOverhead").map(u64::from);
    let memory_mib = match defaults.get("spark.executor.memory") {
        None => DEFAULT_MEMORY_MIB,
        Some(text) => mib(text).unwrap_or_else(|| {
            unreadable.push("spark.executor.memory");
            DEFAULT_MEMORY_MIB
        }),
    };
    let by_default = Workload {
        role: defaults.get("spark.mesos.role").cloned().unwrap_or_else(|| "*".to_owned()),
        cores,
        memory_mib,
        overhead_mib: overhead,
        cores_max,
        constraints: defaults.get("spark.mesos.constraints").cloned().unwrap_or_default(),
    };
    let mut all = vec![Application {
        name: None,
        workload: by_default,
        settings: settings.clone(),
        unreadable,
    }];
    all.extend(inventory.workloads.iter().map(|(name, workload)| Application {
        name: Some(name.clone()),
        workload: workload.clone(),
        settings: settings.clone(),
        unreadable: Vec::new(),
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
    /// Properties that Spark would stop on.
    pub unreadable: Vec<&'static str>,
}

impl Application {
    /// What people call it.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("spark.defaults")
    }

    /// Where one of its settings stands: the workload's key, or the property.
    pub(super) fn path(&self, key: &str, property: &str) -> String {
        match &self.name {
            Some(name) => format!("workloads.{name}.{key}"),
            None => format!("spark.defaults.{property}"),
        }
    }

    /// Whether one executor fits on an empty agent; what the inventory does not pin counts as enough.
    pub(super) fn fits(&self, resources: &Resources) -> Result<(), String> {
        let cores = self.workload.cores.unwrap_or(1).max(1);
        let memory = executor_mib(&self.workload, &self.settings);
        let enough = |name: &str, wanted: i64| {
            let pinned = resources.0.keys().any(|(known, _)| known == name);
            let role = self.workload.role.as_str();
            let offered: i64 = resources
                .0
                .iter()
                .filter(|((known, owner), _)| known == name && simulate::sees(role, owner))
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

fn settings(inventory: &Inventory) -> (Settings, Vec<&'static str>) {
    let mut unreadable = Vec::new();
    let Some(spark) = &inventory.spark else {
        return (Settings::new(inventory.mesos.version.clone()), unreadable);
    };
    let defaults = &spark.defaults;
    let mut settings = Settings::new(spark.version.clone());
    if let Some(gpus) = read(defaults, "spark.mesos.gpus.max", &mut unreadable) {
        settings.gpus_max = gpus;
    }
    settings.block_manager_port =
        read::<u16>(defaults, "spark.blockManager.port", &mut unreadable).filter(|port| *port > 0);
    if spark.version.at_least(&[3, 3])
        && let Some(factor) =
            read::<f64>(defaults, "spark.executor.memoryOverheadFactor", &mut unreadable)
    {
        // Per cent between nothing and a hundred times the heap; `as` saturates.
        settings.overhead_percent = (factor * 100.0).round().clamp(0.0, 10_000.0) as u32;
    }
    if defaults.get("spark.dynamicAllocation.enabled").is_some_and(|on| on == "true") {
        settings.executor_limit =
            read(defaults, "spark.dynamicAllocation.maxExecutors", &mut unreadable);
    }
    (settings, unreadable)
}

fn read<T: std::str::FromStr>(
    defaults: &BTreeMap<String, String>,
    key: &'static str,
    unreadable: &mut Vec<&'static str>,
) -> Option<T> {
    let text = defaults.get(key)?;
    let value = text.trim().parse().ok();
    if value.is_none() {
        unreadable.push(key);
    }
    value
}

/// Spark's sizes: `512m`, `1g`, and MiB without a unit.
///
/// Source: Spark `JavaUtils.byteStringAs`: k, m, g, t, p, each with or without `b`, in any case.
fn mib(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    match unit {
        "b" => Some(number >> 20),
        "k" | "kb" => Some(number >> 10),
        "" | "m" | "mb" => Some(number),
        "g" | "gb" => number.checked_mul(1 << 10),
        "t" | "tb" => number.checked_mul(1 << 20),
        "p" | "pb" => number.checked_mul(1 << 30),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_sparks_own() {
        assert_eq!(mib("512m"), Some(512));
        assert_eq!(mib("2G"), Some(2048));
        assert_eq!(mib("1024"), Some(1024));
        assert_eq!(mib("1gb"), Some(1024));
        for bad in ["", "g", "1.5g", "1 g", "-1g", "1x"] {
            assert_eq!(mib(bad), None, "{bad}");
        }
    }
}
