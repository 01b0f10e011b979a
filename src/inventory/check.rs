//! What the keys alone cannot tell: mistakes between parts of an inventory, and doubtful things.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::decode::{At, Cx};
use super::problem::{Place, Problem, Severity};
use super::raw::Texts;
use super::{HostName, Inventory, MesosPackage, Source, ZooKeeper, grammar};
use crate::mesos::flags::{self as catalogue, Component, Kind};
use crate::mesos::versions::Version;
use crate::mesos::{Finding, properties};

/// Whether the twin is meant: only there may the stand-in for Mesos run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lab {
    /// Real hosts.
    No,
    /// Containers on this machine.
    Yes,
}

/// Everything wrong or doubtful between parts of an inventory.
pub(super) fn check(inventory: &Inventory, lab: Lab) -> Vec<Problem> {
    let mut found = Vec::new();
    addresses(inventory, &mut found);
    ensemble(inventory, &mut found);
    masters(inventory, &mut found);
    pools(inventory, &mut found);
    stand_in(inventory, lab, &mut found);
    use_of_hosts(inventory, &mut found);
    roles(inventory, &mut found);
    dispatcher(inventory, &mut found);
    found
}

/// Flags that are ours to set, with what to write instead.
const OWNED: [(Option<Component>, &str, &str); 21] = [
    (None, "ip", "it is the host's `address`"),
    (None, "hostname", "write `hostname` at the host"),
    (None, "ip_discovery_command", "the daemon takes it or `ip`, which is the host's `address`"),
    (None, "port", "ports are 5050 and 5051"),
    (None, "log_dir", "the packages set it and refuse it twice"),
    (Some(Component::Master), "zk", "it follows from `zookeeper`"),
    // Source: Mesos `src/master/main.cpp` and `src/slave/main.cpp`, which take one of the two.
    (None, "master_detector", "the leader is found in `zookeeper`"),
    (Some(Component::Master), "master_contender", "the leader is elected in `zookeeper`"),
    (Some(Component::Master), "quorum", "it follows from `mesos.masters.hosts`"),
    (Some(Component::Master), "cluster", "it is `cluster`"),
    (Some(Component::Master), "weights", "write `mesos.roles`"),
    (Some(Component::Master), "roles", "write `mesos.roles`"),
    (Some(Component::Master), "credentials", "write `mesos.credentials`"),
    (Some(Component::Agent), "master", "it follows from `zookeeper`"),
    (Some(Component::Agent), "attributes", "write `attributes` of the pool"),
    (Some(Component::Agent), "resources", "write `resources` of the pool"),
    (Some(Component::Agent), "default_role", "write `reserved` of the pool"),
    (Some(Component::Agent), "credential", "write `mesos.credentials`"),
    (None, "authenticate", "write `mesos.credentials`"),
    (None, "help", "it only prints usage"),
    (None, "version", "it only prints the version"),
];

/// Names of flags: ours are refused, and so is what the packages' wrapper would read differently.
pub(super) fn flags(cx: &mut Cx, daemon: Component, flags: &Texts) {
    for (key, _) in flags {
        let name = key.value.as_str();
        let owned = owned(daemon, name);
        let row = catalogue::find(daemon, name).filter(|row| row.kind == Kind::Alias);
        let primary = row.and_then(|row| row.other_name.as_deref());
        let place = || Some(key.place.clone());
        if let Some((_, _, instead)) = owned {
            let message = format!("the flag `{name}` is ours to set");
            cx.problems.push(Problem::error(place(), "owned-flag", message).help(*instead));
        } else if let Some(plain) = name.strip_prefix('?') {
            let plain = plain
                .strip_prefix("no-")
                .map_or_else(|| format!("{plain}: true"), |plain| format!("{plain}: false"));
            let message = "a flag is written without `?`";
            let problem = Problem::error(place(), "bad-flag", message);
            cx.problems.push(problem.help(format!("write `{plain}`")));
        } else if let Some(primary) =
            primary.filter(|_| flags.iter().any(|(k, _)| Some(k.value.as_str()) == primary))
        {
            let message = format!("`{name}` and `{primary}` are one flag, and both are written");
            let problem = Problem::error(place(), "duplicate-flag", message);
            cx.problems.push(problem.help(format!("delete `{name}`, the old name")));
        } else if !well_formed(name) {
            let message = format!("`{}` cannot be a flag", super::decode::clipped(name));
            let problem = Problem::error(place(), "bad-flag", message);
            cx.problems.push(problem.help("flags are lower-case letters, digits and `_`"));
        }
    }
}

/// One flag with its rendered value against the catalogue: at its name when the release does not have
/// it, at its value when the daemon would not read that.
pub(super) fn flag(
    cx: &mut Cx,
    daemon: Component,
    (key, value): (&At<String>, &At<String>),
    text: &str,
    who: &str,
    version: &Version,
) {
    let name = key.value.as_str();
    // What its name alone makes wrong is said already.
    if owned(daemon, name).is_some() || !well_formed(name) {
        return;
    }
    let Err(finding) = catalogue::check_flag(daemon, name, text, version) else { return };
    let row = catalogue::find(daemon, name).filter(|row| row.exists_in(version));
    let (place, kind) = match (row, finding.severity) {
        (None, _) => (&key.place, "unknown-flag"),
        (Some(_), Severity::Error) => (&value.place, "bad-flag-value"),
        (Some(_), Severity::Warning) => (&key.place, "doubtful-flag"),
    };
    // A name is the same for every host.
    let who = if row.is_some() { who } else { "" };
    let finding = Finding { message: format!("{}{who}", finding.message), ..finding };
    cx.problems.push(finding.problem(place.clone(), kind));
}

/// One line of spark-defaults.conf: at its name when the release does not have it, at its value when
/// Spark would not read that.
pub(super) fn property(
    cx: &mut Cx,
    (key, value): (&At<String>, &At<String>),
    text: &str,
    spark: &Version,
) {
    let Err(finding) = properties::check_property(&key.value, text, spark) else { return };
    let (place, name) = match finding.severity {
        Severity::Error => (&value.place, "unreadable-property"),
        Severity::Warning => (&key.place, "unknown-property"),
    };
    cx.problems.push(finding.problem(place.clone(), name));
}

fn owned(
    daemon: Component,
    name: &str,
) -> Option<&'static (Option<Component>, &'static str, &'static str)> {
    OWNED.iter().find(|(of, owned, _)| {
        of.is_none_or(|of| of == daemon)
            && (*owned == name || (*owned == "authenticate" && name.starts_with("authenticate_")))
    })
}

fn well_formed(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn at(inventory: &Inventory, path: &str) -> Option<Place> {
    inventory.places.of(path).cloned()
}

/// Whether a list or map was written and holds nothing: one whose items were all refused is not
/// wrong twice.
fn written_empty(inventory: &Inventory, path: &str) -> bool {
    let below = format!("{path}.");
    let places = &inventory.places.0;
    let first = places.range(below.clone()..).next();
    places.contains_key(path) && first.is_none_or(|(key, _)| !key.starts_with(&below))
}

fn host_place(inventory: &Inventory, host: &HostName) -> Option<Place> {
    at(inventory, &format!("hosts.{host}.address"))
}

fn addresses(inventory: &Inventory, found: &mut Vec<Problem>) {
    let mut seen: HashMap<IpAddr, &HostName> = HashMap::new();
    for (name, host) in &inventory.hosts {
        if host.address.is_unspecified() {
            continue;
        }
        if let Some(other) = seen.insert(host.address, name) {
            let message = format!("`{other}` and `{name}` have the same address {}", host.address);
            let place = host_place(inventory, name);
            found.push(Problem::error(place, "duplicate-address", message));
        }
        if host.address.is_loopback() && inventory.hosts.len() > 1 {
            let message = format!("other hosts cannot reach `{name}` at {}", host.address);
            let problem = Problem::error(host_place(inventory, name), "loopback-address", message);
            found.push(problem.help("`address` is what members use; ssh goes to `ssh.host`"));
        }
    }
}

fn ensemble(inventory: &Inventory, found: &mut Vec<Problem>) {
    let ZooKeeper::Managed { servers, config } = &inventory.zookeeper else { return };
    let place = at(inventory, "zookeeper.servers");
    if written_empty(inventory, "zookeeper.servers") {
        let problem = Problem::error(place, "empty-list", "`zookeeper.servers` names no host");
        found.push(problem.help("write host: myid for one, three or five hosts"));
    } else if servers.len().is_multiple_of(2) && !servers.is_empty() {
        found.push(even(place, "ZooKeeper servers", servers.len()));
    }
    let mut seen: BTreeMap<u8, &HostName> = BTreeMap::new();
    for (host, myid) in servers {
        if let Some(other) = seen.insert(*myid, host) {
            let message = format!("`{other}` and `{host}` have the same myid {myid}");
            let place = at(inventory, &format!("zookeeper.servers.{host}"));
            found.push(Problem::error(place, "duplicate-myid", message));
        }
    }
    for (key, value) in config {
        let place = || at(inventory, &format!("zookeeper.config.{key}"));
        let number = value.parse::<u32>().ok();
        if ["dataDir", "dynamicConfigFile"].contains(&key.as_str()) || key.starts_with("server.") {
            let message = format!("`{key}` of zoo.cfg is ours to set");
            found.push(Problem::error(place(), "owned-option", message).help("delete it"));
        } else if !grammar::word(key, "._") {
            let message = format!("`{}` cannot be a key of zoo.cfg", super::decode::clipped(key));
            found.push(Problem::error(place(), "bad-name", message));
        } else if key == "clientPort" && !number.is_some_and(|n| (1..=65535).contains(&n)) {
            let message = "`clientPort` must be a port from 1 to 65535";
            found.push(Problem::error(place(), "bad-option", message));
        } else if key == "tickTime" && !number.is_some_and(|n| (500..=5000).contains(&n)) {
            // Sessions are clamped to 2..20 ticks and Mesos asks for 10 s.
            let message = "`tickTime` must be from 500 to 5000 for Mesos' sessions of 10 seconds";
            found.push(Problem::error(place(), "bad-option", message));
        }
    }
}

fn even(place: Option<Place>, what: &str, count: usize) -> Problem {
    let message = format!("{count} {what} survive no more failures than {}", count - 1);
    Problem::warning(place, "even-ensemble", message).help("take an odd number")
}

fn masters(inventory: &Inventory, found: &mut Vec<Problem>) {
    let place = at(inventory, "mesos.masters.hosts");
    let count = inventory.mesos.masters.len();
    if written_empty(inventory, "mesos.masters.hosts") {
        found.push(Problem::error(place, "empty-list", "`mesos.masters.hosts` names no host"));
    } else if count.is_multiple_of(2) && count > 0 {
        found.push(even(place, "masters", count));
    }
}

fn pools(inventory: &Inventory, found: &mut Vec<Problem>) {
    if written_empty(inventory, "mesos.agents") {
        let place = at(inventory, "mesos.agents");
        let problem = Problem::error(place, "empty-list", "`mesos.agents` holds no pool");
        found.push(problem.help("write a pool with its hosts"));
    }
    for name in inventory.mesos.pools.keys() {
        if written_empty(inventory, &format!("mesos.agents.{name}.hosts")) {
            let place = at(inventory, &format!("mesos.agents.{name}.hosts"));
            let message = format!("pool `{name}` has no host");
            found.push(Problem::error(place, "empty-list", message));
        }
    }
}

fn stand_in(inventory: &Inventory, lab: Lab, found: &mut Vec<Problem>) {
    let package = match &inventory.mesos.package {
        MesosPackage::Deb(deb) => match &deb.source {
            Source::Path(_) | Source::Url(_) => deb.source.file_name(),
        },
        _ => "",
    };
    let named = inventory.mesos.version.as_str().contains("standin") || package.contains("standin");
    if named && lab == Lab::No {
        let place = at(inventory, "mesos.version");
        let message = "the stand-in is no Mesos and runs nothing";
        let problem = Problem::error(place, "stand-in", message);
        found.push(problem.help("use it with --lab, or name a real version and package"));
    }
}

fn use_of_hosts(inventory: &Inventory, found: &mut Vec<Problem>) {
    let mut used: BTreeMap<&HostName, &str> = BTreeMap::new();
    if let Some(spark) = &inventory.spark {
        let dispatchers = spark.dispatcher.iter().flat_map(|d| &d.hosts);
        used.extend(dispatchers.map(|h| (h, "spark.dispatcher.hosts")));
        used.extend(spark.clients.iter().map(|h| (h, "spark.clients.hosts")));
    }
    used.extend(inventory.agents().map(|(_, host, _)| (host, "mesos.agents")));
    used.extend(inventory.mesos.masters.iter().map(|h| (h, "mesos.masters.hosts")));
    if let ZooKeeper::Managed { servers, .. } = &inventory.zookeeper {
        used.extend(servers.keys().map(|h| (h, "zookeeper.servers")));
    }
    for host in inventory.retired.keys() {
        if let Some(by) = used.get(host) {
            let message = format!("`{host}` is retired but still in `{by}`");
            let place = at(inventory, "retired");
            let problem = Problem::error(place, "retired-in-use", message);
            found.push(problem.help("take it out of one of them"));
        }
    }
    // A line of unused hosts is one mistake, not one for each of its hosts.
    let mut idle: BTreeMap<Option<Place>, Vec<&HostName>> = BTreeMap::new();
    for host in inventory.hosts.keys() {
        if !used.contains_key(host) && !inventory.retired.contains_key(host) {
            idle.entry(at(inventory, &format!("hosts.{host}"))).or_default().push(host);
        }
    }
    for (place, hosts) in idle {
        let message = match hosts[..] {
            [host] => format!("host `{host}` is in no task"),
            [host, ..] => format!("host `{host}` and {} more are in no task", hosts.len() - 1),
            [] => continue,
        };
        let problem = Problem::warning(place, "unused-host", message);
        found.push(problem.help("use it, delete its line, or name it in `retired`"));
    }
}

fn roles(inventory: &Inventory, found: &mut Vec<Problem>) {
    let declared = &inventory.mesos.roles;
    if declared.is_empty() {
        return;
    }
    let mut asked: BTreeSet<(String, &str)> = BTreeSet::new();
    for (name, pool) in &inventory.mesos.pools {
        let agents = pool.agents.values().take(1);
        for (_, role) in agents.flat_map(|a| a.resources.0.keys()) {
            asked.insert((format!("mesos.agents.{name}.reserved.{role}"), role));
        }
    }
    for (name, workload) in &inventory.workloads {
        asked.insert((format!("workloads.{name}.role"), &workload.role));
    }
    for (path, role) in asked {
        if role == "*" || declared.contains_key(role) {
            continue;
        }
        let message = format!("role `{role}` is not in `mesos.roles`");
        let problem = Problem::warning(at(inventory, &path), "undeclared-role", message);
        let near = super::decode::nearest(role, declared.keys().map(String::as_str));
        found.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("its weight is 1 until you say otherwise"),
        });
    }
}

fn dispatcher(inventory: &Inventory, found: &mut Vec<Problem>) {
    let Some(dispatcher) = inventory.spark.as_ref().and_then(|s| s.dispatcher.as_ref()) else {
        return;
    };
    // Masters, agents, ZooKeeper's three and the dispatcher's own web page.
    if [5050, 5051, 2181, 2888, 3888, 8081, 22].contains(&dispatcher.port) {
        let place = at(inventory, "spark.dispatcher.port");
        let message = format!("port {} is used by another service", dispatcher.port);
        found.push(Problem::error(place, "port-taken", message).help("7077 is the usual one"));
    }
    if written_empty(inventory, "spark.dispatcher.hosts") {
        let place = at(inventory, "spark.dispatcher.hosts");
        let message = "`spark.dispatcher.hosts` names no host";
        found.push(Problem::error(place, "empty-list", message));
    }
}
