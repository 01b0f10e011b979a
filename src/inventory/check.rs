//! What the keys alone cannot tell: mistakes between parts of an inventory, and doubtful things.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::decode::{At, Cx};
use super::resolve::Texts;
use super::{
    Inventory, JAVA_OPTIONS, LOGIN_CONFIG, MesosPackage, Part, QUORUM_AUTH_KEYS, ZooKeeper,
    grammar, java_options, zoo_cfg,
};
use crate::ground::HostName;
use crate::ground::problem::{Place, Problem, Severity};
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
    no_host(inventory, &mut found);
    over_http(inventory, &mut found);
    ports(inventory, &mut found);
    ipv6(inventory, &mut found);
    remapped(inventory, &mut found);
    found
}

/// Flags that are ours to set, with what to write instead.
const OWNED: [(Option<Component>, &str, &str); 23] = [
    (None, "ip", "it is the host's `address`"),
    (None, "hostname", "write `hostname` at the host"),
    (None, "ip_discovery_command", "the daemon takes it or `ip`, which is the host's `address`"),
    (Some(Component::Master), "port", "write `port` of `mesos.masters`"),
    (Some(Component::Agent), "port", "write `port` of the pool"),
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
    (Some(Component::Agent), "http_credentials", "write `mesos.credentials.viewer`"),
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

/// Source: `src/mesos/flags.tsv`, `authenticate_http_readwrite`, which came with 1.0.
fn over_http(inventory: &Inventory, found: &mut Vec<Problem>) {
    let credentials = &inventory.mesos.credentials;
    let path = |key: &str| at(inventory, &format!("mesos.credentials.{key}"));
    let version = &inventory.mesos.version;
    if credentials.operator.is_some() && !version.at_least(&[1, 0]) {
        let message = format!("the HTTP of Mesos {version} tells no operator from anybody else");
        let problem = Problem::error(path("operator"), "no-operators", message);
        found.push(problem.help("take Mesos 1.0 or later, or delete this"));
    }
    if inventory.mesos.access.writer.is_some() && !version.at_least(&[1, 5]) {
        let message = format!("Mesos {version} prints the secret of its ZooKeeper in its log");
        let place = at(inventory, "zookeeper.credentials");
        let problem = Problem::error(place, "printed-secret", message);
        found.push(problem.help("take Mesos 1.5 or later, or delete this"));
    }
    if credentials.viewer.is_some() && credentials.operator.is_none() {
        let message = "nobody is asked over HTTP, so a viewer needs no credential";
        let problem = Problem::error(path("viewer"), "no-operators", message);
        found.push(problem.help("write `mesos.credentials.operator` too: then everybody is asked"));
    }
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
            let problem = Problem::error(host_place(inventory, name), "duplicate-address", message);
            found.push(problem.help("give each the address that it has"));
        }
        if host.address.is_loopback() && inventory.hosts.len() > 1 {
            let message = format!("other hosts cannot reach `{name}` at {}", host.address);
            let problem = Problem::error(host_place(inventory, name), "loopback-address", message);
            found.push(problem.help("`address` is what members use; ssh goes to `ssh.host`"));
        }
    }
}

fn ensemble(inventory: &Inventory, found: &mut Vec<Problem>) {
    let ZooKeeper::Managed { servers, config, .. } = &inventory.zookeeper else { return };
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
            let problem = Problem::error(place, "duplicate-myid", message);
            found.push(problem.help("give each server a number of its own"));
        }
    }
    for (key, value) in config {
        let place = at(inventory, &format!("zookeeper.config.{key}"));
        found.extend(zoo_cfg::check(key, value).map(
            |(name, Finding { severity, message, help })| Problem {
                place,
                severity,
                name,
                message,
                help,
            },
        ));
    }
    sessions(inventory, config, found);
    client_address(inventory, config, found);
    two_ways(inventory, config, found);
}

/// SASL between servers is written in one place.
fn two_ways(inventory: &Inventory, config: &BTreeMap<String, String>, found: &mut Vec<Problem>) {
    if !inventory.sasl().is_on() {
        return;
    }
    let mut say = |key: &str, message: String, help: &str| {
        let place = at(inventory, &format!("zookeeper.config.{key}"));
        found.push(Problem::error(place, "two-ways", message).help(help));
    };
    for key in config.keys().filter(|key| key.starts_with(QUORUM_AUTH_KEYS)) {
        let message = format!("`{key}` is what `zookeeper.quorum_auth` sets");
        say(key, message, "delete the line, or `quorum_auth` and go on with lines of your own");
    }
    let options = config.get(JAVA_OPTIONS).and_then(|text| java_options(text).ok());
    if options.is_some_and(|all| all.iter().any(|option| option.starts_with(LOGIN_CONFIG))) {
        let message = format!(
            "`{JAVA_OPTIONS}` names a file of JAAS, and so does what `zookeeper.quorum_auth` writes"
        );
        say(JAVA_OPTIONS, message, "take that option out, or `quorum_auth`: a JVM reads one file");
    }
}

/// A session is as long as Mesos asks for only within these bounds.
fn sessions(inventory: &Inventory, config: &BTreeMap<String, String>, found: &mut Vec<Problem>) {
    let asked = inventory.mesos.master_flags.get("zk_session_timeout");
    let asked = asked.and_then(|text| grammar::duration(text)).unwrap_or(SESSION);
    for (key, breaks) in [
        ("minSessionTimeout", u128::gt as fn(&u128, &u128) -> bool),
        ("maxSessionTimeout", u128::lt),
    ] {
        let bound = config.get(key).and_then(|text| text.trim().parse::<u128>().ok());
        let Some(bound) = bound.filter(|bound| *bound > 0 && breaks(bound, &asked.as_millis()))
        else {
            continue;
        };
        let asked = asked.as_secs();
        let message = format!("`{key}` {bound} ms: Mesos asks for sessions of {asked} seconds");
        let place = at(inventory, &format!("zookeeper.config.{key}"));
        let problem = Problem::error(place, "bad-option", message);
        found.push(problem.help("delete the line; sessions last 2 to 20 ticks"));
    }
}

/// What Mesos asks ZooKeeper for. Source: apache/mesos 1.11.0, `docs/configuration/master.md`,
/// `--zk_session_timeout`.
const SESSION: Duration = Duration::from_secs(10);

/// All servers have one file, and everybody must reach each of them.
fn client_address(
    inventory: &Inventory,
    config: &BTreeMap<String, String>,
    found: &mut Vec<Problem>,
) {
    let Some(text) = config.get("clientPortAddress") else { return };
    let address = text.trim().parse::<IpAddr>().ok();
    let own = |host| inventory.hosts.get(host).map(|host: &super::Host| host.address);
    let servers: Vec<&HostName> = inventory.hosts_of(Part::ZooKeeper).collect();
    let good = match (address, &servers[..]) {
        (Some(address), _) if address.is_unspecified() => true,
        (Some(address), [only]) => own(only) == Some(address),
        _ => false,
    };
    if !good {
        let message = format!("nobody would reach every ZooKeeper server at `{text}`");
        let place = at(inventory, "zookeeper.config.clientPortAddress");
        let problem = Problem::error(place, "bad-option", message);
        found.push(problem.help("delete the line; each server listens on all its addresses"));
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
        let problem = Problem::error(place, "empty-list", "`mesos.masters.hosts` names no host");
        found.push(problem.help("name one, three or five hosts"));
    } else if count.is_multiple_of(2) && count > 0 {
        found.push(even(place, "masters", count));
    }
}

fn pools(inventory: &Inventory, found: &mut Vec<Problem>) {
    for name in inventory.mesos.pools.keys() {
        if written_empty(inventory, &format!("mesos.agents.{name}.hosts")) {
            let place = at(inventory, &format!("mesos.agents.{name}.hosts"));
            let message = format!("pool `{name}` has no host");
            let problem = Problem::error(place, "empty-list", message);
            found.push(problem.help("name its hosts, or delete the pool"));
        }
    }
}

fn stand_in(inventory: &Inventory, lab: Lab, found: &mut Vec<Problem>) {
    let package = match &inventory.mesos.package {
        MesosPackage::Deb { file, .. } => file.source.file_name(),
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
    for (part, by) in [
        (Part::History, "spark.history.hosts"),
        (Part::Dispatcher, "spark.dispatcher.hosts"),
        (Part::Client, "spark.clients.hosts"),
        (Part::Agent, "mesos.agents"),
        (Part::Master, "mesos.masters.hosts"),
        (Part::ZooKeeper, "zookeeper.servers"),
    ] {
        used.extend(inventory.hosts_of(part).map(|host| (host, by)));
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

fn no_host(inventory: &Inventory, found: &mut Vec<Problem>) {
    for section in ["spark.dispatcher", "spark.history"] {
        let hosts = format!("{section}.hosts");
        if written_empty(inventory, &hosts) {
            let message = format!("`{hosts}` names no host");
            let problem = Problem::error(at(inventory, &hosts), "empty-list", message);
            found.push(problem.help(format!("name one host, or delete `{section}`")));
        }
    }
}

fn ports(inventory: &Inventory, found: &mut Vec<Problem>) {
    for ((one, other), hosts) in inventory.collisions() {
        let Some(path) = one.path else { continue };
        let (port, who) = (one.port, one.service);
        let place = hosts_in_words(&hosts);
        let message = format!("port {port} of {who} is that of {} too, on {place}", other.service);
        let problem = Problem::error(at(inventory, path), "port-taken", message);
        found.push(problem.help(match path {
            "spark.dispatcher.port" => "7077 is the usual one",
            "spark.history.port" => "18080 is the usual one",
            "spark.shuffle_service.port" => "7337 is the usual one",
            "zookeeper.config.clientPort" => "2181 is the usual one",
            _ => "take another port",
        }));
    }
}

/// Source: apache/spark 3.5.1, `MesosSchedulerBackendUtil`: executors share the agent's directories and network,
/// which an engine with `userns-remap` does not give: "cannot share the host's network namespace".
fn remapped(inventory: &Inventory, found: &mut Vec<Problem>) {
    let on = inventory.docker.daemon.get("userns-remap").and_then(|it| it.as_str());
    if inventory.spark.is_some() && on.is_some_and(|user| !user.is_empty()) {
        let message = "Spark's executors use the host's network, which an engine with `userns-remap` does not share";
        let place = at(inventory, "docker.daemon.userns-remap");
        let problem = Problem::error(place, "bad-option", message);
        found.push(problem.help("delete the line"));
    }
}

fn hosts_in_words(hosts: &[&HostName]) -> String {
    match hosts {
        [first] => first.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => "no host".to_owned(),
    }
}

/// Source: apache/mesos 1.11.0, `3rdparty/libprocess/src/process.cpp`, which listens on one IPv4 address;
/// and ZooKeeper 3.4.8's C client, which Mesos is built with: `getaddrs` of `src/c/src/zookeeper.c` gives a
/// bracketed address to getaddrinfo as it is.
fn ipv6(inventory: &Inventory, found: &mut Vec<Problem>) {
    let mut said: BTreeSet<&HostName> = BTreeSet::new();
    for (part, message) in [
        (Part::Master, "a Mesos master listens on IPv4 only"),
        (Part::Agent, "a Mesos agent listens on IPv4 only"),
        (Part::ZooKeeper, "Mesos finds no ZooKeeper at an IPv6 address"),
        (Part::Dispatcher, "a dispatcher reaches Mesos over IPv4 only"),
        (Part::Client, "a driver listens for Mesos on IPv4 only"),
    ] {
        for host in inventory.hosts_of(part) {
            let six = inventory.hosts.get(host).is_some_and(|it| it.address.is_ipv6());
            if !six || !said.insert(host) {
                continue;
            }
            let problem = Problem::error(
                host_place(inventory, host),
                "ipv6-address",
                format!("`{host}`: {message}"),
            );
            found
                .push(problem.help(
                    "write its IPv4 address; what ssh connects to may be IPv6 in `ssh.host`",
                ));
        }
    }
}
