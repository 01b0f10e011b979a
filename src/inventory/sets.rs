//! `-e path=value`: overrides, put into the tree before it is decoded.

use std::sync::Arc;

use super::decode::clipped;
use super::settings::Shape;
use super::yaml::{self, Key, Kind, Node, Style};
use super::{ranges, root};
use crate::ground::problem::{Place, Problem};

/// Puts one override into the tree.
///
/// A bare name sets `vars`, unless it is a key of the file's top. A value that begins with `[` or `{` (but not `{{`) is read as YAML, any
/// other is text.
///
/// # Errors
/// What is wrong with it, at the place `-e path`.
pub(super) fn apply(root: &mut Node, set: &str) -> Result<(), Problem> {
    let whole = set.trim_start();
    let Some((path, value)) = set.split_once('=').filter(|_| !whole.starts_with(['@', '{'])) else {
        let (message, help) = if whole.starts_with('@') {
            let help = "write its values into `vars` of the inventory, or each as -e name=value";
            (format!("`{}`: overrides are not read from a file", clipped(whole)), help)
        } else {
            let message = "an override is not written path=value".to_owned();
            (message, "write -e path=value, once for each")
        };
        return Err(Problem::error(None, "bad-override", message).help(help));
    };
    let path = path.trim();
    let file: Arc<str> = Arc::from(format!("-e {path}"));
    let place = Place { file, line: 1, column: 1, length: 1 };
    let shape = root::shape();
    let segments = if path.contains('.') || shape.child(path).is_some() {
        split(root, &shape, path)
    } else {
        vec!["vars".to_owned(), path.to_owned()]
    };
    if segments.iter().any(String::is_empty) {
        let message = format!("`{path}` is not a path");
        let problem = Problem::error(Some(place), "bad-override", message);
        return Err(problem.help("write it like mesos.version"));
    }
    if let Some(second) = segments.first().filter(|top| *top == "vars").and_then(|_| second(value))
    {
        let message = format!("`{second}=` after a blank would be part of the value of `{path}`");
        let problem = Problem::error(Some(place), "bad-override", message);
        return Err(
            problem.help("write -e once for each; or such a value into `vars` of the inventory")
        );
    }
    let node = value_node(&place, value)?;
    put(root, &segments, &place, node)
}

/// The name of the second variable of `-e 'a=1 b=2'`, which elsewhere are two.
fn second(value: &str) -> Option<&str> {
    let mut words = value.split_whitespace();
    let plain = words.next().is_some_and(|first| !first.contains(['=', '"', '\'', '[', '{']));
    let name = |word: &&str| {
        let name = word.split('=').next().unwrap_or("");
        word.contains('=')
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let second = words.next().filter(|word| plain && name(word))?;
    second.split('=').next()
}

/// Whether an override sets one of the user's own variables, which no `ssh`, secret or path can be made of:
/// those are no templates.
pub fn is_variable(set: &str) -> bool {
    let path = set.split_once('=').map_or(set, |(path, _)| path).trim();
    match path.split_once('.') {
        Some((first, _)) => first == "vars",
        None => root::shape().child(path).is_none(),
    }
}

pub(super) fn value_node(place: &Place, value: &str) -> Result<Node, Problem> {
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

/// Cuts a path at its dots, save within host names of the file and below maps whose keys are the
/// user's own and may hold dots: there the rest of a path is one key.
fn split(root: &Node, shape: &Shape, path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    let mut rest = path;
    let mut node = Some(root);
    let mut shape = Some(shape);
    while !rest.is_empty() {
        let next = if shape.is_some_and(Shape::is_flat_map) {
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
        shape = shape.and_then(|s| s.child(next));
        rest = rest[next.len()..].strip_prefix('.').unwrap_or(&rest[next.len()..]);
    }
    if path.ends_with('.') || path.starts_with('.') {
        segments.push(String::new());
    }
    segments
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
        assert!(fails("@vars.yaml").contains("`vars` of the inventory"));
        assert!(fails("@vars=1.yaml").contains("not read from a file"));
        assert!(fails("{\"a\": 1}").contains("once for each"));
        assert!(fails("a=1 b=2").contains("`b=` after a blank"));
        assert_eq!(
            after("a: {}", "x=-Xmx1g -Da=b"),
            serde_json::json!({"a": {}, "vars": {"x": "-Xmx1g -Da=b"}})
        );
    }
}
