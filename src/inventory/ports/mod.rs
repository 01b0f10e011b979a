//! What listens where on the hosts of an inventory, who must reach it, and with which credential: from the
//! inventory alone. Whoever else reaches a port is asked for no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::listeners::{DISPATCHER_PAGE, QUORUM_PORTS, SEED_PORT};
use super::{Inventory, Part, Retired, Seeds, Spark, ZooKeeper};
use crate::ground::{Endpoint, HostName};
use crate::mesos::tls::Wire;

mod nftables;
mod table;

pub use nftables::nftables;
pub use table::table;

/// What a port of 0 leads to: the kernel picks one of these.
/// Source: Linux, Documentation/networking/ip-sysctl.rst, `ip_local_port_range`.
const PICKED: (u16, u16) = (32768, 60999);

/// Ports that one component opens, on every host of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPort {
    /// The hosts it is on; `None` for every host.
    pub on: Option<Part>,
    /// Their names, in natural order; never empty.
    pub hosts: Vec<HostName>,
    /// What listens.
    pub component: &'static str,
    /// Its TCP ports.
    pub ports: Ports,
    /// The address it listens on.
    pub binds: Binds,
    /// Who must reach it; whoever runs on the same host besides.
    pub from: Vec<Peer>,
    /// What is asked of whoever comes; `None` for nothing at all.
    pub credential: Option<String>,
}

/// TCP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// The first and the last that it may be; mostly one.
    Known(u16, u16),
    /// Whichever the kernel picks.
    Picked,
}

/// The address that something listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binds {
    /// The host's `address` of the inventory.
    Own,
    /// All addresses that the host has.
    Every,
    /// What the inventory or the host's own configuration says.
    Said(String),
}

/// Who must reach a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The hosts of a group.
    Hosts(Part),
    /// People's browsers and tools, from wherever they are.
    Operators,
    /// The machine that `provision` runs on, or the last jump host before the cluster.
    Here,
}

/// Everything that listens because the inventory asks for it, and sshd.
pub fn open(inventory: &Inventory) -> Vec<OpenPort> {
    let mut all = ssh(inventory);
    all.extend(seeds(inventory));
    let parts = [zookeeper(inventory), mesos(inventory), docker(inventory), spark(inventory)];
    for mut one in parts.into_iter().flatten() {
        let hosts = one.on.into_iter().flat_map(|part| inventory.hosts_of(part));
        one.hosts = hosts.filter(|host| inventory.hosts.contains_key(*host)).cloned().collect();
        one.hosts.sort();
        one.hosts.dedup();
        one.from.retain(|peer| match peer {
            Peer::Hosts(part) => inventory.hosts_of(*part).next().is_some(),
            Peer::Operators | Peer::Here => true,
        });
        if !one.hosts.is_empty() {
            all.push(one);
        }
    }
    all
}

fn opened(on: Part, component: &'static str, ports: Ports, from: &[Peer]) -> OpenPort {
    let from = from.to_vec();
    let (hosts, binds, credential) = (Vec::new(), Binds::Own, None);
    OpenPort { on: Some(on), hosts, component, ports, binds, from, credential }
}

/// One for each port; a port that only ssh_config knows is taken for 22.
fn ssh(inventory: &Inventory) -> Vec<OpenPort> {
    let mut ports: BTreeMap<u16, Vec<HostName>> = BTreeMap::new();
    for (name, host) in &inventory.hosts {
        if inventory.retired.get(name) != Some(&Retired::Gone) {
            ports.entry(host.ssh.port.unwrap_or(22)).or_default().push(name.clone());
        }
    }
    let of = |(port, hosts)| OpenPort {
        on: None,
        hosts,
        component: "sshd",
        ports: Ports::one(port),
        binds: Binds::Said("as sshd_config says".to_owned()),
        from: vec![Peer::Here],
        credential: Some("a login".to_owned()),
    };
    ports.into_iter().map(of).collect()
}

/// Open only while a run hands files over; where it is shut they come from here, or a host is without its image.
fn seeds(inventory: &Inventory) -> Option<OpenPort> {
    let (on, hosts, from): (_, Vec<&HostName>, Vec<Part>) = match inventory.seeds()? {
        Seeds::Agents => {
            let agents = inventory.agents().map(|(_, host, _)| host).collect();
            (Some(Part::Agent), agents, vec![Part::Agent])
        }
        Seeds::Hosts => {
            let gone = |host: &&HostName| inventory.retired.get(*host) == Some(&Retired::Gone);
            let hosts = inventory.hosts.keys().filter(|host| !gone(host)).collect();
            (None, hosts, Part::ALL.to_vec())
        }
    };
    let from = from.into_iter().filter(|part| inventory.hosts_of(*part).next().is_some());
    let mut hosts: Vec<HostName> = hosts.into_iter().cloned().collect();
    hosts.sort();
    Some(OpenPort {
        on,
        hosts,
        component: "files for other hosts, while a run hands them over",
        ports: Ports::one(SEED_PORT),
        binds: Binds::Own,
        from: from.map(Peer::Hosts).collect(),
        credential: Some("a key of that run".to_owned()),
    })
}

/// Source: ZooKeeper 3.8, zookeeperAdmin.md: `clientPortAddress`, `quorumListenOnAllIPs`, AdminServer.
fn zookeeper(inventory: &Inventory) -> Vec<OpenPort> {
    let ZooKeeper::Managed { servers, config, .. } = &inventory.zookeeper else {
        return Vec::new();
    };
    let said = |key: &str| config.get(key).filter(|value| !value.is_empty()).cloned();
    let port = |key: &str| said(key).and_then(|port| port.trim().parse().ok());
    let yes = |key: &str| said(key).is_some_and(|on| on.eq_ignore_ascii_case("true"));
    let bound = |key: &str| said(key).map_or(Binds::Every, Binds::Said);
    let servers_only = [Peer::Hosts(Part::ZooKeeper)];
    let users = [Part::Master, Part::Agent, Part::Client, Part::Dispatcher].map(Peer::Hosts);
    let add = |component, port: u16, binds, from: &[Peer]| OpenPort {
        binds,
        ..opened(Part::ZooKeeper, component, Ports::one(port), from)
    };
    let mut client = add("ZooKeeper", inventory.client_port(), bound("clientPortAddress"), &users);
    if let Some(writer) = &inventory.mesos.access.writer {
        client.credential = Some(format!(
            "writing {}: principal {}; reading and elsewhere: none",
            inventory.mesos.znode, writer.principal
        ));
        if client.binds == Binds::Every {
            client.binds = Binds::Own;
        }
    }
    let mut all = vec![client];
    if let Some(secure) = port("secureClientPort") {
        let mut tls = add("ZooKeeper over TLS", secure, bound("secureClientPortAddress"), &users);
        let asked = said("ssl.clientAuth").is_none_or(|asked| asked == "need");
        tls.credential = asked.then(|| "a certificate".to_owned());
        all.push(tls);
    }
    if servers.len() > 1 {
        let everywhere = yes("quorumListenOnAllIPs");
        let binds = if everywhere { Binds::Every } else { Binds::Own };
        let sasl = inventory.sasl();
        let asked = sasl.is_on().then(|| format!("principal {}", sasl.principals.join(" or ")));
        let doors = ["ZooKeeper's leader", "ZooKeeper's election"];
        for (component, port) in doors.into_iter().zip(QUORUM_PORTS) {
            let mut door = add(component, port, binds.clone(), &servers_only);
            door.credential.clone_from(&asked);
            all.push(door);
        }
    }
    if yes("admin.enableServer") {
        let binds = bound("admin.serverAddress");
        let port = port("admin.serverPort").unwrap_or(8080);
        all.push(add("ZooKeeper's AdminServer", port, binds, &[Peer::Operators]));
    }
    if let Some(observers) = port("observerMasterPort") {
        let binds = if yes("quorumListenOnAllIPs") { Binds::Every } else { Binds::Own };
        all.push(add("ZooKeeper's observers", observers, binds, &servers_only));
    }
    if said("metricsProvider.className").or(said("metricsProvider.httpPort")).is_some() {
        let binds = bound("metricsProvider.httpHost");
        let port = port("metricsProvider.httpPort").unwrap_or(7000);
        all.push(add("ZooKeeper's metrics", port, binds, &[Peer::Operators]));
    }
    all
}

fn mesos(inventory: &Inventory) -> Vec<OpenPort> {
    let credentials = &inventory.mesos.credentials;
    let principal = |credential: &Option<super::Credential>| {
        credential.as_ref().map(|credential| format!("principal {}", credential.principal))
    };
    let over_http: Vec<&str> = credentials
        .operator
        .iter()
        .chain(&credentials.viewer)
        .map(|credential| credential.principal.as_str())
        .collect();
    let asked = credentials.operator.is_some();
    let of_master = [
        ("agents", principal(&credentials.agent)),
        ("frameworks", principal(&credentials.framework)),
        ("HTTP", asked.then(|| format!("principal {}", over_http.join(" or ")))),
    ];
    let users = [Part::Master, Part::Agent, Part::Client, Part::Dispatcher].map(Peer::Hosts);
    let users = [users.as_slice(), &[Peer::Operators]].concat();
    let shown = certificate(inventory);
    let [of_masters, of_agents] = match inventory.wire() {
        Wire::Plain => ["Mesos master", "Mesos agent"],
        Wire::Either => ["Mesos master (TLS or plain)", "Mesos agent (TLS or plain)"],
        Wire::Tls => ["Mesos master (TLS)", "Mesos agent (TLS)"],
    };
    let master = OpenPort {
        credential: all_of([shown.clone(), listed(&of_master)]),
        ..opened(Part::Master, of_masters, Ports::one(inventory.mesos.master_port), &users)
    };
    let masters = [Peer::Hosts(Part::Master), Peer::Operators];
    let viewer = credentials.viewer.as_ref().map_or("nobody", |it| it.principal.as_str());
    let ports: BTreeSet<u16> = inventory.agents().map(|(_, _, agent)| agent.port).collect();
    let agent = |port| OpenPort {
        // What masters and executors say to it is no HTTP that asks.
        credential: all_of([
            shown.clone(),
            asked.then(|| format!("HTTP: principal {viewer}; messages: none")),
        ]),
        ..opened(Part::Agent, of_agents, Ports::one(port), &masters)
    };
    [master].into_iter().chain(ports.into_iter().map(agent)).collect()
}

/// What whoever speaks libprocess must show before it says a word.
fn certificate(inventory: &Inventory) -> Option<String> {
    let asked = inventory.mesos.tls.as_ref().is_some_and(|tls| tls.policy.asks_clients);
    asked.then(|| "a certificate".to_owned())
}

/// One thing and another; `None` for nothing at all.
fn all_of(asked: [Option<String>; 2]) -> Option<String> {
    asked.into_iter().flatten().reduce(|one, other| format!("{one}; {other}"))
}

/// Who is asked for what; `None` where nobody is asked for anything.
fn listed(asked: &[(&str, Option<String>)]) -> Option<String> {
    asked.iter().any(|(_, what)| what.is_some()).then(|| {
        let each =
            asked.iter().map(|(who, what)| format!("{who}: {}", what.as_deref().unwrap_or("none")));
        each.collect::<Vec<_>>().join("; ")
    })
}

/// What the user's daemon.json opens. Source: docs.docker.com, dockerd: `hosts`, `metrics-addr`.
fn docker(inventory: &Inventory) -> Vec<OpenPort> {
    let daemon = &inventory.docker.daemon;
    let on = |key: &str| daemon.get(key).and_then(serde_json::Value::as_bool) == Some(true);
    let (tls, verified) = (on("tls") || on("tlsverify"), on("tlsverify"));
    let texts = |key: &str| match daemon.get(key) {
        Some(serde_json::Value::Array(all)) => {
            all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        }
        Some(serde_json::Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    let open = |component, text: &str, default: u16| {
        let at = Endpoint::parse(text);
        let host = at.as_ref().map_or(text.trim_end_matches(':'), |at| at.host.as_str());
        let port = at.as_ref().map_or(default, |at| at.port);
        let any = host.is_empty() || host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        let binds =
            if any || text.starts_with(':') { Binds::Every } else { Binds::Said(host.to_owned()) };
        OpenPort { binds, ..opened(Part::Agent, component, Ports::one(port), &[]) }
    };
    let hosts = texts("hosts");
    let api = hosts.iter().filter_map(|host| host.strip_prefix("tcp://")).map(|text| {
        let mut api = open("Docker's API", text, if tls { 2376 } else { 2375 });
        api.credential = verified.then(|| "a certificate".to_owned());
        api
    });
    let metrics = texts("metrics-addr");
    let metrics = metrics.iter().map(|text| OpenPort {
        from: vec![Peer::Operators],
        ..open("Docker's metrics", text, 9323)
    });
    api.chain(metrics).collect()
}

/// Source: Spark 3.5.1, docs/configuration.md (Networking), docs/running-on-mesos.md.
fn spark(inventory: &Inventory) -> Vec<OpenPort> {
    let Some(spark) = &inventory.spark else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(dispatcher) = &spark.dispatcher {
        let submitters = [Peer::Hosts(Part::Client), Peer::Operators];
        let on = Part::Dispatcher;
        all.push(opened(on, "Spark dispatcher", upward(spark, dispatcher.port), &submitters));
        all.push(opened(
            on,
            "Spark dispatcher's page",
            upward(spark, DISPATCHER_PAGE),
            &[Peer::Operators],
        ));
        all.push(OpenPort {
            credential: certificate(inventory),
            ..libprocess(spark, on, "Spark dispatcher's framework")
        });
        all.extend(driver(inventory, spark, Part::Agent));
    }
    if let Some(history) = &spark.history {
        all.push(opened(
            Part::History,
            "Spark's history server",
            Ports::one(history.port),
            &[Peer::Operators],
        ));
    }
    all.extend(driver(inventory, spark, Part::Client));
    let drivers = [Peer::Hosts(Part::Agent), Peer::Hosts(Part::Client)];
    all.push(OpenPort {
        credential: authenticated(spark),
        ..opened(
            Part::Agent,
            "Spark executor's block manager",
            spark_ports(spark, "spark.blockManager.port", 0),
            &drivers,
        )
    });
    let asked = spark.defaults.get("spark.shuffle.service.enabled").map(String::as_str);
    if let Some(shuffle) = &spark.shuffle {
        // Source: Spark 3.5.1, `TransportContext.createServer`, which is given no host.
        all.push(OpenPort {
            binds: Binds::Every,
            ..opened(Part::Shuffle, "Spark's shuffle service", Ports::one(shuffle.port), &drivers)
        });
    } else if asked == Some("true") {
        all.push(OpenPort {
            binds: Binds::Said("not ours".to_owned()),
            credential: authenticated(spark),
            ..opened(
                Part::Agent,
                "Spark's shuffle service",
                Ports::one(number(spark, "spark.shuffle.service.port").unwrap_or(7337)),
                &drivers,
            )
        });
    }
    all
}

/// What a driver on such a host opens.
fn driver(inventory: &Inventory, spark: &Spark, on: Part) -> Vec<OpenPort> {
    let agents = [Peer::Hosts(Part::Agent)];
    let bound = spark.defaults.get("spark.driver.bindAddress");
    let binds = bound.map_or(Binds::Own, |address| Binds::Said(address.clone()));
    let rpc = spark_ports(spark, "spark.driver.port", 0);
    // It falls back to what executors are told.
    let shared = number(spark, "spark.blockManager.port").unwrap_or(0);
    let blocks = spark_ports(spark, "spark.driver.blockManager.port", shared);
    let asked = |component, ports| OpenPort {
        binds: binds.clone(),
        credential: authenticated(spark),
        ..opened(on, component, ports, &agents)
    };
    let mut all = vec![
        OpenPort {
            credential: certificate(inventory),
            ..libprocess(spark, on, "Spark driver's framework")
        },
        asked("Spark driver", rpc),
        asked("Spark driver's block manager", blocks),
    ];
    if spark.defaults.get("spark.ui.enabled").map(String::as_str) != Some("false") {
        let ui = spark_ports(spark, "spark.ui.port", 4040);
        all.push(opened(on, "Spark driver's page", ui, &[Peer::Operators]));
    }
    all
}

/// Where masters answer a framework, and agents send its executors' messages.
/// Source: Mesos 1.11.0, docs/configuration/libprocess.md.
fn libprocess(spark: &Spark, on: Part, component: &'static str) -> OpenPort {
    let port = spark.env.get("LIBPROCESS_PORT").and_then(|port| port.parse().ok());
    let ports = port.filter(|port| *port != 0).map_or(Ports::Picked, Ports::one);
    opened(on, component, ports, &[Peer::Hosts(Part::Master), Peer::Hosts(Part::Agent)])
}

fn authenticated(spark: &Spark) -> Option<String> {
    let on = spark.defaults.get("spark.authenticate").map(String::as_str) == Some("true");
    on.then(|| "spark.authenticate".to_owned())
}

fn number(spark: &Spark, key: &str) -> Option<u16> {
    spark.defaults.get(key).and_then(|text| text.trim().parse().ok())
}

fn spark_ports(spark: &Spark, key: &str, default: u16) -> Ports {
    match number(spark, key).unwrap_or(default) {
        0 => Ports::Picked,
        port => upward(spark, port),
    }
}

/// Spark takes the next one where a port is taken, so many times.
fn upward(spark: &Spark, port: u16) -> Ports {
    let retries = number(spark, "spark.port.maxRetries").unwrap_or(16);
    Ports::Known(port, port.saturating_add(retries))
}

impl Ports {
    fn one(port: u16) -> Ports {
        Ports::Known(port, port)
    }

    /// The first and the last.
    pub fn bounds(self) -> (u16, u16) {
        match self {
            Ports::Known(first, last) => (first, last),
            Ports::Picked => PICKED,
        }
    }
}

/// As nftables writes them: `5050`, `4040-4056`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bounds() {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for Binds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Binds::Own => f.write_str("its address"),
            Binds::Every => f.write_str("every address"),
            Binds::Said(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Hosts(part) => part.group(),
            Peer::Operators => "operators",
            Peer::Here => "where provision runs",
        })
    }
}
