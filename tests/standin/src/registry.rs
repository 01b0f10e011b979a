//! What masters remember together: agents, weights, maintenance. The real ones keep it in a
//! replicated log; the stand-in in one ZooKeeper node, so that it survives a failover just as well.

use std::collections::{BTreeMap, BTreeSet};

use mesos_messages::DurationInfo;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::orders::Order;

/// The registry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registry {
    /// The log that remembers all this.
    pub(crate) log: String,
    pub(crate) weights: BTreeMap<String, f64>,
    /// Admitted agents, with their AgentInfo.
    pub(crate) agents: BTreeMap<String, Json>,
    pub(crate) unreachable: BTreeMap<String, Json>,
    pub(crate) gone: BTreeSet<String>,
    /// Agents that get no offers: drained or deactivated by the operator.
    pub(crate) deactivated: BTreeSet<String>,
    pub(crate) draining: BTreeMap<String, Drain>,
    /// The windows of the maintenance schedule as they were posted.
    pub(crate) schedule: Vec<Json>,
    pub(crate) down: Vec<Machine>,
}

/// How an agent is being drained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) config: Json,
    pub(crate) started: f64,
    /// Nothing runs there any more.
    #[serde(default)]
    pub(crate) drained: bool,
}

/// A machine of the maintenance primitives; both parts must be what the agent announced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) hostname: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) ip: String,
}

impl Drain {
    pub(crate) fn state(&self) -> &'static str {
        if self.drained { "DRAINED" } else { "DRAINING" }
    }

    /// What the agent is told.
    pub(crate) fn order(&self) -> Order {
        let grace = self.config["max_grace_period"]["nanoseconds"].as_i64();
        let grace = grace.map(|nanoseconds| DurationInfo { nanoseconds });
        Order::Drain { grace, mark_gone: self.config["mark_gone"] == true }
    }
}

impl Registry {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Forgets all that was asked for one agent.
    pub(crate) fn forget(&mut self, id: &str) {
        self.agents.remove(id);
        self.unreachable.remove(id);
        self.draining.remove(id);
        self.deactivated.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;

    #[test]
    fn the_registry_survives_its_bytes() {
        let mut registry = Registry::default();
        registry.weights.insert("etl".to_owned(), 2.5);
        registry.gone.insert("x-S0".to_owned());
        let read: Registry = serde_json::from_slice(&registry.to_bytes()).expect("own bytes");
        assert_eq!(read, registry);
    }
}
