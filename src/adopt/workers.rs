//! Sections of an inventory that are about agents: pools, the Docker engine, Spark.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Note;
use super::inventory::Host;
use super::names::{self, quoted};
use super::yaml::{template, word};
use crate::ground::HostName;
use crate::inventory::HOST_ATTRIBUTE;
use crate::mesos::flags::last_release;
use crate::mesos::values::{Attributes, Resources, UNRESERVED};

/// Settings that make hosts of one pool.
type Alike = (String, String, [BTreeMap<String, String>; 2], bool, String);

pub(super) fn pools(text: &mut String, hosts: &[Host<'_>], notes: &mut Vec<Note>) {
    let version = last_release();
    let mut pools: Vec<(Alike, Vec<HostName>)> = Vec::new();
    for host in hosts {
        let Some(agent) = &host.agent else { continue };
        let parsed = Attributes::parse(&agent.attributes, &version).unwrap_or_default();
        let marked =
            parsed.0.get(HOST_ATTRIBUTE).is_some_and(|it| it.to_string() == host.name.as_str());
        let attributes: Vec<String> = parsed
            .0
            .iter()
            .filter(|(name, _)| *name != HOST_ATTRIBUTE)
            .map(|(name, value)| format!("{}: {}", word(name), template(&value.to_string())))
            .collect();
        let mut resources = String::new();
        if let Ok(all) = Resources::parse(&agent.resources, &version) {
            resources = resources_text(&all);
        }
        let values = [agent.flags.clone(), agent.env.clone()];
        let alike = (attributes.join(", "), resources, values, marked, agent.port.clone());
        match pools.iter_mut().find(|(other, _)| *other == alike) {
            Some((_, names)) => names.push(host.name.clone()),
            None => pools.push((alike, vec![host.name.clone()])),
        }
    }
    if pools.is_empty() {
        return;
    }
    let _ = writeln!(text, "  agents:");
    for (index, ((attributes, resources, values, marked, port), names)) in pools.iter().enumerate()
    {
        let name = if index == 0 { "workers".to_owned() } else { format!("workers-{}", index + 1) };
        let _ = writeln!(text, "    {name}:\n      hosts: {}", names::list(names));
        if port != "5051" {
            let _ = writeln!(text, "      port: {port}");
        }
        if !marked {
            let _ = writeln!(
                text,
                "      # They would start anew under new ids, and what runs on them would end."
            );
            let _ = writeln!(text, "      host_attribute: false");
            let what =
                "agents do not announce `provision_host`, so no Pi is pinned to them".to_owned();
            notes.push(Note { place: name.clone(), what });
        }
        if !attributes.is_empty() {
            let _ = writeln!(text, "      attributes: {{ {attributes} }}");
        }
        text.push_str(resources);
        for (section, values) in ["flags", "env"].iter().zip(values) {
            if !values.is_empty() {
                let _ = writeln!(text, "      {section}:");
            }
            for (name, value) in values {
                let _ = writeln!(text, "        {name}: {}", template(value));
            }
        }
    }
}

/// `resources` and `reserved` of a pool: the total, and what of it is a role's alone.
fn resources_text(all: &Resources) -> String {
    let mut text = String::new();
    let with_unit = |name: &str, value: &str| match name {
        "mem" | "disk" => format!("{value}MB"),
        _ => value.to_owned(),
    };
    let pair =
        |name: &str, value: &str| format!("{}: {}", word(name), word(&with_unit(name, value)));
    let totals: Vec<String> =
        all.totals().iter().map(|(name, value)| pair(name, &value.to_string())).collect();
    if !totals.is_empty() {
        let _ = writeln!(text, "      resources: {{ {} }}", totals.join(", "));
    }
    let mut roles: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((name, role), value) in all.0.iter().filter(|((_, role), _)| role != UNRESERVED) {
        roles.entry(role).or_default().push(pair(name, &value.to_string()));
    }
    if !roles.is_empty() {
        let _ = writeln!(text, "      reserved:");
        for (role, pairs) in roles {
            let _ = writeln!(text, "        {}: {{ {} }}", word(role), pairs.join(", "));
        }
    }
    text
}

pub(super) fn docker(text: &mut String, hosts: &[Host<'_>], notes: &mut Vec<Note>) {
    let agents: Vec<&Host<'_>> = hosts.iter().filter(|host| host.agent.is_some()).collect();
    let with = |host: &&&Host<'_>| host.machine.process(&["dockerd"]).is_some();
    let mut daemons: BTreeMap<String, Vec<&HostName>> = BTreeMap::new();
    for host in agents.iter().filter(with) {
        let path = "/etc/docker/daemon.json";
        let json = host.machine.files.get(path).map_or("{}", String::as_str);
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) {
            Ok(map) => {
                let text = serde_json::Value::Object(map).to_string();
                daemons.entry(text).or_default().push(&host.name);
            }
            Err(why) => {
                let what = format!("it is no JSON: {why}");
                notes.push(Note { place: format!("{}:{path}:{}", host.name, why.line()), what });
            }
        }
    }
    let Some((daemon, _)) = daemons.iter().max_by_key(|(_, hosts)| hosts.len()) else {
        if let Some(host) = agents.first() {
            let what = "no Docker engine runs on the agents; an apply installs one";
            notes.push(Note { place: host.name.to_string(), what: what.to_owned() });
        }
        return;
    };
    for (_, others) in daemons.iter().filter(|(text, _)| *text != daemon) {
        for host in others {
            let what = "it differs from other agents'; an apply makes it theirs".to_owned();
            notes.push(Note { place: format!("{host}:/etc/docker/daemon.json"), what });
        }
    }
    let packages = agents.iter().filter_map(|host| host.machine.process(&["dockerd"]));
    let package = packages.map(|it| it.package.as_str()).next().unwrap_or("");
    let package = if package.is_empty() { "docker.io" } else { package };
    let _ = writeln!(text, "docker:\n  package: {}", word(package));
    if daemon != "{}" {
        let _ = writeln!(text, "  daemon: {daemon}");
    }
    let images: BTreeSet<&String> = agents.iter().flat_map(|host| &host.machine.images).collect();
    if !images.is_empty() {
        let all: Vec<String> = images.into_iter().cloned().collect();
        let what = format!("agents hold the images {}; they stay", all.join(", "));
        notes.push(Note { place: "docker".to_owned(), what });
    }
}

/// Commented out: the archive that it was unpacked from is not on the hosts.
pub(super) fn spark(text: &mut String, hosts: &[Host<'_>], notes: &mut Vec<Note>) {
    let found: Vec<(&Host<'_>, &String, &String)> = hosts
        .iter()
        .flat_map(|host| {
            host.machine.sparks.iter().map(move |(home, release)| (host, home, release))
        })
        .collect();
    let Some((first, home, release)) = found.first() else { return };
    let version = release.split_whitespace().nth(1).unwrap_or("3.5.1");
    let clients: Vec<HostName> = found
        .iter()
        .map(|(host, ..)| host.name.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let _ = writeln!(
        text,
        "# Spark is there already; name the archive that it comes from and take out the `#`."
    );
    let _ = writeln!(text, "# spark:\n#   version: {}", quoted(version));
    let _ = writeln!(text, "#   archive: {{ path: ./spark-{version}.tgz }}");
    let _ = writeln!(text, "#   clients: {{ hosts: {} }}", names::list(&clients));
    let dispatchers =
        hosts.iter().filter(|it| it.machine.process(&["MesosClusterDispatcher"]).is_some());
    let dispatchers: Vec<HostName> = dispatchers.map(|it| it.name.clone()).collect();
    if !dispatchers.is_empty() {
        let _ = writeln!(text, "#   dispatcher: {{ hosts: {} }}", names::list(&dispatchers));
    }
    let path = format!("{home}/conf/spark-defaults.conf");
    let lines = first.machine.files.get(&path).map_or("", String::as_str);
    let settings: Vec<(usize, &str, &str)> = lines
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim().starts_with('#'))
        .filter_map(|(number, line)| {
            let (key, value) =
                line.trim().split_once(|c: char| c.is_whitespace() || "=:".contains(c))?;
            Some((
                number + 1,
                key,
                value.trim_start_matches(|c: char| c.is_whitespace() || "=:".contains(c)).trim(),
            ))
        })
        .collect();
    let secret = |value: &str| value == "<secret>";
    if settings.iter().any(|(_, _, value)| !secret(value)) {
        let _ = writeln!(text, "#   defaults:");
    }
    for (number, key, value) in settings {
        if secret(value) {
            let what = format!(
                "{key} is a secret and not taken; see `credentials` and spark.mesos.driver.secret.*"
            );
            notes.push(Note { place: format!("{}:{path}:{number}", first.name), what });
        } else {
            let _ = writeln!(text, "#     {key}: {}", template(value));
        }
    }
    for (host, home, release) in &found {
        let what = format!("{home} ({release}) stays; ours goes to /opt/spark-VERSION beside it");
        notes.push(Note { place: host.name.to_string(), what });
        let path = format!("{home}/conf/spark-env.sh");
        for (number, line) in
            host.machine.files.get(&path).map_or("", String::as_str).lines().enumerate()
        {
            if !line.trim().is_empty() && !line.trim().starts_with('#') {
                let name = line.trim().split('=').next().unwrap_or("");
                let what = format!("`{name}` goes in spark.env if it is still needed");
                notes.push(Note { place: format!("{}:{path}:{}", host.name, number + 1), what });
            }
        }
    }
}
