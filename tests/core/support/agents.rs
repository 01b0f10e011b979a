//! Agents and workloads in few words.

use provision::inventory::Workload;
use provision::mesos::values::{Attributes, Resources};
use provision::mesos::versions::Version;
use provision::simulate::Agent;
use provision::simulate::executors::Settings;

pub(crate) fn version(text: &str) -> Version {
    Version::parse(text).expect(text)
}

pub(crate) fn agent(name: &str, resources: &str) -> Agent {
    Agent {
        name: name.to_owned(),
        resources: Resources::parse(resources, &version("1.11.0")).expect(resources),
        attributes: Attributes::default(),
    }
}

pub(crate) fn agents(count: usize, resources: &str) -> Vec<Agent> {
    (1..=count).map(|i| agent(&format!("a{i}"), resources)).collect()
}

pub(crate) fn workload(cores: Option<u32>, memory_mib: u64, cores_max: Option<u32>) -> Workload {
    Workload {
        role: "*".to_owned(),
        cores,
        memory_mib,
        overhead_mib: None,
        cores_max,
        constraints: String::new(),
    }
}

pub(crate) fn spark(text: &str) -> Settings {
    Settings::new(version(text))
}
