//! The shape of inventories as a JSON Schema (draft-07, the newest that YAML language servers read),
//! made from the declared settings.
//!
//! It says what the text alone decides: keys, types, words. What hosts, versions and sums decide stays
//! with `check`. A test holds it and the parser against each other.

use serde_json::{Map, Value, json};

use super::decode::free;
use super::root;
use super::sets::value_node;
use super::settings::{Setting, Shape};
use crate::ground::problem::Place;

/// The schema.
pub fn schema() -> Value {
    let mut schema = of(&root::shape());
    add(&mut schema, "$schema", "http://json-schema.org/draft-07/schema#");
    add(&mut schema, "title", "Inventory of provision");
    schema
}

fn add(schema: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(map) = schema {
        map.insert(key.to_owned(), value.into());
    }
}

fn of(shape: &Shape) -> Value {
    let all = |shapes: &[Shape]| shapes.iter().map(of).collect::<Vec<_>>();
    match shape {
        Shape::Scalar { schema, .. } => schema.clone(),
        Shape::Free => json!({ "type": "object", "propertyNames": { "pattern": KEY } }),
        Shape::List(items) => json!({ "type": "array", "items": of(items) }),
        Shape::Map { values, known } => {
            let values = of(values);
            let mut schema = json!({
                "type": "object",
                "propertyNames": { "pattern": KEY },
                "additionalProperties": values,
            });
            let named = known().into_iter().map(|(name, description)| {
                let mut schema = values.clone();
                add(&mut schema, "description", description);
                (name, schema)
            });
            let named: Map<String, Value> = named.collect();
            if !named.is_empty() {
                add(&mut schema, "properties", named);
            }
            schema
        }
        Shape::Section { settings, not_both } => {
            let required: Vec<&str> =
                settings.iter().filter(|s| s.required).map(|s| s.name).collect();
            let properties: Map<String, Value> =
                settings.iter().map(|s| (s.name.to_owned(), setting(s))).collect();
            let mut schema = json!({
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            });
            if let Some(two) = not_both {
                add(&mut schema, "not", json!({ "required": two }));
            }
            schema
        }
        Shape::Choice { sections, named: true } => json!({ "oneOf": all(sections) }),
        Shape::Choice { sections, named: false } => json!({ "anyOf": all(sections) }),
        Shape::Either(shapes) => json!({ "anyOf": all(shapes) }),
    }
}

fn setting(setting: &Setting) -> Value {
    let mut schema = of(&setting.shape);
    add(&mut schema, "description", setting.words.as_str());
    if let Some(default) = setting.default.and_then(value) {
        add(&mut schema, "default", default);
    }
    let examples: Vec<Value> = setting.examples.iter().copied().filter_map(value).collect();
    if !examples.is_empty() {
        add(&mut schema, "examples", examples);
    }
    schema
}

/// A declared text as the value that it is in the file.
fn value(text: &str) -> Option<Value> {
    let nowhere = Place { file: "".into(), line: 0, column: 0, length: 0 };
    value_node(&nowhere, text).ok().map(|node| free(&node))
}

/// No control characters; a line break is one.
const TEXT: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
const KEY: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";

/// Whatever stands on one line: numbers and booleans keep their text.
pub(super) fn line() -> Value {
    json!({ "type": ["string", "number", "boolean"], "pattern": TEXT })
}

/// Text of a pattern that plain numbers and booleans meet as well.
pub(super) fn word(pattern: &str) -> Value {
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern, "minimum": 0 })
}

/// Text of a pattern that no number meets.
pub(super) fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// A whole number, perhaps in quotes.
pub(super) fn whole(least: u64, most: Option<u64>, quoted: &str) -> Value {
    let mut number = json!({ "type": "integer", "minimum": least });
    if let (Some(most), Value::Object(map)) = (most, &mut number) {
        map.insert("maximum".to_owned(), most.into());
    }
    json!({ "anyOf": [number, text(quoted)] })
}

pub(super) fn count() -> Value {
    whole(1, Some(u64::from(u32::MAX)), "^0*[1-9][0-9]{0,8}$")
}

pub(super) fn port() -> Value {
    let digits =
        "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]";
    whole(1, Some(65_535), &format!("^0*({digits})$"))
}

pub(super) fn boolean() -> Value {
    json!({ "enum": [true, false, "true", "false"] })
}

pub(super) fn yes() -> Value {
    json!({ "enum": [true, "true"] })
}

/// A Mesos duration above nothing.
pub(super) fn duration() -> Value {
    text("^(?=.*[1-9])([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|ms|secs|mins|hrs|days|weeks)$")
}

/// Mesos bytes; that they make a whole MiB, `check` says.
pub(super) fn bytes() -> Value {
    text("^0*[1-9][0-9]*([bB]|[kKmMgGtT][bB])$")
}

/// Printable ASCII but quotes, blanks, braces and the like.
const URL: &str = "^https?://(?!/)[!#-&(-;=?-\\[\\]_a-z~]+$";

pub(super) fn url() -> Value {
    text(URL)
}

/// A path, or a URL; what begins as a URL must be one.
pub(super) fn source() -> Value {
    let pattern = format!("^(?!https?://)[^\\u0000-\\u001f\\u007f-\\u009f]*$|{URL}");
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern })
}

/// At least two characters, which of the whole numbers those from 10 have.
pub(super) fn debian_package() -> Value {
    json!({ "anyOf": [
        { "type": ["string", "boolean"], "pattern": "^[a-z0-9][a-z0-9+.-]+$" },
        { "type": "number", "minimum": 10 },
        { "type": "number", "minimum": 0, "not": { "type": "integer" } },
    ] })
}
