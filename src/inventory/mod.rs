//! What the user wrote, checked: plain values that the rest of the program can trust.
//!
//! The straight line of this room is text → [`load`] (tree with places) → [`check`] → [`Inventory`]
//! or every [`Problem`](crate::ground::Problem) at once. Nothing here reads the world except `load`.

use crate::ground::{Endpoint, HostName, Place};
use std::collections::BTreeMap;
use std::net::IpAddr;

mod base;
mod certificates;
pub mod check;
mod credentials;
mod cure;
mod daemon_json;
mod decode;
mod docker;
mod environment;
pub mod explain;
mod files;
mod grammar;
mod hosts;
mod listeners;
pub mod load;
mod managed;
mod mesos;
pub mod names;
mod packages;
mod parts;
mod pools;
pub mod ports;
mod quorum_auth;
pub mod ranges;
mod render;
mod resolve;
mod root;
pub mod schema;
pub mod select;
pub mod sets;
mod settings;
pub mod show;
mod smoke;
mod spark;
pub mod ssh;
mod tls;
mod types;
mod workloads;
pub mod yaml;
mod zoo_cfg;
mod zookeeper;

pub use base::{Base, Proxy, ProxyUrl};
pub use credentials::{Credential, Opening, SECRETS, masters_file, principals};
pub use docker::Docker;
pub use environment::owned as owned_variable;
pub use files::{Fetch, Seed, Source};
pub use hosts::{Host, Retired};
pub use listeners::{DISPATCHER_PAGE, Listener, SEED_PORT};
pub use managed::{ManagedFile, ManagedText};
pub use mesos::{AgentUnit, Mesos, MesosPackage};
pub use parts::Part;
pub use pools::{Agent, HOST_ATTRIBUTE};
pub use quorum_auth::{
    JAAS_DIRECTORY, JAAS_PREFIX, LEARNER_SECTIONS, LOGIN_CONFIG, QUORUM_AUTH_KEYS, QuorumAuth,
    SERVER_SECTION, Sasl,
};
pub use smoke::Smoke;
pub use spark::{History, ImageBuild, ShuffleService, Spark, SparkImage};
pub use ssh::Ssh;
#[cfg(test)]
pub use tls::Identity;
pub use tls::Tls;
pub use workloads::Workload;
pub use zoo_cfg::{JAVA_OPTIONS, java_options};
pub use zookeeper::ZooKeeper;

/// Everything the user asked for. Every template in it is rendered, every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// Name of the cluster; names the Mesos cluster, the twin and the records of runs.
    pub cluster: String,
    /// Every host of `hosts:`, retired ones included, in natural order.
    pub hosts: BTreeMap<HostName, Host>,
    /// How packages, downloads and Docker reach the outside.
    pub proxy: Proxy,
    /// Where hosts get files of this machine from.
    pub seed: Seed,
    /// What is asked of every host whatever it runs.
    pub base: Base,
    /// The ensemble that the masters elect their leader in.
    pub zookeeper: ZooKeeper,
    /// Mesos itself.
    pub mesos: Mesos,
    /// The Docker engine of the agents.
    pub docker: Docker,
    /// Spark; absent for a bare Mesos cluster.
    pub spark: Option<Spark>,
    /// What `simulate` places.
    pub workloads: BTreeMap<String, Workload>,
    /// How the cluster is proven.
    pub smoke: Smoke,
    /// Hosts that are in no task any more.
    pub retired: BTreeMap<HostName, Retired>,
    /// Lints that the user allows, with the reason.
    pub allow: BTreeMap<String, String>,
    /// Where things stand in the file, for lints that speak about the whole.
    pub places: Places,
    /// SHA-256 (hex) of the text as loaded, overrides included.
    pub digest: String,
}

/// Who serves files to other hosts, and who fetches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeds {
    /// Agents.
    Agents,
    /// Every host.
    Hosts,
}

/// Path in the file (`mesos.agents.compute.attributes.rack`; a list item by its index) → place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(pub BTreeMap<String, Place>);

impl Inventory {
    /// All agents with their pool's name, in natural order of pools, then hosts.
    pub fn agents(&self) -> impl Iterator<Item = (&str, &HostName, &Agent)> {
        self.mesos
            .pools
            .iter()
            .flat_map(|(pool, p)| p.agents.iter().map(move |(h, a)| (pool.as_str(), h, a)))
    }

    /// Who serves files to other hosts while a run hands them over.
    pub fn seeds(&self) -> Option<Seeds> {
        let once = self.spark.as_ref().is_some_and(|spark| spark.image.is_built_once());
        match self.seed {
            Seed::Host => Some(Seeds::Hosts),
            Seed::Here => once.then_some(Seeds::Agents),
        }
    }

    /// The settings of one agent.
    pub fn agent(&self, host: &HostName) -> Option<&Agent> {
        self.hosts
            .get(host)
            .and_then(|h| h.pool.as_ref())
            .and_then(|pool| self.mesos.pools.get(pool))
            .and_then(|pool| pool.agents.get(host))
    }

    /// What is to run, by name, with its version; what the distribution brings has none here.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let mesos = ("Mesos".to_owned(), self.mesos.version.to_string());
        let spark = self.spark.as_ref().map(|it| ("Spark".to_owned(), it.version.to_string()));
        [mesos].into_iter().chain(spark).collect()
    }

    /// `q > N/2`: how many masters must agree; another number only while their membership changes.
    pub fn quorum(&self) -> usize {
        self.mesos.quorum.unwrap_or(self.mesos.masters.len() / 2 + 1)
    }

    /// Where a host's master listens.
    pub fn master_at(&self, host: &Host) -> Endpoint {
        Endpoint::new(host.address, self.mesos.master_port)
    }

    /// Moves a host to another address (the twin does); what merely defaulted to the old address
    /// follows. Text that a template rendered from it does not.
    pub fn override_address(&mut self, host: &HostName, address: IpAddr) {
        let Some(host) = self.hosts.get_mut(host) else { return };
        let old = host.address.to_string();
        for defaulted in [&mut host.hostname, &mut host.ssh.host] {
            if *defaulted == old {
                *defaulted = address.to_string();
            }
        }
        host.address = address;
    }

    /// `zk://host:port,…/mesos`: what masters, agents and frameworks are given.
    pub fn zookeeper_url(&self) -> String {
        format!("zk://{}{}", self.zookeeper_connect(), self.mesos.znode)
    }
}

impl Places {
    /// The place of a path, or of its nearest known ancestor.
    pub fn of(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind('.')?];
        }
    }
}
