//! `docker.daemon`: the keys of /etc/docker/daemon.json with what each takes. The engine does not start with a
//! key or a type that it does not know, and every container of its agent is gone by then.
//!
//! Source: Docker's reference of dockerd, "daemon configuration file", and moby v27 `daemon/config/config.go`.

use serde_json::{Map, Value};

use super::decode::{Cx, nearest};
use crate::ground::problem::{Place, Problem};

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// Text.
    Text,
    /// A list.
    List,
    /// A map of anything.
    Map,
    /// A map of text; the engine refuses numbers in it.
    Texts,
    /// A list of where the engine listens, beside what its unit says.
    Hosts,
    /// None of an inventory's.
    Refused(&'static str),
}

const KEYS: &[(&str, Kind)] = &[
    ("allow-nondistributable-artifacts", Kind::List),
    ("api-cors-header", Kind::Text),
    ("authorization-plugins", Kind::List),
    ("bip", Kind::Text),
    ("bip6", Kind::Text),
    ("bridge", Kind::Text),
    ("builder", Kind::Map),
    ("cdi-spec-dirs", Kind::List),
    ("cgroup-parent", Kind::Text),
    ("containerd", Kind::Text),
    ("containerd-namespace", Kind::Text),
    ("containerd-plugin-namespace", Kind::Text),
    ("cpu-rt-period", Kind::Number),
    ("cpu-rt-runtime", Kind::Number),
    ("data-root", Kind::Text),
    ("debug", Kind::Bool),
    ("default-address-pools", Kind::List),
    ("default-cgroupns-mode", Kind::Text),
    ("default-gateway", Kind::Text),
    ("default-gateway-v6", Kind::Text),
    ("default-ipc-mode", Kind::Text),
    ("default-network-opts", Kind::Map),
    ("default-runtime", Kind::Text),
    ("default-shm-size", Kind::Text),
    ("default-ulimits", Kind::Map),
    ("dns", Kind::List),
    ("dns-opts", Kind::List),
    ("dns-search", Kind::List),
    ("exec-opts", Kind::List),
    ("exec-root", Kind::Text),
    ("experimental", Kind::Bool),
    ("features", Kind::Map),
    ("fixed-cidr", Kind::Text),
    ("fixed-cidr-v6", Kind::Text),
    ("group", Kind::Text),
    ("host-gateway-ip", Kind::Text),
    ("hosts", Kind::Hosts),
    ("icc", Kind::Bool),
    ("init", Kind::Bool),
    ("init-path", Kind::Text),
    ("insecure-registries", Kind::List),
    ("ip", Kind::Text),
    ("ip-forward", Kind::Bool),
    ("ip-masq", Kind::Bool),
    ("ip6tables", Kind::Bool),
    ("iptables", Kind::Bool),
    ("ipv6", Kind::Bool),
    ("labels", Kind::List),
    ("live-restore", Kind::Bool),
    ("log-driver", Kind::Text),
    ("log-format", Kind::Text),
    ("log-level", Kind::Text),
    ("log-opts", Kind::Texts),
    ("max-concurrent-downloads", Kind::Number),
    ("max-concurrent-uploads", Kind::Number),
    ("max-download-attempts", Kind::Number),
    ("metrics-addr", Kind::Text),
    ("mtu", Kind::Number),
    ("network-control-plane-mtu", Kind::Number),
    ("no-new-privileges", Kind::Bool),
    ("node-generic-resources", Kind::List),
    ("oom-score-adjust", Kind::Number),
    ("pidfile", Kind::Text),
    ("proxies", Kind::Texts),
    ("raw-logs", Kind::Bool),
    ("registry-mirrors", Kind::List),
    ("rootless", Kind::Refused("executors of Mesos need an engine of root's")),
    ("runtimes", Kind::Map),
    ("seccomp-profile", Kind::Text),
    ("selinux-enabled", Kind::Bool),
    ("shutdown-timeout", Kind::Number),
    ("storage-driver", Kind::Text),
    ("storage-opts", Kind::List),
    ("swarm-default-advertise-addr", Kind::Text),
    ("tls", Kind::Bool),
    ("tlscacert", Kind::Text),
    ("tlscert", Kind::Text),
    ("tlskey", Kind::Text),
    ("tlsverify", Kind::Bool),
    ("userland-proxy", Kind::Bool),
    ("userland-proxy-path", Kind::Text),
    ("userns-remap", Kind::Text),
];

/// Values of the maps of text as text, and every mistake reported.
pub(super) fn checked(cx: &mut Cx, mut daemon: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in &mut daemon {
        let place = cx.places.get(&format!("docker.daemon.{key}")).cloned();
        let Some((_, kind)) = KEYS.iter().find(|(known, _)| known == key) else {
            cx.problems.push(unknown(place, key));
            continue;
        };
        if let (Kind::Texts, Value::Object(map)) = (kind, &mut *value) {
            for value in map.values_mut().filter(|it| it.is_number() || it.is_boolean()) {
                *value = Value::String(value.to_string());
            }
        }
        cx.problems.extend(wrong(place, key, *kind, value));
    }
    daemon
}

fn unknown(place: Option<Place>, key: &str) -> Problem {
    let message =
        format!("daemon.json has no `{key}`, and the engine refuses what it does not know");
    match nearest(key, KEYS.iter().map(|(name, _)| *name)) {
        Some(near) => {
            Problem::error(place, "unknown-option", message).help(format!("did you mean `{near}`?"))
        }
        // A later engine may.
        None => Problem::warning(place, "unknown-option", message)
            .help("delete the line, or allow this if your engine reads it"),
    }
}

fn wrong(place: Option<Place>, key: &str, kind: Kind, value: &Value) -> Option<Problem> {
    let (good, wanted) = match kind {
        Kind::Bool => (value.is_boolean(), "true or false"),
        Kind::Number => (value.is_number(), "a number"),
        Kind::Text => (value.is_string(), "text"),
        Kind::List => (value.is_array(), "a list"),
        Kind::Hosts if value.as_array().is_some_and(|all| all.iter().any(|it| it == "fd://")) => {
            let message = "`hosts` cannot hold fd://: Debian's unit says so already, and the engine refuses it twice";
            return Some(Problem::error(place, "bad-option", message).help("delete the line"));
        }
        Kind::Hosts => (value.is_array(), "a list"),
        Kind::Map => (value.is_object(), "a map"),
        Kind::Texts => {
            let map = value.as_object();
            (map.is_some_and(|map| map.values().all(Value::is_string)), "a map of text")
        }
        Kind::Refused(why) => {
            let message = format!("`{key}` cannot stand in `docker.daemon`: {why}");
            return Some(Problem::error(place, "bad-option", message).help("delete the line"));
        }
    };
    let message = format!("`{key}` of daemon.json takes {wanted}");
    (!good).then(|| {
        let help = format!("write it so; the engine would not start with {value}");
        Problem::error(place, "bad-option", message).help(help)
    })
}
