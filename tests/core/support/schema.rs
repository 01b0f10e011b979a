//! A small check of JSON against a schema: a whole validator is 150 packages.

use serde_json::Value;

/// As much of JSON Schema as ours uses.
pub(crate) fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let Some(rules) = schema.as_object() else { return Ok(()) };
    for (rule, with) in rules {
        match rule.as_str() {
            "$ref" => {
                let pointer = with.as_str().unwrap().trim_start_matches('#');
                fits(root, root.pointer(pointer).ok_or("a dangling $ref")?, value)?;
            }
            "oneOf" | "anyOf" => {
                let ways = with.as_array().unwrap();
                let count = ways.iter().filter(|way| fits(root, way, value).is_ok()).count();
                if count == 0 || (rule == "oneOf" && count > 1) {
                    return Err(format!("{count} of {rule} fit"));
                }
            }
            "allOf" => {
                for part in with.as_array().unwrap() {
                    fits(root, part, value)?;
                }
            }
            "const" if with != value => return Err(format!("{value} is not {with}")),
            "enum" if !with.as_array().unwrap().contains(value) => {
                return Err(format!("{value} is not of {with}"));
            }
            "type" => {
                let kind = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                let is = |with: &Value| with == kind || (with == "number" && kind == "integer");
                if !(is(with) || with.as_array().is_some_and(|kinds| kinds.iter().any(is))) {
                    return Err(format!("{value} is not {with}"));
                }
            }
            "required" => {
                for key in with.as_array().unwrap() {
                    value.get(key.as_str().unwrap()).ok_or(format!("{key} is missing"))?;
                }
            }
            "properties" => {
                for (key, part) in with.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        fits(root, part, inner)?;
                    }
                }
            }
            "items" => match (with, value) {
                (Value::Array(parts), Value::Array(values)) => {
                    for (part, inner) in parts.iter().zip(values) {
                        fits(root, part, inner)?;
                    }
                }
                (_, Value::Array(values)) => {
                    for inner in values {
                        fits(root, with, inner)?;
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(())
}
