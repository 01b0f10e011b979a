//! The text of an inventory, from what hosts said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use super::ask::Machine;
use super::daemons::{self, Daemon};
use super::names::{self, quoted};
use super::yaml::{template, word};
use super::{Note, ensemble, workers};
use crate::ground::HostName;
use crate::health::{Question, Replies};
use crate::inventory::AgentUnit;
use crate::mesos::flags::last_release;
use crate::mesos::master::{self, Metrics};

/// What the leading master told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Weight by role, where it is not 1.
    pub weights: BTreeMap<String, f64>,
    /// Roles with a quota.
    pub quotas: Vec<String>,
    /// Addresses of agents, each with its host's name.
    pub agents: BTreeMap<String, String>,
    /// How many masters its log has.
    pub replicas: Option<usize>,
    /// Releases of Mesos that masters say they are, and their agents.
    pub versions: BTreeSet<String>,
}

/// How hosts were reached, for the inventory to say.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// Login user.
    pub user: Option<String>,
    /// Whether it becomes root.
    pub become_root: bool,
    /// TCP port of sshd.
    pub port: Option<u16>,
    /// Private key file.
    pub identity_file: Option<PathBuf>,
    /// ssh_config file.
    pub config_file: Option<PathBuf>,
    /// File of known host keys.
    pub known_hosts: Option<PathBuf>,
    /// What the cluster is to be called where it does not say so itself.
    pub cluster: Option<String>,
}

/// An inventory, and what it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The text.
    pub text: String,
    /// What it does not say.
    pub notes: Vec<Note>,
    /// Hosts that belong to the cluster and were not named, each with where it was seen.
    pub unnamed: BTreeMap<String, String>,
}

/// What masters answered; only the leading one answers with lists.
pub fn told(replies: &[Replies]) -> Told {
    let mut told = Told::default();
    for (question, reply) in replies.iter().flatten() {
        let Question::Http(url) = question else { continue };
        if reply.status != 200 {
            continue;
        }
        let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
        if url.ends_with("/slaves") {
            let listed = master::agents(&reply.body).unwrap_or_default();
            told.versions.extend(listed.iter().filter_map(|it| it.version.clone()));
            told.agents.extend(listed.into_iter().map(|it| (it.address, it.info.hostname)));
        } else if url.ends_with("/version") {
            told.versions.extend(json.get("version").and_then(|it| it.as_str()).map(str::to_owned));
        } else if url.ends_with("/weights") {
            let pair = |it: &serde_json::Value| {
                Some((it.get("role")?.as_str()?.to_owned(), it.get("weight")?.as_f64()?))
            };
            let all = json.as_array().into_iter().flatten().filter_map(pair);
            told.weights.extend(all.filter(|(_, weight)| (weight - 1.0).abs() > f64::EPSILON));
        } else if url.ends_with("/quota") {
            let infos = json.get("infos").and_then(|it| it.as_array());
            let role = |it: &serde_json::Value| Some(it.get("role")?.as_str()?.to_owned());
            told.quotas.extend(infos.into_iter().flatten().filter_map(role));
        } else if let Some(metrics) = Metrics::read(&reply.body)
            && metrics.get("master/elected") == Some(1.0)
        {
            told.replicas =
                metrics.get("registrar/log/ensemble_size").map(|number| number as usize);
        }
    }
    told
}

/// A host of the inventory.
pub(super) struct Host<'a> {
    pub(super) name: HostName,
    pub(super) machine: &'a Machine,
    pub(super) address: String,
    hostname: Option<String>,
    pub(super) master: Option<Daemon>,
    pub(super) agent: Option<Daemon>,
}

/// Writes it.
pub fn write(machines: &[Machine], told: &Told, reached: &Reached) -> Adopted {
    let mut notes = Vec::new();
    let unit = machines.iter().find(|it| it.agent().is_some()).map(daemons::unit);
    let unit = unit.unwrap_or(AgentUnit::Slave);
    let mut hosts = hosts(machines, unit, &mut notes);
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    let unnamed = unnamed(&hosts, told, &mut notes);
    let mut text = String::new();
    head(&mut text, &hosts, reached);
    hosts_section(&mut text, &hosts, &mut notes);
    ensemble::zookeeper(&mut text, &hosts, &mut notes);
    mesos(&mut text, &hosts, unit, told, &mut notes);
    workers::docker(&mut text, &hosts, &mut notes);
    workers::spark(&mut text, &hosts, &mut notes);
    for host in &hosts {
        let (master, agent) = (host.master.is_some(), host.agent.is_some());
        if !master && !agent && host.machine.server().is_none() {
            let what = "neither Mesos nor ZooKeeper runs here; it is in no task yet".to_owned();
            notes.push(Note { place: host.name.to_string(), what });
        }
    }
    for role in &told.quotas {
        let what = format!("the quota of role {role} stays as it is; an inventory has none");
        notes.push(Note { place: "leading master".to_owned(), what });
    }
    let blotted = text.matches("<secret>").count();
    if blotted > 0 {
        let what =
            format!("{blotted} of its values have a secret that was not taken: write each anew");
        notes.push(Note { place: "<secret>".to_owned(), what });
    }
    notes.sort();
    notes.dedup();
    let mut whole = String::from(
        "# Written by `provision adopt` from what runs; read it, then: provision check, provision plan.\n",
    );
    if !notes.is_empty() {
        whole.push_str("#\n# What it does not say, and what an apply would make otherwise:\n");
        for note in &notes {
            let _ =
                writeln!(whole, "#   {}", note.to_string().replace(|c: char| c.is_control(), " "));
        }
    }
    whole.push_str(&text);
    Adopted { text: whole, notes, unnamed }
}

fn hosts<'a>(machines: &'a [Machine], unit: AgentUnit, notes: &mut Vec<Note>) -> Vec<Host<'a>> {
    let mut taken: BTreeSet<HostName> = BTreeSet::new();
    let mut hosts = Vec::new();
    for machine in machines {
        let by_name = machine.asked.parse::<IpAddr>().is_err();
        let asked = machine.asked.split('.').next().unwrap_or_default();
        let own = machine.own_name.split('.').next().unwrap_or_default();
        let name = [if by_name { asked } else { own }, own, "host"]
            .into_iter()
            .find(|name| is_name(name))
            .unwrap_or("host")
            .to_ascii_lowercase();
        let mut name = HostName::new(&name);
        while taken.contains(&name) {
            name = HostName::new(&format!("{name}-{}", taken.len() + 1));
        }
        taken.insert(name.clone());
        let master = daemons::master(name.as_str(), machine, notes);
        let agent = daemons::agent(name.as_str(), machine, unit, notes);
        let address = address(machine).unwrap_or_else(|| {
            let what = "no address of it was found; write it".to_owned();
            notes.push(Note { place: name.to_string(), what });
            "0.0.0.0".to_owned()
        });
        let said = [&master, &agent].into_iter().flatten().filter_map(|it| it.hostname.clone());
        let hostname = said.clone().next().filter(|hostname| *hostname != address);
        if said.collect::<BTreeSet<_>>().len() > 1 {
            let what = "its master and its agent announce different hostnames".to_owned();
            notes.push(Note { place: name.to_string(), what });
        }
        hosts.push(Host { name, machine, address, hostname, master, agent });
    }
    hosts
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(good)
        && ends(text.chars().next())
        && ends(text.chars().last())
}

/// The address that members use: what its daemons were told, what was asked, what it was reached at.
fn address(machine: &Machine) -> Option<String> {
    use crate::mesos::flags::Component;
    let flag = |process: Option<&super::ask::Process>, of| {
        let ip: IpAddr = process?.flags(of).get("ip")?.parse().ok()?;
        (!ip.is_unspecified()).then_some(ip)
    };
    let asked = || machine.asked.parse::<IpAddr>().ok();
    let address = flag(machine.master(), Component::Master)
        .or_else(|| flag(machine.agent(), Component::Agent))
        .or_else(asked)
        .or_else(|| machine.addresses.first().copied());
    address.map(|address| address.to_string())
}

fn head(text: &mut String, hosts: &[Host<'_>], reached: &Reached) {
    let said = hosts.iter().filter_map(|host| host.master.as_ref()?.cluster.clone()).next();
    let cluster = said.or_else(|| reached.cluster.clone()).unwrap_or_else(|| "adopted".to_owned());
    let _ = writeln!(text, "version: 1\ncluster: {}", word(&cluster));
    let user = reached.user.as_ref().map(|user| format!("user: {}", word(user)));
    let root = reached.become_root.then(|| "become: true".to_owned());
    let port = reached.port.map(|port| format!("port: {port}"));
    let file = |name: &str, path: &Option<PathBuf>| {
        path.as_ref().map(|path| format!("{name}: {}", word(&path.to_string_lossy())))
    };
    let files = [
        file("identity_file", &reached.identity_file),
        file("config_file", &reached.config_file),
        file("known_hosts", &reached.known_hosts),
    ];
    let ssh: Vec<String> = [user, root, port].into_iter().chain(files).flatten().collect();
    if !ssh.is_empty() {
        let _ = writeln!(text, "ssh: {{ {} }}", ssh.join(", "));
    }
}

fn hosts_section(text: &mut String, hosts: &[Host<'_>], notes: &mut Vec<Note>) {
    let _ = writeln!(text, "hosts:");
    let extra = |host: &Host<'_>| {
        let hostname = host.hostname.as_ref().map(|name| format!(", hostname: {}", word(name)));
        // What was asked for may be an alias of ssh_config, or behind another address.
        let ssh = (host.machine.asked != host.address)
            .then(|| format!(", ssh: {{ host: {} }}", word(&host.machine.asked)));
        format!("{}{}", hostname.unwrap_or_default(), ssh.unwrap_or_default())
    };
    let follow = |a: &Host<'_>, b: &Host<'_>| {
        let both = [a.address.clone(), b.address.clone()];
        let plain = extra(a).is_empty() && extra(b).is_empty();
        names::in_step(&a.name, &b.name) && plain && names::addresses(&both).is_some()
    };
    for run in names::runs(hosts, follow) {
        let all: Vec<String> = run.iter().map(|host| host.address.clone()).collect();
        if let ([first, .., last], Some(addresses)) = (run, names::addresses(&all)) {
            let names = names::range(first.name.as_str(), last.name.as_str());
            let _ = writeln!(text, "  {}: {{ address: {} }}", quoted(&names), quoted(&addresses));
            continue;
        }
        for host in run {
            let _ =
                writeln!(text, "  {}: {{ address: {}{} }}", host.name, host.address, extra(host));
        }
    }
    let mut seen: BTreeMap<&str, &HostName> = BTreeMap::new();
    for host in hosts {
        if let Some(other) = seen.insert(&host.address, &host.name) {
            let what = format!("it has the address of {other}; were both named twice?");
            notes.push(Note { place: host.name.to_string(), what });
        }
    }
}

fn mesos(
    text: &mut String,
    hosts: &[Host<'_>],
    unit: AgentUnit,
    told: &Told,
    notes: &mut Vec<Note>,
) {
    let processes = hosts
        .iter()
        .flat_map(|host| [host.machine.master(), host.machine.agent()].map(|p| (host, p)));
    let built: BTreeSet<&str> =
        processes.clone().filter_map(|(_, process)| process?.built()).collect();
    let packages: BTreeSet<(String, String)> = processes
        .filter_map(|(host, process)| {
            let name = process?.package.clone();
            let version = daemons::upstream(host.machine.packages.get(&name)?)?;
            Some((name, version))
        })
        .collect();
    if packages.len() + built.len() > 1 {
        let all = packages.iter().map(|(name, version)| format!("{name} {version}"));
        let all: Vec<String> =
            all.chain(built.iter().map(|prefix| format!("a build in {prefix}"))).collect();
        let what =
            format!("hosts have different packages: {}; an apply makes them one", all.join(", "));
        notes.push(Note { place: "mesos".to_owned(), what });
    }
    // Of a build dpkg knows nothing: then the daemons tell.
    let told_of = || told.versions.last().and_then(|version| daemons::upstream(version));
    let (name, version) = packages.last().cloned().unwrap_or_else(|| {
        ("mesos".to_owned(), told_of().unwrap_or_else(|| last_release().as_str().to_owned()))
    });
    let named = if name == "mesos" { String::new() } else { format!(", name: {name}") };
    let agent = match unit {
        AgentUnit::Slave => String::new(),
        AgentUnit::Agent => format!(", agent: {}", unit.name()),
    };
    let _ = writeln!(text, "mesos:\n  version: {}", quoted(&version));
    if let (true, Some(prefix)) = (packages.is_empty(), built.last()) {
        let _ = writeln!(text, "  package: {{ built: {}{agent} }}", quoted(prefix));
    } else {
        let _ =
            writeln!(text, "  # Or `deb: FILE` or `apt: ...`, for hosts that do not have it yet.");
        let _ = writeln!(text, "  package: {{ preinstalled: true{named}{agent} }}");
    }
    if !told.weights.is_empty() {
        let _ = writeln!(text, "  roles:");
        for (role, weight) in &told.weights {
            let _ = writeln!(text, "    {}: {{ weight: {weight} }}", word(role));
        }
    }
    let masters: Vec<(String, Daemon)> = hosts
        .iter()
        .filter_map(|host| Some((host.name.to_string(), host.master.clone()?)))
        .collect();
    let names: Vec<HostName> =
        hosts.iter().filter(|it| it.master.is_some()).map(|it| it.name.clone()).collect();
    let _ = writeln!(text, "  masters:\n    hosts: {}", names::list(&names));
    if let Some((_, first)) = masters.first()
        && first.port != "5050"
    {
        let _ = writeln!(text, "    port: {}", first.port);
    }
    for (host, master) in &masters {
        let majority = (masters.len() / 2 + 1).to_string();
        if let Some(quorum) = master.quorum.as_ref().filter(|quorum| **quorum != majority) {
            let what = format!(
                "it runs with a quorum of {quorum}; of {} masters it is {majority}",
                masters.len()
            );
            notes.push(Note { place: host.clone(), what });
        }
    }
    let flags = daemons::agreed(&masters, ("flag", |it| &it.flags), notes);
    let env = daemons::agreed(&masters, ("variable", |it| &it.env), notes);
    for (section, values) in [("flags", flags), ("env", env)] {
        if !values.is_empty() {
            let _ = writeln!(text, "    {section}:");
        }
        for (name, value) in values {
            let _ = writeln!(text, "      {name}: {}", template(value));
        }
    }
    credentials(text, hosts, notes);
    workers::pools(text, hosts, notes);
}

fn credentials(text: &mut String, hosts: &[Host<'_>], notes: &mut Vec<Note>) {
    let of = |daemon: &Option<Daemon>, machine: &Machine| -> Vec<String> {
        let path = daemon.as_ref().and_then(|daemon| daemon.credentials.clone());
        let path = path.map(|path| path.trim_start_matches("file://").to_owned());
        path.and_then(|path| machine.principals.get(&path).cloned()).unwrap_or_default()
    };
    let masters: BTreeSet<String> =
        hosts.iter().flat_map(|it| of(&it.master, it.machine)).collect();
    let agents: BTreeSet<String> = hosts.iter().flat_map(|it| of(&it.agent, it.machine)).collect();
    let asks = |index: usize| {
        hosts.iter().filter_map(|it| it.master.as_ref()).any(|it| it.authenticates[index])
    };
    let agent = agents.first().filter(|_| asks(0));
    let mut others = masters.iter().filter(|principal| Some(*principal) != agent);
    let framework = if asks(1) { others.next() } else { None };
    let reference = |principal: &str| {
        let variable: String = principal
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        format!("{{ principal: {}, secret: {{ env: MESOS_{variable}_SECRET }} }}", word(principal))
    };
    if agent.is_none() && framework.is_none() {
        return;
    }
    let _ = writeln!(text, "  credentials:");
    for (name, principal) in [("agent", agent), ("framework", framework)] {
        if let Some(principal) = principal {
            let _ = writeln!(text, "    {name}: {}", reference(principal));
            let what = format!(
                "the secret of {principal} is not taken: give it in MESOS_{}_SECRET, or write where it is",
                principal.to_uppercase()
            );
            notes.push(Note { place: "credentials".to_owned(), what });
        }
    }
    let former: Vec<String> = others.map(|principal| reference(principal)).collect();
    if !former.is_empty() {
        let _ = writeln!(text, "    former: [{}]", former.join(", "));
    }
}

/// Hosts that the cluster knows and nobody named.
fn unnamed(hosts: &[Host<'_>], told: &Told, notes: &mut Vec<Note>) -> BTreeMap<String, String> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for host in hosts {
        known.extend([
            host.address.as_str(),
            host.name.as_str(),
            host.machine.asked.as_str(),
            host.machine.own_name.as_str(),
        ]);
        known.extend(host.hostname.as_deref());
    }
    let others: Vec<String> =
        hosts.iter().flat_map(|it| it.machine.addresses.iter().map(IpAddr::to_string)).collect();
    let is_known = |at: &str| known.contains(at) || others.iter().any(|it| it == at);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |at: &str, what: String| {
        if !is_known(at) && !at.is_empty() {
            found.entry(at.to_owned()).or_insert(what);
        }
    };
    for host in hosts {
        if let Some((path, cfg)) = host.machine.zoo_cfg() {
            for (id, at, _) in ensemble::servers(cfg) {
                add(&at, format!("is server {id} of the ensemble ({}:{path})", host.name));
            }
        }
        for daemon in [&host.master, &host.agent].into_iter().flatten() {
            let list = daemon.zk.strip_prefix("zk://").unwrap_or("");
            let list = list.split('/').next().unwrap_or("");
            let list = list.rsplit_once('@').map_or(list, |(_, rest)| rest);
            for member in list.split(',') {
                let at = member.rsplit_once(':').map_or(member, |(at, _)| at);
                add(at, format!("is a member of the ensemble that {} was started with", host.name));
            }
        }
    }
    for (address, hostname) in &told.agents {
        add(address, format!("is the agent {hostname} of the leading master's list"));
    }
    let masters = hosts.iter().filter(|host| host.master.is_some()).count();
    if let Some(replicas) = told.replicas.filter(|replicas| *replicas > masters) {
        let what =
            format!("the masters' log has {replicas} replicas and {masters} masters were named");
        notes.push(Note { place: "masters".to_owned(), what });
    }
    for (at, what) in &found {
        let what = format!("{what}, and was not named: adopt it too");
        notes.push(Note { place: at.clone(), what });
    }
    found
}
