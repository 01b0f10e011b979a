//! `provision inventory`: our inventory as Ansible's dynamic inventory, so that whatever we do not do
//! can be done to the same hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::ground::HostName;
use crate::inventory::{Host, Inventory, Part, Retired};
use crate::pipeline::arguments::Source;
use crate::pipeline::load;
use crate::report::exit;
use crate::ui::line;
use crate::ui::out::{self, Out};

/// Arguments of `inventory`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    what: What,
    /// As Ansible's static YAML instead of JSON
    #[arg(long)]
    yaml: bool,
}

/// What is printed.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Groups, hosts and their variables
    #[arg(long)]
    list: bool,
    /// Variables of one host
    #[arg(long, add = crate::pipeline::complete::host(), value_name = "HOST")]
    host: Option<String>,
    /// Groups and hosts as a tree
    #[arg(long, conflicts_with = "yaml")]
    graph: bool,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let session = load::unremarked(&args.source).await?;
    let inventory = &session.inventory;
    let value = match &args.what.host {
        // `{}` would look like a host without variables. Ansible never asks: `_meta` has told it of all.
        Some(name) => variables(inventory, session.host(name)?.1),
        None if args.what.graph => {
            line(Out, graph(inventory).trim_end());
            return Ok(exit::OK);
        }
        None if args.yaml => tree(inventory),
        None => list(inventory),
    };
    let text = if args.yaml {
        serde_yaml::to_string(&value).map_err(|error| anyhow::anyhow!("{error}"))?
    } else {
        serde_json::to_string_pretty(&value)?
    };
    out::data(text.trim_end());
    Ok(exit::OK)
}

/// The dynamic inventory: what Ansible expects of a script called with `--list`, variables included, so
/// that it need not call `--host` for each.
/// Source: docs.ansible.com, "Developing dynamic inventory", script conventions.
pub fn list(inventory: &Inventory) -> Json {
    let mut all = Map::new();
    for (name, group) in groups(inventory) {
        let mut value = Map::new();
        if !group.hosts.is_empty() {
            value.insert("hosts".to_owned(), json!(group.hosts));
        }
        if !group.children.is_empty() {
            value.insert("children".to_owned(), json!(group.children));
        }
        all.insert(name, Json::Object(value));
    }
    let vars: Map<String, Json> = present(inventory)
        .map(|host| (host.name.to_string(), variables(inventory, host)))
        .collect();
    all.insert("_meta".to_owned(), json!({ "hostvars": vars }));
    Json::Object(all)
}

/// The same as a static inventory.
fn tree(inventory: &Inventory) -> Json {
    let groups = groups(inventory);
    let vars: Map<String, Json> = present(inventory)
        .map(|host| (host.name.to_string(), variables(inventory, host)))
        .collect();
    let mut all = branch(&groups, "all");
    // Once, at the top: a host's variables hold wherever it is named.
    all.insert("hosts".to_owned(), Json::Object(vars));
    json!({ "all": all })
}

fn branch(groups: &BTreeMap<String, Group>, name: &str) -> Map<String, Json> {
    let mut value = Map::new();
    let Some(group) = groups.get(name) else { return value };
    if !group.hosts.is_empty() {
        let hosts: Map<String, Json> =
            group.hosts.iter().map(|host| (host.to_string(), json!({}))).collect();
        value.insert("hosts".to_owned(), Json::Object(hosts));
    }
    if !group.children.is_empty() {
        let children: Map<String, Json> = group
            .children
            .iter()
            .map(|child| (child.clone(), Json::Object(branch(groups, child))))
            .collect();
        value.insert("children".to_owned(), Json::Object(children));
    }
    value
}

/// As `ansible-inventory --graph` draws it.
fn graph(inventory: &Inventory) -> String {
    fn draw(text: &mut String, groups: &BTreeMap<String, Group>, name: &str, depth: usize) {
        let Some(group) = groups.get(name) else { return };
        let lead = |depth: usize| match depth {
            0 => String::new(),
            some => format!("{}  |--", "  |".repeat(some - 1)),
        };
        let _ = writeln!(text, "{}@{name}:", lead(depth));
        for child in &group.children {
            draw(text, groups, child, depth + 1);
        }
        for host in &group.hosts {
            let _ = writeln!(text, "{}{host}", lead(depth + 1));
        }
    }
    let mut text = String::new();
    draw(&mut text, &groups(inventory), "all", 0);
    text
}

#[derive(Debug, Default)]
struct Group {
    hosts: BTreeSet<HostName>,
    children: BTreeSet<String>,
}

/// Hosts that may ever answer.
fn present(inventory: &Inventory) -> impl Iterator<Item = &Host> {
    inventory
        .hosts
        .values()
        .filter(|host| inventory.retired.get(&host.name) != Some(&Retired::Gone))
}

fn groups(inventory: &Inventory) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut member = |group: &str, host: &HostName| {
        groups.entry(group.to_owned()).or_default().hosts.insert(host.clone());
    };
    for host in present(inventory) {
        let name = &host.name;
        if let Some(pool) = &host.pool {
            member(&group_of_pool(pool), name);
        }
        if inventory.retired.contains_key(name) {
            member("retired", name);
        }
    }
    for part in Part::ALL.into_iter().filter(|part| *part != Part::Agent) {
        inventory.hosts_of(part).for_each(|host| member(part.group(), host));
    }
    let pools: BTreeSet<String> =
        groups.keys().filter(|name| name.starts_with(POOL)).cloned().collect();
    if !pools.is_empty() {
        groups.insert("agents".to_owned(), Group { children: pools, ..Group::default() });
    }
    let grouped: BTreeSet<HostName> = groups.values().flat_map(|it| it.hosts.clone()).collect();
    let alone: BTreeSet<HostName> =
        present(inventory).map(|h| h.name.clone()).filter(|h| !grouped.contains(h)).collect();
    // Ansible takes a group without any member for a host of that name.
    if !alone.is_empty() {
        groups.insert("ungrouped".to_owned(), Group { hosts: alone, ..Group::default() });
    }
    let children: BTreeSet<String> =
        groups.keys().filter(|name| !name.starts_with(POOL)).cloned().collect();
    groups.insert("all".to_owned(), Group { children, ..Group::default() });
    groups
}

const POOL: &str = "pool_";

/// A pool's group: Ansible's names are identifiers, and a pool may be called `masters`.
fn group_of_pool(pool: &str) -> String {
    let name: String =
        pool.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{POOL}{name}")
}

/// How Ansible reaches a host, and what only we know of it.
fn variables(inventory: &Inventory, host: &Host) -> Json {
    let ssh = &host.ssh;
    let mut vars = Map::new();
    let mut set = |key: &str, value: Json| vars.insert(key.to_owned(), value);
    set("ansible_host", json!(ssh.host));
    if let Some(port) = ssh.port {
        set("ansible_port", json!(port));
    }
    if let Some(user) = &ssh.user {
        set("ansible_user", json!(user));
    }
    if let Some(file) = &ssh.identity_file {
        set("ansible_ssh_private_key_file", json!(file));
    }
    if ssh.become_root {
        set("ansible_become", json!(true));
    }
    let mut arguments: Vec<String> = Vec::new();
    // Ansible splits this as a shell does.
    if let Some(file) = &ssh.config_file {
        arguments.push(format!("-F {}", word(&file.to_string_lossy())));
    }
    if let Some(jump) = &ssh.proxy_jump {
        arguments.push(format!("-J {}", word(jump)));
    }
    if let Some(file) = &ssh.known_hosts {
        let option = format!("UserKnownHostsFile=\"{}\"", file.to_string_lossy());
        arguments.push(format!("-o {}", word(&option)));
    }
    if !arguments.is_empty() {
        set("ansible_ssh_common_args", json!(arguments.join(" ")));
    }
    set("provision_cluster", json!(inventory.cluster));
    set("provision_address", json!(host.address));
    set("provision_hostname", json!(host.hostname));
    if let Some(pool) = &host.pool {
        set("provision_pool", json!(pool));
    }
    if let Some(id) = inventory.ensemble().and_then(|servers| servers.get(&host.name)) {
        set("provision_zookeeper_id", json!(id));
    }
    if let Some(agent) = inventory.agent(&host.name) {
        set("provision_attributes", json!(agent.attributes.to_string()));
        set("provision_resources", json!(agent.resources.to_string()));
    }
    Json::Object(vars)
}

fn word(text: &str) -> String {
    crate::script::quote(text)
}
