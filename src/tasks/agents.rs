//! Mesos agents: `/etc/mesos-slave` owned whole, attributes and resources as asked for.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Card, Rollout, Wish, Wishes, World, masters, mesos};
use crate::health::{AGENT_PORT, Check};
use crate::inventory::{Agent, Host, Inventory};
use crate::mesos::change::{Change, Wanted, classify};
use crate::resource::drain::{self, Drain};
use crate::resource::file::File;
use crate::resource::service::STAMPS;
use crate::resource::{Resource, digest_of};
use crate::script::{quote, slot};

pub(super) const CARD: Card = Card {
    title: "Mesos agents",
    desire,
    check: Some(Check::Agents),
    rollout,
    // Recovery, registration, and one more try of systemd after 20 s.
    gate_secs: 150,
};

const DIRECTORY: &str = "/etc/mesos-slave";

/// Source: Mesos 1.9.0, `DRAIN_AGENT` and `REACTIVATE_AGENT`.
pub(crate) const DRAINS_SINCE: [u32; 2] = [1, 9];

/// Digest of what the agent was last started to announce.
const ANNOUNCED: &str = "/var/lib/provision/stamps/mesos-slave.announced";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let zk = mesos::zk_file(inventory);
    let both = world.templates.render("mesos/mesos", &json!({}))?;
    let defaults = |log_dir: Option<&str>| {
        world.templates.render("mesos/mesos-slave", &json!({ "log_dir": log_dir }))
    };
    let (logging, silent) = (defaults(Some("/var/log/mesos"))?, defaults(None)?);
    let drop_in = world.templates.render("mesos/mesos-slave.service.d", &json!({}))?;
    let credential = inventory.mesos.credentials.agent.as_ref().map(|credential| {
        mesos::credential_file(
            &mesos::agent_credential(&credential.principal),
            json!({"principal": credential.principal, "secret": slot(0)}).to_string(),
            vec![credential.secret.clone()],
            credential.principal.clone(),
        )
    });
    for (_, host, agent) in inventory.agents() {
        let Some(machine) = inventory.hosts.get(host) else { continue };
        let flags = flags(agent, machine, credential.as_ref());
        let defaults = if flags.contains_key("log_dir") { &silent } else { &logging };
        let (directory, files) = mesos::flag_directory(DIRECTORY, &flags);
        let mut drop_in =
            File::new("/etc/systemd/system/mesos-slave.service.d/provision.conf", drop_in.clone());
        drop_in.after = Some("systemctl daemon-reload");

        let mut list = mesos::package(inventory, host);
        let mut inputs = vec![
            zk.clone(),
            File::new("/etc/default/mesos", both.clone()),
            File::new("/etc/default/mesos-slave", defaults.clone()),
        ];
        if let Some(file) = &credential {
            list.push(Wish::roll(Resource::Directory(mesos::secrets_directory())));
            inputs.push(file.clone());
        }
        inputs.extend(files);
        list.push(Wish::roll(Resource::File(drop_in)));
        list.push(Wish::roll(Resource::Directory(directory)));
        let mut daemon = masters::service(inventory, "mesos-slave", DIRECTORY, inputs);
        for wish in &mut daemon {
            if let Resource::Service(service) = &mut wish.resource {
                service.between = Some(between(world, machine, agent));
            }
        }
        list.extend(daemon);
        if inventory.mesos.version.at_least(&DRAINS_SINCE) {
            let drain = Drain { masters: mesos::master_urls(inventory) };
            list.push(Wish::roll(Resource::Drain(drain)));
        }
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// What the wrapper turns into arguments, one file each.
fn flags(agent: &Agent, machine: &Host, credential: Option<&File>) -> BTreeMap<String, String> {
    let mut flags = agent.flags.clone();
    flags.entry("work_dir".to_owned()).or_insert_with(|| "/var/lib/mesos".to_owned());
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

/// What must happen between stop and start: an agent whose announced info changed in a way that Mesos
/// does not recover from needs a new id, or it exits at every start. Where no leading master could say
/// what it announces now, a note of what it was last started with decides.
fn between(world: &World<'_>, machine: &Host, agent: &Agent) -> String {
    let domain = agent.flags.get("domain").map_or("", String::as_str);
    let (attributes, resources) = (agent.attributes.to_string(), agent.resources.to_string());
    let wanted = digest_of([machine.hostname.as_str(), domain, &attributes, &resources]);
    let work_dir = agent.flags.get("work_dir").map_or("/var/lib/mesos", String::as_str);
    // With the id goes what was drained under it.
    let forget =
        format!("rm -f {} {}", quote(&format!("{work_dir}/meta/slaves/latest")), drain::NOTE);
    let decide = match change(world, machine, agent) {
        Some(Change::RestartInPlace) => ":".to_owned(),
        Some(Change::Additive | Change::NewAgentId { .. }) => forget,
        // The note is not believed where somebody has changed what is announced since.
        None => format!(
            "if [ \"$(cat {ANNOUNCED} 2>/dev/null)\" != {wanted} ] || \
             [ -n \"$(find {DIRECTORY}/attributes {DIRECTORY}/hostname {DIRECTORY}/resources -newer {ANNOUNCED} 2>/dev/null)\" ]; \
             then {forget}; fi"
        ),
    };
    format!("{decide}\nmkdir -p {STAMPS}; printf %s {wanted} > {ANNOUNCED}")
}

/// What a restart means for an agent that a leading master lists; `None` when none lists it.
pub(crate) fn change(world: &World<'_>, machine: &Host, agent: &Agent) -> Option<Change> {
    let live = world.live?.get(&machine.address.to_string())?;
    let wanted = Wanted {
        hostname: &machine.hostname,
        port: AGENT_PORT,
        domain: agent.flags.get("domain").and_then(|text| serde_json::from_str(text).ok()),
        attributes: &agent.attributes,
        resources: &agent.resources,
    };
    let additive =
        agent.flags.get("reconfiguration_policy").map(String::as_str) == Some("additive");
    match classify(live, &wanted, &world.inventory.mesos.version) {
        Change::Additive if additive => Some(Change::RestartInPlace),
        change => Some(change),
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
