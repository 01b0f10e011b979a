//! `-e path=value`: overrides, put into the tree before it is decoded.

use std::sync::Arc;

use super::problem::{Place, Problem};
use super::ranges;
use super::yaml::{self, Key, Kind, Node, Style};

/// Maps whose keys are the user's own and may hold dots: below them the rest of a path is one key.
const FREE: [&str; 13] = [
    "vars",
    "hosts.*.vars",
    "zookeeper.config",
    "zookeeper.servers",
    "mesos.masters.flags",
    "mesos.agents.*.vars",
    "mesos.agents.*.flags",
    "mesos.agents.*.attributes",
    "mesos.agents.*.resources",
    "docker.daemon",
    "spark.defaults",
    "spark.env",
    "allow",
];

/// The keys at the top, which a bare name means before it means a variable.
const SECTIONS: [&str; 15] = [
    "version",
    "cluster",
    "vars",
    "ssh",
    "proxy",
    "hosts",
    "base",
    "zookeeper",
    "mesos",
    "docker",
    "spark",
    "workloads",
    "smoke",
    "retired",
    "allow",
];

/// Puts one override into the tree.
///
/// A bare name sets `vars`. A value that begins with `[` or `{` (but not `{{`) is read as YAML, any
/// other is text.
///
/// # Errors
/// What is wrong with it, at the place `-e path`.
pub(super) fn apply(root: &mut Node, set: &str) -> Result<(), Problem> {
    let Some((path, value)) = set.split_once('=') else {
        let problem = Problem::error(None, "bad-override", "an override has no `=`");
        return Err(problem.help("write -e path=value"));
    };
    let path = path.trim();
    let file: Arc<str> = Arc::from(format!("-e {path}"));
    let place = Place { file, line: 1, column: 1, length: 1 };
    let segments = if path.contains('.') || SECTIONS.contains(&path) {
        split(root, path)
    } else {
        vec!["vars".to_owned(), path.to_owned()]
    };
    if segments.iter().any(String::is_empty) {
        let message = format!("`{path}` is not a path such as mesos.version");
        return Err(Problem::error(Some(place), "bad-override", message));
    }
    let node = value_node(&place, value)?;
    put(root, &segments, &place, node)
}

fn value_node(place: &Place, value: &str) -> Result<Node, Problem> {
    if value.starts_with('[') || (value.starts_with('{') && !value.starts_with("{{")) {
        let mut node = yaml::parse(&place.file, value.as_bytes())?;
        relocate(&mut node, place);
        return Ok(node);
    }
    let style = if value.is_empty() || value.contains('\n') { Style::Quoted } else { Style::Plain };
    Ok(Node { place: place.clone(), kind: Kind::Scalar { text: value.to_owned(), style } })
}

/// All of an override has one place: columns within a shell word help nobody.
fn relocate(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.kind {
        Kind::Scalar { .. } => {}
        Kind::Seq(items) => items.iter_mut().for_each(|i| relocate(i, place)),
        Kind::Map(entries) => {
            for (key, value) in entries {
                key.place = place.clone();
                relocate(value, place);
            }
        }
    }
}

/// Cuts a path at its dots, save below free maps and within host names of the file.
fn split(root: &Node, path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    let mut rest = path;
    let mut node = Some(root);
    while !rest.is_empty() {
        let next = if is_free(&segments) {
            rest
        } else {
            // The longest existing key wins, so that `hosts.a.example.com.address` finds the host.
            let keys = match node.map(|n| &n.kind) {
                Some(Kind::Map(entries)) => entries.as_slice(),
                _ => &[],
            };
            let whole = |k: &&str| {
                rest.strip_prefix(*k).is_some_and(|r| r.is_empty() || r.starts_with('.'))
            };
            let existing = keys.iter().map(|(k, _)| k.text.as_str()).filter(whole);
            existing
                .max_by_key(|k| k.len())
                .unwrap_or_else(|| rest.split('.').next().unwrap_or(rest))
        };
        segments.push(next.to_owned());
        node = node.and_then(|n| n.child(next));
        rest = rest[next.len()..].strip_prefix('.').unwrap_or(&rest[next.len()..]);
    }
    if path.ends_with('.') || path.starts_with('.') {
        segments.push(String::new());
    }
    segments
}

fn is_free(segments: &[String]) -> bool {
    let matches = |pattern: &&str| {
        let parts: Vec<&str> = pattern.split('.').collect();
        parts.len() == segments.len()
            && parts.iter().zip(segments).all(|(p, s)| *p == "*" || *p == s.as_str())
    };
    FREE.iter().any(matches)
        || (segments.len() == 5
            && segments[..2] == ["mesos", "agents"]
            && segments[3] == "reserved")
}

fn put(node: &mut Node, segments: &[String], place: &Place, value: Node) -> Result<(), Problem> {
    let Some((first, rest)) = segments.split_first() else {
        *node = value;
        return Ok(());
    };
    let index = first.parse::<usize>().ok().filter(|i| *i < ranges::MAX_HOSTS);
    if node.is_null() {
        node.place = place.clone();
        node.kind = if index == Some(0) { Kind::Seq(Vec::new()) } else { Kind::Map(Vec::new()) };
    }
    let child = match (&mut node.kind, index) {
        (Kind::Map(entries), _) => {
            let at = entries.iter().position(|(k, _)| k.text == *first).unwrap_or(entries.len());
            if at == entries.len() {
                let key = Key { text: first.clone(), place: place.clone() };
                entries.push((key, nothing(place)));
            }
            &mut entries[at].1
        }
        (Kind::Seq(items), Some(index)) if index <= items.len() => {
            if index == items.len() {
                items.push(nothing(place));
            }
            &mut items[index]
        }
        _ => {
            let message = format!("`{first}` cannot be set below {}", node.describe());
            let problem = Problem::error(Some(place.clone()), "bad-override", message);
            return Err(problem.help("a list takes an index, at most one past its end"));
        }
    };
    put(child, rest, place, value)
}

fn nothing(place: &Place) -> Node {
    let kind = Kind::Scalar { text: String::new(), style: Style::Plain };
    Node { place: place.clone(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, set: &str) -> serde_json::Value {
        let mut root = yaml::parse("f", text.as_bytes()).unwrap();
        apply(&mut root, set).unwrap();
        super::super::decode::free(&root)
    }

    #[test]
    fn paths_reach_maps_lists_and_keys_with_dots() {
        use serde_json::json;
        assert_eq!(after("a: {}", "x=1"), json!({"a": {}, "vars": {"x": 1}}));
        assert_eq!(
            after("spark: {}", "spark.defaults.spark.cores.max=4"),
            json!({"spark": {"defaults": {"spark.cores.max": 4}}})
        );
        assert_eq!(
            after("hosts: {a.b.c: {address: 1}}", "hosts.a.b.c.address=x"),
            json!({"hosts": {"a.b.c": {"address": "x"}}})
        );
        assert_eq!(
            after("docker: {}", "docker.images.0.archive=./x"),
            json!({"docker": {"images": [{"archive": "./x"}]}})
        );
        assert_eq!(after("m: {h: [a]}", "m.h=[b, c]"), json!({"m": {"h": ["b", "c"]}}));
        assert_eq!(after("a: {}", "x={{ y }}"), json!({"a": {}, "vars": {"x": "{{ y }}"}}));
        assert_eq!(after("cluster: a", "cluster=b=c"), json!({"cluster": "b=c"}));
    }

    #[test]
    fn mistakes_have_the_place_of_the_override() {
        let mut root = yaml::parse("f", b"a: [x]\nb: c\n").unwrap();
        let mut fails = |set: &str| apply(&mut root, set).unwrap_err().to_string();
        assert!(fails("novalue").starts_with("error[bad-override]"));
        assert!(fails("a.5=x").starts_with("-e a.5:1:1: error[bad-override]"));
        assert!(fails("b.c=x").starts_with("-e b.c:1:1: error[bad-override]"));
        assert!(fails("a.0=[x").starts_with("-e a.0:1:"));
        assert!(fails(".a=1").contains("is not a path"));
    }
}
