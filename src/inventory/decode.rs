//! Readers of tree values that report every mistake they meet and go on.
//!
//! A reader takes a node and its path and answers `None` after it has reported why. What is built
//! from several readers ([`Object`]) therefore collects all mistakes of a file in one pass.

use std::collections::BTreeMap;

use super::cure;
use super::yaml::{Key, Kind, Node, Style};
use crate::ground::problem::{Place, Problem};
use crate::mesos::flags::did_you_mean;

/// What is gathered while decoding.
#[derive(Debug, Default)]
pub(super) struct Cx {
    /// Every mistake so far.
    pub(super) problems: Vec<Problem>,
    /// Path → place, for [`super::Places`].
    pub(super) places: BTreeMap<String, Place>,
    /// Host names that ranges stood for so far, to notice what would fill the memory.
    pub(super) expanded: usize,
}

/// A value that remembers where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> At<T> {
    /// Whether it stands in the file (or in an override) rather than being a default.
    pub(super) fn is_written(&self) -> bool {
        self.place.line > 0
    }
}

/// A map with a fixed set of keys, read key by key, then closed.
pub(super) struct Object<'n> {
    place: Place,
    path: String,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
}

/// Digits only: `0x10`, `1_000`, `+3` and `1.0` are surprises, not numbers.
pub(super) fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A scalar that `read` understands; `what` completes "expected …".
pub(super) fn parsed<T>(
    what: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> impl FnOnce(&mut Cx, &Node, &str) -> Option<At<T>> {
    move |cx, node, path| {
        let Kind::Scalar { text, .. } = &node.kind else {
            cx.expected(node, path, what);
            return None;
        };
        if node.is_null() {
            cx.expected(node, path, what);
            return None;
        }
        if text.chars().any(char::is_control) {
            let message = format!("`{path}` holds a control character or a line break");
            cx.error(&node.place, "unsafe-text", message);
            return None;
        }
        let value = read(text);
        if value.is_none() {
            cx.expected(node, path, what);
        }
        Some(At { value: value?, place: node.place.clone() })
    }
}

/// A list, each item read by `read`; items that fail are left out (and reported).
pub(super) fn list<T>(
    cx: &mut Cx,
    node: &Node,
    path: &str,
    mut read: impl FnMut(&mut Cx, &Node, &str) -> Option<T>,
) -> Option<Vec<T>> {
    let Kind::Seq(items) = &node.kind else {
        cx.expected(node, path, "a list such as [a, b]");
        return None;
    };
    let mut values = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.{index}");
        cx.places.insert(path.clone(), item.place.clone());
        values.extend(read(cx, item, &path));
    }
    Some(values)
}

/// A map whose keys are the user's own.
pub(super) fn dictionary<T>(
    cx: &mut Cx,
    node: &Node,
    path: &str,
    mut read: impl FnMut(&mut Cx, &Node, &str) -> Option<T>,
) -> Option<Vec<(At<String>, T)>> {
    let Kind::Map(entries) = &node.kind else {
        cx.expected(node, path, "a map such as {name: value}");
        return None;
    };
    let mut values = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let path = format!("{path}.{}", key.text);
        cx.places.insert(path.clone(), best_place(key, value).clone());
        if key.text.is_empty() || key.text.chars().any(char::is_control) {
            let message = "a key is empty or holds a control character";
            cx.error(&key.place, "unsafe-text", message);
            continue;
        }
        let key = At { value: key.text.clone(), place: key.place.clone() };
        values.extend(read(cx, value, &path).map(|v| (key, v)));
    }
    Some(values)
}

/// A free-form value. Plain scalars become numbers or booleans only where that keeps their text.
pub(super) fn free(node: &Node) -> serde_json::Value {
    use serde_json::Value;
    match &node.kind {
        _ if node.is_null() => Value::Null,
        Kind::Scalar { text, style: Style::Plain } => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => {
                let whole = text.parse::<i64>().ok().filter(|n| n.to_string() == *text);
                let real = text.parse::<f64>().ok().filter(|n| n.to_string() == *text);
                match (whole, real.and_then(serde_json::Number::from_f64)) {
                    (Some(n), _) => Value::from(n),
                    (None, Some(n)) => Value::Number(n),
                    (None, None) => Value::String(text.clone()),
                }
            }
        },
        Kind::Scalar { text, .. } => Value::String(text.clone()),
        Kind::Seq(items) => Value::Array(items.iter().map(free).collect()),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|(k, v)| (k.text.clone(), free(v))).collect())
        }
    }
}

/// A free-form map.
pub(super) fn free_map(
    cx: &mut Cx,
    node: &Node,
    path: &str,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    match free(node) {
        serde_json::Value::Object(map) => {
            dictionary(cx, node, path, |_, _, _| Some(()))?;
            Some(map)
        }
        _ => {
            cx.expected(node, path, "a map such as {name: value}");
            None
        }
    }
}

impl Cx {
    pub(super) fn error(&mut self, place: &Place, name: &'static str, message: impl Into<String>) {
        self.problems.push(Problem::error(Some(place.clone()), name, message));
    }

    /// "expected X, found Y", with Y left out where it may be secret.
    pub(super) fn expected(&mut self, node: &Node, path: &str, what: &str) {
        let found = match &node.kind {
            Kind::Scalar { text, .. } if !node.is_null() && !secret(path, text) => {
                format!("`{}`", clipped(text))
            }
            _ => node.describe().to_owned(),
        };
        let shown = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        let message = format!("{shown}: expected {what}, found {found}");
        let problem = Problem::error(Some(node.place.clone()), "wrong-type", message);
        self.problems.push(problem.help(cure::of_value(path, node, what)));
    }
}

impl<'n> Object<'n> {
    /// Begins to read a map with fixed keys.
    pub(super) fn open(cx: &mut Cx, node: &'n Node, path: &str) -> Option<Object<'n>> {
        match &node.kind {
            Kind::Map(entries) => Some(Object {
                place: cx.places.get(path).unwrap_or(&node.place).clone(),
                path: path.to_owned(),
                entries,
                known: Vec::new(),
            }),
            _ => {
                cx.expected(node, path, "a map such as {name: value}");
                None
            }
        }
    }

    /// Whether the key was written.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.text == name)
    }

    /// Reads a key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        cx: &mut Cx,
        name: &'static str,
        read: impl FnOnce(&mut Cx, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        let path = self.child(name);
        cx.places.insert(path.clone(), best_place(key, node).clone());
        if node.is_null() {
            let message = format!("`{path}` is empty");
            let problem = Problem::error(Some(key.place.clone()), "empty-value", message);
            cx.problems.push(problem.help("write a value or delete the line"));
            return None;
        }
        read(cx, node, &path)
    }

    /// Reads a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        cx: &mut Cx,
        name: &'static str,
        read: impl FnOnce(&mut Cx, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            let path = self.child(name);
            let message = format!("`{path}` is missing");
            let problem = Problem::error(Some(self.place.clone()), "missing-key", message);
            cx.problems.push(problem.help(cure::of_missing(&path)));
        }
        self.optional(cx, name, read)
    }

    /// Reads the one key of `names` that must be there; anything else is reported.
    pub(super) fn one_of(&mut self, cx: &mut Cx, names: &[&'static str]) -> Option<&'static str> {
        self.known.extend(names);
        let written: Vec<&'static str> = names.iter().copied().filter(|n| self.has(n)).collect();
        if let [name] = written[..] {
            return Some(name);
        }
        let list = names.join("`, `");
        let path = if self.path.is_empty() { "the file" } else { self.path.as_str() };
        let message = if written.is_empty() {
            format!("`{path}` needs one of `{list}`")
        } else {
            format!("`{path}` takes only one of `{list}`")
        };
        let problem = Problem::error(Some(self.place.clone()), "one-of", message);
        // A key that is meant for one of them and called otherwise says so itself.
        let mut keys = self.entries.iter().map(|(key, _)| key.text.as_str());
        let cure = match keys.find_map(|key| cure::of_unknown(&self.path, key)) {
            Some(cure) => cure.to_owned(),
            None if !written.is_empty() => "keep one of them".to_owned(),
            None => format!("`provision explain {}` says what each is for", self.path),
        };
        cx.problems.push(problem.help(cure));
        None
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn close(self, cx: &mut Cx) {
        for (key, _) in self.entries {
            if self.known.contains(&key.text.as_str()) {
                continue;
            }
            let place =
                if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
            let name = if secret(&self.path, &key.text) {
                String::new()
            } else {
                format!(" `{}`", clipped(&key.text))
            };
            let message = format!("unknown key{name}{place}");
            let problem = Problem::error(Some(key.place.clone()), "unknown-key", message);
            let near = nearest(&key.text, self.known.iter().copied());
            cx.problems.push(problem.help(match (cure::of_unknown(&self.path, &key.text), near) {
                (Some(cure), _) => cure.to_owned(),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("it takes {}", self.known.join(", ")),
            }));
        }
    }

    fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// The key for what goes on below it, the value for what stands beside it.
fn best_place<'p>(key: &'p Key, node: &'p Node) -> &'p Place {
    match node.kind {
        Kind::Scalar { .. } if !node.is_null() => &node.place,
        _ => &key.place,
    }
}

/// Whether a value must stay out of messages: by its key, or as a URL with a password.
fn secret(path: &str, value: &str) -> bool {
    path.split('.').any(super::show::is_secret_key)
        || (value.contains("://") && value.contains('@'))
}

/// A value short enough for one line.
pub(super) fn clipped(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The known word that a mistyped one most likely is.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // Hostile keys are long.
    if word.len() > 100 {
        return None;
    }
    did_you_mean(word, known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::settings::Type as _;
    use crate::inventory::types::{Bool, Count, Port, Text};
    use crate::inventory::yaml;

    #[test]
    fn every_mistake_is_reported_in_one_pass() {
        let root = yaml::parse("f", b"port: 70000\nbecme: true\nuser: [a]\nbecome: yes\n").unwrap();
        let mut cx = Cx::default();
        let mut object = Object::open(&mut cx, &root, "").unwrap();
        object.optional(&mut cx, "port", Port::read);
        object.optional(&mut cx, "become", Bool::read);
        object.optional(&mut cx, "user", Text::read);
        object.required(&mut cx, "cluster", Text::read);
        object.close(&mut cx);
        let lines: Vec<String> = cx.problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            lines,
            [
                "f:1:7: error[wrong-type]: `port`: expected a port from 1 to 65535, found `70000` (`provision explain` says what an inventory takes)",
                "f:4:9: error[wrong-type]: `become`: expected true or false, found `yes` (write become: true)",
                "f:3:7: error[wrong-type]: `user`: expected text, found a list (`provision explain` says what an inventory takes)",
                "f:1:1: error[missing-key]: `cluster` is missing (write it like cluster: analytics)",
                "f:2:1: error[unknown-key]: unknown key `becme` (did you mean `become`?)",
            ]
        );
    }

    #[test]
    fn secrets_stay_out_of_messages() {
        let root = yaml::parse("f", b"secret: hunter2\nhttp: 'http://u:hunter2@p'\n").unwrap();
        let mut cx = Cx::default();
        let mut object = Object::open(&mut cx, &root, "").unwrap();
        object.optional(&mut cx, "secret", Count::read);
        object.optional(&mut cx, "http", Count::read);
        assert_eq!(cx.problems.len(), 2);
        assert!(cx.problems.iter().all(|p| !p.to_string().contains("hunter2")));
    }

    #[test]
    fn free_values_are_typed_only_where_that_keeps_the_text() {
        let root = yaml::parse("f", b"[1, 1.5, 1.10, 007, true, yes, '1', 1e3, ~]").unwrap();
        let expected = serde_json::json!([1, 1.5, "1.10", "007", true, "yes", "1", "1e3", null]);
        assert_eq!(free(&root), expected);
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("adress", ["address", "hostname"].into_iter()), Some("address"));
        assert_eq!(nearest("zzz", ["address"].into_iter()), None);
    }
}
