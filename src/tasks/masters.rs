//! Mesos masters: `/etc/mesos-master` owned whole, quorum computed, address and name explicit.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Card, Rollout, Wish, Wishes, World, mesos, tls};
use crate::ground::digest::{digest_of, sha256};
use crate::health;
use crate::inventory::{Credential, Inventory, Part, masters_file};
use crate::mesos::acls;
use crate::mesos::asking::CURL;
use crate::mesos::flags::Component;
use crate::resource::evidence::Evidence;
use crate::resource::file::File;
use crate::resource::link::Link;
use crate::resource::service::Service;
use crate::script::slot;
use crate::template::contexts::MesosMaster;

pub(super) const CARD: Card = Card {
    title: "Mesos masters",
    desire,
    part: Some(Part::Master),
    unit: |_| Some("mesos-master"),
    check: Some(&health::Masters),
    rollout: |_: &Inventory| Rollout::Quorum,
    // A lone master gives up after registry_fetch_timeout (1 min) and systemd waits 20 s.
    gate_secs: 180,
    ..Card::PLAIN
};

const DIRECTORY: &str = "/etc/mesos-master";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let admits = &inventory.mesos.credentials;
    let credentials = if admits.keeps() { None } else { credentials(inventory) };
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
        }
        let since_1_0 = inventory.mesos.version.at_least(&[1, 0]);
        if admits.asks_agents() {
            let name = if since_1_0 { "authenticate_agents" } else { "authenticate_slaves" };
            flags.insert(name.to_owned(), "true".to_owned());
        }
        if admits.asks_frameworks() {
            let name = if since_1_0 { "authenticate_frameworks" } else { "authenticate" };
            flags.insert(name.to_owned(), "true".to_owned());
        }
        flags.extend(http_flags(inventory));
        let (mut directory, files) = mesos::flag_directory(DIRECTORY, &flags);
        let mut more = None;
        if admits.keeps() {
            directory.only.get_or_insert_default().insert("credentials".to_owned());
            more = Some("credentials=kept".to_owned());
        }
        let zk = mesos::zk_file(inventory, host);
        let shows = tls::of_daemons(inventory, host);
        let both = mesos::defaults(world, shows.as_ref())?;
        let defaults = File::new(
            "/etc/default/mesos-master",
            world.templates.render(&MesosMaster {
                port: inventory.mesos.master_port,
                log_dir,
                env: mesos::variables(&inventory.mesos.master_env),
            })?,
        );

        let mut list = mesos::package(inventory, host);
        let mut inputs = vec![zk.clone(), both, defaults];
        let written = mesos::zk_secret(inventory);
        let asking = asking(inventory, shows.as_ref());
        if credentials.is_some() || written.is_some() || asking.is_some() || shows.is_some() {
            list.push(Wish::roll(mesos::secrets_directory()));
        }
        // What curl is to read of them is named next.
        list.extend(shows.iter().flat_map(|it| it.files.iter().cloned()).map(Wish::roll));
        if let Some((file, link)) = &asking {
            list.extend([Wish::roll(file.clone()), Wish::roll(link.clone())]);
        }
        // Before the files that name them.
        inputs.splice(0..0, shows.iter().flat_map(|it| it.files.clone()).chain(written.clone()));
        inputs.extend(credentials.clone());
        inputs.extend(files);
        for (file, restart) in mesos::managed(&inventory.mesos.master_files) {
            if restart { inputs.push(file) } else { list.push(Wish::roll(file)) }
        }
        list.push(Wish::roll(directory));
        flags.insert("zk".to_owned(), inventory.zookeeper_url());
        flags.insert("port".to_owned(), inventory.mesos.master_port.to_string());
        let env = &inventory.mesos.master_env;
        let evidence = mesos::evidence(inventory, Component::Master, flags, env, shows.as_ref());
        list.extend(service(inventory, "mesos-master", DIRECTORY, inputs, more, Some(evidence)));
        if !admits.keeps() {
            list.push(Wish::roll(mesos::old_secrets("master-", credentials.as_ref())));
        }
        let asked = asking.as_ref().map(|(file, _)| file);
        list.push(Wish::roll(mesos::old_secrets("operator-", asked)));
        list.push(Wish::roll(mesos::old_secrets("zk-", written.as_ref())));
        list.push(Wish::roll(tls::old(shows.as_ref())));
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// The input files of a daemon and the daemon; `more` is what it depends on beside them.
pub(super) fn service(
    inventory: &Inventory,
    unit: &str,
    directory: &str,
    inputs: Vec<File>,
    more: Option<String>,
    evidence: Option<Evidence>,
) -> Vec<Wish> {
    let parts: Vec<String> =
        inputs.iter().map(File::input).chain([mesos::build(inventory)]).chain(more).collect();
    let mut paths: Vec<String> = inputs.iter().map(|file| file.path.clone()).collect();
    // A file that came or went is a flag that came or went.
    paths.push(directory.to_owned());
    // dpkg touches it whenever it unpacks the package.
    paths.push(format!("/var/lib/dpkg/info/{}.list", inventory.mesos.package_name));
    let mut service = Service::running(unit, digest_of(parts.iter().map(String::as_str)), paths);
    service.evidence = evidence.map(Box::new);
    let mut wishes: Vec<Wish> = inputs.into_iter().map(Wish::roll).collect();
    wishes.push(Wish::roll(service));
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

/// With an operator HTTP asks everybody for a credential, and tells apart who may do what. The user's own
/// `acls` stay.
fn http_flags(inventory: &Inventory) -> BTreeMap<String, String> {
    let credentials = &inventory.mesos.credentials;
    let mut flags = BTreeMap::new();
    if credentials.operator.is_none() {
        return flags;
    }
    let mut set = |name: &str, value: String| flags.insert(name.to_owned(), value);
    set("authenticate_http_readonly", "true".to_owned());
    set("authenticate_http_readwrite", "true".to_owned());
    if credentials.asks_frameworks() {
        // `authenticate_frameworks` asks those that speak the old messages; this asks those that speak HTTP.
        set("authenticate_http_frameworks", "true".to_owned());
        set("http_framework_authenticators", "basic".to_owned());
    }
    if !inventory.mesos.master_flags.contains_key("acls") {
        // While some still come with what they had, whose names we may not know, nobody is told by name.
        let settled = credentials.opening.is_none();
        let principals = acls::Principals {
            operators: credentials.operators().map(|it| it.principal.as_str()).collect(),
            agents: accepted(credentials.agent.as_ref().filter(|_| settled), &credentials.former),
            frameworks: accepted(
                credentials.framework.as_ref().filter(|_| settled),
                &credentials.former,
            ),
        };
        set("acls", acls::of_masters(&principals).to_string());
    }
    flags
}

/// Principals of one kind, where it is asked for any; a former one may have been of either.
fn accepted<'a>(own: Option<&'a Credential>, former: &'a [Credential]) -> Option<Vec<&'a str>> {
    let all = [own?].into_iter().chain(former);
    Some(all.map(|it| it.principal.as_str()).collect())
}

/// As whom this host's questions and calls to masters are put, and whom they believe: a file of curl's, and a link
/// to it by a name that never changes. The file's own tells all that it holds: what changed is another file.
fn asking(inventory: &Inventory, shows: Option<&tls::Installed>) -> Option<(File, Link)> {
    let operator = inventory.mesos.credentials.asking();
    let believes = shows.map(|it| it.of_curl(inventory));
    let named = believes.as_ref().map(|text| format!("tls-{}", &sha256(text)[..12]));
    let name: Vec<&str> =
        operator.map(|it| it.principal.as_str()).into_iter().chain(named.as_deref()).collect();
    if name.is_empty() {
        return None;
    }
    let mut text = believes.unwrap_or_default();
    if let Some(operator) = operator {
        text.push_str(&format!("user = \"{}:{}\"\n", operator.principal, slot(0)));
    }
    let file = mesos::credential_file(
        &format!("operator-{}.curl", name.join("-")),
        text,
        operator.map(|it| it.secret.clone()).into_iter().collect(),
        operator.map_or("", |it| &it.principal),
    );
    let link = Link { path: CURL.to_owned(), target: file.path.clone() };
    Some((file, link))
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
    let names = known.keys().copied().collect::<Vec<_>>().join(",");
    Some(mesos::credential_file(
        &masters_file(&names),
        json!({"credentials": list}).to_string(),
        known.values().map(|credential| credential.secret.clone()).collect(),
        &names,
    ))
}
