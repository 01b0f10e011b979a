//! The ensemble, from zoo.cfg and from what its servers and its clients were started with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Note;
use super::ask::Process;
use super::inventory::Host;
use super::yaml::{template, word};
use crate::inventory::{JAVA_OPTIONS, LOGIN_CONFIG, QUORUM_AUTH_KEYS, Sasl};

/// `server.1=10.0.0.1:2888:3888` → number and address.
pub(super) fn servers(zoo_cfg: &str) -> Vec<(String, String, String)> {
    let line = |(key, value): (&str, &str)| {
        let id = key.trim().strip_prefix("server.")?.to_owned();
        let (host, ports) = value.trim().split_once(':')?;
        Some((id, host.to_owned(), ports.to_owned()))
    };
    zoo_cfg.lines().filter_map(|l| l.trim().split_once('=')).filter_map(line).collect()
}

/// The section `zookeeper`: an ensemble of these hosts, or somebody else's.
pub(super) fn zookeeper(text: &mut String, hosts: &[Host<'_>], notes: &mut Vec<Note>) {
    let zk = hosts.iter().filter_map(|host| host.master.as_ref().or(host.agent.as_ref()));
    let zk = zk.map(|daemon| daemon.zk.as_str()).find(|zk| zk.starts_with("zk://")).unwrap_or("");
    let list = zk.strip_prefix("zk://").unwrap_or("");
    let znode = list.split_once('/').map_or("/mesos", |(_, path)| path).trim_matches('/');
    let ours: Vec<&Host<'_>> =
        hosts.iter().filter(|host| host.machine.server().is_some()).collect();
    let login = list.rsplit_once('@').and_then(|(login, _)| login.split_once(':'));
    if let Some((principal, _)) = login {
        let what = format!(
            "the secret of {principal} is not taken: give it in ZOOKEEPER_SECRET, or write where it is; masters are started with it in a file"
        );
        notes.push(Note { place: "zk".to_owned(), what });
    }
    let access = login.map_or(String::new(), |(principal, _)| {
        let principal = word(principal);
        format!(
            "  credentials: {{ principal: {principal}, secret: {{ env: ZOOKEEPER_SECRET }} }}\n"
        )
    });
    if ours.is_empty() || (znode != "mesos" && !list.is_empty()) {
        if !ours.is_empty() {
            let what = format!(
                "masters meet at /{znode}; an ensemble of ours has /mesos, so it is `external`"
            );
            notes.push(Note { place: "zk".to_owned(), what });
        }
        let list = list.rsplit_once('@').map_or(list, |(_, rest)| rest);
        let _ = write!(text, "zookeeper:\n  external: {}\n{access}", word(list));
        return;
    }
    let _ = writeln!(text, "zookeeper:");
    text.push_str(&access);
    let _ = writeln!(text, "  servers:");
    let mut config: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut shown: BTreeSet<Sasl> = BTreeSet::new();
    for host in &ours {
        let myid = host.machine.files.get("myid").map(|text| text.trim());
        let cfg = host.machine.zoo_cfg();
        let listed = cfg.map(|(_, cfg)| servers(cfg)).unwrap_or_default();
        let own = listed.iter().find(|(_, at, _)| *at == host.address).map(|(id, ..)| id.as_str());
        let id = myid.filter(|id| id.parse::<u8>().is_ok()).or(own).unwrap_or("1");
        let _ = writeln!(text, "    {}: {id}", host.name);
        let Some((path, cfg)) = cfg else { continue };
        for (number, line) in cfg.lines().enumerate() {
            let line = line.trim();
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            let place = format!("{}:{path}:{}", host.name, number + 1);
            if let Some(id) = key.strip_prefix("server.") {
                if !value.ends_with(":2888:3888") {
                    let what = format!(
                        "server.{id} has ports of its own; an apply makes them 2888 and 3888"
                    );
                    notes.push(Note { place, what });
                }
            } else if key.starts_with("group.")
                || key.starts_with("weight.")
                || key.starts_with("dynamicConfig")
            {
                notes.push(Note { place, what: format!("{key} is not taken over") });
            } else {
                config.entry(key.to_owned()).or_default().insert(value.to_owned());
            }
        }
        let Some(server) = host.machine.server() else { continue };
        if server.unit != "zookeeper" || !server.unit_file.starts_with("/etc/systemd/system/") {
            let what = "ZooKeeper runs under a unit that does not watch it; an apply starts it anew under one that does, one server after the other";
            notes.push(Note { place: host.name.to_string(), what: what.to_owned() });
        }
        let options: Vec<&str> = server
            .words
            .iter()
            .map(String::as_str)
            .filter(|word| {
                ["-Xmx", "-Xms", "-XX", LOGIN_CONFIG].iter().any(|begin| word.starts_with(begin))
            })
            .filter(|word| !(word.starts_with(LOGIN_CONFIG) && ours_of(server).is_some()))
            .collect();
        shown.extend(ours_of(server));
        let others = options.iter().find(|word| word.starts_with(LOGIN_CONFIG));
        if let Some(file) = others.and_then(|word| word.split_once('=')).map(|(_, file)| file) {
            let what = format!(
                "{file} holds how ZooKeeper proves to others who it is; it is not taken over, and an apply leaves it as it is"
            );
            notes.push(Note { place: host.name.to_string(), what });
        }
        if !options.is_empty() {
            config.entry(JAVA_OPTIONS.to_owned()).or_default().insert(options.join(" "));
        }
    }
    quorum_auth(text, &shown, &mut config, notes);
    let mut lines = String::new();
    for (key, values) in &config {
        if values.len() > 1 {
            let what = format!(
                "{key} differs between servers: {}",
                values.iter().cloned().collect::<Vec<_>>().join(", ")
            );
            notes.push(Note { place: "zoo.cfg".to_owned(), what });
        }
        if let Some(value) =
            values.first().filter(|value| key != "dataDir" || *value != "/var/lib/zookeeper")
        {
            let _ = writeln!(lines, "    {key}: {}", template(value));
        }
    }
    if !lines.is_empty() {
        let _ = write!(text, "  config:\n{lines}");
    }
}

/// What a server does about SASL with the others, where an apply has told it so.
fn ours_of(server: &Process) -> Option<Sasl> {
    Sasl::read(&server.words.iter().map(String::as_str)).filter(Sasl::is_on)
}

/// SASL between servers as an apply has set it: by its principals, not by the lines that these become.
fn quorum_auth(
    text: &mut String,
    shown: &BTreeSet<Sasl>,
    config: &mut BTreeMap<String, BTreeSet<String>>,
    notes: &mut Vec<Note>,
) {
    let Some(sasl) = shown.first() else { return };
    config.retain(|key, _| !key.starts_with(QUORUM_AUTH_KEYS) && key != "quorum.cnxn.threads.size");
    let place = || "quorum_auth".to_owned();
    let both = ["ZOOKEEPER_QUORUM_SECRET", "ZOOKEEPER_FORMER_QUORUM_SECRET"];
    let named = |(principal, variable): (&String, &str)| {
        format!("principal: {}, secret: {{ env: {variable} }}", word(principal))
    };
    let mut all = sasl.principals.iter().zip(both).map(named);
    let now = all.next().unwrap_or_default();
    let former = all.next().map_or(String::new(), |it| format!(", former: {{ {it} }}"));
    let _ = writeln!(text, "  quorum_auth: {{ {now}{former} }}");
    for (principal, variable) in sasl.principals.iter().zip(both) {
        let what = format!(
            "the secret of {principal} is not taken: give it in {variable}, or write where it is"
        );
        notes.push(Note { place: place(), what });
    }
    if shown.len() > 1 || sasl.shows != sasl.principals.first().cloned() || sasl.open {
        let what =
            "servers are on their way from one quorum_auth to another; an apply goes on with it";
        notes.push(Note { place: place(), what: what.to_owned() });
    }
}
