//! Mesos masters: `/etc/mesos-master` owned whole, quorum computed, address and name explicit.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Card, Rollout, Wish, Wishes, World, mesos};
use crate::health::{Check, MASTER_PORT};
use crate::inventory::{Credential, Inventory};
use crate::resource::file::File;
use crate::resource::service::Service;
use crate::resource::{Resource, digest_of};
use crate::script::slot;

pub(super) const CARD: Card = Card {
    title: "Mesos masters",
    desire,
    check: Some(Check::Masters),
    rollout: |_: &Inventory| Rollout::Quorum,
    // A lone master gives up after registry_fetch_timeout (1 min) and systemd waits 20 s.
    gate_secs: 180,
};

const DIRECTORY: &str = "/etc/mesos-master";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let credentials = credentials(inventory);
    let log_dir =
        (!inventory.mesos.master_flags.contains_key("log_dir")).then_some("/var/log/mesos");
    let mut wishes = Wishes::new();
    for host in &inventory.mesos.masters {
        let Some(machine) = inventory.hosts.get(host) else { continue };
        let mut flags = inventory.mesos.master_flags.clone();
        flags.entry("work_dir".to_owned()).or_insert_with(|| "/var/lib/mesos".to_owned());
        flags.insert("quorum".to_owned(), inventory.quorum().to_string());
        // On Debian /etc/hosts may name the host 127.0.1.1; the daemon would announce that.
        flags.insert("ip".to_owned(), machine.address.to_string());
        flags.insert("hostname".to_owned(), machine.hostname.clone());
        flags.insert("cluster".to_owned(), inventory.cluster.clone());
        flags.extend(role_flags(inventory));
        if let Some(file) = &credentials {
            flags.insert("credentials".to_owned(), format!("file://{}", file.path));
            let since_1_0 = inventory.mesos.version.at_least(&[1, 0]);
            if inventory.mesos.credentials.agent.is_some() {
                let name = if since_1_0 { "authenticate_agents" } else { "authenticate_slaves" };
                flags.insert(name.to_owned(), "true".to_owned());
            }
            if inventory.mesos.credentials.framework.is_some() {
                let name = if since_1_0 { "authenticate_frameworks" } else { "authenticate" };
                flags.insert(name.to_owned(), "true".to_owned());
            }
        }
        let (directory, files) = mesos::flag_directory(DIRECTORY, &flags);
        let zk = mesos::zk_file(inventory);
        let both =
            File::new("/etc/default/mesos", world.templates.render("mesos/mesos", &json!({}))?);
        let defaults = File::new(
            "/etc/default/mesos-master",
            world
                .templates
                .render("mesos/mesos-master", &json!({"port": MASTER_PORT, "log_dir": log_dir}))?,
        );

        let mut list = mesos::package(inventory, host);
        let mut inputs = vec![zk.clone(), both, defaults];
        if let Some(file) = &credentials {
            list.push(Wish::roll(Resource::Directory(mesos::secrets_directory())));
            inputs.push(file.clone());
        }
        inputs.extend(files);
        list.push(Wish::roll(Resource::Directory(directory)));
        list.extend(service(inventory, "mesos-master", DIRECTORY, inputs));
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// The input files of a daemon and the daemon.
pub(super) fn service(
    inventory: &Inventory,
    unit: &str,
    directory: &str,
    inputs: Vec<File>,
) -> Vec<Wish> {
    let parts: Vec<String> = inputs
        .iter()
        .map(File::input)
        .chain([format!("mesos={}", inventory.mesos.version)])
        .collect();
    let mut paths: Vec<String> = inputs.iter().map(|file| file.path.clone()).collect();
    // A file that came or went is a flag that came or went.
    paths.push(directory.to_owned());
    // dpkg touches it whenever it unpacks the package.
    paths.push("/var/lib/dpkg/info/mesos.list".to_owned());
    let service = Service::running(unit, digest_of(parts.iter().map(String::as_str)), paths);
    let mut wishes: Vec<Wish> =
        inputs.into_iter().map(|file| Wish::roll(Resource::File(file))).collect();
    wishes.push(Wish::roll(Resource::Service(service)));
    wishes
}

/// Before 1.0 weights are a flag; before 0.27 every role must also be listed, or its frameworks are
/// refused (and a weight whose role is not listed stops the master). After 0.27 the list would close
/// the cluster to every other role, so it is never written.
fn role_flags(inventory: &Inventory) -> BTreeMap<String, String> {
    let version = &inventory.mesos.version;
    let roles = &inventory.mesos.roles;
    let mut flags = BTreeMap::new();
    if roles.is_empty() || version.at_least(&[1, 0]) {
        return flags;
    }
    let weights: Vec<String> =
        roles.iter().map(|(name, role)| format!("{name}={}", role.weight)).collect();
    flags.insert("weights".to_owned(), weights.join(","));
    if !version.at_least(&[0, 27]) {
        let names: Vec<&str> = roles.keys().map(String::as_str).collect();
        flags.insert("roles".to_owned(), names.join(","));
    }
    flags
}

/// Principals and secrets that the masters accept.
fn credentials(inventory: &Inventory) -> Option<File> {
    let accepted = inventory.mesos.credentials.accepted();
    let known: BTreeMap<&str, &Credential> =
        accepted.map(|credential| (credential.principal.as_str(), credential)).collect();
    if known.is_empty() {
        return None;
    }
    let list: Vec<_> = known
        .keys()
        .enumerate()
        .map(|(index, principal)| json!({"principal": principal, "secret": slot(index)}))
        .collect();
    // No principal has a comma in it: other principals, another name.
    let names = known.keys().copied().collect::<Vec<_>>().join(",");
    Some(mesos::credential_file(
        &format!("master-{names}.json"),
        json!({"credentials": list}).to_string(),
        known.values().map(|credential| credential.secret.clone()).collect(),
        names,
    ))
}
