//! The JSON Schema of the events, from their types.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use super::Stamped;
use crate::ground::HostName;

/// The schema of one line of `--json` and of `--log-file`: draft-07, which every validator and editor
/// knows.
pub fn events() -> Json {
    let generator = SchemaSettings::draft07().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Stamped>();
    schema.insert("title".to_owned(), "An event of provision".into());
    schema.to_value()
}

/// The names of all events, in the order of a run.
#[cfg_attr(not(test), expect(dead_code, reason = "tests compare docs with it"))]
pub fn names() -> Vec<String> {
    let schema = events();
    let variants = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    variants
        .filter_map(|variant| variant.pointer("/properties/event/const")?.as_str())
        .map(str::to_owned)
        .collect()
}

impl JsonSchema for HostName {
    fn schema_name() -> Cow<'static, str> {
        "HostName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Name of a host in the inventory." })
    }
}
