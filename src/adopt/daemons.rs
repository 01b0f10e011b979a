//! Masters and agents: what of their flags an inventory says, and where.

use std::collections::BTreeMap;

use super::Note;
use super::ask::{Machine, Process};
use crate::inventory::{AgentUnit, owned_variable};
use crate::mesos::flags::{Component, ValueKind, find};
use crate::mesos::process::{Flags, same};
use crate::mesos::versions::Version;

/// A master or an agent as an inventory says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Daemon {
    /// What stands under `flags`.
    pub(super) flags: Flags,
    /// What stands under `env`.
    pub(super) env: BTreeMap<String, String>,
    /// What others are told that its host is called.
    pub(super) hostname: Option<String>,
    /// Port that it listens on.
    pub(super) port: String,
    /// Where masters and agents meet.
    pub(super) zk: String,
    /// Agents: attributes as Mesos writes them.
    pub(super) attributes: String,
    /// Agents: resources as Mesos writes them.
    pub(super) resources: String,
    /// Masters: the quorum that it runs with.
    pub(super) quorum: Option<String>,
    /// Masters: the cluster's name.
    pub(super) cluster: Option<String>,
    /// File of credentials.
    pub(super) credentials: Option<String>,
    /// Masters: whose credentials are asked for.
    pub(super) authenticates: [bool; 2],
}

/// Where files of a daemon are.
struct Where {
    component: Component,
    directory: &'static str,
    unit: &'static str,
}

/// The master of a host.
pub(super) fn master(host: &str, machine: &Machine, notes: &mut Vec<Note>) -> Option<Daemon> {
    let at = Where {
        component: Component::Master,
        directory: "/etc/mesos-master",
        unit: "mesos-master",
    };
    Some(daemon(host, machine, machine.master()?, &at, notes))
}

/// The agent of a host.
pub(super) fn agent(
    host: &str,
    machine: &Machine,
    unit: AgentUnit,
    notes: &mut Vec<Note>,
) -> Option<Daemon> {
    let at = Where { component: Component::Agent, directory: unit.directory(), unit: unit.name() };
    let mut daemon = daemon(host, machine, machine.agent()?, &at, notes);
    // These two are ours unless said otherwise; what runs has Mesos' own.
    for (name, default) in [("containerizers", "mesos"), ("executor_registration_timeout", "1mins")]
    {
        daemon.flags.entry(name.to_owned()).or_insert_with(|| default.to_owned());
    }
    Some(daemon)
}

/// What the agent's package calls it here.
pub(super) fn unit(machine: &Machine) -> AgentUnit {
    let by = |unit: &AgentUnit| machine.agent().is_some_and(|agent| agent.unit == unit.name());
    let files = |unit: &AgentUnit| {
        let directory = format!("{}/", unit.directory());
        machine.files.keys().any(|path| path.starts_with(&directory))
    };
    let both = AgentUnit::ALL.into_iter();
    let found = both.clone().find(by).or_else(|| both.rev().find(files));
    found.unwrap_or(AgentUnit::Slave)
}

fn daemon(
    host: &str,
    machine: &Machine,
    process: &Process,
    at: &Where,
    notes: &mut Vec<Note>,
) -> Daemon {
    let mut note = |place: String, what: String| notes.push(Note { place, what });
    let mut flags = process.flags(at.component);
    strays(host, machine, at, &flags, &mut note);
    let env = defaults(host, machine, at, &mut note);
    if process.unit != at.unit {
        let runs = match process.unit.as_str() {
            "" => "under no unit".to_owned(),
            unit => format!("under the unit {unit}"),
        };
        let what = format!("its daemon runs {runs}; an apply starts it under {}", at.unit);
        note(host.to_owned(), what);
    } else if process.unit_file.starts_with("/etc/systemd/system/") {
        let what = "this unit is yours and stays; an apply counts on what the package's does";
        note(format!("{host}:{}", process.unit_file), what.to_owned());
    }
    if process.package.is_empty() {
        let what = match process.built() {
            Some(prefix) => format!(
                "{} belongs to no package: a build below {prefix}, which you see to",
                process.program
            ),
            None => format!("{} belongs to no package; an inventory names one", process.program),
        };
        note(host.to_owned(), what);
    }
    let mut daemon = Daemon { env, ..Daemon::default() };
    let mut take = |name: &str| flags.remove(name);
    daemon.hostname = take("hostname");
    daemon.zk = take("zk").or_else(|| take("master")).unwrap_or_default();
    daemon.port = take("port").unwrap_or_else(|| match at.component {
        Component::Master => "5050".to_owned(),
        Component::Agent => "5051".to_owned(),
    });
    daemon.attributes = take("attributes").unwrap_or_default();
    daemon.resources = take("resources").unwrap_or_default();
    daemon.quorum = take("quorum");
    daemon.cluster = take("cluster");
    daemon.credentials = take("credentials").or_else(|| take("credential"));
    daemon.authenticates = [
        ["authenticate_agents", "authenticate_slaves"],
        ["authenticate_frameworks", "authenticate"],
    ]
    .map(|names| names.into_iter().filter_map(&mut take).any(|value| value != "false"));
    match take("log_dir") {
        Some(path) if path != "/var/log/mesos" => {
            note(host.to_owned(), format!("it logs to {path}; an apply makes that /var/log/mesos"));
        }
        Some(_) => {}
        None => note(host.to_owned(), "it has no log_dir; an apply makes it /var/log/mesos".into()),
    }
    if take("ip").is_none() {
        let what = "it listens on every address; an apply makes that the host's `address`";
        note(host.to_owned(), what.to_owned());
    }
    for name in [
        "weights",
        "roles",
        "default_role",
        "ip_discovery_command",
        "master_detector",
        "master_contender",
    ] {
        if let Some(value) = take(name) {
            note(host.to_owned(), format!("the flag {name}={value} is not taken over"));
        }
    }
    for (name, value) in &flags {
        let json = find(at.component, name).is_some_and(|row| row.kind_of_value == ValueKind::Json);
        let path = value.strip_prefix("file://").unwrap_or(value);
        if path.starts_with('/') && (json || value.starts_with("file://")) {
            let what = format!(
                "the flag {name} points to it; it stays as it is, until it is named in `files`"
            );
            note(format!("{host}:{path}"), what);
        }
    }
    if flags.get("work_dir").map(String::as_str) == Some("/var/lib/mesos") {
        flags.remove("work_dir");
    }
    daemon.flags = flags;
    daemon
}

/// Files whose every one is a flag, held against what runs.
fn strays(
    host: &str,
    machine: &Machine,
    at: &Where,
    flags: &Flags,
    note: &mut impl FnMut(String, String),
) {
    let directory = format!("{}/", at.directory);
    let version = crate::mesos::flags::last_release();
    for (path, text) in &machine.files {
        let Some(name) = path.strip_prefix(&directory) else { continue };
        // `attributes/` and `resources/` are joined by the wrapper.
        if name.contains('/') {
            continue;
        }
        let plain = name.trim_start_matches('?');
        let plain = plain.strip_prefix("no-").filter(|_| name.starts_with('?')).unwrap_or(plain);
        let place = format!("{host}:{path}:1");
        match flags.get(plain) {
            None => note(place, format!("no flag {plain} of what runs; it is not taken over")),
            Some(runs) => {
                let says = text.trim_end_matches('\n');
                let differs = !same(at.component, plain, says, runs, &version);
                if !name.starts_with('?') && differs {
                    let what = format!(
                        "it says {says}, and what runs was started with {runs}, which is taken over"
                    );
                    note(place, what);
                }
            }
        }
    }
}

/// Variables of /etc/default that are no flags and that ours do not set; lines that do more than set one are told.
fn defaults(
    host: &str,
    machine: &Machine,
    at: &Where,
    note: &mut impl FnMut(String, String),
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for path in ["/etc/default/mesos".to_owned(), format!("/etc/default/{}", at.unit)] {
        let Some(text) = machine.files.get(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let name = line.split('=').next().unwrap_or(line);
            match line.split_once('=').and_then(|(_, value)| assigned(value)) {
                Some(value) if (name, value) == ("ULIMIT", "-n 8192") => {}
                _ if !name.starts_with("LIBPROCESS_SSL_")
                    && owned_variable(at.component, name).is_some() => {}
                Some(value) if !name.starts_with("LIBPROCESS_SSL_") && is_name(name) => {
                    env.insert(name.to_owned(), value.to_owned());
                }
                _ => {
                    let what =
                        format!("`{name}` is not taken over; an apply writes this file anew");
                    note(format!("{host}:{path}:{}", number + 1), what);
                }
            }
        }
    }
    env
}

fn is_name(text: &str) -> bool {
    let word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// The value that a shell assigns, where it is there to be read.
fn assigned(written: &str) -> Option<&str> {
    let within = |quote: char| {
        let inner = written.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:,+@%=-".contains(c);
    within('\'')
        .or_else(|| within('"').filter(|inner| !inner.contains(['$', '`', '\\'])))
        .or_else(|| written.chars().all(plain).then_some(written))
}

/// The values that most have, and where others differ: of flags, or of what else is called so.
pub(super) fn agreed<'a>(
    all: &'a [(String, Daemon)],
    (what, of): (&str, impl Fn(&Daemon) -> &BTreeMap<String, String>),
    notes: &mut Vec<Note>,
) -> BTreeMap<&'a str, &'a str> {
    let mut agreed: BTreeMap<&str, &str> = BTreeMap::new();
    let names = all.iter().flat_map(|(_, daemon)| of(daemon).keys());
    for name in names {
        let mut counts: BTreeMap<Option<&String>, usize> = BTreeMap::new();
        for (_, daemon) in all {
            *counts.entry(of(daemon).get(name)).or_default() += 1;
        }
        let Some((most, _)) = counts.iter().max_by_key(|(_, count)| **count) else { continue };
        if let Some(value) = most {
            agreed.insert(name, value);
        }
        if counts.len() > 1 {
            for (host, daemon) in all.iter().filter(|(_, it)| of(it).get(name) != *most) {
                let own = of(daemon).get(name).map_or("not given", String::as_str);
                let rest = most.map_or("not given", String::as_str);
                let what = format!(
                    "the {what} {name} is {own} here and {rest} on the other masters; masters have one value"
                );
                let note = Note { place: host.clone(), what };
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
    agreed
}

/// A Debian version without epoch and revision.
pub(super) fn upstream(version: &str) -> Option<String> {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    Version::parse(upstream).ok().map(|it| it.as_str().to_owned())
}
