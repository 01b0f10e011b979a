//! Mesos agents: `/etc/mesos-slave` owned whole, attributes and resources as asked for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde_json::json;

use super::{Card, Judged, Rollout, Wish, Wishes, World, masters, mesos, tls};
use crate::ground::HostName;
use crate::ground::digest::digest_of;
use crate::health::{self};
use crate::inventory::{Agent, Host, Inventory, Part};
use crate::mesos::change::{Change, Wanted, classify};
use crate::mesos::flags::Component;
use crate::mesos::master::Listed;
use crate::mesos::{AGENT_PORT, acls};
use crate::resource::Resource;
use crate::resource::drain::{self, Drain};
use crate::resource::file::File;
use crate::resource::service::STAMPS;
use crate::script::{quote, slot};
use crate::template::contexts::{MesosAgent, MesosAgentUnit};

pub(super) const CARD: Card = Card {
    title: "Mesos agents",
    desire,
    part: Some(Part::Agent),
    unit: |inventory| Some(inventory.mesos.agent_unit.name()),
    check: Some(&health::Agents),
    rollout,
    // Recovery, registration, and one more try of systemd after 20 s.
    gate_secs: 150,
    settle,
};

/// Source: Mesos 1.9.0, `DRAIN_AGENT` and `REACTIVATE_AGENT`.
const DRAINS_SINCE: [u32; 2] = [1, 9];

/// The flag that says what environment executors get.
const EXECUTORS: &str = "executor_environment_variables";

/// Digest of what the agent was last started to announce.
const ANNOUNCED: &str = "/var/lib/provision/stamps/mesos-slave.announced";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let directory = inventory.mesos.agent_unit.directory();
    let defaults = |log_dir, env: &BTreeMap<String, String>| {
        world.templates.render(&MesosAgent { directory, log_dir, env: mesos::variables(env) })
    };
    // Most agents of a pool share theirs.
    let mut rendered: BTreeMap<(bool, &BTreeMap<String, String>), String> = BTreeMap::new();
    let drop_in = world.templates.render(&MesosAgentUnit {})?;
    let credential = inventory.mesos.credentials.agent.as_ref().map(|credential| {
        mesos::credential_file(
            &mesos::agent_credential(&credential.principal),
            json!({"principal": credential.principal, "secret": slot(0)}).to_string(),
            vec![credential.secret.clone()],
            &credential.principal,
        )
    });
    let name = inventory.mesos.agent_unit.name();
    let looking = looking(inventory);
    for (_, host, agent) in inventory.agents() {
        let Some(machine) = inventory.hosts.get(host) else { continue };
        let mut flags = flags(agent, machine, credential.as_ref());
        if let Some(file) = &looking {
            flags.extend(http_flags(file));
            flags.entry("acls".to_owned()).or_insert_with(|| acls::of_agents().to_string());
        }
        let shows = tls::of_daemons(inventory, host);
        if let Some(shows) = &shows {
            let said = flags.get(EXECUTORS).map(String::as_str);
            let told = tls::of_executors(shows, said);
            flags.extend(told.map(|told| (EXECUTORS.to_owned(), told)));
        }
        let silent = flags.contains_key("log_dir");
        let defaults = match rendered.entry((silent, &agent.env)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                place.insert(defaults((!silent).then_some("/var/log/mesos"), &agent.env)?)
            }
        };
        let (directory, files) =
            mesos::flag_directory(inventory.mesos.agent_unit.directory(), &flags);
        let mut drop_in = File::new(
            format!("/etc/systemd/system/{name}.service.d/provision.conf"),
            drop_in.clone(),
        );
        drop_in.after = Some("systemctl daemon-reload");

        let mut list = mesos::package(inventory, host);
        let mut inputs: Vec<File> = shows.iter().flat_map(|it| it.files.clone()).collect();
        inputs.extend([
            mesos::zk_file(inventory, host),
            mesos::defaults(world, shows.as_ref())?,
            File::new(format!("/etc/default/{name}"), defaults.clone()),
        ]);
        let secrets: Vec<File> = credential.iter().chain(&looking).cloned().collect();
        if !secrets.is_empty() || shows.is_some() {
            list.push(Wish::roll(mesos::secrets_directory()));
            inputs.extend(secrets);
        }
        inputs.extend(files);
        for (file, restart) in mesos::managed(&agent.files) {
            if restart { inputs.push(file) } else { list.push(Wish::roll(file)) }
        }
        list.push(Wish::roll(drop_in));
        list.push(Wish::roll(directory));
        let mut told = flags.clone();
        told.insert("master".to_owned(), inventory.zookeeper_url());
        let evidence =
            mesos::evidence(inventory, Component::Agent, told, &agent.env, shows.as_ref());
        let directory = inventory.mesos.agent_unit.directory();
        let mut daemon = masters::service(inventory, name, directory, inputs, None, Some(evidence));
        for wish in &mut daemon {
            if let Resource::Service(service) = Arc::make_mut(&mut wish.resource) {
                service.between = Some(between(inventory, machine, agent, None));
            }
        }
        list.extend(daemon);
        list.push(Wish::roll(mesos::old_secrets("agent-", credential.as_ref())));
        list.push(Wish::roll(mesos::old_secrets("http-", looking.as_ref())));
        list.push(Wish::roll(tls::old(shows.as_ref())));
        list.extend(drain(inventory, host).map(Wish::roll));
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// Whether this Mesos can drain an agent.
pub(crate) fn drains(inventory: &Inventory) -> bool {
    inventory.mesos.version.at_least(&DRAINS_SINCE)
}

/// What empties an agent and gives it back; `None` where this Mesos cannot drain.
pub(crate) fn drain(inventory: &Inventory, host: &HostName) -> Option<Drain> {
    let address = inventory.hosts.get(host).filter(|_| drains(inventory))?.address;
    Some(Drain { address: address.to_string(), agent: inventory.mesos.agent_unit })
}

/// Who may look over the agents' HTTP, where it asks: the viewer or nobody. An operator's secret is on no agent.
fn looking(inventory: &Inventory) -> Option<File> {
    let credentials = &inventory.mesos.credentials;
    credentials.operator.as_ref()?;
    let viewer = credentials.viewer.as_ref();
    let list: Vec<_> =
        viewer.iter().map(|it| json!({"principal": it.principal, "secret": slot(0)})).collect();
    let name = viewer.map_or("nobody", |it| it.principal.as_str());
    Some(mesos::credential_file(
        &format!("http-{name}.json"),
        json!({ "credentials": list }).to_string(),
        viewer.map(|it| it.secret.clone()).into_iter().collect(),
        name,
    ))
}

fn http_flags(credentials: &File) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("authenticate_http_readonly".to_owned(), "true".to_owned()),
        ("authenticate_http_readwrite".to_owned(), "true".to_owned()),
        ("http_credentials".to_owned(), format!("file://{}", credentials.path)),
    ])
}

/// What the wrapper turns into arguments, one file each.
fn flags(agent: &Agent, machine: &Host, credential: Option<&File>) -> BTreeMap<String, String> {
    let mut flags = agent.flags.clone();
    flags.entry("work_dir".to_owned()).or_insert_with(|| "/var/lib/mesos".to_owned());
    if agent.port != AGENT_PORT {
        flags.insert("port".to_owned(), agent.port.to_string());
    }
    flags.insert("ip".to_owned(), machine.address.to_string());
    flags.insert("hostname".to_owned(), machine.hostname.clone());
    flags.insert("attributes".to_owned(), agent.attributes.to_string());
    if !agent.resources.0.is_empty() {
        flags.insert("resources".to_owned(), agent.resources.to_string());
    }
    if let Some(file) = credential {
        flags.insert("credential".to_owned(), format!("file://{}", file.path));
    }
    flags
}

/// What must happen between stop and start, now that the leading master has said what the agent is.
fn settle(inventory: &Inventory, host: &HostName, judged: &Judged, resource: &mut Arc<Resource>) {
    let (Some(machine), Some(agent)) = (inventory.hosts.get(host), inventory.agent(host)) else {
        return;
    };
    if resource.runs().is_none() {
        return;
    }
    let listed = judged.agents.as_ref().and_then(|all| all.get(&machine.address.to_string()));
    let change = listed.map(|listed| change(inventory, machine, agent, listed));
    if let Resource::Service(service) = Arc::make_mut(resource) {
        service.between = Some(between(inventory, machine, agent, change.as_ref()));
    }
}

/// What must happen between stop and start: an agent whose announced info changed in a way that Mesos
/// does not recover from needs a new id, or it exits at every start. Where no leading master could say
/// what it announces now, a note of what it was last started with decides.
fn between(
    inventory: &Inventory,
    machine: &Host,
    agent: &Agent,
    change: Option<&Change>,
) -> String {
    let directory = inventory.mesos.agent_unit.directory();
    let domain = agent.flags.get("domain").map_or("", String::as_str);
    let (attributes, resources) = (agent.attributes.to_string(), agent.resources.to_string());
    let wanted = digest_of([machine.hostname.as_str(), domain, &attributes, &resources]);
    let work_dir = agent.flags.get("work_dir").map_or("/var/lib/mesos", String::as_str);
    // With the id goes what was drained under it.
    let forget =
        format!("rm -f {} {}", quote(&format!("{work_dir}/meta/slaves/latest")), drain::NOTE);
    let decide = match change {
        Some(Change::RestartInPlace) => ":".to_owned(),
        Some(Change::Additive | Change::NewAgentId { .. }) => forget,
        // The note is not believed where somebody has changed what is announced since.
        None => format!(
            "if [ \"$(cat {ANNOUNCED} 2>/dev/null)\" != {wanted} ] || \
             [ -n \"$(find {directory}/attributes {directory}/hostname {directory}/resources -newer {ANNOUNCED} 2>/dev/null)\" ]; \
             then {forget}; fi"
        ),
    };
    format!("{decide}\nmkdir -p {STAMPS}; printf %s {wanted} > {ANNOUNCED}")
}

/// What a restart means for an agent that the leading master lists.
pub(crate) fn change(
    inventory: &Inventory,
    machine: &Host,
    agent: &Agent,
    listed: &Listed,
) -> Change {
    let wanted = Wanted {
        hostname: &machine.hostname,
        port: agent.port,
        domain: agent.flags.get("domain").and_then(|text| serde_json::from_str(text).ok()),
        attributes: &agent.attributes,
        resources: &agent.resources,
    };
    let additive =
        agent.flags.get("reconfiguration_policy").map(String::as_str) == Some("additive");
    match classify(&listed.info, &wanted, &inventory.mesos.version) {
        Change::Additive if additive => Change::RestartInPlace,
        change => change,
    }
}

pub(super) fn rollout(inventory: &Inventory) -> Rollout {
    let pools = inventory.agents().map(|(pool, host, _)| (host.clone(), pool.to_owned())).collect();
    let sizes = inventory
        .mesos
        .pools
        .iter()
        .map(|(name, pool)| (name.clone(), pool.batch.of(pool.agents.len())))
        .collect();
    Rollout::Batches(pools, sizes)
}
