//! What the user wrote, checked: plain values that the rest of the program can trust.
//!
//! The straight line of this room is text → [`load`] (tree with places) → [`check`] → [`Inventory`]
//! or every [`Problem`] at once. Nothing here reads the world except `load`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mesos::values::{Attributes, Resources};
use crate::mesos::versions::Version;

pub mod check;
mod decode;
mod grammar;
pub mod load;
mod pools;
pub mod problem;
pub mod ranges;
mod raw;
mod raw_spark;
mod render;
mod resolve;
pub mod select;
mod sets;
pub mod show;
pub mod yaml;

pub use pools::HOST_ATTRIBUTE;
pub use problem::{Place, Problem, Severity};

/// Everything the user asked for. Every template in it is rendered, every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// Name of the cluster; names the Mesos cluster, the twin and the records of runs.
    pub cluster: String,
    /// Every host of `hosts:`, retired ones included, in natural order.
    pub hosts: BTreeMap<HostName, Host>,
    /// How packages, downloads and Docker reach the outside.
    pub proxy: Proxy,
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

/// Name of a host in the inventory: an RFC 1123 label or dotted name. Orders naturally: a2 < a10.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostName(Arc<str>);

/// One machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Its name in the inventory.
    pub name: HostName,
    /// The address that other members use and that configuration files hold.
    pub address: IpAddr,
    /// What Mesos announces; the address unless said otherwise.
    pub hostname: String,
    /// How to reach it.
    pub ssh: Ssh,
    /// The pool it is in, when it is an agent.
    pub pool: Option<String>,
}

/// How to reach a host. What is `None` or empty is left to the user's ssh_config.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Ssh {
    /// What to connect to: a name or address; the host's `address` unless said otherwise.
    pub host: String,
    /// Login user.
    pub user: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Private key file.
    pub identity_file: Option<PathBuf>,
    /// `ProxyJump` destination(s).
    pub proxy_jump: Option<String>,
    /// File of known host keys, instead of the user's.
    pub known_hosts: Option<PathBuf>,
    /// ssh_config file, instead of the user's.
    pub config_file: Option<PathBuf>,
    /// Time limit for the TCP connection and the handshake.
    pub connect_timeout: Duration,
    /// Whether to become root with sudo (or whether the login user is root already).
    pub become_root: bool,
}

/// HTTP proxies for apt, downloads and Docker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proxy {
    /// Proxy URL for http.
    pub http: Option<String>,
    /// Proxy URL for https.
    pub https: Option<String>,
    /// Hosts reached directly, comma separated.
    pub no_proxy: Option<String>,
}

/// What is asked of every host whatever it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// Write the kernel argument that boots with cgroup v1 (the docker containerizer needs it).
    pub cgroup_v1: bool,
}

/// The ensemble that the masters elect their leader in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZooKeeper {
    /// Ours: installed and rolled by us.
    Managed {
        /// Host → myid (1..=255).
        servers: BTreeMap<HostName, u8>,
        /// Lines of zoo.cfg over our defaults, values as text.
        config: BTreeMap<String, String>,
    },
    /// Somebody else's: only checked.
    External {
        /// Host (name or address) and client port of each member.
        servers: Vec<(String, u16)>,
    },
}

/// Mesos itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesos {
    /// Version asked for; the installed package's must equal it.
    pub version: Version,
    /// Where the package comes from.
    pub package: MesosPackage,
    /// Role → weight, for the roles the user named.
    pub roles: BTreeMap<String, Role>,
    /// Path of the masters' znodes; `/mesos`.
    pub znode: String,
    /// Hosts that run a master.
    pub masters: BTreeSet<HostName>,
    /// Flags of the masters, values as text ready for a flag file.
    pub master_flags: BTreeMap<String, String>,
    /// Pools of agents.
    pub pools: BTreeMap<String, Pool>,
    /// Authentication of agents and frameworks.
    pub credentials: Credentials,
}

/// Where the Mesos package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MesosPackage {
    /// A .deb file.
    Deb(Fetch),
    /// An apt repository.
    Apt {
        /// Base URI.
        uri: String,
        /// Suite, such as `bookworm`.
        suite: String,
        /// Components.
        components: Vec<String>,
        /// The key that its lists are signed with, ASCII-armoured.
        key: Option<Fetch>,
    },
    /// The user sees to it.
    Preinstalled,
}

/// A file that hosts need: fetched by each host from a URL, or pushed from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Where it is.
    pub source: Source,
    /// What it must be. A local file without a stated digest gets the one it has when loaded.
    pub digest: Digest,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Each host downloads it.
    Url(String),
    /// On this machine; pushed. Absolute.
    Path(PathBuf),
}

/// A checksum in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Digest {
    /// SHA-256, 64 hex digits.
    Sha256(String),
    /// SHA-512, 128 hex digits.
    Sha512(String),
}

/// One Mesos role.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Share relative to other roles; > 0.
    pub weight: f64,
}

/// A named set of agents that share settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Each agent with its settings, templates rendered for it.
    pub agents: BTreeMap<HostName, Agent>,
    /// How many agents of the pool may be disturbed at a time.
    pub batch: Batch,
}

/// The settings of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Attributes as asked for, with our own `provision_host` added.
    pub attributes: Attributes,
    /// Resources as asked for: reserved ones and the unreserved rest. Empty: Mesos detects them.
    pub resources: Resources,
    /// Flags, values as text ready for a flag file; our defaults included, those we own excluded.
    pub flags: BTreeMap<String, String>,
}

/// How many may go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batch {
    /// So many hosts, at least one.
    Count(usize),
    /// So many per cent of the pool, rounded down, at least one host.
    Percent(u8),
}

/// Authentication of agents and frameworks; all `None` means none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// What agents authenticate with at the master.
    pub agent: Option<Credential>,
    /// What Spark authenticates with.
    pub framework: Option<Credential>,
    /// What masters accept beside these, while agents and frameworks go over to them.
    pub former: Vec<Credential>,
}

impl Credentials {
    /// All that masters accept.
    pub fn accepted(&self) -> impl Iterator<Item = &Credential> {
        self.agent.iter().chain(&self.framework).chain(&self.former)
    }
}

/// A principal and where its secret is found. The secret itself is never in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The principal's name; not secret.
    pub principal: String,
    /// Where the secret is.
    pub secret: SecretRef,
}

/// Where a secret is found on the operator's machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// Environment variable.
    Env(String),
    /// File, whose last newline is not part of it.
    File(PathBuf),
    /// Command, whose last newline of output is not part of it; run by `sh -c` here.
    Command(String),
    /// Asked at the terminal.
    Prompt,
}

/// The Docker engine of the agents.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    /// Debian package of the engine.
    pub package: String,
    /// `/etc/docker/daemon.json` as the user wants it; our own keys are added where absent.
    pub daemon: serde_json::Map<String, serde_json::Value>,
    /// Archives (`docker save` format) that every agent loads.
    pub images: Vec<Fetch>,
}

/// Spark.
#[derive(Debug, Clone, PartialEq)]
pub struct Spark {
    /// Version of the archive.
    pub version: Version,
    /// The archive that is unpacked on clients and goes into the image.
    pub archive: Fetch,
    /// Debian package of the Java runtime.
    pub java: String,
    /// Who submits; made on clients and agents.
    pub user: String,
    /// The image that executors run in.
    pub image: SparkImage,
    /// Lines of spark-defaults.conf as the user wrote them.
    pub defaults: BTreeMap<String, String>,
    /// Lines of spark-env.sh.
    pub env: BTreeMap<String, String>,
    /// Hosts that jobs are submitted from.
    pub clients: BTreeSet<HostName>,
    /// Hosts of the MesosClusterDispatcher.
    pub dispatcher: Option<Dispatcher>,
}

/// The image that executors run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SparkImage {
    /// Built on every agent.
    Build {
        /// Name (and tag) given to it.
        tag: String,
        /// Image it starts from.
        base: String,
        /// Debian packages put into it beside Java.
        packages: Vec<String>,
    },
    /// Pulled by every agent.
    Registry {
        /// `name@sha256:…`.
        reference: String,
    },
    /// Loaded by every agent.
    Archive {
        /// Name (and tag) that the archive holds.
        tag: String,
        /// `docker save` archive.
        archive: Fetch,
    },
}

/// The MesosClusterDispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatcher {
    /// Hosts it runs on.
    pub hosts: BTreeSet<HostName>,
    /// REST port.
    pub port: u16,
}

/// A Spark application on paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Role it registers in; `*` unless said otherwise.
    pub role: String,
    /// `spark.executor.cores`; `None` as in Spark: all that an offer holds.
    pub cores: Option<u32>,
    /// `spark.executor.memory` in MiB.
    pub memory_mib: u64,
    /// `spark.mesos.executor.memoryOverhead` in MiB.
    pub overhead_mib: Option<u64>,
    /// `spark.cores.max`.
    pub cores_max: Option<u32>,
    /// `spark.mesos.constraints`, its text.
    pub constraints: String,
}

/// How the cluster is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smoke {
    /// Slices of the Pi (its argument).
    pub slices: u32,
    /// Whether a Pi is pinned to every agent.
    pub each_agent: bool,
    /// Wall-clock limit of one Pi.
    pub timeout: Duration,
}

/// What became of a retired host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// Reachable; its services are to be stopped and disabled.
    Stop,
    /// Will never answer again.
    Gone,
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

    /// The settings of one agent.
    pub fn agent(&self, host: &HostName) -> Option<&Agent> {
        self.hosts
            .get(host)
            .and_then(|h| h.pool.as_ref())
            .and_then(|pool| self.mesos.pools.get(pool))
            .and_then(|pool| pool.agents.get(host))
    }

    /// `q > N/2`: how many masters must agree.
    pub fn quorum(&self) -> usize {
        self.mesos.masters.len() / 2 + 1
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

    /// `host:port,…` of the ensemble, in natural order.
    pub fn zookeeper_connect(&self) -> String {
        let join = |host: &str, port: u16| {
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        };
        let list: Vec<String> = match &self.zookeeper {
            ZooKeeper::Managed { servers, config } => {
                let port = config.get("clientPort").and_then(|p| p.parse().ok()).unwrap_or(2181);
                servers
                    .keys()
                    .filter_map(|name| self.hosts.get(name))
                    .map(|host| join(&host.address.to_string(), port))
                    .collect()
            }
            ZooKeeper::External { servers } => {
                servers.iter().map(|(host, port)| join(host, *port)).collect()
            }
        };
        list.join(",")
    }

    /// `zk://host:port,…/mesos`: what masters, agents and frameworks are given.
    pub fn zookeeper_url(&self) -> String {
        format!("zk://{}{}", self.zookeeper_connect(), self.mesos.znode)
    }
}

impl HostName {
    /// A name; whoever calls has checked it (see `check`).
    pub fn new(name: &str) -> HostName {
        HostName(Arc::from(name))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HostName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<HostName, D::Error> {
        String::deserialize(deserializer).map(|s| HostName::new(&s))
    }
}

impl Ord for HostName {
    fn cmp(&self, other: &HostName) -> std::cmp::Ordering {
        natural(&self.0, &other.0)
    }
}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &HostName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares with runs of digits taken as numbers; equal numbers fall back to the bytes, so that
/// the order is total and agrees with `Eq`.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        let same = x.iter().zip(y).take_while(|(p, q)| p == q).count();
        // A number is compared whole, from its first digit on.
        let number = x[..same].iter().rev().take_while(|b| b.is_ascii_digit()).count();
        (x, y) = (&x[same - number..], &y[same - number..]);
        let (m, n) = (digits(x), digits(y));
        if m == 0 || n == 0 {
            return x.cmp(y).then_with(|| a.cmp(b));
        }
        let (u, v) = (strip_zeros(&x[..m]), strip_zeros(&y[..n]));
        let order = u.len().cmp(&v.len()).then_with(|| u.cmp(v));
        if order.is_ne() {
            return order;
        }
        (x, y) = (&x[m..], &y[n..]);
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn strip_zeros(text: &[u8]) -> &[u8] {
    let zeros = text.iter().take_while(|b| **b == b'0').count();
    &text[zeros..]
}

impl Batch {
    /// How many hosts of `total` may go together; at least one.
    pub fn of(self, total: usize) -> usize {
        match self {
            Batch::Count(n) => n.max(1),
            Batch::Percent(p) => (total * usize::from(p) / 100).max(1),
        }
    }
}

impl Digest {
    /// The hex digits.
    pub fn hex(&self) -> &str {
        match self {
            Digest::Sha256(hex) | Digest::Sha512(hex) => hex,
        }
    }

    /// The coreutils program that computes it.
    pub fn tool(&self) -> &'static str {
        match self {
            Digest::Sha256(_) => "sha256sum",
            Digest::Sha512(_) => "sha512sum",
        }
    }
}

impl Source {
    /// The last part of the path or URL, without query: what a person calls the file.
    pub fn file_name(&self) -> &str {
        let text = match self {
            Source::Url(url) => url.split(['?', '#']).next().unwrap_or(url),
            Source::Path(path) => path.to_str().unwrap_or("file"),
        };
        text.rsplit('/').find(|part| !part.is_empty()).unwrap_or("file")
    }
}

impl SparkImage {
    /// What `spark.mesos.executor.docker.image` holds.
    pub fn name(&self) -> &str {
        match self {
            SparkImage::Build { tag, .. } | SparkImage::Archive { tag, .. } => tag,
            SparkImage::Registry { reference } => reference,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_order_naturally_and_totally() {
        let mut names: Vec<HostName> =
            ["a10", "a2", "a02", "a", "b1", "a2x"].map(HostName::new).to_vec();
        names.sort();
        let order: Vec<&str> = names.iter().map(HostName::as_str).collect();
        assert_eq!(order, ["a", "a02", "a2", "a2x", "a10", "b1"]);
    }

    #[test]
    fn a_percentage_is_of_the_pool_and_never_nobody() {
        assert_eq!(Batch::Percent(20).of(20), 4);
        assert_eq!(Batch::Percent(10).of(5), 1);
        assert_eq!(Batch::Count(3).of(1), 3);
    }
}
