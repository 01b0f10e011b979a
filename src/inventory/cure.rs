//! What to do about a problem: a cure for each of them. One that has none of its own gets that of its key's
//! declaration, or that of its name; and what only follows from another mistake is left out.

use std::sync::OnceLock;

use super::explain;
use super::settings::{Setting, Shape};
use super::yaml::{Kind, Node};
use super::{grammar, root};
use crate::ground::problem::Problem;

/// The cure for a value of a wrong kind at a path.
pub(super) fn of_value(path: &str, node: &Node, what: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or_default();
    let text = match &node.kind {
        Kind::Scalar { text, .. } if !node.is_null() => Some(text.as_str()),
        Kind::Scalar { .. } => return "write a value or delete the line".to_owned(),
        _ => None,
    };
    let segments: Vec<&str> = path.split('.').collect();
    match (&segments[..], text) {
        (["hosts", host], Some(address)) => {
            return format!("write {host}: {{ address: {} }}", super::decode::clipped(address));
        }
        (["mesos", "agents", key], _) if pool_keys().iter().any(|name| name == key) => {
            return UNNAMED_POOL.to_owned();
        }
        (["zookeeper", "servers"], _) => {
            return "write each host with its myid: { m1: 1, m2: 2, m3: 3 }".to_owned();
        }
        (_, Some(_)) if last == "secret" => {
            return "a secret itself never stands in an inventory; say where it is: { env: NAME }, or file, command, prompt: true".to_owned();
        }
        _ => {}
    }
    // Below a key of the user's own the words are those of what stands there.
    let of_text = text.and_then(|text| near(text, what, last));
    of_text.or_else(|| example(path)).unwrap_or_else(|| see(path))
}

/// The cure for a key that is missing at a path.
pub(super) fn of_missing(path: &str) -> String {
    match path {
        "mesos.package" => return PACKAGE.to_owned(),
        "version" => return "write version: 1".to_owned(),
        "mesos" | "zookeeper" | "hosts" => {
            return format!(
                "`provision init` writes one; `provision explain {path}` says what it takes"
            );
        }
        _ => {}
    }
    example(path).unwrap_or_else(|| see(path))
}

/// The cure for an unknown key that means something to others.
pub(super) fn of_unknown(path: &str, key: &str) -> Option<&'static str> {
    let host = path.starts_with("hosts.") && path.matches('.').count() == 1;
    match key {
        "ansible_host" | "ip" | "host" | "ip_address" | "private_ip" if host => Some(
            "the address of a host is written address: 10.0.0.1; where ssh goes, if elsewhere, ssh: { host: NAME }",
        ),
        "ansible_user" | "user" | "ansible_ssh_user" if host => {
            Some("write it below `ssh`: ssh: { user: ops }")
        }
        "ansible_port" | "port" | "ansible_ssh_port" if host => {
            Some("write it below `ssh`: ssh: { port: 2222 }")
        }
        "ansible_become" | "become" if host => Some("write it below `ssh`: ssh: { become: true }"),
        "ansible_ssh_private_key_file" | "identity_file" | "private_key" if host => {
            Some("write it below `ssh`: ssh: { identity_file: ~/.ssh/id_ed25519 }")
        }
        _ if key.starts_with("ansible_") => {
            Some("Ansible's own variables mean nothing here; `ssh` says how hosts are reached")
        }
        "hosts" if path == "zookeeper" => Some(
            "hosts of the ensemble are written with their myid: servers: { m1: 1, m2: 2, m3: 3 }",
        ),
        "quorum" if path == "mesos.masters" => {
            Some("the quorum is computed from the number of masters; leave it out")
        }
        _ => None,
    }
}

/// What is done about a problem of this name where it says nothing better itself.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    CURES.iter().find(|(of, _)| *of == name).map(|(_, cure)| *cure)
}

const CURES: &[(&str, &str)] = &[
    (
        "bad-flag-value",
        "write a value that Mesos takes; `provision explain mesos.agents.flags.NAME` says which",
    ),
    ("bad-name", "use letters, digits, `-`, `_` and `.`"),
    (
        "bad-range",
        "write one range, its lower end first and a colon between: a[1:4], a[01:20] for leading zeros",
    ),
    (
        "bad-role",
        "use letters, digits, `-`, `_` and `.`, and `/` between the parts of a nested role",
    ),
    ("bad-version", "write the version's numbers as Mesos or Spark names them, such as 1.11.0"),
    ("bad-weight", "write a number such as 2 or 0.5"),
    ("bad-address", "write an IP address that the other hosts reach it by"),
    ("empty-list", "name at least one host"),
    ("host-in-two-pools", "take it out of one of them"),
    ("missing-reason", "write why it may be: allow: { LINT: \"the reason\" }"),
    ("missing-file", "mend the path; a relative one begins beside the inventory"),
    ("one-of", "keep one of them"),
    (
        "two-secrets",
        "give it one secret; to rotate, add a new principal and put the old one into `former`",
    ),
    ("unsafe-text", "write it in one line, without control characters"),
    ("too-many-hosts", "name fewer hosts, or split the cluster"),
    ("unknown-host", "add it to `hosts` or take it out here"),
    ("wrong-type", "write a value of that kind"),
    ("yaml-syntax", "mend the YAML there; a text with `:`, `{`, `[` or `#` in it needs quotes"),
    ("yaml-too-deep", "nest less; no setting stands deeper than a few levels"),
    ("bad-template", "mend the template; docs/inventory.md says which variables there are"),
];

const UNNAMED_POOL: &str =
    "a pool of agents has a name of yours: agents: { workers: { hosts: [a1, a2], … } }";

const PACKAGE: &str = "name the package of Mesos: package: { deb: ./mesos_1.11.0_amd64.deb }, { apt: … }, { preinstalled: true } or { built: /usr/local }";

/// Gives each problem a cure that has none.
pub(super) fn complete(problems: &mut [Problem]) {
    for problem in problems.iter_mut().filter(|problem| problem.help.is_none()) {
        if let Some((message, meant)) = problem.message.rsplit_once("; did you mean ") {
            problem.help = Some(format!("did you mean {}?", meant.trim_end_matches('?')));
            problem.message = message.to_owned();
            continue;
        }
        if let Some((message, what)) = problem.message.rsplit_once("; write ") {
            problem.help = Some(format!("write {what}"));
            problem.message = message.to_owned();
            continue;
        }
        problem.help = of_name(problem.name).map(str::to_owned);
    }
}

/// Leaves out what only follows from another mistake: hosts whose line was refused are not unknown, an address
/// under another key is not missing, and what stands beside the hosts of an unnamed pool is no pool.
pub(super) fn without_follow_ups(problems: &mut Vec<Problem>, hosts: &[String]) {
    let says =
        |problems: &[Problem], start: &str| problems.iter().any(|it| it.message.starts_with(start));
    let refused: Vec<String> = hosts
        .iter()
        .filter(|host| {
            let own = [format!("`hosts.{host}`"), format!("`hosts.{host}.")];
            let in_key = host.contains('[') && says(problems, "`[");
            in_key
                || own.iter().any(|start| says(problems, start))
                || unknown_in(problems, host).is_some()
        })
        .map(|host| host.split('[').next().unwrap_or_default().to_owned())
        .collect();
    let elsewhere: Vec<String> = hosts
        .iter()
        .filter(|host| unknown_in(problems, host).is_some_and(|cure| cure.contains("address:")))
        .map(|host| format!("`hosts.{host}.address` is missing"))
        .collect();
    // A list that was refused is not empty.
    let lists = problems.iter().filter(|it| it.name == "wrong-type");
    let lists = lists.filter_map(|it| it.message.strip_prefix('`')?.split_once("`: "));
    let empty: Vec<String> = lists
        .map(|(path, _)| {
            match path.strip_prefix("mesos.agents.").and_then(|it| it.split_once('.')) {
                Some((pool, "hosts")) => format!("pool `{pool}` "),
                _ => format!("`{path}` "),
            }
        })
        .collect();
    let unnamed = problems.iter().any(|it| it.help.as_deref() == Some(UNNAMED_POOL));
    let pools: Vec<String> = pool_keys().iter().map(|key| format!("`mesos.agents.{key}")).collect();
    problems.retain(|problem| {
        let about = |start: &String| problem.message.contains(start.as_str());
        match problem.name {
            "unknown-host" => {
                !refused.iter().any(|host| problem.message.starts_with(&format!("`{host}")))
            }
            "empty-list" => !empty.iter().any(|said| problem.message.starts_with(said.as_str())),
            "missing-key" if elsewhere.contains(&problem.message) => false,
            "missing-key" | "unknown-key" | "wrong-type" if unnamed && pools.iter().any(about) => {
                problem.help.as_deref() == Some(UNNAMED_POOL)
            }
            _ => true,
        }
    });
    let mut seen = false;
    problems.retain(|it| {
        it.help.as_deref() != Some(UNNAMED_POOL) || !std::mem::replace(&mut seen, true)
    });
}

/// The cure of a key of a host's line that is written elsewhere.
fn unknown_in<'p>(problems: &'p [Problem], host: &str) -> Option<&'p str> {
    let end = format!(" in `hosts.{host}`");
    let mut own =
        problems.iter().filter(|it| it.name == "unknown-key" && it.message.ends_with(&end));
    own.find_map(|it| it.help.as_deref().filter(|cure| cure.contains("address:")))
}

/// What somebody meant who writes as elsewhere.
fn near(text: &str, what: &str, key: &str) -> Option<String> {
    let text = text.trim();
    if what.starts_with("true or false") {
        let word = match text.to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "1" => "true",
            "no" | "n" | "off" | "0" => "false",
            _ => return Some(format!("write {key}: true or {key}: false")),
        };
        return Some(format!("write {key}: {word}"));
    }
    if what.starts_with("memory") {
        return bytes(text).map(|bytes| format!("write {key}: {bytes}"));
    }
    if what.starts_with("a duration") {
        return duration(text).map(|duration| format!("write {key}: {duration}"));
    }
    if what.starts_with("a list") {
        return Some(format!("write {key}: [{}]", super::decode::clipped(text)));
    }
    None
}

/// What somebody meant who writes bytes as Kubernetes or Java do, or leaves out the unit.
pub(super) fn bytes(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: f64 = digits.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)?;
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" if number >= 64.0 => "MB",
        "" | "g" | "gi" | "gb" | "gib" => "GB",
        "k" | "ki" | "kb" | "kib" => "KB",
        "m" | "mi" | "mb" | "mib" => "MB",
        "t" | "ti" | "tb" | "tib" => "TB",
        _ => return None,
    };
    let meant = format!("{digits}{unit}");
    grammar::bytes(&meant).map(|_| meant)
}

/// The same of durations.
fn duration(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "secs",
        "m" | "min" | "mins" | "minute" | "minutes" => "mins",
        "h" | "hr" | "hrs" | "hour" | "hours" => "hrs",
        "d" | "day" | "days" => "days",
        _ => return None,
    };
    let meant = format!("{digits}{unit}");
    grammar::duration(&meant).map(|_| meant)
}

/// `port: 2222`, from the declaration of the key.
fn example(path: &str) -> Option<String> {
    let setting = setting(path)?;
    let value = setting.examples.first().copied().or_else(|| {
        let plain = setting.default.filter(|default| !["", "{}", "[]"].contains(default));
        plain.or_else(|| of_shape(&setting.shape))
    })?;
    Some(format!("write it like {}: {value}", setting.name))
}

fn of_shape(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::List(values) if matches!(**values, Shape::Scalar { .. }) => Some("[m1, m2, m3]"),
        _ => None,
    }
}

fn see(path: &str) -> String {
    match explain::explain(path) {
        Ok(_) if path.is_empty() => "`provision init` writes an inventory to begin with".to_owned(),
        Ok(_) => format!("`provision explain {path}` says what it takes"),
        Err(_) => "`provision explain` says what an inventory takes".to_owned(),
    }
}

fn shape() -> &'static Shape {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    SHAPE.get_or_init(root::shape)
}

/// The declaration of the key at a path.
fn setting(path: &str) -> Option<&'static Setting> {
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut shape = shape();
    for step in above.split('.').filter(|step| !step.is_empty()) {
        shape = shape.child(step)?;
    }
    shape.settings().into_iter().find(|setting| setting.name == name)
}

/// The keys of a pool.
fn pool_keys() -> Vec<&'static str> {
    let pool =
        shape().child("mesos").and_then(|it| it.child("agents")).and_then(|it| it.child("NAME"));
    pool.map(|pool| pool.settings().iter().map(|setting| setting.name).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_is_understood() {
        for (text, meant) in [
            ("16384", "16384MB"),
            ("28Gi", "28GB"),
            ("28g", "28GB"),
            ("16", "16GB"),
            ("512 m", "512MB"),
        ] {
            assert_eq!(bytes(text).as_deref(), Some(meant));
        }
        assert_eq!(bytes("lots"), None);
        for (text, meant) in [("30s", "30secs"), ("5m", "5mins"), ("10", "10secs"), ("2h", "2hrs")]
        {
            assert_eq!(duration(text).as_deref(), Some(meant));
        }
        assert_eq!(near("yes", "true or false", "become").as_deref(), Some("write become: true"));
    }
}
