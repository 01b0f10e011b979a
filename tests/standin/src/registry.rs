//! What masters remember together: agents, weights, maintenance. The real ones keep it in a
//! replicated log; the stand-in in one ZooKeeper node, so that it survives a failover just as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The registry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registry {
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

/// How an agent is being drained. Nothing ever runs here, so a drain is over at once, but for as long as
/// a test says that tasks use their grace period: by [`BUSY`] on the leading master.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) config: Json,
    pub(crate) started: f64,
}

/// A machine of the maintenance primitives; both parts must be what the agent announced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) hostname: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) ip: String,
}

/// While it is there every drain goes on.
const BUSY: &str = "/run/mesos-standin.busy";

impl Drain {
    pub(crate) fn state(&self) -> &'static str {
        if Path::new(BUSY).exists() { "DRAINING" } else { "DRAINED" }
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
