//! What the process of a daemon was started with, and whether that is what is wanted of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::flags::{Component, Flag, Kind, ValueKind, find};
use super::units::{Bytes, Rate, parse_bool, parse_duration, parse_percent};
use super::values::{Attributes, Resources};
use super::versions::Version;

/// Flags by name, values as text.
pub type Flags = BTreeMap<String, String>;

/// The flags of a command line and an environment, by the names of today. A command line's win.
///
/// Source: stout, `flags/flags.hpp`: `--name=value`, `--name` and `--no-name`; `MESOS_NAME` of the environment.
pub fn given(component: Component, words: &[&str], environment: &[&str]) -> Flags {
    let mut flags = Flags::new();
    for (name, value) in environment.iter().filter_map(|line| line.split_once('=')) {
        let Some(name) = name.strip_prefix("MESOS_") else { continue };
        let name = name.to_lowercase();
        // What libmesos and executors read begins so too.
        if find(component, &name).is_some() {
            flags.insert(today(component, &name), value.to_owned());
        }
    }
    for word in words.iter().filter_map(|word| word.strip_prefix("--")) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value),
            None => match word.strip_prefix("no-") {
                Some(name) => (name, "false"),
                None => (word, "true"),
            },
        };
        flags.insert(today(component, name), value.to_owned());
    }
    flags
}

/// The name of today of a flag.
fn today(component: Component, name: &str) -> String {
    let row = find(component, name).filter(|row| row.kind == Kind::Alias);
    row.and_then(|row| row.other_name.clone()).unwrap_or_else(|| name.to_owned())
}

/// Flags by which a process differs from what is wanted, in order. One that is not given has its default.
pub fn differences<'a>(
    component: Component,
    wanted: &'a Flags,
    given: &'a Flags,
    version: &Version,
) -> BTreeSet<&'a str> {
    let names = wanted.keys().chain(given.keys()).map(String::as_str);
    let default = |name: &str| find(component, name).and_then(|row| row.default.clone());
    let value = |flags: &Flags, name: &str| flags.get(name).cloned().or_else(|| default(name));
    names
        .filter(|name| match (value(wanted, name), value(given, name)) {
            (Some(wanted), Some(given)) => !same(component, name, &wanted, &given, version),
            // It only names the cluster where people look.
            (Some(_), None) => *name != "cluster",
            (None, given) => given.is_some(),
        })
        .collect()
}

/// Whether two values of a flag mean the same.
pub fn same(component: Component, name: &str, a: &str, b: &str, version: &Version) -> bool {
    a == b || meaning(component, name, a, version) == meaning(component, name, b, version)
}

fn meaning(component: Component, name: &str, text: &str, version: &Version) -> String {
    let text = text.trim();
    let known = match (name, find(component, name)) {
        ("attributes", _) => Attributes::parse(text, version).ok().map(|it| it.to_string()),
        ("resources", _) => Resources::parse(text, version).ok().map(|it| it.to_string()),
        ("zk" | "master", _) => ensemble(text),
        (_, Some(row)) => typed(row, text),
        (_, None) => None,
    };
    known.unwrap_or_else(|| text.to_owned())
}

fn typed(flag: &Flag, text: &str) -> Option<String> {
    let debug = |it: &dyn std::fmt::Debug| format!("{it:?}");
    match flag.kind_of_value {
        ValueKind::Bool => parse_bool(text).ok().map(|it| it.to_string()),
        ValueKind::Bytes => text.parse::<Bytes>().ok().map(|it| debug(&it)),
        ValueKind::Duration => parse_duration(text).ok().map(|it| debug(&it)),
        ValueKind::Rate => text.parse::<Rate>().ok().map(|it| debug(&it)),
        ValueKind::Percent => parse_percent(text).ok().map(|it| debug(&it)),
        ValueKind::Double | ValueKind::Int => text.parse::<f64>().ok().map(|it| debug(&it)),
        ValueKind::Json => {
            // Sorted: what is said is the same in any order.
            let value: Json = serde_json::from_str(text).ok()?;
            Some(sorted(&value).to_string())
        }
        ValueKind::Set | ValueKind::IntList | ValueKind::Path | ValueKind::Text => None,
    }
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let all: BTreeMap<&String, Json> = map.iter().map(|(k, v)| (k, sorted(v))).collect();
            Json::Object(all.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Json::Array(list) => Json::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// `zk://a:1,b:2/mesos` with its servers in order.
fn ensemble(text: &str) -> Option<String> {
    let (servers, path) = text.strip_prefix("zk://")?.split_once('/')?;
    let servers: BTreeSet<&str> = servers.split(',').collect();
    Some(format!("{servers:?}/{}", path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(pairs: &[(&str, &str)]) -> Flags {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn differ(component: Component, wanted: &[(&str, &str)], words: &[&str]) -> Vec<String> {
        let (wanted, given) = (flags(wanted), given(component, words, &[]));
        let version = Version::parse("1.11.0").unwrap();
        let all = differences(component, &wanted, &given, &version);
        all.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn flags_are_read_as_the_daemon_reads_them() {
        let words = ["mesos-agent", "--a=b=c", "--strict", "--no-hostname_lookup", "stray"];
        let environment = ["MESOS_PORT=5052", "MESOS_A=x", "MESOS_NATIVE_JAVA_LIBRARY=/x", "X=y"];
        let expected = flags(&[
            ("a", "b=c"),
            ("hostname_lookup", "false"),
            ("port", "5052"),
            ("strict", "true"),
        ]);
        assert_eq!(given(Component::Agent, &words, &environment), expected);
        let old =
            given(Component::Master, &["mesos-master", "--slave_reregister_timeout=1hrs"], &[]);
        assert_eq!(old.keys().collect::<Vec<_>>(), ["agent_reregister_timeout"]);
    }

    #[test]
    fn what_means_the_same_is_no_difference() {
        let wanted = [
            ("zk", "zk://10.0.0.1:2181,10.0.0.2:2181/mesos"),
            ("offer_timeout", "1mins"),
            ("quorum", "2"),
            ("cluster", "x"),
            ("port", "5050"),
        ];
        let words =
            ["--zk=zk://10.0.0.2:2181,10.0.0.1:2181/mesos", "--offer_timeout=60secs", "--quorum=2"];
        assert_eq!(differ(Component::Master, &wanted, &words), Vec::<String>::new());
        let agent = [
            ("attributes", "rack:r1;os:d"),
            ("resources", "cpus:4;mem:1024"),
            ("containerizers", "mesos"),
        ];
        let words = ["--attributes=os:d;rack:r1", "--resources=mem(*):1024;cpus(*):4"];
        assert_eq!(differ(Component::Agent, &agent, &words), Vec::<String>::new());
    }

    #[test]
    fn what_means_something_else_is_named() {
        let wanted = [("quorum", "2"), ("ip", "10.0.0.1"), ("work_dir", "/a")];
        let words = ["--quorum=1", "--work_dir=/a", "--offer_timeout=5secs"];
        assert_eq!(differ(Component::Master, &wanted, &words), ["ip", "offer_timeout", "quorum"]);
        let agent = [("containerizers", "docker,mesos"), ("attributes", "a:b")];
        assert_eq!(
            differ(Component::Agent, &agent, &["--attributes=a:c"]),
            ["attributes", "containerizers"]
        );
    }
}
