//! Resources and attributes: Mesos' value grammar.
//! Source: src/common/values.cpp, resources.cpp and attributes.cpp at 1.11.0; texts as recorded.

use serde_json::{Value as Json, json};

/// One resource of an agent; `role` is of a static reservation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) role: Option<String>,
    pub(crate) value: Value,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// A value of any type; scalars have three decimals.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(f64),
    Ranges(Vec<(u64, u64)>),
    Set(Vec<String>),
    Text(String),
}

/// Reads `--resources`: JSON, else `name(role):value;…`. A name given twice is summed.
pub(crate) fn resources(text: &str, default_role: &str) -> Result<Vec<Resource>, String> {
    if let Ok(Json::Array(entries)) = serde_json::from_str(text) {
        let read = entries.iter().map(|entry| {
            resource_of_json(entry).ok_or_else(|| format!("Invalid resource JSON: {entry}"))
        });
        return read.collect::<Result<Vec<_>, _>>().map(sum);
    }
    let mut found = Vec::new();
    for entry in text.split(';').filter(|entry| !entry.is_empty()) {
        let parts: Vec<&str> = entry.split(':').filter(|part| !part.is_empty()).collect();
        let &[key, value] = parts.as_slice() else {
            return Err(format!("Bad value for resources, missing or extra ':' in {entry}"));
        };
        let (name, role) = match key.split_once('(') {
            None => (key.trim(), default_role),
            Some((name, rest)) => match rest.trim_end().strip_suffix(')') {
                Some(role) => (name.trim(), role.trim()),
                None => {
                    return Err(format!(
                        "Bad value for resources, mismatched parentheses in {entry}"
                    ));
                }
            },
        };
        let value = self::value(value).map_err(|error| {
            format!("Failed to parse resource {name} value {value} error {error}")
        })?;
        if let Value::Text(value) = value {
            return Err(format!("Bad type for resource {name} value {value} type TEXT"));
        }
        let role = (role != "*").then(|| role.to_owned());
        found.push(Resource { name: name.to_owned(), role, value });
    }
    Ok(sum(found))
}

/// Reads `--attributes`; an error is a failed check in the real agent.
pub(crate) fn attributes(text: &str) -> Result<Vec<Attribute>, AttributeError> {
    let mut found = Vec::new();
    for pair in text.split([';', '\n']).filter(|pair| !pair.is_empty()) {
        let Some((name, written)) = pair.split_once(':').filter(|(_, value)| !value.is_empty())
        else {
            return Err(AttributeError::Pair(pair.to_owned()));
        };
        match value(written) {
            Ok(Value::Set(_)) => {
                return Err(AttributeError::Set(name.to_owned(), written.to_owned()));
            }
            Ok(value) => found.push(Attribute { name: name.to_owned(), value }),
            Err(error) => return Err(AttributeError::Value(written.to_owned(), error)),
        }
    }
    Ok(found)
}

/// What is wrong with attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttributeError {
    Pair(String),
    Set(String, String),
    Value(String, String),
}

impl AttributeError {
    /// Where the real source says so, and what it says.
    pub(crate) fn line(&self) -> (&'static str, String) {
        match self {
            AttributeError::Pair(pair) => {
                ("attributes.cpp:168", format!("Invalid attribute key:value pair '{pair}'"))
            }
            AttributeError::Set(name, value) => {
                ("attributes.cpp:148", format!("Bad type for attribute {name} text {value} type 2"))
            }
            AttributeError::Value(value, error) => (
                "attributes.cpp:127",
                format!("Failed to parse attribute text {value} error {error}"),
            ),
        }
    }
}

/// The lexer: blanks are deleted, then the first character decides.
pub(crate) fn value(text: &str) -> Result<Value, String> {
    let text: String = text.chars().filter(|&c| c != ' ').collect();
    if text.is_empty() {
        return Err("Expecting non-empty string".to_owned());
    }
    for (open, close) in [('{', '}'), ('[', ']')] {
        if text.matches(open).count() != text.matches(close).count() {
            return Err(format!("Mismatched '{open}' and '{close}'"));
        }
    }
    if let Some(inner) = text.strip_prefix('[') {
        return ranges(inner.strip_suffix(']').ok_or("Expecting ']' at the end")?);
    }
    if let Some(inner) = text.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or("Expecting '}' at the end")?;
        return Ok(Value::Set(inner.split(',').map(str::to_owned).collect()));
    }
    if text.contains(['[', '{']) {
        return Err(format!("Unexpected '{}' found", if text.contains('[') { '[' } else { '{' }));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(Value::Scalar(round(number))),
        Ok(_) => Err(format!("Invalid scalar value '{text}'")),
        Err(_) => Ok(Value::Text(text)),
    }
}

fn ranges(inner: &str) -> Result<Value, String> {
    let read = |bound: &str| {
        bound.parse::<u64>().map_err(|_| "Expecting non-negative integers in ranges".to_owned())
    };
    let mut found = Vec::new();
    for range in inner.split(',') {
        let Some((begin, end)) = range.split_once('-') else {
            return Err("Expecting one or more \"ranges\"".to_owned());
        };
        found.push((read(begin)?, read(end)?));
    }
    found.sort_unstable();
    Ok(Value::Ranges(found))
}

pub(crate) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Adds up what has the same name and role, keeping the order.
fn sum(resources: Vec<Resource>) -> Vec<Resource> {
    let mut summed: Vec<Resource> = Vec::new();
    for resource in resources {
        let same = summed
            .iter_mut()
            .find(|other| other.name == resource.name && other.role == resource.role);
        match (same.map(|other| &mut other.value), resource.value) {
            (Some(Value::Scalar(total)), Value::Scalar(more)) => *total = round(*total + more),
            (Some(Value::Ranges(all)), Value::Ranges(more)) => all.extend(more),
            (Some(Value::Set(all)), Value::Set(more)) => all.extend(more),
            (_, value) => summed.push(Resource { value, ..resource }),
        }
    }
    summed
}

impl Value {
    pub(crate) fn scalar(&self) -> Option<f64> {
        match self {
            Value::Scalar(number) => Some(*number),
            _ => None,
        }
    }

    /// `[31000-32000]`, `{a,b}`, `7.5`, `text`.
    pub(crate) fn print(&self) -> String {
        match self {
            Value::Scalar(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Set(items) => format!("{{{}}}", items.join(",")),
            Value::Ranges(ranges) => {
                let ranges: Vec<_> =
                    ranges.iter().map(|(from, to)| format!("{from}-{to}")).collect();
                format!("[{}]", ranges.join(", "))
            }
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Value::Scalar(_) => "SCALAR",
            Value::Ranges(_) => "RANGES",
            Value::Set(_) => "SET",
            Value::Text(_) => "TEXT",
        }
    }

    /// Adds `type` and the value's own field to an object.
    fn put(&self, object: &mut Json) {
        object["type"] = self.type_name().into();
        match self {
            Value::Scalar(number) => object["scalar"] = json!({ "value": number }),
            Value::Text(text) => object["text"] = json!({ "value": text }),
            Value::Set(items) => object["set"] = json!({ "item": items }),
            Value::Ranges(ranges) => {
                let ranges: Vec<_> =
                    ranges.iter().map(|(from, to)| json!({ "begin": from, "end": to })).collect();
                object["ranges"] = json!({ "range": ranges });
            }
        }
    }

    fn of_json(object: &Json) -> Option<Value> {
        Some(match object["type"].as_str()? {
            "SCALAR" => Value::Scalar(round(object["scalar"]["value"].as_f64()?)),
            "TEXT" => Value::Text(object["text"]["value"].as_str()?.to_owned()),
            "SET" => {
                let items = object["set"]["item"].as_array()?.iter();
                Value::Set(items.filter_map(|item| item.as_str().map(str::to_owned)).collect())
            }
            "RANGES" => {
                let ranges = object["ranges"]["range"].as_array()?.iter();
                let bounds = ranges.map(|r| Some((r["begin"].as_u64()?, r["end"].as_u64()?)));
                Value::Ranges(bounds.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

impl Resource {
    /// The form in an AgentInfo: reservations, no role.
    pub(crate) fn to_json(&self) -> Json {
        let mut object = json!({ "name": self.name });
        self.value.put(&mut object);
        if let Some(role) = &self.role {
            object["reservations"] = json!([{ "type": "STATIC", "role": role }]);
        }
        object
    }

    /// The form in `*_resources_full` and `total_resources`: the role too, `*` when unreserved.
    pub(crate) fn to_full_json(&self) -> Json {
        let mut object = json!({ "name": self.name });
        self.value.put(&mut object);
        object["role"] = self.role.as_deref().unwrap_or("*").into();
        if let Some(role) = &self.role {
            object["reservations"] = json!([{ "type": "STATIC", "role": role }]);
        }
        object
    }
}

/// Reads a resource in any of its JSON forms.
pub(crate) fn resource_of_json(object: &Json) -> Option<Resource> {
    let reserved = object["reservations"][0]["role"].as_str();
    let role = reserved.or(object["role"].as_str()).filter(|role| *role != "*");
    Some(Resource {
        name: object["name"].as_str()?.to_owned(),
        role: role.map(str::to_owned),
        value: Value::of_json(object)?,
    })
}

impl Attribute {
    pub(crate) fn to_json(&self) -> Json {
        let mut object = json!({ "name": self.name });
        self.value.put(&mut object);
        object
    }

    pub(crate) fn of_json(object: &Json) -> Option<Attribute> {
        Some(Attribute {
            name: object["name"].as_str()?.to_owned(),
            value: Value::of_json(object)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_summed_and_kept_in_order() {
        let text = "cpus(etl):1;mem(etl):1024;cpus:2;mem:4096;ports:[31000-32000];cpus:0.5";
        let read = resources(text, "*").expect("good resources");
        assert_eq!(read.len(), 5);
        assert_eq!((read[0].role.as_deref(), read[0].value.scalar()), (Some("etl"), Some(1.0)));
        assert_eq!(read[2].value.scalar(), Some(2.5));
        assert_eq!(read[4].value.print(), "[31000-32000]");
        let again: Vec<_> =
            read.iter().map(|resource| resource_of_json(&resource.to_json())).collect();
        assert_eq!(again, read.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn mistakes_in_resources_have_the_real_texts() {
        let text = |written| resources(written, "*").expect_err("must be refused");
        assert_eq!(text("cpus=2;mem:1"), "Bad value for resources, missing or extra ':' in cpus=2");
        assert_eq!(text("cpus:two;mem:1"), "Bad type for resource cpus value two type TEXT");
        assert!(resources("cpus:-1", "*").is_err());
        assert!(resources("ports:[1-2", "*").is_err());
    }

    #[test]
    fn attributes_lose_blanks_and_may_not_be_sets() {
        let read = attributes("rack:north west;level:7.10;u:a:b").expect("good attributes");
        assert_eq!(read[0].value, Value::Text("northwest".to_owned()));
        assert_eq!(read[1].value, Value::Scalar(7.1));
        assert_eq!(read[2].value, Value::Text("a:b".to_owned()));
        let line = |text| attributes(text).expect_err("must be refused").line().1;
        assert_eq!(line("rack:{a,b}"), "Bad type for attribute rack text {a,b} type 2");
        assert_eq!(line("rack"), "Invalid attribute key:value pair 'rack'");
    }
}
