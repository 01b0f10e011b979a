//! `hosts` and `retired`: every machine, ranges expanded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::decode::{At, Cx, nearest};
use super::files::Files;
use super::root::Root;
use super::settings::{Shape, Type, section};
use super::ssh::{self, HostConnection, Ssh};
use super::types::{Free, List, Map, Text, scalar};
use super::yaml::{Kind, Node};
use super::{grammar, ranges, schema};
use crate::ground::HostName;
use crate::ground::problem::Problem;

section! {
    /// A line of `hosts`: one host, or a range of them.
    #[derive(Debug)]
    pub(super) struct HostLine {
        /// What the other hosts reach it by: an IP address.
        need address: Text, such as "10.0.0.11", "10.0.1.[1:20]";
        /// What Mesos announces; the address unless said otherwise.
        may hostname: Hostname, such as "a01.example";
        /// How this host is reached, over the cluster's settings.
        may ssh: HostConnection = "{}", such as "{port: 2222}";
        /// Variables of this host, seen as `host.vars.NAME` and `vars.NAME`.
        may vars: Free = "{}", such as "{rack: r1}";
    }
}

scalar! {
    /// An RFC 1123 name.
    Hostname -> String, "a host name", |t| grammar::host_name(t).then(|| t.to_owned()),
        {
            let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
            schema::word(&format!("^(?=.{{1,253}}$){label}(\\.{label})*$"))
        };
    /// What becomes of a retired host.
    Fate -> Retired, "stop or gone",
        |t| match t {
            "stop" => Some(Retired::Stop),
            "gone" => Some(Retired::Gone),
            _ => None,
        },
        serde_json::json!({ "enum": ["stop", "gone"] });
}

/// Hosts to stop, or host: what becomes of it.
pub(super) struct Retirements;

impl Type for Retirements {
    type Value = Vec<(At<String>, Retired)>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<Self::Value> {
        if let Kind::Seq(_) = node.kind {
            let hosts = List::<Text>::read(cx, node, path)?;
            return Some(hosts.into_iter().map(|host| (host, Retired::Stop)).collect());
        }
        let entries = Map::<Fate>::read(cx, node, path)?;
        Some(entries.into_iter().map(|(host, at)| (host, at.value)).collect())
    }

    fn shape() -> Shape {
        Shape::Either(vec![List::<Text>::shape(), Map::<Fate>::shape()])
    }
}

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

/// What became of a retired host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// Reachable; its services are to be stopped and disabled.
    Stop,
    /// Will never answer again.
    Gone,
}

/// Host → the line of `hosts` (its index) that it comes from.
pub(super) type Lines = HashMap<HostName, usize>;

/// Every host with its line.
pub(super) fn resolve(
    cx: &mut Cx,
    root: &Root,
    files: &dyn Files,
) -> (BTreeMap<HostName, Host>, Lines) {
    let mut hosts = BTreeMap::new();
    let mut lines = Lines::new();
    for (line, (key, host)) in root.hosts.iter().flatten().enumerate() {
        let Some(names) = expand(cx, key) else { continue };
        let addresses = match &host.address {
            Some(at) => addresses(cx, &names, at),
            None => None,
        };
        let shared = names.len() > 1;
        for (what, at) in [("hostname", &host.hostname), ("ssh.host", &host.ssh.host)] {
            if let (true, Some(at)) = (shared, at) {
                let message = format!("{} hosts would share one {what}", names.len());
                let problem = Problem::error(Some(at.place.clone()), "range-mismatch", message);
                cx.problems.push(problem.help("give these hosts a line each"));
            }
        }
        // Without an address (reported) the host still counts as known.
        let nowhere = IpAddr::from([0, 0, 0, 0]);
        for (index, text) in names.iter().enumerate() {
            let name = HostName::new(text);
            if !grammar::host_name(text) {
                let message = format!("`{text}` is not a host name");
                let problem = Problem::error(Some(key.place.clone()), "bad-host-name", message);
                cx.problems.push(problem.help("use letters, digits, hyphens and dots (RFC 1123)"));
                break;
            }
            if hosts.contains_key(&name) {
                let message = format!("host `{name}` is written twice");
                let problem = Problem::error(Some(key.place.clone()), "duplicate-host", message);
                cx.problems.push(problem.help("delete one of them"));
                break;
            }
            let address = addresses.as_ref().map_or(nowhere, |list| list[index]);
            let hostname = host.hostname.as_ref().map(|at| at.value.clone());
            let ssh = ssh::resolve(&root.ssh, &host.ssh, address, files);
            let hostname = hostname.unwrap_or_else(|| address.to_string());
            if shared {
                cx.places.insert(format!("hosts.{name}"), key.place.clone());
            }
            lines.insert(name.clone(), line);
            hosts.insert(name.clone(), Host { name, address, hostname, ssh, pool: None });
        }
    }
    (hosts, lines)
}

fn addresses(cx: &mut Cx, names: &[String], at: &At<String>) -> Option<Vec<IpAddr>> {
    let texts = match ranges::zip(names, &at.value) {
        Ok(texts) => texts,
        Err(message) => {
            let problem = Problem::error(Some(at.place.clone()), "range-mismatch", message);
            cx.problems.push(problem.help("give the address a range as long as the key's"));
            return None;
        }
    };
    let parse = |text: &String| match text.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => Ok(ip),
        _ => Err(text.clone()),
    };
    match texts.iter().map(parse).collect() {
        Ok(list) => Some(list),
        Err(text) => {
            let named = grammar::host_name(&text) && text.chars().any(|c| c.is_ascii_alphabetic());
            let (message, help) = if named {
                // Mesos' `--ip` and the addresses by which agents are known are literals.
                let message = format!("`{text}` is a name, and Mesos listens on an address");
                let help = format!(
                    "write what `getent ahostsv4 {text}` says; the name itself goes in `hostname` or `ssh.host`"
                );
                (message, help)
            } else {
                let message = format!("`{text}` is not an address of a host");
                let help = "write an IP literal; names go in `hostname` or `ssh.host`".to_owned();
                (message, help)
            };
            let problem = Problem::error(Some(at.place.clone()), "bad-address", message);
            cx.problems.push(problem.help(help));
            None
        }
    }
}

/// The hosts that a `hosts:` list names; unknown ones are reported and left out.
pub(super) fn names(
    cx: &mut Cx,
    hosts: &BTreeMap<HostName, Host>,
    list: &[At<String>],
) -> BTreeSet<HostName> {
    let mut known = BTreeSet::new();
    for item in list {
        let Some(names) = expand(cx, item) else { continue };
        let mut unknown: Vec<String> = Vec::new();
        for name in names {
            let host = HostName::new(&name);
            if hosts.contains_key(&host) {
                known.insert(host);
            } else {
                unknown.push(name);
            }
        }
        let Some(first) = unknown.first() else { continue };
        let message = match unknown.len() {
            1 => format!("`{first}` is not in `hosts`"),
            n => format!("`{first}` and {} more of `{}` are not in `hosts`", n - 1, item.value),
        };
        let problem = Problem::error(Some(item.place.clone()), "unknown-host", message);
        // Advice on the first ones is enough; it looks at every host.
        let few = cx.problems.len() < 50;
        let near = few.then(|| nearest(first, hosts.keys().map(HostName::as_str))).flatten();
        cx.problems.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("add it to `hosts` or take it out here"),
        });
    }
    known
}

/// The names of one item, unless it is no range or the file stands for too many by now.
fn expand(cx: &mut Cx, at: &At<String>) -> Option<Vec<String>> {
    // Each host may be named in several lists.
    if cx.expanded > 4 * ranges::MAX_HOSTS {
        if cx.problems.last().is_none_or(|p| p.name != "too-many-hosts") {
            cx.error(&at.place, "too-many-hosts", "the ranges stand for too many hosts");
        }
        return None;
    }
    match ranges::expand(&at.value) {
        Ok(names) => {
            cx.expanded += names.len();
            Some(names)
        }
        Err(message) => {
            cx.error(&at.place, "bad-range", message);
            None
        }
    }
}
