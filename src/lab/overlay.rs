//! The user's inventory, bent towards its twin: where hosts are, how they are reached, and what
//! containers cannot do. Everything else stays as the user wrote it.

use std::net::IpAddr;

use anyhow::anyhow;

use super::Twin;
use crate::ground::SecretRef;
use crate::ground::digest::Algorithm;
use crate::inventory::load::digest_of;
use crate::inventory::{Fetch, Inventory, Source, SparkImage, Ssh, ZooKeeper};
use crate::mesos::flags::{Component, find};

/// Points an inventory at its twin. Returns what was changed beside addresses, for people.
///
/// # Errors
/// When the twin lacks a host of the inventory, or its base image cannot be read.
pub fn overlay(inventory: &mut Inventory, twin: &Twin) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    let names: Vec<_> = inventory.hosts.keys().cloned().collect();
    for name in names {
        let Some(address) = twin.addresses.get(&name) else {
            if inventory.retired.contains_key(&name) {
                continue;
            }
            anyhow::bail!("the twin has no host {name}; run `provision lab up` for this inventory");
        };
        inventory.override_address(&name, IpAddr::V4(*address));
        if let Some(host) = inventory.hosts.get_mut(&name) {
            host.ssh = Ssh {
                host: address.to_string(),
                user: Some(super::USER.to_owned()),
                port: Some(22),
                identity_file: Some(twin.identity.clone()),
                proxy_jump: None,
                known_hosts: Some(twin.known_hosts.clone()),
                // The user's own ssh_config is about other machines.
                config_file: Some("/dev/null".into()),
                connect_timeout: host.ssh.connect_timeout,
                become_root: true,
            };
        }
    }
    let version = inventory.mesos.version.clone();
    // Mesos' own slice and the freezer cgroup belong to this machine, not to a container on it.
    let bent = [("systemd_enable_support", "false"), ("launcher", "posix")];
    let bent = bent.map(|(name, value)| {
        (name, value, find(Component::Agent, name).is_some_and(|flag| flag.exists_in(&version)))
    });
    for agent in inventory.mesos.pools.values_mut().flat_map(|pool| pool.agents.values_mut()) {
        for (name, value, _) in bent.iter().filter(|(_, _, exists)| *exists) {
            agent.flags.insert((*name).to_owned(), (*value).to_owned());
        }
        // The cgroup isolators need the hierarchy that the posix launcher does without.
        if agent.flags.get("isolation").is_some_and(|isolation| isolation.contains("cgroups/")) {
            agent.flags.remove("isolation");
        }
    }
    notes.push("agents run with launcher=posix and systemd_enable_support=false".to_owned());
    let credentials = &mut inventory.mesos.credentials;
    let written = credentials.agent.iter_mut().chain(&mut credentials.framework);
    let written = written.chain(&mut credentials.operator).chain(&mut credentials.former_operator);
    let access = &mut inventory.mesos.access;
    let written = written.chain(&mut access.writer).chain(&mut access.former);
    for credential in written.chain(&mut credentials.viewer).chain(&mut credentials.former) {
        credential.secret = SecretRef::Command(format!("printf %s twin-of-{}", inventory.cluster));
    }
    if let ZooKeeper::Managed { auth: Some(auth), .. } = &mut inventory.zookeeper {
        for secret in auth.secrets.iter_mut().flatten() {
            *secret = SecretRef::Command(format!("printf %s twin-of-{}", inventory.cluster));
        }
    }
    if let Some(tls) = &mut inventory.mesos.tls {
        super::certificates::issue(tls, twin)?;
        notes.push("Mesos shows certificates of the twin's own CA".to_owned());
    }
    if let Some(SparkImage::Build { base, .. }) = inventory.spark.as_mut().map(|s| &mut s.image) {
        let there = twin.spark_base.image();
        if base != there {
            notes.push(format!("the Spark image is built on {there} instead of {base}"));
            there.clone_into(base);
        }
        let digest = digest_of(&twin.base_archive, Algorithm::Sha256)
            .map_err(|why| anyhow!("{} {why}", twin.base_archive.display()))?;
        let source = Source::Path(twin.base_archive.clone());
        if !inventory.docker.images.iter().any(|image| image.digest == digest) {
            inventory.docker.images.push(Fetch { source, digest });
        }
    }
    Ok(notes)
}
